"""Writes every view of a session: pages, summaries and JUnit. All are made from ``session.json`` and conclude nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.language.catalogue import CODES
from harness.record.values import sha256_of
from harness.session.model import read_session
from reports.html.render import write_reports
from reports.junit import junit
from reports.markdown import summary

SUMMARIES: Mapping[str, str] = {"en": "summary.md", "fr": "summary.fr.md"}
JUNIT = "junit.xml"


def write_views(folder: Path) -> tuple[Path, ...]:
    """Write the report and the summary in each language, and JUnit; return their paths, the report's first.

    Raises
    ------
    ValueError
        When the folder holds no session that can be read.

    """
    session = read_session(folder)
    sha256 = sha256_of(folder / "session.json")
    paths = list(write_reports(folder))
    for code in CODES:
        paths.append(folder / SUMMARIES[code])
        paths[-1].write_text(summary(session, code, sha256), encoding="utf-8", newline="\n")
    paths.append(folder / JUNIT)
    paths[-1].write_bytes(junit(session))
    return tuple(paths)
