"""The progress of runs, read from growing records."""

import io
import json
import re
import time

import pytest

from harness.record.seal import seal
from harness.session import progress
from harness.session.outlook import Expected, Outlook
from harness.session.progress import Progress, ProgressMonitor, ProgressReader, line
from harness.session.run_matrix import PlannedRun
from harness.session.screen import Screen, columns_of
from tests.requests_ import a_request

CACHE = "outputs/.zemosaic_img_cache"


class _Run:
    """Write the record of a run, piece by piece."""

    def __init__(self, folder):
        folder.mkdir(parents=True)
        self.folder = folder
        a_request().write(folder / "request.json")
        self.write("events-7.jsonl", {"format": "phase3-events/1", "pid": 7, "t": 2_000_000_000})

    def raw(self, name, text):
        with (self.folder / name).open("a", encoding="utf-8") as stream:
            stream.write(text)

    def write(self, name, data):
        self.raw(name, json.dumps(data) + "\n")

    def event(self, key, text="", source="callback"):
        self.write("events-7.jsonl", {"t": 3_000_000_000, "key": key, "text": text, "source": source})


@pytest.fixture
def session(tmp_path):
    """Return a session's folder."""
    return tmp_path / "séance"


@pytest.fixture
def living(session):
    """Return the record of a running run."""
    return _Run(session / "runs" / "one")


def look(reader):
    """Return the state of the only run."""
    (state,) = reader.look()
    return state


def test_a_session_without_runs(session):
    """Before the first run there is no folder, and nothing to show."""
    assert ProgressReader(session).look() == ()


def test_a_run_that_crashed_names_its_exception_at_once(session, living):
    """The line of the end has the reason of the seal; other ends need none."""
    reader = ProgressReader(session)
    reader.look()
    seal(living.folder, "crashed", 0, "The target's run ended with KeyError: 'x', at worker.py:12.", 4.0)
    shown = line(look(reader))
    assert shown.endswith("crashed after 4 s · The target's run ended with KeyError: 'x', at worker.py:12.")
    seal(living.folder, "done", 0, "Nothing was measured.", 4.0)
    assert line(look(ProgressReader(session))).endswith("done after 4 s")


@pytest.mark.usefixtures("living")
def test_a_run_that_has_just_begun(session):
    """A new record gives target, role, case and start time."""
    assert look(ProgressReader(session)) == Progress("runs/one", "reference", "subject", "chain", since=2_000_000_000)


def test_events_and_samples_move_it_on(session, living):
    """Phase, tiles, stage and cache bytes follow the record."""
    reader = ProgressReader(session)
    reader.look()
    living.event("PHASE_UPDATE", "3")
    living.event("MASTER_TILE_COUNT_UPDATE", "2/5")
    living.event("phase3_master_tiles", "2/5", source="stage")
    living.write("disk.jsonl", {"t": 4, "folder": CACHE, "size": 1234, "files": 1, "free": 1})
    living.write("disk.jsonl", {"t": 4, "folder": "outputs", "size": 9999, "files": 1, "free": 1})
    state = look(reader)
    assert (state.phase, state.tile, state.tiles, state.cache) == ("3", 2, 5, 1234)
    assert state.stage == "phase3_master_tiles 2/5"
    living.event("MASTER_TILE_COUNT_UPDATE", "3/6")
    state = look(reader)
    assert (state.phase, state.tile, state.tiles, state.cache) == ("3", 3, 6, 1234)


def test_a_line_that_is_being_written_waits(session, living):
    """An incomplete line is read only when it is complete, and counts once."""
    reader = ProgressReader(session)
    line = json.dumps({"t": 3, "key": "PHASE_UPDATE", "text": "5", "source": "callback"})
    living.raw("events-7.jsonl", line[:20])
    assert look(reader).phase == ""
    living.raw("events-7.jsonl", line[20:] + "\n")
    assert look(reader).phase == "5"


def test_what_is_no_entry_is_passed_over(session, living):
    """Torn, foreign and malformed lines are skipped."""
    for text in ("{torn\n", "[1, 2]\n", "\x00\xff\n", "\n"):
        living.raw("events-7.jsonl", text)
    living.event("MASTER_TILE_COUNT_UPDATE", "x/5")
    living.write("disk.jsonl", {"t": "now", "folder": CACHE, "size": "much"})
    living.event("PHASE_UPDATE", "4")
    state = look(ProgressReader(session))
    assert (state.phase, state.tile, state.cache) == ("4", None, 0)


def test_a_line_without_end_is_passed_over(session, living, monkeypatch):
    """A line that is too long for a record is skipped, and the lines after it are read."""
    monkeypatch.setattr(progress, "CHUNK", 200)
    living.raw("events-7.jsonl", "x" * 500 + "\n")
    living.event("PHASE_UPDATE", "4")
    reader = ProgressReader(session)
    for _ in range(6):
        reader.look()
    assert look(reader).phase == "4"


@pytest.mark.usefixtures("living")
def test_only_what_was_added_is_read(session, monkeypatch):
    """Each line of a record is read once."""
    told = []
    really = progress._advanced
    monkeypatch.setattr(progress, "_advanced", lambda state, data: told.append(data) or really(state, data))
    reader = ProgressReader(session)
    reader.look()
    reader.look()
    assert len(told) == 1


