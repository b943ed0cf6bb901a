"""What to start for a run: the argument list, the isolated environment, the working folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.request import Request
from harness.targets import interpreter
from harness.targets.reference import ROOT

LAUNCHER = ROOT / "harness" / "probe" / "launch.py"


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


def start(record: Path, request: Request) -> StartInfo:
    """Return how to start a request's target. Makes the folders that the target's home and temporary files go to.

    Raises
    ------
    harness.targets.TargetError
        When the interpreter is no longer there.

    """
    record = record.absolute()
    env = environment(record)
    if request.target.kind == "command":
        return StartInfo(list(request.target.command), env, record / "work" / "cwd")
    chosen = interpreter.examine(request.target.python)
    # Packages that a user installed for himself are found from the home folder, which is another one in a run.
    env.setdefault("PYTHONUSERBASE", chosen.user_base)
    return StartInfo(
        [request.target.python, *chosen.safe_path, str(LAUNCHER), str(record)], env, record / "work" / "cwd"
    )


def environment(record: Path, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return ``base`` (this process's environment) with home, settings and temporary files inside ``RECORD/work``.

    The folders are made, as a target expects them to be there.
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
    env = dict(os.environ if base is None else base)
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
