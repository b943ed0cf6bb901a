"""The seal of a record: how the run ended, and the SHA-256 of every file. Written last and in one step."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from harness.language.message import say
from harness.record.values import UNREADABLE, RecordError, check_format, inside, one_of, read_json, sha256_of

SEAL_FORMAT = "phase3-seal/1"
EndState = Literal["done", "crashed", "timed out", "killed"]
END_STATES: tuple[EndState, ...] = ("done", "crashed", "timed out", "killed")
SPARE = ("outputs",)
"""The folders that a copy of a record may be made without: what was made is measured before the seal, and checks read no more."""
SEAL = "seal.json"
WORK = "work"


@dataclass(frozen=True, slots=True)
class Seal:
    """How the run ended and the SHA-256 of every file of the record at that time.

    ``without`` names the folders that a copy of the record was made without; the digests of their files stay.
    """

    state: EndState
    exit_code: int | None
    reason: str
    seconds: float
    files: Mapping[str, str]
    without: tuple[str, ...] = ()


def seal(folder: Path, state: EndState, exit_code: int | None, reason: str, seconds: float) -> None:
    """Seal a record, or seal it anew.

    Parameters
    ----------
    folder
        The record.
    state, exit_code
        How the target ended; the code is ``None`` where it says nothing of the target's own.
    reason
        One sentence for whatever is not as expected; empty otherwise.
    seconds
        How long the target ran.

    Raises
    ------
    OSError
        When the seal can't be written. The record then stays unsealed and is judged ``unknown``.

    """
    data = {
        "format": SEAL_FORMAT,
        "state": state,
        "exit_code": exit_code,
        "reason": reason,
        "seconds": round(seconds, 3),
        "files": digests(folder),
    }
    _write(folder, data)


def note_spared(folder: Path) -> None:
    """Say in the seal of a copy which folders it was made without: their files are not missing from it.

    Parameters
    ----------
    folder
        A copy of a record that was not changed since it was sealed.

    Raises
    ------
    OSError
        When the seal can't be read or written.

    """
    data = json.loads((folder / SEAL).read_text(encoding="utf-8"))
    _write(folder, {**data, "without": list(SPARE)})


def _write(folder: Path, data: Mapping[str, Any]) -> None:
    part = folder / f"{SEAL}.part"
    try:
        with part.open("w", encoding="utf-8") as stream:
            json.dump(data, stream, indent=1)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(folder / SEAL)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every regular file of a record but ``work/`` and the seal itself, by relative path.

    Links, pipes and files whose name no record can hold (a backslash in it) are left out; ``left.jsonl`` names them.
    """
    found = {}
    for parent, folders, files in os.walk(folder, followlinks=False):
        if Path(parent) == folder:
            folders[:] = [name for name in folders if name != WORK]
        for name in files:
            path = Path(parent, name)
            relative = path.relative_to(folder).as_posix()
            if relative in {SEAL, f"{SEAL}.part"} or not stat.S_ISREG(path.lstat().st_mode):
                continue
            try:
                inside(folder, relative)
            except ValueError:
                continue
            found[relative] = _digest(path)
    return dict(sorted(found.items()))


def _digest(path: Path) -> str:
    try:
        return sha256_of(path)
    except PermissionError:
        # A target may take its owner's right to read a product; the record is the harness's own.
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        return sha256_of(path)


def damage_of(folder: Path) -> tuple[str, ...]:
    """Name what is not as it was when a record was sealed; nothing for one that was not.

    Raises
    ------
    RecordError
        When the seal can't be read.

    """
    seal = read_seal(folder)
    return tuple(damage(folder, seal)) if seal else ()


def read_seal(folder: Path) -> Seal | None:
    """Read the seal of a record; ``None`` without one. Raises ``RecordError`` when it cannot be read."""
    path = folder / "seal.json"
    if not path.exists():
        return None
    try:
        data = read_json(path)
        check_format(path, data, SEAL_FORMAT)
        state = one_of(data["state"], END_STATES)
        code = data["exit_code"]
        files = {str(k): str(v) for k, v in dict(data["files"]).items()}
        return Seal(
            state,
            None if code is None else int(code),
            str(data["reason"]),
            float(data["seconds"]),
            MappingProxyType(files),
            tuple(one_of(name, SPARE) for name in data.get("without", ())),
        )
    except RecordError:
        raise
    except UNREADABLE as error:
        raise RecordError(
            say(
                "expected a seal in {path}, found one that can't be read ({error}): record the run again",
                path=str(path),
                error=str(error),
            )
        ) from error


def damage(folder: Path, seal: Seal) -> Iterator[str]:
    """Name every file that is not as it was when the record was sealed."""
    for name, digest in sorted(seal.files.items()):
        path = inside(folder, name)
        if not path.is_file():
            if name.partition("/")[0] not in seal.without:
                yield f"{name}: missing"
        elif sha256_of(path) != digest:
            yield f"{name}: changed since the record was sealed"
    for path in sorted(folder.glob("*.json*")):
        if path.name != "seal.json" and path.name not in seal.files:
            yield f"{path.name}: added since the record was sealed"
