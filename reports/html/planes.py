"""Bring the coverages of several mosaics onto one grid, the canvas, and place holes, a compass and a scale bar on it.

The canvas is the grid of one mosaic, extended where another mosaic or a hole reaches beyond it.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.analysis.footprint import pixel_of, pixel_scale, sky_of
from harness.analysis.wcs import FootprintError
from harness.record.products import Products

# The canvas may be this much wider or higher than the first grid; if it needs more, each map is drawn separately.
MAX_GROWTH = 3.0
_NEAR = 1.5
_STRIP = 256

Cards = Mapping[str, str | int | float]
Depth = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Outline:
    """A hole as the check found it: its number, and its edge on the sky, degrees, shape (n, 2)."""

    number: str
    sky: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Hole:
    """A hole on a map: its number, the position of the number, and its edge as an SVG path, in map units."""

    number: str
    x: float
    y: float
    path: str


@dataclass(frozen=True, slots=True)
class Compass:
    """The directions of north and east as unit vectors in the drawing, and a scale bar (map units, arcminutes)."""

    north: tuple[float, float]
    east: tuple[float, float]
    bar: float
    arcminutes: float


@dataclass(frozen=True)
class Plane:
    """A coverage on a grid, 0 where it is not covered."""

    depth: Depth
    wcs: Cards


def plane_of(products: Products | None) -> Plane | None:
    """Return the coverage of a mosaic; ``None`` without one."""
    if products is None or products.mosaic is None or products.covered.size == 0:
        return None
    # A weight that rounds to 0 still counts as covered.
    weight = np.nan_to_num(products.depth, nan=0.0, posinf=0.0, neginf=0.0)
    depth = np.where(products.covered, np.maximum(weight, np.finfo(np.float32).tiny), 0).astype(np.float32)
    return Plane(depth, products.wcs)


def canvas_of(base: Plane, others: Sequence[Plane | None], outlines: Sequence[Outline]) -> Plane | None:
    """Return an empty plane large enough for all maps and the holes; ``None`` if it would be too large."""
    height, width = base.depth.shape
    points = []
    known = [plane for plane in others if plane is not None and plane is not base]
    try:
        for outline in outlines:
            across, down = pixel_of(base.wcs, outline.sky[:, 0], outline.sky[:, 1])
            # A hole far away would need a canvas on which the mosaic is a dot; the comparison is false for NaN too.
            if (np.abs(across / width - 0.5) < _NEAR).all() and (np.abs(down / height - 0.5) < _NEAR).all():
                points.append((across, down))
        for plane in known:
            rows, columns = plane.depth.shape
            corners = sky_of(plane.wcs, [0, columns - 1, columns - 1, 0], [0, 0, rows - 1, rows - 1])
            points.append(pixel_of(base.wcs, *corners))
    except FootprintError:
        return base if all(plane.depth.shape == base.depth.shape for plane in known) else None
    x = np.concatenate([[0.0, width - 1.0], *(p[0] for p in points)])
    y = np.concatenate([[0.0, height - 1.0], *(p[1] for p in points)])
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    # Corners that agree to less than an element are the same canvas, up to rounding.
    left, low = (max(0, math.ceil(-float(v.min()) - 0.75)) for v in (x, y))
    right = max(0, math.ceil(float(x.max()) - width + 1 - 0.75))
    high = max(0, math.ceil(float(y.max()) - height + 1 - 0.75))
    shape = (low + height + high, left + width + right)
    if shape[0] > MAX_GROWTH * height or shape[1] > MAX_GROWTH * width:
        return None
    wcs = dict(base.wcs)
    wcs["CRPIX1"] = float(wcs.get("CRPIX1", 0.0)) + left
    wcs["CRPIX2"] = float(wcs.get("CRPIX2", 0.0)) + low
    return Plane(np.zeros(shape, dtype=np.float32), wcs)


def on_canvas(canvas: Plane, plane: Plane) -> Plane:
    """Bring a coverage onto a canvas by the nearest element."""
    if plane.depth.shape == canvas.depth.shape and dict(plane.wcs) == dict(canvas.wcs):
        return plane
    out = np.zeros_like(canvas.depth)
    height, width = plane.depth.shape
    across = np.arange(out.shape[1], dtype=np.float64)[None, :]
    try:
        for first in range(0, out.shape[0], _STRIP):
            down = np.arange(first, min(first + _STRIP, out.shape[0]), dtype=np.float64)[:, None]
            x, y = pixel_of(plane.wcs, *sky_of(canvas.wcs, across, down))
            inner = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)  # false for NaN too
            rows, columns = np.rint(y[inner]).astype(np.intp), np.rint(x[inner]).astype(np.intp)
            out[first : first + _STRIP][inner] = plane.depth[rows, columns]
    except FootprintError:
        return plane  # only on a canvas of its own shape, as `canvas_of` decided
    return Plane(out, canvas.wcs)


def holes_on(canvas: Plane, outlines: Sequence[Outline]) -> tuple[Hole, ...]:
    """Place the outlines on the canvas; positions are measured from its upper left corner."""
    height, width = canvas.depth.shape
    placed = []
    for outline in outlines:
        try:
            x, y = pixel_of(canvas.wcs, outline.sky[:, 0], outline.sky[:, 1])
        except FootprintError:
            break
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            continue
        if x.max() < 0 or y.max() < 0 or x.min() > width - 1 or y.min() > height - 1:
            continue
        across, down = x + 0.5, height - 0.5 - y
        path = "M" + "L".join(f"{a:.1f} {d:.1f}" for a, d in zip(across, down, strict=True)) + "Z"
        middle = (float(across.min() + across.max()) / 2, float(down.min() + down.max()) / 2)
        placed.append(Hole(outline.number, round(middle[0], 1), round(middle[1], 1), path))
    return tuple(placed)


def compass_of(plane: Plane) -> Compass | None:
    """Return the directions of north and east at the centre, and a round length of at most a quarter of the width."""
    height, width = plane.depth.shape
    try:
        scale = pixel_scale(plane.wcs) / 60
        ra, dec = (float(v) for v in sky_of(plane.wcs, (width - 1) / 2, (height - 1) / 2))
        step = scale / 60
        east_step = step / max(math.cos(math.radians(dec)), 1e-3)
        x, y = pixel_of(plane.wcs, np.array([ra, ra, ra + east_step]), np.array([dec, dec + step, dec]))
    except FootprintError:
        return None
    north, east = (_unit(float(x[i] - x[0]), float(y[i] - y[0])) for i in (1, 2))
    if north is None or east is None or not (math.isfinite(scale) and scale > 0):
        return None
    most = width * scale / 4
    power = 10.0 ** math.floor(math.log10(most))
    length = max(m * power for m in (1, 2, 5) if m * power <= most * (1 + 1e-9))
    return Compass(north, east, round(length / scale, 2), length)


def _unit(x: float, y: float) -> tuple[float, float] | None:
    """Return a direction in the drawing, where y points down."""
    length = math.hypot(x, y)
    return (round(x / length, 3), round(-y / length, 3)) if math.isfinite(length) and length > 0 else None


def data_uri(kind: str, stream: io.BytesIO) -> str:
    """Return a picture as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


