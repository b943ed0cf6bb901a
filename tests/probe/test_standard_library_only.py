"""Test that the probe imports the standard library only. It runs in interpreters that lack this project's packages."""

import ast
import sys
from pathlib import Path

import pytest

PROBE = Path(__file__).resolve().parents[2] / "harness" / "probe"
# The name under which the probe is loaded in a target's process.
ITSELF = "_phase3_probe"


@pytest.mark.parametrize("module", sorted(PROBE.rglob("*.py")), ids=lambda path: path.relative_to(PROBE).as_posix())
def test_the_probe_imports_the_standard_library_only(module):
    """Import statements name the standard library or the probe. The target's modules are imported by ``importlib``."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= 1, "a relative import must not leave the probe"
            names |= set() if node.level else {str(node.module).partition(".")[0]}
    assert names <= sys.stdlib_module_names | {ITSELF}
