"""Test what a session's manifest must have, what it need not have, and that a forged one is named and never raises."""

import json
import os
import random
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from harness.commands.main import main
from harness.language.message import SaidError
from harness.record.digested import content_of, read_digested, write_digested
from harness.record.safe import ASIDE
from harness.record.seal import SEAL, read_seal
from harness.record.values import sha256_of
from harness.session.integrity import (
    FILE,
    Integrity,
    IntegrityError,
    check,
    note,
    require_intact,
    require_known,
    seal_session,
)
from harness.session.model import SessionError, read_session, require_one_kind
from harness.session.run_matrix import RUNS
from tests.mutations import VALUES, _of_json
from tests.readers import in_session

RECORD = f"{RUNS}/subject-per_tile"
PUT_ASIDE = f"subject-per_tile.0123abcd{ASIDE}"


@pytest.fixture
def session(tmp_path):
    """Return the folder of a session."""
    folder = tmp_path / "session"
    folder.mkdir()
    in_session("session.json")(folder)
    return folder


def names(found):
    """Return the names of the files that differ."""
    return [name for name, _ in found.changes]


def forged(folder, files):
    """Write a manifest with other entries, and with a digest of its own that holds."""
    write_digested(folder / FILE, {**read_digested(folder / FILE), "files": files})


def entries(folder):
    """Return the entries of a manifest."""
    return read_digested(folder / FILE)["files"]


def test_a_forged_manifest_makes_no_command_read_files_of_holes(session, monkeypatch):
    """It may name any number of them, which take a target no room: beyond 1 GB in all they are changed, and not read."""
    monkeypatch.setattr("harness.record.limits.SPARSE_BYTES", 10**6)
    for name in ("a", "b"):
        with (session / name).open("wb") as stream:
            stream.truncate(10**6)
    forged(session, entries(session) | {"a": sha256_of(session / "a"), "b": sha256_of(session / "b")})
    assert names(check(session)) == ["b"]
    assert names(check(session)) == ["b"]  # each comparison has its own allowance


# What the harness itself leaves


@pytest.mark.parametrize("when", ["before the seal", "after it"])
@pytest.mark.parametrize("what", ["an empty folder", "a folder of folders", "a folder put aside", "working folders"])
def test_a_folder_without_a_file_that_is_read_changes_nothing(session, capsys, what, when):
    """An interrupted write leaves such a folder. It holds no byte that a decision rests on, before and after the seal."""
    made = {
        "an empty folder": RUNS + "/empty",
        "a folder of folders": RUNS + "/one/two/three",
        "a folder put aside": f"{RUNS}/{PUT_ASIDE}",
        "working folders": RUNS + "/started/work/tmp",
    }
    place = session / made[what]
    place.mkdir(parents=True)
    if what in ("a folder put aside", "working folders"):
        (place / "letter.txt").write_bytes(b"of the user")
    if when == "before the seal":
        seal_session(session)
    assert check(session) == Integrity(sealed=True)
    assert main(["verify", str(session)]) == 0
    assert not [name for name in entries(session) if PUT_ASIDE in name]
    assert "changed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["unknown", f"subject-per_tile{ASIDE}", f"x.0123abc{ASIDE}", f"x.0123ABCD{ASIDE}", f"{PUT_ASIDE}.old"]
)
def test_an_unknown_record_is_found_by_whatever_name(session, name):
    """Only the exact name that the harness gives is left out."""
    shutil.copytree(session / RECORD, session / RUNS / name)
    assert names(check(session)) == [f"{RUNS}/{name}"]


def test_a_part_of_a_seal_is_a_leftover_and_another_part_is_not(session):
    """A write of the seal that was cut off leaves a part, which nothing reads. Another file beside the seal was added."""
    (session / RECORD / f"{SEAL}.part").write_bytes(b"{")
    assert check(session) == Integrity(sealed=True)
    (session / RECORD / "products.json.part").write_bytes(b"{")
    assert names(check(session)) == [f"{RECORD}/products.json.part"]


@pytest.mark.parametrize("name", ["shares/gw9.json", "shares-7/gw0.collected", "shares/0-resumed.end"])
def test_a_share_that_was_added_is_found(session, name):
    """A start that goes on with the session would read it."""
    (session / name).parent.mkdir(exist_ok=True)
    (session / name).write_bytes(b"{}")
    assert names(check(session)) == [name]


# A folder that is two things


