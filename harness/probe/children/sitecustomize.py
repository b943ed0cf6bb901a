"""Loads the probe in a child process of the target, then the ``sitecustomize`` that would have been loaded without it.

In a command that somebody runs as always (``phase3 record``) nothing is loaded until ZeMosaic's worker is imported.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys

TYPE_CHECKING = False  # of typing, which would be imported into every process
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

_HERE = os.path.dirname(os.path.abspath(__file__))


def _run(spec: importlib.machinery.ModuleSpec | None, name: str) -> None:
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)


def _chain() -> None:
    """Run the ``sitecustomize`` that was there before, in the place of this one, as if this one were not."""
    rest = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != _HERE]
    _run(importlib.machinery.PathFinder.find_spec("sitecustomize", rest), "sitecustomize")


def _probe() -> None:
    """Load the probe's folder as a package of a name that no target has."""
    probe = os.path.dirname(_HERE)
    spec = importlib.util.spec_from_file_location(
        "_phase3_probe", os.path.join(probe, "__init__.py"), submodule_search_locations=[probe]
    )
    _run(spec, "_phase3_probe")


def _observe(record: str) -> None:
    """Observe this process, which a process of a run started."""
    if "_phase3_probe" in sys.modules:
        return
    _probe()
    from _phase3_probe.setup import observe  # type: ignore[import-not-found]

    observe(record)


class _WorkerFinder:
    """Finds ZeMosaic's worker as the others would, and has the probe put around it; looks at no other module.

    Parameters
    ----------
    folder
        Where runs are recorded.

    """

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return what the next finder finds."""
        if name.rpartition(".")[2] != "zemosaic_worker":
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        try:
            if "_phase3_probe" not in sys.modules:
                _probe()
            from _phase3_probe.foreign import surround  # type: ignore[import-not-found]

            surround(spec, self._folder)
        except Exception as error:  # noqa: BLE001 -- what can't be observed must still run
            sys.stderr.write(f"phase3 probe: ZeMosaic is not observed ({error!r})\n")
        return spec


def _begin() -> None:
    record, folder = os.environ.get("PHASE3_RECORD"), os.environ.get("PHASE3_FOREIGN")
    if sys.version_info < (3, 9):
        return
    if record:
        _observe(record)
    elif folder:
        sys.meta_path.insert(0, _WorkerFinder(folder))


try:
    _begin()
except Exception as error:  # noqa: BLE001 -- a child that can't be observed must still run
    sys.stderr.write(f"phase3 probe: a child process is not observed ({error!r})\n")
_chain()
