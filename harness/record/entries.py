"""Yield what a folder of a record holds, through no link, however much a target left there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from harness.record import limits, safe

DEEPEST = 64
"""Folders within folders that a walk enters. A deeper one is yielded as it is: no target has a use for it."""


def entries(
    folder: Path, name: str = "", *, without: str = "", deepest: int = DEEPEST
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield each entry below a folder of a record that is no folder, by its name from that folder with ``/``, and its facts.

    Links are yielded and not followed. At most ``limits.ENTRIES`` + 1 entries are yielded, and twice as many names read. A folder
    more than ``deepest`` folders below, or at the limit of names, is yielded, too. What can't be read, and ``without``, is not.
    """
    with contextlib.suppress(OSError), safe.opened(folder, name) as top:
        yield from islice(_below(top, "", deepest, [2 * (limits.ENTRIES + 1)], without), limits.ENTRIES + 1)


def _below(
    place: safe.Folder, prefix: str, depth: int, left: list[int], without: str = ""
) -> Iterator[tuple[str, os.stat_result]]:
    try:
        names = place.names(min(limits.ENTRIES + 1, left[0]))  # `left` is the number of names that may still be read
    except OSError:
        return
    left[0] -= len(names)
    for name in names:
        if name == without:
            continue
        with contextlib.suppress(OSError):
            about = place.about(name)
            if about is None:
                continue
            if not safe.is_folder(about) or depth == 0 or left[0] <= 0:
                yield f"{prefix}{name}", about
                continue
            with safe.Folder(name, place) as inner:
                yield from _below(inner, f"{prefix}{name}/", depth - 1, left)
