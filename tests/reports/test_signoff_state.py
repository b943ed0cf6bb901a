"""Test that each view says the same of the sign-off beside a session: none, unsigned, signed or void."""

import re

import pytest

from harness.commands.main import main
from harness.language.catalogue import language
from harness.session.integrity import seal_session
from reports.material import Material
from reports.signoff import standing_line
from reports.terminal import MOST, summary_lines
from reports.write import write_views
from tests.report_pages import Page
from tests.signed_sessions import NEEDS_SSH, a_key, signed


def views(folder, capsys, code="en"):
    """Return the text of each view in a language, in one line each, without the escapes of Markdown."""
    mark = "" if code == "en" else ".fr"
    material = Material(folder)
    texts = {"terminal": " ".join(summary_lines(material.session, code, columns=300, standing=material.standing))}
    for name, words in (
        ("report", ["report"]),
        ("judge", ["judge"]),
        ("dod", ["dod", "-o", str(folder.parent / "dod.md")]),
    ):
        capsys.readouterr()
        main(["--lang", code, words[0], str(folder), *words[1:]])
        texts[name] = capsys.readouterr().out
    texts["summary"] = (folder / f"summary{mark}.md").read_text(encoding="utf-8")
    texts["page"] = Page((folder / f"report{mark}.html").read_text(encoding="utf-8")).words
    texts["dod page"] = (folder.parent / f"dod{mark}.md").read_text(encoding="utf-8")
    texts["dod pictures"] = Page((folder.parent / f"dod{mark}.html").read_text(encoding="utf-8")).words
    return {name: re.sub(r"\s+", " ", text.replace("\\", "")) for name, text in texts.items()}


def without(texts, words):
    """Return the views that do not say some words."""
    words = re.sub(r"\s+", " ", words)
    return [name for name, text in texts.items() if words not in text]


@pytest.mark.parametrize(("code", "word"), [("en", "UNSIGNED"), ("fr", "NON SIGNÉ")])
def test_an_unsigned_signoff_is_unsigned_in_every_view(signable, capsys, code, word):
    """Who decided what and when, and that it is not signed."""
    signed(signable)
    line = standing_line(Material(signable).standing, language(code))
    assert word in line
    assert "Zoé" in line
    assert without(views(signable, capsys, code), line) == []


@NEEDS_SSH
def test_a_signed_signoff_names_its_key_in_every_view(signable, tmp_path, capsys):
    """Who decided what and when, with which key."""
    signed(signable, a_key(tmp_path / "keys"))
    line = standing_line(Material(signable).standing, language("en"))
    assert re.search(r"Decision of Zoé, .*: rejected\. Signed with the key SHA256:", line)
    assert without(views(signable, capsys), line) == []


@pytest.mark.parametrize("code", ["en", "fr"])
def test_a_void_signoff_is_void_in_every_view(signable, capsys, code):
    """The first changes are named, the others counted."""
    signed(signable)
    with (signable / "session.json").open("a", encoding="utf-8") as stream:
        stream.write("\n")
    seal_session(signable)  # otherwise each command refuses it
    texts = views(signable, capsys, code)
    line = standing_line(Material(signable).standing, language(code))
    assert ("is void." if code == "en" else "est nul.") in line
    assert without(texts, line) == []
    assert "UNSIGNED" not in str(texts)


def test_without_a_signoff_no_view_speaks_of_one(signable, capsys):
    """A session that was not signed has no line on it."""
    texts = views(signable, capsys)
    assert [name for name, text in texts.items() if "Decision of" in text or "UNSIGNED" in text] == []


def test_the_first_changes_are_named_and_the_others_counted(signable):
    """A sign-off that lost many files is one line."""
    signed(signable)
    for path in signable.glob("**/trace-*.jsonl"):
        path.write_bytes(b"")
    for path in signable.glob("**/events-*.jsonl"):
        path.write_bytes(b"")
    line = standing_line(Material(signable).standing, language("en"))
    assert line.count(": changed") == 3
    assert line.endswith("; … (1)")


@pytest.mark.parametrize("code", ["en", "fr"])
@pytest.mark.parametrize("columns", [79, 119])
def test_the_end_keeps_its_size_with_a_signoff(signable, code, columns):
    """The line on the sign-off takes its place among the lines of the end, before the verdict."""
    signed(signable)
    material = Material(signable)
    lines = summary_lines(material.session, code, columns=columns, runs=material.sizes, standing=material.standing)
    assert len(lines) <= MOST
    assert any("Zoé" in line for line in lines[-6:])


def test_the_largest_run_is_in_page_summary_terminal_and_sign(signable, capsys):
    """Frames and bytes of the largest run are those of the records, in each view; the sign-off keeps them as a limit."""
    material = Material(signable)
    write_views(material)
    assert max(size.frames for size in material.sizes) == 12
    (told,) = {
        line
        for line in (signable / "summary.md").read_text(encoding="utf-8").splitlines()
        if "of caches at once" in line
    }
    told = told.removeprefix("- ")
    assert re.fullmatch(r"No run had more than 12 frames, or more than [\d.]+\sMB of caches at once\.", told)
    texts = {
        "page": Page((signable / "report.html").read_text(encoding="utf-8")).words,
        "terminal": " ".join(summary_lines(material.session, "en", columns=300, runs=material.sizes)),
    }
    capsys.readouterr()
    signoff = signed(signable).read_text(encoding="utf-8")
    texts |= {"sign": capsys.readouterr().out, "signoff.json": signoff}
    assert without({name: re.sub(r"\s+", " ", text) for name, text in texts.items()}, told) == []
    french = (signable / "summary.fr.md").read_text(encoding="utf-8")
    assert re.search(r"12 images", french.partition("Non couvert")[2])
