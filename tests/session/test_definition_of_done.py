"""Test the Definition of Done of several sessions: which outcomes count, and when a line passes."""

from dataclasses import replace

import pytest

from harness.language.message import say
from harness.record.seal import note_spared, seal
from harness.session.definition_of_done import read, together
from harness.session.model import JudgedRun, SessionError
from harness.session.rows import OWN_DATA
from harness.session.run_matrix import RUNS
from harness.verdict import Outcome, Verdict
from reports.document.definition_of_done import document
from tests.done_sessions import COMMIT, DONE, FIXED, LINES, a_session, detail, outcomes, page, taken
from tests.sample_session import sample_session


def test_a_line_passes_when_all_its_tests_were_evaluated():
    """If every test was run and none failed, every line passes but that on the user's own dataset, and so does the whole."""
    done = taken(a_session())
    found = dict(outcomes(done))
    assert found.pop(OWN_DATA) == "not evaluated"
    assert set(found.values()) == {"pass"}
    assert done.outcome is Outcome.PASS


@pytest.mark.parametrize("outcome", ["fail", "unknown", "not evaluated", "not applicable", None])
@pytest.mark.parametrize("line", DONE, ids=lambda line: line.id)
def test_nothing_else_becomes_a_pass(line, outcome):
    """A line of the Definition of Done with one test that fails, is unknown, was skipped or never run does not pass."""
    for name in line.tests:
        done = taken(a_session(tests={name: outcome}))
        assert outcomes(done)[line.id] == (outcome if outcome in {"fail", "unknown"} else "not evaluated")
        assert done.outcome is (Outcome.FAIL if outcome == "fail" else Outcome.UNKNOWN)


@pytest.mark.parametrize(
    ("found", "merged"),
    [
        (("pass", "fail"), "fail"),
        (("unknown", "fail"), "fail"),
        (("pass", "unknown"), "unknown"),
        (("pass", "not evaluated"), "pass"),
        (("pass", None), "pass"),
        (("not evaluated", "not applicable"), "not evaluated"),
        (("not applicable", "not applicable"), "not applicable"),
    ],
)
def test_sessions_of_one_subject_are_taken_together(found, merged):
    """Fail in any session outranks unknown, which outranks pass; a test must be evaluated at least once."""
    (name,) = next(line for line in LINES if line.id == "A.7").tests
    for order in (found, found[::-1]):
        assert outcomes(taken(*(a_session(tests={name: one}) for one in order)))["A.7"] == merged


@pytest.mark.parametrize(
    ("line", "case"), [("4.2", "gui"), ("4.2", "natural"), ("4.2", "chain"), ("4.3", "sds"), ("4.3", "grid")]
)
def test_a_case_that_nobody_ran_is_half_of_the_proof(line, case):
    """A line passes only if its tests ran on all synthetic cases; the document names the missing cases."""
    session = a_session()
    for left in (
        [t for t in session.tests if t.case != case or (case == "chain" and t.scenario != "A")],
        [replace(t, outcome=Outcome.NOT_EVALUATED) if t.case == case else t for t in session.tests],
    ):
        part = replace(session, tests=tuple(left))
        assert outcomes(taken(part))[line] == "not evaluated"
        assert taken(part).outcome is Outcome.UNKNOWN
        assert f"○ not run: `{case}`\n" in detail(page(part), line)
        assert outcomes(taken(part, session))[line] == "pass"


def test_an_older_session_without_scenarios_counts_as_before(written):
    """The tests of an older session belong to the scenario of their case, so that a case that was not run is missed."""

    def read_without(case):
        session = a_session()
        tests = tuple(replace(t, scenario="", occasion="") for t in session.tests if case is None or t.case != case)
        return together(read([written(replace(session, tests=tests), f"without {case}")]))

    assert outcomes(read_without(None))["A.7"] == "pass"
    assert outcomes(read_without("gui"))["A.7"] == "not evaluated"


def test_a_case_without_the_question_was_asked():
    """A line passes if one of its checks does not apply to a case."""
    session = a_session()
    tests = tuple(replace(t, outcome=Outcome.NOT_APPLICABLE) if t.case == "gui" else t for t in session.tests)
    assert outcomes(taken(replace(session, tests=tests)))["4.2"] == "pass"


def test_halves_make_a_whole():
    """Tests of several sessions together can make a line pass."""
    (line,) = [line for line in DONE if line.id == "4.3"]
    halves = [dict.fromkeys(line.tests[n::2]) for n in range(2)]
    sessions = [a_session(tests=half) for half in halves]
    assert outcomes(taken(sessions[0]))["4.3"] == "not evaluated"
    assert outcomes(taken(*sessions))["4.3"] == "pass"


