"""Write and read small JSON files that hold their own SHA-256, so that every changed byte shows.

The bytes of such a file follow from its content: it is read only if writing what it says gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.language.message import say
from harness.record.values import RecordError

OWN = "sha256"
"""The field with the digest of the others."""
MAX_FILE = 256_000_000


def content_of(data: Mapping[str, Any]) -> bytes:
    """Return the bytes of a file with this content and its digest."""
    known = {name: part for name, part in data.items() if name != OWN}
    own = hashlib.sha256(_text(known)).hexdigest()
    return _text({**known, OWN: own}) + b"\n"


def _text(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, indent=1, ensure_ascii=False).encode("utf-8", "surrogatepass")


def read_digested(path: Path, limit: int = MAX_FILE) -> dict[str, Any]:
    """Return the content of a file, without its digest.

    Raises ``RecordError`` when it is no regular file, is larger than ``limit`` bytes, or was changed since it was written, and
    ``OSError`` when it can't be read.
    """
    problem = "another kind of file"
    if stat.S_ISREG(path.lstat().st_mode):
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
        problem = f"more than {limit:,} bytes"
        if len(content) <= limit:
            data = _parsed(content)
            if data is not None and content_of(data) == content:
                return {name: part for name, part in data.items() if name != OWN}
            problem = "other content than its digest says"
    raise RecordError(
        say(
            "expected {path} as the harness wrote it, found {problem}: it was changed since",
            path=str(path),
            problem=problem,
        )
    )


def _parsed(content: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def write_digested(path: Path, data: Mapping[str, Any]) -> None:
    """Write a file with its digest, in one step: a reader sees the old one or the new one, whole. Raises ``OSError``."""
    replace(path, content_of(data))


def replace(path: Path, content: bytes) -> None:
    """Write a file in one step. Raises ``OSError``; then the old one is unchanged."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        with part.open("xb") as stream:  # "x" never follows a link that someone put there
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
