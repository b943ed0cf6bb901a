"""Test the check that every frame reaches its tile."""

from dataclasses import replace

import pytest

from harness.analysis.phase3 import groups
from harness.checks.judge import ALL, judge
from harness.record.history import TileStep
from harness.verdict import Outcome
from tests import micro


def verdict(runs):
    """Return the verdict of this check alone."""
    return judge(runs, ["depth"])[0]


def retried(*, starved=False, abandoned=False, count=1, retention="per_tile"):
    """Return a run whose tile 1 aligns its first frame only. The second frame is retried or abandoned."""
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
    """A frame that two tiles share counts for each of them."""
    found = verdict(micro.runs(micro.counted()))
    assert found.outcome is Outcome.PASS
    assert found.evidence["frames_submitted"] == 10


def test_a_partly_starved_tile_fails_though_the_count_of_tiles_agrees():
    """A tile made without two of its frames fails only this check: no tile is missing and there is no hole."""
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
        "The main thread removed preprocessed_p2_0.npy 0.130 s after the start of Phase 3.",
        "It did so after tile 2 had ended, at 0.100 s.",
        "Tile 1, which needed it, had been submitted and started only 100\N{NO-BREAK SPACE}ms later.",
    ]


def test_a_frame_that_its_retry_uses_is_not_lost():
    """A frame that the retry of its tile uses is not lost."""
    found = verdict(micro.runs(retried()))
    assert found.outcome is Outcome.PASS, micro.prose(found)
    assert found.evidence["frames_submitted"] == 7


def test_a_starved_retry_loses_the_frames_of_its_tile():
    """A retry whose caches are gone loses the frames of its tile."""
    found = verdict(micro.runs(retried(starved=True)))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["tiles"][0]["tile"] == 1
    assert "Tile 3 was not made" in micro.prose(found)
    assert "Tile 3, a retry of tile 1, was submitted with it only" in micro.prose(found)


def test_the_tile_that_lost_most_is_explained():
    """Of two tiles without some of their caches the one that lost more is explained. The sentence counts the frames of both."""
    run = micro.Micro(micro.PRIVATE).begin()
    for tile, group in enumerate(micro.PRIVATE):
        run.submit(tile, group)
    run.remove("p0_0.fits", *micro.names(1)).work(0).work(1).work(2).finish()
    found = verdict(micro.runs(run))
    assert found.sentence.render().endswith(": 3 (tiles 0, 1).")
    assert found.cause[0].render().startswith("Tile 1 was not made: it lacked the caches of 2 of its 2 frames")
    assert ALL["depth"].figures[0].take(found.evidence) == (3, 6)


def test_frames_lost_for_other_causes_are_not_counted_as_lost_to_caches():
    """A tile that lost one frame to its caches and one to the alignment has one frame without a cache."""
    run = micro.Micro(micro.PRIVATE).begin().submit(0, (*micro.names(0), *micro.names(1))).remove("p0_0.fits")
    run.event("run_warn_phase3_alignment_retry_abandoned", tile_id=0, filename="p1_1.fits", attempts=4)
    run.start(0).event(micro.MISSING, filename="p0_0.fits", cache_path=micro.cache_of("p0_0.fits"), tile_id=0)
    found = verdict(micro.runs(run.end(0, aligned=2).collect(0).finish()))
    assert found.evidence["lost"] == {"caches": 1, "alignment": 1}
    assert "for no stated cause: 1 (tiles 0)" in found.sentence.render()


def test_a_retry_of_a_retry_takes_the_frames_of_the_first_retry():
    """Each retry uses what its own origin left, so no frame is counted twice or missed."""
    run = micro.Micro(micro.PRIVATE).begin().submit(0, (*micro.names(0), *micro.names(1)))
    run.start(0).end(0, aligned=1).collect(0).submit(1, ("p0_1.fits", *micro.names(1)), retry_of=0)
    run.start(1).end(1, aligned=2).collect(1).submit(2, ("p1_1.fits",), retry_of=1).work(2)
    found = verdict(micro.runs(run.finish(), pair=None))
    assert (found.evidence["lost"], found.evidence["lost_silently"]) == ({}, 0)


