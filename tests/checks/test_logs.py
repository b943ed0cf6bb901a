"""The check of the log contract: each clause kept, each clause broken, each without an occasion."""

from dataclasses import replace

import pytest

from harness.checks.judge import judge
from harness.verdict import Outcome
from scenarios import test_a_hole_repro as scenario
from tests import micro


def verdict(runs):
    """Return the verdict of this check alone."""
    return judge(runs, ["logs"])[0]


def clause(runs, name):
    """Return the outcome of one clause."""
    return verdict(runs).evidence["clauses"][name]["outcome"]


def changed(run, start, **changes):
    """Change the log records that start with a text; no change at all takes them out."""
    run.events = [
        replace(e, **changes) if e.source == "log" and e.text.startswith(start) else e
        for e in run.events
        if changes or e.source != "log" or not e.text.startswith(start)
    ]
    return run


START, SHARED, END = "Phase3: per_tile", "Phase3: shared", "Phase3: refcount cleanup"


def test_a_kept_contract_passes_clause_by_clause():
    """All three lines are there with true numbers; nothing failed, so that clause had no occasion."""
    found = verdict(micro.runs(micro.counted()))
    assert found.outcome is Outcome.PASS
    outcomes = {name: row["outcome"] for name, row in found.evidence["clauses"].items()}
    assert outcomes.pop("failed_unlink") == "not met"
    assert set(outcomes.values()) == {"pass"}
    assert found.evidence["caches_of_planned_tiles"] == found.evidence["removed_in_phase_3"] == 6


@pytest.mark.parametrize(
    ("broken", "start", "changes"),
    [
        ("start_line", START, {}),
        ("start_line", START, {"level": "DEBUG"}),
        ("start_number", START, {"text": micro.TRACKED.format(7)}),
        ("start_number", START, {"text": "Phase3: per_tile cache retention uses refcount; safe deletion enabled."}),
        ("start_place", START, {"t": micro.START * 9}),
        ("end_line", END, {"level": "WARNING"}),
        ("end_numbers", END, {"text": micro.CLEANED.format(5, 0)}),
        ("end_numbers", END, {"text": micro.CLEANED.format(6, 1)}),
        ("end_numbers", END, {"text": "Phase3: refcount cleanup complete."}),
        ("never_negative", END, {"text": micro.CLEANED.format(6, -1)}),
        ("shared_line", SHARED, {"level": "WARNING"}),
        ("no_warning_per_file", "Removed per-tile", {"level": "WARNING"}),
    ],
)
def test_each_broken_clause_fails(broken, start, changes):
    """A clause that is broken is named as the failure, and it alone unless another rests on the same line."""
    runs = micro.runs(changed(micro.counted(), start, **changes))
    found = verdict(runs)
    assert found.outcome is Outcome.FAIL
    assert [n for n, row in found.evidence["clauses"].items() if row["outcome"] == "fail"] == [broken]


@pytest.mark.parametrize(
    ("name", "text"), [("start_line", micro.TRACKED.format(6)), ("end_line", micro.CLEANED.format(6, 0))]
)
def test_a_line_that_is_written_twice_fails(name, text):
    """Once is the contract."""
    run = micro.counted()
    first = next(i for i, e in enumerate(run.events) if e.text == text)
    run.events.insert(first, replace(run.events[first]))
    assert clause(micro.runs(run), name) == "fail"


def test_other_words_are_no_failure():
    """A line is known by what a rewording keeps: counting, tracking, the number."""
    run = changed(micro.counted(), START, text="Phase 3: per-tile ref-count active, tracking 6 files")
    changed(run, END, text="Phase 3: ref-count complete: removed: 6, remaining: 0")
    assert verdict(micro.runs(run)).outcome is Outcome.PASS


def test_optional_lines_may_be_missing():
    """The checklist calls the line at the end optional, and asks for none on shared caches."""
    run = changed(changed(micro.counted(), END), SHARED)
    runs = micro.runs(run)
    assert verdict(runs).outcome is Outcome.PASS
    assert clause(runs, "end_line") == clause(runs, "end_numbers") == clause(runs, "shared_line") == "not met"
    scenario.test_the_end_is_said_with_the_number_removed(verdict(runs), str)


@pytest.mark.parametrize("changes", [{"level": "WARNING"}, {"text": micro.CLEANED.format(5, 0)}])
def test_a_line_at_the_end_that_is_there_must_be_right(changes):
    """The test of scenario A fails for a line of another level or with another number, optional as the line is."""
    runs = micro.runs(changed(micro.counted(), END, **changes))
    with pytest.raises(AssertionError):
        scenario.test_the_end_is_said_with_the_number_removed(verdict(runs), str)


