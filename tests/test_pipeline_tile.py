"""One master tile of the reference pipeline: stars that agree, interpolation, the clipped mean, lost caches, memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from reproject import reproject_interp

from fixtures.pipeline import tile as tiles
from fixtures.pipeline.cache import CachedFrame, preprocess
from fixtures.pipeline.coadd import Levels, background_offsets
from fixtures.pipeline.mesh import between
from fixtures.pipeline.resample import resample, sample
from fixtures.pipeline.settings import Options
from fixtures.pipeline.sky import pixel_map
from fixtures.pipeline.stack import clipped_mean
from fixtures.pipeline.stars import agreement, background, find_stars
from fixtures.pipeline.tile import TileResult, make_master_tile
from tests.pipeline_skies import CENTRE, Events, Exposure, measure, picture, stars, wcs_of, write_all

SKY = stars()
WHOLE = Options(master_tile_crop_percent=0.0)


def cached(folder: Path, exposures: list[Exposure]) -> list[CachedFrame]:
    """Write frames and their caches."""
    names = write_all(folder / "in", exposures, SKY)
    return [preprocess(folder / "in" / name, folder / f"preprocessed_{name}.npy", 0.0)[0] for name in names]


def dithered(count: int, **common: object) -> list[Exposure]:
    """Return exposures of one panel."""
    rng = np.random.default_rng(8)
    return [
        replace(Exposure(f"f{i}.fits", *rng.uniform(-4, 4, 2), angle=0.3 * i), **common)  # type: ignore[arg-type]
        for i in range(count)
    ]


def made(folder: Path, frames: list[CachedFrame], options: Options = WHOLE) -> tuple[TileResult, Events]:
    """Make tile 3."""
    events = Events()
    return make_master_tile(frames, 3, folder, options, events), events


def test_a_tile_is_the_mean_of_its_frames_on_the_first_ones_grid(tmp_path: Path) -> None:
    """Stars are where and as bright as the truth says, noise is averaged, and the header tells what was done."""
    frames = cached(tmp_path, dithered(6))
    result, events = made(tmp_path, frames)
    assert result.error is None
    assert result.path == tmp_path / "master_tile_003.fits"
    assert result.frames_used == tuple(f.name for f in frames)
    assert result.left_over == ()
    with fits.open(result.path) as hdus:
        header, image, count = hdus[0].header, hdus[0].data[0], hdus["COUNT"].data
        assert hdus[0].data.dtype == np.dtype(">f4")
    assert (header["ZMT_ID"], header["ZMT_NRAW"], header["ZMT_NALGN"], header["ZMT_REF"]) == (3, 6, 6, "f0.fits")
    assert image.shape == count.shape == (110, 150)
    found = measure(image, WCS(header, naxis=2), SKY)
    assert len(found) >= 8
    assert np.median(found[:, 0]) == pytest.approx(1.0, abs=0.02)
    assert np.median(found[:, 1]) < 0.1
    assert np.median(count[20:-20, 20:-20]) == 6
    assert count.min() >= 1
    single = np.load(frames[0].cache)[..., 0]
    assert np.std(image[count == 6] - np.median(image)) < np.std(single)
    assert events.keys[0] == "mastertile_info_creation_started_from_cache"
    assert events.named("mastertile_info_creation_started_from_cache") == [{"num_raw": 6, "tile_id": 3}]
    assert events.named("mastertile_info_reference_set") == [{"ref_filename": "f0.fits", "tile_id": 3}]


def test_missing_caches_are_reported_and_the_tile_is_made_from_the_rest(tmp_path: Path) -> None:
    """One warning a frame, with the fields that the checks read; the reference is the first frame that is there."""
    frames = cached(tmp_path, dithered(4))
    for frame in frames[:2]:
        frame.cache.unlink()
    result, events = made(tmp_path, frames)
    assert result.reference == "f2.fits"
    assert result.frames_used == ("f2.fits", "f3.fits")
    assert events.named("mastertile_warn_cache_file_missing") == [
        {"filename": f.name, "cache_path": str(f.cache), "tile_id": 3} for f in frames[:2]
    ]
    assert fits.getval(result.path, "ZMT_NRAW") == 4
    assert fits.getval(result.path, "ZMT_NALGN") == 2


def test_a_group_without_any_cache_makes_no_tile(tmp_path: Path) -> None:
    """The error event names the tile; nothing is written."""
    frames = cached(tmp_path, dithered(2))
    for frame in frames:
        frame.cache.unlink()
    result, events = made(tmp_path, frames)
    assert result.path is None
    assert result.error
    assert events.named("mastertile_error_no_valid_images_from_cache") == [{"tile_id": 3}]
    assert len(events.named("mastertile_warn_cache_file_missing")) == 2
    assert not list(tmp_path.glob("*.fits"))


@pytest.mark.parametrize("lost", [0, 2])
def test_a_cache_that_goes_while_the_tile_is_made_is_left_out(tmp_path: Path, monkeypatch, lost: int) -> None:
    """A cache deleted after the test for it is a missing cache, be it the reference's or another's; the rest make the tile."""
    frames = cached(tmp_path, dithered(4))
    stacked = tiles._stacked

    def racing(*args):
        frames[lost].cache.unlink(missing_ok=True)
        return stacked(*args)

    if lost == 0:
        found = tiles._reference

        def racing_reference(frame: CachedFrame):
            if frame == frames[0]:
                frame.cache.unlink()
            return found(frame)

        monkeypatch.setattr(tiles, "_reference", racing_reference)
    else:
        monkeypatch.setattr(tiles, "_stacked", racing)
    result, events = made(tmp_path, frames)
    assert result.frames_used == tuple(f.name for i, f in enumerate(frames) if i != lost)
    assert [e["filename"] for e in events.named("mastertile_warn_cache_file_missing")] == [frames[lost].name]


def test_a_damaged_cache_is_left_out_and_reported(tmp_path: Path) -> None:
    """A cache of another shape, or none at all, is an error of that frame, not of the tile."""
    frames = cached(tmp_path, dithered(4))
    frames[1].cache.write_bytes(b"\x93NUMPY, but not really")
    np.save(frames[2].cache, np.zeros((3, 3, 1), np.float32))
    result, events = made(tmp_path, frames)
    assert result.frames_used == ("f0.fits", "f3.fits")
    assert {e["filename"] for e in events.named("mastertile_error_loading_cache")} == {"f1.fits", "f2.fits"}


def test_a_tile_that_cannot_be_written_is_a_result(tmp_path: Path) -> None:
    """A folder that is not there, like a full disk, ends the tile with an error event and leaves the caches."""
    frames = cached(tmp_path, dithered(2))
    events = Events()
    result = make_master_tile(frames, 0, tmp_path / "absent", WHOLE, events)
    assert result.path is None
    assert "could not be written" in str(result.error)
    assert len(events.named("mastertile_error_saving")) == 1
    assert all(f.cache.exists() for f in frames)


def test_frames_without_the_reference_s_stars_are_left_over(tmp_path: Path) -> None:
    """A star-less reference is a tile of its own; the frames with stars are for a retry group."""
    exposures = dithered(4)
    exposures[0] = replace(exposures[0], clouded=True, level=900.0)
    frames = cached(tmp_path, exposures)
    result, events = made(tmp_path, frames)
    assert result.path is not None
    assert result.frames_used == ("f0.fits",)
    assert result.left_over == tuple(frames[1:])
    assert len(events.named("mastertile_warn_frame_does_not_fit")) == 3


def test_a_frame_of_clouds_is_left_over(tmp_path: Path) -> None:
    """It does not dilute the stars of the others."""
    exposures = dithered(4)
    exposures[2] = replace(exposures[2], clouded=True)
    frames = cached(tmp_path, exposures)
    result, _ = made(tmp_path, frames)
    assert result.left_over == (frames[2],)


def test_a_frame_whose_wcs_is_wrong_is_left_over(tmp_path: Path) -> None:
    """Stars that are 4 pixels from where the WCS puts them do not agree."""
    frames = cached(tmp_path, dithered(3))
    wrong = dict(frames[1].wcs)
    wrong["CRPIX1"] = float(wrong["CRPIX1"]) + 4.0
    frames[1] = replace(frames[1], wcs=wrong)
    result, _ = made(tmp_path, frames)
    assert result.left_over == (frames[1],)


def test_a_frame_elsewhere_on_the_sky_is_left_over(tmp_path: Path) -> None:
    """Without overlap there is nothing to align."""
    frames = cached(tmp_path, [Exposure("a.fits"), Exposure("b.fits", east=400)])
    result, events = made(tmp_path, frames)
    assert result.left_over == (frames[1],)
    assert "overlaps 0.0%" in str(events.named("mastertile_warn_frame_does_not_fit")[0]["reason"])


def test_frames_without_stars_are_aligned_by_wcs(tmp_path: Path) -> None:
    """Where no stars are expected the WCS is believed: dark sky is sky."""
    frames = cached(tmp_path, dithered(3, clouded=True))
    result, _ = made(tmp_path, frames)
    assert len(result.frames_used) == 3


def test_a_frame_named_twice_is_averaged_once(tmp_path: Path) -> None:
    """ZMT_NRAW counts the group as given, ZMT_NALGN the frames averaged."""
    frames = cached(tmp_path, dithered(2))
    result, _ = made(tmp_path, [frames[0], frames[1], frames[1]])
    assert result.frames_used == ("f0.fits", "f1.fits")
    assert (fits.getval(result.path, "ZMT_NRAW"), fits.getval(result.path, "ZMT_NALGN")) == (3, 2)


def test_levels_of_the_frames_are_brought_to_the_reference_s(tmp_path: Path) -> None:
    """A sky that brightens from frame to frame leaves no step where frames end."""
    exposures = [replace(e, level=500.0 + 80 * i, noise=0.0, clouded=True) for i, e in enumerate(dithered(4))]
    result, _ = made(tmp_path, cached(tmp_path, exposures))
    np.testing.assert_allclose(fits.getdata(result.path), 500.0, atol=1e-3)


def test_outliers_and_missing_pixels_are_left_out(tmp_path: Path) -> None:
    """A satellite in one frame and NaN in another show in the count, not in the image."""
    exposures = dithered(6, clouded=True)
    exposures[2] = replace(exposures[2], bad=tuple((50, c, 3000.0) for c in range(150)))
    exposures[0] = replace(exposures[0], bad=((30, 40, np.nan),))
    result, _ = made(tmp_path, cached(tmp_path, exposures))
    with fits.open(result.path) as hdus:
        image, count = hdus[0].data[0], hdus["COUNT"].data
    assert np.abs(image - 500).max() < 15
    assert count[30, 40] <= 5
    assert np.isfinite(image[30, 40])
    assert (count[20:80, 20:130] == 5).sum() > 100


def test_a_margin_is_cropped_and_the_wcs_moves_with_it(tmp_path: Path) -> None:
    """master_tile_crop_percent is cut from each side, and stars stay on their sky."""
    result, _ = made(tmp_path, cached(tmp_path, dithered(2)), Options(master_tile_crop_percent=10.0))
    image, header = fits.getdata(result.path, header=True)
    assert image.shape == (1, 110 - 22, 150 - 30)
    assert np.median(measure(image[0], WCS(header, naxis=2), SKY)[:, 1]) < 0.1


def test_mono_and_colour_share_a_tile(tmp_path: Path) -> None:
    """Frames of other shapes and channels are aligned by WCS; the tile has the most channels of any."""
    exposures = [Exposure("a.fits"), Exposure("b.fits", bayer="GRBG"), Exposure("c.fits", shape=(90, 130), east=3.0)]
    result, _ = made(tmp_path, cached(tmp_path, exposures))
    assert len(result.frames_used) == 3
    assert fits.getdata(result.path).shape == (3, 110, 150)


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path) -> None:
    """Three times the frames need no more memory, since the stack is made in strips; and strips change nothing that shows."""
    frames = cached(tmp_path, dithered(24))
    narrow = replace(WHOLE, stack_block_mib=1.0)
    peaks = []
    for count in (2, 8, 24):  # the first warms up what libraries keep
        tracemalloc.start()
        made(tmp_path, frames[:count], narrow)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] * 1.15
    assert peaks[2] < 6 * 2**20
    strips = fits.getdata(tmp_path / "master_tile_003.fits")
    made(tmp_path, frames)
    np.testing.assert_allclose(strips, fits.getdata(tmp_path / "master_tile_003.fits"), rtol=1e-4)


@pytest.mark.parametrize("mirrored", [False, True])
def test_interpolation_keeps_positions_and_fluxes(mirrored: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    """Cubic splines move no star by more than 0.02 px and change no flux by more than 0.5 %, in any rotation."""
    source, grid = Exposure("x", 3.3, -2.7, 37.0, mirrored=mirrored, noise=0.0), Exposure("y", noise=0.0)
    y, x = pixel_map(wcs_of(grid), wcs_of(source), (0, 110), (0, 150))
    image = resample(picture(source, SKY, 0).astype(np.float32)[..., np.newaxis], y, x)[..., 0]
    found = measure(image, wcs_of(grid), SKY)
    assert len(found) > 5
    assert np.abs(found[:, 0] - 1).max() < 0.005
    assert found[:, 1].max() < 0.02


def test_interpolation_agrees_with_reproject() -> None:
    """Where both have a value, reproject's bicubic interpolation gives the same."""
    source, grid = Exposure("x", 20.0, 9.0, 11.0), Exposure("y")
    pixels = picture(source, SKY, 4).astype(np.float32)
    y, x = pixel_map(wcs_of(grid), wcs_of(source), (0, 110), (0, 150))
    ours = resample(pixels[..., np.newaxis], y, x)[..., 0]
    theirs, _ = reproject_interp((pixels, wcs_of(source)), wcs_of(grid), shape_out=(110, 150), order="bicubic")
    both = np.isfinite(ours) & np.isfinite(theirs)
    assert both.mean() > 0.5
    np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(theirs))
    inner = (y > 2) & (y < 107) & (x > 2) & (x < 147)  # at edges the two continue the image differently
    np.testing.assert_allclose(ours[inner & both], theirs[inner & both], rtol=2e-3)


