"""Test what the reports say that a verdict does not cover, and which findings they know."""

from dataclasses import replace

import pytest

from harness.language.catalogue import Language
from harness.language.message import say
from harness.session.model import RealSet, Requirement, TestEntry
from harness.verdict import Outcome, Verdict
from reports.ending import finding_text
from reports.not_covered import Known, Size, finding_line, known_findings, known_holes, not_covered
from reports.summary import summary
from tests.report_pages import a_run, a_session, a_verdict, an_entry

EN = Language("en")


def told(session, runs=()):
    """Return the sentences on what a session does not cover."""
    return not_covered(session, runs, EN)


def a_line(name, *tests, missing=()):
    """Return a line of the checklist that was evaluated on one case."""
    return Requirement(name, "…", "…", tests, Outcome.NOT_EVALUATED, cases=("one",), missing=missing)


def test_scenarios_and_cases_that_did_not_run_are_named_with_the_option_that_runs_them():
    """Scenarios without an evaluated test and missing cases are one sentence, with the way to run them."""
    tests = (TestEntry("a.py::t[one]", "t", Outcome.PASS, "", "one"),)
    lines = (a_line("A.1", "a.py::t", missing=("two", "three")), a_line("C.1", "c.py::t"))
    session = a_session(tests=tests, requirements=lines, options={"quick": "true"})
    assert told(session)[0] == "Not run: test C; cases two, three. Run them without --phase3-quick."
    assert told(replace(session, options={}))[0] == "Not run: test C; cases two, three."
    whole = replace(session, requirements=(a_line("A.1", "a.py::t"),))
    assert not [line for line in told(whole) if line.startswith("Not run")]


def test_a_release_called_alone_is_no_run_of_test_b():
    """A test without a case, such as the one that counts the release's work, leaves test B and the runs under faults open."""
    alone = (TestEntry("b.py::t", "t", Outcome.PASS, "", None),)
    lines = (a_line("B.3", "b.py::t"), a_line("1.6", "scenarios/test_under_faults.py::t"))
    assert told(a_session(tests=alone, requirements=lines))[0] == "Not run: test B, the runs under faults."


def test_a_finding_names_its_cases_and_counts_the_rest():
    """Of eight cases six are named."""
    known = Known("accuracy", say("x"), tuple(f"c{n}" for n in range(8)), before=True)
    assert finding_line(known, EN).endswith("(c0, c1, c2, c3, c4, c5, … (2)).")


def test_a_case_that_was_run_is_not_said_to_be_missing():
    """A line lacks case two for a test that does not apply to the target; another test ran on it."""
    tests = tuple(
        TestEntry(f"a.py::{name}[{case}]", "t", Outcome.PASS, "", case) for name, case in (("t", "one"), ("u", "two"))
    )
    session = a_session(tests=tests, requirements=(a_line("A.1", "a.py::t", missing=("two", "three")),))
    assert told(session)[0] == "Not run: cases three."


@pytest.mark.parametrize(("profile", "other"), [("fast", "default"), ("default", "fast")])
def test_the_other_profile_is_not_covered(profile, other):
    """A session of one profile says that the other was not run; a merged one of both does not."""
    assert f"Settings: profile {profile} only, not {other}." in told(a_session(options={"profile": profile}))
    assert not [line for line in told(a_session(options={"profile": "fast; default"})) if "profile" in line]


def test_one_platform_is_named_and_two_are_not():
    """The platform is named if there was only one."""
    session = replace(a_session(), environment={"platform": "Linux-6.1-x86_64"})
    assert "Platform: Linux only." in told(session)
    both = replace(session, environment={"platform": "Linux-6.1; Windows-11"})
    assert not [line for line in told(both) if line.startswith("Platform")]


def test_the_largest_run_is_given_in_frames_and_bytes():
    """The largest numbers count; without a record there is no sentence."""
    runs = (Size(30, 5_200_000), Size(48, 1_000_000))
    assert "No run had more than 48 frames, or more than 5.2\u00a0MB of caches at once." in told(a_session(), runs)
    assert not [line for line in told(a_session()) if line.startswith("Largest")]


def test_own_and_observed_frames_that_were_not_run_are_named():
    """A session on synthetic frames lacks the user's and observed ones; one that ran them does not say so."""
    sets = (RealSet("m94", judged=False, command="x"), RealSet("other", judged=True, command="x"))
    synthetic = a_session(runs=(an_entry("a", "subject"),))
    assert {"Your own frames were not run.", "No observed frames were run."} <= set(told(synthetic))
    assert "Observed sets not run: m94." in told(replace(synthetic, real_sets=sets))
    own = a_session(runs=(replace(an_entry("a", "subject"), dataset_kind="user"),))
    assert "Your own frames were not run." not in told(own)
    real = a_session(runs=(replace(an_entry("a", "subject"), dataset_kind="real", dataset="m94"),), real_sets=sets)
    assert not [line for line in told(real) if "bserved" in line]


def test_known_findings_are_one_line_for_each_check():
    """A finding of several cases is one line; a new one, a finding on another run, and a pass are not among them."""
    old = Verdict("accuracy", Outcome.FAIL, say("Old."), axis="quality", standing="pre-existing")
    new = replace(old, check="trimmed", standing="new")
    judged = (a_run("a", "subject", (old, new)), a_run("b", "subject", (old,)), a_run("b", "pair", (new,)))
    known = known_findings(a_session(judged=judged))
    assert [finding_line(one, EN) for one in known] == ["accuracy: Old. The baseline has it too (a, b)."]
    unsure = known_findings(a_session(judged=(a_run("a", "subject", (replace(old, standing=""),)),)))
    assert finding_line(unsure[0], EN) == "accuracy: Old. It is not known whether the baseline has it (a)."


