"""Look at the parts of a packed FITS image before a library unpacks them: gzip packs a gigabyte of zeros in a megabyte.

The other methods (Rice, H-compress, PLIO) unpack into the pixels that the header declares, and no more. A table that can't be
read is for the library to refuse. Columns and descriptors are those of the FITS standard 4.0, sections 7.3 and 10.1.
"""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

PIXELS = 1 << 24
"""The most pixels of one part: a part is unpacked at once."""

_COLUMNS = ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA")
_WIDTHS = {"L": 1, "B": 1, "A": 1, "I": 2, "J": 4, "E": 4, "K": 8, "D": 8, "C": 8, "M": 16, "P": 8, "Q": 16}  # bytes
_DESCRIPTORS = {"P": ">ii", "Q": ">qq"}
_FORMAT = re.compile(r"'?\s*(\d{0,6})([LXBAIJEKDCMPQ])([BIJ]?)")
_FIELDS = 999
_PARTS = 1_000_000
_PIXEL_BYTES = 8
_SLACK = 1 << 16  # bytes that a part of noise may take beyond twice its pixels
_PIECE = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS


def fits_its_pixels(
    stream: IO[bytes],
    cards: Mapping[str, str],
    whole: Callable[[str, int], int],
    axes: Sequence[int],
    tile: Sequence[int],
) -> bool:
    """Return whether the parts of a packed image are no larger than its pixels, packed or unpacked.

    Parameters
    ----------
    stream
        At the start of the table's data; it is there again at the end.
    cards
        The values of the table's header, as text.
    whole
        Returns a whole number of that header by its keyword, or the given default.
    axes, tile
        The pixels of the image, and of one part, along each axis.

    """
    parts = math.prod(-(-length // max(1, step)) for length, step in zip(axes, tile, strict=True))
    if math.prod(tile) > PIXELS or parts > _PARTS:
        return False
    if whole("PCOUNT", 0) > 2 * math.prod(axes) * _PIXEL_BYTES + parts * _SLACK:
        return False
    most = math.prod(tile) * _PIXEL_BYTES
    begin = stream.tell()
    try:
        return all(
            packed is not None and not _unpacks_beyond(packed, most)
            for packed in _parts(stream, cards, whole, parts, 2 * most + _SLACK)
        )
    finally:
        stream.seek(begin)


def _parts(
    stream: IO[bytes], cards: Mapping[str, str], whole: Callable[[str, int], int], parts: int, most: int
) -> Iterator[bytes | None]:
    """Yield the bytes of each part in each column; ``None`` for one of more than ``most`` bytes."""
    begin, width, rows = stream.tell(), whole("NAXIS1", 0), whole("NAXIS2", 0)
    heap = begin + whole("THEAP", width * rows)
    for place, form, size in _columns(cards, whole):
        layout = struct.Struct(form)
        for row in range(min(rows, parts)):
            stream.seek(begin + row * width + place)
            found = stream.read(layout.size)
            if len(found) < layout.size:
                return
            length, offset = layout.unpack(found)
            if length * size > most:
                yield None
            if length > 0 and heap + offset >= 0:
                stream.seek(heap + offset)
                yield stream.read(length * size)


def _columns(cards: Mapping[str, str], whole: Callable[[str, int], int]) -> Iterator[tuple[int, str, int]]:
    """Yield the place of each column of packed parts in a row, the form of its descriptor, and the bytes of an element."""
    place = 0
    for n in range(1, min(whole("TFIELDS", 0), _FIELDS) + 1):
        found = _FORMAT.match(cards.get(f"TFORM{n}", ""))
        if found is None:
            return
        count, code, inner = found.groups()
        many = int(count) if count else 1
        if code in _DESCRIPTORS and many and cards.get(f"TTYPE{n}", "").strip("' ").upper() in _COLUMNS:
            yield place, _DESCRIPTORS[code], _WIDTHS[inner or "B"]
        place += -(-many // 8) if code == "X" else many * _WIDTHS[code]


def _unpacks_beyond(packed: bytes, most: int) -> bool:
    """Return whether gzip data unpack to more than ``most`` bytes. Data of several members unpack to all of them."""
    unpacked = 0
    while packed.startswith(b"\x1f\x8b"):
        member = zlib.decompressobj(_GZIP)
        while packed and not member.eof:
            try:
                piece = member.decompress(packed, _PIECE)
            except zlib.error:
                return False
            unpacked += len(piece)
            if unpacked > most:
                return True
            packed = member.unconsumed_tail
        packed = member.unused_data.lstrip(b"\0")
    return False
