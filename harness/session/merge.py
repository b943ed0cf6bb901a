"""Merges sessions that were made apart (shards of a job, several platforms) into one that stands by itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.language.message import say
from harness.record.leftovers import remove_tree
from harness.record.seal import SEAL, SPARE, damage_of, note_spared
from harness.record.values import RecordError, inside, sha256_of
from harness.session.checklist import Line, evaluate
from harness.session.model import JudgedRun, RealSet, Session, SessionError, TestEntry, read_session, write_session
from harness.verdict import Verdict, rank


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the sessions, with the name that each of its runs has in the merged one."""

    folder: Path
    session: Session
    names: dict[str, str]


def merge_sessions(out: Path, folders: Sequence[Path], *, outputs: bool = True) -> Session:
    """Merge sessions into a new folder, their records copied into it, and return the merged session.

    A run that several sessions hold (the same sealed record) counts once. Runs that only have the key in common were made
    apart, on another platform perhaps: both are kept, and what was judged on each. Of a test that several sessions hold
    the worst outcome counts.

    Parameters
    ----------
    out
        A folder that is new or empty.
    folders
        The sessions' folders.
    outputs
        Whether the records are copied with the files that the targets made, which are most of a session and which no check
        reads. The seal of a copy says that they were left out.

    Raises
    ------
    SessionError
        When the folder is in use, a session or a record can't be read, or the sessions are not of one target, one version
        of the harness and one checklist: what differs, and where.

    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SessionError(
            say(
                "expected a new or empty folder for the merged session, found {folder} in use: name another",
                folder=str(out),
            )
        )
    sessions = [(folder, read_session(folder)) for folder in folders]
    for folder, session in sessions[1:]:
        _require_equal(sessions[0], (folder, session))
    parts = _named(sessions)
    try:
        for source, name in _records(parts):
            _copy(source, out / "runs" / name, outputs=outputs)
        out.mkdir(parents=True, exist_ok=True)
        merged = _merged(parts)
        write_session(merged, out)
    except BaseException:
        remove_tree(out)  # half a session would be read as one
        raise
    return merged


def _require_equal(first: tuple[Path, Session], other: tuple[Path, Session]) -> None:
    (folder, one), (other_folder, two) = first, other
    facts = {"folder": str(folder), "other": str(other_folder)}
    if (one.target, one.target_kind) != (two.target, two.target_kind):
        problem = say(
            "expected sessions of one target, found {one} in {folder} and {two} in {other}: merge those of one",
            **facts,
            one=one.target,
            two=two.target,
        )
    elif _identity(one) != _identity(two):
        problem = say(
            "expected sessions of one target, found {one} in {folder} and {two} in {other}, which have the same name and are "
            "not the same: merge those of one",
            **facts,
            one=str(_identity(one)),
            two=str(_identity(two)),
        )
    elif one.environment.get("harness") != two.environment.get("harness"):
        problem = say(
            "expected sessions of one version of the harness, found {one} in {folder} and {two} in {other}: run the older "
            "one again",
            **facts,
            one=str(one.environment.get("harness")),
            two=str(two.environment.get("harness")),
        )
    elif _lines(one) != _lines(two):
        problem = say(
            "expected sessions with the same checklist, found others in {folder} and {other}: run the older one again",
            **facts,
        )
    else:
        return
    raise SessionError(problem)


def _identity(session: Session) -> dict[str, object]:
    """Return what must be the same on every platform: not the versions of libraries."""
    return {name: value for name, value in session.identity.items() if name != "versions"}


def _lines(session: Session) -> tuple[Line, ...]:
    return tuple(Line(r.id, r.section, r.text, r.tests) for r in session.requirements)


def _named(sessions: Iterable[tuple[Path, Session]]) -> tuple[_Part, ...]:
    """Give each run a name in the merged session: its key, or with a number where another run has that."""
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
    """Return what tells a run from every other: its seal holds the hash of every file. One without is like no other."""
    place = _place(folder, record)
    seal = place / SEAL
    return sha256_of(seal) if seal.is_file() else str(place)


def _place(folder: Path, record: str) -> Path:
    """Return the folder of a record; what a session says of it is not trusted."""
    place = inside(folder, record)
    if not place.resolve().is_relative_to(folder.resolve()) or not (place / "request.json").is_file():
        raise SessionError(
            say(
                "expected the record {record} in the session {folder}, found none: merge whole sessions, with their runs",
                record=record,
                folder=str(folder),
            )
        )
    return place


def _records(parts: Iterable[_Part]) -> Iterator[tuple[Path, str]]:
    """Yield each record that is to be copied, and its name."""
    done = set()
    for part in parts:
        for run in part.session.runs:
            name = part.names[run.key]
            if name not in done:
                done.add(name)
                yield _place(part.folder, run.record), name


def _copy(source: Path, target: Path, *, outputs: bool) -> None:
    """Copy the files of a record. Links are left out: they may lead anywhere, and no seal counts them."""
    noted = not outputs and _unchanged(source)
    target.mkdir(parents=True)
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_symlink() or (not outputs and relative.parts[0] in SPARE):
            continue
        place = target / relative
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        elif path.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    if noted:
        note_spared(target)


def _unchanged(record: Path) -> bool:
    """Whether a record is as it was sealed: the note that its outputs were left out must not hide that one was changed."""
    try:
        return (record / SEAL).is_file() and not damage_of(record)
    except RecordError:
        return False


def _merged(parts: Sequence[_Part]) -> Session:
    first = parts[0].session
    runs = {
        part.names[run.key]: replace(run, key=part.names[run.key], record=f"runs/{part.names[run.key]}")
        for part in reversed(parts)
        for run in part.session.runs
    }
    tests = tuple(_worst_tests(parts))
    return replace(
        first,
        created=max(part.session.created for part in parts),
        command="\n".join(dict.fromkeys(part.session.command for part in parts)),
        environment=_told_apart([part.session.environment for part in parts]),
        runs=tuple(runs[key] for key in sorted(runs)),
        judged=tuple(_worst_judged(parts)),
        tests=tests,
        requirements=evaluate(_lines(first), tests, self_test=first.self_test),
        real_sets=tuple(_real_sets(part.session for part in parts)),
        options=_told_apart([part.session.options for part in parts]),
        patch=_worst_rows(part.session for part in parts),
    )


def _told_apart(facts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return what the sessions ran in, or with; where they differ, all of it."""
    names = dict.fromkeys(name for known in facts for name in known)
    return {name: "; ".join(dict.fromkeys(known[name] for known in facts if name in known)) for name in names}


