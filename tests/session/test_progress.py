"""The progress of runs, read from growing records."""

import json
import time

import pytest

from harness.record.seal import seal
from harness.session import progress
from harness.session.durations import Durations
from harness.session.progress import Progress, ProgressMonitor, ProgressReader, expected_table, line
from harness.session.run_matrix import PlannedRun
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
    french = {"phase {phase},": "phase no {phase},", "{seconds} s": "{seconds} secondes"}
    shown = line(state, lambda text: french.get(text, text))
    assert shown == "reference · chain · same version, other retention: phase no 3, caches 0 MB, 0 secondes"


def test_the_present_time_is_taken_by_default():
    """Without a time the present time is used."""
    shown = line(Progress("r", "t", "pair", "c", since=time.monotonic_ns() - 61 * 10**9))
    assert shown.endswith("61 s")


def wait_for(condition):
    """Wait until a condition is true."""
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def test_the_monitor_writes_a_line_a_change(session, living):
    """The monitor writes a line for each change of a run, and none without a change."""
    shown = []
    monitor = ProgressMonitor(session, shown.append, interval=0.01)
    monitor.start()
    wait_for(lambda: len(shown) == 1)
    living.event("PHASE_UPDATE", "3")
    wait_for(lambda: len(shown) == 2)
    seal(living.folder, "done", 0, "", 3.0)
    monitor.stop()
    assert ["phase 3" in line for line in shown] == [False, True, False]
    assert shown[-1] == "reference · chain · version under test: done after 3 s"


def test_runs_of_another_time_get_no_line(session, living):
    """A record that was sealed before the start of the monitor is not shown."""
    seal(living.folder, "done", 0, "", 3.0)
    shown = []
    monitor = ProgressMonitor(session, shown.append, interval=0.01)
    monitor.start()
    monitor.stop()
    assert shown == []


@pytest.mark.usefixtures("living")
def test_a_closed_stream_ends_the_monitor_quietly(session):
    """When the stream is closed, the monitor ends without an error."""

    def closed(_line):
        raise ValueError("I/O operation on closed file")

    monitor = ProgressMonitor(session, closed, interval=0.01)
    monitor.start()
    monitor.stop()
    assert not monitor._thread.is_alive()


def test_the_table_of_runs_to_come(tmp_path):
    """Each run has a line with the expected time: known, estimated or unknown."""
    durations = Durations(tmp_path / "durations.json")
    durations.add(a_request(), 8.4)
    coming = [
        PlannedRun("chain", "subject", "per_tile", target, dataset)
        for target, dataset in (("reference", "small"), ("reference (naive)", "small"), ("reference", "large"))
    ]
    assert expected_table(coming, durations).splitlines() == [
        "run  target             case   role                dataset  retention  expected",
        "1    reference          chain  version under test  small    per_tile   8 s",
        "2    reference (naive)  chain  version under test  small    per_tile   ~8 s",
        "3    reference          chain  version under test  large    per_tile   ?",
        "Runs: 3, about 17 s if run one after the other; of unknown duration: 1.",
    ]


@pytest.mark.parametrize(
    ("datasets", "told"),
    [
        (("large", "large"), "Runs: 2; their duration is not known yet."),
        (("small", "small"), "2 runs, about 17 s if run one after the other."),
    ],
)
def test_the_sum_of_all_or_of_none(tmp_path, datasets, told):
    """The sum is left out if every time is unknown, and mentions no unknown times if all are known."""
    durations = Durations(tmp_path / "durations.json")
    durations.add(a_request(), 8.4)
    coming = [PlannedRun("chain", "subject", "per_tile", "reference", dataset) for dataset in datasets]
    assert expected_table(coming, durations).splitlines()[-1] == told


def test_a_session_is_never_silent_for_long(tmp_path):
    """After some quiet seconds the monitor says that no run lives, and how long the session takes so far."""
    shown = []
    monitor = ProgressMonitor(tmp_path, shown.append, interval=0.01, quiet=0.05)
    monitor.start()
    deadline = time.monotonic() + 20
    while len(shown) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    monitor.stop()
    assert len(shown) >= 2
    assert all("No run lives" in line for line in shown)
    assert progress.QUIET <= 30


def test_a_time_that_is_not_known_is_estimated_from_the_pilot(tmp_path):
    """Seconds per frame of the pilot run give the time of each other run; the sum names the whole in minutes."""
    runs = [PlannedRun("chain", "subject", "per_tile", "zemosaic a", "chain3x2", 36) for _ in range(61)]
    table = expected_table(runs, Durations(tmp_path / "none.json"), pilot=0.65)
    assert "~23 s" in table
    assert table.endswith("61 runs, about 24 min if run one after the other.\n")
