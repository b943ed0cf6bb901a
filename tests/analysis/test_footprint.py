"""Test outlines, rasters and resampling against astropy's WCS, shapely and known geometry."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.footprint import (
    FootprintError,
    outlines,
    per_outline,
    pixel_area,
    pixel_of,
    pixel_scale,
    raster,
    resample_mask,
    sky_of,
)
from harness.record.request import FrameFacts

SIP = {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 2e-5, "A_0_2": -1e-5, "B_1_1": 3e-5, "B_2_0": -2e-5}


def tan(ra=30.0, dec=45.0, crpix=(50.5, 40.5), *, scale=2e-3, turn=0.0, mirrored=False):
    """Return TAN cards with a CD matrix; north up and east left unless turned (degrees) or mirrored."""
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    cd = scale * np.array([[-c, s], [s, c]]) @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    return {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": ra,
        "CRVAL2": dec,
        "CRPIX1": crpix[0],
        "CRPIX2": crpix[1],
        "CD1_1": float(cd[0, 0]),
        "CD1_2": float(cd[0, 1]),
        "CD2_1": float(cd[1, 0]),
        "CD2_2": float(cd[1, 1]),
    }


def frame(wcs, shape=(80, 100)):
    """Return a frame with these cards."""
    return FrameFacts("a.fits", "0" * 64, shape, wcs)


def outline(frame):
    """Return the edge of one frame."""
    return outlines([frame])[0]


def apart(one, two):
    """Return the separations on the sky of two sets of points, in arc seconds."""

    def unit(sky):
        ra, dec = np.radians(np.asarray(sky)).T
        return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])

    return np.degrees(np.linalg.norm(unit(one) - unit(two), axis=0)) * 3600


FORMS = {
    "CD": {},
    "CD with a card left out": {"CD1_2": None, "CD2_1": None},
    "CDELT alone": {"CD1_1": None, "CD1_2": None, "CD2_1": None, "CD2_2": None, "CDELT1": -2e-3, "CDELT2": 2e-3},
    "CROTA2": {
        "CD1_1": None,
        "CD1_2": None,
        "CD2_1": None,
        "CD2_2": None,
        "CDELT1": -2e-3,
        "CDELT2": 3e-3,
        "CROTA2": 25.0,
    },
    "PC": {
        "CD1_1": None,
        "CD1_2": None,
        "CD2_1": None,
        "CD2_2": None,
        "CDELT1": -2e-3,
        "CDELT2": 3e-3,
        "PC1_1": 0.9,
        "PC1_2": -0.4,
        "PC2_1": 0.3,
        "PC2_2": 0.8,
    },
    "LONPOLE written out": {"LONPOLE": 180.0, "LATPOLE": 45.0},
    "another LONPOLE": {"LONPOLE": 170.0},
    "at the pole exactly": {"CRVAL2": 90.0},
    "PV terms": {"PV1_0": 0.0, "PV1_1": 1.0, "PV1_2": 1e-3, "PV2_0": 0.0, "PV2_1": 1.0, "PV2_2": -2e-3},
    "arc seconds": {
        "CUNIT1": "arcsec",
        "CUNIT2": "arcsec",
        "CRVAL1": 30.0 * 3600,
        "CRVAL2": 45.0 * 3600,
        "CD1_1": -7.2,
        "CD1_2": 0.3,
        "CD2_1": 0.3,
        "CD2_2": 7.2,
    },
    "no CRPIX": {"CRPIX1": None, "CRPIX2": None},
    "SIP": {**SIP, "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"},
    "another projection": {"CTYPE1": "RA---ZEA", "CTYPE2": "DEC--ZEA"},
    "declination first": {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 45.0, "CRVAL2": 30.0},
}


@pytest.mark.parametrize("form", FORMS)
def test_sky_and_pixels_agree_with_astropy(form):
    """Each form of a WCS gives the same sky as astropy, and the inverse gives the same pixels."""
    cards = {k: v for k, v in (tan(turn=20) | FORMS[form]).items() if v is not None}
    x, y = np.meshgrid(np.linspace(-20, 120, 7), np.linspace(-10, 90, 5))
    ra, dec = sky_of(cards, x, y)
    expected = WCS(fits.Header(cards)).all_pix2world(np.column_stack([x.ravel(), y.ravel()]), 0)
    if form == "declination first":
        expected = expected[:, ::-1]
    assert apart(np.column_stack([ra.ravel(), dec.ravel()]), expected).max() < 1e-6
    assert np.all((ra >= 0) & (ra < 360))
    back = pixel_of(cards, ra, dec)
    assert np.abs(back[0] - x).max() < 1e-4
    assert np.abs(back[1] - y).max() < 1e-4


@given(
    ra=st.floats(0, 360),
    dec=st.floats(-89.9, 89.9),
    turn=st.floats(0, 360),
    mirrored=st.booleans(),
    scale=st.floats(1e-5, 1e-2),
)
def test_tan_in_closed_form_is_astropys(ra, dec, turn, mirrored, scale):
    """Anywhere on the sky, at any rotation, scale and parity, the closed form agrees with astropy within about 1e-9 pixels."""
    cards = tan(ra, dec, (2000.0, 1500.0), scale=scale, turn=turn, mirrored=mirrored)
    x, y = np.array([0.0, 4000, 0, 4000, 777.25]), np.array([0.0, 0, 3000, 3000, 1499.5])
    wcs = WCS(fits.Header(cards))
    assert apart(np.column_stack(sky_of(cards, x, y)), wcs.wcs_pix2world(np.column_stack([x, y]), 0)).max() < 1e-7
    back = pixel_of(cards, *wcs.wcs_pix2world(x, y, 0))
    assert np.hypot(back[0] - x, back[1] - y).max() < 1e-5


def test_outline_is_at_the_outer_edges_of_the_pixels():
    """A frame without distortion has four corners, half a pixel beyond the centres of its corner pixels."""
    cards = tan()
    x, y = pixel_of(cards, *outline(frame(cards)).T)
    assert np.allclose(np.column_stack([x, y]), [[-0.5, -0.5], [99.5, -0.5], [99.5, 79.5], [-0.5, 79.5]], atol=1e-9)


def test_outline_of_a_distorted_frame_follows_its_curved_edge():
    """With SIP cards the outline has more points, and no point of the true edge is more than 0.01 pixels from it."""
    cards = tan(scale=3e-4, crpix=(500, 400)) | SIP | {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}
    found = outline(frame(cards, (800, 1000)))
    assert len(found) == 128
    plain = tan(scale=3e-4, crpix=(500, 400))
    edge = np.linspace(-0.5, 999.5, 2001)
    true = shapely.points(*pixel_of(plain, *sky_of(cards, edge, np.full_like(edge, -0.5))))
    ring = shapely.LinearRing(np.column_stack(pixel_of(plain, *found.T)))
    four = shapely.LinearRing(np.column_stack(pixel_of(plain, *found[::32].T)))
    assert shapely.distance(ring, true).max() < 0.01
    assert shapely.distance(four, true).max() > 1


def test_the_outline_of_a_frame_with_empty_borders_is_the_hull_of_its_data():
    """Of a frame whose data has a hull, the hull is the edge, in its order; a frame without data has no point."""
    x, y = np.array([10.0, 60.0, 70.0, 20.0]), np.array([5.0, 8.0, 50.0, 60.0])
    part = FrameFacts("a.fits", "0" * 64, (80, 100), tan(turn=15), hull=tuple(zip(x.tolist(), y.tolist(), strict=True)))
    empty = FrameFacts("b.fits", "0" * 64, (80, 100), tan(), hull=())
    found, none, whole = outlines([part, empty, frame(tan())])
    assert np.array_equal(found, np.column_stack(sky_of(tan(turn=15), x, y)))
    assert none.shape == (0, 2)
    assert np.array_equal(whole, outline(frame(tan())))


def test_outlines_of_many_frames_are_those_of_each():
    """Many frames of both kinds together give, in their order, the outlines of each frame alone."""
    frames = [frame(tan(10 + i, i)) if i % 3 else frame(tan(10 + i, i) | SIP) for i in range(7)]
    together = outlines(frames)
    assert [len(o) for o in together] == [128, 4, 4, 128, 4, 4, 128]
    for one, alone in zip(together, map(outline, frames), strict=True):
        assert np.allclose(one, alone, rtol=0, atol=1e-12)


def test_raster_of_a_frame_on_its_own_grid_is_the_whole_grid():
    """A frame covers every pixel of its own grid, and no pixel beyond it on a larger one."""
    cards = tan(turn=33, mirrored=True)
    assert raster([outline(frame(cards))], cards, (80, 100)).all()
    larger = cards | {"CRPIX1": cards["CRPIX1"] + 7, "CRPIX2": cards["CRPIX2"] + 5}
    expected = np.zeros((95, 120), bool)
    expected[5:85, 7:107] = True
    assert np.array_equal(raster([outline(frame(cards))], larger, (95, 120)), expected)


WHERE = {
    "mid sky": (30.0, 45.0),
    "across RA 0": (0.0, -20.0),
    "just below the north pole": (123.0, 89.99),
    "near the south pole": (300.0, -89.7),
}


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("mirrored", [False, True])
def test_raster_is_exact(where, mirrored):
    """Rotated, dithered frames cover exactly the pixels whose centres shapely finds inside, also at RA 0 and around the pole."""
    ra, dec = WHERE[where]
    rng = np.random.default_rng(5)
    grid = tan(ra, dec, (150.5, 130.5), mirrored=mirrored)
    frames = []
    for x, y in rng.uniform(40, 240, (12, 2)):
        centre = sky_of(grid, x, y)
        wcs = tan(float(centre[0]), float(centre[1]), turn=float(rng.uniform(0, 360)), mirrored=bool(rng.integers(2)))
        frames.append(frame(wcs))
    edges = outlines(frames)
    found = raster(edges, grid, (260, 300))
    union = shapely.union_all([shapely.Polygon(np.column_stack(pixel_of(grid, *o.T))) for o in edges])
    y, x = np.mgrid[:260, :300]
    assert np.array_equal(found, shapely.contains_xy(union, x, y))
    assert 0.2 < found.mean() < 0.98


def test_outlines_that_touch_leave_no_gap_and_none_twice():
    """Outlines that share an edge through pixel centres, slanted or straight, cover each centre exactly once."""
    grid = tan(scale=1e-3)
    corners = np.array([[5.0, 5], [60, 12], [90, 5], [5, 40], [52, 41], [90, 40], [5, 75], [44, 70], [90, 75]])
    sky = np.column_stack(sky_of(grid, *corners.T))
    quads = [sky[[a, a + 1, a + 4, a + 3]] for a in (0, 1, 3, 4)]
    quads[2] = quads[2][::-1]  # in the opposite direction
    times = np.zeros((80, 100), int)
    for _, box, mask in per_outline(quads, grid, (80, 100)):
        times[box] += mask
    together = raster(quads, grid, (80, 100))
    assert times.max() == 1
    assert np.array_equal(times == 1, together)
    assert together[13:70, 6:89].all()


def test_per_outline_is_what_raster_unites():
    """The union of the masks by outline equals the raster; an outline beyond the grid is left out."""
    grid = tan(crpix=(60.2, 70.7))
    frames = [frame(tan(30 + 0.08 * i, 45 + 0.03 * j, turn=7 * i)) for i in range(-2, 3) for j in range(-2, 3)]
    edges = [*outlines(frames), outline(frame(tan(40.0, 45.0))), outline(frame(tan(210.0, -45.0)))]
    union = np.zeros((150, 130), bool)
    seen = []
    for index, box, mask in per_outline(edges, grid, (150, 130), shrink=0.06):
        assert mask.shape == union[box].shape
        union[box] |= mask
        seen.append(index)
    assert seen == list(range(25))
    assert np.array_equal(union, raster(edges, grid, (150, 130), shrink=0.06))


def test_shrink_cuts_the_same_fraction_from_each_side():
    """Shrunk by a twentieth, a frame of 80 by 100 pixels loses 4 rows and 5 columns on each side, also when it is turned."""
    for turn in (0, 30):
        cards = tan(turn=turn)
        expected = np.zeros((80, 100), bool)
        expected[4:76, 5:95] = True
        assert np.array_equal(raster([outline(frame(cards))], cards, (80, 100), shrink=0.05), expected)


def test_raster_on_another_projection_follows_great_circles():
    """On a grid that is not TAN a frame's straight edge is curved, and the raster agrees with the sky."""
    grid = {
        "CTYPE1": "RA---CAR",
        "CTYPE2": "DEC--CAR",
        "CRVAL1": 0.0,
        "CRVAL2": 0.0,
        "CRPIX1": -200.0,
        "CRPIX2": -600.0,
    }
    grid |= {"CDELT1": -0.1, "CDELT2": 0.1}
    cards = tan(340.0, 70.0, scale=0.05)
    found = raster([outline(frame(cards))], grid, (200, 300))
    y, x = np.mgrid[:200, :300]
    column, row = pixel_of(cards, *sky_of(grid, x, y))
    inside = (np.abs(column - 49.5) < 50) & (np.abs(row - 39.5) < 40)
    edge = np.minimum(np.abs(np.abs(column - 49.5) - 50), np.abs(np.abs(row - 39.5) - 40)) < 0.05
    assert inside.sum() > 500
    assert np.array_equal(found[~edge], inside[~edge])


