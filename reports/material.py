"""Read a session and its records once, for all views in all languages."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

from PIL import Image

from harness.record.reader import Record, read_record
from harness.record.values import RecordError, inside
from harness.session.model import RunEntry, Session, read_hashed
from harness.signoff.standing import Standing, beside
from reports.html import skymap
from reports.not_covered import Size, sizes

T = TypeVar("T")


class Material:
    """A session and its records. A record is read on first use and then kept.

    ``read`` is the session with the SHA-256 of its file, where they were read before. Raises ``ValueError`` when the folder
    contains no readable session.
    """

    def __init__(self, folder: Path, read: tuple[Session, str] | None = None) -> None:
        self.folder = folder
        self.session, self.sha256 = read_hashed(folder) if read is None else read
        self.runs: Mapping[str, RunEntry] = {run.key: run for run in self.session.runs}
        self._records: dict[str, Record | str] = {}
        self._photographs: dict[Path, Image.Image | None] = {}
        self._drawn: dict[Hashable, Any] = {}

    @cached_property
    def sizes(self) -> tuple[Size, ...]:
        """The sizes of the runs, from the same reading of the records as the views."""
        return sizes(map(self.record, self.runs))

    @cached_property
    def standing(self) -> Standing | None:
        """How the sign-off beside the session stands; ``None`` if there is none. Pages, which are written again, don't count."""
        return beside(self.folder, pages=False)

    def record(self, key: str | None) -> Record | str | None:
        """Return the record of a run, the error message if it can't be read, or ``None`` if the session has no such run."""
        if key is None or key not in self.runs:
            return None
        if key not in self._records:
            try:
                self._records[key] = read_record(inside(self.folder, self.runs[key].record))
            except (RecordError, OSError) as error:
                self._records[key] = str(error)
        return self._records[key]

    def drawn(self, key: Hashable, draw: Callable[[], T]) -> T:
        """Return a drawing without words, made on first use: it is the same in all languages."""
        if key not in self._drawn:
            self._drawn[key] = draw()
        return cast("T", self._drawn[key])

    def photograph(self, record: Record) -> Image.Image | None:
        """Return the decoded picture of a record's mosaic; ``None`` where there is none that can be read."""
        if record.folder not in self._photographs:
            self._photographs[record.folder] = skymap.picture_of(record)
        return self._photographs[record.folder]
