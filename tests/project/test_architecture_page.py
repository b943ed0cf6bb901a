"""Test that the page on the architecture, the layers of import-linter and the tree agree."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PATH = re.compile(r"(?<![\w./-])(?:harness|fixtures|reports|scenarios|tests|docs|benchmarks)/[\w./-]*")
SECTIONS = dict(re.findall(r"^##+ (.+?)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
ROOMS = [name for name in SECTIONS if name.startswith(("harness/", "reports", "fixtures"))]


def layers():
    """Return the rooms in the order of import-linter's layers, as paths."""
    (contract,) = (c for c in SETTINGS["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    names = [name.replace(".", "/") for layer in contract["layers"] for name in layer.split(" | ")]
    return [path if (ROOT / path).is_dir() else f"{path}.py" for path in names]


def test_the_page_has_a_section_for_each_room():
    """The sections are the layers that import-linter checks, in the same order. An inner room follows the room around it."""
    assert [name for name in ROOMS if name in layers()] == layers()
    packages = {package.replace(".", "/") for package in SETTINGS["tool"]["setuptools"]["packages"]}
    assert packages - {"harness", "harness/probe/children"} <= set(ROOMS)


def test_every_room_is_a_layer():
    """Each package and module in harness/, and the two packages beside it, is a layer. Otherwise its imports are not checked."""
    rooms = {path for path in (ROOT / "harness").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    names = {path.relative_to(ROOT).as_posix() for path in rooms} - {"harness/__init__.py"}
    assert names | {"reports", "fixtures"} == set(layers())


@pytest.mark.parametrize("room", [room for room in ROOMS if not room.endswith(".py")])
def test_a_section_names_modules_of_its_room(room):
    """A module that a section names, in its text or its diagram, exists in its room or at its full path."""
    names = re.findall(r"(?<![\w./])(?:[\w./]+\.(?:py|toml|po|j2)\b|\w+/(?![\w.]))", SECTIONS[room])
    assert [name for name in names if (ROOT / room / name).exists()]
    assert [name for name in names if not (ROOT / room / name).exists() and not (ROOT / name).exists()] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_section_has_one_diagram(room):
    """A section is a paragraph and a small diagram of the way from what goes in to what comes out."""
    diagram = [line for line in SECTIONS[room].splitlines() if line.startswith("    ")]
    assert 1 <= len(diagram) <= 6
    assert "──►" in "".join(diagram)
    assert re.match(r"\n\w.+?\n\n    ", SECTIONS[room], re.DOTALL)
    assert "\n|" not in SECTIONS[room]


def test_every_path_on_the_page_exists():
    """A path of the project on the page is a file or a folder."""
    named = {path.rstrip("./-") for path in PATH.findall(PAGE)}
    assert sorted(path for path in named if not (ROOT / path).exists()) == []
