"""Test the page for the maintainer: its length, figures, pictures, limits, commands and links, as text and with pictures."""

import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from harness.language.catalogue import language
from harness.language.message import say
from harness.session.definition_of_done import read, together
from harness.session.model import write_session
from harness.session.options import OPTIONS
from harness.verdict import Outcome, Verdict
from reports.document.definition_of_done import write
from reports.document.known_findings import DOCS, IN_RETENTION, NEW, NEWEST, OLDER, SCATTER
from reports.document.limits import not_covered
from reports.document.one_page import FIGURES
from reports.document.pictures import NOTHING, shot_of, side_by_side
from reports.document.rerun import commands_to_see
from reports.html.planes import Outline
from reports.not_covered import Size
from tests.done_sessions import (
    DONE,
    FIXED,
    LINES,
    LOST,
    MADE,
    ROOT,
    a_session,
    entry,
    scenario_of,
    taken,
    verdict,
)
from tests.project.test_documents import anchors
from tests.report_pages import Page, shown
from tests.reports.html.test_charts import cards, square
from tests.reports.html.test_together import shot
from tests.sample_session import sample_session

EN = language("en")
MOST_WORDS = 600
CAUSE = (
    say("Tile {tile} was not made: it lacked the caches of {lost} of its {frames} frames.", tile=5, lost=6, frames=6),
    say("It did so after tile {after} had ended, at {ended} s.", after=4, ended="20.164"),
)
PLACES = {
    side: [{"file": "zemosaic_worker.py", "releases": [{"line": line, "function": name, "counts": counts}]}]
    for side, line, name, counts in (
        ("before", 18237, "_cleanup_per_tile_cache", ""),
        ("after", 20578, "_release_tile_cache_paths", "cache_refcount"),
    )
}


def holes(count=1, outcome="fail"):
    """Return a verdict of the holes check with so many holes."""
    found = [{"in_pair": False, "pixels": 100, "square_arcmin": 36.0} for _ in range(count)]
    return verdict("holes", {"holes": found, "holes_in_all": count}, outcome if count else "pass", cause=CAUSE)


def with_hole(**parts):
    """Return a session with a hole before the patch, its cause, and the places in the source."""
    session = a_session(patch=(verdict("4.1", {"added": 30, "removed": 12, "other": 0}), verdict("1.2", PLACES)))
    subject, before, control = session.judged
    subject = replace(subject, verdicts=(verdict("tiles", MADE), holes(0)))
    red = (verdict("tiles", LOST, "fail", cause=CAUSE), holes())
    judged = (subject, replace(before, verdicts=red), replace(control, verdicts=red))
    return replace(session, **{"judged": judged, **parts})


def written_by(done, folder, name="x.md"):
    """Write the page and return its files by name."""
    return {path.name: path.read_text(encoding="utf-8") for path in write(done, folder / name)}


def words(text):
    """Return the number of words of a page, links and code included."""
    return sum(bool(re.search(r"\w", word)) for word in text.split())


