"""Maps of the coverage of a run and of its pair, on one sky and one scale, with the holes outlined and numbered.

Both coverages are brought, by the nearest element, onto the pair's grid, extended where the run reaches beyond it. When the
element sizes forbid a drawing of moderate size, blocks are joined: a block with any uncovered element counts as uncovered,
so that no hole is lost in the drawing.
"""

from __future__ import annotations

import base64
import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.wcs import WCS, FITSFixedWarning
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from skimage.measure import block_reduce, find_contours

from harness.record import Products, RecordError, inside

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
MAX_PIXELS = 100_000_000
MAX_OUTLINES = 60
# The pair's canvas may grow by this factor on a side before the two are no longer drawn on one sky.
MAX_GROWTH = 3.0


@dataclass(frozen=True, slots=True)
class Hole:
    """A hole on a map. ``x``, ``y`` (its number's place) and ``outline`` (an SVG path) are in the map's own units."""

    number: str
    kind: str
    x: float
    y: float
    outline: str


@dataclass(frozen=True, slots=True)
class Compass:
    """Which way north and east are, as unit vectors in the drawing, and a length to measure by (map units, arcminutes)."""

    north: tuple[float, float]
    east: tuple[float, float]
    bar: float
    arcminutes: float


@dataclass(frozen=True, slots=True)
class Map:
    """One coverage map: a picture as a data URI, its size in map units, and what is drawn over it."""

    picture: str
    width: int
    height: int
    holes: tuple[Hole, ...]
    compass: Compass | None
    covered: float


@dataclass(frozen=True, slots=True)
class Level:
    """One step of the legend: a colour, and the lowest and highest value that it stands for."""

    colour: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Maps:
    """The map of a run and of its pair. ``same_sky`` says whether both are drawn on one grid."""

    run: Map
    pair: Map | None
    levels: tuple[Level, ...]
    same_sky: bool
    outside: int


@dataclass(frozen=True)
class _Plane:
    """A coverage on a grid. ``depth`` is 0 where it is not covered."""

    depth: NDArray[np.float32]
    wcs: WCS | None


def maps(run: Products, pair: Products | None, components: Sequence[Mapping[str, Any]], grid: str, side: int) -> Maps:
    """Draw the coverage of a run beside that of its pair.

    Parameters
    ----------
    run, pair
        The measured products; ``pair`` is ``None`` where there is none.
    components
        The holes as the check's evidence has them: ``number``, ``kind``, ``box`` (row0, row1, column0, column1).
    grid
        The grid of the boxes: ``"pair"`` or ``"run"``.
    side
        The longest side of a map, in pixels of the picture.

    """
    own = _plane(run)
    other = None if pair is None else _plane(pair)
    base = other if other is not None else own
    canvas, same_sky = _canvas(own, other)
    of_boxes = own if grid == "run" or other is None else other
    if same_sky:
        planes = [None if p is None else _on(canvas, p) for p in (own, other)]
        frame = canvas
    else:
        planes = [own, other]
        frame = base
    run_plane, pair_plane = planes
    assert run_plane is not None
    depths = [p.depth for p in planes if p is not None]
    levels = _levels(depths)
    lost = None
    if same_sky and pair_plane is not None:
        lost = (pair_plane.depth > 0) & (run_plane.depth <= 0)
    drawn_on = frame if same_sky else own
    holes, outside = _holes(components, of_boxes, drawn_on, lost) if same_sky or of_boxes is own else ((), len(components))
    factor = max(1, math.ceil(max(max(d.shape) for d in depths) / side))
    return Maps(
        run=_map(run_plane, levels, factor, holes),
        pair=None if pair_plane is None else _map(pair_plane, levels, factor, holes if same_sky else ()),
        levels=levels,
        same_sky=same_sky,
        outside=outside,
    )


def photograph(folder: Path, name: str | None, side: int) -> tuple[str, int, int] | None:
    """Return a record's picture, made small, as a data URI with its width and height; ``None`` where there is none.

    The file is decoded and written anew, so that nothing but pixels reaches the page.
    """
    if name is None:
        return None
    try:
        path = inside(folder, name)
        with Image.open(path, formats=("PNG",)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                return None
            small = picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError, RecordError):
        return None
    small.thumbnail((side, side))
    stream = io.BytesIO()
    small.save(stream, format="JPEG", quality=82, optimize=True)
    return _uri("image/jpeg", stream), small.width, small.height


def _plane(products: Products) -> _Plane:
    depth = np.where(products.covered & np.isfinite(products.depth), products.depth, 0)
    # What is covered with a weight too small to be told from 0 is still covered.
    depth = np.where(products.covered, np.maximum(depth, np.finfo(np.float32).tiny), 0).astype(np.float32)
    return _Plane(depth, _wcs(products.wcs))


