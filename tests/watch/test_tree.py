"""Test how the processes of a target are found and ended, and the guard that does it."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from harness.record.written import Digest, written_of
from harness.watch import guard, tree
from harness.watch.guard import Ended, Guard, NotStartedError
from tests.runs_ import CLINGING, SPEAKING, living

NOTHING = Digest().now()
POSIX = pytest.mark.skipif(not hasattr(os, "setsid"), reason="sessions and signals are POSIX's")


@pytest.fixture
def guarded(tmp_path):
    """Return a function that makes a guard for a script, closed after the test."""
    with contextlib.ExitStack() as stack:

        def make(script, *, seconds=20.0, grace=0.2, argv=None):
            (tmp_path / "outputs").mkdir(exist_ok=True)
            words = argv or [sys.executable, "-c", SPEAKING + textwrap.dedent(script)]
            env = {**os.environ, "PHASE3_RECORD": str(tmp_path)}
            made = Guard(words, env, tmp_path, console=tmp_path / "console.log", seconds=seconds, grace=grace)
            stack.callback(made.close)
            return made

        yield make


def pids_in(folder):
    """Wait until the stubborn process tree has written both of its process ids, and return them."""
    path, deadline = folder / "outputs" / "pids", time.monotonic() + 20
    while time.monotonic() < deadline:
        if path.exists() and len(path.read_text().split()) == 2:
            return path.read_text().split()
        time.sleep(0.02)
    raise AssertionError("the tree did not start")


def soon(condition):
    """Return whether a condition comes true within seconds."""
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_the_exit_code_comes_through(guarded, tmp_path):
    """The target's exit code and output are passed on by the guard."""
    made = guarded("print('out', flush=True); print('err', file=sys.stderr); sys.exit(7)")
    made.start()
    ended = made.wait(20)
    written = (tmp_path / "console.log").read_bytes()
    assert ended == Ended("ended", 7, printed="out\nerr\n", console=Digest(written).now())
    assert written.split() == [b"out", b"err"]


@POSIX
def test_a_signal_comes_through(guarded):
    """The exit code of a target killed by a signal is the negative signal number."""
    made = guarded("os.kill(os.getpid(), signal.SIGABRT)")
    made.start()
    assert made.wait(20) == Ended("ended", -signal.SIGABRT, console=NOTHING)


def test_a_target_that_is_not_there(guarded, tmp_path):
    """The error on a program that doesn't exist names it and says what to do."""
    made = guarded("", argv=[str(tmp_path / "no such program")])
    with pytest.raises(
        NotStartedError, match=r"expected to start .*no such program.* found: FileNotFoundError.* name a "
    ):
        made.start()


def test_a_run_that_goes_on_is_not_over(guarded):
    """Waiting for less than the run takes returns ``None``."""
    made = guarded("time.sleep(60)")
    made.start()
    assert made.wait(0.05) is None
    assert made.end().cause == "asked"


def test_a_clinging_tree_is_ended_on_the_time_limit(guarded, tmp_path):
    """Descendants that left the group, ignore SIGTERM and lost their parent are ended with the target at its time limit."""
    made = guarded(CLINGING + "time.sleep(60)", seconds=1.0)
    pid = made.start()
    pids = [pid, *pids_in(tmp_path)]
    ended = made.wait(20)
    assert (ended.cause, ended.left) == ("timed out", ())
    assert living(pids) == []


def test_processes_that_outlive_the_target_are_ended(guarded, tmp_path):
    """Processes that outlive the target are counted and ended."""
    made = guarded(CLINGING + "sys.exit(0)")
    made.start()
    ended = made.wait(20)
    assert (ended.cause, ended.code, ended.strays, ended.left) == ("ended", 0, 2, ())
    assert living(pids_in(tmp_path)) == []


@POSIX
def test_the_tree_is_ended_when_the_guard_is_killed(guarded, tmp_path):
    """If the guard is killed, the harness finds the tree by its mark and ends it."""
    made = guarded(CLINGING + "time.sleep(60)")
    pid = made.start()
    pids = [pid, *pids_in(tmp_path)]
    os.kill(made.guard_pid, signal.SIGKILL)
    assert made.wait(20) == Ended("lost", None)
    assert living(pids) == []


def test_a_guard_that_is_late_at_the_time_limit(guarded, tmp_path, monkeypatch):
    """If the guard does not end the tree at the time limit, the harness does."""
    monkeypatch.setattr(guard, "LATE_SECONDS", 0.2)
    made = guarded(CLINGING + "time.sleep(60)", seconds=60.0)
    made._seconds = 3.0
    pid = made.start()
    pids = [pid, *pids_in(tmp_path)]
    assert made.wait(20) == Ended("timed out", None)
    assert living(pids) == []


