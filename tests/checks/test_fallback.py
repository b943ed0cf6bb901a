"""Test the check of fallbacks: fallbacks are compared by phase and name, and the requested mode must be used."""

from dataclasses import replace

import pytest

from harness.analysis.fallback_patterns import KNOWN, MARKS, marked
from harness.checks.fallback import counted, fallbacks, normal
from harness.checks.judge import judge
from harness.verdict import Outcome
from tests import micro

GPU = "[STACK][KEY_OR_RAW: stack_gpu_fallback_unavailable] (Args: {'helper': 'kappa_sigma'})"


def verdict(runs):
    """Return the verdict of this check alone."""
    return judge(runs, ["fallback"])[0]


def with_events(*keys, retention="per_tile", phase="3", logs=(), times=1):
    """Return a run with these events and log records right after the start of a phase."""
    run = micro.counted(retention=retention)
    at = next(i for i, e in enumerate(run.events) if e.key == "PHASE_UPDATE" and e.text == phase)
    here = run.events[at]
    run.events[at + 1 : at + 1] = [replace(here, key=k, text="") for k in keys] * times
    run.events[at + 1 : at + 1] = [replace(here, source="log", key=t, text=t, level="WARNING") for t in logs] * times
    return run


def of_keys(*keys, pair=(), baseline=None, logs=(), pair_logs=(), times=1, phase="3"):
    """Return a run, its pair and its baseline with these events and log records."""
    run = with_events(*keys, logs=logs, times=times, phase=phase)
    other = with_events(*pair, logs=pair_logs, retention="run_end").record()
    other = replace(other, request=replace(run.request, retention="run_end", role="pair"))
    before = None if baseline is None else with_events(*baseline).record()
    return micro.runs(run, pair=other, baseline=before)


@pytest.mark.parametrize("mode", ["classic", "sds", "grid"])
def test_a_run_in_its_mode_passes(mode):
    """A run in the requested mode without fallbacks passes, also without a pair."""
    found = verdict(micro.runs(micro.of_mode(mode), pair=None))
    assert found.outcome is Outcome.PASS, micro.prose(found)
    assert found.evidence["signs_of_another_mode"] == []


@pytest.mark.parametrize(
    ("level", "outcome"), [("DEBUG", Outcome.PASS), ("INFO", Outcome.UNKNOWN), ("ERROR", Outcome.UNKNOWN)]
)
def test_a_fallback_below_the_level_of_the_log_may_be_unseen(level, outcome):
    """Some fallbacks are reported in the log at DEBUG only, so a run with a higher level does not show that it has none."""
    runs = micro.runs(micro.of_mode("classic"), pair=None)
    run = replace(runs.run, request=replace(runs.run.request, config={"logging_level": level}))
    found = verdict(replace(runs, run=run))
    assert found.outcome is outcome
    assert ("set it to DEBUG" in found.sentence.render()) is (outcome is Outcome.UNKNOWN)


def test_what_the_pair_has_too_is_listed():
    """A fallback that the pair has too does not fail, and is listed with its meaning."""
    found = verdict(of_keys("center_anchor_soft_fallback", pair=["center_anchor_soft_fallback"]))
    assert found.outcome is Outcome.PASS
    row = found.evidence["same"][0]
    assert (row["phase"], row["name"], row["count"], row["in_pair"]) == ("3", "center_anchor_soft_fallback", 1, 1)
    assert "softer rules" in row["means"]["text"]


def test_what_the_pair_has_not_is_new():
    """A fallback that the pair does not have, has fewer times, or has in another phase fails, with name, phase and meaning."""
    new = verdict(of_keys("cpu_kappa_fallback_done"))
    assert new.outcome is Outcome.FAIL
    assert "cpu_kappa_fallback_done: 1 in phase 3, the first" in micro.prose(new)
    assert "fell back to the CPU" in micro.prose(new)
    for runs in (
        of_keys("center_anchor_soft_fallback", pair=["center_anchor_soft_fallback"], times=2),
        of_keys("center_anchor_soft_fallback", pair=["center_anchor_soft_fallback"], phase="5"),
    ):
        assert verdict(runs).outcome is Outcome.FAIL


