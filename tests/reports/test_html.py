"""The report and the summary: what they show, what they refuse to run, and that they conclude nothing themselves."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from harness.convert import to_json
from harness.language.catalogue import CODES, Language
from harness.language.message import say
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.model import (
    JudgedRun,
    RealSet,
    Requirement,
    RunEntry,
    Session,
    TestEntry,
    read_session,
    write_session,
)
from harness.verdict import Outcome, Verdict
from reports.html import build, render, runs, skymap
from reports.html.build import FILES, REAL_COMMAND
from reports.html.evidence import MAX_ITEMS, node
from reports.html.render import MAX_BYTES, write_reports
from reports.material import Material
from reports.terminal import summary_lines
from tests.sample_session import JUDGED, RED, REFERENCE, Run, a_request, sample_session

VOID = {"meta", "link", "img", "br", "hr", "input", "col"}
STYLE = Path(render.__file__).parent / "templates" / "style.css"


class Page(HTMLParser):
    """A page taken apart: its elements with their attributes, its text, and whether every element is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.wrong, self.text = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        """Note an element."""
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.wrong.append(f"<{tag}> has an attribute twice")
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        """Note an element that closes itself (in a drawing)."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        """Close the last open element."""
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> out of order")

    def handle_data(self, data):
        """Note text that is read, not the style sheet."""
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    def all(self, tag):
        """Return the attributes of every element of a name."""
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def words(self):
        """The page's text, with single spaces."""
        return re.sub(r"\s+", " ", " ".join(self.text))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Sessions with their reports: of the reference, of a real target that loses a tile, and of a hostile record."""
    root = tmp_path_factory.mktemp("sessions éà")
    kinds = {"reference": {}, "zemosaic": {"kind": "zemosaic"}, "hostile": {"kind": "zemosaic", "hostile": True}}
    kinds["unsealed"] = {"sealed": False}
    for name, options in kinds.items():
        (root / name).mkdir()
        sample_session(root / name, **options)
        write_reports(Material(root / name))
    return {name: root / name for name in kinds}


@pytest.fixture(
    params=[(kind, code) for kind in ("reference", "zemosaic", "hostile", "unsealed") for code in CODES], ids=str
)
def page(request, folders):
    """Each page that was written."""
    kind, code = request.param
    return Page((folders[kind] / FILES[code]).read_text(encoding="utf-8"))


def read(folder, code="en"):
    """Return a page of a session."""
    return Page((folder / FILES[code]).read_text(encoding="utf-8"))


def a_session(**parts):
    """Return an empty session of a real target with these parts."""
    return Session("2026-11-23T12:00:00+00:00", "zemosaic abc", "zemosaic", {}, "pytest -m phase3", {}, **parts)


def shown(folder, side=160):
    """Return the English page of a session's folder, as it is written."""
    return Page(render.render(build.build(Material(folder), "en", side, FILES["fr"])))


def written(session, folder):
    """Write a session and its report; return the English page."""
    write_session(session, folder)
    return shown(folder)


def test_every_page_is_well_formed(page):
    """Elements close in order, and no attribute stands twice."""
    assert page.wrong == []
    assert page.open == []


def test_every_link_and_id_resolves(page):
    """Ids are unique; links, labels and patterns lead to an id of the page; the other link is the other language."""
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    wanted = [a["href"] for a in page.all("a")]
    assert {href for href in wanted if not href.startswith("#")} < set(FILES.values())
    inner = [href[1:] for href in wanted if href.startswith("#")]
    inner += [attrs["aria-labelledby"] for _, attrs in page.elements if "aria-labelledby" in attrs]
    inner += [m for _, attrs in page.elements for m in re.findall(r"url\(#([^)]+)\)", attrs.get("fill") or "")]
    assert set(inner) <= set(ids)


def test_nothing_is_loaded_or_run(page):
    """No script, no frame, no address outside: pictures are data, and the policy forbids the rest."""
    assert {"script", "iframe", "object", "embed", "form", "link", "base", "b"}.isdisjoint(
        tag for tag, _ in page.elements
    )
    for _, attrs in page.elements:
        assert not [name for name in attrs if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "action", "data"):
            value = attrs.get(name) or ""
            assert value.startswith(("data:image/", "#")) or value in {"", *FILES.values()}
    policies = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert {"default-src 'none'", "img-src data:", "style-src 'unsafe-inline'"} <= set(policies[0].split("; "))
    assert "http" not in STYLE.read_text(encoding="utf-8")
    assert "@import" not in STYLE.read_text(encoding="utf-8")


