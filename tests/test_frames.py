"""Synthetic frames show the truth: fluxes, positions, filters, noise, and the header of what made them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from scipy.ndimage import center_of_mass

from fixtures.frames import (
    BAYER_CELLS,
    Camera,
    Pointing,
    add_stars,
    expose,
    filter_mosaic,
    header_cards,
    moffat_stamp,
    scene,
    wcs_cards,
    write_frame,
)
from fixtures.sky import Knot, Sky

SKY = Sky(83.5, 22.0, density=0.0, level=100.0)
FLAT = Camera(gradient=0.0, hot_pixels=0)
CENTRE = Pointing(0, 0, 0.0, 0.0)


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (0.5, -0.5), (0.31, 0.17)])
def test_a_stamp_holds_its_flux_at_its_place(x, y):
    """A star's stamp sums to 1, and its centroid and half-maximum width are those asked for."""
    stamp = moffat_stamp(x, y, fwhm=3.0, beta=3.5)
    assert stamp.sum() == pytest.approx(1.0, rel=1e-12)
    row, column = center_of_mass(stamp)
    assert (column - 16, row - 16) == pytest.approx((x, y), abs=0.01)
    peak = moffat_stamp(0.0, 0.0, 3.0, 3.5)
    half = moffat_stamp(1.5, 0.0, 3.0, 3.5)  # sampled half a width from the star
    assert half[16, 16] / peak[16, 16] == pytest.approx(0.5, rel=0.01)


def test_stamp_hides_little_flux():
    """What the profile has beyond the stamp is below 0.3 %, so that scaling it up bends no profile."""
    wide = moffat_stamp(0.0, 0.0, 3.0, 3.5, radius=200)
    assert wide[200 - 16 : 200 + 17, 200 - 16 : 200 + 17].sum() > 0.997


def test_added_stars_keep_their_flux_inside_and_lose_it_beyond_the_edge():
    """A star inside adds its whole flux, one on the edge about half, one far outside nothing."""
    image = np.zeros((60, 80))
    add_stars(image, np.array([[40.3, 30.2, 1000.0]]), 3.0, 3.5)
    assert image.sum() == pytest.approx(1000.0, rel=1e-9)
    image[:] = 0
    add_stars(image, np.array([[-0.5, 30.0, 1000.0]]), 3.0, 3.5)
    assert image.sum() == pytest.approx(500.0, rel=0.01)
    image[:] = 0
    add_stars(image, np.array([[300.0, 30.0, 1000.0], [np.nan, np.nan, 1.0]]), 3.0, 3.5)
    assert not image.any()


@pytest.mark.parametrize("mirrored", [False, True])
def test_scene_puts_stars_where_the_wcs_says(mirrored):
    """A star is drawn, with its flux, at the pixel to which the frame's own header maps its position."""
    camera = replace(FLAT, mirrored=mirrored)
    pointing = Pointing(0, 0, 0.02, -0.01, angle=12.0)
    wcs = WCS(fits.Header(list(wcs_cards(SKY, camera, pointing).items())))
    ra, dec = wcs.wcs_pix2world([[100.4, 80.7]], 0)[0]
    image = scene(SKY, camera, pointing, np.array([[ra, dec, 5000.0]]), ()) - SKY.level
    assert image.sum() == pytest.approx(5000.0, rel=1e-3)
    row, column = center_of_mass(image)
    assert (column, row) == pytest.approx((100.4, 80.7), abs=0.01)


def test_parity_and_rotation_are_in_the_wcs():
    """The CD matrix has the sign of the parity, the camera's scale, and the pointing's angle."""
    for mirrored in (False, True):
        camera = replace(FLAT, mirrored=mirrored)
        cards = wcs_cards(SKY, camera, replace(CENTRE, angle=30.0))
        matrix = np.array([[cards["CD1_1"], cards["CD1_2"]], [cards["CD2_1"], cards["CD2_2"]]])
        assert np.sign(np.linalg.det(matrix)) == (1 if mirrored else -1)
        assert np.sqrt(abs(np.linalg.det(matrix))) == pytest.approx(camera.scale)
        assert np.degrees(np.arctan2(-matrix[1, 0], -matrix[0, 0])) == pytest.approx(30.0)
    assert FLAT.scale * 3600 == pytest.approx(206.265 * FLAT.pixel / FLAT.focal, rel=1e-4)


