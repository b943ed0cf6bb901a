"""What the faults of a run did, so that no check takes their effects for the target's, or lets them hide what the target did.

A run says of each fault that it struck, and where. What follows from it by itself (the tile that it ended, the frame whose cache
it took, the file that it would not let go) is the fault's. Everything else that happens in such a run is judged as in any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.record.history import History, Operation

REFUSE_UNLINK, DELETE_CACHE, FAIL_TILE = "refuse unlink", "delete cache", "fail tile"


def taken_caches(history: History) -> Mapping[str, int]:
    """Return the caches that faults took away, each with the time when it went."""
    return {_name(op.path): op.t for op in takings(history)}


def takings(history: History) -> tuple[Operation, ...]:
    """Return what faults took away as removals, such as the trace holds of the target's own."""
    return tuple(
        Operation(_time(line), 0, "", "remove", "done", _path(line), None, None, None, None)
        for line in _struck(history, DELETE_CACHE)
    )


def ended_tiles(history: History) -> frozenset[int]:
    """Return the tiles that faults ended."""
    named = (line["fault"].get("tile") for line in _struck(history, FAIL_TILE))
    return frozenset(tile for tile in named if isinstance(tile, int))


def refusals(history: History) -> Mapping[str, int]:
    """Return the files whose removal faults refused, each with the time of the last refusal."""
    return {_name(_path(line)): _time(line) for line in _struck(history, REFUSE_UNLINK)}


def _struck(history: History, what: str) -> Iterator[Mapping[str, Any]]:
    for line in history.faults:
        fault = line.get("fault")
        if line.get("state") == "struck" and isinstance(fault, Mapping) and fault.get("what") == what:
            yield line


def _path(line: Mapping[str, Any]) -> str:
    """Return the file that a fault struck, whose path the probe writes as the reason."""
    return str(line.get("reason", ""))


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _time(line: Mapping[str, Any]) -> int:
    return int(line.get("t", 0))
