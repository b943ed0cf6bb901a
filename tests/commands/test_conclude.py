"""Test the report of a job's result to its runner: pass, fail, unknown, or a broken set-up."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.commands.conclude import conclude, session_in
from harness.commands.main import main
from harness.record.reader import read_record
from harness.session.model import read_session, write_session
from harness.verdict import Outcome
from tests.sample_session import sample_session


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the folder of a session; the test chooses its outcome."""
    folder = tmp_path_factory.mktemp("sample") / "session"
    folder.mkdir()
    sample_session(folder)
    return folder


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """Return the files that a runner reads, in a folder with a space in its name."""
    folder = tmp_path / "a runner"
    folder.mkdir()
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"):
        monkeypatch.setenv(name, str(folder / name))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("PHASE3_LANG", raising=False)
    return folder


def below(folder, made, outcome, name="20261124-000000-aaaaaa"):
    """Write a session where pytest writes it below ``--phase3-dir``, with one outcome for all its tests; return that folder."""
    place = folder / "sessions" / name
    shutil.copytree(made, place)
    session = read_session(place)
    write_session(replace(session, tests=tuple(replace(t, outcome=Outcome(outcome)) for t in session.tests)), place)
    return folder


@pytest.mark.parametrize(
    ("outcome", "broken", "word", "status", "level"),
    [
        (Outcome.PASS, False, "pass", 0, "notice"),
        (Outcome.FAIL, False, "fail", 1, "error"),
        (Outcome.UNKNOWN, False, "unknown", 3, "warning"),
        (None, True, "set-up wrong", 2, "error"),
        (None, False, "set-up wrong", 2, "error"),
        (Outcome.PASS, True, "set-up wrong", 2, "error"),
        (Outcome.UNKNOWN, True, "set-up wrong", 2, "error"),
        (Outcome.FAIL, True, "fail", 1, "error"),
    ],
)
def test_four_conclusions(outcome, broken, word, status, level):
    """Only a pass with nothing broken is green. A failure stays a failure, whatever else broke."""
    found = conclude(outcome, broken=broken)
    assert (found.word, found.status, found.level) == (word, status, level)


@pytest.mark.parametrize(
    ("outcome", "ended", "status", "level"),
    [("pass", "success", 0, "notice"), ("fail", "failure", 1, "error"), ("unknown", "failure", 3, "warning")],
)
def test_a_session_is_told_to_the_runner(made, runner, capsys, *, outcome, ended, status, level):
    """Exit status, annotation, page and the result for later steps agree, and the session is in the new folder."""
    made = below(runner / "p3", made, outcome)
    assert main(["conclude", str(runner / "out"), str(made), f"--ended={ended}"]) == status
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("::"))
    assert line.startswith(f"::{level} title=phase3%3A {outcome}::Self-test of the harness: ")
    assert (runner / "GITHUB_OUTPUT").read_text(encoding="utf-8") == f"verdict={outcome}\n"
    page = (runner / "out" / "summary.md").read_text(encoding="utf-8")
    assert (runner / "GITHUB_STEP_SUMMARY").read_text(encoding="utf-8") == page
    assert str(read_session(runner / "out").outcome) == outcome


def test_the_runners_page_is_in_the_language_asked_for(made, runner, capsys):
    """In French the page and the annotation are French."""
    made = below(runner / "p3", made, "pass")
    assert main(["--lang", "fr", "conclude", str(runner / "out"), str(made)]) == 0
    page = (runner / "out" / "summary.fr.md").read_text(encoding="utf-8")
    assert (runner / "GITHUB_STEP_SUMMARY").read_text(encoding="utf-8") == page
    assert "::Autotest du banc" in capsys.readouterr().out


def test_without_a_session_the_set_up_is_wrong(runner, capsys):
    """A job that broke before it wrote its session is red, and the message names the folder that was searched."""
    (runner / "p3" / "sessions" / "20261124-000000-aaaaaa" / "runs").mkdir(parents=True)
    assert main(["conclude", str(runner / "out"), str(runner / "p3"), "--ended=failure"]) == 2
    out = capsys.readouterr().out
    assert out.startswith("::error title=phase3%3A set-up wrong::expected a session in ")
    assert "p3, found no session.json" in out
    shown = (runner / "GITHUB_STEP_SUMMARY").read_text(encoding="utf-8")
    assert shown.startswith("# ✗ set-up wrong\n\n- expected a session in ")
    assert (runner / "GITHUB_OUTPUT").read_text(encoding="utf-8") == "verdict=set-up wrong\n"
    assert not (runner / "out").exists()


