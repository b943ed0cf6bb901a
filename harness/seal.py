"""The seal of a record: how the run ended, and the SHA-256 of every file. Written last and in one step."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.record import SEAL_FORMAT, SPARE, EndState, inside, sha256_of

SEAL = "seal.json"
WORK = "work"


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
