"""Compare the photometry of a mosaic with the truth: scale, colours, and the level of the sky by panel.

Every float image that a target saves may be shifted so that its minimum is 0. So fluxes are compared, which no shift changes, and
levels of panels with each other.

Scale and colours are those of matched stars. Where a target displaces its stars, chance matches have ratios of any size. Then the
brightest stars of the mosaic are compared with the brightest of the truth, rank by rank, with a larger error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analysis.footprint import sky_of
from harness.analysis.stars import ENOUGH, Array, Seen, Sky, error, median, panels_at
from harness.record.products import BLOCK, Plane, Products
from harness.record.request import FrameFacts
from harness.record.truth import Truth

_WHOLE = BLOCK * BLOCK
_SCATTER = (
    0.5  # of matched stars, as a fraction of their median ratio: chance matches have more, panels on one scale 0.1
)
_RANKED = (8, 30)  # the fewest and the most stars that are compared by rank
_RANK_ERROR = 0.3  # as a fraction: the lists of stars differ at edges and in blends
_BALANCES = 11  # steps between the colours of the frames and white stars
_LEAST_BLOCKS = 2  # of a panel; the scatter of so few is in the error


def magnitudes(ratio: float) -> float:
    """Return the size of a ratio of fluxes in magnitudes, also for a ratio below 1."""
    return abs(2.5 * math.log10(ratio))


def pixel_ratio(products: Products, frames: Sequence[FrameFacts]) -> float:
    """Return the area of a mosaic's pixel as a fraction of a frame's pixel; 1 without frames.

    Resampling keeps the brightness of a pixel, so a star's sum over pixels is smaller where the pixels are larger.
    """
    areas = [_area(frame.wcs, frame.shape) for frame in frames]
    if not areas:
        return 1.0
    return _area(products.wcs, products.covered.shape) / products.step**2 / float(np.median(areas))


def _area(wcs: object, shape: tuple[int, ...]) -> float:
    """Return the area of the pixel in the middle of an image, in square degrees."""
    x, y = shape[1] / 2, shape[0] / 2
    ra, dec = (np.radians(v) for v in sky_of(wcs, np.array([x, x + 1, x]), np.array([y, y, y + 1])))  # type: ignore[arg-type]
    east, north = np.sin(ra[1:] - ra[0]) * np.cos(dec[0]), dec[1:] - dec[0]
    return float(np.degrees(np.degrees(abs(east[0] * north[1] - east[1] * north[0]))))


@dataclass(frozen=True)
class Scale:
    """The star fluxes of a mosaic in units of the frames, with the error; ``matched`` is whether the stars were matched."""

    gain: float
    error: float
    matched: bool


def scale_of(products: Products, at: Sky, here: Seen, chosen: NDArray[np.bool_], unit: float) -> Scale | None:
    """Return the scale of a mosaic from some matched stars, else from its brightest stars; ``None`` with too few stars.

    ``unit`` is the flux in the mosaic that a star of flux 1 in the truth must have.
    """
    ratios = (here.flux / at.stars[:, 2])[chosen & here.found] / unit
    if len(ratios) >= ENOUGH and error(ratios) * math.sqrt(len(ratios)) <= _SCATTER * median(ratios):
        return Scale(median(ratios), error(ratios), matched=True)
    bright = _brightest(products, at, here)
    if bright is None:
        return None
    ratios = products.stars[bright[0], 2] / at.stars[bright[1], 2] / unit
    return Scale(median(ratios), max(error(ratios), _RANK_ERROR * median(ratios)), matched=False)


def _brightest(products: Products, at: Sky, here: Seen) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return the rows of the brightest stars of a mosaic, and of the covered ones of the truth; ``None`` if they are too few."""
    ours = np.argsort(-products.stars[:, 2], kind="stable")[: _RANKED[1]]
    covered = np.flatnonzero(here.lies)
    theirs = covered[np.argsort(-at.stars[covered, 2], kind="stable")][: _RANKED[1]]
    count = min(len(ours), len(theirs))
    return None if count < _RANKED[0] else (ours[:count], theirs[:count])


@dataclass(frozen=True)
class Colours:
    """The gain of each channel: the median of the star fluxes in units of the truth, with its error."""

    gains: tuple[float, ...]
    errors: tuple[float, ...]
    stars: int

    @property
    def ratio(self) -> float:
        """The lowest gain as a fraction of the highest; the lowest is at least its error, so that it is positive."""
        low, high = int(np.argmin(self.gains)), int(np.argmax(self.gains))
        return max(self.gains[low], self.errors[low], 1e-4 * self.gains[high]) / self.gains[high]

    @property
    def ratio_error(self) -> float:
        """The standard error of the ratio."""
        low, high = int(np.argmin(self.gains)), int(np.argmax(self.gains))
        return math.hypot(self.errors[low], self.ratio * self.errors[high]) / self.gains[high]

    def beside(self, other: Colours) -> Colours:
        """Return the gains in units of another set of stars."""
        gains = tuple(g / o for g, o in zip(self.gains, other.gains, strict=True))
        return Colours(gains, tuple(e / o for e, o in zip(self.errors, other.gains, strict=True)), self.stars)

    def unbalanced(self, white: Sequence[float]) -> Colours:
        """Return the gains apart from a white balance: a target may keep the colours of the frames, or make their stars white.

        ``white`` has the fluxes in the frames of a star of the usual colour.
        """
        if min(white) <= 0:
            return self
        balances = (np.array(white) ** power for power in np.linspace(0, 1, _BALANCES))
        found = [
            Colours(tuple((b * self.gains).tolist()), tuple((b * self.errors).tolist()), self.stars) for b in balances
        ]
        return max(found, key=lambda colours: colours.ratio)


