"""Link an output folder elsewhere into a record, at the path of the record's own ``outputs``."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.record import safe


def link(place: Path, folder: Path) -> bool:
    """Make a link (a junction on Windows) at ``place`` to a folder; return whether the system allowed it."""
    try:
        with safe.opened(place.parent) as above:
            above.link(place.name, str(folder))
    except OSError:
        if sys.platform != "win32":
            return False
        import _winapi  # noqa: PLC0415 -- Windows only; a junction needs no privilege

        try:
            _winapi.CreateJunction(str(folder), str(place))
        except OSError:
            return False
    return True


def unlink(place: Path) -> None:
    """Remove the link; the folder that it leads to stays. Nothing happens if there is something else, or nothing."""
    with safe.opened(place.parent) as above:
        about = above.about(place.name)
        if about is not None and safe.is_link(about):
            above.unlink(place.name)
