"""Note the content of the files that the harness writes in a record, and find those that were rewritten in place since.

The notes belong to a record that is held open (`harness.record.safe.hold`). For other folders nothing is noted: no target is
alive there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.record import safe
from harness.record.written import Written, read_back


def wrote(folder: Path, name: str, content: Written) -> None:
    """Note the content of a file of a record, as its writer wrote it."""
    held = safe.held(folder)
    if held is not None:
        held.written[name] = content


def append(folder: Path, name: str, text: str) -> None:
    """Append text to a file of a record, which is made if it is missing. Raises ``OSError`` if it is no file with one name.

    If the file is no longer as it was written, the note stays as it is, so that the seal finds the difference.
    """
    held = safe.held(folder)
    before = None if held is None else held.written.get(name)
    with safe.opened(folder) as top:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        with os.fdopen(top.open(name, flags), "ab") as stream:
            now = None if before is None else read_back(stream.fileno(), before.size + 1)
            stream.write(text.encode())
    if now is not None and now.now() == before:
        now.add(text.encode())
        wrote(folder, name, now.now())


def found(folder: Path, digests: Mapping[str, str], skipped: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield a sentence part for each file whose content is not the noted one: its name and what it is.

    ``digests`` has the SHA-256 of the record's files. ``skipped`` are names for which the seal has a sentence already.
    """
    held = safe.held(folder)
    for name, content in sorted({} if held is None else held.written.items()):
        if name in skipped or digests.get(name) == content.sha256:
            continue
        yield f"{name}: other content than the harness wrote" if name in digests else f"{name}: removed"
