"""Compare the mosaic with all sky on the frames. Sky that frames cover and a run leaves out is *trimmed*.

Some of it is trimmed on purpose: each setting that trims sky is named with its area, also in a pass. This is a quality finding,
so it fails the validation only if it is new. It is a finding if the run trims more than any good run, more than the pair and the
baseline, or other sky than these. The holes check judges the sky that the run must cover; this check also counts the rest.
Covered sky that is filled with a constant is left out too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from harness.analysis.canvas import Canvas, Mask, canvas_of, frames_per_element, on_canvas
from harness.analysis.causes import Causes
from harness.analysis.figure import Figure, Unit, numbers, significant
from harness.analysis.filled import without_filling
from harness.analysis.footprint import outlines, pixel_area, raster
from harness.analysis.phase3 import losses
from harness.analysis.regions import components
from harness.analysis.stars import measured
from harness.checks.base import Check, Runs
from harness.checks.findings import Finding
from harness.checks.holes import coverage_keep, crop_margin, tile_outlines_of
from harness.checks.premises import ALWAYS, ELSEWHERE, MODE_REACHED, baseline_of, standard
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.products import Products
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict


@dataclass(frozen=True)
class Part:
    """A part of the trimmed sky with one cause: the elements of the canvas, and a sentence with a field for their ``area``."""

    name: str
    elements: int
    cause: Message


@dataclass(frozen=True)
class New:
    """Trimmed sky beside the runs to compare with, in elements of the canvas.

    ``more`` is by how much the run trims more than each of them, ``elsewhere`` what it trims of the sky that all of them show.
    """

    more: int
    elsewhere: int

    def counts(self, sky: int, limits: Thresholds) -> bool:
        """Return whether this is more than two good runs differ."""
        return self.more > limits["trimmed.more"] * sky or self.elsewhere > limits["trimmed.elsewhere"] * sky

    def sentence(self, unit: float) -> Message:
        """Return the sentence on the larger of the two areas; ``unit`` is the area of an element in square arc minutes."""
        if self.elsewhere >= self.more:
            area = self.elsewhere * unit
            return say("{area} arcmin² of this sky are shown by every run that it is compared with.", area=area)
        return say("That is {area} arcmin² more than any run that it is compared with.", area=self.more * unit)


def _judge(runs: Runs, limits: Thresholds) -> Verdict:
    run = runs.run
    ours = measured(run)
    frames = outlines(run.request.dataset.frames)
    if ours is None:
        return Verdict("trimmed", Outcome.UNKNOWN, say("The run has no measured mosaic."), axis="quality")
    ours = without_filling(ours, run.request.dataset.frames, limits["content.saturated"])
    margin = math.ceil(limits["holes.edge"] / ours.step) + 2
    canvas, place = canvas_of(ours, ours, frames, margin)
    depth, _ = frames_per_element(frames, canvas)
    left_out = _without_edges((depth > 0) & ~on_canvas(canvas, ours, ours, place), canvas, limits)
    sky, lost = int(np.count_nonzero(depth)), int(np.count_nonzero(left_out))
    if not sky:
        return Verdict("trimmed", Outcome.UNKNOWN, say("No frame shows any sky."), axis="quality")
    parts = _parts(runs, canvas, left_out, depth, limits)
    others = [on_canvas(canvas, other, ours, place) for other in _compared(runs, limits)]
    new = _new(left_out, depth > 0, others, canvas, limits)
    unit = pixel_area(canvas.cards, canvas.shape[1] / 2, canvas.shape[0] / 2) / 3600
    share, limit = lost / sky, limits["trimmed.classic" if run.request.mode == "classic" else "trimmed.other"]
    found = [Finding("trimmed sky", share)] if share > limit else []
    if new.counts(sky, limits):
        found.append(Finding("newly trimmed sky", max(new.more, new.elsewhere) / sky))
    evidence = {
        "findings": [finding.to_json() for finding in found],
        "more_than_others_arcmin2": significant(new.more * unit) if others else None,
        "shown_by_others_arcmin2": significant(new.elsewhere * unit) if others else None,
        "trimmed_percent": significant(100 * share),
        "trimmed_arcmin2": significant(lost * unit),
        "sky_on_frames_arcmin2": significant(sky * unit),
        "parts": [
            {
                "name": part.name,
                "arcmin2": significant(part.elements * unit),
                "percent": significant(100 * part.elements / sky),
            }
            for part in parts
        ],
    }
    figures = {"area": lost * unit, "all": sky * unit, "percent": round(100 * share, 1)}
    cause = tuple(_with_area(part, unit) for part in parts)
    if found:
        sentence = say(
            "The frames cover {all} arcmin². The mosaic leaves out {area} arcmin² of it ({percent} %).", **figures
        )
        if new.counts(sky, limits):
            cause = (new.sentence(unit), *cause)
        return Verdict("trimmed", Outcome.FAIL, sentence, MappingProxyType(evidence), cause, axis="quality")
    if lost:
        sentence = say(
            "The mosaic leaves out {area} arcmin² of the {all} arcmin² on frames ({percent} %; limit: {limit} %).",
            **figures,
            limit=round(100 * limit, 1),
        )
    else:
        sentence = say(
            "The mosaic leaves out no part of the {all} arcmin² on frames that is wider than {width} pixels.",
            all=sky * unit,
            width=round(2 * limits["holes.edge"]),
        )
    return Verdict("trimmed", Outcome.PASS, sentence, MappingProxyType(evidence), cause, axis="quality")


def _compared(runs: Runs, limits: Thresholds) -> tuple[Products, ...]:
    """Return the mosaics of the pair and of the baseline. A baseline that lost caches is left out if there is a pair."""
    pair, baseline = standard(runs)[0], baseline_of(runs)[0]
    if baseline is not None and (not baseline.usable or (pair is not None and losses(baseline.history))):
        baseline = None
    mosaics = ((other, measured(other)) for other in (pair, baseline) if other is not None)
    return tuple(
        without_filling(mosaic, other.request.dataset.frames, limits["content.saturated"])
        for other, mosaic in mosaics
        if mosaic is not None
    )


def _new(left_out: Mask, sky: Mask, others: Sequence[Mask], canvas: Canvas, limits: Thresholds) -> New:
    """Compare the trimmed sky with the covered sky of other runs."""
    if not others:
        return New(0, 0)
    theirs = [int(np.count_nonzero(_without_edges(sky & ~covered, canvas, limits))) for covered in others]
    shown = _without_edges(left_out & np.logical_and.reduce(others), canvas, limits)
    return New(max(0, int(np.count_nonzero(left_out)) - max(theirs)), int(np.count_nonzero(shown)))


def _without_edges(mask: Mask, canvas: Canvas, limits: Thresholds) -> Mask:
    """Remove strips from a mask that are narrower than the edge tolerance of the holes check."""
    kept = np.zeros_like(mask)
    for part in components(mask, canvas.cards, erode=max(1, math.ceil(limits["holes.edge"] / canvas.step))):
        top, left, bottom, right = part.box
        kept[top:bottom, left:right] |= part.mask
    return kept


def _parts(
    runs: Runs, canvas: Canvas, left_out: Mask, depth: NDArray[np.int32], limits: Thresholds
) -> tuple[Part, ...]:
    """Divide the trimmed sky by cause, the largest part first. The part without a known cause is called ``unexplained``."""
    match runs.run.request.mode:
        case "sds":
            known = _by_coverage(runs.run, depth, limits)
        case "classic":
            known = _by_tiles(runs, canvas, limits)
        case _:
            known = ()
    rest, parts = left_out.copy(), []
    for name, mask, cause in known:
        parts.append(Part(name, int(np.count_nonzero(rest & mask)), cause))
        rest &= ~mask
    unexplained = say("{area} arcmin² are left out without a known cause.")
    parts.append(Part("unexplained", int(np.count_nonzero(rest)), unexplained))
    return tuple(sorted((part for part in parts if part.elements), key=lambda part: -part.elements))


def _by_coverage(run: Record, depth: NDArray[np.int32], limits: Thresholds) -> Sequence[tuple[str, Mask, Message]]:
    """Return the sky that SDS masks because too few frames cover it."""
    keep, most = coverage_keep(run, limits), int(depth.max(initial=0))
    cause = say(
        "{area} arcmin² are on fewer than {needed} frames, and the deepest sky is on {most}: the setting "
        "sds_min_coverage_keep = {keep} masks such sky.",
        keep=keep,
        needed=math.ceil(keep * most),
        most=most,
    )
    return [("sds_min_coverage_keep", depth < keep * most, cause)]


def _by_tiles(runs: Runs, canvas: Canvas, limits: Thresholds) -> Sequence[tuple[str, Mask, Message]]:
    """Return the margin that is cropped from tiles, and the sky that is on no tile's reference frame."""
    tiles = [outline.outline for outline in tile_outlines_of(runs.run, standard(runs)[0], Causes(runs.run))]
    margin = crop_margin(runs.run, limits)
    whole, cropped = (raster(tiles, canvas.cards, canvas.shape, shrink) for shrink in (0.0, margin))
    return [
        (
            "master_tile_crop_percent",
            whole & ~cropped,
            say(
                "{area} arcmin² are at the edges of tiles, which the setting master_tile_crop_percent = {percent} crops.",
                percent=round(100 * margin, 2),
            ),
        ),
        (
            "reference frames",
            ~whole,
            say(
                "{area} arcmin² are not on the reference frame of any tile, and a tile covers its reference frame only."
            ),
        ),
    ]


def _with_area(part: Part, unit: float) -> Message:
    return Message(part.cause.text, {**part.cause.values, "area": part.elements * unit})


CHECK = Check(
    "trimmed",
    say("Is the sky on the frames in the mosaic?"),
    _judge,
    MappingProxyType({"classic": ALWAYS, "sds": ELSEWHERE, "grid": ELSEWHERE}),
    axis="quality",
    for_pass=(MODE_REACHED,),
    figures=(Figure(say("sky on frames that the mosaic leaves out"), Unit.PERCENT, numbers("trimmed_percent")),),
)
