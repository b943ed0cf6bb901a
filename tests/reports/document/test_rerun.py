"""Test the command that repeats a line of the checklist."""

import ast
import shlex

import pytest

from harness.session.options import OPTIONS
from reports.document.rerun import commands
from tests.done_sessions import COMMIT, DONE, LINES, ROOT, a_session


def defined():
    """Return the ids of all tests of the scenarios."""
    return {
        f"scenarios/{path.name}::{node.name}"
        for path in (ROOT / "scenarios").glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.id)
def test_a_command_repeats_its_line(line):
    """The command of a line has its tests, which exist, and existing options with the session's values."""
    session = a_session(
        options={
            "target": "zemosaic:/home/me/zm@b59a65f",
            "control": "zemosaic:/home/me/zm@63bcc2c",
            "profile": "default",
            "workers": "3",
            "seconds": "900",
            "budget": "90s,1.5GiB",
            "config": "/home/me/c.json",
            "frames": "/home/me/frames",
            "quick": "true",
        }
    )
    words = shlex.split(*commands(line.tests, session))
    assert words[:5] == ["python", "-m", "pytest", "-m", "phase3"]
    options = [word for word in words[5:] if word.startswith("--")]
    assert tuple(word for word in words[5:] if not word.startswith("--")) == line.tests
    assert set(line.tests) <= defined()
    assert {word.partition("=")[0] for word in options} <= {option.cli for option in OPTIONS}
    assert options == [
        "--phase3-target=zemosaic:PATH@b59a65f",
        "--phase3-control=zemosaic:PATH@63bcc2c",
        "--phase3-python=PYTHON",
        "--phase3-profile=default",
        "--phase3-workers=3",
        "--phase3-seconds=900",
        *(["--phase3-budget=90s,1.5GiB"] if line.section.startswith("Test B") else []),  # no other has a large run
        "--phase3-config=CONFIG",
        "--phase3-frames=FRAMES",
        "--phase3-quick",
    ]


@pytest.mark.parametrize(
    ("parts", "options"),
    [
        ({"options": {"profile": "fast", "workers": "2", "seconds": "600", "budget": "1200s,10GiB"}}, []),
        ({"options": {"profile": "`$(x)`", "workers": "-1", "seconds": "1e9", "budget": "; rm"}}, []),
        ({"options": {}, "command": "pytest -m phase3 --phase3-profile=default -n 2"}, ["--phase3-profile=default"]),
        (
            {"options": {}, "command": "pytest --phase3-workers 4 --phase3-quick"},
            ["--phase3-workers=4", "--phase3-quick"],
        ),
        ({"options": {}, "command": "pytest --phase3-profile='default"}, []),
    ],
)
def test_options_that_go_without_saying_or_make_no_sense(parts, options):
    """Defaults and malformed values are left out; options of older sessions are read from their command."""
    words = shlex.split(*commands(DONE[0].tests, a_session(**parts)))
    assert words[-len(options) - 2 :] == ["--phase3-target=zemosaic:PATH@b59a65f", "--phase3-python=PYTHON", *options]


def test_no_shell_reads_more_in_a_command():
    """Words with a comma or a path are in double quotes, which cmd, PowerShell and Unix shells all understand."""
    options = {"workers": "3", "budget": "9min, 1GiB", "config": "x", "control": "reference:naive_per_tile_deletion,x"}
    (line,) = commands(("scenarios/test_b_stress.py::test_the_run_is_not_slowed",), a_session(options=options))
    assert line == (
        'python -m pytest -m phase3 "scenarios/test_b_stress.py::test_the_run_is_not_slowed" '
        '"--phase3-target=zemosaic:PATH@b59a65f" "--phase3-control=reference:naive_per_tile_deletion,x" '
        '"--phase3-python=PYTHON" --phase3-workers=3 "--phase3-budget=9min, 1GiB" "--phase3-config=CONFIG"'
    )


def test_shards_with_other_options_have_a_command_each():
    """A merged session has one command for each set of options."""
    session = a_session(options={"profile": "fast; default", "workers": "2"})
    found = commands(DONE[0].tests, session)
    assert [line.partition('PYTHON"')[2] for line in found] == ["", " --phase3-profile=default"]


@pytest.mark.parametrize(
    ("parts", "target"),
    [
        ({"target_kind": "reference"}, "reference"),
        ({"target_kind": "command"}, "command:ARGV"),
        ({"identity": {"commit": COMMIT, "dirty": "x"}}, "zemosaic:PATH"),
        ({"identity": {"commit": "`x`"}}, "zemosaic:PATH"),
    ],
)
def test_the_target_of_a_command(parts, target):
    """The commit of a target is named; a changed work tree and other kinds of target are given without one."""
    assert f"--phase3-target={target}" in shlex.split(*commands(DONE[0].tests, a_session(**parts)))
