"""Test the connected regions of missing pixels: which count, where they are and how large they are on the sky."""

import math
import tracemalloc

import numpy as np
import pytest

from harness.analysis.footprint import FootprintError, sky_of
from harness.analysis.regions import components
from tests.requests_ import WCS


def missing(*boxes, shape=(80, 100)):
    """Return a mask that is missing in boxes of (first row, first column, last row + 1, last column + 1)."""
    mask = np.zeros(shape, dtype=bool)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


def test_each_area_has_its_place_and_size():
    """Regions come largest first, with pixels, box, centre on the grid and on the sky, and solid angle."""
    large, small = components(missing((10, 20, 30, 50), (60, 5, 64, 9)), WCS)
    assert (large.area, large.box, large.centroid) == (600, (10, 20, 30, 50), (19.5, 34.5))
    assert (small.area, small.box, small.centroid) == (16, (60, 5, 64, 9), (61.5, 6.5))
    assert (large.ra, large.dec) == pytest.approx([float(v) for v in sky_of(WCS, 34.5, 19.5)])
    assert large.solid_angle == pytest.approx(600 * 3.6**2, rel=1e-6)
    assert large.mask.all()


def test_an_area_keeps_its_own_pixels():
    """The mask of a region has its own pixels only, also if another region reaches into its box."""
    mask = missing((10, 10, 30, 14), (26, 10, 30, 40), (12, 20, 16, 30))
    first, second = components(mask, WCS)
    assert (first.area, second.area) == (20 * 4 + 4 * 26, 40)
    assert first.mask.sum() == first.area
    assert not first.mask[2:6, 10:20].any()


def test_diagonal_neighbours_are_one_area():
    """Pixels that touch at a corner are one region."""
    (one,) = components(missing((10, 10, 12, 12), (12, 12, 14, 14)), WCS)
    assert one.area == 8


def test_small_areas_do_not_count():
    """Only regions of at least the smallest size are returned."""
    mask = missing((10, 10, 13, 13), (40, 40, 44, 44))
    assert [c.area for c in components(mask, WCS, min_area=9)] == [16, 9]
    assert [c.area for c in components(mask, WCS, min_area=10)] == [16]
    assert components(mask, WCS, min_area=17) == ()


def test_thin_borders_are_within_the_edge_tolerance():
    """A seam thinner than twice the tolerance is dropped; a hole on it keeps its own size, without the seam."""
    mask = missing((40, 0, 44, 100), (30, 50, 55, 75))
    (hole,) = components(mask, WCS, erode=2)
    assert (hole.area, hole.box) == (25 * 25, (30, 50, 55, 75))
    assert components(missing((40, 0, 44, 100)), WCS, erode=2) == ()


def test_the_edge_of_the_canvas_does_not_erode():
    """A hole at the edge of the canvas may go on beyond it and is not dropped as a thin border. A border strip is dropped."""
    (hole,) = components(missing((0, 0, 3, 3)), WCS, erode=2)
    assert hole.area == 9
    assert components(missing((0, 0, 80, 2)), WCS, erode=2) == ()


def test_a_canvas_that_is_all_missing_is_one_hole():
    """A canvas without any covered pixel is one region, at any tolerance."""
    (hole,) = components(np.ones((80, 100), dtype=bool), WCS, erode=8)
    assert hole.area == 8000


def test_nothing_missing_has_no_areas():
    """A covered canvas, and an empty one, have no regions and need no WCS."""
    assert components(missing(), WCS) == ()
    assert components(np.zeros((0, 0), dtype=bool), {}) == ()


def test_many_single_pixels_are_counted_without_loss():
    """A checkerboard of single pixels gives one region for each."""
    mask = np.zeros((60, 60), dtype=bool)
    mask[::2, ::2] = True
    found = components(mask, WCS)
    assert len(found) == 900
    assert math.fsum(c.area for c in found) == 900


def test_a_hole_without_a_sky_is_an_error():
    """A hole without a WCS is refused, and the error says which card is missing."""
    with pytest.raises(FootprintError, match="celestial WCS"):
        components(missing((1, 1, 3, 3)), {})


def test_regions_take_few_bytes_for_each_pixel():
    """One region of nearly all of 4 million pixels, and a million of one pixel each, take less than 20 bytes for each pixel."""
    whole = np.zeros((2_000, 2_000), dtype=np.bool_)
    whole[10:-10, 10:-10] = True
    dots = np.zeros_like(whole)
    dots[::2, ::2] = True
    for mask, found in ((whole, 1), (dots, 0)):
        tracemalloc.start()
        try:
            regions = components(mask, WCS, min_area=2)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert len(regions) == found
        assert peak < 20 * mask.size
