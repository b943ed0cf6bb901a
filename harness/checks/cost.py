"""Check that reference counting does not slow a run: its work grows linearly with the inputs, and Phase 3 takes no longer.

An **input** is a cache that a tile was submitted with: their number is the sum of the group sizes, retries included. The check
looks at three things:

* counts of this run: the removal attempts, and the bookkeeping that the target reports, must be small constants per input;
* time: pairs of runs with ``per_tile`` and ``run_end``, made in turn and alone on the machine. Noise multiplies, so the
  logarithms of the ratios are averaged, with the interval of Student's t, as is usual for few repetitions of a program (Georges,
  Buytaert, Eeckhout, "Statistically rigorous Java performance evaluation", OOPSLA 2007). An exact rank interval needs six pairs
  for 95 %; this one needs three. The check fails if the lower end of the interval is above the limit. CPU time is judged first,
  since a busy machine hardly changes it. Then wall time is judged, which also has waits. On the reference wall time is shown and
  not judged. A wall time that varies too much is only shown if the CPU time excludes a doubling; otherwise the row of times alone
  is unknown (``axis`` is ``time``);
* growth: the exponent of the bookkeeping over runs of growing size, by least squares on logarithms. Quadratic growth has 2.

Without timed pairs and sizes only the counts are judged, and the sentence says so. If pairs or sizes were made and too few of
them can be used, the answer is ``unknown``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from harness.analysis.figure import (
    Evidence,
    Figure,
    Unit,
    largest,
    number_in,
    numbers,
    significant,
    widest,
)
from harness.analysis.phase3 import name_of, phase_3_end, phase_3_start
from harness.checks.base import Check, Premise, Runs
from harness.checks.premises import ALWAYS, REMOVALS, SHARED, TILES, standard
from harness.checks.thresholds import Thresholds
from harness.checks.times import FEWEST_PAIRS, ONLY_SHOWN, Interval, cpu_seconds, ratio_of, student, wall_seconds
from harness.language.message import Message, Value, say
from harness.record.comparison import Comparison
from harness.record.convert import to_json
from harness.record.history import History
from harness.record.reader import Record
from harness.record.tile import is_intermediate
from harness.verdict import Outcome, Verdict

BOOKKEEPING = "phase3_bookkeeping"
FEWEST_SIZES = 5


@dataclass(frozen=True, slots=True)
class Measured:
    """A measured value with the ends of its 95 % interval, the limit of the check, and the single measurements."""

    value: float
    low: float
    high: float
    limit: float
    points: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """The cost of reference counting. ``reported`` is the bookkeeping that the target reports; ``None`` if it reports none."""

    inputs: int
    tiles: int
    caches: int
    attempts: int
    reported: dict[str, float] | None
    pairs: tuple[tuple[float, float], ...]
    left_out: tuple[Message, ...]
    ratio: Interval | None
    cpu_pairs: tuple[tuple[float, float], ...]
    cpu: Interval | None
    sizes: tuple[tuple[int, float], ...]
    exponent: Interval | None

    @property
    def operations(self) -> float | None:
        """Bookkeeping operations per input and tile. Tiles are counted too, so that small groups do not look expensive."""
        reported = (self.reported or {}).get("operations")
        return None if reported is None else reported / (self.inputs + self.tiles)


def _judge(runs: Runs, limits: Thresholds) -> Verdict:
    retention = runs.run.request.retention
    if retention != "per_tile":
        sentence = say("With {retention} no references are counted, so that there is no cost.", retention=retention)
        return Verdict("cost", Outcome.NOT_APPLICABLE, sentence)
    found = _find(runs)
    outcome, sentence = _conclude(runs, found, limits)
    evidence = MappingProxyType(_evidence(found, limits))
    if outcome is Outcome.PASS and (untimed := _untimed(runs, found, limits)) is not None:
        return Verdict("cost", Outcome.UNKNOWN, untimed, evidence, axis="time")
    return Verdict("cost", outcome, sentence, evidence)


def _find(runs: Runs) -> Findings:
    history = runs.run.history
    used = {name_of(path) for tile in history.tiles for path in tile.caches if not is_intermediate(path)}
    pairs, cpu_pairs, left_out = _pairs(runs)
    sizes = tuple(sorted(size for record in runs.sizes if (size := _size(record)) is not None))
    return Findings(
        inputs=_inputs(history),
        tiles=sum(tile.submitted is not None for tile in history.tiles),
        caches=len(used),
        attempts=_attempts(history, used),
        reported=_reported(history),
        pairs=pairs,
        left_out=left_out,
        ratio=ratio_of(pairs),
        cpu_pairs=cpu_pairs,
        cpu=ratio_of(cpu_pairs),
        sizes=sizes,
        exponent=exponent_of(sizes),
    )


def _inputs(history: History) -> int:
    submitted = (tile for tile in history.tiles if tile.submitted is not None)
    return sum(not is_intermediate(path) for tile in submitted for path in tile.caches)


def _attempts(history: History, caches: set[str]) -> int:
    """Count the removal attempts for these files in Phase 3, or the removals if attempts were not traced."""
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


def _reported(history: History) -> dict[str, float] | None:
    """Return the bookkeeping that the target reports; ``None`` if it reports no valid number."""
    events = history.named(BOOKKEEPING)
    if not events:
        return None
    names = ("tiles", "inputs", "registrations", "lookups", "operations", "unlinks", "seconds")
    values = {name: number_in(events[-1].fields, name) for name in names}
    return {name: float(value) for name, value in values.items() if value is not None and value >= 0} or None


_Pairs = tuple[tuple[float, float], ...]


def _pairs(runs: Runs) -> tuple[_Pairs, _Pairs, tuple[Message, ...]]:
    """Return the wall times and the CPU times of Phase 3 of the timed pairs in seconds, and why other pairs are left out."""
    found, cpu, left_out = [], [], []
    for run, pair in runs.timed:
        why = _no_measure(run, pair)
        times, used = (wall_seconds(run), wall_seconds(pair)), (cpu_seconds(run), cpu_seconds(pair))
        if why is not None:
            left_out.append(why)
            continue
        if times[0] is None or times[1] is None:
            left_out.append(say("The start or end of Phase 3 was not recorded in a timed run."))
            continue
        found.append((times[0], times[1]))
        if used[0] is not None and used[1] is not None:
            cpu.append((used[0], used[1]))
    return tuple(found), tuple(cpu), tuple(left_out)


def _no_measure(run: Record, pair: Record) -> Message | None:
    """Return why the times of two runs can't be compared; ``None`` if they can."""
    if not run.usable or not pair.usable:
        return say("A timed run did not finish, or its record is damaged.")
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


