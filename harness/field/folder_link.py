"""Link an output folder elsewhere into a record, at the path of the record's own ``outputs``."""

from __future__ import annotations

import sys
from pathlib import Path


def link(place: Path, folder: Path) -> bool:
    """Make a link (a junction on Windows) at ``place`` to a folder; return whether the system allowed it."""
    try:
        place.symlink_to(folder, target_is_directory=True)
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
    """Remove the link; the folder that it leads to stays."""
    if sys.platform == "win32" and not place.is_symlink():
        place.rmdir()  # a junction
    else:
        place.unlink()
