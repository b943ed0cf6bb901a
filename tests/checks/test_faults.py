"""Test runs under injected faults: the effects of the fault are excused, and failures of the target are still found."""

from dataclasses import replace

import pytest

from harness.checks.judge import judge
from harness.checks.premises import NAMED_TWICE, RETRIED
from harness.record.leftovers import LeftFile
from harness.verdict import Outcome
from tests import micro

TAKE = {"what": "delete cache", "tile": 0, "place": -1}
FAIL = {"what": "fail tile", "tile": 0}
REFUSE = {"what": "refuse unlink", "name": "*"}
SHARED = "p1_1.fits"  # the last frame of the first tile, which the second has too
RELEASE = ("warnings", "tiles", "depth", "cache", "disk", "logs")
RAISED = "run_error_phase3_thread_exception"


def found(run, *names, **record):
    """Return the verdicts on a history by check."""
    return {v.check: v for v in judge(micro.runs(run, **record), names or RELEASE)}


def red(run, **record):
    """Return the checks that fail."""
    return {name for name, verdict in found(run, **record).items() if verdict.outcome is Outcome.FAIL}


def begun(fault, plan=micro.CHAIN):
    """Return a run that counts references, with all tiles submitted."""
    run = micro.Micro(plan, faults=(fault,)).begin().log(micro.SHARING)
    run.log(micro.TRACKED.format(len({name for group in plan for name in group})))
    for tile, group in enumerate(plan):
        run.submit(tile, group)
    return run


def ended(run, removed):
    """End a run whose log reports this number of removed files."""
    return run.log(micro.CLEANED.format(removed, 0)).finish()


def robbed(*, says=True, tries=1, early=()):
    """Return a run in which a fault deletes a shared cache. The target releases the other caches, and some of them ``early``."""
    run = begun(TAKE).start(0).struck(TAKE, SHARED)
    if says:
        run.event(micro.MISSING, filename=SHARED, cache_path=f"/abs/{micro.cache_of(SHARED)}", tile_id=0)
    run.end(0, lost=[SHARED]).collect(0).remove(*micro.names(0), *early)
    run.work(1).remove(*(n for n in ("p1_0.fits",) if n not in early))
    for _ in range(tries):
        run.remove(SHARED, code=micro.ENOENT).log(f"already removed or missing: {micro.cache_of(SHARED)}", "DEBUG")
    run.work(2).remove(*micro.names(2))
    return ended(run, 5)


def test_a_cache_that_a_fault_took_is_no_loss_of_the_targets():
    """A cache that a fault deleted fails no check if the tiles report it missing; each tile loses one frame to the fault."""
    verdicts = found(robbed())
    assert {v.outcome for v in verdicts.values()} == {Outcome.PASS}, [micro.prose(v) for v in verdicts.values()]
    assert verdicts["warnings"].evidence["said_of_them"] == 2
    assert verdicts["warnings"].evidence["taken_by_faults"] == ["preprocessed_p1_1.npy"]
    assert verdicts["depth"].evidence["lost"] == {"fault": 2}
    assert verdicts["cache"].evidence["taken_by_faults"] == ["preprocessed_p1_1.npy"]
    assert (verdicts["disk"].evidence["judged"], verdicts["disk"].evidence["taken_by_faults"]) == (5, 1)
    assert "deleted by an injected fault: preprocessed_p1_1.npy" in micro.prose(verdicts["cache"])


def test_a_target_that_says_nothing_of_a_missing_cache_is_red():
    """A tile that does not report a missing cache fails, even if a fault deleted the cache."""
    run = robbed(says=False)
    assert red(run) == {"warnings", "depth"}
    assert "tile 0 did not report it missing" in micro.prose(found(run)["warnings"])


def test_a_fault_hides_no_loss_of_the_targets_own():
    """A cache that the target removed too early counts, also in a run with a fault."""
    run = robbed(early=("p1_0.fits",))
    assert {"warnings", "depth", "cache"} <= red(run)
    assert found(run)["warnings"].evidence["counts"][micro.MISSING] == 1


def test_a_missing_cache_is_removed_once_at_most():
    """One attempt to remove a cache that a fault deleted is allowed; a second one shows a wrong count."""
    assert red(robbed(tries=2)) == {"cache"}


def test_a_tile_that_a_fault_left_without_caches_did_not_fail_of_itself():
    """A tile whose only cache was deleted by a fault is excused."""
    fault = {"what": "delete cache", "tile": 0}
    plan = (("p1_1.fits",), *micro.CHAIN[1:])
    run = begun(fault, plan).struck(fault, SHARED).work(0).work(1).remove("p1_0.fits").remove(SHARED, code=micro.ENOENT)
    verdicts = found(ended(run.work(2).remove(*micro.names(2)), 3), "warnings", "tiles", "depth", "cache")
    assert {v.outcome for v in verdicts.values()} == {Outcome.PASS}, [micro.prose(v) for v in verdicts.values()]
    assert verdicts["tiles"].evidence["not_made"][0]["why"] == "fault"