def test_a_pass_whose_maker_failed_is_none(made, runner, capsys):
    """A passing session from a failed step is a broken set-up: evidence may be missing."""
    made = below(runner / "p3", made, "pass")
    for ended in ("failure", "cancelled", "skipped"):
        out = runner / ended
        assert main(["conclude", str(out), str(made), f"--ended={ended}"]) == 2
        assert f"the job ended as {ended}" in capsys.readouterr().out


def test_each_folder_must_hold_a_session(made, runner, capsys):
    """A system whose session is missing is named, and the report of the other systems is still written."""
    green = below(runner / "green", made, "pass")
    assert main(["conclude", str(runner / "out"), str(green), str(runner / "lost system"), "--ended=failure"]) == 2
    assert "lost system, found no session.json" in capsys.readouterr().out
    assert read_session(runner / "out").outcome is Outcome.PASS
    shown = (runner / "GITHUB_STEP_SUMMARY").read_text(encoding="utf-8")
    assert "lost system" in shown
    assert shown.endswith((runner / "out" / "summary.md").read_text(encoding="utf-8"))


def test_a_failure_outranks_a_missing_session(made, runner, capsys):
    """A failure stays red when another system's session is missing; the missing session is reported too."""
    red = below(runner / "red", made, "fail")
    assert main(["conclude", str(runner / "out"), str(red), str(runner / "lost system")]) == 1
    assert "lost system, found no session.json" in capsys.readouterr().out


def test_the_worst_of_several_counts(made, runner):
    """If one system is unknown and the others pass, the result is unknown."""
    green, grey = (below(runner / outcome, made, outcome) for outcome in ("pass", "unknown"))
    assert main(["conclude", str(runner / "out"), str(green), str(grey)]) == 3


def test_sessions_that_do_not_belong_together_are_a_broken_set_up(made, runner, capsys):
    """A merge error is reported to the runner, not only in the log."""
    one, two = (below(runner / name, made, "pass") for name in ("one", "two"))
    folder = session_in(two)
    write_session(replace(read_session(folder), target="another"), folder)
    assert main(["conclude", str(runner / "out"), str(one), str(two)]) == 2
    assert "::error title=phase3%3A set-up wrong::expected sessions of one target" in capsys.readouterr().out


def test_an_older_session_does_not_stand_for_the_last(made, tmp_path):
    """If the job wrote no session, an earlier passing session is not used in its place."""
    folder = below(tmp_path, made, "pass")
    assert session_in(folder) == folder / "sessions" / "20261124-000000-aaaaaa"
    (folder / "sessions" / "20261125-000000-bbbbbb").mkdir()
    assert session_in(folder) is None
    below(tmp_path, made, "fail", "20261126-000000-cccccc")
    assert session_in(folder) == folder / "sessions" / "20261126-000000-cccccc"
    assert session_in(made) == made
    assert session_in(tmp_path / "nowhere") is None


def test_elsewhere_it_is_plain_text(made, runner, capsys, monkeypatch):
    """On a terminal no runner command is printed, and no runner file is needed."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"):
        monkeypatch.delenv(name)
    assert main(["conclude", str(runner / "out"), str(below(runner / "p3", made, "unknown"))]) == 3
    out = capsys.readouterr().out
    assert "UNKNOWN: Self-test of the harness: unknown." in out
    assert "::" not in out


def test_what_was_read_is_no_command(runner, capsys):
    """Text from a session can't end the annotation or start another runner command."""
    name = "x%0A::notice::all is well\n::notice::pass"
    assert main(["conclude", str(runner / "out"), name]) == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert "x%250A::notice::all is well%0A::notice::pass, found no session.json" in line


def test_what_targets_made_is_left_out(made, runner):
    """The merged session keeps the records without their outputs, and these records are not damaged."""
    p3 = below(runner / "p3", made, "pass")
    for run in read_session(session_in(p3)).runs:
        assert (session_in(p3) / run.record / "request.json").is_file()
    main(["conclude", str(runner / "out"), str(p3)])
    for run in read_session(runner / "out").runs:
        record = read_record(runner / "out" / run.record)
        assert record.seal.without == ("outputs",)
        assert record.damage == ()
        assert not Path(record.folder, "outputs").exists()
