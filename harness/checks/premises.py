"""The conditions that checks share: for any conclusion, for a pass, and for a comparison with another run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from harness.analysis.made import taken_over
from harness.analysis.modes import not_reached
from harness.analysis.phase3 import origins, phase_3_start, setting
from harness.analysis.retention_lines import is_shared
from harness.checks.base import TAKEN_OVER, Premise, Runs, gap
from harness.language.message import Message, say
from harness.record.reader import Record


def needs(capability: str, what: Message) -> Premise:
    """Return the premise that a source of the probe was active."""

    def met(runs: Runs) -> Message | None:
        return None if capability in runs.run.history.capabilities else what

    return Premise(f"source {capability}", met)


def _log(runs: Runs) -> Message | None:
    """Require a log down to level INFO. A user's own settings may ask for less, and then missing lines show nothing."""
    if "log" not in runs.run.history.capabilities:
        return say("The target's log was not recorded.")
    level = log_level(runs.run)
    if level in ("WARNING", "ERROR", "CRITICAL"):
        return say("The level of the target's log was {level}: set it to DEBUG.", level=level)
    return None


def _every_level(runs: Runs) -> Message | None:
    """Require a log down to level DEBUG, where some fallbacks are reported only."""
    level = log_level(runs.run)
    if level not in ("", "DEBUG"):
        return say("The level of the target's log was {level}: set it to DEBUG.", level=level)
    return None


def log_level(record: Record) -> str:
    """Return the level of the target's log by its setting; empty if that was not recorded."""
    return str(setting(record, "logging_level") or "").upper()


def _phase_3(runs: Runs) -> Message | None:
    if phase_3_start(runs.run.history) is None:
        return say("The run did not reach Phase 3, so it shows nothing about tiles and caches.")
    return None


def _mode(runs: Runs) -> Message | None:
    """Require that a run of a mode without Phase 3 went through the phases of its mode."""
    return None if runs.run.request.mode == "classic" else not_reached(runs.run)


def _holds(runs: Runs) -> Message | None:
    for hold in runs.run.request.schedule:
        steps = [
            step
            for step in runs.run.history.holds
            if step.group == hold.group and step.until_released == hold.until_released and step.state != "waiting"
        ]
        if any(step.state == "met" for step in steps):
            continue
        return say(
            "The schedule was not kept: group {group} had to wait for group {other} ({reason}).",
            group=hold.group,
            other=hold.until_released,
            reason=(steps[-1].reason if steps else "") or "the target did not get that far",
        )
    return None


def _faults(runs: Runs) -> Message | None:
    """Require that every requested fault struck; else return the reason that the probe gave."""
    lines = runs.run.history.faults
    struck = [_plain(line.get("fault", {})) for line in lines if line.get("state") == "struck"]
    for fault in runs.run.request.faults:
        if _plain(fault) in struck:
            continue
        reasons = [str(line.get("reason", "")) for line in lines if _plain(line.get("fault", {})) == _plain(fault)]
        return say(
            "The injected fault ({what}) did not occur, so the run shows nothing about it: {reason}.",
            what=str(fault.get("what")),
            reason=(reasons[-1] if reasons else "") or "the probe gives no reason",
        )
    return None


def _own_tiles(runs: Runs) -> Message | None:
    """Require that the run made all tiles: the target counts the caches of the others too, which the trace does not show."""
    return TAKEN_OVER if taken_over(runs.run.history).tiles else None


def _shared(runs: Runs) -> Message | None:
    """Require of ``per_tile`` that tiles shared a cache: otherwise it could not delete one too early.

    Retries count as tiles. Only the classic mode makes tiles from caches.
    """
    history = runs.run.history
    if runs.run.request.mode != "classic" or runs.run.request.retention != "per_tile" or shared_caches(runs.run):
        return None
    if "tiles" not in history.capabilities and any(e.source == "log" and is_shared(e) for e in history.events):
        return None
    return say("No two tiles shared a cache, so per_tile could not delete one too early.")


def shared_caches(record: Record) -> frozenset[str]:
    """Return the caches that more than one tile was submitted with."""
    submitted = (tile for tile in record.history.tiles if tile.submitted is not None)
    users = Counter(cache for tile in submitted for cache in set(tile.caches) if cache)
    return frozenset(cache for cache, count in users.items() if count > 1)


def _named_twice(runs: Runs) -> Message | None:
    if any(len(set(tile.frames)) < len(tile.frames) for tile in runs.run.history.tiles if tile.submitted is not None):
        return None
    return say("No submitted tile names a frame twice, so the run does not test this case.")


def _retried(runs: Runs) -> Message | None:
    """Require a retry that shares a cache with a tile other than the one that it retries."""
    tiles = {tile.tile: tile for tile in runs.run.history.tiles if tile.submitted is not None}
    parents = origins(runs.run.history)
    for new, old in parents.items():
        others = {cache for number, tile in tiles.items() if number not in (new, old) for cache in tile.caches if cache}
        if new in tiles and others.intersection(tiles[new].caches):
            return None
    return say("No retry shared a cache with another tile, so the run does not test this case.")


