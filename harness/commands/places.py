"""Where commands put what they make, unless they are told."""

from __future__ import annotations

import os
from pathlib import Path


def root() -> Path:
    """Return where sessions lie: ``PHASE3_DIR``, else ``.phase3`` here."""
    given = os.environ.get("PHASE3_DIR")
    return (Path(given).expanduser() if given else Path(".phase3")).absolute()


def new_folder(parent: Path, name: str) -> Path:
    """Return a folder that is not there yet."""
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return parent / f"{name}-{number}"