def test_the_reference_says_nothing(tmp_path):
    """A session of the embedded reference leaves the Definition of Done not evaluated, and the document says why."""
    sample_session(tmp_path, "reference")
    done = together(read([tmp_path]))
    assert {outcomes(done)[line.id] for line in DONE} == {"not evaluated"}
    assert done.outcome is Outcome.UNKNOWN
    text = document(done, "en")
    assert "says nothing about ZeMosaic" in text.partition("\n## ")[0]
    assert "| ○ not evaluated | Repro du trou corrigée |" in text


def test_other_targets_decide_nothing():
    """A session of another target changes no line; it appears only in the table."""
    red = dict.fromkeys((name for line in LINES for name in line.tests), "fail")
    sessions = (a_session(), a_session("zemosaic 271f109", "2" * 40, tests=red))
    done = taken(*sessions)
    assert done.outcome is Outcome.PASS
    assert "`zemosaic 271f109`" in document(done, "en")
    other = taken(*sessions, subject="zemosaic 271f109")
    assert (other.subject, other.outcome) == ("zemosaic 271f109", Outcome.FAIL)
    assert taken(*sessions, subject="2222222").subject == "zemosaic 271f109"


def test_another_profile_decides_nothing_and_is_told():
    """A session with another profile changes no line; its failures are named at the top."""
    red = dict.fromkeys((name for line in LINES for name in line.tests), "fail")
    verdicts = (
        Verdict("parity", Outcome.FAIL, say("Other outputs."), {}),
        Verdict("holes", Outcome.PASS, say("None."), {}),
    )
    judged = (JudgedRun("r", case="gui", role="subject", verdicts=verdicts),)
    default = replace(a_session(tests=red), options={"profile": "default"}, judged=judged, runs=())
    done = taken(a_session(), default)
    assert (done.outcome, len(done.own), len(done.other_profiles)) == (Outcome.PASS, 1, 1)
    head = document(done, "en").partition("\n## ")[0]
    assert "was made with the profile default" in head
    assert "gui: parity." in head
    assert taken(default, a_session()).outcome is Outcome.FAIL


def test_a_session_that_is_given_twice_counts_once(written):
    """A session given twice is counted once."""
    folder = written(a_session())
    assert len(together(read([folder, folder])).own) == 1


def test_a_run_counts_once(written):
    """A merged session and one of its shards contain the same runs, which must not be counted twice."""
    folders = [written(a_session(created=f"2026-11-2{n}T00:00:00Z"), f"session {n}") for n in range(2)]
    for n, folder in enumerate(folders):
        for key in ("s", "b"):
            (folder / RUNS / key).mkdir(parents=True, exist_ok=True)
            (folder / RUNS / key / "events-1.jsonl").write_text(f"{key}{n}\n", encoding="utf-8")
            seal(folder / RUNS / key, "done", 0, "", 1.0)
    assert len(read(folders)) == 2
    events = folders[1] / RUNS / "s" / "events-1.jsonl"
    events.write_text("s0\n", encoding="utf-8")
    seal(events.parent, "done", 0, "", 1.0)
    note_spared(events.parent)
    with pytest.raises(SessionError, match=r"found s in .*session 0 and in .*session 1: name the merged session"):
        read(folders)


@pytest.mark.parametrize("subject", ["zemosaic abc", "b59a6", "63bcc2c"])
def test_a_subject_without_a_session(subject):
    """An unknown target, or too few characters of a commit, is an error that names the known targets."""
    with pytest.raises(SessionError, match=r"found sessions of zemosaic b59a65f"):
        taken(a_session(), subject=subject)


def test_versions_of_libraries_part_nothing():
    """The same commit with other versions of libraries is the same target."""
    same = a_session(identity={"commit": COMMIT, "versions": {"numpy": "1"}})
    assert len(taken(a_session(), same).own) == 2


def test_a_changed_work_tree_is_another_target():
    """Sessions of different targets with the same name are refused."""
    for parts in ({"identity": {"commit": COMMIT, "dirty": "x"}}, {"target_kind": "command"}):
        with pytest.raises(SessionError, match="same name and are not the same"):
            taken(a_session(), a_session(**parts))
    edited = a_session(f"{FIXED}+1234567", identity={"commit": COMMIT, "dirty": "1234567"})
    assert taken(edited, a_session(), subject="b59a65f").subject == FIXED
    with pytest.raises(SessionError, match="expected a session of b59a65f"):
        taken(edited, subject="b59a65f")
