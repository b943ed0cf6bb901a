"""Compare two versions of a program statement by statement: what was added, what was removed, and in which statements.

The relevant functions are thousands of lines long and contain every mode, so a change of one line must not count as a change
of its function. Syntax trees are compared block by block. Equal statements are matched first. Compound statements (``if``,
``for``, ``try``, a function) are then matched by their header or their content, and their blocks are compared in turn. Comments,
layout and docstrings make no difference.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

Side = Literal["added", "removed"]
# The elements of a block: statements, and the parts of a statement that have blocks of their own.
Block = ast.stmt | ast.excepthandler | ast.match_case
Functions = ast.FunctionDef | ast.AsyncFunctionDef
_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
_NO_CODE = frozenset({"type_comment", "type_ignores", "kind"})
SHARE = 0.5
"""Two compound statements count as one changed statement when they share at least this part of their content."""


@dataclass(frozen=True, slots=True)
class Place:
    """A compound statement around another statement, and the block that holds the other."""

    node: Block
    block: str


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """One statement that only one version has: the earlier one (``removed``) or the later one (``added``).

    Of a compound statement only the header counts; its content is listed as changes of its own. ``keeps`` says that the
    content has unchanged statements: the header then decides on code that is not part of the change. ``around`` holds the
    compound statements around it, from the outermost.
    """

    side: Side
    node: Block
    around: tuple[Place, ...]
    keeps: bool = False

    @property
    def function(self) -> str:
        """The qualified name of the function or class around the statement; empty at module level."""
        return ".".join(p.node.name for p in self.around if isinstance(p.node, Functions | ast.ClassDef))

    @property
    def line(self) -> int:
        """The statement's line in its version."""
        return line_of(self.node)

    @property
    def text(self) -> str:
        """The statement's first line, as unparsed from the tree."""
        return text_of(self.node)


def changes(before: ast.Module, after: ast.Module) -> tuple[Change, ...]:
    """Return every statement that was removed or added, in the order of the versions' blocks."""
    return tuple(_Comparison().blocks(before.body, after.body, (), ()))


def blocks_of(node: ast.AST) -> Iterator[tuple[str, Sequence[Block]]]:
    """Yield the blocks of a statement, with their names."""
    if isinstance(node, Block | ast.Module):
        for name in _BLOCKS:
            held = getattr(node, name, None)
            if held:
                yield name, held


def held_by(node: ast.AST) -> Iterator[Block]:
    """Yield every statement within a statement."""
    for _, block in blocks_of(node):
        for inner in block:
            yield inner
            yield from held_by(inner)


def header(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a statement's header, without the statements within it."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in _BLOCKS and isinstance(node, Block):
            continue
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, ast.AST):
                yield from ast.walk(inner)


def line_of(node: ast.AST) -> int:
    """Return the line of a node; that of a ``case`` is its pattern's."""
    return int(getattr(node, "lineno", 0) or getattr(getattr(node, "pattern", None), "lineno", 0))


def text_of(node: ast.AST) -> str:
    """Return the first line of a node's code."""
    if isinstance(node, ast.excepthandler | ast.match_case):
        what = getattr(node, "type", None) or getattr(node, "pattern", None)
        return (
            f"{'except' if isinstance(node, ast.excepthandler) else 'case'} {ast.unparse(what) if what else ''}".strip()
        )
    return ast.unparse(node).strip().partition("\n")[0]


