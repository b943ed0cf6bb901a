"""Test that every change of a session shows, and that every command looks for changes before it reads one."""

import json
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.commands import main as main_module
from harness.commands.main import main
from harness.record.digested import read_digested
from harness.record.seal import SEAL, read_seal, seal
from harness.session.integrity import (
    FILE,
    THRESHOLDS,
    VIEWS,
    Integrity,
    IntegrityError,
    check,
    read_intact,
    require_known,
    seal_session,
)
from harness.session.model import Share, read_session, write_session
from harness.session.resume import Start, write_start
from harness.session.run_matrix import RUNS
from harness.session.shares import write_part
from harness.verdict import Outcome
from reports.material import Material
from reports.write import write_views
from tests.compare_sessions import one_star_brighter, session_with_mosaics
from tests.signed_sessions import decisions

FLIPS = 100


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the folder of two sessions with everything that a session can have beside it."""
    root = tmp_path_factory.mktemp("été")
    for name, changes in (("before", {}), ("session", {"subject_per_tile": one_star_brighter})):
        folder = root / name
        folder.mkdir()
        session_with_mosaics(folder, "zemosaic", **changes)
        write_start(folder, Start({}, {}, session=name))
        (folder / "shares").mkdir()
        write_part(folder / "shares" / "gw0.json", {"runs": []})
        write_part(folder / "shares" / "gw0.collected", {"a test": {}})
        (folder / "subset.json").write_text('{"name": "small"}', encoding="utf-8")
        write_views(Material(folder))
        seal_session(folder)
    return root


@pytest.fixture
def session(made, tmp_path):
    """Return the folder of a session, with a copy of the one to compare with beside it."""
    shutil.copytree(made, tmp_path / "here")
    return tmp_path / "here" / "session"


def names(found):
    """Return the names of the files that differ."""
    return [name for name, _ in found.changes]


def pretend(folder):
    """Edit the tests of a session to passes, as text."""
    path = folder / "session.json"
    path.write_bytes(path.read_bytes().replace(b'"outcome": "fail"', b'"outcome": "pass"'))


def passing(folder):
    """Make a session that passes."""
    session = read_session(folder)
    tests = tuple(replace(test, outcome=Outcome.PASS) for test in session.tests)
    write_session(replace(session, tests=tests, interrupted=None), folder)
    write_views(Material(folder))


def test_a_session_as_it_was_written_is_intact(session, capsys):
    """Nothing differs, `phase3 verify` ends with 0 and says what that shows and what not."""
    assert check(session) == Integrity(sealed=True)
    assert main(["verify", str(session)]) == 0
    assert "only a signature" in capsys.readouterr().out


def test_a_flipped_bit_of_any_file_is_found(session):
    """One bit, at 100 random places of all files, and at least once in each file: the file is named every time."""
    main(["accept", str(session.parent / "before"), str(session), "--by", "Zoé", "--reason", "x", "--yes"])
    main(["sign", str(session), *decisions(), "--by", "Zoé"])
    files = sorted(path for path in session.rglob("*") if path.is_file())
    kinds = {path.relative_to(session).as_posix() for path in files}
    assert {FILE, "session.json", *VIEWS, THRESHOLDS, "started.json", "subset.json", "shares/gw0.json"} <= kinds
    assert {"accepted.json", "signoff.json", "shares/gw0.collected"} <= kinds
    assert {f"{RUNS}/subject-per_tile/{name}" for name in (SEAL, "request.json", "products.npz")} <= kinds
    assert check(session) == Integrity(sealed=True)
    dice = random.Random(20261130)
    places = [*files, *dice.choices(files, k=max(FLIPS - len(files), 0))]
    assert len(places) >= FLIPS
    unseen = []
    for path in places:
        content = path.read_bytes()
        position, bit = dice.randrange(len(content)), dice.randrange(8)
        changed = bytearray(content)
        changed[position] ^= 1 << bit
        path.write_bytes(changed)
        if not any(path.relative_to(session).as_posix() == name for name in names(check(session))):
            unseen.append((path, position, bit))
        path.write_bytes(content)
    assert unseen == []
    assert check(session) == Integrity(sealed=True)


@pytest.mark.parametrize(
    "name", ["session.json", *VIEWS, "started.json", f"{RUNS}/subject-per_tile/{SEAL}", THRESHOLDS]
)
def test_a_file_that_is_gone_or_a_link_is_found(session, name):
    """A file that was removed, and one in whose place a link to the same content is, differ."""
    content = (session / name).read_bytes()
    (session / name).unlink()
    assert name in names(check(session))
    elsewhere = session.parent / "elsewhere"
    elsewhere.write_bytes(content)
    try:
        (session / name).symlink_to(elsewhere)
    except OSError:
        pytest.skip("this system makes no links")
    assert name in names(check(session))


@pytest.mark.parametrize("name", ["accepted.json", "signoff.json"])
def test_a_decision_that_the_harness_did_not_write_is_found(session, name):
    """An acceptance or a sign-off that was put beside a session is named."""
    (session / name).write_text("{}", encoding="utf-8")
    assert names(check(session)) == [name]


def test_a_forged_record_with_a_new_seal_is_found(session, capsys):
    """A record whose content was changed, and which was sealed again, is not the one that the session judged."""
    record = session / RUNS / "subject-per_tile"
    old = read_seal(record)
    request = record / "request.json"
    request.write_bytes(request.read_bytes() + b" ")
    seal(record, old.state, old.exit_code, old.reason, old.seconds)
    assert names(check(session)) == [f"{RUNS}/subject-per_tile/{SEAL}"]
    assert main(["verify", str(session)]) == 1
    assert f"{SEAL}: changed" in capsys.readouterr().out
    for words in (["verify", str(record)], ["judge", str(record)], ["case", "make", str(record)]):
        assert main(words) == 2
        assert f"{SEAL}: changed" in capsys.readouterr().err


def test_a_record_by_itself_is_compared_with_its_seal(session, tmp_path, capsys):
    """`phase3 verify RECORD` says whether a record is as it was sealed."""
    record = shutil.copytree(session / RUNS / "subject-per_tile", tmp_path / "alone")
    require_known(record)
    assert main(["verify", str(record)]) == 0
    (record / "request.json").write_bytes(b"{}")
    assert main(["verify", str(record)]) == 1
    assert "request.json: changed" in capsys.readouterr().out
    (record / SEAL).unlink()
    assert main(["verify", str(record)]) == 3


@pytest.mark.parametrize("name", ["events-99.jsonl", "products2.json", "thumbnail2.png"])
def test_a_file_that_was_added_to_a_record_is_found(session, name):
    """A file that a check or a report would read is named."""
    (session / RUNS / "subject-per_tile" / name).write_bytes(b"{}")
    assert names(check(session)) == [f"{RUNS}/subject-per_tile/{name}"]


def test_a_record_that_was_added_is_found(session):
    """A record that the session did not have when it ended is named."""
    shutil.copytree(session / RUNS / "subject-per_tile", session / RUNS / "another")
    assert names(check(session)) == [f"{RUNS}/another"]


def test_every_file_of_a_run_without_a_seal_is_covered(session):
    """A run that was killed has no seal: the session's manifest has the digest of each of its files."""
    record = session / RUNS / "subject-per_tile"
    (record / SEAL).unlink()
    seal_session(session)
    assert check(session) == Integrity(sealed=True)
    (record / "left.jsonl").write_bytes(b"")
    (record / "events-99.jsonl").write_bytes(b"")
    assert names(check(session)) == [f"{RUNS}/subject-per_tile/{n}" for n in ("left.jsonl", "events-99.jsonl")]


