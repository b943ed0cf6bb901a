"""Test that every view of a session has the same rows: page, summary, terminal, JUnit, sign-off, ``dod`` and exit status."""

import re
import xml.etree.ElementTree as ET
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fixtures import catalogue
from harness.commands.main import main
from harness.compare.build import compare
from harness.compare.sides import read_side
from harness.language.catalogue import language
from harness.language.message import say
from harness.record.whole import write_together
from harness.session.checklist import DEFINITION_OF_DONE, read_lines
from harness.session.definition_of_done import Part, together
from harness.session.integrity import seal_session
from harness.session.model import Requirement, TestEntry, read_session, write_session
from harness.session.rows import rows, run_of, with_rows
from harness.session.run_matrix import RUNS
from harness.verdict import Outcome, exit_status, rank
from reports.badges import Badge
from reports.compared import rows as shown_in_comparison
from reports.decided import decided
from reports.html.build import build
from reports.html.render import reports
from reports.html.runs import Drawing
from reports.junit import junit
from reports.material import Material
from reports.rows import row_badge
from reports.summary import summary
from reports.terminal import MOST, summary_lines
from tests.done_sessions import DONE, a_session, page, row
from tests.scenario_marks import MARKS

LINES = read_lines()
NAMES = sorted(MARKS)
CASES = [*(c.name for c in catalogue.CASES), catalogue.QUICK_CASE.name, "chain-own"]


@st.composite
def sessions(draw):
    """Return a session of random tests, with any outcomes, on any cases, of either kind of target, perhaps interrupted."""
    tests = {}
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=60)):
        scenario, occasion = MARKS[name].scenario
        case = draw(st.sampled_from(CASES)) if scenario else None
        nodeid = f"{name}[{case}]" if case else name
        outcome = draw(st.sampled_from([*Outcome, Outcome.PASS, Outcome.PASS, Outcome.PASS]))
        tests[nodeid] = TestEntry(nodeid, "Title.", outcome, "", case, scenario=scenario, occasion=occasion)
    kind = draw(st.sampled_from(["zemosaic", "reference"]))
    target = "zemosaic b59a65f" if kind == "zemosaic" else "reference"
    stopped = say("Stopped.") if draw(st.booleans()) else None
    parts = {"target_kind": kind, "judged": (), "runs": (), "patch": ()}
    return with_rows(replace(a_session(target, **parts), tests=tuple(tests.values()), interrupted=stopped), LINES)


def in_page(material):
    """Return the sign of each line in the page. A line that was run in part is not evaluated, and has a sign of its own."""
    view = build(material, "en", Drawing(None, None), "report.fr.html")
    lines = {line.id: line.badge.sign for section in view.checklist for line in section.lines}
    assert {line.id: line.badge.sign for line in view.decision.lines} == {r.id: lines[r.id] for r in DONE}
    return lines


def in_summary(session):
    """Return the sign of each line of the Definition of Done in the summary."""
    listed = summary(session, "en", "0" * 64).partition("## Definition of Done\n\n")[2].partition("\n\n")[0]
    return dict(zip((r.id for r in DONE), (line[2] for line in listed.splitlines()), strict=True))


def in_terminal(session):
    """Return the sign of each line of the Definition of Done at the end of pytest's output."""
    lines = summary_lines(session, "en")
    assert len(lines) <= MOST
    assert all(len(line) <= 120 or line.startswith("    ") for line in lines)
    return {line.split(": ")[1].split()[0]: line[0] for line in lines if re.search(r": 4\.\d ", line)}


def in_junit(session):
    """Return the outcome of each line in JUnit."""
    properties = {
        p.get("name"): p.get("value") for p in ET.fromstring(junit(session)).findall("./testsuite/properties/property")
    }
    start = "phase3_line_"
    return {name.removeprefix(start): value for name, value in properties.items() if name.startswith(start)}


def printed(*words):
    """Return what a command prints."""
    with redirect_stdout(StringIO()) as out:
        main(list(map(str, words)))
    return out.getvalue()


def in_sign(folder):
    """Return sign and word of each line of the Definition of Done in the dialogue of ``phase3 sign``, in English."""
    answers = [word for line in DONE for word in ("--row", line.id, "--reserve", "seen")]
    asked = printed("sign", folder, "--by", "Zoé", "--replace", *answers)
    return dict(reversed(found) for found in re.findall(r"^(. [^:\n]*): (4\.\d) ", asked, re.MULTILINE))


def in_decisions(text):
    """Return sign and word of each decided line, as ``phase3 verify`` prints and the page shows them."""
    return dict(re.findall(r"^\s*(?:<li>)?(4\.\d) [^\n]*: accepted with reserve \((. [^;)]*)", text, re.MULTILINE))