def test_clouds_hide_stars_and_nebula_alone():
    """A clouded exposure is sky and gradient, nothing else."""
    camera = replace(FLAT, gradient=0.1)
    star, knot = np.array([[83.5, 22.0, 5000.0]]), Knot(83.5, 22.0, 0.05, 40.0)
    clear = scene(SKY, camera, CENTRE, star, (knot,))
    clouded = scene(SKY, camera, replace(CENTRE, clouded=True), star, (knot,))
    assert clear.max() > 300
    assert clouded.min() == pytest.approx(90.0, rel=0.01)
    assert clouded.max() == pytest.approx(110.0, rel=0.01)


def test_nebula_has_its_peak_and_width():
    """A knot adds its peak at its place, and less by exp(-1/2) one width away."""
    width = 20 * FLAT.scale
    image = scene(SKY, FLAT, CENTRE, np.empty((0, 3)), (Knot(83.5, 22.0, width, 40.0),)) - SKY.level
    middle = image[119:121, 159:161].mean()
    assert middle == pytest.approx(40.0, rel=0.01)
    assert image[119:121, 179:181].mean() == pytest.approx(40.0 * np.exp(-0.5), rel=0.02)


@pytest.mark.parametrize("pattern", sorted(BAYER_CELLS))
def test_bayer_mosaic_follows_the_pattern(pattern):
    """Read row by row, the first cell's filters are those that the pattern's name spells."""
    camera = replace(FLAT, bayer=pattern, filters=(0.8, 1.0, 0.6))
    share = filter_mosaic(camera)
    names = {0.8: "R", 1.0: "G", 0.6: "B"}
    assert "".join(names[float(value)] for value in share[:2, :2].ravel()) == pattern
    assert (share[2:4, 2:4] == share[:2, :2]).all()
    assert (filter_mosaic(FLAT) == 1).all()


def test_noise_is_that_of_counting_and_reading():
    """Mean and variance of a flat exposure are those of Poisson and read noise, in ADU."""
    camera = replace(FLAT, electrons=2.0, read_noise=10.0)
    pixels = expose(np.full(camera.shape, 400.0), camera, seed=1, frame=0).astype(float)
    assert pixels.mean() == pytest.approx(400.0, rel=0.002)
    assert pixels.var() == pytest.approx((800.0 + 100.0) / 4.0 + 1 / 12, rel=0.02)


def test_hot_pixels_stay_on_the_sensor_and_pixels_saturate():
    """Hot pixels are the same in every exposure, noise is not, and no value wraps beyond 16 bits."""
    camera = replace(FLAT, hot_pixels=7)
    first, second = (expose(np.full(camera.shape, 100.0), camera, seed=3, frame=k) for k in (0, 1))
    assert (first > 2000).sum() == 7
    assert ((first > 2000) == (second > 2000)).all()
    assert (first != second).any()
    assert expose(np.full(camera.shape, 1e6), camera, seed=3, frame=0).min() == 65535


def test_frame_is_sixteen_bit_fits_with_the_cards_of_a_seestar(tmp_path):
    """A written frame reads back as uint16 with its WCS and instrument cards, and twice written is the same bytes."""
    camera = replace(FLAT, bayer="GRBG", instrument="Seestar S50", mirrored=True)
    pixels = np.arange(240 * 320, dtype=np.uint16).reshape(240, 320)
    for name in ("a.fits", "b é.fits"):
        write_frame(
            tmp_path / name,
            pixels,
            header_cards(SKY, camera, CENTRE, 3, "M 1"),
            wcs_cards(SKY, camera, CENTRE),
        )
    assert (tmp_path / "a.fits").read_bytes() == (tmp_path / "b é.fits").read_bytes()
    with fits.open(tmp_path / "a.fits") as hdus:
        header = hdus[0].header
        assert hdus[0].data.dtype == np.uint16
        assert (hdus[0].data == pixels).all()
    assert header["BZERO"] == 32768
    assert (header["BAYERPAT"], header["INSTRUME"], header["OBJECT"]) == ("GRBG", "Seestar S50", "M 1")
    assert header["DATE-OBS"] == "2025-03-27T01:00:34.500"
    assert (header["CRVAL1"], header["CRVAL2"]) == pytest.approx((83.5, 22.0))
    assert (header["CRPIX1"], header["CRPIX2"]) == (160.5, 120.5)
    assert "DATE" not in header
