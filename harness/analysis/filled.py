"""Find covered sky that shows no sky: it is filled with a constant although the frames have data there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from harness.analysis.canvas import Canvas, Mask, frames_per_element
from harness.analysis.footprint import outlines
from harness.record.products import BLOCK, Products
from harness.record.request import FrameFacts


def filled(products: Products, frames: Sequence[FrameFacts], bright: float) -> Mask | None:
    """Return the covered elements of a mosaic that are filled with a constant; ``None`` if this was not measured.

    Two kinds of constant areas are no filling. Where a frame has no data (NaN or 0), a tile with this frame as reference can show
    only a constant. An area is saturated if every block of pixels that it touches has a pixel above the fraction ``bright``
    of the way from the usual brightest pixel of a block to the brightest pixel of the mosaic.
    """
    if products.constant is None:
        return None
    found = products.constant & products.covered
    blank = [frame for frame in frames if frame.hull is not None]
    if found.any() and blank:
        grid = Canvas(products.wcs, found.shape, products.step)
        whole, _ = frames_per_element(outlines([replace(frame, hull=None) for frame in blank]), grid)
        data, _ = frames_per_element(outlines(blank), grid)
        found &= whole == data
    return found & ~_saturated(found, products, bright) if found.any() else found


def without_filling(products: Products, frames: Sequence[FrameFacts], bright: float) -> Products:
    """Return the products with only those elements covered that show sky."""
    constant = filled(products, frames, bright)
    return products if constant is None else replace(products, covered=products.covered & ~constant)


def _saturated(found: Mask, products: Products, bright: float) -> Mask:
    """Return the connected areas of a mask that are saturated in every channel of the mosaic."""
    image = next((plane for plane in products.planes if plane.file == products.mosaic), None)
    labels, count = ndimage.label(found, np.ones((3, 3)))
    if image is None or not count:
        return np.zeros_like(found)
    saturated = np.ones(count, dtype=np.bool_)
    for high in image.high:
        known = high[np.isfinite(high)]
        usual, most = (float(np.median(known)), float(known.max())) if known.size else (0.0, 0.0)
        brightest = _at_elements(np.where(np.isfinite(high), high, usual), found.shape, products.step)
        faintest = np.asarray(ndimage.minimum(brightest, labels, np.arange(1, count + 1)))
        saturated &= faintest - usual > bright * (most - usual)
    return np.concatenate([[False], saturated])[labels]


def _at_elements(blocks: NDArray[np.floating[Any]], shape: tuple[int, int], step: int) -> NDArray[np.floating[Any]]:
    """Return for each element of a mask the value of the block of pixels in which it begins."""
    rows, columns = (
        np.minimum(np.arange(n) * step // BLOCK, most - 1) for n, most in zip(shape, blocks.shape, strict=True)
    )
    found: NDArray[np.floating[Any]] = blocks[rows[:, None], columns[None, :]]
    return found
