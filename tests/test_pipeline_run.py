"""Whole runs of the reference pipeline: truth, seams, determinism, retention, events, and every way to end."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from fixtures.pipeline import classic, grid, output, phase3, tile
from fixtures.pipeline import coadd as coadds
from fixtures.pipeline.defects import NAIVE_DELETION
from fixtures.pipeline.parts import RIGHT
from fixtures.pipeline.plan import PlanError
from fixtures.pipeline.run import run_mosaic
from fixtures.pipeline.settings import Settings, SettingsError
from tests.pipeline_skies import SHAPE, Events, Exposure, measure, panels, stars, write, write_all

SKY = stars(70, reach=280.0)
CACHES = ".zemosaic_img_cache"


def chain(names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Return a plan in which each panel's tile also takes the next panel's frames."""
    by_panel: dict[str, list[str]] = {}
    for name in names:
        by_panel.setdefault(name.partition("_")[0], []).append(name)
    own = list(by_panel.values())
    return tuple(tuple(a + b) for a, b in zip(own, [*own[1:], []], strict=True))


def mosaic(folder: Path, out: str = "out", **changes: object) -> tuple[Path | None, Events]:
    """Run on ``folder/in`` into a folder with a space and an accent in its name."""
    events = Events()
    path = run_mosaic(Settings(folder / "in", folder / f"{out} é", **changes), events)  # type: ignore[arg-type]
    return path, events


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four panels of four frames, with the chain plan's overlaps."""
    folder = tmp_path_factory.mktemp("field")
    write_all(folder / "in", panels(2, 2, 4), SKY)
    return folder


@pytest.fixture(scope="module")
def names(field: Path) -> tuple[str, ...]:
    """Return the frames of the field."""
    return tuple(sorted(p.name for p in (field / "in").iterdir()))


@pytest.fixture(scope="module")
def good(field: Path, names: tuple[str, ...]) -> tuple[Path, Events]:
    """Make a good run of the chain plan."""
    before = hashes(field / "in")
    path, events = mosaic(field, "good", plan=chain(names), retention="per_tile", workers=2)
    assert path is not None
    assert hashes(field / "in") == before, "the input was changed"
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
    """Mosaic, ALPHA, coverage and tiles: names, types, shapes, and the same sky in all."""
    path, _ = good
    assert path.name == "zemosaic_MT4_R16.fits"
    with fits.open(path) as hdus, fits.open(path.with_name("zemosaic_MT4_R16_coverage.fits")) as covers:
        image, alpha, coverage = hdus[0].data, hdus["ALPHA"].data, covers[0].data
        assert image.dtype == coverage.dtype == np.dtype(">f4")
        assert alpha.dtype == np.uint8
        assert image.shape[1:] == alpha.shape == coverage.shape
        np.testing.assert_array_equal(alpha == 255, np.isfinite(image[0]))
        np.testing.assert_array_equal(alpha == 255, coverage > 0)
        assert set(np.unique(alpha)) == {0, 255}
        assert coverage.max() == 4
        sky = [WCS(h[0].header, naxis=2).wcs_pix2world([[3.0, 4.0]], 0) for h in (hdus, covers)]
    np.testing.assert_array_equal(*sky)
    tiles = sorted(p.name for p in (path.parent / "zemosaic_temp_master_tiles").iterdir())
    assert tiles == [f"master_tile_{i:03d}.fits" for i in range(4)]


def test_the_headers_tell_where_a_mosaic_comes_from_and_not_on_whose_machine(
    good: tuple[Path, Events], field: Path
) -> None:
    """Frames, tiles, version and plan are named; no file holds a path or a date of the machine."""
    path, _ = good
    header = fits.getheader(path)
    assert (header["NTILES"], header["NFRAMES"]) == (4, 16)
    assert len(header["PLANHASH"]) == 64
    history = "".join(str(line) for line in header["HISTORY"])
    assert all(f"p{p}_{n}.fits" in history for p in range(4) for n in range(4))
    for file in path.parent.rglob("*.fits"):
        assert os.fsencode(field.name) not in file.read_bytes()
        assert "DATE" not in fits.getheader(file)


