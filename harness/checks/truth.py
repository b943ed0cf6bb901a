"""Whether stars are where and as bright as they should be: as the pair shows them, by panel.

The stars of the truth (or, without one, of the pair) are looked for in both runs, where both cover the sky and the star stands
alone. What a target can't reach, as a flux of 0.84 in a panel with a clouded frame, is in both and so in neither's disfavour; the
accuracy check tells of it. The scale is anchored on the panels that both have: the median of all stars' ratios.

A single tile may hold a part of a panel only, so besides the medians the stars that changed are counted: lost, of another flux,
or elsewhere. Two images of a star, or stars that nobody else shows, are counted too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from harness.analysis.causes import listed
from harness.analysis.figure import Evidence, Figure, Numbers, Unit, every, rows_in, total
from harness.analysis.stars import ENOUGH, RADIUS, Sky, catalogue, look, measured, median, on_grid, rounded, sky
from harness.checks.base import Check, Runs
from harness.checks.premises import ALWAYS, ELSEWHERE, SHARED, standard
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.products import Products
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict


@dataclass(frozen=True)
class Panel:
    """A panel's stars in a run beside those of the pair.

    ``flux`` is the median ratio on the common scale, ``offset`` the length of the median shift in mosaic pixels; both NaN where
    no star was found. ``changed`` counts stars that are lost, of another flux, or elsewhere; ``lost`` those that are lost.
    """

    panel: int
    stars: int
    lost: int
    changed: int
    flux: float
    offset: float

    def to_json(self) -> dict[str, Any]:
        """Return built-in types only."""
        return {
            "panel": self.panel,
            "stars": self.stars,
            "lost": self.lost,
            "changed": self.changed,
            "flux": rounded(self.flux, 4),
            "offset": rounded(self.offset),
        }


@dataclass(frozen=True)
class Beside:
    """A run beside its pair: the common scale, the panels, and the stars that only the run shows."""

    scale: float
    panels: tuple[Panel, ...]
    extra: int
    shown: int


def beside(run: Record, ours: Products, theirs: Products, limits: Thresholds) -> Beside:
    """Look for the same stars in a run and in its pair."""
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
    return Beside(scale, tuple(panels), _extra(ours, theirs, at), len(ours.stars))


def _extra(ours: Products, theirs: Products, at: Sky) -> int:
    """Count the stars of a run that neither its pair nor the truth has nearby."""
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
        sentence = say("This run is what others are compared with, and there is nothing to compare it with.")
        return Verdict("truth", Outcome.NOT_APPLICABLE, sentence)
    if ours is None or theirs is None:
        absent = () if why_not is None else (why_not,)
        return Verdict(
            "truth", Outcome.UNKNOWN, say("There are no two mosaics whose stars could be compared."), cause=absent
        )
    found = beside(runs.run, ours, theirs, limits)
    evidence = {
        "catalogue": runs.run.truth.origin if runs.run.truth is not None else "pair",
        "scale": rounded(found.scale, 4),
        "panels": [panel.to_json() for panel in found.panels],
        "stars_only_here": found.extra,
        "stars": found.shown,
    }
    outcome, sentence, cause = _conclude(found, limits)
    return Verdict("truth", outcome, sentence, MappingProxyType(evidence), cause)


def _conclude(found: Beside, limits: Thresholds) -> tuple[Outcome, Message, tuple[Message, ...]]:
    judged = [panel for panel in found.panels if panel.stars >= ENOUGH]
    wrong = {panel.panel: messages for panel in judged if (messages := _wrong(panel, limits))}
    if wrong:
        sentence = say(
            "Stars are not where, or not as bright, as run_end shows them. Panels: {panels}.", panels=listed(wrong)
        )
        return Outcome.FAIL, sentence, tuple(message for messages in wrong.values() for message in messages)
    if found.extra > max(2.0, limits["truth.extra"] * found.shown):
        sentence = say(
            "Stars that neither run_end nor the truth has, doubled or displaced ones: {count} of {total}.",
            count=found.extra,
            total=found.shown,
        )
        return Outcome.FAIL, sentence, ()
    if not judged:
        return Outcome.UNKNOWN, say("No panel has enough stars in common with its pair."), ()
    return (
        Outcome.PASS,
        say("Stars are where and as bright as run_end shows them. Panels: {count}.", count=len(judged)),
        (),
    )


def _wrong(panel: Panel, limits: Thresholds) -> list[Message]:
    """Say what is wrong with a panel."""
    found = []
    if panel.changed > limits["truth.changed"] * panel.stars and panel.changed > 1:
        found.append(
            say(
                "Panel {panel}: of {stars} stars {lost} are lost, and {changed} in all are lost, of another flux or elsewhere.",
                panel=panel.panel,
                stars=panel.stars,
                lost=panel.lost,
                changed=panel.changed,
            )
        )
    if abs(panel.flux - 1) > limits["truth.flux"]:
        found.append(
            say(
                "Panel {panel}: stars have {flux} of their flux with run_end.",
                panel=panel.panel,
                flux=round(panel.flux, 3),
            )
        )
    if panel.offset > limits["truth.offset"]:
        found.append(
            say(
                "Panel {panel}: stars lie {offset} pixels from where run_end shows them.",
                panel=panel.panel,
                offset=round(panel.offset, 2),
            )
        )
    return found


_PREMISES: Mapping[str, Any] = MappingProxyType({"classic": ALWAYS, "sds": ELSEWHERE, "grid": ELSEWHERE})


def _stars_lost(evidence: Evidence) -> Numbers | None:
    """Return the stars lost, and those of the pair, over all panels."""
    panels = rows_in(evidence, "panels")
    return None if panels is None else every(total(panels, "lost"), total(panels, "stars"))


CHECK = Check(
    "truth",
    say("Are stars where and as bright as they should be?"),
    _judge,
    _PREMISES,
    for_pass=(SHARED,),
    figures=(Figure(say("stars lost, of those in the pair"), Unit.SHARE, _stars_lost),),
)
