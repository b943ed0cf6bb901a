"""Open an archive of numpy arrays from anywhere: what it declares is compared with the limits before any of it is read."""

from __future__ import annotations

import math
import os
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from harness.language.message import say
from harness.record import limits
from harness.record.values import BeyondError, open_regular, size_of, spend

_END = 22  # bytes of a zip file's last record, which numpy writes without a comment
_ZIP64 = 20
_ENTRY_BYTES = 256  # of the list of files, for each file
# Bytes of memory for each element: bits are unpacked and copied, and the others are converted to these widths.
_WIDTHS = {"covered": 16, "constant": 16, "depth": 4}


@contextmanager
def open_arrays(path: Path) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Open an archive of arrays, each of which is read when it is asked for.

    Raises
    ------
    BeyondError
        When the archive, or its arrays together, are beyond the limits. Nothing was unpacked.
    RecordError, OSError, ValueError
        When it can't be read.

    """
    with open_regular(path, limits.ARCHIVE_BYTES) as stream:
        _require_few_entries(stream, path.name)
        spend(_declared(stream, path.name), path.name)
        stream.seek(0)
        # Opened above, because numpy leaves the file open if it can't read the archive.
        with np.load(stream, allow_pickle=False) as arrays:
            yield arrays


def _require_few_entries(stream: IO[bytes], name: str) -> None:
    """Refuse a long list of files before it is read: each entry takes ten times its bytes in memory."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _END - _ZIP64))
    tail = stream.read()
    end = tail[-_END:]
    if len(end) < _END or not end.startswith(b"PK\x05\x06"):
        raise ValueError(f"{name} is not an archive that numpy wrote")
    entries, length = struct.unpack("<10xHL6x", end)
    if tail.startswith(b"PK\x06\x07") or entries > limits.ARRAYS or length > limits.ARRAYS * _ENTRY_BYTES:
        raise _beyond(name, f"{limits.ARRAYS:,} arrays", "more")


def _declared(stream: IO[bytes], name: str) -> int:
    """Return the bytes of memory that all arrays take, by their headers. Raises ``BeyondError`` beyond the limit."""
    memory = 0
    with zipfile.ZipFile(stream) as archive:
        for entry in archive.infolist():
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{entry.filename} is compressed in a way that numpy does not write")
            if entry.file_size > limits.ARRAYS_BYTES:
                raise _beyond(name, size_of(limits.ARRAYS_BYTES), size_of(entry.file_size))
            with archive.open(entry) as part:
                shape, dtype = _header(part)
            count = math.prod(shape)
            if dtype.kind not in "fiub" or count * dtype.itemsize > entry.file_size or max(shape, default=0) > 2**40:
                raise ValueError(f"{entry.filename} of {entry.file_size} bytes declares the shape {shape} of {dtype}")
            kind = entry.filename.removesuffix(".npy")
            memory += count * max(dtype.itemsize, _WIDTHS.get(kind, 2 if kind.endswith("_count") else 8))
            if memory > limits.ARRAYS_BYTES:
                raise _beyond(name, size_of(limits.ARRAYS_BYTES), size_of(memory))
    return memory


def _header(part: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read the header of an array: its shape and type."""
    version = np.lib.format.read_magic(part)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(part)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(part)
    return shape, dtype


def _beyond(name: str, most: str, found: str) -> BeyondError:
    return BeyondError(
        say(
            "expected at most {most} in {name}, found {found}: it is beyond the limits of the harness (docs/protocol.md)",
            most=most,
            name=name,
            found=found,
        )
    )
