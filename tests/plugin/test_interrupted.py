"""Test sessions that are interrupted, resumed, refused before their start, or judge nothing, in processes of their own."""

import json
import shutil

import pytest

from harness.record.in_use import Hold
from harness.session.integrity import FILE, Integrity, check
from harness.session.model import read_session
from harness.session.resume import STARTED
from harness.session.run_matrix import RUNS
from reports.terminal import summary_lines
from tests.plugin.test_hooks import latest, run_pytest
from tests.session_forms import normal_form

QUICK = ("-m", "phase3", "--phase3-quick")
FIRST = "test_the_target_does_not_fail_by_itself"


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Return the root of a quick session that was interrupted in its first test, and the finished process."""
    root = tmp_path_factory.mktemp("stopped")
    done = run_pytest(*QUICK, f"--phase3-dir={root}", "-p", "tests.interrupting", STOP_IN=FIRST)
    return root, done


def test_ctrl_c_in_the_first_test_leaves_a_session_that_says_interrupted(stopped):
    """The session holds the finished runs; its tests are not evaluated; every view says interrupted; the status is not 0."""
    root, done = stopped
    assert done.returncode == pytest.ExitCode.INTERRUPTED, done.stdout
    session = read_session(latest(root))
    assert session.outcome == "unknown"
    assert {t.outcome for t in session.tests} == {"not evaluated", "not applicable"} - (
        set() if any(t.outcome == "not applicable" for t in session.tests) else {"not applicable"}
    )
    assert "interrupted" in session.interrupted.render()
    assert {run.state for run in session.runs} == {"done"}
    assert {r.outcome for r in session.requirements} == {"not evaluated"}
    assert "interrupted" in summary_lines(session, "en")[-2]
    for name in ("summary.md", "report.html"):
        assert "interrupted" in (latest(root) / name).read_text(encoding="utf-8")
    assert f"--phase3-resume={latest(root).name}" in done.stdout


def test_a_resumed_session_uses_finished_runs_again_and_is_that_of_one_go(stopped, tmp_path):
    """With --phase3-resume no finished run is made again, and the session equals one that was not interrupted."""
    root = shutil.copytree(stopped[0], tmp_path / "stopped")
    before = {p: p.stat().st_mtime_ns for p in latest(root).glob(f"{RUNS}/*/seal.json")}
    assert before
    folder = latest(root)
    part = run_pytest(*QUICK, f"--phase3-dir={root}", "--phase3-resume", "-k", FIRST)
    assert "were not reached" in read_session(folder).interrupted.render(), (
        part.stdout
    )  # the other tests are still to run
    done = run_pytest(*QUICK, f"--phase3-dir={root}", "--phase3-resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert latest(root) == folder
    assert {p: p.stat().st_mtime_ns for p in before} == before
    session = read_session(folder)
    assert session.interrupted is None
    assert session.outcome == "pass"
    whole = run_pytest(*QUICK, f"--phase3-dir={tmp_path / 'whole'}")
    assert whole.returncode == 0
    assert normal_form(session) == normal_form(read_session(latest(tmp_path / "whole")))
    # It reached its end, so there is nothing to go on with.
    again = run_pytest(*QUICK, f"--phase3-dir={root}", f"--phase3-resume={folder.name}")
    assert again.returncode == pytest.ExitCode.USAGE_ERROR
    assert "which reached its end" in again.stderr


def test_a_session_with_edited_tests_is_refused_and_judged_again_from_its_records(stopped, tmp_path):
    """Its tests edited to passes: refused, by name. With session.json and its manifest away, its records are judged again."""
    root = shutil.copytree(stopped[0], tmp_path / "stopped")
    folder = latest(root)
    path = folder / "session.json"
    path.write_bytes(path.read_bytes().replace(b'"not evaluated"', b'"pass"'))
    refused = run_pytest(*QUICK, f"--phase3-dir={root}", "--phase3-resume")
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "session.json: changed" in refused.stderr
    for name in ("session.json", FILE):
        (folder / name).unlink()
    done = run_pytest(*QUICK, f"--phase3-dir={root}", "--phase3-resume", "-k", FIRST)
    assert done.returncode == 3, done.stdout + done.stderr
    tests = {test.nodeid.rpartition("::")[2].partition("[")[0]: test.outcome for test in read_session(folder).tests}
    assert tests.pop(FIRST) == "pass"
    assert "pass" not in tests.values()
    assert check(folder) == Integrity(sealed=True)


def test_workers_that_are_interrupted_leave_a_session_that_can_be_resumed(tmp_path):
    """With -n 2 an interrupt in a worker leaves a session too, and it can be resumed."""
    stop = ("-p", "tests.interrupting", "-n", "2")
    done = run_pytest(*QUICK, f"--phase3-dir={tmp_path}", *stop, STOP_IN="test_every_master_tile_is_made")
    assert done.returncode not in (0, 1), done.stdout
    session = read_session(latest(tmp_path))
    assert session.interrupted is not None
    assert session.runs
    again = run_pytest(*QUICK, f"--phase3-dir={tmp_path}", "--phase3-resume", "-n", "2")
    assert again.returncode == 0, again.stdout + again.stderr
    assert read_session(latest(tmp_path)).interrupted is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--phase3-workers=3",), "--phase3-workers was '2' and is '3'"),
        (("--phase3-target=reference:cache_leak",), "--phase3-target was 'reference' and is 'reference:cache_leak'"),
        (("--phase3-baseline=reference:cache_leak",), "the baseline is another version than before"),
    ],
)
def test_a_session_is_not_resumed_with_other_input(tmp_path, options, message):
    """Another target, baseline or setting is refused with the reason, and the interrupted session stays as it was."""
    done = run_pytest(*QUICK, f"--phase3-dir={tmp_path}", "-p", "tests.interrupting", "-k", FIRST, STOP_IN=FIRST)
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    before = (latest(tmp_path) / "session.json").read_bytes()
    refused = run_pytest(*QUICK, f"--phase3-dir={tmp_path}", "--phase3-resume", *options)
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert message in refused.stderr
    assert (latest(tmp_path) / "session.json").read_bytes() == before


def files_below(folder):
    """Return the content of every file of a folder, by path."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "two workers"])