def counted(case, *findings):
    """Return a run of a case on which a check counts these findings."""
    sentence = say("Findings: {count}.", count=len(findings))
    cause = tuple(say("Panel {panel}: {what}.", panel=panel, what=what) for panel, what in findings)
    return a_run(
        case,
        "subject",
        (Verdict("accuracy", Outcome.FAIL, sentence, cause=cause, axis="quality", standing="pre-existing"),),
    )


def test_findings_are_counted_over_all_cases_each_once():
    """Two findings in a case and three in another, of which one is the same, are four: page, summary and terminal say so."""
    judged = (counted("a", (0, "flux"), (1, "flux")), counted("b", (0, "flux"), (2, "stars"), (3, "stars")))
    session = a_session(judged=judged)
    (known,) = known_findings(session)
    line = "accuracy: Findings: 4. The baseline has it too (a, b)."
    assert finding_line(known, EN) == line
    assert finding_text(known, EN) == "accuracy (known, not the patch's: a, b): Findings: 4."
    assert f"- △ {line}" in summary(session, "en", "0")
    (alone,) = known_findings(a_session(judged=judged[:1]))
    assert finding_line(alone, EN) == "accuracy: Findings: 2. The baseline has it too (a)."


def test_equal_counts_of_different_findings_are_added():
    """Two cases with two findings each have four: equal sentences are no equal findings."""
    judged = (counted("a", (0, "flux"), (1, "flux")), counted("b", (0, "stars"), (1, "stars")))
    (known,) = known_findings(a_session(judged=judged))
    assert known.text(EN) == "Findings: 4."


def test_a_measure_of_one_case_is_not_said_of_all():
    """An area that differs between cases names the case that it is of; an equal one needs no name."""
    trimmed = [
        Verdict("trimmed", Outcome.FAIL, say("{area} arcmin².", area=area), axis="quality", standing="pre-existing")
        for area in (5, 7)
    ]
    judged = (a_run("a", "subject", (trimmed[0],)), a_run("b", "subject", (trimmed[1],)))
    (known,) = known_findings(a_session(judged=judged))
    assert finding_line(known, EN) == "trimmed: 5 arcmin². This is about a. The baseline has it too (a, b)."
    (equal,) = known_findings(a_session(judged=(judged[0], a_run("b", "subject", (trimmed[0],)))))
    assert finding_line(equal, EN) == "trimmed: 5 arcmin². The baseline has it too (a, b)."


def with_holes(*cases, role="subject"):
    """Return a session with a passing verdict on holes for each case: whether the pair has each hole, and its area."""
    judged = tuple(
        a_run(case, role, (replace(a_verdict("holes"), evidence={"holes": list(found), "holes_in_all": len(found)}),))
        for case, found in cases
    )
    return a_session(judged=judged)


def a_hole(area, *, in_pair=True):
    """Return a hole of the evidence."""
    return {"square_arcmin": area, "pixels": 100, "in_pair": in_pair}


def test_a_hole_that_the_run_with_run_end_has_too_is_a_known_line_with_its_area():
    """Grid mode leaves out the same sky with run_end: the line says so, with area and cases, and that it is not the patch's."""
    one = with_holes(("grid", [a_hole(524.2225)]))
    (known,) = known_findings(one)
    assert finding_line(known, EN) == (
        "holes: 1 hole, 524.2 arcmin²: run_end does not cover this sky either. The patch is not the cause (grid)."
    )
    assert finding_line(known, Language("fr")) == (
        "trous\u00a0: 1 trou, 524,2 arcmin²\u00a0: run_end ne couvre pas ce ciel non plus. Le patch n’en est pas la cause (grid)."
    )
    both = with_holes(("grid-microobs", [a_hole(265.3735)]), ("grid", [a_hole(524.2225)]))
    assert finding_line(known_findings(both)[0], EN) == (
        "holes: 2 holes, 789.6 arcmin²: run_end does not cover this sky either. The patch is not the cause (grid, grid-microobs)."
    )
    assert finding_text(known, EN) == (
        "holes (known, not the patch's: grid): 1 hole, 524.2 arcmin²: run_end does not cover this sky either."
    )


@pytest.mark.parametrize(
    "session",
    [
        with_holes(("grid", [])),
        with_holes(("chain", [a_hole(137.1, in_pair=False)])),
        with_holes(("chain", [a_hole(137.1, in_pair=None)])),
        with_holes(("grid", [a_hole(524.2)]), role="pair"),
    ],
    ids=["no hole", "run_end covers it", "not compared", "only in another run"],
)
def test_without_a_hole_that_run_end_has_too_there_is_no_known_line(session):
    """A hole of the retention is the check's own matter, and so is one that was not compared."""
    assert known_findings(session) == ()


def test_a_case_of_two_sessions_counts_its_holes_once():
    """Two sessions ran the case: its largest hole counts, and the case is named once."""
    first, second = (with_holes(("grid", [a_hole(area)])) for area in (524.0, 530.0))
    (known,) = known_holes((first, second))
    assert finding_line(known, EN).startswith("holes: 1 hole, 530 arcmin²")
    assert known.cases == ("grid",)
