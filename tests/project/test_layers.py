"""The page on the architecture, and the layers that it promises."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("harness", "fixtures", "reports")
MODULES = sorted(
    p.relative_to(ROOT) for package in PACKAGES for p in (ROOT / package).rglob("*.py") if p.name != "__init__.py"
)


def imports(path):
    """Return the modules that a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SECTIONS = dict(re.findall(r"^##+ (.+?)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
ROOMS = [name for name in SECTIONS if name.startswith(("harness/", "reports", "fixtures"))]


def layers():
    """Return the rooms in the order of import-linter's layers, as paths."""
    (contract,) = (c for c in SETTINGS["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    for layer in contract["layers"]:
        for name in layer.split(" | "):
            path = name.replace(".", "/")
            yield path if (ROOT / path).is_dir() else f"{path}.py"


def test_the_page_has_a_section_for_each_room():
    """The sections are the layers that import-linter checks, in the same order; inner rooms follow the room that holds them."""
    assert [name for name in ROOMS if name in set(layers())] == list(layers())
    packages = {package.replace(".", "/") for package in SETTINGS["tool"]["setuptools"]["packages"]}
    assert packages - {"harness", "harness/probe/children"} <= set(ROOMS)


@pytest.mark.parametrize("room", [room for room in ROOMS if not room.endswith(".py")])
def test_a_section_names_modules_of_its_room(room):
    """A module that a section names exists: in its room, or where its full path says. A whole room has what goes in and out."""
    names = re.findall(r"`([\w./-]+\.(?:py|toml|po)|\w+/)`", SECTIONS[room])
    assert names
    assert [name for name in names if not (ROOT / room / name).exists() and not (ROOT / name).exists()] == []
    if room in set(layers()):
        assert "- **In:** " in SECTIONS[room]
        assert "**Out:** " in SECTIONS[room]


@pytest.mark.parametrize("module", [m for m in MODULES if m.parts[:2] == ("harness", "checks")], ids=str)
def test_checks_start_no_target(module):
    """No check imports what starts a target, or a target itself."""
    forbidden = (
        "harness.run",
        "harness.targets",
        "harness.probe",
        "harness.session.campaign",
        "fixtures.pipeline",
        "subprocess",
    )
    assert not [name for name in imports(ROOT / module) if name.startswith(forbidden)]


@pytest.mark.parametrize(
    "module", [m for m in MODULES if m.parts[:2] in (("harness", "targets"), ("harness", "watch"))], ids=str
)
def test_what_starts_targets_judges_nothing(module):
    """No module that starts or watches a target imports checks or verdicts."""
    assert not [
        name for name in imports(ROOT / module) if name.startswith(("harness.checks", "harness.verdict", "reports"))
    ]


@pytest.mark.parametrize("module", [m for m in MODULES if m.parts[0] == "reports"], ids=str)
def test_reports_conclude_nothing(module):
    """A report reads verdicts and facts of a history; it makes no verdict and starts no target."""
    # These hold facts and the meaning of names, no verdicts.
    facts = (
        "harness.analysis.phase3",
        "harness.analysis.fallback_patterns",
        "harness.analysis.lifetimes",
        "harness.analysis.removals",
    )
    names = [name for name in imports(ROOT / module) if not name.startswith(facts)]
    assert not [name for name in names if name.startswith(("harness.checks", "harness.run", "harness.targets"))]


@pytest.mark.parametrize("module", [m for m in MODULES if m.parts[:2] == ("harness", "probe")], ids=str)
def test_the_probe_needs_the_standard_library_only(module):
    """The probe imports neither third-party modules nor the harness, because the target's interpreter may lack both."""
    import sys

    own = {"fixtures", "numpy"}  # of the target: the adapter imports them after it has set the target's path
    names = {n.partition(".")[0] for n in imports(ROOT / module)}
    beyond = {n for n in names if n not in sys.stdlib_module_names and n not in own}
    assert beyond <= {"_phase3_probe", "zemosaic_worker", "zemosaic_config", "__future__"}, beyond
