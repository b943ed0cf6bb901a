"""Test the end of a session in the terminal: its parts, their order, and how many lines it takes."""

from dataclasses import replace

import pytest

from harness.language.catalogue import language
from harness.language.message import say
from harness.session.model import JudgedRun, RealSet, TestEntry, read_session
from harness.session.rows import with_rows
from harness.verdict import Outcome, Verdict
from reports.badges import Badge
from reports.ending import commands, left_out, scenario_lines, seen
from reports.terminal import MOST, summary_lines
from tests.done_sessions import LINES, LOST, MADE, entry, verdict
from tests.done_sessions import a_session as a_whole_session
from tests.report_pages import a_run, a_session, a_verdict

EN, FR = language("en"), language("fr")


def the_session(**parts):
    """Return a session of a real target in which every test passed, with these parts."""
    return with_rows(replace(a_whole_session(), **parts), LINES)


def test_the_terminal_is_not_steered(folders):
    """The end is plain text, whatever the names contain."""
    lines = summary_lines(read_session(folders["hostile"]), "fr")
    assert any("\\u202e" in line for line in lines)
    assert all(c.isprintable() or c in "\u00a0\u202f" for line in lines for c in line)


@pytest.mark.parametrize("columns", [79, 119, 200])
@pytest.mark.parametrize("name", ["zemosaic", "reference", "hostile"])
@pytest.mark.parametrize("lang", ["en", "fr"])
def test_the_end_fits_into_its_lines_and_columns(folders, name, lang, columns):
    """No line is wider than the terminal, except a command, which must stay in one piece."""
    lines = summary_lines(read_session(folders[name]), lang, columns=columns)
    assert len(lines) <= MOST
    assert all(len(line) <= columns or "phase3 " in line for line in lines), lines


def test_the_parts_come_in_order_and_the_verdict_last(folders):
    """Scenarios, controls, causes, known findings, what was not run, the Definition of Done, and the verdict."""
    lines = summary_lines(read_session(folders["zemosaic"]), "en", columns=200)
    places = [
        next(n for n, line in enumerate(lines) if line.startswith(start))
        for start in (
            "✗ fail: A hole: retention holes 1 · tiles 3/4",
            "○ No control was run",
            "✗ holes, depth, tiles, warnings (chain): 1 hole",
            "    3. The main thread removed",
            "✗ cache (chain)",
            "△ trimmed",
            "○ Not run: test B",
            "    observed frames: phase3 data fetch microobs_hatp32_4panels",
            "✗ fail: 4.1",
            "✗ fail: 4.2 Repro du trou corrigée: retention holes 1 · tiles 3/4 · lost-cache events 7 (1 of 3 cases",
            "✗ fail: 4.3",
            "✗ zemosaic 63bcc2c does not meet the Definition of Done",
        )
    ]
    assert places == sorted(places)
    assert lines[-1] == "Tests that fail: 3 of 3. Tests that could not conclude: 0."


def test_the_narrow_end_keeps_the_figures_of_the_decision(folders):
    """With 80 columns the lines of the Definition of Done take a second line before a figure is cut."""
    text = "\n".join(summary_lines(read_session(folders["zemosaic"]), "en", columns=79))
    done = text[text.index("4.2 Repro") :].partition("4.3")[0]
    assert " ".join(done.split()).startswith(
        "4.2 Repro du trou corrigée: retention holes 1 · tiles 3/4 · lost-cache events 7 (1 of 3"
    )


def test_many_failures_are_named_and_the_rest_counted():
    """With more reasons than lines, the end says how many are left to the report."""
    verdicts = tuple(replace(a_verdict(f"c{n}", Outcome.FAIL), sentence=say("{n} is wrong.", n=n)) for n in range(40))
    lines = summary_lines(a_session(judged=(a_run("a", "subject", verdicts),)), "en")
    named = sum(line.startswith("✗ c") for line in lines)
    assert named > 5
    assert f"  … and {40 - named} more, in the report" in lines
    assert len(lines) <= MOST


