"""Say in today's words what the sentences of an older session say: a session stores sentences as templates and values.

A template that no longer exists has no translation, and may show a raw number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from harness.analysis.causes import NOT_COLLECTED, by_thread
from harness.analysis.phase3 import span
from harness.analysis.removals import How
from harness.language.message import Message, Value
from harness.verdict import Verdict

_NANOSECONDS = {"s": 1e9, "ms": 1e6}


def in_present_words(verdict: Verdict) -> Verdict:
    """Return a verdict whose sentences are those of the present checks; a sentence that has not changed is kept."""
    return replace(verdict, sentence=_renewed(verdict.sentence), cause=tuple(map(_renewed, verdict.cause)))


def _renewed(message: Message) -> Message:
    values = message.values
    if message.text in _BY_THREAD and isinstance(values.get("thread"), str):
        return by_thread(_BY_THREAD[message.text], **values)
    for pattern, name, present in _DURATIONS:
        unit = pattern.search(message.text)
        lasted = _nanoseconds(values.get(name), unit[1]) if unit else None
        if lasted is not None:
            return Message(pattern.sub(present, message.text), {**values, name: span(lasted)})
    return message


def _nanoseconds(value: Value | None, unit: str) -> int | None:
    """Return a duration that a session holds as a number or as text; ``None`` if it is neither."""
    try:
        return round(float(value) * _NANOSECONDS[unit]) if value is not None else None
    except (ValueError, OverflowError):
        return None


_BY_THREAD: Mapping[str, How] = MappingProxyType(
    {
        "Thread {thread} removed {cache} {seconds} s after the start of Phase 3.": "remove",
        "Thread {thread} renamed {cache} {seconds} s after the start of Phase 3.": "rename",
        "Thread {thread} removed the folder of {cache} {seconds} s after the start of Phase 3.": "rmtree",
    }
)
_DURATIONS = (
    (re.compile(r" only \{later\} (m?s) later\.$"), "later", " only {later} later."),
    (re.compile(r"^Tile \{tile\}, .* \{earlier\} (m?s) before, but \{thread\} .*$"), "earlier", NOT_COLLECTED.text),
)
"""Sentences with a duration in a fixed unit: the name of its value, and the present words."""
