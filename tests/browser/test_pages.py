"""Open the report as a reviewer does: from disk, without a network, with and without JavaScript, narrow, dark, printed."""

import pytest

from harness.language.system import CODES
from reports.html.build import FILES
from tests.reports.conftest import folders  # noqa: F401 -- the sessions with their pages

KINDS = ("reference", "zemosaic", "unsealed", "hostile")
ALL_OPEN = "document.querySelectorAll('details').forEach(part => { part.open = true })"
# Links of one page: text, address, and whether the place exists.
LINKS = """() => [...document.querySelectorAll('a[href^="#"]')].map(link => ({
    text: (link.getAttribute('aria-label') || link.textContent).trim(),
    to: link.getAttribute('href'),
    there: document.getElementById(decodeURIComponent(link.getAttribute('href').slice(1))) !== null
}))"""


@pytest.fixture(params=CODES)
def code(request):
    """Return each language."""
    return request.param


@pytest.mark.parametrize("kind", KINDS)
def test_every_link_leads_somewhere(kind, code, opened, folders):  # noqa: F811
    """Each link within the page has its place, and each link to a file its file."""
    page = opened(folders[kind] / FILES[code])
    links = page.evaluate(LINKS)
    assert links
    assert [link for link in links if not link["there"]] == []
    files = page.evaluate("() => [...document.querySelectorAll('a[href]:not([href^=\"#\"])')].map(link => link.href)")
    local = [url for url in files if url.startswith("file:")]
    assert local
    for url in local:
        assert page.context.new_page().goto(url) is not None


@pytest.mark.parametrize("kind", KINDS)
def test_links_of_one_text_lead_to_one_place(kind, code, opened, folders):  # noqa: F811
    """A reader who hears only the links must know where each leads."""
    places = {}
    for link in opened(folders[kind] / FILES[code]).evaluate(LINKS):
        places.setdefault(link["text"], set()).add(link["to"])
    assert {text: to for text, to in places.items() if len(to) > 1} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing(kind, theme, code, opened, folders):  # noqa: F811
    """The page keeps the rules of WCAG and good practice, with every folded part open, in both themes."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = opened(folders[kind] / FILES[code], color_scheme=theme)
    page.evaluate(ALL_OPEN)
    found = axe.run(page).response["violations"]
    assert [(rule["id"], [node["target"] for node in rule["nodes"]][:3]) for rule in found] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_narrow_page_does_not_scroll_sideways(kind, code, opened, folders):  # noqa: F811
    """On a telephone of 360 pixels only tables scroll, each in its own frame."""
    page = opened(folders[kind] / FILES[code], viewport={"width": 360, "height": 740})
    page.evaluate(ALL_OPEN)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_whole_without_javascript(kind, code, opened, folders):  # noqa: F811
    """Without JavaScript the same text and the same pictures are there."""
    with_scripts, without = (
        opened(folders[kind] / FILES[code], java_script_enabled=enabled) for enabled in (True, False)
    )
    texts = [page.locator("main").inner_text() for page in (with_scripts, without)]
    pictures = [page.locator("main img, main svg").count() for page in (with_scripts, without)]
    assert len(texts[1]) > 500
    assert texts[0].startswith(texts[1][:500])
    assert pictures[0] == pictures[1] > 0


def test_the_other_language_is_one_click_away(opened, folders):  # noqa: F811
    """The link between the languages works from disk, and back."""
    page = opened(folders["zemosaic"] / FILES["en"])
    for code in ("fr", "en"):
        page.locator(f"a[hreflang={code}]").first.click()
        assert page.locator("html").get_attribute("lang") == code
