"""A target that takes too much memory, disk or processes is ended, with its reason, and nothing of it runs on."""

import json
import os
import subprocess
import types
from dataclasses import replace

import pytest

from harness.checks.judge import judge
from harness.record.comparison import Comparison
from harness.record.reader import read_record
from harness.record.request import Request, RunLimits
from harness.run.runner import make_run
from harness.watch import disk, resources, sampling
from harness.watch.resources import Allowed, Overrun, allowed
from tests.bounded import bounded
from tests.requests_ import a_request
from tests.runs_ import command, living, seal_of

MB = 10**6

GROWING = """
hello()
kept = []
for _ in range(60):
    kept.append(os.urandom(1_000_000) * 10)
    time.sleep(0.02)
time.sleep(60)
"""
WRITING = """
hello()
for n in range(60):
    (outputs / f"{n}.npy").write_bytes(os.urandom(1_000_000))
    time.sleep(0.02)
time.sleep(60)
"""
FORKING = """
hello()
for n in range(12):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with (outputs / "pids").open("a") as stream:
        stream.write(f"{child.pid}\\n")
time.sleep(60)
"""


@pytest.fixture
def frames(tmp_path):
    """Return the folder of a user's frames."""
    return tmp_path / "frames"


@pytest.fixture
def folder(tmp_path):
    """Return the folder of the record."""
    return tmp_path / "record"


def _limited(frames, script, limits):
    return replace(command(frames, script), limits=limits, seconds=60.0)


@pytest.mark.parametrize(
    ("script", "limits", "reason"),
    [
        (GROWING, RunLimits(memory=200 * MB), "Ended by the harness: its memory reached "),
        (WRITING, RunLimits(disk=20 * MB), "Ended by the harness: the bytes of its files reached "),
        (FORKING, RunLimits(processes=6), "Ended by the harness: the number of its processes reached "),
    ],
    ids=["memory", "disk", "processes"],
)
def test_a_target_beyond_its_limits_is_ended(frames, folder, script, limits, reason):
    """The run is sealed as killed, with what it reached and what was allowed; the verdicts are unknown and say so."""
    pids = []
    record = make_run(_limited(frames, script, limits), folder, frames, grace=0.5, on_start=pids.append)
    assert record.seal.state == "killed"
    assert record.seal.reason.startswith(reason)
    assert " allowed: " in record.seal.reason
    assert record.seal.seconds < 50
    started = folder / "outputs" / "pids"
    pids += started.read_text(encoding="utf-8").split() if started.exists() else []
    assert living(pids) == []
    verdicts = {verdict.check: verdict for verdict in judge(Comparison(record))}
    assert verdicts["crash"].outcome == "unknown"
    assert "Ended by the harness" in verdicts["crash"].sentence.render()
    assert "pass" not in {verdict.outcome for verdict in verdicts.values()}


def test_a_good_run_stays_within_the_limits(frames, folder):
    """The limits that a request does not state are those of the machine, and an ordinary run is far below them."""
    request = command(frames, "hello()\nevent('PROCESS_DONE')\n")
    assert request.limits == RunLimits()
    assert make_run(request, folder, frames).seal.state == "done"


def test_limits_that_are_not_stated_are_those_of_the_machine(tmp_path):
    """Memory is a share of the machine's, disk what is free without a reserve, processes a number."""
    found = allowed(RunLimits(), tmp_path)
    machine = resources._machine_memory()
    assert found.memory == int(0.8 * machine)
    assert found.disk > 0
    assert 0 < found.reserve <= resources.RESERVE_BYTES
    assert found.processes == resources.PROCESSES
    assert allowed(RunLimits(1, 2, 3), tmp_path).memory == 1


def test_a_volume_that_fills_ends_the_run(tmp_path):
    """Another program may fill the disk, or the target between two samples: the free bytes are looked at as well."""
    overrun = Overrun(Allowed(1, 1, 1, reserve=1 << 62), tmp_path, os.getpid())
    assert overrun.look().startswith("Ended by the harness: the volume of the record had ")
    assert Overrun(Allowed(1, 1, 1, reserve=0), tmp_path, os.getpid()).look() == ""


