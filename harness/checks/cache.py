"""Whether every deletion of a cache is safe.

A removal is safe when it is ordered after the completion of every tile that uses the cache, retries included: by the times that
were observed, and by the order that the target itself imposes (`harness.analysis.happens_before`). A removal that came later only
by the clock came later by luck, and fails too.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from harness.analysis.causes import MAX_LISTED, Causes, cache_names, listed
from harness.analysis.figure import Evidence, Figure, Numbers, Unit, every, number_in, numbers, size_in
from harness.analysis.happens_before import complete_before
from harness.analysis.injected_faults import taken_caches
from harness.analysis.modes import COADD_FINISHED
from harness.analysis.phase3 import SUCCEEDED, Thread, name_of, phase_3_end, phase_3_start, seconds, thread_of, writes
from harness.analysis.removals import Removal, left_caches, refused_to_the_end, removals
from harness.checks.base import Check, Premise, Runs
from harness.checks.premises import ALWAYS, CALLBACK, ELSEWHERE, FUTURES, MODE_REACHED, REMOVALS, SHARED, TILES
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.history import History, Tile
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict

Conclusion = tuple[Outcome, Message, tuple[Message, ...]]
Users = Mapping[str, tuple[Tile, ...]]


@dataclass(frozen=True, slots=True)
class Misplaced:
    """Removals at the wrong place, each with a tile that uses the cache.

    ``unsafe``: before that tile's end. ``unordered``: after it by the clock only. ``unsure``: one of the two, if the removal came
    about and the tile's end is what it seems, which the trace does not show.
    """

    unsafe: tuple[tuple[Removal, Tile], ...]
    unordered: tuple[tuple[Removal, Tile], ...]
    unsure: tuple[tuple[Removal, Tile], ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """What was removed of a run's caches, by whom, and what is left."""

    users: Users
    tried: tuple[Removal, ...]
    done: tuple[Removal, ...]
    in_phase_3: tuple[Removal, ...]
    misplaced: Misplaced
    twice: tuple[str, ...]
    threads: tuple[str, ...]
    strangers: tuple[str, ...]
    left: tuple[str, ...] | None
    vanished: tuple[str, ...]
    taken: tuple[str, ...]


def _judge(runs: Runs, _: Thresholds) -> Verdict:
    return _of_sds(runs.run) if runs.run.request.mode == "sds" else _of_tiles(runs)


def _of_sds(run: Record) -> Verdict:
    """Judge SDS, where no tile uses a cache but the coadd: none may go before its end, and each goes once, with the folder."""
    history = run.history
    saved = _saved(history)
    done = [r for r in removals(history, saved) if r.outcome == "done"]
    end = max((e.t for e in history.named(COADD_FINISHED)), default=None)
    early = [r for r in done if end is None or r.t < end]
    times = Counter(r.name for r in done)
    twice = sorted(name for name, count in times.items() if count > 1)
    left = None if run.left is None else sorted(name_of(f.path) for f in run.left if f.kind == "cache")
    keep = run.request.retention == "keep"
    gone = set() if left is None else {name_of(path) for path in saved} - set(times) - set(left)
    evidence = {
        "caches": len(saved),
        "removed": len(times),
        "removed_before_the_end_of_the_coadd": sorted({r.name for r in early})[:MAX_LISTED],
        "removed_twice": twice[:MAX_LISTED],
        "left": None if left is None else len(left),
    }
    outcome, sentence = Outcome.PASS, say("All {count} caches were removed once, after the coadd.", count=len(times))
    if keep:
        sentence = say("All {count} caches were kept.", count=len(saved))
    if early and end is not None:
        outcome, sentence = Outcome.FAIL, say("Caches removed before the end of the coadd: {count}.", count=len(early))
    elif twice:
        outcome, sentence = Outcome.FAIL, say("Caches removed more than once: {count}.", count=len(twice))
    elif keep and done:
        outcome, sentence = Outcome.FAIL, say("Caches removed although retention is keep: {count}.", count=len(done))
    elif not keep and left and history.named(*SUCCEEDED):
        outcome = Outcome.FAIL
        sentence = say("Caches left on disk at the end: {count}, among them {cache}.", count=len(left), cache=left[0])
    elif left is None:
        outcome, sentence = Outcome.UNKNOWN, say("What was left on disk was not counted.")
    elif not keep and left:
        outcome, sentence = Outcome.UNKNOWN, say("The run did not succeed; caches left: {count}.", count=len(left))
    elif gone or early or not saved:
        outcome = Outcome.UNKNOWN
        sentence = say("Caches are gone that nobody was seen to remove, or none was seen to be written.")
        if early:
            sentence = say("Caches were removed, and the end of the coadd was not seen.")
    return Verdict("cache", outcome, sentence, MappingProxyType(evidence))


