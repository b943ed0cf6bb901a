"""Test C of the checklist: a short SDS run. SDS makes no master tiles; its phases 4 and 5 are the coadd and the polish."""

from __future__ import annotations

import pytest

from harness.verdict import Outcome

pytestmark = [pytest.mark.phase3, pytest.mark.scenario("C")]


@pytest.mark.judges("fallback")
@pytest.mark.checklist("C.1", "C.2")
def test_sds_is_taken_and_nothing_falls_back(verdict, records, explain):
    """The mode that was asked for is the mode that ran, through coadd and polish, and no fallback is new."""
    assert records("subject").request.mode == "sds"
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("tiles")
@pytest.mark.checklist("C.1", "C.2")
def test_every_batch_is_coadded(verdict, explain):
    """All batches that SDS announced went into the global coadd."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("warnings")
@pytest.mark.checklist(beyond=True)
def test_no_cache_is_missed(verdict, explain):
    """None of the three events of a lost cache appears: the coadd finds every cache."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("holes")
@pytest.mark.checklist("C.2")
def test_the_sky_is_covered(verdict, explain):
    """All sky is covered that its pair covers and that enough frames saw."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("content")
@pytest.mark.checklist("C.2")
def test_covered_sky_is_sky(verdict, explain):
    """No covered area is padding, and the stars are there."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("truth")
@pytest.mark.checklist("C.2")
def test_stars_are_where_and_as_bright_as_in_the_pair(verdict, explain):
    """Positions and fluxes by panel are those of the pair."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("parity")
@pytest.mark.checklist("C.3", "4.3")
def test_the_outputs_are_the_same(verdict, explain):
    """per_tile, run_end, another number of workers and the version before the patch come to the same outputs."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("disk")
@pytest.mark.checklist(beyond=True)
def test_no_cache_is_left(verdict, explain):
    """Caches live as long as the coadd needs them, and none is left."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("fallback")
@pytest.mark.checklist("4.3")
def test_the_whole_run_is_green(concluded, explain):
    """Every check that decides on the patch passes on the SDS run."""
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@pytest.mark.judges("fallback", retention="run_end")
@pytest.mark.checklist("4.3")
def test_the_pair_is_sound(concluded, explain):
    """The same run with run_end is green, so that it can serve as the measure."""
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@pytest.mark.judges("fallback", subject="control")
@pytest.mark.checklist("C.2", "4.3")
def test_a_silent_fallback_is_seen(concluded, explain):
    """A reference that leaves SDS without a word is red: on the same frames the harness can see what it looks for."""
    assert concluded.expected_red
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@pytest.mark.judges("fallback", subject="baseline")
@pytest.mark.checklist("4.3")
def test_nothing_is_worse_than_before_the_patch(concluded, newly_red, explain):
    """No check that the baseline passes is red here."""
    new = newly_red(concluded)
    assert not new, "\n".join(explain(v) for v in new)


@pytest.mark.judges("accuracy")
@pytest.mark.checklist(beyond=True)
def test_findings_of_quality_are_not_new(verdict, explain):
    """What the target always does to stars is shown and does not count against the patch; what is new does."""
    assert verdict.standing != "new", explain(verdict)