def test_missing_pixels_stay_missing_and_do_not_spread() -> None:
    """A NaN makes its bilinear neighbours invalid and nothing else; off the image there is nothing."""
    pixels = np.full((40, 40, 2), 5.0, np.float32)
    pixels[20, 20, 1] = np.nan
    rows, columns = np.mgrid[:40, :40] + 0.5
    image = resample(pixels, rows, columns)
    assert np.argwhere(np.isnan(image[..., 0])).tolist() == [[19, 19], [19, 20], [20, 19], [20, 20]]
    assert np.isnan(resample(pixels, rows + 100, columns)).all()
    assert np.isnan(sample(pixels, rows + 100, columns)).all()
    assert np.isnan(resample(np.full((20, 20, 1), np.nan, np.float32), rows[:9, :9], columns[:9, :9])).all()


def test_the_clipped_mean_counts_what_it_averages() -> None:
    """Outliers are left out of mean and count, one outlying channel is enough, and a pixel without values is NaN."""
    block = np.random.default_rng(0).normal(100.0, 2.0, (9, 6, 7, 2)).astype(np.float32)
    block[4, 2, 3, 1] = 900.0
    block[:, 0, 0] = np.nan
    block[2:, 5, 5] = np.nan
    noise, level = np.full(2, 2.0, np.float32), np.full(2, 100.0, np.float32)
    mean, count = clipped_mean(block, 4.0, noise, level)
    assert count[2, 3] == 8
    np.testing.assert_allclose(mean[2, 3], block[[0, 1, 2, 3, 5, 6, 7, 8], 2, 3].mean(axis=0), rtol=1e-6)
    assert count[0, 0] == 0
    assert np.isnan(mean[0, 0]).all()
    assert count[5, 5] == 2
    assert np.median(count) == 9


