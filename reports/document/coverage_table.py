"""Build the table of tests, datasets and targets: which combinations were run, and how many verdicts pass.

A combination that is in no session is "not run", or "not applicable" with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from fixtures import applicable, catalogue
from harness.language.message import Message, say
from harness.record.reader import read_request
from harness.record.request import Request
from harness.record.values import RecordError, inside
from harness.session.definition_of_done import Done, Part
from harness.session.model import JudgedRun, RunEntry
from harness.session.roles import ROLES
from harness.verdict import Outcome, merge

OWN_ROLES = ("subject", "control", "baseline")
"""Roles of the runs that are counted for their target; pairs are only compared with."""


@dataclass(frozen=True, slots=True)
class Column:
    """A target under one profile, with the roles of its runs."""

    target: str
    profile: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tried:
    """The result of a combination that was run: gating verdicts that pass, all gating verdicts, and the number of runs.

    ``as_expected`` is true if every run was a control that was red in the expected checks.
    """

    outcome: Outcome
    passes: int
    all: int
    runs: int
    red: tuple[str, ...]
    as_expected: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """A combination that is in no session, with the reason if there is one."""

    kind: Literal["not run", Outcome.NOT_APPLICABLE, Outcome.NOT_EVALUATED]
    reason: Message | None = None


Cell = Tried | Gap


@dataclass(frozen=True, slots=True)
class Row:
    """A test of the checklist on a dataset, with a cell for each column."""

    scenario: str
    dataset: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """The table; ``without_row`` lists the combinations without a row: not applicable, or in no case of the catalogue."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    without_row: tuple[tuple[str, str, Gap], ...]


