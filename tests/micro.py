"""Make records without files for tests of checks: a few steps of a run, by hand or by a small model of Phase 3."""

from __future__ import annotations

import errno
import hashlib
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from harness.analysis.footprint import outlines, pixel_of, raster, sky_of
from harness.record.comparison import Comparison
from harness.record.history import DiskSample, Event, History, HoldStep, Operation, Raised, TileStep
from harness.record.inputs import InputFile
from harness.record.leftovers import LeftFile
from harness.record.products import Plane, Products, TileProduct
from harness.record.reader import Record
from harness.record.request import DatasetFacts, FrameFacts, Request, TargetFacts
from harness.record.seal import Seal
from harness.run.measure import block_statistics

ROWS, COLUMNS = 80, 100
SCALE = 0.001  # degrees a pixel
FOLDER = "outputs/.zemosaic_img_cache"
TILES = "outputs/zemosaic_temp_master_tiles"
MOSAIC = "outputs/zemosaic_MT3_R6.fits"
SOURCES = frozenset({"callback", "log", "tiles", "futures", "order", "removals", "saves", "opens"})
START = 1_000_000_000
STEP = 10_000_000  # nanoseconds between two steps
PAUSE = 200 * STEP  # after the last tile; without it the reaction time of a policy would be a large part of the run
SIZE = 1_000_000  # bytes of a cache
MAIN = "MainThread"

MISSING = "mastertile_warn_cache_file_missing"
STARVED = "mastertile_error_no_valid_images_from_cache"
FAILED = "run_warn_phase3_master_tile_creation_failed_thread"


def frame(panel, k=0, dither=0.0):
    """Return a frame of a panel. Panels form a row along x and overlap by a fifth."""
    cards = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": 10.0,
        "CRVAL2": 41.0,
        "CRPIX1": COLUMNS / 2 + 0.5 - panel * 0.8 * COLUMNS - dither,
        "CRPIX2": ROWS / 2 + 0.5,
        "CD1_1": -SCALE,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": SCALE,
    }
    return FrameFacts(f"p{panel}_{k}.fits", f"{panel:032x}{k:032x}", (ROWS, COLUMNS), cards, panel)


def names(panel, count=2):
    """Return the frame names of a panel."""
    return tuple(f"p{panel}_{k}.fits" for k in range(count))


CHAIN = (names(0) + names(1), names(1) + names(2), names(2))
PRIVATE = (names(0), names(1), names(2))
ONE_SHARED = (names(0), names(1), names(2) + names(1)[:1])


def cache_of(name):
    """Return the cache path of a frame."""
    return f"{FOLDER}/preprocessed_{Path(name).stem}.npy"


def stars_of(frames):
    """Return the stars on these frames. The sky is the same for every run, and its stars are well separated."""
    x, y = np.meshgrid(np.arange(14.0, 14.0 + 18 * 15, 18.0), np.arange(12.0, ROWS, 18.0))
    x, y = x.ravel() + y.ravel() % 5, y.ravel()
    ra, dec = sky_of(frame(0).wcs, x, y)
    shown = np.zeros(x.shape, bool)
    for one in frames:
        fx, fy = pixel_of(one.wcs, ra, dec)
        shown |= (abs(fx - (COLUMNS - 1) / 2) < COLUMNS / 2) & (abs(fy - (ROWS - 1) / 2) < ROWS / 2)
    return np.column_stack([ra, dec, 1000.0 + 100 * np.arange(x.size)])[shown]


def in_channels(stars, gains=(1.0, 1.0, 1.0)):
    """Return the fluxes of stars in three channels with these gains."""
    return stars[:, 2:3] * np.array(gains)


def plane_of(name, file, pixels):
    """Return the measured form of an image."""
    channels = pixels.astype(np.float64) if pixels.ndim == 3 else pixels.astype(np.float64)[None]
    return Plane(
        name,
        file,
        pixels.shape,
        -32,
        hashlib.sha256(pixels.astype(">f4").tobytes()).hexdigest(),
        *block_statistics(channels),
    )


