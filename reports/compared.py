"""Write what changed between two sessions or two runs: as text, and as the rows that the page shows too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from harness.analysis.figure import Figure, Unit
from harness.compare.model import Changes, FigureChange, ImageChange, OutputChange, SideFacts, VerdictChange
from harness.language.catalogue import Language
from harness.language.message import Message, flat, say
from harness.verdict import Outcome
from reports.badges import Badge, badge, role_word
from reports.document.figures import area, draw
from reports.names import check_name
from reports.rows import interrupted_badge, part_badge

MAX_ROWS = 40
"""Rows of one part that the text shows; the page and the JSON file have all."""


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One verdict that changed."""

    badge: Badge
    where: str
    what: str
    before: Badge
    after: Badge
    sentence: str
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FigureRow:
    """One figure that changed."""

    where: str
    check: str
    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image of a run: how its data differ, and the beginnings of their digests."""

    image: str
    text: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class OutputRow:
    """The outputs of one pair of runs. ``images`` are those that differ."""

    badge: Badge
    where: str
    before: str
    after: str
    what: tuple[str, ...]
    sky: str
    images: tuple[ImageRow, ...]
    accepted: str
    reason: str
    void: str
    shown: OutputChange


@dataclass(frozen=True, slots=True)
class FactRow:
    """One fact that changed."""

    group: str
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class SideRow:
    """One side, as the head of a page or of a text shows it."""

    letter: str
    target: str
    facts: tuple[str, ...]
    badge: Badge | None


@dataclass(frozen=True, slots=True)
class Rows:
    """All that a view of a comparison shows, in one language."""

    badge: Badge
    headline: str
    sides: tuple[SideRow, SideRow]
    counts: tuple[str, ...]
    verdicts: tuple[ChangeRow, ...]
    figures: tuple[FigureRow, ...]
    outputs: tuple[OutputRow, ...]
    equal: tuple[OutputRow, ...]
    facts: tuple[FactRow, ...]
    only: tuple[tuple[str, tuple[str, ...]], ...]


_WAYS: Mapping[str, tuple[str, Message, str]] = MappingProxyType(
    {
        "worse": ("✗", say("worse"), "fail"),
        "better": ("✓", say("better"), "pass"),
        "other": ("–", say("changed"), "none"),
    }
)
_GRADES: Mapping[str, tuple[str, Message, str]] = MappingProxyType(
    {
        "identical": ("✓", say("equal bit by bit"), "pass"),
        "within rounding": ("✓", say("equal within rounding"), "pass"),
        "as two good runs differ": ("✓", say("differ as two good runs do"), "pass"),
        "different": ("≠", say("different"), "unknown"),
        "no mosaic in either run": ("–", say("no mosaic in either run"), "none"),
        "not compared": ("?", say("not compared"), "unknown"),
    }
)
_GROUPS: Mapping[str, Message] = MappingProxyType(
    {
        "target": say("target"),
        "options": say("options"),
        "environment": say("environment"),
        "request": say("request of the run"),
    }
)


def rows(changes: Changes, lang: Language) -> Rows:
    """Return everything that a view shows of a comparison."""
    outputs = [_output(output, lang) for output in changes.outputs]
    figures = tuple(_figure(change, lang) for change in changes.figures)
    listed = tuple(row for row in figures if row.before != row.after)
    only = ((say("Runs in A only"), changes.only_before), (say("Runs in B only"), changes.only_after))
    return Rows(
        badge=_headline_badge(changes, lang),
        headline=headline(changes, lang),
        sides=(_side("A", changes.before, lang), _side("B", changes.after, lang)),
        counts=tuple(_counts(changes, len(listed), lang)),
        verdicts=tuple(_verdict(change, lang) for change in changes.verdicts),
        figures=listed,
        outputs=tuple(row for row in outputs if row.shown.differs or row.shown.grade == "not compared"),
        equal=tuple(row for row in outputs if not row.shown.differs and row.shown.grade != "not compared"),
        facts=tuple(
            FactRow(lang.render(_GROUPS[fact.group]), fact.name, _value(fact.before), _value(fact.after))
            for fact in changes.facts
        ),
        only=tuple((lang.render(title), keys) for title, keys in only if keys),
    )


def headline(changes: Changes, lang: Language) -> str:
    """Return the result in one sentence."""
    worse = sum(change.way == "worse" for change in changes.verdicts)
    open_ = [output for output in changes.outputs if output.outcome is Outcome.FAIL]
    unknown = [output for output in changes.outputs if output.outcome is Outcome.UNKNOWN]
    if worse and open_:
        said = say(
            "B is worse than A. Verdicts that are worse: {worse}. Runs whose outputs differ and that nobody accepted: {runs}.",
            worse=worse,
            runs=len(open_),
        )
    elif worse:
        said = say("B is worse than A. Verdicts that are worse: {worse}.", worse=worse)
    elif open_:
        said = say("No verdict is worse. Runs whose outputs differ and that nobody accepted: {runs}.", runs=len(open_))
    elif unknown:
        said = say("No verdict is worse. Runs whose outputs could not be compared: {runs}.", runs=len(unknown))
    elif changes.outcome is Outcome.UNKNOWN:
        said = say("A and B have no verdict and no run in common: there is nothing to compare.")
    elif any(output.accepted for output in changes.outputs):
        said = say("Nothing is worse in B. Each difference of outputs that counts was accepted.")
    else:
        said = say("Nothing is worse in B than in A.")
    return lang.render(said)


def _headline_badge(changes: Changes, lang: Language) -> Badge:
    words = {Outcome.FAIL: say("worse"), Outcome.UNKNOWN: say("not compared"), Outcome.PASS: say("not worse")}
    shown = badge(changes.outcome, lang)
    if changes.outcome is Outcome.FAIL and all(change.way != "worse" for change in changes.verdicts):
        # Another output may be the better one: it is a question to a person, not a failure.
        return Badge("≠", lang.say("different"), "unknown")
    return Badge(shown.sign, lang.render(words[changes.outcome]), shown.style)


def _counts(changes: Changes, listed: int, lang: Language) -> Iterator[str]:
    ways = [change.way for change in changes.verdicts]
    yield lang.say(
        "verdicts: {worse} worse, {better} better, {other} changed otherwise",
        worse=ways.count("worse"),
        better=ways.count("better"),
        other=ways.count("other"),
    )
    yield lang.say("figures that changed: {count}", count=listed)
    if left := len(changes.figures) - listed:
        yield lang.say("figures that differ only in digits that are not printed (--json has them): {count}", count=left)
    yield lang.say(
        "pairs of runs: {count}, of these with different outputs: {different}",
        count=len(changes.outputs),
        different=sum(output.differs for output in changes.outputs),
    )
    yield lang.say("facts of target, options and environment that changed: {count}", count=len(changes.facts))


def _side(letter: str, side: SideFacts, lang: Language) -> SideRow:
    facts = [side.name]
    if side.run is not None and side.run not in side.name:
        facts.append(lang.say("run {key}", key=side.run))
    if side.created:
        facts.append(lang.when(side.created))
    if side.sha256:
        facts.append(lang.say("session.json: SHA-256 {digest}…", digest=side.sha256[:12]))
    return SideRow(letter, side.target, tuple(facts), _side_badge(side, lang))


def _side_badge(side: SideFacts, lang: Language) -> Badge | None:
    """Return the badge of a session. A pass of a part has that of a line that was run in part, as in the session's own page."""
    if side.outcome is None:
        return None
    if side.interrupted and side.outcome is not Outcome.FAIL:
        return interrupted_badge(lang)
    if side.outcome is Outcome.PASS and side.ran is not None and side.ran.run < side.ran.all:
        return part_badge(side.ran.run, side.ran.all, side.ran.of, lang)
    return badge(side.outcome, lang)