class Requests:
    """The requests of runs, each read once; ``None`` for a record that can't be read."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Request | None] = {}

    def of(self, part: Part, run: RunEntry) -> Request | None:
        """Return the request of a run of a session."""
        key = (part.sha256, run.key)
        if key not in self._known:
            try:
                self._known[key] = read_request(inside(part.folder, run.record))
            except (RecordError, OSError):
                self._known[key] = None
        return self._known[key]


@dataclass(frozen=True, slots=True)
class _Found:
    """One run with its judgements, one per role."""

    scenario: str
    dataset: str
    target: str
    profile: str
    judged: tuple[JudgedRun, ...]


def table(done: Done, requests: Requests) -> Table:
    """Build the table from sessions."""
    found = [entry for part in done.parts for entry in _found(part, requests)]
    columns = _columns(done, found)
    # Part 1 of the checklist has runs of its own on fixed sets; they are no part of this table.
    # Cases for the reference only would be gaps of any other target that no run can fill.
    reference = any(part.session.self_test for part in done.own)
    cases = [c for c in catalogue.CASES if (reference or c.targets != "the reference") and not c.occasions]
    keys = {(case.scenario, dataset) for case in cases for dataset in _datasets(case)}
    keys |= {(f.scenario, f.dataset) for f in found if f.scenario}
    datasets = sorted({dataset for _, dataset in keys}, key=_place)
    rows, without_row = [], []
    for scenario in sorted({scenario for scenario, _ in keys}):
        for dataset in datasets:
            if (scenario, dataset) in keys:
                cells = tuple(_cell(scenario, dataset, column, found, done) for column in columns)
                rows.append(Row(scenario, dataset, cells))
            else:
                without_row.append((scenario, dataset, _gap(scenario, dataset)))
    return Table(columns, tuple(rows), tuple(without_row))


def _datasets(case: catalogue.CaseSpec) -> tuple[str, ...]:
    return catalogue.STRESS_SUBSETS if case.dataset in catalogue.STRESS_SUBSETS else (case.dataset,)


def _place(dataset: str) -> tuple[int, str]:
    """Return the sort key of a dataset: the order of the catalogue, then other datasets by name."""
    known = [name for case in catalogue.CASES for name in _datasets(case)]
    return (known.index(dataset) if dataset in known else len(known)), dataset


def _found(part: Part, requests: Requests) -> Iterator[_Found]:
    session = part.session
    runs = {run.key: run for run in session.runs}
    # Cases of part 1, which have occasions, stay out of the table: they need no other set than their own small one.
    letters: dict[str, str] = {}
    for test in session.tests:
        if test.case and test.scenario and not test.occasion:
            letters.setdefault(test.case, test.scenario)
    # The catalogue, which may have changed since, only adds the cases that no test of the session is bound to.
    for case in (*catalogue.CASES, catalogue.QUICK_CASE):
        if not case.occasions:
            letters.setdefault(case.name, case.scenario)
    judged: dict[tuple[str, str], list[JudgedRun]] = {}
    for one in session.judged:
        if one.role in OWN_ROLES and one.run in runs:
            judged.setdefault((one.case, one.run), []).append(one)
    for (name, key), ones in judged.items():
        request = requests.of(part, runs[key])
        profile = request.profile if request else "?"
        yield _Found(letters.get(name, ""), runs[key].dataset, runs[key].target, profile, tuple(ones))


def _columns(done: Done, found: Sequence[_Found]) -> tuple[Column, ...]:
    """Return the targets that were under validation or are a baseline, each with its profiles.

    Controls of another kind (the reference with a seeded defect) test the harness and have no column.
    """
    targets = {part.session.target for part in done.parts}
    targets |= {f.target for f in found if any(j.role == "baseline" for j in f.judged)}
    roles: dict[tuple[str, str], set[str]] = {}
    for entry in found:
        if entry.target in targets:
            roles.setdefault((entry.target, entry.profile), set()).update(j.role for j in entry.judged)
    for part in done.parts:
        if not any(target == part.session.target for target, _ in roles):
            roles[part.session.target, "?"] = {"subject"}
    order = list(ROLES)
    columns = [Column(t, p, tuple(sorted(r, key=order.index))) for (t, p), r in roles.items()]
    return tuple(sorted(columns, key=lambda c: (_standing(c, done), c.target, c.profile != "fast", c.profile)))


def _standing(column: Column, done: Done) -> int:
    """Return the sort key of a column: first what the subject is compared with, then the subject, then others."""
    if column.target == done.subject:
        return 1
    return 0 if {"control", "baseline"} & set(column.roles) else 2


def _cell(scenario: str, dataset: str, column: Column, found: Sequence[_Found], done: Done) -> Cell:
    here = [
        f.judged
        for f in found
        if (f.scenario, f.dataset, f.target, f.profile) == (scenario, dataset, column.target, column.profile)
    ]
    if here:
        return _tried(here)
    gap = _gap(scenario, dataset)
    if gap.kind == "not run" and _absent(scenario, dataset, column.target, done):
        return Gap(Outcome.NOT_EVALUATED, say("the set is not on this machine"))
    return gap


def _tried(runs: Sequence[tuple[JudgedRun, ...]]) -> Tried:
    """Count the verdicts of each run once, in its role as subject if it had it: that role has the most comparison runs."""
    judged = [min(ones, key=lambda j: OWN_ROLES.index(j.role)) for ones in runs]
    verdicts = [v for j in judged for v in j.verdicts if v.gates and v.outcome is not Outcome.NOT_APPLICABLE]
    return Tried(
        outcome=merge(v.outcome for v in verdicts),
        passes=sum(v.outcome is Outcome.PASS for v in verdicts),
        all=len(verdicts),
        runs=len(judged),
        red=tuple(sorted({v.check for v in verdicts if v.outcome is Outcome.FAIL})),
        as_expected=all(any(j.expected_red is not None and j.outcome is Outcome.PASS for j in ones) for ones in runs),
    )


def _gap(scenario: str, dataset: str) -> Gap:
    suits = applicable.known(dataset)
    reason = applicable.why_not(scenario, suits) if suits else None
    return Gap(Outcome.NOT_APPLICABLE, reason) if reason else Gap("not run")


def _absent(scenario: str, dataset: str, target: str, done: Done) -> bool:
    """Return whether a session of a target skipped a case because its set was missing."""
    cases = {c.name for c in catalogue.CASES if c.scenario == scenario and c.dataset == dataset}
    sessions = [part.session for part in done.parts if part.session.target == target]
    skipped = any(t.case in cases and t.outcome is Outcome.NOT_EVALUATED for s in sessions for t in s.tests)
    return skipped and any(known.name == dataset and not known.judged for s in sessions for known in s.real_sets)
