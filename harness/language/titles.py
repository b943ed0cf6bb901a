"""Extract the titles of scenario tests for the catalogues. Titles are docstrings, which can't be ``say`` calls."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from typing import BinaryIO


def extract(
    source: BinaryIO,
    _keywords: Collection[str],
    _tags: Collection[str],
    options: Mapping[str, object],  # noqa: ARG001 -- Babel gives it by this name
) -> Iterator[tuple[int, None, str, list[str]]]:
    """Yield the first line of each test's docstring. ``pyproject.toml`` names this as an extraction method of Babel."""
    for node in ast.walk(ast.parse(source.read())):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            title = (ast.get_docstring(node) or "").partition("\n")[0]
            if title:
                yield node.lineno, None, title, []
