"""The user's checklist, line by line, and what the tests of a session concluded on each line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.session import Requirement, RowOutcome, TestEntry
from harness.verdict import Outcome, merge

# The section that the reviewer signs: a run of the embedded reference says nothing on it.
DEFINITION_OF_DONE = "4) Definition of Done"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the checklist: its id, section, words, and the tests that judge it (without parameters)."""

    id: str
    section: str
    text: str
    tests: tuple[str, ...]


def read_lines(path: Path) -> tuple[Line, ...]:
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
    """Give each line what its tests concluded. A line whose tests did not run, or were all skipped, is ``not evaluated``."""
    ran = tuple(tests)
    return tuple(
        Requirement(
            line.id,
            line.section,
            line.text,
            line.tests,
            "not evaluated" if self_test and line.section == DEFINITION_OF_DONE else _outcome(line, ran),
        )
        for line in lines
    )


def _outcome(line: Line, tests: tuple[TestEntry, ...]) -> RowOutcome:
    outcomes = [
        Outcome(t.outcome) for t in tests if t.nodeid.partition("[")[0] in line.tests and t.outcome != "not evaluated"
    ]
    evaluated = [o for o in outcomes if o is not Outcome.NOT_APPLICABLE]
    return merge(evaluated).value if evaluated else "not evaluated"
