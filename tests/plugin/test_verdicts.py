"""Test what pytest shows of verdicts: their sentences and no traceback, and after all of it the end of the session."""

import os
import re
import sys
from pathlib import Path

import pytest

from harness.plugin.verdicts import CONCLUDED, UnknownVerdictError, conclude, status
from harness.session.model import read_session
from tests.plugin.test_hooks import ROOT, latest, run_pytest

MODULE = """
import pytest
from harness.plugin.verdicts import UnknownVerdictError
from tests.plugin.helper_that_fails import fail

pytestmark = [pytest.mark.phase3, pytest.mark.scenario("E")]

@pytest.fixture
def open_verdict():
    raise UnknownVerdictError("The coadd did not finish.")

def test_good():
    "It is good."

def test_red():
    "No hole is left."
    found = 2
    assert found == 0, "holes: 2 holes, 12.5 arcmin².\\n  1. Tile 5 was not made."

def test_open(open_verdict):
    "It ends."

def test_without_words():
    "It is large."
    assert 3 > 4

@pytest.mark.parametrize("n", range(24))
def test_absent(n):
    "It runs."
    pytest.skip("expected frames, found none: phase3 data fetch somewhere")
"""
BROKEN = """
def test_broken():
    "It reads the record."
    {}["no such part"]

def test_broken_helper():
    "It reads another record."
    fail()
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Return a function that runs a module of scenarios without runs, and returns the finished process and the session."""
    made = {}

    def run(text, *options):
        if (text, options) not in made:
            root = tmp_path_factory.mktemp("root")
            module = root / "test_e_new.py"
            module.write_text(text, encoding="utf-8")
            given = ("-p", "harness.plugin.hooks", "-p", "harness.plugin.fixtures", "-c", str(ROOT / "pyproject.toml"))
            where = (f"--rootdir={root}", "--phase3-quick", f"--phase3-dir={root / 'session'}", "-m", "phase3")
            done = run_pytest(str(module), *given, *where, *options, PYTHONPATH=str(ROOT), COLUMNS="100")
            made[text, options] = done, read_session(latest(root / "session"))
        return made[text, options]

    return run


def test_a_verdict_has_its_sentences_and_no_traceback(shown):
    """The end has the cause; neither the source of the test nor Python's expression is printed."""
    done, session = shown(MODULE)
    assert done.returncode == 1, done.stdout
    for text in ("Traceback", "def test_red", "assert 2 == 0", "UnknownVerdictError", "FAILURES", "ERRORS", "Error"):
        assert text not in done.stdout, done.stdout
    assert "holes: 2 holes, 12.5 arcmin²." in done.stdout
    messages = {t.nodeid.rpartition("::")[2]: t.message for t in session.tests}
    assert messages["test_red"] == "holes: 2 holes, 12.5 arcmin².\n  1. Tile 5 was not made."
    assert messages["test_open"] == "The coadd did not finish."
    assert messages["test_without_words"] == "assert 3 > 4"


def test_equal_skips_are_counted_and_not_listed(shown):
    """Twenty-four tests without their frames are one number in pytest's summary."""
    done, _ = shown(MODULE)
    assert "SKIPPED" not in done.stdout
    assert done.stdout.count("phase3 data fetch somewhere") <= 1
    assert re.search(r"1 passed, .*24 not evaluated", done.stdout)


def test_a_fault_of_the_harness_keeps_its_traceback(shown):
    """An error of the harness, also an assertion of its own, is no verdict: its traceback is needed to mend it."""
    done, session = shown(MODULE + BROKEN)
    assert "KeyError" in done.stdout
    assert "test_broken" in done.stdout
    assert "the harness is wrong" in done.stdout
    assert "def fail" in done.stdout
    assert "def test_red" not in done.stdout
    assert {t.outcome for t in session.tests if "broken" in t.nodeid} == {"fail"}


def test_the_path_of_the_report_is_the_last_line(shown):
    """It comes after pytest's own summaries, which would push it out of sight; the end has at most 25 lines."""
    done, _ = shown(MODULE + BROKEN)
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("Report: ")
    assert Path(lines[-1].removeprefix("Report: ")).name == "report.html"
    heading = next(n for n, line in enumerate(lines) if re.fullmatch(r"=+ phase3 =+", line))
    assert len(lines) - heading <= 25
    assert any(" passed" in line for line in lines[:heading])


