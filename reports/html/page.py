"""Define the data of the report page in one language, ready for the templates.

Texts are unescaped; the templates escape them. Ids are unique in the page and made of counters.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.language.catalogue import Language
from harness.session.model import RealSet
from harness.verdict import Outcome
from reports.badges import Badge
from reports.html import charts, skymap
from reports.html.evidence import Node
from reports.html.overview import Glance


@dataclass(frozen=True, slots=True)
class VerdictView:
    """One verdict: its case and run, its sentence and cause, and its evidence."""

    id: str
    case: str
    case_id: str
    role: str
    run: str
    check: str
    badge: Badge
    sentence: str
    finding: str
    cause: tuple[str, ...]
    evidence: Node | None
    keys: tuple[tuple[str, str], ...]
    outcome: Outcome
    subject: bool
    before: bool
    order: tuple[int, bool, str, int, str]


@dataclass(frozen=True, slots=True)
class FoldView:
    """Folded verdicts, with the line that is shown in their place."""

    summary: str
    verdicts: tuple[VerdictView, ...]


@dataclass(frozen=True, slots=True)
class ControlView:
    """A control: the checks expected to be red, those found red, and whether they agree."""

    run_id: str
    case: str
    target: str
    role: str
    badge: Badge
    outcome: Outcome
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class TileView:
    """One master tile as a row of the table that goes with the drawing."""

    tile: str
    retry_of: str
    frames: str
    thread: str
    submitted: str
    started: str
    ended: str
    collected: str
    outcome: str
    failed: bool
    error: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as a data URI, with its size in pixels."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class SkyView:
    """The coverage maps of a run and its pair. ``levels`` are the legend: each colour with its label."""

    maps: skymap.Maps
    levels: tuple[tuple[str, str], ...]
    bar: str
    run_alt: str
    pair_alt: str


@dataclass(frozen=True, slots=True)
class TimeView:
    """Live bytes and tiles over time, with text alternatives and the texts that replace an empty drawing."""

    chart: charts.BytesChart
    chart_caption: str
    chart_alt: str
    no_bytes: str
    no_tiles: str
    timeline: charts.Timeline
    timeline_alt: str
    tiles: tuple[TileView, ...]
    tiles_left_out: int


@dataclass(frozen=True, slots=True)
class RunView:
    """One judged run with its drawings. A part missing from the record is ``None``; ``problems`` say why."""

    id: str
    title: str
    target: str
    retention: str
    badge: Badge
    control: bool
    is_pair: bool
    expected: str
    found: str
    compared: str
    problems: tuple[str, ...]
    verdicts: tuple[VerdictView, ...]
    photograph: Picture | None
    photograph_alt: str
    sky: SkyView | None
    time: TimeView | None
    retained: tuple[charts.Retained, ...]
    retained_said: str
    cost: tuple[charts.Spread, ...]


@dataclass(frozen=True, slots=True)
class CaseView:
    """One case: its dataset and its judged runs."""

    id: str
    name: str
    scenario: str
    mode: str
    dataset: str
    badge: Badge
    runs: tuple[RunView, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A link to a test, and the case that the test ran on."""

    id: str
    label: str
    case: str


@dataclass(frozen=True, slots=True)
class LineView:
    """One line of the checklist, with its outcome, the sentence on it, and its tests."""

    id: str
    text: str
    badge: Badge
    sentence: str
    tests: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class SectionView:
    """A section of the checklist."""

    title: str
    lines: tuple[LineView, ...]


@dataclass(frozen=True, slots=True)
class TestView:
    """One test."""

    id: str
    title: str
    nodeid: str
    case: str
    badge: Badge
    message: str


@dataclass(frozen=True, slots=True)
class EntryView:
    """One run in the table of runs."""

    case: str
    role: str
    purpose: str
    way: str
    target: str
    retention: str
    dataset: str
    state: Badge
    seconds: str
    identity: str
    record: str


@dataclass(frozen=True, slots=True)
class ReportView:
    """The whole page."""

    language: Language
    title: str
    sentence: str
    badge: Badge
    self_test: bool
    real_command: str
    target: str
    created: str
    command: str
    sha256: str
    counts: tuple[tuple[Badge, str], ...]
    done: tuple[LineView, ...]
    glance: Glance
    without_verdict: tuple[TestView, ...]
    verdicts: tuple[VerdictView, ...]
    folds: tuple[FoldView, ...]
    controls_off: tuple[ControlView, ...]
    all_well: bool
    controls: tuple[ControlView, ...]
    cases: tuple[CaseView, ...]
    checklist: tuple[SectionView, ...]
    tests: tuple[TestView, ...]
    runs: tuple[EntryView, ...]
    real_sets: tuple[RealSet, ...]
    real_judged: bool
    identity: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]
    translation: str
    smaller: str
