"""Compute the outlines of frames on the sky, and the pixels of a grid that they cover.

A gnomonic (TAN) WCS without distortion is a projective map: a 3 by 3 matrix times the homogeneous pixel ``(x, y, 1)`` is
the direction on the sky. Outlines, resampling and pixel areas then need only a few matrix products. The cards are always read
by ``astropy`` (`harness.analysis.wcs`), and the matrix is derived from its WCS. ``astropy`` also computes what such a matrix
can't: distortion and other projections.

Pixel coordinates are zero-based, with integers at pixel centres, ``x`` along columns and ``y`` along rows. Sky coordinates
are ICRS, in degrees: ``astropy`` converts from another system of the cards, such as galactic coordinates or B1950.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame
from numpy.typing import NDArray

from harness.analysis.wcs import Cards, FootprintError, quiet, wcs_of
from harness.record.request import FrameFacts

Array = NDArray[np.float64]
Box = tuple[slice, slice]

_STRIP = 1 << 18  # elements of one strip of the rasteriser, so that a strip fits in the processor's cache
_POINTS_PER_SIDE = 32  # with distortion; the error of the polygon is 32² times smaller than that of a straight side
_ARCSEC2 = math.degrees(1) ** 2 * 3600.0**2  # square arc seconds in a steradian
_SAME = 1e-12  # radians; 2e-7 arc seconds, above the rounding of both methods
_CONVERGED = 1e-2  # pixels; astropy's own tolerance is 1e-4, and an iteration that diverges is off by whole pixels


def outlines(frames: Sequence[FrameFacts]) -> list[Array]:
    """Return the edge of each frame on the sky: right ascension and declination in degrees, shape (n, 2).

    The points are at the outer edges of the pixels (-0.5 to n - 0.5): the four corners for TAN without distortion, whose
    straight edges are great circles; 32 points a side otherwise. Raises ``FootprintError`` when the cards of a frame are not
    a celestial WCS. Of a frame with borders without data, the edge is the hull of its data; a frame without data has no point.
    """
    matrices = [_gnomonic(frame.wcs) for frame in frames]
    plain = [i for i, matrix in enumerate(matrices) if matrix is not None and frames[i].hull is None]
    found: dict[int, Array] = {}
    if plain:
        shapes = np.array([frames[i].shape for i in plain], dtype=np.float64)
        unit = np.array([[0, 0], [0, 1], [1, 1], [1, 0]])  # (y, x) of the corners, in sides
        pixels = np.ones((len(plain), 4, 3))
        pixels[..., :2] = (unit * shapes[:, None, :] - 0.5)[..., ::-1]
        corners = _sky(pixels @ np.stack([m for i in plain if (m := matrices[i]) is not None]).transpose(0, 2, 1))
        found = dict(zip(plain, corners, strict=True))
    for i, frame in enumerate(frames):
        if i not in found:
            x, y = (_edge(frame.shape) if frame.hull is None else np.reshape(frame.hull, (-1, 2))).T
            found[i] = np.column_stack(sky_of(frame.wcs, x, y))
    return [found[i] for i in range(len(frames))]


def raster(outlines: Sequence[Array], wcs: Cards, shape: tuple[int, int], shrink: float = 0.0) -> NDArray[np.bool_]:
    """Return which pixels of a grid have their centre inside the union of outlines.

    The rule is non-zero winding by scan lines in double precision, half-open: a centre on an edge that two outlines share
    is inside at least one of them. `per_outline` uses the same arithmetic, so the two agree exactly.

    Parameters
    ----------
    outlines
        Points on the sky in degrees, shape (n, 2) each, as from `outlines`. Outlines behind the grid's tangent plane cover
        no pixel.
    wcs, shape
        WCS cards, and rows and columns of the grid.
    shrink
        The margin that is cut from each side of each outline, as a fraction of the side (0.05 leaves the inner 90 %).

    Raises
    ------
    FootprintError
        When the cards are not a celestial WCS, or an outline straddles the horizon of the grid's projection.

    """
    rows, columns = shape
    edges = _edges(outlines, wcs, shrink)
    covered = np.zeros(shape, dtype=np.bool_)
    if not edges.size or not rows or not columns:
        return covered
    height = max(1, _STRIP // columns)
    for start in range(0, rows, height):
        box = (slice(start, min(start + height, rows)), slice(0, columns))
        touching = edges[(edges["y1"] > start) & (edges["y0"] <= box[0].stop)]
        if touching.size:
            covered[box] = _winding(touching, box) > 0
    return covered


def per_outline(
    outlines: Sequence[Array], wcs: Cards, shape: tuple[int, int], shrink: float = 0.0
) -> Iterator[tuple[int, Box, NDArray[np.bool_]]]:
    """Yield each outline's index, its box in the grid (slices of rows and columns) and the mask of its pixels there.

    An outline that covers no pixel of the grid is left out. Parameters and errors are those of `raster`. Its mask is the
    union of these masks.
    """
    rows, columns = shape
    edges = _edges(outlines, wcs, shrink)
    bounds = np.flatnonzero(np.diff(edges["outline"], prepend=-1, append=-1))
    for start, stop in pairwise(bounds):
        own = edges[start:stop]
        x = np.concatenate([own["x0"], own["x1"]])
        left, right = _ceil(x.min(), columns), _ceil(x.max(), columns)
        top, bottom = _ceil(own["y0"].min(), rows), _ceil(own["y1"].max(), rows)
        if left < right and top < bottom:
            box = (slice(top, bottom), slice(left, right))
            mask = _winding(own, box) > 0
            if mask.any():
                yield int(own["outline"][0]), box, mask


def resample_mask(
    mask: NDArray[np.bool_], from_wcs: Cards, to_wcs: Cards, to_shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Resample a mask to another grid. Each pixel takes the value of the nearest pixel on the sky, false outside the mask.

    Raises ``FootprintError`` when the cards are not a celestial WCS.
    """
    rows, columns = to_shape
    values = np.zeros(to_shape, dtype=np.bool_)
    if not rows or not columns or not mask.size:
        return values
    height = max(1, _STRIP // columns)
    x = np.arange(columns, dtype=np.float64)
    for start in range(0, rows, height):
        y = np.arange(start, min(start + height, rows), dtype=np.float64)[:, None]
        column, row = _between(to_wcs, from_wcs, x, y)
        with np.errstate(invalid="ignore"):
            inside = (column >= -0.5) & (column < mask.shape[1] - 0.5) & (row >= -0.5) & (row < mask.shape[0] - 0.5)
        at = (np.floor(row[inside] + 0.5).astype(np.intp), np.floor(column[inside] + 0.5).astype(np.intp))
        values[start : start + height][inside] = mask[at]
    return values


def sky_of(wcs: Cards, x: Any, y: Any) -> tuple[Array, Array]:
    """Return right ascension (0 to 360) and declination, in degrees, of zero-based pixels (any shapes that broadcast).

    NaN for pixels outside the projection. Raises ``FootprintError`` if the cards are not a celestial WCS.
    """
    x, y = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    matrix = _gnomonic(wcs)
    if matrix is None:
        return _astropy_sky(wcs_of(wcs), x, y)
    sky = _sky(np.stack([x, y, np.ones_like(x)], axis=-1) @ matrix.T)
    return sky[..., 0], sky[..., 1]


def pixel_of(wcs: Cards, ra: Any, dec: Any) -> tuple[Array, Array]:
    """Return zero-based pixel coordinates ``x, y`` of sky coordinates in degrees (any shapes that broadcast).

    NaN for sky outside the projection. Raises ``FootprintError`` if the cards are not a celestial WCS.
    """
    ra, dec = np.broadcast_arrays(np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64))
    matrix = _gnomonic(wcs)
    if matrix is not None:
        x, y, w = np.moveaxis(_directions(ra, dec) @ np.linalg.inv(matrix).T, -1, 0)
        return _divide(x, w), _divide(y, w)
    return _astropy_pixels(wcs_of(wcs), ra, dec)


