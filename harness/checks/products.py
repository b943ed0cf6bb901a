"""Check that master tiles, and the sky tiles of grid mode, stay intact until they were read, and that a mosaic is made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.causes import MAIN_THREAD, MAX_LISTED, Causes, listed
from harness.analysis.figure import Evidence, Figure, Numbers, Unit, every, number_in, sizes
from harness.analysis.modes import as_tiles, sky_tiles
from harness.analysis.phase3 import SKIPPED_LATER, Thread, name_of, phase_5_end, seconds, setting, span, thread_of
from harness.analysis.removals import Removal, removals
from harness.checks.base import Check, Conclusion, Runs
from harness.checks.premises import ALWAYS, CALLBACK, ELSEWHERE, MODE_REACHED, OPENS, REMOVALS, TILES, standard
from harness.checks.thresholds import Thresholds
from harness.language.message import Value, say
from harness.record.history import Operation, Tile
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict


@dataclass(frozen=True, slots=True)
class Findings:
    """The master tiles that a run made, what was done to their files, and whether there is a mosaic; ``None`` if not known."""

    made: tuple[Tile, ...]
    removed_early: tuple[tuple[Tile, Removal], ...]
    overwritten: tuple[tuple[Tile, Operation], ...]
    one_file: tuple[tuple[int, ...], ...]
    vanished: tuple[int, ...]
    skipped: tuple[str, ...]
    mosaic: bool | None
    opens: int


def _judge(runs: Runs, _: Thresholds) -> Verdict:
    outdated = _outdated(runs.run)
    if outdated is not None:
        return outdated
    found = _find(runs.run)
    pair, why_not = standard(runs)
    needed = {"removals", "callback" if runs.run.request.mode == "grid" else "tiles"}
    usual = _find(pair) if pair is not None and needed <= pair.history.capabilities else None
    outcome, sentence, cause = _conclude(runs.run, found, usual)
    if outcome is Outcome.UNKNOWN and usual is None and why_not is not None:
        cause = (*cause, why_not)
    return Verdict("products", outcome, sentence, _evidence(runs.run, found, usual), cause)


def _outdated(run: Record) -> Verdict | None:
    """Fail a run that took over tiles which an earlier run had made with other settings, by what their headers state."""
    tiles = run.products.tiles if run.products is not None else ()
    rows = [
        {"tile": tile.tile, "file": name_of(tile.path), "setting": name, "then": then, "now": now}
        for tile in tiles
        if tile.earlier
        for name, then in tile.settings.items()
        if (now := setting(run, name)) is not None and not _equal(then, now)
    ]
    if not rows:
        return None
    hit = listed(sorted({int(row["tile"]) for row in rows}))
    cause = tuple(
        say(
            "Tile {tile} was made with {setting} {then}; this run has {now}.",
            tile=row["tile"],
            setting=row["setting"],
            then=str(row["then"]),
            now=str(row["now"]),
        )
        for row in rows[:5]
    )
    sentence = say("Tiles of an earlier run with other settings were taken over: {tiles}.", tiles=hit)
    return Verdict("products", Outcome.FAIL, sentence, {"made_with_other_settings": rows[:MAX_LISTED]}, cause)


def _equal(then: object, now: object) -> bool:
    if isinstance(then, int | float) and isinstance(now, int | float):
        return math.isclose(then, now, rel_tol=1e-6, abs_tol=1e-9)
    return str(then).strip().casefold() == str(now).strip().casefold()


def _find(run: Record) -> Findings:
    sky = sky_tiles(run.history) if run.request.mode == "grid" else None
    tiles = run.history.tiles if sky is None else as_tiles(sky)
    made = tuple(tile for tile in tiles if tile.made and tile.path is not None)
    by_name: dict[str, list[Tile]] = {}
    for tile in made:
        by_name.setdefault(name_of(tile.path or ""), []).append(tile)
    last_read = phase_5_end(run.history) if sky is None else sky.assembled
    gone = [r for r in removals(run.history, [tile.path or "" for tile in made]) if r.outcome == "done"]
    replaced = [
        (by_name[name][0], op)
        for op in run.history.operations
        if _replaces(op) and (name := name_of(op.to or op.path if op.op == "rename" else op.path)) in by_name
    ]
    written: dict[int, int] = {}  # tile, and when its maker wrote the file last
    for tile, op in replaced:
        if thread_of(op) == _maker(tile) and tile.started is not None and tile.started <= op.t <= (tile.ended or op.t):
            written[tile.tile] = op.t

    def final(tile: Tile, what: Removal | Operation, by: Thread) -> bool:
        """Return whether a tile's file had to stay: its maker may replace it to its end, any other thread may not."""
        since = tile.ended if by == _maker(tile) else written.get(tile.tile, tile.ended)
        return since is not None and what.t >= since and (last_read is None or what.t < last_read)

    early = [(by_name[r.name][0], r) for r in gone if final(by_name[r.name][0], r, r.by)]
    overwritten = [(tile, op) for tile, op in replaced if final(tile, op, thread_of(op))]
    left = None if run.left is None else {name_of(file.path) for file in run.left}
    known_gone = {removal.name for removal in gone}
    vanished = (
        ()
        if left is None
        else tuple(tile.tile for n, own in by_name.items() if n not in left | known_gone for tile in own)
    )
    skipped = {
        name_of(str(event.fields.get("path") or event.fields.get("filename") or "?"))
        for event in run.history.named(*SKIPPED_LATER)
    }
    return Findings(
        made=made,
        removed_early=tuple(early),
        overwritten=tuple(overwritten),
        one_file=tuple(tuple(tile.tile for tile in own) for own in by_name.values() if len(own) > 1),
        vanished=vanished,
        skipped=tuple(sorted(skipped)),
        mosaic=_mosaic(run),
        opens=sum(op.op == "open" for op in run.history.operations),
    )