def test_a_line_on_shared_caches_must_be_true():
    """It may be written once, and only when two tiles share a cache."""
    private = micro.counted(micro.PRIVATE)
    assert clause(micro.runs(private), "shared_line") == "not met"
    private.events.insert(3, replace(private.events[2], source="log", level="INFO", text=micro.SHARING))
    assert clause(micro.runs(private), "shared_line") == "fail"
    twice = micro.counted()
    twice.events += [e for e in twice.events if e.text == micro.SHARING]
    assert clause(micro.runs(twice), "shared_line") == "fail"


def a_failed_unlink(level="DEBUG", code=micro.EACCES, *, finish=True):
    """Return a run in which one removal fails, and is logged at a level."""
    run = micro.Micro(micro.PRIVATE).begin().log(micro.TRACKED.format(6))
    for tile, group in enumerate(micro.PRIVATE):
        run.submit(tile, group)
    run.work(0).remove("p0_0.fits", code=code)
    if level:
        run.log(f"Failed to remove per-tile cache file {micro.cache_of('p0_0.fits')}: Permission denied", level)
    run.remove("p0_1.fits").work(1).remove(*micro.names(1)).work(2).remove(*micro.names(2))
    return run.log(micro.CLEANED.format(5, 0)).finish() if finish else run


def test_a_removal_that_fails_is_logged_at_debug_and_the_run_goes_on():
    """That clause is put to the test only where a removal failed; a file that was gone already is no failure."""
    assert clause(micro.runs(a_failed_unlink()), "failed_unlink") == "pass"
    assert clause(micro.runs(a_failed_unlink(code=micro.ENOENT)), "failed_unlink") == "not met"
    assert verdict(micro.runs(a_failed_unlink())).outcome is Outcome.PASS
    for level in ("WARNING", "INFO", ""):
        runs = micro.runs(a_failed_unlink(level))
        assert clause(runs, "failed_unlink") == "fail", level
        assert clause(runs, "no_warning_per_file") == ("fail" if level == "WARNING" else "pass")


def test_a_failed_removal_after_which_phase_3_does_not_end_fails():
    """To go on is part of the clause; a run that was cut short by something else leaves it open."""
    assert clause(micro.runs(a_failed_unlink(finish=False)), "failed_unlink") == "fail"
    cut = micro.runs(a_failed_unlink(finish=False), state="timed out")
    assert clause(cut, "failed_unlink") == "unknown"
    assert verdict(cut).outcome is Outcome.UNKNOWN


def test_missing_caches_are_not_warnings_about_removals():
    """What is logged above INFO for another reason is no spam of the retention, nor is the removal of their folder later."""
    run = micro.counted()
    run.events.insert(9, replace(run.events[9], source="log", level="WARNING", text="cache file is missing: p0_0.npy"))
    run.log("Failed to remove the cache folder", "WARNING")
    assert verdict(micro.runs(run)).outcome is Outcome.PASS


@pytest.mark.parametrize("retention", ["run_end", "keep"])
def test_other_retentions_have_no_such_lines(retention):
    """Where nothing is counted, nothing is said of counting."""
    run = micro.counted(retention=retention)
    assert verdict(micro.runs(run)).outcome is Outcome.PASS
    assert verdict(micro.runs(run.log(micro.TRACKED.format(6)))).outcome is Outcome.FAIL


@pytest.mark.parametrize("change", ["no log", "no trace", "no steps", "cut short before"])
def test_missing_evidence_is_unknown(change):
    """Without the log, the trace of removals or that of tiles a clause can't be told to be kept."""
    run = micro.counted()
    state = "done"
    if change == "no log":
        run.capabilities = micro.SOURCES - {"log"}
    if change == "no trace":
        run.capabilities = micro.SOURCES - {"removals"}
    if change == "no steps":
        run.steps = []
    if change == "cut short before":
        run, state = micro.Micro().begin(), "timed out"
    assert verdict(micro.runs(run, state=state)).outcome is Outcome.UNKNOWN


def test_a_run_that_was_cut_short_after_its_start_can_fail():
    """The line was due before the first tile; what came later is left open."""
    run = micro.Micro().begin().submit(0, micro.CHAIN[0])
    assert verdict(micro.runs(run, state="timed out")).outcome is Outcome.FAIL