def test_raster_of_a_distorted_frame_on_another_projection():
    """An outline with many points gets no more points, and the raster agrees with the frame's own pixels."""
    cards = tan(scale=3e-4, crpix=(500, 400)) | SIP | {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}
    grid = tan(scale=1.5e-3, crpix=(110, 90), turn=10) | {"CTYPE1": "RA---STG", "CTYPE2": "DEC--STG"}
    found = raster([outline(frame(cards, (800, 1000)))], grid, (180, 220))
    y, x = np.mgrid[:180, :220]
    column, row = pixel_of(cards, *sky_of(grid, x, y))
    inside = (np.abs(column - 499.5) < 500) & (np.abs(row - 399.5) < 400)
    edge = np.minimum(np.abs(np.abs(column - 499.5) - 500), np.abs(np.abs(row - 399.5) - 400)) < 0.05
    assert inside.sum() > 10000
    assert np.array_equal(found[~edge], inside[~edge])


def test_raster_of_a_large_grid_is_that_of_its_parts(monkeypatch):
    """A raster drawn in strips, some without any edge, equals one drawn at once."""
    grid = tan(crpix=(60, 300))
    edges = outlines([frame(tan(30, 45.2, turn=20)), frame(tan(30.03, 44.6, turn=50))])
    whole = raster(edges, grid, (600, 120))
    monkeypatch.setattr("harness.analysis.footprint._STRIP", 120 * 7)
    assert np.array_equal(raster(edges, grid, (600, 120)), whole)
    assert 0.1 < whole.mean() < 0.5


