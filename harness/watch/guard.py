"""The guard: a small process between the harness and a target, which starts it and leaves nothing of it behind.

The harness holds the write end of the guard's standard input. The pipe closes when the harness ends, however abruptly
(a killed pytest-xdist worker too), and the guard then ends the whole tree. This works alike on every system, with no
signal on a parent's death. The guard also keeps the time limit and the bound on what the target prints, so that neither
depends on a busy harness.

Both talk JSON lines: the harness sends what to start, then perhaps ``end``; the guard answers ``{"guard", "pid"}`` or
``{"error"}``, and in the end ``{"cause", "code", "strays", "left", "dropped", "printed"}``.

Limits: when harness and guard are killed in the same moment, nobody is left to end the target, except on Windows, where
the job object does. A record so abandoned has no seal.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

import psutil

from harness.watch import tree

Cause = Literal["ended", "timed out", "asked", "lost"]

CONSOLE_BYTES = 20_000_000
"""What is kept of a target's standard output and error."""

PRINTED_BYTES = 4096
"""What of it is told once more when the target has ended."""

SETTLE_SECONDS = 2.0
"""How long processes may outlive the target before they are ended."""

ANSWER_SECONDS = 30.0
"""How long the harness waits for a guard's answer before it does the guard's work itself."""


class NotStartedError(RuntimeError):
    """A target that could not be started: what was expected, what was found, what to do."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a target ended.

    Parameters
    ----------
    cause
        ``ended`` by itself, ``timed out``, ``asked`` to by the harness, or ``lost``: the guard was killed from outside.
    code
        The target's exit code; negative numbers are POSIX signals; ``None`` when it isn't known.
    strays
        How many processes outlived the target and had to be ended.
    left
        Ids of processes that could not be ended.
    dropped
        Bytes of console output beyond the bound.
    printed
        The last output, also where a full disk kept it out of the file; bytes that are no text are replaced.

    """

    cause: Cause
    code: int | None
    strays: int = 0
    left: tuple[int, ...] = ()
    dropped: int = 0
    printed: str = ""


class Guard:
    """The harness's side: a guard process, and through it a target.

    Parameters
    ----------
    argv, env, cwd
        The target's argument list, whole environment and working directory.
    console
        The file that its standard output and error are appended to.
    seconds
        The time limit.
    grace
        Seconds between the request to end and the end by force.
    whole
        Whether the run is over when all of its processes are, not when the first one is: a launcher may end at once.

    """

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        *,
        console: Path,
        seconds: float,
        grace: float,
        whole: bool = False,
    ) -> None:
        self.mark = secrets.token_hex(8)
        self.pid = 0
        self._grace = grace
        self._program = argv[0] if argv else ""
        self._spec = {
            "argv": list(argv),
            "env": {**env, tree.MARK: self.mark},
            "cwd": str(cwd),
            "console": str(console),
            "seconds": seconds,
            "grace": grace,
            "whole": whole,
        }
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._ended: Ended | None = None
        root = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.watch.guard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
            **_apart(),
        )
        self.guard_pid = self._process.pid
        self._reader = threading.Thread(target=self._read, name="guard answers", daemon=True)
        self._reader.start()

    def start(self) -> int:
        """Start the target and return its process id. Raises ``NotStartedError`` when the system refuses to."""
        self._send(json.dumps(self._spec))
        answer = self._answer(ANSWER_SECONDS)
        if answer is None or "error" in answer:
            what = "no answer from the guard process" if answer is None else answer["error"]
            raise NotStartedError(
                f"expected to start {self._program!r} in {self._spec['cwd']}, found: {what}: "
                "name a program that exists and may be executed"
            )
        self.guard_pid, self.pid = int(answer["guard"]), int(answer["pid"])
        return self.pid

    def wait(self, seconds: float) -> Ended | None:
        """Wait for the end of the whole tree, at most so long; ``None`` when the target still runs."""
        if self._ended is None:
            try:
                answer = self._answers.get(timeout=seconds)
            except queue.Empty:
                return None
            self._ended = self._lost() if answer is None else _ended(answer)
        return self._ended

    def end(self) -> Ended:
        """End the whole tree now and return how it ended."""
        if self._ended is None:
            self._send("end")
        return self.wait(self._grace + tree.KILL_SECONDS + ANSWER_SECONDS) or self._lost()

    def close(self) -> None:
        """Let the guard go; whatever still runs ends with it."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):  # the guard may have gone before us
                self._process.stdin.close()
        try:
            self._process.wait(self._grace + tree.KILL_SECONDS + 5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(5.0)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _lost(self) -> Ended:
        """Do the guard's work when it is gone or doesn't answer: find the processes by their mark and end them."""
        self._process.kill()
        left = tree.end(lambda: tree.living(None, self.mark, self.pid or None), self._grace)
        self._ended = Ended("lost", None, left=left)
        return self._ended

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        try:
            return self._answers.get(timeout=seconds)
        except queue.Empty:
            return None

    def _send(self, line: str) -> None:
        stdin = cast("IO[bytes]", self._process.stdin)
        with contextlib.suppress(OSError, ValueError):  # the guard may have gone; its missing answer says so
            stdin.write(line.encode("utf-8", "surrogateescape") + b"\n")
            stdin.flush()

    def _read(self) -> None:
        for line in cast("IO[bytes]", self._process.stdout):
            try:
                self._answers.put(json.loads(line))
            except ValueError:
                break  # not a guard's answer: the guard counts as lost
        self._answers.put(None)


def _ended(answer: Mapping[str, Any]) -> Ended:
    code = answer["code"]
    return Ended(
        cause=answer["cause"],
        code=None if code is None else int(code),
        strays=int(answer["strays"]),
        left=tuple(int(pid) for pid in answer["left"]),
        dropped=int(answer["dropped"]),
        printed=str(answer["printed"]),
    )


def _apart() -> dict[str, Any]:
    """Return the options that start a process out of reach of the terminal's Ctrl-C: that is for the harness."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


