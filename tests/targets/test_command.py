"""Test that a command line is split into words as on each system."""

import sys
from pathlib import Path

import pytest

from harness.targets import command


@pytest.mark.parametrize(
    ("windows", "line", "words"),
    [
        (
            False,
            "--in='a b' -c \"print(1); x\" d\\\\ e $HOME # x",
            ["--in=a b", "-c", "print(1); x", "d\\", "e", "$HOME", "#", "x"],
        ),
        (
            True,
            r'-c "print(1); x" "C:\Mes images\été" C:\a\n $HOME',
            ["-c", "print(1); x", r"C:\Mes images\été", r"C:\a\n", "$HOME"],
        ),
        (True, r"""--in="C:\a b\c" "" C:\d\l'Arc""", [r"--in=C:\a b\c", "", r"C:\d\l'Arc"]),
    ],
)
def test_quotes_and_backslashes_are_those_of_the_system(monkeypatch, windows, line, words):
    """Quotes group words and are removed; on Windows a backslash separates folders and an apostrophe is an ordinary character."""
    monkeypatch.setattr(command, "WINDOWS", windows)
    assert list(command.Command().resolve(f'"{sys.executable}" {line}', None, Path()).command[1:]) == words


def test_a_quoted_program_is_found_on_windows(monkeypatch):
    """The quotes around a program are not part of its name, so a program in a folder with a space is found."""
    monkeypatch.setattr(command, "WINDOWS", True)
    seen = []
    monkeypatch.setattr(command.shutil, "which", lambda name: seen.append(name) or sys.executable)
    facts = command.Command().resolve(r'"C:\Program Files\Python\python.exe" -c "x"', None, Path())
    assert seen == [r"C:\Program Files\Python\python.exe"]
    assert facts.command == (sys.executable, "-c", "x")
