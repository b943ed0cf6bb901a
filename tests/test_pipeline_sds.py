"""Whole SDS runs of the reference pipeline: truth, seams, coverage, determinism, and when SDS is not taken."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from fixtures.pipeline import cache, sds
from fixtures.pipeline.run import run_mosaic
from fixtures.pipeline.settings import Settings, SettingsError
from tests.pipeline_skies import Events, measure, panels, stars, write_all

SKY = stars(70, reach=280.0)
SEESTAR = {"INSTRUME": "Seestar S50"}
ALL = {"sds_min_coverage_keep": 0.0}


def mosaic(folder: Path, out: str = "out", **changes: object) -> tuple[Path | None, Events]:
    """Run SDS on ``folder/in``."""
    events = Events()
    path = run_mosaic(Settings(folder / "in", folder / out, mode="sds", **changes), events)  # type: ignore[arg-type]
    return path, events


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return four panels of four frames of a Seestar."""
    folder = tmp_path_factory.mktemp("sds")
    write_all(folder / "in", panels(2, 2, 4, cards=SEESTAR), SKY)
    return folder


@pytest.fixture(scope="module")
def good(field: Path) -> tuple[Path, Events]:
    """Make a good run that masks nothing."""
    path, events = mosaic(field, "good", workers=2, config={**ALL, "sds_target_batch_size": 3})
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


def test_the_coverage_counts_frames(good: tuple[Path, Events]) -> None:
    """Sixteen frames meet in the middle; mosaic, ALPHA and coverage agree on what is covered; no tile is made, none named."""
    path, _ = good
    assert path.name == "zemosaic_MT0_R16.fits"
    with fits.open(path) as hdus, fits.open(path.with_name("zemosaic_MT0_R16_coverage.fits")) as covers:
        image, alpha, coverage = hdus[0].data, hdus["ALPHA"].data, covers[0].data
        assert "NTILES" not in hdus[0].header
        assert hdus[0].header["NBATCHES"] == 8
    assert coverage.max() == 16
    np.testing.assert_array_equal(coverage, np.rint(coverage))
    np.testing.assert_array_equal(alpha == 255, coverage > 0)
    np.testing.assert_array_equal(alpha == 255, np.isfinite(image[0]))
    assert [p.name for p in path.parent.iterdir() if p.is_dir()] == []


def test_the_events_come_in_the_order_of_the_target_that_it_stands_for(good: tuple[Path, Events]) -> None:
    """Phases 1, 2, 6, 7, the keys of SDS between them, a coadd and a line a batch, and nothing of Phase 3."""
    _, events = good
    order = [
        "run_info_phase1_finished_cache",
        "PHASE_UPDATE:2",
        "run_info_phase2_finished",
        "sds_info_runtime_wcs_built",
        "sds_on_mega_tile_pipeline",
        "sds_info_batches_built",
        *(["p4_global_coadd_started", "p4_global_coadd_finished"] * 8),
        "phase5_sds_polish_start",
        "sds_mask_cov_summary",
        "sds_global_finalize_done",
        "PHASE_UPDATE:6",
        "run_info_phase6_started",
        "run_success_mosaic_saved",
        "run_info_phase7_cleanup_starting",
        "PHASE_UPDATE:7",
        "run_success_processing_completed",
        "PROCESS_DONE",
    ]
    assert [key for key in events.keys if key in order] == order
    assert [key for key in events.keys if key.startswith("PHASE_UPDATE")] == [f"PHASE_UPDATE:{n}" for n in (1, 2, 6, 7)]
    assert events.named("sds_info_batches_built") == [{"count": 8, "total_entries": 16}]
    batches = [key for key in events.keys if key.startswith("[SDS] Batch ")]
    assert [key.split(" |")[0] for key in batches] == [f"[SDS] Batch {n}/8" for n in range(1, 9)]
    assert not [key for key in events.keys if "phase3" in key or key.startswith("MASTER_TILE_COUNT_UPDATE")]
    assert not [key for key, _, level, _ in events.all if level in {"WARN", "ERROR"}]


@pytest.mark.parametrize(("retention", "workers"), [("keep", 1), ("per_tile", 2)])
def test_the_result_is_the_same_to_the_bit(
    field: Path, good: tuple[Path, Events], retention: str, workers: int
) -> None:
    """For any number of workers and each retention; only keep leaves caches."""
    config = {**ALL, "sds_target_batch_size": 3}
    path, _ = mosaic(field, retention, retention=retention, workers=workers, config=config)
    assert path is not None
    for name in (path.name, f"{path.stem}_coverage.fits"):
        assert path.with_name(name).read_bytes() == good[0].with_name(name).read_bytes()
    assert len(list(path.parent.glob(f"{cache.FOLDER}/*.npy"))) == (16 if retention == "keep" else 0)


