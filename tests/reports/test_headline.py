"""Test the title of a session: it claims no more than was evaluated."""

import pytest

from harness.session.model import TestEntry
from harness.verdict import Outcome
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
    assert f"◐ zemosaic abc: the evaluated tests pass{title}" in page.words
    assert "the validation passes" not in page.words
    assert summary_lines(session, "en")[0] == f"zemosaic abc: the evaluated tests pass{title}"


def test_the_title_says_it_in_french():
    """The French title says so too."""
    tests = (TestEntry("scenarios/test_a_hole_repro.py::t", "t", Outcome.PASS, "", None, scenario="A"),)
    session = a_session(tests=tests, requirements=done_lines("pass", "not evaluated", test=tests[0].nodeid))
    assert summary_lines(session, "fr")[0] == (
        "zemosaic abc\u00a0: les tests évalués réussissent (scénario A)\u00a0; "
        "lignes de la définition de «\u00a0terminé\u00a0» pas encore évaluées\u00a0: 1 sur 2"
    )


def test_a_whole_pass_has_its_tick(tmp_path):
    """If every line of the Definition of Done was evaluated, the title has a tick."""
    tests = (TestEntry("scenarios/test_a_hole_repro.py::t", "t", Outcome.PASS, "", None),)
    session = a_session(tests=tests, requirements=done_lines("pass", "pass", test=tests[0].nodeid))
    words = written(session, tmp_path).words
    assert "✓ zemosaic abc: the validation passes" in words


def test_a_control_that_fails_is_not_taken_for_the_target(tmp_path):
    """A session that is red only because of its controls says so under its title."""
    tests = (TestEntry("a.py::t", "t", Outcome.FAIL, "", "a"),)
    control = a_run("a", "control", (a_verdict("holes"),), expected_red=("holes",))
    told = "All verdicts on the version under test pass, but these controls are not as expected: a."
    sound = a_session(tests=tests, judged=(control, a_run("a", "subject", (a_verdict("holes"),))))
    words = written(sound, tmp_path).words
    assert told in words
    assert "No verdict fails or is unknown. Controls that are not as expected: 1." in words
    red = a_session(tests=tests, judged=(control, a_run("a", "subject", (a_verdict("holes", Outcome.UNKNOWN),))))
    assert told not in written(red, tmp_path).words
    assert told not in written(a_session(tests=tests, judged=(control,)), tmp_path).words
