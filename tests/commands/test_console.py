"""What every command does with paths, and with options in messages."""

import argparse
import ast
import re
from pathlib import Path

import pytest

from harness.commands.console import own_options, user_path
from harness.commands.main import _COMMANDS, _parser, main
from harness.language.system import CODES
from harness.session.options import OPTIONS, resolve_options

ROOT = Path(__file__).parents[2]
OF_OTHERS = {"--global", "--add", "--filter", "--no-checkout", "--force-reinstall"}
"""Options of git and pip in their own commands."""

RESOLVING = {"case", "doctor"}
"""The commands that resolve a target, whose messages therefore include those of ``harness/targets``."""


def parsers():
    """Return each command with its parser, also those of its actions."""
    found = {}

    def add(name, parser):
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for child, inner in action.choices.items():
                    add(f"{name} {child}".strip(), inner)
        found[name] = parser

    add("", _parser(str, CODES))
    return found


def options_of(parser):
    """Return the options of a parser."""
    return {option for action in parser._actions for option in action.option_strings}


def messages(path):
    """Return the templates of the messages of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", "") == "say"
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.args[0].value


def modules_of(command):
    """Return the modules whose messages a command shows: its own, and those of the rooms that it imports names from."""
    own = ROOT / "harness" / "commands" / f"{command}.py"
    tree = ast.parse(own.read_text(encoding="utf-8"))
    names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    rooms = ("harness.field", "harness.run", "harness.targets", "fixtures")
    found = [ROOT / f"{name.replace('.', '/')}.py" for name in names if name.startswith(rooms)]
    targets = sorted((ROOT / "harness" / "targets").glob("*.py")) if command in RESOLVING else []
    return {own, *(path for path in found if path.exists()), *targets}


@pytest.mark.parametrize("command", [module.__name__.rpartition(".")[2] for module in _COMMANDS])
def test_no_message_advises_an_option_that_the_command_refuses(command):
    """Each option that a command's messages name is one of the command, of pytest where the message names pytest, or of git."""
    known = parsers()
    own = set().union(*(options_of(parser) for name, parser in known.items() if name.split()[:1] == [command]))
    values = argparse.Namespace(**{option.lstrip("-"): None for option in own})
    refused = {
        (path.name, option, text)
        for path in modules_of(command)
        for text in messages(path)
        for option in re.findall(r"--[a-z][a-z0-9-]*[a-z]", own_options(text, values))
        if option not in own | OF_OTHERS and not ("pytest" in text or "--phase3-dir" in text)
    }
    assert refused == set()


def test_a_message_names_the_option_of_the_command_that_fails(capsys, tmp_path):
    """``case run`` has ``--python``, so an interpreter without ZeMosaic's libraries is not answered with ``--phase3-python``."""
    python = tmp_path / "no python"
    assert main(["doctor", "--target", f"zemosaic:{tmp_path}", "--python", str(python)]) == 2
    out = capsys.readouterr().out
    assert "--phase3-python" not in out
    assert own_options("name it with --phase3-python or --phase3-dir", argparse.Namespace(python=None)) == (
        "name it with --python or --phase3-dir"
    )


def test_a_home_folder_in_any_path_of_any_command_is_the_users():
    """A shell leaves the ``~`` of ``--frames=~/frames`` and of a Windows prompt; every argument that is a path replaces it."""
    paths = [
        (name, action.dest)
        for name, parser in parsers().items()
        for action in parser._actions
        if action.type is Path or action.type is user_path
    ]
    assert len(paths) > 15
    for name, parser in parsers().items():
        assert not [action.dest for action in parser._actions if action.type is Path], name
    assert user_path("~/frames é") == Path.home() / "frames é"
    assert user_path("frames~") == Path("frames~")


def test_a_home_folder_in_any_path_option_of_pytest_is_the_users():
    """``--phase3-frames=~/frames``, ``--phase3-dir`` and ``--phase3-config`` name the user's home."""
    asked = {f"phase3_{name}": f"~/{name}" for name in ("frames", "dir", "config")}
    settings = resolve_options(asked.get, lambda _: "", {})
    for name in ("frames", "dir", "config"):
        assert getattr(settings, name) == str(Path.home() / name)
    folders = {option.name for option in OPTIONS if re.search(r"\bfolder\b|zemosaic_config", option.help)}
    # resume.find expands the path of a session itself.
    assert folders <= {"frames", "dir", "config", "target", "resume"}


def test_a_home_folder_of_real_sets_is_the_users(monkeypatch, tmp_path):
    """``PHASE3_DATA_DIR=~/sets`` names the user's home too."""
    from fixtures import real

    (tmp_path / "sets" / "name").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("PHASE3_DATA_DIR", "~/sets")
    assert real._given("name") == tmp_path / "sets" / "name"
