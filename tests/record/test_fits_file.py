"""No FITS file makes a reader wait or take memory without bound: its headers are looked at before a library reads it."""

import gzip

import numpy as np
import pytest
from astropy.io import fits

from fixtures.frame_facts import FrameError, hull_of, read_header
from harness.record import limits
from harness.record.fits_file import require_fits
from harness.record.values import BeyondError, RecordError
from harness.run.measure import MeasureError, open_images
from tests.bounded import bounded
from tests.record.test_bounds import KINDS


def _header(*cards, end=True):
    data = "".join(
        f"{card:<80}" for card in ("SIMPLE  =                    T", "BITPIX  =                  -32", *cards)
    )
    data += f"{'END':<80}" if end else ""
    return (data + " " * (-len(data) % 2880)).encode()


def _axes(*lengths):
    return (f"NAXIS   = {len(lengths):20d}", *(f"NAXIS{n} = {length:20d}" for n, length in enumerate(lengths, 1)))


def _large_headers():
    more = ("XTENSION= 'IMAGE   '", "BITPIX  =                    8", "NAXIS   =                    0")
    cards = (*more, *(f"K{n:07d}= {n:20d}" for n in range(15_000)), "END")
    data = "".join(f"{card:<80}" for card in cards)
    return _header("NAXIS   =                    0") + (data + " " * (-len(data) % 2880)).encode() * 3


def _many_hdus():
    more = "".join(
        f"{card:<80}" for card in ("XTENSION= 'IMAGE   '", "BITPIX  =                    8", "NAXIS   =   0", "END")
    )
    return _header("NAXIS   =                    0") + (more + " " * (-len(more) % 2880)).encode() * 1_500


FILES = {
    "999 axes": (lambda: _header("NAXIS   =                  999"), "found NAXIS = 999"),
    "a billion axes": (lambda: _header("NAXIS   =           1000000000"), "found NAXIS = 1000000000"),
    "a billion axes, badly written": (lambda: _header("NAXIS=1000000000"), "found NAXIS = 1000000000"),
    "a row of a billion pixels": (lambda: _header(*_axes(10**9, 2)), "an image of 1000000000 x 2 pixels"),
    "too many pixels": (lambda: _header(*_axes(32_000, 32_000)), "an image of 32000 x 32000 pixels"),
    "too many channels": (lambda: _header(*_axes(10_000, 10_000, 10_000)), "an image of 10000 x 10000 x 10000"),
    "a negative axis": (lambda: _header(*_axes(100, -2880)), "found a negative one"),
    "a header without an end": (lambda: _header(end=False) + b" " * 2880 * 1_200, "headers of more than 1000 blocks"),
    "large headers": (_large_headers, "headers of more than 1000 blocks"),
    "headers without an end": (_many_hdus, "more than 1000 headers"),
    "a long row behind zeros": (
        lambda: _header("NAXIS   =                    2", f"NAXIS1  = {10**8:031d}", "NAXIS2  =                    4"),
        "expected a whole number as NAXIS1",
    ),
    "a long row in small letters": (
        lambda: _header(
            "NAXIS   =                    2", "naxis1  =            100000000", "NAXIS2  =                    4"
        ),
        "expected NAXIS1 once, in capital letters",
    ),
    "a long row by another convention": (
        lambda: _header(
            "NAXIS   =                    2", "HIERARCH NAXIS1 = 100000000", "NAXIS2  =                    4"
        ),
        "expected NAXIS1 once, in capital letters",
    ),
    "two lengths of a row": (
        lambda: _header(*_axes(4, 4), "NAXIS1  =            100000000"),
        "expected NAXIS1 once, in capital letters",
    ),
    "a length with an exponent": (
        lambda: _header(
            "NAXIS   =                    2", "NAXIS1  =                  1E8", "NAXIS2  =                    4"
        ),
        "expected a whole number as NAXIS1",
    ),
    "a compressed file": (lambda: gzip.compress(bytes(10**6)), "does not begin with SIMPLE"),
    "a packed image of many pixels": (
        lambda: (
            _header("NAXIS   =                    0")
            + _header(
                *_axes(8, 1),
                "XTENSION= 'BINTABLE'",
                "ZIMAGE  =                    T",
                "ZNAXIS  = 2",
                "ZNAXIS1 = 900000",
                "ZNAXIS2 = 900000",
            )
        ),
        "an image of 900000 x 900000 pixels",
    ),
}


def _required(path):
    require_fits(path)


def _measured(path):
    with open_images(path) as images:
        return len(images)


def _frame(path):
    return hull_of(path), read_header(path)


