"""Compare the files in a run's input folder with what they were before the run.

A run of the harness hashes its copies of the frames before the start and after the end. All of them are hashed: a target can set
back the times of a file. This costs as much as the hashing of the frames when they were copied.

In a user's own run the probe notes size and times of each file when the mosaic begins, because hashing would delay the run.
There a file counts as changed when its size or the time of its last write differ. Where only the time of the last change of its
metadata differs, the file may have been written and its time set back: that is not known.

ZeMosaic writes the solution into the header of a frame without a celestial WCS. So the data of such frames are hashed too: a
changed header is allowed there, changed data are not.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.probe.frames import data_digest
from harness.record import safe
from harness.record.extent import walk
from harness.record.inputs import InputFile
from harness.record.seal import WORK

ELSEWHERE = ("outputs", *(f"{WORK}/{name}" for name in ("tmp", "home", "cwd")))
"""The folders of a record in which a file that the input folder lacks is looked for."""


@dataclass(frozen=True, slots=True)
class Given:
    """A file that the target gets: SHA-256, size in bytes, and whether it has a celestial WCS (``None``: it is no frame).

    ``data`` is the SHA-256 of a frame without its header; ``None`` where the header must not change either.
    """

    sha256: str
    size: int
    solved: bool | None = None
    data: str | None = None


@dataclass(frozen=True, slots=True)
class Noted:
    """What the probe noted of a user's file before the run: path below the input folder, size, times (ns), WCS, data."""

    path: str
    size: int
    written: int
    changed: int
    solved: bool | None = None
    data: str | None = None


def compared(record: Path, given: Mapping[str, Given]) -> tuple[InputFile, ...]:
    """Return what became of the files in ``work/input`` of a record, in order of path."""
    place = f"{WORK}/input"
    # A file system may return a name with its accents written in another way.
    names = {unicodedata.normalize("NFC", name): name for name in given}
    there = {}
    for name, about in safe.walk(record, place):
        there[names.get(unicodedata.normalize("NFC", name), name)] = f"{place}/{name}", about
    extra = {name: _digest(record, *entry) for name, entry in there.items() if name not in given}
    found = []
    for name, file in given.items():
        if name not in there:
            to = next((other for other, digest in extra.items() if digest == file.sha256), None)
            to = to if to is None else f"{place}/{to}"
            to = to or _moved(record, file)
            # It was found by its content.
            kept = file.data if to else None
            found.append(
                InputFile(name, "moved" if to else "gone", file.sha256, None, to, file.solved, None, file.data, kept)
            )
            continue
        path, about = there[name]
        digest = _digest(record, path, about)
        state = "same" if digest == file.sha256 else "changed"
        link = _leads_to(record / path) if safe.is_link(about) else None
        data = None if file.data is None or digest is None else data_digest(str(record / path))
        found.append(InputFile(name, state, file.sha256, digest, None, file.solved, link, file.data, data))
    taken = {file.to for file in found}
    found += [
        InputFile(name, "added", None, digest) for name, digest in extra.items() if f"{place}/{name}" not in taken
    ]
    return tuple(sorted(found, key=lambda file: file.path))


def observed(folder: Path, output: Path, before: Sequence[Noted]) -> tuple[InputFile, ...]:
    """Return what became of the files in a user's input folder; the output folder may be below it and is left out."""
    there = {path.relative_to(folder).as_posix(): path for path in _files(folder, output)}
    known = {file.path for file in before}
    found = []
    for file in before:
        path = folder / file.path
        link = _behind(path)
        try:
            about = path.stat()
        except OSError:
            name = path.name
            to = next((other for other in there if other not in known and Path(other).name == name), None)
            if to is None and output != folder:
                to = next((str(other) for other in _files(output) if other.name == name), None)
            state = "moved" if to else "gone"
            data = None if file.data is None or to is None else data_digest(str(folder / to))
            found.append(
                InputFile(
                    file.path, state, to=to, solved=file.solved, link=link, data_before=file.data, data_after=data
                )
            )
            continue
        written = (about.st_size, about.st_mtime_ns) != (file.size, file.written)
        # On Windows this is the time at which the file was made.
        touched = os.name != "nt" and about.st_ctime_ns != file.changed
        state = "changed" if written else "touched" if touched else "same"
        data = None if file.data is None else data_digest(str(path))
        found.append(InputFile(file.path, state, solved=file.solved, link=link, data_before=file.data, data_after=data))
    taken = {file.to for file in found}
    found += [InputFile(name, "added") for name in there if name not in known | taken]
    return tuple(sorted(found, key=lambda file: file.path))


def noted(lines: Any) -> tuple[Noted, ...] | None:
    """Return what the probe noted before a user's run; ``None`` if it noted nothing."""
    if not isinstance(lines, list):
        return None
    return tuple(Noted(*line) for line in lines)


def _files(folder: Path, without: Path | None = None) -> Iterator[Path]:
    """Yield the files below a folder, and links to anything; links are not followed."""
    for parent, folders, names in walk(folder):
        folders[:] = [name for name in folders if without is None or Path(parent, name) != without]
        yield from (Path(parent, name) for name in names)
        yield from (path for name in folders if (path := Path(parent, name)).is_symlink())


def _moved(record: Path, file: Given) -> str | None:
    """Return where in the record a file with this content is."""
    for place in ELSEWHERE:
        for name, about in safe.walk(record, place):
            path = f"{place}/{name}"
            if about.st_size == file.size and _digest(record, path, about) == file.sha256:
                return path
    return None


def _digest(record: Path, path: str, about: os.stat_result) -> str | None:
    """Return the SHA-256 of a file; ``None`` for a link, a folder, a pipe, and a file that can't be read."""
    try:
        return safe.sha256(record, path) if safe.is_file(about) else None
    except OSError:
        return None


def _leads_to(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except OSError:
        return None


def _behind(path: Path) -> str | None:
    try:
        return str(path.resolve()) if path.is_symlink() else None
    except OSError:
        return None
