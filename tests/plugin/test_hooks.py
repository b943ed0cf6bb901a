"""Test the pytest plugin by running pytest on the project's own scenarios, each time in a new process."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fixtures import bad_input
from fixtures.datasets import SYNTHETIC, build
from harness.language.catalogue import translator
from harness.language.message import say
from harness.plugin.fixtures import AskingTest, UnknownVerdictError, note, of_unknown_standing, verdict
from harness.plugin.hooks import selected
from harness.record.reader import read_record
from harness.record.values import sha256_of
from harness.session.model import JudgedRun, RealSet, read_session
from harness.session.run_matrix import RUNS
from harness.session.shares import read_share
from harness.verdict import Outcome, Verdict
from reports.terminal import summary_lines
from tests.session_forms import normal_form

ROOT = Path(__file__).resolve().parents[2]


def run_pytest(*arguments, **environment):
    """Run pytest on the scenarios, without the options of this process, and return the finished process."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PHASE3_", "PYTEST_"))} | environment
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, encoding="utf-8", timeout=240, check=False
    )


def latest(root):
    """Return the folder of the newest session."""
    return root / (root / "latest").read_text(encoding="utf-8").strip()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Return the root of a quick session on the reference, made by one process, and the finished process."""
    root = tmp_path_factory.mktemp("une seule étape")
    done = run_pytest("-m", "phase3", "--phase3-quick", f"--phase3-dir={root}", f"--junit-xml={root / 'junit.xml'}")
    return root, done


def test_a_quick_session_is_green_and_leaves_everything(alone):
    """The session passes and writes its verdicts, both reports, and a pointer to itself."""
    root, done = alone
    assert done.returncode == 0, done.stdout + done.stderr
    folder = latest(root)
    session = read_session(folder)
    assert session.outcome == "pass"
    assert session.self_test
    assert {j.role for j in session.judged} >= {"subject", "pair", "control"}
    assert {"report.html", "report.fr.html"} <= {p.name for p in folder.iterdir()}
    assert str(folder / "report.html") in done.stdout
    row = {r.id: r.outcome for r in session.requirements}
    # One case of scenario A is part of the proof.
    assert row["A.7"] == row["4.2"] == "not evaluated"
    (line,) = [r for r in session.requirements if r.id == "A.7"]
    assert line.cases == ("chain-quick",)
    # The reference has no versions to compare.
    assert {t.outcome for t in session.tests if "guard_rails" in t.nodeid} == {"not applicable"}


@pytest.mark.parametrize("name", ["README.md", "README.fr.md"])
def test_the_readme_shows_the_last_lines_of_a_session(alone, name):
    """The last lines in the README are those of the first command, in this order, up to numbers, times and names of folders.

    They are read from a quick session, as if it had run everything without observed frames. If they differ: run the README's
    first command, and copy the end of what it prints.
    """
    root, _ = alone
    folder, lang = latest(root), "fr" if name == "README.fr.md" else "en"
    session = read_session(folder)
    whole = replace(
        session,
        command="pytest -m phase3",
        options={key: value for key, value in session.options.items() if key != "quick"},
        real_sets=(RealSet("microobs_hatp32_4panels", judged=False, command=""),),
    )
    page = folder / ("report.fr.html" if lang == "fr" else "report.html")
    printed = [*summary_lines(whole, lang), say("Report: {path}", path=str(page)).render(translator(lang))]
    (lines,) = (
        block.splitlines() for block in re.findall(r"```text\n(.*?)```", (ROOT / name).read_text("utf-8"), re.DOTALL)
    )
    assert len(lines) >= 5
    assert not_printed(lines, printed) == []
    assert not_printed([lines[0], "✗ fail: chain, version under test"], printed) == [
        "✗ fail: chain, version under test"
    ]
    assert not_printed([lines[-1], lines[0]], printed) == [lines[0]]


def not_printed(lines, printed):
    """Return the lines that were not printed in this order."""
    found = iter([without_figures(line) for line in printed])
    return [line for line in lines if without_figures(line) not in found]


def without_figures(line):
    """Return a line of the terminal with one sign for each number and path, and one space for each kind of space."""
    line = re.sub(r": .*report(\.fr)?\.html", ": PATH", " ".join(line.strip("= ").split()))
    return re.sub(r"\d+", "N", line.replace("chain-quick", "chain"))  # a quick session has a case of its own


def test_a_session_holds_its_options_and_environment(alone):
    """The session holds the options that decide on its runs, the processors and, in a checkout, the harness's commit."""
    root, _ = alone
    session = read_session(latest(root))
    assert session.options == {
        "target": "reference",
        "profile": "fast",
        "workers": "2",
        "seconds": "600",
        "budget": "1200s,10GiB",
        "quick": "true",
    }
    assert int(session.environment["processors"]) >= 1
    assert ("harness_commit" in session.environment) == (ROOT / ".git").exists()


