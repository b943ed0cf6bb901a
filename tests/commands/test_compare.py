"""Test ``phase3 compare`` and ``phase3 accept``: output, files, exit status; and the commands of docs/comparing.md."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.commands.main import main
from harness.compare.accepted import FILE
from harness.session.model import read_session
from tests.compare_sessions import NAME, narrower, one_star_brighter, session_with_mosaics

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "comparing.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL) for line in block.strip().splitlines()
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two sessions whose runs under test differ, in a folder."""
    root = tmp_path_factory.mktemp("compared")
    session_with_mosaics(root / "before")
    session_with_mosaics(root / "after", subject_per_tile=one_star_brighter)
    session_with_mosaics(root / "canvas", subject_per_tile=narrower)
    return root


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """Copy the sessions into the working folder."""
    shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


ACCEPT = ("accept", "before", "after", "--by", "Zoé", "--reason", "A new star.")


@pytest.mark.usefixtures("here")
def test_equal_sessions_end_with_0(capsys):
    """A session compared with itself: nothing is worse."""
    assert main(["compare", "before", "before"]) == 0
    assert capsys.readouterr().out.startswith("✓ Nothing is worse in B than in A.")


@pytest.mark.usefixtures("here")
def test_a_difference_that_nobody_accepted_ends_with_1(capsys):
    """The image, the number of values and the largest difference are written."""
    assert main(["compare", "before", "after"]) == 1
    out = capsys.readouterr().out
    assert "Runs whose outputs differ and that nobody accepted: 1." in out
    assert "mosaic PRIMARY: 1 finite values differ, 1 are finite on one side only; the largest difference is 40" in out
    assert "coverage PRIMARY" not in out


def alone(here):
    """Return the name of a copy of the subject's record, in no session, that lacks its output file."""
    run = next(run for run in read_session(here / "before").runs if run.role == "subject")
    shutil.copytree(here / "before" / run.record, here / "alone")
    (here / "alone" / NAME).unlink()
    return "alone"


def test_outputs_that_are_not_there_end_with_3(capsys, here):
    """A missing output file is unknown; the message names it."""
    assert main(["compare", alone(here), "after::subject-per_tile"]) == 3
    assert f"{NAME}: missing" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("names", [("before", "nowhere"), ("before", "after::subject-per_tile"), ("a::b", "after")])
