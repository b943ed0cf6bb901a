"""Test ``phase3 verify``: each way in which a sign-off does not hold has its own reason, and its exit status."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.commands.main import main
from harness.record.seal import seal
from harness.session.model import read_session, write_session
from harness.signoff.page_part import without_part
from reports.material import Material
from reports.write import write_views
from tests.signed_sessions import NEEDS_SSH, a_key, resigned, signed, signers

GOOD, VOID, USAGE, NOT_KNOWN = 0, 1, 2, 3


@pytest.fixture
def key(tmp_path):
    """Return a key in a folder with a space and an accent."""
    return a_key(tmp_path / "mes clés")


def verified(capsys, session, *words):
    """Return the exit status and the lines that the command prints."""
    capsys.readouterr()
    status = main(["verify", str(session / "signoff.json"), *map(str, words)])
    return status, capsys.readouterr().out.splitlines()


def record_of(session):
    """Return the folder of a record."""
    return min(session.glob("**/seal.json")).parent


@NEEDS_SSH
def test_a_good_signoff_says_who_signed_what_and_when(signable, tmp_path, key, capsys):
    """Status 0: the decision, each line with what was seen, the signer of the allowed signers, and that nothing changed."""
    signed(signable, key)
    status, lines = verified(capsys, signable, "--allowed-signers", signers(tmp_path, key))
    assert status == GOOD
    assert lines[0].startswith("Decision of Zoé, ")
    assert lines[0].endswith(" UTC: rejected.")
    assert lines[1].startswith(
        "    4.1 Patch minimal, centré Phase 3 cache retention: rejected (✗ fail; retention holes 1 · tiles 3/4 · "
        "lost-cache events 7)"
    )
    assert lines[1].endswith("– the hole is there")
    assert lines[-2].startswith("✓ The signature is good: zoe@example.org, key SHA256:")
    assert lines[-1] == "✓ The sign-off holds: nothing that it binds has changed."


@NEEDS_SSH
def test_a_folder_names_its_signoff(signable, tmp_path, key, monkeypatch):
    """The session's folder may be named in place of the file, also by a relative path; copied elsewhere it still holds."""
    signed(signable, key)
    moved = shutil.copytree(signable, tmp_path / "copié là")
    monkeypatch.chdir(moved.parent)
    assert main(["verify", moved.name, "--allowed-signers", str(signers(tmp_path, key))]) == GOOD
    monkeypatch.chdir(moved)
    assert main(["verify", "signoff.json", "--allowed-signers", str(signers(tmp_path, key))]) == GOOD


@NEEDS_SSH
def test_without_allowed_signers_the_signer_is_not_known(signable, key, capsys):
    """Status 3: a good signature by a key that nobody named is not trusted."""
    signed(signable, key)
    status, lines = verified(capsys, signable)
    assert status == NOT_KNOWN
    assert lines[-2].startswith("? Whose key it is, is not known: name the keys that you trust with --allowed-signers")
    assert lines[-1] == "? Nothing that the sign-off binds has changed, but it is not known who decided."


@pytest.mark.parametrize("with_signers", [False, True])
def test_an_unsigned_one_is_shown_as_unsigned(signable, tmp_path, capsys, with_signers):
    """Status 3 and the word UNSIGNED, never as signed, also when allowed signers are named."""
    signed(signable)
    (tmp_path / "allowed").write_text("", encoding="utf-8")
    words = ["--allowed-signers", tmp_path / "allowed"] if with_signers else []
    status, lines = verified(capsys, signable, *words)
    assert status == NOT_KNOWN
    assert "? UNSIGNED: anyone can have written this sign-off, its name and its date." in lines
    assert not [line for line in lines if "good" in line or line.startswith("✓")]


def test_an_unsigned_one_names_changes_too(signable, capsys):
    """A change voids an unsigned sign-off as well."""
    signed(signable)
    (signable / "session.json").write_text((signable / "session.json").read_text(encoding="utf-8") + " ")
    status, lines = verified(capsys, signable)
    assert status == VOID
    assert "✗ session.json: changed" in lines
    assert lines[-1] == "✗ The sign-off is void: what it binds is not as it was."


