"""Write a sample session with small simulated records in the real formats, judged by the real checks.

There are four panels, two by two, of three frames each. Every tile also takes the frames of the next panel (chain plan). With
naive deletion the last tile finds no cache, and its panel is missing from the mosaic.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from harness.analysis.footprint import outlines, raster
from harness.checks.judge import ALL, judge
from harness.record.comparison import Comparison
from harness.record.history import EVENTS_FORMAT, TRACE_FORMAT
from harness.record.inputs import InputFile, write_inputs
from harness.record.products import PRODUCTS_FORMAT
from harness.record.reader import read_record
from harness.record.request import DatasetFacts, FrameFacts, Hold, Request, TargetFacts
from harness.record.seal import seal
from harness.session.checklist import evaluate, read_lines
from harness.session.integrity import seal_session
from harness.session.model import JudgedRun, RealSet, RunEntry, Session, TestEntry, write_session
from harness.session.rows import with_rows
from harness.session.run_matrix import RUNS
from harness.verdict import Outcome

ROWS, COLUMNS, SCALE, PAD = 90, 120, 0.0015, 5
CANVAS = (int(ROWS * 1.8) + 2 * PAD, int(COLUMNS * 1.8) + 2 * PAD)
FRAMES = 3
SIZE = 4_320_128
CACHE = "outputs/.zemosaic_img_cache"
TILES = "outputs/zemosaic_temp_master_tiles"
# The records have no pixels and no stars: checks that compare them would be unknown.
JUDGED = tuple(name for name in ALL if name not in {"parity", "content", "truth", "accuracy"})
RED = ("cache", "depth", "holes", "logs", "tiles", "warnings")
HOSTILE = "<script>alert('x')</script>\"'&{{ 7*7 }}\u202e\x00"


def cards(panel=0):
    """Return the WCS cards of a panel's frames."""
    across, down = panel % 2, panel // 2
    return {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": 34.2,
        "CRVAL2": 46.6,
        "CRPIX1": COLUMNS / 2 + 0.5 - across * 0.8 * COLUMNS,
        "CRPIX2": ROWS / 2 + 0.5 - down * 0.8 * ROWS,
        "CD1_1": -SCALE,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": SCALE,
    }


def frames(*, hostile=False):
    """Return the frames of the four panels."""
    mark = "<b>&amp;" if hostile else ""
    return tuple(
        FrameFacts(f"{mark}p{p}_{k}.fits", f"{p:032x}{k:032x}", (ROWS, COLUMNS), cards(p), p)
        for p in range(4)
        for k in range(FRAMES)
    )


def a_request(case, role, target, retention, *, held=True, hostile=False):
    """Return the request of one run."""
    known = frames(hostile=hostile)
    by_panel = [tuple(f.name for f in known if f.panel == p) for p in range(4)]
    return Request(
        case=case,
        role=role,
        target=target,
        dataset=DatasetFacts("chain2x2", "synthetic", "d" * 64, known),
        plan=tuple(by_panel[p] + (by_panel[p + 1] if p < 3 else ()) for p in range(4)),
        retention=retention,
        workers=2,
        schedule=(Hold(3, 2, 60.0),) if held else (),
        config={"apply_master_tile_crop": False, "cleanup_temp_artifacts": False},
    )


