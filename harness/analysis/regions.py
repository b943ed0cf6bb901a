"""Find the connected regions of a mask of missing pixels, with their positions and sizes on the sky."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from harness.analysis.footprint import pixel_area, sky_of
from harness.analysis.wcs import Cards

_STRIP = 256  # rows whose labels are counted at once


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
    made = []
    for (down, across), mask in _labelled(found, min_area):
        area = int(np.count_nonzero(mask))
        first_row, first_column = down.start + top, across.start + left
        row = first_row + float(mask.sum(axis=1) @ np.arange(mask.shape[0])) / area
        column = first_column + float(mask.sum(axis=0) @ np.arange(mask.shape[1])) / area
        ra, dec = sky_of(wcs, column, row)
        made.append(
            Component(
                area=area,
                box=(first_row, first_column, down.stop + top, across.stop + left),
                centroid=(row, column),
                ra=float(ra),
                dec=float(dec),
                solid_angle=area * pixel_area(wcs, column, row),
                mask=mask,
            )
        )
    return tuple(sorted(made, key=lambda c: (-c.area, c.box)))


def _labelled(found: NDArray[np.bool_], min_area: int) -> Iterator[tuple[tuple[slice, slice], NDArray[np.bool_]]]:
    """Yield the box of each region of at least ``min_area`` pixels, and its mask in the box.

    Takes 4 bytes for each pixel, where a measurement of all regions at once takes 50: a mask may have 50 million.
    """
    labels = np.empty(found.shape, dtype=np.int32)
    count = int(ndimage.label(found, np.ones((3, 3)), output=labels))
    strips = [labels[start : start + _STRIP] for start in range(0, len(labels), _STRIP)]
    areas = np.zeros(count + 1, dtype=np.int64)
    for strip in strips:
        areas += np.bincount(strip.ravel(), minlength=count + 1)
    large = areas >= max(min_area, 1)
    large[0] = False
    new = (np.cumsum(large) * large).astype(np.int32)
    for strip in strips:
        strip[...] = new[strip]
    for number, (down, across) in enumerate(ndimage.find_objects(labels), 1):
        yield (down, across), labels[down, across] == number