def test_no_outline_covers_nothing():
    """Without outlines, and on a grid without rows or without columns, no pixel is covered."""
    assert not raster([], tan(), (4, 5)).any()
    for shape in ((0, 0), (0, 5), (4, 0)):
        assert raster([outline(frame(tan()))], tan(), shape).shape == shape
    assert list(per_outline([], tan(), (4, 5))) == []


def test_an_outline_across_the_horizon_is_refused():
    """A frame partly behind the tangent plane is refused, and the error names it."""
    wide = frame(tan(118.0, 0.0, scale=0.3))
    with pytest.raises(FootprintError, match="outline 1 across the horizon"):
        raster([outline(frame(tan(30.0, 0.0))), outline(wide)], tan(30.0, 0.0), (80, 100))


def test_shrink_beyond_half_is_refused():
    """A shrink of half a side or more is refused."""
    with pytest.raises(FootprintError, match="fraction of a side"):
        raster([outline(frame(tan()))], tan(), (80, 100), shrink=0.5)


def test_resampling_to_a_shifted_grid_moves_the_mask():
    """A canvas that lost its left columns keeps its sky. In the lost columns the mask is false."""
    rng = np.random.default_rng(1)
    mask = rng.random((80, 100)) > 0.5
    cards = tan(turn=12)
    wider = cards | {"CRPIX1": cards["CRPIX1"] + 9, "CRPIX2": cards["CRPIX2"] - 3}
    for known in (mask, np.ones_like(mask)):
        expected = np.zeros((80, 120), bool)
        expected[:77, 9:109] = known[3:]
        assert np.array_equal(resample_mask(known, cards, wider, (80, 120)), expected)


