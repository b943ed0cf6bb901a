"""Merge sessions of several jobs or platforms into one complete session."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import TypeVar

from harness.language.message import Message, say
from harness.record import limits, safe
from harness.record.entries import DEEPEST, entries
from harness.record.leftovers import remove_tree
from harness.record.seal import OUTPUTS, SEAL, damage_of, note_spared
from harness.record.values import RecordError, inside, sha256_of, size_of
from harness.record.whole import NotWrittenError
from harness.session.checklist import Line
from harness.session.integrity import FILE as MANIFEST
from harness.session.integrity import THRESHOLDS, limits_of, seal_session
from harness.session.model import (
    JudgedRun,
    Read,
    RealSet,
    Session,
    SessionError,
    TestEntry,
    read_hashed,
    require_same_target,
    write_session,
)
from harness.session.rows import with_rows
from harness.session.run_matrix import RUNS
from harness.verdict import Outcome, Verdict, rank

K = TypeVar("K")
E = TypeVar("E", JudgedRun, TestEntry, Verdict)


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the sessions, with the key that each of its runs has in the merged session."""

    folder: Path
    session: Session
    names: dict[str, str]


def merge_sessions(out: Path, folders: Sequence[Path], *, outputs: bool = True, read: Read = read_hashed) -> Session:
    """Merge sessions into a new folder, with copies of their records, and return the merged session.

    A run that several sessions hold (the same sealed record) counts once. Runs with the same key and different records, for
    example of two platforms, are all kept, with their verdicts. Of a test that several sessions hold the worst outcome counts.

    ``out`` is a folder that is new or empty. Without ``outputs``, the targets' output files are not copied: they are the largest
    part of a session, and no check reads them. The seal of a copy without them states that they were left out.
    ``read`` reads each session. The merged session is sealed if all of them are.

    Raises
    ------
    SessionError
        When the folder is in use, a session or a record cannot be read, or the sessions differ in target, in version of the
        harness or in checklist: what differs, and where.

    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SessionError(
            say(
                "expected a new or empty folder for the merged session, found {folder} in use: name another",
                folder=str(out),
            )
        )
    sessions = [(folder, read(folder)[0]) for folder in folders]
    for folder, session in sessions[1:]:
        _require_equal(sessions[0], (folder, session))
    parts = _named(sessions)
    try:
        for source, name in _records(parts):
            _copy(source, out / RUNS / name, outputs=outputs)
        out.mkdir(parents=True, exist_ok=True)
        merged = _with_seals(out, _merged(parts))
        write_session(merged, out)
        if all((folder / MANIFEST).exists() for folder in folders):
            shutil.copyfile(folders[0] / THRESHOLDS, out / THRESHOLDS)
            seal_session(out)
    except BaseException:
        remove_tree(out)  # an incomplete session would be read as a complete one
        raise
    return merged


def _with_seals(out: Path, session: Session) -> Session:
    """Note the seals of the copies: a copy without outputs has a seal of its own."""
    seals = {run.key: out / run.record / SEAL for run in session.runs}
    runs = (replace(run, seal=sha256_of(seals[run.key]) if seals[run.key].is_file() else "") for run in session.runs)
    return replace(session, runs=tuple(runs))


def _require_equal(first: tuple[Path, Session], other: tuple[Path, Session]) -> None:
    (folder, one), (other_folder, two) = first, other
    facts = {"folder": str(folder), "other": str(other_folder)}
    if (one.target, one.target_kind) == (two.target, two.target_kind):
        require_same_target(first, other)
    if (one.target, one.target_kind) != (two.target, two.target_kind):
        problem = say(
            "expected sessions of one target, found {one} in {folder} and {two} in {other}: merge those of one",
            **facts,
            one=one.target,
            two=two.target,
        )
    elif one.environment.get("harness") != two.environment.get("harness"):
        problem = say(
            "expected sessions of one version of the harness, found {one} in {folder} and {two} in {other}: run the older "
            "one again",
            **facts,
            one=str(one.environment.get("harness")),
            two=str(two.environment.get("harness")),
        )
    elif limits_of(folder) != limits_of(other_folder):
        problem = say(
            "expected sessions that were judged with the same limits, found others in {folder} and {other}: run the older one "
            "again",
            **facts,
        )
    elif _unordered(one) != _unordered(two):
        problem = say(
            "expected sessions with the same checklist, found others in {folder} and {other}: run the older one again",
            **facts,
        )
    else:
        return
    raise SessionError(problem)


def _lines(session: Session) -> tuple[Line, ...]:
    return tuple(Line(r.id, r.section, r.text, r.tests) for r in session.requirements)


def _unordered(session: Session) -> list[tuple[str, str, str, frozenset[str]]]:
    """Return the checklist without the order of a line's tests, which no outcome depends on."""
    return [(line.id, line.section, line.text, frozenset(line.tests)) for line in _lines(session)]