@pytest.mark.parametrize("mine", [0, 2])
def test_of_two_tiles_without_caches_the_one_that_a_fault_left_so_is_excused(mine):
    """A fault leaves one tile without caches, and the target another: one event of a tile without frames counts."""
    fault = {"what": "delete cache", "tile": mine}
    plan = (("p0_0.fits",), micro.names(1), ("p2_0.fits",))
    run = begun(fault, plan).struck(fault, plan[mine][0]).remove(*plan[2 - mine]).work(0).work(1).work(2).finish()
    counted = found(run, "warnings")["warnings"].evidence["counts"]
    assert counted == {micro.MISSING: 1, micro.STARVED: 1, micro.FAILED: 1}


def failing(*, released=True, also=False):
    """Return a run with a tile that a fault ends. With ``also`` another tile fails without a fault."""
    run = begun(FAIL).start(0).struck(FAIL).end(0, "raised").event(RAISED, stack_num=1).step("collected", 0, micro.MAIN)
    if released:
        run.remove(*micro.names(0))
    run.start(1).end(1, "raised" if also else "made")
    if also:
        run.event(RAISED, stack_num=2)
    run.step("collected", 1, micro.MAIN).remove(*micro.names(1)).work(2).remove(*micro.names(2))
    return ended(run, 6 if released else 4)


def test_a_tile_that_a_fault_ended_is_its_own():
    """A tile that a fault ended is excused if all others were made."""
    verdicts = found(failing())
    assert {v.outcome for v in verdicts.values()} == {Outcome.PASS}, [micro.prose(v) for v in verdicts.values()]
    assert "Master tiles made, retries included: 2 of 3." in micro.prose(verdicts["tiles"])
    assert "an injected fault ended it" in verdicts["tiles"].cause[0].render()


def test_a_tile_that_fails_besides_counts():
    """Another tile that fails without a fault fails the run, because the pair makes it."""
    assert "tiles" in red(failing(also=True))


def test_caches_that_a_failed_tile_keeps_are_red():
    """Caches of a failed tile that are kept to the end of Phase 3 fail the check of the disk."""
    assert red(failing(released=False)) == {"disk"}


def refused(*, again):
    """Return a run in which a fault refuses the removal of a cache, with ``again`` also in the clean-up."""
    run = begun(REFUSE).work(0).struck(REFUSE, "p0_0.fits").remove("p0_0.fits", code=micro.EACCES)
    run.log(f"Failed to remove {micro.cache_of('p0_0.fits')}: denied", "DEBUG").remove("p0_1.fits")
    run.work(1).remove(*micro.names(1)).work(2).remove(*micro.names(2))
    run.log(micro.CLEANED.format(5, 0)).event("run_info_phase3_finished_from_cache", num_master_tiles=3)
    if again:
        run.struck(REFUSE, "p0_0.fits")
    run.request = replace(run.request, retention="keep")  # the clean-up leaves the folder
    run.finish()
    run.request = replace(run.request, retention="per_tile")
    return run


@pytest.mark.parametrize("again", [True, False])
def test_what_a_fault_holds_to_the_end_is_left_by_the_fault(again):
    """A cache left on disk is excused only if the fault refused its removal in the clean-up too."""
    left = [LeftFile(micro.cache_of("p0_0.fits"), 1, "cache")]
    run = refused(again=again)
    assert red(run, left=left) == (set() if again else {"cache", "disk"})


def test_a_frame_named_twice_must_have_been_submitted_so():
    """A target that drops the second name of a frame before it submits the tile does not test that case."""
    once = micro.counted()
    twice = micro.counted(((*micro.CHAIN[0], SHARED), *micro.CHAIN[1:]))
    assert "names a frame twice" in NAMED_TWICE.met(micro.runs(once)).render()
    assert NAMED_TWICE.met(micro.runs(twice)) is None


def test_a_retry_must_have_shared_a_cache():
    """A retry must share a cache with a tile other than its origin, whose caches it always has."""
    for plan, shares in ((micro.CHAIN, True), (micro.PRIVATE, False)):
        run = begun(FAIL, plan).work(0).submit(3, plan[0][1:], retry_of=0)
        assert (RETRIED.met(micro.runs(run)) is None) is shares
    assert "No retry shared a cache" in RETRIED.met(micro.runs(micro.counted())).render()
