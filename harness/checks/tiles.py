"""Whether all master tiles were made; in SDS whether all batches were coadded, in grid mode whether all sky tiles were made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from harness.analysis.causes import MAX_LISTED, Causes, listed, why_not_made
from harness.analysis.figure import Figure, Unit, numbers
from harness.analysis.modes import SkyTiles, batches, sky_tiles
from harness.analysis.phase3 import ABANDONED, NONE_MADE, SKIPPED_LATER, Why, groups, name_of, number, twin
from harness.checks.base import Check, Runs
from harness.checks.premises import ALWAYS, CALLBACK, ELSEWHERE, MODE_REACHED, SHARED, TILES, measures, standard
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.history import History
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict

Conclusion = tuple[Outcome, Message, tuple[Message, ...]]

_COUNT = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*")


@dataclass(frozen=True, slots=True)
class Count:
    """How many tiles the target states and the trace shows: made, and submitted. ``None`` where nothing says."""

    made: int | None
    announced: int | None
    submitted: int | None
    traced: int | None

    @property
    def wanted(self) -> int | None:
        """The tiles that there had to be: what was submitted counts, also when the target announces fewer."""
        return max((n for n in (self.announced, self.submitted) if n is not None), default=None)

    @property
    def contradictory(self) -> bool:
        """Whether the target and the trace state different numbers."""
        more = self.made is not None and self.wanted is not None and self.made > self.wanted
        return more or self.submitted not in (None, self.announced) or self.traced not in (None, self.made)


def announced(history: History) -> int | None:
    """Return ``tiles_total``: the last N of ``MASTER_TILE_COUNT_UPDATE:i/N``, which grows with each retry group.

    Never telemetry's number: from Phase 4 on that is the number of tiles made.
    """
    told = [match for e in history.named("MASTER_TILE_COUNT_UPDATE") if (match := _COUNT.fullmatch(e.text))]
    return int(told[-1][2]) if told else None


def finished(history: History) -> int | None:
    """Return ``num_master_tiles`` as Phase 3 stated it at its end, 0 when it stated that none was made."""
    told = [number(e, "num_master_tiles") for e in history.named("run_info_phase3_finished_from_cache")]
    known = [n for n in told if n is not None]
    if known:
        return known[-1]
    return 0 if history.named(NONE_MADE) else None


def _judge(runs: Runs, _: Thresholds) -> Verdict:
    match runs.run.request.mode:
        case "sds":
            return _of_batches(runs)
        case "grid":
            return _of_sky_tiles(runs)
        case _:
            return _of_master_tiles(runs)


def _of_master_tiles(runs: Runs) -> Verdict:
    causes = Causes(runs.run)
    count = _count(runs.run, causes)
    lost = _lost(runs.run, causes)
    history = runs.run.history
    unplanned = (
        sorted(set(range(len(runs.run.request.plan or ()))) - set(causes.groups.values())) if count.submitted else []
    )
    evidence: dict[str, Any] = {
        "num_master_tiles": count.made,
        "tiles_total": count.announced,
        "groups_submitted": count.submitted,
        "retries": len(causes.origins),
        "planned": None if runs.run.request.plan is None else len(runs.run.request.plan),
        "made_in_trace": count.traced,
        "not_made": [{**causes.described(tile), "why": why} for tile, why in lost.items()][:MAX_LISTED],
        "groups_never_submitted": unplanned[:MAX_LISTED],
        "frames_abandoned_by_retries": _values(history, "filename", ABANDONED),
        "skipped_after_phase_3": _values(history, "path", *SKIPPED_LATER)
        + _values(history, "filename", *SKIPPED_LATER),
    }
    outcome, sentence, cause = _conclude(runs, causes, count, lost, unplanned)
    return Verdict("tiles", outcome, sentence, MappingProxyType(evidence), cause)


def _conclude(runs: Runs, causes: Causes, count: Count, lost: Mapping[int, Why], unplanned: list[int]) -> Conclusion:
    blamed = [tile for tile, why in lost.items() if why in ("caches", "unstated")]
    unnamed = count.made is not None and count.wanted is not None and count.wanted - count.made > len(lost)
    if blamed or unnamed:
        return Outcome.FAIL, _short(count, lost), _cause(causes, lost, blamed)
    if count.made is None or count.wanted is None:
        sentence = say("Phase 3 never stated how many master tiles it made, or of how many.")
        return Outcome.UNKNOWN, sentence, _cause(causes, lost, list(lost))
    if count.contradictory:
        sentence = say(
            "The record contradicts itself: the target states {made} of {total} made, the trace shows {traced} of {submitted}.",
            made=count.made,
            total="?" if count.announced is None else count.announced,
            traced="?" if count.traced is None else count.traced,
            submitted="?" if count.submitted is None else count.submitted,
        )
        return Outcome.UNKNOWN, sentence, ()
    others = {tile: why for tile, why in lost.items() if why != "fault"}
    if others or unplanned:
        return _for_other_causes(runs, causes, others, unplanned)
    if lost:
        sentence = say(
            "{made} of {total} master tiles were made, retries included; the others were ended by faults that the run was asked"
            " to meet: {tiles}.",
            made=count.made,
            total=count.wanted,
            tiles=listed(lost),
        )
        return Outcome.PASS, sentence, tuple(why_not_made(tile, why) for tile, why in list(lost.items())[:MAX_LISTED])
    return Outcome.PASS, say("All {total} master tiles were made, retries included.", total=count.wanted), ()


def _count(run: Record, causes: Causes) -> Count:
    tiles = causes.tiles.values() if "tiles" in run.history.capabilities else None
    return Count(
        made=finished(run.history),
        announced=announced(run.history),
        submitted=None if tiles is None else sum(tile.submitted is not None for tile in tiles),
        traced=None if tiles is None else sum(tile.made for tile in tiles),
    )


def _values(history: History, field: str, *keys: str) -> list[str]:
    return sorted({name_of(str(e.fields[field])) for e in history.named(*keys) if field in e.fields})[:MAX_LISTED]


def _lost(run: Record, causes: Causes) -> Mapping[int, Why]:
    """Return the tiles that were not made: those that failed, and in a run that came to its end those that never ended."""
    lost: dict[int, Why] = dict(causes.failures)
    if run.seal is not None and run.seal.state == "done" and "tiles" in run.history.capabilities:
        for tile in run.history.tiles:
            if tile.submitted is not None and tile.ended is None and tile.collected is None:
                lost.setdefault(tile.tile, "unstated")
    return dict(sorted(lost.items()))


def _short(count: Count, lost: Mapping[int, Why]) -> Message:
    if count.made is None or count.wanted is None:
        return say("Tiles {tiles} were not made; Phase 3 never stated its count.", tiles=listed(lost))
    return say(
        "{made} of {total} master tiles were made; not made: {tiles}.",
        made=count.made,
        total=count.wanted,
        tiles=listed(lost) if lost else "?",
    )


def _cause(causes: Causes, lost: Mapping[int, Why], blamed: list[int]) -> tuple[Message, ...]:
    if not blamed:
        return () if lost else (say("Nothing in the record says which tile was not made."),)
    worst = min(blamed, key=lambda t: (lost[t] != "caches", -len(causes.losses.get(t, [])), t))
    links = causes.of_tile(worst)
    others = set(blamed) - {worst}
    return (*links, say("Tiles hit in the same way: {tiles}.", tiles=listed(others))) if others else links


def _for_other_causes(runs: Runs, causes: Causes, lost: Mapping[int, Why], unplanned: list[int]) -> Conclusion:
    """Judge a run whose tiles failed for causes that they stated, none of them caches.

    The equality is asked of valid datasets only. What the pair fails to make too is the dataset's doing, and the question does
    not arise; what the pair makes was lost by the run under judgement; without a pair nobody knows.
    """
    links = tuple(why_not_made(tile, why) for tile, why in list(lost.items())[:MAX_LISTED])
    if unplanned:
        links += (say("No tile was submitted for the planned groups {groups}.", groups=listed(unplanned)),)
    pair, reason = standard(runs)
    if pair is not None and "tiles" not in pair.history.capabilities:
        pair, reason = None, say("The making of the pair's master tiles was not traced.")
    if pair is None:
        sentence = say(
            "Tiles {tiles} were not made for causes other than caches, and no pair tells whether the dataset is to blame.",
            tiles=listed(lost),
        )
        return Outcome.UNKNOWN, sentence, (*links, *((reason,) if reason else ()))
    twins = {tile: twin(causes.tiles[tile], pair) if tile in causes.tiles else None for tile in lost}
    regained = [tile for tile, other in twins.items() if other is not None and other.made]
    regained_groups = sorted(set(unplanned) & set(groups(pair).values()))
    if regained or regained_groups:
        sentence = say(
            "The pair made from the same frames what is not made here: tiles {tiles}, planned groups {groups}.",
            tiles=listed(regained),
            groups=listed(regained_groups),
        )
        return Outcome.FAIL, sentence, links
    sentence = say("The dataset is not valid for this question: what is not made here, the pair does not make either.")
    return Outcome.NOT_APPLICABLE, sentence, links


def _of_batches(runs: Runs) -> Verdict:
    """Judge SDS, which makes no master tiles: every batch that was built must be coadded."""
    found = batches(runs.run.history)
    failed = sorted({n for n, _, good in found.reported if not good} - found.coadded)
    evidence = {"batches": found.built, "coadded": len(found.coadded), "failed": failed[:MAX_LISTED]}
    ended = runs.run.seal is not None and runs.run.seal.state == "done"
    if found.built is None:
        outcome, sentence = Outcome.UNKNOWN, say("SDS never stated how many batches it built.")
    elif not found.built and not found.reported:
        outcome, sentence = Outcome.UNKNOWN, say("SDS built no batch, so there was none to coadd.")
    elif failed or (ended and len(found.coadded) < found.built):
        outcome = Outcome.FAIL
        sentence = say("{made} of {total} batches were coadded.", made=len(found.coadded), total=found.built)
    elif len(found.coadded) > found.built:
        outcome = Outcome.UNKNOWN
        sentence = say(
            "The record contradicts itself: {total} batches were built, {made} were coadded.",
            made=len(found.coadded),
            total=found.built,
        )
    else:
        outcome, sentence = Outcome.PASS, say("All {total} batches were coadded.", total=found.built)
    return Verdict("tiles", outcome, sentence, MappingProxyType(evidence))


def _of_sky_tiles(runs: Runs) -> Verdict:
    """Judge grid mode: every sky tile with frames must be made, and every one that was made must reach the assembly.

    A tile without usable pixels is no failure where no other run makes it either. Grid mode has no retention, so the baseline
    is a measure like the pair, unless it cut its canvas into another number of tiles. (Whether that lost sky, the check of holes
    tells, which compares the covered sky with the baseline's.)
    """
    found = sky_tiles(runs.run.history)
    others = [other for record in measures(runs) if found.cut_like(other := sky_tiles(record.history))]
    made_elsewhere = {n for other in others for n in other.saved}
    lost = (set(found.failed) | found.empty | made_elsewhere) - set(found.saved)
    new = lost & made_elsewhere if others else lost & set(found.failed)
    refused = _refused(found)
    usual = max((_refused(other) or 0 for other in others), default=0)
    evidence: dict[str, Any] = {
        "made": len(found.saved),
        "attempted": found.attempted,
        "kept": found.kept,
        "not_made": {
            str(n): found.failed.get(n, "no usable patches" if n in found.empty else "?") for n in sorted(lost)
        },
        "made_in_other_runs": sorted(new) if others else None,
        "refused_in_other_runs": usual if others else None,
    }
    cause = tuple(
        say("Sky tile {tile} failed: {error}", tile=n, error=found.failed[n])
        for n in sorted(lost & set(found.failed))[:5]
    )
    ended = runs.run.seal is not None and runs.run.seal.state == "done"
    if new and (others == [] or ended or new & (set(found.failed) | found.empty)):
        outcome = Outcome.FAIL
        sentence = say("Sky tiles that were not made: {tiles}.", tiles=listed(new))
    elif refused is not None and refused > usual:
        outcome = Outcome.FAIL
        sentence = say(
            "Sky tiles that were made and did not reach the mosaic: {count} of {total}.",
            count=refused,
            total=len(found.saved),
        )
    elif not found.saved or refused is None:
        outcome, sentence = Outcome.UNKNOWN, say("Grid mode never stated which sky tiles it made, or assembled.")
    elif lost and not others:
        outcome = Outcome.UNKNOWN
        sentence = say(
            "Sky tiles without usable pixels: {tiles}; no other run tells whether that is new.", tiles=listed(lost)
        )
    elif refused or lost & set(found.failed):
        outcome = Outcome.NOT_APPLICABLE
        sentence = say(
            "The dataset is not valid for this question: what is not made here, the pair does not make either."
        )
    elif lost:
        outcome = Outcome.PASS
        sentence = say(
            "All sky tiles that any run makes were made and assembled: {count}; without usable pixels in each: {tiles}.",
            count=len(found.saved),
            tiles=listed(lost),
        )
    else:
        outcome = Outcome.PASS
        sentence = say("All {count} sky tiles were made and assembled.", count=len(found.saved))
    return Verdict("tiles", outcome, sentence, MappingProxyType(evidence), cause)


def _refused(found: SkyTiles) -> int | None:
    """Return how many sky tiles were made and not kept by the assembly; ``None`` where it did not say."""
    if found.attempted is None or found.kept is None:
        return None
    return max(found.attempted, len(found.saved)) - found.kept


CHECK = Check(
    "tiles",
    say("Were all master tiles made?"),
    _judge,
    MappingProxyType({"classic": (*ALWAYS, CALLBACK), "sds": (*ELSEWHERE, CALLBACK), "grid": (*ELSEWHERE, CALLBACK)}),
    for_pass=(TILES, SHARED, MODE_REACHED),
    figures=(
        Figure(say("num_master_tiles of tiles_total"), Unit.SHARE, numbers("num_master_tiles", "tiles_total")),
        Figure(say("batches coadded, of those built"), Unit.SHARE, numbers("coadded", "batches")),
        Figure(say("sky tiles made, of those attempted"), Unit.SHARE, numbers("made", "attempted")),
    ),
)