def test_one_sentence_of_many_checks_is_said_once():
    """Checks of a run with the same outcome and sentence share one line; others have their own."""
    ended, other = say("The run did not reach its end."), say("No tile was submitted.")
    unknown, fail = Outcome.UNKNOWN, Outcome.FAIL
    verdicts = tuple(
        Verdict(check, outcome, sentence)
        for check, outcome, sentence in (
            ("cache", unknown, ended),
            ("holes", unknown, ended),
            ("logs", unknown, other),
            ("tiles", fail, ended),
        )
    )
    judged = JudgedRun("r", case="chain", role="subject", verdicts=verdicts)
    lines = summary_lines(a_session(judged=(judged,)), "en")
    assert [line for line in lines if "(chain)" in line] == [
        "✗ tiles (chain): The run did not reach its end.",
        "? cache, holes (chain): The run did not reach its end.",
        "? logs (chain): No tile was submitted.",
    ]


def test_one_event_that_turned_checks_red_in_two_runs_is_one_reason():
    """The pair shows the same difference as the run itself: the reason names the case, and not both roles."""
    off = replace(a_verdict("parity", Outcome.FAIL), cause=(say("WCS cards that differ: CTYPE3."),))
    judged = (a_run("sds", "subject", (off,)), a_run("sds", "pair", (off,)), a_run("sds-m94", "pair", (off,)))
    lines = summary_lines(a_session(judged=judged), "en")
    assert [line for line in lines if "parity" in line] == ["✗ parity (sds, sds-m94): No tile was submitted."]


def test_a_known_finding_has_a_sign_of_its_own_in_one_line():
    """A finding that the baseline has is no failure: one line, whatever its sentence and its cases."""
    old = Verdict("accuracy", Outcome.FAIL, say("{x}", x="flux; " * 80), axis="quality", standing="pre-existing")
    judged = tuple(a_run(f"case {n}", "subject", (old, a_verdict("holes"))) for n in range(5))
    lines = summary_lines(a_session(judged=judged), "en", columns=79)
    found = [line for line in lines if line.startswith("△")]
    assert len(found) == 1
    assert found[0].startswith("△ accuracy (known, not the patch's: case 0, case 1, case 2, … (2)): flux;")
    assert not any(line.startswith("✗") for line in lines)


def test_a_scenario_that_ran_in_part_says_of_how_many_cases():
    """A pass on one of three cases is no pass of the scenario; a whole one has its tick."""
    lines = {line.name: line for line in scenario_lines(the_session(), EN)}
    assert (lines["A hole"].badge.sign, lines["A hole"].figures) == ("✓", "tiles 5/6 → 6/6")
    only = the_session(tests=tuple(t for t in the_session().tests if t.case in (None, "chain", "sds")))
    lines = {line.name: line for line in scenario_lines(only, EN)}
    assert lines["A hole"].badge == Badge("◐", "1 of 3 cases", "part")
    assert lines["A hole"].scope == "1 synthetic"
    assert lines["C SDS"].badge.sign == "✓"


def test_the_release_that_is_called_alone_is_no_pass_of_the_large_run():
    """Test B has a test that needs no run. Alone it says nothing about the large run, and the line says so."""
    test = TestEntry("scenarios/test_b_stress.py::test_growth", "t", Outcome.PASS, "", None, scenario="B")
    (line,) = scenario_lines(a_session(tests=(test,)), EN)
    assert (line.badge.sign, line.badge.word, line.figures) == ("◐", "0 of 1 cases", "tests that pass 1 of 1")


def test_guard_rails_that_were_not_read_have_no_line():
    """The reference has no versions to compare: a test of the release alone must not pass for its guard rails."""
    test = TestEntry("scenarios/test_under_faults.py::test_negative", "t", Outcome.PASS, "", None)
    assert [line.name for line in scenario_lines(a_session(tests=(test,)), EN)] == ["faults"]
    read = replace(test, check="0.1")
    assert [line.name for line in scenario_lines(a_session(tests=(read,)), EN)] == ["guard rails"]


def test_what_a_control_showed_does_not_colour_its_scenario():
    """A control that is not red makes its own line red, not that of the version under test."""
    session = the_session()
    wrong = tuple(replace(t, outcome=Outcome.FAIL) if t.role == "control" else t for t in session.tests)
    control = next(judged for judged in session.judged if judged.role == "control")
    blind = replace(control, verdicts=(verdict("tiles", MADE), verdict("holes")))
    judged = tuple(blind if known is control else known for known in session.judged)
    off = replace(session, tests=wrong, judged=judged)
    assert {line.badge.sign for line in scenario_lines(off, EN)} == {"✓"}
    assert [text for _, text in seen(off, EN)] == [
        "Runs of a version with the bug on which the checks saw it: 0 of 1.",
        "chain: Expected red: tiles; red: none.",
    ]
    assert {shown.sign for shown, _ in seen(off, EN)} == {"✗"}


