"""``phase3 patch``: judge the guard rails of the checklist on two commits."""

from __future__ import annotations

import argparse
import json

from harness.commands.console import Commands, Text, user_path
from harness.language.message import Translate, say
from harness.verdict import exit_status


def register(commands: Commands, text: Text) -> None:
    """Add ``patch``."""
    patch = commands.add_parser(
        "patch", help=text(say("judge the guard rails of the checklist by the changes between two commits"))
    )
    patch.add_argument(
        "--repo", type=user_path, required=True, help=text(say("a clone of the target's repository (it may be bare)"))
    )
    patch.add_argument("base", metavar="BASE", help=text(say("the commit before the patch")))
    patch.add_argument("head", metavar="HEAD", help=text(say("the commit with the patch")))
    patch.add_argument("--json", action="store_true", help=text(say("print the rows as JSON, with their evidence")))
    patch.set_defaults(command=_patch)


def _patch(options: argparse.Namespace, translate: Translate) -> int:
    from harness.patch.guard_rails import judge
    from harness.patch.versions import read_commit

    repository = options.repo.expanduser().absolute()
    report = judge(read_commit(repository, options.base), read_commit(repository, options.head))
    if options.json:
        print(json.dumps(report.to_json(), ensure_ascii=False, indent=1))
        return exit_status(report.outcome)
    for row in report.rows:
        print(f"{row.outcome.upper():<15} {row.check}  {row.sentence.render(translate)}")
        for line in row.cause:
            print(f"{'':<18}{line.render(translate)}")
    return exit_status(report.outcome)