def test_a_guard_that_is_late_with_its_answer(guarded, monkeypatch):
    """If the guard announces the end and never answers, the harness ends the tree."""
    monkeypatch.setattr(guard, "SLACK_SECONDS", 0.0)
    monkeypatch.setattr(guard, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(tree, "KILL_SECONDS", 0.5)
    made = guarded("time.sleep(60)")
    pid = made.start()
    made._answers.put({"ending": "ended"})
    assert made.wait(20) == Ended("timed out", None)
    assert living([pid]) == []


@POSIX
def test_a_guard_that_is_stopped_after_its_answer(guarded):
    """A guard that was stopped is killed when it is closed, without a wait."""
    made = guarded("time.sleep(60)")
    pid = made.start()
    os.kill(made.guard_pid, signal.SIGSTOP)
    began = time.monotonic()
    made.close()
    assert time.monotonic() - began < 10.0
    assert living([pid, made.guard_pid]) == []


@POSIX
def test_the_guard_asked_to_end_ends_the_tree(guarded, tmp_path):
    """SIGTERM to the guard ends the tree, and the guard answers."""
    made = guarded(CLINGING + "time.sleep(60)")
    pid = made.start()
    pids = [pid, *pids_in(tmp_path)]
    os.kill(made.guard_pid, signal.SIGTERM)
    assert made.wait(20).cause == "asked"
    assert living(pids) == []


def test_a_closed_pipe_ends_the_tree(guarded, tmp_path):
    """The guard ends the tree when the harness's end of the pipe closes: this shows that the harness has ended."""
    made = guarded(CLINGING + "time.sleep(60)")
    pid = made.start()
    pids = [pid, *pids_in(tmp_path)]
    made._process.stdin.close()
    assert soon(lambda: living(pids) == [])


def test_a_guard_that_never_answers(guarded):
    """If the guard ends before it started anything, the target counts as not started."""
    made = guarded("pass")
    made._process.stdin.close()
    with pytest.raises(NotStartedError, match="no answer from the guard process"):
        made.start()


def test_a_target_reads_nothing(guarded):
    """The standard input of a target is empty, so it can't wait for a key."""
    made = guarded("sys.exit(3 if sys.stdin.read() == '' else 4)")
    made.start()
    assert made.wait(20).code == 3


def test_only_the_marked_are_found_without_a_keeper():
    """Without a keeper a process is found by the mark in its environment, and not by another value of it."""
    sleeping = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleeping, env={**os.environ, tree.MARK: "mine"}) as process:
        try:
            assert soon(lambda: [p.pid for p in tree.living(None, "mine")] == [process.pid])
            assert tree.living(None, "another") == []
        finally:
            process.kill()
    assert tree.living(None, "mine") == []


@POSIX
def test_the_members_of_a_session_are_found():
    """A process with a changed environment is found by its session."""
    sleeping = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleeping, env={}, start_new_session=True) as process:
        try:
            assert [p.pid for p in tree.living(None, "mine", session=process.pid)] == [process.pid]
        finally:
            process.kill()


class _Fake:
    """A process that counts the signals that it gets."""

    def __init__(self, *, stubborn=False, refuses=False):
        self.pid, self.signals, self.alive = 4711, [], True
        self._stubborn, self._refuses = stubborn, refuses

    def terminate(self):
        self.signals.append("terminate")
        self.alive = self._stubborn

    def suspend(self):
        self.signals.append("suspend")

    def kill(self):
        self.signals.append("kill")
        if self._refuses:
            raise psutil.AccessDenied(self.pid)
        self.alive = False

    def is_running(self):
        return self.alive

    def status(self):
        return psutil.STATUS_RUNNING


def test_asked_first_and_killed_when_stubborn():
    """Every process is terminated; only one that does not end is killed."""
    meek, stubborn = _Fake(), _Fake(stubborn=True)
    assert tree.end(lambda: [p for p in (meek, stubborn) if p.alive], grace=0.05) == ()
    assert (meek.signals, stubborn.signals) == (["terminate"], ["terminate", "kill"])


def test_what_cannot_be_ended_is_named(monkeypatch):
    """A process that can't be ended is reported, after a bounded time."""
    monkeypatch.setattr(tree, "KILL_SECONDS", 0.05)
    refusing = _Fake(stubborn=True, refuses=True)
    assert tree.end(lambda: [refusing], grace=0.0) == (4711,)
    assert "kill" in refusing.signals


class _Telling(_Fake):
    """A process whose state can't be read, or that has ended."""

    def __init__(self, error):
        super().__init__()
        self._error = error

    def status(self):
        raise self._error


