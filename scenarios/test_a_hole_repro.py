"""Test A of the checklist: the dataset and configuration that made a hole, run again; every sentence of it is a test."""

from __future__ import annotations

import pytest

from harness.verdict import Outcome

pytestmark = [pytest.mark.phase3, pytest.mark.scenario("A")]

MISSING = "mastertile_warn_cache_file_missing"
STARVED = "mastertile_error_no_valid_images_from_cache"
FAILED = "run_warn_phase3_master_tile_creation_failed_thread"


def first_groups(record):
    """Return the groups of frames that were really submitted, retries left out: which frames fail to fit may differ."""
    return sorted(sorted(tile.frames) for tile in record.history.tiles if tile.retry_of is None)


@pytest.mark.judges("warnings", subject="control")
def test_the_very_dataset_and_config_that_made_a_hole(concluded, records):
    """Both runs had the same frames, groups, schedule and settings: those with which the run before the fix loses tiles."""
    assert concluded.expected_red
    run, control = records("subject"), records("control")
    assert run.request.dataset.sha256 == control.request.dataset.sha256
    assert run.request.retention == control.request.retention == "per_tile"
    assert first_groups(run) == first_groups(control)
    assert [h.state for h in run.history.holds if h.state != "waiting"] == ["met"] * len(run.request.schedule)
    assert [h.state for h in control.history.holds if h.state != "waiting"] == ["met"] * len(run.request.schedule)
    assert run.request.config == control.request.config
    assert run.history.settings
    assert control.history.settings
    if run.request.profile == "fast":  # the profile default asks for each version's own defaults
        known = set(run.history.settings) & set(control.history.settings)
        assert {k: run.history.settings[k] for k in known} == {k: control.history.settings[k] for k in known}


@pytest.mark.judges("warnings", subject="control")
def test_the_run_before_the_fix_is_red(concluded, explain):
    """Without counting references the same run is red, by the checks named for it and no others: a hole can be seen."""
    assert concluded.expected_red
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@pytest.mark.judges("warnings", subject="control", retention="run_end")
def test_the_run_before_the_fix_is_green_when_it_keeps_its_caches(concluded, explain):
    """The same target with run_end is green: what is red above is due to the retention of caches and to nothing else."""
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@pytest.mark.judges("warnings", part=MISSING)
def test_no_cache_file_is_missing(verdict, explain):
    """The event mastertile_warn_cache_file_missing stays away."""
    assert verdict.evidence["counts"][MISSING] == 0, explain(verdict)


@pytest.mark.judges("warnings", part=STARVED)
def test_no_tile_is_without_valid_images(verdict, explain):
    """The event mastertile_error_no_valid_images_from_cache stays away."""
    assert verdict.evidence["counts"][STARVED] == 0, explain(verdict)


@pytest.mark.judges("warnings", part=FAILED)
def test_no_master_tile_creation_fails(verdict, explain):
    """The event run_warn_phase3_master_tile_creation_failed_thread stays away."""
    assert verdict.evidence["counts"][FAILED] == 0, explain(verdict)


@pytest.mark.judges("warnings")
def test_the_three_events_are_gone(verdict, explain):
    """None of the three events of a lost cache appears; beside a baseline the reduction is stated."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("tiles")
def test_every_master_tile_is_made(verdict, explain):
    """num_master_tiles equals tiles_total, and every planned tile is among those made."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("holes")
def test_the_hole_is_gone(verdict, explain):
    """The final image covers all sky that its pair with run_end covers and all that its tiles promise."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("depth")
def test_no_frame_is_lost_on_the_way(verdict, explain):
    """Every frame of every tile reaches it, or a retry of it: a tile made from fewer frames would hide a loss."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("cache")
def test_every_deletion_is_safe(verdict, explain):
    """Each cache is removed once, after its last user, retries included, and none is left."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("products")
def test_what_was_made_stays_made(verdict, explain):
    """No master tile is overwritten or removed before its last reader, and the mosaic is there."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("truth")
def test_the_stars_of_every_panel_are_there(verdict, explain):
    """Stars are where and as bright as in the pair, panel by panel: a panel whose frames were lost may still be covered."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("content")
def test_covered_sky_is_sky(verdict, explain):
    """No covered area is padding, and the stars are there."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("parity")
def test_the_outputs_are_those_of_the_pair(verdict, explain):
    """per_tile and run_end give the same mosaic and the same coverage."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("fallback")
def test_nothing_falls_back_in_silence(verdict, explain):
    """The classic mode was taken, and no fallback is new."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("disk")
def test_caches_free_themselves(verdict, explain):
    """Caches go as soon as no tile needs them, and none is left."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


def clause(verdict, name):
    """Return what became of one clause of the log contract."""
    return verdict.evidence["clauses"][name]["outcome"]


@pytest.mark.judges("logs", part="start")
def test_the_start_is_said_once_with_the_number_of_caches(verdict, explain):
    """Under per_tile one INFO line at the start of Phase 3 says how many caches are tracked, and the number is true."""
    assert {clause(verdict, name) for name in ("start_line", "start_place", "start_number")} == {"pass"}, explain(
        verdict
    )


@pytest.mark.judges("logs", part="no_warning_per_file")
def test_no_deleted_file_is_a_warning(verdict, explain):
    """No warning is sent for a file that was deleted."""
    assert clause(verdict, "no_warning_per_file") == "pass", explain(verdict)


@pytest.mark.judges("logs", part="end")
def test_the_end_is_said_with_the_number_removed(verdict, explain):
    """The INFO line at the end of Phase 3 is optional and sent once at most; its number is that of the files removed."""
    # "not met" is a line that is not there, which the checklist allows.
    assert {clause(verdict, name) for name in ("end_line", "end_numbers")} <= {"pass", "not met"}, explain(verdict)


@pytest.mark.judges("logs", part="never_negative")
def test_no_number_in_the_log_is_negative(verdict, explain):
    """No count that the target tells is below zero."""
    assert clause(verdict, "never_negative") == "pass", explain(verdict)


@pytest.mark.judges("accuracy")
def test_findings_of_quality_are_not_new(verdict, explain):
    """What the target always does to stars is shown and does not count against the patch; what is new does."""
    assert verdict.standing != "new", explain(verdict)


@pytest.mark.judges("warnings", retention="run_end")
def test_the_pair_is_sound(concluded, explain):
    """The same run with run_end is green, so that it can serve as the measure for per_tile."""
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@pytest.mark.judges("warnings", subject="baseline")
def test_nothing_is_worse_than_before_the_patch(concluded, newly_red, explain):
    """No check that the baseline passes is red here: the patch cures without making anything else ill."""
    new = newly_red(concluded)
    assert not new, "\n".join(explain(v) for v in new)
