"""Test the check that caches are freed progressively."""

import json
from dataclasses import replace

import pytest

from harness.checks import disk
from harness.checks.judge import judge
from harness.record.comparison import Comparison
from harness.record.leftovers import LeftFile
from harness.verdict import Outcome
from tests import micro


def verdict(runs):
    """Return the verdict of this check alone."""
    return judge(runs, ["disk"])[0]


def run_of(remove, plan=micro.ONE_SHARED, outcomes=(), length=0, **request):
    """Return a run that removes the caches ``remove(tile)`` after each tile.

    ``length`` is the time from one tile to the next, in nanoseconds.
    """
    run = micro.Micro(plan, **request).begin()
    for tile, group in enumerate(plan):
        run.submit(tile, group)
    for tile in range(len(plan)):
        run.t += length
        run.work(tile, outcome=dict(outcomes).get(tile, "made")).remove(*remove(tile))
    return run


def last_users(plan):
    """Return for each tile the caches whose last user it is."""
    last = {n: tile for tile, group in enumerate(plan) for n in group}
    return {tile: [n for n in last if last[n] == tile] for tile in range(len(plan))}


# Eight tiles of two frames, each of which borrows one frame of the next.
LONG = (*((*micro.names(p), *micro.names(p + 1)[:1]) for p in range(7)), micro.names(7))


