"""The checks: pure functions from records to verdicts, one module a question."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from harness.checks import cache as _cache
from harness.checks import depth, holes, products, tiles, warnings
from harness.checks.base import Case, Check
from harness.thresholds import Thresholds, read_thresholds
from harness.verdict import Verdict

ALL: Mapping[str, Check] = MappingProxyType(
    {
        check.name: check
        for check in (
            warnings.CHECK,
            tiles.CHECK,
            holes.CHECK,
            depth.CHECK,
            _cache.CHECK,
            products.CHECK,
        )
    }
)


def judge(case: Case, names: Iterable[str] | None = None, thresholds: Thresholds | None = None) -> tuple[Verdict, ...]:
    """Judge a case with the named checks, or with all, in their order.

    Parameters
    ----------
    case
        The run and what it is compared with.
    names
        Names of checks; all of them when left out.
    thresholds
        The limits; those of ``thresholds.toml`` when left out.

    Raises
    ------
    ValueError
        When there is no check of a name, with the known ones.

    """
    wanted = tuple(ALL) if names is None else tuple(names)
    unknown = [name for name in wanted if name not in ALL]
    if unknown:
        raise ValueError(f"expected names of checks ({', '.join(ALL)}), found {', '.join(unknown)}")
    limits = _default_limits() if thresholds is None else thresholds
    return tuple(ALL[name](case, limits) for name in wanted)


@functools.cache  # by its full name: `cache` is a module here
def _default_limits() -> Thresholds:
    return read_thresholds()
