"""Compare the verdicts and the figures of two sessions, or of two runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.checks.severity import worse as more_severe
from harness.checks.thresholds import Thresholds
from harness.compare.model import WAYS, FigureChange, VerdictChange, Way
from harness.language.message import Message
from harness.session.evidence import figures_of
from harness.session.model import JudgedRun, Session, TestEntry
from harness.verdict import Outcome, Verdict, rank

OTHER_VERSIONS = frozenset({"baseline", "baseline-pair", "control-pair"})
"""Roles whose verdicts are shown and never count: they are of versions without the patch."""

_JUDGED = (Outcome.FAIL, Outcome.UNKNOWN, Outcome.PASS)

Name = tuple[str, str, str]
"""Case, role and check."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A verdict with the judged run that it belongs to; a row of the guard rails belongs to none."""

    verdict: Verdict
    judged: JudgedRun | None

    @property
    def control(self) -> bool:
        """Whether it is a verdict on a version with the bug."""
        return self.judged is not None and self.judged.expected_red is not None

    @property
    def good(self) -> Outcome:
        """The outcome as it counts: on a control, red is right where it is expected."""
        outcome = self.verdict.outcome
        if (
            self.judged is None
            or self.judged.expected_red is None
            or self.verdict.check not in self.judged.expected_red
        ):
            return outcome
        return {Outcome.FAIL: Outcome.PASS, Outcome.PASS: Outcome.FAIL}.get(outcome, outcome)


def of_session(session: Session) -> Mapping[Name, _Known]:
    """Return the verdicts of a session by case, role and check; of several runs in a role, the worst."""
    found: dict[Name, _Known] = {}
    for judged in session.judged:
        for verdict in judged.verdicts:
            _keep_worst(found, (judged.case, judged.role, verdict.check), _Known(verdict, judged))
    for row in session.patch:
        _keep_worst(found, ("", "", row.check), _Known(row, None))
    return found


def of_run(session: Session, key: str) -> Mapping[Name, _Known]:
    """Return the verdicts on one run by check. They have no case and role: the two runs may differ in these."""
    found: dict[Name, _Known] = {}
    judged = next((j for j in session.judged if j.run == key), None)
    for verdict in judged.verdicts if judged is not None else ():
        found["", "", verdict.check] = _Known(verdict, None)
    return found


def _keep_worst(found: dict[Name, _Known], name: Name, known: _Known) -> None:
    other = found.setdefault(name, known)
    if rank(known.verdict.outcome) < rank(other.verdict.outcome):
        found[name] = known


def verdict_changes(
    before: Mapping[Name, _Known],
    after: Mapping[Name, _Known],
    tests: tuple[Iterable[TestEntry], Iterable[TestEntry]],
    limits: Thresholds,
) -> tuple[VerdictChange, ...]:
    """Return what changed, the worse first. A test that asserts the verdict of a check belongs to the change of that check."""
    changes = {name: change for name in {**before, **after} if (change := _change(name, before, after, limits))}
    alone: list[VerdictChange] = []
    for test in _test_changes(*tests):
        name = (test.case, test.role, test.check)
        with_it = changes.get(name)
        if with_it is not None and test.check and test.way in {with_it.way, "other"}:
            changes[name] = replace(with_it, tests=(*with_it.tests, *test.tests))
        else:
            alone.append(test)
    return tuple(sorted((*changes.values(), *alone), key=_order))


def _order(change: VerdictChange) -> tuple[int, int, str, str, str, tuple[str, ...]]:
    worst = rank(change.after) if change.after is not None else len(Outcome)
    return WAYS.index(change.way), worst, change.case, change.role, change.check, change.tests


def _change(
    name: Name, before: Mapping[Name, _Known], after: Mapping[Name, _Known], limits: Thresholds
) -> VerdictChange | None:
    one, two = before.get(name), after.get(name)
    case, role, check = name
    then, now = (None if known is None else known.verdict for known in (one, two))
    way = _way(None if one is None else one.good, None if two is None else two.good)
    if one is not None and two is not None and one.verdict.outcome is two.verdict.outcome:
        # A control that fails more is no worse: it must fail.
        way = None if one.control or two.control else _same_outcome(one.verdict, two.verdict, limits)
    if way is None:
        return None
    if role in OTHER_VERSIONS or _only_time(then, now):
        way = "other"
    return VerdictChange(
        case,
        role,
        check,
        (),
        then.outcome if then is not None else None,
        now.outcome if now is not None else None,
        way,
        then.sentence if then is not None else None,
        now.sentence if now is not None else None,
    )


def _only_time(before: Verdict | None, after: Verdict | None) -> bool:
    """Whether a change is that of a time which could not be measured: it counts on neither side."""
    known = [v for v in (before, after) if v is not None]
    return all(v.axis == "time" and v.outcome is not Outcome.FAIL for v in known)


def _same_outcome(before: Verdict, after: Verdict, limits: Thresholds) -> Way | None:
    """Compare two verdicts of one outcome: of two failures one may be worse."""
    if after.outcome is not Outcome.FAIL:
        return None
    if more_severe(after, before, limits):
        return "worse"
    return "better" if more_severe(before, after, limits) else None


def _way(before: Outcome | None, after: Outcome | None) -> Way | None:
    """Compare two outcomes. A pass that is not repeated is worse: missing evidence is no pass."""
    if before is after:
        return None
    if before in _JUDGED and after in _JUDGED and before is not None and after is not None:
        return "worse" if rank(after) < rank(before) else "better"
    if before is Outcome.PASS or after is Outcome.FAIL:
        return "worse"
    return "other"


def _test_changes(before: Iterable[TestEntry], after: Iterable[TestEntry]) -> Iterator[VerdictChange]:
    one, two = ({test.nodeid: test for test in tests} for tests in (before, after))
    for nodeid in {**one, **two}:
        then, now = one.get(nodeid), two.get(nodeid)
        outcomes = [None if test is None else test.outcome for test in (then, now)]
        way = _way(*outcomes)
        shown = now or then
        if way is not None and shown is not None:
            case, role, check = shown.case or "", shown.role or "", shown.check or ""
            if then is not None and not check:
                case, role, check = then.case or "", then.role or "", then.check or ""
            title = Message(shown.title)
            yield VerdictChange(case, role, check, (nodeid,), outcomes[0], outcomes[1], way, title, title)


def figure_changes(before: Mapping[Name, _Known], after: Mapping[Name, _Known]) -> Sequence[FigureChange]:
    """Return the figures that differ, in the order of the cases. A figure that neither side has is left out."""
    found = []
    for name in sorted({**before, **after}):
        case, role, check = name
        for figure in figures_of(check) if name in before and name in after else ():
            then, now = (
                None if known is None else figure.take(known.verdict.evidence)
                for known in (before.get(name), after.get(name))
            )
            if then != now:
                unit = figure.unit.name.lower()
                found.append(FigureChange(case, role, check, figure.label, unit, then, now))
    return found
