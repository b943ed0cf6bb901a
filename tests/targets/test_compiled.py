"""Test that the modules of a target are compiled as its interpreter would import them."""

import sys

import pytest

from harness.targets.compiled import Compiled, compiled


@pytest.fixture
def target(tmp_path):
    """Write the modules of a target: the worker imports one module, a package, and one within a function."""
    files = {
        "worker.py": "import helper\nfrom core.path import join\ndef late():\n    from late import x\n",
        "helper.py": "from . import beside\nx = 1\n",
        "beside.py": "",
        "core/__init__.py": "",
        "core/path.py": "def join(a): return a\n",
        "late.py": "x = 1\n",
        "window.py": "this is not imported\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_every_module_that_is_imported_compiles(target):
    """Also packages, and modules imported within functions; a module that nothing imports is not looked at."""
    assert compiled(sys.executable, target, ("worker.py",)) == Compiled(6, ())


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("worker.py", "import helper\ndef release(\n", "worker.py:2: SyntaxError"),
        ("late.py", "x = 1\nreturn x\n", "late.py:2: SyntaxError: 'return' outside function"),
        ("core/path.py", "def f():\n\tx\n        y\n", "core/path.py:3: TabError"),
        ("helper.py", "x = 1\n  y = 2\n", "helper.py:2: IndentationError: unexpected indent"),
    ],
)
def test_a_line_that_does_not_compile_is_named(target, name, text, found):
    """File, line and error, wherever the worker imports it."""
    (target / name).write_text(text, encoding="utf-8")
    (wrong,) = compiled(sys.executable, target, ("worker.py",)).wrong
    assert wrong.startswith(found)


def test_an_interpreter_that_does_not_answer_shows_nothing(target, tmp_path):
    """Nor do modules that do not exist."""
    assert compiled(str(tmp_path / "no-python"), target, ("worker.py",)) is None
    assert compiled(sys.executable, target, ("none.py",)) is None