def of_the_page(session):
    """Change a page."""
    page = session / "report.fr.html"
    page.write_bytes(page.read_bytes().replace(b"</main>", b"<p>all is well</p></main>"))
    return "report.fr.html: changed"


def of_the_shown_part(session):
    """Change what a page shows of the sign-off, and nothing else."""
    page = session / "report.html"
    page.write_bytes(page.read_bytes().replace(b": rejected", b": accepted"))
    return "report.html: the sign-off that it shows was changed"


def of_the_session(session):
    """Change a fact in the session."""
    file = session / "session.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"fail"', '"pass"', 1), encoding="utf-8")
    return "session.json: changed"


def of_a_file_in_a_record(session):
    """Change a file that a seal names."""
    record = record_of(session)
    with (record / "disk.jsonl").open("a", encoding="utf-8") as stream:
        stream.write("\n")
    return f"{record.relative_to(session).as_posix()}/disk.jsonl: changed"


def of_a_file_of_a_record_that_is_gone(session):
    """Remove a file that a seal names."""
    record = record_of(session)
    (record / "thumbnail.png").unlink()
    return f"{record.relative_to(session).as_posix()}/thumbnail.png: missing"


def of_a_record_that_was_sealed_again(session):
    """Change a file of a record and seal it again, which hides the change from the seal."""
    record = record_of(session)
    (record / "events-1.jsonl").write_text("{}\n", encoding="utf-8")
    seal(record, "done", 0, "", 1.0)
    return f"{record.relative_to(session).as_posix()}/seal.json: changed"


def of_a_record_that_is_gone(session):
    """Remove a record."""
    record = record_of(session)
    shutil.rmtree(record)
    return f"{record.relative_to(session).as_posix()}/seal.json: missing"


def of_a_page_that_is_gone(session):
    """Remove a page."""
    (session / "report.html").unlink()
    return "report.html: missing"


CHANGES = [
    of_the_page,
    of_the_shown_part,
    of_the_session,
    of_a_file_in_a_record,
    of_a_file_of_a_record_that_is_gone,
    of_a_record_that_was_sealed_again,
    of_a_record_that_is_gone,
    of_a_page_that_is_gone,
]


@NEEDS_SSH
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_any_change_voids_it_and_is_named(signable, tmp_path, key, capsys, change):
    """Status 1, the file by its name, and no other; the signature itself is still good."""
    signed(signable, key)
    named = change(signable)
    status, lines = verified(capsys, signable, "--allowed-signers", signers(tmp_path, key))
    assert status == VOID
    assert [line for line in lines if line.startswith("✗")] == [
        f"✗ {named}",
        "✗ The sign-off is void: what it binds is not as it was.",
    ]
    assert [line for line in lines if line.startswith("✓ The signature is good")]


@NEEDS_SSH
def test_a_page_without_its_part_is_the_one_that_was_signed(signable, tmp_path, key, capsys):
    """The page as the reviewer saw it, before it showed the sign-off, is the signed one."""
    before = (signable / "report.html").read_bytes()
    signed(signable, key)
    assert (signable / "report.html").read_bytes() != before
    (signable / "report.html").write_bytes(before)
    assert verified(capsys, signable, "--allowed-signers", signers(tmp_path, key))[0] == GOOD


@NEEDS_SSH
def test_a_tampered_signoff_is_void(signable, tmp_path, key, capsys):
    """A comment that was changed after the signature: the signature is of other bytes."""
    file = signed(signable, key)
    file.write_text(file.read_text(encoding="utf-8").replace("not yet", "all good"), encoding="utf-8")
    status, lines = verified(capsys, signable, "--allowed-signers", signers(tmp_path, key))
    assert status == VOID
    assert (
        "✗ The signature is of other bytes: signoff.json was changed since, or the signature is of another one" in lines
    )
    assert lines[-1] == "✗ The sign-off is void."


