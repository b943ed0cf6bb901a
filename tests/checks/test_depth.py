"""The check that frames are conserved over a tile and its retries."""

from dataclasses import replace

import pytest

from harness.analysis.phase3 import groups
from harness.checks.judge import judge
from harness.verdict import Outcome
from tests import micro


def verdict(runs):
    """Return the verdict of this check alone."""
    return judge(runs, ["depth"])[0]


def retried(*, starved=False, abandoned=False, count=1, retention="per_tile"):
    """Return a run whose tile 1 aligns its first frame only; the second comes back as a retry, or is given up."""
    run = micro.Micro(micro.ONE_SHARED, retention=retention).begin()
    for tile, group in enumerate(micro.ONE_SHARED):
        run.submit(tile, group)
    run.work(0).start(1).end(1, aligned=count).collect(1)
    if starved:
        run.remove("p1_1.fits")
    if abandoned:
        run.event("run_warn_phase3_alignment_retry_abandoned", tile_id=1, filename="p1_1.fits", attempts=4)
    elif count == 1:
        run.submit(3, ("p1_1.fits",), retry_of=1).work(3)
    return run.work(2).finish()


def test_all_frames_used_passes():
    """Frames that two tiles share count for each of them."""
    found = verdict(micro.runs(micro.counted()))
    assert found.outcome is Outcome.PASS
    assert found.evidence["frames_submitted"] == 10


def test_a_partly_starved_tile_fails_though_the_count_of_tiles_agrees():
    """Tile 1 was made without the two frames that it borrowed: counted nowhere, and shows no hole."""
    run = micro.Micro().begin()
    for tile, group in enumerate(micro.CHAIN):
        run.submit(tile, group)
    run.work(2).remove(*micro.names(2)).work(0).work(1).finish()
    runs = micro.runs(run)
    tiles, holes = judge(runs, ["tiles", "holes"])
    assert (tiles.outcome, holes.outcome) == (Outcome.PASS, Outcome.PASS)
    found = verdict(runs)
    assert found.outcome is Outcome.FAIL
    assert found.evidence["frames_lost"] == {"1": {"p2_0.fits": "caches", "p2_1.fits": "caches"}}
    assert [link.render() for link in found.cause] == [
        "Tile 1 was made without 2 of its 4 frames, whose caches it lacked, among them preprocessed_p2_0.npy of p2_0.fits.",
        "Thread MainThread removed preprocessed_p2_0.npy 0.130 s after the start of Phase 3.",
        "It did so after tile 2 had ended, at 0.100 s.",
        "Tile 1, which needed it, had been submitted and started only 0.100 s later.",
    ]


def test_a_frame_that_its_retry_uses_is_not_lost():
    """Conservation is over the tile and its retries together."""
    found = verdict(micro.runs(retried()))
    assert found.outcome is Outcome.PASS, micro.prose(found)
    assert found.evidence["frames_submitted"] == 7


def test_a_starved_retry_loses_the_frames_of_its_tile():
    """The tile was made of one frame; the others of its panel were to come from the retry, whose caches are gone."""
    found = verdict(micro.runs(retried(starved=True)))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["tiles"][0]["tile"] == 1
    assert "Tile 3 was not made" in micro.prose(found)
    assert "Tile 3, a retry of tile 1, was submitted with it only" in micro.prose(found)


def test_frames_that_no_retry_could_align_are_noted():
    """A frame given up by its retries is a finding with a cause of its own, no failure."""
    found = verdict(micro.runs(retried(abandoned=True)))
    assert found.outcome is Outcome.PASS
    assert found.evidence["lost"] == {"alignment": 1}
    assert "Lost for other stated causes: 1 of 7." in found.sentence.render()


@pytest.mark.parametrize("key", ["mastertile_warn_invalid_cached_data", "mastertile_error_loading_cache"])
def test_a_cache_that_can_not_be_read_is_a_lost_cache(key):
    """A cache that vanished between the look and the load, or was cut short, names the cache and not the frame."""
    run = micro.Micro(micro.PRIVATE).begin().submit(0, micro.PRIVATE[0]).start(0)
    run.event(key, filename="preprocessed_p0_1.npy", tile_id=0).end(0, aligned=1).collect(0).finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["frames_lost"] == {"0": {"p0_1.fits": "caches"}}
    assert "The trace shows no removal of preprocessed_p0_1.npy." in micro.prose(found)


def test_frames_that_vanish_without_a_word_fail_unless_the_pair_loses_them_too():
    """The tile's header counts fewer frames than were left to it, and nothing says which or why."""
    run = retried(count=0)
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["lost_silently"] == 2
    same = verdict(micro.runs(run, pair=retried(count=0, retention="run_end").record()))
    assert same.outcome is Outcome.PASS


