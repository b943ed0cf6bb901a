"""Check that no frame is lost between the plan and the tiles.

A tile made of fewer frames than it was given counts as made and shows no hole, so its frames must be followed. Each frame of a
tile must be used by the tile or one of its retries, or be reported as lost with a cause. Each frame of a planned group must be
submitted with the group, unless neither the pair nor the baseline submits it. Without a plan, each frame that one of them submits
must be submitted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.analysis.causes import MAX_LISTED, Causes, listed
from harness.analysis.figure import Evidence, Figure, Numbers, Unit, every, number_in, numbers
from harness.analysis.made import taken_over
from harness.analysis.modes import COADD_FINISHED, batches
from harness.analysis.phase3 import ABANDONED, Why, groups, lineages, name_of, number, origins, tile_of
from harness.analysis.repeated import repeated
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
from harness.record.history import Event, Tile
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict

Planned = tuple[int | None, str]  # index of the planned group (None without a plan), and the frame's name

_ALIGNED = "mastertile_info_intra_tile_alignment_finished"


@dataclass(frozen=True, slots=True)
class Lineage:
    """The frames of a tile that was submitted first, followed through it and its retries.

    ``lost`` gives the cause for each frame that reached no tile. ``silent`` counts the frames that are missing without an event.
    ``uncounted`` are tiles made of an unknown number of frames. ``repeated`` are tiles that stacked frames more than once, as
    targets do with small groups: their number of frames does not show a loss.
    """

    tile: Tile
    retries: tuple[int, ...]
    frames: frozenset[str]
    lost: Mapping[str, Why]
    silent: int
    uncounted: tuple[int, ...]
    repeated: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unsubmitted:
    """Frames that were not submitted with a tile of their planned group, or without a plan not at all.

    The pair submitted the ``new`` ones, and the baseline those that are ``new_since``. Neither submitted the ``usual`` ones.
    Without a pair the others are ``unsure``, and ``why_not`` is the reason for its absence.
    """

    new: tuple[Planned, ...] = ()
    new_since: tuple[Planned, ...] = ()
    usual: tuple[Planned, ...] = ()
    unsure: tuple[Planned, ...] = ()
    why_not: Message | None = None


def unsubmitted(run: Record, pair: Record | None, why_not: Message | None, baseline: Record | None) -> Unsubmitted:
    """Compare the submitted frames with the plan, with the pair and with the baseline."""
    if pair is not None and "tiles" not in pair.history.capabilities:
        pair, why_not = None, say("In the run with run_end, the making of master tiles was not traced.")
    if baseline is not None and "tiles" not in baseline.history.capabilities:
        baseline = None
    if taken_over(run.history).tiles:
        return Unsubmitted()  # groups whose tiles were taken over are not submitted
    if run.request.plan is None:
        new, new_since = _only_in(pair, run), _only_in(baseline, run)
        return Unsubmitted(tuple(sorted(new)), tuple(sorted(new_since - new)))
    missing = _missing(run)
    new = set() if pair is None else missing - _missing(pair)
    new_since = set() if baseline is None else missing - _missing(baseline) - new
    left = tuple(sorted(missing - new - new_since))
    usual, unsure = ((), left) if pair is None else (left, ())
    return Unsubmitted(tuple(sorted(new)), tuple(sorted(new_since)), usual, unsure, why_not if unsure else None)


def _only_in(other: Record | None, run: Record) -> set[Planned]:
    """Return the frames that another run submitted and a run that reached its end did not."""
    if other is None or not run.usable:
        return set()
    here = {name for tile in run.history.tiles for name in tile.frames}
    return {(None, name) for tile in other.history.tiles for name in tile.frames if name not in here}


def _missing(record: Record) -> set[Planned]:
    """Return each frame of a planned group that is neither in the group's tile nor in a tile without a group."""
    retries, planned = origins(record.history), groups(record)
    first = [tile for tile in record.history.tiles if tile.tile not in retries]
    by_group = {planned[tile.tile]: set(tile.frames) for tile in first if tile.tile in planned}
    others = {name for tile in first if tile.tile not in planned for name in tile.frames}
    return {
        (index, name)
        for index, group in enumerate(record.request.plan or ())
        for name in set(group) - by_group.get(index, set()) - others
    }