def test_the_events_come_in_the_order_of_the_target_that_it_stands_for(good: tuple[Path, Events]) -> None:
    """Every key of a good classic run, in its order, with its fields."""
    _, events = good
    order = [
        "run_info_processing_started",
        "run_info_phase1_started_cache",
        "PHASE_UPDATE:1",
        "RAW_FILE_COUNT_UPDATE:1/16",
        "RAW_FILE_COUNT_UPDATE:16/16",
        "run_info_phase1_finished_cache",
        "run_info_phase2_started",
        "PHASE_UPDATE:2",
        "run_info_phase2_finished",
        "run_info_phase3_started_from_cache",
        "PHASE_UPDATE:3",
        "MASTER_TILE_COUNT_UPDATE:0/4",
        "MASTER_TILE_COUNT_UPDATE:4/4",
        "run_info_phase3_finished_from_cache",
        "run_info_phase3_finished",
        "run_info_phase4_started",
        "calcgrid_info_optimal_grid_calculated",
        "run_info_phase4_finished",
        "PHASE_UPDATE:5",
        "run_info_phase5_started_reproject_coadd",
        "assemble_info_finished_reproject_coadd",
        "run_info_phase5_finished_reproject_coadd",
        "PHASE_UPDATE:6",
        "run_info_phase6_started",
        "run_success_mosaic_saved",
        "run_info_phase7_cleanup_starting",
        "PHASE_UPDATE:7",
        "run_success_processing_completed",
        "PROCESS_DONE",
    ]
    assert [key for key in events.keys if key in order] == order
    assert events.named("run_info_phase1_finished_cache") == [{"num_valid_raws": 16}]
    assert events.named("run_info_phase2_finished") == [{"num_groups": 4}]
    assert events.named("run_info_phase3_finished_from_cache") == [{"num_master_tiles": 4}]
    assert events.named("run_info_phase3_finished") == [{"num_master_tiles": 4}]
    assert events.named("run_success_mosaic_saved") == [{"filename": "zemosaic_MT4_R16.fits"}]
    assert {key for key, _, level, _ in events.all if isinstance(level, int)} == {
        "phase1_scan",
        "phase3_master_tiles",
        "phase4_grid",
        "phase5_reproject",
    }
    assert not [key for key, _, level, _ in events.all if level in {"WARN", "ERROR"}]


@pytest.mark.parametrize(("retention", "workers"), [("keep", 1), ("run_end", 2), ("per_tile", 1), ("per_tile", 2)])
def test_the_result_is_the_same_to_the_bit(
    field: Path, names, good: tuple[Path, Events], retention: str, workers: int
) -> None:
    """On every run, for any number of workers, and for each retention; only keep leaves caches."""
    out = f"{retention}{workers}"
    path, _ = mosaic(field, out, plan=chain(names), retention=retention, workers=workers)
    assert path is not None
    expected, found = hashes(good[0].parent), hashes(path.parent)
    assert {n: h for n, h in found.items() if not n.endswith(".npy")} == expected
    assert sum(n.endswith(".npy") for n in found) == (16 if retention == "keep" else 0)
    assert (path.parent / CACHES).exists() == (retention == "keep")


def test_retries_are_the_same_to_the_bit(tmp_path: Path) -> None:
    """Two panels whose first frame has no stars retry in any order of numbers; the mosaic does not tell."""
    exposures = [replace(e, clouded=e.name.endswith("_0.fits")) for e in panels(2, 1, 4)]
    write_all(tmp_path / "in", exposures, SKY)
    found = []
    for workers in (1, 2, 2):
        path, events = mosaic(tmp_path, f"w{workers}{len(found)}", retention="per_tile", workers=workers)
        assert path is not None
        assert path.name == "zemosaic_MT4_R8.fits"
        assert sorted(e["new_tile"] for e in events.named("run_info_phase3_retry_submitted")) == [2, 3]
        found.append((path.read_bytes(), path.with_name(f"{path.stem}_coverage.fits").read_bytes()))
    assert found[0] == found[1] == found[2]


