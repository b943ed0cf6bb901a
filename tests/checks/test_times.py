"""Test how long Phase 3 lasted, by the clock and by the CPU time of the target's processes."""

from dataclasses import replace

import pytest

from harness.checks.times import cpu_seconds, wall_seconds
from harness.record.history import ProcessSample
from tests import micro

SECOND = 10**9


def lasting(seconds, *samples):
    """Return a record with a Phase 3 of this duration, and the CPU times of samples so many seconds after its start."""
    run = micro.Micro().event("run_info_phase3_started_from_cache")
    start = run.t
    run.event("run_info_phase3_finished_from_cache")
    run.events[-1] = replace(run.events[-1], t=start + round(seconds * SECOND))
    record = run.record()
    seen = tuple(ProcessSample(start + round(t * SECOND), 1, 10**8, cpu, 4, 20) for t, cpu in samples)
    return replace(record, history=replace(record.history, processes=seen))


@pytest.mark.parametrize(("seconds", "expected"), [(2.5, 2.5), (0.001, 0.001), (0.0, None), (-1.0, None)])
def test_the_wall_time_is_from_the_start_to_the_end_of_phase_3(seconds, expected):
    """The time is in seconds. A phase that ends when it starts, or before, has no duration to divide by."""
    assert wall_seconds(lasting(seconds)) == expected


def test_without_a_start_or_an_end_there_is_no_time():
    """A run that was cut within Phase 3, or that did not reach it, has no duration."""
    whole = lasting(2.0, (0, 0.0), (1, 1.0), (2, 2.0))
    for kept in (0, 1):
        events = whole.history.events[kept : kept + 1]
        record = replace(whole, history=replace(whole.history, events=events))
        assert (wall_seconds(record), cpu_seconds(record)) == (None, None)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([(-0.2, 1.0), (0.2, 1.4), (1.9, 3.0), (2.1, 3.4)], 2.0),  # from 1.2 to 3.2, between samples
        ([(-0.2, 1.0), (0.2, 1.4), (1.8, 3.0), (2.2, 3.4)], 2.0),  # the distance may be a quarter of the phase, 0.5 s
        ([(-0.6, 1.0), (-0.2, 1.0), (0.2, 1.4), (1.8, 3.0), (2.2, 3.4)], 2.0),  # of the samples around an end only
        ([(-0.3, 1.0), (0.3, 1.4), (1.8, 3.0), (2.2, 3.4)], None),
        ([(-0.2, 1.0), (0.2, 1.4), (1.6, 3.0), (2.2, 3.4)], None),
        ([(0.1, 1.2), (0.2, 1.4), (1.8, 3.0), (2.2, 3.4)], None),  # none before the start
        ([(-0.2, 1.0), (0.2, 1.4), (1.8, 3.0), (1.9, 3.4)], None),  # none after the end
        ([(-0.2, 1.0), (0.2, 1.0), (1.8, 1.0), (2.2, 1.0)], None),  # processes that used nothing were not measured
        ([(1.0, 1.0)], None),
        ([], None),
    ],
)
def test_the_cpu_time_is_read_between_samples_around_the_ends_of_phase_3(samples, expected):
    """Both ends of the phase of 2 s must lie between samples at most half a second apart."""
    found = cpu_seconds(lasting(2.0, *samples))
    assert found == (None if expected is None else pytest.approx(expected))