def by_channel(truth: Truth, products: Products) -> Array | None:
    """Return the flux of each star of the truth in each channel of a mosaic; ``None`` if truth or mosaic has no colours.

    Frames of one colour must give equal channels.
    """
    if products.channels is None or products.channels.shape[1] != 3:
        return None
    if truth.channels is not None:
        return np.broadcast_to(truth.channels, (len(truth.stars), 3)) if truth.channels.shape[1] in (1, 3) else None
    return truth.stars[:, 2:3] * np.array(truth.filters) if truth.origin == "synthetic" else None


def colours_of(products: Products, at: Sky, here: Seen, chosen: NDArray[np.bool_]) -> Colours | None:
    """Return the gains of the channels over some matched stars; ``None`` if they can't be compared.

    From the fourth column on, the stars of ``at`` have the fluxes of the truth by channel (``by_channel``).
    """
    seen = chosen & here.found
    if products.channels is None or at.stars.shape[1] < 6 or int(seen.sum()) < ENOUGH:
        return None
    return _gains(products.channels[here.index[seen]] / at.stars[seen, 3:6])


def colours_by_rank(products: Products, at: Sky, here: Seen) -> Colours | None:
    """Return the gains of the channels from the usual colours of the brightest stars, matched or not; the mean gain is 1."""
    bright = _brightest(products, at, here)
    if products.channels is None or at.stars.shape[1] < 6 or bright is None:
        return None
    ours, theirs = products.channels[bright[0]], at.stars[bright[1], 3:6]
    usual = np.median(theirs / theirs.mean(axis=1, keepdims=True), axis=0)
    return _gains(ours / ours.mean(axis=1, keepdims=True) / usual)


def white_of(at: Sky, here: Seen) -> tuple[float, ...]:
    """Return the usual colour of the covered stars of the truth: the median fluxes by channel, as fractions of their mean."""
    colours = at.stars[here.lies, 3:6]
    if not len(colours):
        return (1.0, 1.0, 1.0)
    return tuple(np.median(colours / colours.mean(axis=1, keepdims=True), axis=0).tolist())


def _gains(ratios: Array) -> Colours | None:
    ratios = ratios[np.isfinite(ratios).all(axis=1)]
    gains = tuple(median(channel) for channel in ratios.T)
    if len(ratios) < ENOUGH or max(gains) <= 0:
        return None
    return Colours(gains, tuple(error(channel) for channel in ratios.T), len(ratios))


@dataclass(frozen=True)
class Levels:
    """The level of the sky by panel beside the median of all panels, in units of the sky's level in the frames.

    ``excess`` is by how much a panel differs more in the mosaic than in the frames. A target may leave or remove a difference of
    the frames.
    """

    panels: tuple[int, ...]
    offsets: tuple[float, ...]
    excess: tuple[float, ...]
    errors: tuple[float, ...]


def levels_of(products: Products, frames: Sequence[FrameFacts], truth: Truth, gain: float) -> Levels | None:
    """Return the level of each panel, from the blocks of the mosaic; ``None`` with fewer than two panels to compare.

    ``gain`` is the scale of the mosaic in units of the frames.
    """
    image = next((p for p in products.planes if p.file == products.mosaic and p.name not in ("ALPHA", "WEIGHT")), None)
    known = dict(truth.levels)
    if truth.origin == "synthetic":
        unit = truth.sky * float(np.mean(truth.filters))
        known = {frame.panel: unit for frame in frames if frame.panel is not None}
    if image is None or len(known) < 2 or not gain > 0:
        return None
    unit = float(np.median(list(known.values())))
    measured = {p: v for p, v in _blocks_of(image, products, frames).items() if p in known and len(v) >= _LEAST_BLOCKS}
    if len(measured) < 2 or not unit > 0:
        return None
    panels = tuple(sorted(measured))
    offsets = _beside([median(measured[p]) / gain / unit for p in panels])
    excess = np.maximum(np.abs(offsets) - np.abs(_beside([known[p] / unit for p in panels])), 0.0)
    errors = [error(measured[p]) / gain / unit for p in panels]
    return Levels(panels, tuple(offsets.tolist()), tuple(excess.tolist()), tuple(errors))


def _beside(values: Sequence[float]) -> Array:
    """Return the differences from the median."""
    return np.asarray(np.array(values) - np.median(values))


def _blocks_of(image: Plane, products: Products, frames: Sequence[FrameFacts]) -> dict[int, Array]:
    """Return the mean values of the whole blocks of each panel, averaged over the channels."""
    whole = (image.count == _WHOLE).all(axis=0)
    rows, columns = np.nonzero(whole)
    if not len(rows):
        return {}
    values = (image.sum[:, rows, columns] / _WHOLE).mean(axis=0)
    # Uncovered pixels are 0 at some targets, so blocks must be covered as well as finite.
    half = BLOCK / products.step / 2
    y = np.minimum((rows * 2 + 1) * half, products.covered.shape[0] - 1).astype(np.int64)
    x = np.minimum((columns * 2 + 1) * half, products.covered.shape[1] - 1).astype(np.int64)
    reach = int(half) + 1
    inside = np.ones(len(rows), dtype=np.bool_)
    for dy in (-reach, 0, reach):
        for dx in (-reach, 0, reach):
            j, i = y + dy, x + dx
            on = (j >= 0) & (j < products.covered.shape[0]) & (i >= 0) & (i < products.covered.shape[1])
            inside &= on
            inside[on] &= products.covered[j[on], i[on]]
    panel = panels_at(np.float64(BLOCK) * (columns + 0.5), np.float64(BLOCK) * (rows + 0.5), frames, products)
    return {int(p): values[inside & (panel == p)] for p in np.unique(panel[inside])}
