"""List the direct effects of a run's injected faults, so that checks do not attribute them to the target.

The record has each strike of a fault and its place. The direct effects are the tile that a fault ended, the frame whose cache
it deleted, and the file whose removal it refused. Everything else in such a run is judged as in any other run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.record.history import History, Operation

REFUSE_UNLINK, DELETE_CACHE, FAIL_TILE = "refuse unlink", "delete cache", "fail tile"


def taken_caches(history: History) -> Mapping[str, int]:
    """Return the caches that faults deleted, each with the time of its deletion."""
    return {_name(op.path): op.t for op in removals_by_faults(history)}


def removals_by_faults(history: History) -> tuple[Operation, ...]:
    """Return the deletions by faults as operations, in the form of the target's removals in the trace."""
    return tuple(
        Operation(_time(line), 0, "", "remove", "done", _path(line)) for line in _struck(history, DELETE_CACHE)
    )


def ended_tiles(history: History) -> frozenset[int]:
    """Return the tiles that faults ended."""
    named = (line["fault"].get("tile") for line in _struck(history, FAIL_TILE))
    return frozenset(tile for tile in named if isinstance(tile, int))


def refusals(history: History) -> Mapping[str, int]:
    """Return the files whose removal a fault refused, each with the time of the last refusal."""
    return {_name(_path(line)): _time(line) for line in _struck(history, REFUSE_UNLINK)}


def _struck(history: History, what: str) -> Iterator[Mapping[str, Any]]:
    for line in history.faults:
        fault = line.get("fault")
        if line.get("state") == "struck" and isinstance(fault, Mapping) and fault.get("what") == what:
            yield line


def _path(line: Mapping[str, Any]) -> str:
    """Return the path of the file that a fault struck. The probe writes it as the reason."""
    return str(line.get("reason", ""))


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _time(line: Mapping[str, Any]) -> int:
    return int(line.get("t", 0))
