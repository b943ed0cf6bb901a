"""Summarise a session for the terminal, in a few lines of plain text, worst first."""

from __future__ import annotations

from harness.language.catalogue import Language, language
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.model import JudgedRun, Requirement, Session
from harness.verdict import Outcome, rank, worst_first
from reports.badges import BEFORE, badge, expected_red, finding_word, found_red, role_rank, role_word, told_apart
from reports.headline import headline

# No-break spaces of French typography: str.isprintable counts them as not printable.
_SPACES = "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"


def summary_lines(session: Session, code: str, *, columns: int = 120) -> tuple[str, ...]:
    """Return the summary of a session in a language, line by line. Raises ``ValueError`` when there is no such language."""
    lang = language(code)
    _, title, sentence = headline(session, lang)
    judged = sorted(
        told_apart(session.judged),
        key=lambda j: (j.role in BEFORE, rank(j.outcome), role_rank(j.role), j.case),
    )
    lines = [title, sentence, *_rows(session, lang), *(line for j in judged for line in _judged(j, lang))]
    if not any(s.judged for s in session.real_sets):
        lines.append(lang.say("No real set was judged."))
        lines += [f"  {s.command}" for s in session.real_sets]
    return tuple(_one_line(line) for line in lines)


def _rows(session: Session, lang: Language) -> list[str]:
    """Return the lines of the Definition of Done; a run of the reference evaluates none of them."""
    done = [] if session.self_test else [r for r in session.requirements if r.section == DEFINITION_OF_DONE]
    return [row_line(row, lang) for row in done]


def row_line(row: Requirement, lang: Language) -> str:
    """Return a line of the checklist with its outcome and the sentence on it."""
    shown = badge(row.outcome, lang)
    line = f"{shown.sign} {lang.say('{label}: {text}', label=shown.word, text=f'{row.id} {row.text}')}"
    return f"{line} ({lang.render(row.reason)})" if row.reason is not None else line


def _judged(judged: JudgedRun, lang: Language) -> list[str]:
    shown = badge(judged.outcome, lang)
    what = f"{judged.case}, {role_word(judged.role, lang)}"
    head = f"{shown.sign} {lang.say('{label}: {text}', label=shown.word, text=what)}"
    if judged.expected_red is not None:
        names = {"expected": expected_red(judged, lang), "found": found_red(judged, lang)}
        colours = lang.say("expected red: {expected}; red: {found}", **names)
        return [f"{head} ({colours})"]
    # Several checks may have the same sentence: a run that broke off leaves most of them without evidence.
    sharing: dict[tuple[str, str], list[str]] = {}
    for verdict in sorted(judged.verdicts, key=worst_first):
        if verdict.outcome in {Outcome.FAIL, Outcome.UNKNOWN}:
            finding = finding_word(verdict, lang)
            kind = f" ({finding})" if finding else ""
            line = badge(verdict.outcome, lang).sign, lang.render(verdict.sentence)
            sharing.setdefault(line, []).append(f"{verdict.check}{kind}")
    details = [
        f"    {sign} {lang.say('{label}: {text}', label=', '.join(checks), text=sentence)}"
        for (sign, sentence), checks in sharing.items()
    ]
    return [head, *details]


def _one_line(text: str) -> str:
    """Escape characters that can't be printed, so that text from records can't send control sequences to the terminal."""
    return "".join(
        c if c.isprintable() or c in _SPACES else f"\\x{ord(c):02x}" if ord(c) < 0x100 else f"\\u{ord(c):04x}"
        for c in text
    )
