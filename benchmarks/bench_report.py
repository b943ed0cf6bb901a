"""Measure what writing the pages of a session costs for each run, and how large the pages become.

``python benchmarks/bench_report.py SESSION --runs 36 200`` makes sessions of so many judged runs from a stored session. Each case
is repeated under another name, with its records, verdicts and tests. Records are hard links where the file
system has them; nothing in them is written. The pages of both sessions are written in turn, in one process each, so that a noisy
machine slows both. The time for each further run is the difference of a pair, in seconds of the processor.

Measured: reading and checking the records, drawing, and writing both pages; not the summaries, nor judging again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from harness.session.model import JudgedRun, Session, read_session, write_session

PROJECT = Path(__file__).resolve().parents[1]
TIMED = """
import sys, time
from pathlib import Path
from reports.html.render import pages
from reports.material import Material
started = time.process_time(), time.monotonic()
made = pages(Material(Path(sys.argv[1])))
print(time.process_time() - started[0], time.monotonic() - started[1], max(map(len, made.values())))
"""


def repeated(folder: Path, source: Path, runs: int) -> Session:
    """Write a session of at least so many judged runs, made of copies of another; return it."""
    session = read_session(source)
    times = max(1, -(-runs // len(session.judged)))
    records = {run.record for run in session.runs}
    entries, judged, tests = [], [], []
    for number in range(1, times + 1):
        end = f"-{number}"
        for record in sorted(records):
            shutil.copytree(source / record, folder / f"{record}{end}", copy_function=_linked)
        entries += [replace(r, key=r.key + end, case=r.case + end, record=r.record + end) for r in session.runs]
        judged += [_renamed(one, end) for one in session.judged]
        tests += [
            replace(
                test,
                nodeid=test.nodeid + end,
                case=test.case and test.case + end,
                run=test.run and test.run + end,
            )
            for test in session.tests
        ]
    made = replace(session, runs=tuple(entries), judged=tuple(judged), tests=tuple(tests))
    write_session(made, folder)
    return made


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _renamed(judged: JudgedRun, end: str) -> JudgedRun:
    keys = judged.map(lambda key: key + end)
    return replace(judged.with_keys(keys), case=judged.case + end)


def timed(folder: Path) -> tuple[float, float, int]:
    """Write the pages in a process of their own; return seconds (processor, clock) and the larger page's bytes."""
    words = [sys.executable, "-c", TIMED, str(folder)]
    done = subprocess.run(words, cwd=PROJECT, check=True, capture_output=True, text=True)
    cpu, clock, size = done.stdout.split()
    return float(cpu), float(clock), int(size)


def main() -> None:
    """Make the sessions, time their pages in pairs, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("session", type=Path)
    parser.add_argument("--runs", type=int, nargs=2, default=[36, 200], metavar=("FEW", "MANY"))
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="phase3-report-", dir=options.session.absolute().parent) as root:
        folders = [Path(root) / str(count) for count in options.runs]
        counts = []
        for folder, count in zip(folders, options.runs, strict=True):
            folder.mkdir()
            counts.append(len(repeated(folder, options.session, count).judged))
        pairs = [tuple(map(timed, folders)) for _ in range(options.pairs)]
    for place, count in enumerate(counts):
        cpu, clock = (statistics.median(pair[place][part] for pair in pairs) for part in (0, 1))
        size = max(pair[place][2] for pair in pairs)
        print(
            f"{count:>4} judged runs: {cpu:6.1f} s of the processor, {clock:6.1f} s by the clock, {size / 1e6:5.1f} MB a page"
        )
    if counts[1] > counts[0]:
        each = [(many[0] - few[0]) / (counts[1] - counts[0]) for few, many in pairs]
        print(
            f"each further run: {statistics.median(each) * 1e3:.0f} ms ({min(each) * 1e3:.0f} to {max(each) * 1e3:.0f})"
        )


if __name__ == "__main__":
    main()
