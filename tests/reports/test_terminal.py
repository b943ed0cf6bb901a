"""Test the summary of a session in the terminal."""

from harness.language.message import say
from harness.session.model import (
    JudgedRun,
    read_session,
)
from harness.verdict import Outcome, Verdict
from reports.terminal import summary_lines
from tests.report_pages import a_session


def test_the_terminal_is_not_steered(folders):
    """The summary is plain text, one line per entry, whatever the names contain."""
    lines = summary_lines(read_session(folders["hostile"]), "fr")
    assert any("\\u202e\\u0000" in line for line in lines)
    assert all(c.isprintable() or c in "\u00a0\u202f" for line in lines for c in line)


def test_the_summary_is_compact_and_worst_first(folders):
    """The summary has title, counts, lines of the Definition of Done, judged runs with failures, controls, real sets."""
    lines = summary_lines(read_session(folders["zemosaic"]), "en")
    assert lines[:2] == (
        "zemosaic 63bcc2c: the validation fails",
        "Tests that fail: 3 of 3. Tests that could not conclude: 0.",
    )
    assert [line.partition(" (")[0].partition(": ")[2].split()[0] for line in lines[2:5]] == ["4.1", "4.2", "4.3"]
    assert lines[5] == "✗ fail: chain, version under test"
    assert "    ✗ tiles: Tile 3 is missing (3 of 4 made)." in lines
    assert lines[-3] == "No real set was judged."
    reference = summary_lines(read_session(folders["reference"]), "fr")
    assert reference[0] == "Autotest du banc\u00a0: réussi. Il ne dit rien de ZeMosaic."
    assert any(
        line.startswith("✓ réussi\u00a0: chain, version avec le défaut (rouges attendues\u00a0: avertissements, cache")
        for line in reference
    )


def test_one_sentence_of_many_checks_is_said_once():
    """Checks of a run with the same outcome and sentence share one line; others have their own."""
    ended, other = say("The run did not reach its end."), say("No tile was submitted.")
    unknown, fail = Outcome.UNKNOWN, Outcome.FAIL
    verdicts = tuple(
        Verdict(check, outcome, sentence)
        for check, outcome, sentence in (
            ("cache", unknown, ended),
            ("holes", unknown, ended),
            ("logs", unknown, other),
            ("tiles", fail, ended),
        )
    )
    judged = JudgedRun("r", case="chain", role="subject", verdicts=verdicts)
    lines = summary_lines(a_session(judged=(judged,)), "en")
    assert [line for line in lines if line.startswith("    ")] == [
        "    ✗ tiles: The run did not reach its end.",
        "    ? cache, holes: The run did not reach its end.",
        "    ? logs: No tile was submitted.",
    ]
