"""Test the check of the target's own failures: what ends a tile, Phase 3 or the run, and what does not count."""

from dataclasses import replace

import pytest

from harness.analysis.own_failures import own_failures
from harness.checks.judge import judge
from harness.record.request import TargetFacts
from harness.record.seal import Seal
from harness.verdict import Outcome
from tests import micro

RAISED = "run_error_phase3_thread_exception"


def verdict(runs):
    """Return the verdict of this check alone."""
    return judge(runs, ["crash"])[0]


def begun():
    """Return a run that reached Phase 3 and submitted its tiles."""
    run = micro.Micro().begin()
    run.capabilities = micro.SOURCES | {"exceptions"}
    for tile, group in enumerate(micro.CHAIN):
        run.submit(tile, group)
    return run


def ended(run, state="crashed", code=1, reason="Expected exit status 0."):
    """Return a record that is sealed with this end."""
    return replace(run.record(), seal=Seal(state, code, reason, 1.0, {}))


@pytest.mark.parametrize("mode", ["classic", "sds", "grid"])
def test_a_run_without_an_exception_passes(mode):
    """In every mode a run that ended well passes, also one that was recorded before exceptions were."""
    run = micro.of_mode(mode)
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.PASS
    assert not found.evidence["exceptions_recorded"]
    run.capabilities = micro.SOURCES | {"exceptions"}
    assert verdict(micro.runs(run)).evidence["exceptions_recorded"]


def test_an_exception_of_the_release_is_named_with_its_line():
    """The sentence has type, message, file and line; the cause has the calls; every other check names it too."""
    run = ended(begun().work(0).raised())
    verdicts = {v.check: v for v in judge(micro.runs(run))}
    crash = verdicts["crash"]
    assert crash.outcome is Outcome.FAIL
    sentence = "The target failed by itself: Phase 3 ended with KeyError: 'x', at worker.py:12."
    assert crash.sentence.render() == sentence
    assert "worker.py:12 release" in micro.prose(crash)
    assert crash.evidence["failures"][0]["place"] == "worker.py:12"
    unknown = [v for v in verdicts.values() if v.outcome is Outcome.UNKNOWN]
    assert unknown
    assert {v.sentence.render() for v in unknown} == {sentence}


def test_an_exception_before_phase_3_ends_the_run():
    """Before Phase 3 the sentence says that the run ended."""
    run = micro.Micro()
    run.capabilities = micro.SOURCES | {"exceptions"}
    found = verdict(micro.runs(ended(run.raised())))
    assert found.outcome is Outcome.FAIL
    assert "the run ended with KeyError: 'x', at worker.py:12" in found.sentence.render()


@pytest.mark.parametrize("recorded", [True, False])
def test_an_exception_of_a_tile_fails_although_the_run_goes_on(recorded):
    """The tile is named. A record made before exceptions were recorded has type and message from the trace."""
    run = begun()
    run.start(0)
    if recorded:
        run.raised("tile", "Ph3_0", tile=0)
    run.outcomes[0] = "raised"
    run.step("ended", 0, "Ph3_0", outcome="raised", error="KeyError: 'x'").step("collected", 0, micro.MAIN)
    run.event(RAISED, stack_num=1, error="'x'").work(1).work(2).finish()
    if not recorded:
        run.capabilities = micro.SOURCES
        run.events = [e for e in run.events if e.key != RAISED]
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    place = ", at worker.py:12" if recorded else ""
    assert found.sentence.render() == f"The target failed by itself: tile 0 ended with KeyError: 'x'{place}."
    assert found.evidence["count"] == 1


def test_the_events_and_the_log_of_an_older_record_name_the_exception():
    """Without a recorded exception, the target's event gives the message, and its log record the type."""
    run = begun().work(0)
    run.log("Worker process crashed", "ERROR")
    run.events[-1] = replace(run.events[-1], fields={"logger": "W", "exception": "KeyError: 'x'"})
    run.event("PROCESS_ERROR", error="'x'").event("PROCESS_DONE")
    run.capabilities = micro.SOURCES
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert found.sentence.render() == "The target failed by itself: Phase 3 ended with KeyError: 'x'."


def test_the_collection_of_a_made_tile_that_raises_ends_phase_3s_work_on_it():
    """An exception event for a tile that was made comes from the thread that collects it, as when a retry is registered."""
    run = begun().work(0)
    run.event(RAISED, stack_num=1, error="boom").work(1).work(2).finish()
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["failures"][0]["where"] == "phase 3"


