"""``phase3 patch``: judge the guard rails of the checklist on two commits, or on two folders."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.console import Commands, Text, line, user_path
from harness.language.message import SaidError, Translate, say, visible
from harness.verdict import exit_status

if TYPE_CHECKING:
    from harness.patch.versions import Sources


def register(commands: Commands, text: Text) -> None:
    """Add ``patch``."""
    patch = commands.add_parser(
        "patch", help=text(say("judge the guard rails of the checklist by the changes between two versions"))
    )
    patch.add_argument(
        "--repo",
        type=user_path,
        help=text(say("a clone of the target's repository (it may be bare); without it, BASE and HEAD are folders")),
    )
    patch.add_argument("base", metavar="BASE", help=text(say("the version before the patch: a commit or a folder")))
    patch.add_argument("head", metavar="HEAD", help=text(say("the version with the patch: a commit or a folder")))
    patch.add_argument("--json", action="store_true", help=text(say("print the rows as JSON, with their evidence")))
    patch.set_defaults(command=_patch)


def _version(repository: Path | None, name: str) -> Sources:
    """Read a commit of the repository, or a folder if none is given."""
    from harness.patch.versions import read_commit, read_folder

    if repository is not None:
        return read_commit(repository.expanduser().absolute(), name)
    folder = Path(name).expanduser().absolute()
    if not folder.is_dir():
        raise SaidError(
            say(
                "expected a folder with a version of the target, found no folder {folder}: name one, or give --repo for commits",
                folder=str(folder),
            )
        )
    return read_folder(folder)


def _patch(options: argparse.Namespace, translate: Translate) -> int:
    from harness.patch.guard_rails import judge

    report = judge(*(_version(options.repo, name) for name in (options.base, options.head)))
    if options.json:
        print(visible(json.dumps(report.to_json(), ensure_ascii=False, indent=1)))
        return exit_status(report.outcome)
    for row in report.rows:
        line(f"{row.outcome.upper():<15} {row.check}  {row.sentence.render(translate)}")
        for link in row.cause:
            line(f"{'':<18}{link.render(translate)}")
    return exit_status(report.outcome)
