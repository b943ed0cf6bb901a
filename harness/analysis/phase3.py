"""Read from a history what happened in Phase 3: lost caches, failed tiles, retries and their origins.

Files are identified by their names, not their paths. Within a run the names are unique, but the path of one file has several
forms: relative in the trace, absolute in the target's events, through a link in a temporary folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.analysis.injected_faults import ended_tiles, taken_caches
from harness.record.history import Event, History, Operation, OrderStep, Tile, TileStep
from harness.record.reader import Record
from harness.record.tile import is_intermediate

MISSING = "mastertile_warn_cache_file_missing"
STARVED = "mastertile_error_no_valid_images_from_cache"
FAILED = "run_warn_phase3_master_tile_creation_failed_thread"
INVALID = "mastertile_warn_invalid_cached_data"
UNREADABLE = "mastertile_error_loading_cache"
RAISED = "run_error_phase3_thread_exception"
ABANDONED = "run_warn_phase3_alignment_retry_abandoned"
NONE_MADE = "run_error_phase3_no_master_tiles_created"
SKIPPED_LATER = ("run_warn_phase4_invalid_master_tile_for_grid", "run_warn_phase5_invalid_tile_skipped_for_assembly")
SUCCEEDED = ("run_success_processing_completed", "run_success_mosaic_saved")

Why = Literal[
    "caches",
    "quality gate",
    "alignment",
    "stacking",
    "saving",
    "memory",
    "input",
    "libraries",
    "exception",
    "fault",
    "unstated",
]

# The causes by the events that a tile sends before its creation fails. The event of the failure itself names no cause.
_WHY: Mapping[str, Why] = {
    STARVED: "caches",
    "mt_quality_gate_moved": "quality gate",
    "mastertile_error_no_images_after_alignment": "alignment",
    "mastertile_error_stacking_failed": "stacking",
    "mastertile_error_saving": "saving",
    "mastertile_error_memory_loading_cache": "memory",
    "mastertile_error_no_images_provided": "input",
    "mastertile_error_invalid_ref_index": "input",
    "mastertile_error_invalid_ref_wcs_header": "input",
    "mastertile_error_utils_unavailable": "libraries",
    "mastertile_error_alignstack_unavailable": "libraries",
    "mastertile_error_astropy_unavailable": "libraries",
}


@dataclass(frozen=True, slots=True)
class Loss:
    """A cache that a tile asked for and did not get: the tile, the frame, and the key of the event that reports it."""

    t: int
    tile: int | None
    frame: str | None
    cache: str | None
    key: str


Thread = tuple[int, str, int | None]


def thread_of(step: Operation | TileStep | OrderStep) -> Thread:
    """Return process, and name and number of the thread. Both are needed: names may be shared, numbers are used again."""
    return step.pid, step.thread, step.tid


def name_of(path: str) -> str:
    """Return the last part of a path with slashes or backslashes.

    For an intermediate of one tile, return the last two parts: the intermediates of other tiles have the same last part.
    """
    parts = path.replace("\\", "/").rstrip("/").rsplit("/", 2)
    return "/".join(parts[-2:]) if is_intermediate(path) else parts[-1]


def tile_of(history: History, event: Event) -> int | None:
    """Return the tile that an event reports on; ``None`` if it names none.

    An event of a part has the part's number, which may be that of another tile. It is sent by the thread that makes the part.
    """
    named = number(event, "tile_id")
    making = history.making(event.pid, event.thread, event.tid, event.t)
    if making is not None and named in {part.tile for part in making.parts}:
        return making.tile
    return named


def number(event: Event, name: str) -> int | None:
    """Return an integer from an event's fields; ``None`` if the field is missing or not a number."""
    value = event.fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None


def writes(op: Operation) -> bool:
    """Return whether an operation makes or changes a file: ``to`` of a rename, else ``path``."""
    if op.op == "open":
        return any(letter in (op.mode or "") for letter in "wxa+")
    return op.op in ("save", "rename") and op.state == "done"


def setting(record: Record, name: str) -> Any:
    """Return the effective value of a setting, else the requested one; ``None`` if neither is known."""
    settings = record.history.settings
    return settings[name] if name in settings else record.request.config.get(name)


