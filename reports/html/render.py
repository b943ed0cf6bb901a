"""Write the report of a session: one HTML page per language, which needs no network, and JavaScript only for its form."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.language.catalogue import Language, language
from harness.language.message import visible
from harness.language.system import CODES, Code
from harness.signoff.page_part import with_part
from harness.signoff.standing import Standing, beside
from reports.html.build import FILES, build
from reports.html.page import ReportView
from reports.material import Material
from reports.signoff import standing_words

MAX_BYTES = 3_000_000
# The longest side of pictures, in pixels, smaller with each try until the page is small enough; at last nothing is drawn.
_SIDES = (560, 320, 160, None)


SIGN_SCRIPT = (Path(__file__).parent / "templates" / "sign.js").read_text(encoding="utf-8")
"""The only script of the page: it makes a file of the decisions in the form."""


def script_digest(script: str) -> str:
    """Return the source expression by which a Content-Security-Policy allows one script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode('ascii')}"


def reports(material: Material) -> dict[Path, bytes]:
    """Return ``report.html`` (English) and ``report.fr.html`` (French), each with a link to the other, by their paths.

    A sign-off beside the session is shown in the part of the page that is for it.
    """
    standing = beside(material.folder, pages=False)
    return {
        material.folder / FILES[code]: page if standing is None else with_part(page, signoff_part(standing, code))
        for code, page in pages(material).items()
    }


def pages(material: Material) -> dict[Code, bytes]:
    """Return the page in each language, without a sign-off.

    Its pictures are as large as the limit of its size allows. What is too large in one language is not tried in the next.
    """
    sides, made = list(_SIDES), {}
    for code in CODES:
        translation = next(FILES[other] for other in CODES if other != code)
        while sides:
            made[code] = render(build(material, code, sides[0], translation)).encode("utf-8")
            if len(made[code]) < MAX_BYTES or len(sides) == 1:
                break
            sides.pop(0)
    return made


def signoff_part(standing: Standing, code: Code) -> bytes:
    """Return the part of a page that shows a sign-off."""
    template = _environment(code).get_template("signoff.html.j2")
    words = standing_words(standing, language(code))
    return template.render(title=words.title, sentences=words.sentences, lines=words.lines).encode("utf-8")


def render(view: ReportView) -> str:
    """Lay out a page by its template."""
    return laid_out("report.html.j2", view.language, view)


def laid_out(template: str, language: Language, view: Any) -> str:
    """Lay out the data of a page by a template of this folder, in a language; every text is escaped."""
    return _environment(language.code).get_template(template).render(view=view, language=language)


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
    # Written as it is, because the page's policy allows only the script with this digest.
    environment.globals["sign_script"] = Markup(SIGN_SCRIPT)  # noqa: S704 -- a file of this package
    environment.globals["sign_script_digest"] = script_digest(SIGN_SCRIPT)
    return environment


def _visible(value: Any) -> Any:
    """Escape characters that can't be shown; markup was made from texts that are escaped already."""
    if hasattr(value, "__html__") or not isinstance(value, str):
        return value
    return visible(value)