def shown_words(html):
    """Return the number of words that a page with pictures shows; alternative texts are not shown."""
    return words(" ".join(Page(re.sub("<title.*?</title>", "", html)).text))


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Write a session with records: the reference, and its control that loses a tile."""
    folder = tmp_path_factory.mktemp("reference")
    sample_session(folder)
    return folder


# ---- length and order ----


def cases_with_holes(count):
    """Return a session with holes before the patch in so many cases."""
    session = with_hole()
    runs, judged = list(session.runs), list(session.judged)
    for n in range(count):
        case = f"case-with-a-long-name-{n}"
        runs += [entry(f"{case}-s", "subject", FIXED, case), entry(f"{case}-b", "baseline", "zemosaic 63bcc2c", case)]
        judged += [
            replace(session.judged[0], case=case, run=f"{case}-s", baseline=f"{case}-b"),
            replace(session.judged[1], case=case, run=f"{case}-b"),
        ]
    return replace(session, runs=tuple(runs), judged=tuple(judged))


@pytest.mark.parametrize(
    "session",
    [
        with_hole(),
        cases_with_holes(9),
        with_hole(tests=tuple(replace(t, outcome=Outcome.UNKNOWN) for t in a_session().tests)),
        with_hole(tests=()),
        with_hole(options={"profile": "default"}),
    ],
    ids=["green", "many cases", "unknown", "nothing run", "default settings"],
)
def test_the_page_has_at_most_600_words(tmp_path, session):
    """In both languages, as text and with pictures, also with many cases or lines that were not evaluated."""
    files = written_by(taken(session, a_session(options={"profile": "default"})), tmp_path)
    assert words(files["x.md"]) <= MOST_WORDS
    assert words(files["x.fr.md"]) <= MOST_WORDS
    assert shown_words(files["x.html"]) <= MOST_WORDS
    assert shown_words(files["x.fr.html"]) <= MOST_WORDS


@pytest.mark.parametrize("mark", ["", ".fr"])
def test_the_validation_of_the_fix_is_on_one_page(mark):
    """The documents made from the full session of b59a65f keep to the length, and no path of a machine is in them."""
    page = (DOCS / f"validation-b59a65f{mark}.md").read_text(encoding="utf-8")
    pictures = (DOCS / f"validation-b59a65f{mark}.html").read_text(encoding="utf-8")
    annex = (DOCS / f"validation-b59a65f-annex{mark}.md").read_text(encoding="utf-8")
    assert 300 <= words(page) <= MOST_WORDS
    assert 300 <= shown_words(pictures) <= MOST_WORDS
    assert len(Page(pictures).all("image")) == 4
    (known,) = re.findall(r"Session\s?: `(\w{12})`", page)
    assert known in annex
    assert known in pictures
    assert all(re.search(rf"^### {re.escape(line.id)}$", annex, re.MULTILINE) for line in LINES)
    for text in (page, annex, re.sub(r"data:\S+", "", pictures)):
        assert re.findall(r"(?<![\w:/.<*])/\w{2,}/\S+", text) == [], "an absolute path"


def test_the_page_is_in_the_order_in_which_it_is_read(tmp_path):
    """Decision, hole, limits, settings, commands, findings."""
    text = written_by(taken(with_hole()), tmp_path)["x.md"]
    assert text.startswith(f"# Definition of Done: {FIXED}\n\n✓ **pass**. Every line of the Definition of Done passes.")
    assert re.findall("^## (.+)$", text, re.MULTILINE) == [
        "The hole, before and after",
        "Not covered",
        "The default settings",
        "See it in a minute",
        "Findings that concern you now",
    ]


# ---- figures ----


def table_row(text, line):
    """Return the cells of a line of the Definition of Done."""
    return next(row for row in text.splitlines() if row.startswith("| ") and f"[{line}](" in row).split(" | ")


def test_each_line_has_its_figures_before_and_with_the_patch(tmp_path):
    """The run before the patch has a hole and made five of six tiles; the run with it has no hole and made all."""
    text = written_by(taken(with_hole()), tmp_path)["x.md"]
    assert table_row(text, "4.2")[2] == "retention holes 1 → 0 · tiles 5/6 → 6/6"
    assert table_row(text, "4.1")[2] == "changed statements that are cache retention 42/42"


def test_the_figures_of_two_sessions_are_joined(tmp_path):
    """A page over two sessions counts the tiles of both, and the patch, which is the same, once."""
    text = written_by(taken(with_hole(), with_hole(created="2026-11-26T02:04:02+00:00")), tmp_path)["x.md"]
    assert table_row(text, "4.2")[2] == "retention holes 2 → 0 · tiles 10/12 → 12/12"
    assert table_row(text, "4.1")[2] == "changed statements that are cache retention 42/42"


def test_a_red_line_shows_the_figure_that_is_red(tmp_path):
    """A line has three figures at most; one of a check that fails is among them."""
    session = with_hole()
    subject = replace(
        session.judged[0],
        verdicts=(
            verdict("tiles", LOST, "fail"),
            holes(0),
            verdict("warnings", {"counts": {}, "total": 0}),
            verdict("fallback", {"new": [], "same": []}),
        ),
    )
    text = written_by(taken(replace(session, judged=(subject, *session.judged[1:]))), tmp_path)["x.md"]
    for line in DONE:
        assert len(table_row(text, line.id)[2].split(" · ")) <= FIGURES
    assert "tiles 5/6 → 5/6" in table_row(text, "4.2")[2]


# ---- the hole ----


def test_the_hole_has_its_cause_and_the_lines_of_the_source(tmp_path):
    """The cause is that of the run before the patch; the source is named by file and line in both versions."""
    text = written_by(taken(with_hole()), tmp_path)["x.md"]
    assert "- `chain` (zemosaic 63bcc2c → zemosaic b59a65f): retention holes 1 → 0" in text
    assert "1. Tile 5 was not made: it lacked the caches of 6 of its 6 frames." in text
    plain = text.replace("\\_", "_")
    assert "Before the patch, _cleanup_per_tile_cache (zemosaic_worker.py:18237) removed" in plain
    assert "It did not count the tiles that still needed them." in plain
    assert "With the patch, _release_tile_cache_paths (zemosaic_worker.py:20578) removes a cache when" in plain


def test_a_patch_that_does_not_count_is_told(tmp_path):
    """If the source still removes without a count, the page says so, and does not praise a count."""
    places = {**PLACES, "after": PLACES["before"]}
    session = with_hole(patch=(verdict("1.2", places),))
    text = written_by(taken(session), tmp_path)["x.md"]
    assert "removes caches without a count." in text
    assert "when its count" not in text


def test_a_name_that_is_no_name_is_not_shown_as_source(tmp_path):
    """A place in an edited file that is no file and function gives no sentence."""
    places = {side: [{"file": "<b> x", "releases": [{"line": 1, "function": "a b", "counts": ""}]}] for side in PLACES}
    text = written_by(taken(with_hole(patch=(verdict("1.2", places),))), tmp_path)["x.md"]
    assert "Before the patch," not in text
    assert "Before the patch," not in written_by(taken(with_hole(patch=())), tmp_path)["x.md"]


def test_without_a_hole_the_page_says_so(tmp_path):
    """No hole before the patch and none with it: no case, no cause."""
    text = written_by(taken(a_session()), tmp_path)["x.md"]
    assert "No run of these sessions has a hole, before the patch or with it." in text
    assert "How it came about" not in text


def test_a_hole_of_the_version_under_test_has_its_own_cause(tmp_path):
    """A red version under test without a run before it shows its own hole."""
    session = with_hole()
    subject = replace(session.judged[1], role="subject", run="s")
    text = written_by(taken(replace(session, judged=(subject,))), tmp_path)["x.md"]
    assert "- `chain` (zemosaic b59a65f): retention holes 1 · tiles 5/6" in text
    assert "1. Tile 5 was not made" in text


def test_both_mosaics_are_drawn_with_the_outline_of_the_hole(reference, tmp_path):
    """The mosaic before and the mosaic with the patch have the same size and the same outlined, numbered hole."""
    page = Page(written_by(together(read([reference])), tmp_path)["x.html"])
    assert page.wrong == []
    before, after = page.all("svg")
    assert before["viewbox"] == after["viewbox"]
    assert "reference (naive_per_tile_deletion): 1 hole" in page.words
    assert "reference: no hole; dashed: its place" in page.words
    outlines = [(path["class"], path["d"]) for path in page.all("path") if path.get("class", "").startswith("hole")]
    assert [style.split() for style, _ in outlines] == [["hole"], ["hole", "ghost"]]
    assert outlines[0][1] == outlines[1][1]
    assert all(image["href"].startswith("data:image/png;base64,") for image in page.all("image"))


def test_the_pictures_have_a_scale_north_and_east(reference, tmp_path):
    """As on the page of the session: each picture has a scale bar with its length, and both directions."""
    page = Page(written_by(together(read([reference])), tmp_path)["x.html"])
    assert page.words.count(" N E ") == len(page.all("svg")) == 2
    assert len(re.findall(r"\d+[′″]", page.words)) == 2


def test_records_that_are_gone_leave_the_text(reference, tmp_path):
    """Without the records the page has its figures and no picture."""
    session = read([reference])[0].session
    write_session(session, tmp_path)
    page = written_by(together(read([tmp_path])), tmp_path)["x.html"]
    assert Page(page).all("svg") == []
    assert "retention holes 1 → 0" in page


def test_a_record_that_was_changed_gives_no_picture(reference, tmp_path):
    """A picture that was put into a record after its seal is not shown; that of the other run is."""
    folder = tmp_path / "session"
    shutil.copytree(reference, folder)
    session = read([folder])[0].session
    control = next(run for run in session.runs if run.role == "control")
    Image.new("RGBA", (30, 20), (9, 9, 9, 255)).save(folder / control.record / "thumbnail.png")
    page = Page(written_by(together(read([folder])), tmp_path)["x.html"])
    assert len(page.all("svg")) == 1
    assert "reference: no hole" in page.words
    assert "dashed" not in page.words


# ---- the pictures ----


def a_mosaic(*, gap=False, gain=1.0):
    """Return a mosaic of rising brightness whose record was stretched by its own limits; perhaps with a hole in a corner."""
    flux = np.tile(np.linspace(100, 200, 60), (40, 1)) * gain
    flux[::7, ::9] = 900 * gain
    if gap:
        flux[5:15, 5:20] = np.nan
    return shot(
        flux, limits=(0, 1000), known=False, holes=(Outline("1", square(5, 20, 5, 15, cards())),) if gap else ()
    )


def test_two_mosaics_have_one_grid_a_scale_and_directions():
    """Both pictures have one size, north and east, and a scale; the hole is outlined where it is."""
    made = side_by_side(a_mosaic(gap=True, gain=0.5), a_mosaic())
    assert (made.before.width, made.before.height) == (made.after.width, made.after.height)
    assert made.before.compass == made.after.compass
    assert made.before.compass.bar > 0
    assert made.stretched == "fitted"
    assert [[hole.number for hole in drawn.holes] for drawn in (made.before, made.after)] == [["1"], []]


def test_a_mosaic_alone_is_drawn_alone():
    """Without a version before the patch, or without its picture, the other mosaic is drawn."""
    alone = side_by_side(None, a_mosaic(gap=True))
    assert alone.before is None
    assert [hole.number for hole in alone.after.holes] == ["1"]
    assert side_by_side(a_mosaic(), None).after is None


def test_mosaics_that_cannot_be_placed_have_no_picture():
    """No mosaic, or coordinates that can't be read, give no picture and no error."""
    broken = a_mosaic()
    wrong = replace(broken, products=replace(broken.products, wcs={"CTYPE1": "RA---TAN"}))
    assert side_by_side(None, None) == NOTHING
    assert side_by_side(a_mosaic(), wrong) == NOTHING


