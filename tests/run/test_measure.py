"""Measuring coverage, depth, stars and tiles, on files as each version of a target writes them."""

import hashlib
import json
import os

import numpy as np
import pytest
from astropy import wcs as astropy_wcs
from astropy.io import fits
from PIL import Image

from harness.analysis.footprint import pixel_of, sky_of
from harness.analysis.made import Origin
from harness.record import limits
from harness.record.products import read_products
from harness.run import measure as module
from harness.run import star_finder
from harness.run.measure import MeasureError, data_suffix_of, decimated_cards, measure
from tests.golden_records import decimate_products
from tests.requests_ import WCS, a_request

SHAPE = (80, 100)


@pytest.fixture
def folder(tmp_path):
    """Return a record's folder with an empty output folder, in a path with a space and an accent."""
    made = tmp_path / "un essai raté"
    (made / "outputs").mkdir(parents=True)
    return made


def sky(shape=SHAPE, seed=1):
    """Return a noisy sky of mean 100, float32."""
    return np.random.default_rng(seed).normal(100, 2, shape).astype(np.float32)


def write(path, pixels, cards=WCS, **others):
    """Write a FITS file: an image with WCS cards, and other images by name. ``name="RGB"`` names the first."""
    header = fits.Header(list(cards.items()))
    if "first" in others:
        header["EXTNAME"] = others.pop("first")
    hdus = [fits.PrimaryHDU(pixels, header), *(fits.ImageHDU(data, name=name) for name, data in others.items())]
    fits.HDUList(hdus).writeto(path, overwrite=True)


def older(folder, covered, depth, name="zemosaic_MT4_R48"):
    """Write a mosaic as older versions do: channels first, zero outside, alpha, and the coverage in a file of its own."""
    pixels = np.where(covered, np.stack([sky(covered.shape, n) for n in range(3)]), np.float32(0))
    outputs = folder / "outputs"
    write(outputs / f"{name}.fits", pixels, first="RGB", ALPHA=np.where(covered, 255, 0).astype(np.uint8))
    write(outputs / f"{name}_coverage.fits", depth.astype(np.float32))


