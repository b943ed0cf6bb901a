"""A link to an output folder that lies elsewhere, at the place where a record has its own."""

from __future__ import annotations

import sys
from pathlib import Path


def link(place: Path, folder: Path) -> bool:
    """Let a folder be seen at a place; say whether that could be done."""
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
    """Take the link away; what it leads to stays."""
    if sys.platform == "win32" and not place.is_symlink():
        place.rmdir()  # a junction
    else:
        place.unlink()
