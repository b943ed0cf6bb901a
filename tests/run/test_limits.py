"""A target that takes too much memory, disk or processes is ended, with its reason, and nothing of it runs on."""

import json
import os
import subprocess
from dataclasses import replace

import pytest

from harness.checks.judge import judge
from harness.record.comparison import Comparison
from harness.record.reader import read_record
from harness.record.request import Request, RunLimits
from harness.run.runner import make_run
from harness.watch import resources
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
        (ENDLESS, "outputs/zemosaic_MT1_R2.fits has 1.1 TB of 16 GB allowed: it was not hashed"),
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
