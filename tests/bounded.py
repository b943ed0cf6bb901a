"""Call a function in a child process with a time limit, and measure its memory: what may hang or grow must not end the tests."""

import multiprocessing
import sys
from dataclasses import dataclass

SECONDS = 10.0
"""The most that a reader may take for a hostile file; the slowest takes some seconds on a busy machine."""
MOST_MEMORY = 600
"""MiB, with the interpreter and its libraries."""

_CONTEXT = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
# What the server loads once, so that a child starts in milliseconds.
_LIBRARIES = [
    "pytest",
    "harness.checks.judge",
    "harness.commands.judge",
    "harness.commands.main",
    "harness.field.autopsy",
    "harness.run.measure",
    "harness.run.runner",
    "harness.session.rejudge",
    "fixtures.frame_facts",
    "reports.html.skymap",
    "tests.record.test_bounds",
    "tests.sample_session",
]


@dataclass(frozen=True)
class Answer:
    """What a call returned, or its error: the name of its type and its text. ``memory`` is in MiB, 0 if it was not measured."""

    value: object
    error: str
    text: str
    memory: float


def bounded(function, *given, seconds=SECONDS, most=MOST_MEMORY):
    """Return the answer of ``function(*given)``, which must come within the limits. Both are defined in modules."""
    if sys.platform != "win32":
        _CONTEXT.set_forkserver_preload(_LIBRARIES)
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    child = _CONTEXT.Process(target=_call, args=(theirs, function, given), daemon=True)
    child.start()
    theirs.close()
    try:
        # The first call also starts the server, which loads the libraries.
        assert ours.poll(seconds + 20.0 * _first()), f"no answer within {seconds} s"
        answer = ours.recv()
    finally:
        child.kill()
        child.join()
    assert answer.memory <= most, f"{answer.memory:.0f} MiB"
    return answer


_KNOWN = []


def _first():
    _KNOWN.append(None)
    return len(_KNOWN) == 1


def _call(connection, function, given):
    try:
        answer = Answer(function(*given), "", "", _memory())
    except BaseException as error:  # noqa: BLE001 -- also MemoryError, and the exit of a command
        answer = Answer(None, type(error).__name__, str(error), _memory())
    connection.send(answer)


def _memory():
    if sys.platform == "win32":
        return 0.0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)
