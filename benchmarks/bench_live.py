"""Time live bytes and their lower bound, as a ratio to reading the same trace from its file.

``python benchmarks/bench_live.py --events 1e5 1e6`` makes the history of a long run. Its caches are written under a temporary
name, renamed, opened by their tiles and removed after the last one. Each step is timed against ``json.loads`` of as many lines.
All steps alternate in one process; figures are medians, and only their ratios are meaningful.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from types import MappingProxyType

from harness.analysis import lifetimes
from harness.analysis.removals import removals
from harness.record.history import History, Operation, TileStep

FOLDER = "outputs/.zemosaic_img_cache"
GROUP = 20  # own caches of a tile; it borrows as many from the next


def run_of(events: int) -> History:
    """Return a history of about this many events."""
    tiles = max(2, events // (GROUP * 9))
    caches = [f"{FOLDER}/preprocessed_light_{k:07d}.npy" for k in range(GROUP * tiles)]
    operations: list[Operation] = []
    steps: list[TileStep] = []

    def operation(op: str, path: str, state: str = "done", to: str | None = None, size: int | None = None) -> None:
        operations.append(Operation(len(operations) * 1000, 1, "MainThread", op, state, path, to, size, None, None))

    for path in caches:
        operation("save", path + ".part.npy", size=10**6)
        operation("rename", path + ".part.npy", "attempt", to=path)
        operation("rename", path + ".part.npy", to=path, size=10**6)
    for tile in range(tiles):
        group = tuple(caches[GROUP * tile : GROUP * (tile + 2)])
        for path in group:
            operation("open", path, "attempt")
            operation("mmap", path, "attempt")
        now = len(operations) * 1000
        for state in ("submitted", "started", "ended", "collected"):
            facts = (group, group) if state in ("submitted", "started") else ((), ())
            outcome = "made" if state == "ended" else None
            steps.append(TileStep(now, 1, "MainThread", state, tile, *facts, None, outcome, None, None, None))
        for path in caches[GROUP * tile : GROUP * (tile + 1)]:
            operation("remove", path, "attempt")
            operation("remove", path, size=10**6)
    return History((), tuple(operations), tuple(steps), (), (), (), (), frozenset(), (), settings=MappingProxyType({}))


def main() -> None:
    """Time the methods, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=float, nargs="+", default=[1e5, 1e6])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for events in map(int, options.events):
        history = run_of(events)
        lines = [json.dumps({"t": o.t, "op": o.op, "state": o.state, "path": o.path}) for o in history.operations]
        found = lifetimes.lives(history)
        names = lifetimes.cache_names(history)
        methods = {
            "json.loads of every line (floor)": lambda lines=lines: [json.loads(line) for line in lines],
            "lifetimes.live_bytes": lambda h=history: lifetimes.live_bytes(h),
            "lifetimes.lives": lambda h=history: lifetimes.lives(h),
            "lifetimes.lower_bound": lambda f=found: lifetimes.lower_bound(f),
            "lifetimes.areas": lambda f=found: lifetimes.areas(f, f.used, 0, 10**12),
            "lifetimes.outlived": lambda f=found, h=history: lifetimes.outlived(f, h),
            "removals.removals": lambda h=history, n=names: removals(h, n),
        }
        seconds: dict[str, list[float]] = {name: [] for name in methods}
        for _ in range(options.rounds):
            for name, method in methods.items():
                start = time.perf_counter()
                method()
                seconds[name].append(time.perf_counter() - start)
        floor = statistics.median(seconds["json.loads of every line (floor)"])
        print(f"{len(lines):,} events, {len(names):,} caches, {options.rounds} rounds, floor {floor * 1e3:.0f} ms")
        for name, taken in seconds.items():
            print(f"  {name:<34} {statistics.median(taken) / floor:7.3f} x")


if __name__ == "__main__":
    main()