def refusing(session):
    """Return the words of each command that reads a session."""
    before, own = str(session.parent / "before"), str(session)
    return {
        "report": ["report", own],
        "judge": ["judge", own],
        "dod": ["dod", own, "-o", str(session.parent / "dod.md")],
        "compare": ["compare", before, own],
        "accept": ["accept", before, own, "--by", "Zoé", "--reason", "x", "--yes"],
        "merge": ["merge", str(session.parent / "out"), own],
        "conclude": ["conclude", str(session.parent / "out"), own],
        "sign": ["sign", own, *decisions(), "--by", "Zoé"],
        "verify": ["verify", own],
    }


OTHERS = {"doctor", "clean", "data", "case", "patch", "record", "autopsy"}
"""The commands that read no session; ``case make`` asks for the seal of a record in a session."""


def test_every_command_is_tried(session):
    """A command that reads sessions is among those that refuse a changed one."""
    known = {module.__name__.rpartition(".")[2] for module in main_module._COMMANDS}
    assert known == refusing(session).keys() | OTHERS


@pytest.mark.parametrize("name", refusing(Path("x")))
def test_a_session_whose_tests_were_edited_to_pass_is_refused(session, capsys, name):
    """No command says that it passes: each names session.json, ends with no 0, and writes nothing."""
    passing(session)
    write_session(replace(read_session(session), tests=read_session(session.parent / "before").tests), session)
    pretend(session)
    before = {path: path.read_bytes() for path in session.parent.rglob("*") if path.is_file()}
    assert main(refusing(session)[name]) != 0
    assert "session.json: changed" in "".join(capsys.readouterr())
    assert {path: path.read_bytes() for path in session.parent.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["judge", "dod", "compare", "merge", "sign"])
