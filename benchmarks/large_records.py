"""Measure memory and seconds of judging the largest records: those within the limits, and those beyond them.

Each record is read and judged in a process of its own, with ``python benchmarks/large_records.py``. ``--lines`` changes the size.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from harness.record.seal import seal  # noqa: E402 -- after the path
from tests.requests_ import a_request  # noqa: E402

CHILD = """
import sys, time
from pathlib import Path
from harness.checks.judge import judge
from harness.record.comparison import Comparison
from harness.record.reader import read_record
start = time.monotonic()
try:
    record = read_record(Path(sys.argv[1]))
    read = time.monotonic() - start
    outcomes = sorted({verdict.outcome.value for verdict in judge(Comparison(record))})
    said = f"{len(record.history.events):,} events, {'; '.join(record.beyond) or 'within the limits'}; verdicts: {outcomes}"
except ValueError as error:
    read, said = time.monotonic() - start, str(error)
# Of this program alone: ``ru_maxrss`` has the memory of the process that started it too. Linux only.
status = Path("/proc/self/status").read_text().split("VmHWM:")
most = int(status[1].split()[0]) / 1024
print(f"{most:.0f} MiB, read in {read:.1f} s, judged in {time.monotonic() - start - read:.1f} s: {said}")
"""


def main() -> None:
    """Write each record, and print what reading and judging it takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000, help="lines of the records within the limits")
    parser.add_argument("--only", default="", help="the name of one record")
    options = parser.parse_args()
    for name, write in RECORDS.items():
        if options.only in name:
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place)
                a_request().write(folder / "request.json")
                write(folder, options.lines)
                seal(folder, "done", 0, "", 1.0)
                done = subprocess.run(
                    [sys.executable, "-c", CHILD, place], capture_output=True, text=True, check=False, cwd=ROOT
                )
                print(f"{name}: {done.stdout.strip() or done.stderr.strip()[-300:]}", flush=True)


def _events(folder: Path, entries: Iterator[dict[str, object]]) -> None:
    with (folder / "events-7.jsonl").open("w", encoding="utf-8") as stream:
        head = {"format": "phase3-events/1", "pid": 7, "t": 1, "capabilities": ["callback", "log"]}
        for entry in (head, *entries):
            stream.write(json.dumps(entry) + "\n")


def _callbacks(folder: Path, lines: int) -> None:
    """Write events like ZeMosaic's, each with a text and fields of its own."""
    _events(
        folder,
        (
            {
                "t": time.monotonic_ns(),
                "thread": f"ThreadPoolExecutor-3_{n % 8}",
                "tid": 140_000_000 + n % 8,
                "source": "callback",
                "key": "p3_tile_frame_loaded",
                "level": "DEBUG",
                "text": f"Light frame_{n:06d}.fits of the master tile {n // 12}, aligned with the reference in 0.{n % 997} s",
                "fields": {"tile": n // 12, "frame": f"Light frame_{n:06d}.fits", "seconds": n / 997},
            }
            for n in range(lines - 1)
        ),
    )


def _logs(folder: Path, lines: int) -> None:
    """Write log records of 275 bytes, the mean length in the largest stored run."""
    _events(
        folder,
        (
            {
                "t": time.monotonic_ns(),
                "thread": "MainThread",
                "source": "log",
                "key": "%s: aligned with %s",
                "level": "INFO",
                "text": f"Light frame_{n:06d}.fits: aligned with the reference, " + "and " * 20,
                "fields": {"logger": "ZeMosaicWorker"},
            }
            for n in range(lines - 1)
        ),
    )


def _traces(folder: Path, lines: int) -> None:
    """Write file operations on 100,000 caches."""
    _events(folder, iter(()))
    with (folder / "trace-7.jsonl").open("w", encoding="utf-8") as stream:
        stream.write(json.dumps({"format": "phase3-trace/1", "pid": 7, "t": 1}) + "\n")
        for n in range(lines - 2):
            line = {"op": "open", "t": n, "thread": "w", "state": "attempt", "mode": "r"}
            path = f"outputs/.zemosaic_img_cache/preprocessed_Light frame_{n % 100_000:06d}_0.npy"
            stream.write(json.dumps(line | {"path": path}) + "\n")


def _ten_million(folder: Path, _: int) -> None:
    """Write 10 million short lines."""
    _events(folder, iter(()))
    with (folder / "events-7.jsonl").open("ab") as stream:
        line = b'{"t":9,"thread":"m","source":"log","key":"k","text":"t"}\n'
        for _ in range(100):
            stream.write(line * 100_000)


def _one_line(folder: Path, _: int) -> None:
    """Write a line of a gigabyte."""
    _events(folder, iter(()))
    with (folder / "events-7.jsonl").open("ab") as stream:
        for _ in range(1_000):
            stream.write(b"x" * 1_000_000)


def _mosaic(folder: Path, _: int) -> None:
    """Write masks of 25 million elements, the largest that are made, with holes and noise."""
    _events(folder, iter(()))
    random = np.random.default_rng(1)
    depth = random.integers(1, 40, (5000, 5000)).astype(np.float32)
    covered = random.random((5000, 5000)) > 0.001
    np.savez_compressed(
        folder / "products.npz",
        depth=depth,
        covered=np.packbits(covered),
        constant=np.packbits(~covered),
        stars=random.random((2000, 3)),
    )
    cards = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": 10.0,
        "CRVAL2": 41.0,
        "CRPIX1": 2500.0,
        "CRPIX2": 2500.0,
    }
    data = {
        "format": "phase3-products/1",
        "mosaic": "outputs/m.fits",
        "shape": [5000, 5000],
        "step": 1,
        "wcs": cards | {"CD1_1": -0.0001, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.0001},
        "tiles": [],
        "thumbnail": None,
    }
    (folder / "products.json").write_text(json.dumps(data), encoding="utf-8")


RECORDS: dict[str, Callable[[Path, int], None]] = {
    "events": _callbacks,
    "log records": _logs,
    "file operations": _traces,
    "a mosaic": _mosaic,
    "10 million lines": _ten_million,
    "a line of a gigabyte": _one_line,
}

if __name__ == "__main__":
    main()
