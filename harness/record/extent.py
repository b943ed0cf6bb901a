"""Look at how many files and folders a target left, and how deep, before anything walks through all of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.language.message import say
from harness.record import limits
from harness.record.values import BeyondError, size_of

BATCH = 10_000
"""Entries of one folder that `walk` keeps at once."""


def walk(folder: Path, most: int | None = None) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk through a folder as ``os.walk`` does, without links, to twice the limit of depth.

    Python's own walk calls itself for each level, and fails at a thousand. What is deeper is beyond the limits in any case. It
    also loads whole folders: here a folder is yielded several times, with at most ``BATCH`` of its entries each.

    Raises
    ------
    BeyondError
        When there are more than ``most`` files and folders. By default there is no such limit.

    """
    seen = 0
    pending = [(os.fspath(folder), 0)]
    while pending:
        parent, level = pending.pop()
        inner: list[str] = []
        for folders, files in _batches(parent):
            seen += len(folders) + len(files)
            if most is not None and seen > most:
                raise too_many(folder, most)
            names = [name for name, _ in folders] if level < 2 * limits.DEPTH else []
            linked = {name for name, link in folders if link}
            yield parent, names, files
            inner += [name for name in names if name not in linked]  # a caller may take names out of the list
        pending += [(f"{parent}{os.sep}{name}", level + 1) for name in reversed(inner)]


def files_below(folder: Path) -> Iterator[Path]:
    """Yield each file, and each link that leads to no folder, below a folder, in the order of `walk`.

    ``Path.rglob`` calls itself for each level before Python 3.13, and fails at a thousand.
    """
    for parent, _, names in walk(folder):
        yield from (Path(parent, name) for name in names)


def _batches(folder: str) -> Iterator[tuple[list[tuple[str, bool]], list[str]]]:
    """Yield the folders below a folder, with whether each is a link, and its files, in batches; at least one."""
    folders: list[tuple[str, bool]] = []
    files: list[str] = []
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for entry in found:
            if len(folders) + len(files) >= BATCH:
                yield folders, files
                folders, files = [], []
            if _is_folder(entry):
                junction = getattr(entry, "is_junction", bool)
                folders.append((entry.name, entry.is_symlink() or junction()))
            else:
                files.append(entry.name)
    yield folders, files


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def too_many(folder: Path, most: int) -> BeyondError:
    """Return the error for a folder with too many files and folders below it."""
    return BeyondError(
        say(
            "expected at most {most} files and folders below {folder}, found more: it is beyond the limits of the harness "
            "(docs/protocol.md); name a smaller folder",
            most=f"{most:,}",
            folder=str(folder),
        )
    )


class Allowance:
    """What may still be hashed of the files of a record: bytes in all, and bytes of files of holes.

    A file of holes costs a target nothing, and the harness the time to read it. No frame or product is one.
    """

    def __init__(self, most: int | None = None) -> None:
        """Allow ``most`` bytes, by default those of a whole record (``limits.RECORD_BYTES``)."""
        self._left = limits.RECORD_BYTES if most is None else most
        self._holes = limits.SPARSE_BYTES

    def refusal(self, about: os.stat_result) -> str:
        """Return why a file is not hashed; empty if it is, and its bytes are counted."""
        size = about.st_size
        most = min(limits.HASHED_BYTES, self._left)
        holes = size if getattr(about, "st_blocks", size) * 512 < size // 100 else 0
        if holes > self._holes:
            return f"has {size_of(size)}, of which less than 1 % is written"
        if size > most:
            return f"has {size_of(size)} of {size_of(most)} allowed"
        self._holes -= holes
        self._left -= size
        return ""


def extent_beyond(
    places: Iterable[Path], most: int | None = None, depth: int = limits.DEPTH, *, before: int = 0
) -> str:
    """Return a sentence if folders hold more entries in all, or are deeper, than the limits; else the empty string.

    The walk ends at the limit, ``limits.ENTRIES`` by default. ``before`` entries were counted elsewhere. Links are not followed.
    """
    most = limits.ENTRIES if most is None else most
    entries = before
    for place in places:
        pending = [(os.fspath(place), 1)]
        while pending:
            folder, level = pending.pop()
            if level > depth:
                return f"{place.name}/ has folders more than {depth} deep, the limit of the harness"
            try:
                found = os.scandir(folder)
            except OSError:
                continue
            with found:
                for entry in found:
                    entries += 1
                    if entries > most:
                        return f"{place.name}/ has more than {most:,} files and folders, the limit of the harness"
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((entry.path, level + 1))
    return ""


def record_beyond(record: Path) -> str:
    """Return a sentence if a record holds more entries in all, or is deeper, than the limits; else the empty string."""
    folders: list[Path] = []
    entries = 0
    with contextlib.suppress(OSError), os.scandir(record) as found:
        for entry in found:
            entries += 1
            if entries > limits.ENTRIES:
                return f"the record has more than {limits.ENTRIES:,} files and folders, the limit of the harness"
            if entry.is_dir(follow_symlinks=False):
                folders.append(record / entry.name)
    return extent_beyond(sorted(folders), before=entries)
