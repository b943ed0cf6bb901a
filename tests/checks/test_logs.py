"""Test the check of the log contract: each clause kept, broken and without an occasion."""

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
    """Change the log records that start with a text, or remove them if no change is given."""
    run.events = [
        replace(e, **changes) if e.source == "log" and e.text.startswith(start) else e
        for e in run.events
        if changes or e.source != "log" or not e.text.startswith(start)
    ]
    return run


START, SHARED, END = "Phase3: per_tile", "Phase3: shared", "Phase3: refcount cleanup"


def test_a_kept_contract_passes_clause_by_clause():
    """All three lines exist with the right numbers; the clause on failed removals has no occasion."""
    found = verdict(micro.runs(micro.counted()))
    assert found.outcome is Outcome.PASS
    outcomes = {name: row["outcome"] for name, row in found.evidence["clauses"].items()}
    assert outcomes.pop("failed_unlink") == "no occasion"
    assert outcomes.pop("freed_numbers") == "no occasion"
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
    """A broken line fails its own clause and no other."""
    runs = micro.runs(changed(micro.counted(), start, **changes))
    found = verdict(runs)
    assert found.outcome is Outcome.FAIL
    assert [n for n, row in found.evidence["clauses"].items() if row["outcome"] == "fail"] == [broken]


@pytest.mark.parametrize(
    ("name", "text"), [("start_line", micro.TRACKED.format(6)), ("end_line", micro.CLEANED.format(6, 0))]
)
def test_a_line_that_is_written_twice_fails(name, text):
    """The contract requires each line exactly once."""
    run = micro.counted()
    first = next(i for i, e in enumerate(run.events) if e.text == text)
    run.events.insert(first, replace(run.events[first]))
    assert clause(micro.runs(run), name) == "fail"


def test_other_words_are_no_failure():
    """A reworded line that still mentions counting, tracking and the number passes."""
    run = changed(micro.counted(), START, text="Phase 3: per-tile ref-count active, tracking 6 files")
    changed(run, END, text="Phase 3: ref-count complete: removed: 6, remaining: 0")
    assert verdict(micro.runs(run)).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("Reference counting is on: 6 cache files are watched", "6 cache files were deleted in Phase 3"),
        ("Comptage des références activé : 6 fichiers de cache suivis", "Phase 3 terminée : 6 caches supprimés"),
        ("Cache tracking enabled for 3 tiles, 6 caches in all", "Caches: removed 6, remaining 0"),
        ("Phase 3: 6 caches tracked; each is deleted after its last tile", ""),
        ("Phase 3: references counted (6 caches, of which 3 are shared caches)", "refcount done: 6 removed"),
    ],
)
def test_a_start_and_an_end_line_in_other_words_pass(start, end):
    """The checklist asks for the fact and the number, not for a wording; the evidence shows the lines."""
    run = changed(changed(micro.counted(), SHARED), START, text=start)
    changed(run, END, **({"text": end} if end else {}))
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.PASS, found.sentence.render()
    assert found.evidence["start"] == [f"INFO {start}"]
    assert found.evidence["end"] == ([f"INFO {end}"] if end else [])


@pytest.mark.parametrize(
    ("start", "broken"),
    [
        ("Phase3: 6 workers", "start_line"),
        ("Cache retention mode: per_tile", "start_line"),
        ("tile 6: cache tracking", "start_line"),
        ("Reference counting is on: 7 cache files are watched", "start_number"),
        ("Comptage des références : 6 tuiles, 7 fichiers de cache", "start_number"),
    ],
)
def test_a_line_that_does_not_state_the_fact_is_no_start_line(start, broken):
    """A line with the right number about something else, or about caches with another number, does not pass."""
    found = verdict(micro.runs(changed(micro.counted(), START, text=start)))
    assert found.outcome is Outcome.FAIL
    assert [n for n, row in found.evidence["clauses"].items() if row["outcome"] == "fail"] == [broken]


