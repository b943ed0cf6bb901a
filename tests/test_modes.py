"""The reference in the modes SDS and grid, through the record protocol."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.datasets import Dataset, SyntheticSpec, build, grid
from fixtures.frames import Camera
from fixtures.pipeline.defects import DEFECTS, GRID_TILE_DROPPED, SILENT_GRID_FALLBACK, SILENT_SDS_FALLBACK
from fixtures.sky import Sky
from harness import checks, targets
from harness.checks.base import Case
from harness.record import Record
from harness.request import Request
from harness.run import make_run
from harness.verdict import Outcome

CAMERA = Camera(instrument="Seestar S50", shape=(64, 80), hot_pixels=0, bayer="GRBG", mirrored=True)
SKY = Sky(ra=83.5, dec=22.0, density=3000.0, faintest=6000.0, nebula=0.0)
ALL = {"sds_min_coverage_keep": 0.0}
SPEC = SyntheticSpec("two panels", 6, SKY, CAMERA, grid(CAMERA, 2, 1, 3, overlap=0.4, seed=6))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return two panels of three small frames of a Seestar."""
    return build(SPEC, tmp_path_factory.mktemp("data") / "frames")


def run(dataset: Dataset, folder: Path, defect: str = "", **changes: object) -> Record:
    """Run the reference under the probe, with per_tile, in the mode that ``changes`` name."""
    target = targets.resolve(f"reference:{defect}", None, folder)
    request = Request("modes", "subject", target, dataset.facts, None, "per_tile", workers=2)
    return make_run(replace(request, **changes), folder / "record", dataset.folder)


@pytest.fixture(scope="module")
def sds(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Record:
    """Make a sound SDS run that masks nothing."""
    return run(dataset, tmp_path_factory.mktemp("sds"), mode="sds", config=ALL)


def test_sds_has_no_tiles_and_keeps_its_caches_to_the_end(sds: Record) -> None:
    """The mode reaches the pipeline: frames are counted, nothing is submitted as a tile, each cache goes once, at the end."""
    assert sds.seal is not None
    assert (sds.seal.state, sds.seal.reason) == ("done", "")
    assert sds.products is not None
    assert sds.products.mosaic == "outputs/zemosaic_MT0_R6.fits"
    assert sds.products.depth.max() == 6
    assert sds.products.tiles == ()
    assert sds.history.steps == ()
    gone = [op for op in sds.history.operations if op.op == "remove" and op.state == "done"]
    assert len([op for op in gone if op.path.endswith(".npy")]) == 6
    (finalized,) = [event.t for event in sds.history.events if event.key == "sds_global_finalize_done"]
    assert min(op.t for op in gone) > finalized


def test_grid_stacks_what_the_users_plan_names(dataset: Dataset, tmp_path: Path) -> None:
    """A plan beside the frames decides: three of six frames make the mosaic, from copies, without a cache."""
    frames = dataset.facts.frames
    rows = "\r\n".join(f"/mine/{frame.name};10,5;IRCUT" for frame in frames if frame.panel == 0)
    own = tmp_path / "own"
    own.mkdir()
    for frame in frames:
        (own / frame.name).write_bytes((dataset.folder / frame.name).read_bytes())
    (own / "stack_plan.csv").write_text(f"path;exposure;filter\r\n{rows}\r\n", encoding="utf-8-sig")
    record = run(replace(dataset, folder=own), tmp_path, mode="grid")
    assert record.seal is not None
    assert (record.seal.state, record.seal.reason) == ("done", "")
    assert record.products is not None
    assert record.products.mosaic == "outputs/mosaic_grid.fits"
    assert {tile.aligned for tile in record.products.tiles} == {3}
    texts = [event.key for event in record.history.events]
    assert "[GRID] Loaded 3 frame(s) from stack_plan.csv" in texts
    assert "[GRID] Grid/Survey mode completed" in texts
    assert not [file for file in record.left if file.kind in {"cache", "mask"}]


def red(record: Record, sound: Record) -> set[str]:
    """Return the checks that fail beside a sound run; retention has no part in these modes, so it stands for the pair."""
    pair = replace(sound, request=replace(record.request, role="pair", retention="run_end"))
    return {verdict.check for verdict in checks.judge(Case(record, pair)) if verdict.outcome is Outcome.FAIL}


def test_a_silent_fallback_of_sds_is_caught(dataset: Dataset, sds: Record, tmp_path: Path) -> None:
    """Master tiles where SDS was announced: the check that the defect names is red, and a sound run beside another is not."""
    found = red(run(dataset, tmp_path, SILENT_SDS_FALLBACK, mode="sds", config=ALL), sds)
    assert DEFECTS[SILENT_SDS_FALLBACK].check in found
    assert red(sds, sds) == set()


@pytest.fixture(scope="module")
def survey(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Record:
    """Make a sound grid run."""
    return run(dataset, tmp_path_factory.mktemp("grid"), mode="grid")


def test_a_silent_fallback_of_the_grid_is_caught(dataset: Dataset, survey: Record, tmp_path: Path) -> None:
    """Master tiles where the grid was announced: the check that the defect names is red."""
    found = red(run(dataset, tmp_path, SILENT_GRID_FALLBACK, mode="grid"), survey)
    assert DEFECTS[SILENT_GRID_FALLBACK].check in found
    assert red(survey, survey) == set()


def test_a_dropped_sky_tile_is_caught(dataset: Dataset, survey: Record, tmp_path: Path) -> None:
    """The summary counts it and its file is there; only the sky tells."""
    found = red(run(dataset, tmp_path, GRID_TILE_DROPPED, mode="grid"), survey)
    assert DEFECTS[GRID_TILE_DROPPED].check in found
    assert not found & {"tiles", "products", "fallback"}
