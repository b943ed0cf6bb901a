"""Test B of the checklist: make a large run whose tiles share caches. The disk must not fill, and the run must not slow down.

A test runs once for each case of the scenario (``fixtures/catalogue.py``): a dataset with a plan and settings. Marks: ``judges``
names the check and the run: ``subject`` is "subject" (the version under test, the default), "control" (a version with a bug that
the harness must see) or "baseline" (before the patch), ``retention`` is ``per_tile`` by default. ``checklist`` names the lines of
``docs/checklist.md`` that the test answers (``beyond=True``: none). Fixtures: ``verdict`` is the verdict of the check on the run;
``concluded`` holds all its verdicts, and of a control also whether the checks that must see the bug failed (``expected_red``);
``driven`` is the verdict on a release that is called alone; ``records(subject)`` gives the record of a run,
``newly_red(judged)`` the checks that fail now and are better in a baseline, and ``explain(verdict)`` writes a verdict out for a
failed assertion.
"""

from __future__ import annotations

import pytest

from fixtures.applicable import LARGE_FRAMES, LARGE_PANELS
from harness.verdict import Outcome

pytestmark = [pytest.mark.phase3, pytest.mark.scenario("B")]

# The fewest frames and master tiles of a large run: on the reference (True), and in the subset for a real target (False).
LARGE = {True: (200, 40), False: (LARGE_FRAMES, LARGE_PANELS)}


@pytest.mark.judges("crash")
@pytest.mark.checklist(beyond=True)
def test_the_target_does_not_fail_by_itself(verdict, explain):
    """No exception of the target ends a tile, Phase 3 or the run."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("tiles")
@pytest.mark.checklist("B.1")
def test_a_large_run_makes_every_master_tile(verdict, records, case, explain):
    """The run with per_tile has as many frames and tiles as the checklist asks for, and makes every tile."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)
    run = records("subject")
    frames, tiles = LARGE[case.name == "stress"]
    assert run.request.retention == "per_tile"
    assert len(run.request.dataset.frames) >= frames
    assert len(run.request.plan) >= tiles


@pytest.mark.judges("disk")
@pytest.mark.checklist("B.2")
def test_caches_free_themselves_as_the_run_goes_on(verdict, explain):
    """With per_tile the disk holds little more than the caches still needed; no cache is left; the peak does not rise."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("disk", retention="run_end")
@pytest.mark.checklist("B.2")
def test_run_end_keeps_its_caches_to_the_end_and_no_longer(verdict, explain):
    """With run_end every cache stays until the run ends, and is then removed; per_tile is compared with this."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("disk", retention="keep")
@pytest.mark.checklist("B.2")
def test_keep_leaves_every_cache(verdict, explain):
    """With keep no cache is removed."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("cost")
@pytest.mark.checklist("B.3")
def test_the_run_is_not_slowed(verdict, explain):
    """The work for each frame is constant, and Phase 3 takes no longer than with run_end, in runs timed alone and in turn."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("growth")
@pytest.mark.checklist("B.3")
def test_the_work_of_counting_grows_with_the_inputs(driven, explain):
    """Registration and release, called alone for more and more tiles, take a constant work for each input."""
    assert driven.outcome is Outcome.PASS, explain(driven)


@pytest.mark.judges("growth", subject="control")
@pytest.mark.checklist("B.3")
def test_work_that_grows_with_the_square_is_seen(driven, explain):
    """A reference whose release searches all tiles fails when it is called alone for more and more tiles."""
    assert driven.outcome is Outcome.FAIL, explain(driven)


@pytest.mark.judges("cache")
@pytest.mark.checklist("B.1")
def test_every_deletion_is_safe(verdict, explain):
    """Each cache of the large run is removed once, after the last tile that uses it, retries included."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("warnings")
@pytest.mark.checklist("B.1")
def test_no_cache_is_missed(verdict, explain):
    """The large run sends no event of a lost cache."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("depth")
@pytest.mark.checklist("B.1")
def test_no_frame_is_lost_on_the_way(verdict, explain):
    """Every frame of a tile goes into the tile or a retry of it."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("holes")
@pytest.mark.checklist("B.1")
def test_there_is_no_hole(verdict, explain):
    """The large mosaic covers all sky that the same run with run_end covers, and all required sky."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("parity")
@pytest.mark.checklist(beyond=True)
def test_the_three_retentions_come_to_the_same_outputs(verdict, explain):
    """per_tile, run_end and keep give the same mosaic and the same coverage."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("disk")
@pytest.mark.checklist("B.1")
def test_the_whole_run_is_green(concluded, explain):
    """The large run passes every check that decides on the patch."""
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@pytest.mark.judges("disk", retention="run_end")
@pytest.mark.checklist(beyond=True)
def test_the_pair_is_sound(concluded, explain):
    """The same run with run_end passes, so that per_tile can be compared with it."""
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@pytest.mark.judges("disk", subject="control")
@pytest.mark.checklist("B.2")
def test_caches_that_outlive_their_users_are_seen(concluded, explain):
    """A version that frees its caches wrongly fails the checks named for it: the harness sees such a defect."""
    assert concluded.expected_red
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@pytest.mark.judges("disk", subject="baseline")
@pytest.mark.checklist(beyond=True)
def test_nothing_is_worse_than_before_the_patch(judged, newly_red, explain):
    """No check fails that the baseline passes, and none fails with larger figures than on the baseline."""
    new = newly_red(judged)
    assert not new, "\n".join(explain(v) for v in new)
