"""Test the check of the three events of a lost cache."""

from dataclasses import replace

import pytest

from harness.checks.judge import judge
from harness.language.message import Message
from harness.record.convert import from_json
from harness.record.request import Hold, TargetFacts
from harness.verdict import Outcome
from tests import micro


def verdict(runs):
    """Return the verdict of this check alone."""
    return judge(runs, ["warnings"])[0]


def test_a_run_without_the_events_passes():
    """A run that counts references sends none of the three events; the evidence counts the tiles that could send them."""
    found = verdict(micro.runs(micro.counted()))
    assert found.outcome is Outcome.PASS
    assert found.evidence["counts"] == {micro.MISSING: 0, micro.STARVED: 0, micro.FAILED: 0}
    assert found.evidence["tiles_that_reported"] == 3


def test_missing_caches_fail_and_are_explained_to_their_end():
    """Missing caches are explained: the tile, the cache, the thread that removed it, the time, and the tile before."""
    found = verdict(micro.runs(micro.naive()))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["counts"] == {micro.MISSING: 4, micro.STARVED: 1, micro.FAILED: 1}
    assert [link.render() for link in found.cause] == [
        "Tile 2 was not made: it lacked the caches of 2 of its 2 frames, among them preprocessed_p2_0.npy of p2_0.fits.",
        "The main thread removed preprocessed_p2_0.npy 0.280 s after the start of Phase 3.",
        "It did so after tile 1 had ended, at 0.250 s.",
        "Tile 2, which needed it, had been submitted and started only 50\N{NO-BREAK SPACE}ms later.",
        "Other tiles with the same problem: 1.",
    ]


def test_beside_a_baseline_the_reduction_is_stated():
    """The count of the baseline is in the sentence; fewer events than in the baseline still fail the run."""
    before = micro.naive().record()
    gone = verdict(micro.runs(micro.counted(), baseline=before))
    assert (gone.outcome, gone.evidence["baseline_total"]) == (Outcome.PASS, 6)
    assert "in the baseline: 6." in gone.sentence.render()
    fewer = micro.Micro().begin()
    for tile, group in enumerate(micro.CHAIN):
        fewer.submit(tile, group)
    fewer.work(0).remove("p0_0.fits", "p0_1.fits", "p1_0.fits").work(1).work(2).finish()
    left = verdict(micro.runs(fewer, baseline=before))
    assert left.outcome is Outcome.FAIL
    assert "Events of a lost cache: 1 (" in left.sentence.render()
    assert "; in the baseline: 6." in left.sentence.render()


def a_tile_that_fails(*keys, **fields):
    """Return a run whose tile 1 sends these keys and fails."""
    run = micro.Micro(micro.ONE_SHARED).begin()
    for tile, group in enumerate(micro.ONE_SHARED):
        run.submit(tile, group)
    run.work(0).start(1)
    for key in keys:
        run.event(key, thread="Ph3_0", tile_id=1, **fields)
    return run.end(1, "failed").collect(1).work(2).finish()


def test_a_creation_that_failed_for_another_cause_is_stated_and_not_counted():
    """The same event is sent for other failures. It does not count if an earlier event of the tile gives another cause."""
    for keys, fields, why in (
        (["mt_quality_gate_result"], {"status": "REJECT"}, "quality gate"),
        (["mastertile_error_no_images_after_alignment"], {}, "alignment"),
        (["mastertile_error_saving"], {}, "saving"),
    ):
        found = verdict(micro.runs(a_tile_that_fails(*keys, **fields)))
        assert found.outcome is Outcome.PASS, why
        assert found.evidence["counts"][micro.FAILED] == 0
        assert found.evidence["failed_for_other_causes"] == {"1": why}


def test_a_creation_that_failed_for_no_stated_cause_counts():
    """A failure without a cause counts; a passed quality gate is no cause."""
    for run in (a_tile_that_fails(), a_tile_that_fails("mt_quality_gate_result", status="ACCEPT")):
        found = verdict(micro.runs(run))
        assert found.outcome is Outcome.FAIL
        assert found.evidence["counts"][micro.FAILED] == 1
        assert "no event gives a cause" in micro.prose(found)


