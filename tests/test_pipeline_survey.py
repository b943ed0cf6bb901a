"""Whole grid runs of the reference pipeline: truth, seams, coverage, determinism, the stack plan, and every way to end."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from fixtures.pipeline import defects, output, skytile, survey
from fixtures.pipeline.photometry import compared, solved
from fixtures.pipeline.run import run_mosaic
from fixtures.pipeline.settings import Settings
from fixtures.pipeline.skytile import sky_tiles
from fixtures.pipeline.survey import GridError
from tests.pipeline_skies import Events, Exposure, measure, panels, stars, write, write_all

SKY = stars(70, reach=280.0)


def plan(folder: Path, lines: Sequence[str] = ()) -> None:
    """Write a stack plan of these lines, or of all frames."""
    rows = lines or ["file_path", *sorted(path.name for path in folder.glob("*.fits"))]
    (folder / "stack_plan.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def mosaic(folder: Path, out: str = "out", **changes: object) -> tuple[Path | None, Events]:
    """Run the grid on ``folder/in``."""
    events = Events()
    path = run_mosaic(Settings(folder / "in", folder / out, mode="grid", **changes), events)  # type: ignore[arg-type]
    return path, events


def failed(folder: Path, **changes: object) -> tuple[str, Events]:
    """Run what must fail, and return what the exception says."""
    events = Events()
    with pytest.raises(GridError) as raised:
        run_mosaic(Settings(folder / "in", folder / "out", mode="grid", **changes), events)  # type: ignore[arg-type]
    assert events.keys[-2:] == ["PROCESS_ERROR", "PROCESS_DONE"]
    assert not list((folder / "out").glob("*.fits"))
    return str(raised.value), events


def texts(events: Events, part: str) -> list[str]:
    """Return the texts that hold a part."""
    return [key for key in events.keys if part in key]


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return four panels of four frames with their plan."""
    folder = tmp_path_factory.mktemp("survey é")
    write_all(folder / "in", panels(2, 2, 4), SKY)
    plan(folder / "in")
    return folder


@pytest.fixture(scope="module")
def good(field: Path) -> tuple[Path, Events]:
    """Make a good run with many tiles."""
    path, events = mosaic(field, "good", workers=2, config={"grid_size_factor": 1.5})
    assert path is not None
    return path, events


def test_stars_are_where_and_as_bright_as_the_truth(good: tuple[Path, Events]) -> None:
    """Medians: fluxes within 2 %, positions within 0.1 px; and no star is more than 5 % or 0.3 px off."""
    image, header = fits.getdata(good[0], header=True)
    found = measure(image[0], WCS(header, naxis=2), SKY)
    assert len(found) > 25
    assert np.median(found[:, 0]) == pytest.approx(1.0, abs=0.02)
    assert np.median(found[:, 1]) < 0.1
    assert np.abs(found[:, 0] - 1).max() < 0.05
    assert found[:, 1].max() < 0.3


def test_the_files_are_those_of_the_target_that_it_stands_for(good: tuple[Path, Events]) -> None:
    """Mosaic with WEIGHT (channels last), coverage (sum of weights), tiles with ALPHA; NaN where nothing covers; no cache."""
    path, _ = good
    assert path.name == "mosaic_grid.fits"
    with fits.open(path) as hdus, fits.open(path.with_name("mosaic_grid_coverage.fits")) as covers:
        image, weight, coverage = hdus[0].data, hdus["WEIGHT"].data, covers[0].data
        assert image.dtype == coverage.dtype == weight.dtype == np.dtype(">f4")
        assert weight.shape == (*image.shape[1:], image.shape[0])
        assert hdus[0].header["NTILES"] == 12
    np.testing.assert_array_equal(np.isfinite(image[0]), coverage > 0)
    assert coverage.max() == pytest.approx(16, rel=1e-5)
    np.testing.assert_array_equal(coverage, weight.sum(axis=2))
    tiles = sorted(p.name for p in (path.parent / "tiles").iterdir())
    assert tiles == [f"tile_{i:04d}.fits" for i in range(1, 13)]
    with fits.open(path.parent / "tiles" / tiles[0]) as hdus:
        np.testing.assert_array_equal(hdus["ALPHA"].data == 255, np.isfinite(hdus[0].data[0]))
        assert hdus[0].header["ZMT_ID"] == 1
        assert (hdus["WEIGHT"].data[hdus["ALPHA"].data == 255] > 0).all()
    assert sorted(p.name for p in path.parent.iterdir()) == ["mosaic_grid.fits", "mosaic_grid_coverage.fits", "tiles"]


