"""Show a line of the checklist: its badge, which never claims more than was run, and a short note on what is open.

Every view takes the badge of a line from here: the page with its sign-off, the summary, the terminal, ``phase3 sign``,
``phase3 verify`` and ``phase3 dod``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from harness.language.catalogue import Language
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.decision import BEFORE, Scope, row_of
from harness.session.definition_of_done import Done
from harness.session.model import Requirement, Session, TestEntry
from harness.session.rows import plain, waits_for_own_data
from harness.signoff.statement import RunPart
from harness.verdict import Outcome, merge
from reports.badges import Badge, badge
from reports.brief import scope_in_words

OPTIONAL = "(optionnel)"
"""The word by which a line of the checklist says that it is optional."""

_OF_THE_PATCH = "test_guard_rails.py"
_SKIPPED = (Outcome.NOT_APPLICABLE, Outcome.NOT_EVALUATED)


def row_badge(row: Requirement, session: Session, lang: Language) -> Badge:
    """Return the badge of a line: that of its outcome, or for a line that was run in part how much of it was."""
    return row_badge_over(row, (session,), lang)


def row_badge_over(row: Requirement, sessions: Sequence[Session], lang: Language) -> Badge:
    """Return the badge of a line over several sessions of one target."""
    return seen_badge(row.outcome, part_of(row, sessions), lang)


def seen_badge(outcome: Outcome, part: RunPart | None, lang: Language) -> Badge:
    """Return the badge of a line from its outcome, and from how much of it was run (`part_of`)."""
    if part is None:
        return badge(outcome, lang)
    if not part.run:
        return Badge("○", lang.say("not run"), "none")
    return part_badge(part.run, part.all, part.of, lang)


def part_of(row: Requirement, sessions: Sequence[Session]) -> RunPart | None:
    """Return how much of a line was run that was not evaluated as a whole; ``None`` for any other line."""
    if row.outcome is not Outcome.NOT_EVALUATED or any(_says_nothing(row, session) for session in sessions):
        return None
    run, missing = len(row.cases), len(row.missing)
    if waits_for_own_data(row):
        return RunPart(0, run + missing, "cases")
    if run and missing:
        return RunPart(run, run + missing, "cases")
    return RunPart(*_tests_run(row, sessions), "tests")


def row_scope(scope: Scope, shown: Badge, lang: Language) -> str:
    """Return the scope of a line in words; a badge that says how many cases were run says it once."""
    return scope_in_words(replace(scope, missing=0) if shown.style == "part" else scope, lang)


def done_badge(done: Done, lang: Language) -> Badge:
    """Return the badge of the Definition of Done over several sessions.

    Lines of which nothing failed and that were run in part are no unknown result: the title of the page says ``◐`` too.
    """
    sessions = [part.session for part in done.own]
    if done.outcome is not Outcome.UNKNOWN:
        return badge(done.outcome, lang)
    if any(session.interrupted is not None for session in sessions):
        return Badge("◐", lang.say("interrupted"), "unknown")
    if any(session.self_test for session in sessions):
        return badge(Outcome.NOT_EVALUATED, lang)
    lines = [line.outcome for line in done.lines if line.section == DEFINITION_OF_DONE]
    if Outcome.UNKNOWN in lines or merge(session.outcome for session in sessions) is not Outcome.PASS:
        return badge(done.outcome, lang)
    return Badge("◐", lang.say("in part"), "none")


def counted(badges: Iterable[Badge], lang: Language) -> tuple[tuple[Badge, str], ...]:
    """Count equal signs. The words of lines that were run in part differ by their numbers: here they have one word."""
    found: dict[str, tuple[Badge, int]] = {}
    for shown in badges:
        first = replace(shown, word=lang.say("in part")) if shown.style == "part" else shown
        found[shown.sign] = (first, found.get(shown.sign, (first, 0))[1] + 1)
    return tuple((shown, str(count)) for shown, count in found.values())


def part_badge(run: int, all_of_them: int, what: Literal["cases", "tests", "lines"], lang: Language) -> Badge:
    """Return the badge of what was run in part and did not fail. A tick would look like a pass of the whole."""
    if run == all_of_them:  # all of it ran, and something else is missing
        return Badge("◐", lang.say("in part"), "part")
    words = {
        "cases": lang.say("{run} of {all} cases", run=run, all=all_of_them),
        "tests": lang.counted("{count} of {all} tests", "{count} of {all} tests", count=run, all=all_of_them),
        "lines": lang.counted("{count} of {all} lines", "{count} of {all} lines", count=run, all=all_of_them),
    }
    return Badge("◐", words[what], "part")


def interrupted_badge(lang: Language) -> Badge:
    """Return the badge of a session that ended before its tests had run, and in which nothing failed."""
    return Badge("◐", lang.say("interrupted"), "unknown")


def row_note(row: Requirement, session: Session, lang: Language) -> str:
    """Return what a line lacks or what it is; empty for a line that was run as a whole."""
    notes = [lang.say("Optional.")] if OPTIONAL in row.text else []
    open_line = row.outcome is Outcome.NOT_EVALUATED
    done, all_tests = tests_run(row, session)
    if row.outcome is Outcome.UNKNOWN:
        notes.append(_why_unknown(row, session, lang))
    elif open_line and row.reason is not None and (_says_nothing(row, session) or waits_for_own_data(row)):
        notes.append(lang.render(row.reason))
    elif open_line and not row.tests:
        notes.append(lang.say("No test answers this line."))
    elif open_line and not done:
        notes.append(_why_not_run(row, session, lang))
    elif open_line and row.cases and done < all_tests:
        notes.append(lang.say("{count} of its {all} tests did not run.", count=all_tests - done, all=all_tests))
    return " ".join(notes)


def _why_unknown(row: Requirement, session: Session, lang: Language) -> str:
    """Return what kept a line from a conclusion, the first of several reasons, and what to do."""
    say = lang.say
    of_runs = [verdict for verdict, _ in row_of(row, session).unknown]
    asked = {test.check for test in tests_of(row, session) if test.outcome is Outcome.UNKNOWN}
    of_patch = [v for v in session.patch if v.outcome is Outcome.UNKNOWN and v.check in asked]
    reasons = list(dict.fromkeys(lang.render(verdict.sentence) for verdict in (*of_runs, *of_patch)))
    if not reasons and row.reason is not None:
        reasons = [lang.render(row.reason)]
    if not reasons:
        return say("Evidence is missing. Run it again.")
    if len(reasons) == 1:
        return say("{reason} Run it again.", reason=reasons[0])
    return say("{reason} Run it again. Other reasons, under Why: {number}.", reason=reasons[0], number=len(reasons) - 1)


def _why_not_run(row: Requirement, session: Session, lang: Language) -> str:
    """Return why no test of a line ran, and what to do."""
    say = lang.say
    tests = tests_of(row, session)
    judges_patch = all(_OF_THE_PATCH in name for name in row.tests)
    befores = {run.target for run in session.runs if run.role in BEFORE}
    if judges_patch and tests and befores <= {session.target}:
        return say("The version before the patch is missing, or the same: name it with --phase3-baseline.")
    if any(test.outcome is Outcome.NOT_APPLICABLE for test in tests):
        return say("Its tests do not apply to this target or these frames: see Tests.")
    if tests:
        return say("Its tests were skipped: see their reason under Tests.")
    if session.interrupted is not None:
        return say("The session ended before its tests: run it again.")
    if session.options.get("quick"):
        return say("Left out by --phase3-quick: run without it.")
    return say("The session did not ask for its tests: run its command.")


def tests_run(row: Requirement, session: Session) -> tuple[int, int]:
    """Return how many tests of a line were evaluated, and how many it has."""
    return _tests_run(row, (session,))


def _tests_run(row: Requirement, sessions: Iterable[Session]) -> tuple[int, int]:
    tests = (test for session in sessions for test in tests_of(row, session))
    evaluated = {plain(test.nodeid) for test in tests if test.outcome not in _SKIPPED}
    return len(evaluated), len(row.tests)


def tests_of(row: Requirement, session: Session) -> tuple[TestEntry, ...]:
    """Return the tests of a line in a session, with their parameters."""
    return tuple(test for test in session.tests if plain(test.nodeid) in row.tests)


def _says_nothing(row: Requirement, session: Session) -> bool:
    """Return whether a line is about the real target, and the session ran the embedded reference."""
    return session.self_test and row.section == DEFINITION_OF_DONE