def test_the_clipped_mean_keeps_the_flanks_of_stars() -> None:
    """What seeing changes from frame to frame, a tenth of a star's height, is no outlier."""
    block = (
        np.full((8, 1, 1, 1), 5000.0, np.float32) * np.linspace(0.97, 1.03, 8, dtype=np.float32)[:, None, None, None]
    )
    _, count = clipped_mean(block, 0.5, np.ones(1, np.float32), np.zeros(1, np.float32))
    assert count[0, 0] == 8


def test_stars_are_found_where_they_are() -> None:
    """Every star of the truth that is on the frame is found within half a pixel, and nothing else."""
    exposure = Exposure("x")
    found = find_stars(picture(exposure, SKY, 2).astype(np.float32))
    x, y = wcs_of(exposure).wcs_world2pix(SKY[:, 0], SKY[:, 1], 0)
    inside = (x > 5) & (x < 144) & (y > 5) & (y < 104)
    distance = np.hypot(found.x[:, None] - x, found.y[:, None] - y)
    assert (distance[:, inside].min(axis=0) < 0.5).all()
    assert (distance.min(axis=1) < 1.0).all()
    assert (np.diff(found.significance) <= 0).all()


@pytest.mark.parametrize("image", [np.full((64, 64), 1000.0), np.full((64, 64), np.nan), np.zeros((64, 64))])
def test_a_flat_frame_has_no_stars(image: np.ndarray) -> None:
    """Rounding errors of a background without noise are no stars, and neither is NaN."""
    assert len(find_stars(image.astype(np.float32))) == 0


