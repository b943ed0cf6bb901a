"""Holes: the connected areas of a mask of missing pixels, with their place and size on the sky."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label, regionprops_table

from harness.analysis.footprint import Cards, pixel_area, sky_of


@dataclass(frozen=True, slots=True)
class Component:
    """One connected area of missing pixels.

    Parameters
    ----------
    area
        Its pixels.
    box
        First row, first column, row and column after the last.
    centroid
        Row and column of its centre, in pixels.
    ra, dec
        Sky coordinates of the centre, in degrees.
    solid_angle
        Its area on the sky, in square arc seconds.
    mask
        Boolean, of the shape of the box: which of its pixels are missing.

    """

    area: int
    box: tuple[int, int, int, int]
    centroid: tuple[float, float]
    ra: float
    dec: float
    solid_angle: float
    mask: NDArray[np.bool_] = field(repr=False, compare=False)


def components(missing: NDArray[np.bool_], wcs: Cards, min_area: int = 1, erode: int = 0) -> tuple[Component, ...]:
    """Find the connected areas (8-connected) of a mask, the largest first.

    Parameters
    ----------
    missing
        Boolean, shape (rows, columns): what should be covered and is not.
    wcs
        WCS cards of the mask's grid.
    min_area
        The smallest area that counts, in pixels.
    erode
        The edge tolerance, in pixels. Areas that hold no square of ``2 * erode + 1`` pixels are dropped as thin
        borders; what remains has its own size, without the thin parts (a morphological opening). The canvas' own edge
        does not erode: a hole that is cut by it is not hidden.

    Returns
    -------
    tuple of Component
        By area, then by place.

    Raises
    ------
    FootprintError
        When the cards are not a celestial WCS.

    """
    rows, columns = (np.flatnonzero(missing.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return ()
    # One pixel of margin around the box, where the canvas has one: there the areas end, at the canvas' edge they need
    # not.
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
        made.append(
            Component(
                area=area,
                box=(
                    int(table["bbox-0"][i]) + top,
                    int(table["bbox-1"][i]) + left,
                    int(table["bbox-2"][i]) + top,
                    int(table["bbox-3"][i]) + left,
                ),
                centroid=(row, column),
                ra=float(ra),
                dec=float(dec),
                solid_angle=area * pixel_area(wcs, column, row),
                mask=np.asarray(table["image"][i], dtype=np.bool_),
            )
        )
    return tuple(sorted(made, key=lambda c: (-c.area, c.box)))
