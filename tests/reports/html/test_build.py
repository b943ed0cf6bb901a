"""Test the report page: content, accessibility, safety, and that it adds no conclusion."""

import json
import re
import shutil
from dataclasses import replace
from itertools import pairwise

import pytest
from PIL import Image

from harness.language.message import say
from harness.language.system import CODES
from harness.record.seal import seal
from harness.record.whole import write_together
from harness.session.model import (
    JudgedRun,
    RealSet,
    TestEntry,
    read_session,
    write_session,
)
from harness.session.run_matrix import RUNS
from harness.verdict import Outcome, Verdict
from reports.html import build, render, skymap
from reports.html.build import BESIDE, FILES, REAL_COMMAND
from reports.html.render import MAX_BYTES, SIGN_SCRIPT, reports, script_digest
from reports.html.runs import Drawing
from reports.material import Material
from reports.terminal import summary_lines
from tests.report_pages import STYLE, Page, a_run, a_session, a_verdict, read, section, shown, written
from tests.sample_session import RED, sample_session

# The files beside the page that it may link to: itself in the other language, and what it was made from.
BY_NAME = {*FILES.values(), *(name for names in BESIDE.values() for name in names)}


def test_every_page_is_well_formed(page):
    """Elements close in order, and no attribute is repeated."""
    assert page.wrong == []
    assert page.open == []


def test_every_link_and_id_resolves(page):
    """Ids are unique; links, labels and patterns point to an id of the page, or to the page in the other language."""
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    wanted = [a["href"] for a in page.all("a")]
    assert {href for href in wanted if not href.startswith("#")} < BY_NAME
    inner = [href[1:] for href in wanted if href.startswith("#")]
    inner += [attrs["aria-labelledby"] for _, attrs in page.elements if "aria-labelledby" in attrs]
    inner += [m for _, attrs in page.elements for m in re.findall(r"url\(#([^)]+)\)", attrs.get("fill") or "")]
    assert set(inner) <= set(ids)


def test_nothing_is_loaded_or_run(page):
    """There is no frame or external address, pictures are embedded, and the policy allows one script: that of the form."""
    assert {"iframe", "object", "embed", "link", "base", "b"}.isdisjoint(tag for tag, _ in page.elements)
    for _, attrs in page.elements:
        assert not [name for name in attrs if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "action", "data"):
            value = attrs.get(name) or ""
            assert value.startswith(("data:image/", "#")) or value in {"", *BY_NAME}
    policies = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    allowed = {
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
        f"script-src '{script_digest(SIGN_SCRIPT)}'",
    }
    assert set(policies[0].split("; ")) == {*allowed, "base-uri 'none'", "form-action 'none'"}
    assert len(page.all("script")) == len(page.all("form")) <= 1
    assert "http" not in STYLE.read_text(encoding="utf-8")
    assert "@import" not in STYLE.read_text(encoding="utf-8")


def test_landmarks_captions_and_texts_for_pictures(page):
    """A reader without the picture finds landmarks, captions and what to look for."""
    assert [len(page.all(tag)) for tag in ("header", "nav", "main", "h1", "footer")] == [1, 1, 1, 1, 1]
    assert page.all("html")[0]["lang"] in CODES
    assert all(len(a.get("alt", "")) > 40 for a in page.all("img"))
    drawings = [a for a in page.all("svg") if a.get("role") == "img"]
    assert drawings
    assert all("aria-labelledby" in a or len(a.get("aria-label", "")) > 10 for a in drawings)
    stacked = [a for a in page.all("table") if "stack" in a.get("class", "")]
    assert len(page.all("caption")) >= len(stacked) > 0
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_every_page_is_small(folders):
    """A page stays under its limit."""
    for folder in folders.values():
        assert all(0 < (folder / name).stat().st_size < MAX_BYTES for name in FILES.values())


def test_outcomes_have_a_sign_and_a_word(page):
    """Outcomes have a sign and a word as well as a colour."""
    badges = [a["class"] for a in page.all("span") if a.get("class", "").startswith("badge")]
    assert badges
    words = page.words
    for sign in {"✗": "fail", "✓": "pass"}:
        if sign in words:
            assert re.search(rf"{sign} \S+", words)