def test_per_tile_frees_caches_while_tiles_are_made(field: Path, names) -> None:
    """Fewer caches are left after each tile; with run_end all stay until the end."""
    left: dict[str, list[int]] = {"per_tile": [], "run_end": []}
    for retention, counts in left.items():
        folder = field / f"free {retention} é" / CACHES

        class Counting(Events):
            def __call__(self, key, progress=None, level="INFO", /, folder=folder, counts=counts, **fields) -> None:
                """Count the caches after each tile."""
                if key.startswith("MASTER_TILE_COUNT_UPDATE"):
                    counts.append(len(list(folder.glob("*.npy"))))
                super().__call__(key, progress, level, **fields)

        settings = Settings(field / "in", folder.parent, chain(names), retention, 1)  # type: ignore[arg-type]
        assert run_mosaic(settings, Counting()) is not None
        assert not folder.exists()
    assert left == {"per_tile": [16, 12, 8, 4, 0], "run_end": [16] * 5}


def test_a_starless_first_frame_becomes_a_tile_of_its_own(tmp_path: Path) -> None:
    """The natural case: the others retry together, find their caches, and no frame is lost."""
    exposures = [replace(e, clouded=e.name == "p1_0.fits") for e in panels(2, 1, 4)]
    write_all(tmp_path / "in", exposures, SKY)
    path, events = mosaic(tmp_path, retention="per_tile", workers=2)
    assert path is not None
    assert path.name == "zemosaic_MT3_R8.fits"
    assert events.named("run_info_phase3_retry_submitted") == [{"origin_tile": 1, "new_tile": 2, "frames": 3}]
    assert not events.named("mastertile_warn_cache_file_missing")
    retried = path.parent / "zemosaic_temp_master_tiles" / "master_tile_002.fits"
    assert (fits.getval(retried, "ZMT_REF"), fits.getval(retried, "ZMT_NALGN")) == ("p1_1.fits", 3)
    naive, events = mosaic(tmp_path, "naive", retention="per_tile", workers=2, defects=frozenset({NAIVE_DELETION}))
    assert naive is not None
    assert naive.name == "zemosaic_MT2_R8.fits"
    assert len(events.named("mastertile_warn_cache_file_missing")) == 3
    assert events.named("mastertile_error_no_valid_images_from_cache") == [{"tile_id": 2}]
    assert [e["stack_num"] for e in events.named("run_warn_phase3_master_tile_creation_failed_thread")] == [3]


