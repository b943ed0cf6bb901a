"""Match the stars of a run with a catalogue: which are found, with which flux, where, and which are doubled.

Stars are matched as mutual nearest neighbours. The figures of a panel are medians over its stars, so that single blends and
chance matches have no effect. The error of a median is estimated from the median absolute deviation (Rousseeuw & Croux 1993).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from harness.analysis.footprint import pixel_of, sky_of
from harness.record.products import Products
from harness.record.reader import Record
from harness.record.request import FrameFacts

Array = NDArray[np.float64]

RADIUS = 6.0
"""Search radius around a star's position, in mosaic pixels: larger than any shift that leaves a star undoubled."""
ALONE = 14.0
"""A star is blended if another with at least 1/20 of its flux is nearer than this, in mosaic pixels: apertures overlap."""
EDGE = 8.0
"""Stars nearer than this to uncovered sky are left out, in mosaic pixels: their apertures may be cut."""
ENOUGH = 5
"""The fewest stars from which a panel's figures are computed."""

_BRIGHTEST = 50
_SHOWN = 0.2  # more than chance matches within the radius give; one panel without stars among four still leaves 0.75

_DOUBLE = (1.5, 10.0)  # distance of the two images of a doubled star, in mosaic pixels; nearer images are one detection


@dataclass(frozen=True)
class Seen:
    """The stars of a catalogue as found in one run; arrays parallel to the catalogue.

    ``flux``, and ``x`` and ``y`` on the common grid in mosaic pixels, are NaN for a star that was not found. ``lies`` is whether
    it is at least ``EDGE`` inside the covered sky; ``double`` is whether a second star was found next to it. ``index`` is the row
    of the star in the run's list, -1 for a star that was not found.
    """

    flux: Array
    x: Array
    y: Array
    lies: NDArray[np.bool_]
    double: NDArray[np.bool_]
    index: NDArray[np.int64]

    @property
    def found(self) -> NDArray[np.bool_]:
        """Whether the star was found."""
        return np.isfinite(self.flux)


@dataclass(frozen=True)
class Sky:
    """A catalogue of stars on a common grid, in mosaic pixels, with the panel of each star and whether it is not blended."""

    stars: Array
    x: Array
    y: Array
    panel: NDArray[np.int64]
    alone: NDArray[np.bool_]
    grid: Products

    @property
    def panels(self) -> tuple[int, ...]:
        """The panels that have stars."""
        return tuple(int(p) for p in np.unique(self.panel))


def measured(record: Record | None) -> Products | None:
    """Return the products of a record with a mosaic; ``None`` without a mosaic."""
    products = record.products if record is not None else None
    return products if products is not None and products.mosaic is not None and products.covered.size else None


def sky(stars: Array, frames: Sequence[FrameFacts], grid: Products) -> Sky:
    """Place a catalogue (right ascension, declination, flux, …) on a mosaic's grid, with the nearest panel of each star."""
    x, y = on_grid(grid, stars)
    seen = np.isfinite(x) & np.isfinite(y)
    stars, x, y = stars[seen], x[seen], y[seen]
    return Sky(stars, x, y, panels_at(x, y, frames, grid), _alone(x, y, stars[:, 2]), grid)


def look(found: Products, at: Sky) -> Seen:
    """Match the stars of a catalogue with those found in a run."""
    n = len(at.stars)
    none = np.full(n, np.nan)
    lies = _well_covered(found, at.stars)
    if not len(found.stars) or not n:
        return Seen(none, none, none, lies, np.zeros(n, np.bool_), np.full(n, -1))
    x, y = on_grid(at.grid, found.stars)
    x, y = np.where(np.isfinite(x), x, 1e9), np.where(np.isfinite(y), y, 1e9)
    there, here = KDTree(np.column_stack([x, y])), KDTree(np.column_stack([at.x, at.y]))
    distance, nearest = (np.asarray(v) for v in there.query(np.column_stack([at.x, at.y])))
    back = np.asarray(here.query(np.column_stack([x, y]))[1])
    paired = (distance <= RADIUS) & (back[nearest] == np.arange(n))
    index = np.where(paired, nearest, 0)
    double = np.zeros(n, np.bool_)
    for i in np.flatnonzero(paired):
        near = [j for j in there.query_ball_point([x[index[i]], y[index[i]]], _DOUBLE[1]) if j != index[i]]
        separate = [j for j in near if np.hypot(x[j] - x[index[i]], y[j] - y[index[i]]) >= _DOUBLE[0]]
        double[i] = any(found.stars[j, 2] > 0.1 * found.stars[index[i], 2] for j in separate)
    flux = np.where(paired, found.stars[index, 2], np.nan)
    place = np.where(paired, index, -1)
    return Seen(flux, np.where(paired, x[index], np.nan), np.where(paired, y[index], np.nan), lies, double, place)


def catalogue(run: Record, pair: Products | None) -> Array:
    """Return the catalogue to match: the stars of the truth, else those of the pair, else an empty array.

    A target may misplace its whole mosaic on the sky, also with ``run_end``. Then the truth's stars are not at their positions
    in the pair, and the pair's own stars are used. (The check of accuracy reports the position.)
    """
    if run.truth is not None and (pair is None or _placed(run.truth.stars, pair)):
        return run.truth.stars
    return pair.stars if pair is not None else np.empty((0, 3))


def _placed(stars: Array, pair: Products) -> bool:
    """Return whether at least a fifth of the brightest covered stars of a catalogue are at their positions in a mosaic."""
    seen = look(pair, sky(stars, (), pair))
    bright = np.flatnonzero(seen.lies)[:_BRIGHTEST]  # the truth has the brightest stars first
    return bool(len(bright)) and bool(np.mean(seen.found[bright]) >= _SHOWN)


