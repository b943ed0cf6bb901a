"""What the reference pipeline reads: settings, files, hot pixels, Bayer mosaics, WCS cards, plans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from fixtures.pipeline import calibrate
from fixtures.pipeline.cache import CachedFrame, preprocess, write_cache
from fixtures.pipeline.plan import check_plan, clustered, plan_hash, planned
from fixtures.pipeline.raw import FrameRejectedError, frame_files, read_raw
from fixtures.pipeline.settings import Settings, SettingsError
from fixtures.pipeline.sky import NoSkyError, build, moved, pixel_map, project, sky_cards
from tests.pipeline_skies import Exposure, panels, picture, stars, wcs_of, write, write_all

SKY = stars()


def settings(tmp_path: Path, **changes: object) -> Settings:
    """Return settings with changes."""
    return Settings(tmp_path, tmp_path / "out", **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"retention": "sometimes"}, "expected retention to be one of keep, run_end, per_tile, found 'sometimes'"),
        ({"workers": 0}, "expected at least 1 worker, found 0"),
        ({"plan": (("a.fits",), ())}, "found an empty group"),
        ({"config": {"kapa": 2.0}}, "expected configuration keys among .*kappa.*, found kapa"),
        ({"config": {"kappa": "3"}}, "expected a number for kappa, found '3'"),
        ({"config": {"kappa": True}}, "expected a number for kappa, found True"),
        ({"config": {"master_tile_crop_percent": 60}}, "between 0 and 40, found 60"),
        ({"config": {"kappa": float("nan")}}, "between 0.5 and 100, found nan"),
    ],
)
def test_settings_that_cannot_be_run_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    """Each says what was expected and what was found, before anything starts."""
    with pytest.raises(SettingsError, match=message):
        settings(tmp_path, **changes)


def test_a_configuration_changes_what_it_names_only(tmp_path: Path) -> None:
    """Absent keys keep their documented defaults."""
    options = settings(tmp_path, config={"kappa": 2, "cluster_panel_threshold": None}).options
    assert (options.kappa, options.master_tile_crop_percent, options.cluster_panel_threshold) == (2.0, 3.0, None)


def test_frames_are_the_fits_files_of_the_folder_by_name(tmp_path: Path) -> None:
    """Other files and folders are left alone, whatever their case."""
    for name in ("b.FIT", "a.fits", "notes.txt", "c.fts"):
        (tmp_path / name).touch()
    (tmp_path / "folder.fits").mkdir()
    assert [p.name for p in frame_files(tmp_path)] == ["a.fits", "b.FIT", "c.fts"]


def _without_wcs(path: Path) -> None:
    fits.writeto(path, np.zeros((32, 32), np.float32))


def _linear(path: Path) -> None:
    fits.writeto(
        path,
        np.zeros((32, 32), np.float32),
        fits.Header([("CTYPE1", "X"), ("CTYPE2", "Y"), ("CRVAL1", 0.0), ("CRVAL2", 0.0)]),
    )


def _singular(path: Path) -> None:
    header = wcs_of(Exposure("x")).to_header()
    header["PC1_1"] = header["PC1_2"] = header["PC2_1"] = header["PC2_2"] = 0.0
    fits.writeto(path, np.zeros((32, 32), np.float32), header)


def _nan(path: Path) -> None:
    fits.writeto(path, np.full((32, 32), np.nan, np.float32), wcs_of(Exposure("x")).to_header())


def _truncated(path: Path) -> None:
    write(path.parent, Exposure(path.name), SKY)
    path.write_bytes(path.read_bytes()[:20_000])


def _short_header(path: Path) -> None:
    write(path.parent, Exposure(path.name), SKY)
    path.write_bytes(path.read_bytes()[:1000])


def _empty(path: Path) -> None:
    path.touch()


def _text(path: Path) -> None:
    path.write_text("no picture " * 500)


def _small(path: Path) -> None:
    fits.writeto(path, np.zeros((8, 32), np.float32), wcs_of(Exposure("x")).to_header())


def _cube(path: Path) -> None:
    fits.writeto(path, np.zeros((5, 32, 32), np.float32), wcs_of(Exposure("x")).to_header())


def _table(path: Path) -> None:
    fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])]).writeto(path)


def _odd_bayer(path: Path) -> None:
    write(path.parent, Exposure(path.name, cards={"BAYERPAT": "XTRANS"}), SKY)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_without_wcs, "no WCS"),
        (_linear, "no WCS"),
        (_singular, "no WCS"),
        (_nan, "no finite pixel"),
        (_truncated, "truncated"),
        (_short_header, "unreadable"),
        (_empty, "unreadable"),
        (_text, "unreadable"),
        (_small, "too small"),
        (_cube, "wrong shape"),
        (_table, "no image"),
        (_odd_bayer, "unknown Bayer pattern"),
    ],
)
def test_a_file_that_is_no_usable_frame_is_rejected_with_the_reason(tmp_path: Path, make, reason: str) -> None:
    """The error tells the reason, what was expected, what was found and what to do; nothing is written."""
    path = tmp_path / "frame.fits"
    make(path)
    with pytest.raises(FrameRejectedError) as caught:
        preprocess(path, tmp_path / "cache.npy", 10.0)
    assert caught.value.reason == reason
    assert caught.value.expected
    assert caught.value.found
    assert caught.value.action
    assert not list(tmp_path.glob("*.npy"))


def test_a_frame_without_padding_is_whole(tmp_path: Path) -> None:
    """Only missing pixels make a frame truncated, not missing padding after them."""
    path = write(tmp_path, Exposure("a.fits"), SKY)
    size = 110 * 150 * 4
    start = path.stat().st_size - (-(-size // 2880) * 2880)
    path.write_bytes(path.read_bytes()[: start + size])
    with pytest.warns(UserWarning, match="truncated"):
        assert read_raw(path).pixels.shape == (110, 150)


@pytest.mark.parametrize(
    ("shape", "found"), [((3, 32, 40), (32, 40, 3)), ((32, 40, 3), (32, 40, 3)), ((1, 32, 40), (32, 40, 1))]
)
def test_colour_frames_become_channels_last(tmp_path: Path, shape: tuple[int, ...], found: tuple[int, ...]) -> None:
    """Colour planes first or last, and a single plane, are all read; mono keeps one channel in the cache."""
    path = tmp_path / "a.fits"
    fits.writeto(path, np.ones(shape, np.int16), wcs_of(Exposure("x")).to_header())
    frame, _ = preprocess(path, tmp_path / "cache.npy", 10.0)
    assert frame.shape == found
    stored = np.load(frame.cache)
    assert stored.shape == found
    assert stored.dtype == np.float32


def test_unsigned_integers_and_infinities_are_read(tmp_path: Path) -> None:
    """uint16 as cameras store it keeps its values; an infinite pixel is no measurement."""
    path = write(tmp_path, Exposure("a.fits", dtype="uint16", level=40_000), SKY)
    assert np.median(read_raw(path).pixels) == pytest.approx(40_000, abs=5)
    path = write(tmp_path, Exposure("b.fits", bad=((50, 60, np.inf),)), SKY)
    assert np.isnan(read_raw(path).pixels[50, 60])


def test_a_cache_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch) -> None:
    """A full disk leaves neither a truncated cache nor a partial file."""

    def full(path: str, _: np.ndarray) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space"):
        write_cache(tmp_path / "cache.npy", np.zeros((4, 4, 1), np.float32))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bayer", ["", "GRBG"])
def test_hot_pixels_go_and_stars_stay(bayer: str) -> None:
    """Lone bright pixels become their neighbours' median; the sharpest stars keep every pixel."""
    bad = ((20, 30, 5000.0), (77, 101, 60_000.0), (0, 0, 9000.0))
    exposure = Exposure("x", bayer=bayer, filters=(0.6, 1.0, 0.5))
    clean = picture(exposure, SKY, 3).astype(np.float32)
    dirty = clean.copy()
    for row, column, value in bad:
        dirty[row, column] = value
    image, count = calibrate.without_hot_pixels(dirty, 10.0, bayer=bool(bayer))
    assert count == 3
    changed = image != dirty
    assert {tuple(place) for place in np.argwhere(changed)} == {place[:2] for place in bad}
    for row, column, _ in bad:
        assert image[row, column] == pytest.approx(clean[row, column], abs=12)


