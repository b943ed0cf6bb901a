"""Test ``phase3 sign``: what it shows, asks, refuses and writes."""

import hashlib
import io
import json
import subprocess
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from harness.commands.main import main
from harness.language.catalogue import language
from harness.session.decision import decision
from harness.session.integrity import seal_session
from harness.session.model import read_hashed, write_session
from harness.signoff.schema import FOLDER
from harness.signoff.standing import beside
from harness.verdict import Outcome
from reports.brief import figures_in_words
from reports.html.build import FILES
from reports.material import Material
from reports.write import write_views
from tests.signed_sessions import NEEDS_SSH, a_key, decisions, session_with_pages, signed


def files(folder):
    """Return the content of every file of the session itself."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


class Terminal(io.StringIO):
    """Answers that are typed on a terminal."""

    def isatty(self):
        """Return that it is one."""
        return True


def test_the_statement_is_in_toto_and_binds_session_pages_and_records(signable):
    """The subjects are the signable, both pages and each seal; a page's digest is that of the file as the reviewer saw it."""
    before = {name: hashlib.sha256(content).hexdigest() for name, content in files(signable).items()}
    data = json.loads(signed(signable).read_text(encoding="utf-8"))
    assert data["_type"] == "https://in-toto.io/Statement/v1"
    assert data["predicateType"] == "urn:zemosaic-phase3-validation:signoff:1"
    found = {entry["name"]: entry["digest"]["sha256"] for entry in data["subject"]}
    assert {name: found[name] for name in ("session.json", "report.html", "report.fr.html")} == {
        name: before[name] for name in ("session.json", "report.html", "report.fr.html")
    }
    seals = {path.relative_to(signable).as_posix() for path in signable.glob("**/seal.json")}
    assert len(seals) == 2
    assert set(found) == {"session.json", "report.html", "report.fr.html", *seals}
    for name in seals:
        assert found[name] == hashlib.sha256((signable / name).read_bytes()).hexdigest()


def test_the_predicate_has_who_when_and_each_line_with_what_was_seen(signable):
    """Each line has its id, outcome, figure, decision and comment; a rejected line rejects the whole."""
    said = json.loads(signed(signable).read_text(encoding="utf-8"))["predicate"]
    assert (said["by"], said["key"], said["decision"]) == ("Zoé", None, "reject")
    assert said["at"].endswith("Z")
    assert [(row["id"], row["decision"], row["comment"]) for row in said["rows"]] == [
        ("4.1", "reject", "the hole is there"),
        ("4.2", "reserve", "not yet"),
        ("4.3", "accept", "as measured by hand"),
    ]
    rows = {found.row.id: found for found in decision(read_hashed(signable)[0])}
    for row in said["rows"]:
        found = rows[row["id"]]
        assert row["outcome"] == str(found.row.outcome)
        assert row["figure"] == (figures_in_words(found.figures, language("en")) or found.row.reason.render())


def test_a_signoff_fits_its_schema(signable):
    """The published schema accepts a sign-off that was written, and refuses one with another field."""
    data = json.loads(signed(signable).read_text(encoding="utf-8"))
    validator = Draft202012Validator(json.loads((FOLDER / "signoff-1.schema.json").read_text(encoding="utf-8")))
    validator.validate(data)
    assert not validator.is_valid({**data, "more": 1})


def test_each_line_is_shown_before_its_decision(signable, capsys):
    """Outcome, figure and limits of each line are printed, also when the decisions are options."""
    signed(signable)
    out = capsys.readouterr().out
    for found in decision(read_hashed(signable)[0]):
        assert f"{found.row.id} {found.row.text}" in out
        assert figures_in_words(found.figures, language("en")) in out
        if found.row.outcome is not Outcome.PASS or not found.figures:
            assert found.row.reason.render() in out
    assert "Your own frames were not run." in out
    assert "Observed sets not run: " in out
    assert out.index("4.3 ") < out.index("Decision of Zoé")


def test_a_self_test_is_refused(tmp_path, capsys):
    """A session of the embedded reference can't be signed: status 1, the reason, and nothing is written."""
    session = session_with_pages(tmp_path / "reference", "reference")
    before = files(session)
    assert main(["sign", str(session), *decisions(), "--by", "Zoé"]) == 1
    assert "embedded reference says nothing about ZeMosaic" in capsys.readouterr().err
    assert files(session) == before


