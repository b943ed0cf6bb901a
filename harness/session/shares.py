"""Keep what the processes of a session write for each other: their shares, and the tests that they collected.

Each file holds its own digest, and the digest of the session's ``started.json``, which names the session, its options, its
targets and the source of the harness. A file that was changed, or is of another session or commit, is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.language.message import Message, say
from harness.record.convert import from_json
from harness.record.digested import read_digested, write_digested
from harness.record.seal import SEAL
from harness.record.values import UNREADABLE, RecordError, sha256_of
from harness.session.model import Session, SessionError, Share

FORMAT = "phase3-share/1"
STARTED = "started.json"


def write_part(path: Path, content: Any) -> None:
    """Write the part of one process, in one step. The folder of parts is in the session's folder."""
    write_digested(path, {"format": FORMAT, "session": _started(path), "content": content})


def read_part(path: Path) -> Any:
    """Read the part of one process.

    Raises
    ------
    SessionError
        When it was changed, or is of another session or of another version of the harness.

    """
    try:
        data, started = read_digested(path), _started(path)
    except RecordError as error:
        raise SessionError(*error.messages) from error
    except OSError as error:
        raise SessionError(say("expected to read {path}, found: {error}", path=str(path), error=str(error))) from error
    if data.get("format") != FORMAT or data.get("session") != started or "content" not in data:
        raise SessionError(
            say(
                "expected {path} of this session, found one of another session, or of another version of the harness: remove it",
                path=str(path),
            )
        )
    return data["content"]


def read_share(path: Path) -> Share:
    """Read the runs and verdicts of one process; errors are those of `read_part`."""
    content = read_part(path)
    try:
        return from_json(content, Share)
    except UNREADABLE as error:
        raise SessionError(
            say("expected a share of a session in {path}, found: {error}", path=str(path), error=str(error))
        ) from error


def _started(path: Path) -> str:
    """Return the digest of the ``started.json`` of a part's session; empty for a session without one."""
    started = path.parent.parent / STARTED
    return sha256_of(started) if started.is_file() else ""


def changed_records(folder: Path, session: Session) -> Iterator[Message]:
    """Yield a sentence for each record whose seal is not the one of the run that was judged."""
    for run in session.runs:
        if not run.seal:
            continue
        seal = folder / run.record / SEAL
        if not _holds(seal, run.seal):
            yield say(
                "{record}: its seal was changed or removed after the run was judged, while the session ran",
                record=run.record,
            )


def _holds(seal: Path, digest: str) -> bool:
    try:
        return sha256_of(seal) == digest
    except (OSError, RecordError):  # removed, or something else is in its place
        return False
