"""Name the findings of ``docs/findings.md`` that concern a maintainer of ZeMosaic now.

A test compares the list with that page.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from harness.language.message import Message, say

DOCS = Path(__file__).resolve().parents[2] / "docs"
NEWEST = "271f109"
"""The newest version of ZeMosaic that was examined."""


@dataclass(frozen=True, slots=True)
class Known:
    """A finding: its number, its title, and the title in few words for a page."""

    number: int
    title: str
    short: Message

    @property
    def anchor(self) -> str:
        """The name of its heading, as GitHub makes it for links."""
        heading = f"{self.number}. {self.title}".lower()
        return re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")


IN_RETENTION = Known(
    14,
    "A tile that could not be written counts as made, and its caches are deleted",
    say("unwritten tile counts as made"),
)
"""The finding on the retention itself that is older than its fix."""

NEW = (
    Known(9, "A frame that is listed twice leaves an uncounted cache", say("uncounted cache of a frame listed twice")),
    Known(
        11,
        "With per_tile, a resumed run uses the frames of one panel for another",
        say("resumed per_tile run mixes panels"),
    ),
    Known(12, "A resumed run loses the tiles of its retries", say("resumed run loses retried tiles")),
    Known(
        13,
        "A second run in the same folder ignores new grouping settings",
        say("second run ignores new grouping settings"),
    ),
    Known(15, "Files for resuming are written in vain, or never read", say("files for resuming never read")),
    Known(
        17,
        "The quality gate rejects good tiles; at 271f109 it rejects all and takes all back",
        say("quality gate rejects good tiles"),
    ),
    Known(24, "Tiles made from chunks remove finished tiles", say("tiles from chunks remove finished ones")),
    Known(26, "Grid mode gives colour frames unequal channels", say("unequal colour channels in grid mode")),
)
"""What the fix or a later version brought."""

OLDER = (
    Known(2, "A tile without overlap is empty in the mosaic", say("tile without overlap is empty")),
    Known(6, "The mosaic of grid mode has wrong coordinates", say("wrong coordinates in grid mode")),
    Known(7, "Hot-pixel masks are kept until the end of the run and never read", say("hot-pixel masks are kept")),
    Known(
        16,
        "Folders whose name begins like the output folder's are ignored",
        say("folders with a similar name are ignored"),
    ),
    Known(23, "A frame whose name is not ASCII makes no tile", say("names not in ASCII")),
)
"""What is older than the fix, and still there in the newest version that was examined."""

SCATTER = (
    Known(8, "Two equal runs differ", say("equal runs differ")),
    Known(22, "With the default settings the mosaic's brightness varies", say("brightness varies")),
)
"""Why the default settings prove nothing about the outputs."""


def link_to(page: str, folder: Path) -> str:
    """Return the relative link from a folder to a page of the documentation; empty outside the project's own folder."""
    here = folder.resolve()
    if not here.is_relative_to(DOCS.parent):
        return ""
    return Path(os.path.relpath(DOCS / page, here)).as_posix()