def test_fewer_than_in_the_pair_is_not_new():
    """A run with fewer fallbacks than its pair passes."""
    assert verdict(of_keys(pair=["cpu_kappa_fallback_done"])).outcome is Outcome.PASS


def test_the_baseline_must_have_its_kind_too():
    """A kind that the baseline does not have fails, even if the pair has it."""
    keys = ["cpu_kappa_fallback_done"]
    assert verdict(of_keys(*keys, pair=keys, baseline=[])).outcome is Outcome.FAIL
    found = verdict(of_keys(*keys, pair=keys, baseline=keys))
    assert found.outcome is Outcome.PASS
    assert found.evidence["compared_with"] == ["pair", "baseline"]


@pytest.mark.parametrize(("times", "outcome"), [(4, Outcome.PASS), (5, Outcome.FAIL), (9, Outcome.FAIL)])
def test_a_fallback_that_is_much_more_frequent_than_in_the_baseline_is_new(times, outcome):
    """A version that falls back more often with every retention: its pair has the same number, the baseline has three."""
    keys = ["cpu_kappa_fallback_done"]
    found = verdict(of_keys(*keys, pair=keys * times, baseline=keys * 3, times=times))
    assert found.outcome is outcome
    assert [row["in_baseline"] for row in (*found.evidence["new"], *found.evidence["same"])] == [3]


def test_a_baseline_that_lost_caches_is_no_measure_beside_a_pair():
    """A baseline that lost caches is not compared if there is a pair; without a pair it is."""
    keys = ["center_anchor_soft_fallback"]
    starved = replace(of_keys(*keys, pair=keys, baseline=[]), baseline=micro.naive().record())
    found = verdict(starved)
    assert found.outcome is Outcome.PASS, micro.prose(found)
    assert found.evidence["compared_with"] == ["pair"]
    assert "lost caches" in found.evidence["baseline"]["text"]
    assert verdict(replace(starved, pair=None)).outcome is Outcome.FAIL
    assert verdict(replace(of_keys(*keys, baseline=[]), baseline=starved.baseline)).outcome is Outcome.FAIL


def test_a_baseline_alone_is_a_measure():
    """Without a pair the kinds are compared with the baseline."""
    known = replace(of_keys("cpu_kappa_fallback_done", baseline=["cpu_kappa_fallback_done"]), pair=None)
    assert verdict(known).outcome is Outcome.PASS
    new = replace(of_keys("cpu_kappa_fallback_done", baseline=[]), pair=None)
    assert verdict(new).outcome is Outcome.FAIL


def test_a_baseline_that_went_another_way_is_no_measure():
    """A baseline that ran in another mode is not compared; the pair alone is."""
    text = "[GRID] Optimal global WCS looks degenerate, falling back to safer WCS"
    run, pair = micro.grid().event(text), micro.grid(retention="run_end").event(text).record()
    astray = replace(micro.counted().record(), request=run.request)
    found = verdict(
        micro.runs(run, pair=replace(pair, request=replace(run.request, retention="run_end")), baseline=astray)
    )
    assert found.outcome is Outcome.PASS, micro.prose(found)
    assert found.evidence["compared_with"] == ["pair"]


def test_without_a_run_to_compare_with_new_fallbacks_are_unknown():
    """Without other runs a fallback is unknown with per_tile; with run_end, which others are compared with, it passes."""
    found = verdict(micro.runs(with_events("cpu_kappa_fallback_done"), pair=None))
    assert found.outcome is Outcome.UNKNOWN
    assert "There is no run with run_end to compare with." in micro.prose(found)
    measure = verdict(micro.runs(with_events("cpu_kappa_fallback_done", retention="run_end")))
    assert measure.outcome is Outcome.PASS
    assert measure.evidence["same"][0]["count"] == 1


