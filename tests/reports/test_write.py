"""Writing the views of a session: how often files are read."""

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from harness.commands.main import main
from harness.record.reader import read_record, read_request
from harness.session.integrity import FILE, VIEWS, check
from reports.material import Material
from reports.write import write_views
from tests.sample_session import sample_session

OPENED = []
_OTHER = os.O_WRONLY | os.O_RDWR | getattr(os, "O_DIRECTORY", 0)


@pytest.fixture(scope="module", autouse=True)
def hook():
    """Count the files that are opened for reading; an audit hook can't be removed, so there is one that adds to a list."""

    def note(event, arguments):
        if event == "open" and not arguments[2] & _OTHER:
            OPENED.append(str(arguments[0]))

    sys.addaudithook(note)


def reads(folder, action):
    """Return how often each file below a folder is opened for reading by an action."""
    OPENED.clear()
    action()
    found = Counter(OPENED)
    return {name: n for path, n in found.items() if (name := Path(path)).is_relative_to(folder)}


def test_all_views_rest_on_one_reading(tmp_path):
    """Two reports, two summaries and JUnit read session.json once, and each record as often as one reading of it does."""
    session = sample_session(tmp_path, "zemosaic")
    once = reads(tmp_path, lambda: [read_record(tmp_path / run.record) for run in session.runs])
    assert len(once) > len(session.runs)
    found = reads(tmp_path, lambda: write_views(Material(tmp_path)))
    assert found.pop(tmp_path / "session.json") == 1
    for name in (FILE, *VIEWS):  # what was written is noted in the manifest
        assert found.pop(tmp_path / name) == 1
    pictures = {path: n for path, n in found.items() if path not in once or n != once[path]}
    assert {path.suffix for path in pictures} <= {".png"}
    assert all(n == once.get(path, 0) + 1 for path, n in pictures.items())  # to be drawn, once for both languages


def test_the_report_command_reads_once(tmp_path, capsys):
    """The command that writes the views again takes the exit status from the same reading.

    Before that the file is compared with the manifest, and the runs that it names are, once each.
    """
    sample_session(tmp_path, "zemosaic")
    assert reads(tmp_path, lambda: main(["report", str(tmp_path)]))[tmp_path / "session.json"] == 3
    assert "report.fr.html" in capsys.readouterr().out


def test_the_definition_of_done_rests_on_one_reading(tmp_path):
    """Page and annex in both languages read session.json once, and of each record the seal and the request, once each.

    Before that everything is compared with the manifest, once. Each record is read whole once, for its size and its mosaic, in
    both languages.
    """
    session = sample_session(tmp_path / "session", "zemosaic")
    folder = tmp_path / "session"
    once = reads(folder, lambda: [read_request(folder / run.record) for run in session.runs])
    seals = {folder / run.record / "seal.json": 1 for run in session.runs}
    drawn = folder / next(run.record for run in session.runs if run.role == "subject")
    whole = reads(folder, lambda: [read_record(folder / run.record) for run in session.runs])
    compared = Counter(reads(folder, lambda: check(folder)))
    found = reads(folder, lambda: main(["dod", str(folder), "-o", str(tmp_path / "x.md")]))
    assert set(once.values()) == {1}
    expected = Counter({folder / "session.json": 1, **once, **seals}) + Counter(whole)
    assert found == expected + compared + Counter({drawn / "thumbnail.png": 1, folder / FILE: 1})
