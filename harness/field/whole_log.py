"""Find lines that were taken out of a log: phases, tiles or counts that are missing, and times that do not fit.

A log is text, which people shorten before they send it. Its silence shows something only if it is whole. Single lines between two
of the lines below can be missing without a trace: what depends on them needs evidence that is not in the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from harness.analysis.phase3 import FAILED, RAISED, number
from harness.language.message import Message, counted, say
from harness.record.history import Event

BEGUN, SAVED, DONE = "run_info_processing_started", "run_success_mosaic_saved", "run_success_processing_completed"
TILE_BEGUN = "mastertile_info_creation_started_from_cache"
GROUPED, MADE = "run_info_phase2_finished", "run_info_phase3_finished_from_cache"

_STATIONS = (
    BEGUN,
    "run_info_phase1_started",
    "run_info_phase1_finished",
    "run_info_phase2_started",
    GROUPED,
    "run_info_phase3_started",
    MADE,
    "run_info_phase4_started",
    "run_info_phase4_finished",
    "run_info_phase5_started",
    "run_info_phase5_finished",
    "run_info_phase6_started",
    SAVED,
    "run_info_phase7_cleanup_starting",
    DONE,
)
"""The beginnings of the keys that every classic run sends at level INFO, in this order."""

_COUNTERS = ("PHASE_UPDATE", "RAW_FILE_COUNT_UPDATE", "MASTER_TILE_COUNT_UPDATE")
"""The keys of counts that rise by one, at level DEBUG."""

_CHUNKS = "P3_INTERNAL_CHUNK_"
_OF_CHUNKS = 1000
"""Newer versions make large tiles of parts, which have numbers from here on."""

_STEPS = ("mastertile_info_loading_from_cache_started", "mastertile_info_saved")
"""Lines of each tile at level DEBUG: of each that was begun, and of each that was made."""

_DIGITS = 15
"""The most digits of a count; a longer one is damaged."""

_BACK = 1.0
"""The seconds by which times may go back: the threads of a run write their lines in any order."""


def gaps(events: Sequence[Event], *, classic: bool) -> Iterator[Message]:
    """Yield a sentence for each sign that lines of a run are missing; ``events`` begin with the run."""
    told = [event for event in events if event.source == "callback"]
    if classic:
        yield from _stations(told)
        yield from _tiles(told)
    for key in _COUNTERS:
        if classic or key != "PHASE_UPDATE":  # SDS and grid mode have no Phases 3 to 5
            yield from _counter(told, key)
    yield from _times(events)


def level(events: Sequence[Event]) -> str:
    """Return the lowest level of a log's lines: DEBUG, INFO or WARNING; empty without lines."""
    levels = {event.level for event in events}
    if not levels:
        return ""
    return "DEBUG" if "DEBUG" in levels else "INFO" if "INFO" in levels else "WARNING"


def begun_tiles(events: Sequence[Event]) -> dict[int, int | None]:
    """Return the tiles that a run began, without parts of tiles, each with its number of frames."""
    begun: dict[int, int | None] = {}
    for event in events:
        tile = number(event, "tile_id") if event.source == "callback" and event.key == TILE_BEGUN else None
        if tile is not None and tile < _OF_CHUNKS:
            begun.setdefault(tile, number(event, "num_raw"))
    return begun


def _stations(told: Sequence[Event]) -> Iterator[Message]:
    seen = {
        station: n
        for n, event in reversed([*enumerate(told)])
        for station in _STATIONS
        if event.key.startswith(station)
    }
    last = max((place for place, station in enumerate(_STATIONS) if station in seen), default=0)
    missing = [station for station in _STATIONS[:last] if station not in seen]
    if missing:
        yield say(
            "Lines are missing in the middle of the log: it has {later}, but not {key}, which comes before it.",
            key=", ".join(missing[:3]),
            later=_STATIONS[last],
        )
    known = [station for station in _STATIONS if station in seen]
    for one, other in pairwise(known):
        if seen[other] < seen[one]:
            yield say("The lines of the log are not in order: {later} comes before {key}.", key=one, later=other)
            return


