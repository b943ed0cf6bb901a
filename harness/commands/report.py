"""``phase3 report [SESSION]``: write a session's report, summary and JUnit again."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from harness.commands.console import Commands, Text, line, tell, user_path
from harness.language.message import Translate, say
from harness.record import limits
from harness.record.values import read_text
from harness.verdict import exit_status


def register(commands: Commands, text: Text) -> None:
    """Add ``report``."""
    report = commands.add_parser("report", help=text(say("write a session's report, summary and JUnit again")))
    folder = say("the folder of a session (default: the latest session in PHASE3_DIR, or in the nearest .phase3)")
    report.add_argument("session", type=user_path, nargs="?", help=text(folder))
    report.set_defaults(command=_report)


def _report(options: argparse.Namespace, translate: Translate) -> int:
    from harness.language.catalogue import language
    from harness.session.integrity import read_intact
    from reports.material import Material
    from reports.signoff import standing_line
    from reports.write import write_views

    folder = options.session or _latest()
    # The views are written again, so they may have been changed.
    session, sha256 = read_intact(folder, views=False)
    for doubt in session.doubts:
        tell(doubt, translate)
    material = Material(folder, (session, sha256))
    for path in write_views(material):
        tell(say("Written: {path}", path=str(path)), translate)
    if material.standing is not None:
        line(standing_line(material.standing, language(options.lang)))
    return exit_status(material.session.outcome)


def _latest() -> Path:
    """Return the latest session in ``PHASE3_DIR``, or in the ``.phase3`` of this folder or the nearest one above it.

    Raises
    ------
    harness.session.model.SessionError
        When there is no session, or the pointer to it leads out of the folder.

    """
    from harness.record.values import inside
    from harness.session.model import SessionError

    given = os.environ.get("PHASE3_DIR")
    here = Path.cwd()
    roots = [Path(given).expanduser()] if given else [folder / ".phase3" for folder in (here, *here.parents)]
    root = next((root for root in roots if (root / "latest").is_file()), None)
    if root is None:
        where = str(roots[0]) if given else f"{here} and the folders above it"
        raise SessionError(
            say(
                "expected a session below {where}, found no file named latest: run pytest -m phase3, name a session's folder, "
                "or set PHASE3_DIR to the folder that --phase3-dir named",
                where=where,
            )
        )
    return inside(root, read_text(root / "latest", limits.SMALL_BYTES).strip())
