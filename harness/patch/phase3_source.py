"""Find Phase 3 and its release of caches in a program's source, by what the code does rather than by names of functions.

Phase 3 is the place that submits tiles to a pool and collects their results in a loop. A *release* is the removal of a file under
a comparison of a name of retention with ``"per_tile"``, in the same function as the pool. A count guards the release when the
removing function first subtracts 1 from an item of a mapping and tests it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from types import UnionType

from harness.patch.retention_only import STRICT, names_of, words_of
from harness.patch.statement_diff import Functions, line_of

POLICY = "per_tile"
_LOUD = frozenset({"warning", "warn", "error", "exception", "critical", "info"})
_NORMAL = frozenset({"abspath", "absolute", "normcase", "normpath", "realpath", "resolve"})
_ENDS = (ast.Continue, ast.Return, ast.Break, ast.Raise)


@dataclass(frozen=True, slots=True)
class Release:
    """The removal of a file under ``per_tile``, in ``line`` of ``function``.

    ``counts`` is the mapping whose items are counted down before the removal, empty where no count guards it; ``clamped``: the
    count is kept from going below zero. ``quiet``: a failed removal is caught and logged at DEBUG; ``None`` without a handler.
    ``collected`` is the line of the loop over finished tiles that calls the function; 0 without such a loop.
    """

    line: int
    function: str
    counts: str
    clamped: bool
    quiet: bool | None
    collected: int


@dataclass(frozen=True, slots=True)
class Phase3:
    """One place that makes master tiles in a pool.

    ``pool``, ``submit`` and ``collect`` are the lines of the pool, of the first submission, and of the loop that takes the
    results; 0 for a missing one. ``policy`` holds the lines that compare the retention with ``per_tile``, ``releases`` the
    removals under that comparison.

    ``registered`` is the line that counts the references of all groups before the first submission; 0 without one. ``sets`` is
    the mapping from tile to its set of paths; empty without one. ``once``: the references are counted in a loop over that set,
    each path once. ``normalised``: a function normalises the paths of that set.
    """

    file: str
    function: str
    pool: int
    submit: int
    collect: int
    policy: tuple[int, ...]
    releases: tuple[Release, ...]
    registered: int
    sets: str
    once: bool
    normalised: bool


def phases(files: Mapping[str, ast.Module]) -> tuple[Phase3, ...]:
    """Return every place of a program that makes master tiles in a pool."""
    functions = ((path, function) for path, tree in files.items() for function in _functions(tree))
    return tuple(place for path, function in functions if (place := _Place(path, function).phase3) is not None)


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the functions of a module and the methods of its classes."""
    for node in tree.body:
        yield from (n for n in (node.body if isinstance(node, ast.ClassDef) else [node]) if isinstance(n, Functions))


