"""Part 1 of the checklist by whole runs: what the release of caches does when something else goes wrong.

The release is a function within a function, which nothing calls from outside. So each run has a mishap, or two that don't meet,
and the tests of `test_guard_rails.py` read in the source what these see in the runs: a file that can't be deleted, a tile that
fails, a cache that somebody took, a frame that its tile names twice, a group that is tried again. No run can make a count
negative; for that the release is taken out of the target and driven by itself. What a fault does by itself (the tile that it
ended, the frame whose cache it took) is told as the fault's; everything else is judged as in any other run.
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
    """Return what became of clauses of the log contract."""
    return {verdict.evidence["clauses"][name]["outcome"] for name in names}


@refused
@pytest.mark.judges("products")
@pytest.mark.checklist("1.7")
def test_a_refused_removal_ends_no_run(verdict, records, explain):
    """A file that can't be deleted, denied or in use, ends no run: it comes to its end, and the mosaic is saved."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)
    assert records("subject").seal.state == "done"


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
    """Each file that can't be deleted has a DEBUG line, and no warning."""
    assert clauses(verdict, "failed_unlink", "no_warning_per_file") == {"pass"}, explain(verdict)


@refused
@pytest.mark.judges("logs")
@pytest.mark.checklist("1.7")
def test_a_file_that_stays_is_not_counted_as_removed(verdict, explain):
    """The numbers in the lines are true: what could not be deleted is not among the files removed, and none is negative."""
    assert verdict.evidence["failed_removals"], "no removal failed"
    # "not met" is a line at the end that is not there, which the checklist allows.
    assert clauses(verdict, "end_numbers") <= {"pass", "not met"}, explain(verdict)
    assert clauses(verdict, "never_negative", "start_number") == {"pass"}, explain(verdict)


@refused
@pytest.mark.judges("disk")
@pytest.mark.checklist("1.7")
def test_the_other_files_go_all_the_same(verdict, explain):
    """Every cache but those refused goes right after its last user, and at the end none is left, for the target tries again."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)
    assert verdict.evidence["removals_refused"]


@refused
@pytest.mark.judges("cache")
@pytest.mark.checklist("1.7")
def test_a_refused_removal_makes_no_other_unsafe(verdict, explain):
    """Each cache is removed once, after its last user."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@refused
@pytest.mark.judges("logs", subject="control")
@pytest.mark.checklist("1.7")
def test_a_warning_for_a_refused_removal_is_seen(concluded, explain):
    """A target that warns of a file that can't be deleted is red by that clause: the harness can see what it looks for."""
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)
    (logs,) = (v for v in concluded.verdicts if v.check == "logs")
    assert clauses(logs, "failed_unlink", "no_warning_per_file") == {"fail"}, explain(logs)


@failed
@pytest.mark.judges("disk")
@pytest.mark.checklist("1.6")
def test_the_caches_of_a_failed_tile_are_released(verdict, explain):
    """A tile that fails needs its caches no more: those that no other tile needs go at once."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@failed
@pytest.mark.judges("cache")
@pytest.mark.checklist("1.6")
def test_caches_that_a_failed_tile_shares_still_serve_the_others(verdict, explain):
    """No cache of a tile that fails goes before the other tiles that use it have ended, and each goes once."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@failed
@pytest.mark.judges("tiles")
@pytest.mark.checklist("1.6")
def test_only_the_tile_that_was_to_fail_is_missing(verdict, explain):
    """All other master tiles are made."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)
    assert [tile["tile"] for tile in verdict.evidence["not_made"]] == [0]


@failed
@pytest.mark.judges("depth")
@pytest.mark.checklist("1.6")
def test_the_other_tiles_have_all_their_frames(verdict, explain):
    """No frame is missing from them, those neither that the failed tile had too."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@failed
@pytest.mark.judges("warnings")
@pytest.mark.checklist("1.6")
def test_a_failed_tile_is_not_blamed_on_caches(verdict, explain):
    """None of the three events of a lost cache is sent for it."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@failed
@pytest.mark.judges("logs")
@pytest.mark.checklist("1.6")
def test_the_numbers_are_true_past_a_failed_tile(verdict, explain):
    """The lines at the start and at the end say what the trace shows."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@failed
@pytest.mark.judges("disk", subject="control")
@pytest.mark.checklist("1.6")
def test_caches_that_a_failed_tile_keeps_are_seen(concluded, explain):
    """A target that releases only the tiles that it made leaves the failed one's caches, and is red by that."""
    assert concluded.expected_red
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@missing
@pytest.mark.judges("warnings")
@pytest.mark.checklist("1.8")
def test_a_missing_cache_is_said(verdict, explain):
    """A tile whose cache somebody took away says so, of that one and of no other."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)
    assert verdict.evidence["said_of_them"]


@missing
@pytest.mark.judges("tiles")
@pytest.mark.checklist("1.8")
def test_a_missing_cache_ends_no_tile(verdict, explain):
    """Every master tile is made."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@missing
