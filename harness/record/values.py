"""Read JSON values and lines from the untrusted files of a record.

Every reader of a record uses these functions. Unreadable content becomes a `RecordError` or is named as a torn line.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields
from functools import cache
from io import BufferedReader
from operator import attrgetter
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, TypeGuard, TypeVar

from harness.language.message import Message, SaidError, say
from harness.record import limits

T = TypeVar("T")
NOTHING: Mapping[str, Any] = MappingProxyType({})
_AT_ONCE = 1 << 20
MOST_TORN = 100
"""How many unreadable lines are named."""
# What malformed data may raise: text that is not JSON, endless nesting, numbers too large, parts missing or of another type.
UNREADABLE = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError)


def is_finite(value: object) -> TypeGuard[float]:
    """Return whether a value of JSON is a finite number. An integer of 400 digits is not: no float holds it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


class RecordError(SaidError):
    """Raised when a record, or one of its files, can't be read."""


class BeyondError(RecordError):
    """Raised when a file, or a part of it, is beyond a limit of ``harness/record/limits.py``."""


def open_regular(path: Path, most: int, *, links: bool = False) -> BufferedReader:
    """Open a regular file of at most ``most`` bytes for reading, without waiting. Every reader of untrusted files uses this.

    A pipe, a device or a socket would block a reader or never end. ``links`` allows a link to a regular file, for files that the
    user named.

    Raises
    ------
    RecordError
        When it is something else than a regular file.
    BeyondError
        When it has more bytes.
    OSError
        When there is no such file, or it can't be opened.

    """
    # Looked at before the opening, because opening a device may act on it; and after it, because the file may have been replaced.
    _require_regular(path, path.stat() if links else path.lstat(), most)
    flags = os.O_RDONLY
    for name in ("O_BINARY", "O_NONBLOCK", "O_CLOEXEC", *(() if links else ("O_NOFOLLOW",))):
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags)
    try:
        _require_regular(path, os.fstat(descriptor), most)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: Path, most: int = limits.TEXT_BYTES, *, links: bool = False) -> bytes:
    """Read a whole file. Errors are those of `open_regular`."""
    with open_regular(path, most, links=links) as stream:
        data = stream.read(most + 1)
    if len(data) > most:  # it grew
        raise too_large(path, len(data), most)
    return data


def read_text(path: Path, most: int = limits.TEXT_BYTES, *, links: bool = False, encoding: str = "utf-8") -> str:
    """Read a whole text file. Errors are those of `open_regular`, and ``ValueError`` for another encoding."""
    return read_bytes(path, most, links=links).decode(encoding)


def require_memory(data: bytes, most: int = limits.JSON_MEMORY, what: str = "a JSON file") -> bytes:
    """Return JSON text if the objects that it holds take at most ``most`` bytes of memory. Raises ``BeyondError`` otherwise."""
    if memory_of(data) > most:
        raise BeyondError(
            say(
                "expected {what} that takes at most {most} MB of memory, found one that takes more: make it again",
                what=what,
                most=round(most / 2**20),
            )
        )
    return data


@contextmanager
def budget(most: int) -> Iterator[None]:
    """Limit the memory of everything that is read in the block to ``most`` bytes in all. Beyond it ``BeyondError`` is raised."""
    token = _LEFT.set([most, most])
    try:
        yield
    finally:
        _LEFT.reset(token)


def spend(size: int, what: str) -> None:
    """Count the estimated memory of what is read. Raises ``BeyondError`` beyond the budget, if there is one."""
    left = _LEFT.get()
    if left is None:
        return
    left[0] -= size
    if left[0] < 0:
        left[0] += size  # it is not kept
        raise BeyondError(memory_beyond(f"{what} (+ …)", left[1]))


_LEFT: ContextVar[list[int] | None] = ContextVar("_LEFT", default=None)


def memory_of(data: bytes) -> int:
    """Estimate from above, without parsing it, the bytes of memory that JSON text takes as Python objects."""
    width = 1 if data.isascii() and b"\\u" not in data else 4
    return width * len(data) + 256 * data.count(b"{") + 96 * data.count(b"[") + 112 * data.count(b",") + 256


def too_large(path: Path, found: int, most: int) -> BeyondError:
    """Return the error for a file with too many bytes."""
    return BeyondError(
        say(
            "expected at most {most} in {path}, found {found}: the file is beyond the limits of the harness "
            "(docs/protocol.md); make it again, or leave it out",
            most=size_of(most),
            path=str(path),
            found=size_of(found),
        )
    )


def size_of(size: int) -> str:
    """Return a number of bytes as people read it, such as ``16.4 MB``."""
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    return f"{size} B"


