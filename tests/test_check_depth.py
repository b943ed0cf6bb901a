"""The check that frames are conserved over a tile and its retries."""

from dataclasses import replace

import pytest

from harness.checks import judge
from harness.verdict import Outcome
from tests import micro


def verdict(case):
    """Return the verdict of this check alone."""
    return judge(case, ["depth"])[0]


def retried(*, starved=False, abandoned=False, count=1, retention="per_tile"):
    """Return a run whose tile 1 aligns its first frame only; the second comes back as a retry, or is given up."""
    run = micro.Micro(micro.PRIVATE, retention=retention).begin()
    for tile, group in enumerate(micro.PRIVATE):
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
    found = verdict(micro.case(micro.counted()))
    assert found.outcome is Outcome.PASS
    assert found.evidence["frames_submitted"] == 10


def test_a_partly_starved_tile_fails_though_the_count_of_tiles_agrees():
    """Tile 1 was made without the two frames that it borrowed: counted nowhere, and shows no hole."""
    run = micro.Micro().begin()
    for tile, group in enumerate(micro.CHAIN):
        run.submit(tile, group)
    run.work(2).remove(*micro.names(2)).work(0).work(1).finish()
    case = micro.case(run)
    tiles, holes = judge(case, ["tiles", "holes"])
    assert (tiles.outcome, holes.outcome) == (Outcome.PASS, Outcome.PASS)
    found = verdict(case)
    assert found.outcome is Outcome.FAIL
    assert found.evidence["frames_lost"] == {"1": {"p2_0.fits": "caches", "p2_1.fits": "caches"}}
    assert [link.render() for link in found.cause] == [
        "Tile 1 was made without 2 of its 4 frames, whose caches it lacked, among them preprocessed_p2_0.npy of p2_0.fits.",
        "MainThread removed preprocessed_p2_0.npy, 0.130 s after the start of Phase 3.",
        "It did so after tile 2 had ended, at 0.100 s.",
        "Tile 1, which needed it, had been submitted and started only 0.100 s later.",
    ]


def test_a_frame_that_its_retry_uses_is_not_lost():
    """Conservation is over the tile and its retries together."""
    found = verdict(micro.case(retried()))
    assert found.outcome is Outcome.PASS, micro.prose(found)
    assert found.evidence["frames_submitted"] == 6


def test_a_starved_retry_loses_the_frames_of_its_tile():
    """The tile was made of one frame; the others of its panel were to come from the retry, whose caches are gone."""
    found = verdict(micro.case(retried(starved=True)))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["tiles"][0]["tile"] == 1
    assert "Tile 3 was not made" in micro.prose(found)
    assert "which retries frames of tile 1, was submitted with it only" in micro.prose(found)


def test_frames_that_no_retry_could_align_are_noted():
    """A frame given up by its retries is a finding with a cause of its own, no failure."""
    found = verdict(micro.case(retried(abandoned=True)))
    assert found.outcome is Outcome.PASS
    assert found.evidence["lost"] == {"alignment": 1}
    assert "Lost for stated causes of their own: 1 of 6." in found.sentence.render()


@pytest.mark.parametrize("key", ["mastertile_warn_invalid_cached_data", "mastertile_error_loading_cache"])
def test_a_cache_that_can_not_be_read_is_a_lost_cache(key):
    """A cache that vanished between the look and the load, or was cut short, names the cache and not the frame."""
    run = micro.Micro(micro.PRIVATE).begin().submit(0, micro.PRIVATE[0]).start(0)
    run.event(key, filename="preprocessed_p0_1.npy", tile_id=0).end(0, aligned=1).collect(0).finish()
    found = verdict(micro.case(run))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["frames_lost"] == {"0": {"p0_1.fits": "caches"}}
    assert "The trace shows nobody who removed preprocessed_p0_1.npy." in micro.prose(found)


def test_frames_that_vanish_without_a_word_fail_unless_the_pair_loses_them_too():
    """The tile's header counts fewer frames than were left to it, and nothing says which or why."""
    run = retried(count=0)
    found = verdict(micro.case(run))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["lost_silently"] == 2
    same = verdict(micro.case(run, pair=retried(count=0, retention="run_end").record()))
    assert same.outcome is Outcome.PASS


def test_a_tile_that_failed_for_its_own_cause_notes_its_frames():
    """The frames of a tile that the quality gate rejects are lost with that cause."""
    run = micro.Micro(micro.PRIVATE).begin().submit(0, micro.PRIVATE[0]).start(0)
    run.event("mt_quality_gate_result", tile_id=0, status="REJECT").end(0, "failed").collect(0).finish()
    found = verdict(micro.case(run))
    assert found.outcome is Outcome.PASS
    assert found.evidence["lost"] == {"quality gate": 2}


def test_small_groups_that_are_stacked_more_than_once_lose_nothing():
    """A target may repeat the frames of a small group: its header then counts more than were submitted."""
    run = micro.Micro(micro.PRIVATE).begin().submit(0, micro.PRIVATE[0] * 2).start(0).end(0, aligned=5).collect(0)
    assert verdict(micro.case(run.finish())).outcome is Outcome.PASS


def test_an_uncounted_tile_is_unknown():
    """Without a header or an event nobody knows of how many frames a tile was made; the event serves as well."""
    run = micro.counted()
    whole = run.record().products
    products = replace(whole, tiles=())
    assert verdict(micro.case(run, products=products)).outcome is Outcome.UNKNOWN
    for tile, group in enumerate(micro.CHAIN):
        run.event("mastertile_info_intra_tile_alignment_finished", tile_id=tile, num_aligned=len(group))
    assert verdict(micro.case(run, products=products)).outcome is Outcome.PASS


def test_planned_frames_that_were_never_submitted_are_told():
    """A frame that Phase 1 refused reaches no tile; that is a finding."""
    run = micro.counted()
    run.request = replace(run.request, plan=(*micro.CHAIN, ("p2_0.fits", "cloudy.fits")))
    assert verdict(micro.case(run, pair=None)).evidence["planned_but_never_submitted"] == ["cloudy.fits"]


def test_without_a_trace_of_tiles_nothing_is_known():
    """Frames are followed through tiles; without them there is nothing to follow."""
    run = micro.counted()
    run.capabilities = micro.SOURCES - {"tiles"}
    assert verdict(micro.case(run)).evidence["premise"] == "source tiles"
