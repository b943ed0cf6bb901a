"""Which runs a session makes, of which targets, in which order; no run is made here."""

import contextlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from filelock import FileLock, Timeout

from fixtures import catalogue
from fixtures.catalogue import PLAIN, ExtraRuns, Occasion, Variant
from fixtures.datasets import Dataset
from harness.checks.judge import ALL
from harness.session import campaign as module
from harness.session.campaign import Campaign, NoRoom, NoSuchRun, run_key
from harness.session.options import resolve_options
from tests import micro
from tests.requests_ import a_request


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
    """A session of the reference runs A to D, on the large run made for it."""
    cases = campaign().cases
    assert {case.scenario for case in cases} == {"A", "B", "C", "D", "1"}
    assert "stress-subset" not in {case.name for case in cases}
    assert {case.mode for case in cases if case.scenario == "C"} == {"sds"}
    assert {case.mode for case in cases if case.scenario == "D"} == {"grid"}


def test_the_quick_case_expects_what_the_chain_does(campaign):
    """It is the chain on a smaller set: its control must be red by the same checks, and may be by the same."""
    (quick,) = campaign(quick="1").cases
    chain = case_named(campaign(), "chain")
    assert quick.red_before_fix == chain.red_before_fix
    assert quick.may_be_red == chain.may_be_red


def test_a_real_target_has_its_own_cases(campaign):
    """It runs the subset that fits its budget, and the observed sets that would take the reference too long."""
    names = {case.name for case in campaign(target="zemosaic:nowhere").cases}
    assert {"stress-subset", "sds-m94", "grid-microobs"} <= names
    assert "stress" not in names


def test_each_set_of_observed_frames_that_a_case_asks_for_is_named(campaign):
    """The report says of those whether they were judged; of others there is nothing to say."""
    assert [s.name for s in campaign().real_sets] == ["microobs_hatp32_4panels"]
    assert len(campaign(target="zemosaic:nowhere").real_sets) == 2
    assert campaign(quick="1").real_sets == ()


def test_the_control_of_the_reference_has_the_defects_of_its_case(campaign):
    """Each scenario is shown red by what it looks for."""
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
    """No version of ZeMosaic is known to be red in SDS or grid; in the classic mode there is one, or none is made up."""
    session = campaign(target="zemosaic:nowhere")
    assert session.target("control", case_named(session, "sds")).kind == "reference"
    session = campaign(target="command:true")
    with pytest.raises(NoSuchRun, match="--phase3-control"):
        session.target("control", case_named(session, "chain"))


def test_a_control_that_was_given_is_taken(campaign):
    """What the user names as red must be red in the classic cases, whatever the case would seed."""
    session = campaign(control="reference:cache_leak")
    assert session.target("control", case_named(session, "stress")).identity["defects"] == ["cache_leak"]


def test_a_case_for_some_questions_compares_nothing(campaign):
    """A run under a fault is judged alone, by the checks that ask of one run; its control is made in the same way."""
    session = campaign()
    assert {name for case in session.cases for name in case.occasions} == set(get_args(Occasion))
    for case in (case for case in session.cases if case.scenario == "1"):
        assert {run.role for run in session.planned([case.name])} == {"subject", "control"}
        assert case.red_before_fix <= set(case.questions) < set(ALL)


def test_timed_runs_take_turns_that_are_turned_about(campaign):
    """per_tile and run_end alternate, so that a machine that gets slower favours neither; then what else is compared."""
    session = campaign()
    case = replace(case_named(session, "stress"), extra_runs=ExtraRuns((("keep", PLAIN),), 3, (2, 3, 40)))
    assert session._wanted(case, "subject") == (
        ("per_tile", PLAIN),
        ("run_end", PLAIN),
        ("run_end", Variant(repeat=1)),
        ("per_tile", Variant(repeat=1)),
        ("per_tile", Variant(repeat=2)),
        ("run_end", Variant(repeat=2)),
        ("keep", PLAIN),
        ("per_tile", Variant(panels=2)),
        ("per_tile", Variant(panels=3)),
    )
    assert session._wanted(case, "control") == (("per_tile", PLAIN), ("run_end", PLAIN))
    assert session._wanted(case, "subject", "keep") == (("keep", PLAIN),)


def test_a_case_may_do_without_a_baseline(campaign):
    """Where it shows nothing that another case does not, it is not run, unless the user names one."""
    session = campaign()
    case = case_named(session, "stress")
    assert {run.role for run in session.planned(["stress"])} == {"subject", "pair", "control", "control-pair"}
    with pytest.raises(NoSuchRun, match="--phase3-baseline"):
        session.judged(case, "baseline")
    given = campaign(baseline="reference:naive_per_tile_deletion")
    assert "baseline" in {run.role for run in given.planned(["stress"])}


def test_workers_do_not_wait_for_each_other(campaign, monkeypatch, tmp_path):
    """A run's own lock is taken with the machine's in hand, never the other way about; a run that is there takes neither."""
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
    monkeypatch.setattr(Campaign, "request", None)
    monkeypatch.setattr(Campaign, "_machine", lambda *_, **__: contextlib.nullcontext(taken.append("machine")))
    monkeypatch.setattr(module, "FileLock", Lock)
    monkeypatch.setattr(module, "make_run", make_run)
    monkeypatch.setattr(module, "read_record", lambda _: replace(micro.counted().record(), folder=session.folder / "r"))
    for _ in range(2):
        session.run(case_named(session, "chain"), "subject", "per_tile")
    assert taken == ["machine", "key", "run"]


