"""Test the page of a comparison: pictures on one grid and one stretch, escaping, size, both languages."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from harness.compare.accepted import accept, acceptable
from harness.compare.build import compare
from harness.compare.pixels import Small
from harness.compare.sides import read_side
from harness.language.message import say
from harness.record.whole import write_together
from harness.session.model import read_session, write_session
from reports.html import compared
from reports.html.compared import pages as pages_of
from reports.html.mosaics import HIGH, LOW, MIDDLE, ONLY_AFTER, ONLY_BEFORE, trio
from tests.compare_sessions import narrower, one_star_brighter, session_with_mosaics
from tests.report_pages import STYLE, Page
from tests.sample_session import HOSTILE, cards

CARDS = cards()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Sessions to compare."""
    root = tmp_path_factory.mktemp("pages")
    session_with_mosaics(root / "a")
    session_with_mosaics(root / "star", subject_per_tile=one_star_brighter)
    session_with_mosaics(root / "canvas", subject_per_tile=narrower)
    return root


def pages(before, after, folder):
    """Write the pages of a comparison and return them, parsed, in English and French."""
    sides = read_side(str(before)), read_side(str(after))
    paths = pages_of(compare(*sides), *sides, folder / "c.html")
    write_together(paths)
    assert [path.name for path in paths] == ["c.html", "c.fr.html"]
    return [Page(path.read_text(encoding="utf-8")) for path in paths]


def image_of(drawn):
    """Decode the picture of a map."""
    return Image.open(io.BytesIO(base64.b64decode(drawn.picture.partition(",")[2])))


def colours(drawn):
    """Return the colours of a picture."""
    return {colour for _, colour in image_of(drawn).convert("RGB").getcolors(100_000)}


def a_small(values, **changes):
    """Return a small mosaic in one channel."""
    return Small(np.asarray(values, np.float32)[None], {**CARDS, **changes}, exact=True)


@pytest.mark.parametrize("code", [0, 1])
def test_the_page_has_both_mosaics_and_their_difference(made, tmp_path, code):
    """Three pictures with their texts, well-formed, in each language; each links to the other language."""
    page = pages(made / "a", made / "star", tmp_path)[code]
    assert page.wrong == []
    assert len(page.all("svg")) > 3
    pictures = [attrs for attrs in page.all("image") if attrs["href"].startswith("data:image/")]
    assert len(pictures) == 3
    said = "the largest difference is 40" if code == 0 else "la plus grande différence est 40"
    assert said in page.words
    links = [attrs["href"] for attrs in page.all("a") if attrs["href"].endswith(".html")]
    assert links == [["c.fr.html"], ["c.html"]][code]
    ids = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    assert {attrs["href"][1:] for attrs in page.all("a") if attrs["href"].startswith("#")} <= ids


def test_equal_sessions_show_that_they_are_equal(made, tmp_path):
    """Without a difference the first pair is drawn, and the page says that no value differs."""
    page, french = pages(made / "a", made / "a", tmp_path)
    assert "No value differs where both mosaics have one. " in page.words
    assert "Both mosaics cover" not in page.words  # it was not measured: the data are equal
    assert "Runs without a difference: 4" in page.words
    assert "Exécutions sans différence" in french.words
    assert "Target, options, versions and platform are the same." in page.words


def test_another_canvas_is_drawn_on_one_grid(made, tmp_path):
    """The sky that only one mosaic covers has a colour of its own, with its words in the legend."""
    page, _ = pages(made / "a", made / "canvas", tmp_path)
    assert "One grid and one stretch" in page.words
    assert "sky in A only" in page.words
    assert "sky in B only" not in page.words


def test_an_acceptance_is_on_the_page(made, tmp_path):
    """By whom and why a difference was accepted is written, with the difference."""
    import shutil

    shutil.copytree(made / "star", tmp_path / "star")
    sides = read_side(str(made / "a")), read_side(str(tmp_path / "star"))
    changes = compare(*sides)
    accept(tmp_path / "star", changes, acceptable(changes), "Zoé <b>", "why & how")
    page, french = pages(made / "a", tmp_path / "star", tmp_path)
    assert "Accepted by Zoé <b> on" in page.words
    assert "Reason: why & how" in page.words
    assert "Accepté par Zoé" in french.words
    assert "different, accepted" in page.words
    assert page.all("b") == []


def test_untrusted_text_is_escaped(made, tmp_path):
    """Markup in names of cases, checks, facts and sentences is shown as text, in each language."""
    import shutil

    shutil.copytree(made / "star", tmp_path / "star")
    session = read_session(tmp_path / "star")
    judged = tuple(
        replace(
            j, case=HOSTILE, verdicts=(*j.verdicts[1:], replace(j.verdicts[0], check=HOSTILE, sentence=say(HOSTILE)))
        )
        for j in session.judged
    )
    tests = tuple(replace(t, nodeid=t.nodeid + HOSTILE, title=HOSTILE) for t in session.tests)
    write_session(
        replace(session, judged=judged, tests=tests, target=HOSTILE, environment={HOSTILE: HOSTILE}), tmp_path / "star"
    )
    for page in pages(made / "a", tmp_path / "star", tmp_path):
        assert page.wrong == []
        assert page.all("script") == []
        assert "<script>alert" in page.words
        assert "49" not in re.findall(r"&\{\{.{0,9}", page.words)
        assert "\u202e" not in page.words


