"""Decide whether a changed statement is cache retention only, from the syntax trees of both versions.

A changed statement is *cache retention* when it has no other effect and is connected with retention.

**No other effect.** It writes only names of the change (which no unchanged statement uses), names with a word of retention or
reference counting, or names that unchanged code writes again before unchanged code reads them. It calls only functions and
classes of the change, builtins that compute, path operations, the removal of a file that names of retention or of the change lead
to, methods of containers of the change, and log calls or events. It does not leave a function or loop outside the change, and
raises nothing. It is not a header that decides on unchanged statements, unless every name in that header belongs to retention.

**Connected.** It names something of retention (``cache``, ``retention``, ``refcount`` as a word of a name, a key or a text, or
a name of the change with a value from such a name), it is below a condition or in a function of the change that does, or it
contains such statements.

Anything else is reported with its reason. The rule errs on the safe side: a person sees an honest change of retention that the
rule does not understand, and a change of something else does not pass. `docs/limitations.md` lists what the rule can't see.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from harness.language.message import Message, say
from harness.patch.statement_diff import Block, Change, Functions, Place, blocks_of, changes, header, held_by, line_of

WORDS = frozenset({"cache", "caches", "cached", "retention", "refcount", "refcounts"})
STRICT = frozenset({"retention", "refcount", "refcounts"})


def _these(words: str) -> frozenset[str]:
    return frozenset(words.split())


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_COMPUTES = _these(
    "abs all any bool bytes dict divmod enumerate filter float frozenset getattr hasattr hash int "
    "isinstance issubclass iter len list map max min next range repr reversed round set sorted str sum "
    "tuple type zip"
)
_CREATES = frozenset({"Path", "PurePath", "Counter", "defaultdict", "OrderedDict", "Lock", "RLock"})
_READS = _these(
    "absolute as_posix copy count difference elements endswith exists expanduser format get index "
    "intersection is_file items join keys lower most_common resolve split startswith stat strip total "
    "union upper values"
)
_FILLS = _these(
    "add append clear difference_update discard extend insert pop popitem remove setdefault subtract update"
)
_REMOVES = frozenset({"remove", "unlink"})
_LOGS = frozenset({"critical", "debug", "error", "exception", "info", "log", "warning"})
_MODULES = frozenset({"os", "pathlib", "posixpath", "ntpath"})
_ASKS = _these("abspath basename dirname fsdecode fspath getsize isfile lstat normcase normpath realpath samefile")


@dataclass(frozen=True, slots=True)
class Touched:
    """A changed statement, and what makes it more than cache retention.

    ``why`` holds a sentence for each effect beyond cache retention; it is empty where the statement is cache retention only.
    ``names`` are the names, attributes and texts in the statement, ``below`` those in the conditions around it.
    """

    change: Change
    why: tuple[Message, ...]
    names: frozenset[str]
    below: frozenset[str]


def touched(before: ast.Module, after: ast.Module) -> tuple[Touched, ...]:
    """Judge every statement that differs between two versions of a file."""
    found = changes(before, after)
    versions = {
        "removed": _Version(before, tuple(c for c in found if c.side == "removed")),
        "added": _Version(after, tuple(c for c in found if c.side == "added")),
    }
    return tuple(
        Touched(
            change,
            tuple(versions[change.side].why(change)),
            names_of(change.node),
            frozenset().union(*(names_of(place.node) for place in change.around if _decides(place))),
        )
        for change in found
    )


def words_of(text: str) -> frozenset[str]:
    """Return the words of a name or text, in lower case."""
    return frozenset(word.lower() for word in _WORD.findall(text))


def names_of(node: ast.AST) -> frozenset[str]:
    """Return the names, attributes, arguments and texts in a statement's header."""
    found: set[str] = set()
    for inner in header(node):
        values = [getattr(inner, field, None) for field in ("id", "attr", "arg", "name", "value")]
        found |= {text for text in (*values, *getattr(inner, "names", ())) if isinstance(text, str)}
    return frozenset(found)


def _decides(place: Place) -> bool:
    return isinstance(place.node, ast.If | ast.While) and place.block in {"body", "orelse"}


def _speaks(node: ast.AST, words: frozenset[str] = WORDS) -> bool:
    return any(words_of(name) & words for name in names_of(node))