def test_what_is_written_at_debug_too_is_no_second_start_line():
    """One INFO line is asked for; the same fact at DEBUG is no spam."""
    run = micro.counted()
    index, line = next((i, e) for i, e in enumerate(run.events) if e.text.startswith(START))
    run.events.insert(index, replace(line, level="DEBUG"))
    assert clause(micro.runs(run), "start_line") == "pass"


def test_an_info_line_for_each_deleted_file_fails():
    """As many lines as removed caches above DEBUG are spam, with the names of the files or without, also in French."""
    for text in ("", "Cache file deleted", "Fichier de cache supprimé"):
        run = changed(micro.counted(), "Removed per-tile", level="INFO", **({"text": text} if text else {}))
        found = verdict(micro.runs(run))
        assert found.outcome is Outcome.FAIL, text
        assert [n for n, row in found.evidence["clauses"].items() if row["outcome"] == "fail"] == ["no_line_per_file"]
        assert len(found.evidence["info_per_file"]) == 6


def test_one_info_line_for_each_tile_passes():
    """A summary of each tile's release grows with the tiles, not with the files."""
    run = released("Per-tile cache cleanup for tile {tile}: removed {count} file(s), freed {mib:.3f} MiB", "INFO")
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.PASS, found.sentence.render()


def released(template, level="DEBUG", more=0):
    """Return a run that logs a summary of each release, with ``more`` bytes than were freed."""
    run = micro.Micro(micro.PRIVATE).begin().log(micro.TRACKED.format(6))
    for tile, group in enumerate(micro.PRIVATE):
        run.submit(tile, group)
    for tile, group in enumerate(micro.PRIVATE):
        run.work(tile).remove(*group)
        size = len(group) * micro.SIZE
        run.log(template.format(tile=tile, count=len(group), mib=(size + more) / 2**20, bytes=size + more), level)
    run.operations = [replace(o, size=micro.SIZE) if o.op == "remove" else o for o in run.operations]
    return run.log(micro.CLEANED.format(6, 0)).finish()


FREED = "Per-tile cache cleanup for tile {tile}: removed {count} file(s), freed {mib:.3f} MiB"


def test_true_numbers_of_freed_bytes_pass_and_wrong_ones_fail():
    """Bytes and files of each release are compared with the trace, at the printed precision."""
    assert clause(micro.runs(released(FREED)), "freed_numbers") == "pass"
    assert clause(micro.runs(released("Caches de la tuile libérés : {bytes} octets")), "freed_numbers") == "pass"
    wrong = verdict(micro.runs(released(FREED, more=5_000)))
    assert wrong.outcome is Outcome.FAIL
    assert [n for n, row in wrong.evidence["clauses"].items() if row["outcome"] == "fail"] == ["freed_numbers"]
    assert "1.912 MiB" in wrong.sentence.render()


def test_a_wrong_number_of_files_in_a_release_fails():
    """The number of removed files in a line on a release is true too."""
    run = changed(released(FREED), "Per-tile cache cleanup for tile 1", text=FREED.format(tile=1, count=5, mib=1.907))
    assert clause(micro.runs(run), "freed_numbers") == "fail"


def test_freed_bytes_of_which_no_size_was_recorded_are_unknown():
    """A record without the sizes of removed files shows nothing about them; one without the trace neither."""
    run = released(FREED)
    run.operations = [replace(o, size=None) for o in run.operations]
    assert clause(micro.runs(run), "freed_numbers") == "unknown"
    run = released(FREED)
    run.capabilities = micro.SOURCES - {"removals"}
    assert clause(micro.runs(run), "freed_numbers") == "unknown"


def test_memory_that_is_freed_is_not_taken_for_caches():
    """A line about freed memory in Phase 3 has no number of the caches."""
    run = released(FREED)
    last = next(i for i, e in enumerate(run.events) if e.text.startswith("Per-tile cache cleanup"))
    run.events.insert(last, replace(run.events[last], text="GPU cache freed 512 MB of memory"))
    assert clause(micro.runs(run), "freed_numbers") == "pass"


def test_optional_lines_may_be_missing():
    """The end line is optional by the checklist, and a line about shared caches is not required."""
    run = changed(changed(micro.counted(), END), SHARED)
    runs = micro.runs(run)
    assert verdict(runs).outcome is Outcome.PASS
    assert clause(runs, "end_line") == clause(runs, "end_numbers") == clause(runs, "shared_line") == "no occasion"
    scenario.test_the_end_is_said_with_the_number_removed(verdict(runs), str)


