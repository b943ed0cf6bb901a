"""Test the check that every deletion of a cache is safe."""

import errno
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from harness.analysis.happens_before import complete_before
from harness.analysis.removals import removals
from harness.checks.judge import judge
from harness.record.leftovers import LeftFile
from harness.verdict import Outcome
from tests import micro


def verdict(runs):
    """Return the verdict of this check alone."""
    return judge(runs, ["cache"])[0]


def submitted(plan=micro.CHAIN, **request):
    """Return a run that has submitted its plan."""
    run = micro.Micro(plan, **request).begin()
    for tile, group in enumerate(plan):
        run.submit(tile, group)
    return run


def test_counted_deletion_passes():
    """A run passes if each cache is removed after its last tile was collected and the folder is removed at the end."""
    found = verdict(micro.runs(micro.counted()))
    assert found.outcome is Outcome.PASS, micro.prose(found)
    assert (found.evidence["removed"], found.evidence["removed_in_phase_3"], found.evidence["left"]) == (6, 6, 0)
    assert found.evidence["removing_threads"] == ["MainThread"]


def test_naive_deletion_fails_with_the_minimal_witness():
    """The first unsafe removal is explained: the tiles of the cache, the thread, the time, and the state of the waiting tile."""
    found = verdict(micro.runs(micro.naive()))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["unsafe_count"] == 4
    assert [link.render() for link in found.cause] == [
        "preprocessed_p1_0.npy is used by tiles 0, 1.",
        "The main thread removed preprocessed_p1_0.npy 0.170 s after the start of Phase 3.",
        "It did so after tile 0 had ended, at 0.100 s.",
        "Tile 1, which needed it, had been submitted and started only 50\N{NO-BREAK SPACE}ms later.",
    ]


def test_a_retry_is_a_user_too():
    """A cache that is removed before its retry is submitted was removed too early, although all planned tiles had ended."""
    run = submitted(micro.PRIVATE).work(0).work(1).work(2).remove(*micro.PRIVATE[1])
    run.submit(3, ("p1_1.fits",), retry_of=1).work(3).finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["unsafe"][0]["needed_by"] == 3
    assert "Tile 3, a retry of tile 1, was submitted with it only" in micro.prose(found)


def test_a_removal_between_end_and_collection_is_luck():
    """A removal after the end of a tile, by a thread that has not collected its result, is unordered and fails."""
    run = submitted(micro.PRIVATE).work(0, collect=False).remove(*micro.PRIVATE[0]).collect(0).work(1).work(2).finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert (found.evidence["unsafe_count"], found.evidence["unordered_count"]) == (0, 2)
    assert "Nothing made the removal wait" in found.sentence.render()
    assert "had ended 10\N{NO-BREAK SPACE}ms before, but its result had not been collected" in micro.prose(found)


def test_a_removal_while_a_user_runs_is_unsafe():
    """A removal during the making of a tile is unsafe: the tile may not have read the cache yet."""
    run = submitted(micro.PRIVATE).start(0).remove("p0_0.fits").end(0).collect(0).work(1).work(2).finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert "was being made and ended only" in micro.prose(found)


def test_of_two_tiles_that_wait_the_one_that_had_not_started_is_shown():
    """A cache goes while tile 2 is made and tile 1 has not begun. Tile 1 is the clearer example, though its number is lower."""
    plan = (micro.names(0), micro.names(1), micro.names(1) + micro.names(2))
    run = submitted(plan).work(0).start(2).remove("p1_0.fits").end(2).collect(2).work(1).finish()
    found = verdict(micro.runs(run))
    assert (found.outcome, found.evidence["unsafe"][0]["needed_by"]) == (Outcome.FAIL, 1)


def test_a_tile_that_starts_after_the_removal_shows_it_unsafe_though_its_end_was_lost():
    """The end of a tile may be missing from the trace. That it started after the removal of its cache is enough."""
    run = submitted(micro.PRIVATE).work(0).remove(*micro.PRIVATE[1]).start(1).work(2)
    run.outcomes[1], run.used[1] = "made", 2
    found = verdict(micro.runs(run.finish()))
    assert (found.outcome, found.evidence["unsafe_count"], found.evidence["unsure"]) == (Outcome.FAIL, 2, [])


