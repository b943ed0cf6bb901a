"""Read ``inputs.jsonl``: what became of the files in a run's input folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.record.values import read_samples
from harness.record.whole import write_whole

NAME = "inputs.jsonl"


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file of the input folder, compared with what it was before the run.

    Parameters
    ----------
    path
        Path below the input folder, with ``/``.
    state
        ``same``; ``changed`` (its bytes differ, or, where they were not hashed, its size or the time of its last write);
        ``touched`` (hashes are not known, and only its metadata were written); ``moved``; ``gone``; ``added``: it was not there
        before the run. Any other word is read as it is, and no check takes it for ``same``.
    before, after
        SHA-256 of the content; ``None`` where it was not hashed.
    to
        Where the file was moved: below the record, or below the input folder.
    solved
        Whether the frame had a celestial WCS before the run; ``None`` if that is not known.
    link
        The file behind the link, if the frame is a link.
    data_before, data_after
        SHA-256 of the frame without its first header, of frames without a celestial WCS; ``None`` where it was not hashed.

    """

    path: str
    state: str
    before: str | None = None
    after: str | None = None
    to: str | None = None
    solved: bool | None = None
    link: str | None = None
    data_before: str | None = None
    data_after: str | None = None


def write_inputs(record: Path, files: Iterable[InputFile]) -> None:
    """Write ``inputs.jsonl``."""
    lines = (json.dumps(asdict(file)) for file in files)
    write_whole(record / NAME, "".join(f"{line}\n" for line in lines))


def read_inputs(folder: Path, torn: list[str]) -> tuple[InputFile, ...] | None:
    """Read ``inputs.jsonl``; return ``None`` if it is missing or has an unreadable line. These lines are added to ``torn``."""
    path = folder / NAME
    if not path.exists():
        return None
    unread: list[str] = []
    found = read_samples(path, unread, InputFile)
    torn += unread
    return None if unread else found