@pytest.mark.parametrize("changes", [{"level": "WARNING"}, {"text": micro.CLEANED.format(5, 0)}])
def test_a_line_at_the_end_that_is_there_must_be_right(changes):
    """The test of scenario A fails for an end line with a wrong level or number, although the line is optional."""
    runs = micro.runs(changed(micro.counted(), END, **changes))
    with pytest.raises(AssertionError):
        scenario.test_the_end_is_said_with_the_number_removed(verdict(runs), str)


def test_a_line_on_shared_caches_must_be_true():
    """The line may be written once, and only if two tiles share a cache."""
    private = micro.counted(micro.PRIVATE)
    assert clause(micro.runs(private), "shared_line") == "no occasion"
    private.events.insert(3, replace(private.events[2], source="log", level="INFO", text=micro.SHARING))
    assert clause(micro.runs(private), "shared_line") == "fail"
    twice = micro.counted()
    twice.events += [e for e in twice.events if e.text == micro.SHARING]
    assert clause(micro.runs(twice), "shared_line") == "fail"


def a_failed_unlink(level="DEBUG", code=micro.EACCES, *, finish=True):
    """Return a run in which one removal fails and is logged at this level."""
    run = micro.Micro(micro.PRIVATE).begin().log(micro.TRACKED.format(6))
    for tile, group in enumerate(micro.PRIVATE):
        run.submit(tile, group)
    run.work(0).remove("p0_0.fits", code=code)
    if level:
        run.log(f"Failed to remove per-tile cache file {micro.cache_of('p0_0.fits')}: Permission denied", level)
    run.remove("p0_1.fits").work(1).remove(*micro.names(1)).work(2).remove(*micro.names(2))
    return run.log(micro.CLEANED.format(5, 0)).finish() if finish else run


def test_a_removal_that_fails_is_logged_at_debug_and_the_run_goes_on():
    """A failed removal must be logged at DEBUG; a file that did not exist any more is no failed removal."""
    assert clause(micro.runs(a_failed_unlink()), "failed_unlink") == "pass"
    assert clause(micro.runs(a_failed_unlink(code=micro.ENOENT)), "failed_unlink") == "no occasion"
    assert verdict(micro.runs(a_failed_unlink())).outcome is Outcome.PASS
    for level in ("WARNING", "INFO", ""):
        runs = micro.runs(a_failed_unlink(level))
        assert clause(runs, "failed_unlink") == "fail", level
        assert clause(runs, "no_warning_per_file") == ("fail" if level == "WARNING" else "pass")


def at_level(run, level):
    """Return the runs of a history whose settings have this level of the log."""
    runs = micro.runs(run)
    return replace(runs, run=replace(runs.run, request=replace(runs.run.request, config={"logging_level": level})))


def test_a_log_above_debug_does_not_show_that_a_failed_removal_was_not_logged():
    """A user's log at INFO has no DEBUG lines, so the absence of one shows nothing; at DEBUG it does."""
    assert clause(at_level(a_failed_unlink(""), "INFO"), "failed_unlink") == "unknown"
    assert clause(at_level(a_failed_unlink(""), "DEBUG"), "failed_unlink") == "fail"


def test_a_log_above_info_does_not_show_that_a_line_is_missing():
    """With logging_level WARNING the lines at INFO are absent in every version."""
    run = micro.Micro(micro.PRIVATE).begin()
    for tile, group in enumerate(micro.PRIVATE):
        run.submit(tile, group)
    for tile in range(3):
        run.work(tile).remove(*micro.names(tile))
    found = verdict(at_level(run.finish(), "WARNING"))
    assert found.outcome is Outcome.UNKNOWN
    assert "set it to DEBUG" in found.sentence.render()