def test_landmarks_captions_and_texts_for_pictures(page):
    """A reader without the picture finds landmarks, captions and what to look for."""
    assert [len(page.all(tag)) for tag in ("header", "nav", "main", "h1", "footer")] == [1, 1, 1, 1, 1]
    assert page.all("html")[0]["lang"] in CODES
    assert all(len(a.get("alt", "")) > 40 for a in page.all("img"))
    drawings = [a for a in page.all("svg") if a.get("role") == "img"]
    assert drawings
    assert all("aria-labelledby" in a for a in drawings)
    stacked = [a for a in page.all("table") if "stack" in a.get("class", "")]
    assert len(page.all("caption")) >= len(stacked) > 0
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_every_page_is_small(folders):
    """A page stays under its limit."""
    for folder in folders.values():
        assert all(0 < (folder / name).stat().st_size < MAX_BYTES for name in FILES.values())


def test_outcomes_have_a_sign_and_a_word(page):
    """Colour is never the only sign."""
    badges = [a["class"] for a in page.all("span") if a.get("class", "").startswith("badge")]
    assert badges
    words = page.words
    for sign in {"✗": "fail", "✓": "pass"}:
        if sign in words:
            assert re.search(rf"{sign} \S+", words)


def test_the_self_test_says_so(folders):
    """On the reference the title says what it is, the real command stands first, and the Definition of Done is not evaluated."""
    text = (folders["reference"] / FILES["en"]).read_text(encoding="utf-8")
    title = "Self-test of the harness: passes. It says nothing about ZeMosaic."
    assert f"<title>{title}</title>" in text
    assert text.index(REAL_COMMAND) < text.index("<h1") < text.rindex(title)
    words = read(folders["reference"]).words
    done = words[words.index("Definition of Done") : words.index("Verdicts", words.index("Definition of Done"))]
    assert done.count("○ not evaluated") == 3
    assert "✓" not in done
    french = read(folders["reference"], "fr").words
    assert "Autotest du banc : réussi. Il ne dit rien de ZeMosaic." in french


def test_a_file_can_not_claim_the_definition_of_done_for_the_reference(folders, tmp_path):
    """Whatever a session of the reference says of it, the Definition of Done is shown as not evaluated."""
    session = read_session(folders["reference"])
    claimed = tuple(replace(r, outcome=Outcome.PASS) for r in session.requirements)
    words = written(replace(session, requirements=claimed), tmp_path).words
    section = words[words.index("4) Definition of Done") : words.index("Every test of the scenarios")]
    assert section.count("○ not evaluated") == 3
    assert "✓ pass" not in section


def test_controls_are_shown_as_controls(folders):
    """A control that is red where it must be passes, and its red verdicts are not among those of the run under validation."""
    words = read(folders["reference"]).words
    assert f"Expected red: {', '.join(RED)}; found red: {', '.join(RED)}." in words
    assert words.count("✓ red, as expected") == len(RED)
    verdicts = words[words.index("Every check of every run") : words.index("A control is a run")]
    assert "✗" not in verdicts


def test_a_control_that_is_not_red_is_shown_to_fail(folders, tmp_path):
    """Each check of a control says whether it was to be red and was not, or is red and was not to be."""
    session = read_session(folders["reference"])
    judged = tuple(replace(j, expected_red=("products", "holes")) if j.expected_red else j for j in session.judged)
    words = written(replace(session, judged=judged), tmp_path).words
    assert "✗ not red, expected red" in words
    assert "✓ red, as expected" in words
    assert words.count("✗ red, not expected") == len(RED) - 1
    assert "The record can't be read" in words  # the records stayed in the other folder


def test_the_worst_comes_first_with_its_cause(folders):
    """Failures stand before passes, each with its sentence and the links of its cause."""
    words = read(folders["zemosaic"]).words
    table = words[words.index("What was found") : words.index("Dataset:")]
    assert table.index("✗ fail") < table.index("✓ pass")
    assert "3 of 4 master tiles were made; not made: 3." in table
    assert "Tile 3 was not made: it lacked the caches of 3 of its 3 frames" in table
    assert "zemosaic 63bcc2c: the validation fails" in words


def test_french_is_french(folders):
    """Sentences, causes and words are in French; the checklist is in its author's words in both languages."""
    english, french = (read(folders["zemosaic"], code).words for code in CODES)
    assert "3 master tiles sur 4 ont été produites" in french
    assert "La tuile 3 n’a pas été produite" in french
    assert "✗ échec" in french
    assert "2,773 s après le début de la phase 3" in french
    for words in (english, french):
        assert "Vérifier image finale: trou disparu" in words


def test_languages_link_to_each_other(folders):
    """Each page names its language and leads to the other."""
    for code, other in (("en", "fr"), ("fr", "en")):
        page = read(folders["zemosaic"], code)
        assert page.all("html")[0]["lang"] == code
        links = [a for a in page.all("a") if a.get("hreflang")]
        assert [(a["href"], a["hreflang"]) for a in links] == [(FILES[other], other)]


