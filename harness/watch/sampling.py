"""Sample a run at a bounded cost, and write the samples so that the file stays readable if the harness is killed."""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from harness.record import rewritten, safe
from harness.record.written import Digest

SHARE = 0.02
"""The share of one core that a sampler may take."""

SHORTEST = 0.1
"""Seconds between two samples at the start of a run."""

LONGEST = 1.0
"""Seconds between two samples late in a long run, unless sampling would exceed its share."""


class Sampler(Protocol):
    """Sample one property of a run."""

    def sample(self, *, last: bool) -> list[Mapping[str, Any]]:
        """Return the lines to be written: what is new, or with ``last`` everything."""
        ...


class Pace:
    """Choose the wait until the next sample, so that sampling takes at most its share of one core.

    The wait is at least ``SHORTEST`` and grows with 1/2000 of the run's time up to ``LONGEST``. Only the cost makes it longer:
    listing 100,000 files takes 0.4 s, so the next wait is 20 s. Exact bytes come from the trace. ``longest`` limits the wait in
    every case.
    """

    def __init__(self, share: float = SHARE, longest: float = math.inf) -> None:
        self._share = share
        self._cost = 0.0
        self._longest = longest

    def wait(self, cost: float, elapsed: float) -> float:
        """Return seconds to wait, given the CPU seconds of the last sample and the seconds since the start of the run."""
        # A thread's CPU clock may be coarse (16 ms on Windows), hence the mean. A rise counts at once.
        self._cost = max(cost, 0.5 * (self._cost + cost))
        return min(max(min(max(SHORTEST, elapsed / 2000.0), LONGEST), self._cost / self._share), self._longest)


class Lines:
    """Append JSON objects to a new file of a record, one line and one write each. Raises ``OSError`` if its name is taken.

    When it is closed, the lines are noted as they were written: a target may have written in the file, which the seal finds.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = safe.create(path.parent, path.name)
        self._torn = False
        self._digest = Digest()
        self.lost = 0

    def add(self, data: Mapping[str, Any]) -> None:
        """Write one line. A failure, as on a full disk, is counted in ``lost`` and not raised: sampling must not end a run."""
        line = json.dumps(data, separators=(",", ":")).encode() + b"\n"
        if self._torn:
            line = b"\n" + line  # otherwise it would continue the line that was cut off: both unreadable
        try:
            written = os.write(self._file, line)
        except OSError:
            self.lost += 1
            return
        self._digest.add(line[:written])
        self._torn = written < len(line)
        self.lost += self._torn

    def close(self) -> None:
        """Close the file."""
        rewritten.wrote(self._path.parent, self._path.name, self._digest.now())
        with contextlib.suppress(OSError):
            os.close(self._file)


class Watch:
    """Run one sampler in a thread, write its lines to a new file, and report each to ``seen``.

    If a target made something of the file's name before, nothing is written, and ``stop`` says so.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        make: Callable[[], Sampler],
        *,
        share: float = SHARE,
        longest: float = math.inf,
        seen: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self.problem = ""
        self._lines: Lines | None = None
        self._thread: threading.Thread | None = None
        try:
            self._lines = Lines(path)
        except OSError as error:
            self.problem = f"the {name} was not watched ({error})"
            if seen is None:
                return  # the limits of a target hold also where its samples can't be written
        self._sampler = make()
        self._stop = threading.Event()
        self._due = threading.Event()
        self._name = name
        self._pace = Pace(share, longest)
        self._seen = seen
        self._thread = threading.Thread(target=self._watch, args=(self._lines,), name=f"watch {name}", daemon=True)
        self._thread.start()

    def stop(self) -> str:
        """Take the last sample, close the file, and return what went wrong in one sentence, or the empty string."""
        if self._thread is None:
            return self.problem
        self._stop.set()
        self._due.set()
        self._thread.join()
        if self._lines is None:
            return self.problem
        self._lines.close()
        if self._lines.lost:
            self.problem = f"{self._lines.lost} samples of the {self._name} could not be written"
        return self.problem

    def look_now(self) -> None:
        """Take the next sample at once."""
        if self._thread is not None:
            self._due.set()

    def _watch(self, lines: Lines | None) -> None:
        start = time.monotonic()
        try:
            while True:
                self._due.clear()
                last = self._stop.is_set()
                before = time.thread_time()
                for line in self._sampler.sample(last=last):
                    if lines is not None:
                        lines.add(line)
                    if self._seen is not None:
                        self._seen(line)
                if last:
                    return
                self._due.wait(self._pace.wait(time.thread_time() - before, time.monotonic() - start))
        except Exception as error:  # noqa: BLE001 -- a failed sampler must not end the run; the seal states the problem
            self.problem = f"the {self._name} was not watched to the end ({type(error).__name__}: {error})"
