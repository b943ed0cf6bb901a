"""Test every command that reads a session on one in which a file is replaced by a folder, or a folder by a file."""

import shutil

import pytest

from harness.commands.main import main
from harness.session.model import read_session
from tests.compare_sessions import session_with_mosaics
from tests.signed_sessions import decisions

# S is the session, OTHER the good one, OUT a new folder.
COMMANDS = (
    ("report", "S"),
    ("judge", "S"),
    ("judge", "S", "--json"),
    ("compare", "OTHER", "S", "--html", "OUT/c.html"),
    ("compare", "S", "OTHER"),
    ("accept", "OTHER", "S", "--by", "Zoé", "--reason", "x", "--yes"),
    ("merge", "OUT/merged", "S", "OTHER"),
    ("dod", "S", "-o", "OUT/dod.md"),
    ("sign", "S", *decisions(), "--by", "Zoé"),
    ("verify", "S"),
    ("conclude", "OUT/concluded", "S"),
)
PARTS = (
    "session.json",
    "report.html",
    "accepted.json",
    "signoff.json",
    "RECORD",
    "RECORD/request.json",
    "RECORD/seal.json",
    "RECORD/products.json",
    "RECORD/products.npz",
    "RECORD/events-1.jsonl",
    "RECORD/trace-1.jsonl",
    "RECORD/left.jsonl",
    "RECORD/inputs.jsonl",
    "RECORD/thumbnail.png",
    "RECORD/truth.json",
    "RECORD/outputs",
)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Return a session whose records have mosaics."""
    folder = tmp_path_factory.mktemp("good") / "s"
    session_with_mosaics(folder, "zemosaic")
    assert main(["report", str(folder)]) == 1
    return folder


@pytest.mark.parametrize("part", PARTS)
def test_what_is_replaced_by_a_folder_or_a_file_ends_no_command_with_a_traceback(part, good, tmp_path, capsys):
    """Each command gives its result or an error in words; none of them passes because a part can't be read."""
    session = shutil.copytree(good, tmp_path / "é")
    record = session / next(run.record for run in read_session(good).runs if run.key == "subject-per_tile")
    place = record if part == "RECORD" else record / part[7:] if part.startswith("RECORD/") else session / part
    if place.is_dir():
        shutil.rmtree(place)
        place.write_text("no folder", encoding="utf-8")
    else:
        place.unlink(missing_ok=True)
        place.mkdir()
    for number, command in enumerate(COMMANDS):
        out = tmp_path / str(number)
        out.mkdir()
        places = {"S": str(session), "OTHER": str(good)}
        status = main([places.get(word, word.replace("OUT/", f"{out}/")) for word in command])
        said = capsys.readouterr()
        assert status in (0, 1, 2, 3)
        assert "Traceback" not in said.err + said.out
        assert said.err + said.out