def _size(record: Record) -> tuple[int, float] | None:
    """Return the inputs of a run and its bookkeeping operations; ``None`` if one of them is unknown or zero."""
    reported, inputs = _reported(record.history), _inputs(record.history)
    if not record.usable or not reported or not reported.get("operations") or not inputs:
        return None
    return inputs, reported["operations"]


def exponent_of(sizes: Sequence[tuple[int, float]]) -> Interval | None:
    """Return the exponent of growth with its interval, by least squares on logarithms; ``None`` for fewer than five sizes."""
    from scipy import stats  # noqa: PLC0415 -- takes half a second, and most sessions have no such sizes

    if len({inputs for inputs, _ in sizes}) < FEWEST_SIZES:
        return None
    x, y = np.log(np.array(sizes, dtype=np.float64)).T
    fit = stats.linregress(x, y)
    reach = student(len(sizes) - 2) * float(fit.stderr)
    return Interval(float(fit.slope), float(fit.slope) - reach, float(fit.slope) + reach, len(sizes))


def _conclude(runs: Runs, found: Findings, limits: Thresholds) -> tuple[Outcome, Message]:
    attempts = found.attempts / found.inputs
    if attempts > limits["cost.attempts"]:
        return Outcome.FAIL, say(
            "There are {ratio} removal attempts per input (limit {limit}): {attempts} for {inputs} inputs.",
            ratio=attempts,
            limit=limits["cost.attempts"],
            attempts=found.attempts,
            inputs=found.inputs,
        )
    operations = found.operations
    if operations is not None and operations > limits["cost.operations"]:
        return Outcome.FAIL, say(
            "The target reports {ratio} bookkeeping operations per input and tile (limit {limit}), for {inputs} inputs and"
            " {tiles} tiles.",
            ratio=operations,
            limit=limits["cost.operations"],
            inputs=found.inputs,
            tiles=found.tiles,
        )
    if found.exponent is not None and found.exponent.low > limits["cost.exponent"]:
        return Outcome.FAIL, say(
            "Bookkeeping grows faster than the number of inputs: exponent {value}, 95 % interval {low} to {high} (limit {limit}),"
            " from {points} sizes.",
            **_values(found.exponent),
            limit=limits["cost.exponent"],
        )
    if found.cpu is not None and found.cpu.low > limits["cost.cpu"]:
        return Outcome.FAIL, say(
            "Phase 3 takes {value} times the CPU time that it takes with run_end, 95 % interval {low} to {high} (limit {limit}),"
            " from {points} pairs.",
            **_values(found.cpu),
            limit=limits["cost.cpu"],
        )
    if _is_timed(runs) and found.ratio is not None and found.ratio.low > limits["cost.ratio"]:
        return Outcome.FAIL, say(
            "Phase 3 takes {value} times as long as with run_end, 95 % interval {low} to {high} (limit {limit}), from {points}"
            " pairs.",
            **_values(found.ratio),
            limit=limits["cost.ratio"],
        )
    unanswered = _unanswered(runs, found)
    return (Outcome.PASS, _nothing_wrong(found, limits)) if unanswered is None else (Outcome.UNKNOWN, unanswered)