def images_of(covered, first=0, *, gain=1.0, add=0.0):
    """Return the images of a mosaic and of its coverage; ``first`` is the position of its first column on the sky."""
    rows, columns = covered.shape
    sky = np.random.default_rng(5).normal(100, 2, (ROWS + 40, 1000))[:rows, 200 + first : 200 + first + columns]
    pixels = np.where(covered, gain * sky + add, np.nan)
    return (
        plane_of("RGB", MOSAIC, np.stack([pixels] * 3)),
        plane_of("PRIMARY", MOSAIC.replace(".fits", "_coverage.fits"), covered.astype(np.float64)),
    )


def products_of(frames, *, pad=4, tiles=(), gaps=(), wcs_of=None):
    """Return the products of a run whose mosaic covers exactly these frames, as a target makes it.

    ``gaps`` are slices of the mosaic that are not covered. ``wcs_of`` are the frames that define the canvas, if others.
    """
    spanning = wcs_of or frames
    first = min(f.panel for f in spanning)
    last = max(f.panel for f in spanning)
    shape = (ROWS + 2 * pad, round((last - first) * 0.8 * COLUMNS) + COLUMNS + 2 * pad)
    cards = dict(frame(0).wcs)
    cards["CRPIX1"] = COLUMNS / 2 + 0.5 + pad - first * 0.8 * COLUMNS
    cards["CRPIX2"] = ROWS / 2 + 0.5 + pad
    covered = raster(outlines(list(frames)), cards, shape)
    for gap in gaps:
        covered[gap] = False
    return Products(
        mosaic=MOSAIC,
        wcs=MappingProxyType(cards),
        step=1,
        covered=covered,
        depth=covered.astype(np.float32),
        stars=stars_of(frames),
        tiles=tuple(tiles),
        thumbnail=None,
        constant=np.zeros_like(covered),
        planes=images_of(covered, round(first * 0.8 * COLUMNS)),
        channels=in_channels(stars_of(frames)),
    )


