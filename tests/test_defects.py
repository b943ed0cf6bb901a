"""The seeded defects: each is caught by the check that is named for it, in a run through the record protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

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
from harness.checks.cost import exponent_of
from harness.record import Record
from harness.request import Request
from harness.run import make_run
from harness.thresholds import read_thresholds
from harness.verdict import Outcome, Verdict

# Their runs are begun together, so they belong to one process.
pytestmark = pytest.mark.xdist_group("defects")

# As small as shows some stars that stand alone in each panel.
CAMERA = Camera(shape=(128, 160), hot_pixels=0)
SKY = Sky(ra=83.5, dec=22.0, density=1200.0, faintest=6000.0, nebula=0.0)
SPEC = SyntheticSpec("three panels", 5, SKY, CAMERA, grid(CAMERA, 3, 1, 3, overlap=0.4, seed=5))
PANELS = tuple(tuple(p.name for p in SPEC.pointings if p.panel == panel) for panel in range(3))
CHAIN = (PANELS[0] + PANELS[1], PANELS[1] + PANELS[2], PANELS[2])
NAMES = sum(PANELS, ())
MANY = tuple((name, NAMES[(n + 1) % 9]) for n, name in enumerate(NAMES)) * 2  # what grows with the tiles shows by many
NAMED_TWICE = (PANELS[0] + PANELS[1] + PANELS[0][:1], *CHAIN[1:])

# A cache that goes too early starves the tiles that come after, which shows in all that is asked of them.
STARVED = frozenset({"warnings", "tiles", "holes", "depth", "parity"})
REFUSED = ({"what": "refuse unlink", "name": "preprocessed_*.npy"},)
TAKEN = ({"what": "delete cache", "tile": 0, "place": -1},)
FAILING = ({"what": "fail tile", "tile": 1},)


@dataclass(frozen=True)
class Expected:
    """How a defect is brought to light: what may be red beside the named check, what the run needs, which clauses are broken."""

    besides: frozenset[str] = frozenset()
    asked: Mapping[str, Any] = field(default_factory=dict)
    clauses: frozenset[str] = frozenset()
    state: str = "done"


def clause(*names: str, **asked: Any) -> Expected:
    """Return that clauses of the log contract are broken, and no others."""
    return Expected(asked=asked, clauses=frozenset(names))


EXPECTED: Mapping[str, Expected] = {
    defects.NAIVE_DELETION: Expected(STARVED | {"logs"}),
    "double_removal": Expected(),
    "count_off_by_one": Expected(STARVED),
    "path_not_normalised": Expected(STARVED | {"logs"}),
    "removal_from_worker_thread": Expected(frozenset({"disk"})),  # that thread may lag behind
    "cache_leak": Expected(),
    "late_removal": Expected(),
    "duplicate_counted_twice": Expected(asked={"plan": NAMED_TWICE}),
    "failed_tile_not_released": Expected(asked={"faults": FAILING}),
    "missing_counted_as_removed": clause("end_numbers", faults=TAKEN),
    "miscounted": Expected(frozenset({"disk"}), {"faults": ({**TAKEN[0], "place": 1},), "plan": NAMED_TWICE}),
    "quadratic_release": Expected(asked={"plan": MANY}),
    "log_start_missing": clause("start_line"),
    "log_start_twice": clause("start_line"),
    "log_start_at_debug": clause("start_line"),
    "log_start_late": clause("start_place"),
    "log_start_wrong_number": clause("start_number"),
    "log_shared_per_cache": clause("shared_line"),
    "log_warning_per_file": clause("no_warning_per_file"),
    "log_end_twice": clause("end_line"),
    "log_end_wrong_number": clause("end_numbers"),
    "log_negative_remaining": clause("never_negative"),
    "log_failed_unlink_warns": clause("failed_unlink", "no_warning_per_file", faults=REFUSED),
    "log_failed_unlink_unsaid": clause("failed_unlink", faults=REFUSED),
    "failed_unlink_raises": Expected(
        frozenset({"holes", "parity"}), {"faults": REFUSED}, frozenset({"failed_unlink"}), state="crashed"
    ),
    "tile_from_fewer_frames": Expected(frozenset({"parity"})),
    "tile_dropped_reported_made": Expected(frozenset({"holes", "parity", "accuracy"})),
    "tile_overwritten": Expected(frozenset({"holes", "depth", "parity", "accuracy"})),
    "tile_removed": Expected(frozenset({"holes", "parity", "accuracy"})),
    "padding_counted_as_covered": Expected(frozenset({"parity", "truth", "accuracy"})),
    "flux_scale_in_one_panel": Expected(frozenset({"parity", "accuracy"})),
    "shifted_tile": Expected(frozenset({"parity", "accuracy", "holes"})),
    "shrunken_canvas": Expected(frozenset({"parity"})),
    defects.GRID_TILE_DROPPED: Expected(frozenset({"parity"}), asked={"mode": "grid", "plan": None}),
}
# Their tests are those of the modes, of the release that is driven outside of any run, and of what is tried again.
ELSEWHERE = {
    defects.SILENT_SDS_FALLBACK,
    defects.SILENT_GRID_FALLBACK,
    defects.COUNT_NOT_BOUNDED,
    "retry_not_registered",
}


Made = Callable[..., Record]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return three panels of three small frames."""
    return build(SPEC, tmp_path_factory.mktemp("data") / "frames")


