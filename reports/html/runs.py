"""Build the data of a judged run: its verdicts, and the drawings of its record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from harness.language.catalogue import Language
from harness.record.history import Tile
from harness.record.reader import Record
from harness.record.request import RETENTIONS
from harness.session.evidence import bookkeeping_exponent, hole_outlines, phase_3_ratio, to_read
from harness.session.model import JudgedRun
from harness.verdict import Outcome, Verdict, rank, worst_first
from reports.badges import (
    BEFORE,
    badge,
    control_badge,
    expected_red,
    finding_word,
    found_red,
    role_rank,
    role_word,
    state_word,
    verdict_badge,
)
from reports.event_keys import keys_of
from reports.html import charts, skymap
from reports.html.evidence import node
from reports.html.overview import RunKey, run_key, run_words
from reports.html.page import Picture, RunView, SkyView, TileView, TimeView, VerdictView
from reports.html.planes import Outline
from reports.material import Material
from reports.names import check_name, thread_name

MAX_TILES = 200


class TooLargeError(Exception):
    """The pictures drawn so far are already more than the page has room for."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """Which runs a page draws: the longest side of a picture in pixels, or ``None`` for no drawing.

    ``good`` is that of runs in which nothing fails or is unknown: the page folds them. ``room`` is how many bytes all pictures of
    runs may have together.
    """

    side: int | None
    good: int | None
    room: float = math.inf

    def side_of(self, judged: JudgedRun) -> int | None:
        """Return the longest side of the pictures of a run."""
        return self.side if judged.outcome in (Outcome.FAIL, Outcome.UNKNOWN) else self.good


class _Words(NamedTuple):
    """The texts of the drawings over time: caption, and what replaces an empty drawing."""

    caption: str
    no_bytes: str
    no_tiles: str


class Runs:
    """Build the views of judged runs in one language.

    ``case_ids`` and ``run_ids`` are the ids of the sections of cases and runs. ``drawing`` says which runs are drawn, and how
    large; `run` raises ``TooLargeError`` as soon as the pictures exceed its room, so that no time is lost on the others.
    """

    def __init__(
        self,
        material: Material,
        lang: Language,
        case_ids: Mapping[str, str],
        run_ids: Mapping[RunKey, str],
        drawing: Drawing,
    ) -> None:
        self.material = material
        self.lang = lang
        self.case_ids = case_ids
        self.run_ids = run_ids
        self.drawing = drawing
        self.room = drawing.room
        judged = material.session.judged
        self.baselines = {(j.case, j.run) for j in judged if j.role == "baseline"}
        self.baselines |= {(j.case, j.baseline) for j in judged if j.baseline is not None}

    def run(self, judged: JudgedRun, compared: str = "") -> RunView:
        """Return the view of a judged run. ``compared`` is the case whose mosaics the page shows before and after the patch."""
        lang, material = self.lang, self.material
        entry = material.runs.get(judged.run)
        found, pair = material.record(judged.run), material.record(judged.pair)
        problems = self._problems(found, judged)
        if isinstance(pair, str):
            problems.append(lang.say("The record of the run with run_end can't be read: {error}", error=pair))
        record = found if isinstance(found, Record) else None
        pair_record = pair if isinstance(pair, Record) else None
        target = entry.target if entry else judged.run
        retention = entry.retention if entry else lang.say("unknown")
        side = self.drawing.side_of(judged)
        photograph = self._photograph(record, judged, side) if record is not None and side is not None else None
        sky = self._sky(judged, record, pair_record, side) if side is not None else None
        self._spend(photograph, sky)
        return RunView(
            id=self.run_ids[run_key(judged)],
            title=self.role(judged.case, judged.run, judged.role),
            target=target,
            retention=retention,
            badge=badge(judged.outcome, lang),
            control=judged.expected_red is not None,
            is_pair=judged.role.endswith("pair"),
            shown=judged.role == "subject" and judged.outcome is not Outcome.PASS and judged.case != compared,
            expected=expected_red(judged, lang),
            found=found_red(judged, lang),
            compared=self._compared(judged),
            problems=tuple(problems),
            verdicts=tuple(self.verdict(v, judged) for v in sorted(judged.verdicts, key=worst_first)),
            photograph=photograph,
            photograph_alt=lang.say(
                "Mosaic made by {target} with {retention}. {result}",
                target=target,
                retention=retention,
                result=self._said(judged, "tiles", "holes"),
            ),
            sky=sky,
            time=self._time(record, judged) if record is not None and side is not None else None,
            retained=self._retained(judged) if side is not None else (),
            retained_said=next((lang.render(v.sentence) for v in judged.verdicts if v.check == "disk"), ""),
            cost=self._cost(judged) if side is not None else (),
        )

    def _photograph(self, record: Record, judged: JudgedRun, side: int) -> Picture | None:
        taken = self.material.photograph(record)
        if taken is None:
            return None
        return Picture(*self.material.drawn(("photograph", judged.run, side), lambda: skymap.photograph(taken, side)))

    def _spend(self, photograph: Picture | None, sky: SkyView | None) -> None:
        """Take the pictures of a run from the room of the page."""
        maps = (sky.maps.run, sky.maps.pair) if sky is not None else ()
        self.room -= sum(len(drawn.picture) for drawn in maps if drawn is not None)
        self.room -= len(photograph.uri) if photograph is not None else 0
        if self.room < 0:
            raise TooLargeError

    def _problems(self, found: Record | str | None, judged: JudgedRun) -> list[str]:
        say = self.lang.say
        if found is None:
            return [say("The session has no run {run}: nothing can be drawn.", run=judged.run)]
        if isinstance(found, str):
            return [say("The record can't be read: {error}", error=found)]
        problems = []
        if found.seal is None:
            problems.append(say("The record was never sealed: the run may have been cut off."))
        elif found.seal.state != "done":
            state = state_word(found.seal.state, self.lang)
            problems.append(say("The run ended as: {state}. {reason}", state=state, reason=found.seal.reason))
        tampered = () if found.seal is None else found.seal.tampered
        if tampered:
            problems.append(say("The target replaced parts of its record: {what}", what="; ".join(tampered[:5])))
        if changed := found.damage[len(tampered) :]:
            problems.append(say("The record was changed since it was sealed: {what}", what="; ".join(changed[:5])))
        if found.beyond:
            problems.append(
                say("The record is beyond the limits of the harness: {what}", what="; ".join(found.beyond[:5]))
            )
        if found.history.torn:
            problems.append(say("Lines that could not be read: {what}", what="; ".join(found.history.torn[:5])))
        if found.products is None or found.products.mosaic is None:
            problems.append(say("No mosaic was made, or it was not measured."))
        return problems

    def _compared(self, judged: JudgedRun) -> str:
        parts = []
        for role, key in (("pair", judged.pair), ("baseline", judged.baseline)):
            entry = self.material.runs.get(key) if key is not None else None
            if entry is not None:
                # A pair is labelled by its role here: the same run may be the pair of several subjects or controls.
                own = entry.role if role == "baseline" else role
                run = f"{entry.target}, {entry.retention}"
                parts.append(self.lang.say("{role}: {run}", role=self.role(entry.case, entry.key, own), run=run))
        return " · ".join(parts)

    def role(self, case: str, run: str, role: str) -> str:
        """Return the word for a run's role; the run before the patch may be a control and the baseline at once."""
        word = role_word(role, self.lang)
        if role != "baseline" and (case, run) in self.baselines:
            return self.lang.say("{role}, also the baseline", role=word)
        return word

    def verdict_id(self, judged: JudgedRun, verdict: Verdict) -> str:
        """Return the id of a verdict on a run."""
        place = next(n for n, v in enumerate(sorted(judged.verdicts, key=worst_first), 1) if v is verdict)
        return f"{self.run_ids[run_key(judged)]}-verdict-{place}"

    def verdict(self, verdict: Verdict, judged: JudgedRun) -> VerdictView:
        """Return the view of a verdict on a run."""
        lang = self.lang
        control = judged.expected_red is not None
        return VerdictView(
            id=self.verdict_id(judged, verdict),
            case=judged.case,
            run_id=self.run_ids[run_key(judged)],
            role=self.role(judged.case, judged.run, judged.role),
            run=run_words(self.material.runs.get(judged.run), judged),
            check=check_name(verdict.check, lang),
            badge=control_badge(verdict, judged, lang) if control else verdict_badge(verdict, lang),
            sentence=lang.render(verdict.sentence),
            finding=finding_word(verdict, lang),
            cause=tuple(lang.render(link) for link in verdict.cause),
            evidence=node(to_read(verdict), lang) if verdict.evidence else None,
            keys=keys_of(verdict, lang),
            outcome=verdict.outcome,
            subject=judged.role == "subject",
            before=judged.role in BEFORE,
            order=(rank(verdict.outcome), not verdict.gates, judged.case, role_rank(judged.role), verdict.check),
        )

    def _said(self, judged: JudgedRun, *checks: str) -> str:
        """Return the sentences of some checks on a run."""
        found = {verdict.check: self.lang.render(verdict.sentence) for verdict in judged.verdicts}
        return " ".join(found[check] for check in checks if check in found)

    def _sky(self, judged: JudgedRun, run: Record | None, pair: Record | None, side: int) -> SkyView | None:
        lang = self.lang
        outlines = [Outline(number, edge) for number, edge in hole_outlines(judged).items()]
        ours, theirs = (record.products if record else None for record in (run, pair))
        edges = tuple((outline.number, outline.sky.tobytes()) for outline in outlines)
        # A run that is judged in two roles, as a control and as the baseline, is drawn once.
        key = ("maps", judged.run, judged.pair, edges, side)
        maps = self.material.drawn(key, lambda: skymap.maps(ours, theirs, outlines, side))
        if maps is None:
            return None
        numbers = ", ".join(h.number for h in (maps.run or maps.pair or _NO_MAP).holes)
        if numbers:
            alt = lang.say(
                "Coverage of the run. Holes are outlined and numbered: {numbers}. {result}",
                numbers=numbers,
                result=self._said(judged, "holes"),
            )
        else:
            alt = lang.say("Coverage of the run, without a hole. {result}", result=self._said(judged, "holes"))
        any_map = maps.pair or maps.run
        compass = any_map.compass if any_map else None
        return SkyView(
            maps=maps,
            levels=tuple((level.colour, _level(level, lang)) for level in maps.levels),
            bar=lang.angle(compass.arcminutes) if compass else "",
            run_alt=alt,
            pair_alt=lang.say("Coverage of the same run with run_end: the sky that the run must cover too."),
        )

    def _time(self, record: Record, judged: JudgedRun) -> TimeView | None:
        lang, history = self.lang, record.history
        axis = charts.clock(history)
        if axis is None:
            return None
        chart = charts.bytes_chart(history, axis, lang)
        made = sum(t.made for t in history.tiles)
        words = self._words(record.request.mode)
        return TimeView(
            chart=chart,
            chart_caption=words.caption,
            chart_alt=lang.say(
                "Size of the caches over time: {peak} at most, {last} at the end of the trace. {result}",
                peak=lang.size(chart.peak),
                last=lang.size(chart.last),
                result=self._said(judged, "disk"),
            ),
            no_bytes=words.no_bytes,
            no_tiles=words.no_tiles,
            timeline=charts.timeline(history, axis, lang),
            timeline_alt=lang.say(
                "Master tiles over time, one row per thread: {made} of {all} made. {result}",
                made=made,
                all=len(history.tiles),
                result=self._said(judged, "cache"),
            ),
            tiles=tuple(self._tile(t, axis) for t in history.tiles[:MAX_TILES]),
            tiles_left_out=max(0, len(history.tiles) - MAX_TILES),
        )

    def _words(self, mode: str) -> _Words:
        """Return the texts of the drawings over time for a mode: what is expected of caches differs between modes."""
        say = self.lang.say
        missing = say("The trace and the disk samples contain no cache: there is nothing to draw.")
        no_tiles = say("SDS and grid mode make no master tiles: there is nothing to draw.")
        if mode == "sds":
            stay = say("With SDS the coadd reads every cache, so caches stay until it ends.")
            return _Words(say("All caches are written in Phase 1. {what}", what=stay), missing, no_tiles)
        if mode == "grid":
            none = say("Grid mode writes no caches.")
            return _Words(none, say("Grid mode writes no caches: there is nothing to draw."), no_tiles)
        return _Words(
            say("All caches are written in Phase 1; with per_tile they must be removed step by step during Phase 3."),
            missing,
            say("The record contains no steps of tiles: there is nothing to draw."),
        )

    def _retained(self, judged: JudgedRun) -> tuple[charts.Retained, ...]:
        """Draw the three retentions side by side, if the session has all of them."""
        records = [self.material.record(key) for key in (judged.run, judged.pair, *judged.equals)]
        histories = {r.request.retention: r.history for r in reversed(records) if isinstance(r, Record)}
        if judged.role != "subject" or set(histories) < set(RETENTIONS):
            return ()
        return charts.retained({name: histories[name] for name in reversed(RETENTIONS)}, self.lang)

    def _cost(self, judged: JudgedRun) -> tuple[charts.Spread, ...]:
        """Draw the measurements of the cost check: the ratio of times and the growth of bookkeeping, each with its interval."""
        say, number = self.lang.say, self.lang.number
        drawn = []
        for found, label, marks in (
            (phase_3_ratio(judged), say("Phase 3 time, per_tile to run_end"), ((1.0, say("equal")),)),
            (
                bookkeeping_exponent(judged),
                say("Growth of bookkeeping with the inputs"),
                ((1.0, say("linear")), (2.0, say("quadratic"))),
            ),
        ):
            if found is None:
                continue
            figures = {
                "value": number(found.value, digits=3),
                "low": number(found.low, digits=3),
                "high": number(found.high, digits=3),
            }
            text = say("{value}; 95 % interval {low} to {high}", **figures)
            lines = [
                charts.Tick(at, word)
                for at, word in (*marks, (found.limit, say("limit {value}", value=number(found.limit, digits=3))))
            ]
            ends = found.value, found.low, found.high
            drawn.append(charts.spread(label, text, ends, found.points[:MAX_TILES], lines))
        return tuple(drawn)

    def _tile(self, tile: Tile, axis: charts.Clock) -> TileView:
        def at(t: int | None) -> str:
            return "–" if t is None else self.lang.moment(axis.seconds(t))

        return TileView(
            tile=str(tile.tile),
            retry_of="" if tile.retry_of is None else str(tile.retry_of),
            frames=self.lang.number(len(tile.frames)),
            thread=thread_name(tile.thread or "–", self.lang),
            submitted=at(tile.submitted),
            started=at(tile.started),
            ended=at(tile.ended),
            collected=at(tile.collected),
            outcome=charts.outcome_word(tile, self.lang),
            failed=not tile.made,
            error=tile.error or "",
        )


_NO_MAP = skymap.Map("", 1, 1, (), None)


def _level(level: skymap.Level, lang: Language) -> str:
    if level.low == level.high:
        return lang.number(level.low)
    # A tenth of the step is enough precision.
    decimals = max(0, math.ceil(-math.log10(level.high - level.low)) + 1)
    return "–".join(lang.number(round(edge, decimals)) for edge in (level.low, level.high))
