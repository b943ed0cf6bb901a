"""Read JSON values and lines from the untrusted files of a record.

Every reader of a record uses these functions. Unreadable content becomes a `RecordError` or is named as a torn line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, TypeVar

from harness.language.message import SaidError, say

T = TypeVar("T")
# What malformed data may raise: text that is not JSON, endless nesting, numbers too large, parts missing or of another type.
UNREADABLE = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError)


class RecordError(SaidError):
    """Raised when a record, or one of its files, can't be read."""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def inside(folder: Path, name: str) -> Path:
    """Return ``folder / name``. Raises ``RecordError`` for a name that points outside the folder."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name.partition("/")[0]:
        raise RecordError(
            say(
                "expected a path inside the record, found {name}: the record was changed, record the run again",
                name=repr(name),
            )
        )
    return folder / pure


def read_json(path: Path) -> Mapping[str, Any]:
    """Read a file that holds one JSON object. Raises ``ValueError`` or ``TypeError`` when it does not."""
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise TypeError(f"expected a JSON object in {path.name}, found {type(data).__name__}")
    return data


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


def read_lines(path: Path, torn: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the JSON objects of a file with their line numbers. Lines that can't be read are named in ``torn``."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            try:
                data = json.loads(line)
            except (ValueError, RecursionError):  # not JSON, a number of thousands of digits, or endless nesting
                torn.append(f"{path.name}, line {number}")
                continue
            if isinstance(data, dict):
                yield number, data
            else:
                torn.append(f"{path.name}, line {number}")


def read_samples(path: Path, torn: list[str], kind: type[T]) -> tuple[T, ...]:
    """Build an object of a class from every line of a file. Lines that can't be read are named in ``torn``."""
    if not path.exists():
        return ()
    found: list[T] = []
    for number, data in read_lines(path, torn):
        try:
            found.append(built(kind, data))
        except UNREADABLE:
            torn.append(f"{path.name}, line {number}")
    return tuple(found)


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
    "Mapping[str, Any]": lambda entries: MappingProxyType(dict(entries or {})),
}
