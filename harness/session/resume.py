"""Go on with an interrupted session: its finished runs are used again, and everything else is made anew.

A session notes in ``started.json`` what decides on its runs. It can be resumed if the same version of the harness is asked for
the same; otherwise it is refused with what differs, and every file stays as it was. Runs that were stopped are made again. The
others are read from their records and judged again, which gives the same verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.language.message import Message, SaidError, counted, say
from harness.record.convert import ShapeError, from_json, to_json
from harness.record.leftovers import remove_tree
from harness.record.safe import is_aside
from harness.record.seal import SEAL, read_seal
from harness.record.values import UNREADABLE, RecordError, read_any_json, sha256_of
from harness.record.whole import json_text, write_whole
from harness.session.integrity import FILE as MANIFEST
from harness.session.integrity import changes_in_record, digest_in_manifest, require_intact
from harness.session.model import JudgedRun, RunEntry, Session, SessionError, Share, read_hashed, read_session
from harness.session.options import NEWEST
from harness.session.run_matrix import RUNS
from harness.session.shares import STARTED, read_part, read_share, write_part
from harness.verdict import Outcome

SHARES = "shares"
RESUMED = "0-resumed.json"
"""The share of the interrupted session; its name sorts first, so that new outcomes replace old ones."""
TAKEN_BACK = "0-resumed.end"
"""The digest of the ``session.json`` whose end a start took back: from then on the session has no manifest that has it."""
MOST_NAMES = 3
"""How many changed files a message names."""
_STOPPED = ("killed", "not sealed")


class ResumeError(SaidError):
    """Raised when a session can't be resumed. The message says why."""


@dataclass(frozen=True, slots=True)
class Start:
    """What decides on the runs of a session: options, the identity of each target, and hashes of the user's and our files.

    ``session`` names the session. So the file differs between two sessions that were started with the same.
    """

    options: Mapping[str, str]
    targets: Mapping[str, Any]
    config: str = ""
    frames: str = ""
    source: Mapping[str, str] = field(default_factory=dict)
    session: str = ""


def write_start(folder: Path, start: Start) -> None:
    """Note with what a session starts."""
    write_whole(folder / STARTED, json_text(to_json(start)))


def find(root: Path, named: str) -> Path:
    """Return the folder of the session to resume: the newest below ``root``, or the one of this name or folder.

    Raises
    ------
    ResumeError
        When there is no such session below ``root``, or it reached its end.

    """
    sessions = root / "sessions"
    known = sorted(path for path in sessions.glob("*") if path.is_dir())
    if named == NEWEST:
        folder = known[-1] if known else sessions / "*"
    else:
        folder = next((path for path in known if path.name == named), Path(named).expanduser().resolve())
    if folder.parent != sessions:  # its frames and exported targets are below another folder
        raise ResumeError(
            say(
                "expected a session below {sessions}, found {folder}: name the folder that it is in with --phase3-dir",
                sessions=str(sessions),
                folder=str(folder),
            )
        )
    if not (folder / STARTED).is_file():
        raise ResumeError(
            say(
                "expected an interrupted session in {folder}, found no {name}: name a session of --phase3-dir that this version"
                " of the harness started, or leave out --phase3-resume",
                folder=str(folder),
                name=STARTED,
            )
        )
    if _ended(folder):
        raise ResumeError(
            say(
                "expected an interrupted session, found {folder}, which reached its end: name another, or leave out"
                " --phase3-resume",
                folder=str(folder),
            )
        )
    return folder


def require_unchanged(folder: Path) -> None:
    """Refuse to resume a session in which a file was changed since the harness wrote it.

    A session that was killed has no manifest. There each share has a digest, and the digests of the seals of its runs.

    Raises
    ------
    ResumeError
        With every file that was changed, and what to do.

    """
    try:
        require_intact(folder)
    except SessionError as error:
        raise ResumeError(*error.messages) from error
    found: list[Message] = []
    known: dict[str, RunEntry] = {}
    for path in sorted(folder.glob(f"{SHARES}*/*.*")):
        if path.suffix not in (".json", ".collected"):
            continue
        try:
            if path.suffix == ".json":
                known |= {run.key: run for run in read_share(path).runs}
            else:
                read_part(path)
        except SessionError as error:
            found += error.messages
    for record in sorted(path for path in (folder / RUNS).glob("*") if not is_aside(path.name) and _finished(path)):
        name = f"{RUNS}/{record.name}"
        run = known.get(record.name)
        if run is not None and run.seal and run.state not in _STOPPED and sha256_of(record / SEAL) != run.seal:
            found.append(say("{name}: changed", name=f"{name}/{SEAL}"))
        found += [message for _, message in changes_in_record(record, name)]
    if found:
        raise ResumeError(
            say("expected the session in {folder} as the harness left it, found changes:", folder=str(folder)),
            *found,
            say("Put the files back as they were, or remove them: a run without its folder is made again."),
        )


def _ended(folder: Path) -> bool:
    """Return whether a session has all that its end writes. The manifest is written last."""
    try:
        return read_session(folder).interrupted is None and (folder / MANIFEST).exists()
    except SessionError:
        return False  # it was killed before it wrote its session


