"""Measure the cost of probe and watchers on a real run: the ratio of wall times of alternating observed and unobserved runs.

``python benchmarks/probe_cost.py --target zemosaic:PATH@b59a65f --python PYTHON --pairs 7``
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from harness.run.runner import make_run
from harness.session.campaign import Campaign
from harness.session.options import resolve_options
from harness.targets.start import prepare

BARE = Path(__file__).with_name("bare_launch.py")


def unobserved(request, folder, frames):
    """Run the target in a record's folder without probe, guard or watchers; return the seconds."""
    for name in ("work/input", "work/home", "work/tmp", "work/cwd", "outputs"):
        (folder / name).mkdir(parents=True)
    for frame in request.dataset.frames:
        shutil.copyfile(frames / frame.name, folder / "work" / "input" / frame.name)
    request.write(folder / "request.json")
    info = prepare(folder, request)
    argv = [str(BARE) if word.endswith("launch.py") else word for word in info.argv]
    started = time.monotonic()
    with (folder / "console.log").open("wb") as console:
        subprocess.run(
            argv, env=info.env, cwd=info.cwd, stdin=subprocess.DEVNULL, stdout=console, stderr=console, check=True
        )
    seconds = time.monotonic() - started
    if not list((folder / "outputs").glob("*.fits")):
        raise SystemExit(
            f"expected a mosaic of the unobserved run, found no FITS file in outputs: see {folder / 'console.log'}"
        )
    return seconds


def main() -> int:
    """Measure the pairs, print each ratio and the median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", required=True)
    parser.add_argument("--python", default="")
    parser.add_argument("--case", default="gui")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--root", type=Path, default=Path(".phase3"))
    options = parser.parse_args()
    given = {"phase3_target": options.target, "phase3_python": options.python}
    settings = resolve_options(given.get, {}.get)
    ratios = []
    with tempfile.TemporaryDirectory(prefix="phase3-cost-") as name:
        campaign = Campaign(settings, options.root.resolve(), Path(name))
        case = next(c for c in campaign.cases if c.name == options.case)
        # No holds: only the observed side would wait.
        request = replace(campaign.request(case, "subject", "per_tile"), schedule=())
        frames = campaign.dataset(case).folder
        for pair in range(options.pairs + 1):
            seconds = {}
            # The first side alternates, so that a drift of the machine affects both.
            for side in ("observed", "unobserved") if pair % 2 else ("unobserved", "observed"):
                folder = Path(name) / f"{pair}-{side}"
                if side == "observed":
                    record = make_run(request, folder, frames)
                    assert record.seal is not None
                    assert record.seal.state == "done", record.seal.reason
                    seconds[side] = record.seal.seconds
                else:
                    folder.mkdir()
                    seconds[side] = unobserved(request, folder, frames)
                shutil.rmtree(folder)
            ratio = seconds["observed"] / seconds["unobserved"]
            note = "" if pair else " (warm-up, not counted)"
            print(
                f"pair {pair}: {seconds['observed']:.2f} s / {seconds['unobserved']:.2f} s = {ratio:.3f}{note}",
                flush=True,
            )
            if pair:
                ratios.append(ratio)
    print(f"median {statistics.median(ratios):.3f}, from {min(ratios):.3f} to {max(ratios):.3f}, {len(ratios)} pairs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