def in_dod(folder, written):
    """Return sign and word of each line of the Definition of Done in what ``phase3 dod`` prints, and in each of its files.

    The last is what it says of the whole: what it prints, and the two pages.
    """
    told = printed("dod", folder, "-o", written)
    text, html = written.read_text(encoding="utf-8"), written.with_suffix(".html").read_text(encoding="utf-8")
    annex = written.with_name("dod-annex.md").read_text(encoding="utf-8")
    lines = (
        dict(reversed(found) for found in re.findall(r"^(. [^:\n]*): (4\.\d) ", told, re.MULTILINE)),
        dict(reversed(found) for found in re.findall(r"^\| (. [^|]*) \| \[(4\.\d)\]", text, re.MULTILINE)),
        dict(reversed(found) for found in re.findall(r'<tr><td class="[^"]*">([^<]*)</td><td><a [^>]*>(4\.\d)<', html)),
        dict(re.findall(r"^\| \[(4\.\d)\]\S* \| (. [^|]*) \|", annex, re.MULTILINE)),
    )
    whole = (
        re.findall(r"^(.) [^:\n]*: Definition of Done", told, re.MULTILINE)[0],
        text.partition("\n\n")[2][0],
        re.findall(r"<h1><span [^>]*>(.)<", html)[0],
    )
    return lines, whole


# Without shrinking: each example writes every view, so that a search for the smallest one would take minutes.
@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(session=sessions())
def test_every_view_has_the_same_rows_and_the_exit_status_agrees(tmp_path, session):
    """Page, summary, terminal, JUnit, dod, file and exit status agree on every row of a random session."""
    write_session(session, tmp_path)
    seal_session(tmp_path)
    read = read_session(tmp_path)
    assert read.requirements == session.requirements
    outcomes = {r.id: r.outcome for r in session.requirements}
    signs = {r.id: row_badge(r, session, language("en")).sign for r in session.requirements}
    words = {r.id: f"{b.sign} {b.word}" for r in session.requirements for b in [row_badge(r, session, language("en"))]}
    done = together([Part(Path("none"), session, "0" * 64)])
    assert {line.id: line.outcome for line in done.lines} == outcomes
    assert [line.reason for line in done.lines] == [r.reason for r in session.requirements]
    assert in_page(Material(tmp_path)) == signs
    of_done = {r.id: signs[r.id] for r in DONE}
    assert in_summary(read) == of_done
    assert in_terminal(read) == ({} if session.self_test else of_done)
    assert in_junit(read) == {name: outcome.value for name, outcome in outcomes.items()}
    words = {r.id: words[r.id] for r in DONE}
    lines, whole = in_dod(tmp_path, tmp_path / "dod.md")
    assert lines == (words,) * 4
    assert len(set(whole)) == 1
    title = decided(read, language("en"))[0].sign
    if title == "◐" and done.outcome is Outcome.UNKNOWN:
        assert whole[0] == title
    if not session.self_test:
        write_together(reports(Material(tmp_path)))
        seal_session(tmp_path)
        assert in_sign(tmp_path) == words
        assert in_decisions(printed("verify", tmp_path)) == words
        assert in_decisions((tmp_path / "report.html").read_text(encoding="utf-8")) == words
    status = exit_status(read.outcome)
    evaluated = [o for o in outcomes.values() if o in (Outcome.FAIL, Outcome.UNKNOWN, Outcome.PASS)]
    if evaluated:
        assert rank(read.outcome) <= min(map(rank, evaluated)), "the session is better than one of its rows"
    if status == 0:
        assert not session.interrupted
        assert {Outcome.FAIL, Outcome.UNKNOWN}.isdisjoint(outcomes.values())
    if exit_status(done.outcome) == 1:
        assert status == 1


def quick(name):
    """Return the entry of a test that passed on the quick case."""
    scenario, occasion = MARKS[name].scenario
    return TestEntry(
        f"{name}[chain-quick]", "Title.", Outcome.PASS, "", "chain-quick", scenario=scenario, occasion=occasion
    )


def test_a_quick_session_has_the_same_rows_in_the_page_and_in_dod(tmp_path):
    """The quick case leaves a line of the Definition of Done not evaluated, in each view; the missing cases are named."""
    tests = tuple(quick(name) for name in NAMES if MARKS[name].scenario[0] == "A")
    made = a_session()
    runs = tuple(replace(run, record=f"{RUNS}/{run.key}") for run in made.runs)
    session = with_rows(replace(made, tests=tests, runs=runs), LINES)
    write_session(session, tmp_path)
    for run in runs:  # a session whose records are gone is a changed one
        (tmp_path / run.record).mkdir(parents=True)
        (tmp_path / run.record / "request.json").write_bytes(b"{}")
    (repro,) = [r for r in session.requirements if r.text == "Repro du trou corrigée"]
    assert (repro.outcome, repro.cases, repro.missing) == (
        "not evaluated",
        ("chain-quick",),
        ("chain", "natural", "gui"),
    )
    told = "Passes on: chain-quick. Cases that were not run: chain, natural, gui."
    assert repro.reason.render() == told
    ends = summary_lines(session, "en")
    assert any(line.startswith("◐ 1 of 4 cases: 4.2 Repro du trou corrigée") for line in ends)
    assert not any("(1 of 4 cases" in line for line in ends), "the number of cases is said twice"
    assert in_page(Material(tmp_path))["4.2"] == in_summary(session)["4.2"] == "◐"
    assert "◐ 1 of 4 cases" in row(page(session), "4.2")
    assert decided(session, language("en"))[0].sign == "◐"
    seal_session(tmp_path)
    lines, whole = in_dod(tmp_path, tmp_path / "dod.md")
    assert [found["4.2"] for found in lines] == ["◐ 1 of 4 cases"] * 4
    assert whole == ("◐",) * 3
    write_together(reports(Material(tmp_path)))
    seal_session(tmp_path)
    assert in_sign(tmp_path)["4.2"] == "◐ 1 of 4 cases"
    assert in_decisions(printed("verify", tmp_path))["4.2"] == "◐ 1 of 4 cases"
    french = (tmp_path / "report.fr.html").read_text(encoding="utf-8").partition('id="sign-off"')[2]
    assert "(◐ 1 cas sur 4" in french


