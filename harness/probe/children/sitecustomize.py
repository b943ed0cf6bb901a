"""Loads the probe in a child process of the target, then the ``sitecustomize`` that would have been loaded without it."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys

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


def _observe() -> None:
    record = os.environ.get("PHASE3_RECORD")
    if not record or sys.version_info < (3, 9) or "_phase3_probe" in sys.modules:
        return
    probe = os.path.dirname(_HERE)
    spec = importlib.util.spec_from_file_location(
        "_phase3_probe", os.path.join(probe, "__init__.py"), submodule_search_locations=[probe]
    )
    _run(spec, "_phase3_probe")
    from _phase3_probe.setup import observe  # type: ignore[import-not-found]

    observe(record)


try:
    _observe()
except Exception as error:  # noqa: BLE001 -- a child that can't be observed must still run
    sys.stderr.write(f"phase3 probe: a child process is not observed ({error!r})\n")
_chain()
