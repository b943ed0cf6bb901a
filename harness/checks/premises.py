"""What must hold before a check can conclude, and what must hold before it may conclude ``pass``."""

from __future__ import annotations

from collections import Counter

from harness.checks.base import Case, Premise
from harness.checks.facts import phase_3_start
from harness.message import Message, say
from harness.record import Record


def needs(capability: str, what: Message) -> Premise:
    """Return the premise that a source of the probe was in place."""

    def met(case: Case) -> Message | None:
        return None if capability in case.run.history.capabilities else what

    return Premise(f"source {capability}", met)


def _phase_3(case: Case) -> Message | None:
    if phase_3_start(case.run.history) is None:
        return say("Phase 3 was not reached, so nothing is known of its tiles and caches.")
    return None


def _holds(case: Case) -> Message | None:
    for hold in case.run.request.schedule:
        steps = [
            step
            for step in case.run.history.holds
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


def _faults(case: Case) -> Message | None:
    if not case.run.request.faults:
        return None
    states = Counter(str(fault.get("state")) for fault in case.run.history.faults)
    if states["unmet"] or not states["struck"]:
        return say("A fault that was asked for did not strike, so the run shows nothing about it.")
    return None


def _shared(case: Case) -> Message | None:
    """Ask of a plan whose tiles share frames that caches were shared: else the run proves nothing of ``per_tile``."""
    request = case.run.request
    if request.retention != "per_tile" or request.plan is None:
        return None
    planned = Counter(name for group in request.plan for name in set(group))
    if max(planned.values(), default=0) < 2 or shared_caches(case.run):
        return None
    if case.run.history.logged("Phase3: shared cache detected"):
        return None
    return say(
        "The plan shares frames between tiles, but no cache was seen to be shared, so nothing was put to the test."
    )


def shared_caches(record: Record) -> frozenset[str]:
    """Return the caches that more than one tile was submitted with."""
    users = Counter(cache for tile in record.history.tiles for cache in set(tile.caches))
    return frozenset(cache for cache, count in users.items() if count > 1)


CALLBACK = needs("callback", say("The target's progress events were not recorded."))
TILES = needs("tiles", say("The making of master tiles was not traced."))
FUTURES = needs("futures", say("When results of tiles were collected was not traced."))
REMOVALS = needs("removals", say("The removal of files was not traced."))
PHASE_3 = Premise("Phase 3 reached", _phase_3)
SCHEDULE = Premise("schedule met", _holds)
FAULTS = Premise("fault struck", _faults)
SHARED = Premise("a cache was shared", _shared)

ALWAYS = (SCHEDULE, FAULTS, PHASE_3)


def standard(case: Case) -> tuple[Record | None, Message | None]:
    """Return the pair if the run can be measured against it, else why not.

    A pair differs in retention and in nothing else that decides an outcome; a schedule or fault may be left out of it.
    """
    run, pair = case.run.request, case.pair
    if pair is None:
        return None, say("No pair with run_end was made.")
    other = pair.request
    if pair.seal is None or pair.seal.state != "done":
        return None, say("The pair did not run to its end.")
    if other.retention == "per_tile":
        return None, say("The pair was run with per_tile too, so it is no measure for it.")
    if (other.dataset.sha256, other.plan, other.mode) != (run.dataset.sha256, run.plan, run.mode):
        return None, say("The pair was run on other frames, or with another plan or mode.")
    return pair, None
