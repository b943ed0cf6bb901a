"""Test which cases and targets a session has, and how its workers share runs. No run is made here."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from fixtures import catalogue
from fixtures.catalogue import Occasion, Variant
from fixtures.datasets import Dataset, SyntheticSpec, grid, write_frames
from fixtures.frames import Camera
from fixtures.sky import Sky
from harness.checks.judge import ALL
from harness.session import campaign as module
from harness.session.campaign import Campaign, NoRoom, NoSuchRun
from harness.session.machine import Machine
from harness.session.options import resolve_options
from harness.session.run_matrix import RUNS, run_key
from tests import done_sessions, micro
from tests.scenario_marks import MARKS


@pytest.fixture
def campaign(tmp_path):
    """Return a function that makes a campaign with these options."""

    def make(**options):
        given = {f"phase3_{name}": value for name, value in options.items()}
        return Campaign(resolve_options(given.get, {}.get, {}), tmp_path / "root", tmp_path / "session")

    return make


def case_named(campaign, name):
    """Return a case of a session."""
    return next(case for case in campaign.cases if case.name == name)


def test_every_scenario_has_a_case_on_the_reference(campaign):
    """A session of the reference runs every scenario that has tests. Its large run is made for it."""
    cases = campaign().cases
    assert {case.scenario for case in cases} == {marks.scenario[0] for marks in MARKS.values()} - {""}
    assert "stress-subset" not in {case.name for case in cases}
    assert {case.mode for case in cases if case.scenario == "C"} == {"sds"}
    assert {case.mode for case in cases if case.scenario == "D"} == {"grid"}


def test_the_quick_case_expects_what_the_chain_does(campaign):
    """The control of the quick case has the expected and the allowed failures of the chain case, on fewer frames."""
    (quick,) = campaign(quick="1").cases
    chain = case_named(campaign(), "chain")
    assert quick.red_before_fix == chain.red_before_fix
    assert quick.may_be_red == chain.may_be_red


def test_a_users_frames_have_the_truth_that_observed_sets_have(campaign, tmp_path):
    """The frames of --phase3-frames are measured by their WCS, once for each content of the folder."""
    folder = tmp_path / "images"
    folder.mkdir()
    camera = Camera(shape=(120, 160))
    sky = Sky(83.5, 22.0, density=1500.0, faintest=6000.0)
    write_frames(SyntheticSpec("own", 1, sky, camera, grid(camera, 2, 1, 2, overlap=0.3, seed=1)), folder)
    session = campaign(frames=str(folder))
    truth = session.dataset(session.cases[0]).truth
    assert (truth.origin, truth.frames, truth.problem) == ("frames", 4, "")
    assert len(truth.stars) > 10
    assert len(list((session.root / "datasets").glob("images-*.truth.json"))) == 1


def test_a_real_target_has_its_own_cases(campaign):
    """A real target runs the subset that fits the budget and the observed sets, which take too long on the reference."""
    names = {case.name for case in campaign(target="zemosaic:nowhere").cases}
    assert {"stress-subset", "sds-m94", "grid-microobs"} <= names
    assert "stress" not in names


def test_each_set_of_observed_frames_that_a_case_asks_for_is_named(campaign):
    """The report says whether each was judged; sets of other cases are left out."""
    assert [s.name for s in campaign().real_sets] == ["microobs_hatp32_4panels"]
    assert len(campaign(target="zemosaic:nowhere").real_sets) == 2
    assert campaign(quick="1").real_sets == ()


def test_a_set_that_is_judged_after_the_first_share_is_judged(campaign):
    """A worker shares what it knows after each test. A set that it judges later counts as judged."""
    session = campaign()
    assert [s.judged for s in session.share().real_sets] == [False]
    entry = done_sessions.entry("run", "subject", "reference", "chain-microobs", "microobs_hatp32_4panels")
    session._runs["run"] = replace(entry, dataset_kind="real")
    assert [s.judged for s in session.share().real_sets] == [True]


def test_the_control_of_the_reference_has_the_defects_of_its_case(campaign):
    """Each scenario's control has a defect that the scenario must find."""
    session = campaign()
    found = {
        name: session.target("control", case_named(session, name)).identity["defects"]
        for name in ("chain", "stress", "sds", "grid")
    }
    assert found == {
        "chain": ["naive_per_tile_deletion"],
        "stress": ["late_removal"],
        "sds": ["silent_sds_fallback"],
        "grid": ["silent_grid_fallback"],
    }


def test_in_other_modes_a_real_target_has_the_reference_for_a_control(campaign):
    """No version of ZeMosaic is known to fail in SDS or grid mode. A command in classic mode needs one from the user."""
    session = campaign(target="zemosaic:nowhere")
    assert session.target("control", case_named(session, "sds")).kind == "reference"
    session = campaign(target="command:true")
    with pytest.raises(NoSuchRun, match="--phase3-control"):
        session.target("control", case_named(session, "chain"))


def test_a_control_that_was_given_is_taken(campaign):
    """A control that the user names replaces the case's own in classic cases."""
    session = campaign(control="reference:cache_leak")
    assert session.target("control", case_named(session, "stress")).identity["defects"] == ["cache_leak"]


def test_a_case_for_some_questions_compares_nothing(campaign):
    """A run under a fault, and its control, have no pair and are judged by the checks that need one run only."""
    session = campaign()
    assert {name for case in session.cases for name in case.occasions} == set(get_args(Occasion))
    for case in (case for case in session.cases if case.scenario == "1"):
        assert {run.role for run in session.planned([case.name])} == {"subject", "control"}
        assert case.red_before_fix <= set(case.questions) < set(ALL)


