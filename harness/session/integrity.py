"""Find every change of a session since the harness wrote it.

``integrity.json`` has the SHA-256 of each file that a decision rests on. It is written last and in one step when a session ends.
Records are covered by their seals: the file has the digest of each ``seal.json``, which has those of the record's files.

These digests show accidents and careless edits. Whoever can write in the folder can also write them again: only a signature
(`harness.signoff`) shows that nobody did.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from harness.checks.thresholds import DEFAULT as LIMITS
from harness.language.message import Message, say
from harness.record import limits, safe
from harness.record.digested import read_digested, write_digested
from harness.record.extent import Allowance, walk
from harness.record.seal import SEAL, WORK, Difference, differences, read_seal
from harness.record.values import UNREADABLE, RecordError, inside, read_bytes, read_json, sha256_of
from harness.record.whole import write_whole
from harness.session.model import Session, SessionError, read_hashed, require_one_kind
from harness.session.run_matrix import RUNS

FORMAT = "phase3-integrity/1"
FILE = "integrity.json"
SESSION = "session.json"
VIEWS = ("report.html", "report.fr.html", "summary.md", "summary.fr.md", "junit.xml")
"""The files that ``phase3 report`` makes from the others."""
THRESHOLDS = "thresholds.toml"
"""The copy of the limits with which a session was judged."""
ADDED_LATER = ("accepted.json", "signoff.json")
"""What a person adds to a session that has ended. A signature proves itself, and may be made without the harness."""
OTHERS = ("started.json", "subset.json", "signoff.json.sig", THRESHOLDS)
_BELOW = ("shares*/*.json", "shares*/*.collected", "shares*/*.end", "release/*/release.json")
MAX_FILE = 16_000_000
"""Bytes of the manifest that are read."""
MOST = 20
"""Changes that a message names; it counts the others."""


class IntegrityError(SessionError):
    """Raised when a session is not as the harness left it. The messages name what changed, and say how to go on."""


@dataclass(frozen=True, slots=True)
class Integrity:
    """Whether a session has a manifest, and what differs from it: a file and how, for each change."""

    sealed: bool
    changes: tuple[tuple[str, Message], ...] = ()

    @property
    def intact(self) -> bool:
        """Whether the session is as the harness left it."""
        return self.sealed and not self.changes


def not_sealed() -> Message:
    """Say that a session has no manifest."""
    return say(
        "The session is not sealed: it has no {file}. An earlier version wrote it, or its end was cut off. It is not known "
        "whether it is as its runs left it. Run the validation again.",
        file=FILE,
    )


def seal_session(folder: Path) -> Path:
    """Write the manifest of a session that has ended, with a copy of the limits that judged it; return its path.

    Raises ``OSError`` when it can't be written. The session is then not sealed.
    """
    path = folder / FILE
    path.unlink(missing_ok=True)  # of an earlier end: until the new one is written, the session is not sealed
    if not (folder / THRESHOLDS).exists():
        write_whole(folder / THRESHOLDS, LIMITS.read_bytes())
    _write(path, {name: sha256_of(inside(folder, name)) for name in _covered(folder)})
    return path


def note(folder: Path, names: Iterable[str]) -> None:
    """Note that the harness wrote or removed these files of a session that has ended. A session without a manifest stays so."""
    path = folder / FILE
    if not path.exists():
        return
    files = dict(_read(path))
    for name in names:
        files.pop(name, None)
        if (place := inside(folder, name)).is_file():
            files[name] = sha256_of(place)
    _write(path, files)


def check(folder: Path, *, views: bool = True) -> Integrity:
    """Compare a session with its manifest. Without ``views``, those are left out: they are about to be written again.

    Nothing is written, and whatever the files hold, no error is raised.
    """
    path = folder / FILE
    if not os.path.lexists(path):
        return Integrity(sealed=False)
    try:
        files = _read(path)
    except (SessionError, OSError) as error:
        return Integrity(sealed=True, changes=((FILE, _unreadable(FILE, error)),))
    allowance = Allowance(
        sys.maxsize
    )  # a forged manifest may name a file of holes, which takes long to be read, many times
    found = [
        change
        for name, digest in sorted(files.items())
        if views or name not in VIEWS
        for change in _differs(folder, name, digest, allowance)
    ]
    found += [(name, said(name, "added")) for name in _new(folder, files) if views or name not in VIEWS]
    known = {name for name, _ in found}
    found += [(name, said(name, how)) for name, how in _claimed(folder, files) if name not in known]
    return Integrity(sealed=True, changes=tuple(found))


def require_intact(folder: Path, *, views: bool = True, sealed: bool = False) -> Message | None:
    """Refuse a session that was changed, and with ``sealed`` one without a manifest; return the sentence on one without.

    Raises
    ------
    IntegrityError
        With what changed, and how to go on.
    SessionError
        When the folder is a record too.

    """
    require_one_kind(folder)
    if not _is_session(folder):
        return None  # reading it names the fault better
    found = check(folder, views=views)
    if found.changes:
        raise _changed(folder, found.changes)
    if found.sealed:
        return None
    if sealed:
        raise IntegrityError(not_sealed())
    return not_sealed()


def _changed(folder: Path, changes: Sequence[tuple[str, Message]]) -> IntegrityError:
    """Return the error that names the changes of a session."""
    more = len(changes) - MOST
    return IntegrityError(
        say("expected the session in {folder} as the harness left it, found changes:", folder=str(folder)),
        *(message for _, message in changes[:MOST]),
        *((say("and {count} more", count=more),) if more > 0 else ()),
        _way_on(folder, {name for name, _ in changes}),
    )


def read_intact(folder: Path, *, views: bool = True, sealed: bool = False) -> tuple[Session, str]:
    """Read a session that is as the harness left it, and return it with the SHA-256 of ``session.json``.

    A session without a manifest is returned with this as its doubt, so that it does not pass; with ``sealed`` it is refused.

    Raises
    ------
    IntegrityError
        When the session was changed.
    SessionError
        When it can't be read.

    """
    doubt = require_intact(folder, views=views, sealed=sealed)
    session, digest = read_hashed(folder)
    if doubt is None and (folder / FILE).exists() and _read(folder / FILE).get(SESSION) != digest:
        raise IntegrityError(said(SESSION, "changed"))  # between the comparison and the reading
    return (session if doubt is None else with_doubts(session, doubt)), digest


def digest_in_manifest(folder: Path) -> str:
    """Return the digest of ``session.json`` that the manifest has; empty without one."""
    try:
        return _read(folder / FILE).get(SESSION, "")
    except (SessionError, OSError):
        return ""


def with_doubts(session: Session, *doubts: Message) -> Session:
    """Return a session of which it is not known whether it is as its runs left it: it does not pass."""
    from harness.session.rows import with_rows  # noqa: PLC0415 -- slow to load, and few sessions need it

    doubted = replace(session, doubts=(*session.doubts, *doubts))
    return with_rows(doubted) if doubted.requirements else doubted


def require_known(record: Path) -> Message | None:
    """Refuse a record in a session whose manifest does not have it as it is: it was added, made anew, or sealed again.

    The files that its seal covers are compared when it is read. Returns the sentence on a session without a manifest, in which
    nothing is known of the record but its own seal.

    Raises
    ------
    IntegrityError
        With what changed.
    SessionError
        When the folder is a session too.

    """
    require_one_kind(record)
    doubt = None
    # Both the path as it is written and the place that it leads to: a link to a record in a session is that record.
    for place in dict.fromkeys((Path(os.path.abspath(record)), Path(os.path.realpath(record)))):  # noqa: PTH100 -- without "..", never raises
        folder = next(filter(_is_session, place.parents[:2]), None)
        if folder is None:
            continue
        if not os.path.lexists(folder / FILE):
            doubt = not_sealed()
            continue
        name = place.relative_to(folder).as_posix()
        try:
            found = list(_changes_of(folder, name, _read(folder / FILE)))
        except (SessionError, OSError) as error:
            found = [(FILE, _unreadable(FILE, error))]
        if found:
            raise _changed(folder, found)
    return doubt


def _is_session(folder: Path) -> bool:
    return os.path.lexists(folder / SESSION) or os.path.lexists(folder / FILE)


def _changes_of(folder: Path, name: str, files: Mapping[str, str]) -> Iterator[tuple[str, Message]]:
    """Yield what the manifest says otherwise of a record. The files that its seal covers are not compared."""
    own = {file: digest for file, digest in files.items() if file.startswith(f"{name}/")}
    allowance = Allowance(sys.maxsize)
    if not own:
        yield name, said(name, "added")
        return
    for file, digest in sorted(own.items()):
        yield from _differs(folder, file, digest, allowance, within=False)
    yield from ((file, said(file, "added")) for file in _new_in(folder, name, files))


def read_sealed(folder: Path) -> tuple[Session, str]:
    """Read a session that has a manifest and is as the harness left it; errors are those of `read_intact`."""
    return read_intact(folder, sealed=True)


def limits_of(folder: Path) -> bytes:
    """Return the limits with which a session was judged; empty for a session without them."""
    try:
        return read_bytes(folder / THRESHOLDS, limits.SMALL_BYTES)
    except FileNotFoundError:
        return b""


def other_limits(folder: Path) -> bool:
    """Return whether this harness judges with other limits than those in a session's folder."""
    return limits_of(folder) not in (b"", LIMITS.read_bytes())


