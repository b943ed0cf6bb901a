"""Writes the report of a session: one HTML page a language, which opens from disk without network or JavaScript."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.language.catalogue import CODES, Code, language, translator
from harness.language.message import visible
from reports.html.build import FILES, Material, build
from reports.html.page import ReportView

MAX_BYTES = 3_000_000
# Each try makes the page smaller: the longest side of pictures in pixels, and whether anything is drawn.
_TRIES = ((560, True), (320, True), (160, True), (160, False))


def write_report(session_folder: Path, language: Code) -> Path:
    """Write the report in one language and return its path.

    Raises
    ------
    ValueError
        When the folder holds no session that can be read, or there is no such language.

    """
    translator(language)
    others = [code for code in CODES if code != language and (session_folder / FILES[code]).exists()]
    return _write(Material(session_folder), language, others)


def write_reports(session_folder: Path) -> tuple[Path, ...]:
    """Write ``report.html`` (English) and ``report.fr.html`` (French), each with a link to the other; return their paths.

    Raises
    ------
    ValueError
        When the folder holds no session that can be read.

    """
    material = Material(session_folder)
    return tuple(_write(material, code, [other for other in CODES if other != code]) for code in CODES)


def _write(material: Material, code: Code, others: list[Code]) -> Path:
    path = material.folder / FILES[code]
    translation = FILES[others[0]] if others else None
    page = b""
    for side, drawings in _TRIES:
        page = render(build(material, code, side=side, drawings=drawings, translation=translation)).encode("utf-8")
        if len(page) < MAX_BYTES:
            break
    path.write_bytes(page)
    return path


def render(view: ReportView) -> str:
    """Lay a page out."""
    return _environment(view.language.code).get_template("report.html.j2").render(view=view, language=view.language)


@cache
def _environment(code: Code) -> Environment:
    environment = Environment(
        loader=PackageLoader("reports.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.globals["_"] = language(code).say
    return environment


def _visible(value: Any) -> Any:
    """Replace characters that can't be shown by an escape that can; what is markup already went through here."""
    if hasattr(value, "__html__") or not isinstance(value, str):
        return value
    return visible(value)
