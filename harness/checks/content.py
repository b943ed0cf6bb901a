"""Check that covered sky shows sky: it is not filled with a constant, and its stars are there.

*Constant*: covered pixels in runs of equal values, which noise never makes, except where the pair has them too. The holes check
treats such pixels as not covered, in the pair too.
*Completeness*: of the brighter stars that the pair shows where both cover the sky, the share that the run shows, by panel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy import ndimage

from harness.analysis.causes import listed
from harness.analysis.figure import Figure, Unit, numbers
from harness.analysis.filled import filled
from harness.analysis.footprint import resample_mask
from harness.analysis.stars import ENOUGH, catalogue, look, measured, sky, uncompared_panels
from harness.checks.base import Check, Runs
from harness.checks.premises import ALWAYS, ELSEWHERE, SHARED, standard
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.convert import to_json
from harness.record.products import Products
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict


@dataclass(frozen=True)
class Panel:
    """The brighter stars of a panel: how many are expected where both runs cover the sky, and how many are found."""

    panel: int
    expected: int
    found: int

    @property
    def share(self) -> float:
        """The share of the expected stars that is found."""
        return self.found / self.expected


def constant_area(runs: Runs, run: Products, pair: Products | None, limits: Thresholds) -> int | None:
    """Return the filled area that the pair does not have, in mosaic pixels; ``None`` if not measured."""
    new = filled(run, runs.run.request.dataset.frames, limits["content.saturated"])
    if new is None or (pair is not None and pair.constant is None):
        return None
    if pair is not None and pair.constant is not None and new.any():
        old = pair.constant
        if dict(pair.wcs) != dict(run.wcs) or pair.covered.shape != run.covered.shape:
            old = resample_mask(old, pair.wcs, run.wcs, run.covered.shape)
        new &= ~ndimage.maximum_filter(old, 2 * max(1, round(limits["holes.edge"] / run.step)) + 1)
    return int(np.count_nonzero(new)) * run.step**2


def completeness(run: Record, ours: Products, theirs: Products) -> tuple[Panel, ...]:
    """Count by panel how many of the brighter stars of the pair are found where both cover the sky."""
    at = sky(catalogue(run, theirs), run.request.dataset.frames, theirs)
    here, there = look(ours, at), look(theirs, at)
    expected = here.lies & there.lies & there.found & at.alone
    found = []
    for panel in at.panels:
        inside = expected & (at.panel == panel)
        if inside.any():
            # The brighter half, or all stars if half would be too few to judge.
            half = max(int(inside.sum()) // 2, ENOUGH)
            bright = inside & (there.flux >= np.sort(there.flux[inside])[-half:][0])
            found.append(Panel(panel, int(bright.sum()), int((bright & here.found).sum())))
    return tuple(found)


def _judge(runs: Runs, limits: Thresholds) -> Verdict:
    ours = measured(runs.run)
    pair, why_not = standard(runs)
    theirs = measured(pair)
    if ours is None:
        return Verdict("content", Outcome.UNKNOWN, say("The run has no mosaic."))
    area = constant_area(runs, ours, theirs, limits)
    panels = completeness(runs.run, ours, theirs) if theirs is not None else ()
    evidence: dict[str, Any] = {
        "constant_pixels": area,
        "constant_pixels_in_pair": None
        if theirs is None or theirs.constant is None
        else int(theirs.constant.sum()) * theirs.step**2,
        "differential": theirs is not None,
        "panels": to_json(panels),
        "panels_not_compared": uncompared_panels(runs.run, [p.panel for p in panels if p.expected >= ENOUGH]),
    }
    outcome, sentence = _conclude(runs, area, panels, limits)
    cause = (why_not,) if outcome is Outcome.UNKNOWN and why_not is not None else ()
    return Verdict("content", outcome, sentence, MappingProxyType(evidence), cause)


def _conclude(runs: Runs, area: int | None, panels: tuple[Panel, ...], limits: Thresholds) -> tuple[Outcome, Message]:
    if area is not None and area > limits["content.constant"]:
        return Outcome.FAIL, say(
            "{area} pixels of covered sky are filled with a constant instead of observed sky.", area=area
        )
    judged = [p for p in panels if p.expected >= ENOUGH]
    empty = [p for p in judged if p.share < limits["content.stars"]]
    if empty:
        worst = min(empty, key=lambda p: p.share)
        return Outcome.FAIL, say(
            "Panel {panel}: brighter stars of run_end that are found in the covered sky: only {found} of {expected}.",
            panel=worst.panel,
            found=worst.found,
            expected=worst.expected,
        )
    if area is None:
        return Outcome.UNKNOWN, say("It was not measured whether covered sky is constant. Measure the run again.")
    if runs.run.request.retention != "per_tile" and not panels:
        return Outcome.PASS, say("No covered sky is filled with a constant. Stars are not compared.")
    if not judged:
        return Outcome.UNKNOWN, say(
            "No panel has enough stars in common with a pair to judge whether stars are missing."
        )
    return Outcome.PASS, _found(uncompared_panels(runs.run, [p.panel for p in judged]))


def _found(uncompared: Sequence[int]) -> Message:
    if not uncompared:
        return say("No covered sky is filled with a constant, and its brighter stars are found.")
    return say(
        "No covered sky is filled with a constant, and its brighter stars are found, except in the panels {panels}, where "
        "run_end has too few stars to compare.",
        panels=listed(uncompared),
    )


CHECK = Check(
    "content",
    say("Does covered sky show real sky?"),
    _judge,
    MappingProxyType({"classic": ALWAYS, "sds": ELSEWHERE, "grid": ELSEWHERE}),
    for_pass=(SHARED,),
    figures=(Figure(say("pixels of covered sky filled with a constant"), Unit.COUNT, numbers("constant_pixels")),),
)
