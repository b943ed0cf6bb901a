"""Say in words what a reviewer decides on, and how a sign-off stands. The page and the terminal show the same words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.language.catalogue import Language
from harness.language.message import flat
from harness.session.decision import DecisionRow, decision
from harness.session.model import Requirement, Session
from harness.signoff.signed_later import kind_of
from harness.signoff.standing import Standing
from harness.signoff.statement import Predicate, RowDecision, SeenRow, decision_word
from harness.verdict import Outcome
from reports.brief import figures_in_words
from reports.not_covered import Size, finding_line, known_findings, not_covered
from reports.rows import part_of, row_badge, row_scope, seen_badge

MAX_CHANGES = 3
"""Changes that one line names; it counts the others."""


@dataclass(frozen=True, slots=True)
class StandingWords:
    """The words for a sign-off."""

    title: str
    sentences: tuple[str, ...]
    lines: tuple[str, ...]


def standing_words(standing: Standing, lang: Language) -> StandingWords:
    """Return the words for a sign-off.

    For one that is not void they follow from the statement and the key that signed it, so a page that is written again shows the
    same bytes, or those with the key of a later signature (``harness.signoff.signed_later``).
    """
    if standing.statement is None:
        return StandingWords(lang.say("The sign-off is void."), tuple(map(lang.render, standing.changes)), ())
    said = standing.statement.predicate
    facts = {"by": flat(said.by), "at": lang.when(said.at)}
    lines = tuple(row_words(row, lang) for row in said.rows)
    if standing.state == "void":
        title = lang.say("The sign-off by {by} of {at} is void.", **facts)
        return StandingWords(title, tuple(map(lang.render, standing.changes)), lines)
    title = decision_title(said, lang)
    return StandingWords(title, (lang.render(kind_of(said.key or standing.key)),), lines)


def standing_line(standing: Standing, lang: Language) -> str:
    """Return how a sign-off stands in one line, in the words of the page: unsigned, signed by whom, or why it is void."""
    words = standing_words(standing, lang)
    left = len(words.sentences) - MAX_CHANGES
    more = (f"… ({left})",) if left > 0 else ()
    return flat(f"{words.title} {'; '.join((*words.sentences[:MAX_CHANGES], *more))}")


def decision_title(said: Predicate, lang: Language) -> str:
    """Return who decided what on the whole, and when."""
    word = lang.render(decision_word(said.decision))
    return flat(lang.say("Decision of {by}, {at}: {decision}.", by=said.by, at=lang.when(said.at), decision=word))


def row_words(row: RowDecision, lang: Language) -> str:
    """Return a line's decision with what the reviewer saw, and the comment."""
    word = lang.render(decision_word(row.decision))
    shown = seen_badge(row.outcome, row.part, lang)
    seen = lang.semicolons(filter(None, (f"{shown.sign} {shown.word}", row.figure)))
    line = lang.say("{id} {text}: {decision} ({seen})", id=row.id, text=row.text, decision=word, seen=seen)
    return flat(f"{line} – {row.comment}" if row.comment else line)


def seen_rows(session: Session, runs: Sequence[Size], lang: Language) -> tuple[SeenRow, ...]:
    """Return the lines of the Definition of Done in the words that a reviewer is shown before the decision.

    ``runs`` are the sizes of the session's runs.
    """
    return tuple(_seen(found, session, runs, lang) for found in decision(session))


def _seen(found: DecisionRow, session: Session, runs: Sequence[Size], lang: Language) -> SeenRow:
    """Return a line with its figures. Without figures it has the sentence on what it rests."""
    row, figures = found.row, figures_in_words(found.figures, lang)
    reason = "" if row.reason is None else lang.render(row.reason)
    more = [reason] if figures and reason and row.outcome is not Outcome.PASS else []
    return SeenRow(
        row.id,
        row.text,
        row.outcome,
        figure=figures or reason,
        scope=row_scope(found.scope, row_badge(row, session, lang), lang),
        limits=(*more, *_limits(row, session, runs, lang)),
        part=part_of(row, (session,)),
    )


def _limits(row: Requirement, session: Session, runs: Sequence[Size], lang: Language) -> Iterator[str]:
    """Yield what a line's verdict does not cover: its own missing cases, then what the page says of the session."""
    if row.missing and row.outcome is Outcome.PASS:
        yield lang.say("Cases that were not run: {missing}.", missing=", ".join(row.missing))
    if session.interrupted is not None:
        yield lang.render(session.interrupted)
    yield from (lang.render(doubt) for doubt in session.doubts)
    yield from not_covered(session, runs, lang)
    yield from (f"△ {finding_line(known, lang)}" for known in known_findings(session))