def test_an_ended_run_keeps_its_time(session, living):
    """A sealed record gives the end state and the duration."""
    reader = ProgressReader(session)
    reader.look()
    seal(living.folder, "timed out", None, "", 12.5)
    state = look(reader)
    assert (state.state, state.elapsed(10**12)) == ("timed out", 12.5)
    assert look(reader) == state


def test_a_seal_that_cannot_be_read_ends_the_run_too(session, living):
    """A run whose seal can't be read is not shown as running."""
    (living.folder / "seal.json").write_text("{")
    assert look(ProgressReader(session)).state == "sealed"


def test_a_request_that_is_being_written_waits(session, living):
    """A record is skipped until its request is complete."""
    (living.folder / "request.json").write_text('{"format":')
    reader = ProgressReader(session)
    assert reader.look() == ()
    a_request().write(living.folder / "request.json")
    assert look(reader).case == "chain"


def test_folders_are_not_searched_for_ever(session, living):
    """Records are near the top of a session; folders within a record are skipped."""
    _Run(session / "a" / "b" / "c" / "d")
    _Run(living.folder / "outputs" / "inner")
    assert [state.record for state in ProgressReader(session).look()] == ["runs/one"]


def test_a_line_for_each_run():
    """A line gives target, case, role, phase, tile, cache and time; unknown parts are left out."""
    begun = Progress("r", "zemosaic b59a65f", "subject", "chain")
    tiles = Progress("r", "reference", "pair", "chain", "3", "", 4, 9, 112_400_000, 1_000_000_000)
    stage = Progress("r", "reference", "pair", "chain", stage="phase1_scan 3/8", since=1_000_000_000)
    ended = Progress("r", "reference", "pair", "chain", state="done", seconds=7.6)
    assert [line(state, now=9_400_000_000) for state in (begun, tiles, stage, ended)] == [
        "zemosaic b59a65f · chain · version under test: caches 0 MB, 0 s",
        "reference · chain · same version, other retention: phase 3, tile 4 of 9, caches 112 MB, 8 s",
        "reference · chain · same version, other retention: phase1_scan 3/8, caches 0 MB, 8 s",
        "reference · chain · same version, other retention: done after 8 s",
    ]


def test_lines_can_be_translated():
    """The words of a line are translated."""
    state = Progress("r", "reference", "pair", "chain", "3")
    french = {"phase {phase}": "phase no {phase}", "{seconds} s": "{seconds} secondes"}
    shown = line(state, lambda text: french.get(text, text))
    assert shown == "reference · chain · same version, other retention: phase no 3, caches 0 MB, 0 secondes"


def test_the_present_time_is_taken_by_default():
    """Without a time the present time is used."""
    shown = line(Progress("r", "t", "pair", "c", since=time.monotonic_ns() - 61 * 10**9))
    assert shown.endswith("61 s")


def test_a_name_from_a_record_does_not_steer_the_terminal(session, living):
    """Phase, stage and case come from records: control characters in them are escaped."""
    living.event("stage\x1b[2J", "1/2", source="stage")
    living.event("PHASE_UPDATE", "\x1b[31m3")
    shown = line(look(ProgressReader(session)))
    assert "\x1b" not in shown
    assert "\\u001b[31m3" in shown


def wait_for(condition):
    """Wait until a condition is true."""
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


class Shown(io.StringIO):
    """A stream that says whether it is a terminal, and remembers what was written."""

    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        """Return whether the stream is a terminal."""
        return self.terminal

    @property
    def lines(self):
        """The lines that stay."""
        return [text.rpartition("\r")[2] for text in self.getvalue().split("\n")[:-1]]


@pytest.fixture
def watched(session, monkeypatch):
    """Return a function that starts a monitor on a terminal or elsewhere, and returns it with its stream."""
    monkeypatch.delenv("TERM", raising=False)
    monkeypatch.setenv("COLUMNS", "101")
    started = []

    def start(*, terminal, outlook=None, **options):
        stream = Shown(terminal)
        monitor = ProgressMonitor(session, Screen(stream), interval=0.01, **options)
        monitor.outlook = outlook
        monitor.start()
        started.append(monitor)
        return monitor, stream

    yield start
    for monitor in started:
        monitor.stop()


def two_runs():
    """Return the outlook of a session with the run of these tests and another."""
    runs = [PlannedRun("chain", role, "per_tile", "reference", "d") for role in ("subject", "pair")]
    return Outlook([Expected(run, 60.0) for run in runs])


def test_without_a_terminal_a_run_has_one_line_when_it_ends(session, living, watched):
    """What happens in a run is not shown; its end is, with its number among all runs."""
    monitor, stream = watched(terminal=False, outlook=two_runs())
    living.event("PHASE_UPDATE", "3")
    living.event("MASTER_TILE_COUNT_UPDATE", "2/5")
    time.sleep(0.1)
    assert stream.getvalue() == ""
    seal(living.folder, "done", 0, "", 3.0)
    _Run(session / "runs" / "two")
    seal(session / "runs" / "two", "crashed", 1, "KeyError: 'x'", 4.0)
    wait_for(lambda: len(stream.lines) == 2)
    monitor.stop()
    assert stream.lines == [
        "[1/2] reference · chain · version under test: done after 3 s",
        "[2/2] reference · chain · version under test: crashed after 4 s · KeyError: 'x'",
    ]


