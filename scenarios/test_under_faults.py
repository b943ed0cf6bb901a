"""Part 1 of the checklist in whole runs: the release of caches when a removal, a tile or a frame fails, or a group is retried.

The release is a function within a function, which no test can call from outside. So each run meets a fault, or two that do not
interfere. Its direct effect (the tile that it ends, the frame whose cache it deletes) counts as the fault's; everything else is
judged as in any other run. No run can make a count negative; for that, the release is taken out of the target and called alone.
``test_guard_rails.py`` reads the same lines of the checklist in the source.

A test runs once for each case of its occasion (``fixtures/catalogue.py``): a dataset with a plan and faults. Marks: ``scenario``
names the occasion, the event in the run; ``put_to_the_test`` requires that it happened. ``judges`` names the check and the run:
"subject" (the version under test, the default) or "control" (a version with a bug that the harness must see). ``checklist`` names
the lines of ``docs/checklist.md`` that the test answers. Fixtures: ``verdict`` is the verdict of the check on the run;
``concluded`` holds all its verdicts, and of a control also whether the checks that must see the bug failed (``expected_red``);
``records(subject)`` gives the record of a run; ``driven`` is the verdict on a release that is called alone;
``explain(verdict)`` writes a verdict out for a failed assertion.
"""

from __future__ import annotations

import pytest

from harness.verdict import Outcome

pytestmark = pytest.mark.phase3

refused = pytest.mark.scenario("1", occasion="refused removal")
failed = pytest.mark.scenario("1", occasion="failed tile")
missing = pytest.mark.scenario("1", occasion="missing cache")
twice = pytest.mark.scenario("1", occasion="frame named twice")
retry = pytest.mark.scenario("1", occasion="retry")
put_to_the_test = pytest.mark.usefixtures("put_to_the_test")


def clauses(verdict, *names):
    """Return the outcomes of clauses of the log contract."""
    return {verdict.evidence["clauses"][name]["outcome"] for name in names}


@refused
@pytest.mark.judges("products")
@pytest.mark.checklist("1.7")
def test_a_refused_removal_ends_no_run(verdict, records, explain):
    """A cache that can't be deleted, denied or in use, does not stop the run: it ends, and the mosaic is saved."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)
    assert records("subject").seal.state == "done"


@refused
@pytest.mark.judges("crash")
@pytest.mark.checklist("1.7")
def test_a_refused_removal_raises_nothing(verdict, explain):
    """No exception of the target ends a tile, Phase 3 or the run when a cache can't be deleted."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@refused
@pytest.mark.judges("tiles")
@pytest.mark.checklist("1.7")
def test_all_tiles_are_made_past_a_refused_removal(verdict, explain):
    """Every master tile is made, before and after the removal that fails."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@refused
@pytest.mark.judges("logs")
@pytest.mark.checklist("1.7")
def test_a_refused_removal_is_told_at_debug(verdict, explain):
    """Each cache that can't be deleted has a DEBUG line, and no warning."""
    assert clauses(verdict, "failed_unlink", "no_warning_per_file") == {"pass"}, explain(verdict)


@refused
@pytest.mark.judges("logs")
@pytest.mark.checklist("1.7")
def test_a_file_that_stays_is_not_counted_as_removed(verdict, explain):
    """The log does not count a cache that can't be deleted as removed, and no count is negative."""
    assert verdict.evidence["failed_removals"], "no removal failed"
    # "no occasion" means that the line at the end is absent, which the checklist allows.
    assert clauses(verdict, "end_numbers") <= {"pass", "no occasion"}, explain(verdict)
    assert clauses(verdict, "never_negative", "start_number") == {"pass"}, explain(verdict)


@refused
@pytest.mark.judges("disk")
@pytest.mark.checklist("1.7")
def test_the_other_files_go_all_the_same(verdict, explain):
    """The other caches are removed after their last tile; the target tries again, and at the end no cache is left."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)
    assert verdict.evidence["removals_refused"]


@refused
@pytest.mark.judges("cache")
@pytest.mark.checklist("1.7")
def test_a_refused_removal_makes_no_other_unsafe(verdict, explain):
    """After a refused removal each cache is still removed once, after the last tile that uses it."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@refused
