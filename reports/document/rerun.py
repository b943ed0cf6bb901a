"""The command that repeats a line of the checklist, with the options that a session had and no place of this machine."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product

from harness.session.model import Session
from harness.session.options import OPTIONS, shown_target

PATH, PYTHON = "PATH", "PYTHON"
MOST = 8
"""More commands than these for one line say nothing more."""
_DEFAULTS: Mapping[str, str] = {option.name: option.default for option in OPTIONS}
# Told as they were, when they look like what they are: a session may hold anything.
_VALUES: Mapping[str, re.Pattern[str]] = {
    "profile": re.compile(r"fast|default"),
    "workers": re.compile(r"[1-9]\d*"),
    "seconds": re.compile(r"\d+(\.\d+)?"),
    "budget": re.compile(r"[\w., ]+"),
}
_PLACES: Mapping[str, str] = {"config": "CONFIG", "frames": "FRAMES"}
_NODE = re.compile(r"scenarios/\w+\.py::\w+")
# What cmd, PowerShell and the shells of Unix all leave as it is. A comma makes two words in PowerShell.
_BARE = re.compile(r"--phase3-[a-z]+=[a-z0-9.]+")


def commands(tests: Sequence[str], session: Session) -> tuple[str, ...]:
    """Return what runs tests of the checklist again, as a session did: one command, or several for shards with other options.

    Parameters
    ----------
    tests
        The ids of the tests, without parameters.
    session
        The session whose options are meant.

    """
    nodes = [_quoted(test) for test in tests if _NODE.fullmatch(test)]
    known = {
        name: value
        for name, value in settings_of(session).items()
        if name != "budget" or _has_large_runs(tests, session)
    }
    each = (dict(zip(known, values, strict=True)) for values in product(*(v.split("; ") for v in known.values())))
    lines = (" ".join(["python -m pytest -m phase3", *nodes, *_options(session, options)]) for options in each)
    return tuple(dict.fromkeys(islice(lines, MOST)))


def settings_of(session: Session) -> Mapping[str, str]:
    """Return the options that decided on a session's runs: those that it holds, else those of its command."""
    return session.options or dict(_read(session.command))


def shown(known: Mapping[str, str]) -> dict[str, str]:
    """Return the options that decide on the runs as they may be shown: no place of a machine, and no default of a target."""
    targets = {role: found for role in ("baseline", "control") if (found := shown_target(known.get(role, ""), PATH))}
    places = {name: place for name, place in _PLACES.items() if known.get(name)}
    plain = {name: known[name] for name in (*_VALUES, "quick") if name in known}
    return {**plain, **targets, **places}


def _read(line: str) -> Iterator[tuple[str, str]]:
    """Read the options from the command of a session that does not hold them. An environment or an ini file is not seen."""
    try:
        words = shlex.split(line.partition("\n")[0])
    except ValueError:
        return
    for n, word in enumerate(words):
        name, equals, value = word.removeprefix("--phase3-").partition("=")
        if word.startswith("--phase3-") and name in _DEFAULTS:
            flag = next(option.flag for option in OPTIONS if option.name == name)
            yield name, "true" if flag else value if equals else next(iter(words[n + 1 : n + 2]), "")


def _options(session: Session, known: Mapping[str, str]) -> Iterator[str]:
    again = session.kind.again(session.identity, PATH) or ""
    yield _quoted(f"--phase3-target={shown_target(again, PATH) or session.kind.name}")
    for role in ("baseline", "control"):
        if found := shown_target(known.get(role, ""), PATH):
            yield _quoted(f"--phase3-{role}={found}")
    if session.kind.libraries:
        yield _quoted(f"--phase3-python={PYTHON}")
    for name, pattern in _VALUES.items():
        value = known.get(name, "")
        if pattern.fullmatch(value) and value != _DEFAULTS[name] and not _usual(name, value):
            yield _quoted(f"--phase3-{name}={value}")
    yield from (_quoted(f"--phase3-{name}={place}") for name, place in _PLACES.items() if known.get(name))
    if known.get("quick"):
        yield "--phase3-quick"


def _quoted(word: str) -> str:
    """Quote a word where a shell may read more in it, or a place be put in, in the way that all of them know.

    No word holds a quote, a dollar or a backtick.
    """
    return word if _BARE.fullmatch(word) else f'"{word}"'


def _has_large_runs(tests: Sequence[str], session: Session) -> bool:
    """Return whether the budget, which is that of the large run, can change what the tests run.

    The session holds the scenario of its tests. A test without an entry there may be of the large run.
    """
    scenarios = {entry.nodeid.partition("[")[0]: entry.scenario for entry in session.tests}
    return any(scenarios.get(test, "B") == "B" for test in tests)


def _usual(name: str, value: str) -> bool:
    """Whether a value says in other words what goes without saying."""
    from harness.session.budget import BudgetError, parse  # noqa: PLC0415 -- beside the options that it belongs to

    if name == "profile":
        return value == "fast"
    if name != "budget":
        return False
    try:
        return parse(value) == parse(_DEFAULTS["budget"])
    except BudgetError:
        return True