class Micro:
    """Write a history step by step. Each step advances the clock."""

    def __init__(self, plan=CHAIN, panels=3, frames=2, **request):
        self.frames = {f.name: f for p in range(panels) for f in [frame(p, k) for k in range(frames)]}
        values = {
            "case": "micro",
            "role": "subject",
            "target": TargetFacts("reference", "reference", "", "python"),
            "dataset": DatasetFacts("micro", "synthetic", "d" * 64, tuple(self.frames.values())),
            "plan": plan,
            "retention": "per_tile",
            "workers": 2,
            "config": {"apply_master_tile_crop": False, "cleanup_temp_artifacts": False},
        }
        self.request = Request(**(values | request))
        self.t = START
        self.events, self.operations, self.steps, self.holds, self.faults = [], [], [], [], []
        self.exceptions = []
        self.known = {}
        self.parents = {}
        self.outcomes = {}
        self.used = {}
        self.gone = set()
        self.total = 0
        self.sizes = dict.fromkeys(self.frames, SIZE)
        self.disk = []
        self.capabilities = SOURCES
        self.mosaic = None
        self.sky_tiles = ()

    def tick(self):
        """Advance the clock by one step and return the time."""
        self.t += STEP
        return self.t

    def event(self, key, text="", thread=MAIN, source="callback", **fields):
        """Send a progress event."""
        self.events.append(Event(self.tick(), 1, thread, source, key, "INFO", text, MappingProxyType(fields)))
        return self

    def log(self, text, level="INFO", thread=MAIN, template=None):
        """Write a log record."""
        fields = MappingProxyType({"logger": "Worker"})
        self.events.append(Event(self.tick(), 1, thread, "log", template or text, level, text, fields))
        return self

    def operation(self, op, path, state="done", thread=MAIN, *, to=None, code=None, mode=None, size=None):
        """Record a file operation."""
        self.operations.append(Operation(self.tick(), 1, thread, op, state, path, to, size, code, mode))
        return self

    def look(self, size, folder="outputs"):
        """Add a sample of a folder's size."""
        self.disk.append(DiskSample(self.tick(), folder, size, 1, 10**12))
        return self

    def written(self):
        """Return the operations of Phase 1: the save of each frame's cache, before all other operations."""
        return [
            Operation(START - STEP + k, 1, MAIN, "save", "done", cache_of(n), None, self.sizes[n], None, None)
            for k, n in enumerate(self.frames)
            if self.sizes[n] is not None
        ]

    def step(self, state, tile, thread, **facts):
        """Add one step of a tile."""
        values = {"outcome": None, "path": None, "error": None, "reference": None}
        group = self.known[tile]
        self.steps.append(
            TileStep(
                self.tick(),
                1,
                thread,
                state,
                tile,
                group,
                tuple(cache_of(n) for n in group),
                retry_of=self.parents.get(tile),
                **(values | facts),
            )
        )
        return self

    def begin(self):
        """Begin Phase 3."""
        return self.event("run_info_phase3_started_from_cache").event("PHASE_UPDATE", "3")

    def submit(self, tile, group, retry_of=None):
        """Submit a group of frames. A retry increases the announced total."""
        self.known[tile] = tuple(group)
        if retry_of is not None:
            self.parents[tile] = retry_of
            self.event("run_info_phase3_retry_submitted", origin_tile=retry_of, new_tile=tile, frames=len(group))
        self.total += 1
        return self.step("submitted", tile, MAIN).event(
            "MASTER_TILE_COUNT_UPDATE", f"{len(self.outcomes)}/{self.total}"
        )

    def start(self, tile, thread="Ph3_0"):
        """Start a tile."""
        group = self.known[tile]
        self.event("mastertile_info_creation_started_from_cache", thread=thread, num_raw=len(group), tile_id=tile)
        return self.step("started", tile, thread, reference=group[0])

    def end(self, tile, outcome="made", thread="Ph3_0", aligned=None, lost=()):
        """End a tile that used all its frames except the lost ones."""
        self.outcomes[tile] = outcome
        if outcome != "made":
            return self.step("ended", tile, thread, outcome=outcome)
        self.used[tile] = len(set(self.known[tile])) - len(lost) if aligned is None else aligned
        return self.step("ended", tile, thread, outcome="made", path=f"{TILES}/master_tile_{tile:03d}.fits")

    def collect(self, tile, thread=MAIN):
        """Collect a tile's result, and send the event if its creation failed."""
        self.step("collected", tile, thread)
        self.event("MASTER_TILE_COUNT_UPDATE", f"{len(self.outcomes)}/{self.total}")
        if self.outcomes.get(tile) != "made":
            self.event(FAILED, stack_num=tile + 1)
        return self

    def work(self, tile, thread="Ph3_0", outcome="made", *, collect=True):
        """Make a tile from the caches that still exist."""
        self.start(tile, thread)
        lost = [n for n in dict.fromkeys(self.known[tile]) if n in self.gone]
        for n in lost:
            self.event(MISSING, thread=thread, filename=n, cache_path=f"/abs/{cache_of(n)}", tile_id=tile)
        if len(lost) == len(set(self.known[tile])):
            self.event(STARVED, thread=thread, tile_id=tile)
            outcome = "failed"
        self.end(tile, outcome, thread, lost=lost)
        return self.collect(tile) if collect else self

    def remove(self, *frames, thread=MAIN, code=None):
        """Remove the caches of frames: add attempt and outcome."""
        for n in frames:
            self.operation("remove", cache_of(n), "attempt", thread)
            self.operation("remove", cache_of(n), "done" if code is None else "failed", thread, code=code)
            if code is None:
                self.gone.add(n)
        return self

    def struck(self, fault, name=None):
        """Add a strike of a fault, on a frame's cache or on its tile."""
        reason = f"tile {fault['tile']}" if name is None else cache_of(name)
        self.faults.append({"t": self.tick(), "op": "fault", "state": "struck", "fault": fault, "reason": reason})
        if fault["what"] == "delete cache":
            self.gone.add(name)
        return self

    def raised(self, where="run", thread=MAIN, **facts):
        """Record an exception of the target that ended the run, a tile or a thread."""
        values = {
            "type": "KeyError",
            "message": "'x'",
            "file": "worker.py",
            "line": 12,
            "stack": ("worker.py:12 release",),
        }
        self.exceptions.append(Raised(self.tick(), 1, thread, where, **(values | facts)))
        return self

    def finish(self):
        """Add the phases after Phase 3, to the end."""
        made = sum(outcome == "made" for outcome in self.outcomes.values())
        self.t += PAUSE
        self.event("run_info_phase3_finished_from_cache", num_master_tiles=made)
        self.event("MASTER_TILE_COUNT_UPDATE", f"{len(self.outcomes)}/{self.total}")
        self.event("PHASE_UPDATE", "4").event("PHASE_UPDATE", "5")
        self.event("run_info_phase5_finished_reproject_coadd").event("PHASE_UPDATE", "6")
        self.event("run_success_mosaic_saved").event("PHASE_UPDATE", "7")
        if self.request.retention != "keep":
            self.operation("rmtree", FOLDER, "attempt").operation("rmtree", FOLDER)
            self.gone |= set(self.frames)
        return self.event("run_success_processing_completed")

    def record(self, *, products="covering", left="right", state="done", torn=(), damage=(), inputs="same"):
        """Return the record. By default its mosaic covers the reference frames of the tiles that were made."""
        if inputs == "same":
            inputs = tuple(InputFile(name, "same", frame.sha256, frame.sha256) for name, frame in self.frames.items())
        tiles = [t for t, outcome in self.outcomes.items() if outcome == "made"]
        if products == "covering":
            products = None
            if self.mosaic is not None:
                made = products_of(list(self.frames.values()))
                planes = tuple(replace(plane, file=plane.file.replace(MOSAIC, self.mosaic)) for plane in made.planes)
                products = replace(made, mosaic=self.mosaic, planes=planes)
            elif tiles:
                kept = [
                    TileProduct(f"{TILES}/master_tile_{t:03d}.fits", t, len(self.known[t]), self.used[t], None)
                    for t in tiles
                ]
                products = products_of([self.frames[self.known[t][0]] for t in tiles], tiles=kept)
        if left == "right":
            left = [LeftFile(f"{TILES}/master_tile_{t:03d}.fits", 1, "tile") for t in tiles]
            left += [LeftFile(cache_of(n), self.sizes[n] or 1, "cache") for n in self.frames if n not in self.gone]
            left += [LeftFile(f"outputs/tiles/tile_{n:04d}.fits", 1, "tile") for n in self.sky_tiles]
            left += [LeftFile(products.mosaic, 1, "mosaic")] if products is not None else []
        history = History(
            events=tuple(self.events),
            operations=(*self.written(), *self.operations),
            steps=tuple(self.steps),
            holds=tuple(self.holds),
            faults=tuple(self.faults),
            disk=tuple(self.disk),
            processes=(),
            capabilities=frozenset(self.capabilities),
            torn=tuple(torn),
            exceptions=tuple(self.exceptions),
        )
        return Record(
            folder=Path("record"),
            request=self.request,
            history=history,
            products=products,
            left=None if left is None else tuple(left),
            seal=None if state is None else Seal(state, 0, "" if state == "done" else "as the test says", 1.0, {}),
            damage=tuple(damage),
            inputs=inputs,
        )


