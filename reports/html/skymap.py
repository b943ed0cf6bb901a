"""Draw maps of the coverage of a run and its pair, on the same sky and scale, with numbered outlines of the holes.

Both coverages are brought, by the nearest element, onto the pair's grid, extended where the run or a hole reaches beyond it.
When that grid is too fine for a drawing, blocks are joined: a block with any uncovered element counts as uncovered, so that
no hole is lost in the drawing.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from harness.record import limits, safe
from harness.record.products import Products
from harness.record.reader import Record
from harness.record.values import RecordError, inside, open_regular
from reports.html.planes import (
    Compass,
    Depth,
    Hole,
    Outline,
    Plane,
    canvas_of,
    compass_of,
    data_uri,
    holes_on,
    on_canvas,
    plane_of,
)

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


def maps(run: Products | None, pair: Products | None, outlines: Sequence[Outline], side: int) -> Maps | None:
    """Draw the coverage of a run and of its pair; ``None`` when neither made a mosaic.

    ``outlines`` are the holes that the check found. ``side`` is the longest side of a map, in pixels of the picture.
    """
    ours, theirs = plane_of(run), plane_of(pair)
    base = theirs if theirs is not None else ours
    if base is None:
        return None
    canvas = canvas_of(base, [ours], outlines)
    if canvas is not None:
        ours, theirs = (None if p is None else on_canvas(canvas, p) for p in (ours, theirs))
    planes = [p for p in (ours, theirs) if p is not None]
    levels = _levels([p.depth for p in planes])
    most = max(max(p.depth.shape) for p in planes)
    factor = max(1, math.ceil(most / side))
    holes = () if canvas is None else holes_on(canvas, outlines)
    drawn = None if ours is None else _map(ours, levels, factor, holes)
    # A good run covers what its pair covers: one picture serves both.
    same = ours is not None and theirs is not None and _equal(ours, theirs)
    return Maps(
        run=drawn,
        pair=None if theirs is None else drawn if same else _map(theirs, levels, factor, holes),
        levels=levels,
        same_sky=canvas is not None,
        unplaced=len(outlines) - len(holes),
    )


def picture_of(record: Record) -> Image.Image | None:
    """Return the picture of a record's mosaic; ``None`` without one, and for one that was changed since the record was sealed."""
    name = record.products.thumbnail if record.products is not None else None
    if name is None or any(line.startswith(f"{name}: ") for line in record.damage):
        return None
    return read_photograph(record.folder, name)


def read_photograph(folder: Path, name: str) -> Image.Image | None:
    """Decode a record's picture; ``None`` if it is missing, unreadable or too large, or a link: it would show another file."""
    try:
        path = inside(folder, name)
        if not safe.is_plain(folder, path):
            return None
        with open_regular(path, limits.TEXT_BYTES) as stream, Image.open(stream, formats=("PNG",)) as opened:
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
    return data_uri("image/jpeg", stream), flat.width, flat.height


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


def _map(plane: Plane, levels: tuple[Level, ...], factor: int, holes: tuple[Hole, ...]) -> Map:
    height, width = plane.depth.shape
    small = plane.depth
    if factor > 1:
        # The padding repeats the edge, so that it makes no uncovered border.
        padded = np.pad(plane.depth, ((0, -height % factor), (0, -width % factor)), mode="edge")
        # The highest value of a block, not the mean: the mean of two levels would be a third.
        highest = _blocks(padded, factor, np.maximum)
        small = np.where(_blocks(padded, factor, np.minimum) > 0, highest, 0)
    stream = io.BytesIO()
    _paint(small, levels).save(stream, format="PNG", optimize=True)
    return Map(data_uri("image/png", stream), width, height, holes, compass_of(plane))


def _equal(one: Plane, other: Plane) -> bool:
    """Return whether two coverages are the same, on the same grid."""
    return dict(one.wcs) == dict(other.wcs) and np.array_equal(one.depth, other.depth)


def _blocks(depth: Depth, factor: int, join: np.ufunc) -> Depth:
    """Join square blocks of elements: first rows, which are contiguous in memory, then columns. Both at once take longer."""
    rows, columns = depth.shape[0] // factor, depth.shape[1] // factor
    joined = join.reduce(depth.reshape(rows, factor, -1), axis=1)
    return np.asarray(join.reduce(joined.reshape(rows, columns, factor), axis=2), dtype=np.float32)


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


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
