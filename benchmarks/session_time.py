"""Measure where the time of a session goes: its runs, by target and scenario, and the harness's own share.

``python benchmarks/session_time.py --target zemosaic:PATH@b59a65f --python PYTHON`` makes a session, one run after the other. It
prints the seconds by the clock, the seconds of runs, and the harness's share: datasets, measuring, judging, report. Arguments
after ``--`` go to pytest. The exit status is pytest's.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from harness.session.model import read_session

PROJECT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Make a session, print its times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="reference")
    parser.add_argument("--python", default="")
    parser.add_argument("--root", type=Path, help="the folder of the session (default: a temporary folder)")
    parser.add_argument("rest", nargs="*", help="arguments of pytest")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="phase3-time-") as folder:
        root = options.root or Path(folder)
        started = time.monotonic()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-m", "phase3", f"--phase3-dir={root}"),
                *(f"--phase3-target={options.target}", f"--phase3-python={options.python}", *options.rest),
            ],
            cwd=PROJECT,
            check=False,
        )
        clock = time.monotonic() - started
        session = read_session(next(iter(sorted((root / "sessions").iterdir(), reverse=True))))
    scenarios = {test.case: Path(test.nodeid.partition("::")[0]).stem for test in session.tests if test.case}
    by_target: Counter[tuple[str, str]] = Counter()
    for run in session.runs:
        by_target[run.target, scenarios.get(run.case, run.case)] += round(run.seconds, 1)
    in_runs = sum(run.seconds for run in session.runs)
    for (target, scenario), seconds in sorted(by_target.items()):
        print(f"{target:<40} {scenario:<24} {seconds:7.1f} s")
    print(f"{len(session.runs)} runs, {in_runs:.1f} s of {clock:.1f} s; the harness's own: {1 - in_runs / clock:.1%}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
