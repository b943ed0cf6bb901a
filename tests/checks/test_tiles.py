"""Test the check that all master tiles were made."""

from dataclasses import replace

import pytest

from harness.checks.judge import judge
from harness.verdict import Outcome
from tests import micro


def verdict(runs):
    """Return the verdict of this check alone."""
    return judge(runs, ["tiles"])[0]


def a_retry(works):
    """Return a run whose tile 1 aligns one frame only. The other frame is retried, and the retry works or finds no cache."""
    run = micro.Micro(micro.PRIVATE).begin()
    for tile, group in enumerate(micro.PRIVATE):
        run.submit(tile, group)
    run.work(0).remove(*micro.PRIVATE[0])
    run.start(1).end(1, aligned=1).collect(1)
    if not works:
        run.remove(*micro.PRIVATE[1])
    run.submit(3, ("p1_1.fits",), retry_of=1)
    run.work(2).remove(*micro.PRIVATE[2]).work(3)
    if works:
        run.remove(*micro.PRIVATE[1])
    return run.finish()


def test_all_made_passes():
    """A run passes if num_master_tiles equals the last N and the trace agrees."""
    found = verdict(micro.runs(micro.counted()))
    assert found.outcome is Outcome.PASS
    assert (found.evidence["num_master_tiles"], found.evidence["tiles_total"], found.evidence["planned"]) == (3, 3, 3)


def test_a_lost_tile_fails_with_its_cause():
    """A missing tile is named with its planned group, and the removal of its caches is explained."""
    found = verdict(micro.runs(micro.naive(order=(1, 0, 2))))
    assert found.outcome is Outcome.FAIL
    assert found.sentence.render() == "Tile 2 is missing (2 of 3 made)."
    assert found.evidence["not_made"] == [
        {"tile": 2, "group": 2, "retry_of": None, "frames": 2, "lacked": 2, "why": "caches"}
    ]
    assert "The main thread removed preprocessed_p2_0.npy" in micro.prose(found)
    assert "after tile 1 had ended" in micro.prose(found)


def test_a_retry_makes_the_total_grow():
    """The last N counts the retry: 4 of 4 if it works, 3 of 4 if its caches are gone. The plan's number would hide that."""
    good = verdict(micro.runs(a_retry(works=True)))
    assert good.outcome is Outcome.PASS, micro.prose(good)
    assert (good.evidence["tiles_total"], good.evidence["retries"]) == (4, 1)
    bad = verdict(micro.runs(a_retry(works=False)))
    assert bad.outcome is Outcome.FAIL
    assert (bad.evidence["num_master_tiles"], bad.evidence["tiles_total"]) == (3, 4)
    assert bad.evidence["not_made"][0]["retry_of"] == 1
    assert "Tile 3, a retry of tile 1, was submitted with it only" in micro.prose(bad)


def test_telemetrys_later_number_does_not_count():
    """The tiles_total of the telemetry is not used: from Phase 4 on it is the number of tiles made, which always agrees."""
    run = micro.naive()
    run.event("STATS_UPDATE", tiles_total=2, tiles_done=2).event("run_info_phase4_started", tiles_total=2)
    assert verdict(micro.runs(run)).evidence["tiles_total"] == 3


def rejected(retention="per_tile"):
    """Return a run whose tile 1 is rejected by the quality gate."""
    run = micro.Micro(micro.PRIVATE, retention=retention).begin()
    for tile, group in enumerate(micro.PRIVATE):
        run.submit(tile, group)
    run.work(0).start(1).event("mt_quality_gate_result", tile_id=1, status="REJECT").end(1, "failed").collect(1)
    return run.work(2).finish()


def test_a_tile_that_fails_in_the_pair_too_makes_the_question_void():
    """A tile that the quality gate rejects with run_end too makes the check not applicable: the dataset is the cause."""
    found = verdict(micro.runs(rejected(), pair=rejected("run_end").record()))
    assert found.outcome is Outcome.NOT_APPLICABLE
    assert "the quality gate rejected it" in micro.prose(found)


def test_a_tile_that_the_pair_made_is_lost_whatever_it_says():
    """A tile that is rejected here but made from the same frames with run_end fails the run."""
    assert verdict(micro.runs(rejected())).outcome is Outcome.FAIL


def test_without_a_pair_nobody_knows_whose_fault_it_is():
    """A tile that failed for a stated cause other than caches is unknown without a pair."""
    found = verdict(micro.runs(rejected(), pair=None))
    assert found.outcome is Outcome.UNKNOWN
    assert "There is no run with run_end to compare with." in micro.prose(found)