_KINDS = (
    (stat.S_ISLNK, say("expected a regular file at {path}, found a link: remove it, and make the file again")),
    (stat.S_ISFIFO, say("expected a regular file at {path}, found a pipe: remove it, and make the file again")),
    (stat.S_ISSOCK, say("expected a regular file at {path}, found a socket: remove it, and make the file again")),
    (stat.S_ISCHR, say("expected a regular file at {path}, found a device: remove it, and make the file again")),
    (stat.S_ISBLK, say("expected a regular file at {path}, found a device: remove it, and make the file again")),
)
_OTHER = say("expected a regular file at {path}, found something else: remove it, and make the file again")


def _require_regular(path: Path, found: os.stat_result, most: int) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(21, "Is a directory", str(path))
    if not stat.S_ISREG(found.st_mode):
        problem = next((words for test, words in _KINDS if test(found.st_mode)), _OTHER)
        raise RecordError(Message(problem.text, {"path": str(path)}))
    if found.st_size > most:
        raise too_large(path, found.st_size, most)


def sha256_of(path: Path, most: int = limits.HASHED_BYTES, *, links: bool = False) -> str:
    """Return the SHA-256 of a file, in hexadecimal. Errors are those of `open_regular`, and of one that grows."""
    digest = hashlib.sha256()
    with open_regular(path, most, links=links) as stream:
        # A file of the system states no size, and may have no end.
        size = left = os.fstat(stream.fileno()).st_size
        while data := stream.read(_AT_ONCE):
            left -= len(data)
            if left < 0:
                raise too_large(path, size - left, size)
            digest.update(data)
    return digest.hexdigest()


def inside(folder: Path, name: str) -> Path:
    """Return ``folder / name``. Raises ``RecordError`` for a name that points outside the folder, or is not the shortest one."""
    pure = PurePosixPath(name)
    plain = str(pure) == name != "."  # one file may have any number of other names: a, ./a, ././a
    if not plain or pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name.partition("/")[0]:
        raise RecordError(
            say(
                "expected a path inside the record, found {name}: the record was changed, record the run again",
                name=repr(name),
            )
        )
    return folder / pure


def read_json(path: Path) -> Mapping[str, Any]:
    """Read a file that holds one JSON object. Raises `UNREADABLE` when it does not."""
    data = read_any_json(path)
    if not isinstance(data, dict):
        raise TypeError(f"expected a JSON object in {path.name}, found {type(data).__name__}")
    return data


def read_any_json(path: Path, most: int = limits.JSON_BYTES, *, links: bool = False, encoding: str = "utf-8") -> Any:
    """Read a file that holds JSON. Errors are those of `open_regular`, and those in `UNREADABLE` for other content."""
    data = require_memory(read_bytes(path, most, links=links), what=path.name)
    spend(memory_of(data), path.name)
    return json.loads(data.decode(encoding))


def check_format(path: Path, data: Mapping[str, Any], expected: str) -> None:
    """Raise ``RecordError`` unless the file states the expected format."""
    found = data.get("format")
    if found != expected:
        raise RecordError(
            say(
                "expected format {expected} in {path}, found {found}: read it with the harness that wrote it",
                expected=repr(expected),
                path=str(path),
                found=repr(found),
            )
        )


def lines_of(path: Path, most: int = limits.LINES_BYTES) -> Iterator[bytes]:
    """Yield the lines of a file, each of which is read by itself.

    Raises ``BeyondError`` for a line or a file beyond the limits, and the errors of `open_regular`.
    """
    with open_regular(path, most) as stream:
        while line := stream.readline(limits.LINE_BYTES + 1):
            if len(line) > limits.LINE_BYTES:
                raise BeyondError(
                    say(
                        "{name} has a line of more than {most}, the limit of the harness (docs/protocol.md)",
                        name=path.name,
                        most=size_of(limits.LINE_BYTES),
                    )
                )
            yield line


def count_lines(paths: Iterable[Path]) -> None:
    """Raise ``BeyondError`` if files of lines have more bytes or lines in all than the limits, and the errors of `open_regular`.

    This takes far less time than to read them: 1 s for 1 GB.
    """
    size = lines = 0
    for path in paths:
        with open_regular(path, limits.LINES_BYTES) as stream:
            size += os.fstat(stream.fileno()).st_size
            if size > limits.LINES_BYTES:
                raise BeyondError(
                    say(
                        "the record has more than {most} of events and traces, the limit of the harness (docs/protocol.md)",
                        most=size_of(limits.LINES_BYTES),
                    )
                )
            while data := stream.read(1 << 20):
                lines += data.count(b"\n")
                if lines > limits.LINES:
                    raise BeyondError(
                        say(
                            "the record has more than {most} lines of events and traces, the limit of the harness "
                            "(docs/protocol.md)",
                            most=f"{limits.LINES:,}",
                        )
                    )


