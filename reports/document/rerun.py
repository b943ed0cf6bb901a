"""Write the command that repeats a line of the checklist, with the session's options but without paths of its machine."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product

from harness.session.model import Session
from harness.session.options import OPTIONS, shown_target

PATH, PYTHON = "PATH", "PYTHON"
MOST = 8
"""The largest number of commands shown for one line."""
_DEFAULTS: Mapping[str, str] = {option.name: option.default for option in OPTIONS}
# An option is repeated only if its value has the expected form: a session file may contain anything.
_VALUES: Mapping[str, re.Pattern[str]] = {
    "profile": re.compile(r"fast|default"),
    "workers": re.compile(r"[1-9]\d*"),
    "seconds": re.compile(r"\d+(\.\d+)?"),
    "budget": re.compile(r"[\w., ]+"),
}
_PLACES: Mapping[str, str] = {"config": "CONFIG", "frames": "FRAMES"}
_NODE = re.compile(r"scenarios/\w+\.py::\w+")
# Words that cmd, PowerShell and Unix shells all leave unchanged. (PowerShell splits words at commas.)
_BARE = re.compile(r"--phase3-[a-z]+=[a-z0-9.]+")


def commands(tests: Sequence[str], session: Session) -> tuple[str, ...]:
    """Return the command that runs tests of the checklist again with a session's options; one per option set of its shards."""
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
    """Return the options that determined a session's runs; an old session has them only in its command."""
    return session.options or dict(_read(session.command))


def shown(known: Mapping[str, str]) -> dict[str, str]:
    """Return the options that determined the runs, without paths of a machine and without default targets."""
    targets = {role: found for role in ("baseline", "control") if (found := shown_target(known.get(role, ""), PATH))}
    places = {name: place for name, place in _PLACES.items() if known.get(name)}
    plain = {name: known[name] for name in (*_VALUES, "quick") if name in known}
    return {**plain, **targets, **places}


def _read(line: str) -> Iterator[tuple[str, str]]:
    """Read the options from a command line; those set by environment variables or an ini file are unknown."""
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
    """Put a word in double quotes, which all shells understand, if it has special characters or a placeholder for a path.

    No word contains a quote, a dollar or a backtick.
    """
    return word if _BARE.fullmatch(word) else f'"{word}"'


def _has_large_runs(tests: Sequence[str], session: Session) -> bool:
    """Return whether the budget, which is that of the large run, can change what the tests run.

    The session holds the scenario of its tests. A test without an entry there may be of the large run.
    """
    scenarios = {entry.nodeid.partition("[")[0]: entry.scenario for entry in session.tests}
    return any(scenarios.get(test, "B") == "B" for test in tests)


def _usual(name: str, value: str) -> bool:
    """Return whether the value equals the option's default."""
    from harness.session.budget import BudgetError, parse  # noqa: PLC0415 -- beside the options that it belongs to

    if name == "profile":
        return value == "fast"
    if name != "budget":
        return False
    try:
        return parse(value) == parse(_DEFAULTS["budget"])
    except BudgetError:
        return True


SEEN_IN = "scenarios/test_a_hole_repro.py"
"""The scenario whose quick case shows the hole."""
_COMMIT = re.compile(r"[0-9a-f]{7,40}")


def commands_to_see(session: Session, before: str) -> tuple[str, ...]:
    """Return the commands that show the hole and its absence within a minute: the version ``before`` the patch, then this one.

    ``before`` is the label of its target. Its command is left out if it names no commit.
    """
    again = shown_target(session.kind.again(session.identity, PATH) or "", PATH) or session.kind.name
    commit = before.rpartition(" ")[2]
    kind, known = again.partition(":")[0], _COMMIT.fullmatch(commit)
    targets = [f"{kind}:{PATH}@{commit}"] if known and session.kind.versioned else []
    place = [_quoted(f"--phase3-python={PYTHON}")] if session.kind.libraries else []
    return tuple(
        " ".join(
            ["python -m pytest -m phase3", SEEN_IN, "--phase3-quick", _quoted(f"--phase3-target={target}"), *place]
        )
        for target in (*targets, again)
    )
