"""Test the reading order of the page: what a reviewer sees first, and what each line leads to."""

import re
from dataclasses import replace
from html import unescape

import pytest

from harness.language.catalogue import Language
from harness.language.message import Message, say
from harness.language.system import CODES
from harness.session.model import read_session
from harness.verdict import Outcome, Verdict
from reports.html.build import FILES
from reports.html.evidence import node, plain
from reports.html.render import unbroken
from reports.names import check_name
from tests.language.test_catalogue import misplaced
from tests.report_pages import a_run, a_session, a_verdict, an_entry, read, section, seen, written
from tests.sample_session import JUDGED

ORDER = ["decision", "before-after", "why", "seen", "checklist", "cases", "appendix"]


def sections(text):
    """Return the ids of the sections of a page, in their order."""
    return re.findall(r'<section id="([\w-]+)"', text)


def test_the_parts_come_in_the_order_in_which_a_reviewer_asks(folders):
    """Decision, before and after, why, would it have been seen, checklist, cases, appendix, each with its link.

    The form to sign comes last. A self-test has none.
    """
    for kind, folder in folders.items():
        order = ORDER if kind in ("reference", "unsealed") else [*ORDER, "sign"]
        for name in FILES.values():
            text = (folder / name).read_text(encoding="utf-8")
            assert sections(text) == order
            assert re.findall(r'<li><a href="#([\w-]+)">', text[: text.index("<main>")]) == order


def test_fewer_than_900_words_come_before_the_appendix(folders):
    """A reader who opens nothing has fewer than 900 words to read before the appendix, in both languages, red or green."""
    for kind in ("reference", "zemosaic"):
        for code in CODES:
            text = (folders[kind] / FILES[code]).read_text(encoding="utf-8")
            words = seen(text[: text.index('<section id="appendix"')])
            assert 200 < len(words) < 900, (kind, code, len(words))


def test_the_first_screen_has_the_figure_and_the_links_of_each_line(folders):
    """A line that fails has the figure that decides it, its scope, and links to its cause, its picture and its command."""
    text = (folders["zemosaic"] / FILES["en"]).read_text(encoding="utf-8")
    first = text[text.index('id="decision"') : text.index('id="before-after"')]
    row = next(row for row in first.split("<tr") if "Repro du trou corrigée" in row)
    assert "retention holes 1 · tiles 3/4 · lost-cache events 7" in row
    assert "1 of 3 cases (1 synthetic)" in row
    links = dict(re.findall(r'<a href="#([\w-]+)" aria-label="(\w+), line 4.2"', row))
    assert links["chain-1"] == "cause"
    assert links["before-after"] == "picture"
    command = next(id_ for id_, word in links.items() if word == "command")
    assert "python -m pytest -m phase3" in text[text.index(f'<div id="{command}"') :].partition("</dd>")[0]


def test_a_line_that_nothing_ran_for_has_no_figure_and_no_verdict(folders):
    """A line without evaluated tests is not run: a command to run it, and no link to a verdict."""
    text = (folders["zemosaic"] / FILES["en"]).read_text(encoding="utf-8")
    row = next(row for row in text.split("<tr") if "Lancer un run SDS court" in row)
    assert "○</span> not run" in row
    assert "verdict, line" not in row
    assert "command, line C.1" in row


def test_a_chain_is_told_once_with_all_checks_that_it_turned_red(folders):
    """One cause has one clock, counted from the start of Phase 3, the removal among its moments, and every check behind it."""
    page = read(folders["zemosaic"])
    told = section(page, "Cause 1", "Cause 2")
    assert told.count("The main thread removes") == 1
    times = [float(t) for t in re.findall(r"(\d+\.\d{3}) s (?:Tile|The main)", told)]
    assert times == sorted(times)
    assert len(times) >= 4
    red = {"depth", "holes", "tiles", "warnings"}
    assert set(re.split(r"[ ,]+", told.partition("It turned red: ")[2].partition(" The ")[0])) >= red
    assert not red & set(section(page, "Red for another reason", "Would it have been seen?").split())