def test_a_retry_that_never_ended_adds_its_frames_to_those_lost_before():
    """The frame that the tile lacked and the one that its retry never used are both lost, each for its own cause."""
    run = micro.Micro(micro.PRIVATE).begin().submit(0, (*micro.names(0), *micro.names(1)[:1])).remove("p0_0.fits")
    run.start(0).event(micro.MISSING, filename="p0_0.fits", cache_path=micro.cache_of("p0_0.fits"), tile_id=0)
    run.end(0, aligned=1).collect(0).submit(1, ("p1_0.fits",), retry_of=0).start(1)
    found = verdict(micro.runs(run.finish()))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["frames_lost"] == {"0": {"p0_0.fits": "caches", "p1_0.fits": "unstated"}}


def test_frames_that_no_retry_could_align_are_noted():
    """A frame that could not be aligned by any retry is listed with its cause and is no failure."""
    found = verdict(micro.runs(retried(abandoned=True)))
    assert found.outcome is Outcome.PASS
    assert found.evidence["lost"] == {"alignment": 1}
    assert "Lost for other stated causes: 1 of 7." in found.sentence.render()


@pytest.mark.parametrize("key", ["mastertile_warn_invalid_cached_data", "mastertile_error_loading_cache"])
def test_a_cache_that_can_not_be_read_is_a_lost_cache(key):
    """A cache that can not be loaded is lost; its event names the cache and not the frame."""
    run = micro.Micro(micro.PRIVATE).begin().submit(0, micro.PRIVATE[0]).start(0)
    run.event(key, filename="preprocessed_p0_1.npy", tile_id=0).end(0, aligned=1).collect(0).finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["frames_lost"] == {"0": {"p0_1.fits": "caches"}}
    assert "The trace shows no removal of preprocessed_p0_1.npy." in micro.prose(found)


def test_frames_that_vanish_without_a_word_fail_unless_the_pair_loses_them_too():
    """Frames missing from a tile's header without an event fail the run, unless they are missing in the pair too."""
    run = retried(count=0)
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["lost_silently"] == 2
    same = verdict(micro.runs(run, pair=retried(count=0, retention="run_end").record()))
    assert same.outcome is Outcome.PASS


def test_a_tile_that_failed_for_its_own_cause_notes_its_frames():
    """The frames of a tile that the quality gate rejects are lost for that cause."""
    run = micro.Micro((micro.names(0),), retention="run_end").begin().submit(0, micro.names(0)).start(0)
    run.event("mt_quality_gate_result", tile_id=0, status="REJECT").end(0, "failed").collect(0).finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.PASS
    assert found.evidence["lost"] == {"quality gate": 2}


def test_small_groups_that_are_stacked_more_than_once_lose_nothing():
    """A header that counts more frames than were submitted is allowed: targets may repeat the frames of a small group."""
    run = micro.Micro((micro.names(0),), retention="run_end").begin()
    run.submit(0, micro.names(0) * 2).start(0).end(0, aligned=5).collect(0)
    found = verdict(micro.runs(run.finish()))
    assert found.outcome is Outcome.PASS
    assert found.evidence["tiles_whose_number_tells_of_no_loss"] == [0]
    assert verdict(micro.runs(micro.counted())).evidence["tiles_whose_number_tells_of_no_loss"] == []


def test_the_target_says_that_it_repeats_the_frames_of_a_tile():
    """A tile whose frames the target says it repeats is listed, also if its header counts no more images than frames."""
    run = micro.Micro((micro.names(0),), retention="run_end").begin().submit(0, micro.names(0)).start(0)
    run.event("[Batch] Duplicating frames: original=2 \u2192 final=5", tile_id=0).end(0, aligned=2).collect(0)
    found = verdict(micro.runs(run.finish()))
    assert found.outcome is Outcome.PASS
    assert found.evidence["tiles_whose_number_tells_of_no_loss"] == [0]


def test_an_uncounted_tile_is_unknown():
    """A tile whose number of frames is neither in its header nor in an event is unknown."""
    run = micro.counted()
    whole = run.record().products
    products = replace(whole, tiles=())
    assert verdict(micro.runs(run, products=products)).outcome is Outcome.UNKNOWN
    for tile, group in enumerate(micro.CHAIN):
        run.event("mastertile_info_intra_tile_alignment_finished", tile_id=tile, num_aligned=len(group))
    assert verdict(micro.runs(run, products=products)).outcome is Outcome.PASS


