"""The seeded defects: each is caught by the check that is named for it, in a run through the record protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fixtures.datasets import Dataset, SyntheticSpec, build, grid
from fixtures.frames import Camera
from fixtures.pipeline import defects
from fixtures.pipeline.defects import DEFECTS
from fixtures.pipeline.parts import RIGHT
from fixtures.pipeline.retention import DeleteNothing, ReferenceCounted
from fixtures.pipeline.settings import SettingsError
from fixtures.sky import Sky
from harness import checks, targets
from harness.checks.base import Case
from harness.record import Record
from harness.request import Request
from harness.run import make_run
from harness.verdict import Outcome

CAMERA = Camera(shape=(64, 80), hot_pixels=0)
SKY = Sky(ra=83.5, dec=22.0, density=3000.0, faintest=6000.0, nebula=0.0)
SPEC = SyntheticSpec("three panels", 5, SKY, CAMERA, grid(CAMERA, 3, 1, 3, overlap=0.4, seed=5))
PANELS = tuple(tuple(p.name for p in SPEC.pointings if p.panel == panel) for panel in range(3))
CHAIN = (PANELS[0] + PANELS[1], PANELS[1] + PANELS[2], PANELS[2])

# A cache that goes too early starves the tiles that come after, which shows in all that is asked of them.
STARVED = frozenset({"warnings", "tiles", "holes", "depth"})


@dataclass(frozen=True)
class Expected:
    """What else may be red beside the named check."""

    besides: frozenset[str] = frozenset()


EXPECTED: Mapping[str, Expected] = {
    defects.NAIVE_DELETION: Expected(STARVED | {"logs"}),
    "double_removal": Expected(),
    "count_off_by_one": Expected(STARVED),
    "path_not_normalised": Expected(STARVED | {"logs"}),
    "removal_from_worker_thread": Expected(),
    "tile_from_fewer_frames": Expected(),
    "tile_dropped_reported_made": Expected(frozenset({"holes"})),
    "tile_overwritten": Expected(frozenset({"holes", "depth"})),
    "tile_removed": Expected(frozenset({"holes"})),
    "shrunken_canvas": Expected(),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return three panels of three small frames."""
    return build(SPEC, tmp_path_factory.mktemp("data") / "frames")


@pytest.fixture(scope="module")
def pair(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Record:
    """Return the run with ``run_end``, in which no defect acts."""
    return run(dataset, tmp_path_factory.mktemp("pair"), retention="run_end", role="pair")


def run(dataset: Dataset, folder: Path, defect: str = "", **changes: object) -> Record:
    """Run the reference under the probe."""
    request = Request(
        "defects",
        "subject",
        targets.resolve(f"reference:{defect}", None, folder),
        dataset.facts,
        CHAIN,
        "per_tile",
        workers=1,
    )
    return make_run(replace(request, **changes), folder / "record", dataset.folder)


def red(record: Record, pair: Record) -> set[str]:
    """Return the checks that fail, beside a pair of the same target."""
    asked = replace(pair.request, target=record.request.target)
    verdicts = checks.judge(Case(record, replace(pair, request=asked)))
    return {verdict.check for verdict in verdicts if verdict.outcome is Outcome.FAIL}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_defect_is_caught_by_the_check_named_for_it(
    name: str, dataset: Dataset, pair: Record, tmp_path: Path
) -> None:
    """The named check is red, and of the others only those that the defect hurts as well."""
    record = run(dataset, tmp_path, name)
    assert record.seal is not None
    assert record.seal.state == "done", record.seal.reason
    found = red(record, pair)
    assert DEFECTS[name].check in found
    assert found <= {DEFECTS[name].check} | EXPECTED[name].besides


def test_without_a_defect_nothing_is_red(dataset: Dataset, pair: Record, tmp_path: Path) -> None:
    """What the defects' runs are beside: the same run, sound."""
    assert red(run(dataset, tmp_path), pair) == set()


def test_defects_act_with_per_tile_only() -> None:
    """With another retention the parts are the right ones: that is what makes a sound pair."""
    for retention in ("keep", "run_end"):
        parts = defects.parts(retention, frozenset(DEFECTS))  # type: ignore[arg-type]
        assert parts is RIGHT
        assert isinstance(parts.policy(retention), DeleteNothing)  # type: ignore[arg-type]
    assert isinstance(defects.parts("per_tile", frozenset()).policy("per_tile"), ReferenceCounted)


def test_an_unknown_defect_is_refused() -> None:
    """A misspelt defect would silently make a control green."""
    defects.check(frozenset({defects.NAIVE_DELETION}))
    with pytest.raises(SettingsError, match=r"expected defects among .* found naive_deletion"):
        defects.check(frozenset({"naive_deletion"}))


def test_two_defects_of_one_part_are_refused() -> None:
    """Only one of them could act; of different parts both do."""
    defects.check(frozenset({"shifted_tile", "late_removal"}))
    with pytest.raises(SettingsError, match=r"expected one defect of a part, found late_removal, log_start_twice"):
        defects.check(frozenset({"shifted_tile", "late_removal", "log_start_twice"}))
    both = defects.parts("per_tile", frozenset({"shifted_tile", "late_removal"}))
    assert both.write_tile is not RIGHT.write_tile
    assert isinstance(both.policy("per_tile"), defects.LateRemoval)


@pytest.mark.parametrize("name", DEFECTS)
def test_each_defect_is_described_and_names_its_part(name: str) -> None:
    """What replaces a part is another one than the right one."""
    defect = DEFECTS[name]
    assert defect.description
    parts = defects.parts("per_tile", frozenset({name}))
    assert getattr(parts, defect.part) is not getattr(RIGHT, defect.part)