def _saved(history: History) -> tuple[str, ...]:
    """Return the caches that a run wrote, by their last name."""
    found: set[str] = set()
    for op in history.operations:
        if op.op in ("save", "rename") and op.state == "done":
            if op.op == "rename":
                found.discard(op.path)
            path = op.to or op.path
            if name_of(path).startswith("preprocessed_") and path.endswith(".npy"):
                found.add(path)
    return tuple(sorted(found))


def _of_tiles(runs: Runs) -> Verdict:
    causes = Causes(runs.run)
    found = _find(runs.run)
    outcome, sentence, cause = _conclude(runs.run, causes, found)
    return Verdict("cache", outcome, sentence, MappingProxyType(_evidence(causes, found)), cause)


def _find(run: Record) -> Findings:
    users = _users(run.history.tiles)
    tried = removals(run.history, [cache for tile in run.history.tiles for cache in tile.caches if cache])
    done = tuple(r for r in tried if r.outcome == "done")
    end = phase_3_end(run.history)
    in_phase_3 = tuple(r for r in done if end is None or r.t < end)
    times = {r.name for r in done}
    taken, kept = taken_caches(run.history), refused_to_the_end(run.history)
    left = left_caches(run)
    return Findings(
        users=users,
        tried=tried,
        done=done,
        in_phase_3=in_phase_3,
        misplaced=_misplaced(run, [r for r in tried if r.outcome != "failed"], users),
        twice=_twice(tried, taken),
        threads=_named({r.by for r in in_phase_3}),
        strangers=_strangers(run, users, {r.by for r in in_phase_3}),
        left=left,
        vanished=() if left is None else tuple(sorted(set(users) - times - set(left) - set(taken) - kept)),
        taken=tuple(sorted(taken)),
    )


def _conclude(run: Record, causes: Causes, found: Findings) -> Conclusion:  # noqa: PLR0911 -- a ladder, worst first
    """Name the worst first: what lost data, what could have, what breaks the contract, what is left, what is not known."""
    if found.misplaced.unsafe:
        count = _caches(found.misplaced.unsafe)
        sentence = say("Caches removed before every tile that uses them had ended: {count}.", count=count)
        return Outcome.FAIL, sentence, _chain(causes, found.users, *found.misplaced.unsafe[0])
    if found.misplaced.unordered:
        sentence = say(
            "Caches removed unordered, later than their users by the clock while nothing made the removal wait: {count}.",
            count=_caches(found.misplaced.unordered),
        )
        return Outcome.FAIL, sentence, _chain(causes, found.users, *found.misplaced.unordered[0])
    if found.twice:
        cause = [link for r in found.done if r.name == found.twice[0] for link in causes.of_removal(r)]
        sentence = say("Caches removed, or tried to be, more than once: {count}.", count=len(found.twice))
        return Outcome.FAIL, sentence, tuple(cause)
    if len(found.threads) > 1:
        sentence = say("More than one thread removed caches in Phase 3: {threads}.", threads=", ".join(found.threads))
        return Outcome.FAIL, sentence, ()
    if found.strangers:
        sentence = say(
            "Files that are no caches of this run's tiles were removed in Phase 3: {files}.",
            files=", ".join(found.strangers[:5]),
        )
        return Outcome.FAIL, sentence, ()
    if run.request.retention == "keep":
        return _kept(causes, found)
    return _freed(run, causes, found)


def _kept(causes: Causes, found: Findings) -> Conclusion:
    if found.done:
        sentence = say("Caches removed although retention is keep: {count}.", count=len(found.done))
        return Outcome.FAIL, sentence, causes.of_removal(found.done[0])
    if found.left is None:
        return Outcome.UNKNOWN, say("What was left on disk was not counted."), ()
    if found.vanished:
        return Outcome.FAIL, say("Caches gone although retention is keep: {count}.", count=len(found.vanished)), ()
    return Outcome.PASS, say("All {count} caches were kept.", count=len(found.users)), ()