def phase_3_start(history: History) -> int | None:
    """Return when Phase 3 began; ``None`` if it was not reached."""
    signs = [e.t for e in history.named("PHASE_UPDATE") if e.text.strip() == "3"]
    signs += [e.t for e in history.named("run_info_phase3_started_from_cache")]
    signs += [s.t for s in history.own_steps if s.state == "submitted"][:1]
    return min(signs, default=None)


def phase_3_end(history: History) -> int | None:
    """Return when Phase 3 ended; ``None`` if no event shows it."""
    signs = [e.t for e in history.named("run_info_phase3_finished_from_cache", "run_info_phase4_started", NONE_MADE)]
    signs += [e.t for e in history.named("PHASE_UPDATE") if e.text.strip() in {"4", "5", "6", "7"}]
    return min(signs, default=None)


def phase_5_end(history: History) -> int | None:
    """Return when Phase 5, the last one that reads master tiles, ended; ``None`` if no event shows it."""
    signs = [e.t for e in history.events if e.key.startswith("run_info_phase5_finished") and e.source == "callback"]
    signs += [e.t for e in history.named("PHASE_UPDATE") if e.text.strip() in {"6", "7"}]
    return min(signs, default=None)


def seconds(history: History, t: int) -> str:
    """Write a time as seconds since the start of Phase 3."""
    start = phase_3_start(history)
    return f"{(t - (t if start is None else start)) / 1e9:.3f}"


def span(nanoseconds: int) -> str:
    """Write how long something took: in milliseconds below a second, with two digits at most below ten of a unit."""
    value, unit = (nanoseconds / 1e6, "ms") if abs(nanoseconds) < 1e9 else (nanoseconds / 1e9, "s")
    return f"{value:{'.0f' if abs(value) >= 10 else '.2g'}}\N{NO-BREAK SPACE}{unit}"


def losses(history: History) -> tuple[Loss, ...]:
    """Return every cache that a tile did not get, in order of time, without those that an injected fault deleted."""
    taken = taken_caches(history)
    return tuple(loss for loss in reported_losses(history) if not by_fault(loss, taken))


def by_fault(loss: Loss, taken: Mapping[str, int]) -> bool:
    """Return whether an injected fault deleted the cache that a tile did not get."""
    return loss.cache is not None and taken.get(loss.cache, loss.t + 1) <= loss.t


def reported_losses(history: History) -> tuple[Loss, ...]:
    """Return every cache that a tile reported as lost, in order of time, also those that an injected fault deleted."""
    tiles = {tile.tile: tile for tile in history.tiles}
    found = []
    for event in history.named(MISSING, INVALID, UNREADABLE):
        tile_id = tile_of(history, event)
        tile = tiles.get(tile_id) if tile_id is not None else None
        filename = name_of(str(event.fields.get("filename", "")))
        path = str(event.fields.get("cache_path") or "")
        cache = name_of(path) or None
        frame: str | None = filename or None
        if event.key != MISSING:  # the other two events have the cache in the field where MISSING has the frame
            frame, cache = None, filename or None
        pairs = [] if tile is None else _pairs(tile)
        if frame is None:
            frame = next((f for f, c in pairs if c == cache), None)
        if cache is None:
            cache = next((c for f, c in pairs if f == frame), None)
        elif not is_intermediate(
            cache
        ):  # a path may have lost its folder, such as that of an intermediate in a copied record
            cache = next((c for _, c in pairs if c.rpartition("/")[2] == cache), cache)
        # With an intermediate, all frames that it was made from are lost.
        whole = cache is not None and is_intermediate(cache)
        frames: list[str | None] = [*dict.fromkeys(f for f, c in pairs if c == cache)] if whole else []
        found += [Loss(event.t, tile_id, lost, cache, event.key) for lost in frames or [frame]]
    return tuple(found)


def _pairs(tile: Tile) -> list[tuple[str, str]]:
    """Return the frames of a tile and of its parts, each with the name of its cache."""
    return [pair for call in (tile, *tile.parts) for pair in zip(call.frames, map(name_of, call.caches), strict=False)]


