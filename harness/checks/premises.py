"""What must hold before a check can conclude, and what must hold before it may conclude ``pass``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from harness.analysis.modes import not_reached
from harness.analysis.phase3 import origins, phase_3_start
from harness.checks.base import Premise, Runs, gap
from harness.language.message import Message, say
from harness.record.reader import Record


def needs(capability: str, what: Message) -> Premise:
    """Return the premise that a source of the probe was in place."""

    def met(runs: Runs) -> Message | None:
        return None if capability in runs.run.history.capabilities else what

    return Premise(f"source {capability}", met)


def _phase_3(runs: Runs) -> Message | None:
    if phase_3_start(runs.run.history) is None:
        return say("Phase 3 was not reached, so nothing is known of its tiles and caches.")
    return None


def _mode(runs: Runs) -> Message | None:
    """Ask of a run without Phase 3 that it came through the phases of its mode."""
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
        reason = steps[-1].reason if steps and steps[-1].reason else "the target never came to it"
        return say(
            "The schedule was not met: group {group} was to wait for group {other} ({reason}).",
            group=hold.group,
            other=hold.until_released,
            reason=reason,
        )
    return None


def _faults(runs: Runs) -> Message | None:
    """Ask that every fault of the request struck; of one that did not, say what the probe says of it."""
    told = runs.run.history.faults
    struck = [_plain(line.get("fault", {})) for line in told if line.get("state") == "struck"]
    for fault in runs.run.request.faults:
        if _plain(fault) in struck:
            continue
        reasons = [str(line.get("reason", "")) for line in told if _plain(line.get("fault", {})) == _plain(fault)]
        return say(
            "A fault that was asked for ({what}) did not strike, so the run shows nothing about it: {reason}.",
            what=str(fault.get("what")),
            reason=reasons[-1] if reasons and reasons[-1] else "the probe says nothing of it",
        )
    return None


def _shared(runs: Runs) -> Message | None:
    """Ask of ``per_tile`` that tiles, retries among them, really shared a cache: else it had no cache to delete too early.

    Only the classic way makes tiles from caches.
    """
    history = runs.run.history
    if runs.run.request.mode != "classic" or runs.run.request.retention != "per_tile" or shared_caches(runs.run):
        return None
    if "tiles" not in history.capabilities and history.logged("Phase3: shared cache detected"):
        return None
    return say("No cache was seen to be shared between tiles, so nothing was put to the test.")


def shared_caches(record: Record) -> frozenset[str]:
    """Return the caches that more than one tile was submitted with."""
    submitted = (tile for tile in record.history.tiles if tile.submitted is not None)
    users = Counter(cache for tile in submitted for cache in set(tile.caches) if cache)
    return frozenset(cache for cache, count in users.items() if count > 1)


def _named_twice(runs: Runs) -> Message | None:
    if any(len(set(tile.frames)) < len(tile.frames) for tile in runs.run.history.tiles if tile.submitted is not None):
        return None
    return say("The target submitted no tile that names a frame twice, so nothing was put to the test.")


def _retried(runs: Runs) -> Message | None:
    """Ask for a group that was tried again whose caches a tile needs that it did not grow out of."""
    tiles = {tile.tile: tile for tile in runs.run.history.tiles if tile.submitted is not None}
    parents = origins(runs.run.history)
    for new, old in parents.items():
        others = {cache for number, tile in tiles.items() if number not in (new, old) for cache in tile.caches if cache}
        if new in tiles and others.intersection(tiles[new].caches):
            return None
    return say("No group that shares a cache with another tile was tried again, so nothing was put to the test.")


CALLBACK = needs("callback", say("The target's progress events were not recorded."))
LOG = needs("log", say("The target's log was not recorded."))
TILES = needs("tiles", say("The making of master tiles was not traced."))
OPENS = needs("opens", say("The opening of files was not traced."))
FUTURES = needs("futures", say("When results of tiles were collected was not traced."))
SAVES = needs("saves", say("The writing of caches was not traced."))
REMOVALS = needs("removals", say("The removal of files was not traced."))
PHASE_3 = Premise("Phase 3 reached", _phase_3)
MODE_REACHED = Premise("the phases of the mode reached", _mode)
SCHEDULE = Premise("schedule met", _holds)
FAULTS = Premise("fault struck", _faults)
SHARED = Premise("a cache was shared", _shared)
NAMED_TWICE = Premise("a frame named twice", _named_twice)
RETRIED = Premise("a retry that shares", _retried)

ALWAYS = (SCHEDULE, FAULTS, PHASE_3)
ELSEWHERE = (SCHEDULE, FAULTS)


def standard(runs: Runs) -> tuple[Record | None, Message | None]:
    """Return the pair if the run can be measured against it, else why not.

    A pair differs in retention, and in its role, and in nothing else that decides an outcome; and it is whole.
    """
    pair = runs.pair
    if pair is None:
        return None, say("No pair with run_end was made.")
    if pair.seal is None or pair.seal.state != "done" or gap(pair) is not None:
        return None, say("The pair did not run to its end, or its record has gaps.")
    if pair.request.retention == "per_tile":
        return None, say("The pair was run with per_tile too, so it is no measure for it.")
    other = [*_differences(runs.run, pair), *_other_target(runs.run, pair)]
    if other:
        return None, say("The pair is no measure for the run; it differs in: {what}.", what=", ".join(other))
    return pair, None


def repeats(run: Record, other: Record) -> Message | None:
    """Return ``None`` when another run of the same target must come to the same outputs, else why it is left out.

    It may differ in retention, in the number of workers, and in the schedule, which only imposes an order.
    """
    if not other.usable or gap(other) is not None:
        return say("Another run is left out: it did not run to its end, or its record has gaps.")
    may = {"workers", "schedule"}
    differing = [*(n for n in _differences(run, other) if n not in may), *_other_target(run, other)]
    if differing:
        return say("Another run is left out; it differs in: {what}.", what=", ".join(differing))
    return None


def baseline_of(runs: Runs) -> tuple[Record | None, Message | None]:
    """Return the baseline if it ran the same test on another version of the target, else why it is left out."""
    baseline = runs.baseline
    if baseline is None:
        return None, None
    other = _differences(runs.run, baseline)
    if baseline.request.target.kind != runs.run.request.target.kind:
        other.append("target.kind")
    if baseline.request.retention != runs.run.request.retention:
        other.append("retention")
    if other:
        return None, say(
            "The baseline is left out, for it is another test; it differs in: {what}.", what=", ".join(other)
        )
    return baseline, None


def measures(runs: Runs) -> tuple[Record, ...]:
    """Return what a run of a mode without Phase 3 is measured against: its pair and the baseline, where they are whole.

    One that did not come through the mode shows nothing of it.
    """
    pair, baseline = standard(runs)[0], baseline_of(runs)[0]
    whole = (
        baseline is not None and baseline.seal is not None and baseline.seal.state == "done" and gap(baseline) is None
    )
    records = (pair, baseline if whole else None)
    return tuple(record for record in records if record is not None and not_reached(record) is None)


def _differences(run: Record, other: Record) -> list[str]:
    """Name what else decides the outcome of two runs and is not the same, the target and the retention aside."""
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
    """Return a value as JSON knows it: a read-only mapping equals the dictionary that it was written as."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value