def test_a_cache_is_removed_once():
    """A second removal of a cache fails the run."""
    run = submitted(micro.PRIVATE).work(0).remove("p0_0.fits").remove("p0_0.fits").work(1).work(2).finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["removed_twice"] == ["preprocessed_p0_0.npy"]


def test_a_cache_that_is_written_again_may_be_removed_again_by_its_folder():
    """A cache that is saved again and then removed with its folder counts as removed twice."""
    run = submitted(micro.PRIVATE).work(0).remove("p0_0.fits")
    run.operation("save", micro.cache_of("p0_0.fits")).work(1).work(2).finish()
    assert verdict(micro.runs(run)).evidence["removed_twice"] == ["preprocessed_p0_0.npy"]


def test_a_second_attempt_counts_though_nothing_was_left_to_remove():
    """A second attempt to remove a cache fails the run although the file is gone: the count of its users is wrong."""
    run = submitted(micro.PRIVATE).work(0).remove("p0_0.fits").remove("p0_0.fits", code=errno.ENOENT)
    found = verdict(micro.runs(run.work(1).work(2).finish()))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["removed_twice"] == ["preprocessed_p0_0.npy"]


def test_attempts_that_fail_are_stated_and_not_counted():
    """A missing cache that this run did not remove is allowed. A refused removal is listed with the name of its error."""
    run = submitted(micro.ONE_SHARED).work(0).remove("p0_0.fits", code=errno.ENOENT)
    run.remove("p0_1.fits", code=errno.EACCES).remove("p0_1.fits").work(1).work(2).finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.PASS, micro.prose(found)
    assert found.evidence["found_already_missing"] == 1
    assert found.evidence["failed_removals"] == {"EACCES": 1}


def test_an_error_without_a_name_is_stated_by_its_number():
    """A refused removal may have an error number that this system does not know, or none."""
    run = submitted(micro.ONE_SHARED).work(0).remove("p0_0.fits", code=99999)
    run.operation("remove", micro.cache_of("p0_1.fits"), "failed").remove(*micro.names(0)).work(1).work(2).finish()
    assert verdict(micro.runs(run)).evidence["failed_removals"] == {"99999": 1, "unknown": 1}


def test_two_removing_threads_fail():
    """Two threads that remove caches fail the run: nothing orders them."""
    run = submitted(micro.PRIVATE).work(0).remove(*micro.PRIVATE[0])
    run.start(1).end(1).remove(*micro.PRIVATE[1], thread="Ph3_0").collect(1).work(2).finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["unordered_count"] == 0, "a thread's own tile is ordered before what it does next"
    assert "MainThread, Ph3_0" in found.sentence.render()


def test_two_threads_of_one_name_are_two():
    """Threads are told apart by their numbers, or by name in records without numbers."""
    run = submitted(micro.PRIVATE).work(0).remove(*micro.PRIVATE[0])
    mark = len(run.operations)
    run.work(1).remove(*micro.PRIVATE[1]).work(2).finish()
    assert verdict(micro.runs(run)).evidence["removing_threads"] == ["MainThread"]
    run.steps = [replace(s, tid=1) for s in run.steps]
    run.operations = [replace(o, tid=1 if n < mark else 2) for n, o in enumerate(run.operations)]
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["removing_threads"] == ["MainThread (1/1)", "MainThread (1/2)"]
    assert found.evidence["unordered_count"] == 4, "the other thread of that name collected nothing"


def test_an_entry_without_a_cache_is_none():
    """A frame that was submitted without a cache is ignored."""
    run = submitted(micro.PRIVATE).work(0).work(1).work(2).finish()
    run.steps = [replace(s, caches=("",) * len(s.caches)) for s in run.steps]
    assert verdict(micro.runs(run)).evidence["premise"] == "a tile with caches"


