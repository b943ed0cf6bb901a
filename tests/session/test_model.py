"""Test the session: the outcomes that it merges, and its writing and reading."""

from dataclasses import asdict, fields, replace

import pytest

from harness.language.message import say
from harness.record.comparison import Comparison
from harness.record.convert import from_json, to_json
from harness.session.model import (
    JudgedRun,
    RealSet,
    RunEntry,
    Session,
    Share,
    TestEntry,
    read_session,
    with_shares,
    write_session,
)
from harness.verdict import Outcome, Verdict

EMPTY = Session(
    "2026-01-01T00:00:00+00:00", "reference", "reference", {"version": "1"}, "pytest -m phase3", {"os": "x"}
)
RUN = RunEntry("k", "chain", "subject", "per_tile", "reference", "d", "synthetic", "runs/k", "done", 2.5, "classic", 2)
ENTRY = TestEntry("scenarios/test_a.py::test_x[chain]", "Title", Outcome.PASS, "", "chain", scenario="A")


def verdicts(**outcomes):
    """Return one verdict for each keyword."""
    return tuple(Verdict(name, Outcome(outcome), say("x")) for name, outcome in outcomes.items())


def judged(found, red=None):
    """Return a judged run with these verdicts."""
    return JudgedRun("k", case="chain", role="control" if red else "subject", verdicts=found, expected_red=red)


@pytest.mark.parametrize(
    ("found", "red", "outcome"),
    [
        ({"tiles": "fail", "holes": "fail", "products": "pass"}, ("holes", "tiles"), "pass"),
        ({"tiles": "fail", "holes": "pass", "products": "pass"}, ("holes", "tiles"), "fail"),
        ({"tiles": "fail", "holes": "fail", "products": "fail"}, ("holes", "tiles"), "fail"),
        ({"tiles": "fail", "holes": "unknown", "products": "pass"}, ("holes", "tiles"), "unknown"),
        ({"tiles": "fail", "holes": "fail", "products": "unknown"}, ("holes", "tiles"), "unknown"),
        ({"tiles": "fail", "holes": "unknown", "products": "fail"}, ("holes", "tiles"), "fail"),
        ({"tiles": "pass", "holes": "pass"}, None, "pass"),
        ({"tiles": "pass", "holes": "unknown"}, None, "unknown"),
        ({"tiles": "fail", "holes": "unknown"}, None, "fail"),
    ],
)
def test_what_a_judged_run_merges_to(found, red, outcome):
    """A control passes if exactly the checks named for it are red; any other run has the outcome of its worst verdict."""
    assert judged(verdicts(**found), red).outcome == outcome


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        ({"tiles": "fail", "holes": "fail", "products": "pass"}, "pass"),
        ({"tiles": "fail", "holes": "pass", "products": "pass"}, "pass"),
        ({"tiles": "pass", "holes": "fail", "products": "pass"}, "fail"),
        ({"tiles": "fail", "holes": "pass", "products": "fail"}, "fail"),
        ({"tiles": "fail", "holes": "unknown", "products": "pass"}, "pass"),
        ({"tiles": "fail", "holes": "unknown", "products": "unknown"}, "unknown"),
        ({"tiles": "unknown", "holes": "fail", "products": "pass"}, "unknown"),
    ],
)
def test_what_a_control_may_show_besides(found, outcome):
    """A check in ``allowed_red`` may be red, unknown or green on a control; one in ``expected_red`` must be red.

    Which further checks see a lost tile depends on the frames.
    """
    run = replace(judged(verdicts(**found), ("tiles",)), allowed_red=("holes",))
    assert run.outcome == outcome


@pytest.mark.parametrize(
    ("found", "explained", "outcome"),
    [
        ({"tiles": "fail", "holes": "fail", "disk": "fail"}, ("disk",), "pass"),
        ({"tiles": "fail", "holes": "fail", "disk": "fail"}, (), "fail"),
        ({"tiles": "fail", "holes": "fail"}, ("holes",), "pass"),
        ({"tiles": "fail", "holes": "fail"}, ("holes", "tiles"), "unknown"),
        ({"tiles": "pass", "holes": "fail"}, ("holes",), "fail"),
    ],
)
def test_what_run_end_explains_is_not_the_bug_of_a_control(found, explained, outcome):
    """A check that is red with run_end too makes no control fail, and shows no bug; an expected one must still be red."""
    run = replace(judged(verdicts(**found), ("holes", "tiles")), red_with_run_end=explained)
    assert run.outcome == outcome


def test_a_session_of_an_earlier_version_explains_nothing(tmp_path):
    """Older sessions lack the checks that run_end explains; they are read, and their controls keep their outcome."""
    session = replace(EMPTY, judged=(judged(verdicts(tiles="fail"), ("tiles",)),))
    path = write_session(session, tmp_path)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"red_with_run_end": [],', ""), encoding="utf-8")
    assert "red_with_run_end" not in path.read_text(encoding="utf-8")
    assert read_session(tmp_path) == session