def _worst_rows(sessions: Iterable[Session]) -> tuple[Verdict, ...]:
    found: dict[str, Verdict] = {}
    for session in sessions:
        for row in session.patch:
            known = found.setdefault(row.check, row)
            if rank(row.outcome) < rank(known.outcome):
                found[row.check] = row
    return tuple(found[line] for line in sorted(found))


def _worst_judged(parts: Iterable[_Part]) -> Iterator[JudgedRun]:
    found: dict[tuple[str, str, str], JudgedRun] = {}
    for part in parts:
        for judged in part.session.judged:
            moved = _renamed(judged, part.names)
            known = found.setdefault((moved.case, moved.role, moved.run), moved)
            if rank(moved.outcome) < rank(known.outcome):
                found[moved.case, moved.role, moved.run] = moved
    return iter(found.values())


def _renamed(judged: JudgedRun, names: dict[str, str]) -> JudgedRun:
    return replace(judged, **judged.map(lambda key: names.get(key, key)).parts())


def _worst_tests(parts: Iterable[_Part]) -> Iterator[TestEntry]:
    found: dict[str, TestEntry] = {}
    for part in parts:
        for test in part.session.tests:
            moved = replace(test, run=part.names.get(test.run, test.run)) if test.run else test
            known = found.setdefault(moved.nodeid, moved)
            if rank(moved.outcome) < rank(known.outcome):
                found[moved.nodeid] = moved
    return iter(found.values())


def _real_sets(sessions: Iterable[Session]) -> Iterator[RealSet]:
    found: dict[str, RealSet] = {}
    for session in sessions:
        for known in session.real_sets:
            if known.judged or known.name not in found:
                found[known.name] = known
    return (found[name] for name in sorted(found))
