"""Make, read and compare case files: one dataset, plan and configuration, to be run again on any machine.

A case file is made from a record. It holds no pixels, no paths of a machine and no secrets. It may come from a stranger, so
reading checks every part and refuses settings that name places or programs.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Any

from harness.analysis.phase3 import origins
from harness.language.message import SaidError, say
from harness.record import convert
from harness.record.reader import Record
from harness.record.request import FORMAT as REQUEST_FORMAT
from harness.record.request import DatasetFacts, Request, Retention, TargetFacts
from harness.record.values import read_any_json, read_text, sha256_of
from harness.record.whole import write_whole
from harness.run.inputs import InputError
from harness.run.stack_plan import NAME as STACK_PLAN
from harness.run.stack_plan import stack_plan
from harness.targets.resolve import TARGETS, kind_of
from harness.verdict import Outcome, Verdict

FORMAT = "phase3-case/1"
LARGEST = 64 * 2**20
"""The maximum size of a case file in bytes; ten thousand frames take a tenth of it."""

_LONGEST = 7 * 86400.0
"""The longest time limit of a case, in seconds."""

Plan = tuple[tuple[str, ...], ...]

_AS_ASKED = ("mode", "profile", "retention", "workers", "seed", "seconds", "config")
"""The parts of a request that a case file holds by the same names, after the target."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SECRET = re.compile(r"(?i)api_?key|token|passw|secret")
# Settings that name a place or a program belong to one machine, whatever their value.
_PLACE = re.compile(r"(?i)(_|^)(path|dir|directory|folder|file|exe|executable|cmd|command)$")


class CaseError(SaidError):
    """Raised when a record can't become a case file, or a case file can't be read or run here."""


@dataclass(frozen=True, slots=True)
class CaseFile:
    """Everything that decides a run's outcome, and the outputs of one run.

    ``request`` lacks the machine's parts: no root, no interpreter, no command. ``plan`` holds the groups in the order of their
    submission to Phase 3, without retries; ``None`` where the trace lacks them. ``settings`` are the target's effective settings;
    empty where they were not recorded. ``left_out`` names the settings that name places, programs or secrets.

    ``outputs`` is the SHA-256 of the data of each image of the mosaic and its coverage, by ``file[HDU]``; empty where they are
    unknown. ``made_from`` is that of the seal of the record from which the case was made. ``table`` is the text of
    ``stack_plan.csv`` with frame names only, in grid mode.
    """

    request: Request
    plan: Plan | None
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    outputs: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    table: str | None = None
    made_from: str = ""
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        convert.read_only(self)

    @property
    def followed(self) -> bool | None:
        """Whether the target submitted the requested groups; ``None`` without a requested plan or a traced one."""
        if self.request.plan is None or self.plan is None:
            return None
        return sorted(self.request.plan) == sorted(self.plan)

    def to_json(self) -> dict[str, Any]:
        """Return built-in types only, the short parts first."""
        data = self.request.to_json()
        target = data["target"]
        return {
            "format": FORMAT,
            "case": data["case"],
            "target": {name: target[name] for name in ("kind", "label", "identity")},
            **{name: data[name] for name in _AS_ASKED},
            "settings": dict(self.settings),
            "left_out": list(self.left_out),
            "plan": {"submitted": self.plan, "asked": self.request.plan, "followed": self.followed},
            "schedule": data["schedule"],
            "faults": data["faults"],
            "stack_plan": None if self.table is None else self.table.removesuffix("\n").split("\n"),
            "outputs": dict(self.outputs),
            "made_from": self.made_from,
            "dataset": data["dataset"],
        }

    def write(self, path: Path) -> None:
        """Write the case as UTF-8 JSON. Raises ``FileExistsError`` instead of replacing a file, else ``NotWrittenError``."""
        write_whole(path, _readable(self.to_json()) + "\n", new=True)

    def asks(self, target: TargetFacts, retention: Retention, seconds: float | None = None) -> Request:
        """Return the request of a run of this case.

        A requested plan is requested again. Without one, the submitted groups become the plan: the case is about these
        groups, even if another version would form others.
        """
        groups = self.request.plan
        if groups is None and self.request.mode == "classic":
            groups = self.plan
        return replace(
            self.request,
            target=target,
            retention=retention,
            # Of two retentions, the run with run_end is the one to compare with.
            role="pair" if retention == "run_end" != self.request.retention else "subject",
            plan=groups,
            seconds=self.request.seconds if seconds is None else seconds,
        )

    def differs(self, target: TargetFacts) -> tuple[str, ...]:
        """Name the differences between a target and the case's: ``kind``, parts of the identity, or ``versions`` of libraries."""
        if self.request.target.kind != target.kind:
            return ("kind",)
        known, found = (_plain(t.identity, _last_name) for t in (self.request.target, target))
        return tuple(sorted(_visible(name) for name in {*known, *found} if known.get(name) != found.get(name)))

    @property
    def deterministic(self) -> bool:
        """Whether equal inputs give bit-equal outputs, as measured for the reference and for ZeMosaic's fast profile."""
        return kind_of(self.request.target.kind).repeats(self.request.profile, self.request.mode)


