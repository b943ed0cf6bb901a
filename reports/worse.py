"""Explain a figure that looks worse with the patch than before, and is not: the run with ``run_end`` has the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.analysis.figure import Numbers, Unit
from harness.language.catalogue import Language
from harness.session.decision import BEFORE, DecisionRow, Decisive
from harness.session.evidence import figures_of
from harness.session.model import JudgedRun, Session
from reports.brief import in_words

_LESS_IS_BETTER = frozenset({Unit.COUNT, Unit.RATIO, Unit.SKY, Unit.AREA, Unit.INTERVAL, Unit.PERCENT})


def explained(row: DecisionRow, session: Session, lang: Language) -> str:
    """Return why a line that does not fail has figures that look worse with the patch; empty if none does."""
    looks_worse = [found for found in row.figures if _is_worse(found)]
    if row.failing or row.unknown or not looks_worse:
        return ""
    said = []
    subjects = [j for j in session.judged if j.role == "subject" and j.case in row.row.cases]
    pairs = [other for j in subjects for other in session.judged if (other.case, other.run) == (j.case, j.pair)]
    for found in looks_worse:
        taken = [numbers for pair in pairs if (numbers := _taken(found, pair)) is not None]
        if taken and found.figure.join(taken) == found.after:
            said.append(lang.say("{figure}: the same with run_end.", figure=in_words(found, lang)))
    made, every = _tiles(j for j in session.judged if j.role in BEFORE[:1] and j.case in row.row.cases)
    if said and made < every:
        lost = lang.counted(
            "The version before lost {count} of {all} tiles.",
            "The version before lost {count} of {all} tiles.",
            count=every - made,
            all=every,
        )
        said.append(lost)
    return " ".join(said)


def _is_worse(found: Decisive) -> bool:
    """Return whether a figure looks worse with the patch."""
    before, after = found.before, found.after
    if before is None:
        return False
    if found.figure.unit is Unit.SHARE:
        here, there = after[0] * before[1], before[0] * after[1]
        return here < there if found.figure.more_is_better else here > there
    return found.figure.unit in _LESS_IS_BETTER and after[0] > before[0]


def _taken(found: Decisive, judged: JudgedRun) -> Numbers | None:
    """Return the same figure of another run."""
    return next((found.figure.take(v.evidence) for v in judged.verdicts if v.check == found.check), None)


def _tiles(runs: Iterable[JudgedRun]) -> tuple[int, int]:
    """Return how many tiles some runs made, and how many they should have made."""
    shares = list(_shares(runs))
    return sum(int(made) for made, _ in shares), sum(int(every) for _, every in shares)


def _shares(runs: Iterable[JudgedRun]) -> Iterator[Numbers]:
    figures = [figure for figure in figures_of("tiles") if figure.unit is Unit.SHARE][:1]
    for verdict in (v for run in runs for v in run.verdicts if v.check == "tiles"):
        yield from (numbers for figure in figures if (numbers := figure.take(verdict.evidence)) is not None)