class _Place:
    """One function that may contain Phase 3."""

    def __init__(self, path: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._path = path
        self._root = function

    @cached_property
    def _parents(self) -> dict[ast.AST, ast.AST]:
        return {child: node for node in ast.walk(self._root) for child in ast.iter_child_nodes(node)}

    @cached_property
    def _calls(self) -> tuple[ast.Call, ...]:
        return tuple(sorted((n for n in ast.walk(self._root) if isinstance(n, ast.Call)), key=lambda n: n.lineno))

    @cached_property
    def _functions(self) -> dict[str, ast.AST]:
        return {n.name: n for n in ast.walk(self._root) if isinstance(n, Functions)}

    @cached_property
    def phase3(self) -> Phase3 | None:
        submit = next((call for call in self._calls if _submits_tile(call)), None)
        if submit is None:
            return None
        pools = [
            c.lineno for c in self._calls if last_name(c.func).endswith("PoolExecutor") and c.lineno < submit.lineno
        ]
        counts = {release.counts for release in self._releases if release.counts}
        registers = {name for name, function in self._functions.items() if _counts_up(function, counts)}
        sets, once, normalised = self._sets(registers, counts)
        return Phase3(
            file=self._path,
            function=self._root.name,
            pool=max(pools, default=0),
            submit=submit.lineno,
            collect=line_of(self._collect) if self._collect is not None else 0,
            policy=tuple(sorted({line_of(n) for n in ast.walk(self._root) if _is_policy(n, ast.Eq | ast.NotEq)})),
            releases=self._releases,
            registered=self._registered(registers, submit),
            sets=sets,
            once=once,
            normalised=normalised,
        )

    @cached_property
    def _collect(self) -> ast.AST | None:
        """The loop that takes the results of tiles: the first after the first submission."""
        first = next(call.lineno for call in self._calls if _submits_tile(call))
        results = (c for c in self._calls if c.lineno > first and last_name(c.func) == "result" and not c.args)
        return next(filter(None, (self._loop_around(call) for call in results)), None)

    def _loop_around(self, node: ast.AST) -> ast.AST | None:
        return next((a for a in self._above(node) if isinstance(a, ast.For | ast.While)), None)

    def _above(self, node: ast.AST, stop: ast.AST | None = None) -> Iterator[ast.AST]:
        while node is not self._root and node is not stop:
            node = self._parents[node]
            yield node

    def _function_of(self, node: ast.AST) -> ast.AST:
        return next(a for a in self._above(node) if isinstance(a, Functions))

    # ---- releases ----

    @cached_property
    def _releases(self) -> tuple[Release, ...]:
        found = []
        for call in self._calls:
            home = self._function_of(call)
            if not _removes(call) or not (self._under_policy(call) or self._reached_under_policy(home)):
                continue
            counts = self._guard(call, home)
            found.append(
                Release(
                    line=call.lineno,
                    function=getattr(home, "name", ""),
                    counts=counts,
                    clamped=bool(counts) and self._clamped(home, counts),
                    quiet=self._quiet(call, home),
                    collected=self._collected(call, home),
                )
            )
        return tuple(found)

    def _under_policy(self, node: ast.AST) -> bool:
        return any(
            isinstance(above, ast.If) and inner in above.body and any(map(_is_policy, ast.walk(above.test)))
            for inner, above in pairwise((node, *self._above(node)))
        )

    def _reached_under_policy(self, function: ast.AST) -> bool:
        """Return whether an inner function returns at once without the policy, or is called under it."""
        if function is self._root:
            return False
        tests = (n.test for n in getattr(function, "body", ()) if isinstance(n, ast.If) and _ends(n))
        if any(_is_policy(node, ast.NotEq) for test in tests for node in ast.walk(test)):
            return True
        return any(self._under_policy(call) for call in self._calls_of(function))

    def _calls_of(self, function: ast.AST) -> list[ast.Call]:
        return [c for c in self._calls if isinstance(c.func, ast.Name) and c.func.id == getattr(function, "name", "")]

    def _collected(self, call: ast.Call, home: ast.AST) -> int:
        places: list[ast.AST] = [call] if home is self._root else [*self._calls_of(home)]
        collect = self._collect
        return line_of(collect) if collect and any(collect in self._above(place) for place in places) else 0

    def _guard(self, call: ast.Call, home: ast.AST) -> str:
        """Return the mapping whose item is counted down before a removal and tested in between."""
        for name, down in _steps(home, ast.Sub):
            if down.lineno < call.lineno and any(
                _tests_count(test, self._aliases(home, name))
                for test in self._tests_before(call, home)
                if test.lineno >= down.lineno
            ):
                return name
        return ""

    def _aliases(self, home: ast.AST, name: str) -> frozenset[str]:
        """Return a mapping's name, and the names that hold an item of it."""
        reads = (n for n in ast.walk(home) if isinstance(n, ast.Assign | ast.NamedExpr) and _mentions(n.value, {name}))
        targets = (t for n in reads for t in (n.targets if isinstance(n, ast.Assign) else [n.target]))
        return frozenset({name, *(t.id for t in targets if isinstance(t, ast.Name))})

    def _tests_before(self, node: ast.AST, home: ast.AST) -> Iterator[ast.expr]:
        """Yield the conditions that decide on a node: those around it, and earlier ones that leave the block."""
        for inner, above in pairwise((node, *self._above(node, home))):
            if isinstance(above, ast.If) and inner in above.body:
                yield above.test
            for block in (getattr(above, name, ()) for name in ("body", "orelse", "finalbody")):
                if isinstance(block, list) and inner in block:
                    earlier = block[: block.index(inner)]
                    yield from (n.test for n in earlier if isinstance(n, ast.If) and _ends(n))

    def _clamped(self, home: ast.AST, name: str) -> bool:
        """Return whether each decrement is bounded: by ``max``, by an earlier test that leaves the block, or by an assertion."""
        aliases = self._aliases(home, name)
        for counted, down in _steps(home, ast.Sub):
            if counted != name:
                continue
            bounded = "max" in _called(down)
            tested = any(_tests_count(test, aliases) for test in self._tests_before(down, home))
            asserted = any(
                isinstance(n, ast.Assert) and _tests_count(n.test, aliases) and abs(n.lineno - down.lineno) <= 3
                for n in ast.walk(home)
            )
            if not (bounded or tested or asserted):
                return False
        return True

    def _quiet(self, call: ast.Call, home: ast.AST) -> bool | None:
        for inner, above in pairwise((call, *self._above(call, home))):
            if isinstance(above, ast.Try) and inner in above.body:
                caught = [h for h in above.handlers if _catches_os_error(h)]
                if caught:
                    return all(map(_tells_quietly, caught))
        return None

    # ---- the counting ----

    def _registered(self, registers: set[str], submit: ast.Call) -> int:
        """Return the line where a loop counts every group before the loop of the first submission; 0 without one."""
        home = self._function_of(submit)
        submits = [submit] if home is self._root else self._calls_of(home)
        loops = [loop for loop in map(self._loop_around, submits) if loop is not None]
        first = min((line_of(loop) for loop in loops), default=0)
        for call in self._calls:
            loop = self._loop_around(call)
            inside = self._function_of(call) is self._root
            if isinstance(call.func, ast.Name) and call.func.id in registers and loop is not None and inside:
                return call.lineno if first and line_of(loop) < first else 0
        return 0

    def _sets(self, registers: set[str], counts: set[str]) -> tuple[str, bool, bool]:
        """Return the mapping from tile to set of paths, whether that set is what is counted, and whether it is normalised."""
        for function in (self._functions[name] for name in sorted(registers)):
            made = {name: value for name, value in _assignments(function) if _is_set(value)}
            for node in ast.walk(function):
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
                    value = node.value.id if isinstance(node.value, ast.Name) else ""
                    if value in made:
                        once = all(
                            isinstance(loop, ast.For) and last_name(loop.iter) == value
                            for name, step in _steps(function, ast.Add)
                            if name in counts
                            for loop in [self._loop_around(step)]
                        )
                        return last_name(node.targets[0].value), once, self._normalises(function, value, made[value])
        return "", False, False

    def _normalises(self, function: ast.AST, name: str, made: ast.expr) -> bool:
        """Return whether every element of a set comes from a function that normalises paths."""
        calls = [n for n in ast.walk(function) if isinstance(n, ast.Call) and last_name(n.func) == "add" and n.args]
        added = [c.args[0] for c in calls if isinstance(c.func, ast.Attribute) and last_name(c.func.value) == name]
        if isinstance(made, ast.SetComp):
            added.append(made.elt)
        values = dict(_assignments(function))
        return bool(added) and all(
            self._is_normal(values.get(a.id, a) if isinstance(a, ast.Name) else a) for a in added
        )

    def _is_normal(self, value: ast.expr) -> bool:
        names = _called(value)
        within = (self._functions[name] for name in names if name in self._functions)
        return any(not _NORMAL.isdisjoint(found) for found in (names, *map(_called, within)))


def last_name(node: ast.expr) -> str:
    """Return the last part of a dotted name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _called(node: ast.AST) -> set[str]:
    return {last_name(n.func) for n in ast.walk(node) if isinstance(n, ast.Call)}


def _mentions(node: ast.AST, names: set[str] | frozenset[str]) -> bool:
    return any(isinstance(n, ast.Name) and n.id in names for n in ast.walk(node))


def _submits_tile(call: ast.Call) -> bool:
    return (
        last_name(call.func) == "submit" and bool(call.args) and {"master", "tile"} <= words_of(last_name(call.args[0]))
    )


def _is_policy(node: ast.AST, operator: type[ast.cmpop] | UnionType = ast.Eq) -> bool:
    """Return whether a node compares a name of retention with the policy."""
    if not isinstance(node, ast.Compare) or len(node.ops) != 1 or not isinstance(node.ops[0], operator):
        return False
    sides = [node.left, *node.comparators]
    return any(isinstance(s, ast.Constant) and s.value == POLICY for s in sides) and any(
        words_of(name) & STRICT for side in sides for name in names_of(side)
    )


def _removes(call: ast.Call) -> bool:
    name = last_name(call.func)
    if not isinstance(call.func, ast.Attribute):
        return False
    return name == "unlink" or (name == "remove" and last_name(call.func.value) == "os")


def _ends(node: ast.If) -> bool:
    return isinstance(node.body[-1], _ENDS)


def _steps(function: ast.AST, operator: type[ast.operator]) -> Iterator[tuple[str, ast.stmt]]:
    """Yield each mapping whose items a function counts up or down by one, with the statement."""
    for node in ast.walk(function):
        if isinstance(node, ast.AugAssign) and isinstance(node.op, operator) and isinstance(node.target, ast.Subscript):
            yield last_name(node.target.value), node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            steps = (n for n in ast.walk(node.value) if isinstance(n, ast.BinOp) and isinstance(n.op, operator))
            if any(isinstance(n.right, ast.Constant) and n.right.value == 1 for n in steps):
                yield last_name(node.targets[0].value), node


def _counts_up(function: ast.AST, counts: set[str]) -> bool:
    """Return whether a function itself, apart from inner functions, counts up an item of one of these mappings."""
    inner = {n for f in ast.walk(function) if isinstance(f, Functions) and f is not function for n in ast.walk(f)}
    return any(name in counts and step not in inner for name, step in _steps(function, ast.Add))


def _tests_count(test: ast.expr, aliases: frozenset[str]) -> bool:
    """Return whether a condition compares a count, or a name that holds one, with 0 or 1, or tests its truth."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _tests_count(test.operand, aliases)
    if isinstance(test, ast.BoolOp):
        return any(_tests_count(value, aliases) for value in test.values)
    if isinstance(test, ast.Compare):
        numbers = any(isinstance(c, ast.Constant) and c.value in (0, 1) for c in [test.left, *test.comparators])
        return numbers and _mentions(test, aliases)
    return _mentions(test, aliases)


def _catches_os_error(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    names = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(last_name(n) in {"OSError", "IOError", "Exception", "BaseException"} for n in names)


def _tells_quietly(handler: ast.ExceptHandler) -> bool:
    """Return whether a handler logs at DEBUG only and goes on."""
    logged = _called(handler) & (_LOUD | {"debug"})
    goes_on = not any(isinstance(n, ast.Raise | ast.Return | ast.Break) for n in ast.walk(handler))
    return logged == {"debug"} and goes_on


def _assignments(function: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value


def _is_set(node: ast.expr) -> bool:
    return isinstance(node, ast.Set | ast.SetComp) or (isinstance(node, ast.Call) and last_name(node.func) == "set")