def _where(case: str, role: str, lang: Language) -> str:
    return " · ".join(part for part in (case, role_word(role, lang) if role else "") if part)


def _outcome(outcome: Outcome | None, lang: Language) -> Badge:
    return badge(outcome, lang) if outcome is not None else Badge("○", lang.say("not there"), "none")


def _verdict(change: VerdictChange, lang: Language) -> ChangeRow:
    sign, word, style = _WAYS[change.way]
    sentence = change.sentence_after or change.sentence_before
    return ChangeRow(
        badge=Badge(sign, lang.render(word), style),
        where=_where(change.case, change.role, lang) or (lang.say("guard rails") if _is_row(change.check) else ""),
        what=check_name(change.check, lang) if change.check else lang.say("test"),
        before=_outcome(change.before, lang),
        after=_outcome(change.after, lang),
        sentence="" if sentence is None else lang.render(sentence),
        tests=change.tests,
    )


def _is_row(check: str) -> bool:
    return check[:1].isdigit()


def _figure(change: FigureChange, lang: Language) -> FigureRow:
    before, after = (_written(change, numbers, lang) for numbers in (change.before, change.after))
    where, check = _where(change.case, change.role, lang), check_name(change.check, lang)
    return FigureRow(where, check, lang.render(change.label), before, after)


