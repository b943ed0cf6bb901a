"""Know the content of a file as its writer wrote it, so that one which was rewritten in place is found.

A target has the rights of the harness: it may open a file of its record and write in it, which changes neither the name nor
the identity of the file. So the writer counts and hashes what it writes. The seal compares this with what it finds.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Any

_SHA256_DIGITS = 64
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Written:
    """The length and the SHA-256 of a file's content."""

    size: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return the content as the guard sends it."""
        return {"size": self.size, "sha256": self.sha256}


class Digest:
    """Count and hash what is written to a file, in its order."""

    def __init__(self, data: bytes = b"") -> None:
        self._size = 0
        self._hash = hashlib.sha256()
        self.add(data)

    def add(self, data: bytes | memoryview) -> None:
        """Take bytes that were written behind the others."""
        self._size += len(data)
        self._hash.update(data)

    def now(self) -> Written:
        """Return the content that was written until now."""
        return Written(self._size, self._hash.hexdigest())


def read_back(descriptor: int, most: int | None = None) -> Digest:
    """Hash an open file from its start, at most ``most`` bytes of it; its position is at the end of these afterwards."""
    found, left = Digest(), most
    os.lseek(descriptor, 0, os.SEEK_SET)
    while data := os.read(descriptor, _BLOCK if left is None else min(left, _BLOCK)):
        found.add(data)
        left = None if left is None else left - len(data)
    return found


def written_of(data: Any) -> Written | None:
    """Return a content that the guard reports; ``None`` for an answer of another form."""
    size, digest = (data.get("size"), data.get("sha256")) if isinstance(data, dict) else (None, None)
    fits = (
        type(size) is int
        and size >= 0
        and isinstance(digest, str)
        and len(digest) == _SHA256_DIGITS
        and set(digest) <= set("0123456789abcdef")
    )
    return Written(size, digest) if fits and isinstance(size, int) and isinstance(digest, str) else None
