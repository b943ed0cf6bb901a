"""Work out the rows of a validation: each line of the checklist with its outcome, a sentence on it, and its scope.

Every view takes its rows from here: ``session.json``, the page, the summary, the terminal, JUnit, and the Definition of Done of
several sessions. So a line has the same outcome in all of them.

A line passes only if each of its tests passed, on each synthetic case of the target that the test is for. These cases need no
download, so a session that lacks one left it out, and its pass would be half of the proof. So the lines of a quick session, or
of a session on a user's frames, are not evaluated; their scope says on which cases they pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harness.language.message import Message, counted, say
from harness.session.checklist import DEFINITION_OF_DONE, Line, evaluate, read_lines
from harness.session.model import Requirement, Session, TestEntry
from harness.verdict import Outcome

MAX_NAMES = 6
"""Tests or cases that a sentence names; it counts the others."""

OWN_DATA = "A.1"
"""The line that asks for the very dataset and settings of the user. Other cases stand in for it, and can't make it pass."""

PartOf = Literal["cases", "lines"]

_SKIPPED = (Outcome.NOT_APPLICABLE, Outcome.NOT_EVALUATED)


def with_rows(session: Session, lines: Iterable[Line] | None = None) -> Session:
    """Return a session with the rows of these lines, by default of its own, as the current checklist has them."""
    own = {row.id for row in session.requirements}
    asked = (line for line in _lines_of((session,)) if line.id in own) if lines is None else lines
    return replace(session, requirements=rows((session,), asked))


def rows(sessions: Sequence[Session], lines: Iterable[Line] | None = None) -> tuple[Requirement, ...]:
    """Return the lines of the checklist with what the tests of some sessions of one target concluded together.

    ``lines`` are by default those of the current checklist. A line that a session knows with further tests needs these too.
    """
    found = _Found(tuple(sessions))
    self_test = sessions[0].self_test
    asked = tuple(_lines_of(sessions) if lines is None else lines)
    return tuple(_row(row, found, self_test=self_test) for row in evaluate(asked, found.tests, self_test=self_test))


def cases_not_run(test: str, sessions: Sequence[Session]) -> tuple[str, ...]:
    """Return the synthetic cases of the target on which a test is to run, and on which no session ran it."""
    return _Found(tuple(sessions)).missing(test)


def waits_for_own_data(row: Requirement) -> bool:
    """Return whether a line asks for the user's own dataset, and was not run on one. A case of a user's run counts as one."""
    from fixtures import catalogue  # noqa: PLC0415 -- slow to load, and most commands need no rows

    known = {case.name for case in (*catalogue.CASES, catalogue.QUICK_CASE)}
    return row.id == OWN_DATA and known.issuperset(row.cases)


def run_of(session: Session) -> tuple[int, int, PartOf]:
    """Return how much of a validation a session ran, and of how much: of its cases if one is missing, else of its lines.

    The lines are those of the Definition of Done; a run of the embedded reference evaluates none of them.
    """
    cases = {case for row in session.requirements for case in row.cases}
    missing = {case for row in session.requirements for case in row.missing} - cases
    if missing:
        return len(cases), len(cases) + len(missing), "cases"
    outcomes = [
        row.outcome for row in session.requirements if row.section == DEFINITION_OF_DONE and not session.self_test
    ]
    return len(outcomes) - outcomes.count(Outcome.NOT_EVALUATED), len(outcomes), "lines"


def plain(nodeid: str) -> str:
    """Return the id of a test without its parameters."""
    return nodeid.partition("[")[0]


@dataclass(frozen=True, slots=True)
class _Found:
    """The tests of some sessions of one target."""

    sessions: tuple[Session, ...]

    @property
    def tests(self) -> tuple[TestEntry, ...]:
        return tuple(test for session in self.sessions for test in session.tests)

    def of(self, names: Iterable[str]) -> list[TestEntry]:
        wanted = set(names)
        return [test for test in self.tests if plain(test.nodeid) in wanted]

    def missing(self, name: str) -> tuple[str, ...]:
        from fixtures import catalogue  # noqa: PLC0415 -- slow to load, and most commands need no rows

        entries = [entry for entry in self.of((name,)) if entry.case]
        asked = {entry.case for entry in entries if entry.outcome is not Outcome.NOT_EVALUATED}
        kind, marks = self.sessions[0].kind, {(entry.scenario, entry.occasion) for entry in entries}
        return tuple(
            case.name
            for case in catalogue.CASES
            if case.kind == "synthetic"
            and case.suits(kind)
            and case.name not in asked
            and any(case.is_for(*mark) for mark in marks)
        )