def test_events_that_are_not_of_the_three_are_shown_beside_them():
    """A cache that can't be read and an exception of a tile are no event of the three; the evidence counts them by name."""
    keys = [
        "mastertile_warn_invalid_cached_data",
        "mastertile_error_loading_cache",
        "run_error_phase3_thread_exception",
    ]
    found = verdict(micro.runs(a_tile_that_fails(*keys, filename="preprocessed_p1_0.npy")))
    assert found.evidence["related"] == dict.fromkeys(keys, 1)
    assert verdict(micro.runs(micro.counted())).evidence["related"] == {}


def test_a_starved_tile_that_the_quality_gate_rejects_failed_through_its_caches():
    """A tile that lacked a cache and was rejected by the quality gate counts: with all frames it might have passed."""
    run = micro.Micro(micro.PRIVATE).begin().submit(0, micro.PRIVATE[0]).remove("p0_1.fits").start(0)
    run.event(micro.MISSING, filename="p0_1.fits", cache_path=micro.cache_of("p0_1.fits"), tile_id=0)
    run.event("mt_quality_gate_result", tile_id=0, status="REJECT").end(0, "failed").collect(0).finish()
    found = verdict(micro.runs(run))
    assert found.evidence["counts"] == {micro.MISSING: 1, micro.STARVED: 0, micro.FAILED: 1}


def test_without_the_events_nothing_is_known():
    """Without the progress events the check is unknown."""
    run = micro.counted()
    run.capabilities = micro.SOURCES - {"callback"}
    found = verdict(micro.runs(run))
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "source callback")


def test_tiles_that_report_nothing_show_nothing():
    """Without any event of the tiles the absence of warnings is unknown: the warnings would be missing too."""
    run = micro.counted()
    run.events = [e for e in run.events if e.key != "mastertile_info_creation_started_from_cache"]
    assert verdict(micro.runs(run)).outcome is Outcome.UNKNOWN


def test_a_run_that_was_cut_short_can_fail_but_not_pass():
    """A run that was stopped, or whose record has unreadable lines, can fail but not pass."""
    assert verdict(micro.runs(micro.naive(), state="timed out")).outcome is Outcome.FAIL
    cut = verdict(micro.runs(micro.counted(), state="timed out"))
    assert cut.outcome is Outcome.UNKNOWN
    assert "timed out" in cut.sentence.render()
    assert cut.evidence["counts"][micro.MISSING] == 0
    torn = verdict(micro.runs(micro.counted(), torn=["events-1.jsonl, line 9"]))
    assert (torn.outcome, torn.evidence["premise"]) == (Outcome.UNKNOWN, "whole")
    assert verdict(micro.runs(micro.counted(), torn=["disk.jsonl, line 9"])).outcome is Outcome.PASS


def test_an_unmet_schedule_is_never_the_targets_fault():
    """A schedule that was not kept makes the check unknown, whatever the run shows."""
    hold = micro.HOLD(1, "unmet", 1, 0, "no worker was free")
    asked = Hold(1, 0)
    for run in (micro.naive(schedule=(asked,)), micro.counted(schedule=(asked,))):
        run.holds = [hold]
        found = verdict(micro.runs(run))
        assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "schedule met")
        assert "no worker was free" in found.sentence.render()
    run = micro.counted(schedule=(asked,))
    assert verdict(micro.runs(run)).outcome is Outcome.UNKNOWN, "a hold without any event is not met"
    run.holds = [replace(hold, state="waiting"), replace(hold, state="met")]
    assert verdict(micro.runs(run)).outcome is Outcome.PASS