def test_the_runs_to_come_are_counted_and_each_has_its_line(alone):
    """Without a terminal the output has the number of runs with their expected time, and a line for each finished run."""
    _, done = alone
    head = done.stdout.partition(" passed")[0]
    assert re.search(r"^(Runs: 4|4 runs)", head, re.MULTILINE)
    ended = re.findall(r"^(?:\[(\d)/4\] )?reference.* · chain-quick · .*: done after \d+ s$", head, re.MULTILINE)
    assert len(ended) == 4
    assert ended[1:] == ["2", "3", "4"]  # the first one is the pilot, before the others are known
    assert "?" not in head


def test_the_end_is_short_and_its_last_line_is_the_report(alone):
    """The end of a quick session: scenarios with figures, whether the bug was seen, what was not run, verdict, path."""
    root, done = alone
    lines = done.stdout.splitlines()
    end = lines[next(n for n, line in enumerate(lines) if " phase3 " in line and line.startswith("=")) :]
    assert len(end) <= 25
    assert end[1].startswith("◐ 1 of 4 cases: A hole: retention holes 1 → 0 · tiles 2/3 → 3/3 · lost-cache events ")
    assert "✓ Runs of a version with the bug on which the checks saw it: 1 of 1." in end
    assert sum("all cases: pytest -p no:cacheprovider -q -m phase3" in line for line in end) == 1
    assert end[-3].startswith("✓ Self-test of the harness: passes.")
    assert end[-1] == f"Report: {latest(root) / 'report.html'}"
    assert "SKIPPED" not in done.stdout


def test_junit_holds_flat_text_only(alone):
    """Properties are plain text, so that any reader of JUnit can show them."""
    root, _ = alone
    properties = ET.parse(root / "junit.xml").getroot().findall(".//property")
    values = {p.get("name"): p.get("value") for p in properties}
    assert set(values) == {
        f"phase3_{name}"
        for name in (
            *("case", "title", "scenario", "outcome", "check", "verdict"),
            *("part", "run", "role", "target", "retention", "seconds"),
        )
    }
    assert not any((v or "").startswith(("{", "[", "<")) for v in values.values())
    assert values["phase3_scenario"] == "A"
    assert float(values["phase3_seconds"]) > 0


def test_a_test_is_bound_to_the_verdict_that_it_asserts(alone):
    """The session holds the run that each test judged, the role of the run, and the check whose verdict is asserted."""
    root, _ = alone
    session = read_session(latest(root))
    test = next(t for t in session.tests if "test_every_master_tile_is_made" in t.nodeid)
    assert (test.check, test.role) == ("tiles", "subject")
    (judged,) = [j for j in session.judged if (j.run, j.role) == (test.run, test.role)]
    verdict = next(v for v in judged.verdicts if v.check == test.check)
    assert test.outcome == verdict.outcome
    control = next(t for t in session.tests if t.role == "control")
    assert control.check is None
    part = next(t for t in session.tests if "test_no_cache_file_is_missing" in t.nodeid)
    assert (part.check, part.part, test.part) == ("warnings", "mastertile_warn_cache_file_missing", None)