def require_same(folder: Path, now: Start) -> None:
    """Refuse to resume a session with other options, targets, settings or frames.

    Raises
    ------
    ResumeError
        With everything that differs.

    """
    try:
        before = from_json(read_any_json(folder / STARTED), Start)
    except (OSError, ShapeError, *UNREADABLE) as error:
        raise ResumeError(
            say("expected {path} to be readable, found: {error}", path=str(folder / STARTED), error=str(error))
        ) from error
    found = tuple(_differences(before, now))
    if found:
        raise ResumeError(
            say("expected what the session in {folder} was started with, found other input:", folder=str(folder)),
            *found,
        )


def _differences(before: Start, now: Start) -> list[Message]:
    found = [
        say(
            "--phase3-{name} was {before} and is {now}: give the same, or start a new session",
            name=name,
            before=repr(before.options.get(name, "")),
            now=repr(now.options.get(name, "")),
        )
        for name in sorted({*before.options, *now.options})
        if before.options.get(name) != now.options.get(name)
    ]
    now_targets = to_json(now.targets)
    found += [
        say("the {role} is another version than before: start a new session", role=role)
        for role in sorted({*before.targets, *now_targets})
        if before.targets.get(role) != now_targets.get(role)
    ]
    if before.config != now.config:
        found.append(say("the settings in the file of --phase3-config were changed: start a new session"))
    if before.frames != now.frames:
        found.append(say("the frames in the folder of --phase3-frames were changed: start a new session"))
    changed = sorted(name for name, _ in before.source.items() ^ now.source.items())
    if changed := list(dict.fromkeys(changed)):
        found.append(
            counted(
                "the harness is another version than before, {count} file differs ({names}): start a new session, or go back to"
                " that version",
                "the harness is another version than before, {count} files differ ({names}): start a new session, or go back to"
                " that version",
                count=len(changed),
                names=", ".join((*changed[:MOST_NAMES], *(["…"] if len(changed) > MOST_NAMES else ()))),
            )
        )
    return found


def next_shares(folder: Path) -> Path:
    """Return the folder, not made yet, for what the processes of a session write: each start of a session has its own."""
    number = 1 + sum(1 for _ in folder.glob(f"{SHARES}*"))
    return folder / (SHARES if number == 1 else f"{SHARES}-{number}")


def stopped_runs(folder: Path) -> set[str]:
    """Return the keys of the runs that were stopped with a session. They reached no end of their own.

    A folder that a target put in the place of a record is none: it may be the user's, and is kept.
    """
    found = (path for path in (folder / RUNS).glob("*") if path.is_dir() and not is_aside(path.name))
    return {path.name for path in found if not _finished(path)}


def finished_runs(folder: Path) -> frozenset[str]:
    """Return the keys of the runs that reached an end of their own."""
    found = (path for path in (folder / RUNS).glob("*") if path.is_dir() and not is_aside(path.name))
    return frozenset(path.name for path in found if _finished(path))


def reopen(folder: Path, shares: Path) -> None:
    """Remove the stopped runs of an interrupted session, and write what it concluded as a share of the next start.

    What a ``session.json`` concluded is kept only if the harness is known to have written it. Otherwise its runs are judged again
    from their records, and its tests run again, as in a session that was killed.
    """
    session = _known_session(folder, shares)
    (folder / MANIFEST).unlink(missing_ok=True)  # it is of the end that is taken back
    for key in stopped_runs(folder):
        remove_tree(folder / RUNS / key)
    if session is None:
        return
    # A stopped run may have been made again since: the verdicts on it are old.
    kept = {run.key for run in session.runs if run.state not in _STOPPED and (folder / RUNS / run.key).is_dir()}
    share = Share(
        tuple(run for run in session.runs if run.key in kept),
        tuple(judged for judged in session.judged if kept.issuperset(_keys(judged))),
        # What was not reached, or skipped, is asked again.
        tuple(test for test in session.tests if test.outcome is not Outcome.NOT_EVALUATED),
        session.real_sets,
        session.patch,
    )
    write_part(shares / RESUMED, to_json(share))


def _known_session(folder: Path, shares: Path) -> Session | None:
    """Return the session that an earlier start wrote, and note its digest for the next start; ``None`` if it is not known.

    Its digest is in the manifest, or, if an earlier start took its end back and was killed, beside the shares of that start.
    """
    try:
        session, digest = read_hashed(folder)
    except SessionError:
        return None  # it was killed before it wrote one
    known = {digest_in_manifest(folder)}
    for path in folder.glob(f"{SHARES}*/{TAKEN_BACK}"):
        with suppress(SessionError):
            known.add(str(read_part(path)))
    if digest not in known:
        return None
    write_part(shares / TAKEN_BACK, digest)
    return session


def _keys(judged: JudgedRun) -> list[str]:
    """Return the keys of a run and of all runs that it was compared with."""
    keys: list[str] = []
    judged.map(keys.append)
    return keys


def _finished(record: Path) -> bool:
    """Return whether a run reached an end of its own."""
    try:
        seal = read_seal(record)
    except RecordError:
        return False
    return seal is not None and seal.state not in _STOPPED
