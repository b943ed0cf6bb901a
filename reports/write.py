"""Write every view of a session: pages, summaries and JUnit. All are made from ``session.json`` and conclude nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.language.system import CODES
from harness.record.whole import Content, NotWrittenError, encoded, undone, write_together
from harness.session.integrity import note
from reports.html.render import reports
from reports.junit import junit
from reports.material import Material
from reports.summary import summary

SUMMARIES: Mapping[str, str] = {"en": "summary.md", "fr": "summary.fr.md"}
JUNIT = "junit.xml"


def write_views(material: Material) -> tuple[Path, ...]:
    """Write the report and the summary in each language, and JUnit, into the session's folder; return their paths.

    The manifest of a session that has one is brought up to date.
    Raises ``NotWrittenError``, with the command that writes them again, when there is no room; the older ones stay then.
    """
    files: dict[Path, Content] = {**reports(material), **summaries(material)}
    files[material.folder / JUNIT] = junit(material.session)
    try:
        with undone(files):  # without its entry in the manifest, a page would look changed
            write_together(files)
            note(material.folder, (path.name for path in files))
    except NotWrittenError as error:
        error.again = ("phase3", "report", str(material.folder))
        raise
    return tuple(files)


def summaries(material: Material) -> dict[Path, bytes]:
    """Return the summary in each language, by its path."""
    found = {
        code: summary(material.session, code, material.sha256, material.sizes, material.standing) for code in CODES
    }
    return {material.folder / SUMMARIES[code]: encoded(text) for code, text in found.items()}