def test_the_page_needs_no_network(made, tmp_path):
    """The page loads nothing: its policy forbids it, and each picture is in it."""
    page, _ = pages(made / "a", made / "star", tmp_path)
    policy = next(attrs for attrs in page.all("meta") if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"].startswith("default-src 'none'")
    assert all(attrs["href"].startswith(("#", "data:", "c.")) for _, attrs in page.elements if "href" in attrs)


def test_a_page_stays_small(made, tmp_path, monkeypatch):
    """If the page is too large, its pictures are drawn smaller."""
    large = pages(made / "a", made / "star", tmp_path)[0].all("image")[0]
    monkeypatch.setattr(compared, "MAX_BYTES", 1)
    monkeypatch.setattr(compared, "_SIDES", (480, 20))
    small = pages(made / "a", made / "star", tmp_path)[0].all("image")[0]
    assert int(small["width"]) < int(large["width"])


def test_pairs_beyond_the_limit_are_counted(made, tmp_path, monkeypatch):
    """Pairs that are not drawn are counted, not hidden."""
    monkeypatch.setattr(compared, "MAX_DRAWN", 0)
    page, _ = pages(made / "a", made / "star", tmp_path)
    assert "Differences that are listed below and not drawn: 1." in page.words
    assert page.all("image") == []


def test_equal_values_are_grey_and_others_coloured():
    """A higher value in B has the one colour, a lower one the other, an equal one neither; even a small one is seen."""
    low, same, high = np.full((20, 20), 10.0), np.full((20, 20), 20.0), np.full((20, 20), 30.0)
    zero = trio(a_small(same), a_small(same))
    assert (colours(zero.difference), zero.scale) == ({MIDDLE}, 0.0)
    assert colours(trio(a_small(same), a_small(high)).difference) == {HIGH}
    assert colours(trio(a_small(same), a_small(low)).difference) == {LOW}
    mixed = np.full((20, 20), 30.0)
    mixed[0, 0] = 20.001
    assert len(colours(trio(a_small(same), a_small(mixed)).difference)) == 2


def test_both_mosaics_have_one_stretch():
    """The same value is the same grey in both pictures, whatever else they hold."""
    one = np.tile(np.linspace(0, 100, 20), (20, 1))
    other = one.copy()
    other[:10] += 400
    drawn = trio(a_small(one), a_small(other))
    before, after = (
        np.asarray(image_of(drawn_map).convert("L")).astype(int) for drawn_map in (drawn.before, drawn.after)
    )
    # Row 0 of the sky is the last row of a picture; the upper half of the array is below.
    assert np.abs(before[:8] - after[:8]).max() <= 8
    assert after[-8:].mean() > before[-8:].mean() + 30


def test_sky_of_one_side_only_has_its_colour():
    """Sky that is only in A and only in B is painted, and neither is taken for a difference of values."""
    one, other = np.full((20, 30), 10.0), np.full((20, 30), 10.0)
    one[:, :5], other[:, -5:] = np.nan, np.nan
    drawn = trio(a_small(one), a_small(other))
    assert (drawn.lost, drawn.new, drawn.scale) == (True, True, 0.0)
    assert colours(drawn.difference) == {MIDDLE, ONLY_BEFORE, ONLY_AFTER}
    painted = np.asarray(image_of(drawn.difference).convert("RGB"))
    assert tuple(painted[10, -1]) == ONLY_BEFORE
    assert tuple(painted[10, 0]) == ONLY_AFTER


def test_a_shifted_grid_is_placed_on_the_sky():
    """The same sky on a grid with another reference pixel is equal where both are, and not shifted."""
    sky = np.random.default_rng(1).normal(100, 20, (40, 60))
    moved = {"CRPIX1": CARDS["CRPIX1"] - 10}
    drawn = trio(a_small(sky), a_small(sky[:, 10:], **moved))
    assert drawn.scale == 0
    assert (drawn.lost, drawn.new) == (True, False)


def test_mosaics_far_apart_are_drawn_apart():
    """Two mosaics of other skies have no difference picture: they can't be placed on one grid."""
    values = np.full((20, 20), 10.0)
    drawn = trio(a_small(values), a_small(values, CRVAL1=200.0))
    assert drawn.difference is None


def test_colour_and_grey_are_compared_in_grey():
    """A mosaic of three channels and one of one are compared by their means."""
    values = np.full((20, 20), 10.0, np.float32)
    colour = Small(np.stack([values, values, values]), CARDS, exact=True)
    drawn = trio(colour, a_small(values))
    assert (drawn.scale, drawn.exact) == (0.0, True)


def test_a_hidden_caption_widens_no_narrow_page():
    """On a narrow page the parts of a table fill the width; a hidden caption, which is one line of text, must not."""
    narrow = STYLE.read_text(encoding="utf-8").partition("@media (max-width")[2]
    assert ".stack > caption.hidden { width: 1px !important; }" in narrow