def test_a_failed_removal_after_which_phase_3_does_not_end_fails():
    """Phase 3 must finish after a failed removal; a run that timed out is unknown."""
    assert clause(micro.runs(a_failed_unlink(finish=False)), "failed_unlink") == "fail"
    cut = micro.runs(a_failed_unlink(finish=False), state="timed out")
    assert clause(cut, "failed_unlink") == "unknown"
    assert verdict(cut).outcome is Outcome.UNKNOWN


def test_missing_caches_are_not_warnings_about_removals():
    """A warning about a missing cache, or about the removal of the cache folder after Phase 3, does not fail."""
    run = micro.counted()
    run.events.insert(9, replace(run.events[9], source="log", level="WARNING", text="cache file is missing: p0_0.npy"))
    run.log("Failed to remove the cache folder", "WARNING")
    assert verdict(micro.runs(run)).outcome is Outcome.PASS


@pytest.mark.parametrize("retention", ["run_end", "keep"])
def test_other_retentions_have_no_such_lines(retention):
    """With run_end and keep, a line about reference counting fails."""
    run = micro.counted(retention=retention)
    assert verdict(micro.runs(run)).outcome is Outcome.PASS
    assert verdict(micro.runs(run.log(micro.TRACKED.format(6)))).outcome is Outcome.FAIL


@pytest.mark.parametrize("change", ["no log", "no trace", "no steps", "cut short before"])
def test_missing_evidence_is_unknown(change):
    """Without the log, the trace of removals or the trace of tiles the answer is unknown."""
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
    """A run that stopped after its first tile fails without the start line, which was due before it."""
    run = micro.Micro().begin().submit(0, micro.CHAIN[0])
    assert verdict(micro.runs(run, state="timed out")).outcome is Outcome.FAIL


def with_lines(run, times, level="INFO", thread=micro.MAIN):
    """Return a run with more log records: pairs of a time and a text."""
    model = next(e for e in run.events if e.source == "log")
    run.events += [replace(model, t=t, thread=thread, key=text, text=text, level=level) for t, text in times]
    run.events.sort(key=lambda e: e.t)
    return run


def removed_in(run):
    """Return the time of each removal of a cache and the frame's name."""
    done = [o for o in run.operations if o.op == "remove" and o.state == "done"]
    return [(o.t, o.path.rpartition("preprocessed_")[2].replace(".npy", ".fits")) for o in done]


def for_each_removal(text, level="INFO", after=1, run=None):
    """Return a run that writes a line after each removal, or before its attempt if ``after`` is negative."""
    run = run or micro.counted()
    shift = after if after > 0 else after - micro.STEP
    lines = [
        (
            t + shift,
            text.format(
                file=micro.cache_of(frame).rpartition("/")[2], frame=frame, stem=frame.removesuffix(".fits"), left=9 - n
            ),
        )
        for n, (t, frame) in enumerate(removed_in(run))
    ]
    return with_lines(run, lines, level)


def failed(runs):
    """Return the clauses that failed."""
    return [name for name, row in verdict(runs).evidence["clauses"].items() if row["outcome"] == "fail"]


PER_FILE = [
    "Purged cache {file}",
    "Dropped cache {file}",
    "Evicted {file} from disk",
    "Discarded cache file {file}",
    "Cleaned up cache {file}",
    "rm {file}",
    "cache gone: {file}",
    "Retention: {file} no longer needed",
    "Retention: {frame} no longer needed",
    "Deleted preprocessed data of {frame}",
    "Freed the disk space of {stem}",
    "Cache de {frame} vidé",
    "Tile 1: one cache less",
    "{left} to go",
    "Done.",
]


@pytest.mark.parametrize("text", PER_FILE)
@pytest.mark.parametrize(("level", "broken"), [("INFO", "no_line_per_file"), ("WARNING", "no_warning_per_file")])
def test_a_line_for_each_removed_file_is_spam_whatever_its_verb(text, level, broken):
    """The name of the removed cache or of its frame is in the line, or lines of one form grow in number with the removals."""
    run = for_each_removal(text, level)
    assert failed(micro.runs(run)) == [broken]
    shown = verdict(micro.runs(run)).evidence["info_per_file" if level == "INFO" else "above_info"]
    assert len(shown) == 6
    assert verdict(micro.runs(for_each_removal(text, "DEBUG"))).outcome is Outcome.PASS