def _wcs(cards: Mapping[str, Any]) -> WCS | None:
    """Return the celestial WCS of some cards, or ``None`` where they have none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            wcs = WCS(dict(cards), naxis=2)
    except Exception:  # noqa: BLE001 -- astropy and wcslib raise many types on cards that make no sense
        return None
    return wcs if wcs.has_celestial else None


def _canvas(run: _Plane, pair: _Plane | None) -> tuple[_Plane, bool]:
    """Return an empty plane that holds both coverages, and whether they can stand on one sky."""
    if pair is None:
        return run, True
    if run.wcs is None or pair.wcs is None:
        return pair, run.depth.shape == pair.depth.shape
    columns, rows = _transform(_corners(run.depth.shape), run.wcs, pair.wcs)
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        return pair, False
    height, width = pair.depth.shape
    left, low = min(0, math.floor(columns.min())), min(0, math.floor(rows.min()))
    right, high = max(width, math.ceil(columns.max()) + 1), max(height, math.ceil(rows.max()) + 1)
    # Corners that agree to a fraction of an element are the same canvas, up to rounding.
    if max(-left, -low, right - width, high - height) <= 1:
        left, low, right, high = 0, 0, width, height
    if (right - left) > MAX_GROWTH * width or (high - low) > MAX_GROWTH * height:
        return pair, False
    wcs = pair.wcs.deepcopy()
    wcs.wcs.crpix = [wcs.wcs.crpix[0] - left, wcs.wcs.crpix[1] - low]
    return _Plane(np.zeros((high - low, right - left), dtype=np.float32), wcs), True


def _on(canvas: _Plane, plane: _Plane) -> _Plane:
    """Bring a coverage onto a canvas by the nearest element."""
    if plane.wcs is None or canvas.wcs is None:
        return plane
    if plane.depth.shape == canvas.depth.shape and plane.wcs.wcs.compare(canvas.wcs.wcs):
        return plane
    out = np.zeros_like(canvas.depth)
    height, width = plane.depth.shape
    across = np.arange(out.shape[1], dtype=np.float64)
    for first in range(0, out.shape[0], 256):
        rows, columns = np.meshgrid(np.arange(first, min(first + 256, out.shape[0]), dtype=np.float64), across, indexing="ij")
        x, y = _transform((columns.ravel(), rows.ravel()), canvas.wcs, plane.wcs)
        with np.errstate(invalid="ignore"):
            good = np.isfinite(x) & np.isfinite(y) & (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
        part = np.zeros(x.shape, dtype=np.float32)
        part[good] = plane.depth[np.rint(y[good]).astype(np.int64), np.rint(x[good]).astype(np.int64)]
        out[first : first + 256] = part.reshape(rows.shape)
    return _Plane(out, canvas.wcs)


def _transform(points: tuple[NDArray[np.float64], NDArray[np.float64]], source: WCS, to: WCS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    ra, dec = source.wcs_pix2world(*points, 0)
    x, y = to.wcs_world2pix(ra, dec, 0)
    return np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)


def _corners(shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    height, width = shape
    columns = np.array([-0.5, width - 0.5, width - 0.5, -0.5])
    rows = np.array([-0.5, -0.5, height - 0.5, height - 0.5])
    return columns, rows


def _levels(depths: Sequence[NDArray[np.float32]]) -> tuple[Level, ...]:
    """Return the steps of the scale that all maps share: one a value where there are few, else equal steps."""
    values = np.unique(np.concatenate([np.unique(d[d > 0]) for d in depths]))
    if values.size == 0:
        return ()
    if values.size <= len(SCALE):
        at = np.linspace(0, len(SCALE) - 1, values.size) if values.size > 1 else np.array([len(SCALE) // 2])
        return tuple(Level(_hex(SCALE[round(float(i))]), float(v), float(v)) for i, v in zip(at, values, strict=True))
    edges = np.linspace(float(values[0]), float(values[-1]), len(SCALE) + 1)
    return tuple(
        Level(_hex(colour), float(low), float(high)) for colour, low, high in zip(SCALE, edges, edges[1:], strict=False)
    )


def _map(plane: _Plane, levels: tuple[Level, ...], factor: int, holes: tuple[Hole, ...]) -> Map:
    height, width = plane.depth.shape
    small = plane.depth
    if factor > 1:
        # The padding repeats the edge, so that it makes no uncovered border.
        padding = ((0, -height % factor), (0, -width % factor))
        padded = np.pad(plane.depth, padding, mode="edge")
        mean = block_reduce(padded, (factor, factor), np.mean)
        small = np.where(block_reduce(padded, (factor, factor), np.min) > 0, mean, 0)
    # FITS counts rows from below, pictures from above.
    picture = Image.fromarray(_paint(small, levels)[::-1], mode=None)
    stream = io.BytesIO()
    picture.quantize(16, method=Image.Quantize.FASTOCTREE).save(stream, format="PNG", optimize=True)
    return Map(_uri("image/png", stream), width, height, holes, _compass(plane), float((plane.depth > 0).mean()))


def _paint(depth: NDArray[np.floating[Any]], levels: tuple[Level, ...]) -> NDArray[np.uint8]:
    """Colour a coverage; what is not covered is transparent, so that the page's hatching shows through."""
    out = np.zeros((*depth.shape, 4), dtype=np.uint8)
    if not levels:
        return out
    single = all(level.low == level.high for level in levels)
    lows = np.array([level.low for level in levels])
    bounds = (lows[1:] + lows[:-1]) / 2 if single else lows[1:]
    colours = np.array([(*bytes.fromhex(level.colour[1:]), 255) for level in levels], dtype=np.uint8)
    covered = depth > 0
    out[covered] = colours[np.digitize(depth[covered], bounds)]
    return out


