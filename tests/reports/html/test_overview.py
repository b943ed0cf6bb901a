"""Test the matrix of the report, and how it shows runs with several roles."""

import re
from dataclasses import replace

import pytest

from harness.session.model import Requirement, TestEntry
from harness.verdict import Outcome
from reports.html.overview import scenario_title
from reports.summary import summary
from reports.terminal import summary_lines
from tests.report_pages import STYLE, a_run, a_session, a_verdict, an_entry, read, section, written
from tests.sample_session import JUDGED


def test_the_matrix_shows_every_case_at_a_glance(folders):
    """The matrix has one row per case, one cell per check with sign and word, and one cell each for control and pair."""
    matrix = section(read(folders["reference"]), "The verdict of each check", "chain ✓ pass")
    assert f"Case {' '.join(sorted(JUDGED))} version with the bug same version, other retention" in matrix
    assert 'Test A — Repro "trou" chain chain2x2 (synthetic frames), classic' in matrix
    assert matrix.count("✓ pass") == len(JUDGED) + 1  # the signs are explained below
    assert "version with the bug ✓ red found" in matrix
    assert "same version, other retention ○ not made" in matrix
    red = section(read(folders["zemosaic"]), "The verdict of each check", "Appendix")
    assert "holes ✗ fail" in red
    assert "products ✓ pass" in red
    assert "version with the bug ○ not made" in red


def test_the_matrix_leads_to_the_run_and_hides_nothing(tmp_path):
    """Cells link to their run; the worst control and pair of a case count; a case without a subject has no pass."""
    judged = (
        a_run("a", "subject", (a_verdict("holes", Outcome.UNKNOWN), a_verdict("truth", Outcome.FAIL, "quality"))),
        replace(a_run("a", "subject", (a_verdict("holes"),)), run="again"),
        a_run("a", "pair", (a_verdict("holes"),)),
        replace(a_run("a", "pair", (a_verdict("holes", Outcome.FAIL),)), run="second"),
        a_run("a", "control", (a_verdict("holes"),), expected_red=("holes",)),
        a_run("b", "pair", (a_verdict("holes"),)),
    )
    page = written(a_session(judged=judged), tmp_path)
    matrix = section(page, "The verdict of each check", "Appendix")
    first, second = matrix[matrix.index("same version", matrix.index("Case")) :].split(" b ", 1)
    assert "a a-subject" in first
    assert "a again" in first
    assert first.count("holes ? unknown") == first.count("holes ✓ pass") == 1
    assert "truth △ finding" in first
    assert first.count("version with the bug ✗ not as expected") == first.count("other retention ✗ fail") == 2
    assert (
        "holes ○ not evaluated truth ○ not evaluated version with the bug ○ not made same version, other retention ✓ pass"
        in second
    )
    tags = [(tag, attrs.get("class", "")) for tag, attrs in page.elements]
    inside = page.elements[tags.index(("table", "stack matrix")) : tags.index(("ul", "legend"))]
    cells = {attrs["href"] for tag, attrs in inside if tag == "a"}
    # By case, role and name: the control, its sound pair, the pair that fails, and the verdicts of the two runs of the subject.
    verdicts = {"#run-4-verdict-1", "#run-4-verdict-2", "#run-5-verdict-1"}
    assert cells == {"#case-1", "#case-2", "#run-1", "#run-3", "#run-6", *verdicts}


def test_merged_sessions_have_no_two_equal_rows_and_name_the_dataset(tmp_path):
    """Two runs of one case in a merged session have rows that differ, with the dataset, in the page and in the summary."""
    runs = tuple(
        replace(an_entry("a", "subject"), key=key, dataset=dataset)
        for key, dataset in (("r", "chain3x2"), ("r~2", "chain3x2"), ("other", "stress-20"))
    )
    judged = tuple(replace(a_run("a", "subject", (a_verdict("holes"),)), run=run.key) for run in runs)
    session = a_session(judged=judged, runs=runs)
    table = [line.split(" | ")[0] for line in summary(session, "en", "0").splitlines() if line.startswith("| a ")]
    assert len(set(table)) == len(runs)
    assert all(any(dataset in row for row in table) for dataset in ("chain3x2", "stress-20"))
    matrix = section(written(session, tmp_path), "The verdict of each check", "Appendix")
    assert all(f"zemosaic abc, per_tile, {words}" in matrix for words in ("chain3x2, r~2", "stress-20"))