def uncompared_panels(run: Record, compared: Iterable[int]) -> list[int]:
    """Return the panels of the run's frames that are not among the compared ones."""
    panels = {frame.panel for frame in run.request.dataset.frames if frame.panel is not None}
    return sorted(panels.difference(compared))


def median(values: Array) -> float:
    """Return the median; NaN for an empty array."""
    return float(np.median(values)) if len(values) else float("nan")


def error(values: Array) -> float:
    """Return the standard error of the median, from the median absolute deviation; NaN for an empty array."""
    if not len(values):
        return float("nan")
    return float(1.2533 * 1.4826 * np.median(np.abs(values - np.median(values))) / np.sqrt(len(values)))


def rounded(value: float, digits: int = 3) -> float | None:
    """Return a rounded number for evidence; ``None`` for NaN or infinity."""
    return round(float(value), digits) if np.isfinite(value) else None


def on_grid(grid: Products, places: Array) -> tuple[Array, Array]:
    """Return x and y of sky positions in full-resolution pixels of a mosaic; NaN for sky outside its projection.

    ``places`` has right ascension and declination in its first columns.
    """
    x, y = pixel_of(grid.wcs, places[:, 0], places[:, 1])
    return (np.asarray(x) + 0.5) * grid.step - 0.5, (np.asarray(y) + 0.5) * grid.step - 0.5


def in_pixels(grid: Products, columns: NDArray[np.intp], rows: NDArray[np.intp]) -> tuple[Array, Array]:
    """Return x and y of the middles of mask elements in full-resolution pixels of a mosaic."""
    x, y = np.asarray(columns, np.float64), np.asarray(rows, np.float64)
    return (x + 0.5) * grid.step - 0.5, (y + 0.5) * grid.step - 0.5


def on_sky(grid: Products, place: tuple[float, float], moved: tuple[float, float]) -> tuple[float, float]:
    """Return a displacement on a mosaic to the east and to the north, in mosaic pixels; NaN where the place is not on the sky.

    Mosaics may be turned or mirrored, so x and y of two mosaics can't be compared.
    """
    x, y = ((np.array([start, start + step]) + 0.5) / grid.step - 0.5 for start, step in zip(place, moved, strict=True))
    ra, dec = (np.asarray(angle) for angle in sky_of(grid.wcs, x, y))
    east = float((ra[1] - ra[0] + 180) % 360 - 180) * float(np.cos(np.radians(dec[0])))
    north = float(dec[1] - dec[0])
    length = float(np.hypot(east, north))
    scale = float(np.hypot(*moved)) / length if length > 0 else 0.0
    return scale * east, scale * north


def panels_at(x: Array, y: Array, frames: Sequence[FrameFacts], grid: Products) -> NDArray[np.int64]:
    """Return the panel with the nearest centre for each position; -1 if the dataset has no panels."""
    centres: dict[int, list[tuple[float, float]]] = {}
    for frame in frames:
        if frame.panel is not None:
            rows, columns = frame.shape
            ra, dec = sky_of(frame.wcs, (columns - 1) / 2, (rows - 1) / 2)
            centres.setdefault(frame.panel, []).append((float(ra), float(dec)))
    if not centres:
        return np.full(len(x), -1, dtype=np.int64)
    names = np.array(sorted(centres), dtype=np.int64)
    middle = np.array([np.mean(np.column_stack(on_grid(grid, np.array(centres[int(p)]))), axis=0) for p in names])
    distance = np.hypot(x[:, None] - middle[None, :, 0], y[:, None] - middle[None, :, 1])
    return np.asarray(names[np.argmin(distance, axis=1)] if len(x) else names[:0])


def on_frames(stars: Array, frames: Sequence[FrameFacts]) -> NDArray[np.bool_]:
    """Return which stars are on at least one of these frames."""
    shown = np.zeros(len(stars), dtype=np.bool_)
    for frame in frames:
        x, y = pixel_of(frame.wcs, stars[:, 0], stars[:, 1])
        rows, columns = frame.shape
        with np.errstate(invalid="ignore"):
            shown |= (np.abs(x - (columns - 1) / 2) <= columns / 2) & (np.abs(y - (rows - 1) / 2) <= rows / 2)
    return shown


def _alone(x: Array, y: Array, flux: Array) -> NDArray[np.bool_]:
    """Return which stars have no neighbour within ``ALONE`` with 1/20 of their flux or more."""
    alone = np.ones(len(x), dtype=np.bool_)
    if len(x):
        for i, j in KDTree(np.column_stack([x, y])).query_pairs(ALONE):
            alone[i] &= bool(flux[j] < flux[i] / 20)
            alone[j] &= bool(flux[i] < flux[j] / 20)
    return alone


def _well_covered(found: Products, stars: Array) -> NDArray[np.bool_]:
    """Return which stars are covered together with their surroundings up to ``EDGE``."""
    x, y = (np.asarray(v) for v in pixel_of(found.wcs, stars[:, 0], stars[:, 1]))
    rows, columns = found.covered.shape
    lies = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(lies, x, -1e9), np.where(lies, y, -1e9)
    for angle in np.arange(9):
        reach = EDGE / found.step if angle else 0.0
        i = np.rint(y + reach * np.sin(angle * np.pi / 4)).astype(np.int64)
        j = np.rint(x + reach * np.cos(angle * np.pi / 4)).astype(np.int64)
        on = (i >= 0) & (i < rows) & (j >= 0) & (j < columns)
        lies &= on
        lies[on] &= found.covered[i[on], j[on]]
    return lies