@dataclass(frozen=True)
class OneGrid:
    """A grid that holds two pictures: the element of either under each of its own (-1: none), and the directions on it."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    compass: Compass | None


def one_grid(first: tuple[tuple[int, int], Cards], second: tuple[tuple[int, int], Cards]) -> OneGrid | None:
    """Place two pictures, given by their shapes and WCS cards, on the first one's grid, extended to hold both.

    ``None`` if they can't be placed together, or the grid would be too large.
    """
    # An element is named by its number, which float32 holds exactly up to 2**24.
    planes = [
        Plane(np.arange(1, rows * columns + 1, dtype=np.float32).reshape(rows, columns), cards)
        for (rows, columns), cards in (first, second)
        if 0 < rows * columns < 1 << 24
    ]
    if len(planes) != 2 or (canvas := canvas_of(planes[0], planes[1:], ())) is None:
        return None
    one, other = (on_canvas(canvas, plane).depth.astype(np.intp) - 1 for plane in planes)
    return OneGrid(one, other, compass_of(canvas)) if one.shape == other.shape else None


def picture(image: Image.Image, kind: str = "PNG") -> str:
    """Return a picture as a data URI."""
    stream = io.BytesIO()
    image.save(stream, format=kind, optimize=True, **({"quality": 85} if kind == "JPEG" else {}))
    return data_uri(f"image/{kind.lower()}", stream)
