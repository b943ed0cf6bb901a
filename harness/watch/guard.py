"""Start a target from a small guard process, which ends the target's whole process tree in every case.

The harness holds the write end of the guard's standard input. The pipe closes when the harness ends, even if it is killed
(as pytest-xdist may kill a worker). The guard then ends the whole tree. This works on every system and needs no signal on
the death of a parent. The guard also enforces the time limit and the limit of console output, so that neither depends on
a busy harness.

The two exchange JSON lines. The harness sends what to start and later perhaps ``end``. The guard answers ``{"guard", "pid"}``
or ``{"error"}``, ``{"ending"}`` when it begins to end the processes, and at last ``{"cause", "code", "strays", "left", "dropped",
"printed", "console"}``. Whenever the harness sends ``console``, the guard answers ``{"console"}``: the length and the SHA-256 of
what it wrote to the console's file until then. Each answer holds a secret that the target does not know; other lines are ignored.

The harness watches the guard in turn: a target may stop, kill or slow down its parent process. It then ends the processes itself
(``harness.watch.keeping``).

On Linux the guard has a parent of its own, which adopts what the guard leaves when it is killed (``keeping.keep``).

Limit: if harness and guard are killed in the same moment, the target runs on, except on Windows, where the job object ends
it. The record then has no seal.
"""

from __future__ import annotations

import contextlib
import functools
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

from harness.record.written import Digest, Written, written_of
from harness.watch import keeping, tree

Cause = Literal["ended", "timed out", "asked", "lost", "stopped"]

CONSOLE_BYTES = 20_000_000
"""The most of a target's standard output and error that is kept, in bytes."""

PRINTED_BYTES = 4096
"""The last bytes of it that the guard reports when the target has ended."""

SETTLE_SECONDS = 2.0
"""How long processes may outlive the target before they are ended."""

ANSWER_SECONDS = 30.0
"""How long the harness waits for the guard's answer before it ends the processes without the guard."""

LATE_SECONDS = 5.0
"""How late the guard may be at the time limit before the harness ends the processes itself."""

SLACK_SECONDS = 15.0
"""How long the guard may take for its answer beyond the time that it needs to end the processes."""

POLL_SECONDS = 0.2
"""How often the harness looks whether the guard was stopped."""

LONGEST_ANSWER = 1_000_000
"""Bytes of a line from the guard that are read at once."""


MOST = 2**63
"""Process ids, exit statuses and counts are smaller; a larger one is no answer of the guard."""


_TELL = "console"
"""What the harness sends to learn what was printed until now."""

TELL_SECONDS = 5.0
"""How long the harness waits for that."""

_answering = threading.Lock()  # the guard's threads write whole lines


class NotStartedError(RuntimeError):
    """Raised when the guard could not start a target."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a target ended.

    ``cause`` is ``asked`` if the harness ended it, ``lost`` if the guard was killed, ``stopped`` if it was stopped. ``code`` is
    the target's exit code; negative numbers are POSIX signals; ``None`` if it is not known. ``strays`` counts the processes that
    outlived the target and had to be ended. ``left`` are the ids of processes that could not be ended. ``dropped`` are the bytes
    of console output beyond the limit. ``printed`` is the last output, even if a full disk kept it out of the file; bytes that
    are not UTF-8 are replaced. ``console`` is the content of the console's file as the guard wrote it; ``None`` if the guard did
    not report it.
    """

    cause: Cause
    code: int | None
    strays: int = 0
    left: tuple[int, ...] = ()
    dropped: int = 0
    printed: str = ""
    console: Written | None = None


