"""Know which runs of a session the harness itself made.

A target has the rights of its user. It can write a whole record, with a seal, where a later run of the session will be looked
for. It can't write the proof of it, which takes a secret: the processes of the session have it in their memory, and a worker
gets it without a file.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from contextlib import suppress
from pathlib import Path

from harness.record.seal import SEAL
from harness.record.values import RecordError, read_text, sha256_of
from harness.record.whole import write_whole


class OwnRuns:
    """The runs in a folder of records that were made by this process, by another one of the session, or before its start."""

    def __init__(self, records: Path) -> None:
        """Take the folder of the records. A worker of pytest-xdist has the secret and the earlier runs of its controller."""
        self.secret = secrets.token_hex(32)
        self.earlier: frozenset[str] = frozenset()
        """The keys of the finished runs that a resumed session had."""
        self._records = records
        self._own: set[str] = set()

    def __contains__(self, key: str) -> bool:
        """Return whether a run has a seal, and was made by the harness."""
        try:
            if not (self._records / key / SEAL).is_file():
                return False
            if key in self._own or key in self.earlier:
                return True
            return hmac.compare_digest(read_text(self._file(key)), self._proof(key))
        except (OSError, ValueError, TypeError):  # TypeError: other characters than those of a digest
            return False

    def note(self, key: str) -> None:
        """Note a run that this process has made. If that can't be written, another process makes the run again."""
        self._own.add(key)
        with suppress(OSError, RecordError):
            write_whole(self._file(key), self._proof(key))

    def _file(self, key: str) -> Path:
        return self._records / f"{key}.made"

    def _proof(self, key: str) -> str:
        seal = sha256_of(self._records / key / SEAL)
        return hmac.new(bytes.fromhex(self.secret), f"{key} {seal}".encode(), hashlib.sha256).hexdigest()
