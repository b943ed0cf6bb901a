"""``phase3 data list``, ``fetch`` and ``verify``: list, download and check the sets of observed frames."""

from __future__ import annotations

import argparse

from harness.commands.console import Commands, Text, line, tell
from harness.language.message import Translate, say


def register(commands: Commands, text: Text) -> None:
    """Add ``data`` and its actions."""
    data = commands.add_parser("data", help=text(say("list, get and verify the sets of observed frames")))
    actions = data.add_subparsers(metavar="ACTION")
    actions.add_parser("list", help=text(say("list the sets and where they are"))).set_defaults(command=_list)
    for name, command, purpose in (
        ("fetch", _fetch, say("build the frames of a set from their public originals")),
        ("verify", _verify, say("compare a set with its manifest, byte by byte")),
    ):
        action = actions.add_parser(name, help=text(purpose))
        action.add_argument("set", nargs="*", help=text(say("names of sets (default: all)")))
        action.set_defaults(command=command)


def _list(_: argparse.Namespace, translate: Translate) -> int:
    from fixtures import real

    for status in real.status():
        missing = say("not on this machine; get it with: {command}", command=real.command_to_get(status.name))
        line(f"{status.name}  {status.frames}  {status.folder or missing.render(translate)}")
    return 0


def _fetch(options: argparse.Namespace, translate: Translate) -> int:
    from fixtures import real

    for name in options.set or [status.name for status in real.status()]:
        tell(say("{set}: ready in {folder}", set=name, folder=str(real.fetch(name))), translate)
    return 0


def _verify(options: argparse.Namespace, translate: Translate) -> int:
    from fixtures import real

    bad = False
    for name in options.set or [status.name for status in real.status() if status.folder]:
        problems = real.verify(name)
        bad = bad or bool(problems)
        for problem in problems:
            tell(problem.message, translate)
        if not problems:
            tell(say("{set}: all frames agree with the manifest", set=name), translate)
    return 1 if bad else 0
