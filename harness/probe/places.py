"""Find places in the target's own source: the files that lie in its folder and are no library, and the calls that led here."""

from __future__ import annotations

import functools
import os
import sys
from typing import Any, Optional

MOST_CALLS = 4
"""The innermost calls in the target's source that are recorded of a removal."""
_DEEPEST = 60
"""The most frames that are looked at: a removal must not become slow."""
_PROBE = os.path.join(os.path.realpath(os.path.dirname(os.path.abspath(__file__))), "")
# Folders of installed libraries. A user's environment may lie in the target's own folder.
_LIBRARIES = ("/site-packages/", "/dist-packages/")


@functools.lru_cache(maxsize=4096)
def inside(source: str, path: str) -> Optional[str]:
    """Return a path relative to the target's folder, with slashes; ``None`` if it is elsewhere, in a library or in the probe."""
    if not source or path.startswith("<"):
        return None
    whole = os.path.realpath(path)
    if not whole.startswith(os.path.join(source, "")) or whole.startswith(_PROBE):
        return None
    name = os.path.relpath(whole, source).replace(os.sep, "/")
    return None if any(folder in f"/{name}" for folder in _LIBRARIES) else name


def calls(source: str) -> "list[str]":
    """Return the innermost calls of this thread in the target's source, the last one last, as ``file:line function``."""
    found: "list[str]" = []
    frame: Any = sys._getframe(1)  # noqa: SLF001 -- the documented way to the stack of this thread
    for _ in range(_DEEPEST):
        if frame is None or len(found) == MOST_CALLS:
            break
        name = inside(source, frame.f_code.co_filename)
        if name is not None:
            found.append(f"{name}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return found[::-1]
