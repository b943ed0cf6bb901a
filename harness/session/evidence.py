"""Read the numbers of verdicts for reports. Each check declares how its evidence is read; reports know no keys of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from harness.analysis.figure import Evidence, Figure, Numbers
from harness.checks import cost, fallback, holes
from harness.checks.judge import ALL
from harness.patch.guard_rails import ROWS, Removing, removing
from harness.session.model import JudgedRun, Session
from harness.verdict import Verdict


def figures_of(check: str, part: str | None = None) -> tuple[Figure, ...]:
    """Return the figures of a check, of a part of it, or of a row of the guard rails; empty for an unknown name."""
    if check in ROWS:
        return ROWS[check].figures
    known = ALL.get(check)
    if known is None:
        return ()
    return known.figures if part is None else known.parts.get(part, ())


def reports_no_gpu(judged: JudgedRun) -> bool:
    """Return whether the target reported in a run that it can't use a GPU."""
    return fallback.reports_no_gpu(_evidence(judged, fallback.CHECK.name))


def phase_3_ratio(judged: JudgedRun) -> cost.Measured | None:
    """Return the duration of Phase 3 relative to ``run_end``, if the cost check measured it."""
    return cost.measured_ratio(_evidence(judged, cost.CHECK.name))


def bookkeeping_exponent(judged: JudgedRun) -> cost.Measured | None:
    """Return the exponent by which bookkeeping grows with the inputs, if the cost check measured it."""
    return cost.measured_exponent(_evidence(judged, cost.CHECK.name))


def hole_outlines(judged: JudgedRun) -> Mapping[str, NDArray[np.float64]]:
    """Return the outlines of the holes of a run on the sky, by number."""
    return holes.outlines_in(_evidence(judged, holes.CHECK.name))


def holes_with_run_end(judged: JudgedRun) -> Numbers | None:
    """Return count and area, in square arcminutes, of the holes that the run with ``run_end`` has too; ``None`` without one."""
    return holes.shared_holes(_evidence(judged, holes.CHECK.name))


def places_of_removal(session: Session, version: str) -> tuple[Removing, ...]:
    """Return where a version, ``before`` or ``after`` the patch, removes caches in its source; empty without a review."""
    row = next((verdict for verdict in session.patch if verdict.check == "1.2"), None)
    return removing(row.evidence, version) if row is not None else ()


def to_read(verdict: Verdict) -> Evidence:
    """Return the evidence of a verdict without the curves and outlines, which reports draw."""
    drawn = known.drawn if (known := ALL.get(verdict.check)) is not None else ()
    return {key: value for key, value in verdict.evidence.items() if key not in drawn}


def _evidence(judged: JudgedRun, check: str) -> Evidence:
    return next((verdict.evidence for verdict in judged.verdicts if verdict.check == check), {})
