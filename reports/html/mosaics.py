"""Draw two mosaics and their difference on one grid and with one stretch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.visualization import AsinhStretch, AsymmetricPercentileInterval
from numpy.typing import NDArray
from PIL import Image

from harness.compare.pixels import Small
from reports.html.planes import Compass, one_grid, picture
from reports.html.skymap import UNCOVERED, Map

ONLY_BEFORE = (213, 94, 0)
ONLY_AFTER = (0, 158, 115)
"""Colours of sky that only one mosaic covers; they can be told apart by readers who do not see red and green."""

LOW, MIDDLE, HIGH = (33, 102, 172), (247, 247, 247), (178, 24, 43)
"""Colours of a lower value in B, an equal one, and a higher one."""

_STEPS = 16
"""Steps of the scale on either side of zero; few colours keep the picture small."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Trio:
    """Two mosaics and their difference.

    ``difference`` is ``None`` where the two can't be placed on one grid. ``scale`` is the difference at the ends of the colours,
    in the mosaic's unit; 0 if no value differs. ``exact`` is whether the pixels were drawn, and not means of blocks. ``lost`` and
    ``new`` say whether there is sky that only one of them covers.
    """

    before: Map
    after: Map
    difference: Map | None
    scale: float
    exact: bool
    lost: bool
    new: bool


def trio(before: Small, after: Small) -> Trio:
    """Draw two mosaics with the same stretch: on one grid if they can be placed together."""
    one, other = before.pixels, after.pixels
    grid = one_grid((_shape(one), before.cards), (_shape(other), after.cards))
    if grid is not None:
        one, other = _placed(one, grid.first), _placed(other, grid.second)
    if len(one) != len(other):  # a mosaic in colour and one without: both are shown in grey
        one, other = (_mean(pixels)[None] for pixels in (one, other))
    one, other = _as_rgb(one), _as_rgb(other)
    limits = _limits(one, other)
    compass = grid.compass if grid is not None else None
    drawn = [_map(_stretched(pixels, limits), compass) for pixels in (one, other)]
    exact = before.exact and after.exact
    if grid is None:
        return Trio(drawn[0], drawn[1], None, 0.0, exact, lost=False, new=False)
    apart = _mean(other) - _mean(one)
    seen = [np.isfinite(_mean(pixels)) for pixels in (one, other)]
    scale = _scale(apart)
    painted = _difference(apart, seen[0], seen[1], scale)
    return Trio(
        drawn[0],
        drawn[1],
        Map(picture(painted), painted.width, painted.height, (), compass),
        scale,
        exact,
        lost=bool((seen[0] & ~seen[1]).any()),
        new=bool((seen[1] & ~seen[0]).any()),
    )


def _shape(pixels: Floats) -> tuple[int, int]:
    return pixels.shape[1], pixels.shape[2]


def _placed(pixels: Floats, under: NDArray[np.intp]) -> Floats:
    """Bring each channel onto a grid, given the element under each of the grid's."""
    flat = pixels.reshape(len(pixels), -1)
    return np.where(under >= 0, flat[:, np.maximum(under, 0)], np.float32(np.nan))


def _as_rgb(pixels: Floats) -> Floats:
    return pixels[[0, 1, 2]] if len(pixels) >= 3 else pixels[[0, 0, 0]]


def _mean(pixels: Floats) -> Floats:
    """Return the mean of the channels, NaN where one of them has no value."""
    return np.asarray(pixels[: 3 if len(pixels) >= 3 else 1].mean(axis=0), dtype=np.float32)


def _limits(one: Floats, other: Floats) -> list[tuple[float, float]]:
    """Return the darkest and the brightest value of each channel, over both mosaics."""
    found = []
    for channel in range(3):
        values = np.concatenate([side[channel][np.isfinite(side[channel])] for side in (one, other)])
        low, high = AsymmetricPercentileInterval(1, 99.7).get_limits(values) if values.size else (0.0, 1.0)
        found.append((float(low), float(high)))
    return found


def _stretched(pixels: Floats, limits: list[tuple[float, float]]) -> Image.Image:
    covered = np.isfinite(pixels).all(axis=0)
    shown = np.empty((*covered.shape, 3), np.uint8)
    shown[:] = UNCOVERED
    for i, (low, high) in enumerate(limits):
        scaled = np.clip((pixels[i][covered] - low) / max(high - low, 1e-30), 0, 1)
        shown[covered, i] = np.round(255 * AsinhStretch(0.1)(scaled))
    return Image.fromarray(np.ascontiguousarray(shown[::-1]))  # FITS counts rows from below, pictures from above


def _map(image: Image.Image, compass: Compass | None) -> Map:
    return Map(picture(image, "JPEG"), image.width, image.height, (), compass)


def _scale(apart: Floats) -> float:
    """Return the difference at the ends of the colours: nearly the largest, so that single stars do not hide the rest."""
    known = np.abs(apart[np.isfinite(apart)])
    known = known[known > 0]
    return float(f"{np.percentile(known, 99):.3g}") if known.size else 0.0


def _difference(apart: Floats, before: NDArray[np.bool_], after: NDArray[np.bool_], scale: float) -> Image.Image:
    """Paint the difference with a palette: a scale from lower to higher, and one colour each for sky on one side only."""
    steps = 2 * _STEPS + 1
    part = np.clip(np.nan_to_num(apart) / scale, -1, 1) if scale else np.zeros_like(apart)
    # Away from zero: a small difference is not painted as none.
    index = (_STEPS + np.sign(part) * np.ceil(np.abs(part) * _STEPS)).astype(np.uint8)
    index = np.where(before & after, index, np.where(before, steps, np.where(after, steps + 1, steps + 2))).astype(
        np.uint8
    )
    ends = (*(_blend(MIDDLE, LOW, n / _STEPS) for n in range(_STEPS, 0, -1)), MIDDLE)
    colours = (*ends, *(_blend(MIDDLE, HIGH, n / _STEPS) for n in range(1, _STEPS + 1)))
    painted = Image.fromarray(np.ascontiguousarray(index[::-1]))
    painted.putpalette([value for colour in (*colours, ONLY_BEFORE, ONLY_AFTER, UNCOVERED) for value in colour])
    return painted


def _blend(start: tuple[int, int, int], end: tuple[int, int, int], part: float) -> tuple[int, int, int]:
    """Return a colour between two. Even a small part is well away from the start, so that any difference is seen."""
    reach = 0.15 + 0.85 * part
    red, green, blue = (round(a + (b - a) * reach) for a, b in zip(start, end, strict=True))
    return red, green, blue