@pytest.mark.judges("depth")
@pytest.mark.checklist("1.8")
def test_a_missing_cache_costs_its_own_frame_alone(verdict, explain):
    """The frame whose cache was taken is missing from tiles that came after, and no other frame is."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)
    assert set(verdict.evidence["lost"]) == {"fault"}


@missing
@pytest.mark.judges("cache")
@pytest.mark.checklist("1.8")
def test_the_release_goes_on_past_a_missing_cache(verdict, explain):
    """All others go once, each after its last user; nobody goes to remove the missing one a second time."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@missing
@pytest.mark.judges("logs")
@pytest.mark.checklist("1.8")
def test_a_missing_cache_is_not_counted_as_removed(verdict, explain):
    """The number of caches removed is true, and none is negative."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@missing
@pytest.mark.judges("products")
@pytest.mark.checklist("1.8")
def test_a_missing_cache_ends_no_run(verdict, records, explain):
    """The run comes to its end, and the mosaic is saved."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)
    assert records("subject").seal.state == "done"


@missing
@pytest.mark.judges("logs", subject="control")
@pytest.mark.checklist("1.8")
def test_a_wrong_release_of_a_missing_cache_is_seen(concluded, explain):
    """A target that counts a missing cache as removed, or counts nothing, is red by the checks named for it."""
    assert concluded.expected_red
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@twice
@put_to_the_test
@pytest.mark.judges("logs")
@pytest.mark.checklist("1.4")
def test_a_frame_named_twice_is_counted_once(verdict, explain):
    """The number of caches that are tracked is that of the files, however often a tile names one."""
    assert clauses(verdict, "start_number") == {"pass"}, explain(verdict)


@twice
@put_to_the_test
@pytest.mark.judges("cache")
@pytest.mark.checklist("1.5")
def test_a_frame_named_twice_is_not_deleted_early(verdict, explain):
    """Its cache is there until the last tile that uses it has ended, and goes once."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@twice
@put_to_the_test
@pytest.mark.judges("disk")
@pytest.mark.checklist("1.5")
def test_a_frame_named_twice_is_not_kept(verdict, explain):
    """Its cache goes right after its last user, as the others do."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@twice
@put_to_the_test
@pytest.mark.judges("warnings")
@pytest.mark.checklist("1.5")
def test_a_frame_named_twice_is_missed_by_no_tile(verdict, explain):
    """No tile finds its cache missing."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@twice
@pytest.mark.judges("disk", subject="control")
@pytest.mark.checklist("1.4")
def test_a_frame_that_is_counted_twice_is_seen(concluded, explain):
    """A target that counts a path twice, or does not count at all, is red by the checks named for it."""
    assert concluded.expected_red
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@retry
@put_to_the_test
@pytest.mark.judges("cache")
@pytest.mark.checklist("1.6")
def test_caches_outlive_the_tile_whose_frames_are_tried_again(verdict, explain):
    """The caches of a group that is tried again, which another tile needs too, go after all three have ended."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@retry
@put_to_the_test
@pytest.mark.judges("warnings")
@pytest.mark.checklist("1.6")
def test_what_is_tried_again_finds_its_caches(verdict, explain):
    """None of the three events of a lost cache is sent, by the retry or by who shares with it."""
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
    """They go right after it, and none is left."""
    assert verdict.outcome is Outcome.PASS, explain(verdict)


@retry
@pytest.mark.judges("cache", subject="control")
@pytest.mark.checklist("1.6")
def test_a_retry_that_is_not_counted_is_seen(concluded, explain):
    """A target that deletes what a retry still needs is red by the checks named for it."""
    assert concluded.expected_red
    assert concluded.outcome is Outcome.PASS, "\n".join(explain(v) for v in concluded.verdicts)


@pytest.mark.judges("release")
@pytest.mark.checklist("1.8")
def test_a_release_too_many_makes_no_count_negative(driven, explain):
    """Driven by itself, the release survives one too many, an unknown tile, a missing file and one that can't be deleted."""
    assert driven.outcome is Outcome.PASS, explain(driven)


@pytest.mark.judges("release", subject="control")
@pytest.mark.checklist("1.8")
def test_a_count_below_zero_is_seen(driven, explain):
    """A reference that counts on below zero is red when it is driven in the same way; in a whole run nothing would show."""
    assert driven.outcome is Outcome.FAIL, explain(driven)
    assert min(count for step in driven.evidence["steps"] for counts in step["counts"] for count in counts.values()) < 0