def follow(record: Record, causes: Causes) -> tuple[Lineage, ...]:
    """Follow the frames of each first submitted tile through the tile and its retries to the tile that used them."""
    aligned = _aligned(record)
    repeats = repeated(record.history)
    abandoned = {str(event.fields.get("filename")) for event in record.history.named(ABANDONED)}
    found = []
    for first, *retries in lineages(record.history):
        children: dict[int, set[str]] = {}
        for tile in retries:
            children.setdefault(causes.origins.get(tile.tile, first.tile), set()).update(tile.frames)
        used: set[str] = set()
        lost: dict[str, Why] = {}
        silent = 0
        uncounted, several = [], []
        for tile in (first, *retries):
            missing = {loss.frame for loss in causes.losses.get(tile.tile, []) if loss.frame is not None}
            deprived = {loss.frame for loss in causes.deprived.get(tile.tile, []) if loss.frame is not None} - missing
            lost |= dict.fromkeys(sorted(missing & set(tile.frames)), "caches")
            lost |= dict.fromkeys(sorted(deprived & set(tile.frames)), "fault")
            stayed = set(tile.frames) - missing - deprived - children.get(tile.tile, set())
            why = causes.failures.get(tile.tile)
            given_up = stayed & abandoned
            if why is not None:
                lost |= {frame: lost.get(frame, why) for frame in sorted(stayed)}
                continue
            if not tile.made:
                if tile.ended is not None or tile.collected is not None or record.usable:
                    lost |= {frame: lost.get(frame, "unstated") for frame in sorted(stayed)}
                continue
            lost |= {frame: lost.get(frame, "alignment") for frame in sorted(given_up)}
            used |= stayed - given_up
            count = aligned.get(tile.tile)
            if count is None:
                uncounted.append(tile.tile)
            else:
                silent += max(0, len(stayed - given_up) - count)
                twice = len(set(tile.frames)) < len(tile.frames) or tile.tile in repeats
                if twice or count > len(stayed - given_up):
                    several.append(tile.tile)
        found.append(
            Lineage(
                tile=first,
                retries=tuple(tile.tile for tile in retries),
                frames=frozenset(first.frames),
                lost={frame: why for frame, why in lost.items() if frame not in used},
                silent=silent,
                uncounted=tuple(uncounted),
                repeated=tuple(several),
            )
        )
    return tuple(found)


def _aligned(record: Record) -> Mapping[int, int]:
    """Return the number of frames in each tile, from the tile's header or else from its event.

    A target may stack the frames of a small group more than once: then the number is larger than that of the frames. The
    header of a tile that was merged from parts counts parts: there the frames of these parts are added up.
    """
    found: dict[int, int] = {}
    of_parts: dict[tuple[int, int], int] = {}  # tile, and start of the part
    tiles = {tile.tile: tile for tile in record.history.tiles}
    for event in record.history.named(_ALIGNED):
        tile, count = tile_of(record.history, event), number(event, "num_aligned")
        if tile is None or count is None:
            continue
        part = _part_of(tiles.get(tile), event)
        if part is None:
            found[tile] = count
        else:
            of_parts[tile, part.started or 0] = count
    paths = {name_of(tile.path): tile.tile for tile in record.history.tiles if tile.path}
    for product in record.products.tiles if record.products is not None else ():
        if product.aligned is not None:
            found[paths.get(name_of(product.path), product.tile)] = product.aligned
    for whole in tiles.values():
        if not whole.parts:
            continue
        found.pop(whole.tile, None)
        merged = _merged(whole, {start: n for (of, start), n in of_parts.items() if of == whole.tile})
        if merged is not None:
            found[whole.tile] = merged
    return found