def test_with_v_each_test_has_its_word(shown):
    """A user who asks for a line for each test gets it, with the words of verdicts."""
    done, _ = shown(MODULE, "-v", "-v")
    assert re.search(r"test_red FAIL", done.stdout)
    assert re.search(r"test_open UNKNOWN", done.stdout)
    assert re.search(r"test_good PASSED", done.stdout)


def test_workers_send_verdicts_as_one_process_does(shown):
    """A report that a worker sends keeps its mark and its sentences."""
    done, session = shown(MODULE, "-n", "2")
    assert done.returncode == 1, done.stdout
    assert "def test_red" not in done.stdout
    alone = shown(MODULE)[1]
    assert {t.nodeid: (t.outcome, t.message) for t in session.tests} == {
        t.nodeid: (t.outcome, t.message) for t in alone.tests
    }
    assert done.stdout.splitlines()[-1].startswith("Report: ")


class Report:
    """A report of pytest, as far as these functions read it."""

    def __init__(self, when, outcome, noted=()):
        self.when, self.outcome, self.user_properties, self.longrepr = when, outcome, list(noted), "traceback"
        self.failed, self.passed, self.skipped = (outcome == o for o in ("failed", "passed", "skipped"))


@pytest.mark.parametrize(
    ("when", "outcome", "noted", "category"),
    [
        ("call", "passed", (), "passed"),
        ("setup", "passed", (), None),
        ("setup", "failed", (), None),
        ("call", "failed", (), None),
        ("setup", "skipped", (), "not evaluated"),
        ("setup", "skipped", (("phase3_outcome", "not applicable"),), "not applicable"),
    ],
)
def test_the_category_of_a_report(when, outcome, noted, category):
    """What is no verdict is shown as pytest shows it."""
    found = status(Report(when, outcome, noted), verbose=False)
    assert found == (None if category is None else (category, "", ""))


def test_an_error_in_a_teardown_is_no_verdict():
    """Only an unknown verdict stands for one outside of the call."""
    for error, concluded in ((AssertionError("x"), None), (UnknownVerdictError("open"), "unknown")):
        report = Report("teardown", "failed")
        with pytest.raises(type(error)) as raised:
            raise error
        conclude(report, None, raised)
        assert getattr(report, CONCLUDED, None) == concluded
        assert report.longrepr == ("open" if concluded else "traceback")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal, which Windows has not")
def test_on_a_terminal_one_line_lives_and_the_end_remains(tmp_path):
    """On a pseudo-terminal the runs share one line, which is gone at the end; without one each has a line of its own."""
    import pty
    import subprocess

    primary, secondary = pty.openpty()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PHASE3_", "PYTEST_"))}
    env |= {"COLUMNS": "100", "TERM": "xterm"}
    options = ["-m", "phase3", "--phase3-quick", f"--phase3-dir={tmp_path}", "-k", "test_every_master_tile_is_made"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    printed = b""
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=secondary, stderr=secondary, stdin=secondary) as process:
        os.close(secondary)
        while True:
            try:
                data = os.read(primary, 65536)
            except OSError:  # Linux: the other end was closed
                break
            if not data:
                break
            printed += data
        assert process.wait(timeout=240) == 0, printed.decode(errors="replace")
    os.close(primary)
    text = re.sub(r"\x1b\[[\d;]*m", "", printed.decode(errors="replace")).replace(
        "\r\n", "\n"
    )  # colours take no column
    assert re.search(r"\r(\[\d/\d\] )?chain-quick · ", text), text
    lines = [line.rpartition("\r")[2].rstrip() for line in text.split("\n") if line.strip()]
    assert not any("done after" in line for line in lines), "a good run leaves no line on a terminal"
    assert not any(re.search(r"chain-quick · .* tile ", line) for line in lines), "the living line remained"
    assert lines[-1].startswith("Report: ")
    named = (
        "Report",
        "    ",
        "rootdir",
        "plugins",
        "platform",
        "configfile",
    )  # lines that hold a path, or pytest's own
    assert [line for line in lines if len(line) > 100 and not line.startswith(named)] == []
