"""The Definition of Done as a document: every line of the checklist with its verdict, figures, evidence and command."""

from __future__ import annotations

from pathlib import Path

from harness.language.catalogue import language
from harness.language.system import CODES, Code
from harness.session.definition_of_done import Done
from reports.document.build import build
from reports.document.coverage_table import Requests
from reports.markdown import render


def write(done: Done, path: Path) -> tuple[Path, ...]:
    """Write the document in each language and return the paths; a translation has its code before the ending."""
    requests = Requests()
    paths = []
    for code in CODES:
        here = path if code == "en" else path.with_name(f"{path.stem}.{code}{path.suffix}")
        here.write_text(document(done, code, requests), encoding="utf-8", newline="\n")
        paths.append(here)
    return tuple(paths)


def document(done: Done, code: Code, requests: Requests | None = None) -> str:
    """Return the document in a language; ``requests`` are those that an earlier language has read already."""
    view = build(done, language(code), requests or Requests())
    return render("reports.document", "definition_of_done.md.j2", view, code)
