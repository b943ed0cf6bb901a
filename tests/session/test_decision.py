"""Test what the lines of the Definition of Done rest on: their figures before and with the patch, and their scope."""

from dataclasses import replace

import pytest

from harness.language.catalogue import language
from harness.session.decision import decision, most_telling, row_of, row_over
from harness.session.rows import with_rows
from harness.verdict import Outcome
from reports.brief import figures_in_words, scope_in_words
from tests.done_sessions import LINES, LOST, MADE, a_session, entry, verdict

EN, FR = language("en"), language("fr")


def the_row(session, line="4.2"):
    """Return a line of a session with its figures."""
    return next(row for row in decision(with_rows(session, LINES)) if row.row.id == line)


def words(session, line="4.2", lang=EN):
    """Return the figures of a line as people read them."""
    return figures_in_words(the_row(session, line).figures, lang)


def with_case(session, case, subject, baseline):
    """Return a session with a further case of test A: the evidence of ``tiles`` with the patch and before it."""
    run, before = f"{case}-s", f"{case}-b"
    judged = replace(session.judged[0], run=run, case=case, baseline=before, verdicts=(verdict("tiles", subject),))
    others = (
        ()
        if baseline is None
        else (replace(session.judged[1], run=before, case=case, verdicts=(verdict("tiles", baseline),)),)
    )
    return replace(
        session,
        runs=(*session.runs, entry(run, "subject", session.target, case), entry(before, "baseline", "before", case)),
        judged=(*session.judged, judged, *others),
    )


def test_a_figure_has_its_value_before_the_patch_and_with_it():
    """The case's run before the patch made five of six tiles, the version under test all."""
    assert words(a_session()) == "tiles 5/6 → 6/6"
    assert words(a_session(), lang=FR) == "tuiles 5/6 → 6/6"


def test_figures_of_cases_are_joined():
    """Tiles of two cases are added, before and after."""
    session = with_case(a_session(), "natural", MADE, LOST)
    assert words(session) == "tiles 10/12 → 12/12"


def test_a_case_without_a_run_before_the_patch_leaves_the_value_before_out():
    """Five of six before and eleven of twelve after would compare different cases; the lost tile must stay visible."""
    session = with_case(a_session(), "natural", LOST, None)
    assert words(session) == "tiles 11/12"


def test_cases_of_one_line_may_have_different_figures():
    """SDS counts batches, grid mode sky tiles: the line shows both, each joined over its own cases."""
    session = with_case(a_session(), "natural", {"batches": 4, "coadded": 3}, {"batches": 4, "coadded": 4})
    assert words(session) == "tiles 5/6 → 6/6 · batches 4/4 → 3/4"


def test_a_control_of_another_target_is_not_the_value_before_the_patch():
    """In SDS the control is the embedded reference: it is not this target before the patch."""
    session = a_session()
    other = replace(session.judged[2], run="c", verdicts=(verdict("tiles", {"num_master_tiles": 0, "tiles_total": 6}),))
    session = replace(
        session,
        runs=(session.runs[0], entry("c", "control", "reference with a defect")),
        judged=(replace(session.judged[0], baseline=None), other),
    )
    assert words(session) == "tiles 6/6"


def test_the_guard_rails_show_both_versions():
    """The verdict on the patch is on both versions, so nothing is beside it."""
    rows = (verdict("4.1", {"statements": 3}), verdict("0.1", {"added": {}, "changed": ["worker.py"]}))
    session = a_session(patch=rows)
    tests = [replace(t, check="0.1") if t.nodeid.endswith("test_no_file_is_added") else t for t in session.tests]
    assert "files 0 added, 1 changed" in words(replace(session, tests=tuple(tests)), "4.1")


def test_a_line_of_a_test_shows_the_figure_that_the_test_asserts():
    """Line A.6 asks for all tiles; other checks of the run are not its figures."""
    session = with_rows(a_session(), LINES)
    line = next(row for row in session.requirements if row.id == "A.6")
    assert figures_in_words(row_of(line, session).figures, EN) == "tiles 5/6 → 6/6"