def test_on_a_terminal_one_line_lives(living, watched):
    """The living line has the number, case, what, tile, caches, and the time so far and left; no line stays of a good run."""
    monitor, stream = watched(terminal=True, outlook=two_runs())
    living.event("PHASE_UPDATE", "3")
    living.event("MASTER_TILE_COUNT_UPDATE", "2/5")
    living.write("disk.jsonl", {"t": 4, "folder": CACHE, "size": 12_000_000, "files": 1, "free": 1})
    wait_for(lambda: "tile 2 of 5" in stream.getvalue())
    shown = stream.getvalue().rpartition("\r")[2].rstrip()
    assert shown.startswith("[1/2] chain · ")
    assert re.search(r"phase 3 · tile 2 of 5 · caches 12 MB · 0 s, about \d+ (s|min) left$", shown), shown
    assert "\n" not in stream.getvalue()
    seal(living.folder, "done", 0, "", 3.0)
    wait_for(lambda: "preparing frames" in stream.getvalue())
    monitor.stop()
    assert stream.lines == []
    assert stream.getvalue().endswith(" \r"), "the living line was not removed"


def test_after_the_last_run_no_time_left_is_promised(living, watched):
    """Tests go on judging after the last run, so "about 0 s left" would be false."""
    seal(living.folder, "done", 0, "", 3.0)
    outlook = Outlook([Expected(PlannedRun("chain", "subject", "per_tile", "reference", "d"), 60.0)])
    monitor, stream = watched(terminal=True, outlook=outlook)
    wait_for(lambda: "preparing frames" in stream.getvalue())
    monitor.stop()
    assert "[1/1] preparing frames, or judging runs" in stream.getvalue()
    assert "left" not in stream.getvalue()


def test_on_a_terminal_a_run_that_broke_off_keeps_a_line(living, watched):
    """The line of a crash stays above the living line."""
    monitor, stream = watched(terminal=True)
    wait_for(lambda: "chain" in stream.getvalue())
    seal(living.folder, "timed out", None, "", 12.0)
    wait_for(lambda: stream.lines)
    monitor.stop()
    assert stream.lines == ["reference · chain · version under test: timed out after 12 s"]


@pytest.mark.parametrize("columns", ["41", "61", "81", "121"])
def test_the_living_line_fits_the_terminal(living, watched, monkeypatch, columns):
    """Names give way first; the tile and the caches stay as long as they can. A longer line would be broken at each update."""
    monkeypatch.setenv("COLUMNS", columns)
    living.event("PHASE_UPDATE", "3")
    living.event("MASTER_TILE_COUNT_UPDATE", "2/5")
    monitor, stream = watched(terminal=True, outlook=two_runs())
    wait_for(lambda: "tile 2 of 5" in stream.getvalue())
    monitor.stop()
    assert all(columns_of(text) < int(columns) for text in stream.getvalue().split("\r"))


def test_runs_of_another_time_get_no_line(living, watched):
    """A record that was sealed before the start of the monitor is not shown, and counts among the runs."""
    seal(living.folder, "done", 0, "", 3.0)
    monitor, stream = watched(terminal=False, outlook=two_runs())
    time.sleep(0.05)
    monitor.stop()
    assert stream.getvalue() == ""


def test_a_run_that_ends_between_two_looks_has_its_line(session, watched):
    """A short run may be sealed when it is first seen; it is no run of another time."""
    monitor, stream = watched(terminal=False)
    time.sleep(0.05)
    other = session.parent / "elsewhere"
    _Run(other / "short")
    seal(other / "short", "done", 0, "", 0.2)
    (session / "runs").mkdir(parents=True)
    (other / "short").rename(session / "runs" / "short")
    wait_for(lambda: stream.lines)
    monitor.stop()
    assert stream.lines == ["reference · chain · version under test: done after 0 s"]


@pytest.mark.usefixtures("living")
def test_a_closed_stream_ends_the_monitor_quietly(session):
    """When the stream is closed, the monitor ends without an error."""
    stream = Shown(terminal=True)
    stream.close()
    monitor = ProgressMonitor(session, Screen(Shown(terminal=True)), interval=0.01)
    monitor.screen._stream = stream
    monitor.start()
    monitor.stop()
    assert not monitor._thread.is_alive()


def test_without_a_terminal_a_long_silence_is_broken(watched):
    """A job that prints nothing for long is stopped by some services: after some minutes a line says what happens."""
    monitor, stream = watched(terminal=False, quiet=0.05)
    wait_for(lambda: len(stream.lines) >= 2)
    monitor.stop()
    assert all(text.startswith("preparing frames, or judging runs · 0 s") for text in stream.lines)
    assert 60 < progress.QUIET < 600
