"""Test the families of `tests.reliability`: each counts a loss, an entry and an unseen change that was planted, and no other."""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.language.message import SaidError, say
from harness.verdict import Outcome, Verdict
from tests.faults import contents
from tests.reliability import bits, disks, fuzz, hostile, signals, ways
from tests.reliability.operations import KINDS, striking
from tests.reliability.pool import new_folder
from tests.reliability.tally import LET_IN, LOST, Attempt, ended

SEED = 20261130
POSIX = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="signals, pipes and links without privileges are POSIX's")


def counted(family, attempt):
    """Return the tally of one attempt."""
    return family.counted(SEED, [(0, attempt)])


def planted(folder, read, **more):
    """Return a reader of a file with the text ``fail``, with its answer to the good file."""

    def make(place):
        place.mkdir(exist_ok=True)
        (place / "x").write_bytes(b"fail")
        return place / "x"

    return fuzz.prepared(fuzz.Reader("x", make, read, **more), make(folder), "1", twice=False)


def test_a_reader_that_raises_an_error_of_python_is_counted(tmp_path):
    """A reader that lets a KeyError through is let in, and so is one whose error has no sentence."""

    def read(path):
        if path.read_bytes() == b"bad":
            raise KeyError("x")
        if path.read_bytes() == b"mute":
            raise SaidError
        return 1

    given = planted(tmp_path, read)
    attempt = fuzz.read_damaged(given, "x", b"bad")
    assert counted(fuzz.FAMILY, attempt).let_in == 1
    assert "KeyError" in attempt.detail
    assert "without a sentence" in fuzz.read_damaged(given, "x", b"mute").detail
    assert fuzz.read_damaged(given, "x", b"fail").kind == ""


def verdict_of(path):
    """Answer with the verdict that a file has in words."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return [Verdict("holes", Outcome.PASS if text == "pass" else Outcome.FAIL, say("x"))]


def test_a_reader_that_changes_a_verdict_in_silence_is_counted(tmp_path):
    """The same answer as for the good file is harmless; another one without a word is let in, and one with a word is not."""
    faulty = planted(tmp_path, verdict_of)
    attempt = fuzz.read_damaged(faulty, "x", b"pass")
    assert counted(fuzz.FAMILY, attempt).let_in == 1
    assert "another answer than that for the good file" in attempt.detail
    assert fuzz.read_damaged(faulty, "x", b"fail, with more").kind == ""
    honest = planted(tmp_path, verdict_of, noted=lambda answer: answer[0].outcome is Outcome.PASS)
    assert fuzz.read_damaged(honest, "x", b"pass").kind == ""

    def refusing(path):
        if path.read_bytes() != b"fail":
            raise SaidError(say("expected fail"))
        return 1

    assert fuzz.read_damaged(planted(tmp_path, refusing), "x", b"pass").kind == ""


def test_an_input_that_passes_more_after_its_damage_is_counted(tmp_path):
    """Another input may have another answer, but damage must not let a check pass that did not."""
    given = planted(tmp_path, verdict_of, own="an input")
    assert "passes ['holes']" in fuzz.read_damaged(given, "x", b"pass").detail
    other = planted(tmp_path, lambda path: path.stat().st_size, own="an input")
    assert fuzz.read_damaged(other, "x", b"12345").kind == ""


def test_the_answer_to_the_good_file_is_taken_before_any_damage(tmp_path):
    """A reader that remembers its last file can't make the good answer out of a damaged one."""
    seen = []

    def read(path):
        seen.append(path.read_bytes())
        return len(seen)

    given = planted(tmp_path, read)
    assert (seen, given.answer) == ([b"fail"], 1)
    assert fuzz.read_damaged(given, "x", b"fail ").kind == LET_IN


