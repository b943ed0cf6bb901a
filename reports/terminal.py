"""Write the end of a session for the terminal: at most `MOST` lines, in the order of the page, with the decision at the end.

A terminal is read from its end. So the verdict comes last, after the lines of the Definition of Done.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.language.catalogue import Language, language
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.model import Requirement, Session
from harness.signoff.standing import Standing
from reports.decided import decided
from reports.ending import (
    Reason,
    commands,
    decision_lines,
    finding_text,
    left_out,
    numbered,
    reasons,
    scenario_lines,
    seen,
)
from reports.not_covered import Size, known_findings, not_covered
from reports.rows import row_badge_over
from reports.signoff import standing_line

MOST = 22
"""Lines of the end; with pytest's heading, how to go on, and the path of the report they are 25."""
FOR_REASONS = 9
"""Lines that are kept for reasons and their first chain, before other entries take second lines."""
LEVELS = 6
"""How often entries are shortened until all fit."""
WIDTH = 120

# No-break spaces of French typography: str.isprintable counts them as not printable.
_SPACES = "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Part:
    """Entries of the end, how many of them are shown at most, and how many lines each may take.

    ``lines`` are the limits, from the widest: while the end is too long, the next ones are used. An entry of 0 lines is never
    broken: a command must stay in one piece.
    """

    entries: tuple[str, ...]
    most: int
    lines: tuple[int, ...]


def summary_lines(
    session: Session,
    code: str,
    *,
    columns: int = WIDTH,
    runs: Sequence[Size] = (),
    standing: Standing | None = None,
) -> tuple[str, ...]:
    """Return the end of a session in a language, line by line, each of at most ``columns`` characters unless it is a command.

    ``runs`` are the sizes of its runs, ``standing`` says how its sign-off stands.
    Raises ``ValueError`` when there is no such language.
    """
    lang = language(code)
    mark, title, sentence = decided(session, lang)
    # What decides keeps its second line longest.
    before = (
        Part(tuple(f"{line.badge.sign} {line.text(lang)}" for line in scenario_lines(session, lang)), 8, (2, 2, 2, 1)),
        Part(tuple(f"{shown.sign} {text}" for shown, text in seen(session, lang)), 3, (2, 2, 1, 1)),
    )
    after = (
        Part(tuple(f"△ {finding_text(known, lang)}" for known in known_findings(session)), 3, (1,)),
        Part(_not_run(session, runs, lang), 2, (3, 2, 2, 2, 1)),
        Part(tuple(f"    {lang.say('{label}: {text}', label=n, text=c)}" for n, c in commands(session, lang)), 3, (0,)),
        Part(_done(session, lang), 4, (2, 2, 2, 2, 2, 1)),
        Part(() if standing is None else (standing_line(standing, lang),), 1, (2, 2, 2, 2, 1)),
        Part((f"{mark.sign} {title}", sentence), 2, (3, 2, 2, 2, 2, 1)),
    )
    found = reasons(session, lang)
    wanted = len(found) + (1 + len(found[0].cause) if found else 0)
    for level in range(LEVELS):
        first, last = (
            [line for part in parts for line in _laid_out(part, level, columns, lang)] for parts in (before, after)
        )
        room = MOST - len(first) - len(last)
        if room >= min(FOR_REASONS, wanted):
            break
    return (*first, *_reasons(found, room, columns, lang), *last)


def row_line(row: Requirement, sessions: Sequence[Session], lang: Language) -> str:
    """Return a line of the checklist over some sessions with its badge and the sentence on it."""
    shown = row_badge_over(row, sessions, lang)
    line = f"{shown.sign} {lang.say('{label}: {text}', label=shown.word, text=f'{row.id} {row.text}')}"
    return f"{line} ({lang.render(row.reason)})" if row.reason is not None else line


def _done(session: Session, lang: Language) -> tuple[str, ...]:
    """Return the lines of the Definition of Done; a run of the reference evaluates none of them."""
    if session.self_test or not any(row.section == DEFINITION_OF_DONE for row in session.requirements):
        return ()
    return tuple(f"{line.badge.sign} {line.text(lang)}" for line in decision_lines(session, lang))


def _not_run(session: Session, runs: Sequence[Size], lang: Language) -> tuple[str, ...]:
    """Return what was not run, each thing once: the cases that ``-k`` left out, and what the verdict does not cover."""
    named = left_out(session, lang)
    # Without its lines a session names no cases that were not run: these are named already.
    asked = replace(session, requirements=()) if named else session
    entries = (named, " ".join(not_covered(asked, runs, lang)))
    return tuple(f"○ {entry}" for entry in entries if entry)


def _reasons(found: Sequence[Reason], room: int, columns: int, lang: Language) -> list[str]:
    """Return as many reasons with their chains as there is room for; each is named before a chain is told."""
    if not found or room < 1:
        return []
    heads = [f"{reason.badge.sign} {reason.text(lang)}" for reason in found]
    shown = heads if len(heads) <= room else heads[: room - 1]
    blocks = [_broken(head, 1, columns) for head in shown]
    left = room - len(blocks) - (len(shown) < len(heads))
    for number, reason in enumerate(found[: len(shown)]):
        whole = _broken(shown[number], 2, columns)
        chain = [line for link in numbered(reason.cause) for line in _broken(f"    {link}", 1, columns)]
        for extended in (whole + chain, blocks[number] + chain, whole):
            if len(extended) - 1 <= left:
                left -= len(extended) - 1
                blocks[number] = extended
                break
    lines = [line for block in blocks for line in block]
    if len(shown) < len(heads):
        lines.append(_more(len(heads) - len(shown), lang))
    return lines


def _laid_out(part: Part, level: int, columns: int, lang: Language) -> list[str]:
    """Return the lines of a part; entries that are left out are counted in its last line."""
    entries = part.entries if len(part.entries) <= part.most else part.entries[: part.most - 1]
    longest = part.lines[min(level, len(part.lines) - 1)]
    lines = [
        line for entry in entries for line in (_broken(entry, longest, columns) if longest else [_one_line(entry)])
    ]
    if len(entries) < len(part.entries):
        lines.append(_more(len(part.entries) - len(entries), lang))
    return lines


def _more(count: int, lang: Language) -> str:
    return lang.say("  … and {count} more, in the report", count=count)


def _broken(text: str, longest: int, columns: int) -> list[str]:
    """Break a text into at most ``longest`` lines between words; what does not fit is left to the report."""
    start = text[: len(text) - len(text.lstrip())]
    return textwrap.wrap(
        _one_line(text.strip()),
        columns,
        initial_indent=start,
        subsequent_indent=f"{start}    ",
        max_lines=longest,
        placeholder=" …",
        break_on_hyphens=False,
    )


def _one_line(text: str) -> str:
    """Escape characters that can't be printed, so that text from records can't send control sequences to the terminal."""
    return "".join(
        c if c.isprintable() or c in _SPACES else f"\\x{ord(c):02x}" if ord(c) < 0x100 else f"\\u{ord(c):04x}"
        for c in text
    )