def make(record: Record) -> CaseFile:
    """Make a case from a record.

    Raises
    ------
    CaseError
        When the record is not sealed, or was changed since, or holds something that no other machine can use.

    """
    if record.seal is None or record.damage or record.beyond:
        raise CaseError(
            say(
                "Expected a sealed, unchanged record in {folder}, found {what}: record the run again.",
                folder=str(record.folder),
                what="; ".join((*record.damage[:3], *record.beyond[:1])) or "no seal",
            )
        )
    request = record.request
    config, left_out = _settings(request.config)
    settings, _ = _settings(record.history.settings)
    identity = MappingProxyType(_plain(request.target.identity, _last_name))
    target = TargetFacts(request.target.kind, request.target.label, "", "", identity)
    case = CaseFile(
        request=replace(request, target=target, role="subject", config=MappingProxyType(config)),
        plan=submitted(record),
        settings=settings,
        outputs=digests_of(record),
        table=_table_of(record),
        made_from=sha256_of(record.folder / "seal.json"),
        left_out=tuple(sorted(left_out)),
    )
    for problem in _problems(case):
        raise CaseError(
            say(
                "Expected a record that can be run again, found {problem} in {folder}: record a run of other frames.",
                problem=problem,
                folder=str(record.folder),
            )
        )
    return case


def submitted(record: Record) -> Plan | None:
    """Return the frames of each group in the order of first submission to Phase 3; ``None`` where it was not traced."""
    history = record.history
    retries = origins(history)
    tiles = [(t.submitted, t) for t in history.tiles if t.submitted is not None and t.tile not in retries]
    if not tiles or "tiles" not in history.capabilities or "futures" not in history.capabilities:
        return None
    return tuple(tile.frames for _, tile in sorted(tiles, key=lambda entry: (entry[0], entry[1].tile)))


def _table_of(record: Record) -> str | None:
    """Return the table of a grid run without fields that name places; every field of the table is in quotes."""
    path = record.folder / STACK_PLAN
    if record.request.mode != "grid" or not path.is_file():
        return None
    text = read_text(path)
    return re.sub(r'"((?:[^"]|"")*)"', lambda field: '""' if _is_place(field[1]) else field[0], text)


def digests_of(record: Record) -> dict[str, str]:
    """Return the measured SHA-256 of the data of each image of the mosaic and its coverage, by ``file[HDU]``."""
    planes = record.products.planes if record.products is not None else ()
    return {f"{plane.file.rpartition('/')[2]}[{plane.name}]": plane.sha256 for plane in planes}


def _readable(value: Any, indent: str = "") -> str:
    """Format JSON for people: a container of plain values takes one line."""
    if isinstance(value, Mapping):
        entries = [(f"{json.dumps(name, ensure_ascii=False)}: ", entry) for name, entry in value.items()]
    else:
        entries = [("", entry) for entry in value] if isinstance(value, list | tuple) else []
    if not any(isinstance(entry, Mapping | list | tuple) for _, entry in entries):
        return json.dumps(value, ensure_ascii=False)
    inner = indent + " "
    lines = ",\n".join(f"{inner}{name}{_readable(entry, inner)}" for name, entry in entries)
    opening, closing = "{}" if isinstance(value, Mapping) else "[]"
    return f"{opening}\n{lines}\n{indent}{closing}"


# Reading


def read(path: Path) -> CaseFile:
    """Read a case file from an untrusted source.

    Raises
    ------
    CaseError
        When the file is not a case file, or asks for something that is refused.

    """
    try:
        return from_json(read_any_json(path, LARGEST, links=True))
    except CaseError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise CaseError(
            say(
                "Expected a case file of format {format} in {path}, found one that can't be read ({error}): "
                "make it with phase3 case make.",
                format=FORMAT,
                path=str(path),
                error=_visible(str(error) or type(error).__name__),
            )
        ) from error


@dataclass(frozen=True, slots=True)
class _Plans:
    submitted: Plan | None


@dataclass(frozen=True, slots=True)
class _File:
    """The parts of a case file that are not those of a request."""

    plan: _Plans
    settings: Mapping[str, Any]
    outputs: Mapping[str, str]
    made_from: str
    left_out: tuple[str, ...]
    stack_plan: tuple[str, ...] | None = None