class Released(Events):
    """Events that make tiles wait at their start until so many tiles were released, so that no test depends on luck."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, needed: dict[int, int]) -> None:
        super().__init__()
        self._count = 0
        self._changed = threading.Condition()
        make = tile.make_master_tile

        def waiting(group, number: int, *rest: object):
            with self._changed:
                assert self._changed.wait_for(lambda: self._count >= needed.get(number, 0), timeout=60)
            return make(group, number, *rest)

        monkeypatch.setattr(tile, "make_master_tile", waiting)

    def __call__(self, key, progress=None, level="INFO", /, **fields) -> None:
        """Keep an event, and let tiles go on that wait for it."""
        super().__call__(key, progress, level, **fields)
        if key.startswith("MASTER_TILE_COUNT_UPDATE:"):
            with self._changed:
                self._count = int(key.partition(":")[2].partition("/")[0])
                self._changed.notify_all()


def test_the_naive_defect_loses_a_tile_of_a_chain(field: Path, names, good, monkeypatch) -> None:
    """One tile after the other: each lacks what the one before has deleted, and the last has nothing left."""
    events = Released(monkeypatch, {0: 0, 1: 1, 2: 2, 3: 3})
    settings = Settings(field / "in", field / "naive1", chain(names), "per_tile", 1, frozenset({NAIVE_DELETION}))
    path = run_mosaic(settings, events)
    assert path is not None
    assert path.name == "zemosaic_MT3_R16.fits"
    assert events.named("run_info_phase3_finished_from_cache") == [{"num_master_tiles": 3}]
    assert len(events.named("mastertile_warn_cache_file_missing")) == 12
    assert events.named("mastertile_error_no_valid_images_from_cache") == [{"tile_id": 3}]
    assert covered(path) < 0.9 * covered(good[0])


def test_the_naive_defect_loses_frames_when_the_lender_is_first(field: Path, names, good, monkeypatch) -> None:
    """With two workers, when tile 1 ends first, tiles 0 and 2 lack what it has deleted: frames are lost, sky is uncovered."""
    events = Released(monkeypatch, {0: 1, 2: 1})
    settings = Settings(field / "in", field / "naive2", chain(names), "per_tile", 2, frozenset({NAIVE_DELETION}))
    path = run_mosaic(settings, events)
    assert path is not None
    missing = {(e["tile_id"], str(e["filename"])[:2]) for e in events.named("mastertile_warn_cache_file_missing")}
    assert {(0, "p1"), (2, "p2")} <= missing
    assert covered(path) < 0.9 * covered(good[0])


def test_reference_counting_stands_the_same_order(field: Path, names, good, monkeypatch) -> None:
    """Whatever the order in which tiles end, nothing is lost and the mosaic is the same."""
    for out, needed in (("lender", {0: 1, 2: 1}), ("reverse", {0: 3, 1: 0, 2: 1, 3: 2})):
        events = Released(monkeypatch, needed)
        path = run_mosaic(Settings(field / "in", field / out, chain(names), "per_tile", 2), events)
        assert path is not None
        assert path.read_bytes() == good[0].read_bytes()
        assert not events.named("mastertile_warn_cache_file_missing")
        monkeypatch.undo()


def covered(path: Path) -> int:
    """Return how many pixels of a mosaic any tile covers."""
    return int((fits.getdata(path.with_name(f"{path.stem}_coverage.fits")) > 0).sum())


@pytest.mark.parametrize("retention", ["keep", "run_end"])
def test_the_naive_defect_does_nothing_without_per_tile(field: Path, names, good, retention: str) -> None:
    """The pair of a control is as good as any run."""
    path, _ = mosaic(
        field,
        f"pair {retention}",
        plan=chain(names),
        retention=retention,
        workers=2,
        defects=frozenset({NAIVE_DELETION}),
    )
    assert path is not None
    assert path.read_bytes() == good[0].read_bytes()


def test_a_constant_sky_stays_constant_across_seams(tmp_path: Path) -> None:
    """Panels whose sky levels differ by far are brought to one level, with no step where tiles and frames end."""
    exposures = [replace(e, noise=0.0, clouded=True, level=500.0 + 60 * i) for i, e in enumerate(panels(2, 2, 3))]
    write_all(tmp_path / "in", exposures, SKY)
    path, _ = mosaic(tmp_path)
    image = fits.getdata(path)
    assert np.isfinite(image).mean() > 0.8
    assert np.nanmax(image) - np.nanmin(image) < 0.01


def test_noise_does_not_turn_into_seams(tmp_path: Path) -> None:
    """With noise, medians of the four corners of the mosaic agree to a tenth of one frame's noise."""
    exposures = [replace(e, clouded=True, level=500.0 + 60 * i) for i, e in enumerate(panels(2, 2, 3))]
    write_all(tmp_path / "in", exposures, SKY)
    path, _ = mosaic(tmp_path)
    image = fits.getdata(path)[0]
    rows, columns = (n // 2 for n in image.shape)
    levels = [
        np.nanmedian(part) for half in (image[:rows], image[rows:]) for part in (half[:, :columns], half[:, columns:])
    ]
    assert max(levels) - min(levels) < 0.3


def test_colour_fields_are_mosaicked_too(tmp_path: Path) -> None:
    """Bayer frames, uint16, mirrored and upside down: three channels with the filters' levels, stars in place."""
    exposures = panels(2, 1, 4, bayer="GRBG", filters=(0.8, 1.0, 0.6), mirrored=True, dtype="uint16", level=1000.0)
    exposures = [replace(e, angle=e.angle + 180.0) for e in exposures]
    write_all(tmp_path / "in", exposures, SKY)
    path, _ = mosaic(tmp_path, workers=2)
    image, header = fits.getdata(path, header=True)
    assert image.shape[0] == 3
    np.testing.assert_allclose(np.nanmedian(image, axis=(1, 2)), [800, 1000, 600], rtol=0.01)
    for channel, gain in enumerate((0.8, 1.0, 0.6)):
        found = measure(image[channel] / gain, WCS(header, naxis=2), SKY)
        assert np.median(found[:, 0]) == pytest.approx(1.0, abs=0.02)
        assert np.median(found[:, 1]) < 0.1


def test_without_a_plan_panels_are_found_by_their_place(field: Path) -> None:
    """Four panels, four tiles, of four frames each."""
    path, events = mosaic(field, "clusters")
    assert path is not None
    assert path.name == "zemosaic_MT4_R16.fits"
    assert [e["num_raw"] for e in events.named("mastertile_info_creation_started_from_cache")] == [4, 4, 4, 4]


def test_frames_in_no_group_form_one_more(field: Path, names) -> None:
    """The plan decides its own groups only."""
    _, events = mosaic(field, "rest", plan=(names[:4], names[4:8]))
    assert [e["num_raw"] for e in events.named("mastertile_info_creation_started_from_cache")] == [4, 4, 8]


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path) -> None:
    """A whole run of 18 frames needs little more memory than one of 6."""
    peaks = []
    for count in (2, 6, 18):  # the first warms up what libraries keep
        folder = tmp_path / str(count)
        write_all(folder / "in", panels(1, 1, count), SKY)
        tracemalloc.start()
        mosaic(folder, retention="per_tile", config={"stack_block_mib": 1.0})
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] * 1.2


