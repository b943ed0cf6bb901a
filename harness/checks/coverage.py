"""Compare the values of the coverage map with the tiles or frames that reach each place, and with the baseline.

This is a quality finding: it fails the validation only if the baseline does not have it. The coverage map counts the tiles at a
place, in SDS the frames. The map as a whole, and each large connected area of it, must agree with their number: neither a map of
twice the number nor one of half is right. Tiles that were not made are not counted. The map is also compared with that of the
baseline: another scale nearly everywhere is a finding. Other versions may weight tiles, which changes a part of the map. The
parity check compares the map with that of the pair.

In grid mode the map sums weights, and the mosaic may lie elsewhere than its frames, so only the baseline is compared, as a whole
and by panel. A run without a map shows nothing; it is a finding if the pair or the baseline has one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.analysis.figure import Evidence, Figure, Numbers, Unit, every, largest, number_in, significant
from harness.analysis.footprint import outlines, per_outline, pixel_area, pixel_of, sky_of
from harness.analysis.made import taken_over
from harness.analysis.modes import mode_taken, sky_tiles
from harness.analysis.regions import components
from harness.analysis.stars import in_pixels, measured, panels_at, rounded
from harness.checks.base import Check, Runs
from harness.checks.findings import Finding
from harness.checks.premises import ALWAYS, ELSEWHERE, baseline_of, standard
from harness.checks.thresholds import Thresholds
from harness.checks.tiles import finished
from harness.language.message import Message, say
from harness.record.products import Products
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict

Ratio = NDArray[np.float64]

_SOME = 100  # fewest common places for a comparison with the baseline
_PART = 0.1  # a panel is named if it has so much of an area


@dataclass(frozen=True)
class Area:
    """A part of a panel where the coverage map is wrong.

    ``factor`` is the median ratio of the map to the number of tiles or frames, ``share`` the part as a fraction of the panel.
    ``panel`` is -1 if the dataset has no panels.
    """

    panel: int
    factor: float
    arcmin2: float
    share: float

    @property
    def sentence(self) -> Message:
        """What is wrong, and where."""
        values = {"area": self.arcmin2, "factor": round(self.factor, 2)}
        if self.panel < 0:
            return say(
                "On {area} arcmin² the coverage map is {factor} times the number of tiles or frames that reach a place.",
                **values,
            )
        return say(
            "Panel {panel}: on {area} arcmin² the coverage map is {factor} times the number of tiles or frames that reach a "
            "place.",
            panel=self.panel,
            **values,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the evidence of the area in built-in types."""
        return {
            "panel": self.panel,
            "factor": rounded(self.factor),
            "arcmin2": significant(self.arcmin2),
            "percent": significant(100 * self.share),
        }


def has_map(products: Products) -> bool:
    """Return whether a run wrote a coverage map: without one, the measured depth is NaN."""
    return bool(np.isfinite(products.depth[products.covered]).any())


def to_number(run: Record, products: Products) -> Ratio | None:
    """Return the ratio of the coverage map to the number of tiles or frames that reach each place, NaN where none does.

    It is ``None`` if that number is not known: in grid mode, without outlines, and if the trace does not show all tiles.
    """
    mode = mode_taken(run)  # after a fallback to the classic mode the map counts tiles
    if mode == "grid" or not has_map(products):
        return None
    if mode == "sds":
        reaching = outlines(list(run.request.dataset.frames))
    else:
        made = [tile for tile in run.history.tiles if tile.made]
        if taken_over(run.history).tiles or finished(run.history) not in (None, len(made)):
            return None
        frames = {frame.name: frame for frame in run.request.dataset.frames}
        names = [tile.reference or next(iter(tile.frames), "") for tile in made]
        on = [frames[name] for name in names if name in frames]
        # A reference frame without data still places its tile, which the other frames fill.
        reaching = outlines([frame if frame.hull != () else replace(frame, hull=None) for frame in on])
    if not reaching:
        return None
    count = np.zeros(products.covered.shape, dtype=np.int32)
    for _, box, part in per_outline(reaching, products.wcs, products.covered.shape):
        count[box] += part
    known = products.covered & (count > 0)
    ratio = np.full(products.covered.shape, np.nan)
    ratio[known] = products.depth[known] / count[known]
    return ratio if known.any() else None