def test_the_events_are_texts_in_the_order_of_the_target_that_it_stands_for(good: tuple[Path, Events]) -> None:
    """Plan, tiles, summary, photometry, completion; each but PROCESS_DONE begins with [GRID]; no warning on a good run."""
    path, events = good
    order = [
        "[GRID] Grid/Survey mode activated (stack_plan.csv detected)",
        "[GRID] Loaded 16 frame(s) from stack_plan.csv",
        "[GRID] Assembly summary: attempted=12, io_fail=0, channel_mismatch=0, empty_mask=0, kept=12",
        "[GRID] Photometry: loaded 12 tiles for assembly",
        "[GRID] Photometry: solved global gain/offset for 12 tiles",
        f"[GRID] Final mosaic saved to {path}",
        "[GRID] Grid/Survey mode completed",
        "PROCESS_DONE",
    ]
    assert [key for key in events.keys if key in order] == order
    for number in range(1, 13):
        saved = f"[GRID] Tile {number}: saved to {path.parent / 'tiles' / f'tile_{number:04d}.fits'}"
        assert events.keys.index(saved) < events.keys.index(f"[GRID] [GRID] Tile {number} completed")
    assert [key for key in events.keys if not key.startswith("[GRID] ")] == ["PROCESS_DONE"]
    assert not [key for key, _, level, _ in events.all if level in {"WARN", "ERROR"}]


@pytest.mark.parametrize(("retention", "workers"), [("keep", 1), ("per_tile", 2)])
def test_the_result_is_the_same_to_the_bit(
    field: Path, good: tuple[Path, Events], retention: str, workers: int
) -> None:
    """For any number of workers; the retention has nothing to do here."""
    path, _ = mosaic(field, retention, retention=retention, workers=workers, config={"grid_size_factor": 1.5})
    assert path is not None
    names = ["mosaic_grid.fits", "mosaic_grid_coverage.fits", *(f"tiles/tile_{i:04d}.fits" for i in range(1, 13))]
    for name in names:
        assert (path.parent / name).read_bytes() == (good[0].parent / name).read_bytes()


def test_a_constant_sky_stays_constant_across_seams(tmp_path: Path) -> None:
    """Frames whose sky levels differ by far are brought to one level, with no step where tiles and frames end."""
    exposures = [replace(e, noise=0.0, clouded=True, level=500.0 + 60 * i) for i, e in enumerate(panels(2, 1, 3))]
    write_all(tmp_path / "in", exposures, SKY)
    plan(tmp_path / "in")
    path, events = mosaic(tmp_path, config={"grid_size_factor": 2.0})
    image = fits.getdata(path)
    assert np.isfinite(image).mean() > 0.8
    assert np.nanmax(image) - np.nanmin(image) < 0.01
    assert len(texts(events, "overlap regressions fell back to neutral gains")) == 1


def test_exposures_are_brought_to_one_scale_and_weigh(tmp_path: Path) -> None:
    """Frames of twice the time have twice the light: the mosaic is on the scale of the plan's first frame."""
    exposures = panels(1, 1, 4, noise=1.0, level=400.0)
    for number, exposure in enumerate(exposures):
        long = number % 2
        sky = SKY * [1, 1, 1 + long]
        write(tmp_path / "in", replace(exposure, level=400.0 * (1 + long)), sky, number)
    rows = [f"p0_{n}.fits;{10 * (1 + n % 2)},0;IRCUT" for n in range(4)]
    plan(tmp_path / "in", ["FileName;Exposure;Filter", *rows])
    path, _ = mosaic(tmp_path)
    image, header = fits.getdata(path, header=True)
    found = measure(image[0], WCS(header, naxis=2), SKY)
    assert np.median(found[:, 0]) == pytest.approx(1.0, abs=0.02)
    assert fits.getdata(path.with_name("mosaic_grid_coverage.fits")).max() == pytest.approx(60.0)