@pytest.mark.judges("logs", subject="control")
@pytest.mark.checklist("1.7")
def test_a_warning_for_a_refused_removal_is_seen(concluded, explain):
    """A version that warns of a cache that can't be deleted fails the check of the log: the harness sees the warning."""
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)
    (logs,) = (v for v in concluded.verdicts if v.check == "logs")
    assert clauses(logs, "failed_unlink", "no_warning_per_file") == {"fail"}, explain(logs)


@failed
@pytest.mark.judges("disk")
@pytest.mark.checklist("1.6")
def test_the_caches_of_a_failed_tile_are_released(verdict, explain):
    """When a tile fails, the caches that no other tile needs are removed at once."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@failed
@pytest.mark.judges("crash")
@pytest.mark.checklist("1.6")
def test_a_failed_tile_ends_no_other(verdict, explain):
    """The tile that the fault makes fail ends neither another tile nor Phase 3 nor the run."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@failed
@pytest.mark.judges("cache")
@pytest.mark.checklist("1.6")
def test_caches_that_a_failed_tile_shares_still_serve_the_others(verdict, explain):
    """A cache that a failed tile shares stays until the other tiles that use it have ended, and is removed once."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@failed
@pytest.mark.judges("tiles")
@pytest.mark.checklist("1.6")
def test_only_the_tile_that_was_to_fail_is_missing(verdict, explain):
    """Every master tile is made, except the tile that the fault makes fail."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)
    assert [tile["tile"] for tile in verdict.evidence["not_made"]] == [0]


@failed
@pytest.mark.judges("depth")
@pytest.mark.checklist("1.6")
def test_the_other_tiles_have_all_their_frames(verdict, explain):
    """The other tiles have all their frames, also those that they share with the failed tile."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@failed
@pytest.mark.judges("warnings")
@pytest.mark.checklist("1.6")
def test_a_failed_tile_is_not_blamed_on_caches(verdict, explain):
    """A tile that fails for another reason sends no event of a lost cache."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@failed
@pytest.mark.judges("logs")
@pytest.mark.checklist("1.6")
def test_the_numbers_are_true_past_a_failed_tile(verdict, explain):
    """After a failed tile the log lines at start and end of Phase 3 agree with the recorded removals."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@failed
@pytest.mark.judges("disk", subject="control")
@pytest.mark.checklist("1.6")
def test_caches_that_a_failed_tile_keeps_are_seen(concluded, explain):
    """A version that does not release the caches of a failed tile fails the check of the disk: the harness sees them."""
    assert concluded.expected_red
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@missing
@pytest.mark.judges("warnings")
@pytest.mark.checklist("1.8")
def test_a_missing_cache_is_said(verdict, explain):
    """A tile whose cache was deleted from outside reports that cache as missing, and no other."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)
    assert verdict.evidence["said_of_them"]


@missing
@pytest.mark.judges("tiles")
@pytest.mark.checklist("1.8")
def test_a_missing_cache_ends_no_tile(verdict, explain):
    """Every master tile is made although a cache is missing."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@missing
@pytest.mark.judges("depth")
@pytest.mark.checklist("1.8")
def test_a_missing_cache_costs_its_own_frame_alone(verdict, explain):
    """The later tiles lack the frame of the missing cache, and no other frame."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)
    assert set(verdict.evidence["lost"]) == {"fault"}


@missing
@pytest.mark.judges("cache")
@pytest.mark.checklist("1.8")
def test_the_release_goes_on_past_a_missing_cache(verdict, explain):
    """All other caches are removed once, after the last tile that uses them; the missing one is not removed again."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@missing
@pytest.mark.judges("logs")
@pytest.mark.checklist("1.8")
def test_a_missing_cache_is_not_counted_as_removed(verdict, explain):
    """The log does not count a missing cache as removed, and no count is negative."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@missing