def test_memory_that_processes_share_counts_once(tmp_path, monkeypatch):
    """The sum of the samples may exceed the limit although the processes share their pages: the exact number decides."""
    monkeypatch.setattr(resources, "own_memory", lambda _: 5)
    overrun = Overrun(Allowed(10, 1, 100, reserve=0), tmp_path, os.getpid())
    overrun.take({"processes": 3, "rss": 30})
    assert overrun.reason == ""
    monkeypatch.setattr(resources, "own_memory", lambda _: 11)
    overrun.take({"processes": 3, "rss": 30})
    assert overrun.reason.startswith("Ended by the harness: its memory reached 11 B of 10 B allowed")


def test_limits_that_are_not_stated_are_not_in_the_request():
    """So the keys of runs, which are made of the request, stay as they were. Limits that are stated are read again."""
    assert "limits" not in a_request().to_json()
    stated = a_request(limits=RunLimits(memory=5))
    assert Request.from_json(json.loads(json.dumps(stated.to_json()))) == stated
    with pytest.raises(ValueError, match="expected a positive limit of memory"):
        RunLimits(memory=0)


def _made(folder, frames, script):
    record = make_run(command(frames, script), folder, frames, grace=0.5)
    return (
        record.beyond,
        record.seal.state,
        record.seal.beyond,
        sorted({v.outcome.value for v in judge(Comparison(record))}),
    )


ENDLESS = """
hello()
with (outputs / "zemosaic_MT1_R2.fits").open("wb") as stream:
    stream.truncate(2**40)
event("PROCESS_DONE")
"""
CHATTY = """
hello()
with events.open("ab") as stream:
    stream.write(b"{}\\n" * 1_100_000)
"""
LONG = """
hello()
with events.open("ab") as stream:
    stream.write(b"x" * 5_000_000)
"""
PIPE = """
hello()
os.mkfifo(outputs / "master_tile_001.fits")
os.mkfifo(outputs / "zemosaic_MT1_R2.fits")
os.mkfifo(outputs / "preprocessed_x.npy")
event("PROCESS_DONE")
"""


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (ENDLESS, "outputs/zemosaic_MT1_R2.fits has 1.1 TB, of which less than 1 % is written: it was not hashed"),
        (CHATTY, "the record has more than 1,000,000 lines of events and traces, the limit of the harness"),
        (LONG, "has a line of more than 1 MB, the limit of the harness"),
    ],
    ids=["an endless mosaic", "a million lines", "a long line"],
)
def test_a_record_beyond_the_limits_is_sealed_as_such(frames, folder, script, said):
    """After the end of the target everything has a limit: the record is sealed, says which, and nothing is concluded."""
    answer = bounded(_made, folder, frames, script, seconds=30)
    assert answer.error == ""
    beyond, state, _, outcomes = answer.value
    assert state == "done"
    assert said in beyond[0]
    assert outcomes == ["unknown"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_among_the_outputs_make_nothing_wait(frames, folder):
    """A pipe in place of a mosaic, a tile or a cache is no product. The record is sealed and read."""
    answer = bounded(_made, folder, frames, PIPE, seconds=30)
    assert answer.error == ""
    assert answer.value[1] == "done"
    assert "fifo" not in seal_of(folder)["reason"]
    assert read_record(folder).products.mosaic is None


DEEP = """
hello()
for place in (outputs, record / "work" / "tmp"):
    os.chdir(place)
    for _ in range(1_500):
        os.mkdir("d")
        os.chdir("d")
event("PROCESS_DONE")
"""


@pytest.mark.skipif(os.name == "nt", reason="paths of this system are short")
def test_folders_a_thousand_deep_lose_no_record(frames, folder):
    """Python's own walk fails on them. The record is sealed, says so, and nothing is concluded."""
    try:
        answer = bounded(_made, folder, frames, DEEP, seconds=30)
        assert answer.error == ""
        assert "folders more than 64 deep, the limit of the harness" in answer.value[0][0]
        assert answer.value[3] == ["unknown"]
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=False)  # neither does Python remove them


ELSEWHERE = """
hello()
for n in range(60):
    (record / {place!r} / f"x{{n}}").write_bytes(os.urandom(1_000_000))
    time.sleep(0.02)
time.sleep(60)
"""


