"""Compare how bad two failed verdicts of the same check are, by the figures that the check declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from harness.analysis.figure import Evidence, Figure, Numbers, Unit, rows_in
from harness.checks.findings import new_findings
from harness.checks.judge import ALL
from harness.checks.thresholds import Thresholds
from harness.verdict import Verdict

# The meaning of the numbers of each unit: the larger the result, the worse. Checks whose figure counts what is right are below.
_FIRST: Callable[[Numbers], float] = lambda numbers: numbers[0]  # noqa: E731 -- a name for a table
_BAD: Mapping[Unit, Callable[[Numbers], float]] = MappingProxyType(
    {
        Unit.COUNT: _FIRST,
        Unit.SHARE: _FIRST,
        Unit.RATIO: _FIRST,
        Unit.INTERVAL: lambda numbers: numbers[1],  # the lower end: what noise does not explain
        Unit.PERCENT: _FIRST,
        Unit.SKY: lambda numbers: numbers[2],
        Unit.AREA: lambda numbers: numbers[1],
        Unit.NEW: _FIRST,
    }
)


def worse(verdict: Verdict, before: Verdict, limits: Thresholds) -> bool:
    """Return whether a failed verdict is worse than the failed verdict of another run in one of its figures.

    Figures that the evidence of the other run lacks are not compared.
    """
    check = ALL.get(verdict.check)
    if check is None or verdict.check != before.check:
        return False
    if verdict.axis == "quality":
        return bool(new_findings(verdict.evidence, [before.evidence], limits))
    if verdict.check == "parity":
        return _largest_difference(verdict.evidence) > (1 + limits["findings.floor"]) * _largest_difference(
            before.evidence
        )
    figures = (*check.figures, *(figure for part in check.parts.values() for figure in part))
    pairs = ((_bad(figure, verdict), _bad(figure, before)) for figure in figures)
    floor = 1 + limits["findings.floor"]
    return any(now is not None and then is not None and now > floor * then for now, then in pairs)


def _bad(figure: Figure, verdict: Verdict) -> float | None:
    numbers = figure.take(verdict.evidence)
    if numbers is None or figure.unit not in _BAD:
        return None
    if figure.unit is Unit.SHARE and figure.more_is_better:
        return numbers[1] - numbers[0]
    return _BAD[figure.unit](numbers)


def _largest_difference(evidence: Evidence) -> float:
    """Return the largest difference of an image, over all runs that it was compared with."""
    images = (image for row in rows_in(evidence, "compared") or () for image in rows_in(row, "images") or ())
    found = (image.get("most") for image in images)
    return max((float(most) for most in found if isinstance(most, int | float)), default=0.0)
