"""Test the reading of the user's checklist, the marks of tests for its lines, and the outcomes of lines."""

import re

import pytest

from harness.session.checklist import CHECKLIST, DEFINITION_OF_DONE, Line, evaluate, read_lines
from harness.session.model import TestEntry
from harness.verdict import Outcome


def entry(name, outcome):
    """Return the entry of a test in a session."""
    return TestEntry(name, "Title", Outcome(outcome), "", "chain")


@pytest.fixture
def scenarios(tmp_path):
    """Return a function that writes modules of tests and gives their folder."""

    def write(**modules):
        for name, source in modules.items():
            (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        return tmp_path

    return write


def test_every_line_of_the_checklist_is_there_in_its_own_words():
    """The lines are those of the user's text, in the same order, sub-lists included."""
    text = CHECKLIST.read_text(encoding="utf-8")
    words = re.findall(r"^\s*- (?:\[.\] )?(.+?)\s*$", text, re.MULTILINE)
    lines = read_lines()
    assert [line.text for line in lines] == words
    assert len(lines) == 34


def test_the_id_of_a_line_is_that_of_its_section_and_its_place():
    """Sections of the checklist are numbered, its manual tests have a letter, and lines count from 1 in each."""
    lines = {line.id: line for line in read_lines()}
    counts = {"0": 4, "1": 8, "2": 3, "A": 7, "B": 3, "C": 3, "D": 3, "4": 3}
    assert list(lines) == [f"{part}.{n}" for part, count in counts.items() for n in range(1, count + 1)]
    assert lines["1.4"].text == "Pré-calcul refcount global (avec dédoublonnage par tile)"
    assert lines["A.3"] == Line(
        "A.3",
        'Test A — Repro "trou"',
        "mastertile_warn_cache_file_missing",
        ("scenarios/test_a_hole_repro.py::test_no_cache_file_is_missing",),
    )
    assert {line.section for line in lines.values() if line.id.startswith("4.")} == {DEFINITION_OF_DONE}


def test_a_line_has_the_tests_that_are_marked_for_it(scenarios):
    """A mark adds a test to a line, also in a new module, with several lines in a mark, or with several marks."""
    folder = scenarios(
        test_a="""
import pytest
@pytest.mark.checklist("A.1", "4.2")
def test_one(): pass
@pytest.mark.checklist(beyond=True)
def test_two(): pass
""",
        test_e_new="""
import pytest
@pytest.mark.scenario("E")
@pytest.mark.checklist("4.2")
@pytest.mark.checklist("4.3")
def test_three(): pass
def helper(): pass
""",
    )
    lines = {line.id: line.tests for line in read_lines(scenarios=folder)}
    one, three = "scenarios/test_a.py::test_one", "scenarios/test_e_new.py::test_three"
    assert {name: tests for name, tests in lines.items() if tests} == {
        "A.1": (one,),
        "4.2": (one, three),
        "4.3": (three,),
    }


def test_a_mark_that_names_no_line_is_refused(scenarios):
    """A misspelt line is an error that names the test and the line."""
    folder = scenarios(test_a='import pytest\n@pytest.mark.checklist("A.9")\ndef test_one(): pass\n')
    with pytest.raises(ValueError, match=r"test_a\.py::test_one to name a line of .*found 'A\.9'"):
        read_lines(scenarios=folder)


@pytest.mark.parametrize(
    "source",
    [
        "class TestSome:\n    def test_one(self): pass",
        "class TestSome(Base): pass",
        "class Some(unittest.TestCase):\n    def test_one(self): pass",
        "async def test_one(): pass",
        "if True:\n    def test_one(): pass",
    ],
)
def test_a_test_that_is_no_plain_function_is_refused(scenarios, source):
    """Marks are read from plain functions only, so a test in a class or an async test is an error that names it."""
    with pytest.raises(
        ValueError, match=r"expected tests as plain functions, found (test_one|TestSome) in .*test_a\.py"
    ):
        read_lines(scenarios=scenarios(test_a=source))


def test_no_line_passes_without_the_scenarios(tmp_path):
    """If the folder of the scenarios is missing, no line has a test, and no line is evaluated."""
    lines = read_lines(scenarios=tmp_path / "nothing")
    tests = [entry("scenarios/test_a_hole_repro.py::test_no_cache_file_is_missing[chain]", "pass")]
    assert {row.outcome for row in evaluate(lines, tests, self_test=False)} == {"not evaluated"}


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
    """The outcomes of a line's tests on all cases are merged; a line whose tests were all skipped is not evaluated."""
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
def test_a_line_needs_all_its_tests_to_pass(other, merged):
    """A line passes only if each of its tests was evaluated; a failure or an unknown of one test decides alone."""
    tests = [entry("t.py::test_x[a]", "pass"), *(entry(f"t.py::test_y[{n}]", o) for n, o in enumerate(other))]
    (row,) = evaluate([Line("A.1", "Test A", "words", ("t.py::test_x", "t.py::test_y"))], tests, self_test=False)
    assert row.outcome == merged


def test_a_self_test_evaluates_no_definition_of_done():
    """A pass on the reference leaves the Definition of Done not evaluated."""
    line = Line("4.1", DEFINITION_OF_DONE, "words", ("t.py::test_x",))
    tests = [entry("t.py::test_x[a]", "pass")]
    assert evaluate([line], tests, self_test=True)[0].outcome == "not evaluated"
    assert evaluate([line], tests, self_test=False)[0].outcome == "pass"
