"""Test the title of a session: it claims no more than was evaluated."""

from dataclasses import replace

import pytest

from harness.language.catalogue import language
from harness.session.model import TestEntry
from harness.verdict import Outcome
from reports.badges import control_badge
from reports.headline import answering, headline
from reports.terminal import summary_lines
from tests.report_pages import a_run, a_session, a_verdict, done_lines, written


def test_an_unknown_test_is_never_a_pass_in_the_title(tmp_path):
    """One test that could not conclude makes the whole session unknown."""
    tests = (
        TestEntry("a::b", "t", Outcome.PASS, "", None),
        TestEntry("a::c", "t", Outcome.UNKNOWN, "no evidence", None),
    )
    words = written(a_session(tests=tests), tmp_path).words
    assert "could not conclude" in words
    assert "the validation passes" not in words


@pytest.mark.parametrize(
    ("scenarios", "outcomes", "title"),
    [
        (
            "A",
            ("not evaluated", "pass", "not evaluated"),
            " (scenario A); lines of the Definition of Done not evaluated yet: 2 of 3",
        ),
        (
            "CA",
            ("not evaluated", "pass"),
            " (scenarios A, C); lines of the Definition of Done not evaluated yet: 1 of 2",
        ),
        ("", ("not evaluated",), "; lines of the Definition of Done not evaluated yet: 1 of 1"),
        ("A", (), " (scenario A)"),
        ("E", (), " (scenario E)"),
    ],
)
def test_the_title_claims_no_more_than_was_evaluated(scenarios, outcomes, title, tmp_path):
    """If lines of the Definition of Done are not evaluated, the title says so and has no tick."""
    tests = tuple(
        TestEntry(f"{n}.py::t", "t", Outcome.PASS, "", None, scenario=s) for n, s in enumerate(scenarios or [""])
    )
    tests += (TestEntry("d.py::t", "t", Outcome.NOT_EVALUATED, "", None, scenario="D"),)
    tests += (TestEntry("faults.py::t", "t", Outcome.PASS, "", None, scenario="1", occasion="retry"),)
    session = a_session(tests=tests, requirements=done_lines(*outcomes, test="0.py::t"))
    page = written(session, tmp_path)
    opens = outcomes.count("not evaluated")
    sentence = f"◐ zemosaic abc: nothing that was run fails, but {opens} of {len(outcomes)} lines"
    assert (sentence if outcomes else f"◐ zemosaic abc: the evaluated tests pass{title}") in page.words
    assert "the validation passes" not in page.words
    assert headline(session, language("en"))[1] == f"zemosaic abc: the evaluated tests pass{title}"


def test_the_title_says_it_in_french():
    """The French title says so too."""
    tests = (TestEntry("scenarios/test_a_hole_repro.py::t", "t", Outcome.PASS, "", None, scenario="A"),)
    session = a_session(tests=tests, requirements=done_lines("pass", "not evaluated", test=tests[0].nodeid))
    assert headline(session, language("fr"))[1] == (
        "zemosaic abc\u00a0: les tests évalués réussissent (scénario A)\u202f; "
        "lignes de la définition de «\u00a0terminé\u00a0» pas encore évaluées\u00a0: 1 sur 2"
    )


def test_a_whole_pass_has_its_tick(tmp_path):
    """If every line of the Definition of Done was evaluated, the title has a tick."""
    tests = (TestEntry("scenarios/test_a_hole_repro.py::t", "t", Outcome.PASS, "", None),)
    session = a_session(tests=tests, requirements=done_lines("pass", "pass", test=tests[0].nodeid))
    words = written(session, tmp_path).words
    assert "✓ zemosaic abc meets the Definition of Done: all 2 lines pass." in words


def test_a_control_that_fails_is_not_taken_for_the_target(tmp_path):
    """A session that is red only because of its controls says so under its title."""
    tests = (TestEntry("a.py::t", "t", Outcome.FAIL, "", "a"),)
    control = a_run("a", "control", (a_verdict("holes"),), expected_red=("holes",))
    told = "All verdicts on the version under test pass, but these controls are not as expected: a."
    sound = a_session(tests=tests, judged=(control, a_run("a", "subject", (a_verdict("holes"),))))
    words = written(sound, tmp_path).words
    assert told in words
    assert "No verdict fails or is unknown." in words
    assert "✗ fail a a-control Expected red: holes; red: none." in words[words.index("Would it have been seen? ✗") :]
    red = a_session(tests=tests, judged=(control, a_run("a", "subject", (a_verdict("holes", Outcome.UNKNOWN),))))
    assert told not in written(red, tmp_path).words
    assert told not in written(a_session(tests=tests, judged=(control,)), tmp_path).words


def a_test(outcome, role=None):
    """Return a test with this outcome about a run in this role."""
    return TestEntry(f"a.py::{role}", "t", Outcome(outcome), "", "a", run="a", role=role)


@pytest.mark.parametrize(
    ("role", "title"),
    [
        ("control", "The validation of zemosaic abc fails: a control is not as expected"),
        ("control-pair", "The validation of zemosaic abc fails: a control is not as expected"),
        ("subject", "zemosaic abc: the validation fails"),
        ("pair", "zemosaic abc: the validation fails"),
        ("baseline", "zemosaic abc: the validation fails"),  # its test asks whether the subject is worse
        (None, "zemosaic abc: the validation fails"),  # the guard rails, which read the subject's source
    ],
)
def test_the_title_never_says_of_the_target_what_a_control_did(role, title):
    """If only tests on controls fail, the title blames the control; any failure on the version under test outranks that."""
    session = a_session(tests=(a_test("fail", role), a_test("pass")))
    assert summary_lines(session, "en")[-2] == f"✗ {title}"
    both = a_session(tests=(a_test("fail", role), replace(a_test("fail", "subject"), nodeid="b")))
    assert summary_lines(both, "en")[-2] == "✗ zemosaic abc: the validation fails"


def test_a_finding_of_the_controls_run_end_is_not_among_those_of_the_target(tmp_path):
    """An empty panel that every version has is red on the control's run_end: for comparison only, and the case passes."""
    red = a_run("a", "control-pair", (a_verdict("holes", Outcome.FAIL),))
    subject = a_run("a", "subject", (a_verdict("holes"),))
    session = a_session(tests=(a_test("pass", "subject"),), judged=(red, subject))
    assert answering(session) == ()
    words = written(session, tmp_path).words
    assert "Verdicts on other versions, for comparison only: 1" in words
    lines = summary_lines(session, "en")
    assert not any(line.startswith("✗") for line in lines)


def test_a_check_that_is_red_with_run_end_too_is_marked_so():
    """On a control, a check that run_end explains is neither the expected red nor an unexpected one."""
    control = a_run("a", "control", (), expected_red=("holes",), red_with_run_end=("tiles",))
    english = language("en")
    found = {
        name: control_badge(a_verdict(name, Outcome.FAIL), control, english).word
        for name in ("holes", "tiles", "depth")
    }
    assert found == {"holes": "red, as expected", "tiles": "red, also with run_end", "depth": "red, not expected"}