def test_the_decisive_milliseconds_are_drawn(folders):
    """The drawing has the bars of tiles, ticks of removals, and an arrow from the removed cache to the tile that needs it."""
    page = read(folders["zemosaic"])
    classes = [attrs.get("class", "") for _, attrs in page.elements]
    assert classes.count("arrow") == 2  # one for each cause
    assert classes.count("removed decisive") == 2
    alts = [a["aria-label"] for a in page.all("svg") if a.get("aria-label", "").startswith("Tiles and removals")]
    assert len(alts) == 2
    assert "is removed while tile 3 needs it" in alts[0]


def test_a_green_page_shows_how_the_bug_looked(folders):
    """If nothing is red on the version under test, the control's cause is told, and called that."""
    words = section(read(folders["reference"]), "No check is red on the version under test", "Would it have been seen?")
    assert "This is how the bug looked" in words
    assert "The main thread removes" in words
    assert "Cause 2" not in words


def test_without_its_record_a_cause_is_told_by_the_sentences_of_the_verdict(folders, tmp_path):
    """If the record is gone, the chain is that of the verdict, without a drawing."""
    session = read_session(folders["zemosaic"])
    page = written(session, tmp_path)
    told = section(page, "Cause 1", "It turned red")
    assert "The main thread removed" in told
    assert not [a for a in page.all("line") if a.get("class") == "arrow"]


def test_what_could_not_conclude_comes_before_how_the_bug_looked(tmp_path):
    """An unknown verdict is named first, with its sentence and a link."""
    subject = a_run("a", "subject", (a_verdict("holes", Outcome.UNKNOWN), a_verdict("tiles")))
    words = written(a_session(judged=(subject,)), tmp_path).words
    why = words[words.index("Why These checks") :]
    assert why.startswith("Why These checks could not conclude: ? No tile was submitted. holes (a)")


def test_the_mosaics_are_on_one_grid_with_scale_north_and_holes(folders):
    """Each picture has a scale bar, north and east; the hole is numbered; each can be enlarged without a script."""
    page = read(folders["reference"])
    part = section(page, "Before and after chain", "Why")
    assert part.count("N E") == 3
    assert part.count("1 N E") == 2  # on the control, and on the difference
    boxes = {a["viewbox"] for a in page.all("svg") if a.get("aria-labelledby", "").startswith("picture-")}
    assert len(boxes) == 1
    links = {a["href"] for a in page.all("a") if a.get("class") == "enlarge"}
    assert links == {"#picture-1", "#picture-2", "#picture-3"}
    assert [a["href"] for a in page.all("a") if a.get("class") == "close"] == ["#before-after"] * 3


def test_a_session_without_the_bug_compares_with_run_end(folders):
    """Without a run before the patch, the run with run_end shows what is missing, and no control shows that checks see it."""
    words = read(folders["zemosaic"]).words
    assert "zemosaic 63bcc2c with run_end" in words
    assert "arcmin² that only zemosaic 63bcc2c with run_end covers." in words
    assert "No version with the bug was run: nothing shows that the checks see it." in words


def test_texts_for_pictures_give_the_result(page):
    """A text alternative says what is seen; it gives no order."""
    texts = [a.get("alt", "") for a in page.all("img")] + [a.get("aria-label", "") for a in page.all("svg")]
    texts += re.findall("(?:Coverage of|Mosaic made|Size of)[^✓✗]*", page.words)
    assert texts
    assert not [text for text in texts if re.search(r"\b(Look for|Compare (each|its)|Cherchez|Comparez)\b", text)]


def test_links_are_told_apart_without_their_surroundings(page):
    """Two links with the same name lead to the same place."""
    text = page
    names = {}
    for attrs in text.all("a"):
        if "aria-label" in attrs:
            names.setdefault(attrs["aria-label"], set()).add(attrs["href"])
    assert names
    assert {name: places for name, places in names.items() if len(places) > 1} == {}


def test_the_skip_link_leads_past_the_navigation_to_the_decision(page):
    """The first link jumps to the decision, which comes after the last link of the navigation."""
    assert page.all("a")[0]["href"] == "#decision"
    tags = [(tag, attrs.get("id", "")) for tag, attrs in page.elements]
    assert tags.index(("section", "decision")) == tags.index(("main", "")) + 1


