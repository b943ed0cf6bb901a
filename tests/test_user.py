"""A user's own frames are read, grouped, and never changed; what is wrong with them is said."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from fixtures import bad, plans
from fixtures.datasets import DatasetError, SyntheticSpec, grid, write_frames
from fixtures.facts import FrameError, is_frame_name, read_header, wcs_cards_of
from fixtures.frames import Camera
from fixtures.sky import Sky
from fixtures.user import frames_of
from harness.inputs import is_celestial
from harness.record import sha256_of

CAMERA = Camera(shape=(60, 80), hot_pixels=2)
SPEC = SyntheticSpec("own", 1, Sky(83.5, 22.0, density=2000.0), CAMERA, grid(CAMERA, 2, 1, 2, overlap=0.2, seed=1))


@pytest.fixture
def own(tmp_path):
    """Return a folder of four good frames in two panels, as a user names them, with other files among them."""
    made = tmp_path / "made"
    made.mkdir()
    write_frames(SPEC, made)
    folder = tmp_path / "Mes poses é"
    folder.mkdir()
    names = ("Light 1.fit", "light_2.FITS", "light_3.fts", "light_4.fits")
    for path, name in zip(sorted(made.iterdir()), names, strict=True):
        path.rename(folder / name)
    (folder / "notes.txt").write_text("clear sky")
    (folder / "._Light 1.fit").write_bytes(b"resource fork")
    (folder / "calibration.fits").mkdir()
    return folder


def test_frames_are_read_and_grouped(own):
    """Every frame counts, whatever the case of its suffix; panels are found on the sky; other files are left out."""
    dataset = frames_of(own)
    assert [f.name for f in dataset.facts.frames] == ["Light 1.fit", "light_2.FITS", "light_3.fts", "light_4.fits"]
    assert [f.panel for f in dataset.facts.frames] == [0, 0, 1, 1]
    assert (dataset.facts.kind, dataset.facts.name, dataset.folder, dataset.truth) == ("user", own.name, own, None)
    assert len(plans.chain(dataset.facts)) == 2


def test_nothing_is_changed(own):
    """Reading leaves every file as it was, and makes none."""
    before = {p.name: (p.stat().st_mtime_ns, p.is_file() and sha256_of(p)) for p in own.iterdir()}
    frames_of(own)
    assert {p.name: (p.stat().st_mtime_ns, p.is_file() and sha256_of(p)) for p in own.iterdir()} == before


def test_compressed_frames_are_read(own):
    """A tile-compressed frame (.fz) has the shape and WCS of the image in it."""
    plain = own / "light_4.fits"
    with fits.open(plain) as hdus:
        fits.CompImageHDU(hdus[0].data, hdus[0].header).writeto(own / "light_4.fits.fz")
    plain.unlink()
    dataset = frames_of(own)
    assert dataset.facts.frames[-1].name == "light_4.fits.fz"
    assert dataset.facts.frames[-1].shape == (60, 80)
    assert [f.panel for f in dataset.facts.frames] == [0, 0, 1, 1]


def test_frames_without_wcs_are_listed(tmp_path):
    """Each frame without celestial WCS is named, with what to do, even when others are good."""
    dataset = bad.build("no_wcs", tmp_path / "raw", spoilt=2)
    with pytest.raises(DatasetError) as caught:
        frames_of(dataset.folder)
    text = str(caught.value)
    assert "found none in 2: light_p0_000.fits; light_p0_001.fits. Plate-solve them" in text
    assert "light_p0_002.fits" not in text


def test_a_long_list_is_cut(own):
    """More than ten bad frames are counted, not listed."""
    for number in range(12):
        fits.PrimaryHDU(np.zeros((5, 5))).writeto(own / f"raw_{number:02d}.fit")
    with pytest.raises(DatasetError, match=r"found none in 12: raw_00.fit; .*raw_09.fit and 2 more. Plate-solve"):
        frames_of(own)


def test_unreadable_frames_are_listed(own, tmp_path):
    """Truncated files, files that are no FITS and FITS without an image are named with what is wrong."""
    torn = bad.build("truncated", tmp_path / "torn", spoilt=1)
    (torn.folder / "light_p0_000.fits").rename(own / "torn.fits")
    (own / "text.fit").write_text("not FITS at all")
    fits.PrimaryHDU().writeto(own / "table.fits")
    with pytest.raises(DatasetError) as caught:
        frames_of(own)
    text = str(caught.value)
    assert "found 3 that are not" in text
    assert "torn.fits: expected" in text
    assert "truncated" in text
    assert "text.fit: expected a FITS file" in text
    assert "table.fits: expected an image of two axes, found none" in text


@pytest.mark.parametrize("make", [True, False])
def test_no_frames_at_all(tmp_path, make):
    """An empty folder and an absent one are errors that say what to name instead."""
    folder = tmp_path / "frames"
    if make:
        folder.mkdir()
    with pytest.raises(DatasetError, match="name the folder that holds them"):
        frames_of(folder)


@pytest.mark.parametrize(
    ("cards", "celestial"),
    [
        (
            {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 1.0, "CRVAL2": 2.0, "CDELT1": -0.1, "CDELT2": 0.1},
            True,
        ),
        ({"CTYPE1": "GLON-CAR", "CTYPE2": "GLAT-CAR", "CRVAL1": 1.0, "CRVAL2": 2.0, "CD1_1": 0.1, "CD2_2": 0.1}, True),
        ({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 1.0, "CRVAL2": 2.0}, False),
        ({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CD1_1": 0.1, "CD2_2": 0.1}, False),
        ({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 1.0, "CRVAL2": 2.0, "CD1_1": 0.0, "CD2_2": 0.0}, False),
        ({"CTYPE1": "LINEAR", "CTYPE2": "LINEAR", "CRVAL1": 1.0, "CRVAL2": 2.0, "CDELT1": 1.0, "CDELT2": 1.0}, False),
        ({"CTYPE1": "RA---TAN", "CTYPE2": "LINEAR", "CRVAL1": 1.0, "CRVAL2": 2.0, "CD1_1": 0.1, "CD2_2": 0.1}, False),
        ({}, False),
    ],
)
def test_what_counts_as_a_celestial_wcs(cards, celestial):
    """Both axes on the sky, a stated origin and a scale that is not zero; anything else is no WCS."""
    assert is_celestial(cards) is celestial


def test_only_wcs_cards_are_kept():
    """Celestial, SIP and PV cards are kept as built-in values; dates, places and other cards are not."""
    header = fits.Header()
    header.update({"CTYPE1": "RA---TAN-SIP", "A_ORDER": 2, "A_1_1": 0.5, "PV2_1": 0.1, "CRPIX1": 3, "NAXIS": 2})
    header.update({"OBJECT": "M 1", "SITELAT": 45.0, "PLTSOLVD": True, "EQUINOX": 2000.0})
    kept = {"CTYPE1": "RA---TAN-SIP", "A_ORDER": 2, "A_1_1": 0.5, "PV2_1": 0.1, "CRPIX1": 3, "EQUINOX": 2000.0}
    assert wcs_cards_of(header) == kept


@pytest.mark.parametrize(
    ("name", "frame"),
    [("a.fit", True), ("A.FIT", True), ("a.Fits.Fz", True), ("a.fz", False), (".a.fit", False), ("fit", False)],
)
def test_frame_names(name, frame):
    """Frames are told by their suffix, in any case; hidden files are none."""
    assert is_frame_name(name) is frame


def test_a_torn_file_still_has_a_header(tmp_path):
    """A truncated frame is an error to read, unless only its header is asked for."""
    torn = bad.build("truncated", tmp_path / "torn", spoilt=1)
    path = torn.folder / "light_p0_000.fits"
    with pytest.raises(FrameError, match="truncated"):
        read_header(path)
    assert read_header(path, whole=False)["NAXIS1"] == 160
