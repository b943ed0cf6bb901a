"""What to start for a run: the argument list, the isolated environment, the working folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.record.request import Request
from harness.targets.reference import ROOT
from harness.targets.resolve import TARGETS

_SWITCHES = ("ZEMOSAIC_", "ZEM_ALTALPHA_", "ASTAP_", "PHASE3_", "PYTHON")
_OF_MODULES_AND_TEXT = frozenset({"PYTHONHOME", "PYTHONNOUSERSITE", "PYTHONPATH", "PYTHONUSERBASE", "PYTHONUTF8"})


@dataclass(frozen=True, slots=True)
class StartInfo:
    """How a run's process is started.

    Parameters
    ----------
    argv
        The program and its arguments; never given to a shell.
    env
        The whole environment.
    cwd
        The working folder, inside the record.

    """

    argv: list[str]
    env: dict[str, str]
    cwd: Path


def prepare(record: Path, request: Request) -> StartInfo:
    """Return how to start a request's target.

    Makes the folders that the target's home and temporary files go to, and the run's own copy of ZeMosaic in
    ``RECORD/work/target``: newer versions open a log beside their source and empty it, so runs at the same time need one each.

    Raises
    ------
    harness.targets.TargetError
        When the interpreter is no longer there, or the target's code is not what was resolved.
    OSError
        When the record's folder can't be written.

    """
    record = record.absolute()
    # Sets of text are ordered by it: the same in every run that is to be compared, and written in the request.
    env = environment(record) | {"PYTHONHASHSEED": str(request.seed % 2**32)}
    argv = TARGETS[request.target.kind].start(request.target, record, env)
    return StartInfo(argv, env, record / "work" / "cwd")


def environment(record: Path, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return ``base`` (this process's environment) with home, settings and temporary files inside ``RECORD/work``.

    The folders are made, as a target expects them to be there. Variables that would change what a run does, without a word in
    its request, are left out: the switches of ZeMosaic and its solver, those of this project, and all of Python's own but
    those that say where modules are and how text is read.
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
    # astropy ignores a settings or cache folder, with a warning, unless it has one of its own in it.
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
    # The target has modules of the same names as this project.
    path = [entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry and Path(entry).resolve() != ROOT]
    env.pop("PYTHONPATH", None)
    if path:
        env["PYTHONPATH"] = os.pathsep.join(path)
    return env


def _decides(name: str) -> bool:
    """Say whether a variable changes what a run does; on Windows their case does not matter."""
    return name.upper().startswith(_SWITCHES) and name.upper() not in _OF_MODULES_AND_TEXT
