"""Check that caches are freed progressively, and that the disk holds no more than necessary.

With ``per_tile`` a cache must be removed soon after its last user. The check compares the bytes on disk with the lower bound of
any safe retention (`harness.analysis.lifetimes`): the excess must be a small part of what ``run_end`` holds, few tiles may be
collected before a removal, and no cache may be left when Phase 3 ends. Caches removed *before* their last use are left out of
every figure; the cache check judges them. With ``run_end`` all caches must exist until Phase 7 and with ``keep`` until after the
run. SDS has no Phase 3: its caches must exist until the coadd has read them, and be removed at the end of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.analysis import lifetimes
from harness.analysis.causes import MAX_LISTED
from harness.analysis.figure import Evidence, Figure, Numbers, Unit, largest, numbers, significant
from harness.analysis.lifetimes import NEVER, Areas, Lives
from harness.analysis.modes import COADD_FINISHED
from harness.analysis.phase3 import SUCCEEDED, name_of, phase_3_end, phase_3_start, seconds
from harness.analysis.remains import Remainder, gained_elsewhere, remainders, unexplained
from harness.analysis.removals import left_caches, left_in_folder
from harness.checks.base import Check, Premise, Runs
from harness.checks.premises import ALWAYS, ELSEWHERE, OWN_TILES, REMOVALS, SAVES, SHARED, TILES, standard
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, Value, counted, say
from harness.record.history import History
from harness.record.leftovers import LeftFile
from harness.record.reader import Record
from harness.record.tile import is_intermediate
from harness.verdict import Outcome, Verdict

Conclusion = tuple[Outcome, Message, tuple[Message, ...]]
Chosen = NDArray[np.bool_]

SERIES = 200
"""The largest number of points of a line in the evidence."""

PEAK = "total_peak_traced_bytes"
"""The evidence's name for the most bytes in the run's files at one time."""


@dataclass(frozen=True, slots=True)
class Findings:
    """The lifetimes of a run's caches, and the sizes of its output folder.

    Parameters
    ----------
    span
        Start and end of Phase 3, or of the part of it that was recorded.
    end
        The end of Phase 3; ``None`` if it was not recorded.
    judged
        The caches that a tile uses, without those that were removed before their last use, whose removal after it failed, or
        that an injected fault deleted.
    left
        The judged caches that no tile needed any more and that existed when Phase 3 ended.
    outlived
        For each cache, the number of tiles collected between its last use and its removal.
    collected
        The number of tiles collected in the run.
    left_at_the_end
        The caches on disk after the run; ``None`` if they were not listed.
    beside, unsure
        The files with the bytes of caches under other names that were there when Phase 3 ended; those that may have been there.
    unexplained
        The bytes in the cache folder after Phase 3 that the trace does not explain; ``None`` without a sample of that time.
    elsewhere
        The bytes that the run's working folders gained in Phase 3; ``None`` if they were not sampled.
    left_in_folder
        The other files left in the cache folder after the run.
    peaks, ratio
        The peak sizes of the output folder in bytes, named as in the evidence, and the ratio of the run's peak to the pair's.

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
    beside: tuple[Remainder, ...]
    unsure: tuple[Remainder, ...]
    unexplained: int | None
    elsewhere: int | None
    left_in_folder: tuple[LeftFile, ...]
    succeeded: bool
    peaks: Mapping[str, int | None]
    ratio: float | None

    @property
    def excess(self) -> float:
        """The byte-seconds held beyond the lower bound, as a fraction of those that ``run_end`` holds."""
        return self.areas.excess / self.areas.full if self.areas.full > 0 else 0.0

    @property
    def excess_in_tiles(self) -> float:
        """The same fraction with time counted in collected tiles, so that the load of the machine has no effect."""
        size = self.lives.size[self.judged]
        full = float(size.sum()) * self.collected
        return float((size * self.outlived[self.judged]).sum()) / full if full > 0 else 0.0


def _judge(runs: Runs, limits: Thresholds) -> Verdict:
    run, found = runs.run, _find(runs)
    if run.request.mode == "sds":
        outcome, sentence, cause = _sds(run, found)
    elif run.request.retention == "per_tile":
        outcome, sentence, cause = _progressive(run, found, limits)
    else:
        outcome, sentence, cause = (_at_the_end if run.request.retention == "run_end" else _kept)(run, found)
    return Verdict("disk", outcome, sentence, MappingProxyType(_evidence(run, found)), cause)


