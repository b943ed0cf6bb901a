"""The record of a run: its files, and the typed history in them. Reading only.

``docs/protocol.md`` specifies the files. A record stays readable after a crash: a torn last line is dropped and named,
a missing part is ``None`` or empty, and checks that need it conclude ``unknown``. Only a record that is not one at all,
or of a newer format, raises ``RecordError``; nothing else is raised, whatever the bytes of its files are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from harness.language.message import say
from harness.record.history import History, read_history
from harness.record.leftovers import LeftFile, read_left
from harness.record.products import Products, read_products
from harness.record.request import Request
from harness.record.seal import Seal, damage, read_seal
from harness.record.truth import Truth, read_truth
from harness.record.values import UNREADABLE, RecordError, read_json


@dataclass(frozen=True)
class Record:
    """One run: request, history, products, left-overs and seal, each ``None`` where the run did not get that far.

    ``truth`` is what the dataset shows, ``None`` where nobody knows.
    """

    folder: Path
    request: Request
    history: History
    products: Products | None
    left: tuple[LeftFile, ...] | None
    seal: Seal | None
    damage: tuple[str, ...]
    truth: Truth | None = None

    @property
    def usable(self) -> bool:
        """Whether the run was sealed as done and nothing was changed since."""
        return self.seal is not None and self.seal.state == "done" and not self.damage


def read_record(folder: Path) -> Record:
    """Read a record, sealed or not.

    Raises
    ------
    RecordError
        When there is no request, a file has a format of another version, or what was measured can't be read.

    """
    try:
        return _read_record(folder)
    except RecordError:
        raise
    except (*UNREADABLE, OSError) as error:
        raise RecordError(
            say(
                "expected a record in {folder}, found one that can't be read ({error}): record the run again",
                folder=str(folder),
                error=repr(error),
            )
        ) from error


def read_request(folder: Path) -> Request:
    """Read what a run was asked to do, and nothing else of its record.

    Raises
    ------
    RecordError
        When there is no request, or none that can be read.

    """
    path = folder / "request.json"
    try:
        return Request.from_json(read_json(path))
    except FileNotFoundError:
        raise RecordError(
            say(
                "expected a record with a request.json, found none in {folder}: name a run's folder", folder=str(folder)
            )
        ) from None
    except UNREADABLE as error:
        raise RecordError(
            say(
                "expected a request in {path}, found one that can't be read ({error}): record the run again",
                path=str(path),
                error=str(error),
            )
        ) from error


def _read_record(folder: Path) -> Record:
    request = read_request(folder)
    seal = read_seal(folder)
    damaged = tuple(damage(folder, seal)) if seal else ()
    history = read_history(folder)
    torn: list[str] = []
    left = read_left(folder, torn)
    return Record(
        folder=folder,
        request=request,
        history=replace(history, torn=(*history.torn, *torn)),
        products=read_products(folder),
        left=left,
        seal=seal,
        damage=damaged,
        truth=read_truth(folder),
    )
