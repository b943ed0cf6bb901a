"""Drive the release of caches outside a run. No run can do so: a target never releases more tiles than it has.

``harness/probe/release.py`` does the work in the target's own interpreter and writes a small file of facts.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.patch.release_check import FORMAT
from harness.record.request import TargetFacts
from harness.record.values import UNREADABLE, read_json
from harness.record.whole import json_text, write_whole
from harness.targets.resolve import kind_of
from harness.targets.start import environment
from harness.targets.target import PROBE, observed

SECONDS = 180


def drive(target: TargetFacts, folder: Path) -> Mapping[str, Any]:
    """Drive a target's release in a process of its own, isolated as a run is, and return the facts that it wrote.

    ``folder`` is a new folder. It gets the request, the files that are released, and ``release.json`` with the facts.

    Raises
    ------
    harness.targets.errors.TargetError
        When the target or its interpreter no longer exists.
    OSError
        When the folder can't be written.

    """
    folder.mkdir(parents=True)
    folder = folder.absolute()
    env = environment(folder)
    argv = observed(target.python, PROBE / "release.py", folder, env)
    kind = kind_of(target.kind)
    root = kind.source(target, folder / "work")
    asked = {"release": kind.release, "root": str(root), "defects": list(target.identity.get("defects", ()))}
    write_whole(folder / "request.json", json_text(asked))
    try:
        done = subprocess.run(
            argv, env=env, cwd=folder / "work" / "cwd", capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return {"format": FORMAT, "problem": f"it took more than {SECONDS} s"}
    facts = read_facts(folder / "release.json")
    if facts is None:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return {"format": FORMAT, "problem": last or f"it ended with status {done.returncode}"}
    return facts


def read_facts(path: Path) -> Mapping[str, Any] | None:
    """Read what the driver wrote in the target's own process; ``None`` if that is no JSON object."""
    try:
        return read_json(path)
    except (OSError, *UNREADABLE):
        return None
