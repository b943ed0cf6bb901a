"""Test the table of tests, datasets and targets."""

from dataclasses import replace

import pytest

from fixtures import catalogue
from harness.record.request import DatasetFacts, Request, TargetFacts
from harness.session.definition_of_done import read, together
from harness.session.model import RealSet, TestEntry
from harness.session.run_matrix import RUNS
from harness.verdict import Outcome
from reports.document.coverage_table import Gap, Requests, Tried, table
from reports.document.definition_of_done import document
from tests.done_sessions import COMMIT, FIXED, LINES, MADE, a_session, outcomes, page, taken, verdict


def row_of(tried, scenario, dataset):
    """Return the cells of a row by target."""
    (row,) = [row for row in tried.rows if (row.scenario, row.dataset) == (scenario, dataset)]
    return dict(zip([column.target for column in tried.columns], row.cells, strict=True))


def letters():
    """Return the scenarios of the catalogue that have rows in the table."""
    return {case.scenario for case in catalogue.CASES if not case.occasions}


def test_what_was_tried():
    """A cell counts the verdicts that pass; a control red in its checks is as expected; other combinations are "not run"."""
    tried = table(taken(a_session(), a_session("zemosaic 271f109", "2" * 40, judged=(), runs=())), Requests())
    assert [c.target for c in tried.columns] == ["zemosaic 63bcc2c", FIXED, "zemosaic 271f109"]
    cells = row_of(tried, "A", "chain3x2")
    assert cells[FIXED] == Tried(Outcome.PASS, 2, 2, 1, (), as_expected=False)
    assert cells["zemosaic 63bcc2c"] == Tried(Outcome.FAIL, 1, 2, 1, ("tiles",), as_expected=True)
    assert cells["zemosaic 271f109"] == Gap("not run")
    before = replace(a_session().judged[1], role="subject")
    both = a_session("zemosaic 63bcc2c", "6" * 40, judged=(before, a_session().judged[2]))
    cells = row_of(table(taken(a_session(), both), Requests()), "A", "chain3x2")
    assert cells["zemosaic 63bcc2c"] == Tried(Outcome.FAIL, 2, 4, 2, ("tiles",), as_expected=True)
    assert set(row_of(tried, "C", "bayer2x1").values()) == {Gap("not run")}
    blind = replace(a_session().judged[2], verdicts=(verdict("tiles", MADE),))
    sessions = (a_session(), a_session(judged=(a_session().judged[0], blind)))
    assert not row_of(table(taken(*sessions), Requests()), "A", "chain3x2")["zemosaic 63bcc2c"].as_expected


def test_findings_of_quality_that_gate_nothing_are_not_counted():
    """A pre-existing finding is not counted."""
    (judged, *others) = a_session().judged
    found = verdict("accuracy", {}, "fail", axis="quality", standing="pre-existing")
    session = a_session(judged=(replace(judged, verdicts=(*judged.verdicts, found)), *others))
    assert row_of(table(taken(session), Requests()), "A", "chain3x2")[FIXED].passes == 2
    assert row_of(table(taken(session), Requests()), "A", "chain3x2")[FIXED].all == 2


def test_every_combination_has_its_place():
    """Each pair of dataset and test is listed once: as a row, or apart with the reason."""
    tried = table(taken(a_session()), Requests())
    rows = [(row.scenario, row.dataset) for row in tried.rows]
    without = [(scenario, dataset) for scenario, dataset, _ in tried.without_row]
    datasets = {dataset for _, dataset in rows}
    assert sorted(rows + without) == sorted((s, d) for s in letters() for d in datasets)
    assert all((gap.kind == "not applicable") == (gap.reason is not None) for _, _, gap in tried.without_row)


def test_a_set_that_was_not_there():
    """A case skipped because its set is missing is "not evaluated"; one that is in no session is "not run"."""
    skipped = TestEntry("scenarios/test_c_sds.py::t[sds-m94]", "T.", Outcome.NOT_EVALUATED, "absent", "sds-m94")
    session = a_session(real_sets=(RealSet("seestar_m94_2panels", judged=False, command="phase3 data fetch"),))
    sessions = (replace(session, tests=(*session.tests, skipped)), a_session("zemosaic 271f109", "2" * 40))
    cells = row_of(table(taken(*sessions), Requests()), "C", "seestar_m94_2panels")
    assert cells[FIXED].kind == "not evaluated"
    assert cells["zemosaic 271f109"] == Gap("not run")
    assert "○ not evaluated: the set is not on this machine" in page(*sessions)
    there = replace(sessions[0], real_sets=(RealSet("seestar_m94_2panels", judged=True, command="x"),))
    assert row_of(table(taken(there), Requests()), "C", "seestar_m94_2panels")[FIXED] == Gap("not run")


