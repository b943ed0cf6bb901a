"""A browser without a network, and the pages that are opened in it."""

import os
import shutil
from pathlib import Path

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
"""Names of browsers that Playwright can steer over Chromium's protocol."""


def _program():
    """Return the path of a Chromium, or the reason why there is none."""
    asked = os.environ.get("PHASE3_CHROMIUM")
    if asked:
        return (asked, "") if Path(asked).is_file() else ("", f"PHASE3_CHROMIUM names no file: {asked}")
    found = next((path for name in PROGRAMS if (path := shutil.which(name))), "")
    return (
        found,
        "no Chromium on the path: install one (on Debian: apt-get install chromium), or name it in PHASE3_CHROMIUM",
    )


@pytest.fixture(scope="session")
def chromium():
    """Start a browser. Without one the tests are skipped, with the reason."""
    playwright = pytest.importorskip("playwright.sync_api")
    program, reason = _program()
    if not program:
        pytest.skip(reason)
    # A sandbox needs rights that root does not have in a container.
    sandbox = not hasattr(os, "geteuid") or os.geteuid() != 0
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, chromium_sandbox=sandbox)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium):
    """Return a function that opens a page from disk without a network. Every request to a host is a failure."""
    contexts, asked = [], []

    def opened(path, **options):
        context = chromium.new_context(offline=True, **options)
        contexts.append(context)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
