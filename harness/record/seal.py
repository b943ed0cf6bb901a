"""Seal a record with the end state of its run and the SHA-256 of every file, and find changes since then.

The seal is written last and in one step, so a record with a seal is complete.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from harness.language.message import say
from harness.record import safe
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
from harness.record.whole import json_text, write_whole

SEAL_FORMAT = "phase3-seal/1"
EndState = Literal["done", "crashed", "timed out", "killed"]
Difference = Literal["missing", "changed", "added"]
END_STATES: tuple[EndState, ...] = ("done", "crashed", "timed out", "killed")
SPARE = ("outputs",)
"""The folders that a copy of a record may lack: their content is measured before the seal, and checks do not read them."""
SEAL = "seal.json"
WORK = "work"


@dataclass(frozen=True, slots=True)
class Seal:
    """The end state of a run, and the SHA-256 of every file of its record at that time.

    ``without`` names the folders that this copy of the record lacks. The digests of their files are kept. ``tampered`` names what
    the target put in the place of the harness's files and folders: nothing can be concluded from such a record.
    """

    state: EndState
    exit_code: int | None
    reason: str
    seconds: float
    files: Mapping[str, str]
    without: tuple[str, ...] = ()
    tampered: tuple[str, ...] = ()


def seal(  # noqa: PLR0917 -- the fields of a seal
    folder: Path, state: EndState, exit_code: int | None, reason: str, seconds: float, tampered: Sequence[str] = ()
) -> None:
    """Seal a record; replace a seal that exists.

    ``exit_code`` is ``None`` if the target did not exit by itself. ``reason`` is one sentence on anything unexpected, else empty.
    ``tampered`` names what the target replaced of the record.

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
    _write(folder, {**data, "tampered": list(tampered)} if tampered else data)


def note_spared(folder: Path) -> None:
    """Note in the seal of a copy that it lacks the folders in ``SPARE``, so that their files do not count as missing.

    Raises ``OSError`` when the seal can't be read or written.
    """
    data = json.loads((folder / SEAL).read_text(encoding="utf-8"))
    _write(folder, {**data, "without": list(SPARE)})


def _write(folder: Path, data: Mapping[str, Any]) -> None:
    write_whole(folder / SEAL, json_text(data, ensure_ascii=True))


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every regular file of a record by relative path, without ``work/`` and the seal.

    Links, pipes and files whose names a record can't have (such as with a backslash) are left out; ``left.jsonl`` has them.
    """
    found = {}
    for name, about in safe.walk(folder, without=WORK):
        if name in {SEAL, f"{SEAL}.part"} or not safe.is_file(about):
            continue
        try:
            inside(folder, name)
        except ValueError:
            continue
        with contextlib.suppress(
            safe.NotOursError, FileNotFoundError
        ):  # it was replaced since, or is an unreadable file of the user
            found[name] = safe.sha256(folder, name)
    return dict(sorted(found.items()))


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
            tuple(map(str, data.get("tampered", ()))),
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
    for path in sorted(folder.glob("*.json*")):
        if path.name != SEAL and path.name not in seal.files:
            yield path.name, "added"
