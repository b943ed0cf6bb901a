"""The session at a glance: a row a case, a column a check, and whether its control and its pair are as they must be.

It concludes nothing: a cell is a verdict of the session, or says that there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.session import JudgedRun, RunEntry, Session
from reports.language import Language
from reports.words import Badge, badge, rank, role_word

# With more columns than this the words no longer fit side by side: the cells then flow, each with its column's name.
MAX_COLUMNS = 8


RunKey = tuple[str, str, str]


def run_key(judged: JudgedRun) -> RunKey:
    """Return what tells a judged run from every other: one run may be judged in several roles."""
    return judged.case, judged.role, judged.run


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: how it is shown, the id of the run that it leads to (empty: none), and whether it is a finding."""

    column: str
    badge: Badge
    run_id: str
    finding: bool


@dataclass(frozen=True, slots=True)
class GlanceRow:
    """One run under validation, or a case that has none. ``run`` is empty where the case leaves no doubt."""

    case: str
    case_id: str
    dataset: str
    run: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Glance:
    """The matrix. ``flowing`` tells that it has too many columns to stand side by side."""

    columns: tuple[str, ...]
    rows: tuple[GlanceRow, ...]
    flowing: bool


def glance(
    session: Session,
    lang: Language,
    case_ids: Mapping[str, str],
    run_ids: Mapping[RunKey, str],
    datasets: Mapping[str, str],
) -> Glance:
    """Lay the verdicts of a session out as a matrix.

    Parameters
    ----------
    session
        The session.
    lang
        The language.
    case_ids
        The id of each case's section, in the order in which cases are shown.
    run_ids
        The id of each judged run's section.
    datasets
        What each case ran on, in words.

    """
    subjects = [j for j in session.judged if j.role == "subject"]
    checks = tuple(sorted({v.check for j in subjects for v in j.verdicts}))
    entries = {run.key: run for run in session.runs}
    rows = []
    for case, case_id in case_ids.items():
        judged = [j for j in session.judged if j.case == case]
        here = sorted((j for j in judged if j.role == "subject"), key=lambda j: (rank(j.outcome.value), j.run))
        others = (_control(judged, lang, run_ids), _pair(judged, lang, run_ids))
        for subject in here or (None,):
            cells = tuple(_cell(subject, check, lang, run_ids) for check in checks)
            run = _run(subject, entries) if len(here) > 1 and subject is not None else ""
            rows.append(GlanceRow(case, case_id, datasets[case], run, (*cells, *others)))
    columns = (*checks, role_word("control", lang), role_word("pair", lang))
    return Glance(columns, tuple(rows), flowing=len(columns) > MAX_COLUMNS)


def _cell(subject: JudgedRun | None, check: str, lang: Language, run_ids: Mapping[RunKey, str]) -> Cell:
    verdict = next((v for v in subject.verdicts if v.check == check), None) if subject is not None else None
    if subject is None or verdict is None:
        return Cell(check, badge("not evaluated", lang), "", finding=False)
    shown = badge(verdict.outcome.value, lang)
    return Cell(check, shown, run_ids[run_key(subject)], verdict.axis == "quality")


def _control(judged: Sequence[JudgedRun], lang: Language, run_ids: Mapping[RunKey, str]) -> Cell:
    column = role_word("control", lang)
    controls = [j for j in judged if j.expected_red is not None]
    if not controls:
        return Cell(column, Badge("○", lang.say("none made"), "none"), "", finding=False)
    worst = min(controls, key=lambda j: rank(j.outcome.value))
    known = badge(worst.outcome.value, lang)
    words = {"pass": lang.say("red found"), "fail": lang.say("not as expected")}
    shown = Badge(known.sign, words.get(worst.outcome.value, known.word), known.style)
    return Cell(column, shown, run_ids[run_key(worst)], finding=False)


def _pair(judged: Sequence[JudgedRun], lang: Language, run_ids: Mapping[RunKey, str]) -> Cell:
    column = role_word("pair", lang)
    pairs = [j for j in judged if j.role == "pair"]
    if not pairs:
        return Cell(column, Badge("○", lang.say("none made"), "none"), "", finding=False)
    worst = min(pairs, key=lambda j: rank(j.outcome.value))
    return Cell(column, badge(worst.outcome.value, lang), run_ids[run_key(worst)], finding=False)


def _run(subject: JudgedRun, entries: Mapping[str, RunEntry]) -> str:
    entry = entries.get(subject.run)
    return f"{entry.target}, {entry.retention}" if entry else subject.run
