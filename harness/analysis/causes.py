"""Explain a finding: which cache a tile lacked, which thread removed it, when, and after which tile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
    thread_of,
)
from harness.analysis.removals import Removal, removals
from harness.language.message import Message, say
from harness.record.history import History, Tile
from harness.record.reader import Record

# The most explanations in a verdict. One is enough to act on; the evidence lists the others.
MAX_LISTED = 20


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
            return (_NOT_MADE[why](tile),)
        lost = self.losses.get(tile, [])
        if lost:
            return (self._lacked(tile, lost), *self.of_loss(self._most_telling(lost)))
        if why is not None:
            return (
                say(
                    "Tile {tile} was not made; it found no valid cache, and no event names one that it lacked.",
                    tile=tile,
                ),
            )
        known = self.tiles.get(tile)
        if known is not None and known.made:
            return (say("Tile {tile} was made and lacked no cache: its caches are not the cause.", tile=tile),)
        return (say("The record does not say what became of tile {tile}.", tile=tile),)

    def of_loss(self, loss: Loss) -> tuple[Message, ...]:
        """Explain one lost cache: which thread removed it, and what the tile that needed it was doing then."""
        cache, tile = loss.cache or "", loss.tile
        before = [r for r in self._removals if r.name == cache and r.t <= loss.t and r.outcome != "failed"]
        if not before:
            return (say("The trace shows no removal of {cache}.", cache=cache or "it"),)
        removal = before[-1]
        links = [*self.of_removal(removal)]
        user = self.tiles.get(tile) if tile is not None else None
        if user is not None:
            links.append(self.of_user(user, removal))
        return tuple(links)

    def of_removal(self, removal: Removal) -> tuple[Message, Message]:
        """Return two sentences: which thread removed a file and when, and after which tile."""
        values = {"thread": removal.thread, "cache": removal.name, "seconds": seconds(self.history, removal.t)}
        if removal.how == "rmtree":
            who = say(
                "{thread} removed {cache} with its whole folder, {seconds} s after the start of Phase 3.", **values
            )
        elif removal.how == "rename":
            who = say("{thread} renamed {cache}, {seconds} s after the start of Phase 3.", **values)
        else:
            who = say("{thread} removed {cache}, {seconds} s after the start of Phase 3.", **values)
        after = self.last_collected(removal)
        if after is None:
            return who, say("It had collected no tile before that.")
        ended = self.tiles[after].ended
        if ended is None:
            return who, say("It did so after tile {after}.", after=after)
        return who, say(
            "It did so after tile {after} had ended, at {ended} s.", after=after, ended=seconds(self.history, ended)
        )

    def of_user(self, user: Tile, removal: Removal) -> Message:  # noqa: PLR0911 -- a state of the tile each
        """Return a sentence: what a tile that needed a file was doing when the file was removed."""
        t = removal.t
        origin = self.origins.get(user.tile)
        if user.submitted is not None and user.submitted > t and origin is not None:
            return say(
                "Tile {tile}, which retries frames of tile {origin}, was submitted with it only {later} s later.",
                tile=user.tile,
                origin=origin,
                later=_apart(user.submitted, t),
            )
        if user.submitted is not None and user.submitted > t:
            return say(
                "Tile {tile} was submitted with it only {later} s later.",
                tile=user.tile,
                later=_apart(user.submitted, t),
            )
        if user.started is None:
            return say("Tile {tile}, which needed it, never started.", tile=user.tile)
        if user.started > t:
            return say(
                "Tile {tile}, which needed it, had been submitted and started only {later} s later.",
                tile=user.tile,
                later=_apart(user.started, t),
            )
        if user.ended is None:
            return say("Tile {tile}, which needed it, was being made and was never seen to end.", tile=user.tile)
        if user.ended > t:
            return say(
                "Tile {tile}, which needed it, was being made and ended only {later} s later.",
                tile=user.tile,
                later=_apart(user.ended, t),
            )
        return say(
            "Tile {tile}, which needed it, had ended {earlier} s before, but {thread} had not collected it: nothing orders the "
            "removal after it.",
            tile=user.tile,
            earlier=_apart(t, user.ended),
            thread=removal.thread,
        )

    def last_collected(self, removal: Removal) -> int | None:
        """Return the tile that the removing thread had last collected or made before the removal; ``None`` without any."""
        own = [
            step
            for step in self.history.steps
            if step.t <= removal.t and thread_of(step) == removal.by and step.state in ("collected", "ended")
        ]
        return own[-1].tile if own else None

    def described(self, tile: int) -> dict[str, Any]:
        """Return a tile as evidence: its planned group, the tile that it retries, and how many frames and caches it lacked."""
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
        files = {(loss.frame, loss.cache) for loss in lost}
        first = self._most_telling(lost)
        values: dict[str, Any] = {
            "tile": tile,
            "lost": len(files),
            "frames": len(set(known.frames)) if known else "?",
            "cache": first.cache or "?",
            "frame": first.frame or "?",
        }
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


def why_not_made(tile: int, why: Why) -> Message:
    """Return a sentence: why a tile was not made."""
    return _NOT_MADE[why](tile)


_NOT_MADE: Mapping[Why, Callable[[int], Message]] = MappingProxyType(
    {
        "caches": lambda tile: say("Tile {tile} was not made: it lacked caches.", tile=tile),
        "quality gate": lambda tile: say("Tile {tile} was not made: the quality gate rejected it.", tile=tile),
        "alignment": lambda tile: say("Tile {tile} was not made: none of its frames could be aligned.", tile=tile),
        "stacking": lambda tile: say("Tile {tile} was not made: stacking its frames failed.", tile=tile),
        "saving": lambda tile: say("Tile {tile} was not made: it could not be saved.", tile=tile),
        "memory": lambda tile: say("Tile {tile} was not made: memory ran out while its caches were loaded.", tile=tile),
        "input": lambda tile: say("Tile {tile} was not made: its group had no usable frame to start from.", tile=tile),
        "libraries": lambda tile: say(
            "Tile {tile} was not made: a library that the target needs is missing.", tile=tile
        ),
        "exception": lambda tile: say("Tile {tile} was not made: an exception ended it.", tile=tile),
        "fault": lambda tile: say("Tile {tile} was not made: an injected fault ended it.", tile=tile),
        "unstated": lambda tile: say("Tile {tile} was not made, and no event gives a cause.", tile=tile),
    }
)


def listed(tiles: Iterable[int]) -> str:
    """Write tile numbers as a list separated by commas."""
    return ", ".join(str(tile) for tile in sorted(set(tiles))) or "none"


def cache_names(tile: Tile) -> frozenset[str]:
    """Return the names of the caches that a tile was submitted with."""
    return frozenset(name_of(cache) for cache in tile.caches if cache)


def _apart(later: int, earlier: int) -> str:
    span = (later - earlier) / 1e9
    return f"{span:.3f}" if span >= 0.01 else f"{span:.6f}"
