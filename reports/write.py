"""Write every view of a session: pages, summaries and JUnit. All are made from ``session.json`` and conclude nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.language.system import CODES
from reports.html.render import write_reports
from reports.junit import junit
from reports.material import Material
from reports.summary import summary

SUMMARIES: Mapping[str, str] = {"en": "summary.md", "fr": "summary.fr.md"}
JUNIT = "junit.xml"


def write_views(material: Material) -> tuple[Path, ...]:
    """Write the report and the summary in each language, and JUnit, into the session's folder; return their paths."""
    paths = (*write_reports(material), *write_summaries(material), material.folder / JUNIT)
    paths[-1].write_bytes(junit(material.session))
    return paths


def write_summaries(material: Material) -> tuple[Path, ...]:
    """Write the summary in each language; return their paths."""
    paths = tuple(material.folder / SUMMARIES[code] for code in CODES)
    for code, path in zip(CODES, paths, strict=True):
        page = summary(material.session, code, material.sha256, material.sizes, material.standing)
        path.write_text(page, encoding="utf-8", newline="\n")
    return paths