def test_the_self_test_says_so(folders):
    """A session of the reference says so in its title, starts with the real command, and evaluates no Definition of Done."""
    text = (folders["reference"] / FILES["en"]).read_text(encoding="utf-8")
    title = "Self-test of the harness: passes. It says nothing about ZeMosaic."
    assert f"<title>{title}</title>" in text
    assert text.index(REAL_COMMAND) < text.index("<h1") < text.rindex(title)
    words = read(folders["reference"]).words
    done = words[words.index("Definition of Done") : words.index("Not covered")]
    assert done.count("○ not evaluated") == 3
    assert "✓" not in done
    french = read(folders["reference"], "fr").words
    assert "Autotest du banc : réussi. Il ne dit rien de ZeMosaic." in french


def test_a_file_can_not_claim_the_definition_of_done_for_the_reference(folders, tmp_path):
    """For the reference the Definition of Done is shown as not evaluated, whatever session.json says."""
    session = read_session(folders["reference"])
    claimed = tuple(replace(r, outcome=Outcome.PASS) for r in session.requirements)
    words = written(replace(session, requirements=claimed), tmp_path).words
    section = words[words.index("4) Definition of Done") : words.index("The verdict of each check")]
    assert section.count("○ not evaluated") == 3
    assert "✓ pass" not in section


def test_a_line_of_the_definition_of_done_is_one_row(folders):
    """Each line is a row with its badge, its text, the figures that decide it, and its links."""
    text = (folders["zemosaic"] / FILES["en"]).read_text(encoding="utf-8")
    done = text[text.index('id="decision"') : text.index("Not covered")]
    rows = re.findall(r'<tr role="row">(.*?)</tr>', done[done.index("<tbody") :], re.DOTALL)
    assert len(rows) == 3
    assert all(row.count("<td") == 3 and row.count("<th") == 1 and "badge is-" in row for row in rows)


def test_controls_are_shown_as_controls(folders):
    """A control that is red in the expected checks passes, and its verdicts are not listed with those of other runs."""
    words = read(folders["reference"]).words
    assert f"Expected red: {', '.join(RED)}; red: {', '.join(RED)}." in words
    assert words.count("✓ red, as expected") == len(RED)
    verdicts = section(read(folders["reference"]), "Verdicts and evidence", "Verdicts on the version with the bug")
    assert "✗" not in verdicts


def test_a_control_that_is_not_red_is_shown_to_fail(folders, tmp_path):
    """Each check of a control says whether it is missing an expected red or has an unexpected one."""
    session = read_session(folders["reference"])
    judged = tuple(replace(j, expected_red=("products", "holes")) if j.expected_red else j for j in session.judged)
    words = written(replace(session, judged=judged), tmp_path).words
    assert "✗ not red, expected red" in words
    assert "✓ red, as expected" in words
    assert words.count("✗ red, not expected") == len(RED) - 1
    assert "The record can't be read" in words  # the records stayed in the other folder


def test_the_worst_comes_first_with_its_cause(folders):
    """Failures come before passes, each with its sentence and the links of its cause."""
    words = read(folders["zemosaic"]).words
    table = words[words.index("Verdicts and evidence") : words.index("Every test of the scenarios")]
    assert table.index("✗ fail") < table.index("✓ pass")
    assert "Tile 3 is missing (3 of 4 made)." in table
    assert "Tile 3 was not made: it lacked the caches of 3 of its 3 frames" in table
    assert words.index("✗ zemosaic 63bcc2c does not meet the Definition of Done: 3 of 3 lines fail.") < words.index(
        "before → after the patch"
    )


def test_french_is_french(folders):
    """Sentences, causes and words are in French; the checklist is in its author's words in both languages."""
    english, french = (read(folders["zemosaic"], code).words for code in CODES)
    assert "La tuile 3 manque (produites : 3 sur 4)." in french
    assert "La tuile 3 n’a pas été produite" in french
    assert "✗ échec" in french
    assert "2,773 s après le début de la phase 3" in french
    for words in (english, french):
        assert "Vérifier image finale: trou disparu" in words


def test_languages_link_to_each_other(folders):
    """Each page names its language and links to the other."""
    for code, other in (("en", "fr"), ("fr", "en")):
        page = read(folders["zemosaic"], code)
        assert page.all("html")[0]["lang"] == code
        links = [a for a in page.all("a") if a.get("hreflang")]
        assert [(a["href"], a["hreflang"]) for a in links] == [(FILES[other], other)]


