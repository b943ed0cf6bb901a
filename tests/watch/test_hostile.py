"""Test that no process of a hostile target outlives its run, and that the record says why the run ended."""

import contextlib
import os
import subprocess
import sys
import textwrap
import time
import uuid

import psutil
import pytest

from harness.run.runner import make_run
from harness.watch import keeping, tree
from harness.watch.guard import Guard
from tests.runs_ import command, living

pytestmark = pytest.mark.skipif(not hasattr(os, "setsid"), reason="sessions and signals are POSIX's")

LIMIT = 2.0
GRACE = 0.3

# A process that is hard to find: no parent, a session of its own, an empty environment; it ignores SIGTERM.
HIDING = """
hello()
token = {token!r}
guard = os.getppid()

def hide():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            code = "import time, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
            os.execve(sys.executable, [sys.executable, "-c", code, token], {{}})
        os._exit(0)
    os.wait()
    while not hidden():
        time.sleep(0.01)

def keeper():
    return int(open(f"/proc/{{guard}}/stat").read().rpartition(")")[2].split()[1])

def hidden():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if open(f"/proc/{{pid}}/cmdline", "rb").read().split(b"\\0")[-2:-1] == [token.encode()]:
                return True
        except OSError:
            continue
    return False
"""

STOPPED = "found that process stopped after"
GONE = "guard process ended from outside"
LATE = "Expected the target to end within 2 s, found it still running"