def _find(runs: Runs) -> Findings:
    run = runs.run
    history = run.history
    found = lifetimes.lives(history)
    end = phase_3_end(history)
    start = phase_3_start(history)
    last = max((op.t for op in history.operations), default=0)
    if start is None:  # SDS has no Phase 3: the span is the whole life of the caches
        start = int(found.written.min(initial=last))
    span = (start, max(last, start) if end is None else max(end, start))
    judged = found.used & ~found.early & ~found.refused & ~found.taken
    left = left_caches(run)
    beside = [file for file in remainders(run) if file.size]
    peaks, ratio = _peaks(runs)
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
        beside=tuple(file for file in beside if end is not None and file.there(end)),
        unsure=tuple(file for file in beside if end is not None and file.there(end) is None),
        unexplained=unexplained(run),
        elsewhere=gained_elsewhere(run),
        left_in_folder=left_in_folder(run),
        succeeded=bool(history.named(*SUCCEEDED)),
        peaks=peaks,
        ratio=ratio,
    )


def _peaks(runs: Runs) -> tuple[dict[str, int | None], float | None]:
    """Return the peaks of the output folder, and their ratio: of traced peaks if possible, because samples can miss a peak."""
    pair = standard(runs)[0] if runs.run.request.retention == "per_tile" else None
    peaks: dict[str, int | None] = {}
    for prefix, record in (("", runs.run), ("run_end_", pair)):
        traced = record is not None and {"saves", "removals"} <= record.history.capabilities
        total = lifetimes.traced_total(record) if record and traced else None
        peaks[f"{prefix}{PEAK}"] = None if total is None else total.peak
        peaks[f"{prefix}total_peak_sampled_bytes"] = lifetimes.sampled_peak(record.history) if record else None
    for name in (PEAK, "total_peak_sampled_bytes"):
        ours, theirs = peaks[name], peaks[f"run_end_{name}"]
        if ours is not None and theirs:
            return peaks, ours / theirs
    return peaks, None


def _progressive(run: Record, found: Findings, limits: Thresholds) -> Conclusion:  # noqa: PLR0911 -- worst first
    """Judge ``per_tile``: first leaks, then late removals, then the excess, then the peak."""
    late = found.judged & (found.outlived > limits["disk.outlived"])
    if (sentence := _not_gone(found, limits)) is not None:
        return Outcome.FAIL, sentence, ()
    if found.end is not None and found.left.any():
        sentence = say(
            "Caches that no tile needed any more were still on disk when Phase 3 ended: {count}, {size} MB.",
            count=int(found.left.sum()),
            size=float(found.lives.size[found.left].sum()) / 1e6,
        )
        return Outcome.FAIL, sentence, _life(run.history, found, found.left)
    if late.any():
        sentence = say(
            "Caches removed too late after their last user: {count}. Tiles collected before the removal: up to {tiles} "
            "(limit {limit}).",
            count=int(late.sum()),
            tiles=int(found.outlived[late].max()),
            limit=limits["disk.outlived"],
        )
        return Outcome.FAIL, sentence, _life(run.history, found, late)
    # A busy machine increases the excess over time, and a short tile the excess in tiles: both must exceed the limit.
    if found.end is not None and min(found.excess, found.excess_in_tiles) > limits["disk.excess"]:
        sentence = say(
            "Caches are held too long in Phase 3: the excess over the lower bound is {percent} % of what run_end holds over time,"
            " and {in_tiles} % with time counted in tiles (limit {limit} %).",
            percent=round(100 * found.excess, 2),
            in_tiles=round(100 * found.excess_in_tiles, 2),
            limit=100 * limits["disk.excess"],
        )
        return Outcome.FAIL, sentence, _life(run.history, found, found.judged)
    if found.ratio is not None and found.ratio > limits["disk.peak"]:
        sentence = say(
            "The peak size of the output folder is {ratio} times that with run_end (limit {limit}).",
            ratio=found.ratio,
            limit=limits["disk.peak"],
        )
        return Outcome.FAIL, sentence, ()
    if found.succeeded and found.left_at_the_end:
        return Outcome.FAIL, _left(found.left_at_the_end), ()
    if found.succeeded and found.left_in_folder:
        return Outcome.FAIL, _left_beside(found.left_in_folder), ()
    return *_nothing_wrong(found), ()


