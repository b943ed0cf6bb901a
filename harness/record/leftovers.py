"""Count the files that a target left in a record's ``outputs``, then remove its caches and masks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path, PurePosixPath

from harness.record import limits, safe
from harness.record.entries import entries
from harness.record.values import read_samples
from harness.record.whole import write_whole

PASSING = ("cache", "mask", "probe")
"""The kinds that are removed after they were counted: they are large and not a product."""

# The names that ZeMosaic and the reference give. The first match decides.
_KINDS = (
    ("cache", "preprocessed_*.npy"),
    ("mask", "hp_mask_*.npy"),
    ("probe", "_zemosaic_io_probe_*"),
    ("tile", "master_tile_*.fits"),
)
_OUTPUTS = "outputs"
_PLACES = (_OUTPUTS, *(f"work/{name}" for name in ("tmp", "home", "cwd")))
_CACHE = "outputs/.zemosaic_img_cache"
_TILE_FOLDERS = ("tiles", "sds_tiles_*")
_MOSAICS = ("zemosaic_*.fits", "mosaic_*.fits", "global_mosaic*.fits")


@dataclass(frozen=True, slots=True)
class LeftFile:
    """A file that the target left behind: path relative to the record, size in bytes, kind (``cache``, ``tile``, ...)."""

    path: str
    size: int
    kind: str


def kind_of(path: str) -> str:
    """Return the kind of a file by its path below ``outputs``, as ``docs/protocol.md`` names the kinds."""
    pure = PurePosixPath(path)
    for kind, pattern in _KINDS:
        if fnmatchcase(pure.name, pattern):
            return kind
    if any(fnmatchcase(folder, pattern) for folder in pure.parts[:-1] for pattern in _TILE_FOLDERS):
        return "tile"
    if len(pure.parts) == 1 and any(fnmatchcase(pure.name, pattern) for pattern in _MOSAICS):
        return "mosaic"
    return "other"


def count_left(record: Path, outputs: Path | None = None) -> tuple[LeftFile, ...]:
    """Return every file below ``outputs`` and in the run's working folders, in order of path.

    At most ``limits.ENTRIES`` are counted: a record with more is beyond the limits, as its seal says. ``outputs`` is the output
    folder where it is the user's own, and ``RECORD/outputs`` a link to it. Other links are counted as files and not followed. A
    cache folder that is left without any file is an entry of kind ``folder``.
    """
    places = {place: (record, place) for place in _PLACES}
    cache = (record, _CACHE)
    if outputs is not None:
        places[_OUTPUTS] = (outputs.resolve(), "")
        cache = (outputs.resolve(), PurePosixPath(_CACHE).name)
    counted = (file for place, (folder, name) in places.items() for file in _count(place, folder, name))
    found = list(islice(counted, limits.ENTRIES))
    if _is_folder(*cache) and not any(file.path.startswith(f"{_CACHE}/") for file in found):
        found.append(LeftFile(_CACHE, 0, "folder"))
    return tuple(sorted(found, key=lambda file: file.path))


def _count(place: str, folder: Path, inner: str) -> Iterator[LeftFile]:
    for name, about in entries(folder, inner):
        yield LeftFile(f"{place}/{name}", about.st_size, kind_of(name))


def _is_folder(record: Path, name: str) -> bool:
    try:
        with safe.opened(record, name):
            return True
    except OSError:
        return False


def write_left(record: Path, left: Iterable[LeftFile]) -> None:
    """Write ``left.jsonl``."""
    lines = (json.dumps(asdict(file)) for file in left)
    write_whole(record / "left.jsonl", "".join(f"{line}\n" for line in lines))


def clear(record: Path, left: Iterable[LeftFile]) -> tuple[str, ...]:
    """Remove the caches, masks and I/O probes that were counted; return those that could not be removed, with the reason."""
    problems = []
    for file in left:
        if file.kind not in PASSING:
            continue
        try:
            safe.remove(record, file.path)
        except OSError as error:
            problems.append(f"{file.path}: {error.strerror or error}")
    return tuple(problems)


def remove_tree(folder: Path) -> None:
    """Remove a folder that the harness made, including read-only parts. Links in it, or in its place, are removed, not followed.

    Raises ``OSError`` when the second attempt fails too. The first may fail because a system still holds a closed file.
    """
    folder = folder.absolute()
    try:
        safe.remove(folder.parent, folder.name, follow=True)
    except OSError:
        time.sleep(0.2)
        safe.remove(folder.parent, folder.name, follow=True)


def read_left(folder: Path, torn: list[str]) -> tuple[LeftFile, ...] | None:
    """Read ``left.jsonl``; return ``None`` if it is missing or has an unreadable line. These lines are added to ``torn``."""
    path = folder / "left.jsonl"
    if not path.exists():
        return None
    unread: list[str] = []
    found = read_samples(path, unread, LeftFile)
    torn += unread
    return None if unread else found
