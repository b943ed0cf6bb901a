"""Test JUnit made from a session: the tag of each outcome, and the properties of each test."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from harness.language.message import say
from harness.session.model import JudgedRun, Session, TestEntry
from harness.session.rows import with_rows
from harness.verdict import Outcome, Verdict
from reports.junit import junit
from reports.material import Material
from reports.write import write_views
from tests.done_sessions import LINES, a_session
from tests.sample_session import sample_session

EMPTY = Session("2026-01-01T00:00:00+00:00", "reference", "reference", {}, "pytest", {})
TEST = TestEntry("scenarios/test_a_hole_repro.py::test_x[chain]", "Title", Outcome.PASS, "", "chain", scenario="A")


@pytest.mark.parametrize(
    ("outcome", "tag"),
    [
        ("pass", None),
        ("fail", "failure"),
        ("unknown", "error"),
        ("not applicable", "skipped"),
        ("not evaluated", "skipped"),
    ],
)
def test_what_outcomes_become(outcome, tag):
    """Unknown is an error, never a skip; a skipped test has its reason; a pass has no tag."""
    root = ET.fromstring(junit(replace(EMPTY, tests=(replace(TEST, outcome=Outcome(outcome), message="why\nmore"),))))
    (case,) = root.iter("testcase")
    assert (case.get("classname"), case.get("name")) == ("scenarios.test_a_hole_repro", "test_x[chain]")
    found = [part for part in case if part.tag != "properties"]
    assert [part.tag for part in found] == ([tag] if tag else [])
    if tag:
        assert found[0].get("message") == "why"
        assert found[0].text == "why\nmore"
    counts = {"failure": "failures", "error": "errors", "skipped": "skipped"}
    assert {name: root[0].get(name) for name in counts.values()} == {
        name: str(int(kind == tag)) for kind, name in counts.items()
    }


def test_a_test_tells_what_it_judged(tmp_path):
    """Scenario, case, check, verdict, role, target, retention and seconds are plain-text properties of a test."""
    session = sample_session(tmp_path, "zemosaic")
    root = ET.fromstring(junit(session))
    case = next(c for c in root.iter("testcase") if "test_the_hole_is_gone" in c.get("name"))
    facts = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert facts["phase3_scenario"] == "A"
    assert (facts["phase3_case"], facts["phase3_check"], facts["phase3_role"]) == ("chain", "holes", "subject")
    assert facts["phase3_verdict"].startswith("1 hole, ")
    assert (facts["phase3_target"], facts["phase3_retention"]) == ("zemosaic 63bcc2c", "per_tile")
    assert float(facts["phase3_seconds"]) > 0


def test_a_finding_tells_whether_it_is_new():
    """The standing of a finding is a property of its test; a verdict on the patch has none."""
    finding = Verdict("accuracy", Outcome.FAIL, say("x"), axis="quality", standing="pre-existing")
    judged = JudgedRun("k", case="chain", role="subject", verdicts=(finding, Verdict("holes", Outcome.PASS, say("x"))))
    tests = [
        replace(TEST, nodeid=f"t.py::{check}", check=check, run="k", role="subject") for check in ("accuracy", "holes")
    ]
    root = ET.fromstring(junit(replace(EMPTY, tests=tuple(tests), judged=(judged,))))
    told = [{p.get("name"): p.get("value") for p in case.iter("property")} for case in root.iter("testcase")]
    assert [facts.get("phase3_standing") for facts in told] == ["pre-existing", None]


def test_hostile_text_is_still_xml(tmp_path):
    """Characters that XML can't hold become escapes; markup becomes text."""
    sample_session(tmp_path, "zemosaic", hostile=True)
    write_views(Material(tmp_path))
    root = ET.parse(tmp_path / "junit.xml").getroot()
    names = [c.get("name") for c in root.iter("testcase")]
    assert any("<script>" in name and "\\u0000" in name for name in names)


def test_the_order_is_that_of_the_names():
    """Two files of the same session are equal, whichever worker was first."""
    tests = tuple(replace(TEST, nodeid=f"scenarios/t.py::t[{n}]") for n in "bac")
    assert junit(replace(EMPTY, tests=tests)) == junit(replace(EMPTY, tests=tests[::-1]))


def test_a_line_has_its_figures_and_its_scope_beside_its_outcome():
    """The Definition of Done comes first. A line that was run in part has its figures, and of how many cases they are."""
    session = a_session()
    only = replace(session, tests=tuple(t for t in session.tests if t.case in (None, "chain")))
    for found, outcome, scope in (
        (session, "pass", "3 synthetic"),
        (only, "not evaluated", "1 of 3 cases (1 synthetic)"),
    ):
        root = ET.fromstring(junit(with_rows(found, LINES)))
        rows = [(p.get("name"), p.get("value")) for p in root.findall("./testsuite/properties/property")]
        assert [name for name, _ in rows if name.startswith("phase3_line_")][:3] == [
            "phase3_line_4.1",
            "phase3_line_4.2",
            "phase3_line_4.3",
        ]
        known = dict(rows)
        assert known["phase3_line_4.2"] == outcome
        assert known["phase3_figures_4.2"] == f"tiles 5/6 → 6/6; {scope}"