def _not_gone(found: Findings, limits: Thresholds) -> Message | None:
    """Say that bytes of caches were still on disk when Phase 3 ended, although the caches were gone under their names."""
    if found.beside:
        return counted(
            "Caches were renamed, copied or linked, and their bytes were still on disk when Phase 3 ended: {count} file, {size} "
            "MB, such as {file}.",
            "Caches were renamed, copied or linked, and their bytes were still on disk when Phase 3 ended: {count} files, {size} "
            "MB, such as {file}.",
            count=len(found.beside),
            size=sum(file.size for file in found.beside) / 1e6,
            file=name_of(found.beside[0].path),
        )
    if found.unexplained is not None and found.unexplained > limits["disk.unexplained"]:
        return say(
            "The cache folder had {size} MB after Phase 3 that the trace does not explain (limit {limit} MB).",
            size=found.unexplained / 1e6,
            limit=limits["disk.unexplained"] / 1e6,
        )
    freed = float(found.lives.size[found.judged & found.freed_in_phase_3].sum())
    if found.elsewhere is not None and freed and found.elsewhere > limits["disk.elsewhere"] * freed:
        return say(
            "The temporary, home and working folders of the run grew by {size} MB in Phase 3, while {freed} MB of caches were "
            "removed: caches may have been moved there.",
            size=found.elsewhere / 1e6,
            freed=freed / 1e6,
        )
    return None


def _left_beside(files: tuple[LeftFile, ...]) -> Message:
    return say(
        "The cache folder was left after the run, with files that are no caches: {count}, {size} MB, such as {file}.",
        count=len(files),
        size=sum(file.size for file in files) / 1e6,
        file=name_of(files[0].path),
    )


def _nothing_wrong(found: Findings) -> tuple[Outcome, Message]:  # noqa: PLR0911 -- one return for each reason
    """Conclude when no failure was seen: ``unknown`` if the evidence is incomplete or no removal was tested."""
    if found.end is None:
        count = "?" if found.left_at_the_end is None else len(found.left_at_the_end)
        return Outcome.UNKNOWN, say("The end of Phase 3 was not recorded. Caches left on disk: {count}.", count=count)
    if found.left_at_the_end is None:
        return Outcome.UNKNOWN, say("The files left on disk were not listed.")
    if found.unsure and found.unexplained is None:
        return Outcome.UNKNOWN, say(
            "Files as large as caches were removed after Phase 3, such as {file}, and it is not known when they were made.",
            file=name_of(found.unsure[0].path),
        )
    unsure = int((found.lives.used & (found.lives.needed == NEVER)).sum())
    if unsure:
        return Outcome.UNKNOWN, say(
            "The end of a tile is missing from the trace. Caches whose last use is therefore unknown: {count}.",
            count=unsure,
        )
    early = int(found.lives.early.sum())
    if early and not found.judged.any():
        return Outcome.NOT_APPLICABLE, say(
            "Every cache was removed before its last use, so that no delay after it can be measured. See the cache check."
        )
    freed = int((found.judged & found.freed_in_phase_3).sum())
    if not freed:
        return Outcome.UNKNOWN, say("No cache was removed in Phase 3, so per_tile was not tested.")
    values: dict[str, Value] = {"count": freed, "percent": round(100 * found.excess, 2)}
    if early:
        return Outcome.PASS, say(
            "Caches removed soon after their last user: {count}. The excess over the lower bound is {percent} % of what "
            "run_end holds. Caches removed before their last use, not counted: {early}; see the cache check.",
            **values,
            early=early,
        )
    if found.ratio is None:
        return Outcome.PASS, say(
            "Caches removed soon after their last user: {count}; no cache is left. The excess over the lower bound is "
            "{percent} % of what run_end holds. The peak size could not be compared with run_end.",
            **values,
        )
    return Outcome.PASS, say(
        "Caches removed soon after their last user: {count}; no cache is left. The excess over the lower bound is "
        "{percent} % of what run_end holds. The peak size is {ratio} times that with run_end.",
        **values,
        ratio=found.ratio,
    )


def _at_the_end(run: Record, found: Findings) -> Conclusion:
    """Judge ``run_end``: every cache exists until Phase 7, and is then removed."""
    starts = [e.t for e in run.history.named("run_info_phase7_cleanup_starting")]
    cleanup = min(starts + [e.t for e in run.history.named("PHASE_UPDATE") if e.text.strip() == "7"], default=None)
    if cleanup is None and (found.lives.freed != NEVER).any() and not found.freed_in_phase_3.any():
        return Outcome.UNKNOWN, say("Caches were removed, but the start of Phase 7 was not recorded."), ()
    before = found.lives.freed < (NEVER if cleanup is None else cleanup)
    if before.any():
        sentence = say(
            "With run_end, caches were removed before the clean-up of Phase 7: {count}.", count=int(before.sum())
        )
        return Outcome.FAIL, sentence, _life(run.history, found, before)
    count = len(found.lives.names)
    return _gone(
        found,
        say("With run_end, every cache existed until Phase 7, and no cache is left. Caches: {count}.", count=count),
    )