def test_a_fault_that_did_not_strike_shows_nothing():
    """A run with a requested fault that did not strike is unknown."""
    asked = {"what": "unlink"}
    run = micro.counted(faults=(asked,))
    assert verdict(micro.runs(run)).evidence["premise"] == "fault struck"
    run.faults = [{"state": "unmet", "fault": asked, "reason": "the run never came to it"}]
    assert "(unlink) did not occur, so the run shows nothing about it: the run never came to it" in micro.prose(
        verdict(micro.runs(run))
    )
    run.faults = [{"state": "struck", "fault": {"what": "unlink", "tile": 1}}]
    assert verdict(micro.runs(run)).evidence["premise"] == "fault struck", (
        "another fault is not the one that was asked for"
    )
    run.faults = [{"state": "struck", "fault": asked}]
    assert verdict(micro.runs(run)).outcome is Outcome.PASS


def test_under_per_tile_a_cache_must_have_been_shared():
    """A run with per_tile whose tiles shared no cache is unknown; run_end needs no shared cache."""
    run = micro.counted()
    run.steps = [replace(s, caches=tuple(f"{s.tile}-{c}" for c in s.caches)) for s in run.steps]
    run.event("x", "Phase3: shared cache detected across master tiles; refcount guard active.", source="log")
    for runs in (micro.runs(run), micro.runs(micro.counted(micro.PRIVATE)), micro.runs(unplanned(micro.PRIVATE))):
        found = verdict(runs)
        assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "a cache was shared")
        assert "No two tiles shared a cache" in found.sentence.render()
    assert verdict(micro.runs(micro.counted(micro.PRIVATE, retention="run_end"))).outcome is Outcome.PASS
    assert verdict(micro.runs(unplanned(micro.CHAIN))).outcome is Outcome.PASS


def unplanned(groups):
    """Return a run without a plan, whose target made these groups itself."""
    run = micro.counted(groups)
    run.request = replace(run.request, plan=None)
    return run


def test_frames_without_a_cache_share_none():
    """Frames without a cache do not count as sharing one."""
    run = micro.counted(micro.PRIVATE)
    run.steps = [replace(s, caches=("", *s.caches[1:])) for s in run.steps]
    assert verdict(micro.runs(run)).evidence["premise"] == "a cache was shared"


def test_where_tiles_are_not_traced_the_targets_own_word_shows_that_caches_were_shared():
    """Without a trace of tiles the policy's log line shows that caches were shared."""
    run = micro.counted()
    run.steps = []
    run.events = [e for e in run.events if e.source != "log"]
    run.capabilities = micro.SOURCES - {"tiles"}
    assert verdict(micro.runs(run)).evidence["premise"] == "a cache was shared"
    run.event("x", "Phase3: shared cache detected across master tiles; refcount guard active.", source="log")
    assert verdict(micro.runs(run)).outcome is Outcome.PASS


def other(run, **changes):
    """Return a record whose request differs in these fields."""
    return replace(run, request=replace(run.request, **changes))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"workers": 9}, "workers"),
        ({"profile": "default"}, "profile"),
        ({"config": {"a": 1}}, "config"),
        ({"seed": 3}, "seed"),
        ({"schedule": (Hold(1, 0),)}, "schedule"),
        ({"retention": "run_end"}, "retention"),
        ({"plan": None}, "plan"),
        ({"target": TargetFacts("zemosaic", "z", "", "python")}, "target.kind"),
    ],
)
def test_a_foreign_baseline_is_left_out_and_said(changes, named):
    """A baseline of another test is not compared, and the difference is named; another version of the target is no difference."""
    before = micro.naive(order=(2, 1, 0)).record()
    found = verdict(micro.runs(micro.counted(), baseline=other(before, **changes)))
    assert found.outcome is Outcome.PASS
    assert "baseline" not in found.sentence.render()
    assert "baseline_total" not in found.evidence
    assert from_json(found.evidence["baseline"], Message).render().endswith(f"differs in: {named}.")
    version = TargetFacts("reference", "older", "", "python", {"commit": "older"})
    assert (
        "in the baseline: "
        in verdict(micro.runs(micro.counted(), baseline=other(before, target=version))).sentence.render()
    )


def test_without_phase_3_there_is_no_verdict():
    """A run that ended before Phase 3 is unknown."""
    run = micro.Micro().event("run_error_phase2_no_groups")
    assert verdict(micro.runs(run)).evidence["premise"] == "Phase 3 reached"
