"""Whether the caches free themselves progressively, and the disk holds no more than it must.

Under ``per_tile`` a cache must go soon after its last user: what is held beyond the lower bound of any safe retention
(`harness.analysis.lifetimes`) is a small part of what ``run_end`` holds, no other tiles are finished meanwhile, and nothing is
left when Phase 3 ends. A cache that was removed *before* its last use is no merit here: it is left out of every figure, told,
and judged by the cache check. ``run_end`` and ``keep`` are asked whether they did what their names say; SDS, which has no Phase
3, whether its caches lived until its coadd had read them, and went at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.analysis import lifetimes
from harness.analysis.causes import MAX_LISTED
from harness.analysis.figure import Evidence, Figure, Numbers, Unit, largest, numbers
from harness.analysis.lifetimes import NEVER, Areas, Lives
from harness.analysis.modes import COADD_FINISHED
from harness.analysis.phase3 import SUCCEEDED, name_of, phase_3_end, phase_3_start, seconds
from harness.analysis.removals import left_caches
from harness.checks.base import Check, Premise, Runs
from harness.checks.premises import ALWAYS, ELSEWHERE, REMOVALS, SAVES, SHARED, TILES, standard
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, Value, say
from harness.record.history import History
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict

Conclusion = tuple[Outcome, Message, tuple[Message, ...]]
Chosen = NDArray[np.bool_]

SERIES = 200
"""Points of a line in the evidence, at most."""


@dataclass(frozen=True, slots=True)
class Peak:
    """The most bytes in the output folder, of the run and of its pair, and how they were had; ``None`` where not known."""

    traced: int | None
    sampled: int | None
    pair_traced: int | None
    pair_sampled: int | None
    why_not: Message | None

    @property
    def ratio(self) -> float | None:
        """The run's peak as a ratio to the pair's: from the trace, which meets every peak, else from the samples."""
        for mine, theirs in ((self.traced, self.pair_traced), (self.sampled, self.pair_sampled)):
            if mine is not None and theirs:
                return mine / theirs
        return None


@dataclass(frozen=True, slots=True)
class Findings:
    """What lived how long. ``span`` is Phase 3, as far as it was seen, and ``end`` is ``None`` where it was not seen to end.

    ``judged`` are the caches that a tile uses, but those that were gone before their last use, those whose removal after it was
    tried and failed, and those that a fault took away; ``left`` are those of them that nobody needed and that were still there
    when Phase 3 ended. ``outlived`` counts the tiles that were collected between a cache's last use and its removal,
    ``collected`` all of them.
    """

    lives: Lives
    span: tuple[int, int]
    end: int | None
    areas: Areas
    judged: Chosen
    left: Chosen
    outlived: NDArray[np.int64]
    collected: int
    freed_in_phase_3: Chosen
    left_at_the_end: tuple[str, ...] | None
    left_bytes: int
    succeeded: bool
    peak: Peak

    @property
    def excess(self) -> float:
        """What was held beyond the lower bound, as a fraction of what ``run_end`` holds: areas over time."""
        return self.areas.excess / self.areas.full if self.areas.full > 0 else 0.0

    @property
    def excess_in_tiles(self) -> float:
        """The same with a clock that goes on by one with each tile that is collected: no load of the machine has a part in it."""
        size = self.lives.size[self.judged]
        full = float(size.sum()) * self.collected
        return float((size * self.outlived[self.judged]).sum()) / full if full > 0 else 0.0


def _judge(runs: Runs, limits: Thresholds) -> Verdict:
    found = _find(runs)
    match runs.run.request.retention:
        case "per_tile":
            outcome, sentence, cause = _progressive(runs.run, found, limits)
        case "run_end":
            outcome, sentence, cause = _at_the_end(runs.run, found)
        case _:
            outcome, sentence, cause = _kept(runs.run, found)
    return Verdict("disk", outcome, sentence, MappingProxyType(_evidence(runs.run, found)), cause)


def _find(runs: Runs) -> Findings:
    run = runs.run
    history = run.history
    found = lifetimes.lives(history)
    end = phase_3_end(history)
    start = phase_3_start(history)
    last = max((op.t for op in history.operations), default=0)
    if start is None:  # SDS has no Phase 3: what is told is told of the caches' whole life
        start = int(found.written.min(initial=last))
    span = (start, max(last, start) if end is None else max(end, start))
    judged = found.used & ~found.early & ~found.refused & ~found.taken
    left = left_caches(run)
    return Findings(
        lives=found,
        span=span,
        end=end,
        areas=lifetimes.areas(found, judged, *span),
        judged=judged,
        left=judged & (found.freed >= span[1]) & (found.needed <= span[1]),
        outlived=lifetimes.outlived(found, history),
        collected=sum(tile.collected is not None for tile in history.tiles),
        freed_in_phase_3=(found.freed >= span[0]) & (found.freed < span[1]),
        left_at_the_end=left,
        left_bytes=sum(file.size for file in run.left or () if name_of(file.path) in (left or ())),
        succeeded=bool(history.named(*SUCCEEDED)),
        peak=_peak(runs),
    )


def _peak(runs: Runs) -> Peak:
    pair, why_not = standard(runs) if runs.run.request.retention == "per_tile" else (None, None)

    def of(record: Record | None) -> tuple[int | None, int | None]:
        if record is None:
            return None, None
        total = lifetimes.traced_total(record) if {"saves", "removals"} <= record.history.capabilities else None
        return None if total is None else total.peak, lifetimes.sampled_peak(record.history)

    return Peak(*of(runs.run), *of(pair), why_not)


def _progressive(run: Record, found: Findings, limits: Thresholds) -> Conclusion:
    """Judge ``per_tile``: leaks first, then what went late, then how much was held in all, then the peak."""
    late = found.judged & (found.outlived > limits["disk.outlived"])
    if found.end is not None and found.left.any():
        sentence = say(
            "Caches that no tile needed any more were still there when Phase 3 ended: {count}, {size} MB.",
            count=int(found.left.sum()),
            size=_megabytes(found.lives, found.left),
        )
        return Outcome.FAIL, sentence, _life(run.history, found, found.left)
    if late.any():
        sentence = say(
            "Caches outlived their last user: {count} were removed only after up to {tiles} more tiles had been collected"
            " (limit {limit}).",
            count=int(late.sum()),
            tiles=int(found.outlived[late].max()),
            limit=limits["disk.outlived"],
        )
        return Outcome.FAIL, sentence, _life(run.history, found, late)
    # Over time alone, a busy machine makes a short Phase 3 look as if caches were held; in tiles alone, a tile may be short.
    if found.end is not None and min(found.excess, found.excess_in_tiles) > limits["disk.excess"]:
        sentence = say(
            "Caches are held for too long: beyond what any safe retention must hold, {percent} % of what run_end holds during"
            " Phase 3, and {in_tiles} % when time is counted in tiles (limit {limit} %).",
            percent=round(100 * found.excess, 2),
            in_tiles=round(100 * found.excess_in_tiles, 2),
            limit=100 * limits["disk.excess"],
        )
        return Outcome.FAIL, sentence, _life(run.history, found, found.judged)
    ratio = found.peak.ratio
    if ratio is not None and ratio > limits["disk.peak"]:
        sentence = say(
            "The output folder was larger at its peak than with run_end: {ratio} times (limit {limit}).",
            ratio=ratio,
            limit=limits["disk.peak"],
        )
        return Outcome.FAIL, sentence, ()
    if found.succeeded and found.left_at_the_end:
        return Outcome.FAIL, _left(found), ()
    return _nothing_wrong(found, ratio)


def _nothing_wrong(found: Findings, ratio: float | None) -> Conclusion:
    """Conclude where nothing wrong was seen: what was seen may be too little."""
    if found.end is None:
        sentence = say(
            "Phase 3 was not seen to end; caches left on disk: {count}.",
            count="?" if found.left_at_the_end is None else len(found.left_at_the_end),
        )
        return Outcome.UNKNOWN, sentence, ()
    if found.left_at_the_end is None:
        return Outcome.UNKNOWN, say("What was left on disk was not counted."), ()
    unsure = int((found.lives.used & (found.lives.needed == NEVER)).sum())
    if unsure:
        sentence = say(
            "The trace lacks the end of a tile, so that the last use is not known of caches: {count}.", count=unsure
        )
        return Outcome.UNKNOWN, sentence, ()
    early = int(found.lives.early.sum())
    if early and not found.judged.any():
        sentence = say(
            "Every cache was removed before its last use (the cache check judges that); none is left to ask how soon it goes."
        )
        return Outcome.NOT_APPLICABLE, sentence, ()
    freed = int((found.judged & found.freed_in_phase_3).sum())
    if not freed:
        return Outcome.UNKNOWN, say("No cache was removed in Phase 3, so per_tile was not put to the test."), ()
    values: dict[str, Value] = {"count": freed, "percent": round(100 * found.excess, 2)}
    if early:
        sentence = say(
            "{count} caches went right after their last user; {percent} % of what run_end holds of them was held beyond the lower"
            " bound. Left out are {early} caches removed before their last use, which the cache check judges.",
            **values,
            early=early,
        )
    elif ratio is None:
        sentence = say(
            "{count} caches went right after their last user, and none is left; {percent} % of what run_end holds was held beyond"
            " the lower bound. The total peak could not be compared with run_end.",
            **values,
        )
    else:
        sentence = say(
            "{count} caches went right after their last user, and none is left; {percent} % of what run_end holds was held beyond"
            " the lower bound. The total peak is {ratio} times that of run_end.",
            **values,
            ratio=ratio,
        )
    return Outcome.PASS, sentence, ()


def _at_the_end(run: Record, found: Findings) -> Conclusion:
    """Judge ``run_end``: everything is there until Phase 7, and then gone."""
    cleanup = _cleanup(run.history)
    if cleanup is None and (found.lives.freed != NEVER).any() and not found.freed_in_phase_3.any():
        return Outcome.UNKNOWN, say("Caches went, and the clean-up of Phase 7 was not seen to begin."), ()
    before = found.lives.freed < (NEVER if cleanup is None else cleanup)
    if before.any():
        sentence = say("With run_end, caches went before the clean-up of Phase 7: {count}.", count=int(before.sum()))
        return Outcome.FAIL, sentence, _life(run.history, found, before)
    return _gone(
        found,
        say(
            "With run_end, all {count} caches were there until Phase 7, and none is left.", count=len(found.lives.names)
        ),
    )


def _gone(found: Findings, sentence: Message) -> Conclusion:
    """Conclude of a run that frees its caches at its end, and did not before."""
    if found.left_at_the_end is None:
        return Outcome.UNKNOWN, say("What was left on disk was not counted."), ()
    if not found.succeeded:
        told = say("The run did not succeed; caches left: {count}.", count=len(found.left_at_the_end))
        return Outcome.UNKNOWN, told, ()
    if found.left_at_the_end:
        return Outcome.FAIL, _left(found), ()
    return Outcome.PASS, sentence, ()


def _kept(run: Record, found: Findings) -> Conclusion:
    """Judge ``keep``: everything is there, at the end too."""
    freed = found.lives.freed != NEVER
    if freed.any():
        sentence = say("With keep, caches were removed: {count}.", count=int(freed.sum()))
        return Outcome.FAIL, sentence, _life(run.history, found, freed)
    if found.left_at_the_end is None:
        return Outcome.UNKNOWN, say("What was left on disk was not counted."), ()
    gone = set(found.lives.names) - set(found.left_at_the_end)
    if gone:
        return Outcome.FAIL, say("With keep, caches are gone: {count}.", count=len(gone)), ()
    return Outcome.PASS, say("With keep, all {count} caches are there at the end.", count=len(found.lives.names)), ()


def _judge_sds(runs: Runs, _: Thresholds) -> Verdict:
    """Judge SDS: retention does not apply before its end, and the coadd reads every cache."""
    run, found = runs.run, _find(runs)
    read = _coadd_end(run.history)
    before = found.lives.freed < (0 if read is None else read)
    if before.any():
        sentence = say("Caches went before the coadd had read them: {count}.", count=int(before.sum()))
        conclusion: Conclusion = Outcome.FAIL, sentence, ()
    elif run.request.retention == "keep":
        conclusion = _kept(run, found)
    else:
        told = say(
            "All {count} caches were there until the coadd had read them, and none is left.",
            count=len(found.lives.names),
        )
        conclusion = _gone(found, told)
    outcome, sentence, cause = conclusion
    return Verdict("disk", outcome, sentence, MappingProxyType(_evidence(run, found)), cause)


def _left(found: Findings) -> Message:
    assert found.left_at_the_end
    return say(
        "Caches left on disk at the end: {count}, among them {cache}.",
        count=len(found.left_at_the_end),
        cache=found.left_at_the_end[0],
    )


def _life(history: History, found: Findings, chosen: Chosen) -> tuple[Message, ...]:
    """Tell the life of the chosen cache that was held longest beyond its last use, as far as Phase 3 goes."""
    lives, (start, end) = found.lives, found.span
    held = np.minimum(lives.freed, end) - np.clip(lives.needed, start, end)
    n = int(np.where(chosen, held, np.iinfo(np.int64).min).argmax())
    links = []
    if lives.used[n] and lives.needed[n] != NEVER:
        links.append(
            say(
                "The last user of {cache} was tile {tile}, which ended {seconds} s after the start of Phase 3.",
                cache=lives.names[n],
                tile=int(lives.last_user[n]),
                seconds=seconds(history, int(lives.needed[n])),
            )
        )
    if lives.freed[n] == NEVER:
        links.append(say("{cache} was not seen to be removed.", cache=lives.names[n]))
    else:
        links.append(
            say(
                "{cache} was removed at {seconds} s; tiles collected in between: {count}.",
                cache=lives.names[n],
                seconds=seconds(history, int(lives.freed[n])),
                count=int(found.outlived[n]),
            )
        )
    return tuple(links)


def _megabytes(lives: Lives, chosen: Chosen) -> float:
    return float(lives.size[chosen].sum()) / 1e6


def _cleanup(history: History) -> int | None:
    told = [e.t for e in history.named("run_info_phase7_cleanup_starting")]
    told += [e.t for e in history.named("PHASE_UPDATE") if e.text.strip() == "7"]
    return min(told, default=None)


def _coadd_end(history: History) -> int | None:
    """Return when the last batch of an SDS run was added up; ``None`` where that was not told."""
    return max((e.t for e in history.named(COADD_FINISHED)), default=None)


def _evidence(run: Record, found: Findings) -> dict[str, Any]:
    lives, peak = found.lives, found.peak
    masks = lifetimes.live_bytes(run.history, lifetimes.mask_names(run.history))
    held, bound = lifetimes.live_bytes(run.history), lifetimes.lower_bound(lives)
    masks_left = None if run.left is None else sum(file.size for file in run.left if file.kind == "mask")
    at, lines = lifetimes.decimated(*found.span, (held, bound), SERIES)
    return {
        "caches": len(lives.names),
        **(_of_phase_3(found) if run.request.mode == "classic" else {}),
        "left_at_end": None if found.left_at_the_end is None else len(found.left_at_the_end),
        "left_at_end_bytes": found.left_bytes,
        "run_succeeded": found.succeeded,
        "cache_peak_bytes": held.peak,
        "total_peak_traced_bytes": peak.traced,
        "total_peak_sampled_bytes": peak.sampled,
        "run_end_total_peak_traced_bytes": peak.pair_traced,
        "run_end_total_peak_sampled_bytes": peak.pair_sampled,
        "total_peak_ratio": None if peak.ratio is None else _rounded(peak.ratio),
        "hot_pixel_masks_peak_bytes": masks.peak,
        "hot_pixel_masks_at_end_of_phase_3_bytes": int(masks.at(np.array([found.span[1]]))[0]),
        "hot_pixel_masks_left_bytes": masks_left,
        "series": {"seconds": at, "live_bytes": lines[0], "lower_bound_bytes": lines[1]},
    }


def _of_phase_3(found: Findings) -> dict[str, Any]:
    lives, areas, (start, end) = found.lives, found.areas, found.span
    waits = (lives.freed - lives.needed)[found.judged & (lives.freed != NEVER)] / 1e9
    late = np.flatnonzero(found.judged & (found.outlived > 0) & found.freed_in_phase_3)
    return {
        "caches_no_tile_uses": int((~lives.used).sum()),
        "removed_before_last_use": int(lives.early.sum()),
        "judged": int(found.judged.sum()),
        "freed_in_phase_3": int((found.judged & found.freed_in_phase_3).sum()),
        "phase_3_seconds": _rounded((end - start) / 1e9),
        "held_byte_seconds": _rounded(areas.held),
        "lower_bound_byte_seconds": _rounded(areas.bound),
        "excess_byte_seconds": _rounded(areas.excess),
        "run_end_byte_seconds": _rounded(areas.full),
        "excess_fraction": _rounded(found.excess),
        "excess_fraction_in_tiles": _rounded(found.excess_in_tiles),
        "delay_median_seconds": _rounded(float(np.median(waits))) if waits.size else None,
        "delay_max_seconds": _rounded(float(waits.max())) if waits.size else None,
        "tiles_collected_before_removal_max": int(found.outlived[found.judged].max(initial=0)),
        "outlived": _listed(lives, late, found.outlived),
        "left_at_end_of_phase_3": None if found.end is None else int(found.left.sum()),
        "left_at_end_of_phase_3_names": [lives.names[n] for n in np.flatnonzero(found.left)[:MAX_LISTED].tolist()],
        "removals_refused": int((lives.used & lives.refused & ~lives.taken).sum()),
        "taken_by_faults": int((lives.used & lives.taken).sum()),
    }


def _listed(lives: Lives, chosen: NDArray[np.intp], outlived: NDArray[np.int64]) -> list[dict[str, Any]]:
    return [
        {"cache": lives.names[n], "last_user": int(lives.last_user[n]), "tiles_collected": int(outlived[n])}
        for n in chosen[:MAX_LISTED].tolist()
    ]


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _written(runs: Runs) -> Message | None:
    if lifetimes.lives(runs.run.history).names:
        return None
    return say("No cache was seen to be written, so nothing is known of how long any lived.")


def _all_written(runs: Runs) -> Message | None:
    """Ask that the writing of every cache that a tile uses was seen: of the others no life is known."""
    used = {name_of(path) for tile in runs.run.history.tiles for path in tile.caches}
    unseen = used - set(lifetimes.lives(runs.run.history).names)
    if not unseen:
        return None
    return say(
        "Nothing wrong was seen, but caches were used that nobody was seen to write: {count}.", count=len(unseen)
    )


def _coadd(runs: Runs) -> Message | None:
    if _coadd_end(runs.run.history) is not None:
        return None
    return say("The coadd was not seen to end, so nothing is known of when its caches were read.")


WRITTEN = Premise("a cache was written", _written)
COADD = Premise("coadd reached its end", _coadd)


def _by_mode(runs: Runs, limits: Thresholds) -> Verdict:
    return _judge_sds(runs, limits) if runs.run.request.mode == "sds" else _judge(runs, limits)


def _over_bound(evidence: Evidence) -> Numbers | None:
    """Return how many times the held bytes are the least that any safe policy holds."""
    found = numbers("held_byte_seconds", "lower_bound_byte_seconds")(evidence)
    return (found[0] / found[1],) if found and found[1] > 0 else None


def _excess(evidence: Evidence) -> Numbers | None:
    """Return what is held beyond that bound, in percent of what ``run_end`` holds."""
    found = numbers("excess_fraction")(evidence)
    return None if found is None else (found[0] * 100,)


CHECK = Check(
    "disk",
    say("Does the cache free itself progressively?"),
    _by_mode,
    MappingProxyType(
        {
            "classic": (*ALWAYS, TILES, REMOVALS, SAVES, WRITTEN),
            "sds": (*ELSEWHERE, REMOVALS, SAVES, WRITTEN, COADD),
        }
    ),
    for_pass=(SHARED, Premise("every cache was seen to be written", _all_written)),
    figures=(
        Figure(
            say("bytes held over time, relative to the least that a safe retention holds"),
            Unit.RATIO,
            _over_bound,
            largest,
        ),
        Figure(say("bytes held beyond that minimum, relative to run_end"), Unit.PERCENT, _excess, largest),
        Figure(say("peak of disk use, relative to run_end"), Unit.RATIO, numbers("total_peak_ratio"), largest),
        Figure(say("caches left at the end of the run"), Unit.COUNT, numbers("left_at_end")),
    ),
)