def test_a_case_may_do_without_a_baseline(campaign):
    """A baseline that would show nothing new is not run, unless the user names it."""
    session = campaign()
    case = case_named(session, "stress")
    assert {run.role for run in session.planned(["stress"])} == {"subject", "pair", "control", "control-pair"}
    with pytest.raises(NoSuchRun, match="--phase3-baseline"):
        session.judged(case, "baseline")
    given = campaign(baseline="reference:naive_per_tile_deletion")
    assert "baseline" in {run.role for run in given.planned(["stress"])}


def test_workers_take_their_locks_in_one_order(campaign, monkeypatch, tmp_path):
    """A worker takes the machine first, then the lock of the run; for a run that was made it takes neither."""
    session = campaign()
    taken = []

    def make_run(_, folder, *__, **___):
        taken.append("run")
        folder.mkdir(parents=True)
        (folder / "seal.json").touch()
        return micro.counted().record()

    class Lock:
        def __init__(self, path):
            self.path = Path(path)

        def __enter__(self):
            taken.append("key")

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(Campaign, "dataset", lambda *_: Dataset(micro.counted().request.dataset, tmp_path))
    monkeypatch.setattr(Machine, "held", lambda *_, **__: contextlib.nullcontext(taken.append("machine")))
    monkeypatch.setattr(module, "FileLock", Lock)
    monkeypatch.setattr(module, "make_run", make_run)
    monkeypatch.setattr(module, "read_record", lambda _: replace(micro.counted().record(), folder=session.folder / "r"))
    case = case_named(session, "chain")
    # A record that a target wrote there before is not taken for the run.
    planted = session.folder / RUNS / run_key(session.request(case, "subject", "per_tile"))
    planted.mkdir(parents=True)
    (planted / "seal.json").touch()
    for _ in range(2):
        session.run(case, "subject", "per_tile")
    assert taken == ["machine", "key", "run"]


def test_variants_of_a_case_are_runs_of_their_own(campaign):
    """A variant with fewer panels has another plan, one with other workers another request; each has a key of its own."""
    session = campaign()
    case = case_named(session, "chain")
    whole = session.request(case, "subject", "per_tile")
    part = session.request(case, "subject", "per_tile", Variant(panels=2))
    assert {frame.panel for frame in part.dataset.frames} == {0, 1}
    assert len(part.plan) == 2
    other = session.request(case, "subject", "per_tile", Variant(workers=1))
    assert (whole.workers, other.workers) == (2, 1)
    assert len({run_key(request) for request in (whole, part, other)}) == 3


def test_a_large_run_without_room_is_refused_before_it_starts(campaign, monkeypatch):
    """No dataset is built and no run is made; the error names the figures and the option."""
    session = campaign(target="zemosaic:nowhere", budget="1s,1GiB")
    session.folder.mkdir()
    monkeypatch.setattr(Campaign, "run", lambda *_: None)
    monkeypatch.setattr(Campaign, "planned", lambda *_: (None,) * 10)
    monkeypatch.setattr(module.budget, "measured", lambda _: module.budget.Pilot(18, 30, 10.0, 1e8, 1e7))
    with pytest.raises(NoRoom, match=r"raise --phase3-budget"):
        session.dataset(case_named(session, "stress-subset"))
    assert not (session.root / "datasets").exists()
    assert not (session.folder / "subset.json").exists()  # an interrupted session may have room when it is resumed


def test_the_pilot_runs_before_the_machine_is_held(campaign, monkeypatch):
    """The pilot run ends before a run takes exclusive access, because the pilot could not get shared access then."""
    session = campaign()
    order = []
    monkeypatch.setattr(Campaign, "dataset", lambda *_: order.append("frames"))
    monkeypatch.setattr(
        Machine, "held", lambda *_, exclusive: order.append("exclusive" if exclusive else "shared") or no_lock()
    )
    monkeypatch.setattr(Campaign, "run", stop)
    with pytest.raises(KeyboardInterrupt):
        session.judged(case_named(session, "stress"), "subject")
    assert order == ["frames", "exclusive"]


def no_lock():
    """Stand in for a lock, without locking."""
    return contextlib.nullcontext()


def stop(*_):
    """Raise in place of the start of a run."""
    raise KeyboardInterrupt


def test_the_subset_is_chosen_once(campaign, monkeypatch):
    """A second worker of the session reads the choice of the first."""
    session = campaign(target="zemosaic:nowhere")
    session.folder.mkdir()
    (session.folder / "subset.json").write_text(
        '{"name": "stress-20", "why": {"text": "it fits", "values": {}}}', encoding="utf-8"
    )
    monkeypatch.setattr(Campaign, "run", None)
    assert session.subset == "stress-20"
    assert set(catalogue.STRESS_SUBSETS) >= {session.subset}


def test_a_record_with_another_request_than_was_asked_is_damaged():
    """A request that the target rewrote, or a record of another session: the record is damaged, and passes nothing."""
    record = micro.counted().record()
    assert module._as_asked(record, record.request) is record
    assert record.usable
    asked = module._as_asked(record, replace(record.request, workers=record.request.workers + 1))
    assert asked.damage == ("request.json: not what this session asked for",)
    assert not asked.usable