def test_the_scope_counts_cases_by_their_frames_and_those_that_were_not_run():
    """All synthetic cases were run; without two of them the line says of how many cases it holds."""
    whole = the_row(a_session())
    assert (whole.scope.missing, whole.scope.observed) == (0, 0)
    assert scope_in_words(whole.scope, EN) == f"{whole.scope.synthetic} synthetic"
    session = a_session()
    only = replace(session, tests=tuple(t for t in session.tests if t.case in (None, "chain", "chain-own")))
    part = the_row(only)
    assert part.row.outcome is Outcome.NOT_EVALUATED
    assert scope_in_words(part.scope, EN) == f"1 of {1 + part.scope.missing} cases (1 synthetic)"


def test_the_figures_of_several_sessions_are_joined_and_the_patch_counts_once():
    """Two sessions of one target made 5 of 6 tiles each before the patch; both reviewed the same 42 statements."""
    sessions = [with_rows(a_session(), LINES), with_rows(a_session(), LINES)]
    rows = {row.id: row for row in sessions[0].requirements}
    found = row_over(rows["4.2"], sessions)
    assert figures_in_words(found.figures, EN) == "tiles 10/12 → 12/12"
    assert [figure.runs for figure in found.figures] == [2]
    assert figures_in_words(row_over(rows["4.1"], sessions).figures, EN).endswith("42/42")
    assert row_of(rows["4.2"], sessions[0]) == row_over(rows["4.2"], sessions[:1])


def test_a_session_whose_case_has_no_run_before_the_patch_leaves_the_value_before_out():
    """The value before over one of two sessions can't be compared with that with the patch over both."""
    alone = replace(a_session(), judged=a_session().judged[:1])
    sessions = [with_rows(a_session(), LINES), with_rows(alone, LINES)]
    row = next(row for row in sessions[0].requirements if row.id == "4.2")
    assert figures_in_words(row_over(row, sessions).figures, EN) == "tiles 12/12"


def test_the_verdicts_against_a_line_are_those_of_all_sessions():
    """A tile that only the second session lost is among the failures of the line."""
    bad = replace(a_session().judged[0], verdicts=(verdict("tiles", LOST, "fail"),))
    sessions = [with_rows(s, LINES) for s in (a_session(), a_session(judged=(bad, *a_session().judged[1:])))]
    row = next(row for row in sessions[0].requirements if row.id == "4.2")
    assert [v.check for v, _ in row_over(row, sessions).failing] == ["tiles"]
    assert figures_in_words(row_over(row, sessions).figures, EN) == "tiles 10/12 → 11/12"


def test_the_most_telling_figures_are_those_against_the_line_then_those_over_most_runs():
    """Of two figures the one over more runs is kept; one of a check that fails is kept before it."""
    session = with_case(a_session(), "natural", {"batches": 4, "coadded": 3}, {"batches": 4, "coadded": 4})
    row = the_row(session)
    assert [f.check for f in row.figures] == ["tiles", "tiles"]
    many = replace(row, figures=(*row.figures, replace(row.figures[0], check="holes", runs=2)))
    assert [f.check for f in most_telling(many, 1)] == ["holes"]
    assert [f.check for f in most_telling(many, 3)] == ["tiles", "tiles", "holes"]
    against = replace(many, failing=((verdict("tiles", LOST, "fail"), session.judged[0]),))
    assert [f.check for f in most_telling(against, 1)] == ["tiles"]


@pytest.mark.parametrize(("outcome", "failing", "unknown"), [("fail", 1, 0), ("unknown", 0, 1), ("pass", 0, 0)])
def test_the_verdicts_that_decide_against_a_line_are_named(outcome, failing, unknown):
    """The red and the open verdicts on the version under test, and not those on the version with the bug."""
    session = a_session()
    judged = replace(session.judged[0], verdicts=(verdict("tiles", LOST, outcome), verdict("holes")))
    row = the_row(replace(session, judged=(judged, *session.judged[1:])))
    assert (len(row.failing), len(row.unknown)) == (failing, unknown)
    assert all(j.role == "subject" and v.check == "tiles" for v, j in (*row.failing, *row.unknown))
