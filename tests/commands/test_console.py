"""What every command does with paths, and with options in messages."""

import argparse
import ast
import re
from pathlib import Path

import pytest

from harness.commands.console import line, own_options, show, tell, user_path
from harness.commands.main import _COMMANDS, _parser, main
from harness.language.message import say
from harness.language.system import CODES
from harness.session.options import OPTIONS, resolve_options
from harness.verdict import Outcome, Verdict

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


OWN_PRINTS = {
    # What these print has no raw text from a file: JSON with escapes, one escaped line, and the lines of `reports.compared.text`.
    "judge.py": "print(json.dumps(to_json(data), indent=1, allow_nan=False))",
    "patch.py": "print(visible(json.dumps(report.to_json(), ensure_ascii=False, indent=1)))",
    "conclude.py": "print(f\"::{conclusion.level} title={title.replace(':', '%3A').replace(',', '%2C')}::{text}\")",
    "compare.py": "print(text(rows(changes, lang), lang))",
    "console.py": "print(flat(text), file=sys.stderr if error else sys.stdout)",
}


def test_every_command_prints_names_reasons_and_paths_of_files_in_one_line():
    """Only `line` prints, which escapes control characters; each exception is named here with its reason."""
    found = {}
    for path in (ROOT / "harness" / "commands").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                found.setdefault(path.name, []).append(ast.unparse(node))
    assert found == {name: [call] for name, call in OWN_PRINTS.items()}


@pytest.mark.parametrize(
    "text", ["a\nPASS b", "a\r\nPASS b", "a\x1b[2J\rPASS b", "a \t PASS b", "a\u2028PASS b", "a\x9b2JPASS b"]
)
def test_a_name_that_breaks_the_line_stays_in_it(capsys, text):
    """A line break becomes a blank and a control character an escape: nothing looks like a further line."""
    line(f"    {text}")
    tell(say("Written: {path}", path=text), str)
    show((Verdict(text, Outcome.FAIL, say("{x}", x=text), cause=(say("{x}", x=text),)),), str)
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 4
    assert out.startswith("    a")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028]", out)


@pytest.mark.parametrize("by", ["Zoé\n✓ all well", "Zoé\x1b[1A\x9b2K", "Zoé\r✓ all well"])
def test_who_accepts_controls_no_terminal(capsys, by):
    """The name that `phase3 accept` repeats, in its question and in its result, stays one line."""
    said = say("Accepted by {by}, runs: {count}. Written: {path}", by=by, count=1, path=f"{by}/accepted.json")
    tell(said, str)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "\x1b" not in out
    assert "\r" not in out
