"""Compare the mosaic with the known sky.

This is a quality finding: it fails the validation only if the baseline does not have it. Stars of the truth are searched where
the run covers the sky. The check compares their fluxes by panel on a common scale, their positions, how many are doubled, and
how many of the brighter ones are not found. Of the whole mosaic it compares the scale (the fluxes in the unit of the frames), the
colours, and the level of the sky between panels.

Each finding has a size that grows with the error: magnitudes for fluxes, scale and colours, pixels for positions, fractions for
stars, and parts of the sky's level for levels. Where an error has a direction, the finding has a value too: the gain of the
fluxes, the gains of the channels, the displacement to the east and to the north, the offset of a level. Another error of the same
size is then another finding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.analysis.canvas import Mask
from harness.analysis.causes import listed
from harness.analysis.figure import Figure, Unit, significant, sizes
from harness.analysis.filled import filled
from harness.analysis.photometry import (
    Colours,
    Levels,
    Scale,
    by_channel,
    colours_by_rank,
    colours_of,
    levels_of,
    magnitudes,
    pixel_ratio,
    scale_of,
    white_of,
)
from harness.analysis.stars import (
    ENOUGH,
    RADIUS,
    Seen,
    Sky,
    error,
    in_pixels,
    look,
    measured,
    median,
    on_frames,
    on_sky,
    panels_at,
    rounded,
    sky,
    uncompared_panels,
)
from harness.checks.base import Check, Runs
from harness.checks.findings import Finding, Value
from harness.checks.premises import ALWAYS, ELSEWHERE
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, counted, say
from harness.record.products import Products
from harness.record.reader import Record
from harness.record.truth import Truth
from harness.verdict import Outcome, Verdict

_ASKED = 8  # the smallest number of stars to search for in a panel
_LOST = 10.0  # magnitudes: the size of an error of flux where the stars are lost, larger than any that can be measured
_FAINTEST = 1e-4  # a smaller ratio of fluxes is that of lost stars
_PLENTY = 12  # so many stars on a panel's frames can't all be outside the covered sky by chance


@dataclass(frozen=True)
class Panel:
    """The stars of a panel compared with the truth; ``flux`` is on the mosaic's own scale, ``offset`` in mosaic pixels.

    ``stars_on_its_frames`` counts the stars on the panel's frames, ``stars`` the brighter ones on covered sky. ``gain`` is the
    flux in units of the frames, ``colours`` the gains of the channels, ``shift`` the offset to the east and to the north.
    """

    panel: int
    stars: int
    found: int
    flux: float
    flux_error: float
    offset: float
    offset_error: float
    doubled: int
    clouded_frames: int
    frames: int
    stars_on_its_frames: int
    gain: float
    colours: Colours | None
    shift: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        """Return the evidence of the panel in built-in types."""
        rounding = {"flux": 4, "flux_error": 4, "offset": 3, "offset_error": 3, "gain": 4}
        return {
            **asdict(self),
            **{name: rounded(getattr(self, name), digits) for name, digits in rounding.items()},
            "colours": None if self.colours is None else [rounded(gain, 4) for gain in self.colours.gains],
            "shift": [rounded(part, 3) for part in self.shift],
        }


@dataclass(frozen=True)
class Photometry:
    """The whole mosaic compared with the truth: its scale in units of the frames, its colours, the levels of its panels.

    ``white`` is the usual colour of the truth's stars.
    """

    scale: Scale | None
    colours: Colours | None
    white: tuple[float, ...]
    levels: Levels | None


@dataclass(frozen=True)
class Found:
    """What is found, with its sentence: size, noise and value as in `Finding`."""

    message: Message
    size: float
    noise: float = 0.0
    value: Value | None = None

    def to_json(self, name: str) -> dict[str, Any]:
        """Return the evidence of the finding in built-in types."""
        return Finding(name, self.size, self.noise, self.value).to_json()


def compare(run: Record, truth: Truth, products: Products) -> tuple[tuple[Panel, ...], Photometry]:
    """Search for the brighter stars of the truth in a run's mosaic, and compare its photometry with the truth."""
    frames = run.request.dataset.frames
    expected = by_channel(truth, products)
    at = sky(truth.stars if expected is None else np.column_stack([truth.stars, expected]), frames, products)
    here = look(products, at)
    unit = float(np.mean(truth.filters)) if truth.origin == "synthetic" else 1.0
    unit /= pixel_ratio(products, frames)
    ratio = here.flux / at.stars[:, 2] / unit
    bright = _brighter(at, here)
    gains = {panel: median(ratio[inside & here.found]) for panel, inside in bright.items()}
    scale = median(np.array([gain for gain in gains.values() if np.isfinite(gain)]))
    panels = []
    for panel, inside in bright.items():
        seen = inside & here.found
        own = [frame for frame in frames if (frame.panel if frame.panel is not None else -1) == panel]
        shown = on_frames(at.stars, own) & at.alone & (at.panel == panel)
        shift = [(here.x - at.x)[seen], (here.y - at.y)[seen]]
        middle, moved = (median(at.x[seen]), median(at.y[seen])), (median(shift[0]), median(shift[1]))
        panels.append(
            Panel(
                panel=panel,
                stars=int(inside.sum()),
                found=int(seen.sum()),
                flux=gains[panel] / scale,
                flux_error=error(ratio[seen]) / scale,
                offset=float(np.hypot(*moved)),
                offset_error=float(np.hypot(error(shift[0]), error(shift[1]))),
                doubled=int((seen & here.double).sum()),
                clouded_frames=len({frame.name for frame in own}.intersection(truth.clouded)),
                frames=len(own),
                stars_on_its_frames=int(shown.sum()),
                gain=gains[panel],
                colours=colours_of(products, at, here, inside),
                shift=on_sky(products, middle, moved),
            )
        )
    chosen = np.logical_or.reduce([np.zeros(len(at.stars), np.bool_), *bright.values()])
    scale_in_frames = scale_of(products, at, here, chosen, unit)
    matched = scale_in_frames is not None and scale_in_frames.matched
    photometry = Photometry(
        scale=scale_in_frames,
        colours=colours_of(products, at, here, chosen) if matched else colours_by_rank(products, at, here),
        white=white_of(at, here) if expected is not None else (1.0, 1.0, 1.0),
        levels=levels_of(products, frames, truth, scale) if matched else None,
    )
    return tuple(panels), photometry