def test_a_changed_page_is_written_again_from_the_session(session, capsys, name):
    """A command refuses a session with a changed page and says how to go on; after that it reads the session."""
    page = (session / "report.html").read_bytes()
    (session / "report.html").write_bytes(page.replace(b"fail", b"pass"))
    assert main(refusing(session)[name]) in (1, 2)
    said = capsys.readouterr().err
    assert "report.html: changed" in said
    assert f"phase3 report {session}" in said
    main(["report", str(session)])
    assert (session / "report.html").read_bytes() == page
    assert check(session) == Integrity(sealed=True)
    main(refusing(session)[name])
    assert "changed" not in capsys.readouterr().err


def test_what_can_be_judged_again_is_said(session):
    """If only session.json differs, the records hold: the message names the way by --phase3-resume."""
    pretend(session)
    with pytest.raises(IntegrityError, match=rf"move session.json and {FILE} .*--phase3-resume=session"):
        read_intact(session)
    (session / RUNS / "subject-per_tile" / "left.jsonl").write_bytes(b"")
    with pytest.raises(IntegrityError, match="or run the validation again"):
        read_intact(session)


@pytest.mark.parametrize("name", ["report", "judge", "dod", "compare"])
def test_a_session_that_is_not_sealed_is_shown_and_does_not_pass(session, capsys, name):
    """A session of an earlier version is shown with a sentence, and what it passes is unknown."""
    for folder in (session, session.parent / "before"):
        passing(folder)
        (folder / FILE).unlink()
    status = main(refusing(session)[name])
    assert status != 0
    assert "The session is not sealed" in capsys.readouterr().out
    assert not (session / FILE).exists()
    found, _ = read_intact(session)
    assert found.outcome == "unknown"
    assert "pass" not in {row.outcome for row in found.requirements}


def test_the_page_of_a_session_that_is_not_sealed_says_so(session):
    """Title and lines of its page say that it is not known; the same session with its manifest passes."""
    passing(session)
    assert read_intact(session)[0].outcome == "pass"
    (session / FILE).unlink()
    assert main(["report", str(session)]) == 3
    page = (session / "report.html").read_text(encoding="utf-8")
    assert "it is not known whether the session is as its runs left it" in page
    assert "The session is not sealed" in page


@pytest.mark.parametrize("name", ["accept", "merge", "conclude", "sign"])
def test_nothing_lasting_is_made_of_a_session_that_is_not_sealed(session, capsys, name):
    """It is not signed, accepted, merged or concluded from: the message says to run the validation again."""
    passing(session)
    (session / FILE).unlink()
    assert main(refusing(session)[name]) != 0
    assert "Run the validation again" in "".join(capsys.readouterr())
    assert not (session.parent / "out" / "session.json").exists()
    assert not (session / "signoff.json").exists()
    assert not (session / "accepted.json").exists()


