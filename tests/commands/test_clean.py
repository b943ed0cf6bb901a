"""Test the command that lists and removes old sessions."""

import os
import time

import pytest

from harness.commands.clean import BUSY_SECONDS
from harness.commands.main import main

HOUR = 3600


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return a folder of sessions, named by the environment."""
    monkeypatch.setenv("PHASE3_DIR", str(tmp_path))
    return tmp_path


def put(place, kind, name, file, age):
    """Make a folder of a kind that was last changed ``age`` seconds ago."""
    folder = place / kind / name
    folder.mkdir(parents=True)
    path = folder / file
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


def test_foreign_folders_and_running_sessions_stay(place, capsys):
    """A folder that is no session, a link to one, and a session without a result that was just written to are left alone."""
    foreign = place / "sessions" / "mes photos"
    foreign.mkdir(parents=True)
    running = place / "sessions" / "running" / "shares"
    running.mkdir(parents=True)
    record = put(place, "records", "2026-01-01-1", "seal.json", HOUR)
    assert main(["clean", "--keep", "0", "--yes"]) == 0
    assert foreign.is_dir()
    assert running.is_dir()
    assert not record.exists()
    then = time.time() - 2 * BUSY_SECONDS
    for each in (running, running.parent):
        os.utime(each, (then, then))
    capsys.readouterr()
    main(["clean", "--keep", "0", "--yes"])
    assert not running.exists()
    main(["clean"])
    assert "Nothing to remove" in capsys.readouterr().out