def wrong_areas(run: Record, products: Products, ratio: Ratio, limits: Thresholds) -> list[Area]:
    """Return the large connected areas where the map is too high or too low, by panel, the largest first."""
    frames = run.request.dataset.frames
    sizes = [np.count_nonzero(part) for *_, part in per_outline(outlines(frames), products.wcs, ratio.shape)]
    least = max(1, math.ceil(limits["coverage.area"] * float(np.median(sizes))) if sizes else 1)
    rows, columns = np.nonzero(np.isfinite(ratio))
    panel = np.full(ratio.shape, -2, dtype=np.int64)
    panel[rows, columns] = panels_at(*in_pixels(products, columns, rows), frames, products)
    unit = pixel_area(products.wcs, ratio.shape[1] / 2, ratio.shape[0] / 2) / 3600
    limit = limits["coverage.counts"]
    largest_by_panel: dict[int, Area] = {}
    with np.errstate(invalid="ignore"):
        masks = ratio > limit, ratio < 1 / limit
    for mask in masks:
        wrong = np.zeros_like(mask)
        for part in components(mask, products.wcs, least, math.ceil(limits["holes.edge"] / products.step)):
            top, left, bottom, right = part.box
            own = panel[top:bottom, left:right]
            panels, numbers = np.unique(own[part.mask], return_counts=True)
            wrong[top:bottom, left:right] |= part.mask & np.isin(own, panels[numbers >= _PART * part.area])
        for number in map(int, np.unique(panel[wrong])):
            here = wrong & (panel == number)
            size = int(np.count_nonzero(here))
            area = Area(number, float(np.median(ratio[here])), size * unit, size / np.count_nonzero(panel == number))
            if number not in largest_by_panel or area.arcmin2 > largest_by_panel[number].arcmin2:
                largest_by_panel[number] = area
    return sorted(largest_by_panel.values(), key=lambda area: (-area.arcmin2, area.panel))


@dataclass(frozen=True)
class Factors:
    """The 10th and the 90th percentile of the ratio of two coverage maps: of the whole map, and by panel."""

    whole: tuple[float, float]
    panels: dict[int, tuple[float, float]]


def factors(run: Record, ours: Products, other: Record, theirs: Products) -> Factors | None:
    """Compare two coverage maps where both cover the sky; ``None`` with too few such places.

    Panels are compared in grid mode only, if both runs made the same sky tiles. In the other modes a run that lost a tile has
    less coverage in a panel, and the number of tiles or frames says what is right.
    """
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
    rows, columns = rows[both], columns[both]
    ratio = (ours.depth[rows, columns] / theirs.depth[there_rows[both], there_columns[both]]).astype(np.float64)
    if run.request.mode != "grid" or not _same_sky_tiles(run, other):
        return Factors(_range(ratio), {})
    panel = panels_at(*in_pixels(ours, columns, rows), run.request.dataset.frames, ours)
    in_panel = {int(n): ratio[panel == n] for n in np.unique(panel)}
    return Factors(_range(ratio), {n: _range(part) for n, part in in_panel.items() if len(part) >= _SOME})


def _same_sky_tiles(run: Record, other: Record) -> bool:
    ours, theirs = sky_tiles(run.history), sky_tiles(other.history)
    return ours.cut_like(theirs) and set(ours.saved) == set(theirs.saved)


def _range(ratio: Ratio) -> tuple[float, float]:
    low, high = np.percentile(ratio, [10, 90])
    return float(low), float(high)


def _judge(runs: Runs, limits: Thresholds) -> Verdict:
    ours = measured(runs.run)
    if ours is None:
        return Verdict("coverage", Outcome.UNKNOWN, say("The run has no mosaic."), axis="quality")
    if not has_map(ours):
        return _without_map(runs)
    ratio = to_number(runs.run, ours)
    counts = None if ratio is None else float(np.nanmedian(ratio))
    areas = [] if ratio is None else wrong_areas(runs.run, ours, ratio, limits)
    baseline, left_out = baseline_of(runs)
    theirs = measured(baseline) if baseline is not None and baseline.usable else None
    beside = factors(runs.run, ours, baseline, theirs) if baseline is not None and theirs is not None else None
    found = dict(_findings(counts, areas, beside, limits))
    evidence: dict[str, Any] = {
        "findings": [finding.to_json() for finding, _ in found.values()],
        "ratio_to_frames": None if counts is None else rounded(counts),
        "ratio_to_baseline": None if beside is None else [rounded(end) for end in beside.whole],
        "deepest": rounded(float(ours.depth[ours.covered].max(initial=0))),
        "areas": [area.to_json() for area in areas],
    }
    messages = [message for _, message in found.values() if message is not None]
    if not messages and counts is None and beside is None and runs.run.request.mode != "grid":
        sentence = say("The number of tiles or frames at each place is not known, and no baseline was compared.")
        return Verdict("coverage", Outcome.UNKNOWN, sentence, MappingProxyType(evidence), axis="quality")
    outcome, sentence, cause = _conclude(messages, counts, beside, left_out)
    return Verdict("coverage", outcome, sentence, MappingProxyType(evidence), cause, "quality")


