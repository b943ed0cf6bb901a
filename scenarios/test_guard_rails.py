"""The guard rails (§0), the code review (§1) and "minimal" (4.1) of the checklist, read in the source of two versions.

A test a line. Nothing is run: the subject's source is compared with the baseline's, statement by statement. What a line says
about behaviour (a cache that is released once, a removal that fails) is judged by runs besides, in the other scenarios.
"""

from __future__ import annotations

import pytest

from harness.verdict import Outcome

# One worker reads the source for all lines.
pytestmark = [pytest.mark.phase3, pytest.mark.xdist_group("patch")]


@pytest.mark.judges("0.1")
@pytest.mark.checklist("0.1", "4.1")
def test_no_file_is_added(patch_row, explain):
    """The patch adds no file to the program, its tests or its data."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("0.2")
@pytest.mark.checklist("0.2")
def test_no_logging_is_set_up(patch_row, explain):
    """The patch adds no logger, handler, level, configuration or print: it uses the logger that is there."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("0.3")
@pytest.mark.checklist("0.3")
def test_the_batch_size_acts_as_before(patch_row, explain):
    """No changed statement reads, writes or depends on a setting other than the retention's, so on no batch size."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("0.4")
@pytest.mark.checklist("0.4")
def test_sds_and_grid_change_in_retention_only(patch_row, explain):
    """What changed in the code of SDS and grid mode, and in code that they share, is cache retention alone."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("1.1")
@pytest.mark.checklist("1.1")
def test_phase_3_is_located(patch_row, explain):
    """The pool, the submission of master tiles and the loop over their futures are found."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("1.2")
@pytest.mark.checklist("1.2")
def test_the_cleanup_block_is_identified(patch_row, explain):
    """The removal under per_tile is found, before and after the patch."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("1.3")
@pytest.mark.checklist("1.3")
def test_naive_removal_is_replaced(patch_row, explain):
    """A removal without a count was there, and every one that is there now is guarded by a count."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("1.4")
@pytest.mark.checklist("1.4")
def test_references_are_counted_first(patch_row, explain):
    """References of all tiles are counted before the first tile is submitted, each path once a tile."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("1.5")
@pytest.mark.checklist("1.5")
def test_each_tile_has_a_set_of_normalised_paths(patch_row, explain):
    """A mapping leads from a tile to its set of paths, each the result of a function that normalises it."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("1.6")
@pytest.mark.checklist("1.6")
def test_a_finished_tile_releases_its_caches(patch_row, explain):
    """The loop over futures counts a tile's caches down, and removes one past a test of its count."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("1.7")
@pytest.mark.checklist("1.7")
def test_a_removal_that_fails_is_told_at_debug(patch_row, explain):
    """The errors of a removal are caught and logged at DEBUG, and the release goes on."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("1.8")
@pytest.mark.checklist("1.8")
def test_no_count_goes_below_zero(patch_row, explain):
    """Counting down is bounded, as the source reads: no run can make a count negative from outside."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("4.1")
@pytest.mark.checklist("4.1")
def test_the_patch_is_retention_alone(patch_row, explain):
    """Every changed statement of the program is cache retention, and no other file of it changed."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)