def pixel_area(wcs: Cards, x: float, y: float) -> float:
    """Return the solid angle of the pixel at zero-based ``x, y``, in square arc seconds.

    Raises ``FootprintError`` if the cards are not a celestial WCS, or the pixel is outside the projection.
    """
    # The cross product of the two derivatives of the direction, by central differences over one pixel.
    ra, dec = sky_of(wcs, np.array([x - 0.5, x + 0.5, x, x]), np.array([y, y, y - 0.5, y + 0.5]))
    at = _directions(ra, dec)
    area = float(np.linalg.norm(np.cross(at[1] - at[0], at[3] - at[2]))) * _ARCSEC2
    if not (math.isfinite(area) and area > 0):
        raise FootprintError(
            f"expected a pixel with a solid angle at ({x:g}, {y:g}), found {area}: check the WCS cards"
        )
    return area


def pixel_scale(wcs: Cards) -> float:
    """Return the side of a square pixel with the area of the reference pixel, in arc seconds.

    Raises ``FootprintError`` when the cards are not a celestial WCS.
    """
    x, y = wcs_of(wcs).wcs.crpix - 1
    return math.sqrt(pixel_area(wcs, float(x), float(y)))


# One edge of one outline on a grid: from (x0, y0) up to (x1, y1), y0 < y1. It always points upwards; otherwise an edge that two
# outlines share could give them different crossings. ``turn`` is the change of the winding number when it is crossed from
# the left.
_EDGE = np.dtype([("x0", "f8"), ("y0", "f8"), ("x1", "f8"), ("y1", "f8"), ("turn", "i2"), ("outline", "i8")])


