"""Test C of the checklist: make a short SDS run. SDS makes no master tiles; its phases 4 and 5 are the coadd and the polish.

A test runs once for each case of the scenario (``fixtures/catalogue.py``): a dataset with a plan and settings. Marks: ``judges``
names the check and the run: ``subject`` is "subject" (the version under test, the default), "control" (a version with a bug that
the harness must see) or "baseline" (before the patch), ``retention`` is ``per_tile`` by default. ``checklist`` names the lines of
``docs/checklist.md`` that the test answers (``beyond=True``: none). Fixtures: ``verdict`` is the verdict of the check on the run;
``concluded`` holds all its verdicts, and of a control also whether the checks that must see the bug failed (``expected_red``);
``records(subject)`` gives the record of a run, ``newly_red(judged)`` the checks that fail now and are better in a baseline, and
``explain(verdict)`` writes a verdict out for a failed assertion.
"""

from __future__ import annotations

import pytest

from harness.verdict import Outcome

pytestmark = [pytest.mark.phase3, pytest.mark.scenario("C")]


@pytest.mark.judges("crash")
@pytest.mark.checklist(beyond=True)
def test_the_target_does_not_fail_by_itself(verdict, explain):
    """No exception of the target ends a tile, Phase 3 or the run."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("fallback")
@pytest.mark.checklist("C.1", "C.2")
def test_sds_is_taken_and_nothing_falls_back(verdict, records, explain):
    """The run uses SDS as asked, through coadd and polish, and has no new fallback."""
    assert records("subject").request.mode == "sds"
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("tiles")
@pytest.mark.checklist("C.1", "C.2")
def test_every_batch_is_coadded(verdict, explain):
    """Every batch that SDS announces goes into the global coadd."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("warnings")
@pytest.mark.checklist(beyond=True)
def test_no_cache_is_missed(verdict, explain):
    """The coadd finds every cache: no event of a lost cache is sent."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("holes")
@pytest.mark.checklist("C.2")
def test_the_sky_is_covered(verdict, explain):
    """The mosaic covers all sky that the same run with run_end covers, and all sky that enough frames show."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("content")
@pytest.mark.checklist("C.2")
def test_covered_sky_is_sky(verdict, explain):
    """No covered area is padding, and every covered panel shows its stars."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("truth")
@pytest.mark.checklist("C.2")
def test_stars_are_where_and_as_bright_as_in_the_pair(verdict, explain):
    """Star positions and fluxes in each panel equal those of the same run with run_end."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("parity")
@pytest.mark.checklist("C.3", "4.3")
def test_the_outputs_are_the_same(verdict, explain):
    """per_tile, run_end, another number of workers and the version before the patch give the same outputs."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("disk")
@pytest.mark.checklist(beyond=True)
def test_no_cache_is_left(verdict, explain):
    """Each cache stays until the coadd has used it; no cache is left."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("fallback")
@pytest.mark.checklist("4.3")
def test_the_whole_run_is_green(concluded, explain):
    """The SDS run passes every check that decides on the patch."""
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@pytest.mark.judges("fallback", retention="run_end")
@pytest.mark.checklist("4.3")
def test_the_pair_is_sound(concluded, explain):
    """The same run with run_end passes, so that per_tile can be compared with it."""
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@pytest.mark.judges("fallback", subject="control")
@pytest.mark.checklist("C.2", "4.3")
def test_a_silent_fallback_is_seen(concluded, explain):
    """A reference that leaves SDS without a message fails on the same frames: the harness sees such a fallback."""
    assert concluded.expected_red
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@pytest.mark.judges("fallback", subject="baseline")
@pytest.mark.checklist("4.3")
def test_nothing_is_worse_than_before_the_patch(judged, newly_red, explain):
    """No check fails that the baseline passes, and none fails with larger figures than on the baseline."""
    new = newly_red(judged)
    assert not new, "\n".join(explain(v) for v in new)


@pytest.mark.judges("coverage")
@pytest.mark.checklist(beyond=True)
def test_the_coverage_map_counts_as_before(verdict, explain):
    """The coverage map is not higher than the number of tiles or frames, and has the scale of the baseline's map."""
    assert verdict.standing != "new", explain(verdict)


@pytest.mark.judges("accuracy")
@pytest.mark.checklist(beyond=True)
def test_findings_of_quality_are_not_new(verdict, explain):
    """No finding of quality is new; one that the baseline has too does not count against the patch."""
    assert verdict.standing != "new", explain(verdict)