def failures(history: History) -> Mapping[int, Why]:
    """Return the tiles that were not made, each with the cause that it stated before it failed.

    For a tile that lacked caches the cause is ``caches``, whatever it stated later: with them it might not have failed. For a
    tile that an injected fault ended, or left without any cache, the cause is ``fault``.
    """
    failed = {tile.tile for tile in history.tiles if tile.outcome not in (None, "made")}
    raised: set[int] = {tile.tile for tile in history.tiles if tile.outcome == "raised"}
    stated: dict[int, Why] = {}
    for event in history.events:
        if event.source != "callback":
            continue
        stack = number(event, "stack_num")
        tile = tile_of(history, event)
        if event.key in (FAILED, RAISED) and stack is not None:
            failed.add(stack - 1)
            raised |= {stack - 1} if event.key == RAISED else set()
        elif tile is not None:
            if event.key in _WHY:
                stated[tile] = _WHY[event.key]
            elif event.key == "mt_quality_gate_result" and event.fields.get("status") == "REJECT":
                stated[tile] = "quality gate"
    reported = reported_losses(history)
    taken = taken_caches(history)
    starved = {loss.tile for loss in reported if not by_fault(loss, taken)}
    deprived = {loss.tile for loss in reported} - starved
    ended = ended_tiles(history)

    def why(tile: int) -> Why:
        if tile in starved:
            return "caches"
        if (tile in ended and tile in raised) or (tile in deprived and stated.get(tile) == "caches"):
            return "fault"
        return stated.get(tile, "exception" if tile in raised else "unstated")

    return {tile: why(tile) for tile in sorted(failed)}


def origins(history: History) -> Mapping[int, int]:
    """Return, for each retry group, the tile that it retries: from the trace, else from the target's event."""
    found = {}
    for event in history.named("run_info_phase3_retry_submitted"):
        new, old = number(event, "new_tile"), number(event, "origin_tile")
        if new is not None and old is not None:
            found[new] = old
    found |= {tile.tile: tile.retry_of for tile in history.tiles if tile.retry_of is not None}
    return {new: old for new, old in found.items() if new != old}


def lineages(history: History) -> tuple[tuple[Tile, ...], ...]:
    """Return each tile of the first submission, followed by all retries that came from it."""
    parents = origins(history)

    def root(tile: int) -> int:
        seen = {tile}
        while tile in parents and parents[tile] not in seen:
            tile = parents[tile]
            seen.add(tile)
        return tile

    by_root: dict[int, list[Tile]] = {}
    for tile in history.tiles:
        by_root.setdefault(root(tile.tile), []).append(tile)
    return tuple(
        tuple(sorted(family, key=lambda t: (t.tile != first, t.tile))) for first, family in sorted(by_root.items())
    )


def groups(record: Record) -> Mapping[int, int]:
    """Return the planned group of each tile of the first submission, matched by frames; empty without a plan.

    A target numbers its tiles in its own order, and may leave out frames that it could not read. A tile with exactly the
    frames of a group matches first. Each remaining group gets the tile that shares most frames, if these are at least half of
    the tile's and half of the group's.
    """
    plan = record.request.plan or ()
    retries = origins(record.history)
    free = {t.tile: frozenset(t.frames) for t in record.history.tiles if t.tile not in retries}
    found: dict[int, int] = {}
    left = []
    for index, names in enumerate(plan):
        exact = next((tile for tile, frames in free.items() if frames == frozenset(names)), None)
        if exact is None:
            left.append(index)
        else:
            found[exact] = index
            del free[exact]
    for index in left:
        group = frozenset(plan[index])
        shared = {tile: len(frames & group) for tile, frames in free.items()}
        best = max(shared, key=lambda tile: shared[tile], default=None)
        if best is not None and shared[best] * 2 >= max(len(group), len(free[best]), 1):
            found[best] = index
            del free[best]
    return found


def twin(tile: Tile, other: Record) -> Tile | None:
    """Return the tile of another run that was submitted with the same frames; ``None`` if there is none."""
    return next((t for t in other.history.tiles if frozenset(t.frames) == frozenset(tile.frames)), None)