@pytest.mark.parametrize("change", ["no count", "no end", "no callback", "no trace"])
def test_missing_evidence_is_unknown(change):
    """Without the announced count, the end of Phase 3, the events or the trace there is no pass."""
    run = micro.counted()
    if change == "no count":
        run.events = [replace(e, text="?") if e.key == "MASTER_TILE_COUNT_UPDATE" else e for e in run.events]
    if change == "no end":
        run.events = [e for e in run.events if e.key != "run_info_phase3_finished_from_cache"]
    if change == "no callback":
        run.capabilities = micro.SOURCES - {"callback"}
    if change == "no trace":
        run.capabilities = micro.SOURCES - {"tiles"}
        run.steps = []
    assert verdict(micro.runs(run)).outcome is Outcome.UNKNOWN


def test_a_disagreement_of_target_and_trace_is_unknown_when_nothing_is_missing():
    """A trace with fewer tiles than the target announces is unknown; a trace with more fails."""
    run = micro.counted()
    run.steps = [s for s in run.steps if s.tile != 2]
    gap = verdict(micro.runs(run, products=micro.run_end().products))
    assert gap.outcome is Outcome.UNKNOWN
    hidden = micro.counted()
    hidden.known[3] = micro.names(0)
    hidden.step("submitted", 3, micro.MAIN)
    assert verdict(micro.runs(hidden)).outcome is Outcome.FAIL


def counts_of(run, text):
    """Let each update of the count of tiles say this."""
    run.events = [replace(e, text=text) if e.key == "MASTER_TILE_COUNT_UPDATE" else e for e in run.events]
    return run


def test_a_number_of_made_tiles_that_is_too_low_fails():
    """Phase 3 reports 2 of 3 tiles although the trace shows 3: a tile is missing in the mosaic, and nobody says which."""
    run = micro.counted()
    finished = "run_info_phase3_finished_from_cache"
    run.events = [replace(e, fields={"num_master_tiles": 2}) if e.key == finished else e for e in run.events]
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert "Master tiles made: 2 of 3." in micro.prose(found)


def test_an_announced_number_of_tiles_that_is_too_low_passes_nothing():
    """The target announces 2 tiles and submits 3. If 3 are made the record contradicts itself; if 2 are made, one is missing."""
    found = verdict(micro.runs(counts_of(micro.counted(), "2/2")))
    assert found.outcome is Outcome.UNKNOWN
    assert "the target reports 3 of 2 made, the trace shows 3 of 3" in micro.prose(found)
    run = micro.Micro().begin()
    for tile, group in enumerate(micro.CHAIN):
        run.submit(tile, group)
    run.work(0).work(1).start(2).step("collected", 2, micro.MAIN)
    found = verdict(micro.runs(counts_of(run.finish(), "2/2"), products=micro.run_end().products))
    assert (found.outcome, found.evidence["num_master_tiles"]) == (Outcome.FAIL, 2)


def test_no_tile_at_all_is_zero_of_three():
    """The event that no master tile was created counts as 0 tiles made."""
    run = micro.Micro(micro.PRIVATE).begin()
    for tile, group in enumerate(micro.PRIVATE):
        run.submit(tile, group)
    run.remove(*run.frames)
    for tile in range(3):
        run.work(tile)
    run.event("run_error_phase3_no_master_tiles_created")
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert found.sentence.render() == "Tiles 0, 1, 2 are missing (0 of 3 made)."


def test_a_planned_group_that_was_never_submitted_is_missed():
    """A planned group that only the pair submitted fails the run, although the count agrees with the submitted tiles."""
    run = micro.Micro(micro.PRIVATE).begin().submit(0, micro.PRIVATE[0]).submit(1, micro.PRIVATE[1])
    run.work(0).work(1).finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["groups_never_submitted"] == [2]


def test_a_run_end_run_is_judged_too():
    """A run with run_end is judged too, because other runs are compared with it."""
    assert verdict(micro.runs(micro.counted(retention="run_end"))).outcome is Outcome.PASS


def test_a_crashed_run_can_fail():
    """A lost tile fails a crashed run, although Phase 3 did not report its count."""
    run = micro.Micro(micro.CHAIN).begin()
    for tile, group in enumerate(micro.CHAIN):
        run.submit(tile, group)
    run.work(1).remove(*micro.CHAIN[1]).work(2)
    assert verdict(micro.runs(run, state="crashed")).outcome is Outcome.FAIL


def one_by_one(submitted, announced=3, **request):
    """Return a run that announces tiles and submits each when the one before has ended; it submits only the first ones."""
    run = micro.Micro(None, **request).begin()
    run.event("MASTER_TILE_COUNT_UPDATE", f"0/{announced}")
    run.total = announced - 1
    for tile, group in enumerate(micro.CHAIN[:submitted]):
        run.submit(tile, group)
        run.total = announced - 1
        run.work(tile)
    run.total = announced
    return run.finish()