def _freed(run: Record, causes: Causes, found: Findings) -> Conclusion:  # noqa: PLR0911 -- a ladder, worst first
    if found.left and run.history.named(*SUCCEEDED):
        sentence = say(
            "Caches left on disk at the end: {count}, among them {cache}.",
            count=len(found.left),
            cache=found.left[0],
        )
        return Outcome.FAIL, sentence, ()
    if found.left is None:
        return Outcome.UNKNOWN, say("What was left on disk was not counted."), ()
    if found.left:  # an error exit, where no target cleans up; the disk check has a row for that
        return Outcome.UNKNOWN, say("The run did not succeed; caches left: {count}.", count=len(found.left)), ()
    if found.misplaced.unsure:
        sentence = say(
            "The trace lacks an outcome or an end, so that caches may have been removed too early: {count}.",
            count=_caches(found.misplaced.unsure),
        )
        return Outcome.UNKNOWN, sentence, _chain(causes, found.users, *found.misplaced.unsure[0])
    if found.vanished:
        sentence = say("Caches are gone that nobody was seen to remove, such as {cache}.", cache=found.vanished[0])
        return Outcome.UNKNOWN, sentence, ()
    if run.request.retention == "per_tile" and not found.in_phase_3:
        return Outcome.UNKNOWN, say("No cache was removed in Phase 3, so per_tile was not put to the test."), ()
    if found.taken:
        sentence = say(
            "{count} caches were removed once, each after every tile that uses it, retries included; none is left. A fault took"
            " away: {taken}.",
            count=len(found.done),
            taken=", ".join(found.taken[:5]),
        )
        return Outcome.PASS, sentence, ()
    sentence = say(
        "All {count} caches were removed once, each after every tile that uses it, retries included; none is left.",
        count=len(found.done),
    )
    return Outcome.PASS, sentence, ()


def _users(tiles: Sequence[Tile]) -> Users:
    found: dict[str, list[Tile]] = {}
    for tile in tiles:
        for name in sorted(cache_names(tile)):
            found.setdefault(name, []).append(tile)
    return {name: tuple(used_by) for name, used_by in found.items()}


def _misplaced(run: Record, tried: Sequence[Removal], users: Users) -> Misplaced:
    finished = run.seal is not None and run.seal.state == "done"
    unsafe: list[tuple[Removal, Tile]] = []
    unordered: list[tuple[Removal, Tile]] = []
    unsure: list[tuple[Removal, Tile]] = []
    for removal, complete in zip(tried, complete_before(run.history, tried), strict=True):
        waiting = [user for user in users[removal.name] if not _ended(user, removal.t)]
        strays = [user for user in users[removal.name] if user.tile not in complete]
        if waiting:
            # Of several users the one that had not even started is shown: nothing excuses the removal for it.
            worst = max(waiting, key=lambda user: (_starts_after(user, removal.t), user.tile))
            # In a run that came to its end each tile ended; where that was not seen, the trace has a gap.
            gap = finished and worst.ended is None and worst.collected is None and not _starts_after(worst, removal.t)
            (unsure if gap or removal.outcome == "unsettled" else unsafe).append((removal, worst))
        elif strays:
            (unsure if removal.outcome == "unsettled" else unordered).append((removal, strays[0]))
    return Misplaced(tuple(unsafe), tuple(unordered), tuple(unsure))


def _twice(tried: Sequence[Removal], taken: Collection[str]) -> tuple[str, ...]:
    """Return the caches that somebody went to remove after they had been: the second attempt only finds nothing there.

    Of a cache that a fault took away the first attempt finds nothing either, and it is in its right.
    """
    gone: set[str] = set()
    again: set[str] = set()
    for removal in tried:
        if removal.name in gone and (removal.outcome == "done" or removal.errno == errno.ENOENT):
            again.add(removal.name)
        if removal.outcome == "done" or (removal.name in taken and removal.errno == errno.ENOENT):
            gone.add(removal.name)
    return tuple(sorted(again))


def _ended(user: Tile, t: int) -> bool:
    end = user.ended if user.ended is not None else user.collected
    return end is not None and end <= t


def _starts_after(user: Tile, t: int) -> bool:
    return any(known is not None and known > t for known in (user.submitted, user.started))


def _named(threads: Collection[Thread]) -> tuple[str, ...]:
    """Name threads for a reader; those that share a name have their numbers too."""
    shared = Counter(name for _, name, _ in threads)
    return tuple(sorted(name if shared[name] == 1 else f"{name} ({pid}/{tid})" for pid, name, tid in threads))