@pytest.mark.judges("products")
@pytest.mark.checklist("1.8")
def test_a_missing_cache_ends_no_run(verdict, records, explain):
    """A missing cache does not stop the run: it ends, and the mosaic is saved."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)
    assert records("subject").seal.state == "done"


@missing
@pytest.mark.judges("logs", subject="control")
@pytest.mark.checklist("1.8")
def test_a_wrong_release_of_a_missing_cache_is_seen(concluded, explain):
    """A version that counts a missing cache as removed, or does not count, fails the checks named for it."""
    assert concluded.expected_red
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@twice
@put_to_the_test
@pytest.mark.judges("logs")
@pytest.mark.checklist("1.4")
def test_a_frame_named_twice_is_counted_once(verdict, explain):
    """The log counts a cache once, also if its tile names the frame twice."""
    assert clauses(verdict, "start_number") == {"pass"}, explain(verdict)


@twice
@put_to_the_test
@pytest.mark.judges("cache")
@pytest.mark.checklist("1.5")
def test_a_frame_named_twice_is_not_deleted_early(verdict, explain):
    """The cache of a frame that is named twice stays until the last tile that uses it has ended, and is removed once."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@twice
@put_to_the_test
@pytest.mark.judges("disk")
@pytest.mark.checklist("1.5")
def test_a_frame_named_twice_is_not_kept(verdict, explain):
    """The cache of a frame that is named twice is removed right after the last tile that uses it."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@twice
@put_to_the_test
@pytest.mark.judges("warnings")
@pytest.mark.checklist("1.5")
def test_a_frame_named_twice_is_missed_by_no_tile(verdict, explain):
    """No tile reports the cache of a frame that is named twice as missing."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@twice
@pytest.mark.judges("disk", subject="control")
@pytest.mark.checklist("1.4")
def test_a_frame_that_is_counted_twice_is_seen(concluded, explain):
    """A version that counts a path twice, or does not count, fails the checks named for it."""
    assert concluded.expected_red
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@retry
@put_to_the_test
@pytest.mark.judges("cache")
@pytest.mark.checklist("1.6")
def test_caches_outlive_the_tile_whose_frames_are_tried_again(verdict, explain):
    """Caches that a tile, its retry and another tile use stay until all three have ended."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@retry
@put_to_the_test
@pytest.mark.judges("warnings")
@pytest.mark.checklist("1.6")
def test_what_is_tried_again_finds_its_caches(verdict, explain):
    """A retry, and the tile that shares its caches, send no event of a lost cache."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@retry
@put_to_the_test
@pytest.mark.judges("tiles")
@pytest.mark.checklist("1.6")
def test_what_is_tried_again_is_made(verdict, explain):
    """All master tiles are made, retries included."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@retry
@put_to_the_test
@pytest.mark.judges("disk")
@pytest.mark.checklist("1.6")
def test_caches_go_when_the_last_try_has_ended(verdict, explain):
    """The caches of a retried group are removed right after the last tile that uses them; no cache is left."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@retry
@pytest.mark.judges("cache", subject="control")
@pytest.mark.checklist("1.6")
def test_a_retry_that_is_not_counted_is_seen(concluded, explain):
    """A version that deletes caches which a retry still needs fails the checks named for it."""
    assert concluded.expected_red
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@pytest.mark.judges("release")
@pytest.mark.checklist("1.8")
def test_a_release_too_many_makes_no_count_negative(driven, explain):
    """The release, called alone, accepts an extra release, an unknown tile, a missing file and one that can't be deleted."""
    assert driven.outcome is Outcome.PASS, explain(driven)


@pytest.mark.judges("release", subject="control")
@pytest.mark.checklist("1.8")
def test_a_count_below_zero_is_seen(driven, explain):
    """A reference that counts below zero fails when its release is called alone; a whole run would not show it."""
    assert driven.outcome is Outcome.FAIL, explain(driven)
    assert min(count for step in driven.evidence["steps"] for counts in step["counts"] for count in counts.values()) < 0
