"""Test the pictures of two mosaics on one grid and with one stretch."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from harness.record.products import SOFTENING
from reports.html.planes import Outline
from reports.html.together import GAINED, LOST, Shot, together
from tests.reports.html.test_charts import cards, products, square

ROWS, COLUMNS = 40, 60


def stretched(flux, low, high):
    """Return a thumbnail as the run writes it: grey, row 0 first, stretched between two fluxes; transparent where NaN."""
    scaled = np.clip((np.nan_to_num(flux) - low) / (high - low), 0, 1)
    grey = np.round(255 * np.arcsinh(scaled / SOFTENING) / np.arcsinh(1 / SOFTENING))
    alpha = np.where(np.isnan(flux), 0, 255)
    return Image.fromarray(np.stack([grey, grey, grey, alpha], axis=-1).astype(np.uint8), "RGBA")


def shot(flux, wcs=None, limits=None, *, known=True, holes=()):
    """Return a mosaic of this flux, with the limits of its stretch if they are known."""
    low, high = limits or (float(np.nanmin(flux)), float(np.nanmax(flux)))
    found = replace(products(np.isfinite(flux), wcs), stretch=((low, high),) * 3 if known else ())
    return Shot(found, stretched(flux, low, high), holes)


def picture(shown):
    """Return a picture of the page, RGBA, the lowest row first."""
    data = base64.b64decode(shown.picture.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))[::-1].astype(int)


def sky():
    """Return a flux that rises from left to right, with a few stars."""
    flux = np.tile(np.linspace(100, 200, COLUMNS), (ROWS, 1))
    flux[::7, ::9] = 900
    return flux


@pytest.mark.parametrize(("known", "how"), [(True, "same"), (False, "fitted")])
def test_the_same_flux_has_the_same_shade(known, how):
    """Two mosaics that were stretched differently are equal after they were brought to one stretch."""
    made = together(shot(sky(), limits=(0, 2000), known=known), shot(sky(), limits=(100, 400), known=known), None, 400)
    assert made.stretched == how
    first, second = (picture(m)[..., 0] for m in (made.first, made.second))
    assert np.abs(first - second)[sky() < 300].max() < 25
    assert np.ptp(second) > 200


def test_a_smaller_mosaic_is_placed_on_its_sky():
    """A mosaic without its left part lies at the same place of the picture; the lost part is not covered."""
    whole = sky()
    moved = dict(cards()) | {"CRPIX1": cards()["CRPIX1"] - 20}
    hole = Outline("1", square(0, 20, 0, ROWS, cards()))
    made = together(shot(whole[:, 20:], moved, holes=(hole,)), shot(whole), products(np.ones((ROWS, COLUMNS))), 400)
    first = picture(made.first)
    assert (made.first.width, made.first.height) == (made.second.width, made.second.height) == (COLUMNS, ROWS)
    assert first[:, :20, 3].max() == 0
    assert first[:, 20:, 3].min() == 255
    assert [h.number for h in made.first.holes] == ["1"]
    assert [h.number for h in made.second.holes] == []
    difference = picture(made.difference)
    assert tuple(difference[5, 5, :3]) == GAINED
    assert difference[5, 50, :3].min() > 200
    assert made.lost == 0
    assert made.gained == pytest.approx(20 * ROWS * (abs(cards()["CD1_1"]) * 60) ** 2, rel=0.01)


def test_lost_sky_has_the_other_colour():
    """Sky that only the first mosaic covers is red."""
    flux = sky()
    flux[:, :10] = np.nan
    made = together(shot(sky()), shot(flux), None, 400)
    assert tuple(picture(made.difference)[5, 5, :3]) == LOST
    assert made.gained == 0
    assert made.lost > 0


@pytest.mark.parametrize(("columns", "drawn"), [(1, False), (2, False), (3, True)])
def test_a_strip_of_two_pixels_is_no_difference_of_sky(columns, drawn):
    """Where the grids differ by part of a pixel, an edge is a strip wider: it is measured apart, and not coloured."""
    flux = sky()
    flux[:, :columns] = np.nan
    made = together(shot(sky()), shot(flux), None, 400)
    strip = picture(made.difference)[5, 0]
    assert bool(tuple(strip) == (*LOST, 255)) is drawn
    assert (made.lost > 0) is drawn
    assert (made.thin > 0) is not drawn
    if not drawn:
        assert strip[3] == 0


def test_a_hot_pixel_of_one_channel_does_not_show():
    """A pixel that is bright in one channel only is as dark as its neighbours; a star is bright in all."""
    made = shot(sky())
    pixels = np.asarray(made.picture).copy()
    pixels[3, 4, 0] = 255
    shown = together(replace(made, picture=Image.fromarray(pixels, "RGBA")), made, None, 400)
    grey = picture(shown.first)[..., 0]
    assert abs(grey[3, 4] - grey[3, 5]) < 10
    assert grey[0, 0] > 200


def test_without_coverage_or_common_sky_nothing_is_drawn():
    """A mosaic without coverage, or one elsewhere on the sky, gives no pictures."""
    good = shot(sky())
    none = replace(good, products=products(np.zeros((0, 0))))
    far = shot(sky(), dict(cards()) | {"CRVAL1": 80.0})
    assert together(none, good, None, 400) is None
    assert together(good, none, None, 400) is None
    assert together(far, good, None, 400) is None


def test_a_large_mosaic_is_drawn_smaller_and_hides_no_hole():
    """Blocks with any uncovered element are not covered in the picture."""
    flux = sky()
    flux[20, 30] = np.nan
    made = together(shot(flux), shot(sky()), None, 20)
    first = picture(made.first)
    assert first.shape[1] == 20
    assert (first[..., 3] == 0).sum() == 1