def test_a_refused_resume_leaves_every_file_as_it_was(stopped, workers):
    """A misspelt -k, and other options, are refused: the session has the same files, and can still be resumed."""
    root, _ = stopped
    before = files_below(latest(root))
    resume = (*QUICK, f"--phase3-dir={root}", "--phase3-resume")
    nothing = run_pytest(*resume, "-k", "no_such_test", *workers)
    assert nothing.returncode == 2
    assert "none is selected" in nothing.stdout
    assert files_below(latest(root)) == before
    other = run_pytest(*resume, "--phase3-workers=3", *workers)
    assert other.returncode == pytest.ExitCode.USAGE_ERROR
    assert files_below(latest(root)) == before
    assert [p.name for p in (root / "sessions").iterdir()] == [latest(root).name]


def test_a_session_that_still_runs_is_not_resumed(stopped):
    """A session in which a controller or a worker still works is refused: its files stay as they are."""
    root, _ = stopped
    before = files_below(latest(root))
    for process in ("controller", "gw0"):
        hold = Hold(latest(root), process)
        try:
            done = run_pytest(*QUICK, f"--phase3-dir={root}", "--phase3-resume")
        finally:
            hold.release()
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert "still running: wait until it ends" in done.stderr
        assert files_below(latest(root)) == before


def test_a_session_is_held_while_it_runs(tmp_path):
    """From its start to its end each process of a session holds it, and nothing of that is left."""
    done = run_pytest(
        *QUICK, f"--phase3-dir={tmp_path}", "-p", "tests.interrupting", "-k", FIRST, "-n", "1", HELD_IN=FIRST
    )
    assert "held: controller gw0" in done.stdout + done.stderr
    assert [p.name for p in (tmp_path / "sessions").iterdir()] == [latest(tmp_path).name]


def test_a_session_is_not_resumed_with_another_harness(stopped):
    """A session that another source of the harness started is refused, with the files that differ."""
    root, _ = stopped
    path = latest(root) / STARTED
    written = path.read_text(encoding="utf-8")
    start = json.loads(written)
    assert "harness/checks/cost.py" in start["source"]
    start["source"]["harness/checks/cost.py"] = "0" * 16
    path.write_text(json.dumps(start), encoding="utf-8")
    try:
        done = run_pytest(*QUICK, f"--phase3-dir={root}", "--phase3-resume")
    finally:
        path.write_text(written, encoding="utf-8")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "the harness is another version than before, 1 file differs (harness/checks/cost.py)" in done.stderr


def test_nothing_to_resume_is_a_usage_error(tmp_path):
    """Without an interrupted session the message says where one was expected."""
    done = run_pytest(*QUICK, f"--phase3-dir={tmp_path}", "--phase3-resume")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "expected an interrupted session" in done.stderr


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "two workers"])
@pytest.mark.parametrize(
    ("selected", "message"),
    [
        (("scenarios/test_guard_rails.py",), "the target has no versions to compare"),
        (("-k", "no_such_test"), "none is selected"),
    ],
)
def test_a_session_that_can_judge_nothing_ends_before_it_starts(tmp_path, selected, message, workers):
    """Guard rails without versions, or no selected test, end with status 2 and the reason, and leave no session."""
    done = run_pytest("-m", "phase3", f"--phase3-dir={tmp_path}", *selected, *workers)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stdout
    assert not (tmp_path / "latest").exists()
    assert list((tmp_path / "sessions").iterdir()) == []


def test_the_guard_rails_of_a_tree_without_git_end_with_status_2(tmp_path, stub):
    """A copy of the target without git has no versions: known before the start, so the status is 2."""
    done = run_pytest(
        *("-m", "phase3", "scenarios/test_guard_rails.py", f"--phase3-dir={tmp_path / 'session'}"),
        f"--phase3-target=zemosaic:{stub('')}",
    )
    assert done.returncode == 2, done.stdout + done.stderr


def test_a_budget_that_is_too_small_is_refused_in_one_line(tmp_path, stub):
    """A budget of the user's that the large run exceeds ends the session before its tests, in one line with the figures."""
    done = run_pytest(
        *("-m", "phase3", "scenarios/test_b_stress.py", f"--phase3-dir={tmp_path / 'session'}"),
        *(f"--phase3-target=zemosaic:{stub('')}", "--phase3-budget=1s,10GiB"),
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout.count("Expected room for the smallest subset") == 1
    assert "raise --phase3-budget" in done.stdout


def test_the_whole_is_estimated_from_a_pilot_before_the_first_test(stopped):
    """Before the first test the terminal names all runs and their time on this machine, also in a first session."""
    root, done = stopped
    assert " runs, about " in done.stdout
    assert "their duration is not known" not in done.stdout
    assert json.loads((latest(root) / "started.json").read_text(encoding="utf-8"))["options"]["quick"] == "true"