def _is_timed(runs: Runs) -> bool:
    """Return whether wall time is judged, and not only shown."""
    return runs.run.request.target.kind not in ONLY_SHOWN


def _untimed(runs: Runs, found: Findings, limits: Thresholds) -> Message | None:
    """Return why runs that were made to be timed give no answer; ``None`` if they do, or if their times are only shown."""
    if not _is_timed(runs):
        return None
    if runs.timed and found.ratio is None:
        return say(
            "Too few timed pairs of runs can be used: {points} of {made} (at least {fewest} are needed). Run more pairs.",
            points=len(found.pairs),
            made=len(runs.timed),
            fewest=FEWEST_PAIRS,
        )
    if found.ratio is not None and not any(_answers(interval, limits) for interval in (found.ratio, found.cpu)):
        return say(
            "The times vary too much: Phase 3 takes {value} times as long as with run_end, 95 % interval {low} to {high}, from"
            " {points} pairs. The timing check passes only if the confidence interval excludes a slowdown by a factor of"
            " {limit}. Run it again on a quieter machine.",
            **_values(found.ratio),
            limit=limits["cost.ratio_told"],
        )
    return None


def _answers(interval: Interval | None, limits: Thresholds) -> bool:
    """Return whether the interval of a ratio of times was measured and excludes a doubling."""
    return interval is not None and interval.high <= limits["cost.ratio_told"]


def _unanswered(runs: Runs, found: Findings) -> Message | None:
    """Return why runs that were made to have growing sizes give no answer; ``None`` if they do."""
    if runs.sizes and found.exponent is None:
        return say(
            "Too few runs of growing size report their bookkeeping: {points} of {made} (at least {fewest} sizes are needed).",
            points=len(found.sizes),
            made=len(runs.sizes),
            fewest=FEWEST_SIZES,
        )
    return None


def _nothing_wrong(found: Findings, limits: Thresholds) -> Message:
    """Say what was judged, and what was not measured."""
    values: dict[str, Value] = {"attempts": round(found.attempts / found.inputs, 2), "inputs": found.inputs}
    growth: dict[str, Value] = {}
    if found.exponent is not None:
        growth = {f"power_{name}": value for name, value in _values(found.exponent).items()}
    if found.ratio is not None and found.cpu is not None and not _answers(found.ratio, limits):
        return _by_cpu_time(found.cpu, found.ratio, values, growth)
    if found.ratio is not None and growth:
        return say(
            "{attempts} removal attempts per input ({inputs} inputs). Phase 3 takes {value} times as long as with run_end, 95 %"
            " interval {low} to {high}, from {points} pairs. Bookkeeping grows with the inputs to the power {power_value}, 95 %"
            " interval {power_low} to {power_high}.",
            **values,
            **_values(found.ratio),
            **growth,
        )
    if found.ratio is not None:
        return say(
            "{attempts} removal attempts per input ({inputs} inputs). Phase 3 takes {value} times as long as with run_end, 95 %"
            " interval {low} to {high}, from {points} pairs. The growth of the bookkeeping was not measured.",
            **values,
            **_values(found.ratio),
        )
    if growth:
        return say(
            "{attempts} removal attempts per input ({inputs} inputs). Bookkeeping grows with the inputs to the power"
            " {power_value}, 95 % interval {power_low} to {power_high}. Times were not measured.",
            **values,
            **growth,
        )
    return say(
        "{attempts} removal attempts per input ({inputs} inputs). Times and the growth of the bookkeeping were not measured.",
        **values,
    )


def _by_cpu_time(cpu: Interval, wall: Interval, values: Mapping[str, Value], growth: Mapping[str, Value]) -> Message:
    """Say what was judged where the CPU time excludes a doubling and the wall time does not."""
    ends = _values(wall)
    shown = {**values, **_values(cpu), "wall_low": ends["low"], "wall_high": ends["high"]}
    if growth:
        return say(
            "{attempts} removal attempts per input ({inputs} inputs). Phase 3 takes {value} times the CPU time that it takes with"
            " run_end, 95 % interval {low} to {high}, from {points} pairs. Its duration varies too much to be judged: the"
            " interval is {wall_low} to {wall_high}. Bookkeeping grows with the inputs to the power {power_value}, 95 % interval"
            " {power_low} to {power_high}.",
            **shown,
            **growth,
        )
    return say(
        "{attempts} removal attempts per input ({inputs} inputs). Phase 3 takes {value} times the CPU time that it takes with"
        " run_end, 95 % interval {low} to {high}, from {points} pairs. Its duration varies too much to be judged: the interval is"
        " {wall_low} to {wall_high}. The growth of the bookkeeping was not measured.",
        **shown,
    )


