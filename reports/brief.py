"""Write the figures that decide a line in a few words: ``holes 2 → 0``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from harness.analysis.figure import Numbers, Unit
from harness.language.catalogue import Language
from harness.session.decision import Decisive, Scope


def figures_in_words(figures: Iterable[Decisive], lang: Language) -> str:
    """Return the figures of a line with their values before and with the patch; empty without figures."""
    return " · ".join(in_words(figure, lang) for figure in figures)


def in_words(decisive: Decisive, lang: Language) -> str:
    """Return the name of a figure with its value with the patch, after that before the patch if it is known."""
    figure = decisive.figure
    name = lang.render(figure.short or figure.label)
    after = value(figure.unit, decisive.after, lang)
    if decisive.before is None or figure.unit in _WITH_BEFORE:
        return lang.say("{name} {after}", name=name, after=after)
    before = value(figure.unit, decisive.before, lang)
    return lang.say("{name} {before} → {after}", name=name, before=before, after=after)


def scope_in_words(scope: Scope, lang: Language) -> str:
    """Return on how many cases of which kind a line was evaluated; empty for a line without cases."""
    say, counted = lang.say, lang.counted
    kinds = (
        counted("{count} synthetic", "{count} synthetic", count=scope.synthetic) if scope.synthetic else "",
        counted("{count} observed", "{count} observed", count=scope.observed) if scope.observed else "",
        say("{count} of your own", count=scope.own) if scope.own else "",
    )
    run = " + ".join(filter(None, kinds))
    if not scope.missing:
        return run
    part = say("{run} of {all} cases", run=scope.run, all=scope.run + scope.missing)
    return part if not scope.run else say("{part} ({kinds})", part=part, kinds=run)


def value(unit: Unit, numbers: Numbers, lang: Language) -> str:
    """Return the value of a figure as short as it can be."""
    return _TEXTS[unit](numbers, lang)


def _share(numbers: Numbers, lang: Language) -> str:
    return f"{lang.number(numbers[0])}/{lang.number(numbers[1])}"


def _first(numbers: Numbers, lang: Language) -> str:
    return lang.number(numbers[0])


def _ratio(numbers: Numbers, lang: Language) -> str:
    return lang.say("{ratio} times", ratio=round(numbers[0], 2))


# These name both values themselves, or compare with other runs.
_WITH_BEFORE = frozenset({Unit.FILES, Unit.CHANGE, Unit.NEW, Unit.EQUAL})

_TEXTS: Mapping[Unit, Callable[[Numbers, Language], str]] = MappingProxyType(
    {
        Unit.COUNT: _first,
        Unit.SHARE: _share,
        Unit.RATIO: _ratio,
        Unit.INTERVAL: _ratio,
        Unit.PERCENT: lambda n, lang: lang.say("{percent} %", percent=round(n[0], 1)),
        Unit.SKY: _first,
        Unit.AREA: _first,
        Unit.NEW: lambda n, lang: lang.say("{new} new", new=n[0]),
        Unit.EQUAL: lambda n, lang: f"{lang.number(n[0] + n[1])}/{lang.number(n[2])}",
        Unit.FILES: lambda n, lang: lang.say("{added} added, {changed} changed", added=n[0], changed=n[1]),
        Unit.CHANGE: lambda n, lang: f"{lang.number(n[0])} → {lang.number(n[1])}",
    }
)