def _strangers(run: Record, users: Users, releasing: Collection[Thread]) -> tuple[str, ...]:
    """Return what was removed in Phase 3 and is no cache of this run's.

    Masks, and caches that it neither saved nor uses, whoever removed them; and, where opens were traced, whatever a thread that
    releases caches removed and was not written in Phase 3. Masks and the folder itself go in Phase 7, in any retention. Master
    tiles are the products check's; probes of the disk's speed and half-written files come and go within the phase.
    """
    start, end = phase_3_start(run.history), phase_3_end(run.history)
    if start is None:
        return ()
    known = {name_of(op.path) for op in run.history.operations if op.op == "save" and op.state == "done"} | set(users)
    tiles = {name_of(tile.path) for tile in run.history.tiles if tile.path}
    opens = any(op.op == "open" for op in run.history.operations)
    fresh: set[str] = set()
    found = set()
    for op in run.history.operations:
        if op.t < start or (end is not None and op.t >= end):
            continue
        name = name_of(op.path)
        if writes(op):
            fresh.add(name_of(op.to or op.path))
        if op.op not in ("remove", "rename") or op.state != "done":
            continue
        cache = name.startswith("preprocessed_") and name.endswith(".npy")
        if name.startswith("hp_mask_") and name.endswith(".npy"):
            found.add(name)
        elif cache:
            found |= {name} - known
        elif opens and thread_of(op) in releasing and name not in fresh | tiles | set(users):
            found.add(name)
    return tuple(sorted(found))


def _caches(misplaced: Sequence[tuple[Removal, Tile]]) -> int:
    return len({removal.name for removal, _ in misplaced})


def _chain(causes: Causes, users: Users, removal: Removal, tile: Tile) -> tuple[Message, ...]:
    return (
        say(
            "{cache} is used by tiles {tiles}.",
            cache=removal.name,
            tiles=listed(user.tile for user in users[removal.name]),
        ),
        *causes.of_removal(removal),
        causes.of_user(tile, removal),
    )


def _evidence(causes: Causes, found: Findings) -> dict[str, Any]:
    def rows(misplaced: Sequence[tuple[Removal, Tile]]) -> list[dict[str, Any]]:
        return [
            {
                "cache": removal.name,
                "removed_at": float(seconds(causes.history, removal.t)),
                "how": removal.how,
                "thread": removal.thread,
                "after_tile": causes.last_collected(removal),
                "needed_by": tile.tile,
            }
            for removal, tile in misplaced[:MAX_LISTED]
        ]

    failed = Counter(r.errno for r in found.tried if r.outcome == "failed")
    return {
        "caches": len(found.users),
        "shared": sum(len(tiles) > 1 for tiles in found.users.values()),
        "removed": len({r.name for r in found.done}),
        "removed_in_phase_3": len({r.name for r in found.in_phase_3}),
        "removing_threads": list(found.threads),
        "unsafe_count": _caches(found.misplaced.unsafe),
        "unsafe": rows(found.misplaced.unsafe),
        "unordered_count": _caches(found.misplaced.unordered),
        "unordered": rows(found.misplaced.unordered),
        "unsure": rows(found.misplaced.unsure),
        "removed_twice": list(found.twice[:MAX_LISTED]),
        "strangers_removed": list(found.strangers[:MAX_LISTED]),
        "left": None if found.left is None else len(found.left),
        "vanished": list(found.vanished[:MAX_LISTED]),
        "taken_by_faults": list(found.taken[:MAX_LISTED]),
        "found_already_missing": failed.pop(errno.ENOENT, 0),
        "failed_removals": {_error(code): count for code, count in failed.items()},
    }


def _error(code: int | None) -> str:
    return "unknown" if code is None else errno.errorcode.get(code, str(code))


def _a_cache(runs: Runs) -> Message | None:
    if any(cache_names(tile) for tile in runs.run.history.tiles):
        return None
    return say("No tile was submitted with a cache, so there is nothing that could be removed too early.")


def _unsafe(evidence: Evidence) -> Numbers | None:
    """Return the caches removed too early, and all caches; SDS lists the former by name."""
    early = number_in(evidence, "unsafe_count")
    if early is None:
        early = size_in(evidence, "removed_before_the_end_of_the_coadd")
    return every(early, number_in(evidence, "caches"))


CHECK = Check(
    "cache",
    say("Is every deletion of a cache safe?"),
    _judge,
    MappingProxyType(
        {
            "classic": (*ALWAYS, TILES, FUTURES, REMOVALS, Premise("a tile with caches", _a_cache)),
            "sds": (*ELSEWHERE, CALLBACK, REMOVALS),
        }
    ),
    for_pass=(SHARED, MODE_REACHED),
    figures=(
        Figure(say("caches removed before their last tile had ended"), Unit.SHARE, _unsafe),
        Figure(say("caches left"), Unit.COUNT, numbers("left")),
    ),
)