def _named(sessions: Iterable[tuple[Path, Session]]) -> tuple[_Part, ...]:
    """Give each run its key in the merged session: its own, with a number where another run has the same."""
    taken: dict[str, str] = {}
    parts = []
    for folder, session in sessions:
        names: dict[str, str] = {}
        for run in session.runs:
            mark = _mark(folder, run.record)
            name, number = run.key, 1
            while taken.setdefault(name, mark) != mark:
                number += 1
                name = f"{run.key}~{number}"
            names[run.key] = name
        parts.append(_Part(folder, session, names))
    return tuple(parts)


def _mark(folder: Path, record: str) -> str:
    """Return a text that only copies of the same run share: the hash of its seal, or its path where it has no seal."""
    place = _place(folder, record)
    seal = place / SEAL
    return sha256_of(seal) if seal.is_file() else str(place)


def _place(folder: Path, record: str) -> Path:
    """Return the folder of a record. Raises ``SessionError`` for a path outside the session: its text is not trusted."""
    place = inside(folder, record)
    if not place.resolve().is_relative_to(folder.resolve()) or not (place / "request.json").is_file():
        raise SessionError(
            say(
                "expected the record {record} in the session {folder}, found no such record: merge whole sessions, with "
                "their runs",
                record=record,
                folder=str(folder),
            )
        )
    return place


def _records(parts: Iterable[_Part]) -> Iterator[tuple[Path, str]]:
    """Yield the folder of each record to copy, and its new name."""
    done = set()
    for part in parts:
        for run in part.session.runs:
            name = part.names[run.key]
            if name not in done:
                done.add(name)
                yield _place(part.folder, run.record), name


def _copy(source: Path, target: Path, *, outputs: bool) -> None:
    """Copy the files of a record. Links are left out: they may lead out of the record, and no seal counts them."""
    noted = not outputs and _unchanged(source)
    names = _files_to_copy(source, outputs=outputs)
    target.mkdir(parents=True)
    for name in names:
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with safe.reading(source, name) as stream:
            _write(place, stream)
    if noted:
        note_spared(target)


def _write(place: Path, stream: BufferedReader) -> None:
    """Write a new file with what a stream has. Raises ``NotWrittenError``, which names the file: an error of a write does not."""
    try:
        copy = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644)
        try:
            while data := stream.read(1 << 20):
                left = memoryview(data)
                while left:
                    left = left[os.write(copy, left) :]
        finally:
            os.close(copy)
    except OSError as error:
        raise NotWrittenError(place, error) from error


def _files_to_copy(source: Path, *, outputs: bool) -> list[str]:
    """Return the names of a record's regular files.

    Raises ``SessionError`` when there are more, larger or deeper ones than the limits allow, or the record is a link. The record
    may come from anywhere.
    """
    found: list[str] = []
    size = 0
    try:
        with safe.opened(source):
            pass
    except OSError as error:
        raise SessionError(
            say(
                "expected a record in {folder}, found one that can't be read ({error}): record the run again",
                folder=str(source),
                error=str(error),
            )
        ) from error
    left_out = "" if outputs else OUTPUTS
    for number, (name, about) in enumerate(entries(source, without=left_out), 1):
        if safe.is_folder(about):
            raise SessionError(
                say(
                    "expected folders at most {most} deep in the record {folder}, found deeper ones: leave out its output files "
                    "(--without-outputs), or run the validation again",
                    folder=str(source),
                    most=DEEPEST,
                )
            )
        if number > limits.ENTRIES:
            raise SessionError(
                say(
                    "expected at most {most} files in the record {folder}, found more: leave out its output files "
                    "(--without-outputs), or run the validation again",
                    folder=str(source),
                    most=f"{limits.ENTRIES:,}",
                )
            )
        if not safe.is_file(about):
            continue
        found.append(name)
        size += about.st_size
        if size > limits.RECORD_BYTES:
            raise SessionError(
                say(
                    "expected at most {most} in the record {folder}, found more: leave out its output files (--without-outputs), "
                    "or run the validation again",
                    folder=str(source),
                    most=size_of(limits.RECORD_BYTES),
                )
            )
    return found


