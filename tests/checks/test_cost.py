"""Test the check that reference counting does not slow a run."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checks import cost
from harness.checks.judge import judge
from harness.checks.times import cpu_seconds, ratio_of
from harness.language.message import Message, say
from harness.record.comparison import Comparison
from harness.record.convert import from_json
from harness.record.history import ProcessSample
from harness.session.model import JudgedRun
from harness.verdict import Outcome, Verdict
from tests import micro

SECOND = 10**9


def verdict(runs):
    """Return the verdict of this check alone."""
    return judge(runs, ["cost"])[0]


def telling(operations, plan=micro.CHAIN, **request):
    """Return a run that reports this number of bookkeeping operations."""
    run = micro.counted(plan, **request)
    end = next(e for e in run.events if e.key == "run_info_phase3_finished_from_cache")
    inputs = sum(map(len, plan))
    fields = {"tiles": len(plan), "inputs": inputs, "lookups": 2 * inputs, "operations": operations, "seconds": 0.01}
    run.events.append(replace(end, t=end.t - 1, key=cost.BOOKKEEPING, level="DEBUG", fields=fields))
    return run


def lasting(record, seconds):
    """Return the record with a Phase 3 of this duration."""
    history = record.history
    start = next(e.t for e in history.events if e.key == "run_info_phase3_started_from_cache")
    end = start + round(seconds * SECOND)
    later = tuple(
        replace(e, t=end + n)
        if e.key.startswith(("run_info_phase3_f", "PHASE", "run_s")) and e.t > start + 10**8
        else e
        for n, e in enumerate(history.events)
    )
    return replace(record, history=replace(history, events=later))


def timed(*times, kind="zemosaic"):
    """Return runs with timed pairs of these durations of Phase 3 in seconds (per_tile, run_end)."""
    runs = micro.runs(micro.counted())
    pairs = tuple((lasting(runs.run, a), lasting(runs.pair, b)) for a, b in times)
    return replace(runs, timed=pairs).map(lambda record: of_kind(record, kind))


def of_kind(record, kind):
    """Return the record of a run of another kind of target."""
    return replace(record, request=replace(record.request, target=replace(record.request.target, kind=kind)))


def using(record, cores, step=0.1):
    """Return the record with samples of its processes, which use this number of cores in Phase 3 and none elsewhere."""
    start, end = (
        next(e.t for e in record.history.events if e.key == f"run_info_phase3_{what}_from_cache")
        for what in ("started", "finished")
    )
    times = np.arange(start - SECOND, end + SECOND, round(step * SECOND))
    used = cores * np.clip(times - start, 0, end - start) / SECOND
    samples = tuple(ProcessSample(int(t), 1, 10**8, float(cpu), 4, 20) for t, cpu in zip(times, used, strict=True))
    return replace(record, history=replace(record.history, processes=samples))


def burning(*cores, seconds=10.0, kind="zemosaic"):
    """Return runs with timed pairs of equal durations in which Phase 3 uses these numbers of cores (per_tile, run_end)."""
    runs = timed(*[(seconds, seconds)] * len(cores), kind=kind)
    pairs = tuple((using(run, a), using(pair, b)) for (run, pair), (a, b) in zip(runs.timed, cores, strict=True))
    return replace(runs, timed=pairs)


def sized(power, count=5, factor=5.5):
    """Return runs of growing size whose bookkeeping grows with a power of the inputs."""
    runs = []
    for tiles in range(1, count + 1):
        plan = micro.CHAIN[:1] * tiles
        inputs = sum(map(len, plan))
        runs.append(telling(round(factor * inputs**power), plan, retention="per_tile").record())
    return replace(micro.runs(micro.counted()), sizes=tuple(runs))


def test_counts_alone_pass_and_say_so():
    """Without timed runs and sizes only the counts are judged, and the sentence says what was not measured."""
    found = verdict(micro.runs(micro.counted()))
    assert found.outcome is Outcome.PASS, micro.prose(found)
    assert (found.evidence["inputs"], found.evidence["removals_tried"]) == (10, 6)
    assert found.evidence["removals_tried_per_cache"] == 1.0
    assert found.evidence["bookkeeping_told"] is False
    assert "Times and the growth of the bookkeeping were not measured." in micro.prose(found)


def test_removals_that_are_tried_again_and_again_fail():
    """A policy that repeats each removal with every tile makes too many attempts per input."""
    run = micro.counted()
    end = next(i for i, e in enumerate(run.events) if e.key == "run_info_phase3_finished_from_cache")
    again = [replace(o, t=run.events[end].t - 1) for o in run.operations if o.state == "attempt" and o.op == "remove"]
    run.operations += again * 3
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert "24 for 10 inputs" in micro.prose(found)


def test_bookkeeping_that_is_told_is_held_to_a_constant():
    """The reported operations per input and tile must be below a constant; a search through all other tiles exceeds it."""
    good = verdict(micro.runs(telling(70)))
    assert good.outcome is Outcome.PASS
    assert good.evidence["operations_told_per_input_and_tile"] == pytest.approx(70 / 13, rel=1e-5)
    assert good.evidence["lookups_told_per_input"] == 2.0
    found = verdict(micro.runs(telling(130)))
    assert found.outcome is Outcome.FAIL
    assert "10 bookkeeping operations per input and tile (limit 7)" in micro.prose(found)


def test_an_event_without_valid_numbers_is_ignored():
    """Text, booleans and negative numbers are not taken as reported bookkeeping."""
    run = telling(math.nan)
    run.events[-1] = replace(run.events[-1], fields={"operations": "many", "lookups": True, "inputs": -3})
    assert verdict(micro.runs(run)).evidence["bookkeeping_told"] is False


def test_times_that_agree_pass_with_their_interval():
    """The sentence and the evidence have the interval of the ratio."""
    found = verdict(timed((10.1, 10.0), (9.9, 10.0), (10.2, 10.0), (10.0, 10.0)))
    assert found.outcome is Outcome.PASS
    assert found.evidence["ratio_low"] < 1.0 < found.evidence["ratio_high"]
    assert "Phase 3 takes 1.005 times as long as with run_end, 95 % interval 0.985 to 1.026, from 4 pairs." in (
        micro.prose(found)
    )


def test_a_slower_phase_3_fails():
    """The check fails if the lower end of the interval is above the limit."""
    found = verdict(timed((13.0, 10.0), (13.4, 10.0), (12.8, 10.0)))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["ratio_low"] > 1.10
    assert "95 % interval" in micro.prose(found)


@pytest.mark.parametrize("kind", ["zemosaic", "reference"])
def test_a_slow_release_is_red_by_its_cpu_time(kind):
    """A release that uses more CPU time fails on every target, also where the wall times agree."""
    found = verdict(burning((1.3, 1.0), (1.34, 1.0), (1.28, 1.0), kind=kind))
    assert found.outcome is Outcome.FAIL
    assert found.gates
    assert "times the CPU time" in micro.prose(found)
    assert found.evidence["cpu_ratio_low"] > found.evidence["cpu_ratio_limit"]


@pytest.mark.parametrize("kind", ["zemosaic", "reference"])
def test_equal_cpu_times_pass(kind):
    """CPU times that agree pass, and the evidence has them."""
    found = verdict(burning((1.01, 1.0), (0.99, 1.0), (1.0, 1.0), kind=kind))
    assert found.outcome is Outcome.PASS
    assert found.evidence["cpu_ratio"] == pytest.approx(1.0, abs=0.02)
    assert found.evidence["phase_3_cpu_seconds"][0]["run_end"] == pytest.approx(10.0, abs=0.1)


def test_cpu_time_needs_samples_close_to_the_ends_of_phase_3():
    """With samples far apart beside the duration of Phase 3, or none, its CPU time is not known."""
    run = lasting(micro.counted().record(), 2.0)
    assert cpu_seconds(using(run, 1.5)) == pytest.approx(3.0, abs=0.1)
    assert cpu_seconds(using(run, 1.5, step=0.7)) is None
    assert cpu_seconds(run) is None


def test_on_a_busy_machine_the_reference_is_shown_its_times_and_passes():
    """On the reference wall time never gates, neither as too slow nor as too variable; the interval is shown."""
    for times in (((20.0, 10.0), (9.0, 10.0), (14.0, 10.0)), ((13.0, 10.0), (13.4, 10.0), (12.8, 10.0))):
        found = verdict(timed(*times, kind="reference"))
        assert found.outcome is Outcome.PASS
        assert "95 % interval" in micro.prose(found)


def test_on_a_busy_machine_a_real_target_is_unknown_for_that_row_only():
    """Times that vary too much are unknown for the row of times; the other verdicts on the run stand."""
    found = verdict(timed((20.0, 10.0), (9.0, 10.0), (14.0, 10.0)))
    assert (found.outcome, found.axis, found.gates) == ("unknown", "time", False)
    sound = Verdict("tiles", Outcome.PASS, say("x"))
    assert JudgedRun("k", case="c", role="subject", verdicts=(sound, found)).outcome is Outcome.PASS


def varying(*cores, times=((20.0, 10.0), (9.0, 10.0), (14.0, 10.0)), kind="zemosaic"):
    """Return timed pairs whose wall times vary, in which Phase 3 uses these CPU seconds (per_tile, run_end)."""
    runs = timed(*times, kind=kind)
    pairs = (
        (using(run, a / long), using(pair, b / short))
        for (run, pair), (a, b), (long, short) in zip(runs.timed, cores, times, strict=True)
    )
    return replace(runs, timed=tuple(pairs))


def test_on_a_busy_machine_the_cpu_time_answers():
    """Where the wall time varies and the CPU times agree, the check passes by CPU time and shows the interval of wall time."""
    found = verdict(varying(*[(10.0, 10.0)] * 3))
    assert found.outcome is Outcome.PASS, micro.prose(found)
    assert (found.evidence["cpu_ratio_low"], found.evidence["cpu_ratio_high"]) == pytest.approx((1.0, 1.0), abs=0.02)
    assert found.evidence["ratio_high"] > 2.0
    assert "times the CPU time that it takes with run_end, 95 % interval" in micro.prose(found)
    assert f"the interval is {found.evidence['ratio_low']:.3g}"[:-1] in micro.prose(found)
    sized_too = verdict(replace(varying(*[(10.0, 10.0)] * 3), sizes=sized(1.0).sizes))
    assert "the interval is" in micro.prose(sized_too)
    assert "Bookkeeping grows with the inputs" in micro.prose(sized_too)


def test_on_a_busy_machine_a_slow_release_is_red_by_its_cpu_time():
    """Where the wall time varies and the release uses more CPU time, the check fails."""
    found = verdict(varying((13.0, 10.0), (13.4, 10.0), (12.8, 10.0)))
    assert (found.outcome, found.gates) == ("fail", True)


def test_cpu_times_in_which_a_doubling_could_hide_do_not_answer():
    """Where wall time and CPU time vary, the row of times is unknown."""
    found = verdict(varying((20.0, 10.0), (9.0, 10.0), (14.0, 10.0)))
    assert (found.outcome, found.axis) == ("unknown", "time")


def test_waits_are_red_although_the_cpu_time_agrees():
    """A release that waits makes Phase 3 longer and uses no CPU time: the check fails by wall time."""
    found = verdict(varying(*[(10.0, 10.0)] * 3, times=((13.0, 10.0), (13.4, 10.0), (12.8, 10.0))))
    assert found.outcome is Outcome.FAIL
    assert "times as long as with run_end" in micro.prose(found)


def test_noise_is_no_failure():
    """A mean above the limit does not fail if the interval reaches below the limit."""
    found = verdict(timed((13.0, 10.0), (9.5, 10.0), (12.5, 10.0)))
    assert found.outcome is Outcome.PASS
    assert found.evidence["ratio"] > 1.10 > found.evidence["ratio_low"]
    assert found.evidence["times_show_it"] is False
    assert verdict(timed((10.1, 10.0), (9.9, 10.0), (10.0, 10.0))).evidence["times_show_it"] is True


def test_noise_in_which_a_doubling_could_hide_is_no_pass():
    """If the interval includes a slowdown of 2, the answer is unknown, with the interval and what to do."""
    found = verdict(timed((20.0, 10.0), (9.0, 10.0), (14.0, 10.0)))
    assert found.outcome is Outcome.UNKNOWN
    assert found.evidence["ratio_high"] > 2.0
    assert "passes only if the confidence interval excludes a slowdown by a factor of 2" in micro.prose(found)
    assert "on a quieter machine" in micro.prose(found)


def test_two_pairs_conclude_nothing_about_time():
    """Two timed pairs are in the evidence, and the sentence says that they are too few: unknown."""
    found = verdict(timed((30.0, 10.0), (30.0, 10.0)))
    assert found.outcome is Outcome.UNKNOWN
    assert found.evidence["ratio"] is None
    assert len(found.evidence["phase_3_seconds"]) == 2
    assert "Too few timed pairs of runs can be used: 2 of 2 (at least 3 are needed)." in micro.prose(found)


def test_pairs_that_are_no_measure_are_left_out():
    """Unfinished runs, wrong retentions, another seed, other numbers of tiles and unknown times are left out, with the reason."""
    good = timed((10.0, 10.0)).timed[0]
    other = replace(good[1], request=replace(good[1].request, seed=9))
    fewer = micro.naive().record()
    endless = replace(good[0], history=replace(good[0].history, events=good[0].history.events[:4]))
    bad = (
        (replace(good[0], seal=None), good[1]),
        (good[1], good[1]),
        (good[0], other),
        (fewer, good[1]),
        (endless, good[1]),
    )
    runs = replace(micro.runs(micro.counted()), timed=bad)
    found = verdict(runs.map(lambda record: of_kind(record, "zemosaic")))
    assert (found.outcome, found.evidence["timed_pairs"]) == (Outcome.UNKNOWN, 0)
    told = found.evidence["timed_pairs_left_out"]
    assert len(told) == len(bad)
    for why, part in zip(
        told, ("did not finish", "must be one run", "seed", "different numbers", "not recorded"), strict=True
    ):
        assert part in from_json(why, Message).render()


def test_linear_bookkeeping_passes_and_quadratic_fails():
    """With five sizes the exponent has an interval, and its lower end must not exceed the limit."""
    linear = verdict(sized(1.0))
    assert linear.outcome is Outcome.PASS
    assert linear.evidence["exponent"] == pytest.approx(1.0, abs=0.01)
    assert "grows with the inputs to the power" in micro.prose(linear)
    quadratic = verdict(sized(2.0, factor=0.1))
    assert quadratic.outcome is Outcome.FAIL
    assert quadratic.evidence["exponent_low"] > 1.15
    assert "faster than the number of inputs" in micro.prose(quadratic)
    few = verdict(sized(2.0, count=4))
    assert (few.outcome, few.evidence["exponent"]) == (Outcome.UNKNOWN, None)
    assert "report their bookkeeping: 4 of 4 (at least 5 sizes are needed)" in micro.prose(few)


def test_everything_measured_is_in_one_sentence():
    """The sentence has times and growth; with growth alone it says that times were not measured."""
    both = verdict(replace(timed(*[(10.0 + n / 100, 10.0) for n in range(3)]), sizes=sized(1.0).sizes))
    assert both.outcome is Outcome.PASS
    assert "from 3 pairs. Bookkeeping grows with the inputs to the power" in micro.prose(both)
    assert "Times were not measured" in micro.prose(verdict(sized(1.0)))


@given(st.lists(st.floats(-0.3, 0.3), min_size=3, max_size=8), st.floats(0.5, 2.0))
@settings(max_examples=50, deadline=None)
def test_the_ratio_scales_with_the_times(logs, scale):
    """Times scaled by a factor scale the ratio and its interval; the ratio lies within the interval."""
    pairs = [(math.exp(x), 1.0) for x in logs]
    one, other = ratio_of(pairs), ratio_of([(a * scale, b) for a, b in pairs])
    assert one.low <= one.value * (1 + 1e-12)
    assert one.value <= one.high * (1 + 1e-12)
    for mine, theirs in ((one.value, other.value), (one.low, other.low), (one.high, other.high)):
        assert theirs == pytest.approx(mine * scale)


def test_the_interval_holds_what_it_says():
    """95 % of the intervals from noisy pairs include the true ratio."""
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(2000):
        pairs = [(1.05 * math.exp(x), 1.0) for x in rng.normal(0, 0.1, 4)]
        found = ratio_of(pairs)
        hits += found.low <= 1.05 <= found.high
    assert 0.935 < hits / 2000 < 0.965


@pytest.mark.parametrize("retention", ["run_end", "keep"])
def test_other_retentions_count_no_references(retention):
    """With run_end and keep, and in SDS and grid mode, the check does not apply."""
    assert verdict(micro.runs(micro.counted(retention=retention))).outcome is Outcome.NOT_APPLICABLE
    assert verdict(micro.runs(micro.of_mode("sds"))).outcome is Outcome.NOT_APPLICABLE
    assert verdict(micro.runs(micro.of_mode("grid"))).outcome is Outcome.NOT_APPLICABLE


def premise(run):
    """Return the premise that a run does not meet."""
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.UNKNOWN
    return found.evidence["premise"]


def test_every_premise_is_asked():
    """Sources, Phase 3, an input and a shared cache are required: without one the answer is unknown, with its name."""
    for source in ("tiles", "removals"):
        run = micro.counted()
        run.capabilities = micro.SOURCES - {source}
        assert premise(run) == f"source {source}"
    assert premise(micro.Micro()) == "Phase 3 reached"
    assert premise(micro.Micro().begin().finish()) == "a tile with caches"
    assert premise(micro.counted(micro.PRIVATE)) == "a cache was shared"


def test_the_evidence_is_json():
    """The evidence has built-in types only, also with times and sizes."""
    told = dict(verdict(replace(timed(*[(10.0, 10.0)] * 3), sizes=sized(1.0).sizes)).evidence)
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_a_run_without_a_pair_is_judged():
    """The counts of a run are judged without a pair."""
    assert verdict(Comparison(micro.counted().record())).outcome is Outcome.PASS