def long_run(delay=0, **request):
    """Return a run of eight tiles that removes each cache ``delay`` tiles after its last user."""
    last = last_users(LONG)
    run = run_of(lambda tile: last.get(tile - delay, ()), LONG, length=micro.PAUSE // 4, panels=8, **request)
    for tile in range(len(LONG) - delay, len(LONG)):
        run.remove(*last[tile])
    return run.finish()


def test_counting_references_passes_with_the_figures():
    """A run that removes each cache after its last user passes, with the excess, the delays and the peak in the evidence."""
    found = verdict(micro.runs(micro.counted()))
    assert found.outcome is Outcome.PASS, micro.prose(found)
    told = found.evidence
    assert (told["judged"], told["freed_in_phase_3"], told["left_at_end_of_phase_3"], told["left_at_end"]) == (
        6,
        6,
        0,
        0,
    )
    assert 0 < told["excess_fraction"] < 0.05
    assert told["held_byte_seconds"] == pytest.approx(told["lower_bound_byte_seconds"] + told["excess_byte_seconds"])
    assert 0 < told["delay_median_seconds"] <= told["delay_max_seconds"]
    assert told["total_peak_ratio"] == 1.0
    assert "The peak size is 1 times that with run_end." in micro.prose(found)


def test_a_hold_is_no_delay():
    """A tile that the schedule delays still needs its caches, so that they belong to the lower bound."""
    run = micro.Micro(micro.CHAIN).begin()
    for tile, group in enumerate(micro.CHAIN):
        run.submit(tile, group)
    run.start(1, "Ph3_1").start(0).end(0).collect(0).remove(*micro.names(0))
    run.t += 3 * micro.PAUSE
    run.end(1).collect(1).remove(*micro.names(1)).work(2).remove(*micro.names(2)).finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.PASS, micro.prose(found)


def test_a_busy_machine_is_no_excess():
    """Time between the end of a tile and its collection is no fault of the policy, though caches are held meanwhile."""
    run = micro.Micro(micro.ONE_SHARED).begin()
    last = last_users(micro.ONE_SHARED)
    for tile, group in enumerate(micro.ONE_SHARED):
        run.submit(tile, group)
    for tile in range(3):
        run.start(tile).end(tile)
        run.t += micro.PAUSE
        run.collect(tile).remove(*last[tile])
    found = verdict(micro.runs(run.finish()))
    assert found.outcome is Outcome.PASS, micro.prose(found)
    assert found.evidence["excess_fraction"] > 0.05
    assert found.evidence["excess_fraction_in_tiles"] == 0


def test_a_tile_late_is_no_excess_where_it_takes_no_time():
    """Removals one tile late pass when the tiles are short compared with Phase 3: few byte-seconds are held."""
    last = last_users(LONG)
    run = micro.Micro(LONG, panels=8).begin()
    for tile, group in enumerate(LONG):
        run.submit(tile, group)
    run.t += 20 * micro.PAUSE
    for tile in range(len(LONG)):
        run.work(tile).remove(*last.get(tile - 1, ()))
    found = verdict(micro.runs(run.remove(*last[len(LONG) - 1]).finish(), pair=None))
    assert found.outcome is Outcome.PASS, micro.prose(found)
    assert found.evidence["excess_fraction_in_tiles"] > 0.05 > found.evidence["excess_fraction"]


def test_a_leak_fails():
    """One cache that is not removed in Phase 3 fails the check, even if the clean-up at the end removes it."""
    last = last_users(micro.ONE_SHARED)
    run = run_of(lambda tile: [n for n in last[tile] if n != "p0_1.fits"]).finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert [link.render() for link in found.cause] == [
        "The last user of preprocessed_p0_1.npy was tile 0, which ended 0.100 s after the start of Phase 3.",
        "preprocessed_p0_1.npy was removed 2.420 s after the start of Phase 3. Tiles collected in between: 2.",
    ]
    assert found.evidence["left_at_end_of_phase_3_names"] == ["preprocessed_p0_1.npy"]


def test_a_failed_tile_must_be_released_too():
    """The caches of a failed tile must be removed like those of a tile that was made."""
    last = last_users(micro.ONE_SHARED)
    run = run_of(lambda tile: [] if tile == 1 else last[tile], outcomes={1: "failed"}.items()).finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert "was tile 1" in micro.prose(found)


def test_a_removal_that_was_refused_is_no_leak():
    """A cache whose removal failed after its last use is counted in the evidence and does not fail: the end tries again."""
    last = last_users(micro.ONE_SHARED)
    run = run_of(lambda tile: [n for n in last[tile] if n != "p0_1.fits"])
    run.remove("p0_1.fits", code=micro.EACCES).finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.PASS, micro.prose(found)
    assert found.evidence["removals_refused"] == 1


def test_what_outlives_its_last_user_fails():
    """Removals two tiles late fail at any speed; removals one tile late do not exceed this limit."""
    found = verdict(micro.runs(long_run(2), pair=None))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["tiles_collected_before_removal_max"] == 2
    assert "Tiles collected before the removal: up to 2 (limit 1)" in micro.prose(found)
    assert found.evidence["outlived"][0] == {"cache": "preprocessed_p0_0.npy", "last_user": 0, "tiles_collected": 2}


def test_what_is_held_for_too_long_in_all_fails():
    """Removals that are each one tile late together exceed the limit of the excess."""
    assert verdict(micro.runs(long_run(0), pair=None)).outcome is Outcome.PASS
    found = verdict(micro.runs(long_run(1), pair=None))
    assert found.outcome is Outcome.FAIL
    assert min(found.evidence["excess_fraction"], found.evidence["excess_fraction_in_tiles"]) > 0.05
    assert "held too long" in micro.prose(found)


def test_a_larger_peak_than_with_run_end_fails():
    """A file written twice makes the peak of the output folder larger than with run_end, and fails."""
    run = micro.counted()
    extra = "outputs/copy.npy"
    twice = micro.counted()
    twice.operations.insert(0, replace(run.operations[0], op="save", path=extra, state="done", size=micro.SIZE))
    found = verdict(micro.runs(twice))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["total_peak_ratio"] == pytest.approx(7 / 6, rel=1e-5)


def test_samples_tell_the_peak_where_the_trace_does_not():
    """Sampled peaks are compared when the traced ones are incomplete; without a pair the sentence says that none are compared."""
    runs = micro.runs(micro.counted().look(300))
    pair = replace(runs.pair, history=micro.counted(retention="run_end").look(200).record().history, left=())
    found = verdict(Comparison(runs.run, pair))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["total_peak_ratio"] == 1.5
    alone = verdict(Comparison(runs.run))
    assert alone.outcome is Outcome.PASS
    assert "could not be compared" in micro.prose(alone)


def test_what_goes_too_early_is_no_merit():
    """Caches removed before their last use are not counted in the figures, and the sentence points to the cache check."""
    found = verdict(micro.runs(micro.naive()))
    assert found.outcome is Outcome.PASS
    assert (found.evidence["removed_before_last_use"], found.evidence["judged"]) == (4, 2)
    assert found.evidence["excess_byte_seconds"] > 0
    assert "Caches removed before their last use, not counted: 4; see the cache check." in micro.prose(found)


def test_when_everything_goes_too_early_the_question_does_not_arise():
    """If every cache is removed too early, no delay after the last use can be measured: not applicable."""
    run = micro.Micro(micro.CHAIN).begin()
    for tile, group in enumerate(micro.CHAIN):
        run.submit(tile, group)
    run.remove(*run.frames).work(0).work(1).work(2).finish()
    assert verdict(micro.runs(run)).outcome is Outcome.NOT_APPLICABLE


def test_caches_that_no_tile_uses_have_a_row_of_their_own():
    """Caches that no tile uses do not fail the check: only the clean-up can remove them."""
    run = micro.counted(micro.CHAIN[:2], panels=4, retention="per_tile")
    found = verdict(micro.runs(run, pair=None))
    assert found.outcome is Outcome.PASS, micro.prose(found)
    assert found.evidence["caches_no_tile_uses"] == 2


@pytest.mark.parametrize("retention", ["run_end", "keep"])
def test_other_retentions_do_what_their_names_say(retention):
    """A run with run_end removes its caches in Phase 7 and one with keep never; both pass and report the figures."""
    found = verdict(micro.runs(micro.counted(retention=retention)))
    assert found.outcome is Outcome.PASS, micro.prose(found)
    assert found.evidence["held_byte_seconds"] == found.evidence["run_end_byte_seconds"]
    assert found.evidence["left_at_end"] == (6 if retention == "keep" else 0)


@pytest.mark.parametrize("retention", ["run_end", "keep"])
def test_other_retentions_free_nothing_in_phase_3(retention):
    """With run_end and with keep, a cache removed in Phase 3 fails."""
    last = last_users(micro.ONE_SHARED)
    found = verdict(micro.runs(run_of(lambda tile: last[tile], retention=retention).finish()))
    assert found.outcome is Outcome.FAIL
    assert found.cause


def test_an_unseen_clean_up_is_unknown():
    """With run_end the answer is unknown if the start of Phase 7 was not recorded: the removals may be too early."""
    run = micro.counted(retention="run_end")
    run.events = [e for e in run.events if e.text != "7" and e.key != "run_info_phase7_cleanup_starting"]
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.UNKNOWN
    assert "the start of Phase 7 was not recorded" in micro.prose(found)


def test_leftovers_at_the_end_fail():
    """A clean-up that leaves caches fails, and so does keep if caches are missing on disk."""
    left = [LeftFile(micro.cache_of("p0_0.fits"), micro.SIZE, "cache")]
    found = verdict(micro.runs(micro.counted(retention="run_end"), left=left))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["left_at_end_bytes"] == micro.SIZE
    assert verdict(micro.runs(micro.counted(), left=left)).outcome is Outcome.FAIL
    assert verdict(micro.runs(micro.counted(retention="keep"), left=left)).outcome is Outcome.FAIL


@pytest.mark.parametrize("retention", ["per_tile", "run_end", "keep"])
def test_leftovers_that_were_not_counted_are_unknown(retention):
    """Without a list of the files on disk the answer is unknown."""
    assert verdict(micro.runs(micro.counted(retention=retention), left=None)).outcome is Outcome.UNKNOWN


def test_after_an_error_exit_leftovers_are_told():
    """A run that ends with an error in Phase 3 is unknown, with the number of caches left."""
    run = run_of(lambda tile: last_users(micro.ONE_SHARED)[tile])
    run.operations = run.operations[:-2]
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.UNKNOWN
    assert found.evidence["run_succeeded"] is False
    ended = micro.counted(retention="run_end")
    ended.events = [e for e in ended.events if not e.key.startswith("run_success") and e.text != "7"]
    ended.operations, ended.gone = [], set()
    found = verdict(micro.runs(ended))
    assert (found.outcome, found.evidence["left_at_end"]) == (Outcome.UNKNOWN, 6)
    assert "Caches left on disk: 6" in micro.prose(found)


def test_no_removal_in_phase_3_is_unknown():
    """If every removal was refused, per_tile was not tested: unknown."""
    run = micro.Micro(micro.CHAIN).begin().submit(0, micro.CHAIN[0]).submit(1, micro.CHAIN[1]).work(0).work(1)
    found = verdict(micro.runs(run.remove(*micro.CHAIN[0], *micro.CHAIN[1], code=micro.EACCES).finish()))
    assert found.outcome is Outcome.UNKNOWN
    assert "per_tile was not tested" in micro.prose(found)


def test_a_tile_whose_end_was_not_seen_is_unknown():
    """If the end of a tile is missing, its caches may still be needed: neither leak nor pass."""
    run = micro.Micro(micro.ONE_SHARED).begin()
    for tile, group in enumerate(micro.ONE_SHARED):
        run.submit(tile, group)
    run.work(0).remove(*micro.names(0)).work(1).remove("p1_1.fits").start(2).finish()
    assert verdict(micro.runs(run)).outcome is Outcome.UNKNOWN


def test_sds_frees_at_the_end():
    """In SDS caches must exist until the coadd has read them, and be removed at the end, except with keep."""
    found = verdict(micro.runs(micro.sds()))
    assert found.outcome is Outcome.PASS, micro.prose(found)
    assert "excess_fraction" not in found.evidence
    assert verdict(micro.runs(micro.sds(retention="keep"))).outcome is Outcome.PASS
    early = micro.sds()
    early.operations.append(replace(early.operations[0], op="remove", t=micro.START))
    assert verdict(micro.runs(early)).outcome is Outcome.FAIL
    left = [LeftFile(micro.cache_of("p0_0.fits"), 1, "cache")]
    assert verdict(micro.runs(micro.sds(), left=left)).outcome is Outcome.FAIL
    assert verdict(micro.runs(micro.grid())).outcome is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize("source", ["tiles", "removals", "saves"])
def test_what_was_not_traced_is_unknown(source):
    """Without a source of the probe the answer is unknown, with the source as premise."""
    run = micro.counted()
    run.capabilities = micro.SOURCES - {source}
    found = verdict(micro.runs(run))
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, f"source {source}")