@pytest.mark.parametrize(("shift", "kept"), [(0.5, np.s_[:3, :4]), (-0.5, np.s_[1:, 1:])])
def test_a_centre_exactly_on_an_edge_takes_the_pixel_to_its_right_and_above(shift, kept):
    """Between grids half a pixel apart each centre is on an edge: the first edge of a mask is within it, the last one is not."""
    mask = np.arange(12).reshape(3, 4) % 3 > 0
    cards = tan(0.0, 0.0, (1.0, 1.0), scale=math.degrees(2.0**-8))  # a power of two in radians: halves are exact
    moved = cards | {"CRPIX1": cards["CRPIX1"] + shift, "CRPIX2": cards["CRPIX2"] + shift}
    expected = np.zeros((3, 4), bool)
    expected[: mask[kept].shape[0], : mask[kept].shape[1]] = mask[kept]
    assert np.array_equal(resample_mask(mask, cards, moved, (3, 4)), expected)


@pytest.mark.parametrize("form", ["CD", "SIP", "another projection"])
def test_resampling_takes_the_nearest_pixel_on_the_sky(form):
    """Between grids of other centre, scale, rotation and parity, each pixel has the value of astropy's nearest pixel."""
    rng = np.random.default_rng(2)
    mask = rng.random((90, 70)) > 0.5
    source = tan(359.99, 88.0, (35, 45), turn=40, mirrored=True) | FORMS[form]
    target = tan(0.3, 88.02, (60, 50), scale=1.3e-3, turn=-15)
    values = resample_mask(mask, source, target, (110, 130))
    y, x = np.mgrid[:110, :130]
    sky = WCS(fits.Header(target)).wcs_pix2world(np.column_stack([x.ravel(), y.ravel()]), 0)
    column, row = np.rint(WCS(fits.Header(source)).all_world2pix(sky, 0)).astype(int).T.reshape(2, 110, 130)
    inside = (column >= 0) & (column < 70) & (row >= 0) & (row < 90)
    assert np.array_equal(resample_mask(np.ones_like(mask), source, target, (110, 130)), inside)
    assert np.array_equal(values[inside], mask[row[inside], column[inside]])
    assert not values[~inside].any()