@NEEDS_SSH
def test_a_signature_of_another_signoff_is_of_other_bytes(signable, signable_pattern, tmp_path, key, capsys):
    """The signature of the same key on another sign-off does not serve this one."""
    other = shutil.copytree(signable_pattern, tmp_path / "other")
    signed(signable, key)
    signed(other, key)
    assert main(["sign", str(other), "--replace", *WORDS, "--by", "Zoé", "--key", str(key)]) == 0
    shutil.copy(other / "signoff.json.sig", signable / "signoff.json.sig")
    status, lines = verified(capsys, signable, "--allowed-signers", signers(tmp_path, key))
    assert status == VOID
    assert any(line.startswith("✗ The signature is of other bytes") for line in lines)


WORDS = ["--row", "4.1", "--reject", "a", "--row", "4.2", "--reject", "b", "--row", "4.3", "--reject", "c"]


@NEEDS_SSH
def test_a_signature_for_another_namespace_is_void(signable, tmp_path, key, capsys):
    """A signature that the same key made over these bytes as a file of git is not one of a sign-off."""
    signed(signable, key)
    resigned(signable, key, "git")
    status, lines = verified(capsys, signable, "--allowed-signers", signers(tmp_path, key))
    assert status == VOID
    assert "✗ The signature is for 'git', not for 'phase3-signoff': it was made for another purpose" in lines


@NEEDS_SSH
def test_an_unknown_key_is_void(signable, tmp_path, key, capsys):
    """A key that is not among the allowed signers."""
    signed(signable, key)
    allowed = signers(tmp_path, a_key(tmp_path, "another"))
    status, lines = verified(capsys, signable, "--allowed-signers", allowed)
    assert status == VOID
    assert any(line.endswith("ask the signer for the public key, and add it if it is theirs") for line in lines)
    assert any(line.startswith("✗ The key SHA256:") for line in lines)


@NEEDS_SSH
@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ('valid-before="20200101"', "expired on 2020-01-01"),
        ('valid-before="202001010000Z"', "expired on 2020-01-01 00:00 UTC"),
        ('valid-after="29990101Z"', "is valid from 2999-01-01 00:00 UTC on only"),
        ('namespaces="git,file"', "for git,file only, not for phase3-signoff"),
    ],
)
def test_a_key_that_is_not_valid_is_void(signable, tmp_path, key, *, capsys, option, reason):
    """An expired key, one that is not valid yet, and one that is allowed for another purpose, each with its reason."""
    signed(signable, key)
    status, lines = verified(capsys, signable, "--allowed-signers", signers(tmp_path, key, option))
    assert status == VOID
    assert any(line.startswith("✗") and reason in line for line in lines), lines


@NEEDS_SSH
@pytest.mark.parametrize("option", ['namespaces="phase3-*"', 'valid-after="20200101Z",valid-before="29990101Z"'])
def test_options_of_a_key_that_allow_it(signable, tmp_path, key, capsys, option):
    """A key that is allowed for this purpose and at this time is good."""
    signed(signable, key)
    assert verified(capsys, signable, "--allowed-signers", signers(tmp_path, key, option))[0] == GOOD


@NEEDS_SSH
def test_another_sessions_signoff_is_void(signable, signable_pattern, tmp_path, key, capsys):
    """A signed sign-off that is laid beside another session says which session it is of."""
    other = shutil.copytree(signable_pattern, tmp_path / "other")
    write_session(replace(read_session(other), created="2020-02-02T02:02:02+00:00"), other)
    write_views(Material(other))
    signed(signable, key)
    for name in ("signoff.json", "signoff.json.sig"):
        shutil.copy(signable / name, other / name)
    status, lines = verified(capsys, other, "--allowed-signers", signers(tmp_path, key))
    assert status == VOID
    wrong = [line for line in lines if line.startswith("✗")]
    assert wrong[0].startswith("✗ The sign-off is of another session: it is of zemosaic 63bcc2c, made ")
    assert wrong[0].endswith("this one is of zemosaic 63bcc2c, made 2020-02-02T02:02:02+00:00")


@NEEDS_SSH
def test_another_key_than_the_named_one_is_void(signable, tmp_path, key, capsys):
    """A sign-off that names one key and is signed by another, which is allowed too."""
    signed(signable, key)
    another = a_key(tmp_path, "another")
    resigned(signable, another)
    status, lines = verified(capsys, signable, "--allowed-signers", signers(tmp_path, another))
    assert status == VOID
    assert any(line.startswith("✗ The sign-off names the key SHA256:") for line in lines)


