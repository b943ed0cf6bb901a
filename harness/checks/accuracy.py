"""What the mosaic itself is worth, whoever is to blame: a finding, shown always, which gates only when the baseline has it not.

Stars of the truth are looked for where the run covers the sky: how bright they are by panel, on one scale for all; how
far from their places; how many are doubled; how many of the brighter ones are not found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from harness.analysis.figure import Figure, Unit, sizes
from harness.analysis.stars import ENOUGH, error, look, measured, median, on_frames, rounded, sky
from harness.checks.base import Check, Runs
from harness.checks.premises import ALWAYS, ELSEWHERE
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.products import Products
from harness.record.reader import Record
from harness.record.truth import Truth
from harness.verdict import Outcome, Verdict

_ASKED = 8  # stars of a panel that are looked for, at least
_PLENTY = 12  # stars on a panel's frames that can't all be hidden by chance


@dataclass(frozen=True)
class Panel:
    """A panel's stars beside the truth; ``flux`` is on the mosaic's own scale, ``offset`` in mosaic pixels.

    ``shown`` counts the stars that the panel's frames show, ``stars`` the brighter of those on covered sky, which are looked for.
    """

    panel: int
    stars: int
    found: int
    flux: float
    flux_error: float
    offset: float
    doubled: int
    clouded: int
    frames: int
    shown: int

    def to_json(self) -> dict[str, Any]:
        """Return built-in types only."""
        return {
            "panel": self.panel,
            "stars": self.stars,
            "found": self.found,
            "flux": rounded(self.flux, 4),
            "flux_error": rounded(self.flux_error, 4),
            "offset": rounded(self.offset),
            "doubled": self.doubled,
            "clouded_frames": self.clouded,
            "frames": self.frames,
            "stars_on_its_frames": self.shown,
        }


def panels_of(run: Record, truth: Truth, products: Products) -> tuple[Panel, ...]:
    """Look for the brighter stars of the truth in a run's mosaic."""
    frames = run.request.dataset.frames
    at = sky(truth.stars, frames, products)
    here = look(products, at)
    known = here.lies & at.alone
    ratio = here.flux / at.stars[:, 2]
    medians = {}
    bright = {}
    for panel in at.panels:
        inside = known & (at.panel == panel)
        # The brightest quarter, or more where that would be too few to say anything.
        quarter = max(int(inside.sum()) // 4, _ASKED)
        limit = np.sort(at.stars[inside, 2])[-quarter:]
        bright[panel] = inside & (at.stars[:, 2] >= limit[0]) if limit.size else inside
        medians[panel] = median(ratio[bright[panel] & here.found])
    scales = np.array([m for m in medians.values() if np.isfinite(m)])
    scale = median(scales)
    clouded = set(truth.clouded)
    found = []
    for panel, inside in bright.items():
        seen = inside & here.found
        own = [frame for frame in frames if (frame.panel if frame.panel is not None else -1) == panel]
        names = [frame.name for frame in own]
        shown = on_frames(at.stars, own) & at.alone & (at.panel == panel)
        moved = np.hypot(median((here.x - at.x)[seen]), median((here.y - at.y)[seen]))
        found.append(
            Panel(
                panel,
                int(inside.sum()),
                int(seen.sum()),
                medians[panel] / scale,
                error(ratio[seen]) / scale,
                float(moved),
                int((seen & here.double).sum()),
                len(clouded.intersection(names)),
                len(names),
                int(shown.sum()),
            )
        )
    return tuple(found)


def _one_scale(panels: Sequence[Panel], limits: Thresholds) -> bool:
    """Whether most panels have one scale. Else the common one is nobody's, and which panels are off depends on chance."""
    of_one = [panel for panel in panels if not _off(panel, limits)]
    return len(panels) == 1 or 3 * len(of_one) >= 2 * len(panels)


def _off(panel: Panel, limits: Thresholds) -> bool:
    return not abs(panel.flux - 1) <= limits["accuracy.flux"] + 3 * panel.flux_error


def _findings(panel: Panel, limits: Thresholds, *, common: bool) -> list[tuple[str, Message]]:
    """Return what is wrong with a panel: a stable name of each finding and its sentence."""
    if panel.stars < ENOUGH:
        message = say(
            "Panel {panel}: its frames show {shown} stars, of which the mosaic covers too few to say anything.",
            panel=panel.panel,
            shown=panel.shown,
        )
        return [(f"panel {panel.panel}: {what}", message) for what in ("stars", "flux", "positions", "doubled")]
    if panel.found < limits["accuracy.found"] * panel.stars:
        message = say(
            "Panel {panel}: {found} of the {stars} brighter stars are found.",
            panel=panel.panel,
            found=panel.found,
            stars=panel.stars,
        )
        # Stars that are gone have neither flux nor place: whatever is seen of these elsewhere is no worse.
        return [(f"panel {panel.panel}: {what}", message) for what in ("stars", "flux", "positions")]
    found = []
    if _off(panel, limits) or not common:
        message = (
            say(
                "Panel {panel}: stars have {flux} of the flux that they have elsewhere; "
                "of its {frames} frames {clouded} show no stars.",
                panel=panel.panel,
                flux=round(panel.flux, 3),
                frames=panel.frames,
                clouded=panel.clouded,
            )
            if panel.clouded
            else say(
                "Panel {panel}: stars have {flux} of the flux that they have elsewhere.",
                panel=panel.panel,
                flux=round(panel.flux, 3),
            )
        )
        found.append((f"panel {panel.panel}: flux", message))
    if panel.offset > limits["accuracy.offset"]:
        message = say(
            "Panel {panel}: stars lie {offset} pixels from their places.",
            panel=panel.panel,
            offset=round(panel.offset, 2),
        )
        found.append((f"panel {panel.panel}: positions", message))
    if panel.doubled > max(1.0, limits["accuracy.doubled"] * panel.stars):
        message = say(
            "Panel {panel}: {count} of the {stars} brighter stars are doubled.",
            panel=panel.panel,
            count=panel.doubled,
            stars=panel.stars,
        )
        found.append((f"panel {panel.panel}: doubled", message))
    return found


def _judge(runs: Runs, limits: Thresholds) -> Verdict:
    run = runs.run
    products = measured(run)
    if run.truth is None:
        sentence = say("Nothing is known of what these frames show.")
        return Verdict("accuracy", Outcome.NOT_APPLICABLE, sentence, axis="quality")
    if products is None:
        return Verdict("accuracy", Outcome.UNKNOWN, say("There is no mosaic to look at."), axis="quality")
    panels = panels_of(run, run.truth, products)
    judged = [panel for panel in panels if panel.stars >= ENOUGH or panel.shown >= _PLENTY]
    common = _one_scale(judged, limits)
    found = [finding for panel in judged for finding in _findings(panel, limits, common=common)]
    constant = None if products.constant is None else int(products.constant.sum()) * products.step**2
    if constant is not None and constant > limits["content.constant"]:
        message = say(
            "Covered sky that is filled with constant values and not observed, in pixels: {area}.", area=constant
        )
        found.append(("constant areas", message))
    evidence = MappingProxyType(
        {
            "findings": [name for name, _ in found],
            "truth": run.truth.origin,
            "panels": [panel.to_json() for panel in panels],
            "constant_pixels": constant,
        }
    )
    if found:
        sentence = say(
            "The mosaic differs from the sky; findings: {findings}.", findings="; ".join(n for n, _ in found)
        )
        cause = tuple(dict.fromkeys(message.render() for _, message in found))
        by_text = {message.render(): message for _, message in found}
        return Verdict("accuracy", Outcome.FAIL, sentence, evidence, tuple(by_text[text] for text in cause), "quality")
    if not judged:
        return Verdict(
            "accuracy", Outcome.UNKNOWN, say("No panel has enough stars of the truth."), evidence, axis="quality"
        )
    sentence = say("Stars are where and as bright as the truth says. Panels: {count}.", count=len(judged))
    return Verdict("accuracy", Outcome.PASS, sentence, evidence, axis="quality")


_PREMISES: Mapping[str, Any] = MappingProxyType({"classic": ALWAYS, "sds": ELSEWHERE, "grid": ELSEWHERE})

CHECK = Check(
    "accuracy",
    say("How near to the sky is the mosaic?"),
    _judge,
    _PREMISES,
    axis="quality",
    figures=(Figure(say("differences from the sky"), Unit.COUNT, sizes("findings")),),
)