def test_wrong_usage_ends_with_2(capsys, names):
    """A wrong name is an error of usage, on standard error."""
    assert main(["compare", *names]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("phase3: expected")
    assert captured.out == ""


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", ["compare", "accept"])
@pytest.mark.parametrize("lang", ["en", "fr"])
def test_the_help_says_the_exit_status(capsys, command, lang):
    """The help lists what each status means."""
    with pytest.raises(SystemExit):
        main(["--lang", lang, command, "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert ("Exit status: 0" if lang == "en" else "Code de retour : 0") in out
    assert all(f" {status} " in out for status in range(4))


@pytest.mark.usefixtures("here")
def test_the_comparison_is_written_in_french(capsys):
    """Sentences, words of outcomes and numbers are French."""
    assert main(["--lang", "fr", "compare", "before", "canvas"]) == 1
    out = capsys.readouterr().out
    assert "Aucun verdict n’est dégradé." in out
    assert "Ciel couvert dans A seulement" in out
    assert "17 arcmin²" in out
    assert re.search(r"SHA-256 \w{12}…", out)
    assert "Outputs" not in out


def test_accepting_shows_the_differences_and_asks(capsys, here, monkeypatch):
    """On a terminal the differences come first, then the question; any other answer than yes writes nothing."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for answer, status in (("no\n", 1), ("", 1), ("yes\n", 0)):
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        assert main(list(ACCEPT)) == status
        out = capsys.readouterr().out
        assert out.index("1 finite values differ") < out.index("do you accept these differences (runs: 1)?")
        assert (here / "after" / FILE).exists() == (status == 0)
    assert main(["compare", "before", "after"]) == 0
    out = capsys.readouterr().out
    assert "Accepted by Zoé on" in out
    assert "Reason: A new star." in out


def test_a_french_yes_is_taken(here, monkeypatch, capsys):
    """In French the answer is ``oui``."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Terminal("oui\n"))
    assert main(["--lang", "fr", *ACCEPT]) == 0
    assert "Tapez oui" in capsys.readouterr().out
    assert (here / "after" / FILE).exists()


def test_without_a_terminal_nothing_is_accepted(capsys, here, monkeypatch):
    """Without a terminal and without ``--yes`` the command ends with 2 and writes nothing."""
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    assert main(list(ACCEPT)) == 2
    assert "add --yes" in capsys.readouterr().err
    assert not (here / "after" / FILE).exists()
    assert main([*ACCEPT, "--yes"]) == 0
    assert (here / "after" / FILE).exists()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("missing", ["--by", "--reason"])
def test_who_and_why_are_needed(capsys, missing):
    """A name and a reason are required, and may not be empty."""
    words = list(ACCEPT)
    words[words.index(missing) + 1] = " "
    assert main([*words, "--yes"]) == 2
    assert "--by and --reason" in capsys.readouterr().err
    del words[words.index(missing) : words.index(missing) + 2]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--yes"])
    assert ended.value.code == 2


def test_an_accepted_file_controls_no_terminal(capsys, here):
    """A name and a reason in accepted.json may hold anything: they are printed in their line, without control characters."""
    forged = [*ACCEPT, "--yes"]
    forged[forged.index("Zoé")] = "Zoé\n✓ all well\x1b[1A"
    forged[forged.index("A new star.")] = "A star.\r\n✓ nothing is worse\x9b2K"
    assert main(forged) == 0
    first = capsys.readouterr().out
    assert main(["compare", "before", "after"]) == 0
    second = capsys.readouterr().out
    assert "Accepted by Zoé ✓ all well\\u001b[1A" in first
    assert "Reason: A star. ✓ nothing is worse\\u009b2K" in second
    assert not re.search("[\x1b\x9b\r]", first + second)
    assert not [line for line in (first + second[1:]).splitlines() if line.startswith("✓")]
    assert json.loads((here / "after" / FILE).read_text(encoding="utf-8"))["acceptances"]


def test_equal_outputs_need_no_acceptance(capsys, here):
    """Without a difference nothing is written."""
    assert main(["accept", "before", "before", "--by", "Zoé", "--reason", "x", "--yes"]) == 0
    assert "no difference to accept" in capsys.readouterr().out
    assert not (here / "before" / FILE).exists()


def test_what_could_not_be_compared_is_not_accepted(capsys, here):
    """A run whose output file is missing is named and not accepted: the status is 3."""
    words = ["accept", alone(here), "after::subject-per_tile", "--by", "Zoé", "--reason", "x", "--yes"]
    assert main(words) == 3
    assert "not accepted: 1" in capsys.readouterr().out
    assert not (here / "after" / FILE).exists()


def test_a_record_without_a_session_is_not_accepted(capsys, here):
    """An acceptance lies next to a session.json: a record without one is refused."""
    run = next(run for run in read_session(here / "after").runs if run.role == "subject")
    shutil.copytree(here / "after" / run.record, here / "alone")
    words = ["accept", "before::subject-per_tile", "alone", "--by", "Zoé", "--reason", "x", "--yes"]
    assert main(words) == 2
    assert "next to session.json" in capsys.readouterr().err


def test_the_commands_of_the_document_run(capsys, here):
    """Each command of docs/comparing.md runs in this order, with the documented status, and writes the documented files."""
    assert len(COMMANDS) == 5
    statuses = []
    for line in COMMANDS:
        name, *words = shlex.split(line)
        assert name == "phase3"
        statuses.append(main(words))
        capsys.readouterr()
    # The second session differs in one run. Two of its runs differ as well; the acceptance is not of these two.
    assert statuses == [1, 1, 1, 0, 0]
    assert {path.name for path in here.glob("comparison*")} == {
        "comparison.html",
        "comparison.fr.html",
        "comparison.json",
    }
    assert json.loads((here / "comparison.json").read_text(encoding="utf-8"))["format"] == "phase3-comparison/1"


def test_a_reader_that_goes_away_does_not_lose_the_files(here):
    """The files are written before the text, so that ``phase3 compare … | head -1`` writes them."""
    words = [sys.executable, "-m", "harness.commands.main", "compare", "before", "after", "--json", "c.json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=here, env={**os.environ, "PYTHONPATH": str(ROOT)}) as run:
        run.stdout.close()
    assert json.loads((here / "c.json").read_text(encoding="utf-8"))["outcome"] == "fail"


def test_each_status_of_the_document_is_that_of_the_help(capsys):
    """The table of the document and the help give the same four statuses."""
    with pytest.raises(SystemExit):
        main(["--lang", "en", "compare", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    rows = dict(re.findall(r"^\| (\d) \| ([^|(]+?)(?: \(|,? or a file| \|)", PAGE, re.MULTILINE))
    assert len(rows) == 4
    assert [f"{status} {text}" in out for status, text in rows.items()] == [True] * 4
