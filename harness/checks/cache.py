"""Check that every deletion of a cache is safe.

A removal is safe if it comes after the end of every tile that uses the cache, retries included, both in the observed times and
in the order that the target enforces (`harness.analysis.happens_before`). A removal that is later only by the clock fails too:
in the next run it can be earlier.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.causes import MAX_LISTED, Causes, cache_names, listed
from harness.analysis.figure import Evidence, Figure, Numbers, Unit, every, number_in, numbers, size_in
from harness.analysis.happens_before import order_of, unordered_threads
from harness.analysis.injected_faults import taken_caches
from harness.analysis.modes import COADD_FINISHED
from harness.analysis.phase3 import SUCCEEDED, Thread, name_of, phase_3_end, phase_3_start, seconds, thread_of, writes
from harness.analysis.removals import Removal, left_caches, refused_to_the_end, removals
from harness.checks.base import Check, Conclusion, Premise, Runs
from harness.checks.premises import ALWAYS, CALLBACK, ELSEWHERE, FUTURES, MODE_REACHED, REMOVALS, SHARED, TILES
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.history import History, Tile
from harness.record.reader import Record
from harness.record.tile import is_intermediate
from harness.verdict import Outcome, Verdict

Users = Mapping[str, tuple[Tile, ...]]


@dataclass(frozen=True, slots=True)
class Misplaced:
    """Removals that may come before the end of a tile that uses the cache, each with such a tile.

    ``unsafe``: before that tile's end. ``unordered``: after it, but only by the clock. ``unsure``: the trace lacks the outcome of
    the removal or the end of the tile. ``unfollowed``: after it by the clock, in a thread other than the one that submitted the
    tile, and the record was made before hand-overs between threads were recorded.
    """

    unsafe: tuple[tuple[Removal, Tile], ...]
    unordered: tuple[tuple[Removal, Tile], ...]
    unsure: tuple[tuple[Removal, Tile], ...]
    unfollowed: tuple[tuple[Removal, Tile], ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """The removals of a run's caches, the threads that removed them, and the caches that are left."""

    users: Users
    tried: tuple[Removal, ...]
    done: tuple[Removal, ...]
    in_phase_3: tuple[Removal, ...]
    misplaced: Misplaced
    twice: tuple[str, ...]
    threads: tuple[str, ...]
    racing: tuple[Removal, Removal] | None
    strangers: tuple[str, ...]
    left: tuple[str, ...] | None
    vanished: tuple[str, ...]
    taken: tuple[str, ...]
    renamed: tuple[str, ...]


def _judge(runs: Runs, _: Thresholds) -> Verdict:
    return _of_sds(runs.run) if runs.run.request.mode == "sds" else _of_tiles(runs)


def _of_sds(run: Record) -> Verdict:
    """Judge SDS, where only the coadd reads caches: each may be removed once, after the end of the coadd."""
    history = run.history
    saved = _saved(history)
    done = [r for r in removals(history, saved) if r.outcome == "done"]
    end = max((e.t for e in history.named(COADD_FINISHED)), default=None)
    early = [r for r in done if end is None or r.t < end]
    times = Counter(r.name for r in done)
    twice = sorted(name for name, count in times.items() if count > 1)
    left = left_caches(run)
    keep = run.request.retention == "keep"
    gone = set() if left is None else {name_of(path) for path in saved} - set(times) - set(left)
    evidence = {
        "caches": len(saved),
        "removed": len(times),
        "removed_before_the_end_of_the_coadd": sorted({r.name for r in early})[:MAX_LISTED],
        "removed_twice": twice[:MAX_LISTED],
        "left": None if left is None else len(left),
    }
    outcome, sentence = (
        Outcome.PASS,
        say("Every cache was removed once, after the coadd. Caches: {count}.", count=len(times)),
    )
    if keep:
        sentence = say("Every cache was kept. Caches: {count}.", count=len(saved))
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
    elif early:
        outcome, sentence = Outcome.UNKNOWN, say("Caches were removed, but the record lacks the end of the coadd.")
    elif gone or not saved:
        outcome, sentence = Outcome.UNKNOWN, say("Caches are gone without a traced removal, or no cache was written.")
    return Verdict("cache", outcome, sentence, evidence)


def _saved(history: History) -> tuple[str, ...]:
    """Return the final paths of the caches that a run wrote."""
    found: set[str] = set()
    for op in history.operations:
        if op.op in ("save", "rename") and op.state == "done":
            if op.op == "rename":
                found.discard(op.path)
            if _is_cache(path := op.to or op.path):
                found.add(path)
    return tuple(sorted(found))


def _is_cache(path: str) -> bool:
    return name_of(path).startswith("preprocessed_") and path.endswith(".npy")


def _of_tiles(runs: Runs) -> Verdict:
    causes = Causes(runs.run)
    found = _find(runs.run)
    outcome, sentence, cause = _conclude(runs.run, causes, found)
    return Verdict("cache", outcome, sentence, _evidence(causes, found), cause)


