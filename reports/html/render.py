"""Write the report of a session: one HTML page per language, which needs no network, and JavaScript only for its form."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.language.catalogue import Language, language
from harness.language.message import visible
from harness.language.system import CODES, Code
from harness.record.values import read_bytes
from harness.signoff.page_part import part_of, with_part
from harness.signoff.signed_later import signed_later
from harness.signoff.standing import Standing
from reports.html.build import FILES, build
from reports.html.page import ReportView
from reports.html.runs import Drawing, TooLargeError
from reports.material import Material
from reports.signoff import standing_words

MAX_BYTES = 3_000_000
MOST_BYTES = 10_000_000
"""The limit of a page with so many runs that its text alone is too large: what fails is drawn nevertheless."""
MANY = 48
"""Judged runs from which the size of the text is found first, so that no picture is drawn for which there is no room."""
_SIDES = (560, 320, 160)
"""The longest side of pictures, in pixels, smaller with each try until the page is small enough."""

# What is not running text, and the name of an option. In a drawing and in a title no element may stand; a command stays as it is.
_PIECES = re.compile(
    r"<(script|style|title|svg|textarea|pre)\b.*?</\1>|(<[^>]*>)|(?<![\w-])(--[a-z][a-z0-9-]{1,24})(?![\w-])", re.DOTALL
)

SIGN_SCRIPT = (Path(__file__).parent / "templates" / "sign.js").read_text(encoding="utf-8")
"""The only script of the page: it makes a file of the decisions in the form."""


def script_digest(script: str) -> str:
    """Return the source expression by which a Content-Security-Policy allows one script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode('ascii')}"


def reports(material: Material) -> dict[Path, bytes]:
    """Return ``report.html`` (English) and ``report.fr.html`` (French), each with a link to the other, by their paths.

    A sign-off beside the session is shown in the part of the page that is for it.
    """
    standing = material.standing
    return {
        material.folder / FILES[code]: page if standing is None else with_part(page, signoff_part(standing, code))
        for code, page in pages(material).items()
    }


def pages(material: Material) -> dict[Code, bytes]:
    """Return the page in each language, without a sign-off.

    Its pictures are as large as the limit of its size allows; then only what fails is drawn, and in the end nothing. What is too
    large in one language is not tried in the next.
    """
    tries: list[tuple[int | None, int | None, int]] = [(side, side, MAX_BYTES) for side in _SIDES]
    tries += [(_SIDES[1], None, MOST_BYTES), (None, None, 0)]
    made: dict[Code, bytes] = {}
    text = _text(material, CODES[0]) if len(material.session.judged) > MANY else 0
    tries = [known for known in tries if known[2] > text or known[0] is None]
    for code in CODES:
        translation = next(FILES[other] for other in CODES if other != code)
        while code not in made:
            side, good, limit = tries[0]
            last = len(tries) == 1
            try:
                drawing = Drawing(side, good, math.inf if last else limit - text)
                page = render(build(material, code, drawing, translation)).encode("utf-8")
                if len(page) < limit or last:
                    made[code] = page
                    break
            except TooLargeError:
                pass
            # The page without drawings shows what is left for them: a try that can't succeed is not made.
            text = text or _text(material, code)
            tries = [known for known in tries[1:] if known[2] > text or known[0] is None]
    return made


def _text(material: Material, code: Code) -> int:
    """Return the size of a page without drawings."""
    return len(render(build(material, code, Drawing(None, None), FILES[code])).encode("utf-8"))


def signed_pages(folder: Path, key: str) -> dict[Path, bytes]:
    """Return the pages of a session that change if they show by which key its sign-off was signed since they were written."""
    changed = {}
    for code in CODES:
        path = folder / FILES[code]
        page = read_bytes(path) if path.is_file() else b""
        signed = with_part(page, signed_later(part_of(page), key, code))
        if signed != page:
            changed[path] = signed
    return changed


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
    return unbroken(_environment(language.code).get_template(template).render(view=view, language=language))


def unbroken(page: str) -> str:
    """Keep the names of options in one piece: a browser may end a line after their ``--``, which looks like a dash.

    Their hyphens stay hyphens, so that a copied option works. A value after ``=`` may still break, because a path can be long.
    """
    return _PIECES.sub(lambda found: f'<span class="option">{found[3]}</span>' if found[3] else found[0], page)


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