def _brighter(at: Sky, here: Seen) -> dict[int, NDArray[np.bool_]]:
    """Return the brightest quarter of each panel's stars on covered sky, or more stars if a quarter would be too few to judge."""
    bright = {}
    for panel in at.panels:
        inside = here.lies & at.alone & (at.panel == panel)
        quarter = max(int(inside.sum()) // 4, _ASKED)
        limit = np.sort(at.stars[inside, 2])[-quarter:]
        bright[panel] = inside & (at.stars[:, 2] >= limit[0]) if limit.size else inside
    return bright


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


def _findings(panel: Panel, limits: Thresholds, scatter: float | None) -> dict[str, Found]:
    """Return the findings on the stars of a panel by a stable name."""
    lost = {"flux": _LOST, "positions": RADIUS}
    if panel.stars < ENOUGH:
        message = counted(
            "Panel {panel}: its frames show {count} star, but the mosaic covers too few of them to judge.",
            "Panel {panel}: its frames show {count} stars, but the mosaic covers too few of them to judge.",
            panel=panel.panel,
            count=panel.stars_on_its_frames,
        )
        return {what: Found(message, size) for what, size in {"stars": 1.0, **lost, "doubled": 1.0}.items()}
    if panel.found < limits["accuracy.found"] * panel.stars:
        message = say(
            "Panel {panel}: brighter stars that are found: {found} of {stars}.",
            panel=panel.panel,
            found=panel.found,
            stars=panel.stars,
        )
        # Lost stars have no flux or position either. Otherwise a baseline that shows them badly would look better.
        missing = _share(panel.stars - panel.found, panel.stars)
        return {"stars": Found(message, *missing)} | {what: Found(message, size) for what, size in lost.items()}
    found = {}
    if (flux := _flux(panel, limits, scatter)) is not None:
        # Without a common scale, flux is relative to a scale of chance; the frames' scale is not.
        scale = 1.0 if scatter is None else panel.gain / panel.flux
        ratio = scale * panel.flux
        size, _ = _magnitudes(ratio, 0.0)
        found["flux"] = Found(flux, size, scale * panel.flux_error, ratio)
    if panel.offset > limits["accuracy.offset"]:
        message = say(
            "Panel {panel}: stars are displaced by {offset} pixels.", panel=panel.panel, offset=round(panel.offset, 2)
        )
        found["positions"] = Found(message, panel.offset, panel.offset_error, panel.shift)
    if panel.doubled > max(1.0, limits["accuracy.doubled"] * panel.stars):
        message = say(
            "Panel {panel}: brighter stars that are doubled: {count} of {stars}.",
            panel=panel.panel,
            count=panel.doubled,
            stars=panel.stars,
        )
        found["doubled"] = Found(message, *_share(panel.doubled, panel.stars))
    return found


def _share(part: int, whole: int) -> tuple[float, float]:
    """Return a share of the stars and its noise: half a star, as one at the limit of detection may be found in one run only."""
    return part / whole, 0.5 / whole


def _magnitudes(ratio: float, error: float) -> tuple[float, float]:
    """Return the size of a ratio in magnitudes, and its standard error; a ratio near 0 or below has the size of lost stars."""
    if not ratio > _FAINTEST:
        return _LOST, 0.0
    return magnitudes(ratio), float(1.0857 * error / ratio)


def _flux(panel: Panel, limits: Thresholds, scatter: float | None) -> Message | None:
    percent = round(100 * panel.flux, 1)
    if _off(panel, limits) and panel.clouded_frames:
        return say(
            "Panel {panel}: star fluxes are {percent} % of those in the other panels; frames that show no stars: "
            "{clouded} of {frames}.",
            panel=panel.panel,
            percent=percent,
            frames=panel.frames,
            clouded=panel.clouded_frames,
        )
    if _off(panel, limits):
        return say(
            "Panel {panel}: star fluxes are {percent} % of those in the other panels.",
            panel=panel.panel,
            percent=percent,
        )
    if scatter is not None:
        return say(
            "Panel {panel}: star fluxes scatter by {percent} % between the panels, which have no common scale.",
            panel=panel.panel,
            percent=round(100 * scatter),
        )
    return None


def _of_the_mosaic(found: Photometry, panels: Sequence[Panel], limits: Thresholds) -> dict[str, Found]:
    """Return the findings on scale, colours and levels by a stable name."""
    findings = {}
    if (scale := found.scale) is not None:
        size, noise = _magnitudes(scale.gain, scale.error)
        if size > limits["accuracy.scale"] + 3 * noise:
            findings["scale"] = Found(_scale(scale), size, scale.error, scale.gain)
    if (whole := found.colours) is not None:
        apart = whole.unbalanced(found.white)
        if _coloured(apart, limits):
            message = say(
                "The channels have unequal gains. In percent of the frames: red {red}, green {green}, blue {blue}.",
                **_percent(whole),
            )
            findings["colour"] = Found(message, *_of_channels(apart))
        for panel in panels if found.scale is not None and found.scale.matched else ():
            own = panel.colours.beside(whole) if panel.colours is not None and min(whole.gains) > 0 else None
            if own is not None and _coloured(own, limits):
                message = say(
                    "Panel {panel}: the channels have other gains than in the whole mosaic. In percent of those: red "
                    "{red}, green {green}, blue {blue}.",
                    panel=panel.panel,
                    **_percent(own),
                )
                findings[f"panel {panel.panel}: colour"] = Found(message, *_of_channels(own))
    if (levels := found.levels) is not None:
        for number, offset, excess, noise in zip(*astuple(levels), strict=True):
            if excess > limits["accuracy.level"] + 3 * noise:
                message = say(
                    "Panel {panel}: its sky differs by {percent} % of the sky's level from that of the other panels.",
                    panel=number,
                    percent=round(100 * offset, 1),
                )
                findings[f"panel {number}: level"] = Found(message, excess, noise, offset)
    return findings


def _scale(scale: Scale) -> Message:
    percent = significant(round(100 * scale.gain, 2))
    if scale.matched:
        return say("Stars have {percent} % of the flux that they have in the frames.", percent=percent)
    return say(
        "The brightest stars have {percent} % of the flux of the brightest stars in the frames.", percent=percent
    )


def _coloured(colours: Colours, limits: Thresholds) -> bool:
    return colours.ratio + 3 * colours.ratio_error < 1 - limits["accuracy.colour"]


def _of_channels(colours: Colours) -> tuple[float, float, Value]:
    """Return size, noise and value of unequal gains. The value has each gain as a fraction of the highest."""
    highest = max(colours.gains)
    size, _ = _magnitudes(colours.ratio, 0.0)
    noise = float(np.hypot.reduce(colours.errors)) / highest
    return size, noise, tuple(gain / highest for gain in colours.gains)


def _percent(colours: Colours) -> dict[str, float]:
    return {
        name: significant(round(100 * gain, 2))
        for name, gain in zip(("red", "green", "blue"), colours.gains, strict=True)
    }


def _constant(flat: Mask, run: Record, products: Products, limit: float) -> dict[str, Found]:
    """Return the finding on areas filled with a constant: of the whole mosaic, and of each panel, with one sentence."""
    rows, columns = np.nonzero(flat)
    panel = panels_at(*in_pixels(products, columns, rows), run.request.dataset.frames, products)
    areas = {"": len(rows)} | {f"panel {p}: ": int(np.count_nonzero(panel == p)) for p in np.unique(panel)}
    areas = {name: area * products.step**2 for name, area in areas.items()}
    message = say("{area} pixels of covered sky are filled with a constant instead of observed sky.", area=areas[""])
    return {f"{name}constant areas": Found(message, float(area)) for name, area in areas.items() if area > limit}


def _unmeasured(products: Products, truth: Truth) -> Message | None:
    """Return why the colours of a mosaic of three channels were not compared; ``None`` if they were, or for one channel."""
    image = next((p for p in products.planes if p.file == products.mosaic and p.name not in ("ALPHA", "WEIGHT")), None)
    if image is not None and len(image.count) == 3 and products.channels is None:
        return say("The colours are not measured: the record was made before star fluxes were measured by channel.")
    if products.channels is not None and products.channels.shape[1] == 3 and by_channel(truth, products) is None:
        return say("The colours are not compared: the truth of these frames has none.")
    return None


def _why_not(truth: Truth | None, products: Products | None) -> Message:
    """Return why a run can't be compared with the known sky."""
    if products is None:
        return say("The run has no mosaic.")
    if truth is None:
        return say("The true sky of these frames is not known: the record has no truth.")
    return say("The true sky of these frames is not known: {problem}.", problem=truth.problem)


def _judge(runs: Runs, limits: Thresholds) -> Verdict:
    run, truth, products = runs.run, runs.run.truth, measured(runs.run)
    unknown = partial(Verdict, "accuracy", Outcome.UNKNOWN, axis="quality")
    if truth is None or products is None or truth.problem:
        return unknown(_why_not(truth, products))
    panels, photometry = compare(run, truth, products)
    judged = [panel for panel in panels if panel.stars >= ENOUGH or panel.stars_on_its_frames >= _PLENTY]
    scatter = _scatter(judged, limits)
    found = {
        f"panel {panel.panel}: {what}": finding
        for panel in judged
        for what, finding in _findings(panel, limits, scatter).items()
    }
    found |= _of_the_mosaic(photometry, judged, limits)
    flat = filled(products, run.request.dataset.frames, limits["content.saturated"])
    constant = None if flat is None else int(flat.sum()) * products.step**2
    if flat is not None:
        found |= _constant(flat, run, products, limits["content.constant"])
    evidence = MappingProxyType(_evidence(run, truth, panels, photometry, found) | {"constant_pixels": constant})
    if found:
        once = {finding.message.render(): finding.message for finding in found.values()}
        sentence = say("The mosaic differs from the known sky. Findings: {count}.", count=len(once))
        return Verdict("accuracy", Outcome.FAIL, sentence, evidence, tuple(once.values()), "quality")
    if not judged:
        return unknown(say("No panel has enough stars of the truth."), evidence)
    if (missing := _unmeasured(products, truth)) is not None:
        return unknown(missing, evidence)
    sentence = say("Stars have the positions and fluxes of the truth. Panels compared: {count}.", count=len(judged))
    if uncompared := uncompared_panels(run, [panel.panel for panel in judged]):
        sentence = say(
            "Stars have the positions and fluxes of the truth. Panels compared: {count}; too few stars: {panels}.",
            count=len(judged),
            panels=listed(uncompared),
        )
    return Verdict("accuracy", Outcome.PASS, sentence, evidence, axis="quality")


def _evidence(
    run: Record, truth: Truth, panels: Sequence[Panel], photometry: Photometry, found: Mapping[str, Found]
) -> dict[str, Any]:
    scale, levels = photometry.scale, photometry.levels
    return {
        "findings": [finding.to_json(name) for name, finding in found.items()],
        "truth": truth.origin,
        "truth_frames": truth.frames or len(run.request.dataset.frames),
        "frames": len(run.request.dataset.frames),
        "scale": None if scale is None else rounded(scale.gain, 5),
        "scale_error": None if scale is None else rounded(scale.error, 5),
        "stars_matched": None if scale is None else scale.matched,
        "colours": None if photometry.colours is None else [rounded(gain, 5) for gain in photometry.colours.gains],
        "levels": None
        if levels is None
        else {str(panel): rounded(offset, 4) for panel, offset in zip(levels.panels, levels.offsets, strict=True)},
        "panels": [panel.to_json() for panel in panels],
    }


CHECK = Check(
    "accuracy",
    say("Does the mosaic agree with the known sky?"),
    _judge,
    MappingProxyType({"classic": ALWAYS, "sds": ELSEWHERE, "grid": ELSEWHERE}),
    axis="quality",
    figures=(Figure(say("differences from the sky"), Unit.COUNT, sizes("findings")),),
)
