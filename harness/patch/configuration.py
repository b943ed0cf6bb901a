"""Find in a program's source which statements set up logging, and which settings there are."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from harness.patch.phase3_source import last_name
from harness.patch.retention_only import words_of
from harness.patch.versions import Sources, Versions, kind_of

_SETS_UP = frozenset({"addHandler", "addLevelName", "basicConfig", "captureWarnings", "dictConfig", "fileConfig"}) | {
    "getLogger",
    "print",
    "removeHandler",
    "setFormatter",
    "setLevel",
    "setLogRecordFactory",
    "setLoggerClass",
}
_LIBRARIES = frozenset({"eliot", "logbook", "loguru", "structlog"})


_TABLE = re.compile(r"^\w*(?:config|settings|defaults)\w*\s*(?::[^=\n]+)?=\s*\{", re.IGNORECASE | re.MULTILINE)
_BATCH_SIZE = re.compile(r"\b\w*batch_?size\w*\b", re.IGNORECASE)


def set_ups(trees: Mapping[str, ast.Module]) -> dict[str, list[str]]:
    """Return the statements that set up logging or print, each with its places."""
    found: dict[str, list[str]] = {}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if _sets_up(node):
                text = ast.unparse(node).partition("\n")[0]
                found.setdefault(text, []).append(f"{path}:{node.lineno}")  # type: ignore[attr-defined]
    return found


def _sets_up(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        name = last_name(node.func)
        written = (
            name == "write"
            and isinstance(node.func, ast.Attribute)
            and last_name(node.func.value) in {"stdout", "stderr"}
        )
        return name in _SETS_UP or written or name.endswith(("Handler", "LoggerAdapter", "QueueListener"))
    if isinstance(node, ast.ClassDef):
        return any(last_name(base).endswith(("Handler", "Formatter", "LoggerAdapter", "Logger")) for base in node.bases)
    if isinstance(node, ast.Import):
        return any(alias.name.partition(".")[0] in _LIBRARIES for alias in node.names)
    return isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in _LIBRARIES


def settings_of(versions: Versions) -> dict[str, object]:
    """Return the settings that modules define in dicts, with their defaults (``None`` where a default is not a constant)."""
    trees = versions.trees({**versions.before, **versions.after}, lambda _, text: bool(_TABLE.search(text)))
    found: dict[str, object] = {}
    for tree in trees.values():
        for node in tree.body:
            if isinstance(node, ast.Assign):
                targets, value = [last_name(t) for t in node.targets], node.value
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                targets, value = [last_name(node.target)], node.value
            else:
                continue
            if isinstance(value, ast.Dict) and any(words_of(t) & {"config", "settings", "defaults"} for t in targets):
                for key, default in zip(value.keys, value.values, strict=True):
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        found[key.value] = default.value if isinstance(default, ast.Constant) else None
    return found


def setting_in(name: str, settings: Mapping[str, object]) -> str:
    """Return the setting that a name means: the name itself, or without an ending that marks a copy. Empty if there is none."""
    endings = ("", "_config", "_cfg", "_mode", "_setting", "_value")
    return next((k for k in (name.removesuffix(e) for e in endings) if k in settings), "")


def limits_a_group(name: str) -> bool:
    """Return whether a setting's name says that it limits the size of a group or batch."""
    return "max" in words_of(name) and bool(words_of(name) & {"batch", "frames", "group", "raw", "raws"})


def batch_size_names(version: Sources) -> frozenset[str]:
    """Return the names and keys of a version's code that hold "batch size"."""
    texts = (text for path, text in version.items() if text and kind_of(path) == "code")
    return frozenset(name for text in texts for name in _BATCH_SIZE.findall(text))