@NEEDS_SSH
def test_a_lost_signature_is_void_and_not_unsigned(signable, key, capsys):
    """A sign-off that names a key and has no signature lost it: that is no unsigned sign-off."""
    signed(signable, key)
    (signable / "signoff.json.sig").unlink()
    status, lines = verified(capsys, signable)
    assert status == VOID
    assert any(
        line.startswith("✗ signoff.json.sig: missing, though the sign-off names the key SHA256:") for line in lines
    )
    assert not [line for line in lines if "UNSIGNED" in line]


@NEEDS_SSH
def test_an_unsigned_one_may_be_signed_by_hand(signable, tmp_path, key, capsys):
    """The command that the page prints signs an unsigned sign-off; then it is a signed one."""
    signed(signable)
    resigned(signable, key)
    assert verified(capsys, signable, "--allowed-signers", signers(tmp_path, key))[0] == GOOD


VIEWS = ("report.html", "report.fr.html", "summary.md", "summary.fr.md")


def says(session, words):
    """Return which views of a session say these words."""
    return [name for name in VIEWS if words in (session / name).read_text(encoding="utf-8")]


@NEEDS_SSH
@pytest.mark.parametrize("command", ["verify", "report"])
def test_a_later_signature_is_shown_by_verify_and_by_report(signable, tmp_path, key, capsys, command):
    """Pages and summaries show the key in place of UNSIGNED, and the sign-off holds; the page without its part stays the same."""
    signed(signable)
    before = (signable / "report.html").read_bytes()
    assert (says(signable, "UNSIGNED"), says(signable, "NON SIGN")) == (
        ["report.html", "summary.md"],
        ["report.fr.html", "summary.fr.md"],
    )
    resigned(signable, key)
    capsys.readouterr()
    main([command, str(signable)])
    told = capsys.readouterr().out
    assert f"Written: {signable / 'report.html'}" in told
    assert says(signable, "UNSIGNED") == says(signable, "NON SIGN") == []
    assert says(signable, "Signed with the key SHA256:") == ["report.html", "summary.md"]
    assert says(signable, "Signé avec la clé SHA256:") == ["report.fr.html", "summary.fr.md"]
    assert without_part((signable / "report.html").read_bytes()) == without_part(before)
    status, lines = verified(capsys, signable, "--allowed-signers", signers(tmp_path, key))
    assert status == GOOD
    assert not [line for line in lines if line.startswith("Written")], "a page that is up to date is not written again"


@NEEDS_SSH
def test_a_page_with_another_later_key_is_void(signable, tmp_path, key, capsys):
    """A page that shows a key which did not sign, or a key whose signature was taken away, does not hold."""
    signed(signable)
    resigned(signable, key)
    main(["verify", str(signable)])
    (signable / "signoff.json.sig").unlink()
    assert verified(capsys, signable)[0] == VOID
    resigned(signable, a_key(tmp_path, "another"))
    status, lines = verified(capsys, signable)
    assert status == VOID
    assert "✗ report.html: the sign-off that it shows was changed" in lines


@NEEDS_SSH
def test_a_later_signature_that_does_not_hold_changes_no_page(signable, key, capsys):
    """A signature for another purpose is void, and the page says UNSIGNED as before."""
    signed(signable)
    resigned(signable, key, "git")
    assert verified(capsys, signable)[0] == VOID
    assert says(signable, "UNSIGNED") == ["report.html", "summary.md"]


@NEEDS_SSH
def test_a_later_signature_by_a_key_that_is_not_allowed_changes_no_page(signable, tmp_path, key, capsys):
    """Only another key is trusted: the sign-off is void, and the page says UNSIGNED as before."""
    signed(signable)
    resigned(signable, key)
    trusted = signers(tmp_path, a_key(tmp_path, "another"))
    assert verified(capsys, signable, "--allowed-signers", trusted)[0] == VOID
    assert says(signable, "UNSIGNED") == ["report.html", "summary.md"]