@dataclass
class Run:
    """Simulate one run and write its record. Times are in seconds since the start."""

    folder: Path
    request: Request
    naive: bool
    hostile: bool = False

    def __post_init__(self):
        self.events, self.trace = [], []
        self.thread = HOSTILE if self.hostile else "ZeMosaic_Ph3"
        self.removed = {}
        self.made = []

    def event(self, t, key, text="", thread="MainThread", **fields):
        """Add a progress event."""
        line = {"thread": thread, "source": "callback", "key": key, "level": "INFO", "text": text, "fields": fields}
        self.events.append((t, line))

    def log(self, t, text):
        """Add a log line."""
        line = {"thread": "MainThread", "source": "log", "key": text, "level": "INFO", "text": text, "fields": {}}
        self.events.append((t, line))

    def op(self, t, op, thread="MainThread", **facts):
        """Add a line of the trace."""
        self.trace.append((t, {"op": op, "thread": thread, **facts}))

    def cache(self, name):
        """Return the cache of a frame."""
        return f"{CACHE}/preprocessed_{Path(name).stem}.npy"

    def write(self, *, sealed=True):
        """Write the whole record and return its folder."""
        self.folder.mkdir(parents=True)
        self.request.write(self.folder / "request.json")
        self.phases_1_and_2()
        end = self.phase_3()
        self.after(end)
        self.files(end + 1.6)
        if sealed:
            seal(self.folder, "done", 0, "", end + 1.6)
        return self.folder

    def phases_1_and_2(self):
        """Write the caches."""
        self.event(0.02, "run_info_processing_started")
        self.event(0.05, "PHASE_UPDATE", "1")
        names = [f.name for f in self.request.dataset.frames]
        for n, name in enumerate(names):
            path = self.cache(name)
            self.op(0.3 + 0.11 * n, "save", state="done", path=path + ".part.npy", size=SIZE)
            self.op(0.31 + 0.11 * n, "rename", state="done", path=path + ".part.npy", to=path)
        self.event(1.7, "PHASE_UPDATE", "2")
        self.event(1.9, "run_info_phase3_started_from_cache")
        self.event(1.9, "PHASE_UPDATE", "3")

    def phase_3(self):
        """Make the tiles with two threads, and return when the last result was collected."""
        plan = self.request.plan
        uses = {name: sum(name in group for group in plan) for group in plan for name in group}
        free, collected = [2.0, 2.0], {}
        if self.request.retention == "per_tile" and not self.naive:
            self.log(1.94, f"Phase3: per_tile cache retention uses refcount ({len(uses)} unique cache files tracked).")
        for tile, group in enumerate(plan):
            caches = [self.cache(n) for n in group]
            self.op(1.95 + 0.01 * tile, "tile", state="submitted", tile=tile, frames=group, caches=caches)
            self.event(1.955 + 0.01 * tile, "MASTER_TILE_COUNT_UPDATE", f"0/{tile + 1}")
        for tile, group in enumerate(plan):
            worker = free.index(min(free))
            thread, start = f"{self.thread}_{worker}", free[worker]
            begin = self.hold(tile, start, collected)
            missing = [n for n in group if self.removed.get(n, 1e9) < begin]
            self.op(start, "tile", thread, state="started", tile=tile, reference=group[0])
            self.event(
                begin, "mastertile_info_creation_started_from_cache", thread=thread, num_raw=len(group), tile_id=tile
            )
            for n in missing:
                fields = {"filename": n, "cache_path": f"/run/{self.cache(n)}", "tile_id": tile}
                self.event(begin + 0.02, "mastertile_warn_cache_file_missing", thread=thread, **fields)
            made = len(missing) < len(group)
            end = begin + (0.5 + 0.13 * len(group) if made else 0.15)
            if made:
                self.made.append((tile, len(group), len(group) - len(missing)))
            else:
                self.event(end - 0.01, "mastertile_error_no_valid_images_from_cache", thread=thread, tile_id=tile)
            path = f"{TILES}/master_tile_{tile:03d}.fits" if made else None
            self.op(end, "tile", thread, state="ended", tile=tile, outcome="made" if made else "failed", path=path)
            collected[tile] = end + 0.03
            self.op(collected[tile], "tile", state="collected", tile=tile)
            if not made:
                self.event(collected[tile], "run_warn_phase3_master_tile_creation_failed_thread", stack_num=tile + 1)
            free[worker] = end + 0.05
            for n in dict.fromkeys(group):
                uses[n] -= 1
                if (
                    self.request.retention == "per_tile"
                    and n not in self.removed
                    and (made if self.naive else not uses[n])
                ):
                    self.remove(n, collected[tile] + 0.01 + 0.008 * (len(self.removed) % 6))
        last = max(collected.values()) + 0.1
        for n, t in enumerate(sorted(collected.values()), 1):
            self.event(t + 0.005, "MASTER_TILE_COUNT_UPDATE", f"{n}/{len(plan)}")
        return last

    def hold(self, tile, start, collected):
        """Return when a tile continues: at once, or after the tile for which the schedule makes it wait."""
        for hold in self.request.schedule:
            if hold.group == tile:
                begin = max(start, collected[hold.until_released] + 0.12)
                facts = {"group": tile, "until_released": hold.until_released}
                self.op(start + 0.001, "hold", state="waiting", reason="", **facts)
                self.op(begin, "hold", state="met", reason="", **facts)
                return begin
        return start

    def remove(self, name, t):
        """Remove a cache."""
        self.removed[name] = t
        self.op(t - 0.001, "remove", state="attempt", path=self.cache(name))
        self.op(t, "remove", state="done", path=self.cache(name), size=SIZE)

    def after(self, end):
        """Write the events of Phases 4 to 7, given the end of Phase 3."""
        self.event(end, "run_info_phase3_finished_from_cache", num_master_tiles=len(self.made))
        for n, key in enumerate(("4", "5", "6")):
            self.event(end + 0.1 + 0.4 * n, "PHASE_UPDATE", key)
        self.event(end + 1.3, "run_success_mosaic_saved")
        self.event(end + 1.4, "PHASE_UPDATE", "7")
        self.op(end + 1.42, "rmtree", state="attempt", path=CACHE)
        self.op(end + 1.45, "rmtree", state="done", path=CACHE)
        self.event(end + 1.5, "run_success_processing_completed")

    def files(self, end):
        """Write the histories, the samples and the products."""
        head = {"pid": 1, "t": 0, "wall": 1764000000.0, "python": "3.11.7", "platform": "any"}
        sources = {"events": ["callback", "log"], "trace": ["tiles", "futures", "removals", "saves", "opens"]}
        for kind, lines, version in (("events", self.events, EVENTS_FORMAT), ("trace", self.trace, TRACE_FORMAT)):
            first = {"format": version, "capabilities": sources[kind], **head}
            rest = [{"t": round(t * 1e9), **line} for t, line in sorted(lines, key=lambda entry: entry[0])]
            text = "".join(json.dumps(line) + "\n" for line in [first, *rest])
            (self.folder / f"{kind}-1.jsonl").write_text(text, encoding="utf-8")
        count = len(self.request.dataset.frames)
        lines = []
        for t in np.arange(0.05, end, 0.1).tolist():
            written = min(count, max(0, int((t - 0.3) / 0.11) + 1))
            live = 0 if t > end - 0.15 else written - sum(r <= t for r in self.removed.values())
            lines.append({"t": round(t * 1e9), "folder": CACHE, "size": live * SIZE, "files": live, "free": 9**11})
        (self.folder / "disk.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        left = [{"path": f"{TILES}/master_tile_{t:03d}.fits", "size": 9, "kind": "tile"} for t, _, _ in self.made]
        left.append({"path": "outputs/mosaic.fits", "size": 9, "kind": "mosaic"})
        (self.folder / "left.jsonl").write_text("".join(json.dumps(line) + "\n" for line in left), encoding="utf-8")
        frames = self.request.dataset.frames
        write_inputs(self.folder, [InputFile(f.name, "same", f.sha256, f.sha256) for f in frames])
        self.products()

    def products(self):
        """Write the measured products of the run."""
        wcs = cards()
        wcs["CRPIX1"] += PAD
        wcs["CRPIX2"] += PAD
        by_name = {f.name: f for f in self.request.dataset.frames}
        depth = np.zeros(CANVAS, np.float32)
        for tile, _, _ in self.made:
            depth += raster(outlines([by_name[self.request.plan[tile][0]]]), wcs, CANVAS)
        covered = depth > 0
        rng = np.random.default_rng(3)
        sky = rng.normal(40, 6, CANVAS)
        for _ in range(140):
            y, x = rng.integers(2, CANVAS[0] - 2), rng.integers(2, CANVAS[1] - 2)
            sky[y - 1 : y + 2, x - 1 : x + 2] += rng.exponential(90)
        grey = np.clip(sky, 0, 255).astype(np.uint8)
        picture = np.dstack([grey, grey, grey, np.where(covered, 255, 0).astype(np.uint8)])
        Image.fromarray(picture, "RGBA").save(self.folder / "thumbnail.png")
        name = HOSTILE if self.hostile else "master_tile"
        tiles = [
            {"path": f"{TILES}/{name}_{t:03d}.fits", "tile": t, "frames": n, "aligned": a, "reference": None}
            for t, n, a in self.made
        ]
        data = {
            "format": PRODUCTS_FORMAT,
            "mosaic": "outputs/mosaic.fits",
            "shape": list(CANVAS),
            "step": 1,
            "wcs": wcs,
        }
        data |= {"tiles": tiles, "thumbnail": "thumbnail.png"}
        (self.folder / "products.json").write_text(json.dumps(data), encoding="utf-8")
        arrays = {"covered": np.packbits(covered), "depth": depth, "stars": np.zeros((0, 3))}
        np.savez_compressed(self.folder / "products.npz", **arrays)


REFERENCE = TargetFacts("reference", "reference", "", "python", {"version": "0.1.0", "defects": []})
NAIVE = TargetFacts(
    "reference", "reference (naive_per_tile_deletion)", "", "python", {"defects": ["naive_per_tile_deletion"]}
)
ZEMOSAIC = TargetFacts(
    "zemosaic", "zemosaic 63bcc2c", "/zm", "python", {"commit": "63bcc2cd4f3d3dc2054e2ee7f70c7bcef101a490"}
)
TEST = "scenarios/test_a_hole_repro.py::"


def sample_session(folder, kind="reference", *, hostile=False, sealed=True):
    """Write a session and return it: the reference with its control, or a real target that loses a tile.

    Parameters
    ----------
    folder
        Folder of the session; created if missing.
    kind
        ``reference``: the run passes and the control fails. ``zemosaic``: the run under validation fails.
    hostile
        Whether names and texts contain markup, which a page must escape.
    sealed
        Whether the record of the judged run is sealed.

    """
    case = f"chain {HOSTILE}" if hostile else "chain"
    target = ZEMOSAIC if kind == "zemosaic" else REFERENCE
    if hostile:
        target = replace(target, label=HOSTILE, identity={"commit": HOSTILE, "version": [HOSTILE]})
    runs, judged = [], []

    def made(role, by, retention, *, naive=False, whole=True):
        key = f"{role}-{retention}"
        path = f"{RUNS}/{key}"
        request = a_request(case, role, by, retention, hostile=hostile)
        Run(folder / path, request, naive=naive, hostile=hostile).write(sealed=whole)
        record = read_record(folder / path)
        seconds = record.seal.seconds if record.seal else 0.0
        state = "done" if record.seal else "not sealed"
        runs.append(
            RunEntry(key, case, role, retention, by.label, "chain2x2", "synthetic", path, state, seconds, "classic", 2)
        )
        return key, record

    def conclude(subject, pair, role, expected=None):
        verdicts = judge(Comparison(subject[1], pair[1]), JUDGED)
        judged.append(JudgedRun(subject[0], pair[0], case=case, role=role, verdicts=verdicts, expected_red=expected))
        return judged[-1]

    pair = made("pair", target, "run_end")
    subject = conclude(made("subject", target, "per_tile", naive=kind == "zemosaic", whole=sealed), pair, "subject")
    if kind == "reference":
        conclude(made("control", NAIVE, "per_tile", naive=True), made("control-pair", NAIVE, "run_end"), "control", RED)
    words = {
        "warnings": ("test_no_event_of_a_lost_cache", "None of the three events of a lost cache is sent."),
        "tiles": ("test_every_submitted_tile_is_made", "num_master_tiles equals tiles_total, retries included."),
        "holes": ("test_the_hole_is_gone", "The sky that must be covered is covered."),
    }
    outcomes = {v.check: v for v in subject.verdicts}
    tests = [
        TestEntry(
            f"{TEST}{name}[{case}]",
            title,
            outcomes[check].outcome,
            outcomes[check].sentence.render(),
            case,
            check,
            subject.run,
            "subject",
            scenario="A",
        )
        for check, (name, title) in words.items()
    ]
    skipped = "no real set here; get it with: phase3 data fetch microobs_hatp32_4panels"
    tests.append(
        TestEntry(
            f"{TEST}test_real[microobs]", HOSTILE if hostile else "On a real set.", Outcome.NOT_EVALUATED, skipped, None
        )
    )
    lines = read_lines()
    lines = tuple(
        replace(line, tests=(f"{TEST}{words['holes'][0]}",)) if "Done" in line.section or "trou" in line.text else line
        for line in lines
    )
    get = "phase3 data fetch {}"
    session = Session(
        created="2026-11-23T12:44:59+00:00",
        target=target.label,
        target_kind=target.kind,
        identity=target.identity,
        command="pytest -m phase3",
        environment={
            "harness": "0.1.0",
            "python": "3.11.7",
            "platform": HOSTILE if hostile else "any",
            "numpy": "2.4.6",
        },
        runs=tuple(runs),
        judged=tuple(judged),
        tests=tuple(tests),
        requirements=evaluate(lines, tests, self_test=target.kind == "reference"),
        real_sets=tuple(
            RealSet(n, judged=False, command=get.format(n)) for n in ("microobs_hatp32_4panels", "seestar_m94_2panels")
        ),
    )
    session = with_rows(session)
    write_session(session, folder)
    seal_session(folder)
    return session