def test_the_session_holds_the_scenario_of_each_marker(tmp_path):
    """A module of a new scenario E needs no other change: the session holds its scenario and its occasion."""
    module = tmp_path / "test_e_new.py"
    module.write_text(
        """
import pytest
pytestmark = pytest.mark.phase3
@pytest.mark.scenario("E", occasion="rain")
def test_new():
    "Rain."
def test_unmarked():
    pass
""",
        encoding="utf-8",
    )
    plugins = ("-p", "harness.plugin.hooks", "-p", "harness.plugin.fixtures")
    options = ("-c", str(ROOT / "pyproject.toml"), f"--phase3-dir={tmp_path / 'session'}", "--phase3-quick")
    done = run_pytest(str(module), "-m", "phase3", *plugins, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {t.nodeid.rpartition("::")[2]: t for t in read_session(latest(tmp_path / "session")).tests}
    assert (found["test_new"].scenario, found["test_new"].occasion, found["test_new"].title) == ("E", "rain", "Rain.")
    assert (found["test_unmarked"].scenario, found["test_unmarked"].occasion) == ("", "")


def test_each_test_of_a_session_has_the_scenario_of_its_marker(alone):
    """The session holds the scenario of each test; tests that read the source or call the release alone have no scenario."""
    root, _ = alone
    tests = read_session(latest(root)).tests
    assert {(t.nodeid.partition("::")[0], t.scenario) for t in tests} == {
        ("scenarios/test_a_hole_repro.py", "A"),
        ("scenarios/test_b_stress.py", "B"),
        ("scenarios/test_guard_rails.py", ""),
        ("scenarios/test_under_faults.py", ""),
    }


def test_a_mark_that_names_no_check_says_which_there_are():
    """A misspelt check in the mark judges is an error of its test that names the checks of the run."""
    mark = SimpleNamespace(args=("hole",), kwargs={})
    node = SimpleNamespace(user_properties=[], get_closest_marker={"judges": mark}.get)
    judged = JudgedRun("s", case="chain", role="subject", verdicts=(Verdict("holes", Outcome.PASS, say("Sound.")),))
    with pytest.raises(UnknownVerdictError, match=r"\(holes\), found 'hole': correct the mark"):
        verdict.__wrapped__(AskingTest(node, "en"), judged, None, "chain")
    assert node.user_properties == [("phase3_outcome", "unknown")]


def test_what_is_noted_of_a_test_is_built_in_text():
    """Notes become plain text: a numpy number among the properties would crash a session with workers."""
    node = SimpleNamespace(user_properties=[])
    note(node, seconds=np.float64(1.5), count=np.int64(3), case=np.str_("c"), outcome=Outcome.PASS, check=None)
    assert node.user_properties == [
        ("phase3_seconds", "1.5"),
        ("phase3_count", "3"),
        ("phase3_case", "c"),
        ("phase3_outcome", "pass"),
    ]
    assert {type(part) for pair in node.user_properties for part in pair} == {str}


@pytest.mark.parametrize(
    ("axis", "outcome", "standing", "baseline", "unknown"),
    [
        ("quality", "fail", "", "b", True),
        ("quality", "fail", "", None, False),
        ("quality", "fail", "new", "b", False),
        ("quality", "fail", "pre-existing", "b", False),
        ("quality", "pass", "", "b", False),
        ("patch", "fail", "", "b", False),
    ],
)
def test_a_finding_that_may_be_new_is_unknown(axis, outcome, standing, baseline, unknown):
    """A finding is unknown if the baseline was run but does not show whether the finding is new."""
    verdict = Verdict("accuracy", Outcome(outcome), say("x"), axis=axis, standing=standing)
    judged = JudgedRun("k", None, baseline, case="chain", role="subject", verdicts=(verdict,))
    assert of_unknown_standing(verdict, judged) is unknown


def noted(junit):
    """Return the properties of each test in JUnit, without times and without figures in sentences, which depend on times."""
    cases = ET.parse(junit).getroot().iter("testcase")
    return {
        case.get("name"): {
            p.get("name"): re.sub(r"\d+(\.\d+)?(e-?\d+)?", "#", p.get("value"))
            for p in case.iter("property")
            if p.get("name") != "phase3_seconds"
        }
        for case in cases
    }


def test_two_workers_make_the_same_session(alone, tmp_path):
    """With ``-n 2`` the session equals that of one process in the normal form, which has no times and no order of runs.

    Both workers get tests of the case, so that they share its runs.
    """
    root, _ = alone
    junit = f"--junit-xml={tmp_path / 'junit.xml'}"
    done = run_pytest("-m", "phase3", "--phase3-quick", f"--phase3-dir={tmp_path}", "-n", "2", "--dist", "load", junit)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = latest(tmp_path)
    assert noted(tmp_path / "junit.xml") == noted(root / "junit.xml")
    assert normal_form(read_session(folder)) == normal_form(read_session(latest(root)))
    shares = [read_share(p) for p in (folder / "shares").glob("gw*.json")]
    used = [{run.key for run in share.runs} for share in shares]
    assert len(used) == 2
    assert used[0] & used[1], "the workers shared no run"
    assert len(list((folder / RUNS).glob("*/request.json"))) == len(used[0] | used[1])


def test_a_defective_subject_is_red_and_explained(tmp_path):
    """A subject that deletes caches without counting fails, and the cause of the hole is explained."""
    done = run_pytest(
        "-m",
        "phase3",
        "--phase3-quick",
        f"--phase3-dir={tmp_path}",
        PHASE3_TARGET="reference:naive_per_tile_deletion",
    )
    assert done.returncode == 1
    session = read_session(latest(tmp_path))
    assert {"subject", "control", "baseline"} <= {j.role for j in session.judged}
    subject = next(j for j in session.judged if j.role == "subject")
    red = {v.check for v in subject.verdicts if v.outcome == "fail"}
    assert red == {"warnings", "tiles", "depth", "cache", "holes", "trimmed", "logs", "parity"}
    assert session.outcome == "fail"
    holes = next(v for v in subject.verdicts if v.check == "holes")
    assert len(holes.cause) >= 2


def test_a_target_that_dies_fails_and_its_other_verdicts_are_errors(tmp_path):
    """The check crash fails and names the status; the other checks lack evidence: errors, not passes or skips."""
    target = f'command:"{sys.executable}" -c "raise SystemExit(7)"'
    done = run_pytest("-m", "phase3", "--phase3-quick", f"--phase3-dir={tmp_path}", f"--phase3-target={target}")
    assert done.returncode == 1
    session = read_session(latest(tmp_path))
    assert session.outcome == "fail"
    outcomes = {t.nodeid.rpartition("::")[2]: t.outcome for t in session.tests}
    # A command has no source to be read, and no function to be driven.
    sourceless = {t.nodeid.rpartition("::")[2] for t in session.tests if "hole_repro" not in t.nodeid}
    assert {outcomes.pop(name) for name in sourceless} == {"not applicable"}
    assert outcomes.pop("test_nothing_is_worse_than_before_the_patch[chain-quick]") == "not evaluated"
    assert outcomes.pop("test_the_target_does_not_fail_by_itself[chain-quick]") == "fail"
    assert outcomes.pop("test_the_pair_is_sound[chain-quick]") == "fail"
    assert set(outcomes.values()) == {"unknown"}
    (run,) = [j for j in session.judged if j.role == "subject"]
    (crash,) = [v for v in run.verdicts if v.check == "crash"]
    assert "7" in crash.sentence.render()
    assert "Traceback" not in done.stdout
    assert "ERRORS" not in done.stdout
    assert re.search(r"^✗ crash \(chain-quick\): .*7", done.stdout, re.MULTILINE)


def test_part_of_a_session_does_not_pass_what_needs_the_whole(tmp_path):
    """With ``-k`` a line that needs tests left out is not evaluated, and says so."""
    done = run_pytest(
        "-m", "phase3", "--phase3-quick", f"--phase3-dir={tmp_path}", "-k", "test_every_master_tile_is_made"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    session = read_session(latest(tmp_path))
    rows = {r.id: r for r in session.requirements}
    assert len(session.tests) == 1
    assert (rows["A.6"].outcome, rows["A.6"].cases) == ("not evaluated", ("chain-quick",))
    assert {rows[line].outcome for line in ("A.7", "A.1", "A.2")} == {"not evaluated"}
    assert rows["A.7"].reason.render() == "Tests that were not evaluated: test_the_hole_is_gone."


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a process group, which Windows has not")
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "two workers"])
def test_ctrl_c_leaves_a_sealed_record_and_no_process(tmp_path, stub, workers):
    """After an interrupt in a run that hangs the record is sealed, the session says interrupted, and no process is left."""
    import signal
    import time

    import psutil

    env = {k: v for k, v in os.environ.items() if not k.startswith(("PHASE3_", "PYTEST_"))}
    # The limit is for the test that fails: what hangs must not outlive it by much.
    options = [
        "--phase3-quick",
        "--phase3-seconds=90",
        f"--phase3-dir={tmp_path}",
        f"--phase3-target=zemosaic:{stub('hang')}",
    ]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "phase3", *options, *workers]
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(f"sessions/*/{RUNS}/*/trace-*.jsonl")) and time.monotonic() < deadline:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        try:
            printed = process.communicate(timeout=60)[0].decode(errors="replace")
        finally:
            process.kill()
    (record,) = [read_record(p.parent) for p in tmp_path.glob(f"sessions/*/{RUNS}/*/request.json")]
    assert record.seal is not None, printed
    assert record.seal.state == "killed"
    left = [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or ())]
    assert left == []
    assert process.returncode != 0
    # The pilot run, before the first test, was stopped: nothing was judged, and the session says why.
    session = read_session(latest(tmp_path))
    assert {t.outcome for t in session.tests} == {"not evaluated"}
    assert session.interrupted is not None
    assert session.outcome == "unknown"
    assert [run.state for run in session.runs] == ["killed"]


