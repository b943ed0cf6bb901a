"""Make the attempts of a family in processes of their own, with limits of time and memory: what hangs or grows is a finding."""

import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tests.reliability.families import FAMILIES
from tests.reliability.tally import LET_IN, Attempt, Family, Tally

START_SECONDS = 120.0
"""The most that a process may take to load its libraries, and to make the good files, on a busy machine."""
DATA_LIMIT = 3 * 2**30
"""Bytes of memory that a process is refused beyond, so that a finding does not end the machine."""

_CONTEXT = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")


def in_order(family: Family, numbers: range | list[int], seed: int) -> Tally:
    """Make attempts in this process, one after the other: the short profile, whose attempts are known to end."""
    made = []
    for number in numbers:
        with new_folder() as folder:
            made.append((number, _attempted(family, number, seed, folder)))
    return family.counted(seed, made)


@contextmanager
def new_folder() -> Iterator[Path]:
    """Yield a new folder, and remove it, with folders that may not be read and the like."""
    folder = Path(tempfile.mkdtemp(prefix="phase3 é "))
    try:
        yield folder
    finally:
        for path in (folder, *folder.rglob("*")):
            with suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    path.chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)


def _attempted(family: Family, number: int, seed: int, folder: Path) -> Attempt:
    try:
        return family.attempt(number, seed, folder)
    except BaseException as error:  # an error of the harness, or of the attempt itself, is a finding
        if isinstance(error, KeyboardInterrupt):
            raise
        where = _place(error)
        return Attempt(f"attempt {number}", LET_IN, f"{type(error).__name__} at {where}: {str(error)[:300]}")


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    place = ""
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f"{Path(code.co_filename).name}:{trace.tb_lineno} ({code.co_name})"
        trace = trace.tb_next
    return place


class _Worker:
    """A process that makes the attempts of a block, and what is known about it."""

    def __init__(self, family: Family, numbers: list[int], seed: int) -> None:
        self.family = family
        self.left = list(numbers)
        self.block = (numbers[0], numbers[-1])
        self.seed = seed
        self.made: list[tuple[int, Attempt]] = []
        self.start()

    def start(self) -> None:
        self.connection, theirs = _CONTEXT.Pipe(duplex=False)
        arguments = (theirs, self.family.name, self.left, self.seed)
        self.process = _CONTEXT.Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.until = time.monotonic() + START_SECONDS + self.family.seconds

    def take(self) -> None:
        """Take the answers that came, and say what is wrong about a process that ended or does not answer."""
        try:
            while self.connection.poll():
                number, attempt = self.connection.recv()
                self.made.append((number, attempt))
                self.left.remove(number)
                self.until = time.monotonic() + self.family.seconds + 5.0
        except EOFError:
            self.process.join(5.0)
            if self.left:
                self._broken(f"its process ended with {self.process.exitcode}")
            return
        if self.left and time.monotonic() > self.until:
            self._broken(f"no answer within {self.family.seconds:.0f} s")

    def _broken(self, why: str) -> None:
        number = self.left.pop(0)
        if why.endswith(" 77"):  # it asked for a new process, because its memory had grown; the answer has come
            self.left.insert(0, number)
        else:
            self.made.append((number, Attempt(f"attempt {number}", LET_IN, why)))
        self.end()
        if self.left:
            self.start()

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def in_pool(
    family: Family,
    blocks: list[list[int]],
    seed: int,
    *,
    processes: int,
    until: float,
    on_block: Callable[[tuple[int, int], Tally], None],
) -> None:
    """Make the attempts of each block in a pool of processes, until a time of `time.monotonic`; report each finished block."""
    if sys.platform != "win32":
        _CONTEXT.set_forkserver_preload(
            ["tests.reliability.families", "tests.reliability.fuzz", "harness.checks.judge"]
        )
    waiting = list(reversed(blocks))
    workers: list[_Worker] = []
    try:
        while waiting or workers:
            while waiting and len(workers) < processes and time.monotonic() < until:
                workers.append(_Worker(family, waiting.pop(), seed))
            if not workers:
                return
            wait([worker.connection for worker in workers], timeout=0.5)
            for worker in list(workers):
                worker.take()
                if not worker.left:
                    worker.end()
                    workers.remove(worker)
                    on_block(worker.block, family.counted(seed, worker.made))
            if time.monotonic() > until + 60.0:  # blocks that are begun may end; then they are left for the next time
                return
    finally:
        for worker in workers:
            worker.end()


def _work(connection: Connection, name: str, numbers: list[int], seed: int) -> None:
    family = FAMILIES[name]
    _limit()
    for number in numbers:
        with new_folder() as folder:
            attempt = _attempted(family, number, seed, folder)
        most = _memory()
        if most > family.memory:
            attempt = Attempt(
                attempt.what, attempt.kind or LET_IN, f"{attempt.detail} {most:.0f} MiB of memory".strip()
            )
        connection.send((number, attempt))
        if most > family.memory:
            connection.close()
            sys.exit(77)


def _limit() -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (DATA_LIMIT, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _memory() -> float:
    """Return the most memory that this process had, in MiB; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0.0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)
