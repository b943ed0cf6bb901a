"""Test the statement: what it says follows from its rows, and its reader refuses what it would not write."""

import json
from dataclasses import replace
from types import MappingProxyType

import pytest

from harness.signoff.statement import (
    Digests,
    Predicate,
    RowDecision,
    RunPart,
    SignedSession,
    SignoffError,
    Statement,
    Subject,
    decided,
    needs_reason,
    read_bounded,
    read_statement,
)
from harness.verdict import Outcome


def a_row(decision="accept", outcome=Outcome.PASS, name="4.1", comment="why"):
    """Return a decision on a line."""
    return RowDecision(name, "Texte", outcome, "holes 2 → 0", "3 synthetic", ("No real set.",), None, decision, comment)


def a_statement(*rows, key=None):
    """Return a sign-off."""
    said = Predicate(
        by="Zoé",
        at="2026-11-30T07:00:00Z",
        key=key,
        language="fr",
        harness="1",
        session=SignedSession("zemosaic b59a65f", "2026-11-29T00:00:00+00:00", Outcome.PASS),
        rows=rows or (a_row(),),
        shown=MappingProxyType({"report.html": "a" * 64}),
    )
    return Statement((Subject("session.json", Digests("0" * 64)), Subject("Été/seal.json", Digests("1" * 64))), said)


def test_a_statement_is_read_as_it_was_written():
    """Every field keeps its value, with accents."""
    statement = a_statement(a_row(), a_row("reserve", Outcome.UNKNOWN, "4.2"), key="SHA256:x")
    assert read_statement(statement.to_bytes(), "x") == statement
    assert statement.digest("Été/seal.json") == "1" * 64
    assert statement.digest("other") is None


def test_a_line_that_was_run_in_part_keeps_its_numbers():
    """How much of a line was run is read as it was written; a sign-off of before has no such field, and reads too."""
    row = replace(a_row("reserve", Outcome.NOT_EVALUATED), part=RunPart(1, 4, "cases"))
    statement = a_statement(row)
    assert read_statement(statement.to_bytes(), "x").predicate.rows[0].part == RunPart(1, 4, "cases")
    data = json.loads(statement.to_bytes())
    del data["predicate"]["rows"][0]["part"]
    assert read_statement(json.dumps(data).encode(), "x").predicate.rows[0].part is None


@pytest.mark.parametrize(
    ("decisions", "whole"),
    [
        (["accept", "accept"], "accept"),
        (["accept", "reserve"], "reserve"),
        (["reserve", "reject"], "reject"),
        (["accept", "reject"], "reject"),
    ],
)
def test_the_whole_is_as_bad_as_its_worst_line(decisions, whole):
    """One rejected line rejects, one reserve is a reserve."""
    rows = [a_row(decision, name=f"4.{n}") for n, decision in enumerate(decisions)]
    assert decided(rows) == whole
    assert a_statement(*rows).predicate.decision == whole


def test_a_decision_in_the_file_does_not_count():
    """It is worked out again from the rows."""
    data = json.loads(a_statement(a_row("reject")).to_bytes())
    data["predicate"]["decision"] = "accept"
    assert read_statement(json.dumps(data).encode(), "x").predicate.decision == "reject"


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("decision", ["accept", "reject", "reserve"])
def test_only_a_passed_line_is_accepted_without_a_reason(outcome, decision):
    """Unknown, not evaluated, not applicable and red lines need one, and so does every other decision."""
    needed = (outcome, decision) != (Outcome.PASS, "accept")
    assert needs_reason(outcome, decision) is needed
    content = a_statement(a_row(decision, outcome, comment=" ")).to_bytes()
    if needed:
        with pytest.raises(SignoffError, match=r"the row 4\.1 needs a comment"):
            read_statement(content, "x")
    else:
        assert read_statement(content, "x").predicate.rows[0].comment == " "


def test_two_decisions_on_a_line_are_refused():
    """A line is decided once."""
    with pytest.raises(SignoffError, match="a name is there twice"):
        read_statement(a_statement(a_row(), a_row("reject")).to_bytes(), "x")


def test_a_file_is_read_up_to_its_limit(tmp_path):
    """A file of the limit is read, a larger one is refused."""
    (tmp_path / "x").write_bytes(b"12345")
    assert read_bounded(tmp_path / "x", 5) == b"12345"
    with pytest.raises(SignoffError, match="at most 4 bytes"):
        read_bounded(tmp_path / "x", 4)
