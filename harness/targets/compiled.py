"""Compile the modules that a target would import, with the target's own interpreter, and name the lines that it refuses.

Nothing of the target is run. The imports are read from the source, also those within functions and ``try``.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.record.values import UNREADABLE

SECONDS = 120

# Runs in that interpreter, which may be old. So it uses the standard library only, and prints one line of JSON.
_ASK = """
import ast, json, os, sys, warnings
warnings.simplefilter("ignore")
root, waiting = sys.argv[1], json.loads(sys.argv[2])
seen, wrong = set(), []


def candidates(parts):
    for n in range(1, len(parts) + 1):
        yield "/".join(parts[:n]) + ".py"
        yield "/".join(parts[:n]) + "/__init__.py"


def imported(tree, name):
    here = name.split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            for alias in node.names:
                yield base + [alias.name]


while waiting:
    name = waiting.pop()
    path = os.path.join(root, *name.split("/"))
    if name in seen or not os.path.isfile(path):
        continue
    seen.add(name)
    try:
        with open(path, "rb") as stream:
            source = stream.read()
        tree = compile(source, name, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        compile(tree, name, "exec", dont_inherit=True)
    except SyntaxError as error:
        wrong.append([name, error.lineno, type(error).__name__ + ": " + str(error.msg)])
        continue
    except (ValueError, RecursionError, MemoryError) as error:
        wrong.append([name, None, type(error).__name__ + ": " + str(error)])
        continue
    for parts in imported(tree, name):
        waiting.extend(candidates(parts))
print(json.dumps({"modules": len(seen), "wrong": sorted(wrong)}))
"""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The result: how many modules were compiled, and ``FILE:LINE: ERROR`` for each that can't be."""

    modules: int
    wrong: tuple[str, ...]


@cache
def compiled(python: str, root: Path, entries: Sequence[str]) -> Compiled | None:
    """Compile these modules below ``root``, and those of the target that they import; ``None`` if that could not be tried.

    The answer is remembered: ``root`` is a copy of the target that does not change.
    """
    try:
        answer = subprocess.run(
            [python, "-I", "-c", _ASK, str(root), json.dumps(list(entries))],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        data = json.loads(answer.stdout.splitlines()[-1])
        wrong = tuple(f"{name}:{line}: {error}" if line else f"{name}: {error}" for name, line, error in data["wrong"])
        return Compiled(int(data["modules"]), wrong) if data["modules"] else None
    except (OSError, AttributeError, subprocess.TimeoutExpired, *UNREADABLE):
        return None
