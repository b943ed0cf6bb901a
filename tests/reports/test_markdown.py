"""Test the escaping of Markdown, and its templates."""

import re
from pathlib import Path

import pytest

from reports.markdown import Markdown, _environment, code, escape

REPORTS = Path(__file__).parents[2] / "reports"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", "a&#124;b"),
        ("<img src=x onerror=y>", "&lt;img src=x onerror=y&gt;"),
        ("a\n# b\r\n- c", "a \\#&#8203; b - c"),
        ("[x](http://y)", "\\[x\\](http:&#8203;//y)"),
        ("www.evil.example", "www.&#8203;evil.example"),
        ("@team and a@b.example", "@&#8203;team and a@&#8203;b.example"),
        ("`code` *bold* _it_ ~~gone~~ $x$", "\\`code\\` \\*bold\\* \\_it\\_ \\~\\~gone\\~\\~ \\$x\\$"),
        ("&lt; \\", "&amp;lt; \\\\"),
        ("x\x00\u202ey", "x\\\\u0000\\\\u202ey"),
        ("é ✗ 1,5", "é ✗ 1,5"),
    ],
)
def test_text_is_no_markup(text, shown):
    """Tables, elements, headings, links, addresses, mentions and emphasis all come out as the characters that they are."""
    assert escape(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"), [("a b", "`a b`"), ("a`b", "``a`b``"), ("`x``", "``` `x`` ```"), ("a\nb", "`a b`")]
)
def test_code_can_be_copied(text, shown):
    """A command is shown unchanged; backticks in it do not end the code."""
    assert code(text) == shown


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("{{ text }}", "a\\*&lt;b&gt;"),
        ("{% macro m(t) %}[{{ t }}]{% endmacro %}{{ m(text) }}", "[a\\*&lt;b&gt;]"),
        ("{% set t %}**{{ text }}**{% endset %}{{ t }}", "**a\\*&lt;b&gt;**"),
        ('{{ _("{label}: {text}", label="n"|code, text=text) }}', "`n`: a\\*&lt;b&gt;"),
        ('{{ _("{label}: {text}", label="*", text=text) }}', "\\*: a\\*&lt;b&gt;"),
        ("{{ text|bold }}", "**a\\*&lt;b&gt;**"),
        ("{{ [text, 'b c']|terms }}", "a\\*&lt;b&gt;, `b c`"),
        ("{{ 1 }}", "1"),
    ],
)
def test_templates_escape_by_default(source, shown):
    """A text is escaped once, whether alone, in a macro, in a block or in a sentence. Marked text is not escaped again."""
    assert _environment("reports", "en").from_string(source).render(text="a*<b>") == shown


def test_marked_text_escapes_what_is_joined_to_it():
    """Adding to, joining or formatting Markdown escapes the other text."""
    assert Markdown("**a**") + "*" == "**a**\\*"
    assert Markdown(", ").join(["*", Markdown("`b`")]) == "\\*, `b`"
    assert Markdown("- %s") % "<" == "- &lt;"


@pytest.mark.parametrize("path", sorted(REPORTS.rglob("*.md.j2")), ids=lambda path: path.name)
def test_templates_use_nothing_that_passes_by_the_escaping(path):
    """Jinja's own concatenation, ``join`` and ``safe`` escape as HTML or not at all."""
    source = path.read_text(encoding="utf-8")
    assert not re.search(r"~|\|\s*(safe|join|e|escape|replace|format)\b", source)
