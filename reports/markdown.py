"""Markdown pages from templates: text is escaped by default, so that what was read is neither markup, link nor mention."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, partial
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.language.catalogue import Language, language
from harness.language.message import visible
from harness.language.system import Code

MAX_TEXT = 600

# Characters with a meaning inside a line; the templates begin every line with text of their own.
_MARKUP = re.compile(r"([\\`*_\[\]#~$])")
# Runs of white space, other than the no-break spaces of French typography.
_SPACE = re.compile(r"[^\S\u00a0\u202f]+")
_BACKTICKS = re.compile("`+")
_PLAIN = re.compile(r"[\w./:-]+(?: [\w./:-]+)*")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", '"': "&quot;"}
# A space without width breaks mentions, references and addresses.
_CALLS = re.compile(r"(@|\\#|:(?=//)|(?<=www)\.)", re.IGNORECASE)


class Markdown(Markup):
    """Text that is Markdown already; what is not is escaped when it is joined to it."""

    __slots__ = ()

    @classmethod
    def escape(cls, s: Any, /) -> Markdown:
        """Escape a text, unless it is marked as Markdown."""
        return cls(s) if hasattr(s, "__html__") else escape(str(s))


def escape(text: str) -> Markdown:
    """Return text that is shown as it is by Markdown, in a table too: on one line, and cut to the length of a paragraph."""
    line = _line(text)
    short = line if len(line) <= MAX_TEXT else f"{line[: MAX_TEXT - 1]}…"
    plain = "".join(_ENTITIES.get(c, c) for c in _MARKUP.sub(r"\\\1", short))
    return Markdown(_CALLS.sub(r"\1&#8203;", plain))


def code(text: str) -> Markdown:
    """Return text as code, which keeps every character; not for tables, where a bar would end the cell."""
    line = _line(text)
    fence = "`" * (max(map(len, _BACKTICKS.findall(line)), default=0) + 1)
    room = " " if line.startswith("`") or line.endswith("`") else ""
    return Markdown(f"{fence}{room}{line}{room}{fence}")


def fenced(text: str) -> Markdown:
    """Return text as a block of code on a line of its own, which can't end the block."""
    line = _line(text)
    fence = "`" * max(3, 1 + max(map(len, _BACKTICKS.findall(line)), default=0))
    return Markdown(f"{fence}console\n{line}\n{fence}")


def term(text: str) -> Markdown:
    """Return a name as code where it is plain and short enough for a table, else escaped."""
    return code(text) if len(text) <= MAX_TEXT and _PLAIN.fullmatch(text) else escape(text)


def terms(names: Iterable[str]) -> Markdown:
    """Return names with commas between them."""
    return Markdown(", ").join(map(term, names))


def bold(text: str) -> Markdown:
    """Return text in bold."""
    return Markdown(f"**{escape(text)}**")


def link(text: str, address: str) -> Markdown:
    """Return a link to a file, or the text alone without an address."""
    shown = Markdown.escape(text)
    return Markdown(f"[{shown}]({quote(address, safe='/#.-_')})") if address else shown


def render(package: str, template: str, view: object, name: Code) -> str:
    """Lay out a view in a language by a template of a package."""
    return _environment(package, name).get_template(template).render(view=view).rstrip("\n") + "\n"


@cache
def _environment(package: str, name: Code) -> Environment:
    """Return the templates of a package in a language, where ``_`` translates and each text is escaped unless it is Markdown."""
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,  # so that macros and blocks give marked text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=Markdown.escape,
    )
    environment.filters |= {"code": code, "term": term, "terms": terms, "bold": bold, "fenced": fenced, "link": link}
    environment.globals["_"] = partial(_say, language(name))
    return environment


def _say(lang: Language, text: str, /, **values: Any) -> str:
    """Translate a template; where one of the values is Markdown so is the sentence, with the other values escaped."""
    if not any(hasattr(value, "__html__") for value in values.values()):
        return lang.say(text, **values)
    return Markdown(lang.say(text, **{k: Markdown.escape(v) if isinstance(v, str) else v for k, v in values.items()}))


def _line(text: str) -> str:
    """Return text on one line, with characters that can't be shown as escapes."""
    return _SPACE.sub(" ", visible(text)).strip()
