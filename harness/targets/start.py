"""Prepare the start of a run: the argument list, the isolated environment, the working folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.record.request import Request
from harness.targets.resolve import TARGETS
from harness.targets.target import ROOT

_SWITCHES = ("ZEMOSAIC_", "ZEM_ALTALPHA_", "ASTAP_", "PHASE3_", "PYTHON")
_OF_MODULES_AND_TEXT = frozenset({"PYTHONHOME", "PYTHONNOUSERSITE", "PYTHONPATH", "PYTHONUSERBASE", "PYTHONUTF8"})


@dataclass(frozen=True, slots=True)
class StartInfo:
    """How a run's process is started, never through a shell: arguments, whole environment, working folder in the record."""

    argv: list[str]
    env: dict[str, str]
    cwd: Path


def prepare(record: Path, request: Request) -> StartInfo:
    """Return how to start a request's target; make the folders that the target needs, and its copy of the source.

    Raises ``TargetError`` when the interpreter no longer exists, or the target's code has changed since it was resolved, and
    ``OSError`` when the record's folder can't be written.
    """
    record = record.absolute()
    # The hash seed decides the order of sets of text. Runs that are compared need the same one, so it comes from the request.
    env = environment(record) | {"PYTHONHASHSEED": str(request.seed % 2**32)}
    argv = TARGETS[request.target.kind].start(request.target, record, env)
    return StartInfo(argv, env, record / "work" / "cwd")


def environment(record: Path, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return ``base`` (this process's environment) with home, settings and temporary files inside ``RECORD/work``.

    The folders are made, because a target expects them to exist. Variables that change a run without a trace in its request are
    left out: the switches of ZeMosaic, of its solver and of this project, and Python's own, except those for the place of modules
    and the encoding of text.
    """
    work = record.absolute() / "work"
    home, temporary = work / "home", work / "tmp"
    places = {
        "HOME": home,
        "USERPROFILE": home,
        "APPDATA": home / "AppData" / "Roaming",
        "LOCALAPPDATA": home / "AppData" / "Local",
        "XDG_CONFIG_HOME": home / ".config",
        "XDG_CACHE_HOME": home / ".cache",
        "XDG_DATA_HOME": home / ".local" / "share",
        "XDG_STATE_HOME": home / ".local" / "state",
        "TMPDIR": temporary,
        "TEMP": temporary,
        "TMP": temporary,
    }
    for folder in (*places.values(), work / "cwd"):
        folder.mkdir(parents=True, exist_ok=True)
    # astropy warns and ignores a settings or cache folder that has no folder ``astropy`` in it.
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        (places[name] / "astropy").mkdir(exist_ok=True)
    env = {name: value for name, value in (os.environ if base is None else base).items() if not _decides(name)}
    env |= {name: str(folder) for name, folder in places.items()}
    env |= {
        "PHASE3_RECORD": str(record.absolute()),
        "PYTHONIOENCODING": "utf-8:backslashreplace",
        "PYTHONUNBUFFERED": "1",
        "MPLBACKEND": "Agg",
        "QT_QPA_PLATFORM": "offscreen",
    }
    # The target has modules with the same names as this project's, so this project must not be on its path.
    path = [entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry and Path(entry).resolve() != ROOT]
    env.pop("PYTHONPATH", None)
    if path:
        env["PYTHONPATH"] = os.pathsep.join(path)
    return env


def _decides(name: str) -> bool:
    """Return whether a variable changes what a run does. Windows ignores the case of its name."""
    return name.upper().startswith(_SWITCHES) and name.upper() not in _OF_MODULES_AND_TEXT
