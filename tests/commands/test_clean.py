"""Test the command that lists and removes old sessions."""

import os
import time

import pytest

from harness.commands.main import main
from harness.record.in_use import Hold, InUseError, held, locks_of
from tests.hostile import KINDS, deep, facts, replace, users_folder

HOUR = 3600
POSIX = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="links without privileges and pipes exist on POSIX only")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return a folder of sessions, named by the environment."""
    monkeypatch.setenv("PHASE3_DIR", str(tmp_path))
    return tmp_path


def put(place, kind, name, file, age):
    """Make a folder of a kind that was last changed ``age`` seconds ago."""
    folder = place / kind / name
    path = folder / file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * 2000)
    then = time.time() - age
    for each in (path, folder):
        os.utime(each, (then, then))
    return folder


def test_old_sessions_are_listed_and_stay(place, capsys):
    """Without --yes nothing is removed, and the command that removes them is named."""
    sessions = [put(place, "sessions", f"s{n}", "session.json", HOUR * (9 - n)) for n in range(4)]
    assert main(["clean", "--keep", "1"]) == 0
    shown = capsys.readouterr().out
    assert [s.name for s in sessions if str(s) in shown] == ["s0", "s1", "s2"]
    assert "3 folders, 6\N{NO-BREAK SPACE}kB. Remove them with: phase3 clean --yes" in shown
    assert all(s.is_dir() for s in sessions)


def test_old_sessions_are_removed_on_request(place, capsys):
    """--yes removes them, and never the one that ``latest`` names."""
    sessions = [put(place, "sessions", f"s{n}", "session.json", HOUR * (9 - n)) for n in range(4)]
    (place / "latest").write_text("sessions/s1")
    assert main(["clean", "--keep", "1", "--yes"]) == 0
    assert [s.name for s in sessions if s.exists()] == ["s1", "s3"]
    assert "Removed 2 folders, 4\N{NO-BREAK SPACE}kB." in capsys.readouterr().out


def test_foreign_folders_stay(place, capsys):
    """A folder that is no session, and the frames of a user, are left alone; what a broken session left is removed."""
    foreign = place / "sessions" / "mes photos"
    foreign.mkdir(parents=True)
    other = put(place, "records", "mes images", "light.fits", HOUR)
    broken = put(place, "sessions", "broken", "shares/gw0.json", 0)
    assert main(["clean", "--keep", "0", "--yes"]) == 0
    assert foreign.is_dir()
    assert other.is_dir()
    assert not broken.exists()
    capsys.readouterr()
    main(["clean"])
    assert "Nothing to remove" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("sessions", "shares/gw0.json"),
        ("sessions", "session.json"),  # it was interrupted, and is being resumed
        ("records", "record-1/request.json"),
        ("cases", "per_tile/request.json"),
    ],
)
@pytest.mark.parametrize("process", ["controller", "gw0"])
def test_what_still_runs_stays_however_old_it_is(place, kind, file, process):
    """A session, record or case in which a process works is neither listed nor removed; without the process it is."""
    folder = put(place, kind, "20261130-000506-b7c297", file, 48 * HOUR)
    hold = Hold(folder, process)
    assert main(["clean", "--keep", "0", "--yes"]) == 0
    assert (folder / file).is_file()
    hold.release()
    assert main(["clean", "--keep", "0", "--yes"]) == 0
    assert list((place / kind).iterdir()) == []


def test_a_lock_that_a_killed_process_left_holds_nothing(place):
    """A lock file without a process is no sign of work; it goes with its folder."""
    folder = put(place, "sessions", "one", "session.json", HOUR)
    (place / "sessions" / "one.controller.lock").touch()
    (place / "sessions" / "one.more.controller.lock").touch()
    assert [path.name for path in locks_of(folder)] == ["one.controller.lock"]
    assert main(["clean", "--keep", "0", "--yes"]) == 0
    assert [path.name for path in (place / "sessions").iterdir()] == ["one.more.controller.lock"]


def test_two_processes_do_not_work_in_one_folder(place):
    """A folder that is held is refused with its path; an error in the work gives it back."""
    folder = place / "records" / "new"

    def work():
        with held(folder):
            with pytest.raises(InUseError, match="still running"), held(folder):
                pass
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            work()
    assert list(folder.parent.iterdir()) == []


@POSIX
def test_links_in_an_old_session_lead_nowhere(place, tmp_path):
    """Links, hard links and folders without rights in an old session are removed; the user's files behind them stay."""
    user = users_folder(tmp_path / "user")
    before = facts(user)
    session = put(place, "sessions", "old", "session.json", 10)
    record = session / "runs" / "one"
    record.mkdir(parents=True)
    for kind in KINDS:
        replace(record / kind, kind, user)
    (record / "inner").mkdir()
    os.link(user / "read only.txt", record / "inner" / "read only.txt")
    (record / "inner").chmod(0o000)
    assert main(["clean", "--keep", "0", "--yes"]) == 0
    assert not session.exists()
    assert facts(user) == before


@POSIX
def test_sessions_behind_a_link_of_the_user_are_removed(place, tmp_path):
    """The folder of sessions may be a link to another disk; a session that is a link is no session."""
    (tmp_path / "disk").mkdir()
    (place / "sessions").symlink_to(tmp_path / "disk")
    session = put(place, "sessions", "old", "session.json", 10)
    linked = put(tmp_path, "elsewhere", "mine", "session.json", 20)
    (place / "sessions" / "linked").symlink_to(linked)
    assert main(["clean", "--keep", "0", "--yes"]) == 0
    assert not session.exists()
    assert (linked / "session.json").exists()


@POSIX
def test_a_session_with_folders_a_thousand_deep_is_measured_and_removed(place, capsys):
    """Python's own walk fails on them. Every byte that can be reached is counted."""
    old = put(place, "sessions", "s0", "session.json", HOUR)
    with deep(old / "runs"):
        assert main(["clean", "--keep", "0"]) == 0
        assert "2\xa0kB" in capsys.readouterr().out
        assert main(["clean", "--keep", "0", "--yes"]) == 0
        assert not old.exists()