def test_the_hole_is_drawn(folders):
    """The hole is outlined and numbered on the run's map, and its position is marked on the pair's."""
    page = read(folders["zemosaic"])
    # First on the mosaic and on the difference, then on the coverage of the run and of its pair.
    assert [a["class"].strip() for a in page.all("path") if a.get("class", "").startswith("hole")] == [
        "hole",
        "hole",
        "hole",
        "hole ghost",
    ]
    assert "Holes are outlined and numbered: 1." in page.words
    assert len(page.all("image")) == 5
    assert len(page.all("img")) == 1


def test_bytes_and_tiles_are_drawn(folders):
    """The size of the caches has a traced and a sampled line; the failed tile, the hold and the removals are marked."""
    page = read(folders["zemosaic"])
    lines = [a["class"] for a in page.all("polyline")]
    assert lines == ["traced", "bound", "sampled"]
    classes = [a.get("class") for a in page.all("rect")]
    assert classes.count("bar failed") == 4  # the tile, the legend, and the tile in the milliseconds of two causes
    assert "hold" in classes
    assert "caches removed: 12" in page.words
    assert "group 3 waits for 2: met" in page.words


def test_markup_in_a_record_is_inert(folders):
    """Names and texts with markup are shown as text; invisible characters are shown as escapes."""
    for code in CODES:
        text = (folders["hostile"] / FILES[code]).read_text(encoding="utf-8")
        assert text.count("<script") == text.count(f"<script>{SIGN_SCRIPT}</script>") == 1
        assert "{{ 7*7 }}" in text
        assert not re.search("[\x00\u202e]", text)
        assert "<script>alert('x')</script>\"'&{{ 7*7 }}\\u202e\\u0000" in Page(text).words


def test_an_unsealed_record_is_unknown(folders):
    """A run that could not be judged is shown as unknown with the reason, never as a pass."""
    words = read(folders["unsealed"]).words
    assert "Self-test of the harness: unknown." in words
    assert "No test fails, but 3 of 3 could not conclude, so the validation does not pass." in words
    assert "The record was never sealed: the run may have been cut off." in words
    table = words[words.index("Verdicts and evidence") : words.index("Verdicts on the version with the bug")]
    assert "? unknown" in table
    assert "✓ pass" not in table


def test_what_a_target_replaced_is_named(tmp_path):
    """A page names what the target put in the place of its record's files. A change since the seal is another sentence."""
    session = sample_session(tmp_path, "zemosaic")
    record = tmp_path / next(run.record for run in session.runs if run.role == "subject")
    seal(record, "done", 0, "", 1.0, ("outputs: a symbolic link in the place of the folder",))
    write_together(reports(Material(tmp_path)))
    words = read(tmp_path).words
    assert "The target replaced parts of its record: outputs: a symbolic link in the place of the folder" in words
    assert "The record was changed since it was sealed" not in words


def test_a_linked_picture_is_not_embedded(tmp_path):
    """A picture that became a link, or a hard link, to a picture of the user is on no page."""
    session = sample_session(tmp_path, "zemosaic")
    run = next(run for run in session.runs if run.role == "subject")
    picture = tmp_path / run.record / "thumbnail.png"
    mine = tmp_path / "mine.png"
    Image.new("RGBA", (30, 20), (9, 9, 9, 255)).save(mine)
    assert Material(tmp_path).photograph(Material(tmp_path).record(run.key)) is not None
    for link in (picture.symlink_to, picture.hardlink_to):
        picture.unlink()
        try:
            link(mine)
        except OSError:
            pytest.skip("this system makes no links")
        assert Material(tmp_path).photograph(Material(tmp_path).record(run.key)) is None


def test_an_empty_session_is_no_pass(tmp_path):
    """A session without judged runs is unknown, and every empty part says so."""
    words = written(a_session(), tmp_path).words
    assert "zemosaic abc: the validation could not conclude" in words
    assert "No test was evaluated, so the validation does not pass." in words
    for part in (
        "No run was judged",
        "No case was judged",
        "No test ran",
        "No run was made",
        "The session contains no checklist",
    ):
        assert part in words


def test_a_judgement_without_its_run_says_so(tmp_path):
    """A verdict whose run is missing from the session is still shown, with a note on the missing run."""
    verdict = Verdict("holes", Outcome.UNKNOWN, say("No tile was submitted."), {"outlines": {"1": [[1, 2]], "2": "no"}})
    session = a_session(judged=(JudgedRun("run-1", case="chain", role="subject", verdicts=(verdict,)),))
    words = written(session, tmp_path).words
    assert "The session has no run run-1: nothing can be drawn." in words
    assert "No tile was submitted." in words


