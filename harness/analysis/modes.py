"""Read from a history what the modes without Phase 3 did: the mode that a run took, SDS's batches, the sky tiles of grid mode.

SDS announces the phases 2, 6 and 7. Between them come its coadd and its polish, which it calls phases 4 and 5. Grid mode
announces no phases. It writes free texts that begin with ``[GRID]``, once or twice; from these the start of making and
assembling tiles is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.analysis.phase3 import SUCCEEDED, name_of, number, phase_3_start
from harness.language.message import Message, counted, say
from harness.record.history import Event, History, Tile
from harness.record.reader import Record
from harness.record.request import Mode

COADD_STARTED = "p4_global_coadd_started"
COADD_FINISHED = "p4_global_coadd_finished"
SDS_ON = "sds_on_mega_tile_pipeline"
SDS_OFF = "sds_off_classic_mastertile_pipeline"
POLISH_STARTED = "phase5_sds_polish_start"
SDS_DONE = "sds_global_finalize_done"
BATCHES_BUILT = "sds_info_batches_built"
GRID_ON = "Grid/Survey mode activated"
GRID_DONE = "Grid/Survey mode completed"

_GRID = re.compile(r"(?:\[GRID\]\s*)+")
_BATCH = re.compile(r"\[SDS\] Batch (\d{1,9})/(\d{1,9})\b")
_SUCCESS = re.compile(r"success=(\w+)")
_TILE = re.compile(
    r"Tile (\d{1,9}): (saved to|no usable patches)\s*(.*)|Tile (\d{1,9}) (failed with error)(.*)", re.DOTALL
)
_CUT = re.compile(r"grid definition ready with (\d{1,9}) tile")
_MASTER_TILES = re.compile(r"zemosaic_MT0*([1-9]\d*)_R")
_PHASES_OF_GRID = (
    ("tiles", re.compile(r"Tile \d+\b|DEBUG: starting tile processing")),
    ("assembly", re.compile(r"Assembly|Photometry|No tiles to assemble|Unable to read any tile")),
)


def grid_texts(history: History) -> Iterator[tuple[Event, str]]:
    """Yield each event of grid mode with its text without the prefix."""
    for event in history.events:
        if event.source == "callback" and event.key.startswith("[GRID]"):
            yield event, _GRID.sub("", f"{event.key}: {event.text}" if event.text else event.key, count=1)


def phases(history: History) -> tuple[tuple[int, str], ...]:
    """Return start and name of each phase, in order of time: its number, or ``coadd``, ``polish``, ``tiles``, ``assembly``."""
    found = [(e.t, e.text.strip()) for e in history.named("PHASE_UPDATE")]
    found += [(e.t, "coadd") for e in history.named(SDS_ON, COADD_STARTED)[:1]]
    found += [(e.t, "polish") for e in history.named(POLISH_STARTED)[:1]]
    waiting = dict(_PHASES_OF_GRID)
    for event, text in grid_texts(history):
        for name, pattern in list(waiting.items()):
            if pattern.match(text):
                found.append((event.t, name))
                del waiting[name]
    return tuple(sorted(found))


def signs_of_another_mode(run: Record) -> tuple[Message, ...]:
    """Return a sentence for each sign that a run took another mode than requested."""
    history, mode = run.history, run.request.mode
    grid = [text for _, text in grid_texts(history) if text.startswith((GRID_ON, GRID_DONE))]
    done = bool(history.named(*SUCCEEDED)) or any(text.startswith(GRID_DONE) for text in grid)
    signs = []
    if mode != "classic":
        if phase_3_start(history) is not None:
            signs.append(say("The target reached Phase 3, where the classic mode makes master tiles."))
        made = _MASTER_TILES.search(name_of(run.products.mosaic)) if run.products and run.products.mosaic else None
        if made:
            signs.append(
                counted(
                    "The mosaic's header says that it was made from {count} master tile.",
                    "The mosaic's header says that it was made from {count} master tiles.",
                    count=int(made[1]),
                )
            )
    if mode != "sds" and history.named(SDS_ON, SDS_DONE):
        signs.append(say("The target announced the coadd of SDS."))
    if mode == "sds" and history.named(SDS_OFF):
        signs.append(say("The target announced that SDS is off."))
    if mode != "grid" and grid:
        signs.append(say("The target announced grid mode."))
    if mode == "sds" and done and not history.named(SDS_DONE):
        signs.append(say("The target succeeded without {key}, the event at the end of SDS.", key=SDS_DONE))
    if mode == "grid" and done and not any(text.startswith(GRID_DONE) for text in grid):
        signs.append(say("The target succeeded without the message at the end of grid mode, {text}.", text=GRID_DONE))
    return tuple(signs)


def mode_taken(run: Record) -> Mode:
    """Return the mode that made the mosaic: the one that the events name, else the requested one."""
    history = run.history
    if history.named(SDS_DONE):
        return "sds"
    if any(text.startswith(GRID_DONE) for _, text in grid_texts(history)):
        return "grid"
    return "classic" if phase_3_start(history) is not None else run.request.mode


def not_reached(run: Record) -> Message | None:
    """Return which necessary part of its mode a run did not reach; ``None`` if it reached all.

    Without that part, the absence of an event proves nothing.
    """
    history = run.history
    if run.request.mode == "classic":
        return None if phase_3_start(history) is not None else say("Phase 3 was not reached.")
    if run.request.mode == "grid":
        done = any(text.startswith(GRID_DONE) for _, text in grid_texts(history))
        return None if done else say("Grid mode did not finish.")
    signs = {
        COADD_FINISHED: say("The coadd of SDS did not finish."),
        POLISH_STARTED: say("The polish of SDS was not reached."),
        SDS_DONE: say("SDS did not finish."),
    }
    return next((missing for key, missing in signs.items() if not history.named(key)), None)


@dataclass(frozen=True, slots=True)
class Batches:
    """SDS's batches: how many were planned, of how many frames, and each reported one (number, frames, whether coadded)."""

    built: int | None
    entries: int | None
    reported: tuple[tuple[int, int | None, bool], ...]

    @property
    def coadded(self) -> frozenset[int]:
        """The batches that were coadded, numbered from 1."""
        return frozenset(n for n, _, good in self.reported if good)

    @property
    def frames(self) -> int | None:
        """The number of frames in the coadded batches; ``None`` if a batch has no number, or no batch was reported."""
        counts = {n: frames for n, frames, good in self.reported if good}
        known = [frames for frames in counts.values() if frames is not None]
        return sum(known) if self.reported and len(known) == len(counts) else None


