"""How a run under a fault is judged: what the fault did is told as its own, and hides nothing that the target did."""

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
    """End a run that says how many files it removed."""
    return run.log(micro.CLEANED.format(removed, 0)).finish()


def robbed(*, says=True, tries=1, early=()):
    """Return a run whose first tile finds a shared cache taken, and which releases all caches but those that go ``early``."""
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
    """The tiles say that they lack it, the release goes past it, and no check is red; to each the fault costs a frame."""
    verdicts = found(robbed())
    assert {v.outcome for v in verdicts.values()} == {Outcome.PASS}, [micro.prose(v) for v in verdicts.values()]
    assert verdicts["warnings"].evidence["said_of_them"] == 2
    assert verdicts["depth"].evidence["lost"] == {"fault": 2}
    assert verdicts["cache"].evidence["taken_by_faults"] == ["preprocessed_p1_1.npy"]
    assert (verdicts["disk"].evidence["judged"], verdicts["disk"].evidence["taken_by_faults"]) == (5, 1)
    assert "A fault deleted: preprocessed_p1_1.npy" in micro.prose(verdicts["cache"])


def test_a_target_that_says_nothing_of_a_missing_cache_is_red():
    """A tile made of fewer frames without a word is a failure, whoever took the cache."""
    run = robbed(says=False)
    assert red(run) == {"warnings", "depth"}
    assert "tile 0 did not report it missing" in micro.prose(found(run)["warnings"])


def test_a_fault_hides_no_loss_of_the_targets_own():
    """A cache that the target itself removed too early counts, in the same run."""
    run = robbed(early=("p1_0.fits",))
    assert {"warnings", "depth", "cache"} <= red(run)
    assert found(run)["warnings"].evidence["counts"][micro.MISSING] == 1


def test_a_missing_cache_is_removed_once_at_most():
    """The first attempt finds nothing and is in its right; a second shows that it was counted off twice."""
    assert red(robbed(tries=2)) == {"cache"}


def test_a_tile_that_a_fault_left_without_caches_did_not_fail_of_itself():
    """Its only frame was taken: that it was not made is the fault's, and the target's word for it is no lost cache."""
    fault = {"what": "delete cache", "tile": 0}
    plan = (("p1_1.fits",), *micro.CHAIN[1:])
    run = begun(fault, plan).struck(fault, SHARED).work(0).work(1).remove("p1_0.fits").remove(SHARED, code=micro.ENOENT)
    verdicts = found(ended(run.work(2).remove(*micro.names(2)), 3), "warnings", "tiles", "depth", "cache")
    assert {v.outcome for v in verdicts.values()} == {Outcome.PASS}, [micro.prose(v) for v in verdicts.values()]
    assert verdicts["tiles"].evidence["not_made"][0]["why"] == "fault"


def failing(*, released=True, also=False):
    """Return a run whose first tile a fault ends; ``also`` lets another one fail without any fault."""
    run = begun(FAIL).start(0).struck(FAIL).end(0, "raised").event(RAISED, stack_num=1).step("collected", 0, micro.MAIN)
    if released:
        run.remove(*micro.names(0))
    run.start(1).end(1, "raised" if also else "made")
    if also:
        run.event(RAISED, stack_num=2)
    run.step("collected", 1, micro.MAIN).remove(*micro.names(1)).work(2).remove(*micro.names(2))
    return ended(run, 6 if released else 4)


def test_a_tile_that_a_fault_ended_is_its_own():
    """All others were made, and what they share was there: no check is red."""
    verdicts = found(failing())
    assert {v.outcome for v in verdicts.values()} == {Outcome.PASS}, [micro.prose(v) for v in verdicts.values()]
    assert "2 of 3 master tiles were made" in micro.prose(verdicts["tiles"])
    assert "an injected fault ended it" in verdicts["tiles"].cause[0].render()


def test_a_tile_that_fails_besides_counts():
    """The pair makes it from the same frames."""
    assert "tiles" in red(failing(also=True))


def test_caches_that_a_failed_tile_keeps_are_red():
    """They were still there when Phase 3 ended, though nobody needed them."""
    assert red(failing(released=False)) == {"disk"}


def refused(*, again):
    """Return a run in which a cache is refused to go, ``again`` in the clean-up too; it is left."""
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
    """A file that could go when the target cleaned up, and did not, is the target's; one that could not is the fault's."""
    left = [LeftFile(micro.cache_of("p0_0.fits"), 1, "cache")]
    run = refused(again=again)
    assert red(run, left=left) == (set() if again else {"cache", "disk"})


def test_a_frame_named_twice_must_have_been_submitted_so():
    """A target that drops the second name before it submits the tile puts nothing to the test."""
    once = micro.counted()
    twice = micro.counted(((*micro.CHAIN[0], SHARED), *micro.CHAIN[1:]))
    assert "names a frame twice" in NAMED_TWICE.met(micro.runs(once)).render()
    assert NAMED_TWICE.met(micro.runs(twice)) is None


def test_a_retry_must_have_shared_a_cache():
    """With a tile that is not its origin: the origin's caches are always the retry's."""
    for plan, shares in ((micro.CHAIN, True), (micro.PRIVATE, False)):
        run = begun(FAIL, plan).work(0).submit(3, plan[0][1:], retry_of=0)
        assert (RETRIED.met(micro.runs(run)) is None) is shares
    assert "No retry shared a cache" in RETRIED.met(micro.runs(micro.counted())).render()