def from_json(data: Mapping[str, Any]) -> CaseFile:
    """Rebuild a case. Raises ``CaseError``, ``ValueError``, ``TypeError`` or ``KeyError`` on data of another form."""
    if data["format"] != FORMAT:
        raise ValueError(f"format {data['format']!r}")
    target = {name: data["target"][name] for name in ("kind", "label", "identity")}
    request = Request.from_json(
        {
            **{name: data[name] for name in ("case", "schedule", "faults", "dataset", *_AS_ASKED)},
            "format": REQUEST_FORMAT,
            "role": "subject",
            "plan": data["plan"]["asked"],
            "target": {**target, "root": "", "python": "", "command": []},
        }
    )
    file = convert.from_json(data, _File)
    table = None if file.stack_plan is None else "".join(f"{line}\n" for line in file.stack_plan)
    case = CaseFile(request, file.plan.submitted, file.settings, file.outputs, table, file.made_from, file.left_out)
    for problem in _problems(case):
        raise CaseError(
            say("Expected a case that only names frames and settings, found {problem}: don't run it.", problem=problem)
        )
    return case


def _problems(case: CaseFile) -> Iterator[str]:
    """Yield everything in a case that ``make`` would not have written."""
    request = case.request
    yield from _problems_of_frames(case)
    groups = len(request.plan or ())
    defects = request.target.identity.get("defects", [])
    impossible = {
        "a target of no known kind": request.target.kind not in TARGETS,
        "no possible number of workers": not 1 <= request.workers <= 1024,
        "no possible time limit": not all(
            0 < s <= _LONGEST for s in (request.seconds, *(h.seconds for h in request.schedule))
        ),
        "no possible seed": not 0 <= request.seed < 2**63,
        "no stack_plan.csv of a grid run, or one of another mode": (case.table is None) is (request.mode == "grid"),
        "defects that are no names": not (
            isinstance(defects, list | tuple) and all(isinstance(d, str) and d.isprintable() for d in defects)
        ),
        "a schedule of groups that the plan has not": not all(
            0 <= group < groups for hold in request.schedule for group in (hold.group, hold.until_released)
        ),
        "a fault that names a place": any(_is_place(text) for fault in request.faults for text in _texts(dict(fault))),
    }
    yield from (problem for problem, found in impossible.items() if found)
    for values in (request.config, case.settings):
        for name in sorted(_settings(values)[1]):
            yield f"the setting {_visible(name)}, a place, a program or a secret"
    for text in (request.case, request.target.label, request.dataset.name, *case.outputs):
        if not text.isprintable():
            yield f"the name {_visible(text)}"


def _problems_of_frames(case: CaseFile) -> Iterator[str]:
    facts = case.request.dataset
    known = {frame.name for frame in facts.frames}
    if not known or len(known) != len(facts.frames):
        yield "no frames, or two of one name"
    for frame in facts.frames:
        if not _SHA256.fullmatch(frame.sha256):
            yield f"no SHA-256 for {_visible(frame.name)}"
        # On Windows, a name with a colon leads out of the folder, or into a stream of another file.
        if not frame.name.isprintable() or (":" in frame.name and os.name == "nt"):
            yield f"the frame name {_visible(frame.name)}"
    if facts.sha256 != dataset_digest(facts):
        yield "a dataset whose SHA-256 is not that of its frames"
    if case.table is not None:
        try:
            stack_plan(Path(), facts, case.table)
        except InputError as error:
            yield _visible(str(error))
    for name in {name for groups in (case.request.plan, case.plan) for group in groups or () for name in group} - known:
        yield f"the frame {_visible(name)} in the plan and not in the dataset"


def dataset_digest(facts: DatasetFacts) -> str:
    """Return the SHA-256 that identifies a dataset: that of the sorted ``name sha256`` lines of its frames."""
    lines = "".join(f"{f.name} {f.sha256}\n" for f in sorted(facts.frames, key=lambda f: f.name))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


# Frames


