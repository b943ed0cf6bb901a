"""Test that sentences of older sessions are read in the present words."""

import json

import pytest

from harness.language.catalogue import language
from harness.language.message import Message
from harness.session.model import read_session, write_session
from harness.session.older_words import in_present_words
from harness.verdict import Outcome, Verdict
from tests.done_sessions import a_session

SPACE = "\N{NO-BREAK SPACE}"
WHEN = {"cache": "p3.npy", "seconds": "40.593"}


def told(text, **values):
    """Return a sentence of an older session in the present words, in English and French."""
    verdict = in_present_words(Verdict("tiles", Outcome.FAIL, Message("x"), {}, (Message(text, values),)))
    return tuple(language(code).render(verdict.cause[0]) for code in ("en", "fr"))


@pytest.mark.parametrize(
    ("text", "values", "english", "french"),
    [
        (
            "Thread {thread} removed {cache} {seconds} s after the start of Phase 3.",
            {"thread": "MainThread", **WHEN},
            "The main thread removed p3.npy 40.593 s after the start of Phase 3.",
            "Le fil principal a supprimé p3.npy 40,593 s après le début de la phase 3.",
        ),
        (
            "Thread {thread} renamed {cache} {seconds} s after the start of Phase 3.",
            {"thread": "Ph3_0", **WHEN},
            "The worker thread Ph3_0 renamed p3.npy 40.593 s after the start of Phase 3.",
            "Le fil de travail Ph3_0 a renommé p3.npy 40,593 s après le début de la phase 3.",
        ),
        (
            "Tile {tile}, which needed it, had been submitted and started only {later} s later.",
            {"tile": 3, "later": "0.075"},
            f"Tile 3, which needed it, had been submitted and started only 75{SPACE}ms later.",
            f"La tuile 3, qui en avait besoin, était soumise et n’a commencé que 75{SPACE}ms plus tard.",
        ),
        (
            "Tile {tile}, a retry of tile {origin}, was submitted with it only {later} ms later.",
            {"tile": 4, "origin": 3, "later": 2345},
            f"Tile 4, a retry of tile 3, was submitted with it only 2.3{SPACE}s later.",
            f"La tuile 4, reprise de la tuile 3, n’a été soumise avec lui que 2,3{SPACE}s plus tard.",
        ),
        (
            (
                "Tile {tile}, which needed it, had ended {earlier} ms before, but {thread} had not collected its result: the "
                "removal did not wait for it."
            ),
            {"tile": 4, "earlier": 10, "thread": "MainThread"},
            (
                f"Tile 4, which needed it, had ended 10{SPACE}ms before, but its result had not been collected: the removal did "
                "not wait for it."
            ),
            (
                f"La tuile 4, qui en avait besoin, était terminée depuis 10{SPACE}ms, mais son résultat n’avait pas été "
                f"recueilli{SPACE}: la suppression ne l’a pas attendue."
            ),
        ),
    ],
)
def test_a_sentence_of_an_older_session_is_read_in_the_present_words(text, values, english, french):
    """The main thread is named as such, and a duration has the unit of its size, in both languages."""
    assert told(text, **values) == (english, french)


@pytest.mark.parametrize("later", ["x", "inf", "nan", "", True])
def test_a_value_that_is_no_duration_is_kept(later):
    """A session may have been edited: the sentence is shown as it is, without an error."""
    text = "Tile {tile} was submitted with it only {later} s later."
    shown = told(text, tile=1, later=later)[0]
    assert shown.startswith("Tile 1 was submitted with it only ")
    assert told("Thread {thread} removed {cache} {seconds} s after the start of Phase 3.", cache="x", seconds="1")[0]


def test_a_session_is_read_in_the_present_words_and_its_file_is_not_changed(tmp_path):
    """The causes of a stored session are renewed as it is read."""
    old = Message(
        "Thread {thread} removed {cache} {seconds} s after the start of Phase 3.", {"thread": "MainThread", **WHEN}
    )
    session = a_session()
    path = write_session(session, tmp_path)
    data = json.loads(path.read_text(encoding="utf-8"))
    cause = [{"text": old.text, "values": dict(old.values)}]
    data["judged"][1]["verdicts"][0]["cause"] = cause
    path.write_text(json.dumps(data), encoding="utf-8")
    before = path.read_bytes()
    (renewed,) = read_session(tmp_path).judged[1].verdicts[0].cause
    assert renewed.render() == "The main thread removed p3.npy 40.593 s after the start of Phase 3."
    assert path.read_bytes() == before
