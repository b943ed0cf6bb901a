"""Write and read small JSON files that hold their own SHA-256, so that every changed byte shows.

The bytes of such a file follow from its content: it is read only if writing what it says gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.language.message import say
from harness.record import limits
from harness.record.values import RecordError, read_bytes, require_memory
from harness.record.whole import write_whole

OWN = "sha256"
"""The field with the digest of the others."""


def content_of(data: Mapping[str, Any]) -> bytes:
    """Return the bytes of a file with this content and its digest."""
    known = {name: part for name, part in data.items() if name != OWN}
    own = hashlib.sha256(_text(known)).hexdigest()
    return _text({**known, OWN: own}) + b"\n"


def _text(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, indent=1, ensure_ascii=False).encode("utf-8", "surrogatepass")


def read_digested(path: Path, limit: int = limits.JSON_BYTES) -> dict[str, Any]:
    """Return the content of a file, without its digest.

    Raises ``RecordError`` when it is no regular file, is larger than ``limit`` bytes, or was changed since it was written, and
    ``OSError`` when it can't be read.
    """
    content = read_bytes(path, limit)
    data = _parsed(require_memory(content, what=path.name))
    if data is None:
        raise RecordError(
            say(
                "expected {path} as the harness wrote it, found {problem}: it was changed since",
                path=str(path),
                problem="other content than its digest says",
            )
        )
    return {name: part for name, part in data.items() if name != OWN}


def _parsed(content: bytes) -> dict[str, Any] | None:
    """Return what the bytes say; ``None`` where writing that would give other bytes. Nesting may fail at either way."""
    try:
        data = json.loads(content)
        return data if isinstance(data, dict) and content_of(data) == content else None
    except (ValueError, RecursionError):
        return None


def write_digested(path: Path, data: Mapping[str, Any]) -> None:
    """Write a file with its digest, in one step. Raises ``NotWrittenError``; then the old one is unchanged."""
    write_whole(path, content_of(data))
