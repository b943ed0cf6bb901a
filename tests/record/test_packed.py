"""No packed FITS image takes more memory than its pixels: parts that unpack to more are refused before they are unpacked."""

import gzip
import struct

import numpy as np
import pytest
from astropy.io import fits

from harness.record.fits_file import require_fits
from harness.record.values import BeyondError
from harness.run.inputs import _contents
from harness.run.measure import MeasureError, open_images
from tests.bounded import bounded

BOMB = gzip.compress(bytes(300_000_000), compresslevel=9)
"""300 MB of zeros in 300 kB."""
MIB = 200
"""The most memory that refusing one takes, with what the process had before."""


def pixels(kind):
    """Return an image of 80 x 100 pixels."""
    noise = np.random.default_rng(1).normal(size=(80, 100))
    wide = (noise * np.logspace(0, 20, 100)).astype(np.float32)  # too wide to be quantized
    return {"f4": noise.astype(np.float32), "f8": noise, "i2": (noise * 100).astype(np.int16), "wide": wide}[kind]


def packed(path, method, kind="f4", tile=(10, 100), **options):
    """Write a packed image."""
    hdu = fits.CompImageHDU(pixels(kind), compression_type=method, tile_shape=tile, **options)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    return path


def with_part(path, part, column="COMPRESSED_DATA", form="P", row=0):
    """Write a packed image again, with other data for one of its parts."""
    with fits.open(path, disable_image_compression=True) as hdus:
        header = hdus[1].header
        parts = {name: [bytes(cell) for cell in hdus[1].data[name]] for name in ("COMPRESSED_DATA",)}
    parts["COMPRESSED_DATA"][row] = part if column == "COMPRESSED_DATA" else b""
    columns = {"COMPRESSED_DATA": parts["COMPRESSED_DATA"]}
    if column != "COMPRESSED_DATA":
        columns[column] = [part if n == row else b"" for n in range(len(parts["COMPRESSED_DATA"]))]
    heap, rows = b"", b""
    for cells in zip(*columns.values(), strict=True):
        for cell in cells:
            rows += struct.pack(">ii" if form == "P" else ">qq", len(cell), len(heap))
            heap += cell
    table = {"NAXIS1": len(rows) // header["NAXIS2"], "PCOUNT": len(heap), "TFIELDS": len(columns)}
    names = {}
    for n, name in enumerate(columns, 1):
        names |= {f"TTYPE{n}": name, f"TFORM{n}": f"1{form}B({len(part)})"}
    new = fits.Header()
    for card in header.cards:
        if not card.keyword.startswith(("TTYPE", "TFORM")):
            new[card.keyword] = card.value
    for name, value in {**table, **names}.items():
        new[name] = value
    data = rows + heap
    empty = fits.Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0)]).tostring()
    path.write_bytes((empty + new.tostring()).encode() + data + bytes(-len(data) % 2880))


def read(path):
    """Read a whole image, as it is measured."""
    with open_images(path) as images:
        plane = images[0][1]
        return float(np.nansum(plane.rows(0, 80)))


GOOD = {
    "gzip": ("GZIP_1", "f8", {"quantize_level": 0}),
    "shuffled gzip": ("GZIP_2", "f4", {"quantize_level": 0}),
    "Rice of integers": ("RICE_1", "i2", {}),
    "Rice, quantized": ("RICE_1", "f4", {}),
    "Rice with a fallback to gzip": ("RICE_1", "wide", {}),
    "H-compress": ("HCOMPRESS_1", "i2", {}),
}


@pytest.mark.parametrize("what", GOOD)
def test_a_packed_image_of_each_method_is_read(tmp_path, what):
    """Each is within the limits, and has its pixels."""
    method, kind, options = GOOD[what]
    path = packed(tmp_path / "m.fits", method, kind, **options)
    require_fits(path)
    assert read(path) == pytest.approx(float(pixels(kind).sum(dtype=float)), rel=1e-4, abs=50.0)