def test_noise_has_no_bright_stars() -> None:
    """A frame of clouds with a gradient has too few peaks to be taken for a sky with stars."""
    slope = np.linspace(0, 200, 320, dtype=np.float32)
    image = np.random.default_rng(3).normal(1000, 30, (240, 320)).astype(np.float32) + slope
    found = find_stars(image)
    assert (found.significance >= 10).sum() == 0
    assert np.abs(background(image) - 1000 - slope).max() < 25


def test_a_few_stars_decide_nothing() -> None:
    """Where fewer than five stars are expected the frame agrees, matched or not; from five on, three must match."""
    wcs = wcs_of(Exposure("x"))
    for count, agrees in ((4, True), (8, False)):
        sky = stars(count, seed=4, reach=80.0)
        here = find_stars(picture(Exposure("x"), sky, 1).astype(np.float32))
        clouds = find_stars(picture(Exposure("x", clouded=True), sky, 2).astype(np.float32))
        found = agreement(here, wcs, clouds, wcs, 1.5)
        assert (found.expected, found.matched, found.agrees) == (count, 0, agrees)
        assert agreement(here, wcs, here, wcs, 1.5).matched == count


def test_a_mesh_is_linear_between_and_constant_outside() -> None:
    """Values are exact at and between the nodes of a plane; beyond the mesh the last one holds."""
    rows, columns = np.mgrid[0:40:8, 0:48:8]
    plane = (3.0 * rows + 2.0 * columns).astype(np.float64)
    found = between(plane, (0.0, 0.0), 8, (5, 30), (0, 50))
    expected_rows, expected_columns = np.mgrid[5:30, 0:50]
    np.testing.assert_allclose(found, 3.0 * expected_rows + 2.0 * np.minimum(expected_columns, 40), rtol=1e-12)


def test_backgrounds_are_matched_over_a_chain_of_overlaps() -> None:
    """Tiles that are linked by others come to one level, their mean; a tile apart keeps its own."""

    def level(column: int, value: float) -> Levels:
        return Levels((0, column), np.full((10, 10, 1), value, np.float32))

    offsets = background_offsets([level(0, 10.0), level(6, 16.0), level(12, 13.0), level(90, 50.0)])
    np.testing.assert_allclose(offsets[:, 0], [3.0, -3.0, 0.0, 0.0], atol=1e-5)
    assert background_offsets([level(0, 1.0)]).tolist() == [[0.0]]


def test_the_field_is_where_the_helper_says() -> None:
    """The independent truth of these tests: the centre of an exposure is at the field's centre."""
    lon, lat = wcs_of(Exposure("x")).wcs_pix2world([[74.5, 54.5]], 0)[0]
    assert (lon, lat) == pytest.approx(CENTRE)
