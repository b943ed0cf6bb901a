"""Write the figures of a verdict in a language: over several runs, with the baseline's value after them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from harness.analysis.figure import Evidence, Figure, Numbers, Unit
from harness.language.catalogue import Language
from reports.document.page import FigureView


def draw(
    figures: Sequence[Figure], runs: Sequence[Evidence], before: Sequence[Evidence], lang: Language
) -> tuple[FigureView, ...]:
    """Write figures over the evidence of runs and of their baselines, without figures that no run has."""
    shown = ((figure, _value(figure, runs, lang)) for figure in figures)
    return tuple(FigureView(lang.render(f.label), value, _value(f, before, lang)) for f, value in shown if value)


def _value(figure: Figure, runs: Sequence[Evidence], lang: Language) -> str:
    """Return the value over some runs: empty when no run has one, with the number of runs when only some have one."""
    found = [numbers for run in runs if (numbers := figure.take(run)) is not None]
    if not found:
        return ""
    value = _TEXTS[figure.unit](figure.join(found), lang)
    if len(found) == len(runs):
        return value
    return lang.say("{value} (in {count} of {all} runs)", value=value, count=len(found), all=len(runs))


def _share(numbers: Numbers, lang: Language) -> str:
    return lang.say("{part} of {all}", part=numbers[0], all=numbers[1])


def _interval(numbers: Numbers, lang: Language) -> str:
    ratio, low, high, pairs = numbers
    return lang.say(
        "{ratio} times, 95 % interval {low} to {high}, {pairs} pairs", ratio=ratio, low=low, high=high, pairs=pairs
    )


def area(value: float) -> float:
    """Return square arcminutes as they are written: one decimal, and below 1 with their digits, so that no hole has area 0."""
    return round(value, 1) if value >= 1 else value


def _sky(numbers: Numbers, lang: Language) -> str:
    count, pixels, size = numbers
    return lang.say("{count} ({pixels} px, {area} arcmin²)", count=count, pixels=pixels, area=area(size))


def _equal(numbers: Numbers, lang: Language) -> str:
    exact, rounded, every = numbers
    if not rounded:
        return _share((exact, every), lang)
    return lang.say("{part} of {all}, and {rounded} but for rounding", part=exact, all=every, rounded=rounded)


_TEXTS: Mapping[Unit, Callable[[Numbers, Language], str]] = MappingProxyType(
    {
        Unit.COUNT: lambda n, lang: lang.number(n[0]),
        Unit.SHARE: _share,
        Unit.RATIO: lambda n, lang: lang.say("{ratio} times", ratio=n[0]),
        Unit.INTERVAL: _interval,
        Unit.PERCENT: lambda n, lang: lang.say("{percent} %", percent=round(n[0], 3)),
        Unit.SKY: _sky,
        Unit.AREA: lambda n, lang: lang.say("{count} ({area} arcmin²)", count=n[0], area=area(n[1])),
        Unit.NEW: lambda n, lang: lang.say("{new} new, {same} that other runs have too", new=n[0], same=n[1]),
        Unit.EQUAL: _equal,
        Unit.FILES: lambda n, lang: lang.say("{added} added, {changed} changed", added=n[0], changed=n[1]),
        Unit.CHANGE: lambda n, lang: lang.say("{after}, and {before} before the patch", after=n[1], before=n[0]),
    }
)