def premise(run):
    """Return the premise that a run does not meet."""
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.UNKNOWN
    return found.evidence["premise"]


def test_every_premise_is_asked():
    """Phase 3, the writes, a shared cache and in SDS the end of the coadd are required: without one the answer is unknown."""
    assert premise(micro.Micro()) == "Phase 3 reached"
    unwritten = micro.counted()
    unwritten.sizes = dict.fromkeys(unwritten.frames)
    assert premise(unwritten) == "a cache was written"
    some = micro.counted()
    some.sizes["p0_0.fits"] = None
    assert premise(some) == "every cache was seen to be written"
    assert premise(micro.counted(micro.PRIVATE)) == "a cache was shared"
    cut = micro.sds()
    cut.events = [e for e in cut.events if e.key != "p4_global_coadd_finished"]
    assert premise(cut) == "coadd reached its end"


def test_the_evidence_is_small():
    """The series have at most ``SERIES`` points, and all values are JSON types."""
    told = verdict(micro.runs(micro.counted())).evidence
    assert json.loads(json.dumps(dict(told))) == told
    series = told["series"]
    assert len(series["seconds"]) == len(series["live_bytes"]) == len(series["lower_bound_bytes"]) <= disk.SERIES
    assert all(low <= held for low, held in zip(series["lower_bound_bytes"], series["live_bytes"], strict=True))