def test_what_the_release_removes_must_be_of_its_phase():
    """The releasing thread may remove a file that it wrote in Phase 3, but not an older one."""
    probe, other = "outputs/_io_probe.bin", "outputs/plan.csv"
    run = submitted(micro.ONE_SHARED)
    run.operation("open", probe, "attempt", mode="wb").operation("remove", probe)
    run.work(0).remove(*micro.ONE_SHARED[0]).work(1).remove("p1_1.fits").work(2).remove("p1_0.fits", *micro.names(2))
    assert verdict(micro.runs(run.finish())).outcome is Outcome.PASS
    run = submitted(micro.ONE_SHARED).operation("open", probe, "attempt", mode="wb").work(0)
    found = verdict(micro.runs(run.remove(*micro.names(0)).operation("remove", other).work(1).work(2).finish()))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["strangers_removed"] == ["plan.csv"]


@pytest.mark.parametrize("path", ["hp_mask_p0_0_ab.npy", "preprocessed_somebody_elses.npy"])
def test_only_this_runs_caches_are_removed(path):
    """The removal of a mask, or of a cache that the run neither saved nor uses, fails the run."""
    run = submitted(micro.PRIVATE).work(0).operation("remove", f"{micro.FOLDER}/{path}").work(1).work(2).finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["strangers_removed"] == [path]


def test_removing_the_folder_at_the_end_is_right():
    """With run_end all caches are removed with their folder in Phase 7."""
    run = micro.counted(retention="run_end")
    run.finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.PASS, micro.prose(found)
    assert (found.evidence["removed"], found.evidence["removed_in_phase_3"]) == (6, 0)


def test_removing_the_folder_in_phase_3_is_not():
    """Removing the folder while tiles wait removes the caches of all of them."""
    run = submitted(micro.PRIVATE).work(0)
    run.operation("rmtree", micro.FOLDER, "attempt").operation("remove", "preprocessed_p1_0.npy")
    run.operation("rmtree", micro.FOLDER).work(1).work(2).finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["unsafe_count"] == 4
    assert "The main thread removed the folder of preprocessed_p1_" in micro.prose(found)


def test_renaming_a_cache_away_is_a_removal():
    """Renaming a cache away is a removal; renaming a temporary file to the cache is not."""
    run = submitted(micro.PRIVATE)
    run.operation("rename", f"{micro.FOLDER}/x.tmp", to=micro.cache_of("p2_0.fits"))
    run.work(0).operation("rename", micro.cache_of("p2_0.fits"), to="outputs/trash.npy").work(1).work(2).finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["unsafe_count"] == 1
    assert "The main thread renamed preprocessed_p2_0.npy" in micro.prose(found)


def test_a_cache_renamed_after_its_last_tile_is_safe_and_named():
    """No tile needs the cache any more, so the rename is safe. The verdict does not call it removed; `disk` judges its bytes."""
    run = micro.counted()
    path = micro.cache_of("p0_0.fits")
    kept = [op for op in run.operations if op.path != path]
    when = next(op for op in run.operations if op.path == path and op.state == "done")
    run.operations = sorted([*kept, replace(when, op="rename", to=f"{path}.old")], key=lambda op: op.t)
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.PASS
    assert found.evidence["renamed"] == ["preprocessed_p0_0.npy"]
    assert "removed or renamed once" in found.sentence.render()


def test_caches_left_at_the_end_fail():
    """Caches left on disk fail the run, whatever the target's log reports."""
    run = micro.counted().record()
    left = (*run.left, LeftFile(micro.cache_of("p0_0.fits"), 1, "cache"))
    found = verdict(micro.runs(micro.counted(), left=left))
    assert found.outcome is Outcome.FAIL
    assert "preprocessed_p0_0.npy" in found.sentence.render()


def test_keep_keeps():
    """With keep a removal in any phase fails the run."""
    assert verdict(micro.runs(micro.counted(retention="keep"))).outcome is Outcome.PASS
    removed = submitted(micro.PRIVATE, retention="keep").work(0).work(1).work(2).remove("p0_0.fits").finish()
    assert verdict(micro.runs(removed)).outcome is Outcome.FAIL
    gone = micro.counted(retention="keep")
    assert verdict(micro.runs(gone, left=())).outcome is Outcome.FAIL


@pytest.mark.parametrize("source", ["tiles", "futures", "removals"])
def test_an_absent_source_is_unknown(source):
    """Without tiles, futures or removals in the trace the check is unknown."""
    run = micro.naive()
    run.capabilities = micro.SOURCES - {source}
    found = verdict(micro.runs(run))
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, f"source {source}")


