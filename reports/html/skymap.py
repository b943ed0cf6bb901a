"""Draw maps of the coverage of a run and its pair, on the same sky and scale, with numbered outlines of the holes.

Both coverages are brought, by the nearest element, onto the pair's grid, extended where the run or a hole reaches beyond it.
When that grid is too fine for a drawing, blocks are joined: a block with any uncovered element counts as uncovered, so that
no hole is lost in the drawing.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from skimage.measure import block_reduce

from harness.analysis.footprint import pixel_of, pixel_scale, sky_of
from harness.analysis.wcs import FootprintError
from harness.record.products import Products
from harness.record.values import RecordError, inside

# A light to dark scale of one hue, readable without colour.
SCALE: tuple[tuple[int, int, int], ...] = (
    (214, 228, 238),
    (171, 202, 224),
    (122, 170, 204),
    (78, 135, 179),
    (45, 100, 149),
    (25, 68, 113),
    (13, 41, 77),
)
# Colour of uncovered sky in the picture of the mosaic.
UNCOVERED = (122, 122, 118)
MAX_PIXELS = 100_000_000
# The common canvas may be this much wider or higher than the pair's; if it needs more, each map is drawn separately.
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


@dataclass(frozen=True, slots=True)
class Map:
    """One coverage map: a picture as a data URI, its size in map units, what is drawn over it, and the covered fraction."""

    picture: str
    width: int
    height: int
    holes: tuple[Hole, ...]
    compass: Compass | None


@dataclass(frozen=True, slots=True)
class Level:
    """One step of the legend: a colour, and the lowest and highest value with that colour."""

    colour: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Maps:
    """The maps of a run and of its pair. ``same_sky``: both are on one grid. ``unplaced``: holes that could not be drawn."""

    run: Map | None
    pair: Map | None
    levels: tuple[Level, ...]
    same_sky: bool
    unplaced: int


@dataclass(frozen=True)
class _Plane:
    """A coverage on a grid, 0 where it is not covered."""

    depth: Depth
    wcs: Cards


def maps(run: Products | None, pair: Products | None, outlines: Sequence[Outline], side: int) -> Maps | None:
    """Draw the coverage of a run and of its pair; ``None`` when neither made a mosaic.

    ``outlines`` are the holes that the check found. ``side`` is the longest side of a map, in pixels of the picture.
    """
    ours, theirs = _plane(run), _plane(pair)
    base = theirs if theirs is not None else ours
    if base is None:
        return None
    canvas = _canvas(base, ours, outlines)
    if canvas is not None:
        ours, theirs = (None if p is None else _on(canvas, p) for p in (ours, theirs))
    planes = [p for p in (ours, theirs) if p is not None]
    levels = _levels([p.depth for p in planes])
    most = max(max(p.depth.shape) for p in planes)
    factor = max(1, math.ceil(most / side))
    holes = () if canvas is None else _holes(canvas, outlines)
    return Maps(
        run=None if ours is None else _map(ours, levels, factor, holes),
        pair=None if theirs is None else _map(theirs, levels, factor, holes),
        levels=levels,
        same_sky=canvas is not None,
        unplaced=len(outlines) - len(holes),
    )


def read_photograph(folder: Path, name: str) -> Image.Image | None:
    """Decode a record's picture; ``None`` if it is missing, unreadable or too large."""
    try:
        with Image.open(inside(folder, name), formats=("PNG",)) as opened:
            return opened.convert("RGBA") if opened.width * opened.height <= MAX_PIXELS else None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, RecordError):
        return None


def photograph(taken: Image.Image, side: int) -> tuple[str, int, int]:
    """Return a picture, made small, as a data URI with its width and height.

    It is written anew, so that nothing but pixels reaches the page. Its first row is the mosaic's first, which FITS counts from
    below: it is turned so that the picture agrees with the maps.
    """
    picture = ImageOps.flip(taken)
    picture.thumbnail((side, side))
    flat = Image.new("RGB", picture.size, UNCOVERED)
    flat.paste(picture, mask=picture.getchannel("A"))
    stream = io.BytesIO()
    flat.save(stream, format="JPEG", quality=82, optimize=True)
    return _uri("image/jpeg", stream), flat.width, flat.height


def _plane(products: Products | None) -> _Plane | None:
    if products is None or products.mosaic is None or products.covered.size == 0:
        return None
    # A weight that rounds to 0 still counts as covered.
    weight = np.nan_to_num(products.depth, nan=0.0, posinf=0.0, neginf=0.0)
    depth = np.where(products.covered, np.maximum(weight, np.finfo(np.float32).tiny), 0).astype(np.float32)
    return _Plane(depth, products.wcs)


