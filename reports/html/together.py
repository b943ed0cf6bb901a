"""Draw two mosaics of the same sky side by side, on one grid and with one stretch, and their difference.

The pictures are grey: each pixel shows the middle of its three channels. A hot pixel, which is bright in one channel only, and
whose drift from frame to frame made coloured streaks, does not show.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.measure import block_reduce

from harness.analysis.footprint import pixel_of, pixel_scale, sky_of
from harness.analysis.wcs import FootprintError
from harness.record.products import SOFTENING, Products
from reports.html.planes import Outline, Plane, canvas_of, compass_of, data_uri, holes_on, on_canvas, plane_of
from reports.html.skymap import Map

GAINED, LOST = (45, 110, 170), (163, 22, 31)
"""The colours of sky that only the second, or only the first mosaic covers."""

Pixels = NDArray[np.float32]
Shade = NDArray[np.uint8]
Stretched = Literal["same", "fitted", "own"]

_ENOUGH = 200
"""The smallest number of pixels from which the brightness of one mosaic is fitted to that of the other."""
_FULL = 0.25
"""The difference of two shades, of which 1 is white, that is drawn black."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A mosaic: its measured products, its picture, and the holes that were found in it."""

    products: Products
    picture: Image.Image
    holes: Sequence[Outline]


@dataclass(frozen=True, slots=True)
class Together:
    """Two mosaics and their difference on one grid.

    ``stretched`` says how they were brought to one brightness: by their recorded limits, by a fit over the sky that both cover,
    or not at all. ``gained`` and ``lost`` are the areas that only the second and only the first covers, in square arcminutes;
    ``None`` if they can't be measured. ``thin`` is the area of the strips along edges that are left out of both. ``outside``
    counts the holes that lie outside the grid.
    """

    first: Map
    second: Map
    difference: Map
    stretched: Stretched
    gained: float | None
    lost: float | None
    thin: float | None
    outside: int


def together(first: Shot, second: Shot, whole: Products | None, side: int) -> Together | None:
    """Draw two mosaics; ``None`` if one has no coverage, or if they are not on the same sky.

    ``whole`` is the run whose grid is used, such as the one with ``run_end``; the grid is extended to hold all. ``side`` is the
    longest side of a picture in pixels.
    """
    planes = plane_of(first.products), plane_of(second.products)
    base = plane_of(whole) or planes[1]
    if planes[0] is None or planes[1] is None or base is None:
        return None
    outlines = (*first.holes, *second.holes)
    canvas = canvas_of(base, planes, outlines)
    if canvas is None:
        return None
    covered = [on_canvas(canvas, plane).depth > 0 for plane in planes if plane is not None]
    factor = max(1, math.ceil(max(canvas.depth.shape) / side))
    small = [block_reduce(_filled(mask, factor), (factor, factor), np.min) for mask in covered]
    try:
        light = [_sampled(shot, canvas, factor) for shot in (first, second)]
    except FootprintError:
        return None
    shared = small[0] & small[1] & np.isfinite(light[0]).all(axis=0) & np.isfinite(light[1]).all(axis=0)
    stretched = _one_stretch(light, (first.products, second.products), shared)
    shades = [_shade(linear, seen) for linear, seen in zip(light, small, strict=True)]
    area = _area(canvas)
    only = [covered[1] & ~covered[0], covered[0] & ~covered[1]]
    wide = [_wide(mask) for mask in only]
    drawn = [block_reduce(_filled(mask, factor), (factor, factor), np.max) for mask in wide]
    maps = [
        _map(_grey(shade, seen), canvas, shot.holes)
        for shade, seen, shot in zip(shades, small, (first, second), strict=True)
    ]
    return Together(
        first=maps[0],
        second=maps[1],
        difference=_map(_difference(shades, small, drawn), canvas, outlines if not second.holes else second.holes),
        stretched=stretched,
        gained=None if area is None else float(wide[0].sum()) * area,
        lost=None if area is None else float(wide[1].sum()) * area,
        thin=None if area is None else float(sum(o.sum() - w.sum() for o, w in zip(only, wide, strict=True))) * area,
        outside=len(outlines) - len(holes_on(canvas, outlines)),
    )


