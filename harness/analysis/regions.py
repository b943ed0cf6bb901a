"""Find the connected regions of a mask of missing pixels, with their positions and sizes on the sky."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label, regionprops_table

from harness.analysis.footprint import pixel_area, sky_of
from harness.analysis.wcs import Cards


@dataclass(frozen=True, slots=True)
class Component:
    """One connected region of missing pixels.

    ``area`` is in pixels, ``solid_angle`` in square arc seconds. ``box`` is first row, first column, last row + 1, last
    column + 1. ``centroid`` is row and column of the centre, ``ra`` and ``dec`` are its sky coordinates in degrees. ``mask`` has
    the shape of the box.
    """

    area: int
    box: tuple[int, int, int, int]
    centroid: tuple[float, float]
    ra: float
    dec: float
    solid_angle: float
    mask: NDArray[np.bool_] = field(repr=False, compare=False)


def components(missing: NDArray[np.bool_], wcs: Cards, min_area: int = 1, erode: int = 0) -> tuple[Component, ...]:
    """Find the 8-connected regions of a mask, the largest first.

    Parameters
    ----------
    missing
        Boolean, shape (rows, columns): pixels that should be covered and are not.
    wcs
        WCS cards of the mask's grid. Cards that are not a celestial WCS raise ``FootprintError``.
    min_area
        The smallest region to return, in pixels.
    erode
        The edge tolerance, in pixels. Regions without a square of ``2 * erode + 1`` pixels are dropped as thin borders; the
        others lose their thin parts (a morphological opening). The canvas' edge does not erode; otherwise a hole that is
        cut by it would be hidden.

    """
    rows, columns = (np.flatnonzero(missing.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return ()
    # One pixel of margin around the box, if the canvas has it: regions end there, but may go on at the canvas' edge.
    top, left = max(int(rows[0]) - 1, 0), max(int(columns[0]) - 1, 0)
    found = missing[top : rows[-1] + 2, left : columns[-1] + 2]
    if erode:
        size = 2 * erode + 1
        core = ndimage.minimum_filter(found.view(np.uint8), size, mode="constant", cval=1)
        found = ndimage.maximum_filter(core, size, mode="constant", cval=0).astype(np.bool_) & found
    labels = label(found, connectivity=2)
    areas = np.bincount(labels.ravel())
    large = areas >= max(min_area, 1)
    large[0] = False
    if not large.any():
        return ()
    labels = (np.cumsum(large) * large)[labels]
    table = regionprops_table(labels, properties=("area", "bbox", "centroid", "image"))
    made = []
    for i in range(len(table["area"])):
        row, column = float(table["centroid-0"][i]) + top, float(table["centroid-1"][i]) + left
        area = int(table["area"][i])
        ra, dec = sky_of(wcs, column, row)
        first_row, first_column, end_row, end_column = (int(table[f"bbox-{k}"][i]) for k in range(4))
        made.append(
            Component(
                area=area,
                box=(first_row + top, first_column + left, end_row + top, end_column + left),
                centroid=(row, column),
                ra=float(ra),
                dec=float(dec),
                solid_angle=area * pixel_area(wcs, column, row),
                mask=np.asarray(table["image"][i], dtype=np.bool_),
            )
        )
    return tuple(sorted(made, key=lambda c: (-c.area, c.box)))