def changes_in_record(record: Path, name: str) -> Iterator[tuple[str, Message]]:
    """Yield each file of a record that differs from its seal; ``name`` is the record's name in its session."""
    try:
        seal = read_seal(record)
        if seal is not None:
            yield from ((f"{name}/{file}", said(f"{name}/{file}", how)) for file, how in differences(record, seal))
    except (RecordError, OSError, ValueError) as error:
        yield f"{name}/{SEAL}", _unreadable(f"{name}/{SEAL}", error)


def said(name: str, difference: Difference) -> Message:
    """Say how a file differs."""
    words = {
        "missing": say("{name}: missing", name=name),
        "changed": say("{name}: changed", name=name),
        "added": say("{name}: added", name=name),
    }
    return words[difference]


def _way_on(folder: Path, names: set[str]) -> Message:
    """Say what to do about a session in which these files differ."""
    if names <= set(VIEWS):
        return say(
            "Write these files again from the session, which was not changed: phase3 report {folder}",
            folder=str(folder),
        )
    if names <= {*VIEWS, SESSION, FILE, *ADDED_LATER}:
        return say(
            "Put the files back as they were. Otherwise move {session} and {file} out of the folder, and run the session's "
            "command again with --phase3-resume={name}: the runs are judged again from their records.",
            session=SESSION,
            file=FILE,
            name=folder.absolute().name,
        )
    return say("Put the files back as they were, or run the validation again.")


