"""The documents: links and paths in them lead to what exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")])
# A changelog also names what is gone.
OF_TODAY = [page for page in PAGES if page.name != "CHANGELOG.md"]


def anchors(page):
    """Return the names of a page's headings, as GitHub makes them for links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """A link within the project names a file, and a heading of it if it has an anchor."""
    links = re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8"))
    broken = []
    for link in links:
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", OF_TODAY, ids=lambda page: page.name)
def test_paths_of_the_project_exist(page):
    """A path of the project in a page or a command is a file or folder. A word in capitals, or a star, stands for any name."""
    tops = "harness|reports|fixtures|scenarios|tests|benchmarks|docs"
    paths = re.findall(rf"(?<![\w./:-])((?:{tops})/[\w./*-]*\w)", page.read_text(encoding="utf-8"))
    patterns = [re.sub(r"[A-Z]{2,}", "*", path) for path in paths]
    assert [pattern for pattern in patterns if not any(ROOT.glob(pattern))] == []