def _edges(outlines: Sequence[Array], wcs: Cards, shrink: float) -> NDArray[np.void]:
    """Project outlines to a grid and return their edges, in order. Horizontal edges cross no scan line and are left out."""
    if not 0 <= shrink < 0.5:
        raise FootprintError(f"expected shrink to be a fraction of a side from 0 to below 0.5, found {shrink}")
    numbers = np.array([i for i, outline in enumerate(outlines) if len(outline)], dtype=np.int64)
    outlines = [outlines[i] for i in numbers]  # a frame without data has no point
    if not outlines:
        return np.empty(0, dtype=_EDGE)
    if _gnomonic(wcs) is None:  # great circles are not straight there
        outlines = [_along_great_circles(o) for o in outlines]
    sizes = np.array([len(o) for o in outlines])
    sky = np.concatenate(outlines)
    points = np.column_stack(pixel_of(wcs, sky[:, 0], sky[:, 1]))
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    owner = np.repeat(np.arange(len(sizes)), sizes)

    unseen = np.add.reduceat(~np.isfinite(points).all(axis=1), first, dtype=np.int64)
    if np.any((unseen > 0) & (unseen < sizes)):
        index = int(np.flatnonzero((unseen > 0) & (unseen < sizes))[0])
        raise FootprintError(
            f"expected each outline wholly on the grid's side of the sky, found outline {numbers[index]} across the horizon of "
            "its projection: check the WCS cards of that frame and of the mosaic"
        )
    centre = np.add.reduceat(points, first) / sizes[:, None]
    points = centre[owner] + (points - centre[owner]) * (1 - 2 * shrink)

    following = np.arange(len(points)) + 1
    following[first + sizes - 1] = first
    ends = points[following]
    doubled = np.add.reduceat(points[:, 0] * ends[:, 1] - ends[:, 0] * points[:, 1], first)
    upwards = ends[:, 1] > points[:, 1]
    low, high = np.where(upwards[:, None], points, ends), np.where(upwards[:, None], ends, points)
    edges = np.empty(len(points), dtype=_EDGE)
    edges["x0"], edges["y0"] = low.T
    edges["x1"], edges["y1"] = high.T
    # With x to the right and y upwards, a positive area runs anticlockwise: its left edge runs down. All outlines get the
    # same direction, so that winding numbers add up.
    edges["turn"] = np.where(upwards, -1, 1) * np.where(doubled < 0, -1, 1)[owner]
    edges["outline"] = numbers[owner]
    with np.errstate(invalid="ignore"):
        kept: NDArray[np.void] = edges[(edges["y1"] > edges["y0"]) & (unseen == 0)[owner]]
    return kept


