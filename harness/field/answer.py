"""Say whether a log shows the hole bug, and what to ask the reporter of the bug for.

The hole bug: with ``per_tile``, a version removes a cache that another tile still needs, and that tile loses frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.analysis.causes import listed
from harness.analysis.phase3 import Loss, losses
from harness.field.whole_log import begun_tiles, level
from harness.language.message import Message, Value, say
from harness.record.reader import Record
from harness.record.request import Retention
from harness.verdict import Outcome, Verdict

_PART = "master_tile_"
"""The beginning of the names of tiles. Newer versions make large tiles of parts, and a missing part is another bug."""

_COUNTED = "Phase3: per_tile cache retention uses refcount"


@dataclass(frozen=True, slots=True)
class Facts:
    """The known facts of a run: its record in memory, the gaps of its log (``None`` without a log), retention, verdicts."""

    record: Record
    gaps: tuple[Message, ...] | None
    retention: Retention | None
    verdicts: tuple[Verdict, ...]

    def outcome(self, check: str) -> Outcome | None:
        """Return the outcome of a check."""
        return next((verdict.outcome for verdict in self.verdicts if verdict.check == check), None)


def answer(facts: Facts) -> Message:
    """Say in one sentence whether the log shows the hole bug, and why it can't where it can't."""
    if facts.gaps is None:
        if facts.outcome("holes") is Outcome.FAIL:
            return say("The mosaic has a hole. Without a log nothing shows whether it is the hole bug.")
        return say("Without a log nothing shows whether this run has the hole bug.")
    if not any(event.source == "callback" for event in facts.record.history.events):
        return say("This file has no events of ZeMosaic, so it does not show the hole bug, and can't.")
    lost = losses(facts.record.history)
    caches = [loss for loss in lost if not _is_part(loss)]
    if caches:
        return _shown(facts, caches)
    if lost:
        return say(
            "This log does not show the hole bug. It shows another one: parts of tiles are missing ({count}).",
            count=len({(loss.tile, loss.cache or loss.frame) for loss in lost}),
        )
    return _not_shown(facts, facts.gaps)


def _not_shown(facts: Facts, gaps: tuple[Message, ...]) -> Message:
    """Say how much it means that the log reports no lost cache."""
    mode = facts.record.request.mode
    if mode != "classic":
        return say(
            "This log does not show the hole bug, and can't: the mode {mode} deletes no cache by tile.", mode=mode
        )
    if facts.retention in ("run_end", "keep"):
        return say(
            "This log does not show the hole bug, and can't: the run kept its caches to the end ({retention}).",
            retention=facts.retention,
        )
    if facts.outcome("holes") is Outcome.FAIL:
        return say("The mosaic has a hole, but this log does not show the hole bug: it reports no lost cache.")
    if gaps:
        return say(
            "This log does not show the hole bug, and does not rule it out, because it is not whole (see below)."
        )
    if facts.outcome("warnings") is Outcome.PASS:
        return say("This log does not show the hole bug: it is whole, and the kept tiles have all their frames.")
    return say(
        "This log does not show the hole bug: it reports no lost cache. It does not rule it out: no file confirms it."
    )


def _is_part(loss: Loss) -> bool:
    return (loss.frame or loss.cache or "").startswith(_PART)


def _shown(facts: Facts, lost: list[Loss]) -> Message:
    tiles = {loss.tile for loss in lost if loss.tile is not None}
    # A frame that a tile repeats is reported once for each time.
    caches = {(loss.tile, loss.cache or loss.frame) for loss in lost}
    values: dict[str, Value] = {"count": len(caches), "tiles": listed(tiles) if tiles else "?"}
    if facts.retention in ("run_end", "keep"):
        return say(
            "This log shows lost caches (caches: {count}, tiles: {tiles}), but not the hole bug: the run kept its caches to the "
            "end ({retention}).",
            **values,
            retention=facts.retention,
        )
    return say(
        "This log shows the hole bug: caches were gone when tiles needed them (caches: {count}, tiles: {tiles}).",
        **values,
    )


def wanted_of(facts: Facts, *, frames: bool) -> Iterator[Message]:
    """Yield what to ask the reporter for, the cheapest first; nothing if every question is answered."""
    if all(verdict.outcome is not Outcome.UNKNOWN for verdict in facts.verdicts):
        return
    events = facts.record.history.events
    if facts.gaps is None:
        yield say("Give the log too: zemosaic_worker.log in ZeMosaic's configuration, working or output folder.")
    elif facts.gaps:
        yield say(
            "Ask for the whole zemosaic_worker.log: compressed instead of shortened, with its first and last line."
        )
    if facts.gaps is not None and level(events) != "DEBUG":
        yield say(
            "Ask for the log of another run with the logging level DEBUG (logging_level in zemosaic_config.json)."
        )
    if facts.retention is None:
        yield say("Ask for cache_retention in zemosaic_config.json: the hole bug needs per_tile.")
    if facts.retention in (None, "per_tile") and not facts.record.history.logged(_COUNTED):
        yield say("Ask for the version of ZeMosaic: its commit, or the name of the release.")
    kept = facts.record.products.tiles if facts.record.products is not None else ()
    if facts.record.request.mode == "classic" and len(kept) < max(len(begun_tiles(events)), 1):
        yield say(
            "Ask for the folder zemosaic_temp_master_tiles of a run with cleanup_temp_artifacts off: the headers of the tiles "
            "say how many frames each of them has."
        )
    if not frames:
        yield say("Name the frames with --frames: they define the sky that the kept tiles must cover.")
    yield say("Caches, tiles and their order are seen only in a run with the probe: phase3 record -- COMMAND.")
