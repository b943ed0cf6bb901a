"""The README: what its first screen shows, and that the figures, signs and messages of the pages for users are true."""

import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from PIL import Image

from harness.language.catalogue import CATALOGUES

ROOT = Path(__file__).resolve().parents[2]
READMES = ["README.md", "README.fr.md"]
FIRST = "python -m pip install -e . && python -m pytest -m phase3"
SECOND = 'python -m pip install -e ".[dev]" && python -m pytest -n auto'
# Messages of the shell, Python, pytest and git, and texts that a page explains and the harness does not write as one sentence.
OF_OTHERS = {
    "phase3: command not found",
    "No module named pytest",
    "unrecognized arguments: --phase3-",
    "could not fetch",
}
OF_OTHERS |= {"from promisor remote", "accuracy (finding, pre-existing)", "accuracy (constat, préexistant)"}


def read(name):
    """Return the text of a page."""
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", READMES)
def test_the_first_screen_has_a_sentence_a_picture_and_the_two_commands(name):
    """In this order: one sentence, the picture, the first command, what one sees at its end with the time, the second command."""
    lines = read(name).splitlines()
    sentence = lines[2]
    assert sentence.endswith(".")
    assert sentence.count(".") == 1
    picture = next(n for n, line in enumerate(lines) if line.startswith("!["))
    shown = lines.index("```text")
    assert 2 < picture < lines.index(FIRST) < shown < lines.index(SECOND) < 60
    assert re.search(r"\b2[.,]5 minutes\b", "\n".join(lines[lines.index(FIRST) : shown]))
    assert re.search(r"\b16 minutes\b", "\n".join(lines[lines.index(SECOND) :]))


@pytest.mark.parametrize("name", READMES)
def test_the_readme_is_short(name):
    """A README has fewer than 900 words; the rest is in the pages that it links to."""
    assert len(read(name).split()) < 900
    language = ".fr" if ".fr." in name else ""
    for page in ("options", "troubleshooting", "commands"):
        assert f"(docs/{page}{language}.md)" in read(name)


def test_the_picture_is_small_and_says_where_it_is_from():
    """The picture is under 150 kB and names its case and both versions; its frames are synthetic."""
    (name,) = set(re.findall(r"!\[[^\]]+\]\(([^)]+)\)", read("README.md") + read("README.fr.md")))
    path = ROOT / name
    assert path.stat().st_size < 150_000
    with Image.open(path) as picture:
        picture.load()
        assert picture.width > 2 * picture.height
        assert {"synthetic", "63bcc2c", "b59a65f"} <= set(re.findall(r"\w+", picture.info["Source"]))


@pytest.mark.parametrize("name", READMES)
def test_the_readme_explains_every_sign(name):
    """Each sign of a verdict that reports show is explained in the table or below it, and no other."""
    shown = set(re.findall(r'"([✓✗?–○△◐])"', read("reports/badges.py") + read("reports/rows.py")))
    explained = set(re.findall(r"^\| (\S) \|", read(name), re.MULTILINE)) | set(re.findall(r"\*\*(\W)\*\*", read(name)))
    assert explained == shown


@pytest.mark.parametrize("name", READMES)
def test_what_one_sees_is_shown_as_it_is(name):
    """The block after the first command has whole lines of the end of a session, and no "..." for lines left out."""
    block = re.search(r"```text\n(.*?)```", read(name), re.DOTALL)
    assert block
    assert block[1].count("\n") >= 5
    assert not re.search(r"\.\.\.|…", read(name))


def messages(language):
    """Return all sentences of the harness in a language, as one text without the names of fields."""
    with (CATALOGUES / "fr" / "LC_MESSAGES" / "phase3.po").open("rb") as stream:
        entries = [message for message in read_po(stream, locale="fr") if message.id]
    each = [message.string if language == "fr" else message.id for message in entries]
    texts = [form for one in each for form in ([one] if isinstance(one, str) else one)]
    return " ".join("\n".join(re.sub(r"\{\w+\}", "…", text) for text in texts).split())


def quoted(page):
    """Return what a page says that one sees: the parts of each message in the first column of its table.

    ``(timed out: …`` is the state of a run, which is a field of its message.
    """
    rows = re.findall(r"^\| ([^|]+) \|", read(page), re.MULTILINE)
    seen = [message for row in rows for message in re.findall(r"`([^`]+)`", row)]
    return [
        part.strip(" ;:()") for message in seen for part in re.split(r"…|timed out.*", message) if part.strip(" ;:()")
    ]


@pytest.mark.parametrize(("page", "language"), [("troubleshooting.md", "en"), ("troubleshooting.fr.md", "fr")])
def test_each_message_that_a_page_explains_is_one_of_the_harness(page, language):
    """Each message in the table of troubleshooting is one that the harness prints, word for word, or of another program."""
    known = messages(language)
    parts = quoted(f"docs/{page}")
    assert len(parts) > 12
    others = {part.strip(" ;:()") for part in OF_OTHERS}
    assert [part for part in parts if " ".join(part.split()) not in known and part not in others] == []


def test_a_message_that_is_not_one_of_the_harness_is_found():
    """A message with another word is not among the sentences of the harness."""
    assert "expected a Python interpreter at …" in messages("en")
    assert "expected some Python interpreter at …" not in messages("en")
