"""Test A of the checklist: run the dataset and the settings that made a hole again.

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

pytestmark = [pytest.mark.phase3, pytest.mark.scenario("A")]

MISSING = "mastertile_warn_cache_file_missing"
STARVED = "mastertile_error_no_valid_images_from_cache"
FAILED = "run_warn_phase3_master_tile_creation_failed_thread"


def first_groups(record):
    """Return the submitted groups of frames without retries, since two runs may retry different frames."""
    return sorted(sorted(tile.frames) for tile in record.history.tiles if tile.retry_of is None)


@pytest.mark.judges("crash")
@pytest.mark.checklist(beyond=True)
def test_the_target_does_not_fail_by_itself(verdict, explain):
    """No exception of the target ends a tile, Phase 3 or the run."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("warnings", subject="control")
@pytest.mark.checklist("A.1")
def test_the_very_dataset_and_config_that_made_a_hole(concluded, records):
    """Both runs use the same frames, groups, schedule and settings; with these, the version before the fix loses tiles."""
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
@pytest.mark.checklist("A.1", "4.2")
def test_the_run_before_the_fix_is_red(concluded, explain):
    """Without reference counting the run fails the checks named for it and no others: the harness sees a hole."""
    assert concluded.expected_red
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@pytest.mark.judges("warnings", subject="control", retention="run_end")
@pytest.mark.checklist("A.1")
def test_the_run_before_the_fix_is_green_when_it_keeps_its_caches(judged, control, not_of_every_version, explain):
    """With run_end the version before the fix does not show the bug; a defect that every version has does not count."""
    assert control.shows_the_bug, "\n".join(explain(v) for v in judged.verdicts)
    own = not_of_every_version(judged, control)
    assert not own, "\n".join(explain(v) for v in own)


@pytest.mark.judges("warnings", part=MISSING)
@pytest.mark.checklist("A.3")
def test_no_cache_file_is_missing(verdict, explain):
    """The event mastertile_warn_cache_file_missing is not sent."""
    assert verdict.evidence["counts"][MISSING] == 0, explain(verdict)


@pytest.mark.judges("warnings", part=STARVED)
@pytest.mark.checklist("A.4")
def test_no_tile_is_without_valid_images(verdict, explain):
    """The event mastertile_error_no_valid_images_from_cache is not sent."""
    assert verdict.evidence["counts"][STARVED] == 0, explain(verdict)


@pytest.mark.judges("warnings", part=FAILED)
@pytest.mark.checklist("A.5")
def test_no_master_tile_creation_fails(verdict, explain):
    """The event run_warn_phase3_master_tile_creation_failed_thread is not sent."""
    assert verdict.evidence["counts"][FAILED] == 0, explain(verdict)


@pytest.mark.judges("warnings")
@pytest.mark.checklist("A.2", "4.2")
def test_the_three_events_are_gone(verdict, explain):
    """The run sends no event of a lost cache; if a baseline was run, the verdict states the reduction."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("tiles")
@pytest.mark.checklist("A.6", "4.2")
def test_every_master_tile_is_made(verdict, explain):
    """num_master_tiles equals tiles_total, and every planned tile was made."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("holes")
@pytest.mark.checklist("A.7", "4.2")
def test_the_hole_is_gone(verdict, explain):
    """The final image covers all sky that the same run with run_end covers, and all required sky."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("depth")
@pytest.mark.checklist("4.2")
def test_no_frame_is_lost_on_the_way(verdict, explain):
    """Every frame of a tile goes into the tile or a retry of it; a tile of fewer frames would hide a loss."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("cache")
@pytest.mark.checklist("1.6", "4.2")
def test_every_deletion_is_safe(verdict, explain):
    """Each cache is removed once, after the last tile that uses it, retries included; no cache is left."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("products")
@pytest.mark.checklist("4.2")
def test_what_was_made_stays_made(verdict, explain):
    """No master tile is overwritten or removed before it was read for the last time, and the mosaic is saved."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("truth")
@pytest.mark.checklist("4.2")
def test_the_stars_of_every_panel_are_there(verdict, explain):
    """Star positions and fluxes in each panel equal those with run_end; a panel that lost frames may still be covered."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("content")
@pytest.mark.checklist(beyond=True)
def test_covered_sky_is_sky(verdict, explain):
    """No covered area is padding, and every covered panel shows its stars."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("parity")
@pytest.mark.checklist(beyond=True)
def test_the_outputs_are_those_of_the_pair(verdict, explain):
    """per_tile and run_end give the same mosaic and the same coverage."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("fallback")
@pytest.mark.checklist(beyond=True)
def test_nothing_falls_back_in_silence(verdict, explain):
    """The run uses the classic mode, and has no new fallback."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@pytest.mark.judges("disk")
@pytest.mark.checklist(beyond=True)
def test_caches_free_themselves(verdict, explain):
    """Each cache is removed as soon as no tile needs it; no cache is left."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


def clause(verdict, name):
    """Return the outcome of one clause of the log contract."""
    return verdict.evidence["clauses"][name]["outcome"]


@pytest.mark.judges("logs", part="start")
@pytest.mark.checklist("1.4", "2.1")
def test_the_start_is_said_once_with_the_number_of_caches(verdict, explain):
    """With per_tile one INFO line at the start of Phase 3 gives the number of tracked caches, and the number is right."""
    assert {clause(verdict, name) for name in ("start_line", "start_place", "start_number")} == {"pass"}, explain(
        verdict
    )


@pytest.mark.judges("logs", part="no_warning_per_file")
@pytest.mark.checklist("2.2")
def test_no_deleted_file_is_a_warning(verdict, explain):
    """A deleted file causes no warning."""
    assert clause(verdict, "no_warning_per_file") == "pass", explain(verdict)


@pytest.mark.judges("logs", part="end")
@pytest.mark.checklist("2.3")
def test_the_end_is_said_with_the_number_removed(verdict, explain):
    """Phase 3 ends with at most one INFO line, which is optional; its number is that of the removed files."""
    # "no occasion" means that the line is absent, which the checklist allows.
    assert {clause(verdict, name) for name in ("end_line", "end_numbers")} <= {"pass", "no occasion"}, explain(verdict)


@pytest.mark.judges("logs", part="never_negative")
@pytest.mark.checklist("1.8")
def test_no_number_in_the_log_is_negative(verdict, explain):
    """No count in the log is below zero."""
    assert clause(verdict, "never_negative") == "pass", explain(verdict)


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


@pytest.mark.judges("warnings", retention="run_end")
@pytest.mark.checklist("4.2")
def test_the_pair_is_sound(concluded, explain):
    """The same run with run_end passes, so that per_tile can be compared with it."""
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@pytest.mark.judges("warnings", subject="baseline")
@pytest.mark.checklist("4.2")
def test_nothing_is_worse_than_before_the_patch(judged, newly_red, explain):
    """No check fails that the baseline passes, and none fails with larger figures than on the baseline."""
    new = newly_red(judged)
    assert not new, "\n".join(explain(v) for v in new)
