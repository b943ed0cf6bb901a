"""Read the celestial WCS of FITS headers with ``astropy``, the only reader of WCS cards in the harness.

A record keeps the cards of a WCS, not the object. `wcs_cards` selects all cards that ``astropy`` reads, and `wcs_of` builds
its WCS from them. So a header that states its scale twice means the same here, to ``astropy``, and to a target that uses it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from harness.analysis.headers import UNPARSABLE

Cards = Mapping[str, str | int | float]

CARD = re.compile(
    r"WCSAXES|(CTYPE|CRVAL|CRPIX|CUNIT|CDELT|CROTA)[1-9]|(CD|PC)[1-9]_[1-9]|(CD|PC)00[1-9]00[1-9]"
    r"|PV[1-9]_\d{1,2}|PROJP\d|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|EPOCH"
    r"|(A|B|AP|BP)_(ORDER|DMAX|\d{1,2}_\d{1,2})|(CPDIS|CQDIS|D2IMDIS)[1-9]|WAT\d_\d{3}"
)
"""The cards that place pixels on the sky. Other cards (dates, observatory) only make ``astropy`` "fix" the header."""

_KEPT = 1024  # WCS objects; a session asks for the same frames and mosaics again and again
_LATER_AXIS = re.compile(
    r"(CTYPE|CRVAL|CRPIX|CUNIT|CDELT|CROTA|PV|CPDIS|CQDIS|D2IMDIS)[3-9](_\d+)?|(CD|PC)([3-9]_[1-9]|[1-9]_[3-9])"
    r"|(CD|PC)(00[3-9]00[1-9]|00[1-9]00[3-9])"
)
_SCALE = re.compile(r"CDELT[1-9]|(CD|PC)[1-9]_[1-9]|(CD|PC)00[1-9]00[1-9]")


class FootprintError(ValueError):
    """Raised when WCS cards are not a usable celestial WCS, or an outline can't be placed with them."""


def wcs_cards(header: Any) -> dict[str, str | int | float]:
    """Return the WCS cards of a header as built-in types. Of a card that occurs twice the last one counts, as in ``wcslib``.

    A card that ``astropy`` can't parse is left out, as ``wcslib`` leaves it out. Other cards are not parsed at all.
    """
    found: dict[str, str | int | float] = {}
    for card in header.cards if hasattr(header, "cards") else ():
        try:
            key = card.keyword
            value = card.value if CARD.fullmatch(key) else None
        except UNPARSABLE:
            continue
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            found[key] = value
    return found


def on_sky(cards: Cards) -> dict[str, str | int | float]:
    """Return the cards without those of a third or later axis, such as ``CTYPE3 = 'RGB'``: they place no pixel on the sky."""
    return {name: value for name, value in cards.items() if name != "WCSAXES" and not _LATER_AXIS.fullmatch(name)}


def wcs_of(cards: Cards) -> WCS:
    """Return ``astropy``'s WCS of the first two axes, ready for use. Callers share the object and must not change it.

    Raises
    ------
    FootprintError
        If ``astropy`` can't read the cards, or they don't place the axes on the sky: the origin and the scale must be stated,
        because ``astropy`` assumes 0 and one degree a pixel.

    """
    try:
        return _built(tuple(cards.items()))
    except TypeError as error:  # a value that is no text or number
        raise FootprintError(
            f"expected texts and numbers as WCS cards, found others ({error}): solve it again"
        ) from error


@functools.lru_cache(maxsize=_KEPT)
def _built(items: tuple[tuple[str, str | int | float], ...]) -> WCS:
    cards = dict(items)
    try:
        with quiet():
            made = WCS(fits.Header(cards), naxis=2)
            if made.has_celestial:
                _require_stated(cards)
                made.wcs.set()
                matrix = made.pixel_scale_matrix
    except FootprintError:
        raise
    except Exception as error:
        _require_finite(cards)
        if "singular" in str(error):
            raise _singular() from error
        raise FootprintError(
            f"expected a celestial WCS, found cards that can't be read ({error}): solve it again"
        ) from error
    if not made.has_celestial:
        found = ", ".join(str(cards.get(name, "missing")) for name in ("CTYPE1", "CTYPE2"))
        raise FootprintError(f"expected the cards of a celestial WCS, found CTYPE {found}: solve the frame first")
    if not (np.isfinite(matrix).all() and abs(np.linalg.det(matrix)) > 0):
        raise _singular()
    return made


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress ``astropy``'s warnings and log lines on odd headers. It logs 14 lines for SIP terms without the CTYPE suffix."""

    def no(_: logging.LogRecord) -> bool:
        return False

    log = logging.getLogger("astropy")
    log.addFilter(no)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.removeFilter(no)


def _require_stated(cards: Cards) -> None:
    _require_finite(cards)
    for name in ("CRVAL1", "CRVAL2"):
        value = cards.get(name)
        if not isinstance(value, int | float):
            found = "no such card" if value is None else repr(value)
            raise FootprintError(
                f"expected a finite number in the WCS card {name}, found {found}: solve the frame again"
            )
    if not any(_SCALE.fullmatch(name) for name in cards):
        raise FootprintError("expected a scale in the WCS cards, found no CD, PC or CDELT: solve the frame again")


def _require_finite(cards: Cards) -> None:
    for name, value in cards.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise FootprintError(
                f"expected a finite number in the WCS card {name}, found {value}: solve the frame again"
            )


def _singular() -> FootprintError:
    return FootprintError(
        "expected a WCS matrix that can be inverted, found one that is singular: solve the frame again"
    )