# How a run can end


def _no_space(*_: object) -> None:
    raise OSError("No space left on device")


def test_a_tile_that_cannot_be_loaded_is_left_out_of_the_mosaic(tmp_path: Path, monkeypatch) -> None:
    """It is named with its cause; every other tile is read just twice, for its level and for its pixels."""
    write_all(tmp_path / "in", panels(2, 1, 3), SKY)
    load, loaded = classic._load, []

    def failing(path: Path) -> object:
        loaded.append(path.name)
        if path.name.endswith("001.fits"):
            raise KeyError("COUNT")
        return load(path)

    monkeypatch.setattr(classic, "_load", failing)
    path, events = mosaic(tmp_path, plan=tuple(tuple(f"p{p}_{k}.fits" for k in range(3)) for p in (0, 1)))
    assert path is not None
    assert events.named("run_warn_phase5_invalid_tile_skipped_for_assembly") == [
        {"filename": "master_tile_001.fits", "error": "'COUNT'"}
    ]
    assert loaded == ["master_tile_000.fits", "master_tile_001.fits", "master_tile_000.fits"]
    assert 0 < np.mean(fits.getdata(path.with_name(f"{path.stem}_coverage.fits"))) < 0.9


def test_bad_frames_are_left_out_with_an_event_that_says_why(tmp_path: Path) -> None:
    """No WCS, NaN only and a truncated file are named with reason, expectation, finding and remedy; the rest are mosaicked."""
    exposures = panels(1, 1, 3)
    write_all(tmp_path / "in", [*exposures, Exposure("odd.fits", shape=(90, 130))], SKY)
    fits.writeto(tmp_path / "in" / "blind.fits", np.zeros(SHAPE, np.float32))
    write(tmp_path / "in", Exposure("nan.fits"), SKY)
    with fits.open(tmp_path / "in" / "nan.fits", mode="update") as hdus:
        hdus[0].data[:] = np.nan
    whole = write(tmp_path / "in", Exposure("short.fits"), SKY)
    whole.write_bytes(whole.read_bytes()[:30_000])
    before = hashes(tmp_path / "in")
    plan = (("blind.fits", "p0_0.fits", "p0_1.fits"), ("nan.fits",))
    path, events = mosaic(tmp_path, workers=2, plan=plan, retention="per_tile")
    assert path is not None
    assert path.name == "zemosaic_MT2_R4.fits"
    rejected = {e["filename"]: e for e in events.named("run_warn_phase1_frame_rejected")}
    assert {name: e["reason"] for name, e in rejected.items()} == {
        "blind.fits": "no WCS",
        "nan.fits": "no finite pixel",
        "short.fits": "truncated",
    }
    assert all(e["expected"] and e["found"] and e["action"] for e in rejected.values())
    assert events.named("run_warn_phase2_planned_frames_unusable") == [{"filenames": ["blind.fits", "nan.fits"]}]
    mixed = events.named("run_info_phase2_mixed_shapes")
    assert [e["shapes"] for e in mixed] == [["90 x 130 x 1", "110 x 150 x 1"]]
    assert hashes(tmp_path / "in") == before


