"""The Definition of Done as a page for the maintainer, as text and with pictures, and an annex with every line's evidence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from harness.language.catalogue import language
from harness.language.message import visible
from harness.language.system import CODES, Code
from harness.record.whole import Content, write_all_named
from harness.session.definition_of_done import Done
from reports.document.build import build
from reports.document.coverage_table import Requests
from reports.document.one_page import Names, Sources, one_page
from reports.markdown import render

ANNEX = "-annex"
"""What the name of the annex adds to that of the page."""


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of one language."""

    text: Path
    pictures: Path
    annex: Path


def write(done: Done, path: Path, sources: Sources | None = None) -> tuple[Path, ...]:
    """Write page, pictures and annex in each language, and return the paths; a translation has its code before the ending.

    ``sources`` keeps what is read, for the caller.
    """
    sources, made = sources or Sources(), dict[Path, Content]()
    files = {code: _files(path, code) for code in CODES}
    for code, here in files.items():
        lang, other = language(code), next(known for name, known in files.items() if name != code)
        names = Names(path.parent, here.text.name, here.pictures.name, here.annex.name, other.text.name)
        view = one_page(done, lang, names, sources)
        made[here.text] = render("reports.document", "one_page.md.j2", view, code)
        shown = replace(view, names=replace(names, translation=other.pictures.name))
        made[here.pictures] = _environment(code).get_template("one_page.html.j2").render(view=shown)
        made[here.annex] = document(done, code, sources.requests)
    write_all_named(made)
    return tuple(path for here in files.values() for path in (here.text, here.pictures, here.annex))


def document(done: Done, code: Code, requests: Requests | None = None) -> str:
    """Return the annex in a language; ``requests`` are those that an earlier language has read already."""
    view = build(done, language(code), requests or Requests())
    return render("reports.document", "definition_of_done.md.j2", view, code)


def _files(path: Path, code: Code) -> _Files:
    """Return the files of a language: ``x.md``, ``x.html`` and ``x-annex.md``, with ``.fr`` before the ending in French."""
    ending = path.suffix if path.suffix not in ("", ".html") else ".md"
    mark = "" if code == "en" else f".{code}"
    return _Files(
        path.with_name(f"{path.stem}{mark}{ending}"),
        path.with_name(f"{path.stem}{mark}.html"),
        path.with_name(f"{path.stem}{ANNEX}{mark}{ending}"),
    )


@cache
def _environment(code: Code) -> Environment:
    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader("reports.document"), PackageLoader("reports.html")]
        ),  # the latter draws maps
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    environment.globals["_"] = language(code).say
    return environment
