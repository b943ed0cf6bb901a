"""Build the parts that the terminal and the summary share: scenarios, whether the bug was seen, reasons, and what was left out.

They have the order of the page. The views lay them out; nothing is concluded here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from harness.language.catalogue import Language
from harness.language.message import Message, say
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.decision import row_of
from harness.session.model import JudgedRun, Requirement, Session, TestEntry
from harness.session.rows import plain
from harness.verdict import Outcome, Verdict, merge, worst_first
from reports.badges import Badge, badge, expected_red, found_red, role_word
from reports.brief import figures_in_words
from reports.headline import CONTROLS, answering, without_verdict
from reports.names import check_name
from reports.not_covered import Known
from reports.rows import part_badge, row_badge, row_note, row_scope

_EVALUATED = (Outcome.FAIL, Outcome.UNKNOWN, Outcome.PASS)
_RAILS = ("0.1", "4.1")
"""The rows of the guard rails whose figures say how large the patch is, and whether it is more than cache retention."""
MAX_NAMES = 6

_SCENARIOS: Mapping[str, Message] = MappingProxyType(
    {
        "A": say("A hole"),
        "B": say("B large run"),
        "C": say("C SDS"),
        "D": say("D grid mode"),
        "": say("guard rails"),
        "1": say("faults"),
    }
)
"""The scenarios in the order of display. Another scenario has its own name, and comes after them."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the decision or of a scenario: its badge, its name, the figures that decide it, its scope, and a note."""

    badge: Badge
    name: str
    figures: str
    scope: str
    note: str = ""

    def text(self, lang: Language) -> str:
        """Return the line without its sign: its word, name and figures, with scope and note in brackets."""
        label = lang.say("{label}: {text}", label=self.badge.word, text=self.name)
        label = lang.say("{label}: {text}", label=label, text=self.figures) if self.figures else label
        beside = self.beside(lang)
        return f"{label} ({beside})" if beside else label

    def beside(self, lang: Language) -> str:
        """Return the scope and the note."""
        return lang.semicolons(part for part in (self.scope, self.note) if part)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is red or open: the badge, the names of the checks, their run, their sentence, and the chain of causes."""

    badge: Badge
    checks: tuple[str, ...]
    where: str
    sentence: str
    cause: tuple[str, ...] = ()

    def text(self, lang: Language) -> str:
        """Return the reason without its sign and its chain."""
        names = ", ".join(self.checks)
        what = f"{names} ({self.where})" if self.where else names
        return lang.say("{label}: {text}", label=what, text=self.sentence) if what else self.sentence


def decision_lines(session: Session, lang: Language) -> tuple[Line, ...]:
    """Return the lines of the Definition of Done with the figures that decide them."""
    rows = (row for row in session.requirements if row.section == DEFINITION_OF_DONE)
    return tuple(checklist_line(row, session, lang) for row in rows)


def checklist_line(row: Requirement, session: Session, lang: Language) -> Line:
    """Return a line of the checklist with the figures that decide it."""
    line, shown = row_of(row, session), row_badge(row, session, lang)
    figures, scope = figures_in_words(line.figures, lang), row_scope(line.scope, shown, lang)
    return Line(shown, f"{row.id} {row.text}", figures, scope, row_note(row, session, lang))


def scenario_lines(session: Session, lang: Language) -> tuple[Line, ...]:
    """Return a line for each scenario of which a test on the version under test was evaluated."""
    found: dict[str, list[TestEntry]] = {name: [] for name in _SCENARIOS}
    for test in session.tests:
        if test.outcome in _EVALUATED and test.role not in CONTROLS:
            # A test that calls the release alone has no scenario, and reads no source: it belongs to the faults.
            alone = not test.scenario and test.check is None
            found.setdefault("1" if alone else test.scenario, []).append(test)
    return tuple(_scenario(letter, tests, session, lang) for letter, tests in found.items() if tests)


def _scenario(letter: str, tests: Sequence[TestEntry], session: Session, lang: Language) -> Line:
    name = lang.render(_SCENARIOS.get(letter, Message(letter)))
    names = tuple(sorted({plain(test.nodeid) for test in tests}))
    cases = tuple(sorted({test.case for test in tests if test.case}))
    missing = tuple(case for case in _synthetic(letter, session) if case not in cases)
    outcome = merge(test.outcome for test in tests)
    row = Requirement(letter, DEFINITION_OF_DONE, name, names, outcome, cases=cases, missing=missing)
    line = row_of(row, session)
    figures = figures_in_words((f for f in line.figures if letter or f.check in _RAILS), lang)
    if not figures:
        passed = sum(test.outcome is Outcome.PASS for test in tests)
        figures = lang.say("tests that pass {count} of {all}", count=passed, all=len(tests))
    shown = badge(outcome, lang)
    if outcome is Outcome.PASS and missing:
        shown = part_badge(len(cases), len(cases) + len(missing), "cases", lang)
    return Line(shown, name, figures, row_scope(line.scope, shown, lang) if letter else "")


def _synthetic(letter: str, session: Session) -> tuple[str, ...]:
    """Return the synthetic cases of a scenario for this target: a pass without one of them is a pass of a part."""
    from fixtures import catalogue  # noqa: PLC0415 -- slow to load, and most commands need no scope

    cases = (case for case in catalogue.CASES if case.kind == "synthetic" and case.scenario == letter)
    return tuple(case.name for case in cases if case.suits(session.kind))


def seen(session: Session, lang: Language) -> tuple[tuple[Badge, str], ...]:
    """Return whether the checks saw the bug on the version that has it: one sentence, and one for each control that differs."""
    controls = [judged for judged in session.judged if judged.expected_red is not None]
    if not controls:
        text = lang.say("No control was run, so the harness has not shown that it sees a hole.")
        return ((badge(Outcome.NOT_EVALUATED, lang), text),)
    right = [judged for judged in controls if judged.outcome is Outcome.PASS]
    shown = badge(merge(judged.outcome for judged in controls), lang)
    sentence = lang.say(
        "Runs of a version with the bug on which the checks saw it: {count} of {all}.",
        count=len(right),
        all=len(controls),
    )
    wrong = sorted((judged for judged in controls if judged not in right), key=lambda judged: judged.case)
    return ((shown, sentence), *((badge(judged.outcome, lang), control_text(judged, lang)) for judged in wrong))


def control_text(judged: JudgedRun, lang: Language) -> str:
    """Return the sentence of a control: which checks are red on it, and which had to be if these differ. The page has it too."""
    text = lang.say(
        "Expected red: {expected}; red: {found}.", expected=expected_red(judged, lang), found=found_red(judged, lang)
    )
    if judged.outcome is Outcome.PASS and judged.expected_red:
        text = lang.say("Seen: {found} are red, as expected.", found=found_red(judged, lang))
    return lang.say("{label}: {text}", label=judged.case, text=text)


def reasons(session: Session, lang: Language) -> tuple[Reason, ...]:
    """Return why the session is red or open, failures first. Checks that one event turned red share its chain of causes."""
    groups: dict[tuple[str, ...], list[tuple[Verdict, JudgedRun]]] = {}
    gating = [pair for pair in answering(session) if pair[0].gates]
    for verdict, judged in sorted(gating, key=lambda pair: worst_first(pair[0])):
        groups.setdefault(_event(verdict, judged, lang), []).append((verdict, judged))
    found = [_reason(group, lang) for group in groups.values()]
    failing = [verdict for verdict in session.patch if verdict.outcome in (Outcome.FAIL, Outcome.UNKNOWN)]
    # The statements of a patch are no chain of causes; the report lists them.
    found += [Reason(badge(v.outcome, lang), (v.check,), "", lang.render(v.sentence)) for v in failing]
    known = {verdict.check for verdict in failing}
    alone = [test for test in without_verdict(session) if test.check not in known and not _told(test, gating)]
    by_message: dict[tuple[str, str], list[TestEntry]] = {}
    for test in alone:
        by_message.setdefault((test.outcome, test.message.partition("\n")[0]), []).append(test)
    for (outcome, message), tests in by_message.items():
        titles = tuple(dict.fromkeys(lang.render(Message(test.title)) or test.nodeid for test in tests))
        cases = ", ".join(dict.fromkeys(test.case for test in tests if test.case))
        more = (f"… ({len(titles) - 1})",) if len(titles) > 1 else ()
        names = (titles[0].rstrip("."), *more)
        found.append(Reason(badge(outcome, lang), names, cases, message or badge(outcome, lang).word))
    return tuple(
        sorted(found, key=lambda reason: (reason.badge.style != "fail", -len(reason.cause) * len(reason.checks)))
    )


def _told(test: TestEntry, gating: Iterable[tuple[Verdict, JudgedRun]]) -> bool:
    """Return whether verdicts that are shown are those of a test which asserts all verdicts of its run, or compares them."""
    return test.check is None and test.role not in CONTROLS and any(judged.case == test.case for _, judged in gating)


def _event(verdict: Verdict, judged: JudgedRun, lang: Language) -> tuple[str, ...]:
    """Return what tells events apart: the removal of a cache in a case, or else the cause, or else the sentence."""
    control = judged.role if judged.role in CONTROLS else ""
    removal = next((link for link in verdict.cause if {"thread", "cache", "seconds"} <= link.values.keys()), None)
    if removal is not None:
        return (control, verdict.outcome, judged.case, lang.render(removal))
    return (control, verdict.outcome, *map(lang.render, verdict.cause or (verdict.sentence,)))


def _reason(group: Sequence[tuple[Verdict, JudgedRun]], lang: Language) -> Reason:
    """Return the reason of verdicts with one cause: the sentence and the chain of the one that was traced furthest."""
    verdict, judged = max(group, key=lambda pair: len(pair[0].cause))
    cases = tuple(dict.fromkeys(other.case for _, other in group))
    named = ", ".join(cases[:MAX_NAMES]) + (f", … ({len(cases) - MAX_NAMES})" if len(cases) > MAX_NAMES else "")
    subject = any(other.role == "subject" for _, other in group)
    where = named if subject else f"{named}, {role_word(judged.role, lang)}"
    first = [check_name(verdict.check, lang)]
    checks = tuple(dict.fromkeys(first + [check_name(other.check, lang) for other, _ in group]))
    cause = tuple(map(lang.render, verdict.cause))
    return Reason(badge(verdict.outcome, lang), checks, where, lang.render(verdict.sentence), cause)


def finding_text(known: Known, lang: Language) -> str:
    """Return a known finding in one line, with what decides first: that it is not the patch's, and where it is."""
    word = lang.say("known, not the patch's") if known.not_of_the_patch else lang.say("finding")
    cases = ", ".join(known.cases[:3]) + (f", … ({len(known.cases) - 3})" if len(known.cases) > 3 else "")
    place = lang.say("{label}: {text}", label=word, text=cases)
    label = f"{check_name(known.check, lang)} ({place})"
    return lang.say("{label}: {text}", label=label, text=known.text(lang))


