"""Read single cards of FITS headers. A card that ``astropy`` can't parse counts as missing, and ends nothing.

``astropy`` parses a card when its value is asked for. An unparsable card is an error then, also where nobody needs its value.
"""

from __future__ import annotations

from typing import Any

from astropy.io.fits import VerifyError

UNPARSABLE = (VerifyError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, AssertionError)
"""What ``astropy`` raises for a card that it can't parse."""


def value_of(header: Any, name: str, default: Any = None) -> Any:
    """Return the value of a card; the default if the header lacks it, or ``astropy`` can't parse it."""
    try:
        return header.get(name, default)
    except UNPARSABLE:
        return default
