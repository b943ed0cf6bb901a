"""Test how the sign-off beside a session stands, as reports show it."""

import shutil

import pytest

from harness.record.whole import write_together
from harness.signoff.standing import beside
from reports.html.render import reports
from reports.material import Material
from tests.signed_sessions import NEEDS_SSH, a_key, resigned, signed


def test_without_a_signoff_there_is_no_standing(signable):
    """A session that nobody signed."""
    assert beside(signable) is None


def test_an_unsigned_signoff_is_unsigned(signable):
    """Who, when and the decisions are there, and no key."""
    signed(signable)
    found = beside(signable)
    assert (found.state, found.by, found.key, found.decision, found.changes) == ("unsigned", "Zoé", None, "reject", ())
    assert [(row.id, row.decision) for row in found.rows] == [("4.1", "reject"), ("4.2", "reserve"), ("4.3", "accept")]
    assert found.at.endswith("Z")


@NEEDS_SSH
def test_a_signed_signoff_is_signed(signable, tmp_path):
    """With the key that signed it."""
    signed(signable, a_key(tmp_path))
    found = beside(signable)
    assert (found.state, found.key, found.checked) == ("signed", found.statement.predicate.key, True)


@NEEDS_SSH
def test_without_ssh_keygen_a_signature_is_not_checked(signable, tmp_path, monkeypatch):
    """The signature is there, and the standing says that it was not checked."""
    signed(signable, a_key(tmp_path))
    monkeypatch.setattr("harness.signoff.signing.shutil.which", lambda _: None)
    found = beside(signable)
    assert (found.state, found.checked) == ("signed", False)


@NEEDS_SSH
def test_a_signature_for_another_purpose_is_void(signable, tmp_path):
    """Reports do not show it as signed."""
    key = a_key(tmp_path)
    signed(signable, key)
    resigned(signable, key, "file")
    found = beside(signable)
    assert (found.state, found.decision) == ("void", None)
    assert "for 'file', not for 'phase3-signoff'" in found.changes[0].render()


def test_a_changed_session_is_void_and_the_page_says_so(signable):
    """The page that is written again shows that the sign-off is void, and why; the decisions stay readable."""
    signed(signable)
    file = signable / "session.json"
    file.write_text(file.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    found = beside(signable)
    assert (found.state, found.decision, len(found.rows)) == ("void", None, 3)
    assert [change.render() for change in found.changes] == ["session.json: changed"]
    write_together(reports(Material(signable)))
    page = (signable / "report.html").read_text(encoding="utf-8")
    assert "is void." in page
    assert "session.json: changed" in page
    assert "UNSIGNED" not in page


def test_a_page_is_not_compared_with_itself(signable):
    """Without pages, a page that is gone or changed voids nothing; with them it does."""
    signed(signable)
    (signable / "report.html").unlink()
    assert beside(signable, pages=False).state == "unsigned"
    assert beside(signable).state == "void"


@pytest.mark.parametrize("content", [b"", b"[]", b"{" * 9999, b"\xff"])
def test_a_file_that_is_no_signoff_is_void(signable, content):
    """No content raises an error, and the page shows the reason."""
    (signable / "signoff.json").write_bytes(content)
    found = beside(signable)
    assert (found.state, found.statement, found.by, found.rows) == ("void", None, "", ())
    write_together(reports(Material(signable)))
    assert "The sign-off is void." in (signable / "report.html").read_text(encoding="utf-8")


def test_a_folder_in_place_of_the_file_is_void(signable):
    """What can't be opened is named."""
    (signable / "signoff.json").mkdir()
    assert beside(signable).state == "void"
    signoff = signable / "signoff.json"
    signoff.rmdir()
    signed(signable)
    (signable / "signoff.json.sig").mkdir()
    assert beside(signable).state == "void"


def test_a_session_that_is_gone_is_void(signable, tmp_path):
    """A sign-off without its session says so."""
    signed(signable)
    (tmp_path / "alone").mkdir()
    shutil.copy(signable / "signoff.json", tmp_path / "alone")
    changes = [change.render() for change in beside(tmp_path / "alone").changes]
    assert changes[0].startswith("There is no session.json in ")
    assert "session.json: missing" in changes