def test_a_scenario_has_the_title_of_its_section():
    """The id of a line names its scenario, whatever the words of the section; part 1 is a scenario too."""
    lines = (("1.1", "Revue"), ("A.1", "Essai du trou"), ("A.2", "Essai du trou"))
    session = a_session(requirements=tuple(Requirement(*line, "x", (), Outcome.PASS) for line in lines))
    titles = {scenario: scenario_title(session, scenario) for scenario in ("A", "1", "B", "")}
    assert titles == {"A": "Essai du trou", "1": "Revue", "B": "", "": ""}


def test_fault_cases_are_not_under_the_title_of_another_test(tmp_path):
    """Cases with a fault have a heading of their own if the checklist has none for them."""
    cases = {"grid": "D", "retry": "1", "mine": ""}
    tests = tuple(TestEntry(f"{c}.py::t", "t", Outcome.PASS, "", c, scenario=s) for c, s in cases.items())
    lines = (Requirement("D.1", "Test D", "x", ("grid.py::t",), Outcome.PASS),)
    judged = tuple(a_run(case, "subject", (a_verdict("holes"),)) for case in cases)
    page = written(a_session(judged=judged, tests=tests, requirements=lines), tmp_path)
    matrix = section(page, "The verdict of each check", "Appendix")
    words = ("Test D", " grid ", "Cases with a fault", " retry ", "Other cases", " mine ")
    places = [matrix.index(word) for word in words]
    assert places == sorted(places)


@pytest.mark.parametrize("count", [18, 19])
def test_a_wide_matrix_flows(count, tmp_path):
    """If the columns do not fit in one line, each cell has the name of its column."""
    page = written(
        a_session(judged=(a_run("a", "subject", tuple(a_verdict(f"c{n}") for n in range(count))),)), tmp_path
    )
    (matrix,) = (a["class"] for a in page.all("table") if "matrix" in a.get("class", ""))
    assert ("flowing" in matrix) == (count > 18)


def test_passes_are_folded_and_failures_never(tmp_path):
    """Failures and unknowns are never folded; passes of pairs are, and those of the subject when there are many."""
    pair = a_run("a", "pair", (a_verdict("depth"), a_verdict("holes", Outcome.FAIL)))
    few = (a_verdict("tiles"), a_verdict("cache", Outcome.UNKNOWN), a_verdict("disk", Outcome.NOT_APPLICABLE))
    page = written(a_session(judged=(pair, a_run("a", "subject", few))), tmp_path)
    table = section(page, "Verdicts and evidence", "No test ran")
    assert "No verdict fails" not in table
    shown, folded = table.split("Verdicts that pass on the comparison runs: 1", 1)
    assert all(text in shown for text in ("✗ fail holes", "? unknown cache", "✓ pass tiles", "– not applicable disk"))
    assert "✓ pass depth" in folded
    many = tuple(a_verdict(f"c{n}") for n in range(13))
    judged = (pair, a_run("a", "subject", (*many, *few)))
    shown, passes = section(written(a_session(judged=judged), tmp_path), "Verdicts and evidence", "No test ran").split(
        "Verdicts that pass: 15", 1
    )
    assert "✓" not in shown
    assert shown.index("✗ fail holes") < shown.index("? unknown cache")
    assert "Verdicts not applicable: 1" in passes


def test_the_folded_verdicts_print():
    """In print folded verdicts are shown, except the evidence of passes, and a sentence says where to find that."""
    style = STYLE.read_text(encoding="utf-8")
    paper = style[style.index("@media print") :]
    assert "details::details-content { content-visibility: visible" in paper
    assert ".on-paper { display: block; }" in paper
    assert re.search(r"\.fold \.verdict-list details, \.not-printed,[^{]* \{ display: none; \}", paper)


