"""Translate sentences with a gettext catalogue, and write numbers, units and dates as each language does.

English is the source. The French catalogue is ``locale/fr/LC_MESSAGES/phase3.po``. It is read directly, so no compiled file
can be out of date. The part "Sentences" of ``CONTRIBUTING.md`` says how new sentences get into it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import cast

from babel.dates import format_datetime
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, get_decimal_symbol
from babel.units import format_unit

from harness.language.message import FIGURE, Message, Translate, Value, say
from harness.language.system import CODES, Code

CATALOGUES = Path(__file__).with_name("locale")

_NO_BREAK = "\N{NO-BREAK SPACE}"
_BYTE_UNITS = (("digital-gigabyte", 1e9), ("digital-megabyte", 1e6), ("digital-kilobyte", 1e3))


_LONG = 10**15  # integers from here on are written with an exponent


@dataclass(frozen=True, slots=True)
class _Translator:
    """Translate templates with a catalogue. ``decimal`` is the sign before the decimals of numbers."""

    known: Mapping[str, str]
    decimal: str

    def __call__(self, text: str) -> str:
        return self.known.get(text, text)


@cache
def translator(code: str) -> Translate:
    """Return the function that translates an English template.

    A template without a translation is returned in English.

    Raises
    ------
    ValueError
        When the language is not one of `CODES`.

    """
    if code not in CODES:
        raise ValueError(f"expected a language among {', '.join(CODES)}, found {code!r}: choose one of them")
    if code == "en":
        return str
    with (CATALOGUES / code / "LC_MESSAGES" / "phase3.po").open("rb") as stream:
        catalogue = read_po(stream, locale=code)
    known = {str(m.id): str(m.string) for m in catalogue if m.id and m.string and not m.fuzzy}
    return _Translator(known, get_decimal_symbol(code))


@dataclass(frozen=True, slots=True)
class Language:
    """Write sentences and values in one language."""

    code: Code

    def say(self, text: str, /, **values: Value) -> str:
        """Translate a template and insert the values. Catalogues are extracted from calls of this name."""
        return self.render(say(text, **values))

    def render(self, message: Message) -> str:
        """Render a message, with numbers as this language writes them."""
        shown = {name: self._value(value) for name, value in message.values.items()}
        return Message(message.text, shown).render(translator(self.code))

    def _value(self, value: Value) -> Value:
        if isinstance(value, bool):
            return str(value)
        if isinstance(value, str):
            return value.replace(".", get_decimal_symbol(self.code)) if FIGURE.fullmatch(value) else value
        return self.number(value)

    def number(self, value: float, digits: int = 4) -> str:
        """Write a number: integers in full, others with ``digits`` significant digits."""
        if isinstance(value, int):
            if abs(value) >= _LONG:  # a damaged file can hold any number
                return f"{Decimal(value):.{digits - 1}e}"
            return format_decimal(value, locale=self.code)
        if not math.isfinite(value):
            return str(value)
        short = f"{value:.{digits}g}"
        if "e" in short:
            mantissa, _, exponent = short.partition("e")
            return f"{self.number(float(mantissa), digits)}e{int(exponent)}"
        return format_decimal(Decimal(short), locale=self.code, decimal_quantization=False)

    def size(self, count: float) -> str:
        """Write a number of bytes in decimal units (kB, MB, GB; ko, Mo, Go)."""
        for unit, scale in _BYTE_UNITS:
            if abs(count) >= scale:
                return self._unit(float(f"{count / scale:.3g}"), unit)
        return f"{self.number(int(count))}{_NO_BREAK}{'o' if self.code == 'fr' else 'B'}"

    def seconds(self, value: float) -> str:
        """Write a time in seconds; the symbol is the same in every language."""
        return f"{self.number(float(f'{value:.3g}'))}{_NO_BREAK}s"

    def angle(self, arcminutes: float) -> str:
        """Write an angle given in arcminutes as seconds, minutes or degrees of arc, by its size."""
        if arcminutes < 1:
            return f"{self.number(round(arcminutes * 60, 1))}″"
        return f"{self.number(arcminutes)}′" if arcminutes < 60 else f"{self.number(arcminutes / 60)}°"

    def when(self, iso: str) -> str:
        """Write a date and time given in ISO 8601; any other text is returned unchanged."""
        try:
            moment = datetime.fromisoformat(iso)
        except ValueError:
            return iso
        return format_datetime(moment, format="long", locale=self.code)

    def _unit(self, value: float, unit: str) -> str:
        number = format_decimal(Decimal(f"{value:g}"), locale=self.code, decimal_quantization=False)
        return format_unit(number, unit, length="short", locale=self.code).replace(" ", _NO_BREAK)


def language(code: str) -> Language:
    """Return a language by its code. Raises ``ValueError`` if it is not one of `CODES`."""
    translator(code)
    return Language(cast("Code", code))
