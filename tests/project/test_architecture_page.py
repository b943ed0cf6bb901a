"""Test that the page on the architecture and the tree agree."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATH = re.compile(r"(?<![\w./-])(?:harness|fixtures|reports|scenarios|tests|docs|benchmarks)/[\w./-]*")


def test_the_page_names_every_room_and_only_paths_that_exist():
    """Every package is named on the page by its path, and every path on the page exists."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {path.rstrip("./-") for path in PATH.findall(text)}
    rooms = {
        file.parent.relative_to(ROOT).as_posix()
        for top in ("harness", "fixtures", "reports")
        for file in (ROOT / top).rglob("*/__init__.py")
    }
    assert sorted(room for room in rooms if not re.search(rf"(?<![\w/]){room}(?![\w-])", text)) == []
    assert sorted(path for path in named if not (ROOT / path).exists()) == []