TRACKED = "Phase3: per_tile cache retention uses refcount; safe deletion enabled ({} unique cache files tracked)."
SHARING = "Phase3: shared cache detected across master tiles; refcount guard active."
CLEANED = "Phase3: refcount cleanup complete; removed {} files; remaining {} (if any)."


def counted(plan=CHAIN, **request):
    """Return a finished run with reference counting: each cache is removed after its last user, with the log lines."""
    micro = Micro(plan, **request).begin()
    left = {n: sum(n in group for group in plan) for n in micro.frames}
    counts = micro.request.retention == "per_tile"
    if counts:
        if max(left.values()) > 1:
            micro.log(SHARING)
        micro.log(TRACKED.format(sum(count > 0 for count in left.values())))
    for tile, group in enumerate(plan):
        micro.submit(tile, group)
    for tile, group in enumerate(plan):
        micro.work(tile)
        for n in group:
            left[n] -= 1
            if not left[n] and counts:
                micro.remove(n)
                micro.log(f"Removed per-tile cache file: {cache_of(n)}", "DEBUG")
    return (micro.log(CLEANED.format(len(micro.gone), 0)) if counts else micro).finish()


def naive(plan=CHAIN, order=None, **request):
    """Return a finished run that removes a tile's caches when it is made, although other tiles need them."""
    micro = Micro(plan, **request).begin()
    for tile, group in enumerate(plan):
        micro.submit(tile, group)
    for tile in order or range(len(plan)):
        micro.work(tile)
        if micro.outcomes[tile] == "made":
            micro.remove(*(n for n in plan[tile] if n not in micro.gone))
    return micro.finish()


