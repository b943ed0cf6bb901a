"""Lay out the verdicts of a session as a matrix: one row per case, one column per check, and one each for control and pair.

Rows are grouped by the test of the checklist that their case belongs to. A cell shows a verdict of the session, or that there
is no verdict.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from harness.language.catalogue import Language
from harness.session.model import JudgedRun, RunEntry, Session
from harness.verdict import Outcome, rank
from reports.badges import Badge, badge, finding_word, role_word, verdict_badge
from reports.names import check_name

# With more columns than this the signs do not fit in one line: cells then wrap, each with the name of its column.
MAX_COLUMNS = 20

RunKey = tuple[str, str, str]


def run_key(judged: JudgedRun) -> RunKey:
    """Return the key of a judged run; the role is part of it, since one run may be judged in several roles."""
    return judged.case, judged.role, judged.run


def run_words(entry: RunEntry | None, judged: JudgedRun) -> str:
    """Return the target and the retention of a judged run; its key if the session has no entry of it."""
    return f"{entry.target}, {entry.retention}" if entry else judged.run


def told_runs(judged: Sequence[JudgedRun], entries: Mapping[str, RunEntry]) -> Mapping[str, str]:
    """Return words that tell the runs of a case apart: target, retention and dataset, and where these are equal the key too.

    A merged session may hold the same run of two machines, or a case on two datasets.
    """
    words = {}
    for run in judged:
        entry = entries.get(run.run)
        words[run.run] = f"{run_words(entry, run)}, {entry.dataset}" if entry else run.run
    known = list(words.values())
    return {key: f"{text}, {key}" if known.count(text) > 1 else text for key, text in words.items()}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its badge, the id of the verdict or run that it links to (may be empty), and its label as a finding."""

    column: str
    badge: Badge
    run_id: str
    finding: str


@dataclass(frozen=True, slots=True)
class GlanceRow:
    """One run under validation, or a case without one. ``run`` is empty if the case has a single such run."""

    scenario: str
    case: str
    case_id: str
    mode: str
    dataset: str
    run: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class GlanceGroup:
    """The rows of one test of the checklist, with its title; empty if the session does not say which test it is."""

    title: str
    rows: tuple[GlanceRow, ...]


@dataclass(frozen=True, slots=True)
class Glance:
    """The matrix and the legend of its signs. ``flowing`` is true if it has too many columns for one line."""

    columns: tuple[str, ...]
    groups: tuple[GlanceGroup, ...]
    signs: tuple[Badge, ...]
    flowing: bool


def scenarios(session: Session) -> Mapping[str, str]:
    """Return the scenario of each case, as its tests were marked."""
    return {t.case: t.scenario for t in session.tests if t.case and t.scenario}


def scenario_title(session: Session, letter: str) -> str:
    """Return the section of the checklist for a scenario: its test, or its part 1; empty if the checklist has none for it."""
    return next((r.section for r in session.requirements if r.id.partition(".")[0] == letter), "")


def glance(
    session: Session,
    lang: Language,
    case_ids: Mapping[str, str],
    run_ids: Mapping[RunKey, str],
    datasets: Mapping[str, str],
    *,
    verdict_ids: Mapping[tuple[RunKey, str], str] = MappingProxyType({}),
) -> Glance:
    """Build the matrix of a session.

    ``case_ids`` and ``run_ids`` are the ids of the sections of cases, in the order in which these are shown, and of judged runs;
    ``verdict_ids`` are those of verdicts, by run and check. ``datasets`` is the dataset of each case in words.
    """
    subjects = [j for j in session.judged if j.role == "subject"]
    checks = tuple(sorted({v.check for j in subjects for v in j.verdicts}))
    entries = {run.key: run for run in session.runs}
    modes = {run.case: run.mode for run in session.runs}
    letters = scenarios(session)
    control, pair = role_word("control", lang), role_word("pair", lang)
    red = {Outcome.PASS: lang.say("red found"), Outcome.FAIL: lang.say("not as expected")}
    rows = []
    for case, case_id in case_ids.items():
        judged = [j for j in session.judged if j.case == case]
        here = sorted((j for j in judged if j.role == "subject"), key=lambda j: (rank(j.outcome), j.run))
        others = (
            _worst([j for j in judged if j.expected_red is not None], control, lang, run_ids, red),
            _worst([j for j in judged if j.role == "pair"], pair, lang, run_ids, {}),
        )
        names = told_runs(here, entries)
        for subject in here or (None,):
            cells = tuple(_cell(subject, check, lang, run_ids, verdict_ids) for check in checks)
            run = names[subject.run] if len(here) > 1 and subject is not None else ""
            about = (letters.get(case, ""), case, case_id, modes.get(case, ""), datasets[case], run)
            rows.append(GlanceRow(*about, (*cells, *others)))
    columns = (*(check_name(check, lang) for check in checks), control, pair)
    found = {cell.badge.sign for row in rows for cell in row.cells}
    kinds = (*(badge(outcome, lang) for outcome in Outcome), Badge("△", lang.say("known, not the patch's"), "known"))
    signs = tuple(known for known in kinds if known.sign in found)
    return Glance(columns, tuple(_groups(rows, session, lang)), signs, flowing=len(columns) > MAX_COLUMNS)


def _groups(rows: Sequence[GlanceRow], session: Session, lang: Language) -> Iterable[GlanceGroup]:
    """Group the rows by scenario: A first, then part 1, then rows without one. Each group keeps its order, worst first.

    Below another group, a group without a title would seem to belong to it: it says what its cases are.
    """
    ordered = sorted(rows, key=lambda row: (not row.scenario, row.scenario.isdigit(), row.scenario))
    titled = False
    for letter, group in itertools.groupby(ordered, key=lambda row: row.scenario):
        title = scenario_title(session, letter)
        if not title and titled:
            title = lang.say("Cases with a fault") if letter.isdigit() else lang.say("Other cases")
        titled = titled or bool(title)
        yield GlanceGroup(title, tuple(group))


def _cell(
    subject: JudgedRun | None,
    check: str,
    lang: Language,
    run_ids: Mapping[RunKey, str],
    verdict_ids: Mapping[tuple[RunKey, str], str],
) -> Cell:
    name = check_name(check, lang)
    for verdict in subject.verdicts if subject is not None else ():
        if subject is not None and verdict.check == check:
            key = run_key(subject)
            place = verdict_ids.get((key, check), run_ids[key])
            return Cell(name, verdict_badge(verdict, lang), place, finding_word(verdict, lang))
    return Cell(name, badge(Outcome.NOT_EVALUATED, lang), "", "")


def _worst(
    judged: Sequence[JudgedRun],
    column: str,
    lang: Language,
    run_ids: Mapping[RunKey, str],
    words: Mapping[Outcome, str],
) -> Cell:
    """Return the cell of the worst of these runs, with words for outcomes in place of the usual ones."""
    if not judged:
        return Cell(column, Badge("○", lang.say("not made"), "none"), "", "")
    worst = min(judged, key=lambda j: rank(j.outcome))
    shown = badge(worst.outcome, lang)
    return Cell(column, replace(shown, word=words.get(worst.outcome, shown.word)), run_ids[run_key(worst)], "")
