"""Find the language of the messages: from this project's variable, else from the system."""

from __future__ import annotations

import ctypes
import locale
import sys
from collections.abc import Mapping
from typing import Literal, get_args

Code = Literal["en", "fr"]
CODES: tuple[Code, ...] = get_args(Code)


def language_of(env: Mapping[str, str]) -> str:
    """Return ``PHASE3_LANG``, else the language of the system, else English.

    POSIX names its language in ``LC_ALL``, ``LC_MESSAGES`` or ``LANG``: the first that is set counts. Windows sets none of
    them; its own setting counts.
    """
    own = env.get("PHASE3_LANG", "")
    if own in CODES:
        return own
    named = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := env.get(name))), "")
    code = (named or _of_windows()).partition("_")[0].partition("-")[0].lower()
    return code if code in CODES else "en"


def _of_windows() -> str:
    """Return the language that a Windows user chose for menus, such as ``fr_FR``; empty on other systems."""
    if sys.platform != "win32":
        return ""
    return locale.windows_locale.get(ctypes.windll.kernel32.GetUserDefaultUILanguage(), "")