CALLBACK = needs("callback", say("The target's progress events were not recorded."))
LOG = Premise("source log", _log)
TILES = needs("tiles", say("The making of master tiles was not traced."))
OPENS = needs("opens", say("The opening of files was not traced."))
FUTURES = needs("futures", say("The collection of tile results was not traced."))
SAVES = needs("saves", say("The writing of caches was not traced."))
REMOVALS = needs("removals", say("The removal of files was not traced."))
OWN_TILES = Premise("no tile taken over", _own_tiles)
EVERY_LEVEL = Premise("a log at every level", _every_level)
MODE_REACHED = Premise("the phases of the mode reached", _mode)
SHARED = Premise("a cache was shared", _shared)
NAMED_TWICE = Premise("a frame named twice", _named_twice)
RETRIED = Premise("a retry that shares", _retried)

ELSEWHERE = (Premise("schedule met", _holds), Premise("fault struck", _faults))
"""The premises of checks in the modes without Phase 3."""
ALWAYS = (*ELSEWHERE, Premise("Phase 3 reached", _phase_3))
"""The premises of checks in the classic mode."""


def standard(runs: Runs) -> tuple[Record | None, Message | None]:
    """Return the pair if the run can be compared with it, else the reason why not.

    The record of a pair must be complete. It may differ from the run in retention and role, and in nothing else that decides
    an outcome.
    """
    pair = runs.pair
    if pair is None:
        return None, say("There is no run with run_end to compare with.")
    if not pair.usable or gap(pair) is not None:
        return None, say("The run with run_end did not reach its end, or its record has gaps.")
    if taken_over(pair.history).products:
        return None, say("The run with run_end took over tiles or its mosaic from an earlier run.")
    if pair.request.retention == "per_tile":
        return None, say("The run to compare with used per_tile too.")
    other = [*_differences(runs.run, pair), *_other_target(runs.run, pair)]
    if other:
        return None, say("The run with run_end can't be compared; it differs in: {what}.", what=", ".join(other))
    return pair, None


def repeats(run: Record, other: Record) -> Message | None:
    """Return ``None`` if another run of the same target must give the same outputs, else the reason to leave it out.

    It may differ in retention, number of workers and schedule, which only imposes an order.
    """
    if not other.usable or gap(other) is not None:
        return say("Another run was not compared: it did not reach its end, or its record has gaps.")
    may = {"workers", "schedule"}
    if taken_over(other.history).products:
        return say("Another run was not compared: it took over tiles or its mosaic from an earlier run.")
    differing = [*(n for n in _differences(run, other) if n not in may), *_other_target(run, other)]
    if differing:
        return say("Another run was not compared; it differs in: {what}.", what=", ".join(differing))
    return None


def baseline_of(runs: Runs) -> tuple[Record | None, Message | None]:
    """Return the baseline if it ran the same test on another version of the target, else the reason to leave it out."""
    baseline = runs.baseline
    if baseline is None:
        return None, None
    if taken_over(baseline.history).products:
        return None, say("The baseline was not compared: it took over tiles or its mosaic from an earlier run.")
    other = _differences(runs.run, baseline)
    if baseline.request.target.kind != runs.run.request.target.kind:
        other.append("target.kind")
    if baseline.request.retention != runs.run.request.retention:
        other.append("retention")
    if other:
        return None, say("The baseline was not compared; it differs in: {what}.", what=", ".join(other))
    return baseline, None


def measures(runs: Runs) -> tuple[Record, ...]:
    """Return the runs that a run of a mode without Phase 3 is compared with: its pair and the baseline.

    Runs that are incomplete or did not go through the mode are left out.
    """
    others = (standard(runs)[0], baseline_of(runs)[0])
    return tuple(other for other in others if other and other.usable and not gap(other) and not not_reached(other))


def _differences(run: Record, other: Record) -> list[str]:
    """Name the differences between two runs that decide an outcome, except target and retention."""
    ours, theirs = run.request, other.request
    asked = ("plan", "mode", "profile", "config", "workers", "seed", "schedule", "faults")
    names = [name for name in asked if _plain(getattr(ours, name)) != _plain(getattr(theirs, name))]
    return (["dataset"] if ours.dataset.sha256 != theirs.dataset.sha256 else []) + names


def _other_target(run: Record, other: Record) -> list[str]:
    ours, theirs = run.request.target, other.request.target
    same = {
        "target.kind": ours.kind == theirs.kind,
        "target.label": ours.label == theirs.label,
        "target.identity": _plain(ours.identity) == _plain(theirs.identity),
        "target.command": ours.command == theirs.command,
    }
    return [name for name, equal in same.items() if not equal]


def _plain(value: Any) -> Any:
    """Return a value as JSON data, so that a read-only mapping equals the dictionary that was written."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value