def test_some_fallbacks_are_in_the_log_only():
    """Fallbacks in the log count like events; without the log of a run there is no pass and no comparison."""
    assert verdict(of_keys(logs=[GPU])).outcome is Outcome.FAIL
    same = of_keys(logs=[GPU], pair_logs=[GPU])
    assert verdict(same).outcome is Outcome.PASS
    deaf = replace(same.pair, history=replace(same.pair.history, capabilities=frozenset({"callback"})))
    assert verdict(replace(same, pair=deaf)).outcome is Outcome.UNKNOWN
    run = micro.counted()
    run.capabilities = micro.SOURCES - {"log"}
    assert verdict(micro.runs(run)).evidence["premise"] == "source log"


def test_an_event_that_the_log_repeats_counts_once():
    """An event that the target also writes to its log counts once."""
    run = with_events("stack_gpu_fallback_unavailable", logs=[GPU], times=3)
    assert counted(fallbacks(run.record().history)[0]) == {("3", "stack_gpu_fallback_unavailable"): 3}


def test_an_unknown_text_is_shown_and_compared():
    """An unknown text is compared by its words without numbers and files."""
    ours = "Tile 3: fell back on plan B for /tmp/x/light_007.fits (0.25 s)"
    theirs = "Tile 1: fell back on plan B for /tmp/y/light_002.fits (12 s)"
    found = verdict(of_keys(ours, pair=[theirs]))
    assert found.outcome is Outcome.PASS
    assert found.evidence["not_known_by_name"] == ["Tile #: fell back on plan B for <file> (# s)"]
    assert verdict(of_keys(ours)).outcome is Outcome.FAIL


@pytest.mark.parametrize("word", ["fallback", "fall back", "falls back", "falling back", "Fell back", "salvage"])
def test_every_form_of_the_word_is_found(word):
    """Each form of the word fallback, and salvage, counts as a fallback."""
    assert verdict(of_keys(f"Something {word} somewhere")).outcome is Outcome.FAIL


def test_fields_are_read():
    """A field that mentions a fallback counts; a file name does not."""
    run = micro.counted().event("stack_done", reason="fallback to median", path="fallback_1.fits")
    assert [f.name for f in fallbacks(run.record().history)[0]] == ["stack_done: reason=fallback to median"]


def test_what_was_not_taken_is_no_fallback():
    """A text that says that a fallback was not taken does not count, and is listed in the evidence."""
    text = "MT_PIPELINE: quality_gate=False, salvage_mode=False"
    found = verdict(of_keys(text, "[GRID] aborting without classic fallback"))
    assert found.outcome is Outcome.PASS
    assert found.evidence["said_not_to_be_taken"] == {text: 1, "[GRID] aborting without classic fallback": 1}
    assert verdict(of_keys("MT_PIPELINE: quality_gate=False, salvage_mode=True")).outcome is Outcome.FAIL
    assert verdict(of_keys("[TwoPassCfg] sigma=50 fallback_used=False ds=1")).outcome is Outcome.PASS
    assert verdict(of_keys("[TwoPassCfg] sigma=50 fallback_used=True ds=1")).outcome is Outcome.FAIL


def test_sds_has_a_coadd_and_a_polish():
    """The phases of SDS are named coadd and polish, though the target calls them 4 and 5."""
    run = micro.sds()
    for key, name in (("p4_global_coadd_started", "coadd"), ("phase5_sds_polish_start", "polish")):
        at = next(i for i, e in enumerate(run.events) if e.key == key)
        run.events.insert(at + 1, replace(run.events[at], key=f"some fallback in {name}"))
    kinds = [f.kind for f in fallbacks(run.record().history)[0]]
    assert kinds == [("coadd", "some fallback in coadd"), ("polish", "some fallback in polish")]