def test_a_tile_that_a_fault_ended_is_not_blamed_on_the_target():
    """The tile fails because the request asks for it, and the run goes on."""
    fault = {"what": "fail tile", "tile": 0}
    run = micro.Micro(faults=(fault,)).begin()
    for tile, group in enumerate(micro.CHAIN):
        run.submit(tile, group)
    run.start(0).struck(fault)
    run.outcomes[0] = "raised"
    run.step("ended", 0, "Ph3_0", outcome="raised", error="TileFaultError: asked").step("collected", 0, micro.MAIN)
    run.event(RAISED, stack_num=1, error="asked").work(1).work(2).finish()
    assert verdict(micro.runs(run)).outcome is Outcome.PASS


def test_a_target_that_does_not_survive_an_injected_failure_fails():
    """An injected failure of one tile must not end the run: the sentence says that the harness made the tile fail."""
    run = begun().raised(type="TileFaultError", message="the request asks for it", file=None, line=None)
    found = verdict(micro.runs(ended(run)))
    assert found.outcome is Outcome.FAIL
    assert found.sentence.render().startswith(
        "The run did not survive the failure of a tile, which the harness injected"
    )


def test_an_exception_that_the_target_survives_is_no_failure():
    """A logged traceback, a part of a tile that was made all the same, and a tile that failed without an exception pass."""
    run = begun()
    run.log("retrying", "ERROR")
    run.events[-1] = replace(run.events[-1], fields={"logger": "W", "exception": "OSError: busy"})
    run.start(0).raised("tile", "Ph3_0", tile=7000).end(0).collect(0)
    run.work(1).work(2, outcome="failed").finish()
    assert verdict(micro.runs(run)).outcome is Outcome.PASS


def test_an_exception_that_ends_a_thread_of_the_target_fails():
    """It counts if it comes from the target's source, not if it comes from a library alone."""
    run = micro.counted().raised("thread", "Release_0")
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert "its thread Release_0 ended with KeyError: 'x', at worker.py:12" in found.sentence.render()
    library = micro.counted().raised("thread", "Thread-7", file=None, line=None)
    assert verdict(micro.runs(library)).outcome is Outcome.PASS


def test_an_exception_in_a_pool_that_nobody_reads_fails():
    """Work in a pool that ends with an exception, and whose result nothing reads, is named; a library's own is left out."""
    found = verdict(micro.runs(micro.counted().raised("work", "Pool_0")))
    assert found.outcome is Outcome.FAIL
    sentence = found.sentence.render()
    assert (
        "work in its thread Pool_0 ended with KeyError: 'x', at worker.py:12, and nothing read its result" in sentence
    )
    library = micro.counted().raised("work", "Pool_0", file=None, line=None)
    assert verdict(micro.runs(library)).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("code", "outcome", "words"),
    [
        (7, Outcome.FAIL, "its process ended with status 7 and no exception"),
        (-11, Outcome.FAIL, "the signal SIGSEGV ended its process"),
        (0xC0000005, Outcome.FAIL, "status 0xc0000005"),
        (-9, Outcome.UNKNOWN, "The signal SIGKILL ended the process. Another program"),
        (None, Outcome.UNKNOWN, "did not reach its end"),
    ],
)
def test_an_end_of_the_process_without_an_exception(code, outcome, words):
    """A status and a crash of the interpreter are the target's; a signal from outside, or a start that failed, is not."""
    found = verdict(micro.runs(ended(begun().work(0), code=code)))
    assert found.outcome is outcome
    assert words in found.sentence.render()


def test_a_process_that_ends_before_the_target_begins_is_unknown():
    """Without the probe in place the end may be the probe's; a command writes its own record, so its status is its own."""
    run = ended(micro.Micro(), code=2)
    assert verdict(micro.runs(run)).outcome is Outcome.UNKNOWN
    command = TargetFacts("command", "a script", "", "", {}, ("x",))
    own = replace(run, request=replace(run.request, target=command))
    assert verdict(micro.runs(own)).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (
            {"type": "ModuleNotFoundError", "message": "No module named 'zarr'", "missing": "zarr", "known": True},
            "lacks a library that the target imports (ModuleNotFoundError: No module named 'zarr'; place: worker.py:12)",
        ),
        ({"type": "OSError", "message": "No space left on device", "errno": 28}, "disk was full"),
        ({"type": "TypeError", "message": "x", "file": None, "line": None}, "outside its source"),
    ],
)
def test_what_the_machine_or_the_harness_lacks_is_unknown(facts, words):
    """A missing library, a full disk and an error of the probe are not the target's."""
    found = verdict(micro.runs(ended(begun().raised(**facts))))
    assert found.outcome is Outcome.UNKNOWN
    assert words in found.sentence.render()
    assert not found.evidence["failures"]


