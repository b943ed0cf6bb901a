"""The release of caches driven outside of any run, where no run can bring about what is asked of it: more releases than tiles.

What comes of it in the target's own interpreter (`harness/probe/release.py`) is a small file of facts; judging it is a pure
function.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.language.message import Message, say
from harness.record.request import TargetFacts
from harness.targets import exports, interpreter
from harness.targets.reference import ROOT
from harness.targets.start import environment
from harness.verdict import Outcome, Verdict

DRIVER = ROOT / "harness" / "probe" / "release.py"
FORMAT = "phase3-release/1"
SECONDS = 180

Step = Mapping[str, Any]


def drive(target: TargetFacts, folder: Path) -> Mapping[str, Any]:
    """Drive a target's release in a process of its own, isolated as a run is, and return what came of it.

    Parameters
    ----------
    target
        The reference or a version of ZeMosaic.
    folder
        A new folder: it holds what was asked, the files that are released, and ``release.json``, what came of it.

    Raises
    ------
    harness.targets.TargetError
        When the target or its interpreter is no longer there.
    OSError
        When the folder can't be written.

    """
    folder.mkdir(parents=True)
    chosen = interpreter.examine(target.python)
    env = environment(folder)
    env.setdefault("PYTHONUSERBASE", chosen.user_base)
    root = Path(target.root)
    if target.kind == "zemosaic":
        root = folder.absolute() / "work" / "target"  # newer versions write a log beside their source
        exports.copy(Path(target.root), root)
    asked = {"kind": target.kind, "root": str(root), "defects": list(target.identity.get("defects", ()))}
    (folder / "request.json").write_text(json.dumps(asked, indent=1), encoding="utf-8")
    argv = [chosen.path, *chosen.safe_path, str(DRIVER), str(folder.absolute())]
    try:
        done = subprocess.run(
            argv, env=env, cwd=folder / "work" / "cwd", capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return {"format": FORMAT, "problem": f"it took more than {SECONDS} s"}
    try:
        found = json.loads((folder / "release.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return {"format": FORMAT, "problem": last or f"it ended with status {done.returncode}"}
    return found if isinstance(found, dict) else {"format": FORMAT, "problem": "it wrote no object"}


def judge(found: Mapping[str, Any]) -> Verdict:
    """Judge what came of driving a release: no count below zero, nothing removed that a tile still counts for, no exception."""
    evidence = MappingProxyType(dict(found))
    if found.get("format") != FORMAT or found.get("problem"):
        failed = say(
            "The release could not be driven: {problem}.", problem=str(found.get("problem") or found.get("format"))
        )
        return Verdict("release", Outcome.UNKNOWN, failed, evidence)
    if not found.get("function"):
        sentence = say(
            "No release that counts was found to drive; looked at: {names}.",
            names="; ".join(found.get("looked_at", ())),
        )
        return Verdict("release", Outcome.UNKNOWN, sentence, evidence)
    steps: dict[str, Step] = {str(step["step"]): step for step in found.get("steps", ())}
    undriven = [name for name in EXPECTED if name not in steps]
    if undriven:
        sentence = say("The release was not driven through every step: {names} missing.", names=", ".join(undriven))
        return Verdict("release", Outcome.UNKNOWN, sentence, evidence)
    wrong = [problem for name, fits in EXPECTED.items() if (problem := _problem(steps[name], fits)) is not None]
    if wrong:
        return Verdict("release", Outcome.FAIL, wrong[0], evidence, tuple(wrong[1:]))
    sentence = say(
        "{function} was driven through {count} steps: no count fell below zero, and nothing went that was still counted for.",
        function=str(found["function"]),
        count=len(EXPECTED),
    )
    return Verdict("release", Outcome.PASS, sentence, evidence)


def _problem(step: Step, fits: Callable[[list[str]], bool]) -> Message | None:
    name = str(step["step"])
    if step["raised"] is not None:
        return say("{step}: the release raised {error}.", step=name, error=str(step["raised"]))
    negative = [count for counts in step["counts"] for count in counts.values() if count < 0]
    if negative:
        return say("{step}: a count fell to {count}.", step=name, count=min(negative))
    if not fits(list(step["there"])):
        return say(
            "{step}: the files that were left after each release are {files}.",
            step=name,
            files=", ".join(step["there"]),
        )
    loud = [level for level in step["levels"] if level not in ("DEBUG", "INFO")]
    if loud:
        return say("{step}: something was logged at level {level}.", step=name, level=loud[0])
    return None


# Each step of the driver, and which files may be there after each of its releases: a, b and c in the beginning. Where counts are
# too low by themselves, whether the file goes is left to the target: only that the count stays in its bounds is asked.
EXPECTED: Mapping[str, Callable[[list[str]], bool]] = MappingProxyType(
    {
        "in order": lambda there: there == ["bc", ""],
        "a tile twice": lambda there: there == ["abc", "abc"],
        "a tile that was never registered": lambda there: there == ["abc"],
        "one release too many": lambda there: there == ["c", "c"],
        "a count that is zero already": lambda there: len(there) == 1 and "c" in there[0],
        "a missing file": lambda there: there == ["c"],
        "a file that can't be removed": lambda there: there == ["ac"],
    }
)