def test_no_two_landmarks_have_the_same_name(page):
    """Only the parts are landmarks, each with a heading of its own."""
    labels = [attrs["aria-labelledby"] for attrs in page.all("section")]
    assert labels in ([f"{name}-title" for name in ORDER], [f"{name}-title" for name in [*ORDER, "sign"]])


def test_checks_are_named_in_french(folders):
    """The French page has no English name of a check in its matrix."""
    words = section(read(folders["zemosaic"], "fr"), "Le verdict de chaque vérification", "Annexe")
    same = {"cache"}
    for check in JUDGED:
        name = check_name(check, Language("fr"))
        assert name in words
        assert (name == check) == (check in same)


def test_names_and_values_are_no_python(tmp_path):
    """Mappings, lists and stored sentences are written as people read them."""
    identity = {"versions": {"numpy": "2", "python": "3.11"}, "left_out": ["a", "b"], "version": None}
    words = written(replace(a_session(), identity=identity), tmp_path).words
    assert "numpy 2, python 3.11" in words
    assert not re.search(r"\{'|\['|Message\(|mappingproxy|None", words)
    assert plain({"a": {}}) == "a –"
    lang = Language("en")
    assert node({"said": Message("No tile was submitted.")}, lang).pairs[0][1].text == "No tile was submitted."
    assert node([{"a": {"b": 1, "c": say("x")}}], lang).rows == (("b 1, c x",),)


def test_an_option_stays_in_one_piece():
    """The name of an option does not break after its dashes; what is not running text is left alone."""
    option = '<span class="option">--phase3-quick</span>'
    assert unbroken("<p>Without --phase3-quick.</p>") == f"<p>Without {option}.</p>"
    assert unbroken("<code>--phase3-quick=1</code>") == f"<code>{option}=1</code>"
    for same in (
        '<p title="--phase3-quick">a--b -- c</p>',
        "<svg><text>--phase3-quick</text></svg>",
        "<title>--phase3-quick</title>",
        "<pre>x --phase3-quick</pre>",
        "<script>--x; a--phase3</script>",
        f"<p>--{'a' * 60}</p>",
        "<!-- sign-off: begin -->",
    ):
        assert unbroken(same) == same


@pytest.mark.parametrize("kind", ["reference", "zemosaic", "hostile"])
def test_a_french_page_has_the_spaces_of_french(kind, folders):
    """Also where sentences are joined by the code, each double mark has its no-break space."""
    text = re.sub(
        r"<(style|script|pre|code|title).*?</\1>|lang=\"en\".*?</", "", french(folders[kind]), flags=re.DOTALL
    )
    said = re.findall(r"<(?:p|li|strong|figcaption|summary|caption)\b[^>]*>([^<]+)", text)
    assert len(said) > 20
    assert [one for one in said if misplaced(unescape(one).strip())] == []


def french(folder):
    """Return the French page of a session."""
    return (folder / FILES["fr"]).read_text(encoding="utf-8")


@pytest.mark.parametrize("standing", ["pre-existing", ""])
def test_a_green_page_has_no_cross(standing, tmp_path):
    """A finding that is not the patch's has the third sign everywhere on a green page."""
    old = Verdict("accuracy", Outcome.FAIL, say("Old."), axis="quality", standing=standing)
    judged = (a_run("a", "subject", (old, a_verdict("holes"))), a_run("a", "pair", (old, a_verdict("holes"))))
    control = a_run("a", "control", (old, a_verdict("holes", Outcome.FAIL)), expected_red=("holes",))
    page = written(a_session(judged=(*judged, control), runs=(an_entry("a", "subject"),)), tmp_path)
    assert "✗" not in page.words
    assert "△ accuracy: Old." in page.words


def test_a_closed_part_is_not_seen():
    """The words of closed details are not counted, their summary is; those of open details are."""
    text = "<main>a<details><summary>b</summary>c<details open><summary>d</summary>e</details></details></main>"
    assert seen(text) == ["a", "b"]
    assert seen(text.replace("<details>", "<details open>")) == ["a", "b", "c", "d", "e"]