def _written(change: FigureChange, numbers: tuple[float, ...] | None, lang: Language) -> str:
    """Write a figure with its unit, as the Definition of Done does."""
    figure = Figure(change.label, Unit[change.unit.upper()], lambda evidence: evidence.get("numbers"))
    drawn = draw((figure,), [{"numbers": numbers}], [], lang) if numbers is not None else ()
    return drawn[0].value if drawn else "–"


def _output(output: OutputChange, lang: Language) -> OutputRow:
    sign, word, style = _GRADES[output.grade]
    label = lang.render(word)
    if output.accepted is not None:
        sign, label, style = "✓", lang.say("different, accepted"), "pass"
    elif output.grade == "different" and not output.decides:
        sign, style = "–", "none"
    accepted = reason = ""
    if output.accepted is not None:
        by = output.accepted
        accepted = lang.say("Accepted by {by} on {when}.", by=by.by, when=lang.when(by.when))
        reason = by.reason
    return OutputRow(
        badge=Badge(sign, label, style),
        where=_where(output.case, output.role, lang),
        before=output.before,
        after=output.after,
        what=tuple(lang.render(message) for message in output.what),
        sky=_sky(output, lang),
        images=tuple(_image(image, lang) for image in output.images if not image.equal),
        accepted=accepted,
        reason=reason,
        void="" if output.void is None else lang.render(output.void),
        shown=output,
    )


def _sky(output: OutputChange, lang: Language) -> str:
    if output.lost_sky is None or output.new_sky is None:
        return ""
    if not output.lost_sky and not output.new_sky:
        return lang.say("Both mosaics cover the same sky.")
    return lang.say(
        "Sky covered in A only: {lost} arcmin²; in B only: {new} arcmin².",
        lost=area(output.lost_sky),
        new=area(output.new_sky),
    )


def _image(image: ImageChange, lang: Language) -> ImageRow:
    if image.before is None or image.after is None:
        text = lang.say("in B only") if image.before is None else lang.say("in A only")
    elif image.values is not None:
        text = lang.say(
            "{values} finite values differ, {one} are finite on one side only; the largest difference is {largest}",
            values=image.values,
            one=image.in_one or 0,
            largest=_large(image.largest),
        )
    elif image.measured == "shape":
        text = lang.say("the shapes differ, so values were not compared")
    elif image.largest is not None:
        text = lang.say(
            "the data differ; by the statistics of blocks the largest difference is at least {largest} (the output files are "
            "not there)",
            largest=_large(image.largest),
        )
    elif image.image == "mosaic WCS":
        text = lang.say("another grid")
    else:
        text = lang.say("the data differ; values were not compared, because the output files are not there")
    kind, _, name = image.image.partition(" ")
    shown = lang.say("coverage {name}", name=name) if kind == "coverage" else lang.say("mosaic {name}", name=name)
    return ImageRow(shown, text, _short(image.before), _short(image.after))


def _large(value: float | None) -> str | int | float:
    """Return a value to write; a large one without decimals, and so without an exponent."""
    if value is None:
        return "–"
    return round(value) if 1000 <= value < 1e12 else value