def _values(interval: Interval) -> dict[str, Value]:
    low, high = round(interval.low, 3), round(interval.high, 3)
    return {"value": round(interval.value, 3), "low": low, "high": high, "points": interval.points}


def _evidence(found: Findings, limits: Thresholds) -> dict[str, Any]:
    reported = found.reported or {}

    def ends(name: str, interval: Interval | None) -> dict[str, float | None]:
        if interval is None:
            return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
        low, high = significant(interval.low), significant(interval.high)
        return {name: significant(interval.value), f"{name}_low": low, f"{name}_high": high}

    return {
        "inputs": found.inputs,
        "tiles": found.tiles,
        "caches": found.caches,
        "removals_tried": found.attempts,
        "removals_tried_per_input": significant(found.attempts / found.inputs),
        "removals_tried_per_cache": significant(found.attempts / found.caches),
        "bookkeeping_told": found.reported is not None,
        **{
            f"{name}_told_per_input": significant(reported[name] / found.inputs) if name in reported else None
            for name in ("registrations", "lookups", "operations", "unlinks")
        },
        "operations_told_per_input_and_tile": None if found.operations is None else significant(found.operations),
        "inputs_told": reported.get("inputs"),
        "bookkeeping_seconds_told": reported.get("seconds"),
        "timed_pairs": len(found.pairs),
        "timed_pairs_left_out": [to_json(why) for why in found.left_out],
        "phase_3_seconds": [{"per_tile": a, "run_end": b, "ratio": significant(a / b)} for a, b in found.pairs],
        **ends("ratio", found.ratio),
        "ratio_limit": limits["cost.ratio"],
        "phase_3_cpu_seconds": [{"per_tile": a, "run_end": b, "ratio": significant(a / b)} for a, b in found.cpu_pairs],
        **ends("cpu_ratio", found.cpu),
        "cpu_ratio_limit": limits["cost.cpu"],
        # False if noise makes the interval wide: the verdict then rests on counts and growth, not on times.
        "times_show_it": None if found.ratio is None else found.ratio.high <= limits["cost.ratio"],
        "sizes": [{"inputs": inputs, "operations": operations} for inputs, operations in found.sizes],
        **ends("exponent", found.exponent),
        "exponent_limit": limits["cost.exponent"],
    }


def measured_ratio(evidence: Evidence) -> Measured | None:
    """Return the ratio of the durations of Phase 3 from the evidence, with that of each timed pair."""
    pairs = evidence.get("phase_3_seconds")
    rows = [pair for pair in pairs if isinstance(pair, Mapping)] if isinstance(pairs, list | tuple) else []
    points = (number_in(row, "ratio") for row in rows)
    return _measured(evidence, "ratio", tuple(point for point in points if point is not None))


def measured_exponent(evidence: Evidence) -> Measured | None:
    """Return the exponent of the growth of bookkeeping from the evidence."""
    return _measured(evidence, "exponent", ())


def _measured(evidence: Evidence, name: str, points: tuple[float, ...]) -> Measured | None:
    found = numbers(name, f"{name}_low", f"{name}_high", f"{name}_limit")(evidence)
    if found is None:
        return None
    value, low, high, limit = found
    return Measured(value, low, high, limit, points)


def _inputs_seen(runs: Runs) -> Message | None:
    if _inputs(runs.run.history):
        return None
    return say("No tile was submitted with a cache, so that there is no cost per input.")


CHECK = Check(
    "cost",
    say("Is the run as fast as with run_end?"),
    _judge,
    MappingProxyType({"classic": (*ALWAYS, TILES, REMOVALS, Premise("a tile with caches", _inputs_seen))}),
    for_pass=(SHARED,),
    figures=(
        Figure(
            say("duration of Phase 3, relative to run_end"),
            Unit.INTERVAL,
            numbers("ratio", "ratio_low", "ratio_high", "timed_pairs"),
            widest,
            say("duration of Phase 3, to run_end"),
        ),
        Figure(say("removal attempts per input frame"), Unit.COUNT, numbers("removals_tried_per_input"), largest),
    ),
)