def test_a_control_may_be_red_where_it_is_allowed(tmp_path):
    """A check that is allowed to be red is labelled so; a quality finding on a control does not count."""
    verdicts = (
        a_verdict("cache", Outcome.FAIL),
        a_verdict("holes", Outcome.FAIL),
        a_verdict("truth", Outcome.FAIL, "quality"),
    )
    control = a_run("a", "control", verdicts, expected_red=("cache",), allowed_red=("holes",))
    words = written(a_session(judged=(control,)), tmp_path).words
    assert "Expected red: cache (allowed too: holes); red: cache, holes." in words
    assert "– red, allowed holes" in words
    assert "red, not expected" not in words
    assert "version with the bug ✓ red found" in words


def test_a_run_in_two_roles_is_shown_in_both(tmp_path):
    """If subject and control are the same run, each role has its own section and verdicts."""
    red = (a_verdict("holes", Outcome.FAIL),)
    subject = replace(a_run("a", "subject", red), run="one")
    control = replace(a_run("a", "control", red, expected_red=("holes",)), run="one")
    entry = replace(an_entry("a", "subject"), key="one")
    page = written(a_session(judged=(subject, control), runs=(entry,)), tmp_path)
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {"run-1", "run-2"} <= set(ids)
    assert "holes ✗ fail version with the bug ✓ red found" in page.words
    assert "version under test, version with the bug, chain3x2" in page.words


def test_the_baseline_gates_nothing(tmp_path):
    """A red baseline is folded, makes no case red, and comes last in the terminal; if it is a control too it is shown once."""
    red = (a_verdict("holes", Outcome.FAIL),)
    subject, before = a_run("a", "subject", (a_verdict("holes"),)), a_run("a", "baseline", red)
    session = a_session(judged=(subject, before))
    words = written(session, tmp_path).words
    assert "No verdict fails or is unknown." in words
    shown, folded = words[words.index("Verdicts and evidence") :].split(
        "Verdicts on other versions, for comparison only: 1", 1
    )
    assert "✗ fail" not in shown
    assert "✗ fail holes" in folded
    assert "a ✓ pass" in words[words.index("The verdict of each check") :]
    assert not any(line.startswith("✗") for line in summary_lines(session, "en"))
    control = replace(a_run("a", "control", red, expected_red=("holes",)), run=before.run)
    both = a_session(judged=(subject, control, before))
    page = written(both, tmp_path)
    assert "Verdicts on other versions" not in page.words
    assert "version with the bug, also the baseline" in page.words
    assert not any(line.startswith("✗") for line in summary_lines(both, "en"))
    assert "run-3" not in [attrs.get("id") for _, attrs in page.elements]


def test_a_control_that_is_the_baseline_says_so(tmp_path):
    """The run before the patch is shown once, labelled with both its roles; a pair has one label."""
    judged = (
        a_run("a", "subject", (a_verdict("holes"),), pair="a-control-pair", baseline="a-control"),
        a_run("a", "control", (a_verdict("holes", Outcome.FAIL),), expected_red=("holes",)),
    )
    old = "zemosaic 63bcc2c"
    runs = (an_entry("a", "subject"), an_entry("a", "control", old), an_entry("a", "control-pair", old))
    words = written(a_session(judged=judged, runs=runs), tmp_path).words
    both = "version with the bug, also the baseline: zemosaic 63bcc2c, per_tile"
    assert f"Compared with: same version, other retention: zemosaic 63bcc2c, per_tile · {both}" in words
    assert words.count(both) == 2
    assert "version with the bug, also the baseline, chain3x2 (synthetic frames)" in words
    assert "(run_end): " not in words


def test_runs_beside_a_judged_one_say_what_they_are_for(tmp_path):
    """Runs made for timing, for growth or for comparison are labelled as not judged."""
    entries = [replace(an_entry("a", "subject"), key=key) for key in ("judged", "again", "small", "one")]
    subject = replace(
        a_run("a", "subject", (a_verdict("cost"),)),
        run="judged",
        timed=(("judged", "p"), ("again", "p")),
        sizes=("small", "judged"),
        equals=("one",),
    )
    words = written(a_session(runs=tuple(entries), judged=(subject,)), tmp_path).words
    table = words[words.index("Every run of the session") :]
    assert (
        "version under test, chain3x2 (synthetic frames) classic, workers: 2 repeated to measure its time, not judged"
        in table
    )
    assert "made to measure how the cost grows (0 frames), not judged" in table
    assert "made for comparison, not judged" in table
    assert table.count("not judged") == 3