def sds(sizes=(3, 3), *, lost=(), products=True, **request):
    """Return a finished run of SDS with batches of these sizes and no tiles. The batches with indexes in ``lost`` fail."""
    micro = Micro(None, mode="sds", **request)
    for n in micro.frames:
        micro.operation("save", cache_of(n))
    micro.event("run_info_phase1_finished_cache", num_valid_raws=len(micro.frames)).event("PHASE_UPDATE", "2")
    micro.event("sds_on_mega_tile_pipeline")
    micro.event("sds_info_batches_built", count=len(sizes), total_entries=sum(sizes))
    for i, size in enumerate(sizes):
        micro.event("p4_global_coadd_started", images=size)
        if i not in lost:
            micro.event("p4_global_coadd_finished", images=size)
        text = f"[SDS] Batch {i + 1}/{len(sizes)} | frames={size} | success={i not in lost}"
        micro.event(text, batch_index=i + 1, total_batches=len(sizes), images=size, success=i not in lost)
    micro.event("phase5_sds_polish_start").event("sds_mask_cov_summary", min_keep_fraction=0.4)
    micro.event("sds_global_finalize_done").event("PHASE_UPDATE", "6")
    micro.event("run_success_mosaic_saved").event("PHASE_UPDATE", "7")
    if micro.request.retention != "keep":
        micro.operation("rmtree", FOLDER, "attempt").operation("rmtree", FOLDER)
        micro.gone |= set(micro.frames)
    if products:
        micro.mosaic = "outputs/zemosaic_MT0_R6.fits"
    return micro.event("run_success_processing_completed")


def grid(saved=(1, 2, 3), *, empty=(), failed=(), kept=None, products=True, **request):
    """Return a finished run of grid mode with these sky tiles, of which ``kept`` were assembled."""
    micro = Micro(None, mode="grid", **request)
    micro.event("[GRID] Grid/Survey mode activated (stack_plan.csv detected)")
    for n in saved:
        micro.operation("open", f"outputs/tiles/tile_{n:04d}.fits", "attempt", mode="wb")
        micro.event(f"[GRID] Tile {n}: saved to /abs/outputs/tiles/tile_{n:04d}.fits", thread="Grid_0")
    for n in empty:
        micro.event(f"[GRID] Tile {n}: no usable patches")
    for n in failed:
        micro.event(f"[GRID] Tile {n} failed with error: no memory")
    for n in (*saved, *empty):
        micro.event(f"[GRID] [GRID] Tile {n} completed")
    taken = len(saved) if kept is None else kept
    micro.event(f"[GRID] Assembly summary: attempted={len(saved)}, io_fail={len(saved) - taken}, kept={taken}")
    micro.event("[GRID] Photometry: 2 overlaps").event("[GRID] Final mosaic saved to /abs/outputs/mosaic_grid.fits")
    if products:
        micro.mosaic = "outputs/mosaic_grid.fits"
    micro.sky_tiles = tuple(saved)
    return micro.event("[GRID] Grid/Survey mode completed").event("run_success_processing_completed")


def of_mode(mode, **request):
    """Return a finished run of a mode without any failure."""
    return {"classic": counted, "sds": sds, "grid": grid}[mode](**request)


def run_end(plan=CHAIN, **request):
    """Return the record of the same run with run_end."""
    return counted(plan, retention="run_end", role="pair", **request).record()


def runs(micro, pair="made", baseline=None, **record):
    """Return the run of a history and, by default, its pair with run_end."""
    run = micro if isinstance(micro, Record) else micro.record(**record)
    if pair == "made":
        mode = run.request.mode
        pair = None
        if run.request.retention == "per_tile":
            pair = (
                run_end(run.request.plan or CHAIN) if mode == "classic" else of_mode(mode, retention="run_end").record()
            )
        if pair is not None:
            pair = replace(pair, request=replace(run.request, retention="run_end", role="pair"))
    return Comparison(run, pair, baseline)


def prose(verdict):
    """Return a verdict's sentence followed by its causes, as the report shows them."""
    return " ".join([verdict.sentence.render(), *(link.render() for link in verdict.cause)])


ENOENT, EACCES = errno.ENOENT, errno.EACCES
HOLD = HoldStep