@pytest.mark.parametrize(
    ("subject", "retention", "variant", "alone"),
    [
        ("subject", "per_tile", PLAIN, True),
        ("subject", "run_end", Variant(repeat=2), True),
        ("subject", "keep", PLAIN, False),
        ("subject", "per_tile", Variant(panels=4), False),
        ("control", "per_tile", PLAIN, False),
    ],
)
def test_only_what_is_timed_has_the_machine_to_itself(campaign, subject, retention, variant, alone):
    """Runs whose times are compared are made alone; all others may run beside each other."""
    case = case_named(campaign(), "stress")
    assert module._is_timed(case, subject, retention, variant) is alone
    assert not module._is_timed(case_named(campaign(), "chain"), subject, retention, variant)


def test_the_machine_is_held_before_any_run_is_made(campaign):
    """The large run may be the first of a session, which has no folder of runs yet."""
    session = campaign()
    with session._machine(alone=True), session._machine(alone=True):
        assert (session.folder / "runs").is_dir()


def test_who_waits_to_be_alone_goes_before_those_that_come_later(campaign, monkeypatch):
    """While one waits for the machine it keeps the turn, and no later run begins; a run that lives keeps it from nobody."""
    session = campaign()
    waited = []

    def has_turn():
        try:
            with FileLock(session.folder / "runs" / "machine.turn", is_singleton=False, timeout=0):
                return False
        except Timeout:
            return True

    class Lock:
        def __init__(self, path):
            pass

        def acquire_write(self):
            waited.append(has_turn())

        def release(self):
            waited.append("released")

    with session._machine(alone=False):
        assert not has_turn()
    began = threading.Event()

    def later():
        with session._machine(alone=False):
            began.set()

    with FileLock(session.folder / "runs" / "machine.turn", is_singleton=False):
        thread = threading.Thread(target=later)
        thread.start()
        assert not began.wait(0.3)
    thread.join(30)
    assert began.is_set()
    monkeypatch.setattr(module, "ReadWriteLock", Lock)
    with session._machine(alone=True), session._machine(alone=True):
        assert not has_turn()
    assert waited == [True, "released"]


def test_runs_of_growing_size_take_the_first_panels(campaign):
    """A smaller run of the same kind: fewer frames, its own plan, another key."""
    session = campaign()
    case = case_named(session, "chain")
    whole = session.request(case, "subject", "per_tile")
    part = session.request(case, "subject", "per_tile", Variant(panels=2))
    assert {frame.panel for frame in part.dataset.frames} == {0, 1}
    assert len(part.plan) == 2
    assert part.dataset.sha256 != whole.dataset.sha256
    assert run_key(part) != run_key(whole)


@pytest.mark.parametrize(("usual", "other"), [("1", 2), ("2", 1), ("4", 1)])
def test_another_number_of_workers_is_another(campaign, usual, other):
    """A session with one worker must not compare a run with itself."""
    session = campaign(workers=usual)
    case = case_named(session, "chain")
    one, two = (session.request(case, "subject", "per_tile", variant) for variant in (PLAIN, Variant(workers=1)))
    assert (one.workers, two.workers) == (int(usual), other)
    assert run_key(one) != run_key(two)


def test_a_variant_changes_the_workers():
    """And repetitions of one request are told apart by their number alone."""
    request = a_request()
    assert run_key(replace(request, workers=1)) != run_key(request)
    assert run_key(request, 2) == f"{run_key(request)}-2"


def test_a_large_run_without_room_is_refused_before_it_starts(campaign, monkeypatch):
    """Neither the dataset is built nor a run made; the error names the figures and the option."""
    session = campaign(target="zemosaic:nowhere", budget="1s,1GiB")
    session.folder.mkdir()
    monkeypatch.setattr(Campaign, "run", lambda *_: None)
    monkeypatch.setattr(Campaign, "planned", lambda *_: (None,) * 10)
    monkeypatch.setattr(module.budget, "measured", lambda _: module.budget.Pilot(18, 30, 10.0, 1e8, 1e7))
    with pytest.raises(NoRoom, match=r"raise --phase3-budget"):
        session.dataset(case_named(session, "stress-subset"))
    assert not (session.root / "datasets").exists()


def test_the_pilot_runs_before_the_machine_is_held(campaign, monkeypatch):
    """A run that shares the machine can't be made by a thread that holds it alone: the frames are chosen first."""
    session = campaign()
    order = []
    monkeypatch.setattr(Campaign, "dataset", lambda *_: order.append("frames"))
    monkeypatch.setattr(
        Campaign, "_machine", lambda *_, alone: order.append("alone" if alone else "shared") or no_lock()
    )
    monkeypatch.setattr(Campaign, "run", stop)
    with pytest.raises(KeyboardInterrupt):
        session.judged(case_named(session, "stress"), "subject")
    assert order == ["frames", "alone"]


def no_lock():
    """Hold nothing."""
    return contextlib.nullcontext()


def stop(*_):
    """Make no run."""
    raise KeyboardInterrupt


def test_the_subset_is_chosen_once(campaign, monkeypatch):
    """A second worker of the session reads what the first chose."""
    session = campaign(target="zemosaic:nowhere")
    session.folder.mkdir()
    (session.folder / "subset.json").write_text(
        '{"name": "stress-20", "why": {"text": "it fits", "values": {}}}', encoding="utf-8"
    )
    monkeypatch.setattr(Campaign, "run", None)
    assert session.subset == "stress-20"
    assert set(catalogue.STRESS_SUBSETS) >= {session.subset}
