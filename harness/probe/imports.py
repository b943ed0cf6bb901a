"""Tell a library that the interpreter lacks from a misspelt import: what the target's own folder says of a missing module."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import sys
from typing import Iterator, Optional

MOST_FILES = 2000
DEEPEST = 64
"""Folders in each other that are looked through."""
ALIKE = 0.85  # of 1: one letter of a long name, or two letters that changed places

# The names under which some libraries are installed, by the names that are imported.
_DISTRIBUTIONS = {
    "cv2": "opencv",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "win32api": "pywin32",
}
_NO_SOURCE = ("site-packages", "dist-packages", "node_modules", "__pycache__")


def missing(source: str, error: BaseException) -> Optional[str]:
    """Return the module that an import did not find, if it is not in one of the target's own folders or files."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    top = error.name.split(".")[0]
    place = os.path.join(source, top)
    loaded = getattr(sys.modules.get(top), "__file__", None)
    own = loaded is not None and os.path.realpath(loaded).startswith(os.path.join(source, ""))
    return None if own or os.path.isdir(place) or os.path.isfile(f"{place}.py") else error.name


def known(source: str, module: str, file: Optional[str]) -> Optional[bool]:
    """Return whether a missing module is a library of the target: its requirements name it, or another of its files imports it.

    ``file`` is the file whose import failed. ``None`` if the target has no list of requirements.
    """
    top = module.split(".", maxsplit=1)[0]
    words, listed = _requirements(source)
    name = _plain(_DISTRIBUTIONS.get(top, top))
    if any(word == name or word.startswith(f"{name}-") for word in words):
        return True
    pattern = re.compile(rf"^\s*(?:import|from)\s+{re.escape(top)}\b", re.MULTILINE)
    for path in _sources(source):
        if os.path.relpath(path, source).replace(os.sep, "/") != file and pattern.search(_text(path)):
            return True
    return False if listed else None


def like(source: str, module: str) -> Optional[str]:
    """Return a module of the target, of its requirements or of Python whose name is almost that of a missing one."""
    top = module.split(".", maxsplit=1)[0]
    own = {os.path.splitext(os.path.basename(path))[0] for path in _sources(source)} - {"__init__"}
    names = own | _requirements(source)[0] | set(getattr(sys, "stdlib_module_names", ()))
    return next(iter(difflib.get_close_matches(top, sorted(names - {top}), 1, ALIKE)), None)


def _requirements(source: str) -> tuple[set[str], bool]:
    """Return the names of required libraries, and whether the target has a list of them."""
    words: set[str] = set()
    listed = False
    for name in sorted(os.listdir(source)) if os.path.isdir(source) else ():
        plain = name.lower()
        if plain.startswith("requirements") and plain.endswith(".txt"):
            found = re.findall(r"^[ \t]*([A-Za-z][\w.-]*)", _text(os.path.join(source, name)), re.MULTILINE)
        elif plain in ("pyproject.toml", "setup.py", "setup.cfg"):
            found = re.findall(r"(?:^[ \t]+|[\"'])([A-Za-z][\w.-]*)", _text(os.path.join(source, name)), re.MULTILINE)
        else:
            continue
        listed = True
        words.update(map(_plain, found))
    return words, listed


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _sources(source: str) -> Iterator[str]:
    """Yield the Python files of the target."""
    count = 0
    for parent, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if name not in _NO_SOURCE and not name.startswith("."))
        if parent.count(os.sep) - source.count(os.sep) >= DEEPEST:  # older Pythons call themselves for each level
            folders.clear()
        for name in sorted(names):
            if name.endswith(".py") and count < MOST_FILES:
                count += 1
                yield os.path.join(parent, name)


def _text(path: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()
    return ""
