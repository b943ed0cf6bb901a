"""Hold a run and the runs that it is compared with: as records, as keys of a session, or as anything else that names a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Comparison(Generic[T]):
    """A run and the runs that it is compared with; ``None`` or empty if these were not made.

    ``pair`` is the same target on the same dataset and plan with ``run_end``; ``baseline`` the target before the patch,
    otherwise equal to ``run``. ``equals`` are further runs of the same target that must give the same outputs, with another
    retention or number of workers. ``timed`` are runs made in turn, alone on the machine, to measure time: each ``per_tile``
    with its ``run_end``. ``sizes`` are runs with growing numbers of inputs, to measure how bookkeeping grows.
    """

    run: T
    pair: T | None = None
    baseline: T | None = None
    equals: tuple[T, ...] = ()
    timed: tuple[tuple[T, T], ...] = ()
    sizes: tuple[T, ...] = ()

    def map(self, function: Callable[[T], U]) -> Comparison[U]:
        """Replace every run by what the function returns for it."""
        return Comparison(
            function(self.run),
            None if self.pair is None else function(self.pair),
            None if self.baseline is None else function(self.baseline),
            tuple(map(function, self.equals)),
            tuple((function(run), function(pair)) for run, pair in self.timed),
            tuple(map(function, self.sizes)),
        )
