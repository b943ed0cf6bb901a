"""Lines that were taken out of a log: they are noticed, or they change nothing."""

import datetime as dt
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.commands.main import main
from harness.field import autopsy
from harness.field.whole_log import level
from harness.record.reader import read_record
from harness.verdict import Outcome
from tests.field.test_autopsy import MISSING, LogText, made, outcomes

GOLDEN = Path(__file__).parents[1] / "golden"
CLASSIC = sorted(path.parent for path in GOLDEN.glob("*/*/*/request.json") if path.parts[-3] not in ("grid", "sds"))
PIXELS = {"holes", "content", "truth", "accuracy", "parity"}


def log_of(folder):
    """Return the lines of ZeMosaic's log of a recorded run, from the events in its record."""
    lines = []
    for event in read_record(folder).history.events:
        text, level_, place = event.text, event.level, "zemosaic_worker.run:1"
        if event.source == "callback":
            place = "zemosaic_worker._log_and_callback:1"
            text = f"{event.key}:{event.text}" if event.text else event.key
            if event.level in ("INFO", "WARN", "ERROR", "SUCCESS"):
                more = f" (Args: {dict(event.fields)})" if event.fields else ""
                text = f"[CLÉ_POUR_GUI: {text}]{more}"
            level_ = {"INFO": "INFO", "SUCCESS": "INFO", "WARN": "WARNING", "ERROR": "ERROR"}.get(event.level, "DEBUG")
        if event.source == "stage" or event.key.startswith("PROCESS_"):
            continue
        when = dt.datetime(2026, 11, 25) + dt.timedelta(milliseconds=event.t // 1_000_000)  # noqa: DTZ001
        lines.append(
            f"{when:%Y-%m-%d %H:%M:%S},{when.microsecond // 1000:03d} - ZeMosaicWorker - {level_} - {place} - {text}"
        )
    return lines


def without_first(lines, text):
    """Return lines without the first one that has a text."""
    number = next(n for n, line in enumerate(lines) if text in line)
    return [*lines[:number], *lines[number + 1 :]]


def read(lines, tmp_path):
    """Write a log and read it."""
    path = tmp_path / "x.log"
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return autopsy.read_log(path)


@pytest.mark.parametrize("folder", CLASSIC, ids=lambda path: "-".join(path.parts[-3:]))
def test_the_log_of_a_real_run_is_whole(folder, tmp_path):
    """The logs of ZeMosaic's runs at three commits have every line that is asked of them, with and without losses."""
    log = read(log_of(folder), tmp_path)
    assert [gap.render() for gap in log.gaps] == []
    assert level(log.events) == "DEBUG"
    assert log.saved


@pytest.mark.parametrize("levels", [(" DEBUG ", " INFO ", " WARNING ", " ERROR "), (" INFO ", " WARNING ", " ERROR ")])
@pytest.mark.parametrize("commit", ["63bcc2c", "b59a65f", "271f109"])
def test_a_real_log_shortened_in_the_middle_is_noticed(tmp_path, commit, levels):
    """A tenth of a log at DEBUG, or a quarter at INFO from Phase 3 on, has a line whose absence is noticed."""
    lines = [line for line in log_of(GOLDEN / commit / "chain" / "per_tile") if any(name in line for name in levels)]
    first = "run_info_processing_started" if " DEBUG " in levels else "run_info_phase2_finished"
    begin = next(n for n, line in enumerate(lines) if first in line) + 1
    end = next(n for n, line in enumerate(lines) if "run_success_processing_completed" in line)
    size = (end - begin) // (10 if " DEBUG " in levels else 4)
    unnoticed = [
        start for start in range(begin, end - size) if not read([*lines[:start], *lines[start + size :]], tmp_path).gaps
    ]
    assert unnoticed == []


def test_only_warnings_show_nothing(tmp_path):
    """Of a log at level WARNING it is not known what else happened."""
    lines = [line for line in log_of(GOLDEN / "63bcc2c" / "chain" / "per_tile") if " WARNING " in line]
    log = read(lines, tmp_path)
    assert log.gaps
    assert level(log.events) == "WARNING"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda lines: [x for x in lines if "phase4_started" not in x], "but not run_info_phase4_started"),
        (lambda lines: [x for x in lines if "RAW_FILE_COUNT_UPDATE:2/" not in x], "RAW_FILE_COUNT_UPDATE goes from 1 to 3"),
        (lambda lines: [x for x in lines if "COUNT_UPDATE:2/2" not in x], "MASTER_TILE_COUNT_UPDATE goes from 0 to 1"),
        (lambda lines: [x for x in lines if "PHASE_UPDATE:7" not in x], "PHASE_UPDATE goes from 1 to 6"),
        (lambda lines: [x for x in lines if "'tile_id': 1" not in x], "no beginning of the tiles 1 (of 2)"),
        (lambda lines: [x.replace("'num_master_tiles': 2", "'num_master_tiles': 1") for x in lines], "failed 0, made 1"),
        (lambda lines: without_first(lines, "mastertile_info_saved"), "mastertile_info_saved comes 1 time instead of 2"),
        (lambda lines: [*lines[:10], *lines[14:20], *lines[10:14], *lines[20:]], "go back by"),
        (lambda lines: [x.replace("'duration': '", "'duration': '9") for x in lines], "put together of parts"),
        (lambda lines: lines[:-1], "does not come to the end"),
    ],
)  # fmt: skip
def test_each_sign_of_missing_lines(tmp_path, change, text):
    """A station, a count, a tile, a step of a tile, a time: each is noticed by itself, and the whole log has no such sign."""
    lines = LogText().begin("per_tile").finish().lines
    assert read(lines, tmp_path).gaps == ()
    assert text in " ".join(gap.render() for gap in read(change(lines), tmp_path).gaps)


