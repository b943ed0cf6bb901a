"""Sentences that can be shown in more than one language.

A message keeps its English template and its values apart, so that a stored session can be rendered in any language.
Templates come back from files that anybody may have edited, so only plain ``{name}`` fields are replaced:
``str.format`` would also follow attributes and indexes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from harness.convert import read_only

Value = str | int | float | bool
Translate = Callable[[str], str]

_FIELD = re.compile(r"\{([a-z_]+)\}")
# Characters that a terminal obeys, that HTML and XML can't hold, that UTF-8 can't write, or that turn the order of the text
# around them.
_UNSEEN = re.compile(
    "\\r(?!\\n)|[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
)


@dataclass(frozen=True, slots=True)
class Message:
    """An English template with ``{name}`` fields, and the values for them."""

    text: str
    values: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        read_only(self)

    def render(self, translate: Translate = str) -> str:
        """Return the sentence, its template passed through ``translate`` first. A missing value stays visible as its field.

        Names and texts in it may be a stranger's (a log, a case, a session), so it can be shown anywhere.
        """

        def fill(match: re.Match[str]) -> str:
            value = self.values.get(match[1], match[0])
            return f"{value:.4g}" if isinstance(value, float) else str(value)

        return visible(_FIELD.sub(fill, translate(self.text)))


def visible(text: str) -> str:
    """Replace characters that can't be shown by an escape that can."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class SaidError(ValueError):
    """An error that a person reads: what was expected, what was found, what to do, in any language.

    Attributes
    ----------
    messages
        The problems, one sentence each.

    """

    def __init__(self, *messages: Message) -> None:
        self.messages = messages
        super().__init__("\n".join(message.render() for message in messages))


def told(error: Exception, translate: Translate = str) -> tuple[str, ...]:
    """Return what an error says to a person: its sentences in their language, or its text where it has none."""
    messages: tuple[Message, ...] = getattr(error, "messages", ())
    return tuple(message.render(translate) for message in messages) or (str(error),)


def say(text: str, /, **values: Value) -> Message:
    """Write a message; catalogues are extracted from calls of this name."""
    return Message(text, MappingProxyType(values))
