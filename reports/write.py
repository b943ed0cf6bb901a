"""Write every view of a session: pages, summaries and JUnit. All are made from ``session.json`` and conclude nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.language.system import CODES
from harness.session.integrity import note
from reports.html.render import write_reports
from reports.junit import junit
from reports.material import Material
from reports.summary import summary

SUMMARIES: Mapping[str, str] = {"en": "summary.md", "fr": "summary.fr.md"}
JUNIT = "junit.xml"


def write_views(material: Material) -> tuple[Path, ...]:
    """Write the report and the summary in each language, and JUnit, into the session's folder; return their paths.

    The manifest of a session that has one is brought up to date.
    """
    folder = material.folder
    paths = list(write_reports(material))
    for code in CODES:
        paths.append(folder / SUMMARIES[code])
        paths[-1].write_text(summary(material.session, code, material.sha256), encoding="utf-8", newline="\n")
    paths.append(folder / JUNIT)
    paths[-1].write_bytes(junit(material.session))
    note(folder, (path.name for path in paths))
    return tuple(paths)
