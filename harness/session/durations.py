"""Store the durations of runs, from which the next session estimates its own."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.record.request import Request
from harness.record.values import UNREADABLE, read_any_json
from harness.record.whole import json_text, write_whole

FORMAT = "phase3-durations/1"
KEPT = 5
"""Past durations kept for each kind of run; their median is the estimate."""


class Durations:
    """A store of past durations in a JSON file, shared between sessions and workers.

    An unreadable file counts as empty; the next runs fill it again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, request: Request, seconds: float) -> None:
        """Store the duration of a run. Raises ``OSError`` when the file can't be written."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._path}.lock"):
            known = dict(self._read())
            name = _name(request.target.label, request.case, request.dataset.name, request.profile)
            known[name] = [*known.get(name, ()), round(seconds, 2)][-KEPT:]
            write_whole(self._path, json_text({"format": FORMAT, "seconds": known}))

    def expected(self, target: str, case: str, dataset: str, profile: str) -> tuple[float | None, bool]:
        """Return the expected seconds of a run, and whether they come from this very target.

        For a new target they come from other targets of its kind (the first word of the label); ``None`` without any.
        """
        known = self._read()
        own = known.get(_name(target, case, dataset, profile))
        if own:
            return statistics.median(own), True
        kind, what = target.partition(" ")[0], _name("", case, dataset, profile)
        others = [
            second
            for name, seconds in known.items()
            if name.endswith(what) and name.removesuffix(what).partition(" ")[0] == kind
            for second in seconds
        ]
        return (statistics.median(others) if others else None), False

    def _read(self) -> Mapping[str, list[float]]:
        try:
            data: Any = read_any_json(self._path)
            if data["format"] != FORMAT:
                return {}
            known = {str(name): [float(second) for second in seconds] for name, seconds in data["seconds"].items()}
            return known if all(0 <= s < math.inf for seconds in known.values() for s in seconds) else {}
        except (OSError, AttributeError, *UNREADABLE):
            return {}


def _name(target: str, case: str, dataset: str, profile: str) -> str:
    return f"{target} | {case} | {dataset} | {profile}"
