"""Say in words how a sign-off stands: a title, sentences, and a line for each decision. The page and the terminal show them."""

from __future__ import annotations

from dataclasses import dataclass

from harness.language.catalogue import Language
from harness.language.message import say
from harness.signoff.standing import Standing
from harness.signoff.statement import RowDecision, decision_word
from reports.badges import badge


@dataclass(frozen=True, slots=True)
class StandingWords:
    """The words for a sign-off."""

    title: str
    sentences: tuple[str, ...]
    lines: tuple[str, ...]


def standing_words(standing: Standing, lang: Language) -> StandingWords:
    """Return the words for a sign-off.

    For one that is not void they follow from the statement alone, so a page that is written again shows the same bytes.
    """
    if standing.statement is None:
        return StandingWords(lang.say("The sign-off is void."), tuple(map(lang.render, standing.changes)), ())
    said = standing.statement.predicate
    facts = {"by": said.by, "at": lang.when(said.at)}
    lines = tuple(row_words(row, lang) for row in said.rows)
    if standing.state == "void":
        title = lang.say("The sign-off by {by} of {at} is void.", **facts)
        return StandingWords(title, tuple(map(lang.render, standing.changes)), lines)
    word = lang.render(decision_word(said.decision))
    title = lang.say("{by}, {at}: {decision}.", decision=word, **facts)
    if said.key is None:
        kind = say("UNSIGNED: the name and the date are not proved.")
    else:
        kind = say(
            "Signed with the key {key}. To see whose key it is, and that nothing was changed: {command}",
            key=said.key,
            command="phase3 verify signoff.json --allowed-signers FILE",
        )
    return StandingWords(title, (lang.render(kind),), lines)


def row_words(row: RowDecision, lang: Language) -> str:
    """Return a line's decision with what the reviewer saw, and the comment."""
    word = lang.render(decision_word(row.decision))
    seen = f"{badge(row.outcome, lang).word}; {row.figure}" if row.figure else badge(row.outcome, lang).word
    line = lang.say("{id} {text}: {decision} ({seen})", id=row.id, text=row.text, decision=word, seen=seen)
    return f"{line} – {row.comment}" if row.comment else line
