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
from harness.record.request import DatasetFacts
from harness.session.definition_of_done import read, together
from harness.session.model import write_session
from harness.session.options import OPTIONS
from harness.verdict import Outcome, Verdict
from reports.document.coverage_table import Requests
from reports.document.definition_of_done import write
from reports.document.known_findings import DOCS, IN_RETENTION, NEW, NEWEST, OLDER, SCATTER
from reports.document.limits import not_covered
from reports.document.one_page import FIGURES
from reports.document.pictures import side_by_side
from reports.document.rerun import commands_to_see
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
from tests.report_pages import Page
from tests.sample_session import a_request, cards, sample_session

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
    """Return the number of words that a page with pictures shows."""
    return words(" ".join(Page(html).text))


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
        assert not re.search(r"/tmp/|/work/|/home/|/root/|\.mirror", text)


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
    assert before["aria-label"] == "reference (naive_per_tile_deletion): holes, outlined: 1"
    assert after["aria-label"].startswith("reference: no hole;")
    outlines = [path["d"] for path in page.all("path") if path["class"] == "hole"]
    assert len(outlines) == 2
    assert outlines[0] == outlines[1]
    assert all(image["href"].startswith("data:image/jpeg;base64,") for image in page.all("image"))


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
    assert [picture["aria-label"].partition(":")[0] for picture in page.all("svg")] == ["reference"]


# ---- the pictures ----


def a_mosaic(folder, name, shift=0, *, gap=False, gain=1.0):
    """Return a record with the picture of a mosaic whose grid is shifted to the right; one star; perhaps a hole."""
    rows, columns = 60, 80
    picture = np.zeros((rows, columns, 4), np.uint8)
    picture[..., :3] = (np.linspace(20, 120, columns) * gain).astype(np.uint8)[None, :, None]
    picture[..., 3] = 255
    picture[40:44, 50 - shift : 54 - shift, :3] = round(200 * gain)
    if gap:
        picture[5:25, 5:25] = 0
    folder.mkdir(exist_ok=True)
    Image.fromarray(picture, "RGBA").save(folder / name)
    wcs = cards()
    wcs["CRPIX1"] -= shift
    products = SimpleNamespace(thumbnail=name, covered=picture[..., 3] > 0, wcs=wcs)
    return SimpleNamespace(folder=folder, products=products)


def pixels_of(picture):
    """Return the pixels of a drawn picture."""
    import base64
    import io

    data = base64.b64decode(picture.uri.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_mosaics_on_other_grids_are_brought_onto_one(tmp_path):
    """A star is at the same pixel in both pictures though the grid of one is shifted; where one has no sky it is grey."""
    before, after = side_by_side(a_mosaic(tmp_path, "a.png", 6, gap=True), a_mosaic(tmp_path, "b.png"), {})
    first, second = pixels_of(before), pixels_of(after)
    assert first.shape == second.shape == (60, 80, 3)
    star = np.argwhere(second[..., 0] > 170).mean(axis=0)
    assert np.abs(np.argwhere(first[..., 0] > 170).mean(axis=0) - star).max() < 1
    assert abs(first[60 - 15, 6 + 15, 0] - 122) < 12  # the hole, with the first row below
    assert abs(second[60 - 15, 6 + 15, 0] - 122) > 30


def test_mosaics_have_one_stretch(tmp_path):
    """Sky that both cover is equally bright, though the record of one was stretched to half the brightness."""
    before, after = side_by_side(a_mosaic(tmp_path, "a.png", gap=True, gain=0.5), a_mosaic(tmp_path, "b.png"), {})
    first, second = pixels_of(before), pixels_of(after)
    assert np.median(np.abs(first - second)[:30]) < 4


def test_an_outline_is_placed_on_the_sky(tmp_path):
    """An outline around the gap surrounds it in the drawing."""
    from harness.analysis.footprint import sky_of

    mosaic = a_mosaic(tmp_path, "b.png")
    sky = np.column_stack(sky_of(mosaic.products.wcs, np.array([5, 25, 25, 5.0]), np.array([5, 5, 25, 25.0])))
    _, after = side_by_side(None, mosaic, {"1": sky})
    (hole,) = after.holes
    numbers = [float(n) for n in re.findall(r"[\d.]+", hole.path)]
    assert np.allclose(numbers, [5.5, 54.5, 25.5, 54.5, 25.5, 34.5, 5.5, 34.5], atol=0.2)
    assert (hole.x, hole.y) == pytest.approx((15.5, 44.5), abs=0.2)


def test_mosaics_that_cannot_be_placed_have_no_picture(tmp_path):
    """A record without a mosaic, or with coordinates that can't be read, gives no picture and no error."""
    broken = a_mosaic(tmp_path, "b.png")
    broken.products.wcs = {"CTYPE1": "RA---TAN"}
    assert side_by_side(None, None, {}) == (None, None)
    assert side_by_side(a_mosaic(tmp_path, "a.png"), broken, {}) == (None, None)


# ---- limits and settings ----


def test_what_is_not_covered_is_from_the_facts_of_the_sessions():
    """Profile, platforms, size of the largest run, whose frames, lines without a verdict."""
    names = next(line for line in LINES if line.id == "B.3").tests
    session = a_session(tests=dict.fromkeys(names), environment={"platform": "Linux-6.1-x86_64; Windows-11"})
    subject = replace(
        session.judged[0], verdicts=(*session.judged[0].verdicts, verdict("disk", {"total_peak_traced_bytes": 6.95e8}))
    )
    session = replace(session, judged=(subject, *session.judged[1:]))
    requests = Requests()
    request = replace(a_request("chain", "subject", None, "per_tile"), dataset=DatasetFacts("x", "synthetic", "", ()))
    frames = a_request("chain", "subject", None, "per_tile").dataset.frames
    requests.of = lambda *_: replace(request, dataset=replace(request.dataset, frames=frames))
    assert not_covered(taken(session), requests, EN) == (
        "Settings: only those of the profile fast decide.",
        "Platforms: only Linux, Windows.",
        f"Size: no run with more than {len(frames)} frames or more than 695\N{NO-BREAK SPACE}MB in its files.",
        "Your own frames were not run: add --phase3-frames=FOLDER.",
        "Observed frames were not run.",
        "Lines of the checklist that were not evaluated: A.1, B.3.",
    )


def test_frames_that_were_run_are_not_told_as_missing():
    """A session with a user's frames and an observed set names the set, and does not ask for the user's frames."""
    own = replace(entry("u", "subject", FIXED), dataset="mine", dataset_kind="user")
    observed = replace(entry("o", "subject", FIXED), dataset="m94", dataset_kind="real")
    session = a_session()
    told = not_covered(taken(replace(session, runs=(*session.runs, own, observed))), Requests(), EN)
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
    assert "Findings: 8, 22" in text


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
        assert (known.title.text, known.anchor) == index[known.number][:2]
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
    assert "[8](findings.md#8-two-equal-runs-differ)" in text
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
    assert all(picture["role"] == "img" and picture["aria-label"] for picture in page.all("svg"))


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