def _winding(edges: NDArray[np.void], box: Box) -> NDArray[np.int32]:
    """Return, for each pixel centre of a box, how many outlines contain it."""
    top, bottom, left, right = box[0].start, box[0].stop, box[1].start, box[1].stop
    begin = np.clip(np.ceil(edges["y0"]), top, bottom).astype(np.intp)
    end = np.clip(np.ceil(edges["y1"]), top, bottom).astype(np.intp)
    lengths = np.maximum(end - begin, 0)
    each = np.repeat(np.arange(len(edges)), lengths)
    row = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths) + begin[each]
    slope = (edges["x1"] - edges["x0"]) / (edges["y1"] - edges["y0"])
    x = edges["x0"][each] + (row - edges["y0"][each]) * slope[each]
    column = np.clip(np.ceil(x), left, right).astype(np.intp) - left
    width = right - left + 1
    steps = np.bincount((row - top) * width + column, weights=edges["turn"][each], minlength=(bottom - top) * width)
    return np.cumsum(steps.reshape(bottom - top, width)[:, :-1], axis=1, dtype=np.int32)


def _ceil(value: float, limit: int) -> int:
    return min(max(math.ceil(value), 0), limit)


def _edge(shape: tuple[int, int]) -> Array:
    """Return points (x, y) along the edge of a frame, at the outer edges of its pixels, the same number on each side."""
    rows, columns = shape
    step = np.arange(_POINTS_PER_SIDE) / _POINTS_PER_SIDE
    zero, one = np.zeros_like(step), np.ones_like(step)
    x = np.concatenate([step, one, 1 - step, zero]) * columns - 0.5
    y = np.concatenate([zero, step, one, 1 - step]) * rows - 0.5
    return np.column_stack([x, y])


def _along_great_circles(points: Array) -> Array:
    """Return an outline with more points, placed on the great circles between its points."""
    if len(points) >= 4 * _POINTS_PER_SIDE:
        return points
    start = _directions(points[:, 0], points[:, 1])
    step = (np.arange(_POINTS_PER_SIDE) / _POINTS_PER_SIDE)[None, :, None]
    return _sky((start[:, None] * (1 - step) + np.roll(start, -1, axis=0)[:, None] * step).reshape(-1, 3))


def _between(to_wcs: Cards, from_wcs: Cards, x: Array, y: Array) -> tuple[Array, Array]:
    """Return the pixel coordinates on the grid of ``from_wcs`` of pixels on the grid of ``to_wcs``."""
    onto, back = _gnomonic(to_wcs), _gnomonic(from_wcs)
    if onto is None or back is None:
        return pixel_of(from_wcs, *sky_of(to_wcs, x, y))
    m = np.linalg.solve(back, onto)
    w = m[2, 0] * x + m[2, 1] * y + m[2, 2]
    return _divide(m[0, 0] * x + m[0, 1] * y + m[0, 2], w), _divide(m[1, 0] * x + m[1, 1] * y + m[1, 2], w)


def _divide(value: Array, weight: Array) -> Array:
    """Return ``value / weight``, NaN where the weight is not positive, which means behind the tangent plane."""
    quotient: Array = np.divide(value, weight, out=np.full(np.shape(value), np.nan), where=weight > 0)
    return quotient


def _directions(ra: Array, dec: Array) -> Array:
    """Return unit vectors of sky coordinates, shape (..., 3)."""
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def _sky(directions: Array) -> Array:
    """Return right ascension and declination in degrees, shape (..., 2), of vectors of any length."""
    x, y, z = np.moveaxis(directions, -1, 0)
    return np.stack([np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))], axis=-1)


def _gnomonic(wcs: Cards) -> Array | None:
    """Return the matrix from homogeneous pixels to directions, or ``None`` when the cards are not plain TAN."""
    wcs_of(wcs)  # raises for values that can't be a key either
    return _projective(tuple(wcs.items()))


