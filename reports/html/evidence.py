"""Prepare evidence for display, limited in depth, length and width, with a count of what is left out.

Evidence comes from a file that anybody may have edited, so nothing is assumed of its shape.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.language.catalogue import Language
from harness.language.message import Message
from harness.record.values import is_finite
from reports.names import thread_name

MAX_ITEMS = 40
MAX_TEXT = 400
MAX_DEPTH = 4
MAX_COLUMNS = 10

_BY_KEY: tuple[tuple[re.Pattern[str], Callable[[Language, float], str]], ...] = (
    (re.compile(r"(^|_)byte_seconds$"), lambda lang, n: f"{lang.size(n)}·s"),
    (re.compile(r"(^|_)bytes$"), lambda lang, n: lang.size(n)),
    (re.compile(r"(^|_)at$"), lambda lang, n: lang.moment(n)),
    (re.compile(r"(^|_)seconds(_told)?$"), lambda lang, n: lang.duration(n)),
    (re.compile(r"(^|_)(square_arcmin|arcmin2)$"), lambda lang, n: f"{lang.number(n)} arcmin²"),
    (re.compile(r"(^|_)percent$"), lambda lang, n: f"{lang.number(n)} %"),
    # Four significant digits of a right ascension would be six arcminutes off.
    (re.compile(r"^(ra|dec)$"), lambda lang, n: f"{lang.number(round(n, 4), digits=7)}°"),
)
"""How a number is written, by its key."""


@dataclass(frozen=True, slots=True)
class Node:
    """One piece of evidence: a text, named pieces, a table, or a list. ``left_out`` counts the pieces not shown."""

    kind: Literal["text", "pairs", "table", "items"]
    text: str = ""
    pairs: tuple[tuple[str, Node], ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    items: tuple[Node, ...] = ()
    left_out: int = 0


def node(value: Any, language: Language, depth: int = 0, name: str = "") -> Node:
    """Convert a JSON value to a piece of evidence for display. ``name`` is its key, which tells the unit of a number."""
    if _is_message(value) or isinstance(value, Message):
        return Node("text", text=_scalar(value, language))
    if isinstance(value, Mapping | list | tuple) and not value:
        return Node("text", text="–")
    if isinstance(value, Mapping) and depth < MAX_DEPTH:
        shown = list(value.items())[:MAX_ITEMS]
        pairs = tuple((_short(str(key)), node(part, language, depth + 1, str(key))) for key, part in shown)
        return Node("pairs", pairs=pairs, left_out=len(value) - len(shown))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and depth < MAX_DEPTH:
        return _sequence(value, language, depth, name)
    return Node("text", text=_scalar(value, language, name))


def _sequence(value: Sequence[Any], language: Language, depth: int, name: str) -> Node:
    shown = value[:MAX_ITEMS]
    left_out = len(value) - len(shown)
    if shown and all(isinstance(entry, Mapping) and not _is_message(entry) for entry in shown):
        header = tuple(dict.fromkeys(str(key) for entry in shown for key in entry))[:MAX_COLUMNS]
        rows = tuple(
            tuple(_scalar(entry[key], language, key) if key in entry else "" for key in header) for entry in shown
        )
        return Node("table", header=tuple(_short(key) for key in header), rows=rows, left_out=left_out)
    if any(isinstance(entry, Mapping | list | tuple) for entry in shown):
        return Node("items", items=tuple(node(entry, language, depth + 1, name) for entry in shown), left_out=left_out)
    return Node("text", text=", ".join(_scalar(entry, language, name) for entry in shown), left_out=left_out)


def plain(value: Any) -> str:
    """Write a value of a target's identity: names with their values, lists separated by commas, a dash for nothing."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain(part)}" for name, part in value.items()) or "–"
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "–"
    return "–" if value is None or value == "" else str(value)


def _scalar(value: Any, language: Language, name: str = "") -> str:
    if isinstance(value, Message):
        return _short(language.render(value))
    if _is_message(value):
        values = {str(k): v if isinstance(v, str | int | float) else str(v) for k, v in value["values"].items()}
        return _short(language.render(Message(str(value["text"]), values, str(value.get("many", "")))))
    if isinstance(value, bool):
        return language.say("yes") if value else language.say("no")
    if isinstance(value, int | float):
        return _figure(value, language, name)
    if "thread" in name and isinstance(value, str):
        value = thread_name(value, language)
    parts = _parts(value, language, name)
    if parts is None:
        return "–" if value is None else _short(str(value))
    return _short(", ".join(parts[:MAX_ITEMS]) + (", …" if len(parts) > MAX_ITEMS else ""))


def _figure(value: float, language: Language, name: str) -> str:
    """Write a number as people read it: four significant digits, in the unit that its key names.

    The exact value is in ``session.json``.
    """
    if not is_finite(value):
        return language.number(value)
    for pattern, written in _BY_KEY:
        if pattern.search(name):
            return written(language, value)
    return language.number(value)


def _parts(value: Any, language: Language, name: str) -> list[str] | None:
    """Return the parts of a list or of a mapping, the latter with their names; ``None`` for any other value."""
    if isinstance(value, Mapping):
        return [f"{key} {_scalar(part, language, str(key))}" for key, part in list(value.items())[: MAX_ITEMS + 1]]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_scalar(part, language, name) for part in value[: MAX_ITEMS + 1]]
    return None


def _is_message(value: Any) -> bool:
    """Return whether the value is a stored sentence, to be shown in the reader's language."""
    return (
        isinstance(value, Mapping)
        and {"text", "values"} <= value.keys() <= {"text", "values", "many"}
        and isinstance(value["values"], Mapping)
    )


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"
