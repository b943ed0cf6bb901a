"""Call the target's release of caches without a run: ``PYTHON -P release.py FOLDER``, in the target's own interpreter.

No run can make a use count negative, because the target registers and releases tiles in pairs. So the release function is
taken out of the target and called with tables of its own, in which a tile is released once too often. In ZeMosaic it is a
nested function. Its code is recognised by what it does (it takes one argument and unlinks) and by the variables that it
closes over (a table of counts, a table of paths). It gets tables and files in FOLDER. If a version has no such function,
the functions that were examined are written instead. The target is not changed, and no mosaic is made.
"""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import os
import sys
from types import CellType, CodeType, FunctionType
from typing import Any, Callable, Iterator, NamedTuple, Optional

HERE = os.path.dirname(os.path.abspath(__file__))
FORMAT = "phase3-release/1"
# ZeMosaic's function that contains Phase 3 of the classic mode, in every version that has tiles.
WITHIN = "run_hierarchical_mosaic_classic_legacy"
LOGGER = "phase3.release"


class Lifted(NamedTuple):
    """A release function with its own tables. Called with a tile's number, it decrements counts and removes unused files."""

    release: Callable[[int], Any]
    counts: dict[Any, int]
    register: Callable[[int, "list[str]"], None]
    logger: logging.Logger


Lift = Callable[[], Lifted]
# The lift and the name of the release; without a release, the names of the functions that were looked at.
Found = tuple[Optional[Lift], Optional[str], list[str]]


def main(arguments: list[str]) -> int:
    """Call the release that ``request.json`` in a folder names, and write the outcome to ``release.json`` in that folder."""
    if len(arguments) != 1:
        sys.stderr.write("expected one argument, a folder with a request.json\n")
        return 2
    folder = os.path.abspath(arguments[0])
    # This folder has modules named like those of targets: on the path, the target would import them instead of its own.
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != HERE]
    with open(os.path.join(folder, "request.json"), encoding="utf-8") as stream:
        asked = json.load(stream)
    sys.path.insert(0, asked["root"])
    lift, function, looked_at = FINDERS[asked["release"]](asked)
    steps = [] if lift is None else list(driven(lift, folder))
    outcome = {"format": FORMAT, "function": function, "looked_at": looked_at, "steps": steps}
    with open(os.path.join(folder, "release.json"), "w", encoding="utf-8") as stream:
        json.dump(outcome, stream, indent=1)
    return 0


def of_reference(asked: dict[str, Any]) -> Found:
    """Return a function that makes the reference's release with the target's defects, its name, and what else was examined."""
    # Imported by name: this is the target's own process, and the pipeline is the target. No room of the harness depends on it.
    parts = importlib.import_module("fixtures.pipeline.defects").parts("per_tile", frozenset(asked["defects"]))
    module = importlib.import_module("fixtures.pipeline.retention")
    pathlib = importlib.import_module("pathlib")
    name = type(parts.policy("per_tile")).__name__
    if not issubclass(type(parts.policy("per_tile")), module.ReferenceCounted):
        return None, None, [f"{name}, which counts nothing"]

    def lift() -> Lifted:
        policy = parts.policy("per_tile")
        return Lifted(
            lambda tile: policy.release(tile, made=True),
            policy._counts,  # noqa: SLF001 -- the steps change the counts
            lambda tile, paths: policy.register(tile, [pathlib.Path(path) for path in paths]),
            module.LOG,
        )

    return lift, f"{name}.release", []


def of_zemosaic(_asked: dict[str, Any]) -> Found:
    """Return a function that makes ZeMosaic's release and its name; without one, the functions that were examined."""
    worker = importlib.import_module("zemosaic_worker")
    outer = getattr(worker, WITHIN, None)
    if outer is None:
        return None, None, [f"zemosaic_worker has no {WITHIN}"]
    looked_at = []
    for code in within(inspect.unwrap(outer).__code__):
        if "unlink" not in code.co_names:
            continue
        arguments = ", ".join(code.co_varnames[: code.co_argcount])
        name = f"{code.co_name}({arguments}) with {', '.join(code.co_freevars) or 'nothing'}"
        looked_at.append(name)
        roles = roles_of(code)
        if roles is not None:
            return lifting(code, roles, vars(worker)), name, []
    return None, None, looked_at or [f"no function within {WITHIN} removes a file"]


# How a kind of target names its release in the table of kinds.
FINDERS: dict[str, Callable[[dict[str, Any]], Found]] = {"policy": of_reference, "closure": of_zemosaic}