def _part_of(tile: Tile | None, event: Event) -> Tile | None:
    """Return the part of a tile that was made when an event was sent."""
    for part in tile.parts if tile is not None else ():
        begun = part.started is not None and part.started <= event.t
        if part.tile == number(event, "tile_id") and begun and (part.ended is None or event.t <= part.ended):
            return part
    return None


def _merged(tile: Tile, aligned: Mapping[int, int]) -> int | None:
    """Return how many frames the merge of a tile's parts can hold at most; ``None`` if that is not known.

    If some parts did not align, the event does not say which: the largest are counted, so that no loss is made up.
    """
    merge = tile.merge
    counts = [aligned.get(part.started or 0) for part in tile.merged]
    known = [count for count in counts if count is not None]
    if merge is None or len(known) < len(counts):
        return None
    if tile.merged == (merge,):
        return known[0]
    parts = aligned.get(merge.started or 0)
    return None if parts is None else sum(sorted(known, reverse=True)[:parts])


def _judge(runs: Runs, limits: Thresholds) -> Verdict:
    return _of_batches(runs, limits) if runs.run.request.mode == "sds" else _of_tiles(runs)


@dataclass(frozen=True, slots=True)
class Stages:
    """The numbers of frames of SDS that were asked for, read in Phase 1 and coadded; ``None`` if not reported."""

    asked: int
    read: int | None
    coadded: int | None

    @property
    def lost(self) -> int | None:
        """The number of frames that were read but not coadded."""
        return None if self.read is None or self.coadded is None else max(0, self.read - self.coadded)

    @property
    def unread(self) -> int:
        """The number of frames that Phase 1 did not read."""
        return 0 if self.read is None else max(0, self.asked - self.read)


def stages(record: Record) -> Stages:
    """Count the frames of SDS. Of the batches' sum and the number that the coadd reports, the smaller one counts."""
    read = [number(e, "num_valid_raws") for e in record.history.named("run_info_phase1_finished_cache")]
    coadded = batches(record.history).frames
    finished = [number(e, "images") for e in record.history.named(COADD_FINISHED)]
    known = [n for n in finished if n is not None]
    if coadded is not None and known and len(known) == len(finished):
        coadded = min(coadded, sum(known))
    return Stages(len(record.request.dataset.frames), read[-1] if read else None, coadded)


def _of_batches(runs: Runs, limits: Thresholds) -> Verdict:
    """Judge SDS: it must coadd each frame that it read, and read each frame that the pair and the baseline read.

    A version may lose the same frames with every retention. So a run that lost frames is compared with the baseline too: without
    one, the pair does not show that the loss is usual.
    """
    found = stages(runs.run)
    baseline = baseline_of(runs)[0]
    others = [stages(record) for record in measures(runs)]
    usual = min((other.lost or 0 for other in others), default=0)
    usually_unread = min((other.unread for other in others), default=found.unread)
    thinner = _thinner(runs)
    evidence = {
        "frames": found.asked,
        "read": found.read,
        "coadded": found.coadded,
        "lost": found.lost,
        "usually_lost": usual if others else None,
        "compared_with_baseline": baseline is not None,
        "coverage_relative_to_others": thinner,
    }
    if found.lost is None:
        outcome, sentence = Outcome.UNKNOWN, say("SDS did not report how many frames it read or coadded.")
    elif found.lost > usual:
        outcome = Outcome.FAIL
        sentence = say("Frames read but not coadded: {count} of {total}.", count=found.lost, total=found.read or 0)
    elif found.unread > usually_unread:
        outcome = Outcome.FAIL
        sentence = say("Frames that only other runs read: {count}.", count=found.unread - usually_unread)
    elif thinner is not None and found.read and (1 - thinner) * found.read > limits["depth.coverage"]:
        outcome = Outcome.FAIL
        sentence = say(
            "Every frame was reported as coadded, but the coverage map holds {share} % of the frames of another run.",
            share=round(100 * thinner, 1),
        )
    elif found.lost and baseline is None:
        outcome = Outcome.UNKNOWN
        sentence = say(
            "Frames read but not coadded: {count} of {total}. No run of the version before the patch shows if this is new.",
            count=found.lost,
            total=found.read or 0,
        )
    elif found.lost or found.unread:
        outcome = Outcome.PASS
        sentence = say(
            "No frame was lost that other runs have. Not read or not coadded: {count} of {total}.",
            count=found.lost + found.unread,
            total=found.asked,
        )
    else:
        outcome, sentence = Outcome.PASS, say("Every frame was coadded. Frames: {total}.", total=found.asked)
    return Verdict("depth", outcome, sentence, evidence)


