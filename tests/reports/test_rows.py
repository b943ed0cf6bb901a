"""Test how a line of the checklist is shown: never as more than was run."""

from dataclasses import replace

import pytest

from harness.language.catalogue import Language
from harness.language.message import say
from harness.session.checklist import DEFINITION_OF_DONE, Line
from harness.session.model import Requirement, TestEntry
from harness.session.rows import rows
from harness.verdict import Outcome
from reports.decided import decided
from reports.rows import row_badge, row_note
from tests.report_pages import a_session, done_lines

EN = Language("en")
TEST = "a.py::t"


def a_line(**parts):
    """Return a line that was not evaluated as a whole."""
    return replace(Requirement("A.7", "…", "…", (TEST,), Outcome.NOT_EVALUATED), **parts)


def a_test(outcome=Outcome.PASS, case="chain", name=TEST):
    """Return a test of a case of scenario A."""
    return TestEntry(f"{name}[{case}]", "t", Outcome(outcome), "", case, scenario="A")


def shown(line, *tests, **parts):
    """Return the badge and the note of a line in a session with these tests."""
    session = a_session(tests=tests, **parts)
    found = row_badge(line, session, EN)
    return f"{found.sign} {found.word}", row_note(line, session, EN)


def test_one_of_five_cases_is_no_pass():
    """A line that passed on one synthetic case of five says so; its sign is not that of a pass."""
    line = a_line(cases=("chain-quick",), missing=("a", "b", "c", "d"))
    assert shown(line, a_test(case="chain-quick"))[0] == "◐ 1 of 5 cases"


def test_some_of_its_tests_are_no_pass():
    """A line of which some tests ran says how many."""
    line = a_line(tests=(TEST, "b.py::t"), cases=("chain",))
    assert shown(line, a_test()) == ("◐ 1 of 2 tests", "1 of its 2 tests did not run.")


def test_what_did_not_run_is_not_run():
    """A line without an evaluated test is not run."""
    assert shown(a_line()) == ("○ not run", "")
    assert shown(a_line(tests=())) == ("○ not run", "No test answers this line.")


@pytest.mark.parametrize("outcome", [Outcome.FAIL, Outcome.UNKNOWN, Outcome.PASS])
def test_a_conclusion_keeps_its_sign(outcome):
    """A line that failed, could not conclude, or passed as a whole keeps its outcome, whatever is missing."""
    assert shown(a_line(outcome=outcome, cases=("a",), missing=("b",)))[0].endswith(str(outcome.value))


def test_an_optional_line_says_so():
    """A line whose words call it optional is marked."""
    assert shown(a_line(outcome=Outcome.PASS, text="Fin Phase 3: (optionnel) 1 log"))[1] == "Optional."


def test_the_reference_says_nothing_about_the_definition_of_done():
    """For the embedded reference a line of the Definition of Done has no part that was run."""
    line = a_line(id="4.2", section=DEFINITION_OF_DONE, cases=("chain",), missing=("gui",), reason=say("Nothing."))
    session = replace(a_session(tests=(a_test(),)), target_kind="reference")
    assert row_badge(line, session, EN).sign == "○"
    assert row_note(line, session, EN) == "Nothing."


OWN = Line("A.1", "Test A", "Relancer EXACTEMENT le dataset/config", (TEST,))


def test_the_very_dataset_of_the_user_is_not_run_by_others():
    """Synthetic and observed cases can't pass the line that asks for the user's dataset: it says how to run that."""
    cases = ("chain", "natural", "gui", "chain-microobs")
    tests = tuple(a_test(case=case) for case in cases)
    (row,) = rows((a_session(tests=tests),), (OWN,))
    assert row.outcome is Outcome.NOT_EVALUATED
    badge, note = shown(row, *tests)
    assert badge == "○ not run"
    assert note.startswith("Not run: the dataset is yours. 4 cases stood in for it, and none failed.")
    assert "--phase3-frames=FOLDER --phase3-config=FILE" in note


def test_a_run_on_the_users_frames_answers_for_their_dataset():
    """With a case of the user's own, the line passes like any other; a case that fails makes it fail without one."""
    every = [a_test(case=case) for case in ("chain", "natural", "gui")]
    (row,) = rows((a_session(tests=(*every, a_test(case="mine"))),), (OWN,))
    assert row.outcome is Outcome.PASS
    (row,) = rows((a_session(tests=(*every, a_test(Outcome.FAIL, "chain-microobs"))),), (OWN,))
    assert row.outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("outcomes", "test", "sentence"),
    [
        (("pass", "pass"), "pass", "zemosaic abc meets the Definition of Done: all 2 lines pass."),
        (("pass", "fail"), "fail", "zemosaic abc does not meet the Definition of Done: 1 of 2 lines fail."),
        (("pass", "unknown"), "unknown", "zemosaic abc: no decision, because 1 of 2 lines could not conclude."),
        (("pass", "pass"), "fail", "zemosaic abc: the validation fails"),
    ],
)
def test_one_sentence_decides(outcomes, test, sentence):
    """The title says whether the Definition of Done holds; a failure outside its lines is not called one of them."""
    tests = (TestEntry("x.py::t", "t", Outcome(test), "", None),)
    session = a_session(tests=tests, requirements=done_lines(*outcomes, test="x.py::t"))
    assert decided(session, EN)[1] == sentence
