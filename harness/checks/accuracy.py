"""Compare the mosaic with the known sky.

This is a quality finding: it fails the validation only if the baseline does not have it. Stars of the truth are searched where
the run covers the sky. The check compares their fluxes by panel on a common scale, their positions, how many are doubled, and
how many of the brighter ones are not found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from harness.analysis.figure import Figure, Unit, sizes
from harness.analysis.stars import ENOUGH, RADIUS, error, look, measured, median, on_frames, rounded, sky
from harness.checks.base import Check, Runs
from harness.checks.findings import Finding
from harness.checks.premises import ALWAYS, ELSEWHERE
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.products import Products
from harness.record.reader import Record
from harness.record.truth import Truth
from harness.verdict import Outcome, Verdict

_ASKED = 8  # the smallest number of stars to search for in a panel
_PLENTY = 12  # so many stars on a panel's frames can't all be outside the covered sky by chance


@dataclass(frozen=True)
class Panel:
    """The stars of a panel compared with the truth; ``flux`` is on the mosaic's own scale, ``offset`` in mosaic pixels.

    ``stars_on_its_frames`` counts the stars on the panel's frames, ``stars`` the brighter ones on covered sky.
    """

    panel: int
    stars: int
    found: int
    flux: float
    flux_error: float
    offset: float
    doubled: int
    clouded_frames: int
    frames: int
    stars_on_its_frames: int

    def to_json(self) -> dict[str, Any]:
        """Return the evidence of the panel in built-in types."""
        flux, flux_error = rounded(self.flux, 4), rounded(self.flux_error, 4)
        return {**asdict(self), "flux": flux, "flux_error": flux_error, "offset": rounded(self.offset)}


def panels_of(run: Record, truth: Truth, products: Products) -> tuple[Panel, ...]:
    """Search for the brighter stars of the truth in a run's mosaic."""
    frames = run.request.dataset.frames
    at = sky(truth.stars, frames, products)
    here = look(products, at)
    known = here.lies & at.alone
    ratio = here.flux / at.stars[:, 2]
    medians = {}
    bright = {}
    for panel in at.panels:
        inside = known & (at.panel == panel)
        # The brightest quarter, or more stars if a quarter would be too few to judge.
        quarter = max(int(inside.sum()) // 4, _ASKED)
        limit = np.sort(at.stars[inside, 2])[-quarter:]
        bright[panel] = inside & (at.stars[:, 2] >= limit[0]) if limit.size else inside
        medians[panel] = median(ratio[bright[panel] & here.found])
    scale = median(np.array([m for m in medians.values() if np.isfinite(m)]))
    found = []
    for panel, inside in bright.items():
        seen = inside & here.found
        own = [frame for frame in frames if (frame.panel if frame.panel is not None else -1) == panel]
        shown = on_frames(at.stars, own) & at.alone & (at.panel == panel)
        found.append(
            Panel(
                panel=panel,
                stars=int(inside.sum()),
                found=int(seen.sum()),
                flux=medians[panel] / scale,
                flux_error=error(ratio[seen]) / scale,
                offset=float(np.hypot(median((here.x - at.x)[seen]), median((here.y - at.y)[seen]))),
                doubled=int((seen & here.double).sum()),
                clouded_frames=len({frame.name for frame in own}.intersection(truth.clouded)),
                frames=len(own),
                stars_on_its_frames=int(shown.sum()),
            )
        )
    return tuple(found)


def _scatter(panels: Sequence[Panel], limits: Thresholds) -> float | None:
    """Return the range of the panels' fluxes if they have no common scale, else ``None``.

    A third of the panels may be off. If more are, the common scale depends on chance, and so do the panels that seem to be off.
    """
    off = sum(_off(panel, limits) for panel in panels)
    if len(panels) <= 1 or 3 * off <= len(panels):
        return None
    return float(np.ptp([panel.flux for panel in panels if np.isfinite(panel.flux)] or [0.0]))


def _off(panel: Panel, limits: Thresholds) -> bool:
    return not abs(panel.flux - 1) <= limits["accuracy.flux"] + 3 * panel.flux_error


def _findings(panel: Panel, limits: Thresholds, scatter: float | None) -> dict[str, Message]:
    """Return the findings of a panel: a stable name of each, with its sentence."""
    if panel.stars < ENOUGH:
        message = say(
            "Panel {panel}: its frames show {shown} stars, but the mosaic covers too few of them to judge.",
            panel=panel.panel,
            shown=panel.stars_on_its_frames,
        )
        return dict.fromkeys(("stars", "flux", "positions", "doubled"), message)
    if panel.found < limits["accuracy.found"] * panel.stars:
        message = say(
            "Panel {panel}: brighter stars that are found: {found} of {stars}.",
            panel=panel.panel,
            found=panel.found,
            stars=panel.stars,
        )
        # Lost stars have no flux or position either. Otherwise a baseline that shows them badly would look better.
        return dict.fromkeys(("stars", "flux", "positions"), message)
    found = {}
    percent = round(100 * panel.flux, 1)
    if _off(panel, limits) and panel.clouded_frames:
        found["flux"] = say(
            "Panel {panel}: star fluxes are {percent} % of those in the other panels; frames that show no stars: "
            "{clouded} of {frames}.",
            panel=panel.panel,
            percent=percent,
            frames=panel.frames,
            clouded=panel.clouded_frames,
        )
    elif _off(panel, limits):
        found["flux"] = say(
            "Panel {panel}: star fluxes are {percent} % of those in the other panels.",
            panel=panel.panel,
            percent=percent,
        )
    elif scatter is not None:
        found["flux"] = say(
            "Panel {panel}: star fluxes scatter by {percent} % between the panels, which have no common scale.",
            panel=panel.panel,
            percent=round(100 * scatter),
        )
    if panel.offset > limits["accuracy.offset"]:
        found["positions"] = say(
            "Panel {panel}: stars are displaced by {offset} pixels.", panel=panel.panel, offset=round(panel.offset, 2)
        )
    if panel.doubled > max(1.0, limits["accuracy.doubled"] * panel.stars):
        found["doubled"] = say(
            "Panel {panel}: brighter stars that are doubled: {count} of {stars}.",
            panel=panel.panel,
            count=panel.doubled,
            stars=panel.stars,
        )
    return found


def _sized(name: str, panels: Sequence[Panel], constant: int | None, scatter: float | None) -> Finding:
    """Return a finding with its size. Stars that were not found leave flux and positions without a measure: the worst size."""
    if name == "constant areas":
        return Finding(name, float(constant or 0))
    where, _, what = name.partition(": ")
    panel = next(panel for panel in panels if f"panel {panel.panel}" == where)
    star = 0.5 / max(panel.stars, 1)  # half a star: one at the limit of the star finder may be found in one run only
    if what == "stars":
        return Finding(name, 1 - panel.found / max(panel.stars, 1), star)
    if what == "doubled":
        return Finding(name, panel.doubled / max(panel.stars, 1), star)
    if what == "positions":
        return Finding(name, panel.offset if np.isfinite(panel.offset) else RADIUS)
    if not np.isfinite(panel.flux):
        return Finding(name, 1.0)
    off = max(abs(panel.flux - 1), scatter or 0.0)
    return Finding(name, off, panel.flux_error, panel.flux)


def _judge(runs: Runs, limits: Thresholds) -> Verdict:
    run = runs.run
    products = measured(run)
    if run.truth is None:
        sentence = say("The true sky of these frames is not known.")
        return Verdict("accuracy", Outcome.NOT_APPLICABLE, sentence, axis="quality")
    if products is None:
        return Verdict("accuracy", Outcome.UNKNOWN, say("The run has no mosaic."), axis="quality")
    panels = panels_of(run, run.truth, products)
    judged = [panel for panel in panels if panel.stars >= ENOUGH or panel.stars_on_its_frames >= _PLENTY]
    scatter = _scatter(judged, limits)
    found = {
        f"panel {panel.panel}: {what}": message
        for panel in judged
        for what, message in _findings(panel, limits, scatter).items()
    }
    constant = None if products.constant is None else int(products.constant.sum()) * products.step**2
    if constant is not None and constant > limits["content.constant"]:
        found["constant areas"] = say(
            "{area} pixels of covered sky are filled with a constant instead of observed sky.", area=constant
        )
    evidence = MappingProxyType(
        {
            "findings": [_sized(name, panels, constant, scatter).to_json() for name in found],
            "truth": run.truth.origin,
            "panels": [panel.to_json() for panel in panels],
            "constant_pixels": constant,
        }
    )
    if found:
        sentence = say("The mosaic differs from the known sky. Findings: {findings}.", findings="; ".join(found))
        once = {message.render(): message for message in found.values()}
        return Verdict("accuracy", Outcome.FAIL, sentence, evidence, tuple(once.values()), "quality")
    if not judged:
        sentence = say("No panel has enough stars of the truth.")
        return Verdict("accuracy", Outcome.UNKNOWN, sentence, evidence, axis="quality")
    sentence = say("Stars have the positions and fluxes of the truth. Panels compared: {count}.", count=len(judged))
    return Verdict("accuracy", Outcome.PASS, sentence, evidence, axis="quality")


CHECK = Check(
    "accuracy",
    say("Does the mosaic agree with the known sky?"),
    _judge,
    MappingProxyType({"classic": ALWAYS, "sds": ELSEWHERE, "grid": ELSEWHERE}),
    axis="quality",
    figures=(Figure(say("differences from the sky"), Unit.COUNT, sizes("findings")),),
)