def test_a_run_in_two_roles_is_judged_twice():
    """If the commit before the fix is subject and control at once, the session keeps both judgements."""
    subject = judged(verdicts(tiles="fail"))
    share = Share((RUN,), (subject, replace(subject, role="control", expected_red=("tiles",))))
    session = with_shares(EMPTY, [share])
    assert {j.role: str(j.outcome) for j in session.judged} == {"subject": "fail", "control": "pass"}


def test_a_quality_finding_does_not_gate():
    """Only verdicts on the patch decide a run."""
    found = (*verdicts(tiles="pass"), replace(verdicts(truth="fail")[0], axis="quality"))
    assert judged(found).outcome is Outcome.PASS


def test_round_trip(tmp_path):
    """A session read back equals the one written."""
    session = replace(EMPTY, runs=(RUN,), judged=(judged(verdicts(tiles="fail"), ("tiles",)),), tests=(ENTRY,))
    session = replace(session, real_sets=(RealSet("m", judged=False, command="phase3 data fetch m"),))
    write_session(session, tmp_path)
    assert read_session(tmp_path) == session


def test_a_set_that_has_runs_is_judged_whatever_an_older_file_says(tmp_path):
    """Older sessions wrote of a set that it was not judged if its runs came after the first test."""
    sets = tuple(RealSet(name, judged=False, command="phase3 data fetch") for name in ("m", "other"))
    run = replace(RUN, dataset="m", dataset_kind="real")
    write_session(replace(EMPTY, runs=(run,), real_sets=sets), tmp_path)
    assert [(s.name, s.judged) for s in read_session(tmp_path).real_sets] == [("m", True), ("other", False)]


def test_shares_merge_to_one_session():
    """A run or judgement that several workers report counts once; a real set that one worker judged is judged."""
    rows = verdicts(tiles="pass")
    one = Share((RUN,), (judged(rows),), (ENTRY,), (RealSet("m", judged=False, command="c"),), rows)
    two = Share((RUN,), (judged(verdicts(tiles="pass")),), (), (RealSet("m", judged=True, command="c"),))
    session = with_shares(EMPTY, [one, two])
    assert (len(session.runs), len(session.judged), len(session.tests)) == (1, 1, 1)
    assert session.real_sets == (RealSet("m", judged=True, command="c"),)
    assert session.patch == rows
    assert with_shares(EMPTY, [two, one]) == session


def test_a_share_survives_json():
    """The controller reads the same share that a worker wrote."""
    share = Share(
        (RUN,),
        (judged(verdicts(tiles="fail"), ("tiles",)),),
        (ENTRY,),
        (RealSet("m", judged=True, command="c"),),
        verdicts(tiles="unknown"),
    )
    assert from_json(to_json(share), Share) == share


@pytest.mark.parametrize(
    ("outcomes", "merged"),
    [
        (["pass", "not evaluated"], "pass"),
        (["pass", "unknown"], "unknown"),
        (["not applicable", "not evaluated"], "unknown"),
        (["fail", "pass"], "fail"),
        ([], "unknown"),
    ],
)
def test_what_a_session_merges_to(outcomes, merged):
    """A session has the worst outcome of its tests; it is unknown if every test was skipped."""
    tests = tuple(replace(ENTRY, nodeid=str(n), outcome=Outcome(o)) for n, o in enumerate(outcomes))
    assert replace(EMPTY, tests=tests).outcome == merged


@pytest.mark.parametrize("text", ["{", "{}", '{"format": "phase3-session/9"}', '{"format": "phase3-session/1"}'])
def test_what_is_no_session(tmp_path, text):
    """A broken session, or one of another format, is refused with what to do."""
    (tmp_path / "session.json").write_text(text)
    with pytest.raises(ValueError, match=r"expected JSON|expected a session"):
        read_session(tmp_path)


def test_no_session_at_all(tmp_path):
    """A folder without a session.json gives an error that says which folder to name."""
    with pytest.raises(ValueError, match="found no such file: name a session's folder"):
        read_session(tmp_path)


def test_other_keys_replace_every_run_and_keep_the_verdicts():
    """Each field of the comparison is replaced, and nothing else."""
    keys = Comparison("run", "pair", "baseline", ("other",), (("run", "pair"), ("a", "b")), ("small", "large"))
    judged = JudgedRun("first", case="chain", role="subject", verdicts=(), questions=("cache",))
    moved = judged.with_keys(keys)
    assert {field.name: getattr(moved, field.name) for field in fields(keys)} == asdict(keys)
    assert replace(moved, **asdict(Comparison("first"))) == judged