@pytest.mark.parametrize("text", ["rm {file}", "Purging {file}", "One cache less"])
def test_a_line_before_each_removal_is_spam_too(text):
    """A line that announces each removal is written as often as one that reports it."""
    assert failed(micro.runs(for_each_removal(text, after=-1))) == ["no_line_per_file"]


def test_a_line_for_each_removed_file_with_spaces_in_its_name_is_spam():
    """A cache is named after its frame, in whose name spaces are usual."""
    run = micro.counted()
    for n, o in enumerate(run.operations):
        run.operations[n] = replace(o, path=o.path.replace("_p", "_Light p"))
    run.steps = [replace(s, caches=tuple(c.replace("_p", "_Light p") for c in s.caches)) for s in run.steps]
    lines = [(t + 1, f"Purged /abs/preprocessed_{name.replace('.fits', '.npy')}") for t, name in removed_in(run)]
    run = changed(run, "Removed per-tile")
    assert verdict(micro.runs(run)).outcome is Outcome.PASS
    assert failed(micro.runs(with_lines(run, lines))) == ["no_line_per_file"]


def test_a_line_for_one_removed_file_of_many_is_not_one_for_each():
    """A single remark on one file in other words is no spam."""
    t, frame = removed_in(micro.counted())[0]
    assert verdict(micro.runs(with_lines(micro.counted(), [(t + 1, f"cache gone: {frame}")]))).outcome is Outcome.PASS


@pytest.mark.parametrize("level", ["INFO", "WARNING"])
def test_lines_on_frames_before_their_removal_are_not_spam(level):
    """A tile's work names each of its frames, and their caches, for other reasons."""
    run = micro.counted()
    for step in [s for s in run.steps if s.state == "started"]:
        for n, name in enumerate(step.frames):
            texts = [f"Loading the cache of {name}", f"Cleared hot values of {name}", f"Read {micro.cache_of(name)}"]
            run = with_lines(run, [(step.t + n + 1, text) for text in texts], level, step.thread)
    assert verdict(micro.runs(run)).outcome is Outcome.PASS


def test_a_list_of_frames_at_the_end_of_phase_3_is_not_spam():
    """Weights of frames, written after the last removal, are not about caches."""
    run = micro.counted()
    last = removed_in(run)[-1][0]
    lines = [(last + n + 1, f"Frame {name}: weight 0.{n}") for n, (_, name) in enumerate(removed_in(run))]
    assert verdict(micro.runs(with_lines(run, lines))).outcome is Outcome.PASS


@pytest.mark.parametrize("text", ["Done.", "Retention: caches gone", "Tile {}: caches purged"])
def test_a_line_for_each_release_of_a_tile_is_not_spam_in_any_words(text):
    """Such lines grow in number with the tiles, not with the files."""
    run = micro.counted()
    collected = [s for s in run.steps if s.state == "collected"]
    ends = [max(t for t, _ in removed_in(run) if t < limit) for limit in [*(s.t for s in collected[1:]), run.t]]
    lines = [(t + 1, text.format(s.tile)) for s, t in zip(collected, ends, strict=True)]
    assert len(set(ends)) == 3
    assert verdict(micro.runs(with_lines(run, lines))).outcome is Outcome.PASS


def test_lines_on_memory_beside_removals_are_not_judged():
    """Memory that is freed after each removal is no cache on disk."""
    assert verdict(micro.runs(for_each_removal("GPU memory: {left} MB freed"))).outcome is Outcome.PASS


def test_warnings_of_caches_that_were_removed_too_early_are_not_spam():
    """A tile that misses its caches says so; the line is about the loss, not the removal."""
    run = micro.naive()
    for step in [s for s in run.steps if s.state == "started"][1:]:
        lines = [(step.t + n + 1, f"Cache file missing: {micro.cache_of(f)}") for n, f in enumerate(step.frames)]
        run = with_lines(run.log(micro.TRACKED.format(6)), lines, "WARNING", step.thread)
    assert "no_warning_per_file" not in failed(micro.runs(run))