def _without_map(runs: Runs) -> Verdict:
    """Judge a run without a coverage map: a finding if another run has one, else unknown."""
    sentence = say("The run wrote no coverage map.")
    others = (("pair", standard(runs)[0]), ("baseline", baseline_of(runs)[0]))
    mosaics = ((name, measured(other)) for name, other in others if other is not None and other.usable)
    having = [name for name, mosaic in mosaics if mosaic is not None and has_map(mosaic)]
    evidence: dict[str, Any] = {"findings": [], "ratio_to_frames": None, "maps_of": having}
    if not having:
        return Verdict("coverage", Outcome.UNKNOWN, sentence, MappingProxyType(evidence), axis="quality")
    evidence["findings"] = [Finding("no map", 1.0).to_json()]
    cause = tuple(
        say("The baseline wrote one.") if name == "baseline" else say("The run with run_end wrote one.")
        for name in having
    )
    return Verdict("coverage", Outcome.FAIL, sentence, MappingProxyType(evidence), cause, "quality")


def _findings(
    counts: float | None, areas: list[Area], beside: Factors | None, limits: Thresholds
) -> Iterator[tuple[str, tuple[Finding, Message | None]]]:
    """Yield the findings by name, with their sentences: parts of a map that is wrong as a whole have none."""
    whole = counts is not None and not 1 / limits["coverage.counts"] <= counts <= limits["coverage.counts"]
    if counts is not None and whole:
        message = say(
            "The coverage map is {factor} times the number of tiles or frames that reach a place.",
            factor=round(counts, 2),
        )
        yield "counts", (_off("counts", counts), message)
    for area in areas:
        name = f"panel {area.panel}: counts"
        yield name, (_off(name, area.factor), None if whole else area.sentence)
        name = f"panel {area.panel}: miscounted sky"
        yield name, (Finding(name, area.share), None)
    if beside is None:
        return
    scale = _scale(beside.whole, limits)
    if scale is not None:
        message = say("The coverage map is {factor} times that of the baseline.", factor=round(scale, 2))
        yield "scale", (_off("scale", scale), message)
    for panel, ends in beside.panels.items():
        factor = _scale(ends, limits)
        if factor is not None:
            message = say(
                "Panel {panel}: the coverage map is {factor} times that of the baseline.",
                panel=panel,
                factor=round(factor, 2),
            )
            name = f"panel {panel}: scale"
            yield name, (_off(name, factor), None if scale is not None else message)


def _off(name: str, factor: float) -> Finding:
    """Return the finding on a factor that should be 1; its size is the binary logarithm."""
    return Finding(name, abs(math.log2(factor)) if factor > 0 else None, value=factor)


def _scale(ratio: tuple[float, float], limits: Thresholds) -> float | None:
    """Return the factor to the baseline if nearly all places exceed the limit in one direction."""
    low, high = ratio
    if low > limits["coverage.scale"]:
        return low
    return high if high < 1 / limits["coverage.scale"] else None


def _conclude(
    found: list[Message], counts: float | None, beside: Factors | None, left_out: Message | None
) -> tuple[Outcome, Message, tuple[Message, ...]]:
    if found:
        return Outcome.FAIL, say("The values of the coverage map are wrong."), tuple(found)
    if counts is None and beside is None:
        sentence = say("There is no baseline to compare the coverage map of grid mode with.")
        return Outcome.NOT_APPLICABLE, sentence, () if left_out is None else (left_out,)
    if counts is None:
        return Outcome.PASS, say("The coverage map has the scale of the baseline."), ()
    return Outcome.PASS, say("The coverage map agrees with the number of tiles or frames at each place."), ()


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
