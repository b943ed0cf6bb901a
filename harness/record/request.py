"""What a run is asked to do: the ``request.json`` of a record.

A request holds everything that decides a run's outcome and nothing of how it is judged. It is written before the run
starts, read by the launcher in the target's interpreter, and read again by the checks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar, cast

FORMAT = "phase3-request/1"

T = TypeVar("T", bound=str)

Retention = Literal["keep", "run_end", "per_tile"]
Role = Literal["subject", "pair", "baseline", "baseline-pair", "control", "control-pair"]
Mode = Literal["classic", "sds", "grid"]
MODES: tuple[Mode, ...] = ("classic", "sds", "grid")
RETENTIONS: tuple[Retention, ...] = ("keep", "run_end", "per_tile")
REPEATABLE = frozenset({"reference"})
"""Kinds of target that give bit-equal outputs in every run. A run of another kind says so with the capability ``seeds``."""


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """One input frame, as far as judging needs it: no pixels.

    Parameters
    ----------
    name
        File name inside the run's input folder; unique in the dataset.
    sha256
        SHA-256 of the file.
    shape
        Rows and columns, in pixels.
    wcs
        The celestial WCS cards of the header (``CTYPE1``, ``CRVAL1``, ``CD1_1``, ...).
    panel
        Index of the pointing that the frame belongs to, where the dataset knows it.

    """

    name: str
    sha256: str
    shape: tuple[int, int]
    wcs: Mapping[str, str | int | float]
    panel: int | None = None


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """Name, origin and frames of a dataset. ``sha256`` is that of the sorted ``name sha256`` lines of its frames."""

    name: str
    kind: Literal["synthetic", "real", "user"]
    sha256: str
    frames: tuple[FrameFacts, ...]


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """Which target a run starts, and what identifies it.

    Parameters
    ----------
    kind
        The name of a kind in the table of ``harness/targets/resolve.py``: ``reference``, ``zemosaic`` or ``command``.
    label
        The short name that people read, such as ``zemosaic b59a65f``.
    root
        The folder that holds the target's code (a checkout or an exported commit); empty for a command.
    python
        The interpreter to start.
    identity
        What tells two versions apart: commit, dirty hash, version, defects.
    command
        The argument list of a ``command`` target.

    """

    kind: str
    label: str
    root: str
    python: str
    identity: Mapping[str, Any] = field(default_factory=_nothing)
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """Makes the tile of one planned group wait at its start until another group's tile was released.

    Groups are named by their index in the plan. The hold ends unmet after ``seconds``, or at once when it can't be met
    (the awaited tile was submitted later and no worker is free to make it).
    """

    group: int
    until_released: int
    seconds: float = 60.0


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

    def to_json(self) -> dict[str, Any]:
        """Return built-in types only."""
        return {"format": FORMAT, **asdict(_plain(self))}

    def write(self, path: Path) -> None:
        """Write the request as UTF-8 JSON."""
        path.write_text(json.dumps(self.to_json(), indent=1, sort_keys=True, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Request:
        """Rebuild a request. Raises ``ValueError``, ``TypeError`` or ``KeyError`` when the data is not one."""
        found = data.get("format")
        if found != FORMAT:
            raise ValueError(
                f"expected a request of format {FORMAT!r}, found {found!r}: judge it with the harness that wrote it"
            )
        dataset, target = data["dataset"], data["target"]
        frames = tuple(
            FrameFacts(
                name=_file_name(f["name"]),
                sha256=str(f["sha256"]),
                shape=(int(f["shape"][0]), int(f["shape"][1])),
                wcs=MappingProxyType(dict(f["wcs"])),
                panel=None if f["panel"] is None else int(f["panel"]),
            )
            for f in dataset["frames"]
        )
        return cls(
            case=str(data["case"]),
            role=cast("Role", str(data["role"])),
            target=TargetFacts(
                kind=str(target["kind"]),
                label=str(target["label"]),
                root=str(target["root"]),
                python=str(target["python"]),
                identity=MappingProxyType(dict(target["identity"])),
                command=tuple(str(word) for word in target["command"]),
            ),
            dataset=DatasetFacts(str(dataset["name"]), dataset["kind"], str(dataset["sha256"]), frames),
            plan=None if data["plan"] is None else tuple(tuple(_file_name(n) for n in group) for group in data["plan"]),
            retention=_one_of("retention", data["retention"], RETENTIONS),
            workers=int(data["workers"]),
            mode=_one_of("mode", data["mode"], MODES),
            profile=_one_of("profile", data["profile"], ("fast", "default")),
            config=MappingProxyType(dict(data["config"])),
            schedule=tuple(
                Hold(int(h["group"]), int(h["until_released"]), float(h["seconds"])) for h in data["schedule"]
            ),
            faults=tuple(MappingProxyType(dict(fault)) for fault in data["faults"]),
            seconds=float(data["seconds"]),
            seed=int(data["seed"]),
        )


def _plain(request: Request) -> Request:
    """Undo the read-only mappings, which ``asdict`` can't copy."""
    return replace(
        request,
        config=dict(request.config),
        faults=tuple(dict(f) for f in request.faults),
        target=replace(request.target, identity=dict(request.target.identity)),
        dataset=replace(request.dataset, frames=tuple(replace(f, wcs=dict(f.wcs)) for f in request.dataset.frames)),
    )


def _file_name(name: Any) -> str:
    """Refuse a name that would leave the input folder."""
    text = str(name)
    if text in {"", ".", ".."} or "/" in text or "\\" in text or "\0" in text:
        raise ValueError(f"expected a plain file name for a frame, found {text!r}: rename the file")
    return text


def _one_of(what: str, value: Any, allowed: tuple[T, ...]) -> T:
    for choice in allowed:
        if value == choice:
            return choice
    raise ValueError(f"expected {what} to be one of {', '.join(allowed)}, found {value!r}")