def test_a_process_that_vanishes_is_not_alive():
    """An ended process is not alive. One whose state can't be read counts as alive, because it may run."""
    assert not tree.is_alive(_Telling(psutil.NoSuchProcess(1)))
    assert tree.is_alive(_Telling(psutil.AccessDenied(1)))


class _Gone:
    """A keeper that has ended."""

    def children(self, *, recursive):
        raise psutil.NoSuchProcess(1, str(recursive))


def test_a_keeper_that_is_gone_has_no_descendants():
    """An ended process has no descendants."""
    assert tree.descendants(_Gone()) == []


def test_the_guard_says_what_was_printed_so_far(guarded, tmp_path):
    """While a target runs, the guard answers with the length and the digest of what it wrote, as often as it is asked."""
    made = guarded("print('one', flush=True); time.sleep(60)")
    made.start()
    assert soon(lambda: (tmp_path / "console.log").read_bytes().split() == [b"one"])
    written = Digest((tmp_path / "console.log").read_bytes()).now()
    assert soon(lambda: made.console() == written)
    (tmp_path / "console.log").write_bytes(b"two")
    assert made.console() == written
    assert made.end().console == written
    assert made.console() == written


def test_a_guard_that_says_nothing_of_the_console(guarded, monkeypatch):
    """Without an answer, or with one of another form, what was printed is not known, after a bounded time."""
    made = guarded("time.sleep(60)")
    made.start()
    monkeypatch.setattr(guard, "TELL_SECONDS", 0.1)
    made._send = lambda _line: None
    made._contents.put({"size": 1, "sha256": "x"})
    assert made.console() is None
    assert made.console() is None


def test_a_process_that_keeps_the_pipe_open(tmp_path, monkeypatch):
    """A process that could not be ended holds the pipe open and prints: what it prints after the report is not in the file."""
    kept = guard._Console(tmp_path / "console.log")
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as source:
        kept.copy(source)
        os.write(writer, b"before")
        assert soon(lambda: (tmp_path / "console.log").read_bytes() == b"before")
        monkeypatch.setattr(kept._thread, "join", lambda _seconds: None)
        assert kept.close() == (0, b"before", Digest(b"before").now())
        os.write(writer, b"after")
        os.close(writer)
        assert soon(lambda: not kept._thread.is_alive())
    assert (tmp_path / "console.log").read_bytes() == b"before"


@pytest.mark.parametrize(
    "data",
    [
        None,
        1,
        {},
        {"size": -1, "sha256": "0" * 64},
        {"size": True, "sha256": "0" * 64},
        {"size": 1, "sha256": "0" * 63 + "g"},
    ],
)
def test_contents_of_another_form_are_none(data):
    """An answer that is no length with a SHA-256 says nothing of the content."""
    assert written_of(data) is None
    assert written_of(NOTHING.to_json()) == NOTHING


@pytest.fixture
def console(tmp_path):
    """Return a function that prints bytes through the guard's console, and returns the file's bytes and the number dropped."""

    def through(data):
        path = tmp_path / "console.log"
        kept = guard._Console(path)
        reader, writer = os.pipe()
        with os.fdopen(reader, "rb", buffering=0) as source:
            kept.copy(source)
            os.write(writer, data)
            os.close(writer)
            dropped, last, content = kept.close()
            assert data.endswith(last)
            assert content == kept.now() == Digest(path.read_bytes()).now()
        return path.read_bytes(), dropped

    return through


def test_output_is_kept_byte_for_byte(console):
    """Binary output is kept unchanged."""
    data = bytes(range(256))
    assert console(data) == (data, 0)


def test_output_is_bounded(console, monkeypatch):
    """Output beyond the limit is read and dropped, and the last line of the file has the number of bytes."""
    monkeypatch.setattr(guard, "CONSOLE_BYTES", 10)
    assert console(b"0123456789abc") == (b"0123456789\n[3 further bytes of output were left out]\n", 3)


def test_a_full_disk_does_not_block_the_target(console, monkeypatch):
    """Output that can't be written is dropped and counted."""

    def full(_file, _data):
        raise OSError(28, "No space left on device")

    class Os:
        def __getattr__(self, name):
            return full if name == "write" else getattr(os, name)

    monkeypatch.setattr(guard, "os", Os())
    data, dropped = console(b"lost")  # the returned last output is checked too
    assert data == b""
    assert dropped >= 4


def test_nothing_is_imported_from_the_working_folder(guarded, tmp_path):
    """A module of the same name in the target's working folder is not imported by the guard."""
    Path(tmp_path, "psutil.py").write_text("raise SystemExit(9)")
    made = guarded("sys.exit(5)")
    made.start()
    assert made.wait(20).code == 5