def test_the_hole_is_drawn(folders):
    """The hole is outlined and numbered on the run's map, and its place is shown on the pair's."""
    page = read(folders["zemosaic"])
    assert [a["class"].strip() for a in page.all("path") if a.get("class", "").startswith("hole")] == [
        "hole",
        "hole ghost",
    ]
    assert "Holes are outlined and numbered: 1." in page.words
    assert len(page.all("image")) == 2
    assert len(page.all("img")) == 1


def test_bytes_and_tiles_are_drawn(folders):
    """Live bytes have a traced and a sampled line; the failed tile, the hold and the removals are marked."""
    page = read(folders["zemosaic"])
    lines = [a["class"] for a in page.all("polyline")]
    assert lines == ["traced", "bound", "sampled"]
    classes = [a.get("class") for a in page.all("rect")]
    assert classes.count("bar failed") == 2  # the tile and the legend
    assert "hold" in classes
    assert "caches removed: 12" in page.words
    assert "group 3 waits for 2: met" in page.words


def test_markup_in_a_record_is_inert(folders):
    """Names and texts that try to be markup are shown as text; characters that would hide something are made visible."""
    for code in CODES:
        text = (folders["hostile"] / FILES[code]).read_text(encoding="utf-8")
        assert "<script" not in text
        assert "{{ 7*7 }}" in text
        assert not re.search("[\x00\u202e]", text)
        assert "<script>alert('x')</script>\"'&{{ 7*7 }}\\u202e\\u0000" in Page(text).words


def test_the_terminal_is_not_steered(folders):
    """The summary is plain text, a line each, whatever names hold."""
    lines = summary_lines(read_session(folders["hostile"]), "fr")
    assert any("\\u202e\\u0000" in line for line in lines)
    assert all(c.isprintable() or c in "\u00a0\u202f" for line in lines for c in line)


def test_an_unsealed_record_is_unknown(folders):
    """What could not be judged is shown as unknown, with the reason, and never as a pass."""
    words = read(folders["unsealed"]).words
    assert "Self-test of the harness: unknown." in words
    assert "No test fails, but 3 of 3 could not conclude: this is no pass." in words
    assert "The record was never sealed: the run may have been cut off." in words
    table = words[words.index("What was found") : words.index("A control is a run")]
    assert "? unknown" in table
    assert "✓ pass" not in table


def test_an_empty_session_is_no_pass(tmp_path):
    """Nothing judged is unknown, and every part says that it is empty."""
    words = written(a_session(), tmp_path).words
    assert "zemosaic abc: the validation could not conclude" in words
    assert "Nothing was judged, and no evidence is no pass." in words
    for part in (
        "No run was judged",
        "No case was judged",
        "No test ran",
        "No run was made",
        "The session holds no checklist",
    ):
        assert part in words


def test_a_judgement_without_its_run_says_so(tmp_path):
    """A verdict whose run the session does not hold is still shown, and what is missing is named."""
    verdict = Verdict("holes", Outcome.UNKNOWN, say("No tile was submitted."), {"outlines": {"1": [[1, 2]], "2": "no"}})
    session = a_session(judged=(JudgedRun("run-1", case="chain", role="subject", verdicts=(verdict,)),))
    words = written(session, tmp_path).words
    assert "The session has no run run-1: nothing can be drawn." in words
    assert "No tile was submitted." in words


@pytest.mark.parametrize("path", ["../elsewhere", "runs/absent", "runs/broken"])
def test_a_record_that_can_not_be_read_is_named(folders, tmp_path, path):
    """A record that is absent, broken or outside the session's folder is named, and the page is written."""
    session = read_session(folders["zemosaic"])
    (tmp_path / "runs" / "broken").mkdir(parents=True)
    (tmp_path / "runs" / "broken" / "request.json").write_text("[]", encoding="utf-8")
    runs = tuple(replace(r, record=path) for r in session.runs)
    words = written(replace(session, runs=runs), tmp_path).words
    assert "The record can't be read" in words
    assert "3 of 4 master tiles were made; not made: 3." in words


def test_a_crashed_and_changed_record_is_shown_with_what_it_has(tmp_path):
    """A run that was killed, and a record that was changed, are drawn as far as they go, with what is wrong with them."""
    sample_session(tmp_path, "zemosaic")
    record = tmp_path / "runs" / "subject-per_tile"
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
    """Without a judged real set the page says so and how to get one; with one it says which."""
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
    ("standing", "told"), [("", "finding"), ("new", "finding, new"), ("pre-existing", "finding, pre-existing")]
)
def test_findings_are_marked(standing, told, tmp_path):
    """A finding of quality is told from a verdict that gates, with its standing, on the page and in the terminal."""
    finding = Verdict("truth", Outcome.FAIL, say("No tile was submitted."), axis="quality", standing=standing)
    session = a_session(judged=(JudgedRun("r", case="chain", role="subject", verdicts=(finding,)),))
    words = written(session, tmp_path).words
    assert f"truth ✗ fail {told} control" in words
    assert f"✗ fail truth {told} chain" in words
    assert any(f"truth ({told}): No tile was submitted." in line for line in summary_lines(session, "en"))


