"""Test that measured products are read, and without pickle."""

import json

import numpy as np
import pytest

from harness.record.reader import read_record
from harness.record.values import RecordError


def test_products_round_trip(folder):
    """Masks, depth and stars are read without pickle, in their shapes."""
    covered = np.array([[True, False, True], [False, True, True]])
    np.savez(folder / "products.npz", covered=np.packbits(covered), depth=covered.astype("f4"), stars=np.ones((2, 3)))
    data = {
        "format": "phase3-products/1",
        "mosaic": "outputs/m.fits",
        "shape": [2, 3],
        "step": 1,
        "wcs": {"CRPIX1": 1.0},
        "tiles": [{"path": "outputs/t.fits", "tile": 0, "frames": 2, "aligned": None, "reference": None}],
        "thumbnail": None,
    }
    (folder / "products.json").write_text(json.dumps(data))
    products = read_record(folder).products
    assert products is not None
    assert (products.covered == covered).all()
    assert products.depth.dtype == np.float32
    assert products.stars.shape == (2, 3)
    assert products.tiles[0].aligned is None
    assert (products.planes, products.constant) == ((), None)


def test_products_with_a_pickle_are_refused(folder):
    """An array of Python objects is refused, because reading it could run code."""
    np.savez(folder / "products.npz", covered=np.array([{}], dtype=object), depth=[], stars=[])
    data = {
        "format": "phase3-products/1",
        "mosaic": None,
        "shape": [1, 1],
        "step": 1,
        "wcs": {},
        "tiles": [],
        "thumbnail": None,
    }
    (folder / "products.json").write_text(json.dumps(data))
    with pytest.raises(RecordError, match="measure the run again"):
        read_record(folder)