class Guard:
    """Start a guard process and through it a target, wait for the end, or end both. This is the harness's side.

    ``env`` is the whole environment. Standard output and error are appended to the file ``console``. ``seconds`` is the time
    limit, ``grace`` the seconds between the request to end and the kill. With ``whole`` the run is over when all of its processes
    have ended, not when the first one has: a launcher may end at once.
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
        self._secret = secrets.token_hex(16)
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
            "secret": self._secret,
        }
        self._seconds = seconds
        self._due: float | None = None
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._contents: queue.Queue[Any] = queue.Queue()
        self._ended: Ended | None = None
        root = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
        self._orphans = keeping.Orphans()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.watch.guard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
            **_apart(),
        )
        self.guard_pid = self._process.pid  # where there is no keeper, this is the guard
        self._keeper = self._guard = keeping.process_of(self.guard_pid)
        self._target: psutil.Process | None = None
        self._orphans.own(self._keeper)
        self._reader = threading.Thread(target=self._read, name="guard answers", daemon=True)
        self._reader.start()

    def start(self) -> int:
        """Start the target and return its process id. Raises ``NotStartedError`` when the system refuses to."""
        self._send(json.dumps(self._spec))
        answer = None
        with contextlib.suppress(queue.Empty):
            answer = self._answers.get(timeout=ANSWER_SECONDS)
        if answer is None or "error" in answer or not _is_start(answer):
            what = (
                "no answer from the guard process"
                if answer is None
                else answer.get("error", "an answer of another form")
            )
            raise NotStartedError(
                f"expected to start {self._program!r} in {self._spec['cwd']}, found: {what}: "
                "name a program that exists and may be executed"
            )
        self.guard_pid, self.pid = answer["guard"], answer["pid"]
        self._guard, self._target = keeping.process_of(self.guard_pid), keeping.process_of(self.pid)
        self._due = time.monotonic() + self._seconds + LATE_SECONDS
        return self.pid

    def wait(self, seconds: float) -> Ended | None:
        """Wait up to ``seconds`` for the end of the whole tree; return ``None`` if the target still runs."""
        until = time.monotonic() + seconds
        while self._ended is None:
            left = until - time.monotonic()
            try:
                answer = self._answers.get(timeout=max(min(left, POLL_SECONDS), 0.0))
            except queue.Empty:
                self._watch()
                if self._ended is None and left <= 0:
                    return None
                continue
            if answer is not None and "ending" in answer:
                self._due = time.monotonic() + SETTLE_SECONDS + self._grace + tree.KILL_SECONDS + SLACK_SECONDS
                continue
            self._ended = None if answer is None else _ended(answer)
            if self._ended is None:
                self._take_over("lost")
        return self._ended

    def _watch(self) -> None:
        """End the processes without the guard if it or its keeper was stopped, its keeper was killed, or it is late."""
        self._orphans.remember(self._guard)
        if self._is_stopped():
            self._take_over("stopped")
        elif self._keeper_killed():
            self._take_over("lost")
        elif self._due is not None and time.monotonic() > self._due:
            self._take_over("timed out")

    def end(self) -> Ended:
        """End the whole tree now and return how it ended."""
        if self._ended is None:
            self._send("end")
        return self.wait(self._grace + tree.KILL_SECONDS + ANSWER_SECONDS) or self._take_over("lost")

    def console(self) -> Written | None:
        """Return the content of the console's file as the guard wrote it until now; ``None`` if the guard does not say."""
        if self._ended is not None:
            return self._ended.console
        self._send(_TELL)
        with contextlib.suppress(queue.Empty):
            return written_of(self._contents.get(timeout=TELL_SECONDS))
        return None

    def close(self) -> None:
        """End the guard, and with it everything that still runs."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):  # the guard may have ended already
                self._process.stdin.close()
        until = time.monotonic() + self._grace + tree.KILL_SECONDS + 5.0
        # The guard may live without its keeper: a target killed that.
        while self._process.poll() is None or (self._guard is not None and tree.is_alive(self._guard)):
            if time.monotonic() > until or self._is_stopped():
                self._take_over("lost")
                break
            if self._process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(POLL_SECONDS)
            else:
                time.sleep(POLL_SECONDS / 10)
        self._process.wait()
        self._orphans.reap(self._guard)
        self._orphans.close()
        self._reader.join(5.0)
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()

    def _is_stopped(self) -> bool:
        return keeping.is_stopped(self._guard) or keeping.is_stopped(self._keeper)

    def _take_over(self, cause: Cause) -> Ended:
        """End the processes without the guard, which is gone, stopped or late. Only processes of this run are ended.

        First all but guard and keeper, then the guard, then what the keeper adopted: until then orphans are their descendants,
        where they are found.
        """
        left = tree.end(self._living, self._grace)
        self._orphans.remember(self._guard)
        keeping.kill(self._guard)
        left = tree.end(self._living, 0.0) or left
        if self._keeper != self._guard:
            left = self._until_childless() or left
        self._process.kill()
        self._process.wait()
        self._orphans.reap(self._guard)
        self._ended = self._ended or Ended(cause, None, left=left)
        return self._ended

    def _until_childless(self) -> tuple[int, ...]:
        """End processes until the keeper has ended: it ends when it has no child left, which no list of processes proves."""
        left: tuple[int, ...] = ()
        for _ in range(keeping.LOOKS):
            keeping.resume(self._keeper)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(POLL_SECONDS)
                break
            left = tree.end(self._living, 0.0)
            if left:
                break
        return left

    def _living(self) -> list[psutil.Process]:
        """Return the run's living processes without guard and keeper, from outside the guard."""
        alone = self._keeper_killed() and not (self._guard is not None and tree.is_alive(self._guard))
        leader = keeping.process_of(self.pid) if self.pid else None
        # The number of a target that has ended may be another program's now, which leads a session of its own.
        session = self.pid if self.pid and leader in (None, self._target) else None
        found = tree.living(self._guard, self.mark, session, self._orphans.found(alone=alone))
        return [process for process in found if process not in (self._guard, self._keeper)]

    def _keeper_killed(self) -> bool:
        """Return whether the keeper, or the guard where there is none, was ended by a signal."""
        return (self._process.poll() or 0) < 0

    def _send(self, line: str) -> None:
        stdin = cast("IO[bytes]", self._process.stdin)
        with contextlib.suppress(OSError, ValueError):  # the guard may have ended; then its answer is missing
            stdin.write(line.encode("utf-8", "surrogateescape") + b"\n")
            stdin.flush()

    def _read(self) -> None:
        stdout = cast("IO[bytes]", self._process.stdout)
        with contextlib.suppress(OSError, ValueError):  # the pipe was closed
            while line := stdout.readline(LONGEST_ANSWER):
                with contextlib.suppress(ValueError, RecursionError):  # not JSON: not from the guard
                    answer = json.loads(line)
                    if isinstance(answer, dict) and answer.pop("secret", None) == self._secret:
                        if "console" in answer:  # also in the last answer: a question may have come too late
                            self._contents.put(answer["console"])
                        if answer.keys() != {"console"}:
                            self._answers.put(answer)
        self._contents.put(None)
        self._answers.put(None)