def _thinner(runs: Runs) -> float | None:
    """Return the sum of the coverage map, in which SDS counts frames, relative to the largest sum of the other runs.

    ``None`` without a measured map, and without another run of the same canvas.
    """
    own = runs.run.products
    if own is None or not own.depth.size:
        return None
    sums = [
        float(np.nansum(other.depth))
        for other in (record.products for record in measures(runs))
        if other is not None and other.depth.shape == own.depth.shape and other.step == own.step
    ]
    most = max(sums, default=0.0)
    return round(float(np.nansum(own.depth)) / most, 6) if most > 0 else None


def _of_tiles(runs: Runs) -> Verdict:
    run = runs.run
    causes = Causes(run)
    families = follow(run, causes)
    pair, why_not = standard(runs)
    absent = unsubmitted(run, pair, why_not, baseline_of(runs)[0])
    usual = {f.frames: f.silent for f in follow(pair, Causes(pair))} if pair is not None else {}
    outcome, sentence, cause = _conclude(causes, families, usual, absent)
    planned = {name for group in run.request.plan or () for name in group}
    submitted = {name for tile in run.history.tiles for name in tile.frames}
    evidence: dict[str, Any] = {
        "frames_submitted": sum(len(f.frames) for f in families),
        "lost": dict(Counter(why for f in families for why in f.lost.values())),
        "lost_silently": sum(f.silent for f in families),
        "tiles": [
            {
                **causes.described(f.tile.tile),
                "retries": list(f.retries),
                "lost": len(f.lost),
                "why": ", ".join(sorted(set(f.lost.values()))),
                "lost_silently": f.silent,
            }
            for f in families
            if f.lost or f.silent
        ][:MAX_LISTED],
        "frames_lost": {
            str(f.tile.tile): dict(list(f.lost.items())[:MAX_LISTED]) for f in families[:MAX_LISTED] if f.lost
        },
        "tiles_uncounted": [tile for f in families for tile in f.uncounted][:MAX_LISTED],
        "tiles_whose_number_tells_of_no_loss": [tile for f in families for tile in f.repeated][:MAX_LISTED],
        "planned_but_never_submitted": sorted(planned - submitted)[:MAX_LISTED],
        "not_submitted_with_their_group": {
            kind: [{"group": group, "frame": name} for group, name in frames[:MAX_LISTED]]
            for kind, frames in (
                ("new", absent.new),
                ("new_since_baseline", absent.new_since),
                ("in_pair_too", absent.usual),
                ("no_pair", absent.unsure),
            )
            if frames
        },
    }
    return Verdict("depth", outcome, sentence, evidence, cause)


