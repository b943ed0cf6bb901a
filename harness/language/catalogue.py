"""Translate sentences with a gettext catalogue, and write numbers, units and dates as each language does.

English is the source. The French catalogue is ``locale/fr/LC_MESSAGES/phase3.po``. It is read directly, so no compiled file
can be out of date. The part "Sentences" of ``CONTRIBUTING.md`` says how new sentences get into it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from gettext import c2py
from pathlib import Path
from typing import cast

from babel.core import Locale
from babel.dates import format_datetime
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, get_decimal_symbol
from babel.units import format_unit

from harness.language.message import FIGURE, Message, Translate, Value, counted, english_plural, filled, say
from harness.language.system import CODES, Code

CATALOGUES = Path(__file__).with_name("locale")

_NO_BREAK = "\N{NO-BREAK SPACE}"
_BYTE_UNITS = (("digital-gigabyte", 1e9), ("digital-megabyte", 1e6), ("digital-kilobyte", 1e3))


_LONG = 10**15  # integers from here on are written with an exponent


@dataclass(frozen=True, slots=True)
class _Translator:
    """Translate templates with a catalogue. ``decimal`` is the sign before the decimals of numbers.

    ``forms`` are the translations of templates that have a form for one thing and one for several; ``form_of`` gives the place
    of the form for a count.
    """

    known: Mapping[str, str]
    decimal: str
    forms: Mapping[tuple[str, str], tuple[str, ...]]
    form_of: Callable[[int], int]

    def __call__(self, text: str) -> str:
        return self.known.get(text, text)

    def plural(self, one: str, many: str, count: int) -> str:
        """Translate two forms, and return the one for this count."""
        forms = self.forms.get((one, many))
        return forms[self.form_of(count)] if forms is not None else english_plural(one, many, count)


@cache
def _locale(code: str) -> Locale:
    """Return the locale of a language, once: babel would parse its name for every number."""
    return Locale.parse(code)


@cache
def _decimal(code: str) -> str:
    """Return the sign before the decimals of numbers."""
    return get_decimal_symbol(_locale(code))


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
    done = [m for m in catalogue if m.id and m.string and not m.fuzzy]
    known = {m.id: m.string for m in done if isinstance(m.id, str) and isinstance(m.string, str)}
    pairs = [(m.id, tuple(m.string or ())) for m in done if not isinstance(m.id, str)]
    forms = {(one, many): strings for (one, many, *_), strings in pairs if all(strings)}
    # Older sessions hold templates with one form, which was that for several things.
    known = {many: strings[-1] for (_, many), strings in forms.items()} | known
    return _Translator(known, _decimal(code), forms, c2py(catalogue.plural_expr))


@dataclass(frozen=True, slots=True)
class Language:
    """Write sentences and values in one language."""

    code: Code

    def say(self, text: str, /, **values: Value) -> str:
        """Translate a template and insert the values. Catalogues are extracted from calls of this name."""
        return self.render(say(text, **values))

    def counted(self, one: str, many: str, /, *, count: int, **values: Value) -> str:
        """Translate a template in the form for a count. Catalogues are extracted from calls of this name."""
        return self.render(counted(one, many, count=count, **values))

    def semicolons(self, parts: Iterable[str]) -> str:
        """Join parts by semicolons, with the space that the language has before one."""
        return self.say("; ").join(parts)

    def render(self, message: Message) -> str:
        """Render a message, with numbers as this language writes them."""
        shown = {name: self._value(value) for name, value in message.values.items()}
        return filled(message.template(translator(self.code)), shown, _decimal(self.code))

    def _value(self, value: Value) -> Value:
        if isinstance(value, bool):
            return str(value)
        if isinstance(value, str):
            return value.replace(".", _decimal(self.code)) if FIGURE.fullmatch(value) else value
        return self.number(value)

    def number(self, value: float, digits: int = 4) -> str:
        """Write a number: integers in full, others with ``digits`` significant digits."""
        if isinstance(value, int):
            if abs(value) >= _LONG:  # a damaged file can hold any number
                return f"{Decimal(value):.{digits - 1}e}"
            return format_decimal(value, locale=_locale(self.code))
        if not math.isfinite(value):
            return str(value)
        short = f"{value:.{digits}g}"
        if "e+" in short:
            return self.number(round(float(short)), digits)
        if "e" in short:
            mantissa, _, exponent = short.partition("e")
            return f"{self.number(float(mantissa), digits)}e{int(exponent)}"
        return format_decimal(Decimal(short), locale=_locale(self.code), decimal_quantization=False)

    def size(self, count: float) -> str:
        """Write a number of bytes in decimal units (kB, MB, GB; ko, Mo, Go)."""
        for unit, scale in _BYTE_UNITS:
            if abs(count) >= scale:
                return self._unit(float(f"{count / scale:.3g}"), unit)
        return f"{self.number(int(count))}{_NO_BREAK}{'o' if self.code == 'fr' else 'B'}"

    def seconds(self, value: float) -> str:
        """Write a time in seconds; the symbol is the same in every language."""
        return f"{self.number(float(f'{value:.3g}'))}{_NO_BREAK}s"

    def duration(self, seconds: float) -> str:
        """Write how long something took: in milliseconds, seconds, or minutes and seconds, by its size."""
        if seconds and abs(seconds) < 1:
            return f"{self.number(float(f'{seconds * 1000:.3g}'))}{_NO_BREAK}ms"
        if abs(seconds) < 120 or not math.isfinite(seconds):
            return self.seconds(seconds)
        minutes, rest = divmod(round(seconds), 60)
        return f"{self.number(minutes)}{_NO_BREAK}min{_NO_BREAK}{rest}{_NO_BREAK}s"

    def moment(self, seconds: float) -> str:
        """Write a time on the clock of a run, to the millisecond, as causes and drawings do."""
        return f"{format_decimal(seconds, '#,##0.000', locale=_locale(self.code))}{_NO_BREAK}s"

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
        return format_datetime(moment, format="long", locale=_locale(self.code))

    def _unit(self, value: float, unit: str) -> str:
        number = format_decimal(Decimal(f"{value:g}"), locale=_locale(self.code), decimal_quantization=False)
        return format_unit(number, unit, length="short", locale=_locale(self.code)).replace(" ", _NO_BREAK)


def language(code: str) -> Language:
    """Return a language by its code. Raises ``ValueError`` if it is not one of `CODES`."""
    translator(code)
    return Language(cast("Code", code))