def test_what_gates_stands_before_findings(tmp_path):
    """Of what fails, that which decides on the patch comes first, whatever the names of cases and checks."""
    old = Verdict("a", Outcome.FAIL, say("Old."), axis="quality", standing="pre-existing")
    judged = (a_run("a", "subject", (old,)), a_run("z", "subject", (a_verdict("z", Outcome.FAIL),)))
    words = written(a_session(judged=judged), tmp_path).words
    table = words[words.index("Every check of every run") :]
    assert table.index("✗ fail z") < table.index("✗ fail a finding, pre-existing")


def test_a_failing_test_without_a_verdict_is_named_beside_the_verdicts(tmp_path):
    """A guard rail, or a control that is not red, has no verdict in the list: its test stands above it, with a link."""
    tests = (TestEntry("scenarios/test_guard_rails.py::t", "No file is added.", Outcome.FAIL, "x", None),)
    page = written(a_session(tests=tests, judged=(a_run("a", "subject", (a_verdict("holes"),)),)), tmp_path)
    verdicts = section(page, "Every check of every run", "Cases")
    assert "✗ fail No file is added." in verdicts
    assert "#test-1" in [a.get("href") for a in page.all("a")]


def test_a_sentence_among_evidence_is_in_the_readers_language():
    """What a check says in its evidence is said in each language, alone, in a list and in a table."""
    told = to_json(say("No tile was submitted."))
    french = Language("fr")
    spoken = "Aucune tuile n’a été soumise."
    assert node(told, french).text == spoken
    assert [part.text for part in node([told], french).items] == [spoken]
    assert node([{"why": told}], french).rows == ((spoken,),)
    assert node({"text": "a", "values": 1}, french).kind == "pairs"


def test_evidence_is_bounded_and_says_what_it_leaves_out():
    """Long, deep and wide evidence is cut, and the cut is counted."""
    lang = Language("en")
    long = node(list(range(1000)), lang)
    assert long.left_out == 1000 - MAX_ITEMS
    table = node([{"a": n, "b": [n, None]} for n in range(100)], lang)
    assert (table.kind, table.header, table.rows[0], len(table.rows), table.left_out) == (
        "table",
        ("a", "b"),
        ("0", "0, –"),
        40,
        60,
    )
    assert node({"a": {"b": {"c": {"d": {"e": 1}}}}}, lang).kind == "pairs"
    assert len(node("x" * 10_000, lang).text) == 400
    assert node([[1, 2], {"a": True}], lang).kind == "items"
    assert node({}, lang).text == "–"
    assert node(34.204167, lang).text == "34.204167"


def test_a_page_that_would_be_too_large_leaves_its_drawings_out(folders, tmp_path, monkeypatch):
    """Rather than grow without bound the page shrinks its pictures, then leaves them out and says so."""
    session = read_session(folders["zemosaic"])
    write_session(session, tmp_path)
    monkeypatch.setattr(render, "MAX_BYTES", 1000)
    write_reports(Material(tmp_path))
    words = read(tmp_path).words
    assert "The drawings are left out, to keep this page small" in words


def test_a_session_that_is_none_is_refused(folders, tmp_path):
    """The error says what was expected, and an unknown language is refused."""
    with pytest.raises(ValueError, match=r"expected a session\.json"):
        Material(tmp_path)
    with pytest.raises(ValueError, match="expected a language"):
        build.build(Material(folders["reference"]), "de", None, "")


def test_records_are_read_once(folders):
    """The pages in both languages rest on one reading of each record."""
    material = Material(folders["zemosaic"])
    key = next(iter(material.runs))
    assert material.record(key) is material.record(key)
    assert material.record(None) is None


def test_the_page_concludes_nothing(folders, tmp_path):
    """What the session says is shown, even where the records would say otherwise."""
    session = read_session(folders["zemosaic"])
    tests = tuple(replace(t, outcome=Outcome.PASS) for t in session.tests)
    assert "zemosaic 63bcc2c: the validation passes" in written(replace(session, tests=tests), tmp_path).words


def test_the_summary_is_compact_and_worst_first(folders):
    """Title, figures, then each judged run: failures with their sentences, controls in a line, real sets at the end."""
    lines = summary_lines(read_session(folders["zemosaic"]), "en")
    assert lines[:3] == (
        "zemosaic 63bcc2c: the validation fails",
        "Tests that fail: 3 of 3. Tests that could not conclude: 0.",
        "✗ fail: chain, subject",
    )
    assert "    ✗ tiles: 3 of 4 master tiles were made; not made: 3." in lines
    assert lines[-3] == "No real set was judged."
    reference = summary_lines(read_session(folders["reference"]), "fr")
    assert reference[0] == "Autotest du banc\u00a0: réussi. Il ne dit rien de ZeMosaic."
    assert any(
        line.startswith("✓ réussi\u00a0: chain, témoin (rouges attendues\u00a0: cache, depth") for line in reference
    )


