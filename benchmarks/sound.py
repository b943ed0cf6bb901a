"""Look for false alarms: sound runs of the reference on random skies and plans, each judged by every check.

``python benchmarks/sound.py --times 50`` draws 50 trials, each from a seed: panels and exposures, clouds, a plan (shared
frames, retries, single frames, repeated names, one group, no plan), a retention, a mode and a number of workers. Each run is
compared with its ``run_end`` pair. A failed check is a finding, except for a quality finding that the pair has too (a star-less
frame dims its panel). Findings are printed with the command that repeats them, and the exit status is 1. An ``unknown`` verdict
is printed with its premise: a plan without shared frames tests nothing.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fixtures import plans
from fixtures.datasets import SyntheticSpec, build, grid
from fixtures.frames import Camera
from fixtures.sky import Sky
from harness.checks.findings import names_in
from harness.checks.judge import judge
from harness.record.comparison import Comparison
from harness.record.reader import Record
from harness.record.request import DatasetFacts, Mode, Request, Retention
from harness.run.runner import make_run
from harness.targets.resolve import resolve
from harness.verdict import Outcome, Verdict

# Small frames with some thirty stars each, so that most of a run is imports. SDS needs frames of a Seestar.
CAMERA = Camera(instrument="Seestar S50", shape=(128, 160), hot_pixels=2)
SKY = Sky(ra=83.5, dec=22.0, density=1200.0, faintest=6000.0)
KINDS = ("chain", "hub", "windows", "random", "twice", "private", "single", "one", "none")


@dataclass(frozen=True)
class Trial:
    """Describe one random run: its sky and its request."""

    seed: int
    spec: SyntheticSpec
    kind: str
    mode: Mode
    retention: Retention
    workers: int

    def plan(self, facts: DatasetFacts) -> plans.Plan | None:
        """Return the plan of the trial's kind, the same for the same seed."""
        draw = random.Random(self.seed)
        names = [frame.name for frame in facts.frames]
        kinds: dict[str, Callable[[], plans.Plan | None]] = {
            "chain": lambda: plans.chain(facts),
            "hub": lambda: plans.hub(facts, draw.randrange(len(plans.panels_of(facts)))),
            "windows": lambda: plans.gui_overlap(facts, cap=3),
            "random": lambda: tuple(
                tuple(draw.sample(names, draw.randint(1, len(names)))) for _ in range(draw.randint(2, 4))
            ),
            "twice": lambda: tuple((*group, *group[:1], *group[-1:]) for group in plans.chain(facts)),
            "private": lambda: plans.private(facts),
            "single": lambda: tuple((name,) for name in (*names[:4], *names[:2])),
            "one": lambda: (tuple(names),),
            "none": lambda: None,
        }
        return kinds[self.kind]()


def drawn(seed: int) -> Trial:
    """Draw a trial. Nine successive trials have nine kinds of plan; SDS and grid mode need no plan and take some of ``none``."""
    draw = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    columns, rows = draw.choice([(2, 1), (3, 1), (2, 2)])
    pointings = grid(CAMERA, columns, rows, draw.randint(2, 4), overlap=draw.uniform(0.3, 0.45), seed=seed)
    if draw.random() < 0.4:  # the first frame of a panel has no stars, so its other frames become a retry group
        panel = draw.randrange(columns * rows)
        pointings = tuple(replace(p, clouded=p.panel == panel and p.number == 0) for p in pointings)
    return Trial(
        seed=seed,
        spec=SyntheticSpec(f"sound {seed}", seed, SKY, CAMERA, pointings),
        kind=kind,
        mode=draw.choice(("classic", "sds", "grid")) if kind == "none" else "classic",
        retention=draw.choice(("per_tile", "per_tile", "per_tile", "run_end", "keep")),
        workers=draw.randint(1, 4),
    )


def made(trial: Trial, folder: Path) -> Comparison[Record]:
    """Make a trial's run, and its pair unless the run has ``run_end`` itself."""
    dataset = build(trial.spec, folder / "frames")
    request = Request(
        case="sound",
        role="subject",
        target=resolve("reference", None, folder),
        dataset=dataset.facts,
        plan=trial.plan(dataset.facts),
        retention=trial.retention,
        workers=trial.workers,
        mode=trial.mode,
        seed=trial.seed,
    )
    run = make_run(request, folder / "run", dataset.folder, truth=dataset.truth)
    if trial.retention == "run_end":
        return Comparison(run)
    asked = replace(request, retention="run_end", role="pair")
    return Comparison(run, make_run(asked, folder / "pair", dataset.folder, truth=dataset.truth))


def findings(runs: Comparison[Record], verdicts: Sequence[Verdict]) -> list[str]:
    """Return the findings on a sound run: checks that fail or crash, and an end other than ``done``."""
    found = [
        f"{v.check}: {v.sentence.render()}"
        for v in verdicts
        if v.outcome is Outcome.FAIL and (v.axis == "patch" or not _usual(runs.pair, v))
    ]
    found += [v.sentence.render() for v in verdicts if v.sentence.render().startswith("The check crashed")]
    seal = runs.run.seal
    if seal is None or seal.state != "done" or seal.reason:
        found.append(f"the run: {'never sealed' if seal is None else f'{seal.state} {seal.reason}'}")
    return found


def _usual(pair: Record | None, verdict: Verdict) -> bool:
    """Return whether the pair has the same quality findings."""
    if pair is None:
        return True
    (usual,) = judge(Comparison(pair), [verdict.check])
    return set(names_in(verdict.evidence)) <= set(names_in(usual.evidence))


def main() -> int:
    """Draw, run and judge the trials; print the findings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="the first seed; the others follow")
    options = parser.parse_args()

    started = time.monotonic()
    outcomes: dict[str, Counter[str]] = {}
    alarms = 0
    print("seed  plan     mode     retention  workers  frames  tiles  not passed")
    for seed in range(options.seed, options.seed + options.times):
        trial = drawn(seed)
        with tempfile.TemporaryDirectory(prefix="phase3-sound-") as name:
            runs = made(trial, Path(name))
            verdicts = judge(runs)
            found = findings(runs, verdicts)
        run = runs.run
        for verdict in verdicts:
            outcomes.setdefault(verdict.check, Counter())[str(verdict.outcome)] += 1
        unsure = [
            f"{v.check} ({v.evidence.get('premise', v.sentence.render())})"
            for v in verdicts
            if v.outcome is Outcome.UNKNOWN
        ]
        print(
            f"{seed:<5} {trial.kind:8} {trial.mode:8} {trial.retention:10} {trial.workers:<8} "
            f"{len(run.request.dataset.frames):<7} {len(run.history.tiles):<6} {'; '.join(unsure)}",
            flush=True,
        )
        for line in found:
            print(f"      FINDING {line} (python benchmarks/sound.py --times 1 --seed {seed})", flush=True)
        alarms += bool(found)
    print()
    for check, counter in outcomes.items():
        print(f"{check:10} " + ", ".join(f"{count} {outcome}" for outcome, count in counter.most_common()))
    print(f"{options.times} runs in {time.monotonic() - started:.0f} s: {alarms} with a finding")
    return 1 if alarms else 0


if __name__ == "__main__":
    sys.exit(main())
