"""Read the images of two runs again: count the values that differ, and make small pictures of the mosaics.

A record is judged without pixels. Their values are read here only to show a difference to people. They are read in strips of
rows, so memory does not grow with the mosaic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.analysis.wcs import Cards
from harness.compare.sides import regular_files
from harness.record.products import BLOCK, Plane, Products
from harness.record.reader import Record
from harness.record.values import inside
from harness.run.measure import MeasureError, blocks, decimated_cards, open_images
from harness.run.star_finder import strips

_UNREADABLE = (MeasureError, OSError, ValueError, TypeError, LookupError, ArithmeticError, EOFError)


@dataclass(frozen=True, slots=True)
class Values:
    """How two images of the same shape differ.

    ``finite`` is the number of values that are finite in both and differ, ``in_one`` of those that are finite in only one, and
    ``largest`` the largest difference of two finite values.
    """

    finite: int
    in_one: int
    largest: float


@dataclass(frozen=True)
class Small:
    """A mosaic made small, in its own unit: shape (channels, rows, columns), NaN where the sky is not covered.

    ``cards`` are the WCS cards of its grid. ``exact`` is whether it was made of the pixels, and not of the means of blocks.
    """

    pixels: NDArray[np.float32]
    cards: Cards
    exact: bool


def values_between(before: tuple[Record, Plane], after: tuple[Record, Plane]) -> Values | None:
    """Compare two images value by value; ``None`` if their files are not there, or their shapes differ."""
    if before[1].shape != after[1].shape:
        return None
    finite, in_one, largest = 0, 0, 0.0
    try:
        with _opened(*before) as one, _opened(*after) as other:
            if one is None or other is None:
                return None
            rows, columns = one.shape
            for start, stop in strips(rows, columns, 1):
                a, b = (image.rows(start, stop, np.float64) for image in (one, other))
                known_a, known_b = np.isfinite(a), np.isfinite(b)
                both = known_a & known_b
                apart = np.abs(np.where(both, a, 0) - np.where(both, b, 0))
                finite += int((apart > 0).sum())
                in_one += int((known_a != known_b).sum())
                largest = max(largest, float(apart.max(initial=0.0)))
    except _UNREADABLE:
        return None
    return Values(finite, in_one, largest)


@contextmanager
def _opened(record: Record, plane: Plane) -> Iterator[Any]:
    """Open the image that a plane was measured on; ``None`` if it is not there, or is another."""
    products = record.products
    if products is None or not regular_files(record.folder, [plane.file]):
        yield None
        return
    of_file = [other for other in products.planes if other.file == plane.file]
    place = next(n for n, other in enumerate(of_file) if other is plane)
    with open_images(inside(record.folder, plane.file)) as images:
        same = (
            place < len(images) and images[place][0] == plane.name and tuple(images[place][1].hdu.shape) == plane.shape
        )
        yield images[place][1] if same else None


def small(record: Record, side: int) -> Small | None:
    """Return the mosaic of a run with at most ``side`` pixels on its longer side; ``None`` if there is no image of it.

    Without the output files, it is made of the block means in the record.
    """
    products = record.products
    plane = None if products is None else mosaic_plane(products)
    if products is None or plane is None or not products.wcs:
        return None
    made = None
    try:
        with _opened(record, plane) as image:
            if image is not None:
                made = _of_pixels(products, image, side)
    except _UNREADABLE:
        made = None
    return made if made is not None else _of_blocks(products, plane)


def mosaic_plane(products: Products) -> Plane | None:
    """Return the plane with the pixels of the mosaic."""
    return next((p for p in products.planes if p.file == products.mosaic and p.name not in {"ALPHA", "WEIGHT"}), None)


def _of_pixels(products: Products, image: Any, side: int) -> Small:
    rows, columns = image.shape
    step = products.step
    wider = max(1, math.ceil(max(rows, columns) / step / side))
    factor = step * wider
    parts = []
    for start, stop in strips(rows, columns, factor):
        pixels = image.rows(start, stop, np.float32)
        covered = _covered(products, start, stop, columns)
        seen = np.isfinite(pixels) & covered
        count = [blocks(channel.astype(np.float32), factor, np.add, fill=0) for channel in seen]
        total = [blocks(np.where(k, c, 0), factor, np.add, fill=0) for k, c in zip(seen, pixels, strict=True)]
        parts.append(_ratio(np.stack(total), np.stack(count)))
    return Small(np.concatenate(parts, axis=1), decimated_cards(products.wcs, wider), exact=True)


def _covered(products: Products, start: int, stop: int, columns: int) -> NDArray[np.bool_]:
    """Return which pixels of some rows are covered, by the mask of the record."""
    step = products.step
    part = products.covered[start // step : -(-stop // step)]
    wide = np.repeat(np.repeat(part, step, axis=0), step, axis=1) if step > 1 else part
    return wide[: stop - start, :columns]


def _of_blocks(products: Products, plane: Plane) -> Small | None:
    if BLOCK % products.step:
        return None
    means = _ratio(plane.sum.astype(np.float32), plane.count.astype(np.float32))
    seen = blocks(products.covered, BLOCK // products.step, np.logical_or, fill=False)
    if seen.shape != means.shape[1:]:
        return None
    return Small(np.where(seen, means, np.nan), decimated_cards(products.wcs, BLOCK // products.step), exact=False)


def _ratio(total: NDArray[np.float32], count: NDArray[np.float32]) -> NDArray[np.float32]:
    empty = np.full(total.shape, np.nan, np.float32)
    return np.divide(total, count, out=empty, where=count > 0)