def test_one_sentence_of_many_checks_is_said_once():
    """What a run lacks for several checks stands in one line that names them; other sentences and outcomes keep theirs."""
    ended, other = say("The run did not reach its end."), say("No tile was submitted.")
    unknown, fail = Outcome.UNKNOWN, Outcome.FAIL
    verdicts = tuple(
        Verdict(check, outcome, sentence)
        for check, outcome, sentence in (
            ("cache", unknown, ended),
            ("holes", unknown, ended),
            ("logs", unknown, other),
            ("tiles", fail, ended),
        )
    )
    judged = JudgedRun("r", case="chain", role="subject", verdicts=verdicts)
    lines = summary_lines(a_session(judged=(judged,)), "en")
    assert [line for line in lines if line.startswith("    ")] == [
        "    ✗ tiles: The run did not reach its end.",
        "    ? cache, holes: The run did not reach its end.",
        "    ? logs: No tile was submitted.",
    ]


def test_an_unknown_test_is_never_a_pass_in_the_title(tmp_path):
    """One test that could not conclude makes the whole session unknown."""
    tests = (
        TestEntry("a::b", "t", Outcome.PASS, "", None),
        TestEntry("a::c", "t", Outcome.UNKNOWN, "no evidence", None),
    )
    words = written(a_session(tests=tests), tmp_path).words
    assert "could not conclude" in words
    assert "the validation passes" not in words


def a_verdict(check, outcome=Outcome.PASS, axis="patch"):
    """Return a verdict of a check."""
    return Verdict(check, outcome, say("No tile was submitted."), axis=axis)


def a_run(case, role, verdicts, **parts):
    """Return a judged run of a case."""
    return JudgedRun(
        f"{case}-{role}",
        parts.pop("pair", None),
        parts.pop("baseline", None),
        case=case,
        role=role,
        verdicts=verdicts,
        **parts,
    )


def an_entry(case, role, target="zemosaic abc"):
    """Return the run of a case and role in the session's list."""
    return RunEntry(
        f"{case}-{role}",
        case,
        role,
        "per_tile",
        target,
        "chain3x2",
        "synthetic",
        "runs/gone",
        "done",
        1.0,
        "classic",
        2,
    )


def section(page, start, end):
    """Return the words between two texts of a page."""
    first = page.words.index(start)
    return page.words[first : page.words.index(end, first)]


def test_the_matrix_shows_every_case_at_a_glance(folders):
    """A row a case with its dataset, a cell a check with sign and word, then whether its control was red as it must be."""
    matrix = section(read(folders["reference"]), "What each check says", "Every check of every run")
    assert f"Case {' '.join(sorted(JUDGED))} control pair" in matrix
    assert 'Test A — Repro "trou" chain chain2x2 (synthetic frames), classic' in matrix
    assert matrix.count("✓ pass") == len(JUDGED) + 1  # the signs are explained below
    assert "control ✓ red found" in matrix
    assert "pair ○ none made" in matrix
    red = section(read(folders["zemosaic"]), "What each check says", "Every check of every run")
    assert "holes ✗ fail" in red
    assert "products ✓ pass" in red
    assert "control ○ none made" in red


def test_the_matrix_leads_to_the_run_and_hides_nothing(tmp_path):
    """Cells lead to their run; the worst control and pair of a case count; a case without a subject has no pass."""
    judged = (
        a_run("a", "subject", (a_verdict("holes", Outcome.UNKNOWN), a_verdict("truth", Outcome.FAIL, "quality"))),
        replace(a_run("a", "subject", (a_verdict("holes"),)), run="again"),
        a_run("a", "pair", (a_verdict("holes"),)),
        replace(a_run("a", "pair", (a_verdict("holes", Outcome.FAIL),)), run="second"),
        a_run("a", "control", (a_verdict("holes"),), expected_red=("holes",)),
        a_run("b", "pair", (a_verdict("holes"),)),
    )
    page = written(a_session(judged=judged), tmp_path)
    matrix = section(page, "What each check says", "Every check of every run")
    first, second = matrix[matrix.index("pair", matrix.index("Case")) :].split(" b ")
    assert "a a-subject" in first
    assert "a again" in first
    assert first.count("holes ? unknown") == first.count("holes ✓ pass") == 1
    assert "truth ✗ fail finding" in first
    assert first.count("control ✗ not as expected") == first.count("pair ✗ fail") == 2
    assert "holes ○ not evaluated truth ○ not evaluated control ○ none made pair ✓ pass" in second
    cells = [a["href"] for a in page.all("a") if re.fullmatch("#run-[0-9]+", a.get("href", ""))]
    # By case, role and name: the control, its sound pair, the pair that fails, and the two runs of the subject.
    assert {"#run-1", "#run-3", "#run-4", "#run-5"} <= set(cells)
    assert "#run-2" not in cells