@pytest.mark.parametrize("place", ["work/input", "work", "."])
def test_the_limit_of_disk_counts_the_whole_record(frames, folder, place):
    """Also the input folder, and the top folders of the record and of the working files."""
    script = ELSEWHERE.format(place=place)
    record = make_run(_limited(frames, script, RunLimits(disk=20 * MB)), folder, frames, grace=0.5)
    assert record.seal.state == "killed"
    assert record.seal.reason.startswith("Ended by the harness: the bytes of its files reached ")


RENAMED = """
hello()
away = record.with_name("away")
record.rename(away)
record.mkdir()
for n in range(60):
    (away / "outputs" / f"{n}").write_bytes(os.urandom(1_000_000))
    time.sleep(0.02)
time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="a folder with open files can't be renamed there")
def test_a_record_that_its_target_renamed_is_still_limited(frames, folder):
    """The record is held open: what its path leads to now does not matter."""
    record = make_run(_limited(frames, RENAMED, RunLimits(disk=20 * MB)), folder, frames, grace=0.5)
    assert record.seal.state == "killed"
    assert record.seal.reason.startswith("Ended by the harness: the bytes of its files reached ")
    assert record.seal.tampered[0].startswith("the record itself: ")


def test_the_copies_of_the_frames_are_not_the_targets(frames, folder):
    """A target gets frames larger than its limit, and may move them."""
    script = """
    hello()
    (record / "work" / "input" / "é 0.fits").rename(outputs / "moved")
    event("PROCESS_DONE")
    time.sleep(0.5)
    """
    request = _limited(frames, script, RunLimits(disk=1_000))
    assert sum(path.stat().st_size for path in frames.iterdir()) > 1_000
    assert make_run(request, folder, frames).seal.state == "done"


MANY = """
hello()
for n in range(400):
    (outputs / f"{n}").touch()
time.sleep(60)
"""


def test_a_target_with_too_many_files_is_ended(frames, folder, monkeypatch):
    """Otherwise looking at them would take ever longer, and its limit of disk would not hold."""
    monkeypatch.setattr(disk, "MOST", 200)
    monkeypatch.setattr(resources, "ENTRIES", 200)
    record = make_run(_limited(frames, MANY, RunLimits()), folder, frames, grace=0.5)
    assert record.seal.state == "killed"
    assert "the number of its files and folders reached 201 of 200 allowed" in record.seal.reason


def test_bytes_that_the_volume_lost_bring_the_next_look_forward(tmp_path, monkeypatch):
    """Listing many files takes long, so there are few looks. The free bytes tell when one is due; they end no run themselves."""
    free = [1_000]
    monkeypatch.setattr(resources.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=free[0]))
    looks = []
    overrun = Overrun(Allowed(1, 100, 1, reserve=0), tmp_path, os.getpid(), before=500)
    overrun.hurry = lambda: looks.append(free[0])
    overrun.spent(540, 3, 1_000)  # 40 of 100 are used
    for free[0] in (1_000, 940, 939, 900):
        assert overrun.look() == ""
    assert looks == [939]  # not again within a second
    overrun._hurried -= 2
    assert overrun.look() == ""
    assert looks == [939, 900]
    overrun.spent(600, 3, 900)
    assert overrun.reason == ""
    overrun.spent(601, 3, 899)
    assert overrun.reason.startswith("Ended by the harness: the bytes of its files reached 101 B of 100 B allowed")


SLOW = """
hello()
time.sleep(1)
for n in range(100):
    (outputs / f"{n}.npy").write_bytes(os.urandom(1_000_000))
    time.sleep(0.05)
time.sleep(60)
"""


def test_a_target_that_makes_looking_slow_is_ended_soon(frames, folder, monkeypatch):
    """Where a look costs as much as one at many files, the next one would be late: this target writes 100 MB before."""
    monkeypatch.setattr(sampling.Pace, "wait", lambda *_: 30.0)
    request = _limited(frames, SLOW, RunLimits(disk=20 * MB))
    record = make_run(request, folder, frames, grace=0.5)
    assert record.seal.state == "killed"
    assert record.seal.seconds < 20
    assert sum(path.stat().st_size for path in (folder / "outputs").iterdir()) < 90 * MB
