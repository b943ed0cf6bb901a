"""Look at the headers of a FITS file before a library reads it: a file may declare 10⁹ axes, or a header without an end.

Only sizes are looked at. What else may be wrong with a file is for the library that reads it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO

from harness.language.message import say
from harness.record import limits
from harness.record.packed import fits_its_pixels
from harness.record.values import BeyondError, RecordError, open_regular, size_of

_BLOCK, _CARD = 2880, 80
_GOES_ON = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")  # after END: it is the start of another keyword
_LONGEST_VALUE = 20  # the columns of a number in a card of fixed format
_NUMBER = re.compile(rf"[+-]?\d{{1,{_LONGEST_VALUE}}}", re.ASCII)
# The cards on which sizes depend. A file in which two readers could see different values of them is refused.
_SIZES = re.compile(
    r"XTENSION|Z?(BITPIX|NAXIS\d*|PCOUNT|GCOUNT)|GROUPS|TFIELDS|TFORM\d+|TTYPE\d+|THEAP|ZIMAGE|ZTILE\d+|ZCMPTYPE"
)


def require_fits(
    path: Path, *, pixels: int = limits.PIXELS, side: int = limits.SIDE, first: bool = False, links: bool = False
) -> int:
    """Refuse a file that is no FITS file, or beyond the limits; return the bytes of its headers.

    Limited are the bytes of the file and of all its headers, and the axes and values of each image: ``pixels`` limits rows by
    columns, ``side`` each of them. ``first`` looks at the first header only. ``links`` allows a link.

    Raises
    ------
    BeyondError
        When the file is beyond a limit: which one, and what was found.
    RecordError
        When it is not a regular file, or does not begin as FITS.
    OSError
        When it can't be opened.

    """
    with open_regular(path, limits.HASHED_BYTES, links=links) as stream:
        about = os.fstat(stream.fileno())
        if (
            about.st_size > limits.SPARSE_BYTES
            and getattr(about, "st_blocks", about.st_size) * 512 < about.st_size // 100
        ):
            raise BeyondError(
                say(
                    "expected a FITS file whose content is written, found {path} of {size}, of which less than 1 % is "
                    "written: leave it out",
                    path=str(path),
                    size=size_of(about.st_size),
                )
            )
        place = headers = 0
        for _ in range(limits.HDUS):
            stream.seek(place)
            cards = _header(stream, path, headers // _BLOCK)
            headers += stream.tell() - place
            if cards is None:
                return headers  # the end of the file, or of what can be read: the library says so
            size = _data_bytes(cards, path)
            _require_image(cards, path, pixels, side)
            if _is_packed(cards):
                _require_parts(stream, cards, path)
            place = stream.tell() + size + -size % _BLOCK
            if first or place >= about.st_size:
                return headers
        raise BeyondError(
            say(
                "expected a FITS file within the limits of the harness (docs/protocol.md) in {path}, found more than {count} "
                "headers: leave it out",
                path=str(path),
                count=limits.HDUS,
            )
        )


def _header(stream: IO[bytes], path: Path, before: int) -> Mapping[str, str] | None:
    """Read a header: the values of the cards by keyword, each the first. ``None`` at the end of the file.

    ``before`` is the number of blocks of the headers before it.
    """
    cards: dict[str, str] = {}
    for n in range(limits.HEADER_BLOCKS - before):
        block = stream.read(_BLOCK)
        if before + n == 0 and not block.startswith(b"SIMPLE"):
            raise RecordError(
                say(
                    "expected a FITS file that can be read in {path}, found one that does not begin with SIMPLE: "
                    "unpack it, or leave it out",
                    path=str(path),
                )
            )
        if len(block) < _BLOCK:
            return None
        for start in range(0, _BLOCK, _CARD):
            card = block[start : start + _CARD]
            if card.startswith(b"END") and card[3:].lstrip(b" ")[:1] not in {bytes([letter]) for letter in _GOES_ON}:
                return cards
            _add(cards, card, path)
    raise BeyondError(
        say(
            "expected a FITS file within the limits of the harness (docs/protocol.md) in {path}, found headers of more than "
            "{count} blocks: leave it out",
            path=str(path),
            count=limits.HEADER_BLOCKS,
        )
    )


def _add(cards: dict[str, str], card: bytes, path: Path) -> None:
    """Add the value of a card. Raises ``RecordError`` for a size that has two values, or that not every library would see."""
    before, _, after = (part.decode("latin-1") for part in card.partition(b"="))
    name = before.strip()
    value = after.split("/")[0].strip()
    known = name.upper().removeprefix("HIERARCH").strip()
    if _SIZES.fullmatch(known) and (name != known or cards.get(name, value) != value):
        raise RecordError(
            say(
                "expected {name} once, in capital letters, in a header of {path}, found {card}: leave it out",
                name=known,
                path=str(path),
                card=card.decode("latin-1").strip(),
            )
        )
    cards.setdefault(name, value)


def _is_packed(cards: Mapping[str, str]) -> bool:
    """Return whether a table holds an image. Libraries take any value of ``ZIMAGE`` that is not false."""
    return cards.get("ZIMAGE", "F") != "F"


def _data_bytes(cards: Mapping[str, str], path: Path) -> int:
    """Return the number of bytes of the data that follow a header."""
    axes = _axes(cards, path, "NAXIS")
    if axes and axes[0] == 0 and len(axes) > 1 and cards.get("GROUPS") == "T":
        axes = axes[1:]
    values = math.prod(axes) if axes else 0
    whole = partial(_whole, cards, path)
    found = abs(whole("BITPIX", 8)) // 8 * whole("GCOUNT", 1) * (whole("PCOUNT", 0) + values)
    if found < 0:
        raise RecordError(say("expected a size of the data in {path}, found a negative one", path=str(path)))
    return found


def _axes(cards: Mapping[str, str], path: Path, name: str) -> list[int]:
    count = _whole(cards, path, name, 0)
    if count > limits.AXES:
        raise BeyondError(
            say(
                "expected a FITS file within the limits of the harness (docs/protocol.md) in {path}, found {name} = {count}: "
                "leave it out",
                path=str(path),
                name=name,
                count=cards[name][:_LONGEST_VALUE],
            )
        )
    axes = [_whole(cards, path, f"{name}{n + 1}", 0) for n in range(count)]
    if any(length < 0 for length in axes):
        raise RecordError(say("expected a size of the data in {path}, found a negative one", path=str(path)))
    return axes


def _require_image(cards: Mapping[str, str], path: Path, pixels: int, side: int) -> None:
    """Refuse an image with too many pixels. Tables are not read."""
    packed = _is_packed(cards)
    if "TABLE" in cards.get("XTENSION", "") and not packed:
        return
    name = "ZNAXIS" if packed else "NAXIS"
    axes = _axes(cards, path, name)
    # The colours are the first or the last axis.
    longest = sorted(axes)[-2:]
    if math.prod(longest) > pixels or max(longest, default=0) > side or math.prod(axes) > 4 * pixels:
        raise BeyondError(
            say(
                "expected a FITS file within the limits of the harness (docs/protocol.md) in {path}, found an image of "
                "{shape} pixels: leave it out",
                path=str(path),
                shape=" x ".join(map(str, axes)),
            )
        )


def _require_parts(stream: IO[bytes], cards: Mapping[str, str], path: Path) -> None:
    """Refuse a packed image whose parts are larger than its pixels, packed or unpacked."""
    axes = _axes(cards, path, "ZNAXIS")
    whole = partial(_whole, cards, path)
    tile = [whole(f"ZTILE{n}", axes[0] if n == 1 else 1) for n in range(1, len(axes) + 1)]
    if not fits_its_pixels(stream, cards, whole, axes, tile):
        raise BeyondError(
            say(
                "expected a FITS file within the limits of the harness (docs/protocol.md) in {path}, found a packed image with "
                "parts of {shape} pixels whose data are larger than that, or too many of them: leave it out",
                path=str(path),
                shape=" x ".join(map(str, tile)),
            )
        )


def _whole(cards: Mapping[str, str], path: Path, name: str, default: int) -> int:
    """Return the whole number of a card. Raises ``RecordError`` for anything else: a library might read it as another number."""
    text = cards.get(name, "")
    if not text:
        return default
    if not _NUMBER.fullmatch(text):
        raise RecordError(
            say(
                "expected a whole number as {name} in a header of {path}, found {value}: leave it out",
                name=name,
                path=str(path),
                value=text[: 2 * _LONGEST_VALUE],
            )
        )
    return int(text)
