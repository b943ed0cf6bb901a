"""Whether counting references slows a run: its work grows with the number of inputs and no faster, and Phase 3 takes no longer.

An **input** is a cache that a tile was submitted with: their number is the sum of the group sizes, retries included. Three
answers:

* counts of this run: removals tried, and what the target tells of its own bookkeeping, per input, are small constants;
* time: pairs of runs with ``per_tile`` and ``run_end``, made alone on the machine and in turn. Noise multiplies, so the
  logarithms of the ratios are averaged, with the interval of Student's t, as is usual for few repetitions of a program (Georges,
  Buytaert, Eeckhout, "Statistically rigorous Java performance evaluation", OOPSLA 2007). An exact interval of ranks needs six
  pairs for 95 %; this one does with three. It fails when even the lower end of the interval is beyond the limit;
* growth: over runs of growing size, the exponent of the bookkeeping by least squares on logarithms. A quadratic one has 2.

Where no pairs or sizes were made the counts alone are judged, and the sentence says so; where they were made and too few of them
can be used, their question is open.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy import stats

from harness.analysis.figure import Figure, Unit, largest, numbers, widest
from harness.analysis.phase3 import name_of, phase_3_end, phase_3_start
from harness.checks.base import Check, Premise, Runs
from harness.checks.premises import ALWAYS, REMOVALS, SHARED, TILES, standard
from harness.checks.thresholds import Thresholds
from harness.convert import to_json
from harness.language.message import Message, Value, say
from harness.record.comparison import Comparison
from harness.record.history import History
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict

BOOKKEEPING = "phase3_bookkeeping"
CONFIDENCE = 0.95
FEWEST_PAIRS = 3
FEWEST_SIZES = 5
_TOLD = ("tiles", "inputs", "registrations", "lookups", "operations", "unlinks", "seconds")


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the ends of its interval, from so many points."""

    value: float
    low: float
    high: float
    points: int


@dataclass(frozen=True, slots=True)
class Findings:
    """What counting references cost. ``told`` is what the target says of it; ``None`` where it says nothing."""

    inputs: int
    tiles: int
    caches: int
    attempts: int
    told: dict[str, float] | None
    pairs: tuple[tuple[float, float], ...]
    left_out: tuple[Message, ...]
    ratio: Interval | None
    sizes: tuple[tuple[int, float], ...]
    exponent: Interval | None

    @property
    def operations(self) -> float | None:
        """Operations of bookkeeping for each input and tile, so that small groups do not seem dear; ``None`` if not told."""
        told = (self.told or {}).get("operations")
        return None if told is None else told / (self.inputs + self.tiles)


def _judge(runs: Runs, limits: Thresholds) -> Verdict:
    retention = runs.run.request.retention
    if retention != "per_tile":
        sentence = say("With {retention} no references are counted: there is no such cost.", retention=retention)
        return Verdict("cost", Outcome.NOT_APPLICABLE, sentence)
    found = _find(runs)
    outcome, sentence = _conclude(found, limits)
    open_question = _open(runs, found, limits) if outcome is Outcome.PASS else None
    if open_question is not None:
        outcome, sentence = Outcome.UNKNOWN, open_question
    return Verdict("cost", outcome, sentence, MappingProxyType(_evidence(found, limits)))


def _find(runs: Runs) -> Findings:
    history = runs.run.history
    used = {name_of(path) for tile in history.tiles for path in tile.caches}
    pairs, left_out = _pairs(runs)
    sizes = tuple(sorted(size for record in runs.sizes if (size := _size(record)) is not None))
    return Findings(
        inputs=_inputs(history),
        tiles=sum(tile.submitted is not None for tile in history.tiles),
        caches=len(used),
        attempts=_attempts(history, used),
        told=_told(history),
        pairs=pairs,
        left_out=left_out,
        ratio=ratio_of(pairs),
        sizes=sizes,
        exponent=exponent_of(sizes),
    )


def _inputs(history: History) -> int:
    return sum(len(tile.caches) for tile in history.tiles if tile.submitted is not None)


def _attempts(history: History, caches: set[str]) -> int:
    """Count the removals of these files that were tried within Phase 3; where no attempts were traced, their outcomes."""
    start, end = phase_3_start(history), phase_3_end(history)
    found = [
        op.state == "attempt"
        for op in history.operations
        if op.op == "remove"
        and name_of(op.path) in caches
        and (start is None or op.t >= start)
        and (end is None or op.t < end)
    ]
    attempts = sum(found)
    return max(attempts, len(found) - attempts)


def _told(history: History) -> dict[str, float] | None:
    """Return what the target tells of its bookkeeping; ``None`` where it tells nothing that can be read."""
    events = history.named(BOOKKEEPING)
    if not events:
        return None
    fields = events[-1].fields
    told = {name: fields[name] for name in _TOLD if name in fields}
    numbers = {
        name: float(value)
        for name, value in told.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    }
    return numbers or None


