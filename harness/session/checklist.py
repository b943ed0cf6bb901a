"""The user's checklist, line by line, and what the tests of a session concluded on each line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.session.model import Requirement, TestEntry
from harness.verdict import Outcome, merge

# The section that the reviewer signs: a run of the embedded reference says nothing on it.
DEFINITION_OF_DONE = "4) Definition of Done"
_SCENARIO = re.compile(r"\btest_([a-z])_\w+\.py::")
DEFAULT = Path(__file__).resolve().parents[2] / "docs" / "requirements.toml"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the checklist: its id, section, words, and the tests that judge it (without parameters)."""

    id: str
    section: str
    text: str
    tests: tuple[str, ...]


def read_lines(path: Path = DEFAULT) -> tuple[Line, ...]:
    """Read the requirement map. Raises ``ValueError`` when an id stands twice or a line lacks a part."""
    lines: list[Line] = []
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["line"]:
        missing = {"id", "section", "text", "tests"} - set(entry)
        if missing:
            raise ValueError(
                f"expected every line of {path} to have {', '.join(sorted(missing))}, found {entry}: add them"
            )
        if any(line.id == entry["id"] for line in lines):
            raise ValueError(f"expected each id of {path} once, found {entry['id']!r} twice: give one another id")
        lines.append(Line(entry["id"], entry["section"], entry["text"], tuple(entry["tests"])))
    return tuple(lines)


def evaluate(lines: Iterable[Line], tests: Iterable[TestEntry], *, self_test: bool) -> tuple[Requirement, ...]:
    """Give each line what its tests concluded. A line of which any test did not run, or was skipped, can't pass."""
    ran = tuple(tests)
    return tuple(
        Requirement(
            line.id,
            line.section,
            line.text,
            line.tests,
            Outcome.NOT_EVALUATED if self_test and line.section == DEFINITION_OF_DONE else _outcome(line, ran),
        )
        for line in lines
    )


def _outcome(line: Line, tests: tuple[TestEntry, ...]) -> Outcome:
    """Merge the line's tests. A line passes only when every test that it names was evaluated: part of the proof is none."""
    outcomes: list[Outcome] = []
    complete = bool(line.tests)
    for name in line.tests:
        found = [t.outcome for t in tests if t.nodeid.partition("[")[0] == name]
        evaluated = [o for o in found if o not in (Outcome.NOT_APPLICABLE, Outcome.NOT_EVALUATED)]
        complete = complete and bool(evaluated)
        outcomes += evaluated
    merged = merge(outcomes)
    if not outcomes or (merged is Outcome.PASS and not complete):
        return Outcome.NOT_EVALUATED
    return merged


def scenario_of(nodeid: str) -> str:
    """Return the letter of the scenario that a test belongs to; nothing for another test."""
    match = _SCENARIO.search(nodeid)
    return match[1].upper() if match else ""
