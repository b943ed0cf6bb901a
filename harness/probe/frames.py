"""Read of a FITS frame what a run must leave as it is: whether it is solved, and its data."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from typing import IO, Any, Optional

BLOCK, CARD = 2880, 80
MOST_BLOCKS = 64  # no camera writes a longer header
MOST_BYTES = 16 * 10**9  # `harness.record.limits.HASHED_BYTES`, which the probe can't import
_AT_ONCE = 1 << 20


def opened(path: str) -> IO[bytes]:
    """Open a regular file, or a link to one, for reading, without waiting.

    Opening a pipe waits for a writer, and a device may never end. Raises ``OSError`` for these, and for a file that is too large.
    """
    _require_regular(path, os.stat(path))
    flags = os.O_RDONLY
    for name in ("O_BINARY", "O_NONBLOCK", "O_CLOEXEC"):
        flags |= getattr(os, name, 0)
    file = os.open(path, flags)
    try:
        _require_regular(path, os.fstat(file))  # it may have been replaced
        return os.fdopen(file, "rb")
    except BaseException:
        os.close(file)
        raise


def _require_regular(path: str, about: os.stat_result) -> None:
    if not stat.S_ISREG(about.st_mode):
        raise NotRegularError(errno.EINVAL, "Not a regular file", path)
    if about.st_size > MOST_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)


class NotRegularError(OSError):
    """Raised for a pipe, a socket, a device or a folder in place of a file."""


def solved(path: str) -> Optional[bool]:
    """Return whether the first header of a FITS file places the image on the sky; ``None`` if that can't be read."""
    if not path.lower().endswith((".fit", ".fits", ".fts")):
        return None
    try:
        with opened(path) as stream:
            cards = _header(stream)
    except NotRegularError:
        return None
    if cards is None:
        return None
    if b"CRVAL1" in cards:
        return bool(cards.keys() & {b"CD1_1", b"CDELT1", b"PC1_1"})
    return None if b"EXTEND" in cards and b"NAXIS1" not in cards else False


def data_digest(path: str, opener: Callable[[str], Any] = opened) -> Optional[str]:
    """Return the SHA-256 of a FITS file without its first header; ``None`` if it has no image there, or can't be read.

    The cards that say how to read the data count too: their number type, shape, zero and scale. The padding after the data does
    not count: some programs leave it out. ``opener`` opens the file, by default if it is a regular one.
    """
    try:
        with opener(path) as stream:
            cards = _header(stream)
            if cards is None:
                return None
            axes = [int(cards[b"NAXIS%d" % (n + 1)]) for n in range(int(cards[b"NAXIS"]))]
            size = abs(int(cards[b"BITPIX"])) // 8
            for length in axes:
                size *= length
            if not axes or size <= 0:
                return None
            scale = [float(cards.get(name, default)) for name, default in ((b"BZERO", b"0"), (b"BSCALE", b"1"))]
            digest = hashlib.sha256(repr((int(cards[b"BITPIX"]), axes, scale)).encode())
            _hash(stream, digest, size)
            stream.seek(-size % BLOCK, 1)
            _hash(stream, digest, MOST_BYTES)
    except (OSError, ValueError, KeyError, OverflowError):
        return None
    return digest.hexdigest()


def _header(stream: IO[bytes]) -> Optional[dict[bytes, bytes]]:
    """Read the first header of a FITS file: the values by keyword; ``None`` if it has none, or no end."""
    cards: dict[bytes, bytes] = {}
    for _ in range(MOST_BLOCKS):
        block = stream.read(BLOCK)
        if len(block) < BLOCK or (not cards and not block.startswith(b"SIMPLE")):
            return None
        for start in range(0, BLOCK, CARD):
            card = block[start : start + CARD]
            cards.setdefault(card[:8].rstrip(), card[10:].split(b"/")[0].strip())
        if b"END" in cards:
            return cards
    return None


def _hash(stream: IO[bytes], digest: "hashlib._Hash", size: int) -> None:
    """Add the next bytes of a file to a digest, or all that are left if these are fewer."""
    while size > 0:
        data = stream.read(min(size, _AT_ONCE))
        if not data:
            return
        digest.update(data)
        size -= len(data)