def _counter(told: Sequence[Event], key: str) -> Iterator[Message]:
    values = [event.text.strip().partition("/") for event in told if event.key == key]
    counts = [int(count) for count, _, _ in values if _is_count(count)]
    totals = [int(total) for _, _, total in values if _is_count(total)]
    for one, other in pairwise(sorted(set(counts))):
        if other != one + 1:
            yield say(
                "Lines are missing in the middle of the log: {key} goes from {one} to {other}.",
                key=key,
                one=one,
                other=other,
            )
            return
    done = any(event.key.startswith(DONE) for event in told)
    first = 1 if key == "PHASE_UPDATE" else 0
    last = 7 if key == "PHASE_UPDATE" else max(totals, default=0)
    if counts and done and (min(counts) > first or max(counts) < last):
        yield say(
            "Lines are missing in the middle of the log: {key} goes from {one} to {other}, not from {first} to {last}.",
            key=key,
            one=min(counts),
            other=max(counts),
            first=first,
            last=last,
        )


def _is_count(text: str) -> bool:
    return text.isdecimal() and len(text) <= _DIGITS


def _tiles(told: Sequence[Event]) -> Iterator[Message]:
    """Compare the tiles that were begun with the number of groups, and those made and failed with the tiles begun."""
    begun = begun_tiles(told)
    groups = next((n for e in reversed(told) if e.key == GROUPED and (n := number(e, "num_groups")) is not None), None)
    made = next((n for e in reversed(told) if e.key == MADE and (n := number(e, "num_master_tiles")) is not None), None)
    if made is None:
        return
    expected = max(groups or 0, max(begun, default=-1) + 1)
    absent = sorted(set(range(min(expected, 100_000))) - set(begun))
    if absent:
        yield say(
            "Lines are missing in the middle of the log: it shows no beginning of the tiles {tiles} (of {count}).",
            tiles=", ".join(map(str, absent[:5])),
            count=expected,
        )
        return
    failed = {number(event, "stack_num") for event in told if event.key in (FAILED, RAISED)} - {None}
    if len(begun) - len(failed) != made:
        yield say(
            "Lines are missing in the middle of the log: tiles begun {begun}, failed {failed}, made {made}.",
            begun=len(begun),
            failed=len(failed),
            made=made,
        )
        return
    if any(event.key.startswith(_CHUNKS) for event in told) or level(told) != "DEBUG":
        return
    for key, expected in zip(_STEPS, (len(begun), made), strict=True):
        count = sum(event.key == key for event in told)
        if 0 < count < expected:  # a version may not send it
            yield counted(
                "Lines are missing in the middle of the log: {key} comes {count} time instead of {expected}.",
                "Lines are missing in the middle of the log: {key} comes {count} times instead of {expected}.",
                key=key,
                count=count,
                expected=expected,
            )


def _times(events: Sequence[Event]) -> Iterator[Message]:
    """Compare the times of the lines with each other, and with the duration that the run states at its end."""
    latest = 0
    for event in events:
        if event.t < latest - _BACK * 1e9:
            yield say(
                "The times in the log go back by {seconds} s: it was put together of parts, or the clock was changed.",
                seconds=round((latest - event.t) / 1e9, 1),
            )
            return
        latest = max(latest, event.t)
    begin = next((event.t for event in events if event.key == BEGUN), None)
    end = next((event for event in reversed(events) if event.key == DONE), None)
    stated = _seconds(end)
    if begin is None or end is None or stated is None:
        return
    seen = (end.t - begin) / 1e9
    if abs(seen - stated) > 1.0 + 0.02 * stated:
        yield say(
            "The log was put together of parts: the run states that it took {stated} s, the times of its lines say {seen} s.",
            stated=round(stated, 1),
            seen=round(seen, 1),
        )


def _seconds(end: Event | None) -> float | None:
    value = end.fields.get("duration") if end is not None else None
    try:
        return float(str(value)) if value is not None else None
    except ValueError:
        return None