def _is_start(answer: Mapping[str, Any]) -> bool:
    return all(_is_pid(answer.get(name)) for name in ("guard", "pid"))


def _is_pid(value: Any) -> bool:
    return type(value) is int and 0 < value < MOST


def _ended(answer: Mapping[str, Any]) -> Ended | None:
    """Return the end that the guard reports; ``None`` for an answer of another form: the guard counts as lost then."""
    cause, code, left = answer.get("cause"), answer.get("code"), answer.get("left")
    counts = [answer.get(name) for name in ("strays", "dropped")]
    fits = (
        cause in ("ended", "timed out", "asked")
        and (code is None or (type(code) is int and abs(code) < MOST))
        and isinstance(left, list)
        and all(map(_is_pid, left))
        and all(type(count) is int and 0 <= count < MOST for count in counts)
        and isinstance(answer.get("printed"), str)
    )
    console = written_of(answer.get("console"))
    if not fits or console is None:
        return None
    printed = answer["printed"]
    return Ended(cast("Cause", cause), code, counts[0] or 0, tuple(left or ()), counts[1] or 0, printed, console)


def _apart() -> dict[str, Any]:
    """Return the options that start a process beyond the terminal's Ctrl-C, which only the harness handles."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


# The guard's side


def main() -> int:
    """Start the target, end it at its time limit, on request or when the harness is gone, and report how it ended."""
    keeping.keep()
    lines = _Input()
    spec = json.loads(lines.next() or "{}")
    if not spec:
        return 0  # the harness ended before it sent the target
    job = _hold_everything()
    _leave_no_core()
    answer = functools.partial(_answer, spec["secret"])
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
        answer({"error": f"{type(error).__name__}: {error}"})
        return 0
    keeper = psutil.Process()

    def find() -> list[psutil.Process]:
        for _ in range(keeping.LOOKS):
            found = tree.living(keeper, spec["env"][tree.MARK], target.pid)
            if found or keeping.childless(target.pid):
                break
        return found

    try:
        answer({"guard": os.getpid(), "pid": target.pid})
        console.copy(cast("IO[bytes]", target.stdout))
        listen = functools.partial(_listen, lines, lambda: answer({"console": console.now().to_json()}))
        cause = _until_over(target, listen, spec["seconds"], find if spec["whole"] else list)
        answer({"ending": cause})
        strays = _outliving(find) if cause == "ended" else 0
    finally:
        left = tree.end(find, spec["grace"])
    with contextlib.suppress(subprocess.TimeoutExpired):
        target.wait(1.0)  # it has ended; this gets the exit code if the waiting thread has not yet
    dropped, printed, content = console.close()
    answer(
        {
            "cause": cause,
            "code": target.returncode,
            "strays": strays,
            "left": left,
            "dropped": dropped,
            "printed": printed.decode("utf-8", "replace"),
            "console": content.to_json(),
        }
    )
    del job  # on Windows the last handle's closing ends every process that is left
    return 0


def _until_over(
    target: subprocess.Popen[bytes],
    listen: Callable[[], None],
    seconds: float,
    others: Callable[[], list[psutil.Process]],
) -> Cause:
    """Wait until the target and the others have ended, the time limit is reached, or the harness asks for the end."""
    over = threading.Event()
    asked = threading.Event()

    def stop(*_: object) -> None:
        asked.set()
        over.set()

    def obey() -> None:
        listen()
        stop()

    def wait() -> None:
        target.wait()
        while others():
            time.sleep(0.5)
        over.set()

    signal.signal(signal.SIGTERM, stop)
    for work in (obey, wait):
        threading.Thread(target=work, daemon=True).start()
    if not over.wait(seconds):
        return "timed out"
    return "asked" if asked.is_set() else "ended"


def _listen(lines: _Input, tell: Callable[[], None]) -> None:
    """Tell the harness what was printed whenever it asks; return when it asks for the end, or is gone: its pipe ends then."""
    while lines.next() == _TELL:
        tell()


def _outliving(find: Callable[[], list[psutil.Process]]) -> int:
    """Wait up to ``SETTLE_SECONDS`` for processes that outlive the target; return how many did not end."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while find():
        if time.monotonic() >= deadline:
            return len(find())
        time.sleep(0.05)
    return 0


