"""Test the grid on which mosaics are compared: how it is widened, and how masks are placed on it."""

from dataclasses import replace

import numpy as np
import pytest

from harness.analysis.canvas import border, canvas_of, frames_per_element, on_canvas
from harness.analysis.footprint import outlines, pixel_of, sky_of
from tests import micro

BASE = micro.products_of([micro.frame(1)])  # 88 rows and 108 columns


def test_a_canvas_without_more_sky_is_the_mosaic_with_its_margin():
    """Without other sky the canvas has the margin on each side, and the sky of the mosaic stays where it was."""
    canvas, place = canvas_of(BASE, BASE, [], 3)
    assert (canvas.shape, place, canvas.step) == ((88 + 6, 108 + 6), (3, 3), 1)
    assert np.allclose(sky_of(canvas.cards, 3.0, 3.0), sky_of(BASE.wcs, 0.0, 0.0), rtol=0, atol=1e-12)


def test_a_canvas_reaches_every_required_point_by_whole_elements():
    """Sky beyond each side widens the canvas by just enough elements there."""
    x, y = np.array([-2.4, 110.2, 50.0, 50.0]), np.array([40.0, 40.0, -7.6, 90.1])
    canvas, place = canvas_of(BASE, None, [np.column_stack(sky_of(BASE.wcs, x, y))], 0)
    # The last pixels of the mosaic are 107 and 87: 110.2 needs 4 more, and 90.1 needs 4.
    assert place == (8, 3)
    assert canvas.shape == (8 + 88 + 4, 3 + 108 + 4)


def test_another_mosaic_widens_the_canvas_to_its_edge():
    """The edge of the run's own mosaic is part of the canvas, and its mask lies at its sky."""
    ours = micro.products_of([micro.frame(2)])  # 80 columns to the right of the base
    canvas, place = canvas_of(BASE, ours, [], 0)
    assert (canvas.shape, place) == ((1 + 88 + 1, 108 + 81), (1, 0))
    placed = on_canvas(canvas, ours, BASE, place)
    assert placed.sum() == ours.covered.sum()
    assert np.array_equal(placed[place[0] : place[0] + 88, place[1] + 80 : place[1] + 188], ours.covered)


def test_the_border_of_a_mosaic_is_at_the_outer_edges_of_its_pixels():
    """The points run along the four sides, half a pixel beyond the centres."""
    x, y = pixel_of(BASE.wcs, *border(BASE).T)
    assert [x.min(), x.max(), y.min(), y.max()] == pytest.approx([-0.5, 107.5, -0.5, 87.5], abs=1e-6)
    on_a_side = np.isclose(x, -0.5) | np.isclose(x, 107.5) | np.isclose(y, -0.5) | np.isclose(y, 87.5)
    assert on_a_side.all()


def test_mosaics_on_distant_sky_are_refused():
    """A mosaic that lies far from the other would need a huge canvas: an error asks for the WCS."""
    with pytest.raises(ValueError, match="neighbouring sky"):
        canvas_of(BASE, None, [np.array([[60.0, 41.0]])], 0)


def test_cards_without_a_reference_pixel_are_widened_too():
    """A card that is left out counts as 0, as in the FITS standard."""
    cards = {k: v for k, v in BASE.wcs.items() if not k.startswith("CRPIX")}
    canvas, _ = canvas_of(replace(BASE, wcs=cards), None, [], 3)
    assert (canvas.cards["CRPIX1"], canvas.cards["CRPIX2"]) == (3.0, 3.0)


def test_the_frames_of_each_element_are_counted():
    """Two panels that overlap by a fifth: 2 frames there and 1 elsewhere, and the elements of each."""
    frames = outlines([micro.frame(0), micro.frame(1)])
    both = micro.products_of([micro.frame(0), micro.frame(1)])
    canvas, _ = canvas_of(both, both, frames, 0)
    depth, sizes = frames_per_element(frames, canvas)
    assert sizes == (8000, 8000)
    assert (np.count_nonzero(depth == 1), np.count_nonzero(depth == 2)) == (2 * 80 * 80, 20 * 80)
