"""Compute the drawings over time: live cache bytes, and the timeline of the master tiles.

Pure functions from a run's history to positions in percent of the drawing's width, so that a drawing keeps the size of its
words whatever the width of the page. The templates write the SVG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.analysis.lifetimes import Steps, cache_names, live_bytes, lives, lower_bound
from harness.analysis.phase3 import name_of, phase_3_end, phase_3_start
from harness.analysis.removals import removals
from harness.language.catalogue import Language
from harness.record.history import History, HoldStep, Tile
from reports.names import thread_name

# Width of the drawing's coordinate system, which is stretched to the width of the page.
BOX = 1000
MAX_BARS = 600
# The smallest width of a band, in percent, that has room for its label.
ROOM = 2.5
# The room that a bar's label takes on a narrow page, in percent: around it, and for each character.
_MARGIN, _CHARACTER = 1.5, 2.0

BarState = Literal["made", "failed", "open"]


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled position, in percent."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Band:
    """A span of time with a name: a phase, or a hold. Left and width in percent."""

    left: float
    width: float
    label: str
    title: str


@dataclass(frozen=True, slots=True)
class Clock:
    """The time axis that the drawings of one run share. Times in monotonic nanoseconds."""

    start: int
    end: int

    def percent(self, t: int) -> float:
        """Return a time as a position in percent, inside the drawing."""
        span = max(self.end - self.start, 1)
        return round(min(max((t - self.start) / span, 0.0), 1.0) * 100, 3)

    def seconds(self, t: int) -> float:
        """Return a time in seconds since the start."""
        return (t - self.start) / 1e9


@dataclass(frozen=True, slots=True)
class BytesChart:
    """Live cache bytes over time.

    ``traced``, ``sampled`` and ``bound`` (what any safe retention must hold) are the points of polylines in a box of `BOX` by
    `BOX`, empty where they were not observed.
    """

    phases: tuple[Band, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    traced: str
    sampled: str
    bound: str
    peak: int
    last: int


@dataclass(frozen=True, slots=True)
class Retained:
    """Live bytes of caches during Phase 3 of one run, and their lower bound, to be compared with other retentions.

    The lines are the points of polylines in a box of `BOX` by `BOX`, on a vertical scale that all share, each in its own time.
    """

    retention: str
    live: str
    bound: str
    seconds: str
    peak: str


@dataclass(frozen=True, slots=True)
class Spread:
    """An estimate with its interval and reference values. Positions in percent."""

    label: str
    text: str
    value: float
    low: float
    high: float
    points: tuple[float, ...]
    lines: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """One master tile in the timeline. Positions in percent; ``None`` where the step was not seen.

    ``beside`` says on which side of the bar the label stands when the bar has no room for it; empty: inside.
    """

    left: float
    width: float
    waited_from: float | None
    collected: float | None
    state: BarState
    label: str
    beside: Literal["", "left", "right"]
    title: str


@dataclass(frozen=True, slots=True)
class Row:
    """One thread of workers, with the tiles it made."""

    label: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The master tiles over time, by thread, with holds and removals of caches."""

    phases: tuple[Band, ...]
    x_ticks: tuple[Tick, ...]
    rows: tuple[Row, ...]
    holds: tuple[Band, ...]
    removals: str
    removed: int
    failed: bool
    left_out: int


def clock(history: History) -> Clock | None:
    """Return the time axis of a run, from the first to the last record of the target; ``None`` without records.

    The folders are watched from before the target runs: what was sampled until its first sign is not drawn.
    """
    signs = [entry.t for entries in (history.events, history.operations, history.steps) for entry in entries]
    times = signs or [sample.t for sample in history.disk]
    return Clock(min(times), max([*times, *(sample.t for sample in history.disk)])) if times else None