class _Input:
    """Read standard input by lines, without Python's buffer: a thread blocked in the buffer breaks interpreter shutdown."""

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
    """Copy a target's output to a file up to a limit. Reading goes on beyond it; otherwise the target would block.

    The target has the pipe only and not the file. It may still open the file by its name and write in it. So what is written
    here is hashed, and the harness compares the file with it.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._file = os.open(path, flags, 0o644)
        self._room = CONSOLE_BYTES
        self._dropped = 0
        self._last = b""
        self._written = Digest()
        self._closed = False
        self._lock = threading.Lock()

    def copy(self, source: IO[bytes]) -> None:
        """Start a thread that copies."""
        self._source = source
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()

    def close(self) -> tuple[int, bytes, Written]:
        """Return the number of bytes dropped, which the file's last line states too, the last bytes printed, and the content."""
        # A process that could not be ended may hold the pipe open. Its later output is lost.
        self._thread.join(5.0)
        with self._lock:
            if self._dropped:
                self._write(f"\n[{self._dropped} further bytes of output were left out]\n".encode())
            self._closed = True
            return self._dropped, self._last, self._written.now()

    def now(self) -> Written:
        """Return what was written to the file until now."""
        with self._lock:
            return self._written.now()

    def _copy(self) -> None:
        while data := os.read(self._source.fileno(), 65536):
            with self._lock:
                if self._closed:
                    return  # the content was reported
                self._last = (self._last + data)[-PRINTED_BYTES:]
                kept = data[: self._room]
                self._room -= len(kept)
                self._dropped += len(data) - len(kept)
                if kept:
                    self._write(kept)

    def _write(self, data: bytes) -> None:
        try:
            while data:
                count = os.write(self._file, data)
                self._written.add(data[:count])
                data = data[count:]
        except OSError:
            self._dropped += len(data)  # a full disk must not block the target


def _answer(secret: str, data: Mapping[str, Any]) -> None:
    with _answering, contextlib.suppress(OSError):  # the harness may be gone
        # A line of its own, whatever another process wrote into the pipe.
        os.write(1, b"\n" + json.dumps({**data, "secret": secret}).encode() + b"\n")


def _leave_no_core() -> None:
    """Let no crash of the target write an image of its memory, which would go into the record or elsewhere on the disk."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 -- not on Windows

        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _hold_everything() -> object:
    """Let the system keep the process tree together: with a job object on Windows, by adopting orphans on Linux.

    macOS has neither. There, processes are found by the run's mark and session.
    """
    if sys.platform == "win32":
        import win32api  # noqa: PLC0415 -- Windows only
        import win32job  # noqa: PLC0415 -- Windows only

        job = win32job.CreateJobObject(None, "")
        limits = win32job.QueryInformationJobObject(job, win32job.JobObjectExtendedLimitInformation)
        limits["BasicLimitInformation"]["LimitFlags"] |= win32job.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
        win32job.SetInformationJobObject(job, win32job.JobObjectExtendedLimitInformation, limits)
        # The guard itself joins the job. A target added after its start could have started children outside the job.
        win32job.AssignProcessToJobObject(job, win32api.GetCurrentProcess())
        return job
    keeping.adopt_orphans(on=True)
    keeping.hide()
    return None


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # from the target: the harness starts the guard out of reach of the terminal's
        sys.exit(130)