@pytest.mark.parametrize("name", ["request.json", SEAL])
def test_a_session_that_is_a_record_too_is_refused_by_every_command(session, tmp_path, capsys, name):
    """No command reads the session and leaves the record unseen, or the other way round."""
    shutil.copyfile(session / RECORD / name, session / name)
    own, other = str(session), str(in_session("x")(other_folder(tmp_path)).parent)
    for words in (
        ["verify", own],
        ["judge", own],
        ["judge", str(session / RECORD), "--pair", own],
        ["report", own],
        ["dod", own, "-o", str(tmp_path / "dod.md")],
        ["compare", other, own],
        ["compare", own, other],
        ["accept", other, own, "--by", "Zoé", "--reason", "x", "--yes"],
        ["merge", str(tmp_path / "out"), own],
        ["conclude", str(tmp_path / "out"), own],
        ["sign", own, "--by", "Zoé"],
        ["case", "make", own, "-o", str(tmp_path / "case.json")],
    ):
        assert main(words) == 2, words
        assert f"found files of both (session.json, integrity.json, {name})" in "".join(capsys.readouterr()), words
    (session / name).unlink()
    require_one_kind(session)
    assert main(["verify", own]) == 0


def other_folder(tmp_path):
    """Return a new folder."""
    folder = tmp_path / "other"
    folder.mkdir()
    return folder


def test_a_record_that_is_a_session_too_is_refused(session, tmp_path, capsys):
    """A session that lies in a record's folder is not taken for it."""
    record = shutil.copytree(session / RECORD, tmp_path / "alone")
    assert main(["verify", str(record)]) == 0
    for name in ("session.json", FILE):
        shutil.copyfile(session / name, record / name)
        for words in (["verify"], ["judge"], ["case", "make"], ["compare", str(session)]):
            assert main([*words, str(record)]) == 2
            assert "expected a session or a record in" in capsys.readouterr().err
        (record / name).unlink()
    assert main(["verify", str(record)]) == 0


# A manifest that lacks something


def test_a_manifest_without_a_record_is_partial(session):
    """A record that the manifest lacks was added, whether the record is there or not: the session names it."""
    files = {name: digest for name, digest in entries(session).items() if not name.startswith(RECORD)}
    forged(session, files)
    assert names(check(session)) == [RECORD]
    shutil.rmtree(session / RECORD)
    assert names(check(session)) == [RECORD]
    with pytest.raises(IntegrityError, match=f"{RECORD}: missing"):
        require_intact(session)


def test_a_manifest_with_one_file_of_a_record_is_partial(session):
    """A single entry does not make a record known: its seal, and each file beside it, was added."""
    files = {name: digest for name, digest in entries(session).items() if not name.startswith(RECORD)}
    full = check(session)
    disk = f"{RECORD}/disk.jsonl"
    forged(session, {**files, disk: read_seal(session / RECORD).files["disk.jsonl"]})
    assert full == Integrity(sealed=True)
    assert {RECORD, f"{RECORD}/{SEAL}", f"{RECORD}/request.json"} <= set(names(check(session)))
    with pytest.raises(IntegrityError, match=rf"{SEAL}: added"):
        require_known(session / RECORD)


@pytest.mark.parametrize("name", ["session.json", "started.json", "thresholds.toml", "report.html"])
def test_a_manifest_without_a_file_of_the_session_is_partial(session, name):
    """A file that is there and not in the manifest was added."""
    forged(session, {known: digest for known, digest in entries(session).items() if known != name})
    assert names(check(session)) == [name]


def test_a_manifest_that_was_written_again_does_not_agree_with_the_session(session):
    """The session has the seal of each run as it was judged."""
    seal = session / RECORD / SEAL
    data = json.loads((session / "session.json").read_bytes())
    for run in data["runs"]:
        run["seal"] = entries(session)[f"{run['record']}/{SEAL}"]
    (session / "session.json").write_text(json.dumps(data), encoding="utf-8")
    seal_session(session)
    assert check(session) == Integrity(sealed=True)
    seal.write_bytes(seal.read_bytes().replace(b"\n", b"\n "))
    seal_session(session)
    assert names(check(session)) == [f"{RECORD}/{SEAL}"]


def test_a_session_whose_record_is_elsewhere_is_changed(session):
    """A path outside the folder of records is in no manifest that the harness writes."""
    (session / RECORD).rename(session / "elsewhere")
    path = session / "session.json"
    path.write_text(path.read_text(encoding="utf-8").replace(f'"{RECORD}"', '"elsewhere"'), encoding="utf-8")
    seal_session(session)
    assert names(check(session)) == ["elsewhere"]


# A record that is read by itself


def test_a_record_that_was_added_to_a_session_is_refused_by_every_way_to_it(session, tmp_path, capsys):
    """By its name, with a detour, and by a link from elsewhere."""
    added = shutil.copytree(session / RECORD, session / RUNS / "added")
    ways = [added, session / RECORD / ".." / "added", session / RUNS / "." / "added"]
    with suppress(OSError):
        (tmp_path / "link").symlink_to(added, target_is_directory=True)
        ways.append(tmp_path / "link")
    for way in ways:
        for words in (["verify"], ["judge"], ["case", "make"]):
            assert main([*words, str(way)]) == 2
            assert f"{RUNS}/added: added" in capsys.readouterr().err
        assert main(["compare", str(session), str(way)]) == 2
        assert "added" in capsys.readouterr().err
    shutil.rmtree(added)
    assert require_known(session / RECORD) is None


