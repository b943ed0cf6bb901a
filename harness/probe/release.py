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
import time
from types import CellType, CodeType, FunctionType
from typing import Any, Callable, Iterator, NamedTuple, Optional

HERE = os.path.dirname(os.path.abspath(__file__))
FORMAT = "phase3-release/1"
# The role of a variable that a function closes over, by a word in its name.
ROLES = (("counts", "count"), ("mode", "retention"), ("paths", "paths"))
# ZeMosaic's function that contains Phase 3 of the classic mode, in every version that has tiles.
WITHIN = "run_hierarchical_mosaic_classic_legacy"
LOGGER = "phase3.release"


class Lifted(NamedTuple):
    """A release function with its own tables. Called with a tile's number, it decrements counts and removes unused files."""

    release: Callable[[int], Any]
    counts: dict[Any, int]
    register: Callable[[int, "list[str]"], None]
    logger: logging.Logger


class Growing(NamedTuple):
    """The target's own registration and release with new tables: ``register`` takes a tile's number and its cache paths."""

    register: Callable[[int, "list[str]"], Any]
    release: Callable[[int], Any]
    logger: logging.Logger
    name: str


Lift = Callable[[], Lifted]
Grow = Callable[[], Growing]
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
    outcome: dict[str, Any] = {"format": FORMAT, "function": function, "looked_at": looked_at, "steps": steps}
    outcome["growth"] = measured(lambda: GROWERS[asked["release"]](asked))
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


def growing_reference(asked: dict[str, Any]) -> Grow:
    """Return a function that makes the reference's registration and release, with the target's defects."""
    parts = importlib.import_module("fixtures.pipeline.defects").parts("per_tile", frozenset(asked["defects"]))
    module = importlib.import_module("fixtures.pipeline.retention")
    pathlib = importlib.import_module("pathlib")

    def grow() -> Growing:
        policy = parts.policy("per_tile")
        return Growing(
            lambda tile, paths: policy.register(tile, [pathlib.Path(path) for path in paths]),
            lambda tile: policy.release(tile, made=True),
            module.LOG,
            type(policy).__name__,
        )

    return grow


def growing_zemosaic(_asked: dict[str, Any]) -> Grow:
    """Return a function that makes ZeMosaic's registration and release. Raises ``LookupError`` if a version has none."""
    worker = importlib.import_module("zemosaic_worker")
    outer = getattr(worker, WITHIN, None)
    codes = [] if outer is None else list(within(inspect.unwrap(outer).__code__))
    release = next((c for c in codes if "unlink" in c.co_names and roles_of(c) is not None), None)
    register = next((c for c in codes if _registers(c)), None)
    if release is None or register is None:
        raise LookupError(f"no registration and release that count were found within {WITHIN}")
    loggers = {name for name, value in vars(worker).items() if isinstance(value, logging.Logger)}

    def grow() -> Growing:
        logger = logging.getLogger(LOGGER)
        names = {**vars(worker), **dict.fromkeys(loggers, logger)}
        tables: dict[str, CellType] = {}

        def made(code: CodeType) -> FunctionType:
            return FunctionType(code, names, code.co_name, None, tuple(cell(name) for name in code.co_freevars))

        def cell(name: str) -> CellType:
            if name not in tables:
                role = next((r for r, word in ROLES if word in name), "")
                nested = next((c for c in codes if c.co_name == name), None)
                if nested is not None:
                    tables[name] = CellType(made(nested))
                else:
                    tables[name] = CellType({"counts": {}, "paths": {}, "mode": "per_tile"}.get(role, False))
            return tables[name]

        registering, releasing = made(register), made(release)

        def entries(paths: list[str]) -> list[dict[str, str]]:
            return [{"path_preprocessed_cache": path, "path_raw": path} for path in paths]

        name = f"{register.co_name}, {release.co_name}"
        return Growing(lambda tile, paths: registering(tile, entries(paths)), releasing, logger, name)

    return grow


GROWERS: dict[str, Callable[[dict[str, Any]], Grow]] = {"policy": growing_reference, "closure": growing_zemosaic}
# The tiles of each size, and the caches of a tile; it shares half of them with the next tile.
LINES_OF = (64, 128, 256, 512)
SECONDS_OF = (512, 1024, 2048)
CACHES = 4


def measured(find: Callable[[], Grow]) -> dict[str, Any]:
    """Measure how the work of registration and release grows with the number of tiles, without a run.

    The lines that are executed are counted, with all that they call: this is the same on every machine and under any load. What a
    built-in function does within one line is seen by the CPU time of this thread alone.
    """
    try:
        grow = find()
        found: dict[str, Any] = {"name": grow().name, "lines": [], "seconds": []}
        for tiles in LINES_OF:
            found["lines"].append(_worked(grow(), tiles, _lines))
        for tiles in SECONDS_OF:
            # The shortest of a few: any disturbance makes it longer.
            several = [_worked(grow(), tiles, _seconds) for _ in range(3)]
            found["seconds"].append({key: min(one[key] for one in several) for key in several[0]})
    except Exception as error:  # noqa: BLE001 -- any exception of the target's functions is the outcome
        return {"problem": f"{type(error).__name__}: {error}"}
    return found


def _worked(growing: Growing, tiles: int, count: Callable[[Callable[[], None]], float]) -> dict[str, Any]:
    growing.logger.propagate = False
    growing.logger.setLevel(logging.CRITICAL)
    groups = [[f"/no/such/folder/preprocessed_{n * CACHES // 2 + k}.npy" for k in range(CACHES)] for n in range(tiles)]

    def register() -> None:
        for tile, paths in enumerate(groups):
            growing.register(tile, paths)

    def release() -> None:
        for tile in range(tiles):
            growing.release(tile)

    return {"inputs": tiles * CACHES, "register": count(register), "release": count(release)}


def _lines(work: Callable[[], None]) -> float:
    """Return the number of lines that are executed."""
    found = 0

    def traced(_frame: Any, event: str, _argument: Any) -> Any:
        nonlocal found
        found += event == "line"
        return traced

    before = sys.gettrace()
    sys.settrace(traced)
    try:
        work()
    finally:
        sys.settrace(before)
    return found


def _seconds(work: Callable[[], None]) -> float:
    """Return the CPU time of this thread."""
    begun = time.thread_time()
    work()
    return time.thread_time() - begun


def _registers(code: CodeType) -> bool:
    """Return whether a function takes a tile and its frames, and counts their caches in the tables that a release closes over."""
    roles = [role for name in code.co_freevars for role, word in ROLES if word in name]
    return code.co_argcount == 2 and {"counts", "paths"} <= set(roles) and "unlink" not in code.co_names


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
        found = [role for role, word in ROLES if word in name]
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
