"""Resolve the options of a session: each from the command line, else the environment, else the ini file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from harness.language.message import SaidError, say
from harness.language.system import CODES, language_of
from harness.session.budget import Budget, BudgetError, parse
from harness.targets.errors import TargetError
from harness.targets.resolve import EMBEDDED, TARGETS
from harness.targets.resolve import parse as parse_target


@dataclass(frozen=True, slots=True)
class Option:
    """One option ``--phase3-NAME``, also ``PHASE3_NAME`` and ``phase3_NAME``, with its default and help.

    ``alone`` is the value of an option that is given without one; it is empty for an option that needs a value.
    """

    name: str
    default: str
    help: str
    flag: bool = False
    alone: str = ""

    @property
    def cli(self) -> str:
        """The command-line option."""
        return f"--phase3-{self.name}"

    @property
    def env(self) -> str:
        """The environment variable."""
        return f"PHASE3_{self.name.upper()}"

    @property
    def ini(self) -> str:
        """The ini setting; pytest stores the command-line value under this name too."""
        return f"phase3_{self.name}"


NEWEST = "newest"
"""The value of ``--phase3-resume`` without a session."""
DEFAULT_BUDGET = "20min,10GiB"
_FORMS = ", ".join(form for kind in TARGETS.values() for form in kind.forms)
OPTIONS = (
    Option("target", EMBEDDED.name, f"target under validation: {_FORMS}"),
    Option(
        "baseline",
        "",
        "the target before the patch, to compare with (default: the reference with naive deletion, or the commit before the "
        "fix, or else the control)",
    ),
    Option(
        "control",
        "",
        "a version with the bug, which must be red (default: the reference with naive deletion, or the commit before the fix)",
    ),
    Option("python", "", "the interpreter that has the real target's libraries (default: the one that runs pytest)"),
    Option(
        "profile",
        "",
        "settings of the real target: fast (bit-identical results; the usual one) or default (the only one with --phase3-config)",
    ),
    Option("config", "", "your own zemosaic_config.json, on which the settings of all runs are based"),
    Option(
        "frames",
        "",
        "a folder of your own frames with a celestial WCS, from which tiles that share frames are made and judged",
    ),
    Option(
        "dir", "", "the folder for sessions, datasets and exported targets (default: .phase3 next to pyproject.toml)"
    ),
    Option("workers", "2", "number of Phase 3 workers of the target"),
    Option("seconds", "600", "time limit of one run, in seconds"),
    Option(
        "budget",
        DEFAULT_BUDGET,
        "time and disk space that all runs of the large case may take together, on a real target (with the default, the smallest"
        " large case runs also if it takes longer)",
    ),
    Option(
        "lang",
        "",
        "language of the messages: en or fr (default: that of the system, or en; the report is written in both)",
    ),
    Option("quick", "", "run one case only, with its control", flag=True),
    Option(
        "resume",
        "",
        "go on with an interrupted session: the newest, or the one of this name or folder (write --phase3-resume=SESSION)",
        alone=NEWEST,
    ),
)

_FOLDERS = ("frames", "dir", "config")
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"", "0", "false", "no", "off"}


class OptionError(SaidError):
    """Raised when an option has a wrong value."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of a session, resolved."""

    target: str
    baseline: str
    control: str
    python: str
    profile: str
    config: str
    frames: str
    dir: str
    workers: int
    seconds: float
    budget: Budget
    lang: str
    quick: bool
    resume: str

    def deciding(self) -> dict[str, str]:
        """Return the options that decide on the runs, as a command line writes them, without empty ones."""
        found = {field.name: str(getattr(self, field.name)) for field in fields(self)}
        found |= {"seconds": f"{self.seconds:.12g}", "quick": "true" if self.quick else ""}
        return {
            name: value for name, value in found.items() if value and name not in ("python", "dir", "lang", "resume")
        }


def resolve_options(
    cli: Callable[[str], object], ini: Callable[[str], object], env: Mapping[str, str] | None = None
) -> Settings:
    """Take each option from the command line, else the environment, else the ini file, else its default.

    Raises
    ------
    OptionError
        When a value is not one of those allowed, or not the positive number that the option needs.

    """
    found = {option.name: _value(option, cli, ini, os.environ if env is None else env) for option in OPTIONS}
    # A shell leaves the "~" in --phase3-frames=~/frames.
    found |= {name: str(Path(found[name]).expanduser()) for name in _FOLDERS if found[name].startswith("~")}
    quick = found["quick"].strip().lower()
    if quick not in _TRUE | _FALSE:
        raise OptionError(say("expected phase3_quick to be true or false, found {found}", found=repr(found["quick"])))
    read: dict[str, Any] = {
        "profile": _profile(found["profile"], found["config"]),
        "workers": int(_positive("workers", found["workers"], whole=True)),
        "seconds": _positive("seconds", found["seconds"], whole=False),
        "budget": _budget(found["budget"]),
        "lang": _among("lang", found["lang"] or language_of(os.environ if env is None else env), CODES),
        "quick": quick in _TRUE,
    }
    return Settings(**{**found, **read})


def resolve_language(
    cli: Callable[[str], object], ini: Callable[[str], object], env: Mapping[str, str] | None = None
) -> str:
    """Return the requested language, for messages before the other options are resolved; by default the system's."""
    (option,) = (option for option in OPTIONS if option.name == "lang")
    chosen = os.environ if env is None else env
    asked = _value(option, cli, ini, chosen)
    return asked if asked in CODES else language_of(chosen)


def shown_target(spec: str, place: str) -> str:
    """Return a target's specification with ``place`` for its folder; empty if the kind is unknown or it can't be shown safely."""
    try:
        kind, rest = parse_target(spec)
    except TargetError:
        return ""
    return kind.shown(rest, place)


def _value(option: Option, cli: Callable[[str], object], ini: Callable[[str], object], env: Mapping[str, str]) -> str:
    for candidate in (cli(option.ini), env.get(option.env), ini(option.ini)):
        if candidate not in (None, "", False):
            return str(candidate)
    return option.default


def _profile(value: str, config: str) -> str:
    if value == "fast" and config:
        raise OptionError(
            say(
                "expected --phase3-profile=default with --phase3-config, found fast: that profile's settings are among"
                " your own"
            )
        )
    return _among("profile", value or ("default" if config else "fast"), ("fast", "default"))


def _budget(value: str) -> Budget:
    try:
        return parse(value)
    except BudgetError as error:
        raise OptionError(*error.messages) from error


def _among(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise OptionError(
            say(
                "expected --phase3-{name} to be one of {allowed}, found {found}",
                name=name,
                allowed=", ".join(allowed),
                found=repr(value),
            )
        )
    return value


def _positive(name: str, value: str, *, whole: bool) -> float:
    try:
        number = int(value) if whole else float(value)
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        text = (
            say("expected --phase3-{name} to be a positive whole number, found {found}", name=name, found=repr(value))
            if whole
            else say("expected --phase3-{name} to be a positive number, found {found}", name=name, found=repr(value))
        )
        raise OptionError(text)
    return number