def _wide(only: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the parts of sky that only one mosaic covers, without strips of at most two elements.

    The mosaics have grids of their own. Where these differ by part of an element, the edge of one is a strip wider.
    """
    parts, _ = ndimage.label(only)
    kept = np.unique(parts[ndimage.binary_opening(only, np.ones((3, 3), dtype=np.bool_))])
    return np.isin(parts, kept[kept > 0])


def _filled(mask: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    """Repeat the edge until whole blocks are filled, so that the padding makes no uncovered border."""
    height, width = mask.shape
    return np.pad(mask, ((0, -height % factor), (0, -width % factor)), mode="edge")


def _sampled(shot: Shot, canvas: Plane, factor: int) -> Pixels:
    """Return the light of a mosaic on the canvas, from 0 (black) to 1 (white) of its own stretch; NaN where it has none.

    Shape (3, rows, columns), each pixel the nearest of the picture.
    """
    taken = np.asarray(shot.picture, dtype=np.float32)
    rows, columns = shot.products.covered.shape
    height, width = canvas.depth.shape
    down = (np.arange(math.ceil(height / factor)) + 0.5)[:, None] * factor - 0.5
    across = (np.arange(math.ceil(width / factor)) + 0.5)[None, :] * factor - 0.5
    x, y = pixel_of(shot.products.wcs, *sky_of(canvas.wcs, across, down))
    # The picture's pixels are larger or smaller than the elements of the mask, by a whole number of the mosaic's pixels.
    at_x, at_y = (x + 0.5) * taken.shape[1] / columns, (y + 0.5) * taken.shape[0] / rows
    inner = (at_x >= 0) & (at_x < taken.shape[1]) & (at_y >= 0) & (at_y < taken.shape[0])  # false for NaN too
    light = np.full((3, *x.shape), np.nan, dtype=np.float32)
    found = taken[np.floor(at_y[inner]).astype(np.intp), np.floor(at_x[inner]).astype(np.intp)]
    linear = SOFTENING * np.sinh(found[:, :3] / 255 * np.arcsinh(1 / SOFTENING))
    light[:, inner] = np.where(found[:, 3:] > 0, linear, np.nan).T
    return light


def _one_stretch(light: list[Pixels], measured: tuple[Products, Products], shared: NDArray[np.bool_]) -> Stretched:
    """Bring the light of the first mosaic to the stretch of the second; return how it was done."""
    limits = [products.stretch for products in measured]
    if all(len(known) == len(light[0]) for known in limits):
        for channel, (ours, theirs) in enumerate(zip(*limits, strict=True)):
            flux = ours[0] + light[0][channel] * (ours[1] - ours[0])
            light[0][channel] = (flux - theirs[0]) / max(theirs[1] - theirs[0], np.finfo(np.float32).tiny)
        return "same"
    if shared.sum() < _ENOUGH:
        return "own"
    for channel in range(len(light[0])):
        ours, theirs = light[0][channel][shared], light[1][channel][shared]
        # The sky and the stars that are not white: two quantiles place one scale on the other.
        low, high = np.quantile(ours, (0.25, 0.98)), np.quantile(theirs, (0.25, 0.98))
        if low[1] - low[0] > 0:
            light[0][channel] = high[0] + (light[0][channel] - low[0]) * (high[1] - high[0]) / (low[1] - low[0])
    return "fitted"


def _shade(light: Pixels, seen: NDArray[np.bool_]) -> Pixels:
    """Return the shade of each pixel, 0 black to 1 white: the middle of its channels, stretched."""
    middle = np.median(np.nan_to_num(np.clip(light, 0, 1)), axis=0)
    return np.where(seen, np.arcsinh(middle / SOFTENING) / np.arcsinh(1 / SOFTENING), 0).astype(np.float32)


def _grey(shade: Pixels, seen: NDArray[np.bool_]) -> Image.Image:
    """Return a grey picture, transparent where the mosaic does not cover the sky: the page's hatching shows."""
    made = np.zeros((*shade.shape, 2), dtype=np.uint8)
    made[..., 0] = np.round(shade * 250)
    made[..., 1] = np.where(seen, 255, 0)
    return Image.fromarray(np.ascontiguousarray(made[::-1]), "LA")


def _difference(
    shades: Sequence[Pixels], seen: Sequence[NDArray[np.bool_]], only: Sequence[NDArray[np.bool_]]
) -> Image.Image:
    """Return the difference: white where both are equal, darker the more they differ, coloured where only one covers.

    ``only`` are the parts that only the second and only the first covers; what is in neither, such as a thin strip along an
    edge, is transparent.
    """
    both = seen[0] & seen[1]
    apart = np.clip(np.abs(shades[1] - shades[0]) / _FULL, 0, 1)
    made = np.zeros((*both.shape, 4), dtype=np.uint8)
    # Few shades: the picture stays small, and rounding of the pictures does not show.
    made[both, :3] = np.round(250 - 230 * np.round(apart[both] * 8) / 8)[:, None]
    gained, lost = seen[1] & ~seen[0] & only[0], seen[0] & ~seen[1] & only[1]
    made[gained, :3] = GAINED
    made[lost, :3] = LOST
    made[both | gained | lost, 3] = 255
    return Image.fromarray(np.ascontiguousarray(made[::-1]), "RGBA")


def _map(picture: Image.Image, canvas: Plane, outlines: Sequence[Outline]) -> Map:
    stream = io.BytesIO()
    colours = 128 if picture.mode == "RGBA" else 64
    picture.convert("RGBA").quantize(colours, method=Image.Quantize.FASTOCTREE).save(
        stream, format="PNG", optimize=True
    )
    height, width = canvas.depth.shape
    return Map(data_uri("image/png", stream), width, height, holes_on(canvas, outlines), compass_of(canvas))


def _area(canvas: Plane) -> float | None:
    """Return the area of one element in square arcminutes; ``None`` if the WCS does not give it."""
    try:
        return pixel_scale(canvas.wcs) ** 2 / 3600
    except FootprintError:
        return None