def _holes(
    components: Sequence[Mapping[str, Any]], of_boxes: _Plane, canvas: _Plane, lost: NDArray[np.bool_] | None
) -> tuple[tuple[Hole, ...], int]:
    """Return the holes that can be placed on the canvas, and the number of those that can't."""
    placed: list[Hole] = []
    for component in components[:MAX_OUTLINES]:
        corners = _box(component.get("box"))
        if corners is None:
            continue
        columns, rows = corners
        if of_boxes.wcs is not None and canvas.wcs is not None:
            columns, rows = _transform((columns, rows), of_boxes.wcs, canvas.wcs)
        if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
            continue
        height, width = canvas.depth.shape
        columns, rows = np.clip(columns, -0.5, width - 0.5), np.clip(rows, -0.5, height - 0.5)
        kind = str(component.get("kind", ""))
        outline = "" if lost is None or kind != "retention" else _contours(lost, columns, rows)
        if not outline:
            outline = _closed([(x, height - 0.5 - y) for x, y in zip(columns, rows, strict=True)])
        placed.append(
            Hole(
                number=str(component.get("number", len(placed) + 1)),
                kind=kind,
                x=round(float(columns.mean()) + 0.5, 2),
                y=round(height - 0.5 - float(rows.mean()), 2),
                outline=outline,
            )
        )
    return tuple(placed), len(components) - len(placed)


def _box(box: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the corners of a box of whole elements (row0, row1, column0, column1; the ends excluded)."""
    try:
        row0, row1, column0, column1 = (float(v) for v in box)
    except (TypeError, ValueError):
        return None
    edges = np.array([column0, column1, column1, column0]) - 0.5, np.array([row0, row0, row1, row1]) - 0.5
    return edges if all(np.isfinite(e).all() for e in edges) else None


def _contours(lost: NDArray[np.bool_], columns: NDArray[np.float64], rows: NDArray[np.float64]) -> str:
    """Return the outline of the lost elements inside a box, as an SVG path."""
    row0, row1 = max(round(float(rows.min()) + 0.5), 0), round(float(rows.max()) + 0.5)
    column0, column1 = max(round(float(columns.min()) + 0.5), 0), round(float(columns.max()) + 0.5)
    part = lost[row0:row1, column0:column1]
    if not part.any():
        return ""
    framed = np.pad(part.astype(np.float64), 1)
    height = lost.shape[0]
    paths = []
    for line in find_contours(framed, 0.5):
        if len(line) < 8 and len(paths) > 0:
            continue
        thin = line[:: max(1, len(line) // 400)]
        paths.append(_closed([(c - 1 + column0 + 0.5, height - (r - 1 + row0) - 0.5) for r, c in thin]))
    return " ".join(paths[:20])


def _closed(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"


def _compass(plane: _Plane) -> Compass | None:
    """Return the directions of north and east at the centre, and a round length of at most a quarter of the width."""
    if plane.wcs is None:
        return None
    height, width = plane.depth.shape
    try:
        scale = float(np.mean(proj_plane_pixel_scales(plane.wcs))) * 60
        ra, dec = (float(v) for v in plane.wcs.wcs_pix2world((width - 1) / 2, (height - 1) / 2, 0))
        step = scale * width / 60 / 20
        x0, y0 = plane.wcs.wcs_world2pix(ra, dec, 0)
        xn, yn = plane.wcs.wcs_world2pix(ra, dec + step, 0)
        xe, ye = plane.wcs.wcs_world2pix(ra + step / max(math.cos(math.radians(dec)), 1e-3), dec, 0)
    except Exception:  # noqa: BLE001 -- wcslib raises many types on cards that make no sense
        return None
    north, east = _unit(float(xn - x0), float(yn - y0)), _unit(float(xe - x0), float(ye - y0))
    if north is None or east is None or not math.isfinite(scale) or scale <= 0:
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