def test_a_checkout_goes_through_the_whole_session(tmp_path, stub):
    """A target with ZeMosaic's entry points passes; as the control, a copy that does not count references fails."""
    root = tmp_path / "session"
    done = run_pytest(
        "-m",
        "phase3",
        "--phase3-quick",
        f"--phase3-dir={root}",
        f"--phase3-target=zemosaic:{stub('')}",
        f"--phase3-control=zemosaic:{stub('naive')}",
        PHASE3_BASELINE=f"zemosaic:{tmp_path / 'stub naive'}",
    )
    session = read_session(latest(root))
    assert session.target_kind == "zemosaic"
    assert not session.self_test
    control = next(j for j in session.judged if j.role == "control")
    red = {v.check for v in control.verdicts if v.outcome == "fail"}
    assert red >= {"warnings", "tiles", "depth", "cache"}, done.stdout
    subject = next(j for j in session.judged if j.role == "subject")
    assert {v.check for v in subject.verdicts if v.outcome == "fail" and v.gates} == set(), done.stdout
    rows = {r.id: r for r in session.requirements}
    assert rows["A.3"].cases == rows["A.6"].cases == ("chain-quick",)
    assert {rows["A.3"].outcome, rows["A.6"].outcome} == {"not evaluated"}


def test_a_users_own_frames_go_through_the_whole_session(tmp_path):
    """A user's folder is judged with a chain plan; its control may also lose tiles; no file in the folder changes."""
    frames = tmp_path / "mes images d'été"
    build(SYNTHETIC["chain3x1"], frames)
    (frames / "stray.fits.gz").write_bytes(b"x")
    before = {p.name: sha256_of(p) for p in frames.rglob("*") if p.is_file()}
    root = tmp_path / "session"
    done = run_pytest("-m", "phase3", f"--phase3-dir={root}", f"--phase3-frames={frames}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 (stray.fits.gz). Frames that it reads: " in done.stdout  # a note at the start, no refusal
    session = read_session(latest(root))
    control = next(j for j in session.judged if j.role == "control")
    red = {v.check for v in control.verdicts if v.outcome == "fail"}
    assert red > set(control.expected_red), "the control shows nothing besides, so that this proves nothing"
    assert {r.dataset_kind for r in session.runs} == {"user"}
    assert {p.name: sha256_of(p) for p in frames.rglob("*") if p.is_file()} == before


def test_a_real_set_that_is_not_here_is_skipped_with_its_command(tmp_path):
    """The tests of a set that is not on this machine are skipped with the command that downloads it."""
    done = run_pytest(
        "-m",
        "phase3",
        f"--phase3-dir={tmp_path}",
        "-k",
        "microobs",
        "-rs",
        PHASE3_DATA_DIR=str(tmp_path / "nothing"),
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        LOCALAPPDATA=str(tmp_path / "cache"),
        HOME=str(tmp_path),
    )
    assert done.returncode == 3, done.stdout + done.stderr  # nothing was judged
    assert done.stdout.count("phase3 data fetch microobs_hatp32_4panels") == 1
    assert "SKIPPED" not in done.stdout
    session = read_session(latest(tmp_path))
    assert {t.outcome for t in session.tests} == {"not evaluated"}
    assert not any(s.judged for s in session.real_sets)
    assert session.outcome == "unknown"


@pytest.mark.parametrize("name", ["empty", "truncated", "no_wcs", "nan_only"])
def test_frames_that_no_run_can_start_with_are_a_usage_error(tmp_path, name):
    """A user's folder is checked before the first run starts, and no file in it changes."""
    frames = tmp_path / "mes images"
    bad_input.build(name, frames)
    before = {p.name: sha256_of(p) for p in frames.rglob("*") if p.is_file()}
    done = run_pytest("-m", "phase3", f"--phase3-dir={tmp_path / 'session'}", f"--phase3-frames={frames}")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout + done.stderr
    assert "xpected" in done.stderr
    assert "Traceback" not in done.stderr
    assert {p.name: sha256_of(p) for p in frames.rglob("*") if p.is_file()} == before
    assert not (tmp_path / "session" / "latest").exists()


@pytest.mark.parametrize(
    ("expression", "selects"),
    [
        ("phase3", True),
        ("phase3 and not slow", True),
        ("not phase3", False),
        ("not (phase3)", False),
        ("phase3x", False),
        ("", False),
    ],
)
def test_what_selects_the_validation(pytestconfig, monkeypatch, expression, selects):
    """An expression selects the validation if it is true with the mark and false without it."""
    monkeypatch.setattr(pytestconfig.option, "markexpr", expression)
    assert selected(pytestconfig) is selects


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--phase3-target=zemosaic:/nowhere/at/all",), "/nowhere/at/all"),
        (("--phase3-workers=none",), "--phase3-workers"),
        (("--phase3-seconds=none", "--phase3-lang=fr"), "un nombre positif"),
        (("--phase3-frames=/nowhere/at/all",), "/nowhere/at/all"),
        (("--phase3-config=/nowhere/at/all.json",), "/nowhere/at/all.json"),
    ],
)
def test_a_wrong_setup_is_a_usage_error(tmp_path, arguments, message):
    """A set-up that can't run is refused before the first run starts, with pytest's usage status."""
    done = run_pytest("-m", "phase3", f"--phase3-dir={tmp_path}", *arguments)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("target", ["reference", "zemosaic"])