def test_a_spool_on_disk_gives_the_same_tile(field: Path, good: tuple[Path, Events], monkeypatch) -> None:
    """Whether a tile's frames fit in memory or lie in a temporary file does not show; strips hardly do."""
    rolled = []
    spooled = skytile.tempfile.SpooledTemporaryFile

    def watched(**kwargs: int):
        rolled.append(kwargs["max_size"])
        return spooled(**kwargs)

    monkeypatch.setattr(skytile.tempfile, "SpooledTemporaryFile", watched)
    path, _ = mosaic(field, "small", config={"grid_size_factor": 1.5, "stack_block_mib": 0.2})
    assert set(rolled) == {209715}
    np.testing.assert_array_equal(fits.getdata(path), fits.getdata(good[0]))


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path) -> None:
    """A whole run of 9 frames needs little more memory than one of 3."""
    peaks = []
    for count in (1, 3, 9):  # the first warms up what libraries keep
        folder = tmp_path / str(count)
        write_all(folder / "in", panels(1, 1, count), SKY)
        plan(folder / "in")
        tracemalloc.start()
        mosaic(folder, config={"stack_block_mib": 0.1})
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] * 1.25


# The stack plan


def test_rows_that_cannot_be_used_are_told_by_line(tmp_path: Path) -> None:
    """No path, too many fields, no number, a frame named twice, a frame without a WCS: each is told, the rest is stacked."""
    write_all(tmp_path / "in", panels(1, 1, 3), SKY)
    fits.writeto(tmp_path / "in" / "blind.fits", np.zeros((40, 50), np.float32))
    rows = ["p0_0.fits,1", ",2", "p0_1.fits,3", "p0_2.fits,4,5", "p0_2.fits,x", "p0_1.fits,6", "blind.fits,7"]
    plan(tmp_path / "in", ["path,order", *rows])
    path, events = mosaic(tmp_path)
    assert path is not None
    told = [(fields["line"], level) for key, _, level, fields in events.all if "skipping" in key]
    assert told == [(3, "WARN"), (5, "WARN"), (6, "WARN"), (7, "WARN")]
    assert "[GRID] Row 3: missing file path, skipping" in events.keys
    assert texts(events, "Rejecting frame blind.fits: no WCS")
    assert fits.getheader(path)["NFRAMES"] == 2


def test_exposures_count_only_where_all_are_known(tmp_path: Path) -> None:
    """One that is missing is told, and all frames count alike."""
    write_all(tmp_path / "in", panels(1, 1, 2), SKY)
    plan(tmp_path / "in", ["path,exposure", "p0_0.fits,10", "p0_1.fits,"])
    path, events = mosaic(tmp_path)
    assert path is not None
    assert texts(events, "1 row(s) have no exposure")
    assert fits.getdata(path.with_name("mosaic_grid_coverage.fits")).max() == pytest.approx(2)


@pytest.mark.parametrize(
    ("lines", "told", "says"),
    [
        (None, "stack_plan.csv not found at", "expected stack_plan.csv in the input folder"),
        (["a,b", "p0_0.fits,1"], "Grid mode aborted: no frames loaded", "add the header line"),
        (["path"], "Grid mode aborted: no frames loaded", "expected rows with frames"),
        (["path", "p0_0.fits", "ghost.fits"], "Row 3: file not found", r"found none at ghost\.fits"),
        (["path,filter", "p0_0.fits,L", "p0_1.fits,R"], "Grid mode aborted: no frames loaded", "found L, R"),
        (["path", '"p0_0.fits'], "Grid mode aborted: no frames loaded", "in line 2: correct it"),
    ],
)
def test_a_plan_that_cannot_be_used_ends_the_run(tmp_path: Path, lines, told: str, says: str) -> None:
    """An error event, and an exception that says what was expected, found and is to be done; nothing is written."""
    write_all(tmp_path / "in", panels(1, 1, 2), SKY)
    if lines is not None:
        plan(tmp_path / "in", lines)
    said, events = failed(tmp_path)
    assert texts(events, told)
    assert any(level == "ERROR" and key.startswith("[GRID] ") for key, _, level, _ in events.all)
    assert says.replace("\\", "") in said


