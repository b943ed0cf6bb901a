"""Load the probe in a child process of the target, then run the ``sitecustomize`` that this one hides.

Under ``phase3 record`` the probe is loaded only when ZeMosaic's worker is imported.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys

TYPE_CHECKING = False  # as typing has it; importing typing would slow every process
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
    """Run the ``sitecustomize`` that comes next on the path, under its own name, as Python would without this one."""
    rest = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != _HERE]
    _run(importlib.machinery.PathFinder.find_spec("sitecustomize", rest), "sitecustomize")


def _probe() -> None:
    """Import the probe's folder as a package whose name no target uses."""
    probe = os.path.dirname(_HERE)
    spec = importlib.util.spec_from_file_location(
        "_phase3_probe", os.path.join(probe, "__init__.py"), submodule_search_locations=[probe]
    )
    _run(spec, "_phase3_probe")


def _observe(record: str) -> None:
    """Install the probe in this process, a child of a process of a run."""
    if "_phase3_probe" in sys.modules:
        return
    _probe()
    from _phase3_probe.setup import observe  # type: ignore[import-not-found]

    observe(record)


class _WorkerFinder:
    """Wrap the import of ZeMosaic's worker with the probe. Other modules are left to the other finders."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec from the other finders, its loader wrapped if the module is ZeMosaic's worker."""
        if name.rpartition(".")[2] != "zemosaic_worker":
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        try:
            if "_phase3_probe" not in sys.modules:
                _probe()
            from _phase3_probe.foreign import surround  # type: ignore[import-not-found]

            surround(spec, self._folder)
        except Exception as error:  # noqa: BLE001 -- the program must run even if it can't be observed
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
except Exception as error:  # noqa: BLE001 -- the child must run even if it can't be observed
    sys.stderr.write(f"phase3 probe: a child process is not observed ({error!r})\n")
_chain()