def test_the_marks_of_the_session_win_over_the_catalogue():
    """A case is counted for the scenario with which its tests were marked, also where the catalogue has another by now."""
    session = a_session()
    tests = tuple(replace(test, scenario="D") if test.case == "chain" else test for test in session.tests)
    tried = table(taken(replace(session, tests=tests)), Requests())
    assert [r.scenario for r in tried.rows if any(isinstance(cell, Tried) for cell in r.cells)] == ["D"]
    # The catalogue has the scenario of a case that no test of the session names.
    bare = table(taken(replace(session, tests=())), Requests())
    assert [r.scenario for r in bare.rows if any(isinstance(cell, Tried) for cell in r.cells)] == ["A"]


def test_a_case_for_the_reference_has_a_row_where_the_reference_is_the_subject(monkeypatch):
    """A case that no other target can run is "not run" on the reference, and has no row in the document of another target."""
    new = replace(catalogue.CASES[0], name="new", scenario="Z", targets="the reference")
    monkeypatch.setattr(catalogue, "CASES", (*catalogue.CASES, new))
    reference = a_session("reference", target_kind="reference", judged=(), runs=())
    assert row_of(table(taken(reference), Requests()), "Z", "chain3x2") == {"reference": Gap("not run")}
    assert "Z" not in {row.scenario for row in table(taken(a_session(), reference), Requests()).rows}


def test_profiles_stand_apart(written):
    """Runs with two profiles have two columns; the profile is read from the record."""
    folders = [written(a_session(created=f"2026-11-2{n}T00:00:00Z"), f"session {n}") for n in range(2)]
    for folder, profile in zip(folders, ("default", "fast"), strict=True):
        target = TargetFacts("zemosaic", FIXED, "/x", "python", {"commit": COMMIT})
        facts = DatasetFacts("chain3x2", "synthetic", "d" * 64, ())
        request = Request("chain", "subject", target, facts, None, "per_tile", 2, profile=profile)
        (folder / RUNS / "s").mkdir(parents=True, exist_ok=True)
        request.write(folder / RUNS / "s" / "request.json")
    done = together(read(folders))
    tried = table(done, Requests())
    assert [c.profile for c in tried.columns if c.target == FIXED] == ["fast", "default"]
    (cells,) = (r.cells for r in tried.rows if (r.scenario, r.dataset) == ("A", "chain3x2"))
    assert [cell.runs for cell, column in zip(cells, tried.columns, strict=True) if column.target == FIXED] == [1, 1]
    text = document(done, "en")
    assert f"- `chain3x2`: synthetic, 0 frames, SHA-256 `{'d' * 12}`" in text
    assert "profile: default, workers: 2" in text


@pytest.mark.parametrize("asked", [("Z-one",), ("Z-one", "Z-two")], ids=len)
def test_a_new_scenario_is_in_the_document_by_its_marks_and_cases_alone(monkeypatch, asked):
    """Scenario Z has a row of the table for each of its sets; its tests are listed, with the cases on which they were not run."""
    case = replace(catalogue.CASES[0], scenario="Z")
    cases = (replace(case, name="Z-one"), replace(case, name="Z-two", dataset="natural"))
    monkeypatch.setattr(catalogue, "CASES", (*catalogue.CASES, *cases))
    new = "scenarios/test_z_new.py::test_new"
    tests = tuple(TestEntry(f"{new}[{name}]", "T.", Outcome.PASS, "", name, scenario="Z") for name in asked)
    session = a_session()
    run = replace(session.runs[0], key="z", case="Z-one")
    judged = replace(session.judged[0], case="Z-one", run="z")
    parts = {"tests": (*session.tests, *tests), "runs": (*session.runs, run), "judged": (*session.judged, judged)}
    done = taken(replace(session, **parts))
    tried = table(done, Requests())
    assert row_of(tried, "Z", "chain3x2")[FIXED] == Tried(Outcome.PASS, 2, 2, 1, (), as_expected=False)
    assert row_of(tried, "Z", "natural")[FIXED] == Gap("not run")
    assert {row.scenario for row in tried.rows} == letters() > {"Z"}
    assert done.cases_not_run(new) == (() if len(asked) == 2 else ("Z-two",))
    beyond = document(done, "en").partition("## Tests outside the checklist")[2].partition("\n## ")[0]
    assert beyond.count("\n- ") == len(done.beyond) == 1
    assert f"- `test_z_new.py::test_new`: ✓ {len(asked)} (" in beyond
    assert ("not run: `Z-two`" in beyond) is (len(asked) == 1)
    # As the test of a line, its cases are asked for.
    lines = (replace(LINES[0], tests=(new,)), *LINES[1:])
    monkeypatch.setattr("harness.session.rows.read_lines", lambda: lines)
    assert outcomes(taken(replace(session, **parts)))["0.1"] == ("pass" if len(asked) == 2 else "not evaluated")