@NEEDS_SSH
def test_a_page_that_cannot_be_written_is_named(signable, key, capsys, monkeypatch):
    """A session on a medium that is read only is verified all the same, and the command that updates the page is named."""
    signed(signable)
    resigned(signable, key)

    def refuse(*_):
        raise OSError("read only")

    monkeypatch.setattr("harness.record.whole.write_together", refuse)
    status, lines = verified(capsys, signable)
    assert status == NOT_KNOWN
    assert any(
        line.startswith("△ The page says UNSIGNED, and can't be written (read only): run phase3 report")
        for line in lines
    )


@pytest.mark.parametrize(
    "content", [b"", b"no signature", b"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n"]
)
def test_a_signature_file_that_holds_none_is_void(signable, capsys, content):
    """A file that is no signature is named as such, whether ssh-keygen is there or not."""
    signed(signable)
    (signable / "signoff.json.sig").write_bytes(content)
    status, lines = verified(capsys, signable)
    assert status == VOID
    assert "✗ The signature file holds no SSH signature" in lines


@NEEDS_SSH
def test_without_ssh_keygen_it_is_not_known(signable, tmp_path, key, capsys, monkeypatch):
    """Status 3, never good: the signature can't be verified."""
    signed(signable, key)
    monkeypatch.setattr("harness.signoff.signing.shutil.which", lambda _: None)
    status, lines = verified(capsys, signable, "--allowed-signers", signers(tmp_path, key))
    assert status == NOT_KNOWN
    assert "? expected the program ssh-keygen, found none: install OpenSSH, which has it" in lines


@NEEDS_SSH
def test_allowed_signers_that_are_not_there_are_usage(signable, tmp_path, key, capsys):
    """A wrong path is a wrong command."""
    signed(signable, key)
    assert main(["verify", str(signable), "--allowed-signers", str(tmp_path / "nowhere")]) == USAGE
    assert f"expected allowed signers in {tmp_path / 'nowhere'}" in capsys.readouterr().err


def test_a_signoff_that_is_not_there_is_usage(tmp_path, capsys):
    """A session that nobody signed: status 2 and what to do."""
    assert main(["verify", str(tmp_path)]) == USAGE
    assert "found no file" in capsys.readouterr().err


def edited(session, change):
    """Change the data of an unsigned sign-off."""
    file = signed(session)
    data = json.loads(file.read_text(encoding="utf-8"))
    change(data)
    file.write_text(json.dumps(data), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: d.update(_type="https://in-toto.io/Statement/v9"), "expected a sign-off with _type"),
        (lambda d: d.update(predicateType="https://slsa.dev/provenance/v1"), "expected a sign-off with predicateType"),
        (lambda d: d.update(more=1), "the field 'more' is unknown"),
        (lambda d: d["predicate"]["rows"][0].update(decision="yes"), "expected one of 'accept', 'reject', 'reserve'"),
        (lambda d: d["predicate"]["rows"][0].update(comment=""), "the row 4.1 needs a comment"),
        (lambda d: d["predicate"].update(at="yesterday"), "$.predicate.at"),
        (lambda d: d["subject"][0]["digest"].update(sha256="0"), "$.subject[0].digest.sha256"),
        (lambda d: d["subject"].append(d["subject"][0]), "a name is there twice"),
        (lambda d: d["predicate"].update(by="x" * 300), "$.predicate.by"),
    ],
)
def test_a_signoff_of_another_shape_is_void(signable, capsys, change, problem):
    """A part that is wrong, unknown or missing is named with its place: status 1, without a traceback."""
    edited(signable, change)
    assert main(["verify", str(signable)]) == VOID
    captured = capsys.readouterr()
    assert problem in captured.err
    assert captured.out.splitlines()[-1] == "✗ The sign-off is void."


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"[]", b"1"])
def test_what_is_no_signoff_is_void(signable, capsys, content):
    """Anything else in the file is refused, however it is nested or encoded."""
    (signable / "signoff.json").write_bytes(content)
    assert main(["verify", str(signable)]) == VOID
    assert "Traceback" not in capsys.readouterr().err