def test_answers_are_compared_by_their_content():
    """Arrays, numbers, sets and dataclasses differ if a part of them does; two folders of one name do not."""
    one = {"a": np.zeros((2, 3)), "b": [1, (2.0, {"x"})], "c": Attempt("x"), "d": Path("one/x")}
    same = {"d": Path("two/x"), "c": Attempt("x"), "b": [1, (2.0, {"x"})], "a": np.zeros((2, 3))}
    assert fuzz.plain(one) == fuzz.plain(same)
    for name, other in {"a": np.ones((2, 3)), "b": [1, (2.0, {"y"})], "c": Attempt("y"), "d": Path("y")}.items():
        assert fuzz.plain({**one, name: other}) != fuzz.plain(one)
    assert fuzz.plain(1.0) != fuzz.plain(1)
    assert fuzz.plain(np.zeros(2)) != fuzz.plain(np.zeros(2, np.float32))


def a_block(name):
    """Return the damaged files of a reader."""
    return fuzz._prepared(next(n for n, reader in enumerate(fuzz.READERS) if reader.name == name), SEED)


def test_a_damaged_record_that_passes_is_counted(monkeypatch):
    """If the damage of a record were not found, its verdicts would pass."""
    given = a_block("left")
    assert fuzz.read_damaged(given, "x", given.good + b"\n", 1).kind == ""
    monkeypatch.setattr(fuzz, "_passed", lambda _: ["cache"])
    attempt = fuzz.read_damaged(given, "x", given.good + b"\n", 1)
    assert counted(fuzz.FAMILY, attempt).let_in == 1
    assert "a damaged record passes ['cache']" in attempt.detail


def test_a_changed_session_that_nothing_names_is_counted(monkeypatch):
    """The session of a damaged file must name it; without that, what it concludes shows that a verdict was changed."""
    given = a_block("session")
    better = given.good.replace(b'"fail"', b'"pass"')
    assert better != given.good
    assert fuzz.read_damaged(given, "x", better).kind == ""
    monkeypatch.setattr("harness.session.integrity._differs", lambda *_: [])
    for name in ("_new", "_claimed"):
        monkeypatch.setattr(f"harness.session.integrity.{name}", lambda *_: [])
    assert counted(fuzz.FAMILY, fuzz.read_damaged(given, "x", given.good + b"\n")).unseen == 1
    digest = hashlib.sha256(better).hexdigest()
    monkeypatch.setattr("harness.session.integrity._read", lambda _: {"session.json": digest})
    attempt = fuzz.read_damaged(given, "x", better)
    assert counted(fuzz.FAMILY, attempt).let_in == 1
    assert "the session concludes something else" in attempt.detail


def test_every_reader_outside_a_session_says_why_it_may_answer_otherwise():
    """A reason that is not needed would hide a finding: files of a session have none."""
    own = {reader.name for reader in fuzz.READERS if reader.own}
    assert "share" not in own
    assert "copy of the target" not in own
    for name in ("session", "acceptance", "signature", "release", "sign-off", "events-1"):
        given = a_block(name)
        assert given.concluded
        assert name not in own


def test_a_flipped_bit_that_nothing_finds_is_counted(tmp_path):
    """If the session named nothing, the bit would be unseen; the file has its content again after that."""
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    blind = bits.Kept("x", lambda root: root, lambda _: [])
    attempt = bits.flipped(blind, tmp_path, path, 1, 0)
    assert counted(bits.FAMILY, attempt).unseen == 1
    assert path.read_bytes() == b"abc"
    seeing = bits.Kept("x", lambda root: root, lambda _: ["x"])
    assert bits.flipped(seeing, tmp_path, path, 1, 0).kind == ""


def test_changes_that_are_found_before_there_are_any_prove_nothing(monkeypatch):
    """A folder that its own command refuses unchanged would let every flipped bit look found."""
    monkeypatch.setitem(bits.KEPT, "x", bits.Kept("x", lambda root: root, lambda _: ["x"]))
    with pytest.raises(AssertionError, match="before there are any"):
        bits._made("x")