def _find(run: Record) -> Findings:
    users = _users(run.history.tiles)
    paths: dict[str, set[str]] = {}
    for path in (cache for tile in run.history.tiles for cache in tile.caches if cache):
        paths.setdefault(name_of(path), set()).add(path)
    tried = removals(run.history, [path for same in paths.values() for path in same])
    done = tuple(r for r in tried if r.outcome == "done")
    end = phase_3_end(run.history)
    in_phase_3 = tuple(r for r in done if end is None or r.t < end)
    times = {r.name for r in done}
    taken, kept = taken_caches(run.history), refused_to_the_end(run.history)
    left = left_caches(run)
    # A retention has no part in the removal of intermediates, which the maker of a tile does within its making.
    counted = [r for r in in_phase_3 if not any(is_intermediate(path) for path in paths[r.name])]
    racing = unordered_threads(counted, order_of(run.history, counted))
    return Findings(
        users=users,
        tried=tried,
        done=done,
        in_phase_3=in_phase_3,
        misplaced=_misplaced(run, [r for r in tried if r.outcome != "failed"], users),
        twice=_twice(tried, taken),
        threads=_named({r.by for r in counted}),
        racing=racing,
        strangers=_strangers(run, users, {r.by for r in counted}),
        left=left,
        vanished=() if left is None else tuple(sorted(set(users) - times - set(left) - set(taken) - kept)),
        taken=tuple(sorted(taken)),
        renamed=tuple(sorted({r.name for r in done if r.how == "rename"})),
    )


def _conclude(run: Record, causes: Causes, found: Findings) -> Conclusion:  # noqa: PLR0911 -- worst first
    """Conclude in this order: data lost, data at risk, contract broken, caches left, not known."""
    if found.misplaced.unsafe:
        sentence = say(
            "Caches removed before their last tile had ended: {count} of {total}.",
            count=_caches(found.misplaced.unsafe),
            total=len(found.users),
        )
        return Outcome.FAIL, sentence, _chain(causes, found.users, *found.misplaced.unsafe[0])
    if found.misplaced.unordered:
        sentence = say(
            "Caches removed after their last tile only by chance: {count} of {total}. Nothing made the removal wait.",
            count=_caches(found.misplaced.unordered),
            total=len(found.users),
        )
        return Outcome.FAIL, sentence, _chain(causes, found.users, *found.misplaced.unordered[0])
    if found.twice:
        cause = tuple(link for r in found.done if r.name == found.twice[0] for link in causes.of_removal(r))
        return Outcome.FAIL, say("Caches removed again after their removal: {count}.", count=len(found.twice)), cause
    if found.racing is not None and "order" in run.history.capabilities:
        sentence = say(
            "Several threads removed caches in Phase 3, and one did not wait for another: {threads}.",
            threads=", ".join(found.threads),
        )
        return Outcome.FAIL, sentence, tuple(causes.of_removal(r)[0] for r in found.racing)
    if found.strangers:
        files = ", ".join(found.strangers[:5])
        return (
            Outcome.FAIL,
            say("Files other than caches of the tiles were removed in Phase 3: {files}.", files=files),
            (),
        )
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
    return Outcome.PASS, say("Every cache was kept. Caches: {count}.", count=len(found.users)), ()


def _freed(run: Record, causes: Causes, found: Findings) -> Conclusion:  # noqa: PLR0911 -- worst first
    if found.misplaced.unfollowed or found.racing is not None:
        sentence = say(
            "Caches were removed by a thread other than the one that submits the tiles. This record was made before hand-overs "
            "between threads were recorded, so it does not show whether the removals waited for the tiles: make the run again."
        )
        return Outcome.UNKNOWN, sentence, ()
    if found.left and run.history.named(*SUCCEEDED):
        count, first = len(found.left), found.left[0]
        sentence = say("Caches left on disk at the end: {count}, among them {cache}.", count=count, cache=first)
        return Outcome.FAIL, sentence, ()
    if found.left is None:
        return Outcome.UNKNOWN, say("What was left on disk was not counted."), ()
    if found.left:  # targets do not clean up after an error; the check `disk` reports such runs
        return Outcome.UNKNOWN, say("The run did not succeed; caches left: {count}.", count=len(found.left)), ()
    if found.misplaced.unsure:
        sentence = say(
            "Caches that may have been removed too early: {count}. The trace lacks the end of a removal or of a tile.",
            count=_caches(found.misplaced.unsure),
        )
        return Outcome.UNKNOWN, sentence, _chain(causes, found.users, *found.misplaced.unsure[0])
    if found.vanished:
        sentence = say("Caches are gone without a traced removal, such as {cache}.", cache=found.vanished[0])
        return Outcome.UNKNOWN, sentence, ()
    if run.request.retention == "per_tile" and not found.in_phase_3:
        return Outcome.UNKNOWN, say("No cache was removed in Phase 3, so per_tile was not tested."), ()
    if found.renamed:
        sentence = say(
            "Every cache was removed or renamed once, after its last tile; no cache is left. Caches: {count}; renamed: "
            "{renamed}. The check disk judges when the bytes of renamed caches were gone.",
            count=len(found.done),
            renamed=len(found.renamed),
        )
        return Outcome.PASS, sentence, ()
    if found.taken:
        sentence = say(
            "Every other cache was removed once, after its last tile; no cache is left. Caches: {count}; deleted by an "
            "injected fault: {taken}.",
            count=len(found.done),
            taken=", ".join(found.taken[:5]),
        )
        return Outcome.PASS, sentence, ()
    sentence = say(
        "Every cache was removed once, after its last tile; no cache is left. Caches: {count}.", count=len(found.done)
    )
    return Outcome.PASS, sentence, ()