def test_tiles_that_were_never_submitted_are_not_counted_as_lost():
    """Two of three announced tiles are submitted and made: the third is not lost in its making. The pair shows if that is new."""
    pair = one_by_one(3, retention="run_end").record()
    found = verdict(replace(micro.runs(one_by_one(2)), pair=pair))
    assert found.outcome is Outcome.FAIL
    assert found.sentence.render() == "Tiles that were announced and never submitted: 1 of 3."
    assert (found.evidence["not_made"], found.evidence["never_submitted"]) == ([], 1)
    same = one_by_one(2, retention="run_end").record()
    before = one_by_one(2).record()
    usual = verdict(replace(micro.runs(one_by_one(2)), pair=same, baseline=before))
    assert usual.outcome is Outcome.NOT_APPLICABLE
    unsure = verdict(replace(micro.runs(one_by_one(2)), pair=same))
    assert unsure.outcome is Outcome.UNKNOWN
    assert "No run of the version before the patch shows if this is new." in unsure.sentence.render()
    alone = verdict(micro.runs(one_by_one(2), pair=None))
    assert alone.outcome is Outcome.UNKNOWN
    assert "never submitted: 1 of 3" in alone.sentence.render()


def test_a_tile_that_only_the_version_before_the_patch_submitted_fails():
    """The new version announces three tiles and submits two, with both retentions; the baseline submitted all three."""
    pair = one_by_one(2, retention="run_end").record()
    before = one_by_one(3).record()
    found = verdict(replace(micro.runs(one_by_one(2)), pair=pair, baseline=before))
    assert found.outcome is Outcome.FAIL
    assert "The version before the patch left 0 unsubmitted." in micro.prose(found)


def of_the_first(submitted, **request):
    """Return a run of three planned groups that submits only the first ones."""
    run = micro.Micro(micro.PRIVATE, **request).begin()
    for tile, group in enumerate(micro.PRIVATE[:submitted]):
        run.submit(tile, group)
    for tile in range(submitted):
        run.work(tile).remove(*micro.PRIVATE[tile])
    return run.finish()


def test_a_planned_group_that_only_the_version_before_the_patch_submitted_fails():
    """The last panel is submitted with neither retention, but by the baseline: this is new, and the dataset is not blamed."""
    pair = of_the_first(2, retention="run_end").record()
    runs = replace(micro.runs(of_the_first(2)), pair=pair, baseline=of_the_first(3).record())
    found = verdict(runs)
    assert found.outcome is Outcome.FAIL
    expected = "The version before the patch made what is missing here: tiles none, planned groups 2."
    assert found.sentence.render() == expected
    alone = verdict(replace(runs, pair=None))
    assert alone.sentence.render() == expected
    usual = verdict(replace(runs, baseline=of_the_first(2).record()))
    assert usual.outcome is Outcome.NOT_APPLICABLE
    unsure = verdict(replace(runs, baseline=None))
    assert unsure.outcome is Outcome.UNKNOWN
    assert "dataset" not in micro.prose(unsure) + micro.prose(usual)


def test_a_tile_that_only_the_version_before_the_patch_made_fails():
    """The quality gate rejects a tile with both retentions, but not in the baseline. One that lost caches shows nothing."""
    runs = replace(micro.runs(rejected()), pair=rejected("run_end").record())
    made = of_the_first(3).record()
    found = verdict(replace(runs, baseline=made))
    assert found.outcome is Outcome.FAIL
    assert "before the patch made what is missing here: tiles 1" in found.sentence.render()
    lacking = micro.Micro(micro.PRIVATE).begin()
    for tile, group in enumerate(micro.PRIVATE):
        lacking.submit(tile, group)
    lacking.work(0).remove(micro.PRIVATE[1][0]).work(1).work(2).finish()
    assert lacking.record().history.named(micro.MISSING)
    assert verdict(replace(runs, baseline=lacking.record())).outcome is Outcome.NOT_APPLICABLE


def test_a_version_that_submits_one_by_one_passes():
    """All announced tiles are submitted in the end, and made."""
    pair = one_by_one(3, retention="run_end").record()
    assert verdict(replace(micro.runs(one_by_one(3)), pair=pair)).outcome is Outcome.PASS


def test_a_run_that_ended_early_says_nothing_of_tiles_it_never_submitted():
    """A run that was stopped after its first tile lost none: the verdict is unknown, not a missing tile."""
    run = micro.Micro(None).begin().event("MASTER_TILE_COUNT_UPDATE", "0/3")
    run.submit(0, micro.CHAIN[0]).work(0)
    found = verdict(micro.runs(run, state="timed out"))
    assert found.outcome is Outcome.UNKNOWN
    assert found.evidence.get("not_made", []) == []
