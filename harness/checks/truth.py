"""Check that stars have the positions and fluxes that the pair shows, by panel.

The stars of the truth (or of the pair, without a truth) are matched in both runs, where both cover the sky and the star is not
blended. Errors of the target itself, such as a flux of 0.84 in a panel with a clouded frame, are in both runs and cancel; the
accuracy check reports them. The scale is the median flux ratio of all stars.

A tile may cover only a part of a panel. Besides the medians, the check therefore counts the stars that changed: lost, with
another flux, or elsewhere. It also counts the stars that neither the pair nor the truth has, such as second images.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from harness.analysis.causes import listed
from harness.analysis.figure import Evidence, Figure, Numbers, Unit, every, rows_in, total
from harness.analysis.stars import (
    ENOUGH,
    RADIUS,
    Sky,
    catalogue,
    look,
    measured,
    median,
    on_grid,
    rounded,
    sky,
    uncompared_panels,
)
from harness.checks.base import Check, Runs
from harness.checks.premises import ALWAYS, ELSEWHERE, SHARED, standard
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.products import Products
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict


@dataclass(frozen=True)
class Panel:
    """The stars of a panel in a run, compared with the pair.

    ``flux`` is the median flux ratio on the common scale, ``offset`` the length of the median shift in mosaic pixels; both are
    NaN if no star was found. ``changed`` counts the stars that are lost, have another flux, or lie elsewhere.
    """

    panel: int
    stars: int
    lost: int
    changed: int
    flux: float
    offset: float

    def to_json(self) -> dict[str, Any]:
        """Return the evidence of the panel in built-in types."""
        return {**asdict(self), "flux": rounded(self.flux, 4), "offset": rounded(self.offset)}


@dataclass(frozen=True)
class StarDifferences:
    """A run compared with its pair: the common scale, the panels, the stars of the run, and those that only the run has."""

    scale: float
    panels: tuple[Panel, ...]
    extra: int
    shown: int


def compare_stars(run: Record, ours: Products, theirs: Products, limits: Thresholds) -> StarDifferences:
    """Match the same stars in a run and in its pair."""
    at = sky(catalogue(run, theirs), run.request.dataset.frames, theirs)
    here, there = look(ours, at), look(theirs, at)
    expected = here.lies & there.lies & there.found & at.alone
    both = expected & here.found
    ratio = here.flux / there.flux
    scale = median(ratio[both])
    shift = np.hypot(here.x - there.x, here.y - there.y)
    with np.errstate(invalid="ignore"):
        same = (np.abs(ratio / scale - 1) <= limits["truth.star_flux"]) & (shift <= limits["truth.star_offset"])
    panels = []
    for panel in at.panels:
        inside = expected & (at.panel == panel)
        if not inside.any():
            continue
        found = inside & here.found
        moved = np.hypot(median((here.x - there.x)[found]), median((here.y - there.y)[found]))
        panels.append(
            Panel(
                panel,
                int(inside.sum()),
                int((inside & ~here.found).sum()),
                int((inside & ~(same & here.found)).sum()),
                median(ratio[found]) / scale,
                float(moved),
            )
        )
    return StarDifferences(scale, tuple(panels), _extra(ours, theirs, at), len(ours.stars))


def _extra(ours: Products, theirs: Products, at: Sky) -> int:
    """Count the stars of a run without a star of its pair or of the truth nearby."""
    places = [np.column_stack([at.x, at.y]), np.column_stack(on_grid(theirs, theirs.stars))]
    known = np.concatenate([p[np.isfinite(p).all(axis=1)] for p in places])
    shown = np.column_stack(on_grid(theirs, ours.stars))
    shown = shown[np.isfinite(shown).all(axis=1)]
    if not len(shown) or not len(known):
        return len(shown)
    return int(np.count_nonzero(np.asarray(KDTree(known).query(shown)[0]) > RADIUS / 2))


def _judge(runs: Runs, limits: Thresholds) -> Verdict:
    pair, why_not = standard(runs)
    ours, theirs = measured(runs.run), measured(pair)
    if runs.run.request.retention != "per_tile" and runs.pair is None:
        sentence = say("Other runs are compared with this one; there is no run to compare it with.")
        return Verdict("truth", Outcome.NOT_APPLICABLE, sentence)
    if ours is None or theirs is None:
        sentence = say("The stars can't be compared: the run or its pair has no mosaic.")
        return Verdict("truth", Outcome.UNKNOWN, sentence, cause=() if why_not is None else (why_not,))
    found = compare_stars(runs.run, ours, theirs, limits)
    evidence = {
        "catalogue": runs.run.truth.origin if runs.run.truth is not None else "pair",
        "scale": rounded(found.scale, 4),
        "panels": [panel.to_json() for panel in found.panels],
        "stars_only_here": found.extra,
        "stars": found.shown,
    }
    outcome, sentence, cause = _conclude(runs.run, found, limits)
    return Verdict("truth", outcome, sentence, MappingProxyType(evidence), cause)


def _conclude(run: Record, found: StarDifferences, limits: Thresholds) -> tuple[Outcome, Message, tuple[Message, ...]]:
    judged = [panel for panel in found.panels if panel.stars >= ENOUGH]
    wrong = {panel.panel: messages for panel in judged if (messages := _wrong(panel, limits))}
    if wrong:
        sentence = say(
            "Stars have other positions or fluxes than with run_end. Panels: {panels}.", panels=listed(wrong)
        )
        return Outcome.FAIL, sentence, tuple(message for messages in wrong.values() for message in messages)
    if found.extra > max(2.0, limits["truth.extra"] * found.shown):
        sentence = say(
            "Stars in neither run_end nor the truth: {count} of {total}. They are doubled or displaced.",
            count=found.extra,
            total=found.shown,
        )
        return Outcome.FAIL, sentence, ()
    if not judged:
        return Outcome.UNKNOWN, say("No panel has enough stars in common with the pair."), ()
    sentence = say("Stars have the positions and fluxes of run_end. Panels compared: {count}.", count=len(judged))
    if uncompared := uncompared_panels(run, [panel.panel for panel in judged]):
        sentence = say(
            "Stars have the positions and fluxes of run_end. Panels compared: {count}; too few stars in common: {panels}.",
            count=len(judged),
            panels=listed(uncompared),
        )
    return Outcome.PASS, sentence, ()


def _wrong(panel: Panel, limits: Thresholds) -> list[Message]:
    """Describe each difference of a panel that exceeds its limit."""
    found = []
    if panel.changed > limits["truth.changed"] * panel.stars and panel.changed > 1:
        found.append(
            say(
                "Panel {panel}: stars that differ: {changed} of {stars}. Lost: {lost}; the others have another flux or "
                "lie elsewhere.",
                panel=panel.panel,
                stars=panel.stars,
                lost=panel.lost,
                changed=panel.changed,
            )
        )
    if abs(panel.flux - 1) > limits["truth.flux"]:
        found.append(
            say(
                "Panel {panel}: stars have {percent} % of their flux with run_end.",
                panel=panel.panel,
                percent=round(100 * panel.flux, 1),
            )
        )
    if panel.offset > limits["truth.offset"]:
        found.append(
            say(
                "Panel {panel}: stars are displaced by {offset} pixels from their positions with run_end.",
                panel=panel.panel,
                offset=round(panel.offset, 2),
            )
        )
    return found


def _stars_lost(evidence: Evidence) -> Numbers | None:
    """Return the number of stars lost, and of stars in the pair, over all panels."""
    panels = rows_in(evidence, "panels")
    return None if panels is None else every(total(panels, "lost"), total(panels, "stars"))


CHECK = Check(
    "truth",
    say("Do stars have the right positions and fluxes?"),
    _judge,
    MappingProxyType({"classic": ALWAYS, "sds": ELSEWHERE, "grid": ELSEWHERE}),
    for_pass=(SHARED,),
    figures=(Figure(say("stars lost, of those in the pair"), Unit.SHARE, _stars_lost),),
)