def test_what_can_not_be_told_is_unknown():
    """No removal, no count, a lost removal, a removal without an outcome, and an error exit are unknown."""
    idle = micro.counted()
    idle.operations = [op for op in idle.operations if op.op == "rmtree"]
    assert "so per_tile was not tested" in verdict(micro.runs(idle)).sentence.render()
    assert "not counted" in verdict(micro.runs(micro.counted(), left=None)).sentence.render()
    unseen = micro.counted()
    unseen.operations = unseen.operations[2:-2]
    assert "gone without a traced removal" in verdict(micro.runs(unseen)).sentence.render()
    unsettled = submitted(micro.PRIVATE).work(0).operation("remove", micro.cache_of("p1_0.fits"), "attempt")
    unsettled.work(1).work(2).remove(*micro.PRIVATE[2]).finish()
    assert "lacks the end of a removal or of a tile" in verdict(micro.runs(unsettled)).sentence.render()
    stopped = submitted(micro.PRIVATE).work(0).remove(*micro.PRIVATE[0])
    assert "did not succeed" in verdict(micro.runs(stopped)).sentence.render()


def test_a_tile_without_an_end_in_a_finished_run_is_a_gap_in_the_trace():
    """A tile without an end in a finished run is a gap in the trace, and does not prove an unsafe removal."""
    run = submitted(micro.PRIVATE).work(0).start(1).remove(*micro.PRIVATE[1]).work(2)
    run.outcomes[1], run.used[1] = "made", 2
    run.finish()
    assert verdict(micro.runs(run)).outcome is Outcome.UNKNOWN
    assert verdict(micro.runs(run, state="crashed")).outcome is Outcome.FAIL


THREADS = (micro.MAIN, "Ph3_0", "Ph3_1")


@st.composite
def schedules(draw):
    """Draw a valid history of a few tiles and removals on any threads. Each tile is submitted, started, ended and collected."""
    run = micro.Micro(micro.PRIVATE, panels=3).begin()
    state = dict.fromkeys(range(4), "new")
    busy = {}
    following = {"new": "submitted", "submitted": "started", "started": "ended", "ended": "collected"}
    for tile in state:
        run.known[tile] = micro.names(tile % 3)
    for _ in range(draw(st.integers(5, 24))):
        if draw(st.booleans()) and draw(st.booleans()):
            run.operation(
                "remove",
                micro.cache_of(draw(st.sampled_from(sorted(run.frames)))),
                thread=draw(st.sampled_from(THREADS)),
            )
            continue
        tile = draw(st.sampled_from(sorted(state)))
        step = following.get(state[tile])
        if step is None:
            continue
        # A thread that makes a tile starts no other one: that would be a part of the tile.
        free = [thread for thread in THREADS if step != "started" or thread not in busy.values()]
        if not free:
            continue
        thread = busy.pop(tile) if step == "ended" else draw(st.sampled_from(free))
        if step == "started":
            busy[tile] = thread
        run.step(step, tile, thread)
        state[tile] = step
    return run


def by_brute_force(history, removal):
    """Return the tiles whose end comes before a removal, by computing the closure of happens-before step by step."""
    points = [(s.t, s.thread, s.state, s.tile) for s in history.steps]
    points.append((removal.t, removal.thread, "removal", -1))
    points.sort()
    edges = {
        (a, b)
        for a in points
        for b in points
        if a < b
        and (a[1] == b[1] or (a[3] == b[3] and (a[2], b[2]) in {("submitted", "started"), ("ended", "collected")}))
    }
    target = next(p for p in points if p[2] == "removal")
    reach = {target}
    while more := {a for a, b in edges if b in reach} - reach:
        reach |= more
    return frozenset(p[3] for p in reach if p[2] == "ended")


@settings(max_examples=150, deadline=None)
@given(schedules())
def test_the_order_is_that_of_happens_before(run):
    """The order that is passed on between threads equals the transitive closure of happens-before."""
    history = run.record(products=None).history
    found = removals(history, [micro.cache_of(n) for n in run.frames])
    assert list(complete_before(history, found)) == [by_brute_force(history, removal) for removal in found]
