"""Test the conditions that checks share, each with a run that meets it and one that does not."""

import pytest

from harness.checks.premises import EVERY_LEVEL, LOG, NAMED_TWICE, RETRIED
from tests import micro


@pytest.mark.parametrize(
    ("level", "to_info", "to_debug"),
    [
        ("DEBUG", True, True),
        ("info", True, False),
        ("WARNING", False, False),
        ("error", False, False),
        ("CRITICAL", False, False),
        (None, True, True),  # not recorded: the harness asks for DEBUG
    ],
)
def test_a_level_of_the_log_above_the_lines_that_are_judged_is_named(level, to_info, to_debug):
    """A log at INFO lacks what is written at DEBUG, and one above INFO lacks both. Letters may be small."""
    runs = micro.runs(micro.counted(config={} if level is None else {"logging_level": level}))
    for premise, met in ((LOG, to_info), (EVERY_LEVEL, to_debug)):
        missing = premise.met(runs)
        assert (missing is None) is met
        assert met or f"was {level.upper()}: set it to DEBUG" in missing.render()


def test_a_frame_named_twice_in_a_tile_that_was_not_submitted_tests_nothing():
    """Only submitted tiles count references; one that was only started, such as by another maker, does not."""
    twice = micro.counted(((*micro.CHAIN[0], "p0_0.fits"), *micro.CHAIN[1:]))
    assert NAMED_TWICE.met(micro.runs(twice)) is None
    twice.steps = [step for step in twice.steps if step.tile != 0 or step.state != "submitted"]
    assert "names a frame twice" in NAMED_TWICE.met(micro.runs(twice)).render()


def test_a_retry_that_was_announced_and_not_submitted_tests_nothing():
    """The target's event names a retry; without its submission it shared no cache."""
    run = micro.Micro().begin()
    for tile, group in enumerate(micro.CHAIN):
        run.submit(tile, group)
    run.submit(3, micro.CHAIN[0][1:], retry_of=0)
    assert RETRIED.met(micro.runs(run)) is None
    run.steps = [step for step in run.steps if step.tile != 3]
    assert "No retry shared a cache" in RETRIED.met(micro.runs(run)).render()
