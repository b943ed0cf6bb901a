"""Count the files that a target left in a record's ``outputs``, then remove its caches and masks."""

from __future__ import annotations

import json
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path, PurePosixPath

from harness.record import limits
from harness.record.extent import walk
from harness.record.values import read_samples

PASSING = ("cache", "mask", "probe")
"""The kinds that are removed after they were counted: they are large and not a product."""

# The names that ZeMosaic and the reference give. The first match decides.
_KINDS = (
    ("cache", "preprocessed_*.npy"),
    ("mask", "hp_mask_*.npy"),
    ("probe", "_zemosaic_io_probe_*"),
    ("tile", "master_tile_*.fits"),
)
_PLACES = ("outputs", *(f"work/{name}" for name in ("tmp", "home", "cwd")))
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


def count_left(record: Path) -> tuple[LeftFile, ...]:
    """Return every file below ``outputs`` and in the run's working folders, in order of path.

    At most ``limits.ENTRIES`` are counted: a record with more is beyond the limits, as its seal says. A link is counted as a file
    and not followed. A cache folder that is left without any file is an entry of kind ``folder``.
    """
    found = list(islice((file for place in _PLACES for file in _count(record, place)), limits.ENTRIES))
    if (record / _CACHE).is_dir() and not any(file.path.startswith(f"{_CACHE}/") for file in found):
        found.append(LeftFile(_CACHE, 0, "folder"))
    return tuple(sorted(found, key=lambda file: file.path))


def _count(record: Path, place: str) -> Iterator[LeftFile]:
    for path in _files(record / place):
        try:
            size = path.lstat().st_size
        except OSError:
            continue
        name = path.relative_to(record / place).as_posix()
        yield LeftFile(f"{place}/{name}", size, kind_of(name))


def write_left(record: Path, left: Iterable[LeftFile]) -> None:
    """Write ``left.jsonl``."""
    lines = (json.dumps(asdict(file)) for file in left)
    (record / "left.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def clear(record: Path, left: Iterable[LeftFile]) -> tuple[str, ...]:
    """Remove the caches, masks and I/O probes that were counted; return those that could not be removed, with the reason."""
    problems = []
    for file in left:
        if file.kind not in PASSING:
            continue
        try:
            _remove(record / file.path)
        except OSError as error:
            problems.append(f"{file.path}: {error.strerror or error}")
    return tuple(problems)


def remove_tree(folder: Path) -> None:
    """Remove a folder that the harness made, including read-only parts. Links in it are removed, not followed.

    Raises ``OSError`` when the second attempt fails too. The first may fail because a system still holds a closed file.
    """
    if not folder.exists():
        return
    try:
        shutil.rmtree(folder)
    except OSError:
        _unlock(folder)
        time.sleep(0.2)
        shutil.rmtree(folder)


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, files in walk(folder):
        yield from (Path(parent, name) for name in files)
        yield from (path for name in folders if (path := Path(parent, name)).is_symlink())


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        path.parent.chmod(stat.S_IRWXU)
        if not path.is_symlink():
            path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        path.unlink(missing_ok=True)


def _unlock(folder: Path) -> None:
    """Give the owner all rights on every part of a folder: a target may have made parts read-only."""
    folder.chmod(stat.S_IRWXU)
    for parent, folders, files in walk(folder):
        for name in folders + files:
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(stat.S_IRWXU)


def read_left(folder: Path, torn: list[str]) -> tuple[LeftFile, ...] | None:
    """Read ``left.jsonl``; return ``None`` if it is missing or has an unreadable line. These lines are added to ``torn``."""
    path = folder / "left.jsonl"
    if not path.exists():
        return None
    unread: list[str] = []
    found = read_samples(path, unread, LeftFile)
    torn += unread
    return None if unread else found