def test_a_tile_that_failed_for_its_own_cause_notes_its_frames():
    """The frames of a tile that the quality gate rejects are lost with that cause."""
    run = micro.Micro((micro.names(0),), retention="run_end").begin().submit(0, micro.names(0)).start(0)
    run.event("mt_quality_gate_result", tile_id=0, status="REJECT").end(0, "failed").collect(0).finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.PASS
    assert found.evidence["lost"] == {"quality gate": 2}


def test_small_groups_that_are_stacked_more_than_once_lose_nothing():
    """A target may repeat the frames of a small group: its header then counts more than were submitted."""
    run = micro.Micro((micro.names(0),), retention="run_end").begin()
    run.submit(0, micro.names(0) * 2).start(0).end(0, aligned=5).collect(0)
    found = verdict(micro.runs(run.finish()))
    assert found.outcome is Outcome.PASS
    assert found.evidence["tiles_whose_number_tells_of_no_loss"] == [0]
    assert verdict(micro.runs(micro.counted())).evidence["tiles_whose_number_tells_of_no_loss"] == []


def test_an_uncounted_tile_is_unknown():
    """Without a header or an event nobody knows of how many frames a tile was made; the event serves as well."""
    run = micro.counted()
    whole = run.record().products
    products = replace(whole, tiles=())
    assert verdict(micro.runs(run, products=products)).outcome is Outcome.UNKNOWN
    for tile, group in enumerate(micro.CHAIN):
        run.event("mastertile_info_intra_tile_alignment_finished", tile_id=tile, num_aligned=len(group))
    assert verdict(micro.runs(run, products=products)).outcome is Outcome.PASS


def test_planned_frames_that_were_never_submitted_are_told():
    """A frame that Phase 1 refused reaches no tile; that is a finding."""
    run = micro.counted()
    run.request = replace(run.request, plan=(*micro.CHAIN, ("p2_0.fits", "cloudy.fits")))
    assert verdict(micro.runs(run, pair=None)).evidence["planned_but_never_submitted"] == ["cloudy.fits"]


def short(retention="per_tile", dropped="p2_1.fits"):
    """Return a run that submits the last group without one of its planned frames."""
    run = micro.counted((*micro.CHAIN[:2], tuple(n for n in micro.CHAIN[2] if n != dropped)), retention=retention)
    run.request = replace(run.request, plan=micro.CHAIN)
    return run


def test_a_planned_frame_that_only_the_pair_submits_is_lost():
    """The frame is in another group too, so that it counts as submitted: its own group lacks it all the same."""
    found = verdict(micro.runs(short()))
    assert found.outcome is Outcome.FAIL
    assert "1, such as p2_1.fits" in found.sentence.render()
    assert found.evidence["not_submitted_with_their_group"] == {"new": [{"group": 2, "frame": "p2_1.fits"}]}


def test_a_planned_frame_that_the_pair_does_not_submit_either_is_told():
    """What both leave out is the dataset's doing, or the target's in any case; the sentence says it."""
    found = verdict(micro.runs(short(), pair=short("run_end").record()))
    assert found.outcome is Outcome.PASS
    assert "Planned but not submitted, as with run_end: 1." in found.sentence.render()


@pytest.mark.parametrize("misfit", [None, {"workers": 5}])
def test_without_a_pair_nobody_knows_of_planned_frames(misfit):
    """Without a pair, or with one that is no measure, frames that were not submitted are no pass; why is said."""
    pair = None if misfit is None else micro.run_end(micro.CHAIN, **misfit)
    found = verdict(micro.runs(short(), pair=pair))
    assert found.outcome is Outcome.UNKNOWN
    assert ("workers" if misfit else "There is no run with run_end to compare with.") in micro.prose(found)


def test_a_group_split_in_two_loses_nothing():
    """A target may make two tiles of a group: a frame that a tile of no group has was submitted."""
    run = micro.counted((micro.names(0), micro.names(1)), retention="run_end")
    run.request = replace(run.request, plan=(micro.names(0) + micro.names(1),))
    assert verdict(micro.runs(run)).outcome is Outcome.PASS


def test_a_tile_is_a_groups_only_if_it_shares_half_of_it():
    """One frame in common makes a tile no group's."""
    run = micro.counted((micro.names(0, 1) + micro.names(1),), retention="run_end").record()
    assert groups(replace(run, request=replace(run.request, plan=(micro.names(0) + micro.names(2),)))) == {}
    assert groups(replace(run, request=replace(run.request, plan=(micro.names(1),)))) == {0: 0}


def test_without_a_trace_of_tiles_nothing_is_known():
    """Frames are followed through tiles; without them there is nothing to follow."""
    run = micro.counted()
    run.capabilities = micro.SOURCES - {"tiles"}
    assert verdict(micro.runs(run)).evidence["premise"] == "source tiles"
