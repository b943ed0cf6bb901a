"""The marks of the scenarios' tests: they must agree with the module's name, with the catalogue and with the checklist."""

import re
from typing import get_args

import pytest

from fixtures import catalogue
from fixtures.catalogue import Occasion
from harness.checks.judge import ALL
from harness.patch import guard_rails
from harness.record.request import Retention
from harness.session.checklist import read_lines
from harness.session.run_matrix import Subject
from harness.targets.resolve import TARGETS
from tests.scenario_marks import MARKS

CASES = (*catalogue.CASES, catalogue.QUICK_CASE, catalogue.user_case("frames"))
# The fixtures for which a run of a case is made.
OF_A_CASE = {"verdict", "judged", "concluded", "records", "case", "newly_red", "control", "case_name"}


def module_of(test):
    """Return the letter and the word of a module such as ``test_b_stress.py``; no letter for a module without one."""
    return re.fullmatch(r"scenarios/test_(?:([a-z])_)?(\w+)\.py::\w+", test).groups()


@pytest.mark.parametrize("test", MARKS)
def test_a_marker_agrees_with_its_module(test):
    """A test in ``test_c_….py`` is marked with C; a test that runs on a case has a marker, and under faults an occasion."""
    letter, _ = module_of(test)
    scenario, occasion = MARKS[test].scenario
    if letter:
        assert (scenario, occasion) == (letter.upper(), "")
    elif MARKS[test].fixtures & OF_A_CASE:
        assert scenario == "1"
        assert occasion in get_args(Occasion)
    else:
        assert (scenario, occasion) == ("", "")


@pytest.mark.parametrize("kind", ["reference", "zemosaic"])
def test_every_marker_has_a_case(kind):
    """No test is left out because the catalogue has no case for its scenario and occasion."""
    cases = [case for case in catalogue.CASES if case.suits(TARGETS[kind])]
    marks = {marks.scenario for marks in MARKS.values()}
    assert {mark for mark in marks if not any(case.is_for(*mark) for case in cases)} == set()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.targets}")
def test_a_case_agrees_with_the_tests_that_run_on_it(case):
    """A case has tests, the mode of its scenario, and the name of its module or occasion; in A a name of its own."""
    asking = {test for test, marks in MARKS.items() if any(marks.scenario) and case.is_for(*marks.scenario)}
    assert asking
    assert case.mode == {"C": "sds", "D": "grid"}.get(case.scenario, case.mode)
    assert {other.mode for other in CASES if other.scenario == case.scenario} == {case.mode}
    first = case.name.partition("-")[0]
    if case.occasions:
        assert case.name.removesuffix("-small") == case.occasions[0].replace(" ", "-")
        assert set(case.occasions) <= {MARKS[test].scenario[1] for test in asking}
    elif case.scenario == "A":
        others = {module_of(test)[1] for test, marks in MARKS.items() if marks.scenario[0] not in {"", "1", "A"}}
        assert not any(word.startswith(first) for word in others)
    else:
        assert {module_of(test)[1].startswith(first) for test in asking} == {True}


@pytest.mark.parametrize("test", MARKS)
def test_a_test_names_its_lines_or_says_that_it_goes_beyond(test):
    """Each test answers lines of the checklist, each named once, or is marked as beyond it, and not both."""
    marks = MARKS[test]
    assert bool(marks.lines) is not marks.beyond
    assert len(set(marks.lines)) == len(marks.lines)
    assert set(marks.lines) <= {line.id for line in read_lines()}
    # A run of C, say, tells nothing about the grid mode of D.1. A numbered line may need the runs of several scenarios.
    assert {line[0] for line in marks.lines if line[0].isalpha()} <= {marks.scenario[0]}


@pytest.mark.parametrize("test", MARKS)
def test_a_mark_names_a_verdict_that_is_given(test):
    """The mark ``judges`` names a check, part, version and retention that exist, on each case of the test."""
    marks = MARKS[test]
    (((check,), asked),) = marks.judges
    known = {"subject": get_args(Subject), "retention": get_args(Retention)}
    assert all(asked[name] in known[name] for name in asked.keys() - {"part"})
    if "patch_row" in marks.fixtures:
        assert check in guard_rails.ROWS
        assert not asked
    elif "driven" in marks.fixtures:
        assert check in {"release", "growth"}
        assert asked.keys() <= {"subject"}
    else:
        assert check in ALL
        assert asked.get("part") in {None, *ALL[check].parts}
        questions = [case.questions for case in CASES if case.is_for(*marks.scenario)]
        assert all(check in (names or ALL) for names in questions)


def test_every_line_has_a_test():
    """No line of the checklist is without a test, also among those that only the source can answer."""
    assert [line.id for line in read_lines() if not line.tests] == []


def test_the_marks_in_the_source_are_those_that_pytest_sees():
    """The checklist reads the marks from the source; a mark that it can't read there must not be lost."""
    read = {(test, line.id) for line in read_lines() for test in line.tests}
    assert read == {(test, line) for test, marks in MARKS.items() for line in marks.lines}
