"""Name the checks for people. The name in the code, which cases and options use, is the English one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.analysis.causes import MAIN_THREAD
from harness.language.catalogue import Language
from harness.language.message import Message, say

_NAMES: Mapping[str, Message] = MappingProxyType(
    {
        "accuracy": say("accuracy"),
        "cache": say("cache"),
        "content": say("content"),
        "cost": say("cost"),
        "coverage": say("coverage"),
        "crash": say("crash"),
        "depth": say("depth"),
        "disk": say("disk"),
        "fallback": say("fallback"),
        "holes": say("holes"),
        "inputs": say("inputs"),
        "logs": say("logs"),
        "parity": say("parity"),
        "products": say("products"),
        "tiles": say("tiles"),
        "trimmed": say("trimmed"),
        "truth": say("truth"),
        "warnings": say("warnings"),
    }
)


def check_name(check: str, lang: Language) -> str:
    """Return the name of a check; a row of the guard rails and an unknown check are their own names."""
    return lang.render(_NAMES.get(check, Message(check)))


def thread_name(name: str, lang: Language) -> str:
    """Return the name of a thread; Python's name of the main thread in words."""
    main = lang.say("main thread")
    return name.replace(MAIN_THREAD, main, 1) if name.partition(" ")[0] == MAIN_THREAD else name


def check_names(checks: tuple[str, ...], lang: Language) -> str:
    """Return the names of some checks, in the order of the alphabet; "none" without any."""
    return ", ".join(sorted(check_name(check, lang) for check in checks)) or lang.say("none")