def _unchanged(record: Path) -> bool:
    """Whether a record is unchanged since it was sealed. A copy of a changed one keeps its seal, so that the change shows."""
    try:
        return (record / SEAL).is_file() and not damage_of(record)
    except (
        RecordError,
        OSError,
        ValueError,
    ):  # OSError and ValueError: a name in the seal, or a file, that can't be read
        return False


def _merged(parts: Sequence[_Part]) -> Session:
    first = parts[0].session
    runs = {
        part.names[run.key]: replace(run, key=part.names[run.key], record=f"{RUNS}/{part.names[run.key]}")
        for part in reversed(parts)
        for run in part.session.runs
    }
    tests = tuple(_worst(chain.from_iterable(map(_tests, parts))).values())
    rows = _worst((row.check, row) for part in parts for row in part.session.patch)
    merged = replace(
        first,
        created=max(part.session.created for part in parts),
        command="\n".join(dict.fromkeys(part.session.command for part in parts)),
        environment=_joined([part.session.environment for part in parts]),
        runs=tuple(runs[key] for key in sorted(runs)),
        judged=tuple(_worst(chain.from_iterable(map(_judged, parts))).values()),
        tests=tests,
        interrupted=_interrupted([part.session for part in parts], tests),
        doubts=_doubts([part.session for part in parts]),
        real_sets=tuple(_real_sets(part.session for part in parts)),
        options=_joined([part.session.options for part in parts]),
        patch=tuple(rows[line] for line in sorted(rows)),
    )
    return with_rows(merged) if first.requirements else merged


def _interrupted(sessions: Sequence[Session], tests: Iterable[TestEntry]) -> Message | None:
    """Return why a session was interrupted, unless the others ran the tests that it did not reach."""
    ran = {test.nodeid for test in tests if test.outcome is not Outcome.NOT_EVALUATED}
    for session in sessions:
        unreached = {test.nodeid for test in session.tests if test.outcome is Outcome.NOT_EVALUATED}
        if session.interrupted is not None and not unreached <= ran:
            return session.interrupted
    return None


def _doubts(sessions: Sequence[Session]) -> tuple[Message, ...]:
    """Return the doubts about each session, once each."""
    found: list[Message] = []
    for doubt in (doubt for session in sessions for doubt in session.doubts):
        if doubt not in found:
            found.append(doubt)
    return tuple(found)


def _joined(facts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Merge the environments, or the options, of sessions: different values are joined by semicolons."""
    names = dict.fromkeys(name for known in facts for name in known)
    return {name: "; ".join(dict.fromkeys(known[name] for known in facts if name in known)) for name in names}


def _worst(entries: Iterable[tuple[K, E]]) -> dict[K, E]:
    """Return the entry with the worst outcome for each key, the first of several equals."""
    worst: dict[K, E] = {}
    for key, entry in entries:
        if rank(entry.outcome) < rank(worst.setdefault(key, entry).outcome):
            worst[key] = entry
    return worst


def _judged(part: _Part) -> Iterator[tuple[tuple[str, str, str], JudgedRun]]:
    for judged in part.session.judged:
        moved = judged.with_keys(judged.map(lambda key: part.names.get(key, key)))
        yield (moved.case, moved.role, moved.run), moved


def _tests(part: _Part) -> Iterator[tuple[str, TestEntry]]:
    for test in part.session.tests:
        yield test.nodeid, replace(test, run=part.names.get(test.run, test.run)) if test.run else test


def _real_sets(sessions: Iterable[Session]) -> Iterator[RealSet]:
    found: dict[str, RealSet] = {}
    for known in chain.from_iterable(session.real_sets for session in sessions):
        if known.judged or known.name not in found:
            found[known.name] = known
    return (found[name] for name in sorted(found))