def left_out(session: Session, lang: Language) -> str:
    """Return which cases of the target ``-k`` left out; empty if the command has none, or it left out no case."""
    from fixtures import catalogue  # noqa: PLC0415 -- slow to load, and few sessions need it

    expression = _option(session.command, "-k")
    if not expression:
        return ""
    selected = {test.case for test in session.tests}
    quick, own = session.options.get("quick"), session.options.get("frames")
    cases = () if own else (catalogue.QUICK_CASE,) if quick else catalogue.CASES
    names = [case.name for case in cases if (quick or case.suits(session.kind)) and case.name not in selected]
    if not names:
        return ""
    return lang.say("-k {expression} left out: {cases}.", expression=expression, cases=", ".join(names))


def commands(session: Session, lang: Language) -> tuple[tuple[str, str], ...]:
    """Return the commands that run what the session left out, each with what it gets."""
    found = []
    whole = _whole(session.command)
    if whole and whole != _words(session.command):
        found.append((lang.say("all cases"), shlex.join(whole)))
    if session.self_test:
        found.append((lang.say("ZeMosaic itself"), REAL_COMMAND))
    everything = whole == _words(session.command)
    absent = [known.name for known in session.real_sets if not known.judged]
    to_get = [name for name in absent if everything or _was_asked(name, session)]
    if to_get:
        found.append((lang.say("observed frames"), f"phase3 data fetch {' '.join(to_get)}"))
    return tuple(found)


