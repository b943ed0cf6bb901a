"""The pytest face, tested by running pytest on the project's own scenarios in processes of their own."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from harness.session import normal_form, read_session

ROOT = Path(__file__).resolve().parents[1]


def run_pytest(*arguments, **environment):
    """Run pytest on the scenarios, free of whatever this process was given, and return the finished process."""
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
    """Return a quick session on the reference, made by one process, and what it printed."""
    root = tmp_path_factory.mktemp("une seule étape")
    done = run_pytest("-m", "phase3", "--phase3-quick", f"--phase3-dir={root}", f"--junit-xml={root / 'junit.xml'}")
    return root, done


def test_a_quick_session_is_green_and_leaves_everything(alone):
    """The session ends well and leaves its verdicts, both reports, and a pointer to itself."""
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
    assert row["A.7"] == "pass"
    assert row["4.2"] == "not evaluated"


def test_the_runs_to_come_are_shown_first(alone):
    """Before anything starts the terminal names each run to be made."""
    _, done = alone
    head = done.stdout.partition("passed")[0]
    assert head.count("chain") >= 4
    assert "run_end" in head


def test_junit_holds_flat_text_only(alone):
    """Properties are plain text, so that any reader of JUnit can show them."""
    root, _ = alone
    properties = ET.parse(root / "junit.xml").getroot().findall(".//property")
    values = {p.get("name"): p.get("value") for p in properties}
    assert {"phase3_title", "phase3_case", "phase3_outcome"} <= set(values)
    assert not any((v or "").startswith(("{", "[", "<")) for v in values.values())


def test_two_workers_make_the_same_session(alone, tmp_path):
    """With ``-n 2`` the session is that of one process, in the normal form without times, names of runs, or orders."""
    root, _ = alone
    done = run_pytest("-m", "phase3", "--phase3-quick", f"--phase3-dir={tmp_path}", "-n", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert normal_form(read_session(latest(tmp_path))) == normal_form(read_session(latest(root)))


def test_a_defective_subject_is_red_and_explained(tmp_path):
    """A subject that deletes naively fails, and the failure tells which tile lost which cache and who removed it."""
    done = run_pytest(
        "-m",
        "phase3",
        "--phase3-quick",
        f"--phase3-dir={tmp_path}",
        PHASE3_TARGET="reference:naive_per_tile_deletion",
    )
    assert done.returncode == 1
    session = read_session(latest(tmp_path))
    subject = next(j for j in session.judged if j.role == "subject")
    red = {v.check for v in subject.verdicts if v.outcome == "fail"}
    assert red == {"warnings", "tiles", "depth", "cache", "holes"}
    assert session.outcome == "fail"
    holes = next(v for v in subject.verdicts if v.check == "holes")
    assert len(holes.cause) >= 2


def test_a_target_that_dies_is_unknown_and_an_error(tmp_path):
    """A run without evidence gives errors, never passes or skips, and the session is unknown."""
    target = f'command:"{sys.executable}" -c "raise SystemExit(7)"'
    done = run_pytest("-m", "phase3", "--phase3-quick", f"--phase3-dir={tmp_path}", f"--phase3-target={target}")
    assert done.returncode == 1
    session = read_session(latest(tmp_path))
    assert session.outcome == "unknown"
    assert {t.outcome for t in session.tests} == {"unknown"}
    assert "error" in done.stdout.lower()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--phase3-target=zemosaic:/nowhere/at/all",), "/nowhere/at/all"),
        (("--phase3-workers=none",), "--phase3-workers"),
        (("--phase3-frames=/nowhere/at/all",), "/nowhere/at/all"),
        (("--phase3-config=/nowhere/at/all.json",), "/nowhere/at/all.json"),
    ],
)
def test_a_wrong_setup_is_a_usage_error(tmp_path, arguments, message):
    """What can't be run is refused before anything starts, with the usage status."""
    done = run_pytest("-m", "phase3", f"--phase3-dir={tmp_path}", *arguments)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bare_pytest_leaves_the_validation_out():
    """Without ``-m phase3`` no scenario is selected, so that the project's own tests stay quick."""
    done = run_pytest("scenarios", "--collect-only")
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "deselected" in done.stdout


def test_every_option_stands_in_the_help():
    """The help names each option, and each ini twin."""
    done = run_pytest("--help")
    from harness.options import OPTIONS

    assert all(option.cli in done.stdout and option.ini in done.stdout for option in OPTIONS)


def test_a_share_is_plain_json(alone):
    """Workers' shares hold built-in types only."""
    root, _ = alone
    shares = list((latest(root) / "shares").glob("*.json"))
    assert shares
    assert all(isinstance(json.loads(p.read_text(encoding="utf-8")), dict) for p in shares)
