"""Draw the mosaics of two versions on one grid and with one stretch, with numbered outlines of the holes.

The pictures of the records are used: their mosaics are not read again. The mosaic with the larger covered sky gives the grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.analysis.footprint import pixel_of, sky_of
from harness.analysis.wcs import FootprintError
from harness.record.reader import Record
from reports.html.planes import Hole
from reports.html.skymap import photograph, read_photograph

SIDE = 640
"""The longest side of a picture, in pixels."""
_ENOUGH = 100
_LARGEST = 1600
_QUANTILES = np.linspace(0, 1, 257)

Pixels = NDArray[np.uint8]
Cards = Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Picture:
    """A mosaic as a data URI, its size in drawing units, and the holes drawn over it."""

    uri: str
    width: int
    height: int
    holes: tuple[Hole, ...]


@dataclass(frozen=True, slots=True)
class _Mosaic:
    """The picture of a mosaic, RGBA with the mosaic's first row first, and where its pixels are in the mosaic's grid."""

    pixels: Pixels
    wcs: Cards
    grid: tuple[int, int]

    def inside(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return positions of the mosaic's grid as positions of the picture."""
        rows, columns = self.pixels.shape[:2]
        return (x + 0.5) * columns / self.grid[1] - 0.5, (y + 0.5) * rows / self.grid[0] - 0.5

    def sky(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the position on the sky of each pixel of the picture."""
        rows, columns = self.pixels.shape[:2]
        x = (np.arange(columns) + 0.5) * self.grid[1] / columns - 0.5
        y = (np.arange(rows) + 0.5) * self.grid[0] / rows - 0.5
        return sky_of(self.wcs, x[None, :], y[:, None])


def side_by_side(
    before: Record | None, after: Record | None, outlines: Mapping[str, NDArray[np.float64]]
) -> tuple[Picture | None, Picture | None]:
    """Draw the mosaics before and with the patch; ``None`` for one without a picture, both if they can't be placed."""
    first, second = _read(before), _read(after)
    known = [mosaic for mosaic in (first, second) if mosaic is not None]
    if not known:
        return None, None
    grid = max(known, key=lambda mosaic: int((mosaic.pixels[..., 3] > 0).sum()))
    try:
        placed = [None if mosaic is None else _on(grid, mosaic) for mosaic in (first, second)]
        holes = tuple(hole for n, sky in outlines.items() if (hole := _hole(grid, n, sky)) is not None)
    except FootprintError:
        return None, None
    drawn = [None if pixels is None else _draw(_stretched_as(grid.pixels, pixels), holes) for pixels in placed]
    return drawn[0], drawn[1]


def _read(record: Record | None) -> _Mosaic | None:
    """Return the picture of a record's mosaic with its place on the sky."""
    if record is None or record.products is None or record.products.thumbnail is None:
        return None
    taken = read_photograph(record.folder, record.products.thumbnail)
    if taken is None or record.products.covered.size == 0:
        return None
    if max(taken.size) > _LARGEST:
        taken = taken.copy()
        taken.thumbnail((_LARGEST, _LARGEST), Image.Resampling.NEAREST)
    rows, columns = record.products.covered.shape
    return _Mosaic(np.asarray(taken), record.products.wcs, (rows, columns))


def _on(grid: _Mosaic, mosaic: _Mosaic) -> Pixels:
    """Bring a picture onto the pixels of another by the nearest pixel; transparent where it has none."""
    if mosaic is grid:
        return grid.pixels
    x, y = mosaic.inside(*pixel_of(mosaic.wcs, *grid.sky()))
    rows, columns = mosaic.pixels.shape[:2]
    inner = (x > -0.5) & (x < columns - 0.5) & (y > -0.5) & (y < rows - 0.5)  # false for NaN too
    out = np.zeros((*inner.shape, 4), dtype=np.uint8)
    out[inner] = mosaic.pixels[np.rint(y[inner]).astype(np.intp), np.rint(x[inner]).astype(np.intp)]
    return out


def _stretched_as(reference: Pixels, pixels: Pixels) -> Pixels:
    """Give a picture the stretch of another: equal sky then has equal brightness.

    Each picture was stretched by its own limits. Both stretches are monotone, so that equal quantiles over the sky that both
    cover have equal values.
    """
    common = (reference[..., 3] > 0) & (pixels[..., 3] > 0)
    if pixels is reference or int(common.sum()) < _ENOUGH:
        return pixels
    out = pixels.copy()
    for channel in range(3):
        own, first = np.unique(np.quantile(pixels[common, channel], _QUANTILES), return_index=True)
        theirs = np.quantile(reference[common, channel], _QUANTILES)[first]
        out[..., channel] = np.rint(np.interp(pixels[..., channel], own, theirs)).astype(np.uint8)
    return out


def _hole(grid: _Mosaic, number: str, sky: NDArray[np.float64]) -> Hole | None:
    """Place an outline on the picture, measured from its upper left corner; ``None`` if it is not on this part of the sky."""
    across, up = grid.inside(*pixel_of(grid.wcs, sky[:, 0], sky[:, 1]))
    if not (np.isfinite(across).all() and np.isfinite(up).all()):
        return None
    x, y = across + 0.5, grid.pixels.shape[0] - 0.5 - up
    path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True)) + "Z"
    return Hole(number, round(float(x.min() + x.max()) / 2, 1), round(float(y.min() + y.max()) / 2, 1), path)


def _draw(pixels: Pixels, holes: tuple[Hole, ...]) -> Picture:
    uri, _, _ = photograph(Image.fromarray(pixels), SIDE)
    return Picture(uri, pixels.shape[1], pixels.shape[0], holes)
