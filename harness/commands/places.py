"""Choose the folders for a command's results when no option names one."""

from __future__ import annotations

import os
from pathlib import Path


def root() -> Path:
    """Return the folder of sessions: ``PHASE3_DIR``, else ``.phase3`` in the working folder."""
    given = os.environ.get("PHASE3_DIR")
    return (Path(given).expanduser() if given else Path(".phase3")).absolute()


def new_folder(parent: Path, name: str) -> Path:
    """Return the first of ``NAME-1``, ``NAME-2``, … that does not exist."""
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return parent / f"{name}-{number}"