@pytest.mark.parametrize("name", sorted(bits.KEPT))
def test_a_flipped_bit_of_each_kept_folder_is_seen(name):
    """Sessions that are whole, signed, merged, with a killed run, or killed; what a key signed; records; copies of the target."""
    if name in bits.NEEDS_SSH and shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed: no key can sign")
    kept, folder = bits.KEPT[name], bits._made(name)
    names = {path.name for path in folder.rglob("*") if path.is_file() and bits._rests(kept, path, folder)}
    wanted = {
        "session": {"session.json", "accepted.json", "signoff.json", "release.json", "gw0.json", "thresholds.toml"},
        "session with a killed run": {"request.json", "events-1.jsonl", "integrity.json"},
        "session signed with a key": {"signoff.json", "signoff.json.sig"},
        "what a key signed": {"signoff.json", "signoff.json.sig", "session.json", "report.html", "seal.json"},
        "merged session": {"session.json", "thresholds.toml"},
        "session that was killed": {"gw0.json", "started.json", "seal.json"},
    }
    assert wanted.get(name, set()) <= names
    for path in (path for path in sorted(folder.rglob("*")) if path.name in wanted.get(name, set())):
        if bits._rests(kept, path, folder):
            attempt = bits.flipped(kept, folder, path, path.stat().st_size // 2, 0)
            assert (attempt.kind, attempt.detail) == ("", ""), attempt.what


def test_an_older_file_that_a_failing_command_cuts_off_is_counted(monkeypatch):
    """A command that writes a page in place leaves half of it when the disk is full."""
    monkeypatch.setattr(disks, "peace", lambda _: disks.Peace(1, "", frozenset({"a/more.html"}), {}))
    with new_folder() as folder:
        before = disks._prepared(folder / "x")
        (folder / "x" / "a" / "report.html").write_text("<html>", encoding="utf-8")
        (folder / "x" / "out.part").write_text("", encoding="utf-8")
        found = list(disks._wrong("report", folder / "x", before, 0, "Traceback", quiet=False))
        attempt = ended("x", found)
        assert counted(disks.FAMILY, attempt).lost == 1
        words = ("half written", "parts are left", "a traceback", "no word of the failure", "status 0 in place of 1")
        assert [word for word in (*words, "files are missing") if word not in attempt.detail] == []
        quiet = [detail for _, detail in disks._wrong("report", folder / "x", before, 1, "", quiet=True)]
        assert [word for word in ("parts are left", "no word of the failure") if word in " ".join(quiet)] == []
        (unsaid,) = disks._wrong("report", folder / "x", contents(folder / "x"), 2, "", quiet=True)
        assert "neither the place nor the cause" in unsaid[1] or "with room" in unsaid[1]


def test_every_kind_of_operation_is_counted_and_fails_once(tmp_path):
    """Whatever writes a file by the standard library is met: by its kind, at its turn, and not outside the block."""
    (tmp_path / "old").write_text("x", encoding="utf-8")

    def everything(folder):
        folder.mkdir()
        (folder / "sub").mkdir(exist_ok=True)
        (folder / "sub").mkdir(exist_ok=True)  # it exists: nothing changes
        (folder / "text").write_text("é" * 9000, encoding="utf-8")
        with (folder / "raw").open("wb", buffering=0) as stream:
            stream.write(b"a")
        with open(folder / "both", "w+b") as stream:  # noqa: PTH123 -- what is counted
            stream.write(b"abc")
            stream.seek(0)
            assert stream.read() == b"abc"
            os.fsync(stream.fileno())
        shutil.copyfile(tmp_path / "old", folder / "copy")
        (folder / "raw").replace(folder / "replaced")
        (folder / "copy").rename(folder / "renamed")
        os.link(folder / "both", folder / "linked")
        (folder / "symbolic").symlink_to(folder / "both")
        (folder / "text").chmod(0o600)
        os.utime(folder / "text")
        os.truncate(folder / "text", 1)
        (folder / "linked").unlink()
        (folder / "absent").unlink(missing_ok=True)  # there is none: nothing changes
        (folder / "sub").rmdir()

    with striking() as struck:
        everything(tmp_path / "0")
    kinds = {kind for kind in KINDS if kind != "copy" or hasattr(os, "sendfile")}
    assert set(struck.counts) == kinds
    assert (struck.counts["mkdir"], struck.counts["unlink"], struck.counts["open"]) == (2, 1, 4)
    turns = [(kind, number) for kind in sorted(kinds) for number in range(1, struck.counts[kind] + 1)]
    for place, (kind, number) in enumerate(turns, 1):
        for error in KINDS[kind]:
            with striking(kind, number, error) as again, pytest.raises(OSError) as caught:  # noqa: PT011
                everything(tmp_path / f"{place} {error}")
            assert (again.met, caught.value.errno) == (True, error)
    with striking("open", 99) as never, open(os.devnull, "w", encoding="utf-8") as stream:  # noqa: PTH123 -- what is counted
        stream.write("x")
    assert (never.met, sum(never.counts.values())) == (False, 0)
    everything(tmp_path / "after")


@POSIX
def test_a_process_and_a_changed_frame_after_a_signal_are_counted(monkeypatch):
    """A program that changes a frame of the user, and leaves a process, is found in both."""
    monkeypatch.setattr(signals, "GONE_SECONDS", 0.5)
    monkeypatch.setattr(signals, "in_peace", lambda _: signals.Peace(1.0, {}))
    words = (
        "import subprocess, sys; from pathlib import Path; root = Path(sys.argv[1]); (root / 'frames' / 'x').write_text('other');"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)', sys.argv[1]], start_new_session=True)"
    )

    def prepare(root):
        (root / "frames").mkdir()
        (root / "frames" / "x").write_text("mine", encoding="utf-8")

    program = signals.Program(
        "x",
        prepare,
        lambda root: [signals.sys.executable, "-c", words, str(root)],
        lambda root: [root / "frames"],
        (0,),
    )
    with new_folder() as folder:
        attempt = signals.strike(program, "SIGKILL", 1.0, folder)
    assert counted(signals.FAMILY, attempt).lost == 1
    assert "files of the user changed: ['frames/x']" in attempt.detail
    assert "processes are left" in attempt.detail