def test_other_limits_are_named(session, capsys):
    """A session keeps the limits that judged it; a harness with others says so, and the session is intact."""
    path = session / THRESHOLDS
    path.write_bytes(path.read_bytes() + b"\n")
    assert names(check(session)) == [THRESHOLDS]
    seal_session(session)
    assert main(["verify", str(session)]) == 0
    said = "The limits of the checks are not those with which the session was judged."
    assert said in capsys.readouterr().out
    main(["judge", str(session)])
    assert said in capsys.readouterr().out
    assert main(["merge", str(session.parent / "out"), str(session.parent / "before"), str(session)]) == 2
    assert "judged with the same limits" in capsys.readouterr().err


def test_a_merged_session_is_sealed(session):
    """The session that `phase3 merge` writes is intact, without outputs too, and knows the seals of its records."""
    out = session.parent / "out"
    main(["merge", str(out), str(session), "--without-outputs"])
    assert check(out) == Integrity(sealed=True)
    merged = read_digested(out / FILE)["files"]
    assert {run.seal for run in read_session(out).runs} <= set(merged.values())
    assert main(["verify", str(out)]) == 0


def test_a_changed_signoff_beside_a_session_is_found(session, capsys):
    """`phase3 verify SESSION` compares the sign-off too; a change of it, or of what it binds, ends with 1."""
    main(["sign", str(session), *decisions(), "--by", "Zoé"])
    assert check(session) == Integrity(sealed=True)
    assert main(["verify", str(session)]) == 3
    assert "UNSIGNED" in capsys.readouterr().out
    path = session / "signoff.json"
    path.write_bytes(path.read_bytes().replace(b"not yet", b"not now"))
    assert main(["verify", str(session)]) == 1
    assert "signoff.json: changed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff", b"{" * 100_000, b'{"files": {}}', b'{"files": 1, "sha256": ""}']
)
def test_a_damaged_manifest_is_a_change(session, content):
    """Whatever the manifest holds, it is named as changed, and nothing is raised."""
    (session / FILE).write_bytes(content)
    assert names(check(session)) == [FILE]
    with pytest.raises(IntegrityError, match=f"{FILE}: changed"):
        read_intact(session)


def test_a_manifest_that_names_files_elsewhere_is_a_change(session):
    """A name that leads out of the session is not followed."""
    from harness.record.digested import write_digested

    data = read_digested(session / FILE)
    write_digested(session / FILE, {**data, "files": {**data["files"], "../before/session.json": "0"}})
    assert names(check(session)) == ["../before/session.json"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_in_the_place_of_a_file_is_a_change(session):
    """No file makes it hang."""
    for name in ("session.json", FILE):
        (session / name).unlink()
        os.mkfifo(session / name)
    assert names(check(session)) == [FILE]


def test_the_seal_of_a_session_is_written_in_one_step(session, monkeypatch):
    """If the manifest can't be written, the session is not sealed, and no part of a file stays."""

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="found no room on"):
        seal_session(session)
    assert not check(session).sealed
    assert not list(session.glob("*.part"))


def test_a_share_is_that_of_its_session_only(session):
    """A share with other content, of another session, or of another version of the harness is refused with its path."""
    from harness.session.model import SessionError
    from harness.session.shares import read_part, read_share

    path = session / "shares" / "gw0.json"
    assert read_share(path) == Share()
    other = session.parent / "before" / "shares" / "gw0.json"
    shutil.copyfile(other, path)
    with pytest.raises(SessionError, match=r"gw0\.json of this session, found one of another session"):
        read_part(path)
    data = json.loads(other.read_bytes())
    data["content"]["runs"] = ["x"]
    other.write_text(json.dumps(data, indent=1), encoding="utf-8")
    with pytest.raises(SessionError, match=r"gw0\.json as the harness wrote it, found other content"):
        read_part(other)
