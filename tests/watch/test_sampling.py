"""Test when samples are taken, and how lines are written."""

import json
import os
import time

import pytest

from harness.record import rewritten, safe
from harness.record.seal import digests
from harness.watch import sampling
from harness.watch.sampling import LONGEST, SHORTEST, Lines, Pace, Watch


def test_a_cheap_look_is_repeated_soon():
    """A cheap sample is repeated after the shortest wait."""
    assert Pace().wait(0.0001, 1.0) == SHORTEST


def test_a_long_run_is_looked_at_less_often():
    """The wait grows with the time of the run up to a limit, so that records stay small."""
    assert Pace().wait(0.0001, 1000.0) == pytest.approx(0.5)
    assert Pace().wait(0.0001, 100_000.0) == LONGEST


@pytest.mark.parametrize("cost", [0.01, 0.4])
def test_looking_takes_two_percent_at_most(cost):
    """At any cost of a sample, the waits keep sampling to its share of a core."""
    pace = Pace()
    waits = [pace.wait(cost, 1.0) for _ in range(20)]
    assert 20 * cost / sum(waits) <= sampling.SHARE + 1e-9


def test_a_coarse_clock_is_smoothed():
    """After one sample that seemed expensive, the wait stays long for a while, although the next ones seem free."""
    pace = Pace()
    pace.wait(0.016, 1.0)
    assert pace.wait(0.0, 1.0) == pytest.approx(0.4)


def test_lines_are_appended(tmp_path):
    """Each object becomes one line of JSON at the end of the file."""
    path = tmp_path / "disk.jsonl"
    lines = Lines(path)
    for number in (1, 2):
        lines.add({"t": number})
    lines.close()
    assert path.read_bytes() == b'{"t":1}\n{"t":2}\n'


@pytest.mark.parametrize("content", [b"", b'{"t":0}\n', b'{"t":1}\n{}\n'])
def test_lines_that_a_target_wrote_in_the_file_are_found(tmp_path, content):
    """A target that writes in the harness's own file, without replacing it, is found when the record is sealed."""
    path = tmp_path / "disk.jsonl"
    with safe.hold(tmp_path):
        lines = Lines(path)
        lines.add({"t": 1})
        assert lines_changed(tmp_path, lines) == []
        with path.open("r+b") as stream:
            stream.truncate(0)
            stream.write(content)
        assert lines_changed(tmp_path, lines) == ["disk.jsonl: other content than the harness wrote"]


def lines_changed(folder, lines):
    """Close a file of lines, and return what the seal would say about it."""
    lines.close()
    return list(rewritten.found(folder, digests(folder)))


def test_a_file_that_a_target_made_first_is_not_written(tmp_path):
    """A sampler writes in a file that it made itself. If its name is taken, nothing is sampled, and the end says so."""
    path = tmp_path / "disk.jsonl"
    path.write_bytes(b"of the target")
    watch = Watch("disk", path, lambda: None)
    assert watch.stop().startswith("the disk was not watched (")
    assert path.read_bytes() == b"of the target"


class _Disk:
    """The os module with a disk that takes a given number of bytes."""

    def __init__(self, room):
        self.room = room

    def __getattr__(self, name):
        return getattr(os, name)

    def write(self, file, data):
        if not self.room:
            raise OSError(28, "No space left on device")
        written = os.write(file, data[: self.room])
        self.room -= written
        return written


def test_a_full_disk_costs_lines_only(tmp_path, monkeypatch):
    """Lines that a full disk cuts off or refuses are counted, and the next line that fits is whole."""
    disk = _Disk(11)
    monkeypatch.setattr(sampling, "os", disk)
    lines = Lines(tmp_path / "disk.jsonl")
    for number in (1, 2, 3):
        lines.add({"t": number})
    disk.room = 1000
    lines.add({"t": 4})
    lines.close()
    kept = (tmp_path / "disk.jsonl").read_text().splitlines()
    assert kept == ['{"t":1}', '{"t', '{"t":4}']
    assert lines.lost == 2


class _Counting:
    """A sampler that counts its samples."""

    def __init__(self):
        self.looks = []

    def sample(self, *, last):
        self.looks.append(last)
        return [{"t": len(self.looks)}]


def test_a_watch_looks_first_and_last(tmp_path):
    """A watch samples at once and again when it is stopped, and its lines are in the file then."""
    sampler = _Counting()
    watch = Watch("disk", tmp_path / "disk.jsonl", lambda: sampler)
    assert watch.stop() == ""
    assert sampler.looks[-1] is True
    assert sampler.looks.count(True) == 1
    lines = (tmp_path / "disk.jsonl").read_text().splitlines()
    assert [json.loads(line)["t"] for line in lines] == list(range(1, len(sampler.looks) + 1))


def test_a_watch_tells_what_it_lost(tmp_path, monkeypatch):
    """Samples that could not be written are reported when the watch is stopped."""
    monkeypatch.setattr(sampling, "os", _Disk(0))
    watch = Watch("disk", tmp_path / "disk.jsonl", _Counting)
    assert watch.stop().endswith("samples of the disk could not be written")


class _Blind:
    """A sampler that fails."""

    def sample(self, *, last):
        raise RuntimeError(f"blind {last}")


def test_a_watch_that_fails_tells_why(tmp_path):
    """A failing sampler ends its watch and not the run, and its error is reported."""
    watch = Watch("disk", tmp_path / "disk.jsonl", _Blind)
    assert watch.stop().startswith("the disk was not watched to the end (RuntimeError: blind")


def test_a_watch_looks_at_once_if_it_is_asked(tmp_path, monkeypatch):
    """A sampler that was slow would wait long. Without being asked it waits."""
    monkeypatch.setattr(sampling, "SHORTEST", 60.0)
    monkeypatch.setattr(sampling, "LONGEST", 60.0)
    sampler = _Counting()
    watch = Watch("disk", tmp_path / "disk.jsonl", lambda: sampler)

    def looks(expected):
        until = time.monotonic() + 5.0
        while len(sampler.looks) < expected and time.monotonic() < until:
            time.sleep(0.01)
        return len(sampler.looks)

    assert looks(1) == 1
    time.sleep(0.2)
    assert len(sampler.looks) == 1
    watch.look_now()
    assert looks(2) == 2
    assert watch.stop() == ""
    assert sampler.looks == [False, False, True]
