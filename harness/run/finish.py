"""End a run: stop watching it, list what it left, measure its products, seal its record.

Runs of the harness (`harness.run.runner`) and observed runs of others (`harness.field.observe`) end in these steps.
"""

from __future__ import annotations

import contextlib
import math
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, TypeVar

from harness.analysis.made import Origin, saved_mosaics
from harness.record import history, inputs, leftovers, rewritten, safe, tampering
from harness.record.extent import record_beyond
from harness.record.history import read_events, read_exceptions
from harness.record.request import Request
from harness.record.seal import EndState, hashed, seal
from harness.watch.disk import DiskSampler
from harness.watch.process import SHARE as PROCESS_SHARE
from harness.watch.process import ProcessSampler
from harness.watch.resources import LONGEST_DISK_WAIT, LONGEST_WAIT, Overrun
from harness.watch.sampling import Watch

CONSOLE = "console.log"
NOT_COMPARED = "console.log could not be compared with what was printed."
GRACE_SECONDS = 5.0
"""How long a process has for its end after a request; newer ZeMosaic ignores the request."""


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended: state and exit status for the seal, reasons in sentences, and the run's time in seconds.

    ``tampered`` names what the target replaced of its record (`harness.record.tampering`).
    """

    state: EndState
    code: int | None
    seconds: float
    reasons: tuple[str, ...] = ()
    tampered: tuple[str, ...] = ()

    def because(self, *reasons: str) -> Self:
        """Return the end with further reasons; empty ones are left out."""
        return replace(self, reasons=(*self.reasons, *(reason for reason in reasons if reason)))


AnyEnd = TypeVar("AnyEnd", bound=End)


def watch(folder: Path, guard: int, outputs: Path | None = None, overrun: Overrun | None = None) -> Iterator[Watch]:
    """Start to sample a run's disk and its processes, which descend from the guard process.

    ``outputs`` is the output folder where it is not in the record. Each sample is reported to ``overrun``.
    """
    seen = None if overrun is None else overrun.take
    longest = math.inf if overrun is None else LONGEST_WAIT
    spent = None if overrun is None else overrun.spent
    disk = Watch(
        "disk",
        folder / "disk.jsonl",
        lambda: DiskSampler(folder, outputs, spent),
        longest=math.inf if overrun is None else LONGEST_DISK_WAIT,
        seen=seen,  # the limits hold also where the samples can't be written
    )
    if overrun is not None:
        overrun.hurry = disk.look_now
    yield disk
    yield Watch(
        "processes",
        folder / "process.jsonl",
        lambda: ProcessSampler(guard),
        share=PROCESS_SHARE,
        longest=longest,
        seen=seen,
    )


def stop(watches: list[Watch]) -> list[str]:
    """Stop sampling and empty the list; return a reason for each watch that failed."""
    problems = [watch.stop() for watch in watches]
    watches.clear()
    return [f"Watching failed: {problem}." for problem in problems if problem]


def list_left(folder: Path, files: Iterable[leftovers.LeftFile]) -> str:
    """Write the list of the files that a run left; return the reason where it can't be written."""
    try:
        leftovers.write_left(folder, files)
    except OSError as error:
        _discard(folder, "left.jsonl")
        return f"What the target left could not be listed: {error}."
    return ""


def list_inputs(folder: Path, files: Iterable[inputs.InputFile]) -> str:
    """Write what became of the input files; return the reason where it can't be written."""
    try:
        inputs.write_inputs(folder, files)
    except OSError as error:
        _discard(folder, inputs.NAME)
        return f"What became of the input files could not be listed: {error}."
    return ""


def measure_products(folder: Path, request: Request, origin: Origin | None = None) -> str:
    """Measure what a run made; return the reason where that fails, with the traceback in ``console.log``.

    Without ``origin`` everything in ``outputs`` is the run's, because the folder was empty before.
    """
    from harness.run.measure import measure  # noqa: PLC0415 -- loads astropy and photutils, for use after the end only

    try:
        measure(folder, request, origin or Origin(saved=saved_mosaics(read_events(folder))))
    except Exception as error:  # noqa: BLE001 -- products of a broken target may break anything
        with contextlib.suppress(OSError):
            rewritten.append(folder, CONSOLE, "\n[measuring the products failed]\n" + traceback.format_exc())
        discard_products(folder)
        return (
            f"Expected products that can be measured, found {type(error).__name__}: {error}: see the end of {CONSOLE}."
        )
    return ""


def discard_products(folder: Path) -> None:
    """Remove a record's measurements, which are incomplete or belong to another run."""
    for name in ("products.json", "products.npz", "thumbnail.png"):
        _discard(folder, name)


def _discard(folder: Path, name: str) -> None:
    with contextlib.suppress(OSError):  # what can't be removed is sealed as it is
        safe.remove(folder, name)


def with_own_failure(folder: Path, end: AnyEnd) -> AnyEnd:
    """Return the end of a run with the exception of the target that ended it, if the trace has one.

    The entry point of a target may catch the exception and return, so that its process ends with status 0. Such a run crashed.
    """
    if end.state not in ("done", "crashed"):
        return end
    ended = [raised for raised in read_exceptions(folder) if raised.where == "run"]
    if not ended:
        return end
    first = ended[0]
    place = "" if first.file is None else f", at {first.file}:{first.line}"
    reason = f"The target's run ended with {first.type}: {first.message}{place}."
    return replace(end, state="crashed", reasons=(reason, *end.reasons))


def beyond_limits(folder: Path) -> tuple[str, ...]:
    """Return a sentence for each limit of the harness that the files of a run are beyond, looked at before they are read.

    The list is for the seal: nothing is concluded from such a record.
    """
    return tuple(sentence for sentence in (history.beyond(folder), record_beyond(folder)) if sentence)


def seal_end(folder: Path, end: End, beyond: Sequence[str] = ()) -> None:
    """Seal a record with the end of its run, and with the limits of the harness that it is beyond.

    Files that the harness wrote and that have another content now are added to what was tampered with. The digests that are
    compared are those that are sealed, so a file can't be rewritten between the two.
    """
    files = hashed(folder)
    named = frozenset(part.partition(": ")[0] for part in end.tampered)
    tampered = (*end.tampered, *rewritten.found(folder, files.digests, named | files.left_out))
    reasons = (*end.reasons, reason) if (reason := tampering.reason(tampered)) else end.reasons
    seal(folder, end.state, end.code, " ".join(reasons), end.seconds, tampered, beyond=beyond, files=files)
