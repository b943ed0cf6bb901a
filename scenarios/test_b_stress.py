"""Test B of the checklist: a large run whose tiles share caches. The disk must not fill, and the run must not slow down."""

from __future__ import annotations

import pytest

from harness.verdict import Outcome

pytestmark = [pytest.mark.phase3, pytest.mark.scenario("B")]

# At least so many frames and master tiles: on the reference, and in the subset that a real target runs.
LARGE = {True: (200, 40), False: (96, 12)}


@pytest.mark.judges("tiles")
@pytest.mark.checklist("B.1")
def test_a_large_run_makes_every_master_tile(verdict, records, case, explain):
    """The run has as many frames and tiles as the test asks for, under per_tile, and makes every tile."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)
    run = records("subject")
    frames, tiles = LARGE[case.name == "stress"]
    assert run.request.retention == "per_tile"
    assert len(run.request.dataset.frames) >= frames
    assert len(run.request.plan) >= tiles


@pytest.mark.judges("disk")
@pytest.mark.checklist("B.2")
def test_caches_free_themselves_as_the_run_goes_on(verdict, explain):
    """Bytes on disk under per_tile follow the lower bound of any safe policy; nothing is left; the peak does not rise."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("disk", retention="run_end")
@pytest.mark.checklist("B.2")
def test_run_end_keeps_its_caches_to_the_end_and_no_longer(verdict, explain):
    """Beside it, run_end holds every cache until the run ends, and leaves none: that is what per_tile is measured against."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("disk", retention="keep")
@pytest.mark.checklist("B.2")
def test_keep_leaves_every_cache(verdict, explain):
    """Beside it, keep removes nothing."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("cost")
@pytest.mark.checklist("B.3")
def test_the_run_is_not_slowed(verdict, explain):
    """Work per input is constant, and Phase 3 takes no longer than with run_end, by runs timed in turn and alone."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("cache")
@pytest.mark.checklist("B.1")
def test_every_deletion_is_safe(verdict, explain):
    """Each of the many caches is removed once, after its last user, retries included."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("warnings")
@pytest.mark.checklist("B.1")
def test_no_cache_is_missed(verdict, explain):
    """None of the three events of a lost cache appears in a large run either."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("depth")
@pytest.mark.checklist("B.1")
def test_no_frame_is_lost_on_the_way(verdict, explain):
    """Every frame of every tile reaches it, or a retry of it."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("holes")
@pytest.mark.checklist("B.1")
def test_there_is_no_hole(verdict, explain):
    """The large mosaic covers all sky that its pair with run_end covers and all that its tiles promise."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("parity")
@pytest.mark.checklist(beyond=True)
def test_the_three_retentions_come_to_the_same_outputs(verdict, explain):
    """per_tile, run_end and keep give the same mosaic and the same coverage."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("disk")
@pytest.mark.checklist("B.1")
def test_the_whole_run_is_green(concluded, explain):
    """Every check that decides on the patch passes on the large run."""
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@pytest.mark.judges("disk", retention="run_end")
@pytest.mark.checklist(beyond=True)
def test_the_pair_is_sound(concluded, explain):
    """The same run with run_end is green, so that it can serve as the measure."""
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@pytest.mark.judges("disk", subject="control")
@pytest.mark.checklist("B.2")
def test_caches_that_outlive_their_users_are_seen(concluded, explain):
    """A run that frees its caches wrongly is red by the checks named for it: the harness can see what it looks for here."""
    assert concluded.expected_red
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@pytest.mark.judges("disk", subject="baseline")
@pytest.mark.checklist(beyond=True)
def test_nothing_is_worse_than_before_the_patch(concluded, newly_red, explain):
    """No check that the baseline passes is red here."""
    new = newly_red(concluded)
    assert not new, "\n".join(explain(v) for v in new)