def test_shapes_may_differ_between_groups(tmp_path: Path) -> None:
    """Panels of two cameras make one mosaic."""
    exposures = [replace(e, shape=(90, 130)) if e.name.startswith("p1") else e for e in panels(2, 1, 3)]
    write_all(tmp_path / "in", exposures, SKY)
    path, events = mosaic(tmp_path)
    assert path is not None
    assert path.name == "zemosaic_MT2_R6.fits"
    assert not events.named("run_info_phase2_mixed_shapes")


@pytest.mark.parametrize("present", [True, False])
def test_a_folder_without_frames_ends_the_run(tmp_path: Path, present: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    """An empty folder and one that is not there: an error event, no exception, no mosaic, nothing written."""
    if present:
        (tmp_path / "in").mkdir()
    path, events = mosaic(tmp_path)
    assert path is None
    assert len(events.named("run_error_no_fits_found_input")) == 1
    assert events.keys[-1] == "PROCESS_DONE"
    assert not (tmp_path / "out é").exists()


def test_frames_that_are_all_bad_end_the_run(tmp_path: Path) -> None:
    """An error event says so, after one for each frame."""
    (tmp_path / "in").mkdir()
    for name in ("a.fits", "b.fits"):
        (tmp_path / "in" / name).write_bytes(b"no FITS")
    path, events = mosaic(tmp_path)
    assert path is None
    assert len(events.named("run_warn_phase1_frame_rejected")) == 2
    assert len(events.named("run_error_phase1_no_valid_raws_after_cache")) == 1


def test_an_output_folder_that_cannot_be_made_ends_the_run(tmp_path: Path) -> None:
    """A file in its place is left alone."""
    write_all(tmp_path / "in", panels(1, 1, 2), SKY)
    (tmp_path / "out é").write_text("in the way")
    path, events = mosaic(tmp_path)
    assert path is None
    assert len(events.named("run_error_cache_dir_creation_failed")) == 1
    assert (tmp_path / "out é").read_text() == "in the way"


def test_a_plan_that_names_an_absent_frame_is_refused(tmp_path: Path) -> None:
    """Before any work: an event with the names, PROCESS_ERROR, and an exception that says what to do."""
    write_all(tmp_path / "in", panels(1, 1, 2), SKY)
    events = Events()
    settings = Settings(tmp_path / "in", tmp_path / "out", (("p0_0.fits", "ghost.fits"),))
    with pytest.raises(PlanError, match=r"found none named ghost\.fits: correct the plan, or add the files"):
        run_mosaic(settings, events)
    assert events.named("run_error_plan_names_absent_frame") == [{"filenames": ["ghost.fits"]}]
    assert events.keys[-2:] == ["PROCESS_ERROR", "PROCESS_DONE"]
    assert not (tmp_path / "out").exists()


def test_an_unknown_defect_is_refused(tmp_path: Path) -> None:
    """Before anything is done."""
    with pytest.raises(SettingsError, match="found typo"):
        mosaic(tmp_path, defects=frozenset({"typo"}))


def test_a_full_disk_in_phase_1_is_an_exception(tmp_path: Path, monkeypatch) -> None:
    """A mosaic from the frames that still fitted would be silently poor, so there is none."""
    write_all(tmp_path / "in", panels(1, 1, 4), SKY)

    monkeypatch.setattr(np, "save", _no_space)
    events = Events()
    with pytest.raises(OSError, match="No space left"):
        run_mosaic(Settings(tmp_path / "in", tmp_path / "out", workers=2), events)
    assert events.keys[-2:] == ["PROCESS_ERROR", "PROCESS_DONE"]
    assert not list((tmp_path / "out" / CACHES).iterdir())


def _impossible(*_: object) -> None:
    raise ValueError("no common grid")


def _with(**parts: object):
    """Return what chooses these parts, and the right ones else."""
    return lambda *_: replace(RIGHT, **parts)


@pytest.mark.parametrize(
    ("module", "name", "fault", "key"),
    [
        (output, "write_mosaic", _no_space, "run_error_phase6_save_failed"),
        (classic.defects, "parts", _with(write_tile=_no_space), "run_error_phase3_no_master_tiles_created"),
        (classic.defects, "parts", _with(common_grid=_impossible), "run_error_phase4_grid_calculation_failed"),
        (classic, "_load", _no_space, "run_error_phase5_no_valid_tiles"),
    ],
)
def test_a_phase_that_fails_ends_the_run_with_its_event(
    tmp_path: Path, monkeypatch, *, module, name: str, fault, key: str
) -> None:
    """No exception, no mosaic, and the caches stay, as on every end but a good one."""
    write_all(tmp_path / "in", panels(1, 1, 2), SKY)
    monkeypatch.setattr(module, name, fault)
    path, events = mosaic(tmp_path)
    assert path is None
    assert len(events.named(key)) == 1
    assert events.keys[-1] == "PROCESS_DONE"
    assert len(list((tmp_path / "out é" / CACHES).glob("*.npy"))) == 2
    assert not list((tmp_path / "out é").glob("*.fits"))


def test_a_tile_that_is_damaged_after_phase_3_is_skipped(tmp_path: Path, monkeypatch) -> None:
    """It is named in an event, and the others make the mosaic."""
    write_all(tmp_path / "in", panels(2, 1, 3), SKY)

    def damaging(*args: object, **kwargs: object):
        made = make_all(*args, **kwargs)
        made[0].path.write_bytes(b"damaged")
        return made

    make_all = phase3.make_all
    monkeypatch.setattr(phase3, "make_all", damaging)
    path, events = mosaic(tmp_path)
    assert path is not None
    assert path.name == "zemosaic_MT1_R6.fits"
    assert [Path(str(e["path"])).name for e in events.named("run_warn_phase4_invalid_master_tile_for_grid")] == [
        "master_tile_000.fits"
    ]


def test_caches_that_cannot_be_deleted_do_not_fail_the_run(tmp_path: Path, monkeypatch, caplog) -> None:
    """Neither in Phase 3, where a DEBUG line tells, nor in Phase 7, where an event does."""
    write_all(tmp_path / "in", panels(1, 1, 3), SKY)
    remove, unlink = os.unlink, Path.unlink

    def refusing(path, *args, **kwargs) -> None:
        if str(path).endswith("_1.npy"):
            raise PermissionError(13, "in use", str(path))
        remove(path, *args, **kwargs)

    def refusing_path(path: Path, missing_ok: bool = False) -> None:  # noqa: FBT001, FBT002 -- the signature of Path.unlink
        if path.name.endswith("_1.npy"):
            raise PermissionError(13, "in use", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(os, "unlink", refusing)
    monkeypatch.setattr(Path, "unlink", refusing_path)
    caplog.set_level("DEBUG", "Phase3Reference")
    path, events = mosaic(tmp_path, retention="per_tile")
    assert path is not None
    assert path.exists()
    assert [p.name for p in (path.parent / CACHES).iterdir()] == ["preprocessed_p0_1_1.npy"]
    assert any(r.levelname == "DEBUG" and r.getMessage().startswith("Failed to remove") for r in caplog.records)
    assert events.named("run_warn_phase7_cleanup_failed")
    assert len(events.named("run_success_processing_completed")) == 1


def test_threads_end_with_the_run(good: tuple[Path, Events]) -> None:
    """No thread of a pool outlives its phase."""
    assert good[0].exists()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("Ref_")]


def test_starting_imports_nothing_heavy() -> None:
    """The package itself, and its settings, load no library: a launcher may look at them for free."""
    code = (
        "import sys, fixtures.pipeline.settings; sys.exit(any(m in sys.modules for m in ('numpy', 'astropy', 'scipy')))"
    )
    root = Path(__file__).resolve().parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_the_grid_holds_every_tile_whole(good: tuple[Path, Events]) -> None:
    """Every pixel of every tile has its place on the common grid."""
    folder = good[0].parent / "zemosaic_temp_master_tiles"
    headers = [fits.getheader(path) for path in sorted(folder.iterdir())]
    cards, shape = grid.common_grid([((h["NAXIS2"], h["NAXIS1"]), classic.sky_cards(h)) for h in headers])
    for header in headers:
        blank = coadds.Tile(
            np.zeros((header["NAXIS2"], header["NAXIS1"], 1), np.float32),
            np.ones((header["NAXIS2"], header["NAXIS1"]), np.int32),
            classic.build(classic.sky_cards(header)),
        )
        rows, columns = coadds.box_on(blank.count.shape, blank.wcs, classic.build(cards), shape)
        assert rows[1] - rows[0] >= header["NAXIS2"]
        assert columns[1] - columns[0] >= header["NAXIS1"]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_real_field_is_mosaicked(tmp_path: Path, monkeypatch, workers: int) -> None:
    """Observed frames of HAT-P-32 with the chain plan: four tiles of all frames; with the naive defect frames are lost."""
    root = os.environ.get("PHASE3_DATA_DIR")
    if not root or not (Path(root) / "microobs_hatp32_4panels").is_dir():
        pytest.skip("no real frames: set PHASE3_DATA_DIR to a folder that has microobs_hatp32_4panels")
    frames = Path(root) / "microobs_hatp32_4panels"
    plan = chain(tuple(sorted(p.name for p in frames.glob("*.fits"))))
    defects = frozenset({NAIVE_DELETION}) if workers == 1 else frozenset[str]()
    events = Released(monkeypatch, {n: n for n in range(4)} if workers == 1 else {})
    path = run_mosaic(Settings(frames, tmp_path / "out", plan, "per_tile", workers, defects), events)
    assert path is not None
    assert path.name == ("zemosaic_MT3_R48.fits" if defects else "zemosaic_MT4_R48.fits")
    aligned = [fits.getval(p, "ZMT_NALGN") for p in sorted((path.parent / "zemosaic_temp_master_tiles").iterdir())]
    assert aligned == ([24, 12, 12] if defects else [24, 24, 24, 12])