def _short(digest: str | None) -> str:
    return "–" if digest is None else digest[:12]


def _value(text: str | None) -> str:
    return "–" if text is None or text in {"", "null", "[]"} else text


def text(shown: Rows, lang: Language, *, most: int | None = MAX_ROWS) -> str:
    """Write a comparison as text. ``most`` limits the rows of each part; ``None`` shows all."""
    lines = [f"{shown.badge.sign} {shown.headline}"]
    for side in shown.sides:
        outcome = f" · {side.badge.sign} {side.badge.word}" if side.badge is not None else ""
        lines.append(f"  {side.letter}  {side.target}{outcome} · {' · '.join(side.facts)}")
    lines += [f"     {count}" for count in shown.counts]
    parts: Sequence[tuple[str, list[list[str]]]] = (
        (lang.say("Verdicts"), [_verdict_lines(row, lang) for row in shown.verdicts]),
        (lang.say("Outputs"), list(_grouped(shown.outputs, lang))),
        (lang.say("Figures"), [[_figure_line(row, lang)] for row in shown.figures]),
        (lang.say("Environment"), [[_fact_line(row, lang)] for row in shown.facts]),
        *((title, [[f"  {key}"] for key in keys]) for title, keys in shown.only),
    )
    for title, entries in parts:
        if entries:
            kept = entries if most is None else entries[:most]
            lines += ["", title, *(line for entry in kept for line in entry)]
            if len(kept) < len(entries):
                left = len(entries) - len(kept)
                lines.append("  " + lang.say("and more, with --html or --json: {count}", count=left))
    return "\n".join(map(flat, lines))


def _verdict_lines(row: ChangeRow, lang: Language) -> list[str]:
    where = " · ".join(part for part in (row.where, row.what) if part)
    change = f"{row.before.word} → {row.after.word}"
    lines = [f"  {row.badge.sign} {lang.say('{label}: {text}', label=where, text=change)}"]
    lines += [f"      {row.sentence}"] if row.sentence else []
    return lines + [f"      {test}" for test in row.tests]


def _grouped(outputs: Sequence[OutputRow], lang: Language) -> Iterator[list[str]]:
    """Write outputs, those with the same data once."""
    groups: dict[tuple[object, ...], list[OutputRow]] = {}
    for row in outputs:
        key = (row.badge, row.what, row.sky, row.images, row.accepted, row.reason, row.void)
        groups.setdefault(key if row.images else (row.before, row.after), []).append(row)
    for first, *others in groups.values():
        lines = output_lines(first, lang)
        for other in others:
            run = f"{other.where}, {other.before} → {other.after}" if other.where else other.after
            lines.append("      " + lang.say("the same data: {run}", run=run))
        yield lines


def output_lines(row: OutputRow, lang: Language) -> list[str]:
    """Write the difference of the outputs of one pair of runs."""
    lines = [f"  {row.badge.sign} {' · '.join(part for part in (row.where, row.badge.word) if part)}"]
    lines.append(f"      A {row.before}")
    lines.append(f"      B {row.after}")
    lines += [f"      {line}" for line in (*row.what, row.sky) if line]
    lines += [
        f"      {lang.say('{label}: {text}', label=i.image, text=i.text)} ({i.before} → {i.after})" for i in row.images
    ]
    if row.accepted:
        lines += [f"      {row.accepted}", f"      {lang.say('Reason: {reason}', reason=row.reason)}"]
    return [flat(line) for line in (*lines, *([f"      {row.void}"] if row.void else ()))]


def _fact_line(row: FactRow, lang: Language) -> str:
    return "  " + lang.say("{label}: {text}", label=f"{row.group} · {row.name}", text=f"{row.before} → {row.after}")


def _figure_line(row: FigureRow, lang: Language) -> str:
    where = " · ".join(part for part in (row.where, row.check) if part)
    change = f"{row.before} → {row.after}"
    return "  " + lang.say("{label}: {text}", label=f"{where} · {row.label}", text=change)
