"""Keep the results of a long run in a file, so that a run that was cut off goes on where it was.

The results belong to one source, one seed, and one system. With another, they are begun again: a changed harness has to be
attacked anew, and the document states the versions with which all attempts were made.
"""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.session.source import ROOT, own_source
from tests.reliability.families import FAMILIES
from tests.reliability.tally import Tally

FORMAT = "phase3-reliability/2"
OWN = ("mutations.py", "readers.py", "program_readers.py", "hostile.py", "faults.py", "reliability")
"""The files and folders of ``tests`` that decide what is attacked, beside the harness's own source."""


def source() -> str:
    """Return the digest of what is attacked, and of what attacks."""
    own = hashlib.sha256(json.dumps(own_source(), sort_keys=True).encode())
    for name in OWN:
        path = ROOT / "tests" / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            own.update(file.name.encode() + file.read_bytes())
    return own.hexdigest()[:16]


def commit() -> str:
    """Return the commit of the checkout, with a mark if files differ from it; empty without git."""
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=7"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    except OSError:
        return ""
    return done.stdout.strip()


def system() -> dict[str, str]:
    """Return the versions on which the results depend, and the rights of the user."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    return {
        "Python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "astropy")},
        "system": f"{platform.system()} {platform.release()}, {os.cpu_count()} processors",
        "user": "root" if root else "without root's rights",
    }


@dataclass
class Store:
    """The results so far: which attempts of which family were made, what they found, and when."""

    path: Path
    seed: int
    tallies: dict[str, Tally] = field(default_factory=dict)
    done: dict[str, set[int]] = field(default_factory=dict)
    seconds: float = 0.0
    first: str = ""
    last: str = ""

    def read(self) -> None:
        """Read what an earlier run of the same source, seed and system found; put results of another away."""
        if not self.path.is_file():
            return
        text = self.path.read_text(encoding="utf-8")
        lines = _parsed(text.splitlines())
        if not lines or lines[0] != self._head():
            self.path.replace(self.path.with_suffix(".old.jsonl"))
            return
        whole = "".join(json.dumps(line) + "\n" for line in lines)
        if whole != text:  # a line that was cut off would make the next one unreadable
            self.path.write_text(whole, encoding="utf-8")
        for data in lines[1:]:
            self._take((data["first"], data["last"]), Tally.from_json(data), data["seconds"], data["date"])

    def add(self, block: tuple[int, int], tally: Tally, seconds: float, *, keep: bool = True) -> None:
        """Add the results of a block, and write them; without ``keep`` they are only added."""
        date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        self._take(block, tally, seconds, date)
        if not keep:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = not self.path.exists()
        with self.path.open("a", encoding="utf-8") as stream:
            if new:
                stream.write(json.dumps(self._head()) + "\n")
            data = {"first": block[0], "last": block[1], "seconds": seconds, "date": date, **tally.to_json()}
            stream.write(json.dumps(data) + "\n")

    def _head(self) -> dict[str, Any]:
        return {"format": FORMAT, "source": source(), "seed": self.seed, "system": system()}

    def _take(self, block: tuple[int, int], tally: Tally, seconds: float, date: str) -> None:
        numbers = set(range(block[0], block[1] + 1))
        known = self.done.setdefault(tally.family, set())
        if known & numbers:
            return  # no attempt counts twice
        known |= numbers
        self.tallies[tally.family] = self.tallies.get(tally.family, Tally(tally.family)) + tally
        self.seconds += seconds
        self.first, self.last = self.first or date, date

    def missing(self, name: str, count: int) -> list[list[int]]:
        """Return the blocks of a family that are not yet made, of the first ``count`` attempts."""
        size, done = FAMILIES[name].block, self.done.get(name, set())
        blocks = [range(first, min(first + size, count)) for first in range(0, count, size)]
        left = [[number for number in block if number not in done] for block in blocks]
        return [block for block in left if block]


def _parsed(lines: Iterable[str]) -> list[dict[str, Any]]:
    """Return the lines that are whole: the last one of a run that was killed may not be."""
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found