def _gone(found: Findings, sentence: Message) -> Conclusion:
    """Judge the end of a run that must remove its caches there; ``sentence`` is that of a pass."""
    if found.left_at_the_end is None:
        return Outcome.UNKNOWN, say("The files left on disk were not listed."), ()
    if not found.succeeded:
        count = len(found.left_at_the_end)
        return Outcome.UNKNOWN, say("The run did not succeed. Caches left on disk: {count}.", count=count), ()
    if found.left_at_the_end:
        return Outcome.FAIL, _left(found.left_at_the_end), ()
    if found.left_in_folder:
        return Outcome.FAIL, _left_beside(found.left_in_folder), ()
    return Outcome.PASS, sentence, ()


def _kept(run: Record, found: Findings) -> Conclusion:
    """Judge ``keep``: every cache exists after the run."""
    freed = found.lives.freed != NEVER
    if freed.any():
        sentence = say("With keep, caches were removed: {count}.", count=int(freed.sum()))
        return Outcome.FAIL, sentence, _life(run.history, found, freed)
    if found.left_at_the_end is None:
        return Outcome.UNKNOWN, say("The files left on disk were not listed."), ()
    gone = set(found.lives.names) - set(found.left_at_the_end)
    if gone:
        return Outcome.FAIL, say("With keep, caches are missing after the run: {count}.", count=len(gone)), ()
    return (
        Outcome.PASS,
        say("With keep, every cache exists after the run. Caches: {count}.", count=len(found.lives.names)),
        (),
    )


def _sds(run: Record, found: Findings) -> Conclusion:
    """Judge SDS: the coadd reads every cache, so that retention applies only after it."""
    before = found.lives.freed < (_coadd_end(run.history) or 0)
    if before.any():
        sentence = say("Caches were removed before the coadd had read them: {count}.", count=int(before.sum()))
        return Outcome.FAIL, sentence, ()
    if run.request.retention == "keep":
        return _kept(run, found)
    count = len(found.lives.names)
    return _gone(
        found,
        say("Every cache existed until the coadd had read it, and no cache is left. Caches: {count}.", count=count),
    )


def _left(names: tuple[str, ...]) -> Message:
    return say("Caches left on disk after the run: {count}, for example {cache}.", count=len(names), cache=names[0])


def _life(history: History, found: Findings, chosen: Chosen) -> tuple[Message, ...]:
    """Describe the life of the chosen cache that was held longest in Phase 3 after its last use."""
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
        links.append(say("The trace has no removal of {cache}.", cache=lives.names[n]))
    else:
        links.append(
            say(
                "{cache} was removed {seconds} s after the start of Phase 3. Tiles collected in between: {count}.",
                cache=lives.names[n],
                seconds=seconds(history, int(lives.freed[n])),
                count=int(found.outlived[n]),
            )
        )
    return tuple(links)


def _coadd_end(history: History) -> int | None:
    """Return when the last batch of an SDS run was coadded; ``None`` if it was not reported."""
    return max((e.t for e in history.named(COADD_FINISHED)), default=None)


def _evidence(run: Record, found: Findings) -> dict[str, Any]:
    masks = lifetimes.live_bytes(run.history, lifetimes.mask_names(run.history))
    held, bound = lifetimes.live_bytes(run.history), lifetimes.lower_bound(found.lives)
    masks_left = None if run.left is None else sum(file.size for file in run.left if file.kind == "mask")
    at, lines = lifetimes.decimated(*found.span, (held, bound), SERIES)
    return {
        "caches": len(found.lives.names),
        **(_of_phase_3(found) if run.request.mode == "classic" else {}),
        "left_at_end": None if found.left_at_the_end is None else len(found.left_at_the_end),
        "left_at_end_bytes": found.left_bytes,
        "kept_under_other_names": [name_of(file.path) for file in found.beside[:MAX_LISTED]],
        "kept_under_other_names_bytes": sum(file.size for file in found.beside),
        "perhaps_kept_under_other_names": [name_of(file.path) for file in found.unsure[:MAX_LISTED]],
        "unexplained_bytes_after_phase_3": found.unexplained,
        "gained_in_working_folders_bytes": found.elsewhere,
        "left_in_cache_folder": [name_of(file.path) for file in found.left_in_folder[:MAX_LISTED]],
        "empty_cache_folder_left": any(file.kind == "folder" for file in run.left or ()),
        "run_succeeded": found.succeeded,
        "cache_peak_bytes": held.peak,
        **found.peaks,
        "total_peak_ratio": None if found.ratio is None else significant(found.ratio),
        "hot_pixel_masks_peak_bytes": masks.peak,
        "hot_pixel_masks_at_end_of_phase_3_bytes": int(masks.at(np.array([found.span[1]]))[0]),
        "hot_pixel_masks_left_bytes": masks_left,
        "series": {"seconds": at, "live_bytes": lines[0], "lower_bound_bytes": lines[1]},
    }