@pytest.mark.parametrize("count", [18, 19])
def test_a_wide_matrix_flows(count, tmp_path):
    """With more columns than signs fit side by side each cell stands with the name of its column."""
    page = written(
        a_session(judged=(a_run("a", "subject", tuple(a_verdict(f"c{n}") for n in range(count))),)), tmp_path
    )
    (matrix,) = (a["class"] for a in page.all("table") if "matrix" in a.get("class", ""))
    assert ("flowing" in matrix) == (count > 18)


def test_passes_are_folded_and_failures_never(tmp_path):
    """Failures and unknowns of any run stand open; passes of pairs are folded, and the subject's too when there are many."""
    pair = a_run("a", "pair", (a_verdict("depth"), a_verdict("holes", Outcome.FAIL)))
    few = (a_verdict("tiles"), a_verdict("cache", Outcome.UNKNOWN), a_verdict("disk", Outcome.NOT_APPLICABLE))
    page = written(a_session(judged=(pair, a_run("a", "subject", few))), tmp_path)
    table = section(page, "Every check of every run", "Cases")
    assert "None fails" not in table
    shown, folded = table.split("Verdicts that pass on the runs compared with: 1", 1)
    assert all(text in shown for text in ("✗ fail holes", "? unknown cache", "✓ pass tiles", "– not applicable disk"))
    assert "✓ pass depth" in folded
    many = tuple(a_verdict(f"c{n}") for n in range(13))
    judged = (pair, a_run("a", "subject", (*many, *few)))
    shown, passes = section(written(a_session(judged=judged), tmp_path), "Every check", "Cases").split(
        "Verdicts that pass: 15", 1
    )
    assert "✓" not in shown
    assert shown.index("✗ fail holes") < shown.index("? unknown cache")
    assert "Verdicts not applicable: 1" in passes


def test_the_folded_verdicts_print():
    """On paper what is folded is shown, but for the evidence of passes, and a sentence says where that is."""
    style = STYLE.read_text(encoding="utf-8")
    paper = style[style.index("@media print") :]
    assert "details::details-content { content-visibility: visible" in paper
    assert ".on-paper { display: block; }" in paper
    assert ".verdict-list details, .not-printed { display: none; }" in paper


def done_lines(*outcomes):
    """Return lines of the Definition of Done with these outcomes."""
    return tuple(
        Requirement(f"4.{n}", DEFINITION_OF_DONE, "…", (), Outcome(outcome)) for n, outcome in enumerate(outcomes, 1)
    )


@pytest.mark.parametrize(
    ("scenarios", "outcomes", "title"),
    [
        (
            "A",
            ("not evaluated", "pass", "not evaluated"),
            " (scenario A); not evaluated yet: 2 of 3 Definition-of-Done rows",
        ),
        ("CA", ("not evaluated", "pass"), " (scenarios A, C); not evaluated yet: 1 of 2 Definition-of-Done rows"),
        ("", ("not evaluated",), "; not evaluated yet: 1 of 1 Definition-of-Done rows"),
        ("A", (), " (scenario A)"),
        ("E", (), " (scenario E)"),
    ],
)
def test_the_title_claims_no_more_than_was_evaluated(scenarios, outcomes, title, tmp_path):
    """While lines of the Definition of Done are open the title says so, and bears no tick."""
    tests = tuple(
        TestEntry(f"{n}.py::t", "t", Outcome.PASS, "", None, scenario=s) for n, s in enumerate(scenarios or [""])
    )
    tests += (TestEntry("d.py::t", "t", Outcome.NOT_EVALUATED, "", None, scenario="D"),)
    tests += (TestEntry("faults.py::t", "t", Outcome.PASS, "", None, scenario="1", occasion="retry"),)
    session = a_session(tests=tests, requirements=done_lines(*outcomes))
    page = written(session, tmp_path)
    assert f"◐ zemosaic abc: what was evaluated passes{title}" in page.words
    assert "the validation passes" not in page.words
    assert summary_lines(session, "en")[0] == f"zemosaic abc: what was evaluated passes{title}"


def test_the_title_says_it_in_french():
    """The same in French."""
    tests = (TestEntry("scenarios/test_a_hole_repro.py::t", "t", Outcome.PASS, "", None, scenario="A"),)
    session = a_session(tests=tests, requirements=done_lines("pass", "not evaluated"))
    assert summary_lines(session, "fr")[0] == (
        "zemosaic abc\u00a0: ce qui a été évalué réussit (scénario A)\u00a0; pas encore évalué\u00a0:"
        " 1 lignes sur 2 de la définition de «\u00a0terminé\u00a0»"
    )


