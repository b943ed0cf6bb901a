"""Test what a user reads who starts the validation outside of a checkout, or in an environment that can't hold it."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def started(*words, cwd=ROOT, **env):
    """Start pytest in a folder and return its exit status and output."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(("PHASE3_", "PYTEST_"))}
    given |= {"PYTHONPATH": str(ROOT)} | env
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words],
        cwd=cwd,
        env=given,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


def test_an_installed_copy_says_where_the_tests_are(tmp_path):
    """``pytest -m phase3`` in another folder finds no test, and one line says what to do; other runs have no such line."""
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]["pytest11"]
    # The environment of this test may lack the entry of the installed copy, or have it: load the plugin in one way.
    alone = {"cwd": tmp_path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    loaded = ("-p", entries["phase3-elsewhere"])
    status, shown = started(*loaded, "-m", "phase3", **alone)
    assert status == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "run pytest in a checkout of the project" in shown
    assert not (tmp_path / ".phase3").exists()
    _, other = started(*loaded, **alone)
    assert "phase3" not in other


def test_optimised_python_is_refused(tmp_path):
    """With PYTHONOPTIMIZE assertions are off: the session ends at once as a usage error that says so."""
    status, shown = started("-m", "phase3", "--phase3-quick", f"--phase3-dir={tmp_path}", PYTHONOPTIMIZE="1")
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "unset PYTHONOPTIMIZE" in shown
    assert not (tmp_path / "sessions").exists()


def test_pytest_without_xdist_starts():
    """The project's settings name no option of pytest-xdist, so that pytest starts without it."""
    status, shown = started("-p", "no:xdist", "--collect-only", "-q", "-m", "phase3", "scenarios/test_c_sds.py")
    assert status == 0, shown


@pytest.mark.parametrize(
    ("words", "dist"), [(("-n2",), "loadgroup"), (("-n2", "--dist=worksteal"), "worksteal"), ((), "no")]
)
def test_the_tests_of_a_case_stay_in_one_worker(tmp_path, words, dist):
    """With workers the tests are distributed by case, unless the user names another distribution."""
    (tmp_path / "conftest.py").write_text(
        "from harness.plugin.hooks import pytest_cmdline_main\n"
        "def pytest_report_header(config):\n"
        "    return f'distribution: {config.option.dist}'\n"
    )
    (tmp_path / "test_one.py").write_text("def test(): pass\n")
    status, shown = started(*words, cwd=tmp_path)
    assert status == 0
    assert f"distribution: {dist}\n" in shown