def _canvas(base: _Plane, run: _Plane | None, outlines: Sequence[Outline]) -> _Plane | None:
    """Return an empty plane large enough for both maps and the holes; ``None`` if it would be too large."""
    height, width = base.depth.shape
    points = []
    try:
        for outline in outlines:
            across, down = pixel_of(base.wcs, outline.sky[:, 0], outline.sky[:, 1])
            # A hole far away would need a canvas on which the mosaic is a dot; the comparison is false for NaN too.
            if (np.abs(across / width - 0.5) < _NEAR).all() and (np.abs(down / height - 0.5) < _NEAR).all():
                points.append((across, down))
        if run is not None and run is not base:
            rows, columns = run.depth.shape
            corners = sky_of(run.wcs, [0, columns - 1, columns - 1, 0], [0, 0, rows - 1, rows - 1])
            points.append(pixel_of(base.wcs, *corners))
    except FootprintError:
        return base if run is None or run is base or run.depth.shape == base.depth.shape else None
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
    return _Plane(np.zeros(shape, dtype=np.float32), wcs)


def _on(canvas: _Plane, plane: _Plane) -> _Plane:
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
        return plane  # only on a canvas of its own shape, as `_canvas` decided
    return _Plane(out, canvas.wcs)


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
        _Plane(np.arange(1, rows * columns + 1, dtype=np.float32).reshape(rows, columns), cards)
        for (rows, columns), cards in (first, second)
        if 0 < rows * columns < 1 << 24
    ]
    if len(planes) != 2 or (canvas := _canvas(planes[0], planes[1], ())) is None:
        return None
    one, other = (_on(canvas, plane).depth.astype(np.intp) - 1 for plane in planes)
    return OneGrid(one, other, _compass(canvas)) if one.shape == other.shape else None


def picture(image: Image.Image, kind: str = "PNG") -> str:
    """Return a picture as a data URI."""
    stream = io.BytesIO()
    image.save(stream, format=kind, optimize=True, **({"quality": 85} if kind == "JPEG" else {}))
    return _uri(f"image/{kind.lower()}", stream)


def _levels(depths: Sequence[Depth]) -> tuple[Level, ...]:
    """Return the steps of the scale that all maps share: one per value if there are few, else equal steps."""
    values = np.unique(np.concatenate([np.unique(d[d > 0]) for d in depths]))
    if values.size == 0:
        return ()
    if values.size <= len(SCALE):
        at = np.linspace(1, len(SCALE) - 2, values.size) if values.size > 1 else np.array([len(SCALE) // 2])
        return tuple(Level(_hex(SCALE[round(float(i))]), float(v), float(v)) for i, v in zip(at, values, strict=True))
    edges = np.linspace(float(values[0]), float(values[-1]), len(SCALE) + 1).tolist()
    return tuple(Level(_hex(colour), low, high) for colour, low, high in zip(SCALE, edges[:-1], edges[1:], strict=True))


def _map(plane: _Plane, levels: tuple[Level, ...], factor: int, holes: tuple[Hole, ...]) -> Map:
    height, width = plane.depth.shape
    small = plane.depth
    if factor > 1:
        # The padding repeats the edge, so that it makes no uncovered border.
        padded = np.pad(plane.depth, ((0, -height % factor), (0, -width % factor)), mode="edge")
        # The highest value of a block, not the mean: the mean of two levels would be a third.
        highest = block_reduce(padded, (factor, factor), np.max)
        small = np.where(block_reduce(padded, (factor, factor), np.min) > 0, highest, 0)
    stream = io.BytesIO()
    _paint(small, levels).save(stream, format="PNG", optimize=True)
    return Map(_uri("image/png", stream), width, height, holes, _compass(plane))


def _paint(depth: Depth, levels: tuple[Level, ...]) -> Image.Image:
    """Colour a coverage with a palette; index 0, where it is not covered, is transparent: the page's hatching shows."""
    single = all(level.low == level.high for level in levels)
    lows = np.array([level.low for level in levels])
    bounds = (lows[1:] + lows[:-1]) / 2 if single else lows[1:]
    index = np.where(depth > 0, np.digitize(depth, bounds) + 1, 0).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(index[::-1]))  # FITS counts rows from below, pictures from above
    picture.putpalette([0, 0, 0, *(v for level in levels for v in bytes.fromhex(level.colour[1:]))])
    picture.info["transparency"] = 0
    return picture


def _holes(canvas: _Plane, outlines: Sequence[Outline]) -> tuple[Hole, ...]:
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


def _compass(plane: _Plane) -> Compass | None:
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


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _uri(kind: str, stream: io.BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
