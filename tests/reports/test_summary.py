"""Test the summary for job runners: its content in both languages, and that text from records adds no markup."""

import re
from dataclasses import replace

import pytest

from harness.language.message import Message, say
from harness.record.values import sha256_of
from harness.session.model import JudgedRun, Session, TestEntry
from harness.verdict import Outcome, Verdict
from reports.material import Material
from reports.summary import MAX_BYTES, MAX_FOUND, summary
from reports.write import write_views
from tests.sample_session import sample_session

EMPTY = Session("2026-01-01T00:00:00+00:00", "zemosaic abc", "zemosaic", {}, "pytest", {})


@pytest.fixture(scope="module")
def red(tmp_path_factory):
    """Return a session that loses a tile, and its folder with every view."""
    folder = tmp_path_factory.mktemp("red")
    session = sample_session(folder, "zemosaic")
    write_views(Material(folder))
    return session, folder


def test_the_page_says_what_matters_first(red):
    """The order is that of the page: decision, what is open and known, causes, controls, checklist, cases."""
    _, folder = red
    page = (folder / "summary.md").read_text(encoding="utf-8")
    assert page.startswith("# ✗ zemosaic 63bcc2c does not meet the Definition of Done: 3 of 3 lines fail.\n")
    titles = re.findall(r"^## (.*)$", page, re.MULTILINE)
    assert titles == [
        "Definition of Done",
        "Not covered",
        "Known, not the patch's",
        "Why",
        "Would it have been seen?",
        "Checklist",
        "At a glance",
    ]
    assert (
        "- ✗ fail: 4.2 Repro du trou corrigée: retention holes 1 · tiles 3/4 · lost-cache events 7 (1 of 3 cases"
        in page
    )
    assert "| A.6 Vérifier num\\_master\\_tiles" in page
    holes = page[page.index("**fail** holes, depth, tiles, warnings (chain)") :]
    assert "\n  1. Hole 1 (" in holes
    assert "\n  3. The main thread removed preprocessed\\_p3\\_0.npy" in holes
    assert "`phase3 data fetch microobs_hatp32_4panels seestar_m94_2panels`" in page
    assert f"`{sha256_of(folder / 'session.json')}`" in page
    assert "[report.html](report.html)" in page


def test_the_page_speaks_french(red):
    """The French page has the same rows, with its own words and figures."""
    _, folder = red
    pages = [(folder / name).read_text(encoding="utf-8") for name in ("summary.md", "summary.fr.md")]
    assert "échec" in pages[1]
    assert "55,99" in pages[1]
    assert [page.count("\n") for page in pages] == [pages[0].count("\n")] * 2


def test_a_self_test_says_so_and_shows_its_control(tmp_path):
    """A run of the reference claims nothing on ZeMosaic: its lines are not evaluated, and it names the command that does."""
    page = summary(sample_session(tmp_path, "reference"), "en", "0" * 64)
    assert "--phase3-target=zemosaic:PATH@COMMIT" in page
    assert "- ○ not evaluated: 4.2 Repro du trou corrigée" in page
    assert "- ✓ chain: Seen: cache, depth, holes, logs, tiles, warnings are red, as expected." in page


def test_the_matrix_has_words_where_one_must_look(red):
    """A row names its scenario; a pass is a sign alone, anything else has its word, and the signs are explained."""
    session, folder = red
    page = (folder / "summary.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| A chain |"))
    assert "✗ fail" in row
    assert "✓ pass" not in row
    assert "Symbols: ✗ fail, ✓ pass, ○ not evaluated, △ known, not the patch's" in page
    old = Verdict("accuracy", Outcome.FAIL, say("x"), axis="quality", standing="pre-existing")
    judged = replace(session.judged[0], verdicts=(old,))
    known = summary(replace(session, judged=(judged,)), "en", "0")
    assert "- △ accuracy: x The baseline has it too (chain)." in known
    assert "✗ fail (finding" not in known


def test_hostile_names_stay_where_they_are(tmp_path):
    """Hostile names and texts start no line with markup, and add no element to the page."""
    page = summary(sample_session(tmp_path, "zemosaic", hostile=True), "en", "0" * 64)
    assert "<" not in page
    assert "\x00" not in page
    assert "\u202e" not in page
    ours = re.compile(
        r"#{1,2} \S|- [✗?✓○△`NPYO] ?|- (all cases|observed frames): `|  \d+\. |\| |[A-Z]|\\\\?\w|&lt;script"
    )
    assert [line for line in page.splitlines() if line and not ours.match(line)] == []


def verdicts(count, text="x"):
    """Return this number of failed verdicts."""
    return tuple(
        Verdict(f"c{n}", Outcome.FAIL, Message(text), {}, (say("{n} x", n=n), *(say("x"),) * 49)) for n in range(count)
    )


def test_what_is_left_out_is_counted():
    """The first of many failures are shown with their causes, and the others are counted. A long cause is cut, with a note."""
    judged = JudgedRun("k", case="c", role="subject", verdicts=verdicts(25))
    page = summary(replace(EMPTY, judged=(judged,)), "en", "0")
    assert page.count("**fail**") == MAX_FOUND
    assert "- and more, in session.json: 5" in page
    assert "  13. and more, in session.json: 38" in page


def test_the_page_is_bounded():
    """A page above the size limit is cut at the end of a line, with a note."""
    judged = tuple(
        JudgedRun("k", case=f"case {n}", role="subject", verdicts=verdicts(20, "é" * 900)) for n in range(200)
    )
    page = summary(replace(EMPTY, judged=judged), "fr", "0")
    assert len(page.encode()) <= MAX_BYTES
    assert page.endswith("\n")
    assert "session.json" in page.splitlines()[-1]


def test_a_test_without_a_verdict_is_shown_too():
    """A failed test without a verdict, such as a comparison, is shown with its message. A verdict is not shown twice."""
    test = TestEntry(
        "scenarios/t.py::t[c]", "Nothing is worse.", Outcome.FAIL, "holes\nmore", "c", None, "k", "subject"
    )
    page = summary(replace(EMPTY, tests=(test,)), "en", "0")
    assert "- ✗ **fail** Nothing is worse (c): holes\n" in page
    judged = JudgedRun("k", case="c", role="subject", verdicts=verdicts(1))
    page = summary(replace(EMPTY, tests=(replace(test, check="c0"),), judged=(judged,)), "en", "0")
    assert page.count("**fail**") == 1