class _Comparison:
    """A comparison of blocks that hashes every node once."""

    def __init__(self) -> None:
        self._known: dict[ast.AST, bytes] = {}
        self._held: dict[ast.AST, Counter[bytes]] = {}

    def blocks(
        self, old: Sequence[Block], new: Sequence[Block], was_in: tuple[Place, ...], is_in: tuple[Place, ...]
    ) -> Iterator[Change]:
        old, new = _code(old), _code(new)
        matcher = SequenceMatcher(None, [*map(self._hash, old)], [*map(self._hash, new)], autojunk=False)
        for tag, a, b, c, d in matcher.get_opcodes():
            if tag != "equal":
                yield from self._unequal(old[a:b], new[c:d], was_in, is_in)

    def _unequal(
        self, old: Sequence[Block], new: Sequence[Block], was_in: tuple[Place, ...], is_in: tuple[Place, ...]
    ) -> Iterator[Change]:
        pairs = self._pairs(old, new)
        for node in old:
            if node not in pairs:
                yield from _whole("removed", node, was_in)
        for node in new:
            if node not in pairs.values():
                yield from _whole("added", node, is_in)
        for before, after in pairs.items():
            if self._header(before) != self._header(after):
                shared = bool(self._below(before) & self._below(after))
                yield Change("removed", before, was_in, keeps=shared)
                yield Change("added", after, is_in, keeps=shared)
            was, now = dict(blocks_of(before)), dict(blocks_of(after))
            for name in _BLOCKS:
                inner = (*was_in, Place(before, name)), (*is_in, Place(after, name))
                yield from self.blocks(was.get(name, ()), now.get(name, ()), *inner)

    def _pairs(self, old: Sequence[Block], new: Sequence[Block]) -> dict[Block, Block]:
        """Match compound statements: by header in their order, then by content."""
        was, now = ([node for node in side if any(blocks_of(node))] for side in (old, new))
        matcher = SequenceMatcher(None, [*map(self._key, was)], [*map(self._key, now)], autojunk=False)
        found: dict[Block, Block] = {}
        for a, b, length in matcher.get_matching_blocks():
            found |= zip(was[a : a + length], now[b : b + length], strict=True)
        free = [node for node in now if node not in found.values()]
        for node in was:
            if node in found:
                continue
            best = max((n for n in free if type(n) is type(node)), key=lambda n: self._alike(node, n), default=None)
            if best is not None and self._alike(node, best) >= SHARE:
                found[node] = best
                free.remove(best)
        return found

    def _key(self, node: Block) -> tuple[str, object]:
        """Return what distinguishes two statements of one block: a name, a header, or the statement itself."""
        if isinstance(node, Functions | ast.ClassDef):
            return "named", node.name
        # All headers of ``try`` are equal: only the content distinguishes two of them.
        return type(node).__name__, node if isinstance(node, ast.Try) else self._header(node)

    def _alike(self, one: Block, other: Block) -> float:
        mine, theirs = self._below(one), self._below(other)
        return 2 * (mine & theirs).total() / max(1, mine.total() + theirs.total())

    def _below(self, node: Block) -> Counter[bytes]:
        if node not in self._held:
            self._held[node] = Counter(map(self._hash, held_by(node)))
        return self._held[node]

    def _header(self, node: Block) -> bytes:
        return self._of(node, skip=_BLOCKS)

    def _hash(self, node: ast.AST) -> bytes:
        if node not in self._known:
            self._known[node] = self._of(node)
        return self._known[node]

    def _of(self, node: ast.AST, skip: tuple[str, ...] = ()) -> bytes:
        whole = hashlib.blake2b(type(node).__name__.encode(), digest_size=16)
        for name, value in ast.iter_fields(node):
            if name in _NO_CODE or name in skip:
                continue
            whole.update(b"\0" + name.encode())
            values = value if isinstance(value, list) else [value]
            for inner in _code(values) if isinstance(node, Block) else values:
                plain = f"\0{type(inner).__name__} {inner!r}" if not isinstance(inner, ast.AST) else ""
                whole.update(plain.encode("utf-8", "surrogatepass") or b"\0" + self._hash(inner))
        return whole.digest()


def _code(block: Sequence[Block]) -> list[Block]:
    """Leave out docstrings and other bare texts, which have no effect."""
    return [
        node
        for node in block
        if not (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
    ]


def _whole(side: Side, node: Block, around: tuple[Place, ...]) -> Iterator[Change]:
    yield Change(side, node, around)
    for name, block in blocks_of(node):
        for inner in _code(block):
            yield from _whole(side, inner, (*around, Place(node, name)))