def decimate(values: NDArray[np.float64], bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Choose the points of a long series that a drawing must keep: of each bin the first, lowest, highest and last.

    ``bins`` has the bin of each value, never decreasing. Returns rising indices into the series.
    """
    if values.size == 0:
        return np.zeros(0, dtype=np.int64)
    starts = np.flatnonzero(np.diff(bins, prepend=bins[0] - 1))
    ends = np.append(starts[1:], values.size)
    kept: set[int] = set()
    for first, end in zip(starts.tolist(), ends.tolist(), strict=True):
        part = values[first:end]
        kept |= {first, first + int(part.argmin()), first + int(part.argmax()), end - 1}
    return np.array(sorted(kept), dtype=np.int64)


def bytes_chart(history: History, axis: Clock, language: Language) -> BytesChart:
    """Draw live cache bytes over time, traced and sampled."""
    live = live_bytes(history)
    bound = lower_bound(lives(history))
    folder = _cache_folder(history)
    watched = [s for s in history.disk if s.folder == folder]
    # The last sample before the target's first record gives the value at that record.
    samples = [*[s for s in watched if s.t < axis.start][-1:], *(s for s in watched if s.t >= axis.start)]
    sampled_t = np.array([max(s.t, axis.start) for s in samples], dtype=np.int64)
    sampled = np.array([s.size for s in samples], dtype=np.float64)
    top = max(float(live.peak), float(sampled.max(initial=0)), 1.0)
    y_ticks = _ticks(top, 4)
    ceiling = max(y_ticks[-1], top)
    return BytesChart(
        phases=phases(history, axis, language),
        x_ticks=_time_ticks(axis, language),
        y_ticks=tuple(Tick(round(100 * (1 - v / ceiling), 3), language.size(v)) for v in y_ticks),
        traced=_within(live, axis, ceiling),
        bound=_within(bound, axis, ceiling),
        sampled=_steps(sampled_t, sampled, axis, ceiling),
        peak=live.peak,
        last=int(live.values[-1]) if live.values.size else 0,
    )


def retained(histories: Mapping[str, History], language: Language) -> tuple[Retained, ...]:
    """Draw the live bytes of several retentions, leaving out runs whose Phase 3 has no recorded start or end."""
    spans = {name: (phase_3_start(h), phase_3_end(h)) for name, h in histories.items()}
    axes = {name: Clock(a, b) for name, (a, b) in spans.items() if a is not None and b is not None and b > a}
    lines = {name: (live_bytes(histories[name]), lower_bound(lives(histories[name]))) for name in axes}
    ceiling = max([line.peak for pair in lines.values() for line in pair], default=0) or 1
    drawn = []
    for name, axis in axes.items():
        live, bound = (_within(line, axis, ceiling) for line in lines[name])
        lasted, peak = language.duration(axis.seconds(axis.end)), language.size(lines[name][0].peak)
        drawn.append(Retained(name, live, bound, lasted, peak))
    return tuple(drawn)


def _within(line: Steps, axis: Clock, ceiling: float) -> str:
    """Draw the part of a line that lies within an axis, from its value at the beginning on."""
    inner = (line.times > axis.start) & (line.times <= axis.end)
    first = line.at(np.array([axis.start]))
    return _steps(np.append(axis.start, line.times[inner]), np.append(first, line.values[inner]), axis, ceiling)


def spread(
    label: str, text: str, interval: tuple[float, float, float], points: Sequence[float], lines: Sequence[Tick]
) -> Spread:
    """Place an estimate (its value and the ends of its interval), single points, and lines whose ``at`` is a value.

    The scale holds all of them, with a little room at both ends.
    """
    values = [*interval, *points, *(line.at for line in lines)]
    room = 0.08 * ((max(values) - min(values)) or 1.0)
    left, width = min(values) - room, max(values) - min(values) + 2 * room

    def at(value: float) -> float:
        return round(100 * (value - left) / width, 2)

    value, low, high = map(at, interval)
    return Spread(
        label, text, value, low, high, tuple(map(at, points)), tuple(Tick(at(line.at), line.label) for line in lines)
    )


def timeline(history: History, axis: Clock, language: Language) -> Timeline:
    """Draw the master tiles over time: their threads, how long they waited, and when caches were removed."""
    seen = [t for t in history.tiles if t.submitted is not None or t.started is not None]
    drawn = seen[:MAX_BARS]
    threads = sorted({t.thread for t in drawn if t.thread is not None})
    rows = [
        Row(thread_name(thread, language), tuple(_bar(t, axis, language) for t in drawn if t.thread == thread))
        for thread in threads
    ]
    if idle := tuple(_bar(t, axis, language) for t in drawn if t.thread is None):
        rows.append(Row(language.say("never started"), idle))
    removed = [r for r in removals(history, cache_names(history)) if r.outcome == "done"]
    at = sorted({round(axis.percent(r.t) / 100 * BOX) for r in removed})
    return Timeline(
        phases=phases(history, axis, language),
        x_ticks=_time_ticks(axis, language),
        rows=tuple(rows),
        holds=_holds(history.holds, axis, language),
        removals="".join(f"M{x} 0V{BOX}" for x in at),
        removed=len(removed),
        failed=any(bar.state == "failed" for row in rows for bar in row.bars),
        left_out=len(seen) - len(drawn),
    )


def phases(history: History, axis: Clock, language: Language) -> tuple[Band, ...]:
    """Return the phases that the target announced, each until the next."""
    updates = [e for e in history.named("PHASE_UPDATE") if e.text.strip()]
    ends = [*(e.t for e in updates[1:]), axis.end][: len(updates)]
    return tuple(_phase(e.text.strip()[:8], e.t, end, axis, language) for e, end in zip(updates, ends, strict=True))


def _phase(name: str, start: int, end: int, axis: Clock, language: Language) -> Band:
    left, right = axis.percent(start), axis.percent(end)
    title = language.say(
        "Phase {phase}: from {start} to {end}",
        phase=name,
        start=language.seconds(axis.seconds(start)),
        end=language.seconds(axis.seconds(end)),
    )
    return Band(left, round(right - left, 3), name if right - left >= ROOM else "", title)


def _bar(tile: Tile, axis: Clock, language: Language) -> Bar:
    start = tile.started if tile.started is not None else tile.submitted
    assert start is not None
    end = tile.ended if tile.ended is not None else axis.end
    left, right = axis.percent(start), axis.percent(end)
    state: BarState = "open" if tile.ended is None else "made" if tile.made else "failed"
    sign = {"made": "", "failed": " ✗", "open": " ?"}[state]
    label = f"{tile.tile}{sign}"
    narrow = right - left < _MARGIN + _CHARACTER * len(label)
    beside: Literal["", "left", "right"] = ""
    if narrow and state != "made":
        beside = "left" if right > 50 else "right"
    return Bar(
        left=left,
        width=max(round(right - left, 3), 0.3),
        waited_from=axis.percent(tile.submitted) if tile.submitted is not None and tile.submitted < start else None,
        collected=axis.percent(tile.collected) if tile.collected is not None else None,
        state=state,
        label="" if narrow and state == "made" else label,
        beside=beside,
        title=language.say("Tile {tile}: {outcome}", tile=str(tile.tile), outcome=outcome_word(tile, language)),
    )


def outcome_word(tile: Tile, language: Language) -> str:
    """Return the word for the outcome of a tile."""
    if tile.ended is None:
        return language.say("never ended")
    words = {"made": language.say("made"), "failed": language.say("failed"), "raised": language.say("raised an error")}
    return words.get(tile.outcome or "", tile.outcome or language.say("unknown"))


def _holds(steps: Sequence[HoldStep], axis: Clock, language: Language) -> tuple[Band, ...]:
    """Match each wait of the schedule with the event that ended it."""
    bands: list[Band] = []
    for step in steps:
        if step.state != "waiting":
            continue
        same = (s for s in steps if s.state != "waiting" and s.t >= step.t and s.group == step.group)
        end = next(same, None)
        left, right = axis.percent(step.t), axis.percent(end.t if end else axis.end)
        result = {"met": language.say("met"), "unmet": language.say("not met")}.get(end.state if end else "", "?")
        label = language.say(
            "group {group} waits for {other}: {result}", group=step.group, other=step.until_released, result=result
        )
        bands.append(
            Band(left, max(round(right - left, 3), 0.3), label, f"{label} {end.reason if end else ''}".strip())
        )
    return tuple(bands)


def _steps(times: NDArray[np.int64], values: NDArray[np.float64], axis: Clock, ceiling: float) -> str:
    """Return a staircase: a value holds until the next one, and the last one until the end.

    This is how both lines were recorded: the trace at every change, the samples when a look found another size.
    """
    if times.size <= 1 and not values.any():
        return ""
    x = _across(times, axis)
    kept = decimate(values, x)
    points: list[str] = []
    previous = _height(float(values[0]), ceiling)
    for position, value in zip(x[kept].tolist(), values[kept].tolist(), strict=True):
        height = _height(value, ceiling)
        points += [f"{position},{previous:g}", f"{position},{height:g}"]
        previous = height
    # A point that repeats the one before it draws nothing.
    drawn = [p for n, p in enumerate([*points, f"{BOX},{previous:g}"]) if n == 0 or p != points[n - 1]]
    return " ".join(drawn)


def _across(times: NDArray[np.int64], axis: Clock) -> NDArray[np.int64]:
    return np.rint((times - axis.start) / max(axis.end - axis.start, 1) * BOX).astype(np.int64)


def _height(value: float, ceiling: float) -> float:
    return round(BOX * (1 - value / ceiling), 1)


def _time_ticks(axis: Clock, language: Language) -> tuple[Tick, ...]:
    span = axis.seconds(axis.end)
    if span <= 0:
        return ()
    return tuple(Tick(round(100 * s / span, 3), language.seconds(s)) for s in _ticks(span, 5) if s <= span * 0.97)


def _ticks(top: float, about: int) -> tuple[float, ...]:
    """Return round values from 0 on, about so many, the last at or above the top."""
    rough = top / about
    scale = 10.0 ** np.floor(np.log10(rough))
    step = next(float(s * scale) for s in (1, 2, 2.5, 5, 10) if s * scale >= rough * (1 - 1e-9))
    return tuple(float(f"{n * step:.12g}") for n in range(int(np.ceil(top / step - 1e-9)) + 1))


def _cache_folder(history: History) -> str | None:
    """Return the watched folder that holds the caches."""
    watched = {s.folder for s in history.disk}
    caches = cache_names(history)
    parents = {str(PurePosixPath(o.path).parent) for o in history.operations if name_of(o.path) in caches}
    return next(iter(sorted(watched & parents)), None)
