"""Estimate how long the runs of a session take, and how much of that is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.language.message import Message, Translate, counted, say
from harness.session.roles import role_name

if TYPE_CHECKING:
    from harness.session.durations import Durations
    from harness.session.progress import Progress
    from harness.session.run_matrix import PlannedRun

SHORT = 120
"""Seconds from which on a time is shown in minutes."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A run to come with its expected seconds; ``exact`` if earlier sessions made this run of this very target."""

    run: PlannedRun
    seconds: float | None
    exact: bool = False


class Outlook:
    """The runs of a session with their expected times, and how many of them ``workers`` make at a time."""

    def __init__(self, runs: Sequence[Expected], workers: int = 1) -> None:
        self.runs = tuple(runs)
        self._workers = max(1, workers)
        self._planned = Counter(_kind(entry.run) for entry in runs)
        self._seconds = {_kind(entry.run): entry.seconds for entry in runs}

    def count(self, states: Sequence[Progress]) -> int:
        """Return the number of all runs: the planned ones, and those beyond the plan, such as the pilot of the large run."""
        made = Counter((state.case, state.target) for state in states)
        return (self._planned | made).total()

    def left(self, states: Sequence[Progress], now: int) -> float | None:
        """Return the seconds that the remaining runs take; ``None`` while no duration is known.

        A run of unknown duration counts with the mean of the runs that have ended. ``now`` is the monotonic time in nanoseconds.
        """
        ended = [state for state in states if state.state != "running"]
        mean = sum(state.elapsed(now) for state in ended) / len(ended) if ended else None
        done = Counter((state.case, state.target) for state in ended)
        total = 0.0
        for kind, number in self._planned.items():
            seconds = self._seconds[kind] if self._seconds[kind] is not None else mean
            to_do = max(0, number - done[kind])
            if seconds is None and to_do:
                return None
            total += (seconds or 0.0) * to_do
            living = (s for s in states if s.state == "running" and (s.case, s.target) == kind)
            total -= sum(min(state.elapsed(now), seconds or 0.0) for state in living)
        return max(0.0, total) / self._workers

    def total(self) -> Message:
        """Say how many runs there are, and how long they take one after the other."""
        known = [entry.seconds for entry in self.runs if entry.seconds is not None]
        count, seconds, unknown = len(self.runs), round(sum(known)), len(self.runs) - len(known)
        if not known:
            return say("Runs: {count}; their duration is not known yet.", count=count)
        if unknown:
            return say(
                "Runs: {count}, about {seconds} s if run one after the other; of unknown duration: {unknown}.",
                count=count,
                seconds=seconds,
                unknown=unknown,
            )
        if seconds < SHORT:
            return counted(
                "{count} run, about {seconds} s.",
                "{count} runs, about {seconds} s if run one after the other.",
                count=count,
                seconds=seconds,
            )
        minutes = round(seconds / 60)
        return counted(
            "{count} run, about {minutes} min.",
            "{count} runs, about {minutes} min if run one after the other.",
            count=count,
            minutes=minutes,
        )

    def table(self, translate: Translate = str) -> str:
        """Return a table of the runs; ``–`` marks an unknown time, ``~`` an estimate from other runs."""
        names = (say("run"), say("target"), say("case"), say("role"), say("dataset"), say("retention"), say("expected"))
        rows = [[name.render(translate) for name in names]]
        for number, entry in enumerate(self.runs, 1):
            shown = "–" if entry.seconds is None else f"{'' if entry.exact else '~'}{entry.seconds:.0f} s"
            run, role = entry.run, role_name(entry.run.role).render(translate)
            rows.append([str(number), run.target, run.case, role, run.dataset, run.retention, shown])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
        return "".join(f"{line.rstrip()}\n" for line in lines)


def outlook(
    runs: Sequence[PlannedRun],
    durations: Durations,
    *,
    profile: str = "fast",
    pilot: float | None = None,
    workers: int = 1,
) -> Outlook:
    """Return the outlook of planned runs.

    ``pilot`` is the time of the pilot run in seconds per frame. It estimates runs that earlier sessions did not make with this
    very target.
    """
    return Outlook([_expected(run, durations, profile, pilot) for run in runs], workers)


def in_words(seconds: float) -> Message:
    """Write a time as people read it."""
    if seconds < SHORT:
        return say("{seconds} s", seconds=round(seconds))
    return say("{minutes} min", minutes=round(seconds / 60))


def _expected(run: PlannedRun, durations: Durations, profile: str, pilot: float | None) -> Expected:
    seconds, exact = durations.expected(run.target, run.case, run.dataset, profile)
    if not exact and pilot is not None and run.frames:
        return Expected(run, pilot * run.frames)
    return Expected(run, seconds, exact)


def _kind(run: PlannedRun) -> tuple[str, str]:
    """Return what tells apart the runs whose times differ, as far as a growing record says it."""
    return run.case, run.target