@pytest.mark.parametrize("path", ["../elsewhere", "runs/absent", "runs/broken"])
def test_a_record_that_can_not_be_read_is_named(folders, tmp_path, path):
    """A record that is missing, broken or outside the session's folder is named, and the page is still written."""
    session = read_session(folders["zemosaic"])
    (tmp_path / "runs" / "broken").mkdir(parents=True)
    (tmp_path / "runs" / "broken" / "request.json").write_text("[]", encoding="utf-8")
    runs = tuple(replace(r, record=path) for r in session.runs)
    words = written(replace(session, runs=runs), tmp_path).words
    assert "The record can't be read" in words
    assert "Tile 3 is missing (3 of 4 made)." in words


def test_a_crashed_and_changed_record_is_shown_with_what_it_has(tmp_path):
    """A run that was cut off, and a changed record, are drawn as far as possible, with a note on what is wrong."""
    sample_session(tmp_path, "zemosaic")
    record = tmp_path / RUNS / "subject-per_tile"
    seal = json.loads((record / "seal.json").read_text(encoding="utf-8"))
    seal |= {"state": "timed out", "reason": "no end after 60 s"}
    (record / "seal.json").write_text(json.dumps(seal), encoding="utf-8")
    with (record / "trace-1.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"op": "til')
    (record / "products.json").unlink()
    words = shown(tmp_path).words
    assert "The run ended as: timed out. no end after 60 s" in words
    assert "changed since it was sealed: products.json: missing" in words
    assert "Lines that could not be read: trace-1.jsonl" in words
    assert "No mosaic was made, or it was not measured." in words
    assert "Master tiles" in words


def test_real_sets_are_named_with_the_command_that_gets_them(folders, tmp_path):
    """The page names the judged real sets, or says that there are none and how to get one."""
    words = read(folders["zemosaic"]).words
    assert "No real set was judged" in words
    assert "phase3 data fetch seestar_m94_2panels" in words
    judged = written(
        a_session(
            real_sets=(RealSet("m94", judged=True, command="x"), RealSet("other", judged=False, command="get it"))
        ),
        tmp_path,
    ).words
    assert "No real set was judged" not in judged
    assert "judged in this session" in judged


@pytest.mark.parametrize(
    ("standing", "matrix", "listed"),
    [
        ("", "truth △ finding version with the bug", "△ finding truth chain"),
        ("new", "truth ✗ fail finding, new version with the bug", "✗ fail truth finding, new chain"),
        (
            "pre-existing",
            "truth △ known, not the patch's version with the bug",
            "△ known, not the patch's truth finding, pre-existing chain",
        ),
    ],
)
def test_findings_are_marked(standing, matrix, listed, tmp_path):
    """A finding has its standing. Only a new one is a failure: another has the third sign, and is known on the first screen."""
    finding = Verdict("truth", Outcome.FAIL, say("No tile was submitted."), axis="quality", standing=standing)
    session = a_session(judged=(JudgedRun("r", case="chain", role="subject", verdicts=(finding,)),))
    words = written(session, tmp_path).words
    assert matrix in words
    assert listed in words
    first = section(written(session, tmp_path), "zemosaic abc", "Before and after chain")
    assert ("△ truth: No tile was submitted." in first) == (standing != "new")
    assert ("✗" in words) == (standing == "new")
    ends = {
        "": "△ truth (finding: chain)",
        "new": "✗ truth (chain)",
        "pre-existing": "△ truth (known, not the patch's: chain)",
    }
    assert f"{ends[standing]}: No tile was submitted." in summary_lines(session, "en")


def test_what_gates_stands_before_findings(tmp_path):
    """Failures that gate come before other findings, whatever the names of cases and checks."""
    old = Verdict("a", Outcome.FAIL, say("Old."), axis="quality", standing="pre-existing")
    judged = (a_run("a", "subject", (old,)), a_run("z", "subject", (a_verdict("z", Outcome.FAIL),)))
    words = written(a_session(judged=judged), tmp_path).words
    table = words[words.index("Verdicts and evidence") :]
    assert table.index("✗ fail z") < table.index("△ known, not the patch's a finding, pre-existing")


def test_a_failing_test_without_a_verdict_is_named_beside_the_verdicts(tmp_path):
    """A failing test without a verdict in the list (a guard rail, a control) is named above the list, with a link."""
    tests = (TestEntry("scenarios/test_guard_rails.py::t", "No file is added.", Outcome.FAIL, "x", None),)
    page = written(a_session(tests=tests, judged=(a_run("a", "subject", (a_verdict("holes"),)),)), tmp_path)
    verdicts = section(page, "Verdicts and evidence", "Every test of the scenarios")
    assert "✗ fail No file is added." in verdicts
    assert "#test-1" in [a.get("href") for a in page.all("a")]


def test_a_page_that_would_be_too_large_leaves_its_drawings_out(folders, tmp_path, monkeypatch):
    """A page above the limit gets smaller pictures, and in the end none, and says so."""
    session = read_session(folders["zemosaic"])
    write_session(session, tmp_path)
    monkeypatch.setattr(render, "MAX_BYTES", 1000)
    monkeypatch.setattr(render, "MOST_BYTES", 1000)
    write_together(reports(Material(tmp_path)))
    words = read(tmp_path).words
    assert "The drawings are left out, to keep this page small" in words


@pytest.mark.parametrize("many", [0, 1000])
def test_a_page_with_too_much_text_draws_what_fails(folders, tmp_path, monkeypatch, many):
    """When the text alone is above the limit, red runs and the mosaics before and after are still drawn, and the page says so."""
    session = read_session(folders["zemosaic"])
    shutil.copytree(folders["zemosaic"], tmp_path / "copy")
    (red,) = session.judged
    good = replace(red, run=red.pair, pair=None, role="pair", verdicts=(a_verdict("tiles"),))
    session = replace(session, judged=(red, good))
    write_session(session, tmp_path / "copy")
    monkeypatch.setattr(render, "MANY", many)
    monkeypatch.setattr(render, "MAX_BYTES", 1000)
    write_together(reports(Material(tmp_path / "copy")))
    page = read(tmp_path / "copy")
    assert "Only runs in which something fails or is unknown are drawn" in page.words
    assert (red.outcome, good.outcome) == (Outcome.FAIL, Outcome.PASS)
    html = (tmp_path / "copy" / FILES["en"]).read_text(encoding="utf-8")
    drawn = {
        part.partition("</summary>")[0].count("is-fail"): "data:image" in part.partition("</details>")[0]
        for part in html.split('<details class="run"')[1:]
    }
    assert drawn == {1: True, 0: False}


def test_a_session_that_is_none_is_refused(folders, tmp_path):
    """A folder without a session, or an unknown language, is an error that says what was expected."""
    with pytest.raises(ValueError, match=r"expected a session\.json"):
        Material(tmp_path)
    with pytest.raises(ValueError, match="expected a language"):
        build.build(Material(folders["reference"]), "de", Drawing(None, None), "")


def test_records_are_read_once(folders):
    """Each record is read once for the pages in both languages."""
    material = Material(folders["zemosaic"])
    key = next(iter(material.runs))
    assert material.record(key) is material.record(key)
    assert material.record(None) is None


def test_drawings_are_made_once_for_both_languages(folders, monkeypatch):
    """A map has no words, so the page in the second language uses those of the first."""
    material, drawn = Material(folders["zemosaic"]), []
    maps = skymap.maps
    monkeypatch.setattr(skymap, "maps", lambda *given: drawn.append(1) or maps(*given))
    write_together(reports(material))
    assert len(drawn) == len(material.session.judged) > 0


def test_the_page_concludes_nothing(folders, tmp_path):
    """The page shows the outcomes of the session, even if the records would give others."""
    session = read_session(folders["zemosaic"])
    tests = tuple(replace(t, outcome=Outcome.PASS) for t in session.tests)
    assert "zemosaic 63bcc2c: nothing that was run fails" in written(replace(session, tests=tests), tmp_path).words


def _colours(block):
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})\b", block))


def _luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_contrast_is_good_in_light_and_dark(dark):
    """The contrast of text is at least 4.5 (WCAG 2.2, AA), that of drawn lines at least 3."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE.read_text(encoding="utf-8"), re.DOTALL)
    colours = _colours(blocks[0]) | (_colours(blocks[1]) if dark else {})

    def contrast(a, b):
        high, low = sorted((_luminance(colours[a]), _luminance(colours[b])), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for ink in ("ink", "quiet", "link", "pass", "fail", "unknown", "none"):
        assert contrast(ink, "paper") >= 4.5, ink
    for ink in ("pass", "fail", "unknown", "none"):
        assert contrast(ink, f"{ink}-soft") >= 4.5, ink
    for behind in ("soft", "made", "failed"):
        assert contrast("ink", behind) >= 4.5, behind
    for line in ("traced", "sampled"):
        assert contrast(line, "soft") >= 3, line