# The situation, what the target does, how its record ends, and a part of the reason.
WAYS = {
    "it stops its guard": ("os.kill(guard, signal.SIGSTOP); time.sleep(60)", "killed", STOPPED),
    "it stops its guard and ends": ("os.kill(guard, signal.SIGSTOP)", "killed", STOPPED),
    "it hides, stops its guard and ends": ("hide(); os.kill(guard, signal.SIGSTOP)", "killed", STOPPED),
    "it kills its guard": ("os.kill(guard, signal.SIGKILL); time.sleep(60)", "killed", GONE),
    "it hides, kills its guard and ends": ("hide(); os.kill(guard, signal.SIGKILL)", "killed", GONE),
    "it asks its guard to end": ("os.kill(guard, signal.SIGTERM); time.sleep(60)", "killed", GONE),
    "it kills the keeper": ("os.kill(keeper(), signal.SIGKILL); time.sleep(60)", "killed", GONE),
    "it stops the keeper": ("os.kill(keeper(), signal.SIGSTOP); time.sleep(60)", "killed", STOPPED),
    "it hides, stops the keeper and kills its guard": (
        "hide(); os.kill(keeper(), signal.SIGSTOP); os.kill(guard, signal.SIGKILL)",
        "killed",
        "",
    ),
    "it hides, kills the keeper and stops its guard": (
        "hide(); os.kill(keeper(), signal.SIGKILL); os.kill(guard, signal.SIGSTOP)",
        "killed",
        "",
    ),
    "it hides, kills the keeper and its guard": (
        "hide(); os.kill(keeper(), signal.SIGKILL); os.kill(guard, signal.SIGKILL)",
        "killed",
        GONE,
    ),
    "it hides, kills its guard and the keeper": (
        "above = keeper(); hide(); os.kill(guard, signal.SIGKILL); os.kill(above, signal.SIGKILL)",
        "killed",
        GONE,
    ),
    "it forks without an end, and kills its guard": (
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.kill(guard, signal.SIGKILL)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if os.fork():
                os._exit(0)
            os.setsid()
            time.sleep(0.02)
        """,
        "killed",
        GONE,
    ),
    "it slows its guard down": ("os.setpriority(os.PRIO_PROCESS, guard, 19); time.sleep(60)", "timed out", LATE),
    "it stops itself": ("os.kill(os.getpid(), signal.SIGSTOP)", "timed out", LATE),
    "it hides and ends": ("hide(); hide()", "done", "2 processes outlived the target and were ended."),
    "it ignores SIGTERM": ("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)", "timed out", LATE),
    "it forks without an end": (
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(4):
            os.fork()
        while True:  # 16 processes; each is replaced by its child again and again
            if os.fork():
                os._exit(0)
            time.sleep(0.005)
        """,
        "done",
        "outlived the target and were ended.",
    ),
    "it forks without an end, each time in a new session": (
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(2):
            os.fork()
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if os.fork():
                os._exit(0)
            os.setsid()
            time.sleep(0.02)
        """,
        "done",
        "outlived the target and were ended.",
    ),
    "it answers in the place of its guard": (
        """
        answer = {"cause": "ended", "code": 0, "strays": 0, "left": [], "dropped": 0, "printed": ""}
        try:
            with open(f"/proc/{guard}/fd/1", "wb") as pipe:
                pipe.write(json.dumps(answer).encode() + b"\\n")
        except PermissionError:
            pass  # only root may open it
        time.sleep(60)
        """,
        "timed out",
        LATE,
    ),
}
LINUX_ONLY = {
    "it hides, stops its guard and ends",
    "it hides, kills its guard and ends",
    "it hides and ends",
    "it kills the keeper",
    "it stops the keeper",
    "it hides, stops the keeper and kills its guard",
    "it hides, kills the keeper and stops its guard",
    "it hides, kills the keeper and its guard",
    "it hides, kills its guard and the keeper",
    "it forks without an end, and kills its guard",
    "it forks without an end",
    "it forks without an end, each time in a new session",
    "it answers in the place of its guard",
}


def with_token(token):
    """Return the processes with a text in their command line."""
    found = []
    for process in psutil.process_iter():
        try:
            if token in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("way", WAYS)
def test_no_process_outlives_a_hostile_target(tmp_path, way):
    """Whatever a target does to its guard, its processes end within the limit and the grace, and the record says why."""
    if way in LINUX_ONLY and sys.platform != "linux":
        pytest.skip("orphans are adopted, and /proc is, on Linux only")
    script, state, reason = WAYS[way]
    token = f"hostile-{uuid.uuid4().hex}"
    request = command(tmp_path / "frames", HIDING.format(token=token) + textwrap.dedent(script), seconds=LIMIT)
    began = time.monotonic()
    record = make_run(request, tmp_path / "record", tmp_path / "frames", grace=GRACE)
    spent = time.monotonic() - began
    assert with_token(token) == []
    assert record.seal.state == state
    assert reason in record.seal.reason
    assert spent < 20.0


UNRELATED = [sys.executable, "-c", "import sys; sys.stdin.read(); sys.exit(7)"]
TAKEN_OVER = {
    "its guard is killed": "hide(); time.sleep(0.5); os.kill(guard, signal.SIGKILL)",
    "its guard is stopped": "hide(); time.sleep(0.5); os.kill(guard, signal.SIGSTOP); time.sleep(60)",
    "its guard and the keeper are killed": (
        "hide(); time.sleep(0.5); os.kill(keeper(), signal.SIGKILL); os.kill(guard, signal.SIGKILL)"
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="the way to hide is Linux's")
@pytest.mark.parametrize("way", TAKEN_OVER)
def test_children_of_the_harness_that_are_no_part_of_the_run_live_on(tmp_path, way):
    """When the harness ends a run without its guard, it ends no program that it started before or during the run.

    The programs may be in sessions of their own, and their exit status is left to who started them.
    """
    token = f"hostile-{uuid.uuid4().hex}"
    with contextlib.ExitStack() as stack:

        def unrelated(*, apart):
            child = subprocess.Popen(UNRELATED, stdin=subprocess.PIPE, start_new_session=apart)
            stack.callback(child.kill)
            return child

        def during(_pid):
            others.extend(unrelated(apart=apart) for apart in (False, True))

        others = [unrelated(apart=apart) for apart in (False, True)]
        request = command(tmp_path / "frames", HIDING.format(token=token) + TAKEN_OVER[way], seconds=10.0)
        record = make_run(request, tmp_path / "record", tmp_path / "frames", on_start=during, grace=GRACE)
        assert record.seal.state == "killed"
        assert with_token(token) == []
        assert [child.poll() for child in others] == [None] * 4
        for child in others:
            child.communicate(b"", timeout=20)
        assert [child.returncode for child in others] == [7] * 4


@pytest.mark.skipif(sys.platform != "linux", reason="a keeper adopts, on Linux only")
@pytest.mark.parametrize("kept", [True, False])
def test_a_child_that_starts_while_the_harness_takes_over(tmp_path, kept):
    """A program that the harness starts after the guard's death lives on. If the keeper died too, it is taken for the run's."""
    script = f"import time; open({str(tmp_path / 'up')!r}, 'w').close(); time.sleep(60)"
    made = Guard(
        [sys.executable, "-c", script], dict(os.environ), tmp_path, console=tmp_path / "log", seconds=60.0, grace=0.1
    )
    try:
        pid = made.start()
        while not (tmp_path / "up").exists():
            time.sleep(0.02)
        made._watch()
        if not kept:
            made._keeper.kill()
        made._guard.kill()
        while tree.is_alive(made._guard):
            time.sleep(0.02)
        late = subprocess.Popen(UNRELATED, stdin=subprocess.PIPE, start_new_session=True)
        assert made.wait(20.0).cause == "lost"
        assert living([pid]) == []
        assert (late.poll() is None) is kept
    finally:
        made.close()
        late.kill()
        late.communicate(timeout=20)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_a_harness_without_runs_adopts_no_orphans():
    """After the end of the last run, orphans of the user's own programs are no children of the harness."""
    first, second = keeping.Orphans(), keeping.Orphans()
    first.own(None)
    second.own(None)
    assert _adopts()
    first.close()
    assert _adopts()
    second.close()
    assert not _adopts()


def _adopts():
    import ctypes

    found = ctypes.c_int(-1)
    assert ctypes.CDLL(None).prctl(37, ctypes.byref(found), 0, 0, 0) == 0
    return found.value == 1