@pytest.mark.parametrize(
    "template",
    [
        "Phase3: per_tile retention freed {mib:.3f} MiB after tile {tile}",
        "Phase3: cache space reclaimed {mib:.3f} MiB after tile {tile}",
        "Phase3: {mib:.3f} MiB of cache freed after tile {tile}",
        "Purged caches: {bytes:,} bytes",
        "Caches vidés : {bytes:,} octets",
        "Dropped {count} cache files, {bytes} bytes recovered, 9.0 GB left",
    ],
)
def test_freed_bytes_in_other_words_are_compared(template):
    """True numbers pass and wrong ones fail, without the word cache or with another verb, also with separated thousands."""
    assert clause(micro.runs(released(template)), "freed_numbers") == "pass"
    assert failed(micro.runs(released(template, more=5_000))) == ["freed_numbers"]


@pytest.mark.parametrize(
    "text", ["Removed 3,000 cache files", "Purged 3 000 caches", "3\u202f000 fichiers de cache effacés"]
)
def test_a_wrong_number_with_separated_thousands_is_read_whole(text):
    """A number of three thousand is neither three nor nothing."""
    run = changed(released(FREED), "Per-tile cache cleanup for tile 1", text=text)
    found = verdict(micro.runs(run))
    assert found.evidence["clauses"]["freed_numbers"]["outcome"] == "fail"
    assert "3000 in a log record" in found.sentence.render()


def test_a_start_line_with_separated_thousands_has_the_right_number():
    """The number of tracked caches may be written for people."""
    names = [f"p0_{k}.fits" for k in range(1200)]
    run = micro.Micro((tuple(names),), panels=1, frames=1200).begin().log("Refcount on: 1,200 cache files tracked")
    run.submit(0, names).work(0)
    assert clause(micro.runs(run.finish(), pair=None), "start_number") == "pass"


ORDINARY = [
    "Phase3: reference frame star count: 57 on p0_0.fits",
    "Alignment uses 12 reference stars, count ok",
    "Reference frame chosen, counts normalised on ADU",
    "Reference frame from cache: counts on 6 images",
    "counting on 5 references",
    "WCS cache tracking: 6 headers",
    "IO: cache slots released: 2",
    "Removed 3 outlier frames, cache kept",
    "3 outlier frames removed, cache kept",
    "Deleted temp cache dir /tmp/x from last run",
    "Freed 512.0 MB of page cache",
]


@pytest.mark.parametrize("text", ORDINARY)
@pytest.mark.parametrize("level", ["INFO", "WARNING"])
@pytest.mark.parametrize("place", ["start", "work", "end"])
def test_an_ordinary_line_with_such_words_is_not_judged(text, level, place):
    """Stars are counted and frames have references; frames, folders and slots are removed and released too."""
    run = micro.counted()
    start = next(s.t for s in run.steps if s.state == "submitted") - 1
    t = {"start": start, "work": start + micro.STEP * 12, "end": removed_in(run)[-1][0] + 1}[place]
    found = verdict(micro.runs(with_lines(run, [(t, text)], level)))
    assert found.outcome is Outcome.PASS, found.sentence.render()


@pytest.mark.parametrize("text", ORDINARY[:4])
def test_an_ordinary_line_does_not_replace_the_start_line(text):
    """Without the start line the contract is broken, whatever else is counted; with run_end the same line is allowed."""
    run = changed(micro.counted(), START)
    start = next(s.t for s in run.steps if s.state == "submitted") - 1
    assert failed(micro.runs(with_lines(run, [(start, text)]))) == ["start_line"]
    other = with_lines(micro.counted(retention="run_end").log("Phase 3"), [(start, text)])
    assert verdict(micro.runs(other)).outcome is Outcome.PASS


def test_a_second_start_line_on_caches_is_still_one_too_many():
    """A line that says again that the references of caches are counted fails, also without the number."""
    start = next(s.t for s in micro.counted().steps if s.state == "submitted") - 1
    run = with_lines(micro.counted(), [(start, "Cache retention: reference counting enabled")])
    assert failed(micro.runs(run)) == ["start_line"]