@pytest.mark.parametrize("outcome", ["unknown", "not evaluated", "fail"])
def test_an_open_line_is_accepted_only_with_a_reason(signable, capsys, outcome):
    """A line that is unknown, not evaluated or red needs a reason to be accepted; the message names it."""
    if outcome != "fail":
        session = read_hashed(signable)[0]
        tests = tuple(replace(test, outcome=Outcome(outcome)) for test in session.tests)
        write_session(replace(session, tests=tests), signable)
        write_views(Material(signable))
    before = files(signable)
    assert main(["sign", str(signable), *decisions(first=("--accept",)), "--by", "Zoé"]) == 2
    captured = capsys.readouterr()
    shown = {"not evaluated": "not run"}.get(outcome, outcome)
    assert f"{shown}: 4.1 Patch minimal" in captured.out
    assert "expected a reason for the decision on 4.1, found none" in captured.err
    assert files(signable) == before
    assert main(["sign", str(signable), *decisions(first=("--accept", " \t")), "--by", "Zoé"]) == 2
    assert main(["sign", str(signable), *decisions(first=("--accept", "read by hand")), "--by", "Zoé"]) == 0


def test_a_line_without_a_decision_is_named(signable, capsys):
    """Without a terminal every line needs a decision, and the message says how to give it."""
    assert main(["sign", str(signable), "--row", "4.2", "--reject", "no", "--by", "Zoé"]) == 2
    assert "found none on 4.1, 4.3: add --row 4.1 with" in capsys.readouterr().err
    assert not (signable / "signoff.json").exists()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--accept", "x", "--row", "4.1"], "found --accept"),
        (["--row", "4.1", "--row", "4.2"], "found --row"),
        (["--row", "4.1"], "after --row 4.1, found none"),
        ([*decisions(), "--row", "4.1", "--reject", "no"], "expected one decision on 4.1, found two"),
        ([*decisions(), "--row", "9.9", "--reject", "no"], "expected a line among 4.1, 4.2, 4.3, found 9.9"),
    ],
)
def test_wrong_options_are_usage(signable, capsys, words, problem):
    """A decision without its line, a line without a decision, two decisions, or another line: status 2, nothing is written."""
    before = files(signable)
    assert main(["sign", str(signable), *words, "--by", "Zoé"]) == 2
    assert problem in capsys.readouterr().err
    assert files(signable) == before


def test_without_a_name_nothing_is_written(signable, capsys):
    """A decision is somebody's."""
    assert main(["sign", str(signable), *decisions()]) == 2
    assert "add --by NAME" in capsys.readouterr().err
    assert not (signable / "signoff.json").exists()


def test_on_a_terminal_it_asks_line_by_line(signable, capsys, monkeypatch):
    """Lines without an option are asked for; a needed reason is asked for again; a wrong letter is too."""
    answers = ["x", "r", "", "the hole is there", "s", "later", "Zoé"]
    monkeypatch.setattr("sys.stdin", Terminal("".join(f"{a}\n" for a in answers)))
    assert main(["sign", str(signable), "--row", "4.3", "--accept", "by hand"]) == 0
    rows = json.loads((signable / "signoff.json").read_text(encoding="utf-8"))["predicate"]["rows"]
    assert [(r["decision"], r["comment"]) for r in rows] == [
        ("reject", "the hole is there"),
        ("reserve", "later"),
        ("accept", "by hand"),
    ]
    assert "Reason (needed):" in capsys.readouterr().out


def test_answers_that_end_early_write_nothing(signable, capsys, monkeypatch):
    """A terminal that is closed in the middle leaves no sign-off."""
    monkeypatch.setattr("sys.stdin", Terminal("r\n"))
    assert main(["sign", str(signable)]) == 2
    assert "nothing was written" in capsys.readouterr().err
    assert not (signable / "signoff.json").exists()


def a_form(signable, **changes):
    """Return the data that the form on a page makes."""
    rows = [
        {"id": "4.1", "decision": "reject", "comment": "hole\nthere"},
        {"id": "4.2", "decision": "reserve", "comment": "later"},
        {"id": "4.3", "decision": "accept", "comment": "by hand"},
    ]
    data = {"form": "phase3-signoff-form/1", "session_sha256": read_hashed(signable)[1], "by": "Zoé", "rows": rows}
    return {**data, **changes}


