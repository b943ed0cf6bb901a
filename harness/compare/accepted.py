"""Store which differences of outputs a person accepted, by whom and why, next to ``session.json``.

An acceptance names the data of each image before and after by their digests. It holds for exactly these data: if the outputs of
either side change, it no longer holds. It changes no verdict.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from harness.compare.model import AcceptedBy, Changes, ImageChange, OutputChange
from harness.language.message import Message, say
from harness.record.convert import ShapeError, from_json, other_names, to_json
from harness.record.values import read_bytes
from harness.record.whole import undone, visible_json, write_whole
from harness.session.integrity import note
from harness.session.model import SessionError

FORMAT = "phase3-accepted/1"
FILE = "accepted.json"
MAX_BYTES = 4_000_000
"""A larger file is refused before it is read: it may come from anywhere."""


@dataclass(frozen=True, slots=True)
class AcceptedRun:
    """The differences of one run that were shown and accepted."""

    case: Annotated[str, Meta(max_length=500)]
    role: Annotated[str, Meta(max_length=100)]
    before: Annotated[str, Meta(max_length=500, description="The key of the run on the first side.")]
    after: Annotated[str, Meta(max_length=500, description="The key of the run in this session.")]
    grade: Annotated[str, Meta(max_length=100)]
    what: Annotated[tuple[Message, ...], Meta(max_length=100)]
    images: Annotated[tuple[ImageChange, ...], Meta(min_length=1, max_length=100)]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One decision of a person: who, when, why, against which baseline, and which differences."""

    accepted: AcceptedBy
    baseline: Annotated[str, Meta(max_length=500, description="The target of the first side.")]
    baseline_sha256: Annotated[
        str, Meta(max_length=64, description="SHA-256 of the first side's session.json; empty without a session.")
    ]
    runs: Annotated[tuple[AcceptedRun, ...], Meta(min_length=1, max_length=2_000)]


@dataclass(frozen=True, slots=True)
class AcceptanceFile:
    """All acceptances of a session, the oldest first."""

    acceptances: Annotated[tuple[Acceptance, ...], Meta(max_length=1_000)] = ()

    def to_json(self) -> Mapping[str, Any]:
        """Return built-in types only."""
        return {"format": FORMAT, **to_json(self)}


def read_accepted(folder: Path) -> AcceptanceFile:
    """Read the acceptances of a session; none if there is no such file.

    Raises
    ------
    SessionError
        When the file is a link, too large, not JSON, of another format, or a part of it is wrong: which part, and why.

    """
    path = folder / FILE
    try:
        known = path.lstat()
    except FileNotFoundError:
        return AcceptanceFile()
    if not stat.S_ISREG(known.st_mode) or known.st_size > MAX_BYTES:
        raise _refused(path, f"a link, a folder, or more than {MAX_BYTES:,} bytes")
    try:
        data = msgspec.json.decode(read_bytes(path, MAX_BYTES))
    except (ValueError, RecursionError) as error:
        raise _refused(path, str(error)) from error
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        raise _refused(path, f"format {str(found)[:100]!r}")
    parts = {name: part for name, part in data.items() if name != "format"}
    try:
        accepted = from_json(parts, AcceptanceFile)
        for difference in other_names(accepted, parts, frozenset({"many"})):
            raise difference
    except ShapeError as error:
        raise _refused(path, str(error)) from error
    return accepted


def _refused(path: Path, problem: str) -> SessionError:
    return SessionError(
        say(
            "expected acceptances of format {format} in {path}, found {problem}: the file was changed since it was written; "
            "remove it and accept the differences again",
            format=repr(FORMAT),
            path=str(path),
            problem=problem,
        )
    )


def acceptable(changes: Changes) -> tuple[OutputChange, ...]:
    """Return the outputs whose difference a person can accept. Without a mosaic in B there are no data to identify."""
    return tuple(
        output
        for output in changes.outputs
        if output.differs and output.accepted is None and any(i.after is not None for i in output.images)
    )


def accept(folder: Path, changes: Changes, outputs: Iterable[OutputChange], by: str, reason: str) -> Path:
    """Add an acceptance of these differences to a session's file, in one step, and return the file's path.

    Raises ``SessionError`` when the name or the reason is empty or too long, or the file that exists can't be read.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    runs = tuple(AcceptedRun(o.case, o.role, o.before, o.after, o.grade, o.what, o.images) for o in outputs)
    made = Acceptance(AcceptedBy(by.strip(), now, reason.strip()), changes.before.target, changes.before.sha256, runs)
    try:
        from_json(to_json(made), Acceptance)
    except ShapeError as error:
        raise SessionError(
            say(
                "expected a name of at most 200 characters and a reason of at most 4000 characters, found at {place}: "
                "{problem}; give --by and --reason",
                place=error.place,
                problem=error.problem,
            )
        ) from error
    known = read_accepted(folder)
    path = folder / FILE
    with undone([path]):  # without its entry in the manifest, it would look like a change of the session
        write_whole(path, visible_json(AcceptanceFile((*known.acceptances, made)).to_json()))
        note(folder, (FILE,))
    return path


def with_acceptance(output: OutputChange, accepted: AcceptanceFile) -> OutputChange:
    """Add to outputs that differ who accepted the difference, or why an acceptance of this run does not hold."""
    if not output.differs:
        return output
    of_run = [
        (acceptance.accepted, run)
        for acceptance in reversed(accepted.acceptances)
        for run in acceptance.runs
        if (run.case, run.role) == (output.case, output.role)
    ]
    for by, run in of_run:
        if _data(run.images) == _data(output.images) and set(map(_said, output.what)) <= set(map(_said, run.what)):
            return replace(output, accepted=by, void=None)
    own = [known for known in of_run if known[1].after == output.after] or of_run
    return replace(output, void=_why_not(own[0][0], own[0][1].images, output.images) if own else None)


def _data(images: Iterable[ImageChange]) -> frozenset[tuple[str, str | None, str | None]]:
    return frozenset((image.image, image.before, image.after) for image in images)


def _moment(iso: str) -> str:
    """Write a time to the minute, in UTC; a text that is no time stays as it is."""
    try:
        return f"{datetime.fromisoformat(iso).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return iso


def _said(message: Message) -> str:
    """Return a sentence as text: a file has its numbers as JSON has them."""
    return json.dumps(to_json(message), sort_keys=True)


def _why_not(accepted: AcceptedBy, then: Iterable[ImageChange], now: Iterable[ImageChange]) -> Message:
    """Name the images whose data are not those that were accepted."""
    known = {image.image: image for image in then}
    current = {image.image: image for image in now}
    names = sorted({*known, *current})

    def other(side: str) -> str:
        return ", ".join(
            name for name in names if getattr(known.get(name), side, None) != getattr(current.get(name), side, None)
        )

    facts = {"by": accepted.by, "when": _moment(accepted.when)}
    if changed := other("after"):
        return say(
            "{by} accepted other outputs on {when}: {images} changed since. This difference is not accepted.",
            **facts,
            images=changed,
        )
    if not other("before"):
        return say(
            "{by} accepted these data on {when}, and other differences than these. This difference is not accepted.",
            **facts,
        )
    return say(
        "{by} accepted these outputs on {when} against another baseline, with other data in {images}. This difference is not "
        "accepted.",
        **facts,
        images=other("before"),
    )