def test_what_is_covered_less_is_masked(field: Path, good: tuple[Path, Events]) -> None:
    """By default less than 0.4 of the most frames on any pixel: NaN, alpha 0, coverage 0; the rest is as it was."""
    path, events = mosaic(field, "masked", config={"sds_target_batch_size": 3})
    assert path is not None
    whole = fits.getdata(good[0].with_name(f"{good[0].stem}_coverage.fits"))
    kept = whole >= 0.4 * 16
    (summary,) = events.named("sds_mask_cov_summary")
    assert summary == {"max_cov": 16.0, "masked_pixels": int((~kept).sum()), "min_keep_fraction": 0.4}
    np.testing.assert_array_equal(fits.getdata(path)[0], np.where(kept, fits.getdata(good[0])[0], np.nan))
    np.testing.assert_array_equal(fits.getdata(path, "ALPHA") == 255, kept)
    np.testing.assert_array_equal(fits.getdata(path.with_name(f"{path.stem}_coverage.fits")), np.where(kept, whole, 0))


def test_a_constant_sky_stays_constant(tmp_path: Path) -> None:
    """Frames whose sky levels differ by far are brought to one level, with no step where frames and batches end."""
    exposures = [
        replace(e, noise=0.0, clouded=True, level=500.0 + 60 * i) for i, e in enumerate(panels(2, 1, 3, cards=SEESTAR))
    ]
    write_all(tmp_path / "in", exposures, SKY)
    path, _ = mosaic(tmp_path, config={**ALL, "stack_block_mib": 0.5})
    image = fits.getdata(path)
    assert np.isfinite(image).mean() > 0.8
    assert np.nanmax(image) - np.nanmin(image) < 0.01


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path) -> None:
    """A whole run of 9 frames needs little more memory than one of 3."""
    peaks = []
    for count in (1, 3, 9):  # the first warms up what libraries keep
        folder = tmp_path / str(count)
        write_all(folder / "in", panels(1, 1, count, cards=SEESTAR), SKY)
        tracemalloc.start()
        mosaic(folder, config={"stack_block_mib": 0.5})
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] * 1.2


def test_frames_of_another_camera_are_not_for_sds(tmp_path: Path) -> None:
    """One such frame, and the classic way is taken: an event says so and names it."""
    exposures = panels(1, 1, 3, cards=SEESTAR)
    exposures[1] = replace(exposures[1], cards={"INSTRUME": "Another"})
    write_all(tmp_path / "in", exposures, SKY)
    path, events = mosaic(tmp_path)
    assert path is not None
    assert path.name == "zemosaic_MT1_R3.fits"
    (told,) = events.named("sds_off_classic_mastertile_pipeline")
    assert told["filenames"] == ["p0_1.fits"]
    assert "sds_on_mega_tile_pipeline" not in events.keys


@pytest.mark.parametrize("what", ["grid", "cache"])
def test_sds_that_fails_falls_back_to_master_tiles_and_says_so(tmp_path: Path, monkeypatch, what: str) -> None:
    """No grid, or a cache lost on the way: one event, and the classic way on what is there."""
    write_all(tmp_path / "in", panels(1, 1, 3, cards=SEESTAR), SKY)
    load = sds.load_cache

    def losing(frame):
        if frame.name == "p0_1.fits":
            frame.cache.unlink()
        return load(frame)

    def impossible(*_: object) -> None:
        raise ValueError("no common grid")

    monkeypatch.setattr(sds, *{"grid": ("common_grid", impossible), "cache": ("load_cache", losing)}[what])
    path, events = mosaic(tmp_path)
    assert path is not None
    assert path.name == "zemosaic_MT1_R3.fits"
    assert len(events.named("sds_and_mosaic_first_failed_fallback_mastertiles")) == 1
    assert len(events.named("mastertile_warn_cache_file_missing")) == (what == "cache")


def test_settings_without_a_mode_or_with_a_plan_are_refused(tmp_path: Path) -> None:
    """A mode that is none, and a plan where a mode makes its own, are told before anything is done."""
    with pytest.raises(SettingsError, match="found 'other': choose one of them"):
        Settings(tmp_path, tmp_path, mode="other")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="expected no plan in mode sds, found one"):
        Settings(tmp_path, tmp_path, (("a.fits",),), mode="sds")