def _bomb(path):
    with_part(packed(path, "GZIP_1", quantize_level=0), BOMB)


def _members(path):
    some = gzip.compress(bytes(30_000))
    with_part(packed(path, "GZIP_1", quantize_level=0), some + bytes(7) + BOMB, row=7)


def _fallback(path):
    with_part(packed(path, "RICE_1", "i2"), BOMB, column="GZIP_COMPRESSED_DATA", row=3)


def _long_descriptors(path):
    with_part(packed(path, "GZIP_2", quantize_level=0), BOMB, form="Q")


def _packed_larger(path):
    with_part(packed(path, "RICE_1", "i2"), bytes(1_000_000))


def _other_truth(path):
    _bomb(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"ZIMAGE  =                    T", b"ZIMAGE  =                    1"))


BEYOND = {
    "a part that unpacks to 300 MB": _bomb,
    "the same with ZIMAGE = 1, which astropy takes for true": _other_truth,
    "a second member that does": _members,
    "a part of the fallback column": _fallback,
    "descriptors of 64 bits": _long_descriptors,
    "a part larger than its pixels": _packed_larger,
}


@pytest.mark.parametrize("what", BEYOND)
def test_a_part_that_is_larger_than_its_pixels_is_refused(tmp_path, what):
    """It is named before anything is unpacked whole, by the function that looks at headers, and by the measurement."""
    path = tmp_path / "m.fits"
    BEYOND[what](path)
    with pytest.raises(BeyondError, match="a packed image with parts of 100 x 10 pixels"):
        require_fits(path)
    answer = bounded(read, path, most=MIB)
    assert answer.error == "MeasureError"
    assert "a packed image with parts of 100 x 10 pixels" in answer.text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ZTILE1  =                  100", "ZTILE1  =            100000000"),
        ("PCOUNT  =", "PCOUNT  =           9000000000 / "),
        ("ZNAXIS1 =                  100", "ZNAXIS1 =                30000"),
    ],
)
def test_more_or_larger_parts_than_an_image_has_are_refused(tmp_path, old, new):
    """A part of 10⁹ pixels, data of 9 GB, and 30,000 x 30,000 pixels in parts of one are named."""
    path = packed(tmp_path / "m.fits", "RICE_1", "i2", tile=(1, 1) if "ZNAXIS" in old else (10, 100))
    content = path.read_bytes()
    content = content.replace(b"ZNAXIS2 =                   80", b"ZNAXIS2 =                30000")
    place = content.index(old.encode())
    path.write_bytes(content[:place] + new.ljust(80).encode() + content[place + 80 :])
    with pytest.raises(BeyondError, match="a packed image with parts"):
        require_fits(path)


@pytest.mark.parametrize("method", ["RICE_1", "GZIP_1", "HCOMPRESS_1"])
def test_damaged_parts_are_an_error_of_the_measurement(tmp_path, method):
    """What the library raises for them is ours, whatever its class."""
    path = packed(tmp_path / "m.fits", method, "i2")
    with_part(
        path, {"RICE_1": b"\xff", "GZIP_1": b"\x1f\x8b" + bytes(40), "HCOMPRESS_1": b"\xdd\x99" + b"\x01" * 40}[method]
    )
    with pytest.raises(MeasureError, match="expected"):
        read(path)


def test_a_frame_of_packed_parts_is_looked_at_before_it_is_read(tmp_path):
    """The check of a user's frames names a part that unpacks to 300 MB, and a gzip file, and opens neither with a library."""
    path = tmp_path / "light.fits.fz"
    _bomb(path)
    (message,) = _contents(path)
    assert "a packed image with parts of 100 x 10 pixels" in str(message)
    other = tmp_path / "light.fits.gz"
    other.write_bytes(BOMB)
    (message,) = _contents(other)
    assert "does not begin with SIMPLE: unpack it" in str(message)