# Bytes that stay under other names


def aside(name, suffix=".old"):
    """Return the path of a cache under another name."""
    return micro.cache_of(name) + suffix


def counting(free, **request):
    """Return a run that frees the caches of each tile's last user with ``free(run, name)``."""
    last = last_users(micro.ONE_SHARED)
    run = micro.Micro(micro.ONE_SHARED, **request).begin()
    for tile, group in enumerate(micro.ONE_SHARED):
        run.submit(tile, group)
    for tile in range(len(micro.ONE_SHARED)):
        run.work(tile)
        for name in last[tile]:
            free(run, name)
    return run


def renamed(run, name):
    """Rename a cache aside."""
    run.operation("rename", micro.cache_of(name), to=aside(name), size=micro.SIZE)


def copied(run, name):
    """Copy a cache with the target's own code, then remove it."""
    run.operation("open", aside(name, ".bak"), "attempt", mode="wb")
    run.remove(name)


def linked(run, name):
    """Link a cache, then remove it."""
    run.operation("link", micro.cache_of(name), "attempt", to=aside(name, ".lnk"))
    run.remove(name)


def removed(run, name):
    """Remove a cache."""
    run.remove(name)


def with_removals(run, suffix):
    """End the run; the clean-up removes each remaining file with its size."""
    run.finish()
    for name in run.frames:
        run.operation("remove", aside(name, suffix), size=micro.SIZE)
    return run