def _lines_of(sessions: Sequence[Session]) -> tuple[Line, ...]:
    """Return the lines of the current checklist, with the further tests and lines that the sessions know."""
    known = {line.id: line for line in read_lines()}
    for row in (row for session in sessions for row in session.requirements):
        line = known.get(row.id)
        if line is None or line.text != row.text:
            known[row.id] = Line(row.id, row.section, row.text, row.tests)
        else:
            known[row.id] = replace(line, tests=tuple(dict.fromkeys((*line.tests, *row.tests))))
    return tuple(known.values())


def _row(row: Requirement, found: _Found, *, self_test: bool) -> Requirement:
    """Complete a row: its scope, its sentence, and an outcome that respects the scope."""
    tests = found.of(row.tests)
    cases = tuple(sorted({t.case for t in tests if t.case and t.outcome not in _SKIPPED}))
    missing = tuple(dict.fromkeys(case for name in row.tests for case in found.missing(name)))
    row = replace(row, cases=cases, missing=missing)
    if self_test and row.section == DEFINITION_OF_DONE:
        return replace(row, reason=say("A run of the embedded reference says nothing about this line."))
    doubts = [doubt for session in found.sessions for doubt in session.doubts]
    if doubts and row.outcome is Outcome.PASS:
        return replace(row, outcome=Outcome.UNKNOWN, reason=doubts[0])
    if row.outcome is Outcome.PASS and (missing or waits_for_own_data(row)):
        row = replace(row, outcome=Outcome.NOT_EVALUATED)
    each = [{t.outcome for t in tests if plain(t.nodeid) == name} for name in row.tests]
    without_question = bool(each) and all(outcomes == {Outcome.NOT_APPLICABLE} for outcomes in each)
    if without_question and row.section != DEFINITION_OF_DONE:
        row = replace(row, outcome=Outcome.NOT_APPLICABLE)
    return replace(row, reason=_sentence(row, tests))


def _sentence(row: Requirement, tests: Sequence[TestEntry]) -> Message:
    """Say what the outcome of a row rests on."""
    named = _listed(sorted(t.nodeid.rpartition("::")[2] for t in tests if t.outcome is row.outcome))
    sentences = {
        Outcome.FAIL: say("Tests that fail: {names}.", names=named),
        Outcome.UNKNOWN: say("Tests that could not conclude: {names}.", names=named),
        Outcome.NOT_APPLICABLE: say("No test of this line applies to this target."),
        Outcome.PASS: say("Passes on: {cases}.", cases=_listed(row.cases)) if row.cases else say("All its tests pass."),
    }
    return sentences[row.outcome] if row.outcome in sentences else _open(row, tests)


def _open(row: Requirement, tests: Sequence[TestEntry]) -> Message:
    """Say what a row that was not evaluated lacks."""
    evaluated = {plain(t.nodeid) for t in tests if t.outcome not in _SKIPPED}
    left = [name.rpartition("::")[2] for name in row.tests if name not in evaluated]
    if not row.tests:
        return say("No test answers this line.")
    if waits_for_own_data(row):
        return counted(
            "Not run: the dataset is yours. {count} case stood in for it and did not fail. Run yours with "
            "--phase3-frames=FOLDER --phase3-config=FILE.",
            "Not run: the dataset is yours. {count} cases stood in for it, and none failed. Run yours with "
            "--phase3-frames=FOLDER --phase3-config=FILE.",
            count=len(row.cases),
        )
    if left:
        return say("Tests that were not evaluated: {names}.", names=_listed(left))
    return say(
        "Passes on: {cases}. Cases that were not run: {missing}.",
        cases=_listed(row.cases) or "–",
        missing=_listed(row.missing),
    )


def _listed(names: Sequence[str]) -> str:
    known = list(dict.fromkeys(names))
    more = f", … ({len(known) - MAX_NAMES})" if len(known) > MAX_NAMES else ""
    return ", ".join(known[:MAX_NAMES]) + more