@pytest.mark.skipif(os.name == "nt", reason="links need privileges")
def test_a_link_among_the_records_is_found(session, tmp_path):
    """A link that leads to a record was added; one that leads to no record is not read."""
    shutil.copytree(session / RECORD, tmp_path / "alone")
    (session / RUNS / "nowhere").symlink_to(tmp_path / "absent")
    assert check(session) == Integrity(sealed=True)
    (session / RUNS / "link").symlink_to(tmp_path / "alone")
    assert names(check(session)) == [f"{RUNS}/link"]


def test_a_record_in_a_session_without_a_manifest_is_unknown(session, tmp_path, capsys):
    """Nothing but its own seal is known of it. Outside of a session its seal is all that there can be."""
    assert main(["verify", str(session / RECORD)]) == 0
    passes = main(["judge", str(session / RECORD), "--check", "disk"])
    (session / FILE).unlink()
    capsys.readouterr()
    assert main(["verify", str(session / RECORD)]) == 3
    assert "The session is not sealed" in capsys.readouterr().out
    assert main(["judge", str(session / RECORD), "--check", "disk"]) == (passes or 3)
    assert "The session is not sealed" in capsys.readouterr().out
    main(["judge", str(session / RECORD), "--check", "disk", "--json"])
    shown = capsys.readouterr()
    assert json.loads(shown.out)["outcome"] != "pass"
    assert "The session is not sealed" in shown.err
    main(["case", "make", str(session / RECORD), "-o", str(tmp_path / "case.json")])
    assert "The session is not sealed" in capsys.readouterr().out
    alone = shutil.copytree(session / RECORD, tmp_path / "alone")
    assert main(["verify", str(alone)]) == 0
    assert main(["judge", str(alone), "--check", "disk"]) == passes


def test_a_session_whose_session_json_is_gone_is_changed(session):
    """The manifest says that it was there."""
    (session / "session.json").unlink()
    with pytest.raises(IntegrityError, match=r"session\.json: missing"):
        require_intact(session)


# Forged values


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("place", ["a name", "a digest", "all entries", "the format"])
def test_a_forged_manifest_is_a_change(session, place, value):
    """Whatever value is in it, with a digest that holds, the manifest or the file is named, and nothing is raised."""
    data = read_digested(session / FILE)
    name = f"{RUNS}/{value}/request.json"
    changed = {
        "a name": {**data, "files": {**data["files"], name: "0"}},
        "a digest": {**data, "files": {**data["files"], "session.json": value}},
        "all entries": {**data, "files": value},
        "the format": {**data, "format": value},
    }
    (session / FILE).write_bytes(content_of(changed[place]))
    found = names(check(session))
    assert found
    if place == "a name":
        assert found == [name]
    with pytest.raises(IntegrityError, match="found changes"):
        require_intact(session)
    with suppress(SessionError):
        require_known(session / RECORD)
    with suppress(SessionError):
        note(session, ["report.html"])


@pytest.mark.parametrize("name", [f"{RUNS}/../request.json", f"{RUNS}//request.json", "..", "", "/etc/passwd", "C:/x"])
def test_a_manifest_with_a_name_that_is_no_file_of_the_session_is_a_change(session, name):
    """Such a name is named, and not followed."""
    forged(session, {**entries(session), name: "0"})
    assert names(check(session)) == [name]


@pytest.mark.parametrize("depth", [200, 500, 800, 990, 1_500, 5_000, 100_000])
def test_a_manifest_that_is_nested_deep_is_a_change(session, depth):
    """Python reads deeper nesting than it writes."""
    (session / FILE).write_bytes(b'{"files": ' + b"[" * depth + b"]" * depth + b"}")
    assert names(check(session)) == [FILE]


FORGED = ("session.json", f"{RECORD}/{SEAL}", f"{RECORD}/request.json")


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_session_that_is_sealed_again_raises_our_own_errors_only(session, tmp_path, monkeypatch, name):
    """Commands answer it with a status; what ends them is an error of the harness or of the system."""
    raised = []
    from harness.commands import main as module

    said = module.sentences_of
    monkeypatch.setattr(module, "sentences_of", lambda error, *more: raised.append(error) or said(error, *more))
    good = (session / name).read_bytes()
    dice = random.Random(20261130)
    damaged = [data for _, data in _of_json(good, dice)]
    for data in dice.sample(damaged, min(len(damaged), 12)):
        (session / name).write_bytes(data)
        with suppress(SaidError, OSError):
            seal_session(session)
        for words in (
            ["verify", str(session)],
            ["judge", str(session), "--check", "disk"],
            ["verify", str(session / RECORD)],
        ):
            assert main(words) in (0, 1, 2, 3)
        main(["merge", str(tmp_path / "out"), str(session)])
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert [error for error in raised if not isinstance(error, SaidError | OSError)] == []
    assert read_session(Path(in_session("x")(other_folder(tmp_path))).parent)