def test_resampling_a_large_grid_is_that_of_its_parts(monkeypatch):
    """A mask that is resampled in strips, the last of them shorter, equals one resampled at once."""
    mask = np.random.default_rng(3).random((90, 70)) > 0.5
    source, target = tan(turn=25), tan(30.01, 45.02, turn=-15)
    whole = resample_mask(mask, source, target, (110, 130))
    monkeypatch.setattr("harness.analysis.footprint._STRIP", 130 * 7)
    assert np.array_equal(resample_mask(mask, source, target, (110, 130)), whole)
    assert whole[80:].any()


def test_resampling_between_wide_grids_is_projective():
    """Between grids whose tangent points are far apart, each pixel has the value of astropy's nearest pixel."""
    mask = np.random.default_rng(4).random((90, 70)) > 0.5
    source, target = tan(40.0, 20.0, (35, 45), scale=0.5, turn=40), tan(60.0, 45.0, (60, 50), scale=0.4, turn=-15)
    values = resample_mask(mask, source, target, (110, 130))
    y, x = np.mgrid[:110, :130]
    sky = WCS(fits.Header(target)).wcs_pix2world(np.column_stack([x.ravel(), y.ravel()]), 0)
    column, row = np.rint(WCS(fits.Header(source)).wcs_world2pix(sky, 0)).astype(int).T.reshape(2, 110, 130)
    inside = (column >= 0) & (column < 70) & (row >= 0) & (row < 90)
    assert 0.2 < inside.mean() < 0.9
    assert np.array_equal(values[inside], mask[row[inside], column[inside]])
    assert not values[~inside].any()


