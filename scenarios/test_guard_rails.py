"""The guard rails (0), the code review (1) and the minimal patch (4.1) of the checklist, read in the source of two versions.

Each test answers one line or two. Nothing is run: the source of the version under test is compared with that of the baseline,
statement by statement. What a line says about behaviour, such as a removal that fails, is judged by runs in the other modules.

Marks: ``judges(line)`` names the line of the checklist that is read in the source. ``checklist`` names the lines that the test
answers, as the reports count them.

Fixtures: ``patch_row`` is the verdict on that line. It skips the test if there are no two versions of ZeMosaic to compare, and
is an error if the source does not show the answer. ``explain(verdict)`` writes a verdict out for a failed assertion.
"""

from __future__ import annotations

import pytest

from harness.verdict import Outcome

# One worker runs all of these tests, so that the source is read once.
pytestmark = [pytest.mark.phase3, pytest.mark.xdist_group("patch")]


@pytest.mark.judges("0.1")
@pytest.mark.checklist("0.1", "4.1")
def test_no_file_is_added(patch_row, explain):
    """The patch adds no file to the program, its tests or its data."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("0.2")
@pytest.mark.checklist("0.2")
def test_no_logging_is_set_up(patch_row, explain):
    """The patch adds no logger, handler, level, logging configuration or print; it uses the existing logger."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("0.3")
@pytest.mark.checklist("0.3")
def test_the_batch_size_acts_as_before(patch_row, explain):
    """No changed statement uses a setting other than cache retention, so none uses the batch size."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("0.4")
@pytest.mark.checklist("0.4")
def test_sds_and_grid_change_in_retention_only(patch_row, explain):
    """In the code of SDS and grid mode, and in code that they share, only cache retention changed."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("1.1")
@pytest.mark.checklist("1.1")
def test_phase_3_is_located(patch_row, explain):
    """The source has the pool of Phase 3, the submission of master tiles and the loop over their futures."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("1.2")
@pytest.mark.checklist("1.2")
def test_the_cleanup_block_is_identified(patch_row, explain):
    """The source removes caches for per_tile, before and after the patch."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("1.3")
@pytest.mark.checklist("1.3")
def test_naive_removal_is_replaced(patch_row, explain):
    """Before the patch caches were removed without a count; now a count guards every removal."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("1.4")
@pytest.mark.checklist("1.4")
def test_references_are_counted_first(patch_row, explain):
    """The references of all tiles are counted before the first tile is submitted, each path once for each tile."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("1.5")
@pytest.mark.checklist("1.5")
def test_each_tile_has_a_set_of_normalised_paths(patch_row, explain):
    """A mapping gives the set of paths of each tile; a function normalises each path."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("1.6")
@pytest.mark.checklist("1.6")
def test_a_finished_tile_releases_its_caches(patch_row, explain):
    """The loop over futures decreases the counts of a tile's caches, and tests a count before it removes the cache."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("1.7")
@pytest.mark.checklist("1.7")
def test_a_removal_that_fails_is_told_at_debug(patch_row, explain):
    """The errors of a removal are caught and logged at DEBUG, and the release goes on."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("1.8")
@pytest.mark.checklist("1.8")
def test_no_count_goes_below_zero(patch_row, explain):
    """The source bounds each count at zero when it decreases it."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)


@pytest.mark.judges("4.1")
@pytest.mark.checklist("4.1")
def test_the_patch_is_retention_alone(patch_row, explain):
    """Every changed statement of the program is part of cache retention, and no other file changed."""
    assert patch_row.outcome is Outcome.PASS, explain(patch_row)