def _covered(folder: Path) -> Iterator[str]:
    """Yield the names of the files that a manifest of a session has now."""
    for name in (SESSION, *VIEWS, *ADDED_LATER, *OTHERS):
        if _is_file(folder / name):
            yield name
    yield from _below(folder)
    for record in _records(folder):
        name = f"{RUNS}/{record.name}"
        if _is_file(record / SEAL):
            yield f"{name}/{SEAL}"
        else:  # of a run that was killed: nothing else has the digests of its files
            yield from (f"{name}/{path.relative_to(record).as_posix()}" for path in _files(record))


def _below(folder: Path) -> Iterator[str]:
    """Yield the names of the other files in folders of a session."""
    for pattern in _BELOW:
        with suppress(OSError):
            yield from (path.relative_to(folder).as_posix() for path in sorted(folder.glob(pattern)) if _is_file(path))


def _records(folder: Path) -> list[Path]:
    """Return the folders of records. One that a target put in the place of its record, and that was put aside, is none."""
    with suppress(OSError):
        found = sorted((folder / RUNS).iterdir())
        return [path for path in found if path.is_dir() and not path.is_symlink() and not safe.is_aside(path.name)]
    return []


def _links(folder: Path) -> list[Path]:
    """Return the links among the records that lead to a record. The harness makes none, and never reads one as its own."""
    with suppress(OSError):
        found = sorted((folder / RUNS).iterdir())
        return [path for path in found if safe.is_link(path.lstat()) and os.path.lexists(path / "request.json")]
    return []