def test_a_record_without_a_picture_has_no_mosaic(tmp_path):
    """A record without products, without a picture, or whose picture is gone gives none."""
    products = a_mosaic().products
    assert shot_of(None, {}) is None
    for known in (None, replace(products, thumbnail=None), replace(products, thumbnail="gone.png")):
        assert shot_of(SimpleNamespace(folder=tmp_path, products=known), {}) is None
    Image.new("RGBA", (30, 20)).save(tmp_path / "there.png")
    there = SimpleNamespace(folder=tmp_path, products=replace(products, thumbnail="there.png"))
    assert shot_of(there, {}).picture.size == (30, 20)


# ---- limits and settings ----


def test_what_is_not_covered_is_from_the_facts_of_the_sessions():
    """Profile, platforms, size of the largest run, whose frames, lines without a verdict."""
    names = next(line for line in LINES if line.id == "B.3").tests
    session = a_session(tests=dict.fromkeys(names), environment={"platform": "Linux-6.1-x86_64; Windows-11"})
    assert not_covered(taken(session), (Size(48, 65_700_000), Size(24, 335_926_272)), EN) == (
        "Settings: only those of the profile fast decide.",
        "Platforms: only Linux, Windows.",
        "No run had more than 48 frames, or more than 336\N{NO-BREAK SPACE}MB of caches at once.",
        "Your own frames were not run: add --phase3-frames=FOLDER.",
        "Observed frames were not run.",
        "Lines of the checklist that were not evaluated: A.1, B.3.",
    )