@pytest.mark.parametrize("outcome", ["fail", "unknown"])
def test_a_failure_on_the_quick_case_is_a_failure_of_its_row(outcome):
    """A failure on part of the cases needs no others."""
    tests = tuple(replace(quick(name), outcome=Outcome(outcome)) for name in NAMES if MARKS[name].scenario[0] == "A")
    found = {r.id: r for r in rows([replace(a_session(), tests=tests)])}
    assert found["A.7"].outcome == outcome
    assert "test_the_hole_is_gone[chain-quick]" in found["A.7"].reason.render()


def test_an_interrupted_session_does_not_pass_and_poisons_no_row():
    """Tests that were never reached are not evaluated; with another session that ran them their line passes."""
    whole = a_session()
    left = tuple(replace(t, outcome=Outcome.NOT_EVALUATED) if t.scenario == "A" else t for t in whole.tests)
    broken = replace(whole, tests=left, interrupted=say("Stopped."))
    assert broken.outcome is Outcome.UNKNOWN
    assert {r.outcome for r in rows([broken]) if r.id == "A.7"} == {Outcome.NOT_EVALUATED}
    assert {r.outcome for r in rows([broken, whole]) if r.section == DEFINITION_OF_DONE} == {Outcome.PASS}


def test_a_claim_in_the_file_is_worked_out_again(tmp_path):
    """The rows of a file are those of its tests, whatever the file says of them."""
    session = with_rows(replace(a_session(), tests=()), LINES)
    claimed = tuple(replace(r, outcome=Outcome.PASS, reason=say("Believe me.")) for r in session.requirements)
    write_session(replace(session, requirements=claimed), tmp_path)
    assert read_session(tmp_path).requirements == session.requirements


def test_a_line_that_the_current_checklist_does_not_have_keeps_its_tests(tmp_path):
    """A line of another checklist is worked out from the tests that it names."""
    test = TestEntry("scenarios/test_x.py::t", "t", Outcome.PASS, "", None)
    line = Requirement("9.1", "9", "autre", (test.nodeid,), Outcome.FAIL)
    write_session(replace(a_session(), tests=(test,), requirements=(line,)), tmp_path)
    (found,) = read_session(tmp_path).requirements
    assert (found.outcome, found.reason.render()) == ("pass", "All its tests pass.")


def test_a_quick_session_is_no_pass_in_a_comparison_either(tmp_path):
    """The head of a comparison has the sign and the words of a line that was run in part, as the session's own page has them."""
    tests = tuple(quick(name) for name in NAMES if MARKS[name].scenario[0] == "A")
    session = with_rows(replace(a_session(), tests=tests), LINES)
    write_session(session, tmp_path)
    assert session.outcome is Outcome.PASS
    changes = compare(read_side(str(tmp_path)), read_side(str(tmp_path)))
    (repro,) = [r for r in session.requirements if r.text == "Repro du trou corrigée"]
    for code, words in (("en", "1 of 4 cases"), ("fr", "1 cas sur 4")):
        for side in shown_in_comparison(changes, language(code)).sides:
            assert side.badge == row_badge(repro, session, language(code)) == Badge("◐", words, "part")
    assert decided(session, language("en"))[0].sign == "◐"


@pytest.mark.parametrize(("self_test", "ran"), [(False, (1, 3, "lines")), (True, (0, 0, "lines"))])
def test_a_session_with_every_case_counts_lines_of_the_definition_of_done(self_test, ran):
    """Without a missing case, open lines are counted; the embedded reference evaluates none of them."""
    rows = tuple(
        Requirement(f"4.{n}", DEFINITION_OF_DONE, "…", (), outcome, cases=("chain",))
        for n, outcome in enumerate((Outcome.PASS, Outcome.NOT_EVALUATED, Outcome.NOT_EVALUATED))
    )
    session = replace(a_session(), requirements=rows, target_kind="reference" if self_test else "zemosaic")
    assert session.self_test is self_test
    assert run_of(session) == ran