def test_a_whole_pass_has_its_tick(tmp_path):
    """When every line of the Definition of Done was evaluated the validation passes."""
    tests = (TestEntry("scenarios/test_a_hole_repro.py::t", "t", Outcome.PASS, "", None),)
    words = written(a_session(tests=tests, requirements=done_lines("pass", "pass")), tmp_path).words
    assert "✓ zemosaic abc: the validation passes" in words


def test_a_control_that_fails_is_not_taken_for_the_target(tmp_path):
    """A session that is red for its controls alone says so under its title; one whose subject is red does not."""
    tests = (TestEntry("a.py::t", "t", Outcome.FAIL, "", "a"),)
    control = a_run("a", "control", (a_verdict("holes"),), expected_red=("holes",))
    told = "Every verdict that gates on the run under validation passes; controls that are not as expected: a."
    sound = a_session(tests=tests, judged=(control, a_run("a", "subject", (a_verdict("holes"),))))
    words = written(sound, tmp_path).words
    assert told in words
    assert "None fails, and none is unknown. Controls that are not as expected: 1." in words
    red = a_session(tests=tests, judged=(control, a_run("a", "subject", (a_verdict("holes", Outcome.UNKNOWN),))))
    assert told not in written(red, tmp_path).words
    assert told not in written(a_session(tests=tests, judged=(control,)), tmp_path).words


def test_a_control_may_be_red_where_it_is_allowed(tmp_path):
    """A check that may be red besides is named so and is no surprise; a finding gates nothing on a control either."""
    verdicts = (
        a_verdict("cache", Outcome.FAIL),
        a_verdict("holes", Outcome.FAIL),
        a_verdict("truth", Outcome.FAIL, "quality"),
    )
    control = a_run("a", "control", verdicts, expected_red=("cache",), allowed_red=("holes",))
    words = written(a_session(judged=(control,)), tmp_path).words
    assert "Expected red: cache (and perhaps holes); found red: cache, holes." in words
    assert "– red, allowed holes" in words
    assert "red, not expected" not in words
    assert "control ✓ red found" in words


def test_a_run_in_two_roles_is_shown_in_both(tmp_path):
    """When subject and control are one run each role has its own section, and its own verdicts."""
    red = (a_verdict("holes", Outcome.FAIL),)
    subject = replace(a_run("a", "subject", red), run="one")
    control = replace(a_run("a", "control", red, expected_red=("holes",)), run="one")
    entry = replace(an_entry("a", "subject"), key="one")
    page = written(a_session(judged=(subject, control), runs=(entry,)), tmp_path)
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {"run-1", "run-2"} <= set(ids)
    assert "holes ✗ fail control ✓ red found" in page.words
    assert "subject, control, chain3x2" in page.words


def test_the_baseline_gates_nothing(tmp_path):
    """A baseline that is red is folded, makes no case red, and comes last in the terminal; as a control it stands once."""
    red = (a_verdict("holes", Outcome.FAIL),)
    subject, before = a_run("a", "subject", (a_verdict("holes"),)), a_run("a", "baseline", red)
    session = a_session(judged=(subject, before))
    words = written(session, tmp_path).words
    assert "None fails, and none is unknown." in words
    shown, folded = words.split("Verdicts on the baseline, which gate nothing: 1", 1)
    assert "✗ fail" not in shown
    assert "✗ fail holes" in folded
    assert "Cases a ✓ pass" in words
    assert summary_lines(session, "en")[2:4] == ("✓ pass: a, subject", "✗ fail: a, baseline")
    control = replace(a_run("a", "control", red, expected_red=("holes",)), run=before.run)
    both = a_session(judged=(subject, control, before))
    page = written(both, tmp_path)
    assert "Verdicts on the baseline" not in page.words
    assert "control, also the baseline" in page.words
    assert not any("a, baseline" in line for line in summary_lines(both, "en"))
    assert "run-3" not in [attrs.get("id") for _, attrs in page.elements]


def test_a_control_that_is_the_baseline_says_so(tmp_path):
    """The run before the patch is shown once, with both its roles, wherever it is named; a pair is just a pair."""
    judged = (
        a_run("a", "subject", (a_verdict("holes"),), pair="a-control-pair", baseline="a-control"),
        a_run("a", "control", (a_verdict("holes", Outcome.FAIL),), expected_red=("holes",)),
    )
    old = "zemosaic 63bcc2c"
    runs = (an_entry("a", "subject"), an_entry("a", "control", old), an_entry("a", "control-pair", old))
    words = written(a_session(judged=judged, runs=runs), tmp_path).words
    both = "control, also the baseline: zemosaic 63bcc2c, per_tile"
    assert f"Compared with: pair: zemosaic 63bcc2c, per_tile · {both}" in words
    assert words.count(both) == 2
    assert "control, also the baseline, chain3x2 (synthetic frames)" in words
    assert "(run_end): " not in words


