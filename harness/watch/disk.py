"""Sample the disk: bytes and files in a run's output folder and cache folder, and the free bytes of the volume."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from harness.record import safe

OUTPUTS = "outputs"
CACHE = "outputs/.zemosaic_img_cache"

ELSEWHERE = "work"
WORKING = ("tmp", "home", "cwd")
"""The working folders of a run, whose bytes are added up in the samples of ``work``; its input and its code are not counted."""

REPEAT_SECONDS = 1.0
"""An unchanged folder gets one line in this time."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes and number of the regular files below a folder. ``size`` is the sum of file lengths, not of blocks."""

    size: int = 0
    files: int = 0


def usage(folder: Path, part: Path) -> tuple[Usage, Usage]:
    """Return the usage of a folder and that of its subfolder ``part``, from one walk.

    Links in it are not followed. Files that vanish during the walk or can't be read are not counted.
    """
    size = files = part_size = part_files = 0
    inner = os.fspath(part)
    pending = [(os.fspath(folder), False)]
    while pending:
        path, in_part = pending.pop()
        try:
            entries = os.scandir(path)
        except OSError:
            continue
        with entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((entry.path, in_part or entry.path == inner))
                        continue
                    if not entry.is_file(follow_symlinks=False):
                        continue
                    length = entry.stat(follow_symlinks=False).st_size
                except OSError:
                    continue
                size, files = size + length, files + 1
                if in_part:
                    part_size, part_files = part_size + length, part_files + 1
    return Usage(size, files), Usage(part_size, part_files)


class DiskSampler:
    """Sample a record's ``outputs``, the cache folder in it, and the working folders of the run, if it has any."""

    def __init__(self, record: Path, outputs: Path | None = None) -> None:
        """Take the record, and its output folder where that is the user's own."""
        self._record = record
        self._outputs = outputs
        self._before: dict[str, tuple[Usage, int]] = {}

    def sample(self, *, last: bool) -> list[Mapping[str, Any]]:
        """Return a line for each folder that changed or has no line in the past second; with ``last``, for all folders."""
        whole = cache = Usage()
        if self._outputs is not None:
            whole, cache = usage(self._outputs, self._outputs / PurePath(CACHE).name)
        elif _is_own(self._record, OUTPUTS):
            whole, cache = usage(self._record / OUTPUTS, self._record / CACHE)
        seen_at = [(OUTPUTS, whole), (CACHE, cache)]
        places = [self._record / ELSEWHERE / name for name in WORKING if _is_own(self._record, f"{ELSEWHERE}/{name}")]
        if places:
            parts = [usage(place, place)[0] for place in places]
            seen_at.append((ELSEWHERE, Usage(sum(p.size for p in parts), sum(p.files for p in parts))))
        try:
            free = shutil.disk_usage(self._record).free
        except OSError:
            free = -1
        now = time.monotonic_ns()
        lines: list[Mapping[str, Any]] = []
        for folder, seen in seen_at:
            before, when = self._before.get(folder, (None, 0))
            if last or seen != before or now - when >= REPEAT_SECONDS * 1e9:
                self._before[folder] = (seen, now)
                lines.append({"t": now, "folder": folder, "size": seen.size, "files": seen.files, "free": free})
        return lines


def _is_own(record: Path, name: str) -> bool:
    """Return whether a folder of a record is there, and no link: a target could let the whole disk be counted."""
    try:
        with safe.opened(record, name):
            return True
    except OSError:
        return False