def test_a_huge_file_is_not_read(signable, capsys):
    """A sign-off larger than any real one is refused by its size."""
    with (signable / "signoff.json").open("wb") as stream:
        stream.truncate(10**9)
    assert main(["verify", str(signable)]) == VOID
    assert "expected at most 4000000 bytes" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "C:/secret", "..\\secret"])
def test_subjects_stay_in_the_sessions_folder(signable, tmp_path, capsys, name):
    """A name that leads out of the folder is refused, and the file there is not read."""
    (tmp_path / "secret").write_text("x", encoding="utf-8")
    edited(signable, lambda d: d["subject"].append({"name": name, "digest": {"sha256": "0" * 64}}))
    status, lines = verified(capsys, signable)
    assert status == VOID
    assert any("which leads out of it" in line for line in lines)


def test_a_link_out_of_the_folder_is_refused(signable, tmp_path, capsys):
    """A record that is a link to a folder elsewhere is not part of the session."""
    signed(signable)
    record = record_of(signable)
    shutil.move(record, tmp_path / "elsewhere")
    try:
        record.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    status, lines = verified(capsys, signable)
    assert status == VOID
    assert any("which leads out of it" in line for line in lines)


@pytest.mark.parametrize("name", ["session.json", "report.html", "report.fr.html", "seal.json"])
def test_a_signoff_that_leaves_something_out_is_void(signable, capsys, name):
    """A sign-off must bind the session, both pages and every sealed record."""
    edited(signable, lambda d: d.update(subject=[s for s in d["subject"] if Path(s["name"]).name != name]))
    status, lines = verified(capsys, signable)
    assert status == VOID
    assert any(line.endswith(f"{name}: not in the sign-off") for line in lines)


def test_a_line_that_was_left_out_is_named(signable, capsys):
    """A sign-off without a decision on a line of the Definition of Done is void."""
    edited(signable, lambda d: d["predicate"]["rows"].pop(1))
    status, lines = verified(capsys, signable)
    assert status == VOID
    assert "✗ Line 4.2 has no decision in the sign-off" in lines


def test_a_line_that_reads_differently_now_is_remarked(signable, capsys):
    """An outcome that is not the session's is shown, as after a change of the harness; it alone voids nothing."""
    edited(signable, lambda d: d["predicate"]["rows"][1].update(outcome="pass"))
    status, lines = verified(capsys, signable)
    assert status == NOT_KNOWN
    assert [line for line in lines if line.startswith("△ Line 4.2 was “pass” when it was decided.")]


def test_the_decision_in_the_file_is_worked_out_again(signable, capsys):
    """The whole can't be accepted where a line is rejected."""
    edited(signable, lambda d: d["predicate"].update(decision="accept"))
    _, lines = verified(capsys, signable)
    assert lines[0].endswith(": rejected.")


def test_a_comment_is_one_line_and_controls_no_terminal(signable, capsys):
    """A comment can't look like a line of the result, or send control sequences."""
    edited(signable, lambda d: d["predicate"]["rows"][0].update(comment="no\n✓ The sign-off holds\x1b[2J"))
    _, lines = verified(capsys, signable)
    assert not [line for line in lines if line.startswith("✓")]
    assert "\x1b" not in "".join(lines)


@NEEDS_SSH
def test_in_french_it_is_french(signable, tmp_path, key, capsys):
    """Who, what, and that it holds, or what changed, in French."""
    signed(signable, key)
    allowed = signers(tmp_path, key)
    capsys.readouterr()
    assert main(["--lang", "fr", "verify", str(signable), "--allowed-signers", str(allowed)]) == GOOD
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("✓ La session est telle que le harnais l’a laissée.")
    assert lines[1].startswith("Décision de Zoé, ")
    assert lines[-1] == "✓ Le visa est valable\N{NO-BREAK SPACE}: rien de ce qu’il engage n’a changé."
    of_the_page(signable)
    assert main(["--lang", "fr", "verify", str(signable), "--allowed-signers", str(allowed)]) == VOID
    assert "✗ report.fr.html\N{NO-BREAK SPACE}: modifié" in capsys.readouterr().out
