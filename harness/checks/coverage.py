"""Compare the values of the coverage map with the frames, and with the baseline.

This is a quality finding: it fails the validation only if the baseline does not have it. The coverage map counts the tiles at a
place, in SDS the frames, so it can't be higher than the number of tiles or frames that reach the place. The map is also compared
with that of the baseline: another scale nearly everywhere is a finding. Other versions may weight tiles, which changes a part of
the map. The parity check compares the map with that of the pair.

In grid mode the map sums weights, and the mosaic may lie elsewhere than its frames, so only the baseline is compared.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np

from harness.analysis.figure import Evidence, Figure, Numbers, Unit, every, largest, number_in
from harness.analysis.footprint import outlines, per_outline, pixel_of, sky_of
from harness.analysis.stars import measured, rounded
from harness.checks.base import Check, Runs
from harness.checks.findings import Finding
from harness.checks.premises import ALWAYS, ELSEWHERE, baseline_of
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.products import Products
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict

_SOME = 100  # fewest common places for a comparison with the baseline


def depth_to_frames(run: Record, products: Products) -> float | None:
    """Return the median ratio of the coverage to the number of tiles or frames that reach a place; ``None`` without outlines."""
    if run.request.mode == "grid":
        return None
    if run.request.mode == "sds":
        reaching = outlines(list(run.request.dataset.frames))
    else:
        frames = {frame.name: frame for frame in run.request.dataset.frames}
        names = [tile.reference or next(iter(tile.frames), "") for tile in run.history.tiles]
        reaching = outlines([frames[name] for name in names if name in frames])
    if not reaching or not products.covered.any():
        return None
    count = np.zeros(products.covered.shape, dtype=np.int32)
    for _, box, part in per_outline(reaching, products.wcs, products.covered.shape):
        count[box] += part
    known = products.covered & (count > 0)
    return float(np.median(products.depth[known] / count[known])) if known.any() else None


def factor(ours: Products, theirs: Products) -> tuple[float, float] | None:
    """Return the 10th and the 90th percentile of the ratio of two coverage maps, where both cover the sky."""
    rows, columns = np.nonzero(ours.covered & (ours.depth > 0))
    there_rows, there_columns = rows, columns
    if dict(theirs.wcs) != dict(ours.wcs) or theirs.covered.shape != ours.covered.shape:
        x, y = pixel_of(theirs.wcs, *sky_of(ours.wcs, columns, rows))
        inside = np.isfinite(x) & np.isfinite(y)
        x, y = np.rint(np.where(inside, x, -1)), np.rint(np.where(inside, y, -1))
        inside &= (x >= 0) & (y >= 0) & (x < theirs.covered.shape[1]) & (y < theirs.covered.shape[0])
        rows, columns = rows[inside], columns[inside]
        there_rows, there_columns = y[inside].astype(np.intp), x[inside].astype(np.intp)
    both = theirs.covered[there_rows, there_columns] & (theirs.depth[there_rows, there_columns] > 0)
    if np.count_nonzero(both) < _SOME:
        return None
    ratio = ours.depth[rows, columns][both] / theirs.depth[there_rows, there_columns][both]
    low, high = np.percentile(ratio, [10, 90])
    return float(low), float(high)


def _judge(runs: Runs, limits: Thresholds) -> Verdict:
    ours = measured(runs.run)
    if ours is None:
        return Verdict("coverage", Outcome.UNKNOWN, say("The run has no mosaic."), axis="quality")
    counts = depth_to_frames(runs.run, ours)
    baseline, left_out = baseline_of(runs)
    theirs = measured(baseline) if baseline is not None and baseline.usable else None
    ratio = factor(ours, theirs) if theirs is not None else None
    found: dict[str, tuple[Finding, Message]] = {}
    if counts is not None and counts > limits["coverage.counts"]:
        message = say(
            "The coverage map is {factor} times the number of tiles or frames that reach a place.",
            factor=round(counts, 2),
        )
        found["counts"] = Finding("counts", counts - 1), message
    scale = _scale(ratio, limits)
    if scale is not None:
        message = say("The coverage map is {factor} times that of the baseline.", factor=round(scale, 2))
        found["scale"] = Finding("scale", abs(float(np.log2(scale))), value=scale), message
    evidence: dict[str, Any] = {
        "findings": [finding.to_json() for finding, _ in found.values()],
        "ratio_to_frames": None if counts is None else rounded(counts),
        "ratio_to_baseline": None if ratio is None else [rounded(end) for end in ratio],
        "deepest": rounded(float(ours.depth[ours.covered].max(initial=0))),
    }
    outcome, sentence, cause = _conclude([m for _, m in found.values()], counts, ratio, left_out)
    return Verdict("coverage", outcome, sentence, MappingProxyType(evidence), cause, "quality")


def _scale(ratio: tuple[float, float] | None, limits: Thresholds) -> float | None:
    """Return the factor to the baseline if nearly the whole map exceeds the limit in one direction."""
    if ratio is None:
        return None
    low, high = ratio
    if low > limits["coverage.scale"]:
        return low
    return high if high < 1 / limits["coverage.scale"] else None


def _conclude(
    found: list[Message], counts: float | None, ratio: tuple[float, float] | None, left_out: Message | None
) -> tuple[Outcome, Message, tuple[Message, ...]]:
    if found:
        return Outcome.FAIL, say("The values of the coverage map are wrong."), tuple(found)
    if counts is None and ratio is None:
        sentence = say("There is neither an outline of a tile nor a baseline to compare the coverage map with.")
        return Outcome.NOT_APPLICABLE, sentence, () if left_out is None else (left_out,)
    if counts is None:
        return Outcome.PASS, say("The coverage map has the scale of the baseline."), ()
    return Outcome.PASS, say("The coverage map is not higher than the number of tiles or frames."), ()


def _to_frames(evidence: Evidence) -> Numbers | None:
    """Return the ratio of the coverage to the number of tiles or frames."""
    return every(number_in(evidence, "ratio_to_frames"))


CHECK = Check(
    "coverage",
    say("Does the coverage map count what covers each place?"),
    _judge,
    MappingProxyType({"classic": ALWAYS, "sds": ELSEWHERE, "grid": ELSEWHERE}),
    axis="quality",
    figures=(Figure(say("coverage to the number of tiles or frames"), Unit.RATIO, _to_frames, largest),),
)
