"""Tell the bug that a control is for from the defects that the target has in every version."""

from __future__ import annotations

from collections.abc import Iterable

from harness.checks.judge import judge
from harness.record.comparison import Comparison
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict


def red_with_run_end(verdicts: Iterable[Verdict], expected: Iterable[str], pair: Record | None) -> tuple[str, ...]:
    """Return the red checks of a control that its run with ``run_end`` explains, since retention can't be their cause.

    A check that need not be red is explained if it is red with ``run_end`` too. A check that must be red is explained only by the
    same sentence: a version may lack a tile with ``run_end``, and more tiles with ``per_tile``.
    """
    red = {v.check: v for v in verdicts if v.gates and v.outcome is Outcome.FAIL}
    if pair is None or not red:
        return ()
    must = frozenset(expected)
    found = {v.check: v for v in judge(Comparison(pair), red) if v.gates and v.outcome is Outcome.FAIL}
    return tuple(
        sorted(
            name for name, v in found.items() if name not in must or v.sentence.render() == red[name].sentence.render()
        )
    )
