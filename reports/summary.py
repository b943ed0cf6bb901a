"""Summarise a session as a page of Markdown, for the result pages of job runners (CI).

The page has a limited size. It says how much is left out, and lists failures before anything else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from harness.language.catalogue import Language, language
from harness.language.system import Code
from harness.session.model import Requirement, Session
from harness.signoff.standing import Standing
from harness.verdict import rank
from reports.badges import Badge, badge, told_apart
from reports.decided import decided
from reports.ending import Reason, checklist_line, commands, control_text, decision_lines, left_out, reasons
from reports.event_keys import keys_of
from reports.headline import answering
from reports.html.build import FILES, REAL_COMMAND
from reports.html.overview import Glance, glance, run_key
from reports.markdown import render
from reports.not_covered import Size, finding_line, known_findings, not_covered
from reports.signoff import standing_line

MAX_BYTES = 60_000
"""The largest page that every service shows: a comment on GitHub may have 65,536 characters."""

MAX_FOUND = 20
MAX_LINKS = 12
MAX_ROWS = 100


@dataclass(frozen=True, slots=True)
class RowView:
    """A line: its sign, its text, its word where it is shown, the chain of causes, and how many links are left out."""

    sign: str
    text: str
    word: str = ""
    cause: tuple[str, ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True)
class ChecklistRow:
    """A line of the checklist: its id, its badge, its text, and the figures and the scope that it rests on."""

    id: str
    badge: Badge
    text: str
    figures: str
    scope: str


@dataclass(frozen=True, slots=True)
class SummaryView:
    """The whole page, in the order of the report."""

    badge: Badge
    title: str
    sentence: str
    signoff: str
    real_command: str
    files: tuple[str, ...]
    done: tuple[RowView, ...]
    not_covered: tuple[str, ...]
    commands: tuple[tuple[str, str], ...]
    known: tuple[str, ...]
    why: tuple[RowView, ...]
    more: int
    keys: tuple[tuple[str, str], ...]
    seen: tuple[RowView, ...]
    checklist: tuple[ChecklistRow, ...]
    glance: Glance
    target: str
    created: str
    sha256: str


def summary(
    session: Session, name: Code, sha256: str, runs: Iterable[Size] = (), standing: Standing | None = None
) -> str:
    """Return the page in a language.

    ``sha256`` is the hash of ``session.json``: it says which session the page shows. ``runs`` are the sizes of its runs, and
    ``standing`` says how its sign-off stands.
    """
    lang = language(name)
    signoff = "" if standing is None else standing_line(standing, lang)
    view = _view(replace(session, judged=told_apart(session.judged)), lang, sha256, tuple(runs), signoff)
    page = render("reports", "summary.md.j2", view, name)
    if len(page.encode()) <= MAX_BYTES:
        return page
    notice = lang.say("This page is cut off here. The full list is in the report and in session.json.")
    end = f"\n\n{notice}\n"
    whole_lines, _, _ = page.encode()[: MAX_BYTES - len(end.encode())].rpartition(b"\n")
    return whole_lines.decode() + end


def _view(session: Session, lang: Language, sha256: str, runs: tuple[Size, ...], signoff: str) -> SummaryView:
    mark, title, sentence = decided(session, lang)
    found = reasons(session, lang)
    keys = dict(pair for verdict, _ in answering(session) for pair in keys_of(verdict, lang))
    controls = sorted(
        (judged for judged in session.judged if judged.expected_red is not None),
        key=lambda judged: (rank(judged.outcome), judged.case),
    )
    named = left_out(session, lang)
    asked = replace(session, requirements=()) if named else session  # the cases that -k left out are named once
    return SummaryView(
        badge=mark,
        title=title,
        sentence=sentence,
        signoff=signoff,
        real_command=REAL_COMMAND if session.self_test else "",
        files=tuple(FILES.values()),
        done=tuple(RowView(line.badge.sign, line.text(lang)) for line in decision_lines(session, lang)[:MAX_ROWS]),
        not_covered=tuple(filter(None, (named, *not_covered(asked, runs, lang)))),
        commands=tuple(pair for pair in commands(session, lang) if pair[1] != REAL_COMMAND),
        known=tuple(finding_line(known, lang) for known in known_findings(session)[:MAX_ROWS]),
        why=tuple(_reason(reason, lang) for reason in found[:MAX_FOUND]),
        more=max(0, len(found) - MAX_FOUND),
        keys=tuple(keys.items()),
        seen=tuple(RowView(badge(j.outcome, lang).sign, control_text(j, lang)) for j in controls[:MAX_ROWS]),
        checklist=tuple(_checklist_row(row, session, lang) for row in session.requirements[:MAX_ROWS]),
        glance=_glance(session, lang),
        target=session.target,
        created=lang.when(session.created),
        sha256=sha256,
    )


def _reason(reason: Reason, lang: Language) -> RowView:
    more = max(0, len(reason.cause) - MAX_LINKS)
    return RowView(reason.badge.sign, reason.text(lang), reason.badge.word, reason.cause[:MAX_LINKS], more)


def _checklist_row(row: Requirement, session: Session, lang: Language) -> ChecklistRow:
    line = checklist_line(row, session, lang)
    return ChecklistRow(row.id, line.badge, row.text, line.figures, line.beside(lang))


def _glance(session: Session, lang: Language) -> Glance:
    """Return the matrix of the worst cases."""
    ranked = sorted((rank(judged.outcome), judged.case) for judged in session.judged)
    cases = list(dict.fromkeys(case for _, case in ranked))[:MAX_ROWS]
    datasets = dict.fromkeys(cases, "") | {run.case: run.dataset for run in session.runs if run.case in cases}
    return glance(session, lang, datasets, {run_key(j): "" for j in session.judged}, datasets)
