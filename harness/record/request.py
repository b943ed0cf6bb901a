"""The request of a run: the ``request.json`` of a record.

A request holds everything that decides a run's outcome, and nothing about how the run is judged. It is written before the
run starts. The launcher reads it in the target's interpreter, and the checks read it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from harness.record.convert import from_json, read_only, to_json
from harness.record.whole import json_text, write_whole

FORMAT = "phase3-request/1"

Retention = Literal["keep", "run_end", "per_tile"]
Role = Literal["subject", "pair", "baseline", "baseline-pair", "control", "control-pair"]
Mode = Literal["classic", "sds", "grid"]
MODES: tuple[Mode, ...] = ("classic", "sds", "grid")
RETENTIONS: tuple[Retention, ...] = ("keep", "run_end", "per_tile")
REPEATABLE = frozenset({"reference"})
"""Kinds of target that give bit-equal outputs in every run. A run of another kind says so with the capability ``seeds``.

This is the only list: ``Target.repeats`` reads it. It is here because checks may not import targets. A field of ``TargetFacts``
would change the format of requests, and with it the key of every run.
"""


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """One input frame without its pixels.

    ``name`` is the file name inside the run's input folder, unique in the dataset. ``shape`` is rows and columns, in pixels.
    ``wcs`` has the celestial WCS cards of the header. ``panel`` is the index of the pointing, ``None`` if the dataset does not
    state it. ``hull`` is the convex outline of the pixels with data as points (x, y), zero-based, with integers at pixel centres;
    ``None`` if the whole frame has data or the record does not say, empty if no pixel has data. NaN and 0 are no data.
    """

    name: str
    sha256: str
    shape: tuple[int, int]
    wcs: Mapping[str, str | int | float | bool]
    panel: int | None = None
    hull: tuple[tuple[float, float], ...] | None = None

    def __post_init__(self) -> None:
        read_only(self)


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """Name, origin and frames of a dataset. ``sha256`` is the SHA-256 of the sorted ``name sha256`` lines of its frames."""

    name: str
    kind: Literal["synthetic", "real", "user"]
    sha256: str
    frames: tuple[FrameFacts, ...]


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """The target that a run starts, and its identity.

    ``kind`` is a name in the table of ``harness/targets/resolve.py``; ``label`` the short name that people read, such as
    ``zemosaic b59a65f``; ``root`` the folder of the target's code (a checkout or an exported commit), empty for a command;
    ``python`` the interpreter to start. ``identity`` has the facts that differ between two versions: commit, hash of
    uncommitted changes, version, defects. ``command`` is the argument list of a ``command`` target.
    """

    kind: str
    label: str
    root: str
    python: str
    identity: Mapping[str, Any] = field(default_factory=_nothing)
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        read_only(self)


@dataclass(frozen=True, slots=True)
class Hold:
    """A tile that waits at its start until another tile was released.

    ``group`` and ``until_released`` are indexes of groups in the plan. The hold ends unmet after ``seconds``. It ends unmet at
    once when it cannot be met: the awaited tile was submitted later and no worker is free to make it.
    """

    group: int
    until_released: int
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What a run may use at most: bytes of memory, bytes of its folders on disk, processes at once.

    ``None`` is the harness's own limit, which depends on the machine (`harness.watch.resources`). The time limit is
    ``Request.seconds``.
    """

    memory: int | None = None
    disk: int | None = None
    processes: int | None = None

    def __post_init__(self) -> None:
        for name in ("memory", "disk", "processes"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"expected a positive limit of {name}, found {value}")


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that decides a run's outcome."""

    case: str
    role: Role
    target: TargetFacts
    dataset: DatasetFacts
    plan: tuple[tuple[str, ...], ...] | None
    retention: Retention
    workers: int
    mode: Mode = "classic"
    profile: Literal["fast", "default"] = "fast"
    config: Mapping[str, Any] = field(default_factory=_nothing)
    schedule: tuple[Hold, ...] = ()
    faults: tuple[Mapping[str, Any], ...] = ()
    seconds: float = 300.0
    seed: int = 0
    limits: RunLimits = RunLimits()

    def __post_init__(self) -> None:
        read_only(self)
        object.__setattr__(self, "faults", tuple(MappingProxyType(dict(fault)) for fault in self.faults))

    def to_json(self) -> dict[str, Any]:
        """Return built-in types only. Limits that are not stated are left out: they are not part of a run's key."""
        data = {"format": FORMAT, **to_json(self)}
        if self.limits == RunLimits():
            del data["limits"]
        return data

    def write(self, path: Path) -> None:
        """Write the request as UTF-8 JSON."""
        write_whole(path, self.text())

    def text(self) -> str:
        """Return the content of ``request.json``."""
        return json_text(self.to_json(), sort_keys=True).rstrip("\n")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Request:
        """Rebuild a request. Raises ``ValueError`` when the format is another, or a part is missing or of another type."""
        found = data.get("format")
        if found != FORMAT:
            raise ValueError(
                f"expected a request of format {FORMAT!r}, found {found!r}: judge it with the harness that wrote it"
            )
        request = from_json(data, cls)
        for name in (*(frame.name for frame in request.dataset.frames), *chain.from_iterable(request.plan or ())):
            # A frame whose name is a path would lie outside the input folder.
            if name in {"", ".", ".."} or set(name) & set("/\\\0"):
                raise ValueError(f"expected a plain file name for a frame, found {name!r}: rename the file")
        return request