def attacked(way):
    """Return what an attack found."""
    with new_folder() as folder:
        return hostile.attacked(way, folder)


@POSIX
@pytest.mark.parametrize(
    ("script", "end", "told"),
    [
        ("raise SystemExit", ways.HARMLESS, "the attack was not made"),
        ("did(); raise SystemExit(3)", ways.HARMLESS, "expected the state done, found crashed"),
        ("pass", ways.UNKNOWN, "it passes ['crash', 'inputs']"),
        ("pass", ways.tampered("request.json: "), "as tampered with, found []"),
        ('(record / "request.json").unlink()', ways.tampered("seal.json: "), "found ['request.json: removed']"),
        ('(record / "request.json").unlink()', ways.HARMLESS, "it is not judged like an honest run"),
        ("pass", ways.beyond("lines"), "as beyond the limits, found []"),
        ("pass", ways.End(refused="seal.json"), "expected an error, found a record"),
        ("shutil.rmtree(record)", ways.HARMLESS, "expected a record, found no record"),
        ("pass", ways.STRAYS, "expected the reason 'outlived the target and were ended'"),
        ("did(); raise SystemExit(3)", ways.End(("crashed",)), "expected that [] fail, found ['crash']"),
    ],
)
def test_a_hostile_target_whose_run_ends_otherwise_is_counted(script, end, told):
    """An attack that did nothing, and another readable end than the stated one, are let in."""
    attempt = attacked(ways.Way("x", script, end))
    assert counted(hostile.FAMILY, attempt).let_in == 1
    assert told in attempt.detail


@POSIX
@pytest.mark.parametrize(
    ("script", "told"),
    [
        ('(user / "letter.txt").write_bytes(b"x")', "the folder user é changed"),
        ('(user.parent / "checkout" / "letter.txt").unlink()', "the folder checkout changed"),
        ('(user.parent / "earlier outputs" / "tmp").chmod(0o700)', "the folder earlier outputs changed"),
        ('(neighbour / "events-1.jsonl").write_bytes(b"")', "the record of an earlier run changed"),
    ],
)
def test_a_hostile_target_that_writes_elsewhere_is_counted(script, told):
    """What is the user's, and what was sealed before, stays byte for byte."""
    attempt = attacked(ways.Way("x", script, ways.HARMLESS))
    assert counted(hostile.FAMILY, attempt).lost == 1
    assert told in attempt.detail