def test_frames_that_were_run_are_not_told_as_missing():
    """A session with a user's frames and an observed set names the set, and does not ask for the user's frames."""
    own = replace(entry("u", "subject", FIXED), dataset="mine", dataset_kind="user")
    observed = replace(entry("o", "subject", FIXED), dataset="m94", dataset_kind="real")
    session = a_session()
    told = not_covered(taken(replace(session, runs=(*session.runs, own, observed))), (), EN)
    assert not any("Your own frames" in sentence for sentence in told)
    assert "Observed frames: only the sets m94." in told


@pytest.mark.parametrize(
    ("sessions", "told", "untold"),
    [
        ([a_session()], "this page doesn't show that the outputs are equal", "in the annex. They decide no line"),
        (
            [a_session(), a_session(options={"profile": "default"})],
            "in the annex. They decide no line",
            "proves nothing",
        ),
        (
            [a_session(options={"profile": "default"})],
            "a different output proves nothing here",
            "profile fast switches",
        ),
    ],
    ids=["fast", "both", "default"],
)
def test_the_default_settings_are_admitted(tmp_path, sessions, told, untold):
    """What the sessions show of the default settings, with the findings on the scatter of equal runs."""
    text = written_by(taken(*sessions), tmp_path)["x.md"]
    assert told in text
    assert untold not in text
    assert "Findings: 8 equal runs differ, 22 brightness varies" in text


