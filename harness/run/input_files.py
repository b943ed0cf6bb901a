"""Compare the files in a run's input folder with what they were before the run.

A run of the harness hashes its copies of the frames before the start and after the end. All of them are hashed: a target can set
back the times of a file. This costs as much as the hashing of the frames when they were copied. Files that a target added are
hashed only if they may be frames that were moved, and everything within one budget of bytes and time.

In a user's own run the probe notes size and times of each file when the mosaic begins, because hashing would delay the run.
There a file counts as changed when its size or the time of its last write differ. Where only the time of the last change of its
metadata differs, the file may have been written and its time set back: that is not known.

ZeMosaic writes the solution into the header of a frame without a celestial WCS. So the data of such frames are hashed too: a
changed header is allowed there, changed data are not.
"""

from __future__ import annotations

import contextlib
import os
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

from harness.language.message import say
from harness.probe.frames import data_digest, opened
from harness.record import limits, safe
from harness.record.entries import entries
from harness.record.extent import Allowance, walk
from harness.record.inputs import InputFile
from harness.record.seal import WORK
from harness.record.values import BeyondError

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


class Hashing:
    """Hash files within one budget of bytes and time: after the end of a target, which may leave files of any size and number.

    ``beyond`` has a sentence for what was not hashed. Nothing that was compared counts then.
    """

    def __init__(self, sizes: Iterable[int], seconds: float | None = None) -> None:
        """Take the sizes of the files that are compared, and the seconds for all of them (``limits.SEARCH_SECONDS``)."""
        self.beyond: list[str] = []
        self._left = Allowance(limits.SEARCHED_TIMES * sum(sizes) + limits.SEARCHED_BYTES)
        self._until = time.monotonic() + (limits.SEARCH_SECONDS if seconds is None else seconds)

    def sha256(self, record: Path, path: str, about: os.stat_result) -> str | None:
        """Return the SHA-256 of a file of a record; ``None`` for anything else, and where it can't be read or is beyond."""
        if not safe.is_file(about) or not self.allows(path, about):
            return None
        try:
            return safe.sha256(record, path, about.st_size, self._until)
        except TimeoutError:
            self._late()
        except OSError:
            pass
        return None

    def data(self, path: str, opener: Callable[[str], AbstractContextManager[IO[bytes]]] = opened) -> str | None:
        """Return the SHA-256 of a frame without its header; ``None`` if it can't be read, or beyond the budget."""
        try:
            with opener(path) as stream:
                if not self.allows(path, os.fstat(stream.fileno())):
                    return None
                found = data_digest(path, lambda _: contextlib.nullcontext(_Timed(stream, self._until)))
        except OSError:
            return None
        if time.monotonic() > self._until:
            self._late()
            return None
        return found

    def allows(self, path: str, about: os.stat_result) -> bool:
        """Return whether a file may be hashed, and count its bytes; if not, note why."""
        if self.beyond:
            return False
        if why := self._left.refusal(about):
            self.beyond.append(f"{path} {why}: it was not hashed")
        return not self.beyond

    def _late(self) -> None:
        self.beyond.append("the time to compare the input files was over before they all were hashed")


class _Timed:
    """A stream that raises ``TimeoutError`` when it is read too late."""

    def __init__(self, stream: IO[bytes], until: float) -> None:
        self._stream, self._until = stream, until
        self.seek = stream.seek

    def read(self, size: int) -> bytes:
        if time.monotonic() > self._until:
            raise TimeoutError
        return self._stream.read(size)