def _pairs(runs: Runs) -> tuple[tuple[tuple[float, float], ...], tuple[Message, ...]]:
    """Return the Phase 3 times of the timed pairs in seconds, and why pairs are left out."""
    found, left_out = [], []
    for run, pair in runs.timed:
        why = _no_measure(run, pair)
        times = _phase_3_seconds(run), _phase_3_seconds(pair)
        if why is not None:
            left_out.append(why)
        elif times[0] is None or times[1] is None:
            left_out.append(say("Phase 3 was not seen to begin and end."))
        else:
            found.append((times[0], times[1]))
    return tuple(found), tuple(left_out)


def _no_measure(run: Record, pair: Record) -> Message | None:
    """Tell why the times of two runs say nothing about retention."""
    for record in (run, pair):
        if not record.usable:
            return say("A timed run did not reach its end, or its record is damaged.")
    if (run.request.retention, pair.request.retention) != ("per_tile", "run_end"):
        return say("A timed pair must be one run with per_tile and one with run_end.")
    _, why = standard(Comparison(run, pair))
    if why is not None:
        return why
    made = [sum(tile.made for tile in record.history.tiles) for record in (run, pair)]
    if made[0] != made[1]:
        return say(
            "The runs of a timed pair made different numbers of tiles: {run} and {pair}.", run=made[0], pair=made[1]
        )
    return None


def _phase_3_seconds(record: Record) -> float | None:
    start, end = phase_3_start(record.history), phase_3_end(record.history)
    return None if start is None or end is None or end <= start else (end - start) / 1e9


def _size(record: Record) -> tuple[int, float] | None:
    """Return the inputs of a run and its bookkeeping operations; ``None`` where one is not known."""
    told, inputs = _told(record.history), _inputs(record.history)
    if not record.usable or not told or not told.get("operations") or not inputs:
        return None
    return inputs, told["operations"]


def ratio_of(pairs: Sequence[tuple[float, float]]) -> Interval | None:
    """Return the typical ratio of pairs of times with the interval of Student's t; ``None`` for fewer than three."""
    if len(pairs) < FEWEST_PAIRS:
        return None
    logs = np.log([run / pair for run, pair in pairs])
    mean = float(logs.mean())
    reach = _t(len(pairs) - 1) * float(logs.std(ddof=1)) / math.sqrt(len(pairs))
    return Interval(math.exp(mean), math.exp(mean - reach), math.exp(mean + reach), len(pairs))


def exponent_of(sizes: Sequence[tuple[int, float]]) -> Interval | None:
    """Return the exponent of growth with its interval, by least squares on logarithms; ``None`` for fewer than five sizes."""
    if len({inputs for inputs, _ in sizes}) < FEWEST_SIZES:
        return None
    x, y = np.log(np.array(sizes, dtype=np.float64)).T
    fit = stats.linregress(x, y)
    reach = _t(len(sizes) - 2) * float(fit.stderr)
    return Interval(float(fit.slope), float(fit.slope) - reach, float(fit.slope) + reach, len(sizes))


def _t(freedom: int) -> float:
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))


def _conclude(found: Findings, limits: Thresholds) -> tuple[Outcome, Message]:
    attempts = found.attempts / found.inputs
    if attempts > limits["cost.attempts"]:
        sentence = say(
            "Removals are tried {ratio} times an input (limit {limit}): {attempts} for {inputs} inputs.",
            ratio=attempts,
            limit=limits["cost.attempts"],
            attempts=found.attempts,
            inputs=found.inputs,
        )
        return Outcome.FAIL, sentence
    operations = found.operations
    if operations is not None and operations > limits["cost.operations"]:
        sentence = say(
            "The target tells of {ratio} operations of bookkeeping for each input and tile (limit {limit}); there are {inputs}"
            " inputs and {tiles} tiles.",
            ratio=operations,
            limit=limits["cost.operations"],
            inputs=found.inputs,
            tiles=found.tiles,
        )
        return Outcome.FAIL, sentence
    if found.exponent is not None and found.exponent.low > limits["cost.exponent"]:
        sentence = say(
            "Bookkeeping grows faster than the number of inputs: with the power {value}, 95 % interval {low} to {high}"
            " (limit {limit}), over {points} sizes.",
            **_values(found.exponent),
            limit=limits["cost.exponent"],
        )
        return Outcome.FAIL, sentence
    if found.ratio is not None and found.ratio.low > limits["cost.ratio"]:
        sentence = say(
            "Phase 3 is slower than with run_end: {value} times, 95 % interval {low} to {high} (limit {limit}), over {points}"
            " pairs.",
            **_values(found.ratio),
            limit=limits["cost.ratio"],
        )
        return Outcome.FAIL, sentence
    return Outcome.PASS, _nothing_wrong(found, attempts)


def _open(runs: Runs, found: Findings, limits: Thresholds) -> Message | None:
    """Tell what runs were made for and can't answer."""
    if runs.timed and found.ratio is None:
        return say(
            "Pairs of runs that were made to be timed: {made}; those that can be used are too few to conclude from: {points}.",
            made=len(runs.timed),
            points=len(found.pairs),
        )
    if found.ratio is not None and found.ratio.high > limits["cost.ratio_told"]:
        return say(
            "Times differ too much from run to run to tell: Phase 3 takes {value} times as long as with run_end, 95 % interval"
            " {low} to {high}, over {points} pairs, and must be told to take less than {limit} times. Run it again on a quieter"
            " machine.",
            **_values(found.ratio),
            limit=limits["cost.ratio_told"],
        )
    if runs.sizes and found.exponent is None:
        return say(
            "Runs of growing size that were made: {made}; those that tell of their bookkeeping are too few to conclude from:"
            " {points}.",
            made=len(runs.sizes),
            points=len(found.sizes),
        )
    return None


