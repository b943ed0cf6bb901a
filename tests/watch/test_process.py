"""Test the process sampler on real processes and on fake ones that refuse access."""

import contextlib
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest

from harness.watch import process
from harness.watch.process import ProcessSampler


class _Fake:
    """A process as psutil shows it."""

    def __init__(self, pid, cpu=1.0, fds=3, status=psutil.STATUS_RUNNING, error=None):
        self.pid, self._cpu, self._fds, self._status, self._error = pid, cpu, fds, status, error

    def __hash__(self):
        return self.pid

    def __eq__(self, other):
        return self.pid == other.pid

    @contextlib.contextmanager
    def oneshot(self):
        yield

    def status(self):
        if self._error:
            raise self._error
        return self._status

    def cpu_times(self):
        return SimpleNamespace(user=self._cpu, system=0.5)

    def memory_info(self):
        return SimpleNamespace(rss=100)

    def num_threads(self):
        return 2

    def num_fds(self):
        if isinstance(self._fds, Exception):
            raise self._fds
        return self._fds


@pytest.fixture
def tree_of(monkeypatch):
    """Return a function that sets the processes of the tree."""

    def set_to(*processes):
        monkeypatch.setattr(process.tree, "descendants", lambda _keeper: list(processes))

    return set_to


def sample(sampler):
    """Return the only line of a sample, without its time."""
    (line,) = sampler.sample(last=False)
    return {key: value for key, value in line.items() if key != "t"}


def test_a_tree_is_summed(tree_of):
    """Memory, CPU, threads and open files are summed over the tree."""
    tree_of(_Fake(1), _Fake(2, cpu=2.0))
    assert sample(ProcessSampler(os.getpid())) == {
        "processes": 2, "rss": 200, "cpu": 4.0, "threads": 4, "open_files": 6,
    }  # fmt: skip


def test_cpu_never_falls(tree_of):
    """The CPU time of an ended process stays in the sum."""
    sampler = ProcessSampler(os.getpid())
    tree_of(_Fake(1), _Fake(2, cpu=2.0))
    sample(sampler)
    tree_of(_Fake(1, cpu=1.5))
    assert (sample(sampler)["cpu"], sample(sampler)["processes"]) == (4.5, 1)


def test_zombies_and_the_vanished_are_left_out(tree_of):
    """A zombie, and a process that vanishes while it is read, count as ended."""
    tree_of(_Fake(1), _Fake(2, status=psutil.STATUS_ZOMBIE), _Fake(3, error=psutil.NoSuchProcess(3)))
    assert sample(ProcessSampler(os.getpid()))["processes"] == 1


def test_a_process_that_refuses_is_counted(tree_of):
    """A process that can't be read counts as one, and open files are unknown."""
    tree_of(_Fake(1), _Fake(2, error=psutil.AccessDenied(2)), _Fake(3))
    line = sample(ProcessSampler(os.getpid()))
    assert (line["processes"], line["rss"], line["open_files"]) == (3, 200, -1)


@pytest.mark.parametrize(
    ("fds", "expected"), [(psutil.NoSuchProcess(1), 3), (psutil.AccessDenied(1), -1), (OSError(13, "denied"), -1)]
)
def test_open_files_that_cannot_be_had(tree_of, fds, expected):
    """Open files are -1 if any process refuses; a process that has just ended counts 0."""
    tree_of(_Fake(1, fds=fds), _Fake(2))
    assert sample(ProcessSampler(os.getpid()))["open_files"] == expected


def test_a_system_without_counts():
    """If neither descriptors nor handles can be counted, open files are -1."""
    assert process._open_files(object()) == -1


def test_a_guard_that_has_gone():
    """The tree of an ended guard is empty."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    assert sample(ProcessSampler(ended.pid))["processes"] == 0


def test_real_processes():
    """A working child is sampled with its memory, threads and open files."""
    busy = "import time\nwhile True: time.sleep(0.01)"
    with subprocess.Popen([sys.executable, "-c", busy]) as child:
        try:
            sampler = ProcessSampler(os.getpid())
            deadline = time.monotonic() + 20
            while (line := sample(sampler))["rss"] < 1e6 and time.monotonic() < deadline:
                time.sleep(0.02)
        finally:
            child.kill()
    assert line["processes"] >= 1
    assert line["rss"] > 1e6
    assert line["threads"] >= 1
    assert line["open_files"] != 0
