"""Show a line of the checklist: its badge, which never claims more than was run, and a short note on what is open."""

from __future__ import annotations

from typing import Literal

from harness.language.catalogue import Language
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.decision import BEFORE, row_of
from harness.session.model import Requirement, Session, TestEntry
from harness.session.rows import plain, waits_for_own_data
from harness.verdict import Outcome
from reports.badges import Badge, badge

OPTIONAL = "(optionnel)"
"""The word by which a line of the checklist says that it is optional."""

_OF_THE_PATCH = "test_guard_rails.py"
_SKIPPED = (Outcome.NOT_APPLICABLE, Outcome.NOT_EVALUATED)


def row_badge(row: Requirement, session: Session, lang: Language) -> Badge:
    """Return the badge of a line: that of its outcome, or for a line that was run in part how much of it was."""
    if row.outcome is not Outcome.NOT_EVALUATED or _says_nothing(row, session):
        return badge(row.outcome, lang)
    if waits_for_own_data(row):
        return Badge("○", lang.say("not run"), "none")
    run, missing = len(row.cases), len(row.missing)
    if run and missing:
        return part_badge(run, run + missing, "cases", lang)
    done, all_tests = tests_run(row, session)
    if done:
        return part_badge(done, all_tests, "tests", lang)
    return Badge("○", lang.say("not run"), "none")


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
    evaluated = {plain(test.nodeid) for test in tests_of(row, session) if test.outcome not in _SKIPPED}
    return len(evaluated), len(row.tests)


def tests_of(row: Requirement, session: Session) -> tuple[TestEntry, ...]:
    """Return the tests of a line in a session, with their parameters."""
    return tuple(test for test in session.tests if plain(test.nodeid) in row.tests)


def _says_nothing(row: Requirement, session: Session) -> bool:
    """Return whether a line is about the real target, and the session ran the embedded reference."""
    return session.self_test and row.section == DEFINITION_OF_DONE