# How a run can end


def _no_space(*_: object) -> None:
    raise OSError("No space left on device")


def _impossible(*_: object) -> None:
    raise ValueError("no common grid")


@pytest.mark.parametrize(
    ("module", "name", "fault", "told"),
    [
        (survey, "common_grid", _impossible, "Grid mode aborted: unable to build grid"),
        (output, "write_sky_tile", _no_space, "Tile 1 failed with error: No space left on device"),
        (output, "write_survey", _no_space, "Grid mode aborted: assembly failed"),
    ],
)
def test_what_fails_is_told_and_raised(tmp_path: Path, monkeypatch, *, module, name: str, fault, told: str) -> None:
    """There is never a way back to master tiles."""
    write_all(tmp_path / "in", panels(1, 1, 2), SKY)
    plan(tmp_path / "in")
    monkeypatch.setattr(module, name, fault)
    _, events = failed(tmp_path)
    assert texts(events, told)
    assert not texts(events, "PHASE_UPDATE")


def test_a_folder_that_cannot_be_made_is_told_and_raised(tmp_path: Path) -> None:
    """A file in its place is left alone."""
    write_all(tmp_path / "in", panels(1, 1, 2), SKY)
    plan(tmp_path / "in")
    (tmp_path / "out").write_text("in the way")
    said, _ = failed(tmp_path)
    assert "name another output folder" in said


def test_frames_that_are_all_bad_are_told_and_raised(tmp_path: Path) -> None:
    """Each is named with the reason."""
    write(tmp_path / "in", Exposure("a.fits"), SKY).write_bytes(b"no FITS")
    plan(tmp_path / "in")
    _, events = failed(tmp_path)
    assert texts(events, "Rejecting frame a.fits: unreadable")


def test_a_tile_that_is_damaged_is_left_out_and_counted(field: Path, good: tuple[Path, Events], monkeypatch) -> None:
    """It is named, the summary counts it, and the others make the mosaic."""
    write_tile = output.write_sky_tile

    def damaging(path: Path, *args: object) -> None:
        write_tile(path, *args)  # type: ignore[arg-type]
        if path.name == "tile_0006.fits":
            path.write_bytes(b"damaged")

    monkeypatch.setattr(output, "write_sky_tile", damaging)
    path, events = mosaic(field, "damaged", config={"grid_size_factor": 1.5})
    assert path is not None
    assert texts(events, "Tile 6: unreadable")
    assert texts(events, "attempted=12, io_fail=1, channel_mismatch=0, empty_mask=0, kept=11")
    assert covered(path) < covered(good[0])


def covered(path: Path) -> int:
    """Return how many pixels of a mosaic are covered."""
    return int((fits.getdata(path.with_name(f"{path.stem}_coverage.fits")) > 0).sum())


def test_tiles_without_frames_are_told(tmp_path: Path) -> None:
    """Two panels far apart leave tiles between them: no file, and a text for each that says so."""
    write_all(tmp_path / "in", [Exposure("a.fits"), Exposure("b.fits", east=600.0)], SKY)
    plan(tmp_path / "in")
    path, events = mosaic(tmp_path)
    assert path is not None
    empty = texts(events, "no frames, skipping") + texts(events, "no usable patches")
    assert empty
    saved = len(texts(events, "saved to")) - 1
    assert saved == len(list((path.parent / "tiles").iterdir()))
    assert saved + len(empty) == len(texts(events, "[GRID] [GRID] Tile "))


# The seeded defects


def test_a_dropped_tile_is_counted_as_kept(field: Path, good: tuple[Path, Events]) -> None:
    """Every tile is there and the summary says kept, but its sky is missing from the mosaic."""
    wrong = frozenset({defects.GRID_TILE_DROPPED})
    path, events = mosaic(field, "dropped", config={"grid_size_factor": 1.5}, retention="per_tile", defects=wrong)
    assert path is not None
    assert texts(events, "attempted=12, io_fail=0, channel_mismatch=0, empty_mask=0, kept=12")
    assert len(list((path.parent / "tiles").iterdir())) == 12
    assert covered(path) < 0.97 * covered(good[0])


