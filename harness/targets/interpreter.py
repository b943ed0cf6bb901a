"""Ask each interpreter once for its version and its libraries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from harness.language.message import say
from harness.record.values import UNREADABLE
from harness.targets.errors import TargetError

# Modules that ZeMosaic needs to run without a graphical interface, each with its name for pip.
ZEMOSAIC_LIBRARIES: Mapping[str, str] = MappingProxyType(
    {
        "astroalign": "astroalign",
        "astropy": "astropy",
        "astroquery": "astroquery",
        "bottleneck": "bottleneck",
        "cv2": "opencv-python-headless",
        "fsspec": "fsspec",
        "numpy": "numpy",
        "packaging": "packaging",
        "photutils": "photutils",
        "psutil": "psutil",
        "reproject": "reproject",
        "scipy": "scipy",
        "shapely": "shapely",
        "skimage": "scikit-image",
        "threadpoolctl": "threadpoolctl",
        "zarr": "zarr",
    }
)
OLDEST = (3, 9)
SECONDS = 120

# Runs in that interpreter, which may be old. So it uses the standard library only, and prints one line of JSON.
_ASK = """
import importlib.metadata, importlib.util, json, site, sys
found = {}
distributions = getattr(importlib.metadata, "packages_distributions", dict)()
for module, name in json.loads(sys.argv[1]).items():
    if importlib.util.find_spec(module) is None:
        found[module] = None
        continue
    found[module] = "found"
    for candidate in [name, *distributions.get(module, [])]:
        try:
            found[module] = importlib.metadata.version(candidate)
            break
        except importlib.metadata.PackageNotFoundError:
            pass
print(json.dumps({"version": list(sys.version_info[:3]), "user_base": site.getuserbase(), "libraries": found}))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One interpreter.

    ``path`` is absolute because runs have another working folder, with its links, because resolving them would leave a virtual
    environment. ``user_base`` is the folder of packages that the user installed outside Python's own folder. It is in the home
    folder, and a run has another one. ``libraries`` has the version of each module; ``None`` if it is not installed.
    """

    path: str
    version: tuple[int, int, int]
    user_base: str
    libraries: Mapping[str, str | None]

    @property
    def safe_path(self) -> tuple[str, ...]:
        """The option that keeps a script's folder off ``sys.path``; empty if this interpreter does not know it."""
        return ("-P",) if self.version >= (3, 11) else ()


def examine(python: str | None) -> Interpreter:
    """Ask an interpreter (a path or a program name; ``None`` for this one) for its version and libraries.

    Raises ``TargetError`` when it does not exist, does not answer, or is too old for the probe.
    """
    return _examine(_located(python) if python else sys.executable)


def _located(python: str) -> str:
    found = shutil.which(os.path.expanduser(python))  # noqa: PTH111 -- a name without a folder must stay one
    if found is None:
        raise TargetError(
            say(
                "expected a Python interpreter at {path}, found no such program: "
                "name the interpreter that runs ZeMosaic with --phase3-python",
                path=python,
            )
        )
    return os.path.abspath(found)  # noqa: PTH100 -- resolve() would lead out of a virtual environment


@cache
def _examine(path: str) -> Interpreter:
    try:
        answer = subprocess.run(
            [path, "-c", _ASK, json.dumps(dict(ZEMOSAIC_LIBRARIES))],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, ValueError) as error:
        raise TargetError(
            say(
                "expected a Python interpreter at {path}, found a program that can't be started ({error}): "
                "name the interpreter that runs ZeMosaic with --phase3-python",
                path=path,
                error=str(error),
            )
        ) from error
    except subprocess.TimeoutExpired as error:
        raise TargetError(
            say(
                "expected {path} to answer within {seconds} s, found no answer: "
                "name the interpreter that runs ZeMosaic with --phase3-python",
                path=path,
                seconds=SECONDS,
            )
        ) from error
    try:
        data = json.loads(answer.stdout.splitlines()[-1])
        major, minor, micro = (int(part) for part in data["version"])
        found = Interpreter(path, (major, minor, micro), str(data["user_base"]), MappingProxyType(data["libraries"]))
    except (AttributeError, *UNREADABLE) as error:
        last = (answer.stderr.strip().splitlines() or [f"exit status {answer.returncode}"])[-1]
        raise TargetError(
            say(
                "expected a Python interpreter at {path}, found something else ({error}): "
                "name the interpreter that runs ZeMosaic with --phase3-python",
                path=path,
                error=last,
            )
        ) from error
    if found.version < OLDEST:
        raise TargetError(
            say(
                "expected Python {wanted} or later at {path}, found {found}: "
                "name the interpreter that runs ZeMosaic with --phase3-python",
                wanted=".".join(map(str, OLDEST)),
                path=path,
                found=".".join(map(str, found.version)),
            )
        )
    return found


def versions(python: str | None) -> dict[str, str]:
    """Return the versions of Python and of the installed libraries, for a target's identity."""
    found = examine(python)
    libraries = {ZEMOSAIC_LIBRARIES[module]: version for module, version in found.libraries.items() if version}
    return {"python": ".".join(map(str, found.version)), **dict(sorted(libraries.items()))}


def require(found: Interpreter, modules: Iterable[str]) -> None:
    """Raise ``TargetError`` if an interpreter lacks libraries of these modules, and name them all."""
    missing = sorted(ZEMOSAIC_LIBRARIES[module] for module in modules if found.libraries.get(module) is None)
    if missing:
        raise TargetError(
            say(
                "expected the libraries that ZeMosaic imports in {path}, found {names} missing: "
                "name its own interpreter with --phase3-python, or install them with: {command}",
                path=found.path,
                names=", ".join(missing),
                command=f'"{found.path}" -m pip install {" ".join(missing)}',
            )
        )