def test_a_frame_without_hot_pixels_is_unchanged() -> None:
    """Nothing is replaced where nothing stands out, in a flat frame without noise either."""
    for image in (np.full((40, 40), 7.0, np.float32), picture(Exposure("x"), SKY, 1).astype(np.float32)):
        cleaned, count = calibrate.without_hot_pixels(image, 10.0, bayer=False)
        assert count == 0
        np.testing.assert_array_equal(cleaned, image)


@pytest.mark.parametrize("pattern", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_a_bayer_mosaic_of_a_slope_is_interpolated_exactly(pattern: str) -> None:
    """Bilinear interpolation is exact on planes inside the frame, and keeps constants up to the edges."""
    rows, columns = np.mgrid[:20, :24].astype(np.float32)
    planes = {"R": 100 + 2 * rows, "G": 200 + 3 * columns, "B": 300 - rows + columns}
    raw = np.empty((20, 24), np.float32)
    flat = np.empty_like(raw)
    for i, colour in enumerate(pattern):
        raw[i // 2 :: 2, i % 2 :: 2] = planes[colour][i // 2 :: 2, i % 2 :: 2]
        flat[i // 2 :: 2, i % 2 :: 2] = {"R": 1, "G": 2, "B": 3}[colour]
    image = calibrate.debayered(raw, pattern)
    for channel, colour in enumerate("RGB"):
        np.testing.assert_allclose(image[1:-1, 1:-1, channel], planes[colour][1:-1, 1:-1], rtol=1e-6)
    np.testing.assert_allclose(calibrate.debayered(flat, pattern), np.broadcast_to([1, 2, 3], (20, 24, 3)), rtol=1e-6)


def test_only_cards_that_place_pixels_are_kept() -> None:
    """Dates and units of the data, for which astropy corrects headers, are left out; the deprecated frame card is renamed."""
    header = wcs_of(Exposure("x")).to_header()
    del header["RADESYS"]
    header["RADECSYS"] = "ICRS"
    header["DATE-OBS"] = "yesterday"
    header["BUNIT"] = "furlong"
    cards = sky_cards(header)
    assert cards["RADESYS"] == "ICRS"
    assert not {"DATE-OBS", "BUNIT", "RADECSYS"} & cards.keys()
    assert build(cards).has_celestial


def test_a_header_without_sky_is_refused() -> None:
    """The error says what to do."""
    with pytest.raises(NoSkyError, match="solve the frame first"):
        sky_cards(fits.Header())


def test_moved_cards_name_the_same_sky() -> None:
    """A pixel of the cut grid is where it was on the whole one."""
    cards = sky_cards(wcs_of(Exposure("x", angle=12)).to_header())
    whole, cut = build(cards), build(moved(cards, 7, 11))
    np.testing.assert_allclose(cut.wcs_pix2world([[5.0, 6.0]], 0), whole.wcs_pix2world([[16.0, 13.0]], 0), atol=1e-12)


def distorted() -> WCS:
    """Return a WCS with SIP distortion of some pixels at the corners."""
    header = wcs_of(Exposure("x", angle=5)).to_header()
    header.update(
        {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 2e-5, "B_1_1": -3e-5}
    )
    return build(sky_cards(header))


@pytest.mark.parametrize(
    "source",
    [wcs_of(Exposure("x", east=40, angle=30)), wcs_of(Exposure("x", north=-25, angle=181, mirrored=True)), distorted()],
    ids=["rotated", "mirrored", "distorted"],
)
def test_a_pixel_map_is_exact_to_a_thousandth_of_a_pixel(source: WCS) -> None:
    """The linear map between exact places is as good as astropy at every pixel, and does not depend on the box."""
    grid = wcs_of(Exposure("x"))
    y, x = pixel_map(grid, source, (0, 110), (0, 150))
    columns, rows = np.meshgrid(np.arange(150.0), np.arange(110.0))
    exact_x, exact_y = project(grid, source, columns, rows)
    assert max(np.abs(x - exact_x).max(), np.abs(y - exact_y).max()) < 2e-3
    part_y, part_x = pixel_map(grid, source, (33, 35), (70, 71))
    np.testing.assert_allclose((part_y, part_x), (y[33:35, 70:71], x[33:35, 70:71]), atol=1e-9)


def cached(folder: Path, exposures: list[Exposure]) -> tuple[CachedFrame, ...]:
    """Write frames and their caches."""
    names = write_all(folder, exposures, SKY)
    return tuple(preprocess(folder / name, folder / f"{name}.npy", 0.0)[0] for name in names)


def test_pointings_that_are_connected_are_one_panel(tmp_path: Path) -> None:
    """Dithers belong together, panels do not; groups and frames keep the order of the input."""
    frames = cached(tmp_path, panels(2, 1, 3))
    order = (frames[3], frames[0], frames[4], frames[1], frames[2], frames[5])
    found = clustered(order, None)
    assert [[f.name for f in group] for group in found] == [
        ["p1_0.fits", "p1_1.fits", "p1_2.fits"],
        ["p0_0.fits", "p0_1.fits", "p0_2.fits"],
    ]
    assert len(clustered(order, 1.0)) == 1
    assert clustered((), None) == ()


def test_a_plan_is_taken_as_given(tmp_path: Path) -> None:
    """Shared and repeated frames stay; frames in no group form one more; a group without usable frames is left out."""
    a, b, c, d = cached(tmp_path, panels(2, 1, 2))
    groups = planned(((a.name, b.name), (b.name, b.name, "rejected.fits"), ("rejected.fits",)), (a, b, c, d))
    assert groups == ((a, b), (b, b), (c, d))
    assert check_plan(((a.name, "x"), ("y", "x")), [a.name]) == ("x", "y")
    assert check_plan(((a.name,),), [a.name]) == ()


def test_the_plan_hash_is_of_the_groups(tmp_path: Path) -> None:
    """The same groups have the same hash; another order is another plan."""
    a, b = cached(tmp_path, panels(2, 1, 1))
    assert plan_hash(((a, b),)) == plan_hash(((a, b),))
    assert len({plan_hash(groups) for groups in (((a, b),), ((b, a),), ((a,), (b,)))}) == 3