def test_the_scale_of_a_map_has_no_needless_digits():
    """Steps of coverage are told to a tenth of their width; single values as they are."""
    lang = Language("en")
    assert [runs._level(skymap.Level("#fff", *edges), lang) for edges in ((0.001047, 1.001), (1.001, 2.001))] == [
        "0–1",
        "1–2",
    ]
    assert runs._level(skymap.Level("#fff", 0.12345, 0.2), lang) == "0.123–0.2"
    assert runs._level(skymap.Level("#fff", 3.0, 3.0), lang) == "3"


def _colours(block):
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})\b", block))


def _luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_contrast_is_good_in_light_and_dark(dark):
    """Text stands out from what is behind it by 4.5 at least (WCAG 2.2, AA), drawn lines by 3."""
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


def with_costs(folder):
    """Return the page of a session that has all three retentions and whose cost check measured times and growth."""
    session = sample_session(folder)
    subject = session.judged[0]
    request = a_request("chain", "subject", REFERENCE, "keep")
    Run(folder / "runs" / "keep", request, naive=False).write()
    entry = replace(session.runs[0], key="keep", role="subject", retention="keep", record="runs/keep")
    told = {"ratio": 1.02, "ratio_low": 0.97, "ratio_high": 1.08, "ratio_limit": 1.1}
    told |= {"exponent": 0.99, "exponent_low": 0.98, "exponent_high": 1.01, "exponent_limit": 1.15}
    told |= {"phase_3_seconds": [{"per_tile": 1.0, "run_end": 1.0, "ratio": 1.0}, {"ratio": "many"}, 7]}
    verdicts = tuple(replace(v, evidence=told) if v.check == "cost" else v for v in subject.verdicts)
    judged = (replace(subject, verdicts=verdicts, equals=("keep",)), *session.judged[1:])
    return written(replace(session, runs=(*session.runs, entry), judged=judged), folder)


def test_retentions_stand_side_by_side_and_costs_have_their_interval(tmp_path):
    """Where the session has all three retentions they are drawn on one scale; the cost check's intervals are told in words."""
    page = with_costs(tmp_path / "session")
    assert "The three retentions" in page.words
    labels = [attrs.get("aria-label", "") for tag, attrs in page.elements if tag == "svg"]
    assert [label for label in labels if label.startswith("Live bytes during Phase 3")] == [
        f"Live bytes during Phase 3 with {name}" for name in ("per_tile", "run_end", "keep")
    ]
    assert "Phase 3 time, per_tile to run_end: 1.02; 95 % interval 0.97 to 1.08" in labels
    assert "Growth of bookkeeping with the inputs: 0.99; 95 % interval 0.98 to 1.01" in labels
    assert sum("point" in attrs.get("class", "") for tag, attrs in page.elements if tag == "circle") == 1


def test_without_them_nothing_is_drawn(folders):
    """Two retentions and counts alone have no figure of their own."""
    page = read(folders["reference"])
    assert "The three retentions" not in page.words
    assert "Cost of counting references" not in page.words


def test_runs_beside_a_judged_one_say_what_they_are_for(tmp_path):
    """A run of growing size, one made again to be timed and one to be compared with are not taken for the run that is judged."""
    entries = [replace(an_entry("a", "subject"), key=key) for key in ("judged", "again", "small", "one")]
    subject = replace(
        a_run("a", "subject", (a_verdict("cost"),)),
        run="judged",
        timed=(("judged", "p"), ("again", "p")),
        sizes=("small", "judged"),
        equals=("one",),
    )
    words = written(a_session(runs=tuple(entries), judged=(subject,)), tmp_path).words
    table = words[words.index("Every run of the session") :]
    assert "subject, chain3x2 (synthetic frames) classic, workers: 2 made again to be timed, not judged" in table
    assert "one of growing size, not judged; frames: 0" in table
    assert "made to be compared with, not judged" in table
    assert table.count("not judged") == 3


@pytest.mark.parametrize(
    ("mode", "told", "empty"),
    [
        ("classic", "with per_tile they must go step by step", "The record holds no step of any tile"),
        ("sds", "the coadd reads every cache", "SDS and grid mode make no master tiles"),
        ("grid", "Grid mode writes no caches: there is nothing to draw.", "SDS and grid mode make no master tiles"),
    ],
)
def test_drawings_over_time_speak_of_the_mode(mode, told, empty, tmp_path):
    """What a mode has not is no gap in its record, and what is expected of caches differs."""
    session = sample_session(tmp_path / "session")
    folder = tmp_path / "session" / session.runs[1].record
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    request["mode"] = mode
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    for trace in folder.glob("trace-*.jsonl"):
        first = trace.read_text(encoding="utf-8").splitlines()[0]
        trace.write_text(first + "\n", encoding="utf-8")
    (folder / "disk.jsonl").unlink(missing_ok=True)
    words = shown(tmp_path / "session").words
    subject = words[words.index("subject reference, per_tile") :]
    assert told in subject
    assert empty in subject
