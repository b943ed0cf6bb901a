"""Read what the probe noted in a user's own run: the facts of a mosaic, its end, and its frames.

The notes lie in a folder that the user's program can write to, so they can hold anything.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness.language.message import say
from harness.record import limits, safe
from harness.record.convert import from_json
from harness.record.values import UNREADABLE, RecordError, read_lines, require_memory, too_large

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the probe noted when a mosaic began (``work/run.json``): folders, worker, and the files that were there before."""

    input: str
    output: str
    worker: str
    python: str
    wall: float
    selected: tuple[str, ...] = ()
    before: tuple[tuple[str, int, int], ...] = ()
    inputs: Any = None


@dataclass(frozen=True, slots=True)
class Finish:
    """What the probe wrote when the entry point returned or raised (``work/end.json``): the time, and the exception."""

    wall: float
    error: str | None = None


def read_facts(path: Path) -> Facts:
    """Read ``run.json``. Raises ``RecordError`` when it can't be read: it lies in a folder of the user's program."""
    return _read(path, Facts)


def read_end(path: Path) -> Finish:
    """Read ``end.json``. Raises ``RecordError`` as `read_facts` does."""
    return _read(path, Finish)


def _read(path: Path, kind: type[T]) -> T:
    try:
        with safe.reading(path.parents[1], f"{path.parent.name}/{path.name}") as stream:  # through no link
            data = stream.read(limits.TEXT_BYTES + 1)
        if len(data) > limits.TEXT_BYTES:
            raise too_large(path, len(data), limits.TEXT_BYTES)
        found = from_json(json.loads(require_memory(data, what=path.name)), kind)
        for name in ("input", "output", "worker", "python"):
            if "\0" in getattr(found, name, ""):
                raise ValueError(f"a null character in {name}")
        if not math.isfinite(getattr(found, "wall", 0.0)):
            raise ValueError("a time that is no number")
    except (OSError, *UNREADABLE) as error:
        raise RecordError(
            say("expected what the probe noted in {path}, found: {error}", path=str(path), error=str(error))
        ) from error
    return found


def read_notes(path: Path) -> list[Mapping[str, Any]]:
    """Read the objects of ``notes.jsonl``; lines that can't be read, such as the last one of a killed process, are left out."""
    return [data for _, data in read_lines(path, [])] if path.exists() else []
