"""Mutate good files, and read them with every reader of the harness.

A reader answers a damaged file with a result or with an error of the harness (`OURS`), within seconds; any other exception is a
defect. `mutations` yields the damaged files, `READERS` has the readers. A longer run uses more seeds.
"""

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from fixtures.frame_facts import FrameError
from harness.analysis.wcs import FootprintError
from harness.language.message import SaidError
from harness.record.convert import ShapeError
from harness.run.measure import MeasureError
from harness.watch.guard import NotStartedError
from tests.readers import READERS, Reader

__all__ = ["OURS", "READERS", "Reader", "mutated", "mutations"]

OURS = (SaidError, FrameError, FootprintError, MeasureError, ShapeError, NotStartedError)
"""The errors of the harness, whose messages say what is wrong, where, and what to do."""

HUGE = int("9" * 400)
"""More than any float, and than any number that a file of the harness needs."""

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, HUGE, -HUGE, 1e308, float("inf"), float("nan"), 2**63, "", "a", "\ud800", "\udcff x",
    "\u202egpj.exe", "a\0b", "../../etc/passwd", "/etc/passwd", "C:\\x", "9" * 5000, [], [[]], [None], {}, {"a": HUGE}, [HUGE],
)  # fmt: skip
"""What is put in the place of a value in JSON."""

_BYTES = (b"", b"\0", b"\n", b"{", b"[]", b"{}", b"null", b"NaN", b"\xff\xfe", b"\xef\xbb\xbf", b"[" * 100_000)
_LINES = (b"\n", b"\0\n", b"{}\n", b"[]\n", b"\xff\n", b'{"t": 1e999}\n', b'{"a"\n', "\u202e\u2028x\n".encode())
_FLIPS = 12
_PLACES = 30