@functools.lru_cache(maxsize=1024)
def _projective(items: tuple[tuple[str, str | int | float], ...]) -> Array | None:
    """Derive the matrix from ``astropy``'s WCS, and compare it with ``astropy`` at five pixels.

    The tangent plane's coordinates are those of Calabretta & Greisen (2002), section 5.1.3, with the native pole at 180°.
    """
    made = wcs_of(dict(items))
    read = made.wcs
    if list(read.ctype) != ["RA---TAN", "DEC--TAN"] or made.has_distortion or not _is_icrs(made):
        return None
    if any(
        name.startswith(("PV", "PROJP", "CPDIS", "CQDIS")) for name, _ in items
    ):  # astropy reads polynomials from them
        return None
    ra, dec = np.radians(read.crval)
    scale, (x, y) = np.radians(made.pixel_scale_matrix), read.crpix - 1
    # Columns: east, north and the tangent point.
    sa, ca, sd, cd = math.sin(ra), math.cos(ra), math.sin(dec), math.cos(dec)
    axes = np.array([[-sa, -sd * ca, cd * ca], [ca, -sd * sa, cd * sa], [0.0, cd, sd]])
    plane = np.eye(3)
    plane[:2, :2] = scale
    plane[:2, 2] = -scale @ [x, y]
    matrix = np.asarray(axes @ plane)
    probes = np.array([[x, y], [x + 64, y], [x, y + 64], [x - 64, y - 64], [x + 640, y + 480]])
    exact = _directions(*made.wcs_pix2world(probes, 0).T)
    ours = np.column_stack([probes, np.ones(len(probes))]) @ matrix.T
    ours /= np.linalg.norm(ours, axis=1)[:, None]
    # Another pole or unit, which the formula above does not know, gives a clear difference.
    return matrix if np.abs(ours - exact).max() < _SAME else None


def _is_icrs(made: WCS) -> bool:
    """Return whether a WCS is in ICRS, or in FK5 of J2000, which differs from it by less than 0.05 arc seconds."""
    if made.wcs.lngtyp != "RA":
        return False
    return made.wcs.radesys in {"", "ICRS"} or (made.wcs.radesys == "FK5" and made.wcs.equinox == 2000)


def _astropy_sky(made: WCS, x: Array, y: Array) -> tuple[Array, Array]:
    """Return right ascension and declination of pixels by ``astropy``."""
    with quiet():
        if _is_icrs(made):
            world = made.all_pix2world(x.ravel(), y.ravel(), 0)
            ra, dec = world[made.wcs.lng], world[made.wcs.lat]
        else:
            try:
                sky = made.celestial.pixel_to_world(x.ravel(), y.ravel()).icrs
            except Exception as error:
                raise _no_frame(made, error) from error
            ra, dec = sky.ra.deg, sky.dec.deg
    return np.mod(ra, 360.0).reshape(x.shape), np.asarray(dec, dtype=np.float64).reshape(x.shape)


def _astropy_pixels(made: WCS, ra: Array, dec: Array) -> tuple[Array, Array]:
    """Return the pixels of right ascension and declination by ``astropy``; NaN where its iteration does not converge."""
    longitude, latitude = ra.ravel(), dec.ravel()
    with quiet():
        if not _is_icrs(made):
            try:
                sky = SkyCoord(longitude, latitude, unit="deg").transform_to(wcs_to_celestial_frame(made))
            except Exception as error:
                raise _no_frame(made, error) from error
            longitude, latitude = sky.spherical.lon.deg, sky.spherical.lat.deg
        world = np.empty((ra.size, 2))
        world[:, made.wcs.lng], world[:, made.wcs.lat] = longitude, latitude
        pixels = _inverted(made, world) if made.has_distortion else np.asarray(made.wcs_world2pix(world, 0), np.float64)
    x, y = pixels.T
    return x.reshape(ra.shape), y.reshape(ra.shape)


def _inverted(made: WCS, world: Array) -> Array:
    """Invert a distorted WCS; a pixel that does not lead back to its sky becomes NaN."""
    if not len(world):
        return world
    pixels = np.asarray(made.all_world2pix(world, 0, quiet=True), dtype=np.float64)
    # Both are compared in pixels of the plane behind the distortion, where a difference is the error of the iteration.
    wanted, reached = made.wcs_world2pix(world, 0), made.pix2foc(pixels, 0)
    with np.errstate(invalid="ignore"):
        pixels[~(np.abs(reached - wanted).max(axis=1) < _CONVERGED)] = np.nan
    return pixels


def _no_frame(made: WCS, error: Exception) -> FootprintError:
    found = ", ".join([*made.wcs.ctype, str(made.wcs.radesys), f"{made.wcs.equinox:g}"])
    return FootprintError(
        f"expected a system of sky coordinates that astropy knows, found {found} ({error}): solve it again"
    )
