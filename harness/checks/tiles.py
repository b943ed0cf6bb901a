"""Check that all master tiles were made; in SDS, that all batches were coadded; in grid mode, that all sky tiles were made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.analysis.causes import MAX_LISTED, Causes, listed, why_not_made
from harness.analysis.figure import Figure, Unit, numbers
from harness.analysis.made import taken_over
from harness.analysis.modes import SkyTiles, batches, sky_tiles
from harness.analysis.phase3 import ABANDONED, NONE_MADE, SKIPPED_LATER, Why, groups, losses, name_of, number, twin
from harness.checks.base import Check, Conclusion, Runs
from harness.checks.premises import (
    ALWAYS,
    CALLBACK,
    ELSEWHERE,
    MODE_REACHED,
    SHARED,
    TILES,
    baseline_of,
    measures,
    standard,
)
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, Value, say
from harness.record.history import History
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict

_COUNT = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*")


@dataclass(frozen=True, slots=True)
class Count:
    """The numbers of tiles that the target reported and that the trace shows; ``None`` where unknown.

    ``taken_over`` is the number of tiles of an earlier run, which the target counts as made and the trace does not show.
    """

    made: int | None
    announced: int | None
    submitted: int | None
    traced: int | None
    taken_over: int = 0

    @property
    def wanted(self) -> int | None:
        """The number of tiles required: announced or submitted, whichever is larger."""
        return max((n for n in (self.announced, self.submitted) if n is not None), default=None)

    @property
    def unsubmitted(self) -> int:
        """The number of tiles that were announced and never submitted: nothing was lost in the making of these."""
        if self.announced is None or self.submitted is None:
            return 0
        return max(0, self.announced - self.submitted - self.taken_over)

    @property
    def contradictory(self) -> bool:
        """Whether the target and the trace give different numbers."""
        more = self.made is not None and self.wanted is not None and self.made > self.wanted
        submitted = None if self.submitted is None else self.submitted + self.taken_over
        traced = None if self.traced is None else self.traced + self.taken_over
        fewer = submitted is not None and (self.announced is None or self.announced < submitted)
        return more or fewer or traced not in (None, self.made)


def announced(history: History) -> int | None:
    """Return ``tiles_total``: the last N of ``MASTER_TILE_COUNT_UPDATE:i/N``, which grows with each retry group.

    The number in the telemetry can't be used: from Phase 4 on it is the number of tiles made.
    """
    updates = [match for e in history.named("MASTER_TILE_COUNT_UPDATE") if (match := _COUNT.fullmatch(e.text))]
    return int(updates[-1][2]) if updates else None


def finished(history: History) -> int | None:
    """Return ``num_master_tiles`` as Phase 3 reported it at its end; 0 if it reported that no tile was made."""
    for event in reversed(history.named("run_info_phase3_finished_from_cache")):
        if (made := number(event, "num_master_tiles")) is not None:
            return made
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
    history, plan = runs.run.history, runs.run.request.plan
    unplanned = sorted(set(range(len(plan or ()))) - set(causes.groups.values())) if count.submitted else []
    if count.taken_over:  # these were not submitted
        unplanned = []
    evidence: dict[str, Any] = {
        "num_master_tiles": count.made,
        "tiles_total": count.announced,
        "groups_submitted": count.submitted,
        "retries": len(causes.origins),
        "planned": None if plan is None else len(plan),
        "made_in_trace": count.traced,
        "not_made": [{**causes.described(tile), "why": why} for tile, why in lost.items()][:MAX_LISTED],
        "groups_never_submitted": unplanned[:MAX_LISTED],
        "frames_abandoned_by_retries": _values(history, "filename", ABANDONED),
        "skipped_after_phase_3": _values(history, "path", *SKIPPED_LATER)
        + _values(history, "filename", *SKIPPED_LATER),
    }
    evidence["never_submitted"] = count.unsubmitted
    outcome, sentence, cause = _conclude(runs, causes, count, lost, unplanned)
    return Verdict("tiles", outcome, sentence, evidence, cause)


def _conclude(  # noqa: PLR0911 -- a ladder, worst first
    runs: Runs, causes: Causes, count: Count, lost: Mapping[int, Why], unplanned: list[int]
) -> Conclusion:
    blamed = [tile for tile, why in lost.items() if why in ("caches", "unstated")]
    begun = None if count.wanted is None else count.wanted - count.unsubmitted
    unnamed = count.made is not None and begun is not None and begun - count.made > len(lost)
    if blamed or unnamed:
        anonymous = () if lost else (say("The record does not show which tile was not made."),)
        return Outcome.FAIL, _short(count, lost), causes.of_worst(blamed) or anonymous
    if count.made is None or count.wanted is None:
        sentence = say("Phase 3 did not report how many master tiles it made, or of how many.")
        return Outcome.UNKNOWN, sentence, causes.of_worst(lost)
    if count.contradictory:
        sentence = say(
            "The record contradicts itself: the target reports {made} of {total} made, the trace shows {traced} of {submitted}.",
            made=count.made,
            total="?" if count.announced is None else count.announced,
            traced="?" if count.traced is None else count.traced,
            submitted="?" if count.submitted is None else count.submitted,
        )
        return Outcome.UNKNOWN, sentence, ()
    if count.unsubmitted and not unplanned:
        return _not_submitted(runs, count)
    others = {tile: why for tile, why in lost.items() if why != "fault"}
    if others or unplanned:
        return _for_other_causes(runs, causes, others, unplanned)
    if lost:
        sentence = say(
            "Master tiles made, retries included: {made} of {total}. Injected faults ended the others: {tiles}.",
            made=count.made,
            total=count.wanted,
            tiles=listed(lost),
        )
        return Outcome.PASS, sentence, _stated(lost)
    return (
        Outcome.PASS,
        say("Every master tile was made, retries included. Master tiles: {total}.", total=count.wanted),
        (),
    )


def _count(run: Record, causes: Causes) -> Count:
    tiles = causes.tiles.values() if "tiles" in run.history.capabilities else None
    return Count(
        made=finished(run.history),
        announced=announced(run.history),
        submitted=None if tiles is None else sum(tile.submitted is not None for tile in tiles),
        traced=None if tiles is None else sum(tile.made for tile in tiles),
        taken_over=taken_over(run.history).tiles,
    )


def _values(history: History, field: str, *keys: str) -> list[str]:
    return sorted({name_of(str(e.fields[field])) for e in history.named(*keys) if field in e.fields})[:MAX_LISTED]


def _lost(run: Record, causes: Causes) -> Mapping[int, Why]:
    """Return the tiles that were not made: those that failed, and in a finished run also those that never ended."""
    lost: dict[int, Why] = dict(causes.failures)
    if run.usable and "tiles" in run.history.capabilities:
        for tile in run.history.tiles:
            if tile.submitted is not None and tile.ended is None and tile.collected is None:
                lost.setdefault(tile.tile, "unstated")
    return dict(sorted(lost.items()))


def _short(count: Count, lost: Mapping[int, Why]) -> Message:
    if count.made is None or count.wanted is None:
        return say("Missing tiles: {tiles}. Phase 3 did not report how many it made.", tiles=listed(lost))
    values: dict[str, Value] = {"made": count.made, "total": count.wanted, "tiles": listed(lost)}
    if len(lost) == 1:
        return say("Tile {tiles} is missing ({made} of {total} made).", **values)
    if lost:
        return say("Tiles {tiles} are missing ({made} of {total} made).", **values)
    return say("Master tiles made: {made} of {total}.", made=count.made, total=count.wanted)


def _stated(lost: Mapping[int, Why]) -> tuple[Message, ...]:
    """Return the causes that tiles stated, one sentence each."""
    return tuple(why_not_made(tile, why) for tile, why in list(lost.items())[:MAX_LISTED])


def _not_submitted(runs: Runs, count: Count) -> Conclusion:
    """Judge a run that announced more tiles than it submitted, by comparison with the pair and the baseline."""
    values: dict[str, Value] = {"count": count.unsubmitted, "total": count.announced or 0}
    pair, baseline, reason = _others(runs)
    with_run_end, before = _unsubmitted(pair), _unsubmitted(baseline)
    sentence = say("Tiles that were announced and never submitted: {count} of {total}.", **values)
    if with_run_end is not None and with_run_end < count.unsubmitted:
        return Outcome.FAIL, sentence, (say("The run with run_end left {count} unsubmitted.", count=with_run_end),)
    if before is not None and before < count.unsubmitted:
        link = say("The version before the patch left {count} unsubmitted.", count=before)
        return Outcome.FAIL, sentence, (link,)
    if with_run_end is None:
        sentence = say(
            "Tiles that were announced and never submitted: {count} of {total}. No run with run_end shows if this is new.",
            **values,
        )
        return Outcome.UNKNOWN, sentence, (reason,) if reason else ()
    if before is None:
        sentence = say(
            "Tiles that were announced and never submitted, as with run_end: {count} of {total}. No run of the version before "
            "the patch shows if this is new.",
            **values,
        )
        return Outcome.UNKNOWN, sentence, ()
    sentence = say(
        "Tiles that were announced and never submitted, as with run_end and before the patch: {count} of {total}. Every "
        "other one was made.",
        **values,
    )
    return Outcome.NOT_APPLICABLE, sentence, ()


def _unsubmitted(record: Record | None) -> int | None:
    """Return how many tiles another run announced and never submitted; ``None`` if that is not known."""
    there = None if record is None else _count(record, Causes(record))
    return None if there is None or there.submitted is None or there.announced is None else there.unsubmitted


def _others(runs: Runs) -> tuple[Record | None, Record | None, Message | None]:
    """Return the pair and the baseline if the making of their tiles was traced, and the reason for a pair that is left out."""
    pair, reason = standard(runs)
    if pair is not None and "tiles" not in pair.history.capabilities:
        pair, reason = None, say("In the run with run_end, the making of master tiles was not traced.")
    baseline, _ = baseline_of(runs)
    traced = baseline is not None and "tiles" in baseline.history.capabilities
    return pair, baseline if traced else None, reason


def _for_other_causes(runs: Runs, causes: Causes, lost: Mapping[int, Why], unplanned: list[int]) -> Conclusion:
    """Judge a run whose tiles failed for stated causes other than caches, by comparison with the pair and the baseline.

    If one of them has what is missing, the run fails: a version may lose the same tiles with every retention. If neither has
    it, the check does not apply. Without a baseline, groups that were never submitted are unknown, because no cause is stated.
    """
    links = _stated(lost)
    if unplanned:
        links += (say("No tile was submitted for the planned groups {groups}.", groups=listed(unplanned)),)
    pair, baseline, reason = _others(runs)
    for other, made_there in (
        (pair, say("The run with run_end made what is missing here: tiles {tiles}, planned groups {groups}.")),
        (
            baseline,
            say("The version before the patch made what is missing here: tiles {tiles}, planned groups {groups}."),
        ),
    ):
        tiles, submitted = ([], []) if other is None else _regained(other, causes, lost, unplanned)
        if tiles or submitted:
            sentence = Message(made_there.text, {"tiles": listed(tiles), "groups": listed(submitted)})
            return Outcome.FAIL, sentence, links
    if pair is None:
        sentence = say(
            "Tiles not made for other causes than caches: {tiles}. Without a run with run_end, the dataset can be the cause.",
            tiles=listed(lost),
        )
        return Outcome.UNKNOWN, sentence, (*links, *((reason,) if reason else ()))
    if baseline is not None and baseline.usable:
        return Outcome.NOT_APPLICABLE, say("The same tiles are missing with run_end and before the patch."), links
    if unplanned:
        sentence = say(
            "No tile was submitted for the planned groups {groups}, also with run_end. No run of the version before the patch "
            "shows if this is new.",
            groups=listed(unplanned),
        )
        return Outcome.UNKNOWN, sentence, links
    return Outcome.NOT_APPLICABLE, say("The same tiles are missing with run_end: retention is not the cause."), links


def _regained(
    other: Record, causes: Causes, lost: Mapping[int, Why], unplanned: list[int]
) -> tuple[list[int], list[int]]:
    """Return the lost tiles that another run made of the same frames, and the missing groups that it submitted.

    A tile that lacked caches does not count: with all its frames it may have failed too.
    """
    lacking = {loss.tile for loss in losses(other.history)}
    twins = {tile: twin(causes.tiles[tile], other) if tile in causes.tiles else None for tile in lost}
    made = [tile for tile, found in twins.items() if found is not None and found.made and found.tile not in lacking]
    return made, sorted(set(unplanned) & set(groups(other).values()))


def _of_batches(runs: Runs) -> Verdict:
    """Judge SDS, which makes no master tiles: it must coadd every batch that it built."""
    found = batches(runs.run.history)
    failed = sorted({n for n, _, good in found.reported if not good} - found.coadded)
    evidence = {"batches": found.built, "coadded": len(found.coadded), "failed": failed[:MAX_LISTED]}
    if found.built is None:
        outcome, sentence = Outcome.UNKNOWN, say("SDS did not report how many batches it built.")
    elif not found.built and not found.reported:
        outcome, sentence = Outcome.UNKNOWN, say("SDS built no batch.")
    elif failed or (runs.run.usable and len(found.coadded) < found.built):
        outcome = Outcome.FAIL
        sentence = say("Batches coadded: {made} of {total}.", made=len(found.coadded), total=found.built)
    elif len(found.coadded) > found.built:
        outcome = Outcome.UNKNOWN
        sentence = say(
            "The record contradicts itself. Batches that SDS built: {total}; coadded: {made}.",
            made=len(found.coadded),
            total=found.built,
        )
    else:
        outcome, sentence = Outcome.PASS, say("Every batch was coadded. Batches: {total}.", total=found.built)
    return Verdict("tiles", outcome, sentence, evidence)


def _of_sky_tiles(runs: Runs) -> Verdict:
    """Judge grid mode: every sky tile with frames must be made and reach the mosaic.

    A tile without usable pixels is no failure if no other run makes it. Grid mode has no retention, so the run is compared with
    its pair and with the baseline, except where these cut the canvas into another number of tiles. Sky that such a cut lost is
    found by the check `holes`.
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
    if new and (others == [] or runs.run.usable or new & (set(found.failed) | found.empty)):
        outcome, sentence = Outcome.FAIL, say("Missing sky tiles: {tiles}.", tiles=listed(new))
    elif refused is not None and refused > usual:
        outcome = Outcome.FAIL
        sentence = say(
            "Sky tiles that were made but did not reach the mosaic: {count} of {total}.",
            count=refused,
            total=len(found.saved),
        )
    elif not found.saved or refused is None:
        outcome, sentence = Outcome.UNKNOWN, say("Grid mode did not report which sky tiles it made or assembled.")
    elif lost and not others:
        outcome = Outcome.UNKNOWN
        sentence = say(
            "Sky tiles without usable pixels: {tiles}. No other run shows if this is new.", tiles=listed(lost)
        )
    elif refused or lost & set(found.failed):
        outcome = Outcome.NOT_APPLICABLE
        sentence = say("The runs that it is compared with lack the same sky tiles.")
    elif lost:
        outcome = Outcome.PASS
        sentence = say(
            "Every sky tile that can be made was made and assembled. Sky tiles: {count}; without usable pixels in every "
            "run: {tiles}.",
            count=len(found.saved),
            tiles=listed(lost),
        )
    else:
        outcome = Outcome.PASS
        sentence = say("Every sky tile was made and assembled. Sky tiles: {count}.", count=len(found.saved))
    return Verdict("tiles", outcome, sentence, evidence, cause)


def _refused(found: SkyTiles) -> int | None:
    """Return how many sky tiles were made but left out of the mosaic; ``None`` if grid mode did not report it."""
    if found.attempted is None or found.kept is None:
        return None
    return max(found.attempted, len(found.saved)) - found.kept


CHECK = Check(
    "tiles",
    say("Were all master tiles made?"),
    _judge,
    {"classic": (*ALWAYS, CALLBACK), "sds": (*ELSEWHERE, CALLBACK), "grid": (*ELSEWHERE, CALLBACK)},
    for_pass=(TILES, SHARED, MODE_REACHED),
    figures=(
        Figure(
            say("num_master_tiles of tiles_total"),
            Unit.SHARE,
            numbers("num_master_tiles", "tiles_total"),
            short=say("tiles"),
            more_is_better=True,
        ),
        Figure(
            say("batches coadded, of those built"),
            Unit.SHARE,
            numbers("coadded", "batches"),
            short=say("batches"),
            more_is_better=True,
        ),
        Figure(
            say("sky tiles made, of those attempted"),
            Unit.SHARE,
            numbers("made", "attempted"),
            short=say("sky tiles"),
            more_is_better=True,
        ),
    ),
)
