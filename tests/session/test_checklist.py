"""The requirement map: the user's checklist, and what tests conclude on each line."""

import ast
import re
from pathlib import Path

import pytest

from harness.session.checklist import DEFINITION_OF_DONE, Line, evaluate, read_lines
from harness.session.model import TestEntry
from harness.verdict import Outcome

ROOT = Path(__file__).resolve().parents[2]


def entry(name, outcome):
    """Return what a test of the scenarios concluded."""
    return TestEntry(name, "Title", Outcome(outcome), "", "chain")


def test_every_line_of_the_checklist_is_there_in_its_own_words():
    """The map and the user's text have the same lines, in the same order."""
    text = (ROOT / "docs" / "checklist.md").read_text(encoding="utf-8")
    words = re.findall(r"^\s*- (?:\[.\] )?(.+?)\s*$", text, re.MULTILINE)
    assert [line.text for line in read_lines(ROOT / "docs" / "requirements.toml")] == words


def test_every_test_that_the_map_names_exists():
    """A test that went away must not leave a line that looks judged."""
    named = {name for line in read_lines(ROOT / "docs" / "requirements.toml") for name in line.tests}
    known = set()
    for path in (ROOT / "scenarios").glob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        known |= {f"scenarios/{path.name}::{node.name}" for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert named
    assert named <= known


def test_no_line_is_without_a_test():
    """Every line of the checklist is judged by a test, those of the review of the source too."""
    assert [line.id for line in read_lines(ROOT / "docs" / "requirements.toml") if not line.tests] == []


@pytest.mark.parametrize(
    ("outcomes", "merged"),
    [
        (["pass", "pass"], "pass"),
        (["pass", "fail"], "fail"),
        (["pass", "unknown"], "unknown"),
        (["pass", "not evaluated"], "pass"),
        (["not evaluated"], "not evaluated"),
        (["not applicable"], "not evaluated"),
        ([], "not evaluated"),
    ],
)
def test_a_line_concludes_what_its_tests_conclude(outcomes, merged):
    """All cases of a line's tests count; a line whose tests were all skipped is not evaluated."""
    tests = [entry(f"t.py::test_x[{n}]", o) for n, o in enumerate(outcomes)] + [entry("t.py::test_xy[0]", "fail")]
    (row,) = evaluate([Line("A.1", "Test A", "words", ("t.py::test_x",))], tests, self_test=False)
    assert row.outcome == merged


@pytest.mark.parametrize(
    ("other", "merged"),
    [
        (["pass"], "pass"),
        ([], "not evaluated"),
        (["not evaluated"], "not evaluated"),
        (["fail"], "fail"),
        (["unknown"], "unknown"),
    ],
)
def test_part_of_the_proof_is_no_proof(other, merged):
    """A line passes only when each of its tests was evaluated; what fails or is unknown shows all the same."""
    tests = [entry("t.py::test_x[a]", "pass"), *(entry(f"t.py::test_y[{n}]", o) for n, o in enumerate(other))]
    (row,) = evaluate([Line("A.1", "Test A", "words", ("t.py::test_x", "t.py::test_y"))], tests, self_test=False)
    assert row.outcome == merged


def test_a_self_test_evaluates_no_definition_of_done():
    """Green on the reference says nothing on the Definition of Done."""
    line = Line("4.1", DEFINITION_OF_DONE, "words", ("t.py::test_x",))
    tests = [entry("t.py::test_x[a]", "pass")]
    assert evaluate([line], tests, self_test=True)[0].outcome == "not evaluated"
    assert evaluate([line], tests, self_test=False)[0].outcome == "pass"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[line]]\nid="a"\nsection="s"\ntext="t"\n', "to have tests"),
        ('[[line]]\nid="a"\nsection="s"\ntext="t"\ntests=[]\n' * 2, "'a' twice"),
    ],
)
def test_a_broken_map_is_refused(tmp_path, text, message):
    """A line without a part, or an id that stands twice, is an error."""
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_lines(tmp_path / "r.toml")