def mutations(data: bytes, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield damaged copies of a file, each with what was done to it. Another seed damages other places."""
    chance = random.Random(seed)
    for n in range(16):
        yield f"cut to {n}/16", data[: len(data) * n // 16]
    yield "cut by a byte", data[:-1]
    yield "twice", data * 2
    yield "byte order mark", b"\xef\xbb\xbf" + data
    yield "CRLF", data.replace(b"\n", b"\r\n")
    yield "lone CR", data.replace(b"\n", b"\r")
    yield "UTF-16", data.decode("utf-8", "replace").encode("utf-16")
    yield "bytes that are no UTF-8", data.replace(b"a", b"\xe9")
    for whole in _BYTES:
        yield f"nothing but {whole[:8]!r}", whole
    for line in _LINES:
        yield f"{line[:12]!r} at the end", data + line
        yield f"{line[:12]!r} at the start", line + data
    for _ in range(_FLIPS):
        place = chance.randrange(max(1, len(data)))
        yield f"another byte at {place}", data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :]
        yield f"a byte less at {place}", data[:place] + data[place + 1 :]
        yield f"random bytes at {place}", data[:place] + chance.randbytes(8) + data[place:]
    lines = data.split(b"\n")
    if len(lines) > 2:
        for n in chance.sample(range(len(lines)), min(4, len(lines))):
            yield f"without line {n + 1}", b"\n".join(lines[:n] + lines[n + 1 :])
            yield f"line {n + 1} twice", b"\n".join(lines[: n + 1] + lines[n:])
        other = lines[:]
        chance.shuffle(other)
        yield "lines in another order", b"\n".join(other)
    yield from _of_json(data, chance)


def _of_json(data: bytes, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield JSON with a key left out, doubled, or with another value; of JSON lines, in one of the lines."""
    with suppress(ValueError, RecursionError):
        whole = json.loads(data)
        yield from ((what, _dumped(changed)) for what, changed in _of_value(whole, chance))
        yield "keys twice", data.replace(b"{", b'{"format": 1, "format": [], ', 1)
        return
    lines = data.split(b"\n")
    parsed = {}
    for n, line in enumerate(lines):
        with suppress(ValueError, RecursionError):
            value = json.loads(line)
            if isinstance(value, dict):
                parsed[n] = value
    for n in chance.sample(sorted(parsed), min(6, len(parsed))):
        for what, changed in _of_value(parsed[n], chance):
            yield f"line {n + 1}, {what}", b"\n".join([*lines[:n], _dumped(changed), *lines[n + 1 :]])


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def _of_value(whole: Any, chance: random.Random) -> Iterator[tuple[str, Any]]:
    places = list(_places(whole))
    for place in chance.sample(places, min(_PLACES, len(places))):
        name = ".".join(map(str, place))
        if isinstance(place[-1], str):
            yield f"without {name}", _with(whole, place, None, drop=True)
        for value in chance.sample(VALUES, 3):
            yield f"{name} = {str(value)[:12]!r}", _with(whole, place, value)


def _places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for name, part in entries:
        yield (*before, name)
        yield from _places(part, (*before, name))


def _with(whole: Any, place: tuple[Any, ...], value: Any, *, drop: bool = False) -> Any:
    changed = whole.copy()
    if len(place) > 1:
        changed[place[0]] = _with(whole[place[0]], place[1:], value, drop=drop)
    elif drop:
        del changed[place[0]]
    else:
        changed[place[0]] = value
    return changed


CARDS = (
    "OBJECT  = Field 7 east",
    "RADESYS = 'a",
    "CRVAL1  = 10.0.0",
    "CRVAL1  = 'text'",
    "CRVAL1  = 1E999",
    "CD1_1   = NaN",
    "NAXIS1  = 9999999999",
    "NAXIS1  = -3",
    "NAXIS1  = 'a'",
    "NAXIS1  = 12.5",
    "NAXIS   = 0",
    "NAXIS   = 999",
    "NAXIS   = 'x'",
    "BITPIX  = 17",
    "BITPIX  = 'x'",
    "BSCALE  = 'x'",
    "BZERO   = 1E400",
    "SIMPLE  = F",
    "SOFTWARE= 'a",
    "ZMT_ID  = 1.2.3",
    "BAYERPAT= 'a",
    "END",
    "HIERARCH a b c = 'x",
    "CONTINUE  'x",
    "\xe9\xe9\xe9     = 'x'",
    "\0\0\0\0",
    "A_ORDER = 'x'",
    "A_ORDER = 99",
    "CTYPE1  = 12",
    "PANEL   = 'x",
)
"""Cards that are put in the place of others, or added: unparsable ones that nobody needs, and wrong ones."""


def of_fits(data: bytes, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield damaged copies of a FITS file: its bytes, and each card of `CARDS` in place of that keyword or at the end."""
    yield from mutations(data, seed)
    end = next(n for n in range(0, len(data), 80) if data[n : n + 8] == b"END     ")
    cards = [data[n : n + 80] for n in range(0, end, 80)]
    rest = data[-(-(end + 80) // 2880) * 2880 :]
    for text in CARDS:
        card = text.encode("latin-1").ljust(80)[:80]
        key = card[:8]
        changed = [card if known[:8] == key else known for known in cards]
        if changed == cards:
            changed = [*cards, card]
        yield text, _header(changed) + rest
    yield "no END", b"".join(cards).ljust(2880 * 3) + rest
    yield "no NAXIS", _header([card for card in cards if not card.startswith(b"NAXIS ")]) + rest
    yield "no SIMPLE", _header(cards[1:]) + rest
    yield "cards in another order", _header(cards[::-1]) + rest
    yield "no data", _header(cards)
    yield "half of the data", _header(cards) + rest[: len(rest) // 2]


def _header(cards: list[bytes]) -> bytes:
    block = b"".join([*cards, b"END".ljust(80)])
    return block.ljust(-(-len(block) // 2880) * 2880)


def mutated(reader: Reader, data: bytes, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield the mutations that fit the file of a reader."""
    return of_fits(data, seed) if reader.name.startswith("FITS") else mutations(data, seed)