def _of_phase_3(found: Findings) -> dict[str, Any]:
    lives, areas, (start, end) = found.lives, found.areas, found.span
    waits = (lives.freed - lives.needed)[found.judged & (lives.freed != NEVER)] / 1e9
    late = np.flatnonzero(found.judged & (found.outlived > 0) & found.freed_in_phase_3)[:MAX_LISTED].tolist()
    return {
        "caches_no_tile_uses": int((~lives.used).sum()),
        "removed_before_last_use": int(lives.early.sum()),
        "judged": int(found.judged.sum()),
        "freed_in_phase_3": int((found.judged & found.freed_in_phase_3).sum()),
        "phase_3_seconds": significant((end - start) / 1e9),
        "held_byte_seconds": significant(areas.held),
        "lower_bound_byte_seconds": significant(areas.bound),
        "excess_byte_seconds": significant(areas.excess),
        "run_end_byte_seconds": significant(areas.full),
        "excess_fraction": significant(found.excess),
        "excess_fraction_in_tiles": significant(found.excess_in_tiles),
        "delay_median_seconds": significant(float(np.median(waits))) if waits.size else None,
        "delay_max_seconds": significant(float(waits.max())) if waits.size else None,
        "tiles_collected_before_removal_max": int(found.outlived[found.judged].max(initial=0)),
        "outlived": [
            {"cache": lives.names[n], "last_user": int(lives.last_user[n]), "tiles_collected": int(found.outlived[n])}
            for n in late
        ],
        "left_at_end_of_phase_3": None if found.end is None else int(found.left.sum()),
        "left_at_end_of_phase_3_names": [lives.names[n] for n in np.flatnonzero(found.left)[:MAX_LISTED].tolist()],
        "removals_refused": int((lives.used & lives.refused & ~lives.taken).sum()),
        "taken_by_faults": int((lives.used & lives.taken).sum()),
    }


def _written(runs: Runs) -> Message | None:
    if lifetimes.lives(runs.run.history).names:
        return None
    return say("The trace has no write of a cache, so that no lifetime is known.")


def _all_written(runs: Runs) -> Message | None:
    """Require the write of every cache that a tile uses: the lifetime of the others is unknown."""
    used = {name_of(path) for tile in runs.run.history.tiles for path in tile.caches if not is_intermediate(path)}
    unseen = used - set(lifetimes.lives(runs.run.history).names)
    if not unseen:
        return None
    return say(
        "Nothing wrong was seen, but tiles used caches whose write is not in the trace: {count}.", count=len(unseen)
    )


def _coadd(runs: Runs) -> Message | None:
    if _coadd_end(runs.run.history) is not None:
        return None
    return say("The end of the coadd was not recorded, so that it is unknown when the caches were read.")


def _over_bound(evidence: Evidence) -> Numbers | None:
    """Return the ratio of the byte-seconds held to the lower bound."""
    found = numbers("held_byte_seconds", "lower_bound_byte_seconds")(evidence)
    return (found[0] / found[1],) if found and found[1] > 0 else None


def _excess(evidence: Evidence) -> Numbers | None:
    """Return the excess over the lower bound in percent of what ``run_end`` holds."""
    found = numbers("excess_fraction")(evidence)
    return None if found is None else (found[0] * 100,)


CHECK = Check(
    "disk",
    say("Does the cache free itself progressively?"),
    _judge,
    MappingProxyType(
        {
            "classic": (*ALWAYS, OWN_TILES, TILES, REMOVALS, SAVES, Premise("a cache was written", _written)),
            "sds": (
                *ELSEWHERE,
                REMOVALS,
                SAVES,
                Premise("a cache was written", _written),
                Premise("coadd reached its end", _coadd),
            ),
        }
    ),
    for_pass=(SHARED, Premise("every cache was seen to be written", _all_written)),
    figures=(
        Figure(
            say("bytes held over time, relative to the least that a safe retention holds"),
            Unit.RATIO,
            _over_bound,
            largest,
            say("caches held over time, to the least possible"),
        ),
        Figure(say("bytes held beyond that minimum, relative to run_end"), Unit.PERCENT, _excess, largest),
        Figure(say("peak of disk use, relative to run_end"), Unit.RATIO, numbers("total_peak_ratio"), largest),
        Figure(say("caches left at the end of the run"), Unit.COUNT, numbers("left_at_end")),
    ),
    drawn=("series",),
)