def test_the_pages_form_is_taken(signable, tmp_path):
    """The file of the form has the decisions and the name; it fits the published schema."""
    form = tmp_path / "mon formulaire.json"
    form.write_text(json.dumps(a_form(signable)), encoding="utf-8")
    plan = json.loads((FOLDER / "signoff-form-1.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator(plan).validate(a_form(signable))
    assert main(["sign", str(signable), "--from", str(form)]) == 0
    standing = beside(signable)
    assert (standing.by, standing.state) == ("Zoé", "unsigned")
    assert [row.decision for row in standing.rows] == ["reject", "reserve", "accept"]


@pytest.mark.parametrize(
    ("changes", "status", "problem"),
    [
        ({"session_sha256": "0" * 64}, 1, "is of another session, or the session was changed since"),
        ({"form": "phase3-signoff-form/9"}, 2, "found 'phase3-signoff-form/9'"),
        ({"more": 1}, 2, "the field 'more' is unknown"),
        ({"rows": [{"id": "4.1", "decision": "yes", "comment": ""}]}, 2, "expected one of 'accept'"),
        ({"rows": {}}, 2, "$.rows"),
        ({"by": "x" * 1_100_000}, 2, "expected at most 1000000 bytes"),
    ],
)
def test_a_form_that_does_not_fit_is_refused(signable, tmp_path, *, capsys, changes, status, problem):
    """A form of another session, format or shape is refused with its reason, and nothing is written."""
    form = tmp_path / "form.json"
    form.write_text(json.dumps(a_form(signable, **changes)), encoding="utf-8")
    assert main(["sign", str(signable), "--from", str(form)]) == status
    assert problem in capsys.readouterr().err
    assert not (signable / "signoff.json").exists()


def test_a_damaged_record_must_not_be_signed(signable, capsys):
    """A record with a file that differs from its seal is refused, and the file is named."""
    record = next(signable.glob("**/seal.json")).parent
    (record / "events-1.jsonl").write_text("other\n", encoding="utf-8")
    assert main(["sign", str(signable), *decisions(), "--by", "Zoé"]) == 1
    err = capsys.readouterr().err
    assert f"{record.relative_to(signable).as_posix()}/events-1.jsonl: changed" in err
    assert not (signable / "signoff.json").exists()


def test_a_session_without_its_pages_must_not_be_signed(signable, capsys):
    """The reviewer decides from the page, so there must be one."""
    (signable / "report.fr.html").unlink()
    assert main(["sign", str(signable), *decisions(), "--by", "Zoé"]) == 1
    err = capsys.readouterr().err
    assert "report.fr.html: missing" in err
    assert "phase3 report" in err


def test_a_signoff_is_not_replaced_unasked(signable, capsys):
    """A second sign-off is refused with the name of the first signer; ``--replace`` replaces it, on the pages too."""
    first = signed(signable).read_bytes()
    assert main(["sign", str(signable), *decisions(), "--by", "Max"]) == 1
    assert "There is a sign-off already, by Zoé" in capsys.readouterr().err
    assert (signable / "signoff.json").read_bytes() == first
    assert main(["sign", str(signable), *decisions(), "--by", "Max", "--replace"]) == 0
    page = (signable / "report.html").read_text(encoding="utf-8")
    assert "Decision of Max" in page
    assert "Zoé" not in page
    assert beside(signable).changes == ()


def test_the_pages_show_the_signoff_and_can_be_written_again(signable):
    """Both pages show the decisions. ``phase3 report`` writes the same bytes again, so the sign-off still holds."""
    signed(signable)
    pages = {name: (signable / name).read_bytes() for name in ("report.html", "report.fr.html")}
    assert "UNSIGNED: the name and the date are not proved." in pages["report.html"].decode()
    assert "NON SIGNÉ\N{NO-BREAK SPACE}: le nom et la date" in pages["report.fr.html"].decode()
    assert main(["report", str(signable)]) == 1  # the session fails
    assert {name: (signable / name).read_bytes() for name in pages} == pages
    assert beside(signable).state == "unsigned"


def test_texts_of_the_reviewer_are_no_markup(signable):
    """A comment and a name with markup are shown as text, and can't end the part of the page."""
    mark = "<!-- sign-off: end --><script>alert(1)</script>"
    assert main(["sign", str(signable), *decisions(first=("--reject", mark)), "--by", "<b>Zoé"]) == 0
    page = (signable / "report.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert page.count("<!-- sign-off: end -->") == 1
    assert beside(signable).changes == ()


@NEEDS_SSH
def test_a_key_signs(signable, tmp_path, capsys):
    """The signature is made in the namespace of sign-offs, by the key that the sign-off names."""
    key = a_key(tmp_path / "mes clés")
    signed(signable, key)
    out = capsys.readouterr().out
    named = json.loads((signable / "signoff.json").read_text(encoding="utf-8"))["predicate"]["key"]
    words = ["ssh-keygen", "-l", "-f", str(key)]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[1] == named
    assert f"Signed with the key {named}." in out
    assert beside(signable).state == "signed"
    assert beside(signable).key == named


@NEEDS_SSH
def test_a_file_that_is_no_key_signs_nothing(signable, tmp_path, capsys):
    """Status 2, the file is named, and nothing is written."""
    (tmp_path / "no key").write_text("hello\n", encoding="utf-8")
    assert main(["sign", str(signable), *decisions(), "--by", "Zoé", "--key", str(tmp_path / "no key")]) == 2
    assert f"expected an SSH key in {tmp_path / 'no key'}" in capsys.readouterr().err
    assert not (signable / "signoff.json").exists()


@NEEDS_SSH
def test_a_public_key_without_an_agent_signs_nothing(signable, tmp_path, capsys, monkeypatch):
    """The key is readable, but nothing can sign with it: status 2, nothing is written, and the pages are as before."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    key = a_key(tmp_path)
    key.unlink()
    before = files(signable)
    assert main(["sign", str(signable), *decisions(), "--by", "Zoé", "--key", f"{key}.pub"]) == 2
    assert "does the agent have it?" in capsys.readouterr().err
    assert files(signable) == before


def test_without_ssh_keygen_a_key_signs_nothing_and_unsigned_is_offered(signable, tmp_path, capsys, monkeypatch):
    """Status 3 and the way out; without ``--key`` the sign-off is written, and says that it is unsigned."""
    monkeypatch.setattr("harness.signoff.signing.shutil.which", lambda _: None)
    assert main(["sign", str(signable), *decisions(), "--by", "Zoé", "--key", str(tmp_path / "key")]) == 3
    err = capsys.readouterr().err
    assert "expected the program ssh-keygen, found none: install OpenSSH" in err
    assert "Without --key the sign-off is written unsigned." in err
    assert not (signable / "signoff.json").exists()
    signed(signable)
    assert "UNSIGNED" in capsys.readouterr().out


def test_in_french_it_is_french(signable, capsys):
    """Messages and errors are French, and the sign-off says in which language the figures were seen."""
    assert main(["--lang", "fr", "sign", str(signable), "--by", "Zoé"]) == 2
    assert "attendu une décision sur chaque ligne" in capsys.readouterr().err
    assert main(["--lang", "fr", "sign", str(signable), *decisions(), "--by", "Zoé"]) == 0
    out = capsys.readouterr().out
    assert "Décision de Zoé" in out
    assert "refusé" in out
    assert json.loads((signable / "signoff.json").read_text(encoding="utf-8"))["predicate"]["language"] == "fr"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"does not meet the Definition of Done", b"meets the Definition of Done"),
        (b'value="reject"', b'value="accept"'),
    ],
)
def test_a_page_that_says_something_else_is_not_signed(signable, capsys, old, new):
    """The reviewer read a changed headline, or a form whose choices were exchanged: refused, and nothing is written."""
    path = signable / FILES["en"]
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    assert main(["sign", str(signable), *decisions(), "--by", "Zoé"]) == 1
    assert "report.html: changed" in capsys.readouterr().err
    seal_session(signable)  # by someone who knows how
    assert main(["sign", str(signable), *decisions(), "--by", "Zoé"]) == 1
    assert "report.html is not the page that this harness makes of the session" in capsys.readouterr().err
    assert not (signable / "signoff.json").exists()


def test_the_decisions_are_shown_before_they_are_signed(signable, capsys):
    """Decisions that come from a file of the form are printed with their comments before the end."""
    signed(signable)
    out, err = capsys.readouterr()
    shown = out + err
    assert "Decided:" in shown
    assert "rejected (✗ fail; retention holes 1" in shown
    assert "the hole is there" in shown
