"""Look at how many files and folders a target left, and how deep, before anything walks through all of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.record import limits


def walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk through a folder as ``os.walk`` does, without links, to twice the limit of depth.

    Python's own walk calls itself for each level, and fails at a thousand. What is deeper is beyond the limits in any case.
    """
    base = len(folder.parts)
    for parent, folders, files in os.walk(folder, followlinks=False):
        if len(Path(parent).parts) - base >= 2 * limits.DEPTH:
            folders.clear()
        yield parent, folders, files


def files_below(folder: Path) -> Iterator[Path]:
    """Yield each file, and each link that leads to no folder, below a folder, in the order of `walk`.

    ``Path.rglob`` calls itself for each level before Python 3.13, and fails at a thousand.
    """
    for parent, _, names in walk(folder):
        yield from (Path(parent, name) for name in names)


def extent_beyond(places: Iterable[Path], most: int = limits.ENTRIES, depth: int = limits.DEPTH) -> str:
    """Return a sentence if folders hold more entries in all, or are deeper, than the limits; else the empty string.

    The walk ends at the limit. Links are not followed.
    """
    entries = 0
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
