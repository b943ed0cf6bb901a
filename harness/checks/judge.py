"""Judge a run with the checks."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from harness.analysis.phase3 import losses
from harness.checks import (
    accuracy,
    content,
    cost,
    coverage,
    crash,
    depth,
    disk,
    fallback,
    holes,
    inputs,
    logs,
    parity,
    products,
    tiles,
    trimmed,
    truth,
    warnings,
)
from harness.checks import cache as _cache
from harness.checks.base import Check, Runs
from harness.checks.findings import new_findings
from harness.checks.premises import baseline_of, standard
from harness.checks.thresholds import Thresholds, read_thresholds
from harness.language.message import SaidError, say
from harness.record.comparison import Comparison
from harness.verdict import Outcome, Verdict

LONGEST_ERROR = 300
"""Characters of a check's own error that its verdict shows."""

ALL: Mapping[str, Check] = MappingProxyType(
    {
        check.name: check
        for check in (
            crash.CHECK,
            warnings.CHECK,
            tiles.CHECK,
            holes.CHECK,
            trimmed.CHECK,
            depth.CHECK,
            _cache.CHECK,
            products.CHECK,
            disk.CHECK,
            inputs.CHECK,
            cost.CHECK,
            fallback.CHECK,
            logs.CHECK,
            parity.CHECK,
            content.CHECK,
            truth.CHECK,
            accuracy.CHECK,
            coverage.CHECK,
        )
    }
)


def judge(runs: Runs, names: Iterable[str] | None = None, thresholds: Thresholds | None = None) -> tuple[Verdict, ...]:
    """Judge a run with the named checks in their order, by default with all and with the limits of ``thresholds.toml``.

    Raises
    ------
    SaidError
        When a name is not that of a check.

    """
    wanted = tuple(ALL) if names is None else tuple(names)
    unknown = [name for name in wanted if name not in ALL]
    if unknown:
        raise SaidError(
            say(
                "expected names of checks ({known}), found {unknown}: use the names in brackets",
                known=", ".join(ALL),
                unknown=", ".join(unknown),
            )
        )
    limits = _default_limits() if thresholds is None else thresholds
    return tuple(_tried(name, runs, limits) for name in wanted)


def _tried(name: str, runs: Runs, limits: Thresholds) -> Verdict:
    """Judge a run with one check. A check that stops with an error of its own is unknown, and the others still judge."""
    try:
        return _with_standing(ALL[name](runs, limits), runs, limits)
    except Exception as error:  # noqa: BLE001 -- a record may hold anything; a finished run must not be lost for one check
        what = f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
        place = traceback.extract_tb(error.__traceback__)[-1]
        sentence = say(
            "The check stopped with an error of its own ({error}): the record is odd, or the harness has a defect. Report it.",
            error=what,
        )
        evidence = {"exception": f"{what} ({Path(place.filename).name}:{place.lineno})"}
        return Verdict(name, Outcome.UNKNOWN, sentence, evidence, axis=ALL[name].axis)


def _with_standing(verdict: Verdict, runs: Runs, limits: Thresholds) -> Verdict:
    """Mark a failed quality finding as pre-existing if the baseline or the run with ``run_end`` has it too, else as new.

    A finding with a list ``findings`` in its evidence is pre-existing if those two runs together have every entry, each at least
    as bad. The other entries are added as ``new_findings``, and as ``worse`` with their measures before and now. The run with
    ``run_end`` is needed because a baseline that lost frames has other findings: only ``run_end`` shows what the target does to
    stars with all its frames.
    """
    baseline, _ = baseline_of(runs)
    if verdict.axis != "quality" or verdict.outcome is not Outcome.FAIL or baseline is None:
        return verdict
    pair, _ = standard(runs)
    before = [ALL[verdict.check](Comparison(other), limits) for other in (baseline, pair) if other is not None]
    # A baseline to which the check does not apply has no such finding.
    if before[0].outcome is Outcome.UNKNOWN:
        return verdict
    # Without the run with run_end, the measures of a baseline that lost caches show nothing: only its names are compared.
    by_name = pair is None and bool(losses(baseline.history))
    new = new_findings(verdict.evidence, [other.evidence for other in before], limits, by_name=by_name)
    pre_existing = any(other.outcome is Outcome.FAIL for other in before) and not new
    worse = [finding.to_json() for finding in new]
    evidence = {**verdict.evidence, "new_findings": [finding.name for finding in new], "worse": worse}
    cause = (*(sentence for finding in new for sentence in finding.sentences), *verdict.cause)
    return replace(verdict, standing="pre-existing" if pre_existing else "new", evidence=evidence, cause=cause)


@functools.cache
def _default_limits() -> Thresholds:
    return read_thresholds()