def read_lines(path: Path, torn: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the JSON objects of a file with their line numbers. Lines that can't be read are named in ``torn``.

    Raises the errors of `lines_of`.
    """
    for number, line in enumerate(lines_of(path), 1):
        try:
            data = json.loads(line.decode("utf-8", "replace"))
        except (ValueError, RecursionError):  # not JSON, a number of thousands of digits, or endless nesting
            _name_torn(torn, path, number)
            continue
        if isinstance(data, dict):
            yield number, data
        else:
            _name_torn(torn, path, number)


def _name_torn(torn: list[str], path: Path, number: int) -> None:
    if len(torn) < MOST_TORN:  # one is enough for a verdict, and a file may have a million
        torn.append(f"{path.name}, line {number}")


def read_samples(path: Path, torn: list[str], kind: type[T]) -> tuple[T, ...]:
    """Build an object of a class from every line of a file. Lines that can't be read are named in ``torn``.

    Of a file beyond the limits nothing is kept, and the reason is in ``torn``.
    """
    if not os.path.lexists(path):
        return ()
    found: list[T] = []
    memory = 0
    try:
        count_lines([path])
        for number, data in read_lines(path, torn):
            try:
                found.append(built(kind, data))
            except UNREADABLE:
                _name_torn(torn, path, number)
                continue
            memory += held_by(found[-1])
            if memory > limits.SAMPLES_MEMORY:
                raise BeyondError(memory_beyond(path.name, limits.SAMPLES_MEMORY))
        spend(memory, path.name)
    except RecordError as error:
        torn.append(f"{path.name}: {error}")
        return ()
    return tuple(found)


def memory_beyond(name: str, most: int) -> Message:
    """Return the sentence for files that take too much memory, by their names."""
    return say(
        "{name} takes more than {most} MB of memory, the limit of the harness (docs/protocol.md)",
        name=name,
        most=round(most / 2**20),
    )


def held_by(entry: Any, without: tuple[str, ...] = ()) -> int:
    """Estimate the bytes of memory that an object of a frozen class takes with what it holds, without that of some fields."""
    kind: Any = type(entry)
    names = _names(kind, without)
    return 56 + 8 * len(names) + sum(map(_held, names.of(entry)))


class _Names:
    """The names of some fields of a class."""

    def __init__(self, names: Sequence[str]) -> None:
        self._size = len(names)
        self.of: Callable[[Any], tuple[Any, ...]] = attrgetter(*names) if len(names) > 1 else lambda _: ()

    def __len__(self) -> int:
        return self._size


@cache
def _names(kind: Any, without: tuple[str, ...]) -> _Names:
    return _Names([part.name for part in fields(kind) if part.name not in without])


def _held(value: Any) -> int:
    if value is None or value is True or value is False or (not isinstance(value, str | float) and not value):
        return 0
    if isinstance(value, tuple | list):
        return sys.getsizeof(value) + _held_in(value)
    if isinstance(value, Mapping):
        return sys.getsizeof(value) + 232 + 64 * len(value) + _held_in(value.values())
    return sys.getsizeof(value)


def _held_in(parts: Collection[Any]) -> int:
    inner = sum(_held(part) for part in parts if part.__class__ in _CONTAINERS and part)
    return inner + sum(map(sys.getsizeof, parts))


_CONTAINERS = frozenset({tuple, list, dict, MappingProxyType})


def built(kind: Callable[..., T], data: Mapping[str, Any], **given: Any) -> T:
    """Build an object of a frozen class from a line, with each value converted to the type of its field.

    Raises one of `UNREADABLE` if a value can't be converted, or a field without a default is missing.
    """
    for name, convert in _converters(kind):
        if name in data and name not in given:
            given[name] = convert(data[name])
    return kind(**given)


@cache
def _converters(kind: Any) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """Return each field of a class that a line can hold, with its converter."""
    return tuple((part.name, _CONVERTERS[part.type]) for part in fields(kind) if part.type in _CONVERTERS)


def int_or_none(value: Any) -> int | None:
    """Convert to an integer, keeping ``None``."""
    return None if value is None else int(value)


def text_or_none(value: Any) -> str | None:
    """Convert to text, keeping ``None``."""
    return None if value is None else str(value)


def one_of(value: Any, known: tuple[T, ...]) -> T:
    """Return the value if it is one of ``known``. Raises ``ValueError`` otherwise."""
    if value not in known:
        raise ValueError(f"expected one of {known}, found {value!r}")
    return known[known.index(value)]


# By the types as the classes write them.
_CONVERTERS: Mapping[Any, Callable[[Any], Any]] = {
    "int": int,
    "float": float,
    "str": str,
    "int | None": int_or_none,
    "str | None": text_or_none,
    "bool | None": lambda value: None if value is None else bool(value),
    "tuple[str, ...]": lambda names: tuple(map(str, names)),
    "tuple[int, ...]": lambda numbers: tuple(map(int, numbers)),
    "Mapping[str, Any]": lambda entries: MappingProxyType(dict(entries)) if entries else NOTHING,
}
