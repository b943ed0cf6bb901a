"""Say in one sentence whether the Definition of Done holds. The sentence never claims more than was run."""

from __future__ import annotations

from harness.language.catalogue import Language
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.model import Session
from harness.verdict import Outcome
from reports.badges import Badge
from reports.headline import headline


def decided(session: Session, lang: Language) -> tuple[Badge, str, str]:
    """Return the badge of the title, the title, and a sentence with the counts of tests."""
    mark, title, counts = headline(session, lang)
    outcomes = [row.outcome for row in session.requirements if row.section == DEFINITION_OF_DONE]
    if session.self_test or session.interrupted is not None or session.doubts or not outcomes:
        return mark, title, counts
    fails, unknowns, opens = (outcomes.count(o) for o in (Outcome.FAIL, Outcome.UNKNOWN, Outcome.NOT_EVALUATED))
    say = lang.say
    if session.outcome is Outcome.FAIL and fails:
        sentence = lang.counted(
            "{target} does not meet the Definition of Done: {count} of {all} lines fails.",
            "{target} does not meet the Definition of Done: {count} of {all} lines fail.",
            count=fails,
            target=session.target,
            all=len(outcomes),
        )
    elif session.outcome is Outcome.UNKNOWN and unknowns and opens:
        sentence = say(
            "{target}: no decision. Of {all} lines, could not conclude: {count}; not run, or in part: {open}.",
            count=unknowns,
            open=opens,
            target=session.target,
            all=len(outcomes),
        )
    elif session.outcome is Outcome.UNKNOWN and unknowns:
        sentence = say(
            "{target}: no decision, because {count} of {all} lines could not conclude.",
            count=unknowns,
            target=session.target,
            all=len(outcomes),
        )
    elif session.outcome is not Outcome.PASS:
        sentence = title
    elif opens:
        sentence = lang.counted(
            "{target}: nothing that was run fails, but {count} of {all} lines of the Definition of Done is still open.",
            "{target}: nothing that was run fails, but {count} of {all} lines of the Definition of Done are still open.",
            count=opens,
            target=session.target,
            all=len(outcomes),
        )
    else:
        sentence = say(
            "{target} meets the Definition of Done: all {all} lines pass.", target=session.target, all=len(outcomes)
        )
    return mark, sentence, counts
