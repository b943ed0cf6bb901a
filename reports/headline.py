"""Summarise a session in a title and one sentence. The title never claims more than was evaluated."""

from __future__ import annotations

from harness.language.catalogue import Language
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.model import JudgedRun, Session, TestEntry
from harness.verdict import Outcome, Verdict, rank
from reports.badges import BEFORE, Badge, badge
from reports.rows import interrupted_badge

CONTROLS = frozenset({"control", "control-pair"})
"""Roles of a version with the bug. What a test concludes about them says nothing about the version under test."""


def headline(session: Session, lang: Language) -> tuple[Badge, str, str]:
    """Return the badge of the title, the title, and one sentence with counts."""
    mark, title, sentence = _headline(session, lang)
    if not session.doubts:
        return mark, title, sentence
    doubts = " ".join(lang.render(doubt) for doubt in session.doubts)
    if session.outcome is not Outcome.FAIL:
        mark = badge(session.outcome, lang)
        title = lang.say("{target}: it is not known whether the session is as its runs left it", target=session.target)
    return mark, title, f"{doubts} {sentence}"


def _headline(session: Session, lang: Language) -> tuple[Badge, str, str]:
    """Return the badge, the title and the sentence of a session without a doubt about its files."""
    if session.interrupted is not None:
        return _interrupted(session, lang)
    if session.self_test:
        return badge(session.outcome, lang), _self_test(session, lang), _figures(session, lang)
    if session.outcome is Outcome.PASS and _open_lines(session) != 0:
        # A tick would look like a pass of the whole checklist.
        return Badge("◐", "", "none"), _partial(session, lang), _figures(session, lang)
    say = lang.say
    fails = say("{target}: the validation fails", target=session.target)
    if not any(test.outcome is Outcome.FAIL and test.role not in CONTROLS for test in session.tests):
        fails = say("The validation of {target} fails: a control is not as expected", target=session.target)
    titles = {
        Outcome.FAIL: fails,
        Outcome.UNKNOWN: say("{target}: the validation could not conclude", target=session.target),
        Outcome.PASS: say("{target}: the validation passes", target=session.target),
    }
    title = titles.get(session.outcome, titles[Outcome.UNKNOWN])
    sentence = " ".join(part for part in (_figures(session, lang), _only_controls_wrong(session, lang)) if part)
    return badge(session.outcome, lang), title, sentence


def _interrupted(session: Session, lang: Language) -> tuple[Badge, str, str]:
    """Return the title of a session that ended before its tests had run: it fails, or it is not complete."""
    reason = lang.render(session.interrupted) if session.interrupted is not None else ""
    failed = session.outcome is Outcome.FAIL
    title = lang.say("{target}: the validation was interrupted", target=session.target)
    if failed:
        title = lang.say("{target}: the validation fails; it was interrupted", target=session.target)
    shown = badge(session.outcome, lang) if failed else interrupted_badge(lang)
    evaluated = any(t.outcome in (Outcome.FAIL, Outcome.UNKNOWN, Outcome.PASS) for t in session.tests)
    return shown, title, f"{reason} {_figures(session, lang)}" if evaluated else reason


def answering(session: Session) -> tuple[tuple[Verdict, JudgedRun], ...]:
    """Return the verdicts that fail or are unknown, other than those on controls and on runs before the patch."""
    return tuple(
        (verdict, judged)
        for judged in session.judged
        if judged.expected_red is None and judged.role not in BEFORE
        for verdict in judged.verdicts
        if verdict.outcome in {Outcome.FAIL, Outcome.UNKNOWN}
    )


def without_verdict(session: Session) -> tuple[TestEntry, ...]:
    """Return the tests that fail or are unknown and assert none of these verdicts, worst first."""
    shown = {(j.case, j.run, j.role, v.check) for v, j in answering(session)}
    left = (
        t
        for t in session.tests
        if t.outcome in (Outcome.FAIL, Outcome.UNKNOWN) and (t.case, t.run, t.role, t.check) not in shown
    )
    return tuple(sorted(left, key=lambda t: (rank(t.outcome), t.nodeid)))


def _self_test(session: Session, lang: Language) -> str:
    say = lang.say
    titles = {
        Outcome.FAIL: say("Self-test of the harness: fails. It says nothing about ZeMosaic."),
        Outcome.UNKNOWN: say("Self-test of the harness: unknown. It says nothing about ZeMosaic."),
        Outcome.PASS: say("Self-test of the harness: passes. It says nothing about ZeMosaic."),
    }
    return titles.get(session.outcome, titles[Outcome.UNKNOWN])


def _partial(session: Session, lang: Language) -> str:
    judged = [test for test in session.tests if test.outcome in (Outcome.FAIL, Outcome.UNKNOWN, Outcome.PASS)]
    # Part 1 of the checklist, whose tests have an occasion, is no scenario to a reader.
    scenarios = sorted({test.scenario for test in judged if test.scenario and not test.occasion})
    target = session.target
    if len(scenarios) == 1:
        title = lang.say("{target}: the evaluated tests pass (scenario {name})", target=target, name=scenarios[0])
    elif scenarios:
        names = ", ".join(scenarios)
        title = lang.say("{target}: the evaluated tests pass (scenarios {names})", target=target, names=names)
    else:
        title = lang.say("{target}: the evaluated tests pass", target=target)
    lines = [r for r in session.requirements if r.section == DEFINITION_OF_DONE]
    if not lines:
        return title
    return lang.say(
        "{title}; lines of the Definition of Done not evaluated yet: {open} of {all}",
        title=title,
        open=_open_lines(session) or 0,
        all=len(lines),
    )


def _only_controls_wrong(session: Session, lang: Language) -> str:
    """Return a sentence if only controls are not as expected: then the harness is wrong, not the target. Empty otherwise."""
    off = sorted({j.case for j in session.judged if j.expected_red is not None and j.outcome is not Outcome.PASS})
    own = [j for j in session.judged if j.role == "subject"]
    if not off or not own or any(j.outcome is not Outcome.PASS for j in own):
        return ""
    return lang.say(
        "All verdicts on the version under test pass, but these controls are not as expected: {cases}.",
        cases=", ".join(off),
    )


def _open_lines(session: Session) -> int | None:
    """Return how many lines of the Definition of Done were not evaluated; ``None`` when the session holds none."""
    outcomes = [r.outcome for r in session.requirements if r.section == DEFINITION_OF_DONE]
    return sum(o is Outcome.NOT_EVALUATED for o in outcomes) if outcomes else None


def _figures(session: Session, lang: Language) -> str:
    say = lang.say
    outcomes = [t.outcome for t in session.tests]
    fails, unknowns, passes = (outcomes.count(o) for o in (Outcome.FAIL, Outcome.UNKNOWN, Outcome.PASS))
    total = fails + unknowns + passes
    if total == 0:
        return say("No test was evaluated, so the validation does not pass.")
    if session.outcome is Outcome.FAIL:
        return say(
            "Tests that fail: {fails} of {total}. Tests that could not conclude: {unknowns}.",
            fails=fails,
            total=total,
            unknowns=unknowns,
        )
    if session.outcome is Outcome.UNKNOWN and unknowns:
        return say(
            "No test fails, but {unknowns} of {total} could not conclude, so the validation does not pass.",
            unknowns=unknowns,
            total=total,
        )
    return say("All evaluated tests pass: {passes} of {total}.", passes=passes, total=total)
