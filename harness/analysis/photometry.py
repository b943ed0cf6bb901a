"""Compare the photometry of a mosaic with the truth: scale, colours, and the level of the sky by panel.

Every float image that a target saves may be shifted so that its minimum is 0. So fluxes are compared, which no shift changes, and
levels of panels with each other.
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
_LEAST_BLOCKS = 4  # of a panel, for a median that one star or nebula does not decide


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
    """Return the gains of the channels over some stars; ``None`` if they can't be compared.

    From the fourth column on, the stars of ``at`` have the fluxes of the truth by channel (``by_channel``).
    """
    seen = chosen & here.found
    if products.channels is None or at.stars.shape[1] < 6 or int(seen.sum()) < ENOUGH:
        return None
    ratios = products.channels[here.index[seen]] / at.stars[seen, 3:6]
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
    panel = panels_at((columns + 0.5) * BLOCK, (rows + 0.5) * BLOCK, frames, products)
    return {int(p): values[inside & (panel == p)] for p in np.unique(panel[inside])}