@POSIX
def test_what_a_hostile_target_leaves_for_the_next_run_is_counted(monkeypatch):
    """A change of an earlier record must be seen, and the next run must be judged like an honest one."""
    attempt = attacked(ways.Way("x", "pass", ways.HARMLESS, strikes_neighbour=True))
    assert "the record of an earlier run was changed, and is read as it is" in attempt.detail
    frames = '(user.parent / "frames" / "é 0.fits").write_bytes(b"x")'
    attempt = attacked(ways.Way("x", frames, ways.HARMLESS))
    assert "the folder frames changed" in attempt.detail
    assert "the next run was refused" in attempt.detail
    monkeypatch.setattr("harness.session.integrity.read_intact", lambda *_, **__: None)
    attempt = attacked(ways.Way("x", f"{ways.FORGED}forge('../../session.json', {{}})", ways.HARMLESS))
    assert "a session that the target wrote is read" in attempt.detail


def test_every_hostile_way_states_its_end():
    """Each end of the table belongs to a way, and each kind of end is stated by some way."""
    names = {way.name for way in ways.WAYS}
    assert set(ways.ENDS) <= names
    assert set(ways.LIMITED) <= names
    ends = [way.end for way in ways.WAYS]
    assert [
        kind for kind in ("refused", "tampered", "beyond", "fails") if not any(getattr(e, kind) for e in ends)
    ] == []
    assert {end.judged for end in ends} == {"like an honest run", "unknown", "failed"}


def test_a_session_that_is_half_there_or_concludes_something_else_is_counted(tmp_path):
    """After a signal, what is there can be read; after its resumption, the session is whole, with the verdicts of peace."""
    folder = fuzz.READERS[[reader.name for reader in fuzz.READERS].index("session")].make(tmp_path).parent
    peace = signals.verdicts(folder)
    assert {"outcome", "4.1"} <= set(peace)
    assert list(signals.wrong_session(folder, peace, whole=True)) == []
    assert list(signals.wrong_session(None, peace)) == []
    assert [kind for kind, _ in signals.wrong_session(None, peace, whole=True)] == [LOST]
    other = {**peace, "4.1": "pass" if peace["4.1"] != "pass" else "fail"}
    assert [kind for kind, _ in signals.wrong_session(folder, other, whole=True)] == [LET_IN]
    assert list(signals.wrong_session(folder, other)) == []  # unfinished: it does not pass
    for name, content in (("report.html", b"<html>"), ("junit.xml", b"<a>"), ("summary.md", b"")):
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(content)
        told = " ".join(detail for _, detail in signals.wrong_session(folder, peace))
        assert f"{name} is half written" in told
        assert "not as its manifest says" in told
        (folder / name).write_bytes(before)
    (folder / "summary.fr.md").unlink()
    assert "summary.fr.md is missing" in " ".join(d for _, d in signals.wrong_session(folder, peace, whole=True))
    (folder / "session.json").write_text("{", encoding="utf-8")
    assert "can't be read" in " ".join(detail for _, detail in signals.wrong_session(folder, peace))


def test_a_session_is_resumed_as_its_messages_say(tmp_path):
    """A session that had not begun is begun; one that reached its end is not resumed; any other is, also without its manifest."""
    folder = fuzz.READERS[[reader.name for reader in fuzz.READERS].index("session")].make(tmp_path).parent
    assert signals._resuming(None) == []
    assert signals._resuming(folder) == []
    (folder / "integrity.json").unlink()
    assert signals._resuming(folder) == [f"--phase3-resume={folder.name}"]
    (folder / "session.json").unlink()
    assert signals._resuming(folder) == [f"--phase3-resume={folder.name}"]
    (folder / "started.json").unlink()
    assert signals._resuming(folder) == []


def test_a_killed_run_may_be_made_again_and_a_finished_one_may_not(tmp_path):
    """The seal of a run that was stopped with its session is replaced by the resumption; all others must stay."""
    record = signals.older_record(tmp_path)
    seal = record / "seal.json"
    assert list(signals._sealed(tmp_path)) == [str(seal)]
    seal.write_text('{"state": "killed"}', encoding="utf-8")
    assert signals._sealed(tmp_path) == {}
    seal.write_text("{", encoding="utf-8")
    assert list(signals._sealed(tmp_path)) == [str(seal)]
