"""Open the report as a reviewer does: from disk, without a network, with and without JavaScript, narrow, dark, printed."""

import shutil
from dataclasses import replace

import pytest
from pypdf import PdfReader

from harness.commands.main import main
from harness.language.message import say
from harness.language.system import CODES
from harness.verdict import Outcome, Verdict
from reports.html.build import FILES
from reports.names import _NAMES
from tests.compare_sessions import change_session, session_with_mosaics
from tests.reports.conftest import folders  # noqa: F401 -- the sessions with their pages
from tests.signed_sessions import NEEDS_SSH, a_key

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


@pytest.mark.parametrize("kind", ["zemosaic", "hostile"])
def test_a_line_of_the_definition_of_done_is_one_click_from_its_picture(kind, code, opened, folders):  # noqa: F811
    """The link of a line leads to a part of the page in which a picture or a drawing is seen."""
    page = opened(folders[kind] / FILES[code])
    links = page.locator("#decision .lines a[href^='#']").evaluate_all(
        "all => all.map(link => link.getAttribute('href'))"
    )
    shown = [
        to
        for to in dict.fromkeys(links)
        if page.evaluate("to => document.querySelector(to).querySelector('img, svg') !== null", to)
    ]
    assert shown
    page.locator(f"#decision .lines a[href='{shown[0]}']").first.click()
    assert page.locator(shown[0]).locator("img, svg").first.is_visible()


@pytest.mark.parametrize("kind", ["reference", "zemosaic"])
def test_the_decision_is_printed_on_at_most_three_pages(kind, code, opened, folders, tmp_path):  # noqa: F811
    """The parts before the checklist, which begins a new page, take at most three pages of A4."""
    page = opened(folders[kind] / FILES[code])
    title = page.locator("#checklist h2").first.inner_text()
    page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    pages = [printed.extract_text() for printed in PdfReader(tmp_path / "page.pdf").pages]
    first = next(number for number, text in enumerate(pages) if text.lstrip().startswith(title))
    assert 1 <= first <= 3


@NEEDS_SSH
def test_decisions_in_the_form_are_signed_and_verified(opened, signable, tmp_path, capsys):
    """Fill the form, download its file, sign with it, and verify the signature."""
    page = opened(signable / FILES["fr"], accept_downloads=True)
    form = page.locator("#sign-form")
    for number, choice in enumerate(("reject", "accept", "reserve"), 1):
        part = form.locator(f"fieldset[data-line='4.{number}']")
        part.locator(f"input[value={choice}]").check()
        part.locator("input[type=text]").fill(f"vu à l'œil <{number}>")
    form.locator("input[name=by]").fill("Zoé")
    with page.expect_download() as waiting:
        form.locator("button").click()
    waiting.value.save_as(tmp_path / "form.json")
    key = a_key(tmp_path / "clé")
    assert main(["sign", str(signable), "--from", str(tmp_path / "form.json"), "--key", str(key)]) == 0
    allowed = tmp_path / "allowed"
    allowed.write_text(f"zoe@example.org {key.with_suffix('.pub').read_text(encoding='utf-8')}", encoding="utf-8")
    capsys.readouterr()
    assert main(["verify", str(signable), "--allowed-signers", str(allowed)]) == 0
    out = capsys.readouterr().out
    assert "Decision of Zoé" in out
    assert all(f"vu à l'œil <{number}>" in out for number in (1, 2, 3))


def test_the_form_needs_javascript_and_the_page_does_not(opened, signable):
    """Without JavaScript the form is not shown, because its button could do nothing; the command is."""
    page = opened(signable / FILES["en"], java_script_enabled=False)
    assert not page.locator("#sign-form").is_visible()
    assert page.locator("#sign pre").inner_text().startswith("phase3 sign ")


# Words of a table that are on two lines. A longer one is a name without blanks, such as that of a file, and may be cut.
BROKEN = """() => {
    const found = [], seek = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = seek.nextNode(); node; node = seek.nextNode()) {
        if (!node.parentElement.closest('td, th') || node.parentElement.closest('code, svg')) continue;
        for (const word of node.data.matchAll(/[^\\s\\-\\/–·]+/gu)) {
            const range = document.createRange();
            range.setStart(node, word.index);
            range.setEnd(node, word.index + word[0].length);
            const lines = new Set([...range.getClientRects()].map(box => Math.round(box.top)));
            if (lines.size > 1 && word[0].length < 20) found.push(word[0]);
        }
    }
    return found;
}"""
WIDTHS = (1280, 800, 360)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Return the folder with the page of a comparison, with verdicts that changed in words of every length."""
    root = tmp_path_factory.mktemp("compared")
    session = session_with_mosaics(root / "a")
    shutil.copytree(root / "a", root / "b")
    checks = sorted(_NAMES)
    worse = [
        Verdict(check, Outcome.FAIL, say("{count} files are missing: {names}", count=2, names="a" * 60))
        for check in checks
    ]
    good = [replace(verdict, outcome=Outcome.PASS) for verdict in worse]
    for name, verdicts in (("a", good), ("b", worse)):
        judged = (replace(session.judged[0], verdicts=tuple(verdicts)), *session.judged[1:])
        change_session(root / name, judged=judged)
    assert main(["compare", str(root / "a"), str(root / "b"), "--html", str(root / "report.html")]) == 1
    return root


@pytest.mark.parametrize("width", WIDTHS)
def test_no_column_of_a_comparison_breaks_a_word(width, code, opened, compared):
    """A column is at least as wide as its longest word, and the page does not scroll sideways."""
    page = opened(compared / FILES[code], viewport={"width": width, "height": 900})
    assert "accuracy" in page.content() or code == "fr"
    assert page.locator("td, th").count() > 50
    assert page.evaluate(BROKEN) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS[:3])
def test_no_table_of_a_report_breaks_a_word(kind, width, code, opened, folders):  # noqa: F811
    """The tables of a session's page break no word either, with every folded part open."""
    page = opened(folders[kind] / FILES[code], viewport={"width": width, "height": 900})
    page.evaluate(ALL_OPEN)
    assert page.evaluate(BROKEN) == []