def test_the_parts_of_two_runs_make_no_whole_log(tmp_path):
    """The first half of one run and the second half of the next one fit in every line, but not in the time that the run took."""
    log = LogText().begin("per_tile").finish().begin("per_tile").finish()
    half = len(log.lines) // 4
    gaps = read([*log.lines[:half], *log.lines[half + len(log.lines) // 2 :]], tmp_path).gaps
    assert "put together of parts" in " ".join(gap.render() for gap in gaps)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return a folder whose tile 1 lacks a frame, and one whose tiles have all frames; each with its measured products."""
    found = {}
    for name, aligned in (("bad", (2, 1)), ("good", (2, 2))):
        folder = made(tmp_path_factory.mktemp(name) / "out", aligned=aligned)
        with patch.object(autopsy, "_measured", wraps=autopsy._measured) as measured:
            measured.side_effect = lambda *a: found.setdefault(name, (folder, original(*a)))[1]  # noqa: B023
            original = measured._mock_wraps
            autopsy.examine(folder)
    return found


def examined(folder, measured, lines):
    """Examine a folder with the lines of a log, without measuring its products again."""
    log = folder.parent / "x.log"
    log.write_text("\n".join([*lines, ""]), encoding="utf-8")
    with patch.object(autopsy, "_measured", lambda *_: measured):
        return autopsy.examine(folder, log)


def blocks(lines):
    """Return blocks of lines to take out, as first line and number of lines."""
    return st.tuples(st.integers(0, len(lines) - 1), st.integers(1, len(lines)))


LOST = LogText().begin("per_tile", lost=["p1_1.fits"]).finish().lines
WHOLE = LogText().begin("per_tile").finish().lines


@settings(max_examples=120, deadline=None)
@given(block=blocks(LOST))
def test_no_block_taken_out_of_the_log_of_a_bad_run_makes_a_pass(folders, block):
    """Whatever block is missing, also the one line that reports the lost cache: no check that reads the log passes."""
    first, size = block
    found = examined(*folders["bad"], [*LOST[:first], *LOST[first + size :]])
    passed = {check for check, outcome in outcomes(found).items() if outcome is Outcome.PASS}
    assert passed <= PIXELS | {"left"}
    assert "it is whole, and" not in found.answer.render()


@settings(max_examples=120, deadline=None)
@given(block=blocks(WHOLE))
def test_no_block_taken_out_of_the_log_of_a_good_run_makes_a_failure(folders, block):
    """Whatever block is missing: nothing fails, and a pass remains only where the log shows no sign of missing lines."""
    first, size = block
    lines = [*WHOLE[:first], *WHOLE[first + size :]]
    found = examined(*folders["good"], lines)
    assert Outcome.FAIL not in outcomes(found).values()
    if outcomes(found)["warnings"] is Outcome.PASS:
        assert not any("LOST" in line or "run_info_phase" in line for line in WHOLE[first : first + size])


def test_a_whole_log_that_the_kept_tiles_confirm_passes(folders):
    """The line of a lost cache was not taken out, because the headers of the tiles have all frames that the log names."""
    found = examined(*folders["good"], WHOLE)
    assert outcomes(found)["warnings"] is Outcome.PASS
    assert "it is whole, and the kept tiles have all their frames" in found.answer.render()


@pytest.mark.parametrize("retention", ["per_tile", "run_end"])
def test_a_fallback_that_the_log_cannot_show_is_unknown(folders, retention):
    """Fallbacks may be logged below a log's level, and any line can be taken out: silence is no pass."""
    info = [line for line in LogText().begin(retention).finish().lines if " DEBUG " not in line]
    for lines in (info, LogText().begin(retention).finish().lines):
        found = outcomes(examined(*folders["good"], lines))
        assert found["fallback"] is Outcome.UNKNOWN
        assert found["logs"] is Outcome.UNKNOWN


def test_a_lost_tile_among_kept_ones_leaves_holes_unknown(folders):
    """The sky of a tile that was not kept is not known, so the kept tiles alone do not show that there is no hole."""
    lines = LogText().begin("run_end")
    lines.told("mastertile_info_creation_started_from_cache", num_raw=2, tile_id=2)
    lines.told("run_warn_phase3_master_tile_creation_failed_thread", "WARNING", stack_num=3)
    assert outcomes(examined(*folders["good"], lines.finish().lines))["holes"] is Outcome.UNKNOWN


def test_a_log_contract_that_fails_by_what_is_there_fails(folders):
    """A line that is there shows something also in a log that may lack lines: a warning for each removed cache."""
    log = (
        LogText()
        .begin("per_tile")
        .record("Failed to remove per-tile cache file preprocessed_a.npy", "WARNING")
        .finish()
    )
    assert outcomes(examined(*folders["good"], log.lines))["logs"] is Outcome.FAIL


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        pytest.param(LOST, "shows the hole bug: caches were gone when tiles needed them (caches: 1, tiles: 1)", id="lost"),
        pytest.param([x for x in LOST if MISSING not in x], "no file confirms it", id="its line taken out"),
        pytest.param(WHOLE[:-3], "does not rule it out, because it is not whole", id="cut"),
        pytest.param(LogText().begin("run_end").finish().lines, "kept its caches to the end (run_end)", id="run_end"),
        pytest.param(
            LogText().begin("run_end", lost=["p1_1.fits"]).finish().lines, "shows lost caches (caches: 1", id="lost in run_end"
        ),
        pytest.param(
            LogText().begin("per_tile", lost=["master_tile_1002.fits"]).finish().lines, "shows another one", id="parts"
        ),
        pytest.param(["[12:00] Fichier cache manquant"], "has no events of ZeMosaic", id="no log"),
    ],
)  # fmt: skip
def test_the_first_line_says_whether_the_log_shows_the_hole_bug(folders, capsys, lines, text):
    """The answer comes first, then what to ask the reporter for, then everything else."""
    folder, measured = folders["bad"]
    log = folder.parent / "x.log"
    log.write_text("\n".join([*lines, ""]), encoding="utf-8")
    with patch.object(autopsy, "_measured", lambda *_: measured):
        main(["autopsy", str(folder), str(log)])
    printed = capsys.readouterr().out.splitlines()
    assert text in printed[0]
    assert printed[1].startswith("  -> ")
    assert "trace shows no" not in " ".join(printed)


def test_without_a_log_the_first_line_says_so(folders, capsys):
    """Without a log nothing shows the bug, and the log is the first thing to ask for."""
    assert main(["autopsy", str(folders["good"][0])]) == 3
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("Without a log")
    assert "zemosaic_worker.log" in printed[1]


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda log: log, "compressed instead of shortened"),
        (lambda log: [line for line in log if " DEBUG " not in line], "logging level DEBUG"),
        (lambda log: [line for line in log if "Cache retention" not in line and "refcount" not in line], "cache_retention"),
    ],
)  # fmt: skip
def test_each_open_question_names_what_to_send(folders, change, wanted):
    """An incomplete log, a log above DEBUG, a log without the retention: each is asked for by its name."""
    found = examined(*folders["bad"], change(WHOLE[:-1]))
    assert wanted in " ".join(message.render() for message in found.wanted)