def batches(history: History) -> Batches:
    """Read SDS's batches from the events of a run."""
    built = entries = None
    for event in history.named(BATCHES_BUILT):
        built, entries = number(event, "count"), number(event, "total_entries")
    reported = []
    for event in history.events:
        found = _BATCH.match(event.key) if event.source == "callback" else None
        if found is None:
            continue
        success = event.fields.get("success")
        if success is None:
            word = _SUCCESS.search(event.key)
            success = word is None or word[1].lower() == "true"
        if built is None:
            built = int(found[2])
        reported.append((int(found[1]), number(event, "images"), bool(success)))
    return Batches(built, entries, tuple(reported))


@dataclass(frozen=True, slots=True)
class SkyTiles:
    """The sky tiles of grid mode: where each was saved, which failed and why, and how many the assembly used.

    ``cut`` is the number of tiles into which the canvas was divided. ``attempted`` and ``kept`` are from the last ``Assembly
    summary``. Each is ``None`` if the run did not report it.
    """

    saved: Mapping[int, Event]
    paths: Mapping[int, str]
    empty: frozenset[int]
    failed: Mapping[int, str]
    attempted: int | None
    kept: int | None
    assembled: int | None
    cut: int | None = None

    def cut_like(self, other: SkyTiles) -> bool:
        """Return whether equal tile numbers may mean equal sky: versions divide a canvas into different numbers of tiles."""
        return self.cut is None or other.cut is None or self.cut == other.cut


def sky_tiles(history: History) -> SkyTiles:
    """Read the sky tiles from the events of a run. ``Tile N completed`` is ignored: empty tiles have it too."""
    saved: dict[int, Event] = {}
    paths: dict[int, str] = {}
    failed: dict[int, str] = {}
    empty: set[int] = set()
    attempted = kept = assembled = cut = None
    for event, text in grid_texts(history):
        tile = _TILE.match(text)
        if tile is not None and tile[5]:
            failed[int(tile[4])] = tile[6].lstrip(": ")[:160]
        elif tile is not None and tile[2] == "saved to":
            saved[int(tile[1])], paths[int(tile[1])] = event, tile[3].strip()
        elif tile is not None:
            empty.add(int(tile[1]))
        elif ready := _CUT.search(text):
            cut = int(ready[1])
        elif "Assembly summary:" in text:
            attempted, kept = _stated("attempted|received", text), _stated("kept", text)
        elif text.startswith("Final mosaic saved"):
            assembled = event.t
    return SkyTiles(
        MappingProxyType(saved),
        MappingProxyType(paths),
        frozenset(empty),
        MappingProxyType(failed),
        attempted,
        kept,
        assembled,
        cut,
    )


def _stated(name: str, text: str) -> int | None:
    found = re.search(rf"\b(?:{name})=(\d{{1,9}})", text)
    return int(found[1]) if found else None


def as_tiles(found: SkyTiles) -> tuple[Tile, ...]:
    """Return the saved sky tiles in the form of master tiles. The event that reports the saving is the end of a tile."""
    return tuple(
        Tile(n, frames=(), caches=(), ended=event.t, thread=event.thread, outcome="made", path=found.paths[n])
        for n, event in sorted(found.saved.items())
    )
