"""Store a sentence as an English template and its values, so that it can be shown in any language later.

Only plain ``{name}`` fields are replaced. Templates may come from an edited file, and ``str.format`` would also follow
attributes and indexes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

Value = str | int | float | bool
Translate = Callable[[str], str]
"""Translates a template.

Its attribute ``decimal``, if it has one, is the sign before the decimals of numbers. Its attribute ``plural``, if it has one,
translates two forms and chooses the one for a count, as the language counts: French has "0 image", English "0 frames".
"""

FIGURE = re.compile(r"[+-]?\d+\.\d{3,}|\d+\.\d+\N{NO-BREAK SPACE}m?s")
"""A text that is a number, whose digits were chosen where it was written. A text with fewer decimals may be a version, unless it
has the unit of a duration."""

_FIELD = re.compile(r"\{([a-z_]+)\}")
# Characters that control a terminal, that HTML and XML can't contain, that UTF-8 can't encode, or that reverse the text around
# them.
_UNSEEN = re.compile(
    "\\r(?!\\n)|[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
)
_BREAK = re.compile(r"\s*[\t\n\r]\s*")


@dataclass(frozen=True, slots=True)
class Message:
    """An English template with ``{name}`` fields, and the values for them.

    ``many`` is the form of the template for several things, chosen by the value ``count``; empty if there is one form.
    """

    text: str
    values: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    many: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))

    def render(self, translate: Translate = str) -> str:
        """Translate the template and insert the values. A field without a value stays visible.

        Values may come from untrusted files (a log, a case, a session). Control characters are escaped, so that the sentence
        can be shown in a terminal and in HTML.
        """
        return filled(self.template(translate), self.values, getattr(translate, "decimal", "."))

    def template(self, translate: Translate = str) -> str:
        """Translate the template, in the form for its count."""
        count = self.values.get("count")
        if not self.many:
            return translate(self.text)
        # A count that is no whole number comes from an edited file; the form for several fits it best.
        number = count if isinstance(count, int) else 2
        plural: Callable[[str, str, int], str] = getattr(translate, "plural", english_plural)
        return plural(self.text, self.many, number)


def english_plural(one: str, many: str, count: int) -> str:
    """Return the English form for a count."""
    return one if count == 1 else many


def filled(template: str, values: Mapping[str, Value], decimal: str) -> str:
    """Insert the values into a translated template. A field without a value stays visible."""

    def fill(match: re.Match[str]) -> str:
        value = values.get(match[1], match[0])
        if isinstance(value, float):
            return _short(value).replace(".", decimal)
        return value.replace(".", decimal) if isinstance(value, str) and FIGURE.fullmatch(value) else str(value)

    return visible(_FIELD.sub(fill, template))


def _short(value: float) -> str:
    """Write a number with four significant digits, a large one without an exponent."""
    short = f"{value:.4g}"
    return f"{float(short):.0f}" if "e+" in short else short


def visible(text: str) -> str:
    """Replace characters that can't be shown safely by escapes of their code points."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def flat(text: str) -> str:
    """Return a text in one line, so that a comment or a name from a file can't look like further lines of the output."""
    return visible(_BREAK.sub(" ", text))


class SaidError(ValueError):
    """The base of errors whose messages can be translated.

    Attributes
    ----------
    messages
        The problems, one sentence each.

    """

    def __init__(self, *messages: Message) -> None:
        self.messages = messages
        super().__init__("\n".join(message.render() for message in messages))


def sentences_of(error: Exception, translate: Translate = str) -> tuple[str, ...]:
    """Return the sentences of an error, translated; the plain text for an error without translatable sentences."""
    messages: tuple[Message, ...] = getattr(error, "messages", ())
    return tuple(message.render(translate) for message in messages) or (str(error),)


def say(text: str, /, **values: Value) -> Message:
    """Make a message. Catalogues are extracted from calls of this name."""
    return Message(text, MappingProxyType(values))


def counted(one: str, many: str, /, *, count: int, **values: Value) -> Message:
    """Make a message about a number of things, in two forms. Catalogues are extracted from calls of this name."""
    return Message(one, MappingProxyType({"count": count, **values}), many)