def test_the_reference_has_no_findings_of_zemosaic(reference, tmp_path):
    """A self-test says nothing about ZeMosaic: neither its settings nor its findings are on the page."""
    text = written_by(together(read([reference])), tmp_path)["x.md"]
    assert "says nothing about ZeMosaic" in text
    assert "The default settings" not in text
    assert "Findings that concern you now" not in text
    assert "--phase3-python" not in text
    assert "PYTHON" not in text


# ---- commands, findings, links ----


def test_two_commands_show_the_bug_and_the_fix():
    """The first names the commit before the patch, the second this one; both are quick, and their options exist."""
    found = commands_to_see(a_session(), "zemosaic 63bcc2c")
    both = [shlex.split(line) for line in found]
    assert [line[:5] for line in both] == [["python", "-m", "pytest", "-m", "phase3"]] * 2
    assert [[w for w in line if "target" in w] for line in both] == [
        ["--phase3-target=zemosaic:PATH@63bcc2c"],
        ["--phase3-target=zemosaic:PATH@b59a65f"],
    ]
    for line in both:
        assert (ROOT / line[5]).is_file()
        assert scenario_of(f"{line[5]}::test_the_hole_is_gone")[0] == "A"
        assert "--phase3-quick" in line
        assert {w.partition("=")[0] for w in line[6:]} <= {option.cli for option in OPTIONS}


@pytest.mark.parametrize("before", ["", "zemosaic", "zemosaic $(x)", "work tree"])
def test_a_version_that_is_no_commit_has_no_command(before):
    """Only a commit can be named in a command that others repeat."""
    assert len(commands_to_see(a_session(), before)) == 1


def test_the_findings_are_those_of_the_page_on_findings():
    """Numbers, titles, anchors and standing agree with the index: a finding added there must be added here."""
    text = (DOCS / "findings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| \[(.+?)\]\(#(.+?)\).*? \| (.*?) \| (.*?) \|", text, re.MULTILINE)
    assert len(rows) == len(re.findall(r"^## \d+\. ", text, re.MULTILINE))
    index = {
        int(number): (title.replace("`", ""), link, seen, standing) for number, title, link, seen, standing in rows
    }
    for known in (IN_RETENTION, *NEW, *OLDER, *SCATTER):
        assert (known.title, known.anchor) == index[known.number][:2]
    new = {number for number, (*_, standing) in index.items() if re.search(r"\bnew\b", standing)}
    still = {number for number, (_, _, seen, _) in index.items() if NEWEST in seen}
    shown = {IN_RETENTION.number, *(known.number for known in NEW)}
    assert {known.number for known in NEW} == new
    assert {known.number for known in (*OLDER, *SCATTER)} >= still - shown
    assert {known.number for known in OLDER} == still - shown - {known.number for known in SCATTER}


@pytest.mark.parametrize("mark", ["", ".fr"])
def test_each_line_is_one_link_from_its_evidence(tmp_path, mark):
    """Links lead to files beside the page and to headings of the annex; the page with pictures has the same."""
    files = written_by(taken(with_hole()), tmp_path)
    found = re.findall(r"\]\(([^)]+)\)", files[f"x{mark}.md"])
    assert len([link for link in found if "#" in link]) == len(DONE)
    found += [link["href"] for link in Page(files[f"x{mark}.html"]).all("a")]
    for link in found:
        name, _, anchor = link.partition("#")
        assert name in files
        assert not anchor or anchor in anchors(tmp_path / name)