@pytest.mark.parametrize("what", FILES)
def test_a_file_beyond_the_limits_is_refused(tmp_path, what):
    """What the file declares is named, by the function that all readers of FITS call first, and by these readers."""
    make, message = FILES[what]
    path = tmp_path / "m.fits"
    path.write_bytes(make())
    answer = bounded(_required, path, most=400)
    assert answer.error in ("BeyondError", "RecordError")
    assert message in answer.text
    measured = bounded(_measured, path, most=400)
    assert (measured.error, message in measured.text) == ("MeasureError", True)
    frame = bounded(_frame, path, most=400)
    assert (frame.error, message in frame.text) == ("FrameError", True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mosaic_or_frame_that_is_no_file_is_refused(tmp_path, kind):
    """A pipe, socket, device or endless file in place of a mosaic or a frame makes nothing wait."""
    path = tmp_path / "m.fits"
    make, message = KINDS[kind]
    make(path)
    message = message.replace("a link", "a device")  # frames may be links: what it leads to is named
    for function, error in ((_measured, "MeasureError"), (_frame, "FrameError")):
        answer = bounded(function, path, most=400)
        assert answer.error == error
        assert message in answer.text or "found a link" in answer.text


def test_a_header_of_a_terabyte_is_read_to_its_limit(tmp_path):
    """A file of holes that begins as FITS has no end of its header: 1,000 blocks of it are read, or none."""
    path = tmp_path / "m.fits"
    with path.open("wb") as stream:
        stream.write(_header(end=False))
        stream.truncate(10 * 10**9)
    answer = bounded(_required, path, most=400)
    assert answer.error == "BeyondError"
    assert "is written" in answer.text or "headers of more than" in answer.text


@pytest.mark.parametrize("shape", [(80, 100), (3, 80, 100), (80, 100, 3)])
def test_an_ordinary_image_is_read(tmp_path, shape):
    """An image as a camera or ZeMosaic writes it is within the limits, also with a second image and a table after it."""
    path = tmp_path / "m.fits"
    table = fits.BinTableHDU.from_columns([fits.Column("NAME", "20A", array=["a"] * 100_000)])
    fits.HDUList([fits.PrimaryHDU(np.ones(shape, np.float32)), fits.ImageHDU(np.ones((80, 100))), table]).writeto(path)
    require_fits(path)
    assert bounded(_measured, path).value == 2
    assert bounded(_frame, path).error == ""


def test_a_packed_image_is_read(tmp_path):
    """An image that fpack packed is within the limits."""
    path = tmp_path / "m.fits"
    packed = fits.CompImageHDU(np.arange(8_000, dtype=np.int16).reshape(80, 100))
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(path)
    require_fits(path)
    assert bounded(_measured, path).value == 1


def test_the_largest_camera_is_within_the_limits(tmp_path):
    """A frame of 151 million pixels, of which only the header is here, passes; a mosaic as large as the limit too."""
    path = tmp_path / "m.fits"
    path.write_bytes(_header(*_axes(14_208, 10_656)))
    require_fits(path, pixels=limits.FRAME_PIXELS)
    path.write_bytes(_header(*_axes(31_000, 31_000, 3)))
    require_fits(path)
    with pytest.raises(BeyondError, match="31000 x 31000"):
        require_fits(path, pixels=limits.FRAME_PIXELS)


def test_cards_that_state_no_size_may_be_in_any_form(tmp_path):
    """Two comments, a keyword of ESO and small letters elsewhere are no reason to refuse a file."""
    path = tmp_path / "m.fits"
    others = (
        "HIERARCH ESO DET NAXIS1 = 3",
        "object  = 'a'",
        "OBJECT  = 'b'",
        "COMMENT NAXIS1 = 7",
        "COMMENT NAXIS1 = 8",
    )
    path.write_bytes(_header(*_axes(4, 4), *others) + bytes(2880))
    assert require_fits(path) == 2880


def test_the_outline_of_a_large_frame_is_found_in_strips(tmp_path):
    """A scaled frame of 7,000 x 7,000 pixels in four colours, nearly all holes, would take 1.4 GB of memory at once."""
    path = tmp_path / "m.fits"
    cards = (
        "SIMPLE  =                    T",
        "BITPIX  =                    8",
        *_axes(7_000, 7_000, 4),
        "BSCALE  = 2.0",
        "BZERO   = 1.0",
    )
    data = "".join(f"{card:<80}" for card in (*cards, "END"))
    with path.open("wb") as stream:
        stream.write((data + " " * (-len(data) % 2880)).encode())
        stream.truncate(stream.tell() + 7_000 * 7_000 * 4 + 2880)
    answer = bounded(hull_of, path, most=400, seconds=30)
    assert (answer.value, answer.error) == (None, "")  # data in all pixels: the outline is the frame's


@pytest.mark.parametrize("shape", [(2_600, 1_700), (3, 1_500, 1_000), (1_500, 1_000, 3)])
def test_the_outline_is_that_of_all_strips(tmp_path, shape):
    """Frames of more pixels than one strip, with data inside a rhombus only: its corners are found in every order of axes."""
    rows, columns = shape[1:] if shape[0] == 3 else shape[:2]
    y, x = np.mgrid[:rows, :columns]
    inside = np.abs(y / (rows - 1) - 0.5) + np.abs(x / (columns - 1) - 0.5) <= 0.4
    pixels = np.broadcast_to(inside[..., None] if shape[-1] == 3 else inside, shape).astype(np.float32)
    fits.PrimaryHDU(pixels).writeto(tmp_path / "m.fits")
    hull = np.array(hull_of(tmp_path / "m.fits"))
    low, high = hull.min(axis=0), hull.max(axis=0)
    at = np.argwhere(inside)
    assert np.allclose(low, at.min(axis=0)[::-1] - 0.5)
    assert np.allclose(high, at.max(axis=0)[::-1] + 0.5)


def test_measuring_has_a_limit_of_time(tmp_path, monkeypatch):
    """An image that takes too long is not measured to its end."""
    path = tmp_path / "m.fits"
    fits.PrimaryHDU(np.ones((80, 100), np.float32)).writeto(path)
    monkeypatch.setattr(limits, "MEASURE_SECONDS", -1.0)
    with open_images(path) as images, pytest.raises(MeasureError, match="found it takes longer"):
        images[0][1].rows(0, 1)


def test_a_frame_may_be_a_link(tmp_path):
    """A user's folder may have links to frames; a record's outputs may not."""
    fits.PrimaryHDU(np.ones((80, 100), np.float32)).writeto(tmp_path / "real.fits")
    (tmp_path / "link.fits").symlink_to(tmp_path / "real.fits")
    assert read_header(tmp_path / "link.fits")["NAXIS1"] == 100
    with pytest.raises(RecordError, match="found a link"):
        require_fits(tmp_path / "link.fits")
    with pytest.raises(FrameError):
        read_header(tmp_path / "none.fits")