# The guard's own side


def main() -> int:
    """Start what standard input names; end it on time, on request or when the harness is gone; answer how it ended."""
    lines = _Input()
    spec = json.loads(lines.next() or "{}")
    if not spec:
        return 0  # the harness went before it said what to start
    job = _hold_everything()
    try:
        console = _Console(Path(spec["console"]))
        target = subprocess.Popen(
            spec["argv"],
            env=spec["env"],
            cwd=spec["cwd"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **_apart(),
        )
    except (OSError, ValueError, IndexError) as error:
        _answer({"error": f"{type(error).__name__}: {error}"})
        return 0
    keeper = psutil.Process()

    def find() -> list[psutil.Process]:
        return tree.living(keeper, spec["env"][tree.MARK], target.pid)

    try:
        _answer({"guard": os.getpid(), "pid": target.pid})
        console.copy(cast("IO[bytes]", target.stdout))
        cause = _until_over(target, lines, spec["seconds"], find if spec["whole"] else list)
        strays = _outliving(find) if cause == "ended" else 0
    finally:
        left = tree.end(find, spec["grace"])
    with contextlib.suppress(subprocess.TimeoutExpired):
        target.wait(1.0)  # it has ended; this collects the code if the waiting thread has not yet
    dropped, printed = console.close()
    _answer(
        {
            "cause": cause,
            "code": target.returncode,
            "strays": strays,
            "left": left,
            "dropped": dropped,
            "printed": printed.decode("utf-8", "replace"),
        }
    )
    del job  # on Windows its last handle ends whatever is still there
    return 0


def _until_over(
    target: subprocess.Popen[bytes], lines: _Input, seconds: float, others: Callable[[], list[psutil.Process]]
) -> Cause:
    """Wait until the target and the others have ended, its time is over, or the harness wants its end."""
    over = threading.Event()
    asked = threading.Event()

    def stop(*_: object) -> None:
        asked.set()
        over.set()

    def listen() -> None:
        lines.next()  # "end", or the end of the pipe because the harness is gone: both mean the same
        stop()

    def wait() -> None:
        target.wait()
        while others():
            time.sleep(0.5)
        over.set()

    signal.signal(signal.SIGTERM, stop)
    for work in (listen, wait):
        threading.Thread(target=work, daemon=True).start()
    if not over.wait(seconds):
        return "timed out"
    return "asked" if asked.is_set() else "ended"


def _outliving(find: Callable[[], list[psutil.Process]]) -> int:
    """Give processes that outlive the target a moment to end; return how many did not."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while find():
        if time.monotonic() >= deadline:
            return len(find())
        time.sleep(0.05)
    return 0


class _Input:
    """Standard input by lines, without Python's buffer: a thread blocked in it would upset the interpreter's end."""

    def __init__(self) -> None:
        self._rest = b""

    def next(self) -> str:
        """Return the next line, or the empty string at the end of the pipe."""
        while b"\n" not in self._rest:
            try:
                more = os.read(0, 65536)
            except OSError:
                return ""
            if not more:
                return ""
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("utf-8", "surrogateescape")


class _Console:
    """Copies what a target prints to a file, byte for byte up to a bound; reads on, so that the target never blocks."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._file = os.open(path, flags, 0o644)
        self._room = CONSOLE_BYTES
        self._dropped = 0
        self._last = b""

    def copy(self, source: IO[bytes]) -> None:
        """Start to copy, in a thread of its own."""
        self._source = source
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()

    def close(self) -> tuple[int, bytes]:
        """Return how many bytes were dropped, which the file's last line tells too, and the last ones printed."""
        # A process that could not be ended may hold the pipe open: then what it prints later is lost.
        self._thread.join(5.0)
        if self._dropped:
            self._write(f"\n[{self._dropped} further bytes of output were left out]\n".encode())
        return self._dropped, self._last

    def _copy(self) -> None:
        while data := os.read(self._source.fileno(), 65536):
            self._last = (self._last + data)[-PRINTED_BYTES:]
            kept = data[: self._room]
            self._room -= len(kept)
            self._dropped += len(data) - len(kept)
            if kept:
                self._write(kept)

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError:
            self._dropped += len(data)  # a full disk must not block the target


def _answer(data: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError):  # the harness may be gone
        os.write(1, json.dumps(data).encode() + b"\n")


def _hold_everything() -> object:
    """Have the system keep the tree together: a job object on Windows, the adoption of orphans on Linux.

    macOS has neither; there the run's mark and session find every process.
    """
    if sys.platform == "win32":
        import win32api  # noqa: PLC0415 -- Windows only
        import win32job  # noqa: PLC0415 -- Windows only

        job = win32job.CreateJobObject(None, "")
        limits = win32job.QueryInformationJobObject(job, win32job.JobObjectExtendedLimitInformation)
        limits["BasicLimitInformation"]["LimitFlags"] |= win32job.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
        win32job.SetInformationJobObject(job, win32job.JobObjectExtendedLimitInformation, limits)
        # The guard itself, so that everything it will ever start is in the job from its first instruction.
        win32job.AssignProcessToJobObject(job, win32api.GetCurrentProcess())
        return job
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 -- Linux only

        set_child_subreaper = 36
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)
    return None


if __name__ == "__main__":
    sys.exit(main())
