"""Read the user's checklist, and give each of its lines what the tests of a session concluded.

``docs/checklist.md`` holds the lines in the user's words. A test of the scenarios names the lines that it answers with
``@pytest.mark.checklist("A.3")``, or says ``@pytest.mark.checklist(beyond=True)`` where the checklist does not ask for it.

The marks are read from the source of the scenarios, not from the tests that a session collected: a session that leaves a test
out (``-k``, one module, ``--phase3-quick``) must not pass a line that needs this test.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.session.model import Requirement, TestEntry
from harness.verdict import Outcome, merge

# The section that the reviewer signs. A run of the embedded reference does not evaluate it.
DEFINITION_OF_DONE = "4) Definition of Done"
CHECKLIST = Path(__file__).resolve().parents[2] / "docs" / "checklist.md"
SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
# "## 1) Code review" has the lines 1.1, 1.2, …; "### Test A — Repro" has A.1, A.2, …
_SECTION = re.compile(r"##+ ((?:Test )?(\w+).*)")
_LINE = re.compile(r"\s*- (?:\[.\] )?(.+)")
_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the checklist: its id, section and words, and the ids of the tests that answer it (without parameters)."""

    id: str
    section: str
    text: str
    tests: tuple[str, ...]


def read_lines(checklist: Path = CHECKLIST, scenarios: Path = SCENARIOS) -> tuple[Line, ...]:
    """Read the lines of the checklist, each with the tests that are marked for it, in the order of their source.

    Raises
    ------
    ValueError
        When a mark names no line, or a test is not a plain function of its module.

    """
    marks = tuple(_marks(scenarios))
    lines: list[Line] = []
    section, part, count = "", "", Counter[str]()
    for row in checklist.read_text(encoding="utf-8").splitlines():
        if heading := _SECTION.fullmatch(row.rstrip()):
            section, part = heading[1], heading[2]
        elif item := _LINE.fullmatch(row.rstrip()):
            count[part] += 1
            name = f"{part}.{count[part]}"
            lines.append(Line(name, section, item[1], tuple(test for test, known in marks if known == name)))
    for test, name in marks:
        if name not in {line.id for line in lines}:
            raise ValueError(f"expected {test} to name a line of {checklist}, found {name!r}: correct its mark")
    return tuple(lines)


def _marks(scenarios: Path) -> Iterator[tuple[str, str]]:
    """Yield the id of each marked test with each line that its marks name."""
    for path in sorted(scenarios.glob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        # pytest also collects these; a line that they answer would pass without them.
        for node in ast.walk(tree):
            if isinstance(node, _NAMED) and node.name.lower().startswith("test") and node not in functions:
                raise ValueError(
                    f"expected tests as plain functions, found {node.name} in {path}: use no class and no async"
                )
        for test, mark in ((f"scenarios/{path.name}::{f.name}", mark) for f in functions for mark in f.decorator_list):
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.checklist":
                yield from ((test, ast.literal_eval(line)) for line in mark.args)


def evaluate(lines: Iterable[Line], tests: Iterable[TestEntry], *, self_test: bool) -> tuple[Requirement, ...]:
    """Give each line what its tests concluded. A line passes only if each of its tests was evaluated.

    For views use ``harness.session.rows``, which also asks on which cases the tests ran.
    """
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
    """Merge the outcomes of a line's tests. A pass becomes "not evaluated" if a test of the line was skipped or did not run."""
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