def test_planned_frames_that_were_never_submitted_are_told():
    """A planned frame that was never submitted is listed in the evidence."""
    run = micro.counted()
    run.request = replace(run.request, plan=(*micro.CHAIN, ("p2_0.fits", "cloudy.fits")))
    assert verdict(micro.runs(run, pair=None)).evidence["planned_but_never_submitted"] == ["cloudy.fits"]


def short(retention="per_tile", dropped="p2_1.fits"):
    """Return a run that submits the last group without one of its planned frames."""
    run = micro.counted((*micro.CHAIN[:2], tuple(n for n in micro.CHAIN[2] if n != dropped)), retention=retention)
    run.request = replace(run.request, plan=micro.CHAIN)
    return run


def test_a_planned_frame_that_only_the_pair_submits_is_lost():
    """A frame missing from its planned group fails the run, even if another group has it."""
    found = verdict(micro.runs(short()))
    assert found.outcome is Outcome.FAIL
    assert "1, such as p2_1.fits" in found.sentence.render()
    assert found.evidence["not_submitted_with_their_group"] == {"new": [{"group": 2, "frame": "p2_1.fits"}]}


def test_a_planned_frame_that_the_pair_does_not_submit_either_is_told():
    """A planned frame that the pair does not submit either is mentioned and is no failure."""
    found = verdict(micro.runs(short(), pair=short("run_end").record()))
    assert found.outcome is Outcome.PASS
    assert "Planned but not submitted, as with run_end: 1." in found.sentence.render()


def test_a_planned_frame_that_only_the_version_before_the_patch_submits_is_lost():
    """A planned frame that neither retention submits, and the baseline does, is new."""
    pair = short("run_end").record()
    found = verdict(micro.runs(short(), pair=pair, baseline=micro.counted().record()))
    assert found.outcome is Outcome.FAIL
    assert "in the version before the patch: 1, such as p2_1.fits." in found.sentence.render()
    evidence = found.evidence["not_submitted_with_their_group"]
    assert evidence == {"new_since_baseline": [{"group": 2, "frame": "p2_1.fits"}]}
    usual = verdict(micro.runs(short(), pair=pair, baseline=short().record()))
    assert usual.outcome is Outcome.PASS


def test_without_a_plan_a_frame_that_only_another_run_submits_is_lost():
    """A version that groups the frames itself leaves out the last panel, and announces one tile less."""

    def unplanned(groups, **request):
        run = micro.counted(groups, **request)
        run.request = replace(run.request, plan=None)
        return run

    shorter, whole = micro.CHAIN[:1], micro.CHAIN[:2]
    there = unplanned(whole, retention="run_end").record()
    found = verdict(micro.runs(unplanned(shorter, retention="run_end"), pair=None, baseline=there))
    assert found.outcome is Outcome.FAIL
    assert found.sentence.render() == (
        "Frames that were submitted in the version before the patch only: 2, such as p2_0.fits."
    )
    found = verdict(micro.runs(unplanned(shorter), pair=there))
    assert found.sentence.render() == "Frames that were submitted with run_end only: 2, such as p2_0.fits."
    assert verdict(micro.runs(unplanned(whole), pair=there)).outcome is Outcome.PASS


@pytest.mark.parametrize("misfit", [None, {"workers": 5}])
def test_without_a_pair_nobody_knows_of_planned_frames(misfit):
    """Planned frames that were not submitted are unknown without a comparable pair, with the reason."""
    pair = None if misfit is None else micro.run_end(micro.CHAIN, **misfit)
    found = verdict(micro.runs(short(), pair=pair))
    assert found.outcome is Outcome.UNKNOWN
    assert ("workers" if misfit else "There is no run with run_end to compare with.") in micro.prose(found)


def test_a_group_split_in_two_loses_nothing():
    """A target may make two tiles of one group: a frame in a tile without a group was submitted."""
    run = micro.counted((micro.names(0), micro.names(1)), retention="run_end")
    run.request = replace(run.request, plan=(micro.names(0) + micro.names(1),))
    assert verdict(micro.runs(run)).outcome is Outcome.PASS


