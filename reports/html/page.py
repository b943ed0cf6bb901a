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
from reports.html.before_after import BeforeAfterView
from reports.html.evidence import Node
from reports.html.overview import Glance
from reports.html.why import WhyView


@dataclass(frozen=True, slots=True)
class VerdictView:
    """One verdict: its case and run, its sentence and cause, and its evidence."""

    id: str
    case: str
    run_id: str
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
    """A control: the checks expected to be red, those found red, whether they agree, and this in one sentence."""

    run_id: str
    case: str
    target: str
    role: str
    badge: Badge
    outcome: Outcome
    sentence: str


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
    """One judged run with its drawings; ``shown`` unless it passes, is compared with, or is shown above.

    A part missing from the record is ``None``; ``problems`` say why.
    """

    id: str
    title: str
    target: str
    retention: str
    badge: Badge
    control: bool
    is_pair: bool
    shown: bool
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
    """One case: its dataset and its judged runs; ``folded`` if none of them fails or is unknown."""

    id: str
    name: str
    scenario: str
    mode: str
    dataset: str
    badge: Badge
    folded: bool
    runs: tuple[RunView, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A link to a test, with the case that it ran on and the badge of its outcome."""

    id: str
    label: str
    case: str
    badge: Badge


@dataclass(frozen=True, slots=True)
class LineView:
    """One line of the checklist, with its badge, the figures that decide it, its scope, and what it lacks.

    ``verdict``, ``picture`` and ``command`` are ids on the page, empty where there is none. ``cause`` says that the verdict's
    link leads to a chain of causes. ``tests`` judge the line.
    """

    id: str
    text: str
    badge: Badge
    figures: str
    scope: str
    note: str
    verdict: str
    cause: bool
    picture: str
    command: str
    commands: tuple[str, ...]
    tests: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class SectionView:
    """A section of the checklist, with the number of its lines by badge."""

    title: str
    lines: tuple[LineView, ...]
    counts: tuple[tuple[Badge, str], ...]


@dataclass(frozen=True, slots=True)
class TestView:
    """One test. ``said`` means that the verdict which it asserts is among those above, with its cause."""

    id: str
    title: str
    nodeid: str
    case: str
    badge: Badge
    message: str
    said: bool = False


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
class DecisionView:
    """The first screen: each line of the Definition of Done, what the verdict does not cover, and known findings."""

    lines: tuple[LineView, ...]
    not_covered: tuple[str, ...]
    known: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AppendixView:
    """What the page rests on: verdicts with their evidence, tests, runs, commands and versions."""

    without_verdict: tuple[TestView, ...]
    verdicts: tuple[VerdictView, ...]
    folds: tuple[FoldView, ...]
    all_well: bool
    patch: tuple[VerdictView, ...]
    tests: tuple[TestView, ...]
    counts: tuple[tuple[Badge, str], ...]
    runs: tuple[EntryView, ...]
    real_sets: tuple[RealSet, ...]
    real_judged: bool
    identity: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportView:
    """The whole page, in its reading order."""

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
    decision: DecisionView
    before_after: BeforeAfterView | None
    why: WhyView
    controls: tuple[ControlView, ...]
    checklist: tuple[SectionView, ...]
    glance: Glance
    cases: tuple[CaseView, ...]
    appendix: AppendixView
    translation: str
    smaller: str
