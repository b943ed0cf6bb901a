"""Write the page of a comparison, in each language: what changed, with both mosaics and their difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.compare.build import records_of
from harness.compare.model import Changes, OutputChange
from harness.compare.pixels import Small, small
from harness.compare.sides import Side
from harness.language.catalogue import Language, language
from harness.language.system import CODES
from reports.compared import OutputRow, Rows, rows
from reports.html.mosaics import HIGH, LOW, MIDDLE, ONLY_AFTER, ONLY_BEFORE, Trio, trio
from reports.html.render import laid_out
from reports.html.skymap import UNCOVERED

MAX_BYTES = 3_000_000
MAX_DRAWN = 6
"""Pairs of runs that are drawn; the others are listed."""

_SIDES = (480, 320, 200)


@dataclass(frozen=True, slots=True)
class PicturesView:
    """The mosaics of one pair of runs. ``same`` names the other pairs with the same data."""

    id: str
    where: str
    row: OutputRow
    trio: Trio
    bar: str
    before_alt: str
    after_alt: str
    difference_alt: str
    scale: str
    colours: tuple[tuple[str, str], ...]
    same: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ComparedView:
    """All that the page shows."""

    rows: Rows
    pictures: tuple[PicturesView, ...]
    not_drawn: int
    gradient: tuple[str, str, str]
    uncovered: str
    with_case: bool
    translation: str


@dataclass(frozen=True, slots=True)
class _Drawn:
    output: OutputChange
    same: tuple[OutputChange, ...]
    before: Small
    after: Small


def pages(changes: Changes, before: Side, after: Side, path: Path) -> dict[Path, bytes]:
    """Return the page in each language with its path: the given one in English, ``.fr`` before the extension in French."""
    path = path if path.suffix else path.with_suffix(".html")
    paths = {code: path if code == "en" else path.with_name(f"{path.stem}.{code}{path.suffix}") for code in CODES}
    made: dict[str, bytes] = {}
    for side in _SIDES:
        drawn, left = _read(changes, before, after, side)
        trios = [(one, trio(one.before, one.after)) for one in drawn]
        for code in CODES:
            other = next(paths[name] for name in CODES if name != code)
            view = _view(rows(changes, language(code)), trios, left, language(code), other.name)
            made[code] = laid_out("compared.html.j2", language(code), view).encode("utf-8")
        if max(map(len, made.values())) < MAX_BYTES:
            break
    return {paths[code]: made[code] for code in CODES}


def _read(changes: Changes, before: Side, after: Side, side: int) -> tuple[list[_Drawn], int]:
    """Read the mosaics to draw, and count the pairs that are left out. Pairs with the same data are drawn once."""
    groups: dict[tuple[tuple[str | None, str | None], ...], list[OutputChange]] = {}
    differing = [output for output in changes.outputs if output.differs]
    # Without any difference, the first pair shows that the two are equal.
    for output in differing or changes.outputs[:1]:
        groups.setdefault(tuple((image.before, image.after) for image in output.images), []).append(output)
    ordered = sorted(groups.values(), key=lambda group: (not group[0].decides, group[0].accepted is not None))
    found: list[_Drawn] = []
    left = 0
    for first, *same in ordered:
        if len(found) == MAX_DRAWN:
            left += 1
            continue
        records = records_of(before, after, first)
        pictures = [small(record, side) for record in records] if records is not None else []
        if len(pictures) == 2 and pictures[0] is not None and pictures[1] is not None:
            found.append(_Drawn(first, tuple(same), pictures[0], pictures[1]))
        else:
            left += 1
    return found, left


def _view(
    shown: Rows, drawn: Sequence[tuple[_Drawn, Trio]], left: int, lang: Language, translation: str
) -> ComparedView:
    by_output = {id(row.shown): row for row in (*shown.outputs, *shown.equal)}
    pictures = tuple(
        _pictures(f"mosaic-{n}", by_output[id(one.output)], [by_output[id(o)] for o in one.same], picture, lang)
        for n, (one, picture) in enumerate(drawn, 1)
    )
    return ComparedView(
        rows=shown,
        pictures=pictures,
        not_drawn=left,
        gradient=(_hex(LOW), _hex(MIDDLE), _hex(HIGH)),
        uncovered=_hex(UNCOVERED),
        with_case=any(change.where for change in shown.verdicts) or any(figure.where for figure in shown.figures),
        translation=translation,
    )


def _pictures(name: str, row: OutputRow, same: Sequence[OutputRow], drawn: Trio, lang: Language) -> PicturesView:
    say = lang.say
    compass = drawn.before.compass
    scale = lang.number(drawn.scale)
    if drawn.difference is None:
        apart = ""
    elif not drawn.scale:
        apart = say("No value differs where both mosaics have one. {sky}", sky=row.sky)
    else:
        apart = say("Of the differences drawn, 99 % are at most {scale}. {sky}", scale=scale, sky=row.sky)
    return PicturesView(
        id=name,
        where=row.where or row.after,
        row=row,
        trio=drawn,
        bar=lang.angle(compass.arcminutes) if compass is not None else "",
        before_alt=say("Mosaic of A. Run: {run}", run=row.before),
        after_alt=say("Mosaic of B. Run: {run}", run=row.after),
        difference_alt=apart.strip(),
        scale=scale,
        colours=tuple(
            (_hex(colour), label)
            for there, colour, label in (
                (drawn.lost, ONLY_BEFORE, say("sky in A only")),
                (drawn.new, ONLY_AFTER, say("sky in B only")),
            )
            if there
        ),
        same=tuple(dict.fromkeys(other.where or other.after for other in same if other.where != row.where)),
    )


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
