"""The checks: pure functions from records to verdicts, one module a question."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from harness.checks import (
    accuracy,
    content,
    cost,
    depth,
    disk,
    fallback,
    holes,
    logs,
    parity,
    products,
    tiles,
    truth,
    warnings,
)
from harness.checks import cache as _cache
from harness.checks.base import Check, Runs
from harness.checks.premises import baseline_of, standard
from harness.checks.thresholds import Thresholds, read_thresholds
from harness.language.message import SaidError, say
from harness.record.comparison import Comparison
from harness.verdict import Outcome, Verdict

ALL: Mapping[str, Check] = MappingProxyType(
    {
        check.name: check
        for check in (
            warnings.CHECK,
            tiles.CHECK,
            holes.CHECK,
            depth.CHECK,
            _cache.CHECK,
            products.CHECK,
            disk.CHECK,
            cost.CHECK,
            fallback.CHECK,
            logs.CHECK,
            parity.CHECK,
            content.CHECK,
            truth.CHECK,
            accuracy.CHECK,
        )
    }
)


def judge(runs: Runs, names: Iterable[str] | None = None, thresholds: Thresholds | None = None) -> tuple[Verdict, ...]:
    """Judge a run with the named checks, or with all, in their order.

    Parameters
    ----------
    runs
        The run and what it is compared with.
    names
        Names of checks; all of them when left out.
    thresholds
        The limits; those of ``thresholds.toml`` when left out.

    Raises
    ------
    ValueError
        When there is no check of a name, with the known ones.

    """
    wanted = tuple(ALL) if names is None else tuple(names)
    unknown = [name for name in wanted if name not in ALL]
    if unknown:
        raise SaidError(
            say(
                "expected names of checks ({known}), found {unknown}: name some of these",
                known=", ".join(ALL),
                unknown=", ".join(unknown),
            )
        )
    limits = _default_limits() if thresholds is None else thresholds
    return tuple(_with_standing(ALL[name](runs, limits), runs, limits) for name in wanted)


def _with_standing(verdict: Verdict, runs: Runs, limits: Thresholds) -> Verdict:
    """Say of a failed finding whether the target has it anyway: before the patch, or with ``run_end``.

    A finding that lists what it found under ``findings`` in its evidence is pre-existing when the baseline's and the pair's lists
    together hold all of it; what they do not hold is added as ``new_findings``. (A baseline that lost frames shows other findings
    than one that did not: what the target does to stars with all its frames, its own run with ``run_end`` tells.)
    """
    baseline, _ = baseline_of(runs)
    if verdict.axis != "quality" or verdict.outcome is not Outcome.FAIL or baseline is None:
        return verdict
    others = [baseline, *(pair for pair in (standard(runs)[0],) if pair is not None)]
    before = [ALL[verdict.check](Comparison(other), limits) for other in others]
    if before[0].outcome not in (Outcome.FAIL, Outcome.PASS):
        return verdict
    known = {name for other in before for name in other.evidence.get("findings", ())}
    new = [name for name in verdict.evidence.get("findings", ()) if name not in known]
    pre_existing = any(other.outcome is Outcome.FAIL for other in before) and not new
    evidence = MappingProxyType({**verdict.evidence, "new_findings": new})
    return replace(verdict, standing="pre-existing" if pre_existing else "new", evidence=evidence)


@functools.cache  # by its full name: `cache` is a module here
def _default_limits() -> Thresholds:
    return read_thresholds()
