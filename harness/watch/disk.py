"""Sample the disk: bytes and files in a run's output folder and cache folder, and the free bytes of the volume.

The limit of a target counts everything in its record. The samples count some folders: reports show figures of these.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from harness.record import limits, safe
from harness.record.entries import entries
from harness.record.extent import too_many
from harness.record.values import BeyondError

OUTPUTS = "outputs"
CACHE = "outputs/.zemosaic_img_cache"

ELSEWHERE = "work"
WORKING = ("tmp", "home", "cwd")
"""The working folders of a run, whose bytes are added up in the samples of ``work``; its input and its code are not counted."""

OWN = ("console.log", "disk.jsonl", "process.jsonl")
OWN_BYTES = 32_000_000
"""Bytes of the files that the harness writes during a run, which are not the target's. The guard keeps 20 MB of its output."""

MOST = limits.ENTRIES
"""Files and folders that are looked at in one walk."""

REPEAT_SECONDS = 1.0
"""An unchanged folder gets one line in this time."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes and number of the regular files below a folder. ``size`` is the sum of file lengths, not of blocks."""

    size: int = 0
    files: int = 0


Spent = Callable[[int, int, int], None]
"""Told at each sample: bytes of the record, number of its files and folders, free bytes of the volume."""


def usage(folder: Path, part: Path) -> tuple[Usage, Usage]:
    """Return the usage of a folder and that of its subfolder ``part``, from one walk. Raises as `walked` does."""
    found = walked(folder, {folder: "whole", part: "part"}).usage
    return found.get("part" if part == folder else "whole", Usage()), found.get("part", Usage())


def taken(record: Path) -> int:
    """Return the bytes of all files in a record; 0 if they are too many."""
    try:
        return walked(record, {}).size
    except BeyondError:
        return 0


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk found: the usage of the folders by their names, and all bytes and entries.

    ``size`` counts a file with several names once, and the harness's own files only beyond ``OWN_BYTES``.
    """

    usage: Mapping[str, Usage]
    size: int
    entries: int


def walked(top: Path, names: Mapping[Path, str]) -> Walked:
    """Add up the files below a folder, and those below some folders in it under a name. Several folders may have one name.

    Links are not followed. Files that vanish during the walk or can't be read are not counted.

    Raises
    ------
    BeyondError
        When there are more than ``MOST`` files and folders: the walk has to end.

    """
    known = {os.fspath(path): name for path, name in names.items()}
    own_files = {os.fspath(top / name) for name in OWN}
    sums: dict[str, list[int]] = {}
    once: set[tuple[int, int]] = set()
    size = own = entries = 0
    for entry, into in _entries(top, known):
        entries += 1
        if entries > MOST:
            raise too_many(top, MOST)
        about = _file(entry)
        if about is None:
            continue
        for name in into:
            bytes_and_files = sums.setdefault(name, [0, 0])
            bytes_and_files[0] += about.st_size
            bytes_and_files[1] += 1
        number = (about.st_dev, about.st_ino)
        if entry.path in own_files:
            own += about.st_size
        elif about.st_nlink <= 1 or number not in once:
            size += about.st_size
            if about.st_nlink > 1:
                once.add(number)
    return Walked({name: Usage(*found) for name, found in sums.items()}, size + max(own - OWN_BYTES, 0), entries)


def _entries(top: Path, known: Mapping[str, str]) -> Iterator[tuple[os.DirEntry[str], tuple[str, ...]]]:
    """Yield each entry below a folder, with the names of the known folders that it is in."""
    pending: list[tuple[str, tuple[str, ...]]] = [(os.fspath(top), ())]
    while pending:
        path, into = pending.pop()
        if path in known:
            into = (*into, known[path])
        with contextlib.suppress(OSError), os.scandir(path) as found:
            for entry in found:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((entry.path, into))
                yield entry, into


def _file(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Return the facts on a regular file; ``None`` for anything else, and for one that is gone."""
    try:
        return entry.stat(follow_symlinks=False) if entry.is_file(follow_symlinks=False) else None
    except OSError:
        return None


def _held(record: Path) -> tuple[int, int]:
    """Return the bytes and the number of the files of a record that is held open, where its target gave it another name."""
    files = [about.st_size for _, about in entries(record) if safe.is_file(about)]
    return sum(files), len(files)


class DiskSampler:
    """Sample a record's ``outputs``, the cache folder in it, and the working folders of the run, if it has any."""

    def __init__(self, record: Path, outputs: Path | None = None, spent: Spent | None = None) -> None:
        """Take the record, its output folder where that is the user's own, and what is told how much is in the record."""
        self._record = record
        self._outputs = outputs
        self._spent = spent
        self._before: dict[str, tuple[Usage, int]] = {}

    def sample(self, *, last: bool) -> list[Mapping[str, Any]]:
        """Return a line for each folder that changed or has no line in the past second; with ``last``, for all folders.

        Raises ``BeyondError`` when there are too many files, after telling it.
        """
        free = self._free()
        try:
            seen_at = self._look(free)
        except BeyondError:
            if self._spent is not None:
                self._spent(0, MOST + 1, free)
            raise
        now = time.monotonic_ns()
        lines: list[Mapping[str, Any]] = []
        for folder, seen in seen_at:
            before, when = self._before.get(folder, (None, 0))
            if last or seen != before or now - when >= REPEAT_SECONDS * 1e9:
                self._before[folder] = (seen, now)
                lines.append({"t": now, "folder": folder, "size": seen.size, "files": seen.files, "free": free})
        return lines

    def _free(self) -> int:
        try:
            return shutil.disk_usage(self._record).free
        except OSError:
            return -1

    def _look(self, free: int) -> list[tuple[str, Usage]]:
        """Return the usage of each folder, from one walk through the record and one through a user's output folder."""
        working = [self._record / ELSEWHERE / name for name in WORKING]
        names = {self._record / OUTPUTS: OUTPUTS, self._record / CACHE: CACHE} | dict.fromkeys(working, ELSEWHERE)
        found = walked(self._record, names)
        if self._spent is not None:
            size, entries = (found.size, found.entries) if safe.is_there(self._record) else _held(self._record)
            self._spent(size, entries, free)
        if self._outputs is not None:
            whole, cache = usage(self._outputs, self._outputs / PurePath(CACHE).name)
        else:
            whole, cache = found.usage.get(OUTPUTS, Usage()), found.usage.get(CACHE, Usage())
        seen_at = [(OUTPUTS, whole), (CACHE, cache)]
        if ELSEWHERE in found.usage or any(place.is_dir() and not place.is_symlink() for place in working):
            seen_at.append((ELSEWHERE, found.usage.get(ELSEWHERE, Usage())))
        return seen_at