class _Version:
    """One of the two versions, with the statements that the other lacks."""

    def __init__(self, tree: ast.Module, found: tuple[Change, ...]) -> None:
        self._tree = tree
        self._changes = found
        self._of = {change.node: change for change in found}
        self._changed = frozenset(self._of)
        self._spoken: dict[ast.AST, bool] = {}
        self._declared: dict[ast.AST, frozenset[str]] = {}
        self._bindings: dict[ast.AST, frozenset[str]] = {}
        self._used: dict[ast.AST, frozenset[str]] = {}

    # ---- connected with retention ----

    @cached_property
    def _retention(self) -> frozenset[tuple[ast.AST, str]]:
        """The change's own names, with their scope, whose value comes from something of retention, to a fixed point.

        Functions of the change that such a statement calls are included.
        """
        known: set[tuple[ast.AST, str]] = set()
        held = {c: self._held_names(c) for c in self._changes}
        own = {c: frozenset(n for n in self._gives(c) if self._own(n[1], c)) for c in self._changes}
        left = list(self._changes)
        while True:
            found = [c for c in left if own[c] and (self._has_word(c.node) or held[c] & known)]
            if not found:
                return frozenset(known)
            left = [c for c in left if c not in found]
            known = known.union(*(own[c] for c in found))

    def _gives(self, change: Change) -> Iterator[tuple[ast.AST, str]]:
        """Yield the names that a statement writes and the functions of the change that it calls, each with its scope."""
        calls = (n.func.id for n in header(change.node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name))
        for name in {*_written(change.node), *(name for name in calls if name in self._defined_by_change)}:
            yield self._home(name, change), name

    def _held_names(self, change: Change) -> frozenset[tuple[ast.AST, str]]:
        return frozenset((self._home(name, change), name) for name in _identifiers(change.node))

    def _names_retention(self, node: Block) -> bool:
        return self._has_word(node) or bool(self._held_names(self._of[node]) & self._retention)

    def _has_word(self, node: ast.AST) -> bool:
        if node not in self._spoken:
            self._spoken[node] = _speaks(node)
        return self._spoken[node]

    def _connected(self, change: Change) -> bool:
        nodes = (change.node, *(node for node in held_by(change.node) if node in self._changed))
        return any(map(self._names_retention, nodes)) or any(map(self._gives_connection, change.around))

    def _gives_connection(self, place: Place) -> bool:
        node = place.node
        if isinstance(node, ast.If) and place.block == "body" and _speaks(node.test, STRICT):
            return True
        if node not in self._changed:
            return False
        if isinstance(node, Functions | ast.ClassDef):
            home = self._home(node.name, self._of[node])
            return bool(words_of(node.name) & WORDS) or (home, node.name) in self._retention
        return self._names_retention(node)

    # ---- effects on anything else ----

    def why(self, change: Change) -> Iterator[Message]:
        """Yield what makes a statement more than cache retention."""
        node = change.node
        yield from self._wrong_writes(change)
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            if not all(module.partition(".")[0] in sys.stdlib_module_names for module in modules):
                yield say("The statement imports {name}.", name=", ".join(modules))
            return
        if change.keeps and not self._speaks_throughout(change):
            yield say("The statement is a condition of statements that did not change.")
        for call in (inner for inner in header(node) if isinstance(inner, ast.Call)):
            if not self._may_call(call, change):
                yield say("The statement calls {name}.", name=_short(call.func))
        if self._leaves(change):
            yield say("The statement leaves a function or loop that is not part of the change.")
        if any(isinstance(n, ast.Raise | ast.Await | ast.Yield | ast.YieldFrom) for n in header(node)):
            yield say("The statement raises an exception, or yields control.")
        if not self._connected(change):
            yield say("The statement names nothing that belongs to cache retention.")

    def _wrong_writes(self, change: Change) -> Iterator[Message]:
        wrong = [name for name in sorted(_written(change.node)) if not self._may_write(name, change)]
        wrong += [_short(target) for target in _other_targets(change.node) if not self._may_fill(target, change)]
        for name in wrong:
            yield say("The statement writes {name}, which other code uses.", name=name)

    def _speaks_throughout(self, change: Change) -> bool:
        """Return whether a condition has names of retention only, so that it may decide on other statements."""
        names = {n.id for n in header(change.node) if isinstance(n, ast.Name)} - _COMPUTES
        test = isinstance(change.node, ast.If | ast.While)
        return test and all(words_of(n) & STRICT or self._own(n, change) for n in names)

    def _may_write(self, name: str, change: Change) -> bool:
        return bool(words_of(name) & STRICT) or self._own(name, change) or self._settled(name, change)

    def _may_fill(self, target: ast.expr, change: Change) -> bool:
        """Return whether an attribute, an item or a filled container belongs to retention or to the change."""
        while isinstance(target, ast.Subscript | ast.Starred):
            target = target.value
        if isinstance(target, ast.Attribute):
            return bool(words_of(target.attr) & STRICT) or self._is_own_instance(target.value, change)
        if isinstance(target, ast.Name):
            return bool(words_of(target.id) & STRICT) or self._own(target.id, change)
        return not isinstance(target, ast.Call) or self._may_call(target, change)

    def _is_own_instance(self, node: ast.expr, change: Change) -> bool:
        """Return whether a name is ``self`` in a class of the change."""
        classes = [p.node for p in change.around if isinstance(p.node, ast.ClassDef)]
        return isinstance(node, ast.Name) and node.id == "self" and bool(classes) and classes[-1] in self._changed

    def _may_call(self, call: ast.Call, change: Change) -> bool:
        callee = call.func
        if isinstance(callee, ast.Name):
            return self._may_call_function(callee.id, call)
        return isinstance(callee, ast.Attribute) and self._may_call_method(callee, call, change)

    def _may_call_function(self, name: str, call: ast.Call) -> bool:
        if name in _COMPUTES | _CREATES:
            return name not in self._written_by_change
        texts = [a.value for a in call.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        tells = not hasattr(builtins, name) and any(words_of(text) & WORDS for text in texts)
        return bool(words_of(name) & STRICT) or name in self._defined_by_change or tells

    def _may_call_method(self, callee: ast.Attribute, call: ast.Call, change: Change) -> bool:
        name, base = callee.attr, callee.value
        if _is_module(base) and name in _REMOVES:
            return bool(call.args) and all(self._is_cache(argument, change) for argument in call.args)
        if name == "unlink":
            return self._is_cache(base, change)
        if name in _LOGS:
            return isinstance(base, ast.Name) and "log" in base.id.lower()
        if name in _FILLS or name in self._defined_by_change:
            return self._may_fill(base, change)
        return name in _READS | _CREATES or (name in _ASKS and _is_module(base))

    def _is_cache(self, what: ast.expr, change: Change) -> bool:
        """Return whether a removed file is named by names of retention or of the change only."""
        names = {n.id for n in ast.walk(what) if isinstance(n, ast.Name)} - _COMPUTES - _CREATES - _MODULES
        return bool(names) and all(words_of(n) & WORDS or self._own(n, change) for n in names)

    @cached_property
    def _written_by_change(self) -> frozenset[str]:
        return frozenset().union(*(_written(change.node) for change in self._changes))

    @cached_property
    def _defined_by_change(self) -> frozenset[str]:
        defined = (c.node for c in self._changes if not c.keeps)
        return frozenset(node.name for node in defined if isinstance(node, Functions | ast.ClassDef))

    def _leaves(self, change: Change) -> bool:
        node = change.node
        if isinstance(node, ast.Return):
            inner = [p.node for p in change.around if isinstance(p.node, Functions)]
            return not inner or inner[-1] not in self._changed
        if isinstance(node, ast.Break | ast.Continue):
            loops = [p.node for p in change.around if isinstance(p.node, ast.For | ast.AsyncFor | ast.While)]
            return not loops or loops[-1] not in self._changed
        return False

    # ---- whose a name is ----

    def _own(self, name: str, change: Change) -> bool:
        """Return whether no unchanged statement uses a name that the change writes."""
        home = self._home(name, change)
        return home in self._changed or name not in self._uses(home)

    def _home(self, name: str, change: Change) -> ast.AST:
        """Return the scope of a name as seen from a statement: a function, else the module."""
        scopes = [p.node for p in change.around if isinstance(p.node, Functions)]
        for scope in reversed(scopes):
            if name in self._globals(scope):
                return self._tree
            if name in self._bound(scope):
                return scope
        return self._tree

    def _globals(self, scope: ast.AST) -> frozenset[str]:
        if scope not in self._declared:
            names = (node.names for node in _in_scope(scope) if isinstance(node, ast.Global))
            self._declared[scope] = frozenset().union(*names)
        return self._declared[scope]

    def _uses(self, scope: ast.AST) -> frozenset[str]:
        """Return the names of a scope that unchanged statements use, including inner functions."""
        if scope not in self._used:
            names = (_identifiers(node) for node in _in_scope(scope) if node not in self._changed)
            # The parameters of an unchanged function belong to its callers.
            given = frozenset() if scope in self._changed else _parameters(scope)
            self._used[scope] = given.union(*names, self._uses_within(scope))
        return self._used[scope]

    def _uses_within(self, scope: ast.AST) -> frozenset[str]:
        """Return the names that inner functions use without binding them."""
        inner = [node for node in _in_scope(scope) if isinstance(node, Functions)]
        return frozenset().union(*(self._uses(node) - self._bound(node) for node in inner))

    def _bound(self, scope: ast.AST) -> frozenset[str]:
        """Return the local names of a function: its parameters, and the names that its statements write."""
        if scope not in self._bindings:
            own = [*_in_scope(scope)]
            outer = {name for node in own if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names}
            self._bindings[scope] = _parameters(scope).union(*map(_written, own)) - outer
        return self._bindings[scope]

    def _settled(self, name: str, change: Change) -> bool:
        """Return whether unchanged code writes a name again between the change and each later reading."""
        home = self._home(name, change)
        if home is self._tree or name in self._uses_within(home):
            return False  # an inner function may read it at any time
        return all(self._written_before(name, path, change.line) for path in self._readings(name, home, ()))

    def _readings(self, name: str, node: ast.AST, path: tuple[_Step, ...]) -> Iterator[tuple[_Step, ...]]:
        """Yield the path to each unchanged statement of a scope that reads a name."""
        for block, held in blocks_of(node):
            for index, inner in enumerate(held):
                here = (*path, _Step(node, block, index, inner))
                if inner not in self._changed and name in _read(inner):
                    yield here
                if not isinstance(inner, Functions | ast.ClassDef):
                    yield from self._readings(name, inner, here)

    def _written_before(self, name: str, path: tuple[_Step, ...], line: int) -> bool:
        """Return whether a statement on the path to a reading certainly writes the name, with the change not between the two."""
        for step in reversed(path):
            earlier: list[Block] = getattr(step.node, step.block)[: step.at]
            stores: list[ast.AST] = [s for s in earlier if s not in self._changed and name in _stored(s)]
            loop = step.node
            if not stores and isinstance(loop, ast.For) and step.block == "body" and name in _targets(loop.target):
                stores = [loop] if loop not in self._changed else []
            if stores:
                return not line_of(stores[-1]) < line <= line_of(path[-1].inner)
        return False


class _Step(NamedTuple):
    """One block on the path from a function to a statement: the node around it, the block's name, the index in it."""

    node: ast.AST
    block: str
    at: int
    inner: Block


def _in_scope(scope: ast.AST) -> Iterator[Block]:
    """Yield the statements of a function or module, without those of inner functions."""
    for _, block in blocks_of(scope):
        for node in block:
            yield node
            if not isinstance(node, Functions):
                yield from _in_scope(node)


def _parameters(scope: ast.AST) -> frozenset[str]:
    arguments = ast.walk(scope.args) if isinstance(scope, Functions | ast.Lambda) else ()
    return frozenset(node.arg for node in arguments if isinstance(node, ast.arg))


def _inner_targets(node: ast.AST) -> frozenset[str]:
    """Return the names that are local to comprehensions and lambdas of a statement."""
    found: set[str] = set()
    for inner in header(node):
        if isinstance(inner, ast.comprehension):
            found |= _targets(inner.target)
        elif isinstance(inner, ast.Lambda):
            found |= _parameters(inner)
    return frozenset(found)


def _targets(node: ast.AST) -> frozenset[str]:
    return frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def _written(node: ast.AST) -> frozenset[str]:
    """Return the names that a statement's header binds or deletes."""
    found = {n.id for n in header(node) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    found -= _inner_targets(node)
    if isinstance(node, Functions | ast.ClassDef) or (isinstance(node, ast.ExceptHandler) and node.name):
        found.add(str(node.name))
    elif isinstance(node, ast.Import | ast.ImportFrom):
        found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    return frozenset(found)


def _identifiers(node: ast.AST) -> frozenset[str]:
    """Return the names that a statement's header reads or writes."""
    found = {n.id for n in header(node) if isinstance(n, ast.Name)} - _inner_targets(node)
    declared = node.names if isinstance(node, ast.Global | ast.Nonlocal) else ()
    return frozenset(found | _written(node) | set(declared))


def _read(node: ast.AST) -> frozenset[str]:
    """Return the names whose value a statement's header needs."""
    found = {n.id for n in header(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    found -= _inner_targets(node)
    if isinstance(node, ast.AugAssign):
        found |= _targets(node.target)
    return frozenset(found)


def _stored(node: ast.AST) -> frozenset[str]:
    """Return the names to which a statement certainly assigns a value."""
    if isinstance(node, ast.Assign):
        return frozenset().union(*map(_targets, node.targets))
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        return _targets(node.target)
    return frozenset()


def _other_targets(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the attributes and items that a statement writes or deletes."""
    for inner in header(node):
        if isinstance(inner, ast.Attribute | ast.Subscript) and not isinstance(inner.ctx, ast.Load):
            yield inner


def _is_module(node: ast.expr) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr == "path" and _is_module(node.value)
    return isinstance(node, ast.Name) and node.id in _MODULES


def _short(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else f"{text[:57]}..."