def _maker(tile: Tile) -> Thread | None:
    """Return the thread that made a tile; ``None`` if it was not recorded."""
    return None if tile.pid is None or tile.thread is None else (tile.pid, tile.thread, tile.tid)


def _replaces(op: Operation) -> bool:
    """Return whether an operation replaces a file. Opening for update does not: it changes the same file."""
    if op.op == "rename":
        return op.state == "done" and op.to is not None
    return (op.op == "open" and (op.mode or "").startswith(("w", "x"))) or (op.op == "save" and op.state == "done")


def _same(tile: Tile) -> frozenset[str]:
    """Return a key that the same tile has in another run: its frames, or the name of a sky tile."""
    return frozenset(tile.frames or (name_of(tile.path or ""),))


def _mosaic(run: Record) -> bool | None:
    if run.products is not None and run.products.mosaic is not None:
        return True
    if run.left is None:
        return None
    return any(file.kind == "mosaic" for file in run.left)


def _conclude(run: Record, found: Findings, usual: Findings | None) -> Conclusion:
    if found.removed_early:
        sentence = say(
            "Tiles removed before their last reader had finished: {count} of {total}.",
            count=len({t.tile for t, _ in found.removed_early}),
            total=len(found.made),
        )
        return Outcome.FAIL, sentence, Causes(run).of_removal(found.removed_early[0][1])
    if found.one_file:
        tiles = listed(found.one_file[0])
        return Outcome.FAIL, say("Several tiles were written to one file: {tiles}.", tiles=tiles), ()
    known = {_same(tile) for tile, _ in usual.overwritten} if usual else set()
    # With run_end the same may happen: yet a tile that is replaced while another one is made is lost.
    lost = [(tile, op) for tile, op in found.overwritten if _other(run, tile, op) is not None]
    new = lost or [(tile, op) for tile, op in found.overwritten if _same(tile) not in known]
    if new:
        tile, op = new[0]
        sentence = say(
            "Tiles overwritten before their last reader had finished: {count} of {total}.",
            count=len({t.tile for t, _ in new}),
            total=len(found.made),
        )
        values: dict[str, Value] = {
            "thread": op.thread,
            "file": name_of(tile.path or ""),
            "tile": tile.tile,
            "later": span(op.t - (tile.ended or op.t)),
        }
        link = say(
            "The worker thread {thread} wrote {file} of tile {tile} again, {later} after it had been made.", **values
        )
        if op.thread == MAIN_THREAD:
            link = say("The main thread wrote {file} of tile {tile} again, {later} after it had been made.", **values)
        while_making = _other(run, tile, op)
        if while_making is not None:
            return Outcome.FAIL, sentence, (link, say("It did so while it was making tile {tile}.", tile=while_making))
        # Some targets always write some tiles twice: without the pair this can't be excluded.
        return Outcome.UNKNOWN if usual is None else Outcome.FAIL, sentence, (link,)
    return _at_the_end(run, found, usual)