def within(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of every function nested in a function, at any depth."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from within(constant)


def roles_of(code: CodeType) -> Optional[dict[str, str]]:
    """Return the role of each variable that a function closes over; ``None`` if it is not a counting release."""
    if code.co_argcount != 1 or code.co_kwonlyargcount:
        return None
    roles = {}
    for name in code.co_freevars:
        found = [
            role for role, word in (("counts", "count"), ("mode", "retention"), ("paths", "paths")) if word in name
        ]
        if len(found) != 1:
            return None
        roles[name] = found[0]
    taken = sorted(roles.values())
    return roles if taken in (["counts", "mode", "paths"], ["counts", "paths"]) else None


def lifting(code: CodeType, roles: dict[str, str], names: dict[str, Any]) -> Lift:
    """Return a function that makes a release from this code, with new tables and a private logger."""
    loggers = {name for name in code.co_names if isinstance(names.get(name), logging.Logger)}

    def lift() -> Lifted:
        counts: dict[str, int] = {}
        paths: dict[int, set[str]] = {}
        given = {"counts": counts, "paths": paths, "mode": "per_tile"}
        logger = logging.getLogger(LOGGER)
        known = {**names, **dict.fromkeys(loggers, logger)}
        cells = tuple(CellType(given[roles[name]]) for name in code.co_freevars)

        def register(tile: int, named: list[str]) -> None:
            paths[tile] = set(named)
            for path in paths[tile]:
                counts[path] = counts.get(path, 0) + 1

        return Lifted(FunctionType(code, known, code.co_name, None, cells), counts, register, logger)

    return lift


def driven(lift: Lift, folder: str) -> Iterator[dict[str, Any]]:
    """Call a new release for each step, and yield the outcomes."""
    for name, tiles, less, calls, lacks in (
        ("in order", ["ab", "bc"], "", (0, 1), ""),
        ("a tile twice", ["ab", "ab"], "", (0, 0), ""),
        ("a tile that was never registered", ["ab"], "", (7,), ""),
        ("one release too many", ["ab", "a"], "a", (0, 1), ""),
        ("a count that is zero already", ["ab"], "ab", (0,), ""),
        ("a missing file", ["ab"], "", (0,), "a"),
        ("a file that can't be removed", ["ab"], "", (0,), "A"),
    ):
        yield step(lift(), os.path.join(folder, name.replace(" ", "-")), name, (tiles, less, calls, lacks))


def step(
    lifted: Lifted, folder: str, name: str, asked: "tuple[list[str], str, tuple[int, ...], str]"
) -> dict[str, Any]:
    """Register tiles, lower some counts, release tiles, and return the outcome.

    ``asked`` has the tiles, each as the letters of its files; the letters whose counts are lowered by one; the tiles to
    release; and the file that is missing. A capital letter makes a folder in the place of that file, which can't be unlinked.
    """
    tiles, less, calls, lacks = asked
    os.makedirs(folder)
    places = {letter: os.path.join(os.path.realpath(folder), f"preprocessed_{letter}.npy") for letter in "abc"}
    for letter, path in places.items():
        if letter.upper() == lacks:
            os.mkdir(path)
        elif letter != lacks:
            with open(path, "wb") as stream:
                stream.write(b"x")
    for tile, letters in enumerate(tiles):
        lifted.register(tile, [places[letter] for letter in letters])
    keys = {
        letter: key
        for letter, path in places.items()
        for key in lifted.counts
        if os.path.normcase(path) == os.path.normcase(str(key))
    }
    for letter in less:
        lifted.counts[keys[letter]] -= 1
    heard = _Heard()
    lifted.logger.propagate = False
    lifted.logger.setLevel(logging.DEBUG)
    lifted.logger.addHandler(heard)
    raised = None
    there, counts = [], []
    try:
        for tile in calls:
            lifted.release(tile)
            there.append("".join(letter for letter, path in places.items() if os.path.exists(path)))
            counts.append({letter: lifted.counts.get(key, 0) for letter, key in keys.items()})
    except Exception as error:  # noqa: BLE001 -- any exception of the release is its outcome
        raised = f"{type(error).__name__}: {error}"
    finally:
        lifted.logger.removeHandler(heard)
    return {"step": name, "raised": raised, "there": there, "counts": counts, "levels": sorted(heard.levels)}


class _Heard(logging.Handler):
    """Collect the levels of the log records of a release."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.levels: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.levels.add(record.levelname)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