@pytest.mark.parametrize(
    ("mode", "defect", "announced"),
    [
        ("sds", defects.SILENT_SDS_FALLBACK, "sds_on_mega_tile_pipeline"),
        ("grid", defects.SILENT_GRID_FALLBACK, "[GRID] Grid/Survey mode activated (stack_plan.csv detected)"),
    ],
)
def test_a_silent_fallback_announces_a_mode_and_makes_master_tiles(
    tmp_path: Path, caplog, mode: str, defect: str, announced: str
) -> None:
    """No event says that the mode was not taken; in another mode the defect does nothing."""
    write_all(tmp_path / "in", panels(1, 1, 3, cards={"INSTRUME": "Seestar S50"}), SKY)
    plan(tmp_path / "in")
    events = Events()
    wrong = frozenset({defect})
    settings = Settings(tmp_path / "in", tmp_path / "out", retention="per_tile", mode=mode, defects=wrong)  # type: ignore[arg-type]
    path = run_mosaic(settings, events)
    assert path is not None
    assert path.name == "zemosaic_MT1_R3.fits"
    assert announced in events.keys
    assert not [key for key in events.keys if "fallback" in key or "off_classic" in key]
    assert ("falling back to the classic pipeline" in caplog.text) == (mode == "grid")
    whole = run_mosaic(replace(settings, output_dir=tmp_path / "other", mode="classic"), Events())
    assert whole is not None


# Layout and photometry


@pytest.mark.parametrize(("shape", "side"), [((100, 100), 300), ((193, 261), 100), ((500, 40), 90.5)])
def test_feathers_add_up_to_one(shape: tuple[int, int], side: float) -> None:
    """Tiles cover the grid, none is larger than its side, and their weights add up to 1 on every pixel."""
    for overlap in (0.01, 0.2, 0.4):
        total = np.zeros(shape)
        for tile in sky_tiles(shape, side, overlap):
            assert all(end - first <= max(side + 1, min(shape)) for first, end in tile.box)
            total[tile.part] += tile.feather()
        np.testing.assert_allclose(total, 1.0, rtol=1e-5)


def test_overlap_photometry_finds_gains_and_offsets() -> None:
    """Three tiles in a row with scales and levels of their own: what is found makes them one, at their mean scale."""
    rng = np.random.default_rng(3)
    sky = rng.gamma(0.5, 200.0, (40, 30, 2)).astype(np.float32) + 300
    gains, offsets = np.array([1.0, 1.25, 0.8]), np.array([0.0, 40.0, -25.0])
    tiles = [(sky * gain + offset).astype(np.float32) for gain, offset in zip(gains, offsets, strict=True)]
    overlaps = [compared(i, j, tiles[i], tiles[j]) for i, j in ((0, 1), (1, 2))]
    found, shifts = solved(3, [o for o in overlaps if o is not None], 2)
    corrected = [tile * gain + shift for tile, gain, shift in zip(tiles, found, shifts, strict=True)]
    np.testing.assert_allclose(corrected[0], corrected[1], atol=0.05)
    np.testing.assert_allclose(corrected[0], corrected[2], atol=0.05)
    np.testing.assert_allclose(np.prod(found, axis=0), 1.0, rtol=1e-5)


def test_noise_alone_gives_no_gain() -> None:
    """Without common signal the gain is neutral, and said to be; the offset is found all the same."""
    rng = np.random.default_rng(4)
    one, other = (rng.normal(level, 3.0, (30, 30, 1)).astype(np.float32) for level in (100.0, 110.0))
    overlap = compared(0, 1, one, other)
    assert overlap is not None
    assert overlap.neutral
    gains, offsets = solved(2, [overlap], 1)
    np.testing.assert_array_equal(gains, 1.0)
    assert offsets[0] - offsets[1] == pytest.approx(10.0, abs=0.6)


def test_too_few_common_pixels_say_nothing() -> None:
    """A tile without overlaps is left as it is."""
    one = np.full((9, 9, 1), np.nan, np.float32)
    one[:3] = 5.0
    assert compared(0, 1, one, one) is None
    gains, offsets = solved(2, [], 1)
    assert (gains == 1).all()
    assert (offsets == 0).all()