def test_grid_mode_has_tiles_and_an_assembly():
    """A fallback of grid mode has the phase tiles or assembly."""
    run = micro.grid()
    at = next(i for i, e in enumerate(run.events) if "Assembly summary" in e.key)
    for n, text in ((0, "GPU stack failed, falling back to CPU: no device"), (2, "attempting salvage assembly")):
        run.events.insert(at + n, replace(run.events[at], key=f"[GRID] {text}", t=run.events[at].t - 1 + n))
    kinds = [f.kind for f in fallbacks(run.record().history)[0]]
    assert kinds == [("tiles", "grid: GPU stack on the CPU"), ("assembly", "grid: salvage assembly")]


@pytest.mark.parametrize(
    ("mode", "taken"), [("classic", "sds"), ("classic", "grid"), ("sds", "classic"), ("sds", "grid"), ("grid", "sds")]
)
def test_another_mode_than_asked_for_fails(mode, taken):
    """A run that shows signs of another mode than requested fails."""
    run = micro.of_mode(taken)
    run.request = replace(run.request, mode=mode)
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["signs_of_another_mode"]


@pytest.mark.parametrize("mode", ["sds", "grid"])
def test_a_silent_way_back_to_master_tiles_fails(mode):
    """In SDS and grid mode, submitted tiles or a mosaic named for its master tiles fail."""
    run = micro.of_mode(mode)
    run.known[0] = micro.names(0)
    run.step("submitted", 0, micro.MAIN)
    assert verdict(micro.runs(run)).outcome is Outcome.FAIL
    told = micro.of_mode(mode).record()
    made = replace(told, products=replace(told.products, mosaic="outputs/zemosaic_MT3_R6.fits"))
    assert "3 master tiles" in micro.prose(verdict(micro.runs(made)))


def test_sds_that_says_that_it_is_off_fails():
    """A run that reports that SDS is off fails."""
    found = verdict(micro.runs(micro.sds().event("sds_off_classic_mastertile_pipeline")))
    assert found.outcome is Outcome.FAIL
    assert "announced that SDS is off" in micro.prose(found)


@pytest.mark.parametrize(
    ("mode", "end"), [("sds", "sds_global_finalize_done"), ("grid", "[GRID] Grid/Survey mode completed")]
)
def test_a_mode_without_its_end_fails_when_the_run_succeeded(mode, end):
    """A successful run without the last event of its mode fails; without success the answer is unknown."""
    run = micro.of_mode(mode)
    run.events = [e for e in run.events if e.key != end]
    assert verdict(micro.runs(run)).outcome is Outcome.FAIL
    run.events = [e for e in run.events if not e.key.startswith("run_success")]
    assert verdict(micro.runs(run, state="timed out")).outcome is Outcome.UNKNOWN
    assert verdict(micro.runs(run)).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("mode", ["classic", "sds", "grid"])
def test_without_events_the_answer_is_unknown(mode):
    """If the events were not recorded, the absence of fallbacks proves nothing."""
    run = micro.of_mode(mode)
    run.capabilities = micro.SOURCES - {"callback"}
    assert verdict(micro.runs(run)).outcome is Outcome.UNKNOWN


def test_no_known_fallback_is_passed_over():
    """Texts without a mark are skipped for speed, so that each pattern and each form of the word must have a mark."""
    assert all(any(mark in known.pattern.pattern.lower() for mark in MARKS) for known in KNOWN)
    assert all(marked(text) for text in ("Falls back", "fallen-back", "fell_back", "SALVAGE", "salvaging"))
    assert not marked("aligning frame 3 of 7")


def test_texts_are_compared_without_what_differs():
    """Files, paths, numbers, sizes and identities are removed, because they differ between equal runs."""
    assert normal("saved C:\\out\\a.fits and /x/y.npy below /x/z") == "saved <file> and <file> below <path>"
    assert normal("tile 12 of 40 at 0x7f3a9b2c1d, 320x240, -1.5e-3") == "tile # of # at #, #, #"
    assert normal("phase5 stays phase5") == "phase5 stays phase5"
