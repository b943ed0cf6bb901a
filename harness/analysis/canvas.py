"""Place the masks of mosaics and the outlines of frames on one grid, the canvas, without resampling the first mosaic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from harness.analysis.footprint import per_outline, pixel_of, resample_mask, sky_of
from harness.record.products import Products

Mask = NDArray[np.bool_]
Cards = Mapping[str, str | int | float]

_MOST_ELEMENTS = 40_000_000
"""The checks take 8 bytes for each: 320 MB. The mask of a mosaic has at most 25 million (``harness/run/measure.py``)."""


@dataclass(frozen=True)
class Canvas:
    """The grid on which masks are compared. One element is ``step`` mosaic pixels wide."""

    cards: Cards
    shape: tuple[int, int]
    step: int


def canvas_of(
    base: Products, ours: Products | None, required: Sequence[NDArray[np.float64]], margin: int
) -> tuple[Canvas, tuple[int, int]]:
    """Widen a grid by whole elements. Return it, and the place of the old grid's first element on it (row, column)."""
    rows, columns = base.covered.shape
    points = [*required]
    if ours is not None and ours is not base:
        points.append(border(ours))
    x = np.array([0.0, columns - 1.0])
    y = np.array([0.0, rows - 1.0])
    for sky in points:
        px, py = pixel_of(base.wcs, sky[:, 0], sky[:, 1])
        seen = np.isfinite(px) & np.isfinite(py)
        x, y = np.concatenate([x, px[seen]]), np.concatenate([y, py[seen]])
    left, bottom = math.ceil(-x.min()) + margin, math.ceil(-y.min()) + margin
    right, top = math.ceil(x.max() - columns + 1) + margin, math.ceil(y.max() - rows + 1) + margin
    shape = (bottom + rows + top, left + columns + right)
    if shape[0] * shape[1] > _MOST_ELEMENTS:
        raise ValueError(
            f"expected mosaics and frames on neighbouring sky, found {shape[0]} x {shape[1]} elements of mask: check the WCS"
        )
    cards = dict(base.wcs)
    cards["CRPIX1"] = float(cards.get("CRPIX1", 0.0)) + left
    cards["CRPIX2"] = float(cards.get("CRPIX2", 0.0)) + bottom
    return Canvas(MappingProxyType(cards), shape, base.step), (bottom, left)


def border(products: Products) -> NDArray[np.float64]:
    """Return points along the edge of a mosaic in degrees on the sky, shape (n, 2)."""
    rows, columns = products.covered.shape
    t = np.linspace(0.0, 1.0, 33)
    x = np.concatenate([t, np.ones_like(t), t, np.zeros_like(t)]) * columns - 0.5
    y = np.concatenate([np.zeros_like(t), t, np.ones_like(t), t]) * rows - 0.5
    return np.column_stack(sky_of(products.wcs, x, y))


def on_canvas(canvas: Canvas, products: Products | None, base: Products, place: tuple[int, int]) -> Mask:
    """Place a mask on the canvas: empty without a mosaic, copied if the grids agree, else resampled to the nearest pixel."""
    mask = np.zeros(canvas.shape, dtype=np.bool_)
    if products is None:
        return mask
    if products is base or (dict(products.wcs) == dict(base.wcs) and products.covered.shape == base.covered.shape):
        rows, columns = products.covered.shape
        mask[place[0] : place[0] + rows, place[1] : place[1] + columns] = products.covered
        return mask
    return resample_mask(products.covered, products.wcs, canvas.cards, canvas.shape)


def frames_per_element(
    frames: Sequence[NDArray[np.float64]], canvas: Canvas
) -> tuple[NDArray[np.int32], tuple[int, ...]]:
    """Count the frames that cover each element of the canvas, and the elements of each frame that covers any.

    ``frames`` are outlines on the sky in degrees, shape (n, 2) each.
    """
    depth = np.zeros(canvas.shape, dtype=np.int32)
    sizes = []
    for _, box, part in per_outline(frames, canvas.cards, canvas.shape):
        depth[box] += part
        sizes.append(int(part.sum()))
    return depth, tuple(sizes)