def _nothing_wrong(found: Findings, attempts: float) -> Message:
    """Say what was judged, and what was not."""
    values: dict[str, Value] = {"attempts": round(attempts, 2), "inputs": found.inputs}
    growth: dict[str, Value] = {}
    if found.exponent is not None:
        low, high = round(found.exponent.low, 3), round(found.exponent.high, 3)
        growth = {"power": round(found.exponent.value, 3), "power_low": low, "power_high": high}
    if found.ratio is not None and growth:
        return say(
            "Removals an input: {attempts}, over {inputs} inputs. Phase 3 takes {value} times as long as with run_end, 95 %"
            " interval {low} to {high}, over {points} pairs. Bookkeeping grows with the power {power} of the inputs, interval"
            " {power_low} to {power_high}.",
            **values,
            **_values(found.ratio),
            **growth,
        )
    if found.ratio is not None:
        return say(
            "Removals an input: {attempts}, over {inputs} inputs. Phase 3 takes {value} times as long as with run_end, 95 %"
            " interval {low} to {high}, over {points} pairs. How bookkeeping grows was not measured.",
            **values,
            **_values(found.ratio),
        )
    if growth:
        return say(
            "Removals an input: {attempts}, over {inputs} inputs. Bookkeeping grows with the power {power} of the inputs, 95 %"
            " interval {power_low} to {power_high}. No times were taken, or too few to conclude from: {points} pairs.",
            **values,
            **growth,
            points=len(found.pairs),
        )
    return say(
        "Removals an input: {attempts}, over {inputs} inputs. Counts only: no times were taken, or too few to conclude from"
        " ({points} pairs), and how bookkeeping grows was not measured.",
        **values,
        points=len(found.pairs),
    )


def _values(interval: Interval) -> dict[str, Value]:
    low, high = round(interval.low, 3), round(interval.high, 3)
    return {"value": round(interval.value, 3), "low": low, "high": high, "points": interval.points}


def _evidence(found: Findings, limits: Thresholds) -> dict[str, Any]:
    told = found.told or {}

    def per_input(name: str) -> float | None:
        return float(f"{told[name] / found.inputs:.6g}") if name in told else None

    def ends(name: str, interval: Interval | None) -> dict[str, Any]:
        parts = {"": "value", "_low": "low", "_high": "high"}
        return {
            f"{name}{end}": None if interval is None else float(f"{getattr(interval, part):.6g}")
            for end, part in parts.items()
        }

    return {
        "inputs": found.inputs,
        "tiles": found.tiles,
        "caches": found.caches,
        "removals_tried": found.attempts,
        "removals_tried_per_input": float(f"{found.attempts / found.inputs:.6g}"),
        "removals_tried_per_cache": float(f"{found.attempts / found.caches:.6g}"),
        "bookkeeping_told": found.told is not None,
        **{f"{name}_told_per_input": per_input(name) for name in ("registrations", "lookups", "operations", "unlinks")},
        "operations_told_per_input_and_tile": None if found.operations is None else float(f"{found.operations:.6g}"),
        "inputs_told": told.get("inputs"),
        "bookkeeping_seconds_told": told.get("seconds"),
        "timed_pairs": len(found.pairs),
        "timed_pairs_left_out": [to_json(why) for why in found.left_out],
        "phase_3_seconds": [{"per_tile": a, "run_end": b, "ratio": float(f"{a / b:.6g}")} for a, b in found.pairs],
        **ends("ratio", found.ratio),
        "ratio_limit": limits["cost.ratio"],
        # Not so where noise makes the interval wide: then counts and growth speak, and the times do not.
        "times_show_it": None if found.ratio is None else found.ratio.high <= limits["cost.ratio"],
        "sizes": [{"inputs": inputs, "operations": operations} for inputs, operations in found.sizes],
        **ends("exponent", found.exponent),
        "exponent_limit": limits["cost.exponent"],
    }


def _inputs_seen(runs: Runs) -> Message | None:
    if _inputs(runs.run.history):
        return None
    return say("No tile was submitted with a cache, so there is no input whose cost could be counted.")


CHECK = Check(
    "cost",
    say("Is the run not slowed?"),
    _judge,
    MappingProxyType({"classic": (*ALWAYS, TILES, REMOVALS, Premise("a tile with caches", _inputs_seen))}),
    for_pass=(SHARED,),
    figures=(
        Figure(
            say("duration of Phase 3, relative to run_end"),
            Unit.INTERVAL,
            numbers("ratio", "ratio_low", "ratio_high", "timed_pairs"),
            widest,
        ),
        Figure(say("removal attempts per input frame"), Unit.COUNT, numbers("removals_tried_per_input"), largest),
    ),
)