def compared(record: Path, given: Mapping[str, Given], hashing: Hashing | None = None) -> tuple[InputFile, ...]:
    """Return what became of the files in ``work/input`` of a record, in order of path.

    Where ``hashing.beyond`` says afterwards that files were not hashed, the answer is incomplete and must not be used.
    """
    place = f"{WORK}/input"
    hashing = Hashing(file.size for file in given.values()) if hashing is None else hashing
    # A file system may return a name with its accents written in another way.
    names = {unicodedata.normalize("NFC", name): name for name in given}
    there: dict[str, tuple[str, os.stat_result]] = {}
    for name, about in entries(record, place):
        there[names.get(unicodedata.normalize("NFC", name), name)] = f"{place}/{name}", about
    if len(there) > limits.ENTRIES:
        hashing.beyond.append(f"{place}/ has more than {limits.ENTRIES:,} files, the limit of the harness")
        return ()
    extra = {name: entry for name, entry in there.items() if name not in given}
    copies = _by_content(record, extra.values(), [file for name, file in given.items() if name not in there], hashing)
    found = []
    for name, file in given.items():
        if name not in there:
            to = copies.get(file.sha256)
            # It was found by its content.
            kept = file.data if to else None
            found.append(
                InputFile(name, "moved" if to else "gone", file.sha256, None, to, file.solved, None, file.data, kept)
            )
            continue
        path, about = there[name]
        digest = hashing.sha256(record, path, about)
        state = "same" if digest == file.sha256 else "changed"
        link = _leads_to(record / path) if safe.is_link(about) else None
        data = None if file.data is None or digest is None else hashing.data(path, _in(record))
        found.append(InputFile(name, state, file.sha256, digest, None, file.solved, link, file.data, data))
    taken, added = {file.to for file in found}, Allowance()
    for name, (path, about) in extra.items():
        if safe.is_file(about) and (why := added.refusal(about)):
            hashing.beyond.append(f"{path} {why}: it was not hashed")
            break
        found += [InputFile(name, "added")] if path not in taken else []
    return tuple(sorted(found, key=lambda file: file.path))


def _in(record: Path) -> Callable[[str], AbstractContextManager[IO[bytes]]]:
    return lambda path: safe.reading(record, path)


def _by_content(
    record: Path, extra: Iterable[tuple[str, os.stat_result]], lost: Sequence[Given], hashing: Hashing
) -> Mapping[str, str]:
    """Return the paths of files that may be lost frames, by SHA-256: those of equal size, each of which is hashed once."""
    sizes = {file.size for file in lost}
    found: dict[str, str] = {}
    if not sizes:
        return found
    elsewhere = ((f"{place}/{name}", about) for place in ELSEWHERE for name, about in entries(record, place))
    for path, about in chain(extra, elsewhere):
        if about.st_size in sizes and (digest := hashing.sha256(record, path, about)) is not None:
            found.setdefault(digest, path)
    return found


def observed(
    folder: Path, output: Path, before: Sequence[Noted], hashing: Hashing | None = None
) -> tuple[InputFile, ...]:
    """Return what became of the files in a user's input folder; the output folder may be below it and is left out.

    Raises
    ------
    BeyondError
        When a folder has too many files, or the data of the frames too many bytes: what became of them is not known.

    """
    if hashing is None:
        hashing = Hashing(file.size for file in before if file.data is not None)
    known = {file.path for file in before}
    there = {path.relative_to(folder).as_posix() for path in _files(folder, output)}
    lost = {Path(name).name for name in known - there}
    places: dict[str, str] = {}
    for name in sorted(there - known):
        if Path(name).name in lost:
            places.setdefault(Path(name).name, name)
    if lost and output != folder:
        for path in _files(output):
            if path.name in lost:
                places.setdefault(path.name, str(path))
    found = []
    for file in before:
        path = folder / file.path
        link = _behind(path)
        try:
            about = path.stat()
        except OSError:
            to = places.get(path.name)
            state = "moved" if to else "gone"
            data = None if file.data is None or to is None else hashing.data(str(folder / to))
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
        data = None if file.data is None else hashing.data(str(path))
        found.append(InputFile(file.path, state, solved=file.solved, link=link, data_before=file.data, data_after=data))
    if hashing.beyond:
        raise BeyondError(
            say(
                "expected input files within the limits of the harness (docs/protocol.md), found: {what}",
                what="; ".join(hashing.beyond),
            )
        )
    taken = {file.to for file in found}
    found += [InputFile(name, "added") for name in there if name not in known | taken]
    return tuple(sorted(found, key=lambda file: file.path))


def noted(lines: Any) -> tuple[Noted, ...] | None:
    """Return what the probe noted before a user's run; ``None`` if it noted nothing."""
    if not isinstance(lines, list):
        return None
    return tuple(Noted(*line) for line in lines)


def _files(folder: Path, without: Path | None = None) -> Iterator[Path]:
    """Yield the files below a folder, and links to anything; links are not followed. Raises ``BeyondError`` for too many."""
    for parent, folders, names in walk(folder, limits.ENTRIES):
        folders[:] = [name for name in folders if without is None or Path(parent, name) != without]
        yield from (Path(parent, name) for name in names)
        yield from (path for name in folders if (path := Path(parent, name)).is_symlink())


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