def test_a_session_folder_that_cannot_be_made_is_a_usage_error(tmp_path, target):
    """If the session's folder can't be written, the message says so and names the option, for each kind of target."""
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    spec = target if target == "reference" else f"zemosaic:{Path(__file__).parents[1] / 'stub_zemosaic'}"
    done = run_pytest("-m", "phase3", f"--phase3-dir={tmp_path / 'taken'}", f"--phase3-target={spec}")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"expected to write a session below {tmp_path / 'taken'}" in done.stderr
    assert "name another folder with --phase3-dir" in done.stderr


def test_a_refused_setup_leaves_no_session(tmp_path):
    """A refused set-up removes its session's folder, which would look like a session that broke."""
    run_pytest("-m", "phase3", f"--phase3-dir={tmp_path}", "--phase3-target=zemosaic:/nowhere/at/all")
    assert list((tmp_path / "sessions").iterdir()) == []


def test_a_bare_pytest_leaves_the_validation_out():
    """Without ``-m phase3`` no scenario is selected, so that the project's own tests stay quick."""
    done = run_pytest("scenarios", "--collect-only")
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "deselected" in done.stdout


def test_the_help_has_every_option():
    """The help has each option and the ini setting of the same name."""
    done = run_pytest("--help")
    from harness.session.options import OPTIONS

    assert all(option.cli in done.stdout and option.ini in done.stdout for option in OPTIONS)


def test_a_share_is_plain_json(alone):
    """Workers' shares hold built-in types only."""
    root, _ = alone
    shares = list((latest(root) / "shares").glob("*.json"))
    assert shares
    assert all(isinstance(json.loads(p.read_text(encoding="utf-8")), dict) for p in shares)
