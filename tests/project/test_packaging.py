"""Tests of the contents of an installation, as pyproject.toml lists them."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TOOL = SETTINGS["tool"]["setuptools"]


def installed():
    """Return the files that setuptools installs: modules of each package, and matches of its data patterns."""
    files = set()
    for package in TOOL["packages"]:
        folder = ROOT / package.replace(".", "/")
        assert folder.is_dir(), package
        for pattern in ("*.py", *TOOL["package-data"].get(package, ())):
            files |= {path for path in folder.glob(pattern) if path.is_file()}
    return files


def test_every_file_of_a_package_is_installed():
    """All modules, sitecustomize, thresholds, manifests, templates and catalogues are installed with their package."""
    there = {
        path
        for top in ("harness", "fixtures", "reports")
        for path in (ROOT / top).rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and path.suffix != ".pyc"
        and not path.name.startswith(".")
    }
    assert sorted(path.relative_to(ROOT).as_posix() for path in there - installed()) == []


def test_type_checkers_read_the_annotations():
    """Each top package has its py.typed, and an installation contains it."""
    assert {ROOT / top / "py.typed" for top in ("harness", "fixtures", "reports")} <= installed()


def test_what_only_tests_need_is_no_dependency_of_the_main_job():
    """The validation installs neither the developers' tools nor shapely, which only the tests use."""
    names = {line.partition(">")[0].partition("[")[0] for line in SETTINGS["project"]["dependencies"]}
    tools = {line.partition(">")[0].partition("[")[0] for line in SETTINGS["project"]["optional-dependencies"]["dev"]}
    assert {"shapely", "hypothesis", "ruff", "mypy", "pytest-cov"} <= tools
    assert not names & tools


@pytest.mark.parametrize("package", [name for name in TOOL["packages"] if name != "harness.probe.children"])
def test_a_package_says_in_one_sentence_what_it_does(package):
    """The __init__.py of a package holds one sentence and no code, so that importing a room runs nothing."""
    tree = ast.parse((ROOT / package.replace(".", "/") / "__init__.py").read_text(encoding="utf-8"))
    text = ast.get_docstring(tree)
    assert len(tree.body) == 1
    assert text.endswith(".")
    assert "\n" not in text
    assert ". " not in text