@dataclass(frozen=True, slots=True)
class Verification:
    """How a folder differs from a case's frames. Extra frames do no harm: a run copies those of the case only."""

    missing: tuple[str, ...]
    changed: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every frame is there, byte by byte."""
        return not self.missing and not self.changed


def verify(case: CaseFile, folder: Path) -> Verification:
    """Compare a folder's frames with those of a case, by SHA-256.

    Raises
    ------
    CaseError
        When there is no such folder.

    """
    from fixtures.user_frames import places_of  # noqa: PLC0415 -- frames are looked for by this command only

    if not folder.is_dir():
        raise CaseError(
            say(
                "Expected a folder of frames, found no folder {folder}: name the folder that contains the frames.",
                folder=str(folder),
            )
        )
    places = dict(places_of(folder))
    missing, changed = [], []
    for frame in case.request.dataset.frames:
        path = places.get(frame.name, folder / frame.name)
        if not path.is_file():
            missing.append(frame.name)
        elif sha256_of(path, links=True) != frame.sha256:
            changed.append(frame.name)
    known = {frame.name for frame in case.request.dataset.frames}
    extra = sorted(set(places) - known)
    return Verification(tuple(missing), tuple(changed), tuple(extra))


# Outputs


def compare(case: CaseFile, record: Record) -> Verdict:
    """Compare the outputs of a run of a case with the case's outputs, bit by bit.

    A difference fails only where equal inputs must give equal outputs: with the case's own target and libraries, in a profile
    that was measured to be deterministic.
    """
    verdict = partial(Verdict, "outputs")
    if other := case.differs(record.request.target):
        sentence = say(
            "Outputs are not compared, because the target differs from the case's ({label}) in: {what}.",
            label=case.request.target.label,
            what=", ".join(other),
        )
        return verdict(Outcome.NOT_APPLICABLE, sentence)
    if not case.outputs:
        return verdict(Outcome.NOT_APPLICABLE, say("The case has no digests of outputs to compare with."))
    found = digests_of(record)
    if not found:
        return verdict(Outcome.UNKNOWN, say("The run left no outputs to compare with the case's."))
    names = sorted({*case.outputs, *found})
    unequal = [name for name in names if case.outputs.get(name) != found.get(name)]
    evidence = {"unequal": unequal, "compared": len(names)}
    if not unequal:
        sentence = say("Every output is bit-equal to the case's. Outputs: {count}.", count=len(names))
        return verdict(Outcome.PASS, sentence, evidence)
    which = ", ".join(unequal)
    if not case.deterministic:
        may = say(
            "Outputs differ from the case's, as they may for this target with this profile: {names}.", names=which
        )
        return verdict(Outcome.NOT_APPLICABLE, may, evidence)
    must_not = say("Outputs differ from the case's, though equal inputs must give equal bits: {names}.", names=which)
    return verdict(Outcome.FAIL, must_not, evidence)


def other_settings(case: CaseFile, record: Record) -> tuple[str, ...]:
    """Name the effective settings in which a run of the case differs from the case."""
    effective, _ = _settings(record.history.settings)
    if not case.settings or not effective:
        return ()
    known = _plain(case.settings)
    return tuple(sorted(_visible(name) for name in {*known, *effective} if known.get(name) != effective.get(name)))


# What a case may hold


def _settings(values: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Return the settings that mean the same on every machine, and the names of the others."""
    kept, left_out = {}, set()
    for name, value in values.items():
        plain = _plain(value)
        machine = _PLACE.search(name) is not None and isinstance(plain, str)
        if machine or _SECRET.search(name) or any(_is_place(text) for text in _texts({name: plain})):
            left_out.add(name)
        else:
            kept[str(name)] = plain
    # Empty places are no loss, and every version has several.
    return kept, {name for name in left_out if values[name] not in ("", None)}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from map(str, value)
        value = list(value.values())
    if isinstance(value, list | tuple):
        for entry in value:
            yield from _texts(entry)


def _is_place(text: str) -> bool:
    """Return whether a text may lead out of a folder: absolute, with a drive, from a home, upwards, or to another machine."""
    return (
        text.startswith(("/", "\\", "~"))
        or bool(re.match(r"[A-Za-z]:[\\/]", text))
        or "\0" in text
        or "://" in text
        or ".." in (*PurePosixPath(text).parts, *PureWindowsPath(text).parts)
    )


def _plain(value: Any, leaf: Callable[[Any], Any] = lambda value: value) -> Any:
    """Return a value in JSON's types, with each part that is no container replaced by what ``leaf`` returns for it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(entry, leaf) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry, leaf) for entry in value]
    return leaf(value)


def _last_name(value: Any) -> Any:
    """Reduce a path, such as that of a command's program, to its last name."""
    return re.split(r"[\\/]", value)[-1] if isinstance(value, str) and _is_place(value) else value


def _visible(text: str) -> str:
    """Return a stranger's text without characters that a terminal would obey."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)[:200]


def listed(names: Iterable[str], most: int = 10) -> str:
    """Return the first names and the number of the others."""
    found = list(names)
    more = f" (+{len(found) - most})" if len(found) > most else ""
    return ", ".join(found[:most]) + more
