"""The data of the document: frozen, in one language, ready to be laid out by its template, which escapes every text."""

from __future__ import annotations

from dataclasses import dataclass

from reports.badges import Badge


@dataclass(frozen=True, slots=True)
class FigureView:
    """A figure: its label and value, and the baseline's value with the baseline's name (empty where there is none)."""

    label: str
    value: str
    before: str = ""


@dataclass(frozen=True, slots=True)
class TestView:
    """One test of a line: for each outcome its sign, how often it came and on which runs; then the cases it did not run on."""

    name: str
    outcomes: tuple[tuple[str, int, tuple[str, ...]], ...]
    not_run: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReasonView:
    """Why a test failed or could not conclude."""

    sign: str
    session: str
    test: str
    text: str


@dataclass(frozen=True, slots=True)
class LineView:
    """One line of the checklist: its verdict and figures, and what shows them: tests, reasons and commands.

    ``more`` counts the reasons that are left out.
    """

    id: str
    anchor: str
    text: str
    badge: Badge
    figures: tuple[FigureView, ...]
    tests: tuple[TestView, ...]
    reasons: tuple[ReasonView, ...]
    more: int
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SectionView:
    """A section of the checklist."""

    title: str
    lines: tuple[LineView, ...]


@dataclass(frozen=True, slots=True)
class OtherProfileView:
    """A session of the same target with another profile, and its verdicts that fail or are unknown."""

    session: str
    profile: str
    red: str


@dataclass(frozen=True, slots=True)
class ColumnView:
    """A target under one profile, with the words for its roles."""

    target: str
    profile: str
    roles: str


@dataclass(frozen=True, slots=True)
class CellView:
    """What a target came to on a dataset in a test: the checks that are red, and whether that was expected of a control."""

    sign: str
    text: str
    red: tuple[str, ...] = ()
    as_expected: bool = False


@dataclass(frozen=True, slots=True)
class RowView:
    """A test of the checklist on a dataset, with a cell for each column."""

    scenario: str
    dataset: str
    cells: tuple[CellView, ...]


@dataclass(frozen=True, slots=True)
class WithoutRowView:
    """Datasets that a test has no row for, with the common reason."""

    scenario: str
    datasets: tuple[str, ...]
    cell: CellView


@dataclass(frozen=True, slots=True)
class FindingView:
    """A quality finding by check and standing, with the cases that show it."""

    check: str
    standing: str
    count: int
    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunView:
    """A run that a line rests on, by the short name that the document gives it."""

    id: str
    case: str
    dataset: str
    roles: str
    target: str
    retention: str
    session: str
    record: str


@dataclass(frozen=True, slots=True)
class VerdictView:
    """One verdict of a run under validation, with its figures."""

    run: str
    check: str
    badge: Badge
    figures: tuple[FigureView, ...]


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session, by the short name that the document gives it: how it was made, and its hash."""

    id: str
    target: str
    created: str
    platform: str
    harness: str
    options: str
    sha256: str


@dataclass(frozen=True, slots=True)
class DatasetView:
    """A dataset: its kind with the number of frames, and its hash."""

    name: str
    text: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What the sessions rest on: versions with the sessions that had them, datasets, and sentences on what was not seen."""

    versions: tuple[tuple[str, str], ...]
    datasets: tuple[DatasetView, ...]
    gpu: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DocumentView:
    """The whole document."""

    target: str
    badge: Badge
    sentence: str
    counts: str
    own: tuple[SessionView, ...]
    other_profiles: tuple[OtherProfileView, ...]
    done: tuple[LineView, ...]
    columns: tuple[ColumnView, ...]
    rows: tuple[RowView, ...]
    without_row: tuple[WithoutRowView, ...]
    findings: tuple[FindingView, ...]
    sections: tuple[SectionView, ...]
    beyond: tuple[TestView, ...]
    runs: tuple[RunView, ...]
    verdicts: tuple[VerdictView, ...]
    sessions: tuple[SessionView, ...]
    limits: Limits
