"""The languages of the harness: sentences from a gettext catalogue, numbers, units and dates as each language writes them.

English is the source. The French catalogue is ``locale/fr/LC_MESSAGES/phase3.po``, read as it stands: there is no compiled
file that could be older than it. After sentences were added or changed::

    pybabel extract -F pyproject.toml -k say --no-location --sort-output -o phase3.pot harness reports fixtures scenarios
    pybabel update -w 120 -i phase3.pot -d reports/locale -D phase3 -l fr --no-fuzzy-matching

and then translate what ``tests/test_language.py`` names.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Literal, cast, get_args

from babel.dates import format_datetime
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, get_decimal_symbol
from babel.units import format_unit

from harness.language.message import Message, Translate, Value, say

Code = Literal["en", "fr"]
CODES: tuple[Code, ...] = get_args(Code)
CATALOGUES = Path(__file__).with_name("locale")

_NO_BREAK = "\N{NO-BREAK SPACE}"
_FIGURE = re.compile(r"[+-]?\d+\.\d{3,}")
_BYTE_UNITS = (("digital-gigabyte", 1e9), ("digital-megabyte", 1e6), ("digital-kilobyte", 1e3))


@cache
def translator(code: str) -> Translate:
    """Return the function that translates an English template.

    A template without a translation comes back in English: a sentence in the wrong language says more than none.

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
    return lambda text: known.get(text, text)


@dataclass(frozen=True, slots=True)
class Language:
    """One language: its sentences, and how it writes values."""

    code: Code

    def say(self, text: str, /, **values: Value) -> str:
        """Translate a template and fill it in; catalogues are extracted from calls of this name."""
        return self.render(say(text, **values))

    def render(self, message: Message) -> str:
        """Render a message, its numbers written as this language does."""
        shown = {name: self._value(value) for name, value in message.values.items()}
        return Message(message.text, shown).render(translator(self.code))

    def _value(self, value: Value) -> Value:
        if isinstance(value, bool):
            return str(value)
        if isinstance(value, str):
            # A figure that a check wrote with the digits it wants keeps them; fewer decimals may be a version.
            return value.replace(".", get_decimal_symbol(self.code)) if _FIGURE.fullmatch(value) else value
        return self.number(value)

    def number(self, value: float, digits: int = 4) -> str:
        """Write a number: integers in full, others with so many significant digits."""
        if isinstance(value, int):
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
        """Write a time in seconds, whose symbol is the same in every language."""
        return f"{self.number(float(f'{value:.3g}'))}{_NO_BREAK}s"

    def angle(self, arcminutes: float) -> str:
        """Write an angle given in arcminutes in the unit that suits it: seconds, minutes or degrees of arc."""
        if arcminutes < 1:
            return f"{self.number(round(arcminutes * 60, 1))}″"
        return f"{self.number(arcminutes)}′" if arcminutes < 60 else f"{self.number(arcminutes / 60)}°"

    def when(self, iso: str) -> str:
        """Write a date and time given in ISO 8601; what is not one is shown as it stands."""
        try:
            moment = datetime.fromisoformat(iso)
        except ValueError:
            return iso
        return format_datetime(moment, format="long", locale=self.code)

    def _unit(self, value: float, unit: str) -> str:
        number = format_decimal(Decimal(f"{value:g}"), locale=self.code, decimal_quantization=False)
        return format_unit(number, unit, length="short", locale=self.code).replace(" ", _NO_BREAK)


def language(code: str) -> Language:
    """Return a language by its code. Raises ``ValueError`` when it is not one of `CODES`."""
    translator(code)
    return Language(cast("Code", code))