def _files(record: Path) -> Iterator[Path]:
    """Yield the regular files of a record without its working folder."""
    for parent, folders, names in walk(record):
        folders[:] = sorted(name for name in folders if Path(parent) != record or name != WORK)
        yield from (
            path for name in sorted(names) if _is_file(path := Path(parent, name)) and _has_a_name(record, path)
        )


def _has_a_name(record: Path, path: Path) -> bool:
    try:
        return bool(inside(record, path.relative_to(record).as_posix()))
    except ValueError:
        return False


def _differs(
    folder: Path, name: str, digest: str, allowance: Allowance, *, within: bool = True
) -> Iterator[tuple[str, Message]]:
    """Yield what differs from one entry of the manifest; for a seal, ``within`` its record, each file of it that differs."""
    try:
        path = inside(folder, name)
        if not path.resolve().is_relative_to(folder.resolve()):
            yield name, said(name, "changed")
        elif not _is_file(path):
            yield name, said(name, "changed" if os.path.lexists(path) else "missing")
        elif allowance.refusal(path.stat()) or sha256_of(path) != digest:
            yield name, said(name, "changed")
        elif within and path.name == SEAL:
            yield from changes_in_record(path.parent, name.rpartition("/")[0])
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: a loop of links
        yield name, _unreadable(name, error)


def _new(folder: Path, files: Mapping[str, str]) -> Iterator[str]:
    """Yield files that were added and that a decision would rest on."""
    for name in (SESSION, *VIEWS, *ADDED_LATER, "started.json", "subset.json", THRESHOLDS):
        if name not in files and os.path.lexists(folder / name):
            yield name
    yield from (name for name in _below(folder) if name not in files)
    yield from (f"{RUNS}/{link.name}" for link in _links(folder))
    known = {name[: name.find("/", len(RUNS) + 1)] for name in files if name.startswith(f"{RUNS}/")}
    for record in _records(folder):
        name = f"{RUNS}/{record.name}"
        if name in known:
            yield from _new_in(folder, name, files)
        elif next(_files(record), None) is not None:  # folders alone hold nothing that is read
            yield name


def _new_in(folder: Path, name: str, files: Mapping[str, str]) -> Iterator[str]:
    """Yield files that were added to a record of which the manifest has no seal. It may have got one, or others that are read."""
    record = folder / name
    if f"{name}/{SEAL}" not in files:
        there = (f"{name}/{path.name}" for path in _files(record) if path.parent == record)
        yield from (file for file in there if file not in files)


def _claimed(folder: Path, files: Mapping[str, str]) -> Iterator[tuple[str, Difference]]:
    """Yield each record that the session names and the manifest does not have, or has with another seal than the judged one.

    The manifest may lack entries, whatever its own digest says.
    """
    try:
        data = read_json(folder / SESSION)
        runs = [(str(run["record"]).rstrip("/"), str(run.get("seal") or "")) for run in data["runs"]]
        doubts = bool(data.get("doubts"))  # a session may end with the doubt that a record was sealed again
    except (*UNREADABLE, AttributeError, OSError):
        return  # compared as a file, and refused when it is read
    for record, seal in runs:
        name = f"{record}/{SEAL}"
        if name not in files and f"{record}/request.json" not in files:
            yield record, "added" if os.path.lexists(folder / record) else "missing"
        elif seal and not doubts and files.get(name) != seal:
            yield name, "changed"


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _read(path: Path) -> Mapping[str, str]:
    """Return the entries of a manifest. Raises ``SessionError`` when it is not as the harness writes it, and ``OSError``."""
    try:
        data = read_digested(path, MAX_FILE)
    except RecordError as error:
        raise SessionError(said(FILE, "changed")) from error
    files = data.get("files")
    if data.get("format") != FORMAT or not isinstance(files, dict):
        raise SessionError(said(FILE, "changed"))
    return {str(name): str(digest) for name, digest in files.items()}


def _write(path: Path, files: Mapping[str, str]) -> None:
    write_digested(path, {"format": FORMAT, "files": dict(sorted(files.items()))})


def _unreadable(name: str, error: Exception) -> Message:
    if isinstance(error, SessionError):
        return error.messages[0]
    return say("{name}: can't be read ({error})", name=name, error=str(error))