@pytest.mark.parametrize(("free", "suffix"), [(renamed, ".old"), (copied, ".bak"), (linked, ".lnk")])
def test_caches_whose_bytes_stay_under_other_names_fail(free, suffix):
    """Caches that are renamed aside, or copied or linked before they are removed, are not freed before the clean-up."""
    found = verdict(micro.runs(with_removals(counting(free), suffix)))
    assert found.outcome is Outcome.FAIL
    assert "renamed, copied or linked" in found.sentence.render()
    assert found.evidence["kept_under_other_names_bytes"] == 6 * micro.SIZE
    assert verdict(micro.runs(counting(removed).finish())).outcome is Outcome.PASS


def test_a_copy_that_is_removed_with_its_cache_passes():
    """A copy that is gone when Phase 3 ends costs no disk then. That the cache was copied is not a leak."""

    def freed(run, name):
        copied(run, name)
        run.operation("remove", aside(name, ".bak"), size=micro.SIZE)

    assert verdict(micro.runs(counting(freed).finish())).outcome is Outcome.PASS


def test_a_rename_and_then_a_removal_is_a_removal():
    """A cache that is renamed and then removed is freed."""

    def freed(run, name):
        renamed(run, name)
        run.operation("remove", aside(name), size=micro.SIZE)
        run.gone.add(name)

    found = verdict(micro.runs(counting(freed).finish()))
    assert found.outcome is Outcome.PASS, found.sentence.render()
    assert found.evidence["kept_under_other_names"] == []


def test_a_cache_moved_to_the_temporary_folder_is_not_freed():
    """A move out of the output folder keeps the bytes on disk: the file is among those that are left."""

    def freed(run, name):
        run.operation("rename", micro.cache_of(name), to=f"/abs/elsewhere/{name}.npy", size=micro.SIZE)

    found = verdict(micro.runs(counting(freed).finish()))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["left_at_end_of_phase_3"] == 6


def test_a_truncated_cache_is_freed():
    """Bytes are gone when a cache is opened for writing anew, or truncated: both count as freed."""

    def emptied(run, name):
        run.operation("open", micro.cache_of(name), "attempt", mode="wb")

    def truncated(run, name):
        run.operation("truncate", micro.cache_of(name), "attempt", size=0)

    for freed in (emptied, truncated):
        assert verdict(micro.runs(counting(freed).finish())).evidence["left_at_end_of_phase_3"] == 0