def _users(tiles: Sequence[Tile]) -> Users:
    found: dict[str, list[Tile]] = {}
    for tile in tiles:
        for name in sorted(cache_names(tile)):
            found.setdefault(name, []).append(tile)
    return {name: tuple(used_by) for name, used_by in found.items()}


def _misplaced(run: Record, tried: Sequence[Removal], users: Users) -> Misplaced:
    found: dict[str, list[tuple[Removal, Tile]]] = {"unsafe": [], "unordered": [], "unsure": [], "unfollowed": []}
    followed = "order" in run.history.capabilities
    submitters = {thread_of(step) for step in run.history.own_steps if step.state == "submitted"}
    for removal, before in zip(tried, order_of(run.history, tried), strict=True):
        waiting = [user for user in users[removal.name] if not _ended(user, removal.t)]
        strays = [user for user in users[removal.name] if user.tile not in before.tiles]
        if waiting:
            # A tile that had not started is the clearest example, so it is shown first.
            worst = max(waiting, key=lambda user: (_starts_after(user, removal.t), user.tile))
            # In a finished run every tile ended; a tile without an end shows a gap in the trace.
            gap = run.usable and worst.ended is None and worst.collected is None and not _starts_after(worst, removal.t)
            found["unsure" if gap or removal.outcome == "unsettled" else "unsafe"].append((removal, worst))
        elif strays and not followed and removal.by not in submitters:
            found["unfollowed"].append((removal, strays[0]))
        elif strays:
            found["unsure" if removal.outcome == "unsettled" else "unordered"].append((removal, strays[0]))
    return Misplaced(**{kind: tuple(rows) for kind, rows in found.items()})


def _twice(tried: Sequence[Removal], taken: Collection[str]) -> tuple[str, ...]:
    """Return the caches with an attempt to remove them after their removal.

    The first attempt on a cache that a fault deleted is allowed, although it finds no file.
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
    """Return the names of threads, with process and thread numbers where two threads share a name."""
    shared = Counter(name for _, name, _ in threads)
    return tuple(sorted(name if shared[name] == 1 else f"{name} ({pid}/{tid})" for pid, name, tid in threads))


def _strangers(run: Record, users: Users, releasing: Collection[Thread]) -> tuple[str, ...]:
    """Return the files removed in Phase 3 that are not caches of this run.

    These are masks, and caches that the run neither saved nor uses. If opens were traced, also files that a thread that releases
    caches removed and that were not written in Phase 3. Master tiles are left to the check `products`. Files that are written and
    removed within the phase are allowed: tests of the disk's speed, and half-written files.
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
        if name.startswith("hp_mask_") and name.endswith(".npy"):
            found.add(name)
        elif _is_cache(name):
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
        "renamed": list(found.renamed[:MAX_LISTED]),
        "taken_by_faults": list(found.taken[:MAX_LISTED]),
        "found_already_missing": failed.pop(errno.ENOENT, 0),
        "failed_removals": {
            "unknown" if code is None else errno.errorcode.get(code, str(code)): count for code, count in failed.items()
        },
    }


def _a_cache(runs: Runs) -> Message | None:
    if any(cache_names(tile) for tile in runs.run.history.tiles):
        return None
    return say("No tile was submitted with a cache, so no cache could be removed too early.")


def _unsafe(evidence: Evidence) -> Numbers | None:
    """Return the number of caches removed too early, which SDS lists by name, and of all caches."""
    early = number_in(evidence, "unsafe_count")
    if early is None:
        early = size_in(evidence, "removed_before_the_end_of_the_coadd")
    return every(early, number_in(evidence, "caches"))


CHECK = Check(
    "cache",
    say("Is every deletion of a cache safe?"),
    _judge,
    {
        "classic": (*ALWAYS, TILES, FUTURES, REMOVALS, Premise("a tile with caches", _a_cache)),
        "sds": (*ELSEWHERE, CALLBACK, REMOVALS),
    },
    for_pass=(SHARED, MODE_REACHED),
    figures=(
        Figure(
            say("caches removed before their last tile had ended"),
            Unit.SHARE,
            _unsafe,
            short=say("caches removed too early"),
        ),
        Figure(say("caches left"), Unit.COUNT, numbers("left")),
    ),
)
