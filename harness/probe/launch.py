"""Start a target under the probe: ``PYTHON -P launch.py RECORD``, in the target's own interpreter.

The module in this folder with the name of the target's kind runs the target. The exit status is 0 when the target's entry point
returned, whether or not it made a mosaic; 2 for wrong arguments. Any other status is a crash.

A target has modules of the same names as this project. This folder is therefore loaded as a package of another name, and the
project's root stays off the target's path. Modules here import each other relatively, and nothing else of the project.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any, Optional

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = "_phase3_probe"


def main(arguments: list[str]) -> int:
    """Install the probe in this process, then run the target that the record's request names."""
    if len(arguments) != 1:
        sys.stderr.write("expected one argument, the folder of a record with a request.json\n")
        return 2
    record = os.path.abspath(arguments[0])
    # This folder has modules named like those of targets: on the path, the target would import them instead of its own.
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != HERE]
    _load_package()
    from _phase3_probe import exceptions, setup  # type: ignore[import-not-found]

    # On a crash of the interpreter itself, the lines of Python code that led to it are printed.
    with contextlib.suppress(OSError, RuntimeError, ValueError, AttributeError):
        faulthandler.enable()

    probe = setup.start(record)
    setup.reach_children(record)
    kind = probe.request["target"]["kind"]
    adapter = _adapter(kind)
    if adapter is None:
        sys.stderr.write(
            f"expected a target that the probe can run, found {kind!r}: add a module of that name to {HERE}\n"
        )
        return 2
    try:
        adapter.run(probe)
    except BaseException as error:
        exceptions.note(probe.recorder, error, "run")
        raise
    finally:
        probe.holds.finish()
        probe.faults.finish()
    return 0


def _adapter(kind: Any) -> Optional[ModuleType]:
    """Import the module of this folder that runs a kind of target; return ``None`` if there is no such module.

    The kind comes from a file, so it must not lead out of this folder, nor to a module that runs no target.
    """
    if not (isinstance(kind, str) and kind.isidentifier() and os.path.isfile(os.path.join(HERE, f"{kind}.py"))):
        return None
    module = importlib.import_module(f"{PACKAGE}.{kind}")
    return module if hasattr(module, "run") else None


def _load_package() -> None:
    """Import this folder as a package whose name no target uses."""
    spec = importlib.util.spec_from_file_location(
        PACKAGE, os.path.join(HERE, "__init__.py"), submodule_search_locations=[HERE]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"expected the probe's package in {HERE}, found no module there: install the harness again")
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