def test_the_bug_was_seen_in_one_line():
    """Controls that are as expected need no line each."""
    ((shown, text),) = seen(the_session(), EN)
    assert (shown.sign, text) == ("✓", "Runs of a version with the bug on which the checks saw it: 1 of 1.")


def test_a_k_that_leaves_a_case_out_says_so():
    """The cases without a selected test are named, with the command that runs all; others have no such line."""
    command = "pytest -m phase3 -k 'chain and hole' --phase3-dir=x"
    tests = (TestEntry("t.py::t[chain]", "t", Outcome.PASS, "", "chain", scenario="A"),)
    session = a_session(tests=tests)
    part = replace(session, command=command)
    assert left_out(part, EN).startswith("-k chain and hole left out: natural, gui, chain-microobs, stress-subset, sds")
    assert commands(part, EN) == (("all cases", "pytest -m phase3 --phase3-dir=x"),)
    assert any(line.startswith("○ -k chain and hole left out: natural, gui") for line in summary_lines(part, "en"))
    assert left_out(session, EN) == ""
    whole = tuple(
        replace(tests[0], case=name) for name in left_out(part, EN).partition(": ")[2].rstrip(".").split(", ")
    )
    assert left_out(replace(part, tests=(*tests, *whole)), EN) == ""


@pytest.mark.parametrize(
    ("command", "whole"),
    [
        ("pytest -m phase3 --phase3-quick -n 2", "pytest -m phase3 -n 2"),
        ("pytest -q -m phase3 scenarios/test_c_sds.py::test_x -k=a", "pytest -q -m phase3"),
        ("pytest -m phase3 --phase3-frames '/my frames' --lang=fr", "pytest -m phase3 --lang=fr"),
        ("pytest -m phase3 --phase3-resume -x", "pytest -m phase3"),
    ],
)
def test_the_command_that_gets_the_rest_is_the_session_s_own(command, whole):
    """Its options stay, except those that leave cases out."""
    assert commands(replace(a_session(), command=command), EN) == (("all cases", whole),)


def test_a_command_that_cannot_be_read_is_left_out():
    """The command of a session that was edited may have an open quotation mark."""
    assert commands(replace(a_session(), command="pytest 'x -k"), EN) == ()


def test_a_set_that_was_judged_needs_no_command():
    """Each thing that was not run is named once; sets that are here are not to be fetched."""
    sets = (RealSet("a", judged=True, command="x"), RealSet("b", judged=False, command="y"))
    assert commands(a_session(real_sets=sets), EN) == (("observed frames", "phase3 data fetch b"),)
    assert commands(a_session(real_sets=sets[:1]), EN) == ()


def test_equal_skips_are_one_line():
    """Twenty-four tests that did not run for one reason leave one line on what was not run."""
    message = "phase3 data fetch b"
    tests = tuple(
        TestEntry(f"t.py::t{n}[chain-microobs]", "t", Outcome.NOT_EVALUATED, message, "chain-microobs", scenario="A")
        for n in range(24)
    )
    session = a_session(tests=tests, real_sets=(RealSet("microobs_hatp32_4panels", judged=False, command=message),))
    lines = summary_lines(session, "en")
    assert sum("microobs" in line for line in lines) == 2  # what was not run, and the command that gets it


def test_a_case_without_a_run_before_it_has_no_value_before():
    """A version that lost a tile is red with its figure; there is nothing to compare it with."""
    session = the_session()
    judged = replace(session.judged[0], baseline=None, verdicts=(verdict("tiles", LOST, "fail"), verdict("holes")))
    alone = replace(session, judged=(judged,), runs=(entry("s", "subject", session.target),))
    lines = {line.name: line for line in scenario_lines(alone, EN)}
    assert lines["A hole"].figures == "tiles 5/6"


def test_french_says_the_same_with_as_many_lines(folders):
    """The French end has the same parts."""
    session = read_session(folders["reference"])
    assert len(summary_lines(session, "fr", columns=300)) == len(summary_lines(session, "en", columns=300))
    assert summary_lines(session, "fr")[-2] == "✓ Autotest du banc\u00a0: réussi. Il ne dit rien de ZeMosaic."
