"""Test how a sign-off is put together and written."""

from pathlib import Path

import pytest

from harness.session.model import read_hashed
from harness.signoff.statement import SIGNOFF, RefusedError, SeenRow, SignoffError
from harness.signoff.write import compose, decide, write
from harness.verdict import Outcome

PASSED = SeenRow("4.1", "Une", Outcome.PASS)
OPEN = SeenRow("4.2", "Deux", Outcome.UNKNOWN)


def composed(session, *, sha256="", by="Zoé"):
    """Return a sign-off of a session, unsigned, and its pages."""
    read, digest = read_hashed(session)
    rows = decide((PASSED, OPEN), {"4.1": ("accept", ""), "4.2": ("accept", "seen")})

    def parts(_):
        return {"report.html": b"<p>en</p>", "report.fr.html": b"<p>fr</p>"}

    return compose(session, read, sha256 or digest, rows, by, key=None, language="en", parts=parts)


def test_a_passed_line_needs_no_reason_and_another_does():
    """An unknown line is accepted only with a reason; spaces are none."""
    rows = decide((PASSED, OPEN), {"4.1": ("accept", ""), "4.2": ("accept", " seen ")})
    assert [(row.id, row.comment) for row in rows] == [("4.1", ""), ("4.2", "seen")]
    with pytest.raises(SignoffError, match=r"the decision on 4\.2, found none"):
        decide((PASSED, OPEN), {"4.1": ("accept", ""), "4.2": ("accept", " ")})


def test_a_session_without_lines_has_nothing_to_decide():
    """It is refused, so no sign-off says yes to nothing."""
    with pytest.raises(RefusedError, match="no line of the Definition of Done"):
        decide((), {})


def test_a_session_that_changed_since_it_was_shown_is_refused(signable):
    """The digest of the session is that of the one whose figures the reviewer saw."""
    with pytest.raises(RefusedError, match="was changed while it was being signed"):
        composed(signable, sha256="0" * 64)


@pytest.mark.parametrize("by", ["", "  ", "x" * 201])
def test_a_name_that_the_reader_refuses_is_not_written(signable, by):
    """What is written can be read again."""
    with pytest.raises(SignoffError, match=r"\$\.predicate\.by"):
        composed(signable, by=by)


def test_a_lone_surrogate_in_a_name_is_escaped(signable):
    """Bytes of a command line that are no text don't prevent a sign-off."""
    statement, _ = composed(signable, by="Zo\udce9")
    assert statement.predicate.by == "Zo\\udce9"
    assert statement.to_bytes()


def test_an_error_while_writing_leaves_no_half_file(signable, monkeypatch):
    """A full disk leaves the pages as they were, and no part of a file."""
    statement, pages = composed(signable)
    before = (signable / "report.html").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.record.whole.os.fsync", full)
    with pytest.raises(OSError, match="found no room on"):
        write(signable, statement, pages, None)
    assert not (signable / SIGNOFF).exists()
    assert list(signable.glob("*.part")) == []
    assert (signable / "report.html").read_bytes() == before


def test_the_signature_of_an_earlier_signoff_is_removed(signable):
    """An unsigned sign-off does not keep the signature of the one before."""
    (signable / "signoff.json.sig").write_text("old", encoding="utf-8")
    paths = write(signable, *composed(signable), None)
    assert {Path(path).name for path in paths} == {"signoff.json", "report.html", "report.fr.html"}
    assert not (signable / "signoff.json.sig").exists()


def test_a_page_of_an_earlier_harness_has_no_part(signable):
    """A page without the marks is bound and stays as it is."""
    page = signable / "report.html"
    page.write_bytes(page.read_bytes().replace(b"<!-- sign-off: begin --><!-- sign-off: end -->", b""))
    statement, pages = composed(signable)
    assert set(pages) == {"report.fr.html"}
    assert set(statement.predicate.shown) == {"report.fr.html"}
    assert statement.digest("report.html") is not None
