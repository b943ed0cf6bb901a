"""The one page that names every module, and the layers that it promises."""

import ast
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


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_module_is_named(module):
    """A module that the page does not name has no place yet."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    name = module.name if module.parts[:2] == ("fixtures", "pipeline") else module.as_posix()
    assert f"`{name}`" in text


def test_the_page_names_no_module_that_is_gone():
    """A name on the page is a file."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {
        word
        for word in text.replace("`", " ").split()
        if word.startswith(("harness/", "fixtures/", "reports/")) and "." in word
    }
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("module", [m for m in MODULES if m.parts[:2] == ("harness", "checks")], ids=str)
def test_checks_start_no_target(module):
    """Nothing that judges imports what starts a target, or the targets themselves."""
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
    """Nothing that starts or watches a target imports checks or verdicts."""
    assert not [
        name for name in imports(ROOT / module) if name.startswith(("harness.checks", "harness.verdict", "reports"))
    ]


@pytest.mark.parametrize("module", [m for m in MODULES if m.parts[0] == "reports"], ids=str)
def test_reports_conclude_nothing(module):
    """A report reads verdicts and what a history shows; it makes no verdict and starts nothing."""
    # Put together from a history, not judged; and what names mean.
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
    """The probe runs in interpreters that have nothing of ours: it imports no third-party module and nothing of the harness."""
    import sys

    own = {"fixtures", "numpy"}  # of the target, imported by the adapter once the target's path stands
    names = {n.partition(".")[0] for n in imports(ROOT / module)}
    beyond = {n for n in names if n not in sys.stdlib_module_names and n not in own}
    assert beyond <= {"_phase3_probe", "zemosaic_worker", "zemosaic_config", "__future__"}, beyond
