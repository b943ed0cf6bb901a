"""Seal a record with the end state of its run and the SHA-256 of every file, and find changes since then.

The seal is written last and in one step, so a record with a seal is complete.
"""

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
from harness.record.values import (
    UNREADABLE,
    RecordError,
    check_format,
    inside,
    int_or_none,
    one_of,
    read_json,
    sha256_of,
)

SEAL_FORMAT = "phase3-seal/1"
EndState = Literal["done", "crashed", "timed out", "killed"]
Difference = Literal["missing", "changed", "added"]
END_STATES: tuple[EndState, ...] = ("done", "crashed", "timed out", "killed")
SPARE = ("outputs",)
"""The folders that a copy of a record may lack: their content is measured before the seal, and checks do not read them."""
READ = ("*.json*", "*.npz", "*.png", "*.csv", "console.log")
"""The files beside the seal that checks and reports read."""
SEAL = "seal.json"
WORK = "work"


@dataclass(frozen=True, slots=True)
class Seal:
    """The end state of a run, and the SHA-256 of every file of its record at that time.

    ``without`` names the folders that this copy of the record lacks. The digests of their files are kept.
    """

    state: EndState
    exit_code: int | None
    reason: str
    seconds: float
    files: Mapping[str, str]
    without: tuple[str, ...] = ()


def seal(folder: Path, state: EndState, exit_code: int | None, reason: str, seconds: float) -> None:
    """Seal a record; replace a seal that exists.

    ``exit_code`` is ``None`` if the target did not exit by itself. ``reason`` is one sentence on anything unexpected, else empty.
    Raises ``OSError`` when the seal can't be written. The record then stays unsealed and is judged ``unknown``.
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
    """Note in the seal of a copy that it lacks the folders in ``SPARE``, so that their files do not count as missing.

    Raises ``OSError`` when the seal can't be read or written.
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
    """Return the SHA-256 of every regular file of a record by relative path, without ``work/`` and the seal.

    Links, pipes and files whose names a record can't have (such as with a backslash) are left out; ``left.jsonl`` has them.
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
        # A target may remove the read permission of its product. The harness owns the record and may restore it.
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        return sha256_of(path)


def damage_of(folder: Path) -> tuple[str, ...]:
    """Return a message for each change since a record was sealed; an empty tuple for a record without a seal.

    Raises ``RecordError`` when the seal can't be read.
    """
    seal = read_seal(folder)
    return tuple(damage(folder, seal)) if seal else ()


def read_seal(folder: Path) -> Seal | None:
    """Read the seal of a record; ``None`` if it has no seal. Raises ``RecordError`` if the seal can't be read."""
    path = folder / SEAL
    if not path.exists():
        return None
    try:
        data = read_json(path)
        check_format(path, data, SEAL_FORMAT)
        files = {str(k): str(v) for k, v in dict(data["files"]).items()}
        return Seal(
            one_of(data["state"], END_STATES),
            int_or_none(data["exit_code"]),
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
    """Yield a message for each file that is missing, changed or added since the record was sealed."""
    words = {
        "missing": "missing",
        "changed": "changed since the record was sealed",
        "added": "added since the record was sealed",
    }
    for name, difference in differences(folder, seal):
        yield f"{name}: {words[difference]}"


def differences(folder: Path, seal: Seal) -> Iterator[tuple[str, Difference]]:
    """Yield each file of a record that is missing, changed or added since it was sealed.

    Raises ``RecordError`` when the seal names a file outside the record, and ``OSError`` when a file can't be read.
    """
    for name, digest in sorted(seal.files.items()):
        path = inside(folder, name)
        if not path.is_file():
            if name.partition("/")[0] not in seal.without:
                yield name, "missing"
        elif sha256_of(path) != digest:
            yield name, "changed"
    for path in sorted(path for pattern in READ for path in folder.glob(pattern)):
        if path.name != SEAL and path.name not in seal.files:
            yield path.name, "added"