def sampled(more):
    """Return a run with samples of the cache folder that have ``more`` bytes than the trace explains, after Phase 3."""
    run = counting(removed)
    run.t += micro.PAUSE
    run.event("run_info_phase3_finished_from_cache", num_master_tiles=len(run.outcomes))
    run.look(more, "outputs/.zemosaic_img_cache").look(more + 5, "outputs/.zemosaic_img_cache")
    return run.finish()


def test_bytes_that_the_trace_does_not_explain_fail():
    """If every sample after Phase 3 has more bytes than the trace saw written, something keeps them in the cache folder."""
    found = verdict(micro.runs(sampled(micro.SIZE)))
    assert found.outcome is Outcome.FAIL
    assert "the trace does not explain" in found.sentence.render()
    assert found.evidence["unexplained_bytes_after_phase_3"] == micro.SIZE
    assert verdict(micro.runs(sampled(0))).outcome is Outcome.PASS


def test_without_a_sample_a_file_of_unknown_age_is_unknown():
    """A file as large as a cache that is removed at the end may have been a copy. A sample of the folder decides."""

    def run(samples):
        made = samples()
        made.operation("remove", aside("p0_0.fits", ".x"), size=micro.SIZE)
        return verdict(micro.runs(made))

    assert run(lambda: counting(removed).finish()).outcome is Outcome.UNKNOWN
    assert run(lambda: sampled(0)).outcome is Outcome.PASS


def test_working_folders_that_grow_by_what_was_freed_fail():
    """Caches that are moved to the temporary folder by another program show in its size."""

    def run(gain):
        made = micro.Micro(micro.ONE_SHARED).look(100, "work").begin()
        for tile, group in enumerate(micro.ONE_SHARED):
            made.submit(tile, group)
        for tile in range(len(micro.ONE_SHARED)):
            made.work(tile).remove(*last_users(micro.ONE_SHARED)[tile])
        made.t += micro.PAUSE
        made.event("run_info_phase3_finished_from_cache", num_master_tiles=2)
        return verdict(micro.runs(made.look(100 + gain, "work").finish()))

    found = run(6 * micro.SIZE)
    assert found.outcome is Outcome.FAIL
    assert "caches may have been moved there" in found.sentence.render()
    assert run(micro.SIZE).outcome is Outcome.PASS


@pytest.mark.parametrize("retention", ["per_tile", "run_end"])
def test_hot_pixel_masks_left_at_the_end_fail(retention):
    """A successful run removes the cache folder with the masks in it; with keep everything stays."""
    mask = LeftFile("outputs/.zemosaic_img_cache/hp_mask_a_1.npy", 25, "mask")
    found = verdict(micro.runs(micro.counted(retention=retention), left=[mask]))
    assert found.outcome is Outcome.FAIL
    assert "such as hp_mask_a_1.npy" in found.sentence.render()
    assert found.evidence["left_in_cache_folder"] == ["hp_mask_a_1.npy"]
    kept = micro.counted(retention="keep")
    left = [mask, *(LeftFile(micro.cache_of(n), micro.SIZE, "cache") for n in kept.frames)]
    assert verdict(micro.runs(kept, left=left)).outcome is Outcome.PASS


def test_an_empty_cache_folder_is_shown_and_passes():
    """An empty folder holds no bytes."""
    folder = LeftFile("outputs/.zemosaic_img_cache", 0, "folder")
    found = verdict(micro.runs(micro.counted(), left=[folder]))
    assert (found.outcome, found.evidence["empty_cache_folder_left"]) == (Outcome.PASS, True)


def test_a_copy_that_is_left_at_the_end_counts_as_a_cache():
    """A file with the size of a cache is a cache that was left, whatever its name is, also in the temporary folder."""
    for path in ("outputs/saved.bin", "work/tmp/preprocessed_x.npy.bak"):
        left = [LeftFile(path, micro.SIZE, "other")]
        found = verdict(micro.runs(micro.counted(retention="run_end"), left=left))
        assert (found.outcome, found.evidence["left_at_end"]) == (Outcome.FAIL, 1)
        assert judge(micro.runs(micro.counted(retention="run_end"), left=left), ["cache"])[0].outcome is Outcome.FAIL