def test_a_tile_is_a_groups_only_if_it_shares_half_of_it():
    """A tile belongs to a group only if it shares half of its frames."""
    run = micro.counted((micro.names(0, 1) + micro.names(1),), retention="run_end").record()
    assert groups(replace(run, request=replace(run.request, plan=(micro.names(0) + micro.names(2),)))) == {}
    assert groups(replace(run, request=replace(run.request, plan=(micro.names(1),)))) == {0: 0}


def test_without_a_trace_of_tiles_nothing_is_known():
    """Without a trace of tiles the check is unknown."""
    run = micro.counted()
    run.capabilities = micro.SOURCES - {"tiles"}
    assert verdict(micro.runs(run)).evidence["premise"] == "source tiles"


CHUNKS = ((*micro.names(0)[:1], *micro.names(1)), (*micro.names(0)[1:], *micro.names(2)))


def chunked(chunks=CHUNKS, aligned=(3, 3), merged=2):
    """Return a run of a tile without parts, and of one that is made from chunks which align so many frames."""
    run = micro.Micro((micro.names(1), (*CHUNKS[0], *CHUNKS[1])), retention="run_end").begin()
    run.submit(0, micro.names(1)).submit(1, (*CHUNKS[0], *CHUNKS[1])).work(0).start(1)

    def call(number, frames, caches, count):
        for state, more in (("started", {}), ("ended", {"outcome": "made", "reference": frames[0]})):
            if more:
                more["path"] = f"{micro.TILES}/master_tile_{number:03d}.fits"
                run.event(
                    "mastertile_info_intra_tile_alignment_finished", thread="Ph3_0", tile_id=number, num_aligned=count
                )
            step = TileStep(run.tick(), 1, "Ph3_0", state, number, tuple(frames), tuple(caches), part_of=1, **more)
            run.steps.append(step)

    numbers = range(2, 2 + len(chunks)) if len(chunks) > 1 else (1,)
    for number, frames, count in zip(numbers, chunks, aligned, strict=True):
        call(number, frames, map(micro.cache_of, frames), count)
    if len(chunks) > 1:
        inner = [f"{micro.TILES}/.p3_internal_tile_0001/chunk_{n:04d}.npy" for n in numbers]
        call(1, [f"master_tile_{n:03d}.fits" for n in numbers], inner, merged)
    return run.end(1, aligned=len(chunks)).collect(1).finish()


@pytest.mark.parametrize(
    ("run", "missing"),
    [
        (chunked(), 0),
        (chunked(aligned=(3, 1)), 2),
        (chunked(aligned=(3, 1), merged=1), 3),  # it is not known which chunk did not align: the larger one is counted
        (
            chunked(chunks=((*CHUNKS[0], *CHUNKS[1]),), aligned=(5,)),
            1,
        ),  # the tile was made by one call within its making
    ],
)
def test_a_tile_made_of_chunks_holds_the_frames_of_its_chunks(run, missing):
    """The header of a merged tile counts chunks, so the frames that its chunks aligned are added up, also after other tiles."""
    found = verdict(micro.runs(run))
    assert found.evidence["tiles_uncounted"] == []
    assert found.evidence["lost_silently"] == missing
    assert found.outcome is (Outcome.FAIL if missing else Outcome.PASS)


def test_a_tile_made_of_chunks_that_were_not_counted_is_unknown():
    """Without the number of one chunk, or of the chunks that the merge aligned, the tile's number of frames is not known."""
    for lost in (0, 1, 2):
        run = chunked()
        counts = [event for event in run.events if event.key == "mastertile_info_intra_tile_alignment_finished"]
        run.events.remove(counts[lost])
        found = verdict(micro.runs(run))
        assert (found.outcome, found.evidence["tiles_uncounted"]) == (Outcome.UNKNOWN, [1])


def test_the_figure_counts_frames_lost_and_submitted_in_every_mode():
    """The figure of a run is the number of lost frames, for any cause, and of those submitted; in SDS of those asked for."""
    take = ALL["depth"].figures[0].take
    assert take(verdict(micro.runs(micro.counted())).evidence) == (0, 10)
    assert take(verdict(micro.runs(retried(starved=True))).evidence) == (1, 7)
    assert take(verdict(micro.runs(micro.sds((3, 3), lost=(1,)))).evidence) == (3, 6)
    assert take({"lost": {"caches": 1}}) is None
