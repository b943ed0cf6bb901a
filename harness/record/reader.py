"""Read a record: the request, the history, the products, the left-over files and the seal of one run.

``docs/protocol.md`` specifies the files. A record stays readable after a crash: a torn last line is named and left out,
and a missing part is ``None`` or empty, which makes the checks that need it ``unknown``. A folder without a request, an
unknown format and unreadable products raise ``RecordError``. No content of the files raises any other error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from harness.language.message import say
from harness.record import limits
from harness.record.history import History, read_history
from harness.record.inputs import InputFile, read_inputs
from harness.record.leftovers import LeftFile, read_left
from harness.record.products import Products, read_products
from harness.record.request import Request
from harness.record.seal import Seal, damage, read_seal
from harness.record.truth import Truth, read_truth
from harness.record.values import UNREADABLE, RecordError, budget, read_json


@dataclass(frozen=True)
class Record:
    """The record of one run. Products, left-over files and seal are ``None`` if the run ended before they were written.

    ``truth`` is what the frames show; ``None`` if it is not known. ``damage`` names the files that differ from the seal,
    and what the target replaced of its record.
    ``inputs`` says what became of the input files; ``None`` if that was not recorded.
    """

    folder: Path
    request: Request
    history: History
    products: Products | None
    left: tuple[LeftFile, ...] | None
    seal: Seal | None
    damage: tuple[str, ...]
    truth: Truth | None = None
    inputs: tuple[InputFile, ...] | None = None

    @property
    def usable(self) -> bool:
        """Whether the run was sealed as done, no file was changed afterwards, and the record is within the limits."""
        return self.seal is not None and self.seal.state == "done" and not self.damage and not self.beyond

    @property
    def beyond(self) -> tuple[str, ...]:
        """A sentence for each limit of the harness that the record is beyond; empty if it is within them."""
        own = (self.history.beyond,) if self.history.beyond else ()
        return own if self.seal is None else tuple(dict.fromkeys((*own, *self.seal.beyond)))


def read_record(folder: Path) -> Record:
    """Read a record, sealed or not.

    Raises ``RecordError`` when there is no request, a file has an unknown format, or the seal or the products can't be read.
    """
    try:
        with budget(limits.RECORD_MEMORY):
            return _read(folder)
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


def _read(folder: Path) -> Record:
    request = read_request(folder)
    seal = read_seal(folder)
    damaged = (*seal.tampered, *damage(folder, seal)) if seal else ()
    history = read_history(folder)
    torn: list[str] = []
    left = read_left(folder, torn)
    inputs = read_inputs(folder, torn)
    return Record(
        folder=folder,
        request=request,
        history=replace(history, torn=(*history.torn, *torn)),
        products=read_products(folder),
        left=left,
        seal=seal,
        damage=damaged,
        truth=read_truth(folder),
        inputs=inputs,
    )


def read_request(folder: Path) -> Request:
    """Read the request of a run only. Raises ``RecordError`` when it is missing or can't be read."""
    path = folder / "request.json"
    try:
        return Request.from_json(read_json(path))
    except FileNotFoundError:
        raise RecordError(
            say("expected a record in {folder}, found no request.json there: name a run's folder", folder=str(folder))
        ) from None
    except UNREADABLE as error:
        raise RecordError(
            say(
                "expected a request in {path}, found one that can't be read ({error}): record the run again",
                path=str(path),
                error=str(error),
            )
        ) from error
