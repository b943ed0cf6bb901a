"""Explain a failure: which cache a tile lacked, which thread removed it, when, and after which tile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from harness.analysis.injected_faults import taken_caches
from harness.analysis.phase3 import (
    Loss,
    Why,
    by_fault,
    failures,
    groups,
    name_of,
    origins,
    reported_losses,
    seconds,
    span,
    thread_of,
)
from harness.analysis.removals import How, Removal, removals
from harness.language.message import Message, Value, say
from harness.record.history import History, Tile
from harness.record.reader import Record
from harness.record.tile import is_intermediate

# The most explanations and rows in a verdict.
MAX_LISTED = 20
MAIN_THREAD = "MainThread"
"""The name that Python gives to the thread that starts a process."""
NOT_COLLECTED = say(
    "Tile {tile}, which needed it, had ended {earlier} before, but its result had not been collected: the removal did not wait "
    "for it."
)
# By the main thread, and by another.
_REMOVED: Mapping[How, tuple[Message, Message]] = MappingProxyType(
    {
        "remove": (
            say("The main thread removed {cache} {seconds} s after the start of Phase 3."),
            say("The worker thread {thread} removed {cache} {seconds} s after the start of Phase 3."),
        ),
        "rename": (
            say("The main thread renamed {cache} {seconds} s after the start of Phase 3."),
            say("The worker thread {thread} renamed {cache} {seconds} s after the start of Phase 3."),
        ),
        "rmtree": (
            say("The main thread removed the folder of {cache} {seconds} s after the start of Phase 3."),
            say("The worker thread {thread} removed the folder of {cache} {seconds} s after the start of Phase 3."),
        ),
    }
)


class Causes:
    """Work out the losses, failures and removals of a run once, and explain them.

    Parameters
    ----------
    record
        The run.

    Attributes
    ----------
    losses
        The caches that each tile asked for and did not get, by tile.
    deprived
        The same for the caches that an injected fault deleted.
    failures
        The tiles that were not made, each with the cause that it stated.

    """

    def __init__(self, record: Record) -> None:
        history = record.history
        self.history: History = history
        self.tiles: Mapping[int, Tile] = MappingProxyType({tile.tile: tile for tile in history.tiles})
        self.groups = groups(record)
        self.origins = origins(history)
        self.failures: Mapping[int, Why] = failures(history)
        reported, taken = reported_losses(history), taken_caches(history)
        by_tile: dict[int | None, list[Loss]] = {}
        deprived: dict[int | None, list[Loss]] = {}
        for loss in reported:
            (deprived if by_fault(loss, taken) else by_tile).setdefault(loss.tile, []).append(loss)
        self.losses: Mapping[int | None, list[Loss]] = MappingProxyType(by_tile)
        self.deprived: Mapping[int | None, list[Loss]] = MappingProxyType(deprived)
        named = [loss.cache for loss in reported if loss.cache]
        self._removals = removals(history, [*(c for tile in history.tiles for c in tile.caches if c), *named])

    def of_tile(self, tile: int) -> tuple[Message, ...]:
        """Explain why a tile was not made, or was made of fewer frames than it was given."""
        why = self.failures.get(tile)
        if why is not None and why != "caches":
            return (why_not_made(tile, why),)
        lost = self.losses.get(tile, [])
        if lost:
            return (self._lacked(tile, lost), *self.of_loss(self._most_telling(lost)))
        if why is not None:
            return (say("Tile {tile} was not made: it had no valid cache. No event names a missing one.", tile=tile),)
        known = self.tiles.get(tile)
        if known is not None and known.made:
            return (say("Tile {tile} was made and lacked no cache, so caches are not the cause.", tile=tile),)
        return (say("The record does not show whether tile {tile} was made.", tile=tile),)

    def of_worst(self, tiles: Iterable[int]) -> tuple[Message, ...]:
        """Explain the tile that lost the most, and name the others."""
        hit = set(tiles)
        if not hit:
            return ()
        worst = min(hit, key=lambda t: (self.failures.get(t) != "caches", -len(self.losses.get(t, [])), t))
        others = hit - {worst}
        more = (say("Other tiles with the same problem: {tiles}.", tiles=listed(others)),) if others else ()
        return (*self.of_tile(worst), *more)

    def of_loss(self, loss: Loss) -> tuple[Message, ...]:
        """Explain one lost cache: which thread removed it, and how far the tile that needed it was."""
        cache, tile = loss.cache or "", loss.tile
        before = [r for r in self._removals if r.name == cache and r.t <= loss.t and r.outcome != "failed"]
        if not before and "removals" not in self.history.capabilities:
            return (say("Who removed {cache} is unknown: the removal of files was not traced.", cache=cache or "it"),)
        if not before:
            return (say("The trace shows no removal of {cache}.", cache=cache or "it"),)
        links = self.of_removal(before[-1])
        user = self.tiles.get(tile) if tile is not None else None
        return links if user is None else (*links, self.of_user(user, before[-1]))

    def of_removal(self, removal: Removal) -> tuple[Message, Message]:
        """Return two sentences: which thread removed a file and when, and after or within which tile it did so."""
        values = {"thread": removal.thread, "cache": removal.name, "seconds": seconds(self.history, removal.t)}
        who = by_thread(removal.how, **values)
        making = self.history.making(*removal.by, removal.t)
        if making is not None:
            return who, say("It did so while it was making tile {tile}.", tile=making.tile)
        after = self.last_collected(removal)
        if after is None:
            return who, say("It had not collected a tile before.")
        ended = self.tiles[after].ended
        if ended is None:
            return who, say("It did so after tile {after}.", after=after)
        end = seconds(self.history, ended)
        return who, say("It did so after tile {after} had ended, at {ended} s.", after=after, ended=end)

    def of_user(self, user: Tile, removal: Removal) -> Message:  # noqa: PLR0911 -- a state of the tile each
        """Return a sentence: how far a tile that needed a file was when the file was removed."""
        t = removal.t
        origin = self.origins.get(user.tile)
        if user.submitted is not None and user.submitted > t:
            values: dict[str, Any] = {"tile": user.tile, "later": span(user.submitted - t)}
            if origin is None:
                return say("Tile {tile} was submitted with it only {later} later.", **values)
            return say(
                "Tile {tile}, a retry of tile {origin}, was submitted with it only {later} later.",
                **values,
                origin=origin,
            )
        if user.started is None:
            return say("Tile {tile}, which needed it, never started.", tile=user.tile)
        if user.started > t:
            return say(
                "Tile {tile}, which needed it, had been submitted and started only {later} later.",
                tile=user.tile,
                later=span(user.started - t),
            )
        if user.ended is None:
            return say("Tile {tile}, which needed it, was being made; its end is not in the record.", tile=user.tile)
        if user.ended > t:
            return say(
                "Tile {tile}, which needed it, was being made and ended only {later} later.",
                tile=user.tile,
                later=span(user.ended - t),
            )
        return Message(NOT_COLLECTED.text, {"tile": user.tile, "earlier": span(t - user.ended)})

    def last_collected(self, removal: Removal) -> int | None:
        """Return the tile that the removing thread had last collected or made before the removal; ``None`` without any."""
        for step in reversed(self.history.own_steps):
            if step.t <= removal.t and thread_of(step) == removal.by and step.state in ("collected", "ended"):
                return step.tile
        return None

    def described(self, tile: int) -> dict[str, Any]:
        """Return evidence about a tile: its planned group, the tile that it retries, and how many frames it lacked."""
        known = self.tiles.get(tile)
        return {
            "tile": tile,
            "group": self.groups.get(tile),
            "retry_of": self.origins.get(tile),
            "frames": len(set(known.frames)) if known else None,
            "lacked": len({(loss.frame, loss.cache) for loss in self.losses.get(tile, [])}),
        }

    def _lacked(self, tile: int, lost: list[Loss]) -> Message:
        known = self.tiles.get(tile)
        first = self._most_telling(lost)
        values: dict[str, Any] = {
            "tile": tile,
            "lost": len({(loss.frame, loss.cache) for loss in lost}),
            "frames": len(set(known.frames)) if known else "?",
            "cache": first.cache or "?",
            "frame": first.frame or "?",
        }
        if tile in self.failures and values["frames"] == 1:
            return say("Tile {tile} was not made: it lacked {cache}, the cache of its only frame {frame}.", **values)
        if tile in self.failures:
            return say(
                "Tile {tile} was not made: it lacked the caches of {lost} of its {frames} frames, among them {cache} of {frame}.",
                **values,
            )
        return say(
            "Tile {tile} was made without {lost} of its {frames} frames, whose caches it lacked, among them {cache} of {frame}.",
            **values,
        )

    def _most_telling(self, lost: Iterable[Loss]) -> Loss:
        """Return the first loss whose cache has a removal in the trace, else the first loss."""
        removed = {r.name for r in self._removals if r.outcome != "failed"}
        every = list(lost)
        return next((loss for loss in every if loss.cache in removed), every[0])


def by_thread(how: How, **values: Value) -> Message:
    """Return a sentence: which thread removed or renamed a file, and when."""
    main, other = _REMOVED[how]
    return Message((main if values["thread"] == MAIN_THREAD else other).text, values)


_NOT_MADE: Mapping[Why, Message] = MappingProxyType(
    {
        "caches": say("Tile {tile} was not made: it lacked caches."),
        "quality gate": say("Tile {tile} was not made: the quality gate rejected it."),
        "alignment": say("Tile {tile} was not made: none of its frames could be aligned."),
        "stacking": say("Tile {tile} was not made: stacking its frames failed."),
        "saving": say("Tile {tile} was not made: it could not be saved."),
        "memory": say("Tile {tile} was not made: memory ran out while its caches were loaded."),
        "input": say("Tile {tile} was not made: its group had no usable frame to start from."),
        "libraries": say("Tile {tile} was not made: a library that the target needs is missing."),
        "exception": say("Tile {tile} was not made: an exception ended it."),
        "fault": say("Tile {tile} was not made: an injected fault ended it."),
        "unstated": say("Tile {tile} was not made, and no event gives a cause."),
    }
)


def why_not_made(tile: int, why: Why) -> Message:
    """Return a sentence: why a tile was not made."""
    return Message(_NOT_MADE[why].text, {"tile": tile})


def listed(tiles: Iterable[int]) -> str:
    """Write tile numbers as a list separated by commas."""
    return ", ".join(str(tile) for tile in sorted(set(tiles))) or "none"


def cache_names(tile: Tile, *, own: bool = False) -> frozenset[str]:
    """Return the names of the caches that a tile was submitted with; if ``own``, without intermediates of another tile."""
    return frozenset(name_of(cache) for cache in tile.caches if cache and not (own and is_intermediate(cache)))