def holed(shape=SHAPE):
    """Return a mask with a border and a hole in it, and a depth of two tiles that overlap."""
    covered = np.zeros(shape, bool)
    covered[5:-5, 5:-5] = True
    covered[40:52, 60:75] = False
    depth = covered.astype(np.float32)
    depth[:, shape[1] // 2 :] *= 2
    return covered, depth


def test_an_older_mosaic(folder):
    """Zero outside: coverage and alpha define what is covered; grid, depth and paths are those of the file."""
    covered, depth = holed()
    older(folder, covered, depth)
    measure(folder, a_request())
    products = read_products(folder)
    assert products.mosaic == "outputs/zemosaic_MT4_R48.fits"
    assert np.array_equal(products.covered, covered)
    assert np.array_equal(products.depth, depth)
    assert products.depth.dtype == np.float32
    assert (products.step, dict(products.wcs)) == (1, WCS)
    assert products.tiles == ()


def test_a_newer_mosaic(folder):
    """Of two products the scientific one is measured, NaN outside; the aesthetic one, which fills holes, is ignored."""
    covered, _ = holed()
    outputs = folder / "outputs"
    pixels = np.where(covered, np.stack([sky()] * 3), np.float32(np.nan))
    write(outputs / "zemosaic_MT5_R48_science.fits", pixels, ALPHA=np.full(SHAPE, 255, np.uint8))
    write(outputs / "zemosaic_MT5_R48_aesthetic.fits", np.stack([sky()] * 3), ALPHA=np.full(SHAPE, 255, np.uint8))
    write(outputs / "zemosaic_MT5_R48_viewer.fits", np.full((3, *SHAPE), 7, np.uint8))
    write(outputs / "zemosaic_MT5_R48_coverage.fits", np.ones(SHAPE, np.float32))
    write(outputs / "global_mosaic_wcs.fits", None)
    measure(folder, a_request())
    products = read_products(folder)
    assert products.mosaic == "outputs/zemosaic_MT5_R48_science.fits"
    assert np.array_equal(products.covered, covered)


def test_the_users_own_name_for_the_data_product(folder):
    """A configuration may give the scientific product another name."""
    write(folder / "outputs/zemosaic_MT5_R48_data.fits", np.stack([sky()] * 3))
    measure(folder, a_request(config={"scientific_fits_suffix": "_data"}))
    assert read_products(folder).mosaic == "outputs/zemosaic_MT5_R48_data.fits"


def test_a_grid_mosaic(folder):
    """Grid mode's mosaic counts in grid mode only: mono or colour, weights with channels last, tiles by number."""
    covered, depth = holed()
    older(folder, np.ones(SHAPE, bool), depth)
    outputs = folder / "outputs"
    pixels = np.where(covered, sky(), np.float32(np.nan))
    write(outputs / "mosaic_grid.fits", pixels, WEIGHT=np.ones((*SHAPE, 3), np.float32))
    write(outputs / "mosaic_grid_coverage.fits", depth)
    (outputs / "tiles").mkdir()
    write(outputs / "tiles/tile_0003.fits", sky())
    measure(folder, a_request(mode="grid"))
    products = read_products(folder)
    assert products.mosaic == "outputs/mosaic_grid.fits"
    assert np.array_equal(products.covered, covered)
    assert [(t.path, t.tile, t.frames) for t in products.tiles] == [("outputs/tiles/tile_0003.fits", 3, None)]
    measure(folder, a_request())
    assert read_products(folder).mosaic == "outputs/zemosaic_MT4_R48.fits"


def test_a_mosaic_in_colour_with_its_channels_last(folder):
    """Pixels are the same with channels first or last."""
    covered, depth = holed()
    pixels = np.where(covered, np.stack([sky(), sky(), sky()]), np.float32(np.nan))
    for axis in (0, -1):
        write(folder / "outputs/mosaic_grid.fits", np.moveaxis(pixels, 0, axis).copy())
        write(folder / "outputs/mosaic_grid_coverage.fits", depth)
        measure(folder, a_request(mode="grid"))
        assert np.array_equal(read_products(folder).covered, covered)


def test_the_newest_of_several_mosaics_is_meant(folder):
    """Of several mosaics the last one written is measured."""
    covered, depth = holed()
    for age, name in enumerate(("zemosaic_MT3_R30", "zemosaic_MT4_R48", "zemosaic_MT1_R12")):
        older(folder, covered, depth, name)
        os.utime(folder / f"outputs/{name}.fits", ns=(0, (age % 2) * 10**9))
    measure(folder, a_request())
    assert read_products(folder).mosaic == "outputs/zemosaic_MT4_R48.fits"


@pytest.mark.parametrize("alpha", [True, False])
def test_a_mosaic_without_a_coverage_map(folder, alpha):
    """The depth is then unknown and stored as NaN; alpha, or else a signal, defines what is covered."""
    covered, _ = holed()
    pixels = np.where(covered, sky(), np.float32(0))
    others = {"ALPHA": np.where(covered, 1, 0).astype(np.uint8)} if alpha else {}
    write(folder / "outputs/zemosaic_MT2_R9.fits", pixels, **others)
    measure(folder, a_request())
    products = read_products(folder)
    assert np.array_equal(products.covered, covered)
    assert np.isnan(products.depth).all()


def test_alpha_and_coverage_must_both_agree(folder):
    """A pixel is covered only if both coverage and alpha say so; NaN coverage is no coverage."""
    depth, alpha = np.ones(SHAPE, np.float32), np.full(SHAPE, 255, np.uint8)
    depth[10, 10], depth[20, 20], alpha[30, 30] = 0, np.nan, 0
    write(folder / "outputs/zemosaic_MT2_R9.fits", np.stack([sky()] * 3), ALPHA=alpha)
    write(folder / "outputs/zemosaic_MT2_R9_coverage.fits", depth)
    measure(folder, a_request())
    products = read_products(folder)
    assert [tuple(map(int, at)) for at in np.argwhere(~products.covered)] == [(10, 10), (20, 20), (30, 30)]
    assert products.depth[20, 20] == 0


def test_tiles_say_what_their_headers_say(folder):
    """Tiles in any folder have id, counts and reference; an unreadable tile is listed with unknown counts."""
    tiles = folder / "outputs/zemosaic_temp_master_tiles"
    tiles.mkdir()
    write(
        tiles / "master_tile_002.fits",
        sky((4, 5)),
        {"ZMT_ID": 2, "ZMT_NRAW": 24, "HIERARCH ZMT_NALGN": 18, "ZMT_REF": "f0.fits"},
    )
    write(tiles / "master_tile_000.fits", sky((4, 5)), {"ZMT_ID": 7, "ZMT_NRAW": "many", "ZMT_REF": 3})
    (tiles / "master_tile_005.fits").write_bytes(b"no FITS at all")
    (tiles / "master_tile_last.fits").write_bytes(b"without a number")
    measure(folder, a_request())
    found = {(t.path.rpartition("/")[2], t.tile, t.frames, t.aligned, t.reference) for t in read_products(folder).tiles}
    assert found == {
        ("master_tile_000.fits", 7, None, None, None),
        ("master_tile_002.fits", 2, 24, 18, "f0.fits"),
        ("master_tile_005.fits", 5, None, None, None),
    }


def _tiles(folder, count, cards):
    tiles = folder / "outputs/zemosaic_temp_master_tiles"
    tiles.mkdir()
    for number in range(count):
        write(tiles / f"master_tile_{number:03d}.fits", sky((4, 5)), cards)
    return tiles


def test_a_text_of_a_tile_without_bounds_is_not_kept(folder):
    """CONTINUE cards make a text of any length; the products keep none that is longer than a path can be."""
    _tiles(folder, 1, {"ZMT_REF": "x" * 9_000, "ZMT_NORM": "y" * 9_000, "ZMT_COMB": "mean"})
    measure(folder, a_request())
    (tile,) = read_products(folder).tiles
    assert (tile.reference, dict(tile.settings)) == (None, {"stacking_final_combine_method": "mean"})


def test_a_hard_link_is_no_tile_and_no_mosaic(folder, tmp_path):
    """It may show a file that the run did not make."""
    tiles = _tiles(folder, 2, {"ZMT_NRAW": 3})
    os.link(tiles / "master_tile_001.fits", tmp_path / "elsewhere.fits")
    write(tmp_path / "mosaic.fits", sky())
    os.link(tmp_path / "mosaic.fits", folder / "outputs/zemosaic_MT2_R9.fits")
    measure(folder, a_request())
    products = read_products(folder)
    assert ([tile.tile for tile in products.tiles], products.mosaic) == ([0], None)


@pytest.mark.parametrize(
    ("limit", "value", "found"),
    [
        ("TILES", 2, "at most 2 tiles in outputs, found 3"),
        ("TILE_HEADERS_BYTES", 2 * 2880, "in the headers of the tiles, found more"),
        ("MEASURE_SECONDS", -1.0, "found it takes longer"),
        ("ARRAYS", 2, "found 4 and"),
        ("ARCHIVE_BYTES", -1, "expected products of at most 1000 arrays and"),
        ("JSON_BYTES", 100, "products.json"),
        ("JSON_MEMORY", 100, "products.json"),
    ],
)
def test_products_beyond_the_limits_are_not_measured(folder, monkeypatch, limit, value, found):
    """No record is sealed with products that no reader takes, and no number of tiles makes the end of a run wait."""
    _tiles(folder, 3, {"ZMT_NRAW": 3})
    monkeypatch.setattr(limits, limit, value)
    with pytest.raises(MeasureError) as refused:
        measure(folder, a_request())
    assert found in str(refused.value)
    assert not (folder / "products.json").exists()
    monkeypatch.undo()
    measure(folder, a_request())
    assert len(read_products(folder).tiles) == 3


@pytest.mark.parametrize("left", [(), ("zemosaic_MT4_R48_coverage", "zemosaic_MT4_R48_aesthetic", "global_mosaic_wcs")])
def test_a_run_without_a_mosaic_has_products_too(folder, left):
    """The products are then empty masks without stars or thumbnail; display products and helper files are not mosaics."""
    for name in left:
        write(folder / f"outputs/{name}.fits", sky())
    measure(folder, a_request())
    products = read_products(folder)
    assert (products.mosaic, products.thumbnail, products.covered.shape) == (None, None, (0, 0))
    assert (products.depth.shape, products.stars.shape, dict(products.wcs)) == ((0, 0), (0, 3), {})
    assert not (folder / "thumbnail.png").exists()


def test_a_run_without_an_output_folder_has_products_too(tmp_path):
    """A target without an output folder has empty products."""
    measure(tmp_path, a_request())
    assert read_products(tmp_path).mosaic is None


def test_a_large_mosaic_is_decimated_and_hides_no_hole(folder, monkeypatch):
    """Above the limit an element is covered only if all its pixels are, with their minimum depth, partial elements too."""
    monkeypatch.setattr(module, "MASK_PIXELS", 1000)
    monkeypatch.setattr(star_finder, "_STRIP_PIXELS", 700)
    covered, depth = holed()
    covered[20, 20] = False
    depth[33, 33] = 0.5
    older(folder, covered, depth * covered)
    measure(folder, a_request())
    products = read_products(folder)
    assert products.step == 3
    assert products.covered.shape == (27, 34)
    for i, j in np.ndindex(27, 34):
        block = np.s_[3 * i : 3 * i + 3, 3 * j : 3 * j + 3]
        assert products.covered[i, j] == covered[block].all()
        assert products.depth[i, j] == (depth * covered)[block].min()


def test_each_image_has_a_digest_and_statistics_by_blocks(folder, monkeypatch):
    """Mosaic, alpha and coverage, in the order of the files: stored bytes are digested and each block is counted, by strips."""
    monkeypatch.setattr(star_finder, "_STRIP_PIXELS", 3300)
    covered, depth = holed()
    older(folder, covered, depth)
    path = folder / "outputs/zemosaic_MT4_R48.fits"
    with fits.open(path, mode="update") as hdus:
        hdus[0].data[1, 70, 99] = np.nan
    measure(folder, a_request())
    planes = read_products(folder).planes
    assert [(p.name, p.file, p.shape, p.bitpix) for p in planes] == [
        ("RGB", "outputs/zemosaic_MT4_R48.fits", (3, *SHAPE), -32),
        ("ALPHA", "outputs/zemosaic_MT4_R48.fits", SHAPE, 8),
        ("PRIMARY", "outputs/zemosaic_MT4_R48_coverage.fits", SHAPE, -32),
    ]
    pixels = fits.getdata(path)
    assert planes[0].sha256 == hashlib.sha256(pixels.astype(">f4").tobytes()).hexdigest()
    for channel, i, j in np.ndindex(planes[0].count.shape):
        block = pixels[channel, 32 * i : 32 * i + 32, 32 * j : 32 * j + 32].astype(np.float64)
        assert planes[0].count[channel, i, j] == np.isfinite(block).sum()
        assert planes[0].sum[channel, i, j] == pytest.approx(np.nansum(block), rel=1e-12)
        assert (planes[0].low[channel, i, j], planes[0].high[channel, i, j]) == (np.nanmin(block), np.nanmax(block))
    assert planes[0].count.shape == (3, 3, 4)


def test_a_difference_of_one_pixel_shows(folder):
    """One pixel that differs in its last bit changes the digest, and the sum of its block only."""
    found = []
    pixels = np.stack([sky(seed=n) for n in range(3)])
    for value in (pixels[2, 40, 50], np.nextafter(pixels[2, 40, 50], np.float32(0))):
        pixels[2, 40, 50] = value
        write(folder / "outputs/mosaic_grid.fits", np.moveaxis(pixels, 0, -1).copy(), WEIGHT=np.ones(SHAPE))
        measure(folder, a_request(mode="grid"))
        found.append(read_products(folder).planes)
    assert found[0][0].sha256 != found[1][0].sha256
    assert np.argwhere(found[0][0].sum != found[1][0].sum).tolist() == [[2, 1, 1]]
    assert found[0][1].sha256 == found[1][1].sha256
    assert (found[0][1].bitpix, found[0][1].low.dtype) == (-64, np.float64)


def test_a_block_without_a_finite_value(folder):
    """Its count and sum are 0, and it has no minimum and no maximum."""
    pixels = sky()
    pixels[32:64, 64:96] = np.nan
    write(folder / "outputs/zemosaic_MT2_R9.fits", pixels)
    measure(folder, a_request())
    (plane,) = read_products(folder).planes
    assert (plane.count[0, 1, 2], plane.sum[0, 1, 2]) == (0, 0)
    assert np.isnan([plane.low[0, 1, 2], plane.high[0, 1, 2]]).all()
    assert np.isfinite(plane.low).sum() == 11


def test_a_compressed_image_is_digested_by_its_values(folder):
    """A compressed mosaic has digests and statistics too."""
    primary = fits.PrimaryHDU()
    image = fits.CompImageHDU(
        sky(), fits.Header(list(WCS.items())), compression_type="GZIP_2", name="RGB", quantize_level=0
    )
    fits.HDUList([primary, image]).writeto(folder / "outputs/zemosaic_MT2_R9.fits")
    measure(folder, a_request())
    (plane,) = read_products(folder).planes
    assert plane.sha256 == hashlib.sha256(sky().astype(np.float64).tobytes()).hexdigest()


@pytest.mark.parametrize("fill", ["a value", "zero", "rounded", "rows repeated", "columns repeated", "one channel"])
def test_constant_areas_are_what_filling_leaves(folder, fill, monkeypatch):
    """A value, zeros, an interpolated constant, a repeated edge are constant where covered; one channel is not enough."""
    monkeypatch.setattr(star_finder, "_STRIP_PIXELS", 700)
    pixels = np.stack([sky(seed=n) for n in range(3)])
    area = np.s_[:, 20:45, 60:90]
    match fill:
        case "a value":
            pixels[area] = 100
        case "zero":
            pixels[area] = 0
        case "rounded":
            pixels[area] = 100 * (1 + np.random.default_rng(3).integers(-2, 3, pixels[area].shape) * np.float32(1.2e-7))
        case "rows repeated":
            pixels[area] = pixels[:, 20:21, 60:90]
        case "columns repeated":
            pixels[area] = pixels[:, 20:45, 60:61]
        case _:
            pixels[1, 20:45, 60:90] = 0
    depth = np.ones(SHAPE, np.float32)
    depth[:, 85:] = 0
    write(folder / "outputs/zemosaic_MT2_R9.fits", pixels)
    write(folder / "outputs/zemosaic_MT2_R9_coverage.fits", depth)
    measure(folder, a_request())
    expected = np.zeros(SHAPE, bool)
    if fill != "one channel":
        expected[20:45, 60:85] = True
    assert np.array_equal(read_products(folder).constant, expected)


def test_noisy_sky_is_nowhere_constant(folder):
    """Noise, the edges of the coverage and a missing channel are not constant."""
    covered, depth = holed()
    older(folder, covered, depth)
    measure(folder, a_request())
    assert not read_products(folder).constant.any()


def test_a_decimated_element_is_constant_only_if_all_its_pixels_are(folder):
    """Decimation keeps the mask, the digests and the statistics."""
    pixels = sky()
    pixels[20:45, 60:90] = 7
    write(folder / "outputs/zemosaic_MT2_R9.fits", pixels)
    measure(folder, a_request())
    before = read_products(folder)
    decimate_products(folder, 4)
    after = read_products(folder)
    assert np.argwhere(after.constant).min(axis=0).tolist() == [5, 15]
    assert np.argwhere(after.constant).max(axis=0).tolist() == [10, 21]
    assert [p.sha256 for p in after.planes] == [p.sha256 for p in before.planes]
    assert np.array_equal(after.planes[0].sum, before.planes[0].sum)


FORMS = {
    "CD": WCS,
    "CDELT and PC": {k: v for k, v in WCS.items() if not k.startswith("CD")}
    | {"CDELT1": -1e-3, "CDELT2": 2e-3, "PC1_1": 0.8, "PC1_2": 0.6, "PC2_1": -0.6, "PC2_2": 0.8},
    "PC alone": {k: v for k, v in WCS.items() if not k.startswith("CD")} | {"PC1_1": -1e-3, "PC2_2": 1e-3},
    "SIP": WCS
    | {
        "CTYPE1": "RA---TAN-SIP",
        "CTYPE2": "DEC--TAN-SIP",
        "A_ORDER": 2,
        "B_ORDER": 2,
        "A_2_0": 1e-4,
        "B_1_1": -2e-4,
        "A_0_1": 1e-2,
    },
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("step", [1, 2, 7])
def test_decimated_cards_keep_the_sky(form, step):
    """By astropy, the centre of each block has the same sky on the decimated grid as on the mosaic's."""
    cards = FORMS[form]
    small = decimated_cards(cards, step)
    at = np.array([[0.0, 0], [3, 5], [9, 2], [14, 14]])
    blocks = astropy_wcs.WCS(fits.Header(small)).all_pix2world(at, 0)
    pixels = astropy_wcs.WCS(fits.Header(dict(cards))).all_pix2world(at * step + (step - 1) / 2, 0)
    assert np.allclose(blocks, pixels, rtol=0, atol=1e-10)


def stars_on(shape, positions, fluxes, fwhm=3.2):
    """Return an image of Gaussian stars at (x, y)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    sigma = fwhm / 2.3548
    image = np.zeros(shape)
    for (at_x, at_y), flux in zip(positions, fluxes, strict=True):
        near = np.s_[max(0, int(at_y) - 20) : int(at_y) + 21, max(0, int(at_x) - 20) : int(at_x) + 21]
        r2 = (x[near] - at_x) ** 2 + (y[near] - at_y) ** 2
        image[near] += flux * np.exp(-r2 / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    return image


@pytest.fixture
def field():
    """Return a gradient with noise and 60 well separated stars: image, positions and fluxes."""
    rng = np.random.default_rng(3)
    shape = (300, 400)
    grid = np.array([(x, y) for x in range(30, 380, 36) for y in range(30, 280, 38)], dtype=float)
    positions = grid[rng.permutation(len(grid))[:60]] + rng.uniform(-5, 5, (60, 2))
    fluxes = rng.uniform(3000, 30000, 60)
    y, x = np.mgrid[:300, :400]
    image = 200 + 0.2 * x + 0.1 * y + rng.normal(0, 3, shape) + stars_on(shape, positions, fluxes)
    return image.astype(np.float32), positions, fluxes


@pytest.mark.parametrize("strip", [1 << 22, 400 * 90])
def test_stars_are_where_and_as_bright_as_they_are(folder, field, monkeypatch, strip):
    """Every star is found once, within 0.1 pixels and 2 % in the median, on a gradient, also when read in strips."""
    monkeypatch.setattr(star_finder, "_STRIP_PIXELS", strip)
    image, positions, fluxes = field
    write(folder / "outputs/zemosaic_MT1_R9.fits", np.stack([image * 0.5, image, image * 1.5]))
    measure(folder, a_request())
    products = read_products(folder)
    found = products.stars
    assert len(found) == 60
    assert np.median(products.channels / found[:, 2:], axis=0) == pytest.approx([0.5, 1.0, 1.5], rel=0.03)
    x, y = pixel_of(WCS, found[:, 0], found[:, 1])
    distance = np.hypot(x[:, None] - positions[:, 0], y[:, None] - positions[:, 1])
    nearest = distance.argmin(axis=1)
    assert sorted(nearest) == list(range(60))
    assert np.median(distance.min(axis=1)) < 0.1
    assert distance.min(axis=1).max() < 0.3
    assert abs(np.median(found[:, 2] / fluxes[nearest]) - 1) < 0.02
    assert np.all(np.diff(found[:, 2]) <= 0)


def test_only_the_brightest_stars_are_kept_and_always_the_same(folder, field, monkeypatch):
    """The table has a maximum length, brightest first, and repeats exactly."""
    monkeypatch.setattr(star_finder, "STARS", 10)
    image, _, fluxes = field
    write(folder / "outputs/zemosaic_MT1_R9.fits", image)
    measure(folder, a_request())
    first = (folder / "products.npz").read_bytes(), read_products(folder).stars
    measure(folder, a_request())
    assert np.array_equal(read_products(folder).stars, first[1])
    assert np.allclose(first[1][:, 2], np.sort(fluxes)[::-1][:10], rtol=0.05)


def test_stars_at_the_edge_of_what_is_covered_are_left_out(folder):
    """A star whose aperture a hole cuts has no comparable flux; uncovered zeros make no stars."""
    image = sky((200, 200)) + stars_on((200, 200), [(60, 60), (98, 140)], [20000, 20000])
    covered = np.ones((200, 200), bool)
    covered[:, 100:150] = False
    write(folder / "outputs/zemosaic_MT1_R9.fits", np.where(covered, image, 0).astype(np.float32))
    measure(folder, a_request())
    (star,) = read_products(folder).stars
    assert np.allclose(star[:2], np.ravel(sky_of(WCS, 60, 60)), atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 500.0])
def test_a_mosaic_without_stars(folder, value):
    """A constant mosaic, covered or not, has an empty table of stars."""
    write(folder / "outputs/zemosaic_MT1_R9.fits", np.full((3, *SHAPE), value, np.float32))
    measure(folder, a_request())
    products = read_products(folder)
    assert products.stars.shape == (0, 3)
    assert products.covered.all() == (value > 0)


def test_a_sliver_of_cover_has_no_background_and_no_stars(folder):
    """Where too few pixels are covered for a background, no star is found."""
    covered = np.zeros((200, 200), bool)
    covered[::30, ::30] = True
    write(folder / "outputs/zemosaic_MT1_R9.fits", np.where(covered, 50, 0).astype(np.float32))
    measure(folder, a_request())
    assert read_products(folder).stars.shape == (0, 3)


def test_the_thumbnail_shows_what_is_covered(folder, monkeypatch):
    """It is small, in the mask's order of rows, transparent exactly where uncovered, and has contrast elsewhere."""
    monkeypatch.setattr(module, "_THUMBNAIL", 50)
    covered, depth = holed()
    older(folder, covered, depth)
    measure(folder, a_request())
    products = read_products(folder)
    with Image.open(folder / products.thumbnail) as image:
        picture = np.asarray(image)
    assert picture.shape == (40, 50, 4)
    shown = picture[..., 3] > 0
    assert np.array_equal(shown, covered.reshape(40, 2, 50, 2).any(axis=(1, 3)))
    assert np.ptp(picture[shown][:, 0].astype(int)) > 100
    # The fluxes that are black and white, so that two mosaics can be shown with one stretch.
    assert len(products.stretch) == 3
    assert all(low < high for low, high in products.stretch)


def test_products_made_smaller_keep_their_sky_and_hide_no_hole(folder):
    """At a larger step all pixels must be covered, the minimum depth counts, stars and tiles stay, pixels go."""
    covered, depth = holed()
    older(folder, covered, depth)
    measure(folder, a_request())
    before = read_products(folder)
    decimate_products(folder, 2)
    decimate_products(folder, 6)
    after = read_products(folder)
    assert (after.step, after.covered.shape, after.thumbnail) == (6, (14, 17), None)
    assert not (folder / "thumbnail.png").exists()
    for i, j in np.ndindex(14, 17):
        block = np.s_[6 * i : 6 * i + 6, 6 * j : 6 * j + 6]
        assert after.covered[i, j] == covered[block].all()
        assert after.depth[i, j] == depth[block].min()
    assert np.allclose(sky_of(after.wcs, 3, 4), sky_of(before.wcs, 20.5, 26.5), rtol=0, atol=1e-10)
    assert np.array_equal(after.stars, before.stars)
    assert (after.mosaic, after.tiles) == (before.mosaic, before.tiles)


def test_products_can_only_be_made_smaller_by_whole_steps(folder):
    """A step that is not a multiple of the present one, missing products and torn ones are refused."""
    with pytest.raises(MeasureError, match="found no such file: measure the run first"):
        decimate_products(folder, 2)
    older(folder, *holed())
    measure(folder, a_request())
    decimate_products(folder, 2)
    with pytest.raises(MeasureError, match="multiple of 2, found 3"):
        decimate_products(folder, 3)
    (folder / "products.npz").write_bytes(b"PK torn")
    with pytest.raises(MeasureError, match="measure the run again"):
        decimate_products(folder, 4)


def test_empty_products_can_be_made_smaller(folder):
    """A golden record may be of a run without a mosaic."""
    measure(folder, a_request())
    decimate_products(folder, 4)
    assert read_products(folder).covered.shape == (0, 0)


def truncated(path):
    """Cut off the last third of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def cut_pixels(path):
    """Cut off all but the header and a few bytes less than the pixels."""
    path.write_bytes(path.read_bytes()[: 2880 + 3 * 80 * 100 * 4 - 100])


def huge(path):
    """Claim far more pixels than the file holds."""
    data = path.read_bytes()
    path.write_bytes(data.replace(b"NAXIS1  =                  100", b"NAXIS1  =                30000", 1))


BROKEN = {
    "empty": (lambda path: path.write_bytes(b""), "can be read"),
    "no FITS": (lambda path: path.write_bytes(b"\x89PNG" * 999), "can be read"),
    "truncated": (truncated, "found a file of"),
    "cut within the pixels": (cut_pixels, "can be read"),
    "more pixels claimed than there are": (huge, "found a file of"),
    "no image": (lambda path: write(path, None), "expected an image in"),
    "one row of numbers": (lambda path: write(path, sky((9,))), "expected an image in"),
    "a cube": (lambda path: write(path, sky((9, 9, 9))), "one to four channels"),
    "no WCS": (lambda path: write(path, sky(), {}), "celestial WCS"),
    "a WCS that is not finite": (
        lambda path: write(path, sky(), WCS | {"CTYPE1": "RA---TAN", "CRVAL1": "x"}),
        "CRVAL1",
    ),
    "alpha of another shape": (lambda path: write(path, sky(), ALPHA=np.ones((3, 3), np.uint8)), "the mosaic's shape"),
    "no pixels": (
        lambda path: write(path, np.zeros((1, 80, 100), np.float32)[:, :, :0]),
        "expected an image in|with pixels",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_mosaic_that_can_not_be_measured_says_why(folder, how):
    """Each broken file gives one kind of error, which names the file, what was expected and what to do."""
    older(folder, *holed())
    path = folder / "outputs/zemosaic_MT4_R48.fits"
    breaking, message = BROKEN[how]
    breaking(path)
    (folder / "outputs/zemosaic_MT4_R48_coverage.fits").unlink()
    with pytest.raises(MeasureError, match=message) as error:
        measure(folder, a_request())
    assert "zemosaic_MT4_R48.fits" in str(error.value)
    assert "again" in str(error.value)
    assert not (folder / "products.json").exists()


@pytest.mark.parametrize("how", ["empty", "no image", "another shape"])
def test_a_coverage_map_that_can_not_be_read_says_why(folder, how):
    """A broken coverage map is an error; coverage is not guessed."""
    older(folder, *holed())
    path = folder / "outputs/zemosaic_MT4_R48_coverage.fits"
    {
        "empty": lambda: path.write_bytes(b""),
        "no image": lambda: write(path, None),
        "another shape": lambda: write(path, sky((3, 4))),
    }[how]()
    with pytest.raises(MeasureError, match=r"zemosaic_MT4_R48_coverage\.fits"):
        measure(folder, a_request())


def test_products_whose_mask_lost_bits_are_refused(folder):
    """Missing bits would read as uncovered pixels, and so as a false hole."""
    older(folder, *holed())
    measure(folder, a_request())
    data = json.loads((folder / "products.json").read_text(encoding="utf-8"))
    (folder / "products.json").write_text(json.dumps(data | {"shape": [80, 101]}), encoding="utf-8")
    with pytest.raises(ValueError, match="expected a shape of"):
        read_products(folder)


def test_the_mosaic_that_the_run_reported_is_measured(folder):
    """The run's own message decides, whatever else lies in the folder and ranks first by name or time."""
    covered, depth = holed()
    older(folder, covered, depth)
    write(folder / "outputs" / "zemosaic_MT4_R48_science.fits", sky((8, 8)))
    older(folder, np.ones((8, 8), bool), np.ones((8, 8)), name="zemosaic_MT5_R48")
    measure(folder, a_request(), Origin(saved=("zemosaic_MT4_R48.fits",)))
    products = read_products(folder)
    assert products.mosaic == "outputs/zemosaic_MT4_R48.fits"
    assert np.array_equal(products.covered, covered)


def test_a_reported_mosaic_may_have_any_name(folder):
    """The suffix may be set anywhere; the coverage map has the name without it."""
    covered, depth = holed()
    older(folder, covered, depth)
    outputs = folder / "outputs"
    (outputs / "zemosaic_MT4_R48.fits").rename(outputs / "zemosaic_MT4_R48_ma-science.fits")
    measure(folder, a_request(), Origin(saved=("gone.fits", "zemosaic_MT4_R48_ma-science.fits")))
    products = read_products(folder)
    assert products.mosaic == "outputs/zemosaic_MT4_R48_ma-science.fits"
    assert np.array_equal(products.depth, depth)


def test_files_of_earlier_runs_are_never_measured(folder):
    """A mosaic, a coverage map and a tile of an earlier run are left out; a tile that was taken over is marked."""
    covered, depth = holed()
    older(folder, covered, depth)
    older(folder, np.ones((8, 8), bool), np.ones((8, 8)), name="zemosaic_MT5_R48")
    tiles = folder / "outputs" / "zemosaic_temp_master_tiles"
    tiles.mkdir()
    for number in range(3):
        header = fits.Header(list(WCS.items()))
        header["ZMT_ID"], header["ZMT_REJ"], header["HIERARCH ZMT_KAPLO"] = number, "kappa_sigma", 3.0
        fits.writeto(tiles / f"master_tile_{number:03d}.fits", sky((8, 8)), header)
    old = ["zemosaic_MT5_R48.fits", "zemosaic_MT4_R48_coverage.fits"]
    old += [f"zemosaic_temp_master_tiles/master_tile_{number:03d}.fits" for number in (1, 2)]
    origin = Origin(older=frozenset(f"outputs/{name}" for name in old), taken=frozenset({f"outputs/{old[2]}"}))
    measure(folder, a_request(), origin)
    products = read_products(folder)
    assert products.mosaic == "outputs/zemosaic_MT4_R48.fits"
    assert np.isnan(products.depth).all()
    assert [(tile.tile, tile.earlier) for tile in products.tiles] == [(0, False), (1, True)]
    assert dict(products.tiles[1].settings) == {
        "stacking_rejection_algorithm": "kappa_sigma",
        "stacking_kappa_low": 3.0,
    }


def test_a_data_product_of_an_earlier_run_gives_way_to_a_newer_mosaic(folder):
    """Without any message, the newest mosaic is meant; two of one time are of one run, and the data product counts."""
    covered, depth = holed()
    older(folder, covered, depth)
    science, plain = (folder / "outputs" / f"zemosaic_MT4_R48{suffix}.fits" for suffix in ("_science", ""))
    write(science, sky((8, 8)))
    os.utime(plain, (2e9, 2e9))
    os.utime(science, (2e9 - 600, 2e9 - 600))
    measure(folder, a_request())
    assert read_products(folder).mosaic == "outputs/zemosaic_MT4_R48.fits"
    write(science, sky())
    os.utime(science, (2e9 - 5, 2e9 - 5))
    measure(folder, a_request())
    assert read_products(folder).mosaic == "outputs/zemosaic_MT4_R48_science.fits"


@pytest.mark.parametrize("asked", ["data", "_data", " d/a:ta "])
def test_the_setting_of_the_suffix_is_cleaned_as_the_target_does(asked):
    """The target adds an underscore and drops signs that are no letters."""
    assert data_suffix_of({"scientific_fits_suffix": asked}) == "_data"
    assert data_suffix_of({}) == data_suffix_of({"scientific_fits_suffix": " "}) == "_science"


def test_a_data_product_with_an_unknown_suffix_is_known_by_its_header(folder):
    """A display product, or a user's own file beside the mosaic, is not taken for the data product."""
    covered, depth = holed()
    older(folder, covered, depth)
    outputs = folder / "outputs"
    write(outputs / "zemosaic_MT4_R48_stretched.fits", sky((8, 8)))
    write(outputs / "zemosaic_MT4_R48_pretty.fits", sky((8, 8)), WCS | {"ZMROLE": "AESTH"})
    measure(folder, a_request())
    assert read_products(folder).mosaic == "outputs/zemosaic_MT4_R48.fits"
    write(outputs / "zemosaic_MT4_R48_raw.fits", np.stack([sky()] * 3), WCS | {"ZMROLE": "SCI"})
    measure(folder, a_request())
    assert read_products(folder).mosaic == "outputs/zemosaic_MT4_R48_raw.fits"


@pytest.mark.parametrize("linked", ["mosaic", "coverage", "tile", "folder of tiles"])
def test_a_linked_product_is_none(folder, tmp_path, linked):
    """A link among the outputs shows a file that the run did not make: it is neither a mosaic nor a map nor a tile."""
    covered, depth = holed()
    older(folder, covered, depth)
    user = tmp_path / "user"
    user.mkdir()
    write(user / "master_tile_000.fits", sky())
    outputs = folder / "outputs"
    named = {"mosaic": "zemosaic_MT4_R48.fits", "coverage": "zemosaic_MT4_R48_coverage.fits"}
    try:
        if linked in named:
            (outputs / named[linked]).rename(user / named[linked])
            (outputs / named[linked]).symlink_to(user / named[linked])
        elif linked == "tile":
            (outputs / "master_tile_000.fits").symlink_to(user / "master_tile_000.fits")
        else:
            (user / "master_tile_000.fits").rename(user / "tile_0001.fits")
            (outputs / "tiles").symlink_to(user)
    except OSError:
        pytest.skip("this system makes no links")
    measure(folder, a_request())
    products = read_products(folder)
    assert products.tiles == ()
    assert (products.mosaic is None) == (linked == "mosaic")
    assert np.isfinite(products.depth).all() == (linked != "coverage")