REAL_COMMAND = "pytest -m phase3 --phase3-target=zemosaic:PATH@COMMIT --phase3-python=PYTHON"
"""The command that validates ZeMosaic itself; the page shows the same."""

_LIMITS = ("-k", "--phase3-frames", "--phase3-resume", "--deselect")
_FLAGS = ("--phase3-quick", "--lf", "--last-failed", "--ff", "-x", "--exitfirst")


def _whole(command: str) -> list[str]:
    """Return the words of a command without those that leave tests out."""
    kept: list[str] = []
    words = iter(_words(command))
    for word in words:
        name, equal, _ = word.partition("=")
        if name in _LIMITS:
            if not equal and name != "--phase3-resume":
                next(words, None)
        elif word not in _FLAGS and not re.search(r"\.py($|::)", word):
            kept.append(word)
    return kept


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return []  # the command of a session that was edited


def _option(command: str, name: str) -> str:
    """Return the value of an option of a command; empty without it."""
    words = _words(command)
    values = (words[n + 1] for n, word in enumerate(words[:-1]) if word == name)
    return next(values, next((word.partition("=")[2] for word in words if word.startswith(f"{name}=")), ""))


def _was_asked(name: str, session: Session) -> bool:
    """Return whether tests of a case on a set were selected, so that the set was not there."""
    from fixtures import catalogue  # noqa: PLC0415 -- slow to load, and few sessions need it

    cases = {case.name for case in catalogue.CASES if case.dataset == name}
    return any(test.case in cases for test in session.tests)


def numbered(cause: Sequence[str]) -> Iterator[str]:
    """Yield the links of a chain of causes with their numbers."""
    return (f"{number}. {link}" for number, link in enumerate(cause, 1))
