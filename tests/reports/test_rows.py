"""Test how a line of the checklist is shown: never as more than was run."""

from dataclasses import replace

import pytest

from harness.language.catalogue import Language
from harness.language.message import Message, say
from harness.session.checklist import DEFINITION_OF_DONE, Line
from harness.session.model import Requirement, TestEntry
from harness.session.rows import rows
from harness.verdict import Outcome, Verdict
from reports.decided import decided
from reports.rows import row_badge, row_note
from tests.report_pages import a_run, a_session, an_entry, done_lines

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
    assert shown(a_line()) == ("○ not run", "The session did not ask for its tests: run its command.")
    assert shown(a_line(tests=())) == ("○ not run", "No test answers this line.")


RAIL = "scenarios/test_guard_rails.py::test_no_file_is_added"


@pytest.mark.parametrize(
    ("line", "tests", "parts", "note"),
    [
        ({}, (), {"options": {"quick": "true"}}, "Left out by --phase3-quick: run without it."),
        ({}, (), {"interrupted": say("Stopped.")}, "The session ended before its tests: run it again."),
        ({}, (a_test(Outcome.NOT_EVALUATED),), {}, "Its tests were skipped: see their reason under Tests."),
        (
            {},
            (a_test(Outcome.NOT_APPLICABLE),),
            {},
            "Its tests do not apply to this target or these frames: see Tests.",
        ),
        (
            {"tests": (RAIL,)},
            (replace(a_test(Outcome.NOT_EVALUATED), nodeid=RAIL),),
            {},
            "The version before the patch is missing, or the same: name it with --phase3-baseline.",
        ),
        (
            {"tests": (RAIL,)},
            (replace(a_test(Outcome.NOT_EVALUATED), nodeid=RAIL),),
            {"runs": (replace(an_entry("chain", "baseline"), target="zemosaic old"),)},
            "Its tests were skipped: see their reason under Tests.",
        ),
    ],
    ids=["quick", "interrupted", "skipped", "not for this target", "one version only", "two versions"],
)
def test_a_line_that_was_not_run_says_why_and_what_to_do(line, tests, parts, note):
    """Whatever kept its tests from running, the line names it, in both languages, with the way to get them."""
    assert shown(a_line(**line), *tests, **parts) == ("○ not run", note)
    french = row_note(a_line(**line), a_session(tests=tests, **parts), Language("fr"))
    assert french
    assert french != note


@pytest.mark.parametrize(
    ("verdicts", "reason", "note"),
    [
        (("No tile was submitted.",), None, "No tile was submitted. Run it again."),
        (("One.", "One."), None, "One. Run it again."),
        (("One.", "Two."), None, "One. Run it again. Other reasons, under Why: 1."),
        ((), "Tests that could not conclude: t.", "Tests that could not conclude: t. Run it again."),
        ((), None, "Evidence is missing. Run it again."),
    ],
)
def test_a_line_that_could_not_conclude_says_why_and_what_to_do(verdicts, reason, note):
    """The line has the sentence of the verdict that could not conclude, each reason once."""
    found = tuple(Verdict(f"check{n}", Outcome.UNKNOWN, Message(text)) for n, text in enumerate(verdicts))
    judged = a_run("chain", "subject", found)
    test = replace(a_test(Outcome.UNKNOWN), run=judged.run, role="subject")
    line = a_line(outcome=Outcome.UNKNOWN, reason=None if reason is None else Message(reason))
    assert shown(line, test, judged=(judged,)) == ("? unknown", note)


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
        (("pass", "fail"), "fail", "zemosaic abc does not meet the Definition of Done: 1 of 2 lines fails."),
        (("pass", "unknown"), "unknown", "zemosaic abc: no decision, because 1 of 2 lines could not conclude."),
        (
            ("unknown", "not evaluated"),
            "unknown",
            "zemosaic abc: no decision. Of 2 lines, could not conclude: 1; not run, or in part: 1.",
        ),
        (("pass", "pass"), "fail", "zemosaic abc: the validation fails"),
    ],
)
def test_one_sentence_decides(outcomes, test, sentence):
    """The title says whether the Definition of Done holds; a failure outside its lines is not called one of them."""
    tests = (TestEntry("x.py::t", "t", Outcome(test), "", None),)
    session = a_session(tests=tests, requirements=done_lines(*outcomes, test="x.py::t"))
    assert decided(session, EN)[1] == sentence
