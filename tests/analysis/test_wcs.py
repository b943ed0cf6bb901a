"""Test that every outline follows ``astropy``'s reading of a header, whatever mixture of WCS cards it has."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.frame_facts import frame_facts, wcs_cards_of
from fixtures.pipeline import sky as pipeline_sky
from harness.analysis import wcs
from harness.analysis.footprint import FootprintError, outlines, pixel_of, sky_of
from harness.record.request import FrameFacts
from harness.run.inputs import is_celestial
from harness.run.measure import decimated_cards

SHAPE = (80, 100)
ORIGIN = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 30.0, "CRVAL2": 45.0, "CRPIX1": 50.5, "CRPIX2": 40.5}
CDELT = {"CDELT1": -2e-3, "CDELT2": 2e-3}
PC = {"PC1_1": 0.8, "PC1_2": -0.6, "PC2_1": 0.6, "PC2_2": 0.8}
OLD_PC = {"PC001001": 0.8, "PC001002": -0.6, "PC002001": 0.6, "PC002002": 0.8}
CD = {"CD1_1": -1.5e-3, "CD1_2": 4e-4, "CD2_1": 4e-4, "CD2_2": 1.5e-3}
SIP = {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 2e-5, "A_0_2": -1e-5, "B_1_1": 3e-5, "B_2_0": -2e-5}
TPV = {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_1": 1.0, "PV1_4": 2e-2, "PV2_1": 1.0, "PV2_5": -3e-2}


def read_by_astropy(header):
    """Return astropy's WCS of a whole header."""
    with wcs.quiet():
        return WCS(header, naxis=2)


def edge_by_astropy(header):
    """Return the corners of a frame in ICRS by astropy alone."""
    rows, columns = SHAPE
    x = np.array([-0.5, columns - 0.5, columns - 0.5, -0.5])
    y = np.array([-0.5, -0.5, rows - 0.5, rows - 0.5])
    with wcs.quiet():
        return read_by_astropy(header).celestial.pixel_to_world(x, y).icrs


def off_by(header):
    """Return the largest distance of the frame's outline from astropy's corners, in arc seconds."""
    cards = wcs_cards_of(header)
    (edge,) = outlines([FrameFacts("a.fits", "0" * 64, SHAPE, cards)])
    corners = edge_by_astropy(header)
    points = SkyCoord(edge[:, 0], edge[:, 1], unit="deg")
    return max(float(points.separation(corner).arcsec.min()) for corner in corners)


numbers = st.floats(-3e-3, 3e-3).filter(lambda v: abs(v) > 2e-4)
turns = st.floats(-1, 1)


@st.composite
def headers(draw):
    """Return a header with some of the forms in which software states scale, rotation, distortion and system."""
    cards = dict(ORIGIN)
    cards["CRVAL1"], cards["CRVAL2"] = draw(st.floats(0, 359.9)), draw(st.floats(-80, 80))
    forms = draw(st.sets(st.sampled_from(["CD", "PC", "old PC", "CROTA2", "old CD"]), min_size=0, max_size=3))
    cards |= {"CDELT1": draw(numbers), "CDELT2": draw(numbers)}
    if "CD" in forms:
        cards |= {name: draw(numbers) for name in CD}
    if "old CD" in forms:
        cards |= {f"CD00{i}00{j}": draw(numbers) for i in (1, 2) for j in (1, 2)}
    if "PC" in forms:
        cards |= {name: draw(turns) for name in PC}
    if "old PC" in forms:
        cards |= {name: draw(turns) for name in OLD_PC}
    if "CROTA2" in forms:
        cards["CROTA2"] = draw(st.floats(-180, 180))
    distortion = draw(st.sampled_from([{}, {}, SIP, SIP | {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}, TPV]))
    cards |= distortion
    cards |= draw(
        st.sampled_from(
            [
                {},
                {"LONPOLE": 180.0, "LATPOLE": 20.0},
                {"LONPOLE": 150.0},
                {"RADESYS": "FK5", "EQUINOX": 2000.0},
                {"RADECSYS": "FK4", "EQUINOX": 1950.0},
                {"EPOCH": 1950.0},
            ]
        )
    )
    return fits.Header(cards)


@given(header=headers())
@settings(max_examples=150, deadline=None)
def test_outlines_are_astropys_on_random_headers(header):
    """The outline of a frame, from the cards that a record keeps, is where astropy puts it from the whole header."""
    try:
        usable = np.isfinite(read_by_astropy(header).pixel_scale_matrix).all()
        near = np.linalg.cond(read_by_astropy(header).pixel_scale_matrix) < 1e3
    except Exception:  # noqa: BLE001 -- a matrix that astropy refuses is refused here too
        assert not is_celestial(wcs_cards_of(header))
        return
    if usable and near:
        assert off_by(header) < 0.05  # FK5 counts as ICRS


@pytest.mark.parametrize(
    "stale",
    [
        CDELT | PC | CD,
        CDELT | CD | {"CROTA2": 40.0},
        CDELT | PC | {"CROTA2": 40.0},
        CDELT | OLD_PC,
        CDELT | OLD_PC | CD,
    ],
    ids=["CD beside PC", "CROTA2 beside CD", "CROTA2 beside PC", "PC001001", "CD beside PC001001"],
)
def test_stale_cards_beside_others_are_read_as_astropy_reads_them(stale):
    """Of two statements of the scale, the one that astropy and the target prefer counts, and old keywords are kept."""
    header = fits.Header(ORIGIN | stale)
    assert off_by(header) < 1e-6
    other = fits.Header(ORIGIN | CDELT)
    assert off_by(other) < 1e-6
    ours, plain = (sky_of(wcs_cards_of(h), 0.0, 0.0) for h in (header, other))
    assert np.hypot(*np.subtract(ours, plain)) * 3600 > 10  # the rotation is in effect


