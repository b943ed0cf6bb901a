"""Work out what each line of the checklist rests on: the figures that decide it, before and after the patch, and its scope.

The page, the summary, the terminal, ``dod`` and the sign-off show the same figures, taken from here. A figure is read from the
verdicts on the version under test. Its value before the patch is that of the same check on the run before the patch of the same
case. It is left out unless each case has one: values over different cases can't be compared.

A line may rest on several sessions of one target (``harness.session.definition_of_done``): its figures are joined over the cases
of all of them. A case that two sessions ran counts twice, before and after.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from harness.analysis.figure import Figure, Numbers
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.evidence import figures_of
from harness.session.model import JudgedRun, Requirement, Session, TestEntry
from harness.session.rows import plain
from harness.verdict import Outcome, Verdict

DECISIVE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "A": ("holes", "tiles", "warnings"),
        "B": ("disk", "cost"),
        "C": ("fallback", "tiles", "parity"),
        "D": ("fallback", "tiles", "holes"),
    }
)
"""The checks that decide a line of the Definition of Done, by the scenario of its tests."""

BEFORE = ("baseline", "control")
"""The roles of a run before the patch, the first that a case has."""

_SKIPPED = (Outcome.NOT_APPLICABLE, Outcome.NOT_EVALUATED)


@dataclass(frozen=True, slots=True)
class Decisive:
    """A figure that decides a line: its numbers with the patch, over all cases, and before it (``None`` if a case has none).

    ``runs`` is the number of runs that it is joined over.
    """

    check: str
    figure: Figure
    after: Numbers
    before: Numbers | None
    runs: int = 1


@dataclass(frozen=True, slots=True)
class Scope:
    """On how many cases a line was evaluated, by the kind of their frames, and how many synthetic cases were not run."""

    synthetic: int
    observed: int
    own: int
    missing: int

    @property
    def run(self) -> int:
        """The number of cases that were run."""
        return self.synthetic + self.observed + self.own


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """A line of the checklist with the figures that decide it, and its scope.

    ``failing`` are the verdicts on the version under test that turn the line red, ``unknown`` those that leave it open.
    """

    row: Requirement
    figures: tuple[Decisive, ...]
    scope: Scope
    failing: tuple[tuple[Verdict, JudgedRun], ...] = ()
    unknown: tuple[tuple[Verdict, JudgedRun], ...] = ()


def decision(session: Session) -> tuple[DecisionRow, ...]:
    """Return the lines of the Definition of Done."""
    return tuple(row_of(row, session) for row in session.requirements if row.section == DEFINITION_OF_DONE)


def row_of(row: Requirement, session: Session) -> DecisionRow:
    """Return a line of the checklist with its figures and its scope."""
    return row_over(row, (session,))


def row_over(row: Requirement, sessions: Sequence[Session]) -> DecisionRow:
    """Return a line of the checklist with its figures over the cases of several sessions of one target."""
    evaluated = [(session, _evaluated(row, session)) for session in sessions]
    tests = [test for _, found in evaluated for test in found]
    asked = _asked(tests, whole=row.section == DEFINITION_OF_DONE)
    figures = tuple(found for check, part in asked for found in _decisive(check, part, evaluated))
    subjects = [j for session, found in evaluated for j in _subjects(found, session)]
    named = {test.check for test in tests if test.check is not None}
    whole = any(test.check is None and test.role == "subject" for test in tests)
    off = [(v, j) for j in subjects for v in j.verdicts if v.gates and (whole or v.check in named)]
    return DecisionRow(
        row,
        figures,
        _scope(row),
        failing=tuple(pair for pair in off if pair[0].outcome is Outcome.FAIL),
        unknown=tuple(pair for pair in off if pair[0].outcome is Outcome.UNKNOWN),
    )


def most_telling(row: DecisionRow, most: int) -> tuple[Decisive, ...]:
    """Return the figures of a line that tell most: those of checks that decide against it, then those over most runs.

    Among these the order of the line holds, and the order of the line is that of the result.
    """
    against = {verdict.check for verdict, _ in (*row.failing, *row.unknown)}
    ranked = sorted(row.figures, key=lambda found: (found.check not in against, -found.runs))[:most]
    return tuple(found for found in row.figures if found in ranked)


def _evaluated(row: Requirement, session: Session) -> list[TestEntry]:
    """Return the tests of a line that a session evaluated."""
    return [test for test in session.tests if plain(test.nodeid) in row.tests and test.outcome not in _SKIPPED]


def _subjects(tests: Iterable[TestEntry], session: Session) -> Iterable[JudgedRun]:
    """Return the runs of the version under test that some tests judged, each once."""
    judged = {(test.case, test.run): judged_by(test, session) for test in tests}
    return [run for run in judged.values() if run is not None and run.role == "subject"]


def judged_by(test: TestEntry, session: Session) -> JudgedRun | None:
    """Return the run that a test judged, with all verdicts on it."""
    same = (j for j in session.judged if (j.case, j.run, j.role) == (test.case, test.run, test.role))
    return next(same, None)


def _asked(tests: Sequence[TestEntry], *, whole: bool) -> Iterator[tuple[str, str | None]]:
    """Yield the checks, with their part, whose figures a line shows.

    A line of the Definition of Done rests on whole scenarios; the most telling checks of these are shown. Another line shows the
    checks that its tests assert.
    """
    scenarios = sorted({test.scenario for test in tests}) if whole else []
    by_scenario = [(check, None) for scenario in scenarios for check in DECISIVE.get(scenario, ())]
    rails = [(t.check, t.part) for t in tests if t.check is not None and t.run is None]
    named = [] if whole else [(t.check, t.part) for t in tests if t.check is not None and t.role in ("subject", None)]
    yield from dict.fromkeys((*by_scenario, *rails, *named))


def _decisive(
    check: str, part: str | None, evaluated: Sequence[tuple[Session, Sequence[TestEntry]]]
) -> Iterator[Decisive]:
    """Yield for each run the first figure of a check that its verdict has, joined over the runs that have the same."""
    if any(test.check == check and test.run is None for _, tests in evaluated for test in tests):
        yield from _of_patch(check, [session for session, _ in evaluated])
        return
    left = [(run, session) for session, tests in evaluated for run in _judged_as("subject", tests, session)]
    for figure in figures_of(check, part):
        found = [(run, session, _taken(figure, check, run)) for run, session in left]
        left = [(run, session) for run, session, numbers in found if numbers is None]
        after = [(run, session, numbers) for run, session, numbers in found if numbers is not None]
        if not after:
            continue
        runs_before = (before_of(run, session) for run, session, _ in after)
        before = [None if run is None else _taken(figure, check, run) for run in runs_before]
        complete = [numbers for numbers in before if numbers is not None]
        joined = figure.join(complete) if len(complete) == len(after) else None
        yield Decisive(check, figure, figure.join([numbers for _, _, numbers in after]), joined, len(after))


def _of_patch(check: str, sessions: Iterable[Session]) -> Iterator[Decisive]:
    """Yield the first figure of a row of the guard rails; its verdict is on both versions.

    Sessions with the same numbers reviewed the same patch, which counts once.
    """
    verdicts = [verdict for session in sessions for verdict in session.patch if verdict.check == check]
    for figure in figures_of(check):
        found = dict.fromkeys(n for verdict in verdicts if (n := figure.take(verdict.evidence)) is not None)
        if found:
            yield Decisive(check, figure, figure.join(list(found)), None)
            return


def _taken(figure: Figure, check: str, run: JudgedRun) -> Numbers | None:
    """Return the numbers of a figure in the verdict of a check on a run."""
    return next((figure.take(verdict.evidence) for verdict in run.verdicts if verdict.check == check), None)


def _judged_as(role: str, tests: Iterable[TestEntry], session: Session) -> list[JudgedRun]:
    """Return the judged runs of the cases of some tests in a role, each once."""
    cases = {test.case for test in tests if test.case is not None}
    return [judged for judged in session.judged if judged.case in cases and judged.role == role]


def before_of(run: JudgedRun, session: Session) -> JudgedRun | None:
    """Return the run before the patch of the same case; of the same kind of target as the baseline where there is one."""
    same = {judged.role: judged for judged in session.judged if judged.case == run.case}
    kinds = {entry.key: entry.target for entry in session.runs}
    for role in BEFORE:
        found = same.get(role)
        # The control of SDS and grid mode is the embedded reference also with a real target: not this target before the patch.
        if found is not None and (role == "baseline" or kinds.get(found.run, "").split(" ")[0] == session.target_kind):
            return found
    return None


def _scope(row: Requirement) -> Scope:
    """Count the cases of a line by the kind of their frames. A case that the catalogue does not have is the user's own."""
    from fixtures import catalogue  # noqa: PLC0415 -- slow to load, and most commands need no scope

    kinds = {case.name: case.kind for case in (*catalogue.CASES, catalogue.QUICK_CASE)}
    found = [kinds.get(case, "user") for case in row.cases]
    return Scope(found.count("synthetic"), found.count("real"), found.count("user"), len(row.missing))