def test_resampling_to_an_empty_grid_finds_nothing():
    """A canvas without rows or without columns has no pixel, whichever is missing."""
    for shape in ((0, 10), (8, 0)):
        assert resample_mask(np.ones((80, 100), bool), tan(), tan(), shape).shape == shape


def test_resampling_behind_the_tangent_plane_finds_nothing():
    """Sky on the opposite side of the sphere is not on the canvas, although the projective map would mirror it there."""
    assert not resample_mask(np.ones((80, 100), bool), tan(30, 10), tan(210, -10), (80, 100)).any()


def test_resampling_an_empty_mask_finds_nothing():
    """The empty canvas of a run without a mosaic covers no pixel."""
    values = resample_mask(np.zeros((0, 0), bool), tan(), tan(), (8, 10))
    assert values.shape == (8, 10)
    assert not values.any()


def test_pixel_scale_and_area():
    """The scale is that of the reference pixel; far from it a TAN pixel is smaller by the cube of the cosine."""
    cards = tan(scale=1 / 3600, turn=77, crpix=(1, 1))
    assert pixel_scale(cards) == pytest.approx(1.0, rel=1e-9)
    far = math.degrees(math.tan(math.radians(30))) * 3600
    assert pixel_area(cards, far, 0.0) == pytest.approx(math.cos(math.radians(30)) ** 3, rel=1e-6)


def test_the_scale_of_wide_pixels_is_that_of_the_reference_pixel():
    """Where pixels are a degree wide and change from one to the next, the scale is that of the one at CRPIX."""
    cards = tan(scale=1.0, crpix=(31.0, 21.0))
    assert pixel_scale(cards) == pytest.approx(math.sqrt(pixel_area(cards, 30.0, 20.0)), rel=1e-12)


def test_a_pixel_without_a_sky_has_no_area():
    """A pixel beyond the edge of an orthographic sphere is refused."""
    cards = tan(scale=1.0) | {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"}
    with pytest.raises(FootprintError, match="pixel with a solid angle"):
        pixel_area(cards, 500.0, 40.0)


def test_a_pixel_too_small_to_have_an_area_is_refused():
    """Where the corners of a pixel are one number in double precision, its area is 0, and sizes can't be computed."""
    with pytest.raises(FootprintError, match="found 0"):
        pixel_area(tan(scale=1e-20), 50.0, 40.0)


def test_fk5_of_j2000_is_taken_for_icrs_and_of_another_equinox_is_not():
    """FK5 of 2000 is ICRS to 0.05 arc seconds, and has the same pixels. A year of precession moves the sky by 50."""
    place, j2000, j2001 = (
        np.stack(sky_of(tan() | cards, 20.0, 30.0), axis=-1)
        for cards in ({}, {"RADESYS": "FK5", "EQUINOX": 2000.0}, {"RADESYS": "FK5", "EQUINOX": 2001.0})
    )
    assert np.array_equal(j2000, place)
    assert 20 < apart([place], [j2001])[0] < 60


@pytest.mark.parametrize(
    ("cards", "found"),
    [
        ({}, "found CTYPE missing, missing"),
        ({"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"}, "found CTYPE LINEAR, LINEAR"),
        (tan() | {"CRVAL1": float("nan")}, "CRVAL1, found nan"),
        (tan() | {"CRVAL2": "north"}, "CRVAL2, found 'north'"),
        ({k: v for k, v in tan().items() if k != "CRVAL2"}, "CRVAL2, found no such card"),
        (tan() | {"CD1_1": 0.0, "CD1_2": 0.0}, "singular"),
        (tan() | SIP | {"A_ORDER": "x"}, "can't be read"),
    ],
)
def test_cards_that_place_nothing_say_so(cards, found):
    """Missing, non-finite and singular cards give an error with what was found and what to do."""
    with pytest.raises(FootprintError, match=found) as error:
        outline(frame(cards))
    assert "solve" in str(error.value)
