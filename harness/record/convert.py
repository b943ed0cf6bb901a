"""Convert between the project's frozen classes and JSON. The types of a class say what a file may hold.

The reader is strict: a value of another type is refused with its place, never coerced.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from itertools import islice
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
LONGEST = 120
"""Characters of a wrong value that a message shows: a file can hold a value of any size."""

_STEP = re.compile(r"\.(\w+)|\[(?:(\d+)|\.\.\.)\]")
_WORDS = {
    "int": "an integer",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}


class ShapeError(ValueError):
    """A value that is not of the expected type: its JSON path, such as ``$.runs[0].workers``, and what was expected and found."""

    def __init__(self, place: str, problem: str) -> None:
        self.place = place
        self.problem = problem
        super().__init__(f"{place}: {problem}")


def to_json(value: Any) -> Any:
    """Return a value as built-in JSON types. A number that is not finite, which JSON does not have, becomes its name."""
    if is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(part) for part in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def from_json(data: Any, kind: type[T]) -> T:
    """Build an object from JSON data. Names that the class does not have are ignored.

    Raises ``ShapeError`` when a part is missing or of another type.
    """
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `")
        steps = [name or int(n) if name or n else ... for name, n in _STEP.findall(place)]
        if ... in steps:
            steps = _named(steps, str(error), data, kind)
        raise ShapeError(_path(steps), _problem(text, steps, data, kind)) from None


def other_names(value: Any, data: Any, optional: frozenset[str], place: str = "$") -> Iterator[ShapeError]:
    """Yield where the names in JSON data differ from the fields of the object that `from_json` built from it.

    Fields in ``optional`` may be missing. ``place`` is the JSON path of the data.
    """
    if is_dataclass(value):
        names = {field.name for field in fields(value)}
        for name in sorted(data.keys() - names):
            yield ShapeError(place, f"the field {_shown(name)} is unknown")
        for name in sorted(names - data.keys() - optional):
            yield ShapeError(place, f"the field {name!r} is missing")
        for name in sorted(names & data.keys()):
            yield from other_names(getattr(value, name), data[name], optional, f"{place}.{name}")
    elif isinstance(value, tuple):
        for n, (part, entry) in enumerate(zip(value, data, strict=True)):
            yield from other_names(part, entry, optional, f"{place}[{n}]")


def read_only(value: Any) -> None:
    """Make every dictionary of a frozen dataclass read-only. Meant as ``__post_init__``."""
    for field in fields(value):
        if isinstance(part := getattr(value, field.name), dict):
            object.__setattr__(value, field.name, MappingProxyType(part))


def _path(steps: list[Any]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _named(steps: list[Any], problem: str, data: Any, kind: Any) -> list[Any]:
    """Name the entry of a mapping that is wrong: the library says only in which mapping it is."""
    before = steps[: steps.index(...)]
    for name, entry in islice(_at(data, before).items(), LONGEST):
        try:
            msgspec.convert(_with(data, before, {name: entry}), kind)
        except msgspec.ValidationError as error:
            if str(error) == problem:
                return [*before, name, *steps[len(before) + 1 :]]
    return before


def _at(data: Any, steps: list[Any]) -> Any:
    for step in steps:
        data = data[step]
    return data


def _with(data: Any, steps: list[Any], part: Any) -> Any:
    """Return a copy of the data with another part at a place."""
    if not steps:
        return part
    changed = data.copy()
    changed[steps[0]] = _with(data[steps[0]], steps[1:], part)
    return changed


def _problem(text: str, steps: list[Any], data: Any, kind: Any) -> str:
    missing = re.fullmatch(r"Object missing required field `(.*)`", text)
    if missing:
        return f"the field {missing[1]!r} is missing"
    found = _at(data, steps)
    if text.startswith("Invalid enum value"):
        return f"expected {_choices(kind, steps)}, found {_shown(found)}"
    expected = re.fullmatch(r"Expected (.*?)(, got .*)?", text, re.DOTALL)
    if expected is None:  # an error of the class itself, which says what it expected
        return text
    words = re.sub(r"`(.*?)`", lambda types: " or ".join(_WORDS.get(w, w) for w in types[1].split(" | ")), expected[1])
    return f"expected {words}, found {_shown(found)}"


def _choices(kind: Any, steps: list[Any]) -> str:
    """Name the values that a type allows at a place."""
    node: Any = msgspec.inspect.type_info(kind)
    for step in (*steps, None):
        while isinstance(node, msgspec.inspect.Metadata):
            node = node.type
        if isinstance(node, msgspec.inspect.UnionType):
            node = next(part for part in node.types if not isinstance(part, msgspec.inspect.NoneType))
        if isinstance(step, str):
            node = next(field.type for field in node.fields if field.encode_name == step)
        elif step is not None:
            node = node.item_type
    known = node.values if isinstance(node, msgspec.inspect.LiteralType) else [choice.value for choice in node.cls]
    return f"one of {', '.join(map(repr, known))}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