@pytest.fixture(scope="module")
def made(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Return what makes runs of the reference under the probe."""

    def made(defect: str = "", **changes: Any) -> Record:
        folder = tmp_path_factory.mktemp("run")
        target = targets.resolve(f"reference:{defect}", None, folder)
        request = Request("defects", "subject", target, dataset.facts, CHAIN, "per_tile", workers=1)
        return make_run(replace(request, **changes), folder / "record", dataset.folder, truth=dataset.truth)

    return made


@pytest.fixture(scope="module")
def pairs(made: Made) -> Callable[[Record], Record]:
    """Return what finds a run's pair: the same run with ``run_end``, in which no defect acts, so that defects share it."""
    known: dict[str, Record] = {}

    def pair(run: Record) -> Record:
        asked = run.request
        # A refused removal changes no product; a failed tile and a missing cache do.
        faults = () if asked.faults == REFUSED else asked.faults
        key = repr((asked.mode, asked.plan, faults))
        if key not in known:
            known[key] = made(mode=asked.mode, plan=asked.plan, faults=faults, retention="run_end")
        return replace(known[key], request=replace(asked, retention="run_end", role="pair"))

    return pair


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, made: Made) -> Iterator[Mapping[str, Future[Record]]]:
    """Begin the runs of all defects that are tested in this session, two at a time: most of a run is importing."""
    asked = [getattr(item, "callspec", None) for item in request.session.items if item.module is request.module]
    names = [spec.params["name"] for spec in asked if spec is not None and spec.params.get("name") in EXPECTED]
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(made, name, **EXPECTED[name].asked) for name in dict.fromkeys(names)}
        pool.shutdown(cancel_futures=True)


def failed(case: Case) -> dict[str, Verdict]:
    """Return the verdicts that are red, by their checks."""
    return {v.check: v for v in checks.judge(case) if v.outcome is Outcome.FAIL}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_defect_is_caught_by_the_check_named_for_it(
    name: str, runs: Mapping[str, Future[Record]], pairs: Callable[[Record], Record]
) -> None:
    """The named check is red, and of the others only those that the defect hurts as well."""
    expected, check = EXPECTED[name], DEFECTS[name].check
    run = runs[name].result()
    assert run.seal is not None
    assert run.seal.state == expected.state, run.seal.reason
    found = failed(Case(run, pairs(run)))
    assert check in found
    assert set(found) <= {check} | expected.besides
    if expected.clauses:
        broken = {name for name, clause in found[check].evidence["clauses"].items() if clause["outcome"] == "fail"}
        assert broken == expected.clauses


@pytest.mark.parametrize(("policy", "quadratic"), [(ReferenceCounted, False), (defects.QuadraticRelease, True)])
def test_the_work_of_a_quadratic_release_grows_with_the_square(
    policy: type[ReferenceCounted], tmp_path: Path, *, quadratic: bool
) -> None:
    """Over five sizes the sound policy's work grows with the inputs, the defect's much faster; the limit lies between."""
    sizes = []
    for tiles in (10, 20, 40, 80, 160):
        counted = policy()
        for tile in range(tiles):
            counted.register(tile, [tmp_path / f"{tile}.npy", tmp_path / f"{tile + 1}.npy"])
        for tile in range(tiles):
            counted.release(tile, made=True)
        sizes.append((counted.bookkeeping.inputs, counted.bookkeeping.operations))
    exponent = exponent_of(sizes)
    assert exponent is not None
    assert (exponent.low > read_thresholds()["cost.exponent"]) is quadratic


@pytest.mark.parametrize(
    "asked", [{}, {"faults": REFUSED}, {"faults": FAILING}, {"faults": TAKEN}, {"plan": NAMED_TWICE}, {"plan": MANY}]
)
def test_without_a_defect_nothing_is_red(
    asked: Mapping[str, Any], made: Made, pairs: Callable[[Record], Record]
) -> None:
    """What the defects' runs are beside: the same run, sound, with a refused removal, a failed tile, a lost cache, many tiles."""
    run = made(**asked)
    assert not failed(Case(run, pairs(run)))


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


def test_every_defect_is_brought_to_light() -> None:
    """Each has a run here, or in the tests named above."""
    assert set(DEFECTS) - ELSEWHERE == set(EXPECTED)


@pytest.mark.parametrize("seeded", DEFECTS)
def test_each_defect_is_described_and_names_its_part(seeded: str) -> None:
    """What replaces a part is another one than the right one."""
    defect = DEFECTS[seeded]
    assert defect.description
    parts = defects.parts("per_tile", frozenset({seeded}))
    assert getattr(parts, defect.part) is not getattr(RIGHT, defect.part)