def _other(run: Record, tile: Tile, op: Operation) -> int | None:
    """Return the other tile in whose making a tile's file was replaced by a part; ``None`` if it was not."""
    making = run.history.making(*thread_of(op), op.t)
    return making.tile if making is not None and making.tile != tile.tile and making.parts else None


def _at_the_end(run: Record, found: Findings, usual: Findings | None) -> Conclusion:
    """Judge the state at the end: tiles that had to be kept, tiles that later phases refused, the mosaic."""
    outcome, count, vanished = Outcome.UNKNOWN, len(found.made), listed(found.vanished)
    if found.vanished and setting(run, "cleanup_temp_artifacts") is False:
        outcome, sentence = (
            Outcome.FAIL,
            say("The files of tiles {tiles} had to be kept, but are gone.", tiles=vanished),
        )
    elif len(found.skipped) > (len(usual.skipped) if usual else 0):
        values: dict[str, Value] = {"count": len(found.skipped), "files": ", ".join(found.skipped[:5])}
        if usual is None:
            sentence = say(
                "Master tiles refused after Phase 3: {count} ({files}). There is no run with run_end to show if this is new.",
                **values,
            )
        else:
            outcome = Outcome.FAIL
            sentence = say(
                "Master tiles refused after Phase 3: {count} ({files}); with run_end: {usual}.",
                **values,
                usual=len(usual.skipped),
            )
    elif found.mosaic is None:
        sentence = say("What was left on disk was not counted.")
    elif not found.mosaic:
        outcome, sentence = Outcome.FAIL if run.usable else outcome, say("The run ended without a mosaic.")
    elif found.vanished:
        sentence = say("The files of tiles {tiles} are gone, and the trace shows no removal.", tiles=vanished)
    elif not found.made:
        sentence = say("The record shows no tile that was made.")
    elif found.opens:
        outcome, sentence = (
            Outcome.PASS,
            say("Every tile stayed intact, and there is a mosaic. Tiles: {count}.", count=count),
        )
    else:
        outcome = Outcome.PASS
        sentence = say(
            "Every tile stayed intact, and there is a mosaic. Tiles: {count}. Overwriting by open() would not show: the "
            "trace has no file opens.",
            count=count,
        )
    return outcome, sentence, ()


def _evidence(run: Record, found: Findings, usual: Findings | None) -> dict[str, Any]:
    def at(rows: Sequence[tuple[Tile, Removal] | tuple[Tile, Operation]]) -> list[dict[str, Any]]:
        return [
            {
                "tile": tile.tile,
                "file": name_of(tile.path or ""),
                "at": float(seconds(run.history, what.t)),
                "thread": what.thread,
            }
            for tile, what in rows[:MAX_LISTED]
        ]

    return {
        "tiles_made": len(found.made),
        "removed_early": at(found.removed_early),
        "overwritten": at(found.overwritten),
        "overwritten_in_pair": None if usual is None else len(usual.overwritten),
        "tiles_in_one_file": [list(tiles) for tiles in found.one_file[:MAX_LISTED]],
        "gone_unseen": list(found.vanished[:MAX_LISTED]),
        "refused_after_phase_3": list(found.skipped[:MAX_LISTED]),
        "mosaic": found.mosaic,
        "opens_in_record": found.opens,
    }


def _not_kept(evidence: Evidence) -> Numbers | None:
    """Return the number of tiles that were overwritten or removed too early, and of all tiles made."""
    lost = sizes("removed_early", "overwritten")(evidence)
    return every(None if lost is None else sum(lost), number_in(evidence, "tiles_made"))


CHECK = Check(
    "products",
    say("Did every tile stay intact until it was read?"),
    _judge,
    # SDS keeps its batches in memory. The files that it writes are read only if it falls back to the classic mode.
    {"classic": (*ALWAYS, TILES, REMOVALS), "grid": (*ELSEWHERE, CALLBACK, REMOVALS)},
    for_pass=(OPENS, MODE_REACHED),
    figures=(Figure(say("tiles overwritten or removed too early, of those made"), Unit.SHARE, _not_kept),),
)