def test_inside_the_project_findings_are_linked(tmp_path, monkeypatch):
    """A page in the project's documents links each finding; a page elsewhere can't, and names the file."""
    text = written_by(taken(with_hole()), tmp_path)["x.md"]
    assert "docs/limitations.md" in text
    assert "](findings.md" not in text
    monkeypatch.setattr("reports.document.known_findings.DOCS", tmp_path / "docs")
    (tmp_path / "docs").mkdir()
    text = written_by(taken(with_hole()), tmp_path / "docs")["x.md"]
    assert "[8 equal runs differ](findings.md#8-two-equal-runs-differ)" in text
    assert all(
        f"[{known.number} {known.short.text}](findings.md#{known.anchor})" in text for known in (*OLDER, *SCATTER)
    )
    assert not re.search(r"\[\d+\]\(findings\.md[^)]*\)(,|$)", text, re.MULTILINE), "no finding is a bare number"
    assert "[docs/limitations.md](limitations.md)" in text


# ---- files ----


def test_the_files_of_both_languages(tmp_path):
    """Page, pictures and annex in each language; a page that is asked for as HTML does not overwrite its text."""
    assert list(written_by(taken(a_session()), tmp_path)) == [
        *("x.md", "x.html", "x-annex.md"),
        *("x.fr.md", "x.fr.html", "x-annex.fr.md"),
    ]
    assert list(written_by(taken(a_session()), tmp_path, "y.html"))[:3] == ["y.md", "y.html", "y-annex.md"]


@pytest.mark.parametrize("code", ["en", "fr"])
def test_the_page_with_pictures_needs_nothing_else(reference, tmp_path, code):
    """No script, no style sheet, no address of a host; the language is stated; each picture has a text."""
    text = written_by(together(read([reference])), tmp_path)["x.html" if code == "en" else "x.fr.html"]
    page = Page(text)
    assert page.wrong == []
    assert page.all("html") == [{"lang": code}]
    assert page.all("script") == page.all("link") == []
    assert "http" not in re.sub(r"data:\S+", "", text)
    titles = [title["id"] for title in page.all("title") if "id" in title]
    assert [(picture["role"], picture["aria-labelledby"]) for picture in page.all("svg")] == [
        ("img", t) for t in titles
    ]


def test_hostile_text_stays_text(tmp_path):
    """Names and texts of a session add no markup to the page, no link, and no heading."""
    folder = tmp_path / "session"
    sample_session(folder, "zemosaic", hostile=True)
    files = written_by(together(read([folder])), tmp_path)
    page = Page(files["x.html"])
    assert page.wrong == []
    assert page.all("script") == page.all("b") == []
    assert "<script" not in files["x.md"]
    assert "\u202e" not in files["x.md"] + files["x.html"]
    assert all(Path(link["href"].partition("#")[0]).name in files for link in page.all("a"))


def test_a_hole_that_run_end_has_too_is_on_the_page(tmp_path):
    """A reviewer who sees a hole in a mosaic reads its area, and that run_end has it too; without such a hole, nothing."""
    session = with_hole()
    shared = {"holes": [{"in_pair": True, "pixels": 100, "square_arcmin": 524.22}], "holes_in_all": 1}
    subject = replace(session.judged[0], verdicts=(verdict("tiles", MADE), verdict("holes", shared)))
    files = written_by(taken(replace(session, judged=(subject, *session.judged[1:]))), tmp_path)
    told = "△ holes: 1 hole, 524.2 arcmin²: run_end does not cover this sky either. The patch is not the cause (chain)."
    assert told in files["x.md"].replace("\\_", "_")
    assert told in Page(files["x.html"]).words
    assert "△" not in "".join(written_by(taken(session), tmp_path).values())


def test_the_size_is_that_of_the_page_of_the_session(reference, tmp_path):
    """The page for the maintainer and the page of its session name one largest run."""
    (size,) = re.findall(r"No run had more than .*? of caches", shown(reference).words)
    assert size in Page(written_by(together(read([reference])), tmp_path)["x.html"]).words
    assert re.search(r"than [1-9]\d* frames, or more than [1-9]", size)


def test_a_cause_names_no_path_of_the_machine(tmp_path):
    """A path in a sentence of the cause is left out."""
    session = with_hole()
    told = Verdict("tiles", Outcome.FAIL, say("x"), LOST, (say("Lost {path}.", path="/home/me/run/x.npy"),))
    judged = tuple(
        replace(j, verdicts=(told, holes())) if j.role == "baseline" else j
        for j in session.judged
        if j.role != "control"
    )
    files = written_by(taken(replace(session, judged=judged)), tmp_path)
    assert "1. Lost …" in files["x.md"]
    assert "/home" not in files["x.md"] + files["x.html"]