def _conclude(  # noqa: PLR0911 -- a ladder, worst first
    causes: Causes, families: tuple[Lineage, ...], usual: Mapping[frozenset[str], int], absent: Unsubmitted
) -> Conclusion:
    starved = [f for f in families if any(why in ("caches", "unstated") for why in f.lost.values())]
    if starved:
        count = sum(why in ("caches", "unstated") for f in starved for why in f.lost.values())
        worst = max(starved, key=lambda f: (len(f.lost), -f.tile.tile))
        sentence = say(
            "Frames lost because caches were missing, or for no stated cause: {count} (tiles {tiles}).",
            count=count,
            tiles=listed(f.tile.tile for f in starved),
        )
        return Outcome.FAIL, sentence, causes.of_tile(_starved_member(worst, causes))
    if absent.new or absent.new_since:
        return Outcome.FAIL, _new(absent), ()
    silent = [f for f in families if f.silent > usual.get(f.frames, 0)]
    if silent:
        sentence = say(
            "Frames missing without any event about them: {count} (tiles {tiles}).",
            count=sum(f.silent for f in silent),
            tiles=listed(f.tile.tile for f in silent),
        )
        return Outcome.FAIL, sentence, ()
    uncounted = [tile for f in families for tile in f.uncounted]
    if uncounted:
        sentence = say("The number of frames is not known for tiles {tiles}.", tiles=listed(uncounted))
        return Outcome.UNKNOWN, sentence, ()
    if not families:
        return Outcome.UNKNOWN, say("No tile was submitted."), ()
    if absent.unsure:
        sentence = say(
            "Planned frames that were not submitted with their group: {count}. No run with run_end shows if this is new.",
            count=len(absent.unsure),
        )
        return Outcome.UNKNOWN, sentence, () if absent.why_not is None else (absent.why_not,)
    noted = sum(len(f.lost) for f in families)
    total = sum(len(f.frames) for f in families)
    counts = {"noted": noted, "total": total}
    if absent.usual:
        sentence = say(
            "No frame was lost through caches. Lost for other stated causes: {noted} of {total}. "
            "Planned but not submitted, as with run_end: {absent}.",
            **counts,
            absent=len(absent.usual),
        )
        return Outcome.PASS, sentence, ()
    by_fault = sum(why == "fault" for f in families for why in f.lost.values())
    if by_fault:
        sentence = say(
            "Frames that injected faults kept from their tiles: {count} of {total}. No other frame was lost through "
            "caches. Lost for other stated causes: {noted}.",
            count=by_fault,
            total=total,
            noted=noted - by_fault,
        )
        return Outcome.PASS, sentence, ()
    if noted:
        sentence = say("No frame was lost through caches. Lost for other stated causes: {noted} of {total}.", **counts)
        return Outcome.PASS, sentence, ()
    return Outcome.PASS, say("Every frame reached its tile, retries included. Frames: {total}.", total=total), ()


def _new(absent: Unsubmitted) -> Message:
    """Say which other run submitted the frames that this one did not."""
    frames = absent.new or absent.new_since
    values: dict[str, Value] = {"count": len(frames), "frame": frames[0][1]}
    planned = frames[0][0] is not None
    if absent.new and planned:
        return say(
            "Planned frames that were not submitted with their group, but are with run_end: {count}, such as {frame}.",
            **values,
        )
    if absent.new:
        return say("Frames that were submitted with run_end only: {count}, such as {frame}.", **values)
    if planned:
        return say(
            "Planned frames that were not submitted with their group, but are in the version before the patch: {count}, such as "
            "{frame}.",
            **values,
        )
    return say("Frames that were submitted in the version before the patch only: {count}, such as {frame}.", **values)


def _starved_member(family: Lineage, causes: Causes) -> int:
    """Return the tile of a lineage that lacked the most caches."""
    members = (family.tile.tile, *family.retries)
    return max(members, key=lambda tile: (len(causes.losses.get(tile, [])), tile in causes.failures, -tile))


def _frames_lost(evidence: Evidence) -> Numbers | None:
    """Return the number of frames lost, for any reason, and of frames submitted."""
    lost = evidence.get("lost")
    if not isinstance(lost, Mapping):
        return numbers("lost", "frames")(evidence)
    reasons = every(*(number_in(lost, name) for name in lost))
    return every(None if reasons is None else sum(reasons), number_in(evidence, "frames_submitted"))


CHECK = Check(
    "depth",
    say("Did every frame reach its tile?"),
    _judge,
    # Grid mode does not report how many frames a tile holds.
    {"classic": (*ALWAYS, CALLBACK, TILES), "sds": (*ELSEWHERE, CALLBACK)},
    for_pass=(SHARED, MODE_REACHED),
    figures=(Figure(say("frames lost, of those submitted"), Unit.SHARE, _frames_lost, short=say("frames lost")),),
)
