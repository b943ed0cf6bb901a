"""Repeat the same run many times, and count how often its verdict is as expected.

``python benchmarks/repeat.py --case chain --times 20 --red zemosaic:PATH@63bcc2c --green zemosaic:PATH@b59a65f --python PYTHON``
runs both targets alternately. The first target must fail exactly the checks that the case names, and may fail those that the case
allows; the second must have a green patch verdict. The exit status is 0 when every run was as expected.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections import Counter
from pathlib import Path

from harness.checks.judge import judge
from harness.record.comparison import Comparison
from harness.record.leftovers import remove_tree
from harness.run.runner import make_run
from harness.session.campaign import Campaign
from harness.session.options import resolve_options
from harness.verdict import Outcome


def main() -> int:
    """Make the runs, count the outcomes, print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", default="chain")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--red", default="reference:naive_per_tile_deletion")
    parser.add_argument("--green", default="reference")
    parser.add_argument("--python", default="")
    parser.add_argument(
        "--root", type=Path, default=Path(".phase3"), help="the folder of datasets and exported targets"
    )
    options = parser.parse_args()

    given = {"phase3_target": options.green, "phase3_control": options.red, "phase3_python": options.python}
    settings = resolve_options(given.get, {}.get)
    found: dict[str, Counter[str]] = {"red": Counter(), "green": Counter()}
    seconds: dict[str, list[float]] = {"red": [], "green": []}
    with tempfile.TemporaryDirectory(prefix="phase3-repeat-") as folder:
        campaign = Campaign(settings, options.root.resolve(), Path(folder))
        case = next(c for c in campaign.cases if c.name == options.case)
        frames = campaign.dataset(case).folder
        pairs = {"red": campaign.run(case, "control", "run_end"), "green": campaign.run(case, "subject", "run_end")}
        expected = {"red": set(case.red_before_fix), "green": set()}
        allowed = {"red": expected["red"] | case.may_be_red, "green": set()}
        requests = {
            "red": campaign.request(case, "control", "per_tile"),
            "green": campaign.request(case, "subject", "per_tile"),
        }
        for number in range(1, options.times + 1):
            for name, request in requests.items():
                record = make_run(request, Path(folder) / f"{number}-{name}", frames)
                verdicts = judge(Comparison(record, pairs[name]))
                red = {v.check for v in verdicts if v.outcome is Outcome.FAIL and v.axis == "patch"}
                unknown = {v.check for v in verdicts if v.outcome is Outcome.UNKNOWN}
                good = expected[name] <= red <= allowed[name] and not unknown - allowed[name]
                found[name][
                    f"{'as expected' if good else 'NOT as expected'}: red {sorted(red)}, unknown {sorted(unknown)}"
                ] += 1
                assert record.seal is not None
                seconds[name].append(record.seal.seconds)
                remove_tree(record.folder)
            print(f"{number}/{options.times}: {dict(found['red'])} {dict(found['green'])}", flush=True)
    for name, target in (("red", options.red), ("green", options.green)):
        median = statistics.median(seconds[name])
        print(f"{name}: {target}, case {options.case}, {options.times} runs, median {median:.1f} s")
        for outcome, count in found[name].most_common():
            print(f"  {count:>3} x {outcome}")
    as_expected = all(not outcome.startswith("NOT") for counter in found.values() for outcome in counter)
    return 0 if as_expected else 1


if __name__ == "__main__":
    sys.exit(main())
