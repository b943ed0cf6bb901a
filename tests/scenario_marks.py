"""Read the marks of the scenarios' tests as pytest reads them: from the functions and modules, not from the source."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Marks:
    """What the marks of one test say, and the fixtures that it takes; ``judges`` has the arguments of each such mark."""

    scenario: tuple[str, str]
    lines: tuple[str, ...]
    beyond: bool
    judges: tuple[tuple[tuple, dict], ...]
    fixtures: frozenset[str]


def _listed(marks):
    return marks if isinstance(marks, list | tuple) else [marks]


def _read(module):
    for name, function in vars(module).items():
        if not name.startswith("test"):
            continue
        own = getattr(function, "pytestmark", [])
        marks = [getattr(mark, "mark", mark) for mark in (*own, *_listed(getattr(module, "pytestmark", [])))]
        scenarios = [mark for mark in marks if mark.name == "scenario"]
        checklist = [mark for mark in marks if mark.name == "checklist"]
        assert all(len(mark.args) == 1 and set(mark.kwargs) <= {"occasion"} for mark in scenarios), name
        assert all(set(mark.kwargs) <= {"beyond"} for mark in checklist), name
        scenario = (scenarios[0].args[0], scenarios[0].kwargs.get("occasion", "")) if scenarios else ("", "")
        lines = tuple(line for mark in checklist for line in mark.args)
        beyond = any(mark.kwargs.get("beyond") for mark in checklist)
        judges = tuple((mark.args, mark.kwargs) for mark in marks if mark.name == "judges")
        taken = {*inspect.signature(function).parameters}
        taken |= {fixture for mark in marks if mark.name == "usefixtures" for fixture in mark.args}
        yield (
            f"scenarios/{Path(module.__file__).name}::{name}",
            Marks(scenario, lines, beyond, judges, frozenset(taken)),
        )


MARKS = {
    name: marks
    for path in sorted((ROOT / "scenarios").glob("test_*.py"))
    for name, marks in _read(importlib.import_module(f"scenarios.{path.stem}"))
}