def test_a_record_keeps_old_keywords(tmp_path):
    """The facts of a frame have the cards of every form, so that a record can be judged without the frame."""
    cards = ORIGIN | CDELT | OLD_PC | {"EPOCH": 1950.0, "RADECSYS": "FK4"}
    path = tmp_path / "old.fits"
    fits.writeto(path, np.ones(SHAPE, np.float32), fits.Header(cards))
    assert dict(frame_facts(path, fits.getheader(path)).wcs) == cards


def test_sip_without_the_suffix_prints_nothing(caplog, capfd):
    """SIP terms without the suffix of CTYPE count, and astropy's 14 lines about them are not printed."""
    wcs._built.cache_clear()
    header = fits.Header(ORIGIN | CD | SIP)
    with caplog.at_level(logging.INFO, logger="astropy"):
        assert is_celestial(wcs_cards_of(header))
        assert pipeline_sky.build(pipeline_sky.sky_cards(header)).has_distortion
        assert off_by(header) < 1e-6
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    with caplog.at_level(logging.INFO, logger="astropy"):
        logging.getLogger("astropy").info("heard")
    assert "heard" in caplog.text


def test_sky_where_the_distortion_has_no_inverse_has_no_pixel():
    """Where astropy's iteration diverges, the answer is NaN, not some pixel."""
    strong = ORIGIN | CD | SIP | {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_2_0": 2e-3, "B_0_2": 2e-3}
    x, y = pixel_of(strong, 30.0, 45.0)
    assert np.hypot(x - 49.5, y - 39.5) < 0.01
    x, y = pixel_of(strong, [30.0, 30.0], [52.0, 38.0])
    back = np.stack(sky_of(strong, x, y))
    wrong = np.isfinite(x) & (np.abs(back[1] - [52.0, 38.0]) > 1e-3)
    assert not wrong.any()
    assert np.isnan(x).any()


def test_sky_without_an_inverse_takes_no_pixel_from_other_sky():
    """Of several places, only those where astropy's iteration diverges are NaN; the others keep their pixels."""
    strong = ORIGIN | CD | SIP | {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_2_0": 2e-3, "B_0_2": 2e-3}
    x, y = pixel_of(strong, [30.0, 30.0, 30.0], [52.0, 45.0, 38.0])
    assert np.isnan(x[[0, 2]]).any()
    assert np.hypot(x[1] - 49.5, y[1] - 39.5) < 0.01


@pytest.mark.parametrize("read", [sky_of, pixel_of], ids=["to the sky", "to pixels"])
def test_a_system_that_astropy_does_not_know_is_named(read):
    """Cards of a system without a transformation to ICRS are refused, with the axes that were found."""
    cards = ORIGIN | CDELT | {"CTYPE1": "XLON-TAN", "CTYPE2": "XLAT-TAN"}
    with pytest.raises(FootprintError, match=r"XLON-TAN, XLAT-TAN.*solve it again"):
        read(cards, np.array([30.0]), np.array([45.0]))


def test_the_reference_pipeline_reads_the_same_cards():
    """The reference imports nothing of the harness, but must know the same cards."""
    assert pipeline_sky._CARD.pattern == wcs.CARD.pattern


@pytest.mark.parametrize(
    "form",
    [CDELT | PC | CD, CDELT | OLD_PC, {f"CD00{n[2]}00{n[4]}": v for n, v in CD.items()}, CDELT | SIP, CDELT | TPV],
    ids=["CD beside PC", "PC001001", "CD001001", "SIP", "TPV"],
)
@pytest.mark.parametrize("step", [2, 5])
def test_a_decimated_grid_keeps_its_sky_in_every_form(form, step):
    """A mask that is decimated lies on the sky of the mosaic, also if the header states its scale twice."""
    cards = ORIGIN | form
    small = decimated_cards(cards, step)
    at = np.arange(6.0)
    here, there = sky_of(small, at, at + 1), sky_of(cards, at * step + (step - 1) / 2, (at + 1) * step + (step - 1) / 2)
    assert np.allclose(here, there, rtol=0, atol=1e-10)


@pytest.mark.parametrize("cards", [ORIGIN, ORIGIN | {"CPDIS1": "LOOKUP"} | CDELT, ORIGIN | {"CDELT1": []}])
def test_cards_that_state_no_scale_or_need_more_are_refused(cards):
    """Cards without a scale, with a distortion in another HDU, or of another type are no celestial WCS."""
    assert not is_celestial(cards)
    with pytest.raises(FootprintError, match="solve"):
        sky_of(cards, 0.0, 0.0)


@pytest.mark.parametrize(
    "system",
    [
        {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN", "CRVAL1": 140.0, "CRVAL2": -20.0},
        {"RADECSYS": "FK4", "EQUINOX": 1950.0},
        {"RADESYS": "FK5", "EQUINOX": 2026.0},
        {"CTYPE1": "ELON-TAN", "CTYPE2": "ELAT-TAN"},
    ],
    ids=["galactic", "B1950", "equinox of date", "ecliptic"],
)
def test_frames_and_mosaics_of_different_systems_are_compared_on_one_sky(system):
    """Outlines are ICRS whatever the header counts in, and come back to the pixels that they were computed from."""
    header = fits.Header(ORIGIN | CDELT | system)
    assert off_by(header) < 1e-4
    cards = wcs_cards_of(header)
    x, y = np.array([0.0, 99.0, 50.0]), np.array([0.0, 79.0, 20.0])
    assert np.allclose(pixel_of(cards, *sky_of(cards, x, y)), (x, y), rtol=0, atol=1e-4)
