"""Seal a record with the end state of its run and the SHA-256 of every file, and find changes since then.

The seal is written last and in one step, so a record with a seal is complete.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from harness.language.message import say
from harness.record import limits, safe
from harness.record.entries import DEEPEST, entries
from harness.record.extent import Allowance
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
OUTPUTS = "outputs"
SPARE = (OUTPUTS,)
"""The folders that a copy of a record may lack: their content is measured before the seal, and checks do not read them."""
MOST_BEYOND = 10
"""How many files are named that are beyond the limits."""
READ = ("*.json*", "*.npz", "*.png", "*.csv", "console.log")
"""The files beside the seal that checks and reports read."""
SEAL = "seal.json"
WORK = "work"


@dataclass(frozen=True, slots=True)
class Seal:
    """The end state of a run, and the SHA-256 of every file of its record at that time.

    ``without`` names the folders that this copy of the record lacks. The digests of their files are kept. ``tampered`` names what
    the target put in the place of the harness's files and folders, ``beyond`` has a sentence for each limit of the harness that
    the record is beyond: nothing can be concluded from such a record.
    """

    state: EndState
    exit_code: int | None
    reason: str
    seconds: float
    files: Mapping[str, str]
    without: tuple[str, ...] = ()
    tampered: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hashed:
    """The SHA-256 of a record's files by relative path, and a sentence for each file that is beyond a limit and was left out."""

    digests: Mapping[str, str]
    beyond: tuple[str, ...] = ()
    left_out: frozenset[str] = frozenset()


def seal(  # noqa: PLR0917 -- the fields of a seal
    folder: Path,
    state: EndState,
    exit_code: int | None,
    reason: str,
    seconds: float,
    tampered: Sequence[str] = (),
    *,
    beyond: Sequence[str] = (),
    files: Hashed | None = None,
) -> None:
    """Seal a record; replace a seal that exists.

    ``exit_code`` is ``None`` if the target did not exit by itself. ``reason`` is one sentence on anything unexpected, else empty.
    ``tampered`` names what the target replaced of the record. ``beyond`` has a sentence for each limit that the record is beyond;
    files that are too large to be hashed are added to it. ``files`` are the digests, if the caller has compared them.

    Raises ``OSError`` when the seal can't be written. The record then stays unsealed and is judged ``unknown``.
    """
    files = files or hashed(folder)
    data = {
        "format": SEAL_FORMAT,
        "state": state,
        "exit_code": exit_code,
        "reason": reason,
        "seconds": round(seconds, 3),
        "files": dict(files.digests),
    }
    more = {"tampered": list(tampered), "beyond": [*beyond, *files.beyond]}
    _write(folder, data | {name: sentences for name, sentences in more.items() if sentences})


def note_spared(folder: Path) -> None:
    """Note in the seal of a copy that it lacks the folders in ``SPARE``, so that their files do not count as missing.

    Raises ``OSError`` when the seal can't be read or written.
    """
    data = read_json(folder / SEAL)
    _write(folder, {**data, "without": list(SPARE)})


def _write(folder: Path, data: Mapping[str, Any]) -> None:
    write_whole(folder / SEAL, json_text(data, ensure_ascii=True))


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every regular file of a record by relative path, without ``work/`` and the seal.

    Links, pipes and files whose names a record can't have (such as with a backslash) are left out; ``left.jsonl`` has them. Files
    beyond the limits are left out too.
    """
    return dict(hashed(folder).digests)


def hashed(folder: Path) -> Hashed:
    """Hash the files of a record as `digests` does, and say which are beyond a limit."""
    found: dict[str, str] = {}
    left_out: set[str] = set()
    beyond: list[str] = []
    allowance = Allowance()
    many = next(islice(entries(folder, without=WORK), limits.ENTRIES, None), None) is not None
    if many:
        beyond.append(f"the record has more than {limits.ENTRIES:,} files: those in its folders were not hashed")
    for name, about in entries(folder, without=WORK, deepest=0 if many else DEEPEST):
        if name in {SEAL, f"{SEAL}.part"} or not safe.is_file(about):
            continue
        try:
            inside(folder, name)
        except ValueError:
            continue
        if refusal := allowance.refusal(about):
            left_out.add(name)
            if len(beyond) < MOST_BEYOND:
                beyond.append(f"{name} {refusal}: it was not hashed")
            continue
        with contextlib.suppress(
            safe.NotOursError, FileNotFoundError
        ):  # it was replaced since, or is an unreadable file of the user
            found[name] = safe.sha256(folder, name)
    return Hashed(dict(sorted(found.items())), tuple(beyond), frozenset(left_out))


def damage_of(folder: Path) -> tuple[str, ...]:
    """Return a message for each change since a record was sealed; an empty tuple for a record without a seal.

    Raises ``RecordError`` when the seal can't be read.
    """
    seal = read_seal(folder)
    return tuple(damage(folder, seal)) if seal else ()


def read_seal(folder: Path) -> Seal | None:
    """Read the seal of a record; ``None`` if it has no seal. Raises ``RecordError`` if the seal can't be read."""
    path = folder / SEAL
    if not os.path.lexists(path):
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
            tuple(map(str, data.get("beyond", ()))),
        )
    except RecordError:
        raise
    except (*UNREADABLE, OSError) as error:  # OSError: a folder in its place, or no right to read it
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
    allowance = Allowance()
    for name, digest in sorted(seal.files.items()):
        path = inside(folder, name)
        if path.is_symlink():
            yield name, "changed"
        elif not path.is_file():
            if name.partition("/")[0] not in seal.without:
                yield name, "missing"
        # Files that are too large to be hashed were smaller when they were.
        elif allowance.refusal(path.stat()) or sha256_of(path) != digest:
            yield name, "changed"
    for path in sorted(path for pattern in READ for path in folder.glob(pattern)):
        # A write of the seal that was cut off leaves a part. Nothing reads it.
        if path.name not in {SEAL, f"{SEAL}.part", *seal.files}:
            yield path.name, "added"