def importing(name, **facts):
    """Return a run that an import of a missing module ended."""
    return ended(begun().raised(type="ModuleNotFoundError", message=f"No module named '{name}'", missing=name, **facts))


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"known": False, "like": "zemosaic_retention"}, "One of almost this name is zemosaic_retention"),
        ({"like": "zemosaic_retention"}, "One of almost this name is zemosaic_retention"),
        ({"known": False}, "neither in the target's folder nor among its required libraries"),
    ],
)
def test_a_misspelt_import_is_the_targets_own_failure(facts, said):
    """A module that the target's requirements and other files do not name is named with the line that imports it."""
    found = verdict(micro.runs(importing("zemosaic_retenton", **facts)))
    assert found.outcome is Outcome.FAIL
    assert "No module named 'zemosaic_retenton', at worker.py:12." in found.sentence.render()
    assert said in micro.prose(found)


def test_a_missing_module_of_which_nothing_is_known_names_both_possibilities():
    """Without requirements of the target, the baseline decides, if it ran on the same interpreter."""
    run = importing("zarr")
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.UNKNOWN
    assert "place: worker.py:12). Either the interpreter lacks a library: install it. Or the target names a module" in (
        found.sentence.render()
    )
    good = micro.counted()
    good.capabilities = micro.SOURCES | {"exceptions"}
    ran = micro.runs(run, baseline=good.record())
    assert verdict(ran).outcome is Outcome.FAIL
    assert "The target failed by itself: Phase 3 ended with" in judge(ran, ["parity"])[0].sentence.render()
    elsewhere = replace(good.record().request, target=replace(good.record().request.target, python="another"))
    assert verdict(micro.runs(run, baseline=replace(good.record(), request=elsewhere))).outcome is Outcome.UNKNOWN


def test_a_library_that_the_baseline_lacks_too_is_the_interpreters():
    """Both versions import it, so it is no misspelt name of the new version."""
    found = verdict(micro.runs(importing("sep", known=False), baseline=importing("sep", known=False)))
    assert found.outcome is Outcome.UNKNOWN
    assert "lacks a library" in found.sentence.render()


def test_an_error_that_the_run_reports_without_an_exception_is_named():
    """With a mosaic it is part of the sentence. Without one the run failed, and the check does not pass."""
    run = micro.counted().event("run_error_gpu_init_failed")
    good = verdict(micro.runs(run))
    assert good.outcome is Outcome.PASS
    assert "It reported an error: run_error_gpu_init_failed." in good.sentence.render()
    failed = micro.Micro().begin().event("run_error_phase2_no_groups")
    found = verdict(micro.runs(failed, products=None))
    assert found.outcome is Outcome.UNKNOWN
    assert "reported an error (run_error_phase2_no_groups) and made no mosaic" in found.sentence.render()
    none = micro.Micro().begin().event("run_error_phase3_no_master_tiles_created")
    assert "run_error_phase3_no_master_tiles_created" in verdict(micro.runs(none, products=None)).sentence.render()


@pytest.mark.parametrize("state", ["timed out", "killed"])
def test_a_run_that_was_ended_is_unknown(state):
    """A run that was stopped shows no failure of its own, and no good end."""
    found = verdict(micro.runs(ended(begun().work(0), state=state, code=None)))
    assert found.outcome is Outcome.UNKNOWN


def test_missing_evidence_is_unknown():
    """Without the progress events, exceptions that the target reports only there would not be seen; nor without a seal."""
    run = micro.counted()
    run.capabilities = micro.SOURCES - {"callback"}
    assert verdict(micro.runs(run)).outcome is Outcome.UNKNOWN
    assert verdict(micro.runs(micro.counted(), state=None)).outcome is Outcome.UNKNOWN
    assert verdict(micro.runs(micro.counted(), torn=("trace-1.jsonl, line 3",))).outcome is Outcome.UNKNOWN


def test_two_failures_are_listed_in_order_of_time():
    """The first failure is the sentence, later ones are causes."""
    run = begun().start(0).raised("tile", "Ph3_0", tile=0)
    run.outcomes[0] = "raised"
    run.step("ended", 0, "Ph3_0", outcome="raised", error="KeyError: 'x'").raised(type="ValueError", message="y")
    record = ended(run)
    assert [failure.where for failure in own_failures(record)] == ["tile", "phase 3"]
    found = verdict(micro.runs(record))
    assert "tile 0 ended" in found.sentence.render()
    assert "Phase 3 ended with ValueError: y" in micro.prose(found)
