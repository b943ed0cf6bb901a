"""Choose the case whose mosaics show the bug best, and show it before and after the patch."""

from __future__ import annotations

from dataclasses import dataclass

from harness.language.catalogue import Language
from harness.record.reader import Record
from harness.session.evidence import hole_outlines
from harness.session.model import JudgedRun, Session
from harness.verdict import Outcome
from reports.html.planes import Outline
from reports.html.skymap import Map
from reports.html.together import Shot, Together, together
from reports.material import Material

SIDE = 900
"""The longest side of a picture in pixels, when the page has room for it; the pictures can be enlarged."""
_TELLING = ("tiles", "holes")


@dataclass(frozen=True, slots=True)
class PanelView:
    """One of the three pictures: its title, what it shows, in words too, and the length of its scale bar."""

    id: str
    title: str
    text: str
    map: Map
    bar: str


@dataclass(frozen=True, slots=True)
class BeforeAfterView:
    """The mosaics of a case before and after the patch. Without panels, ``problem`` says why."""

    case: str
    panels: tuple[PanelView, ...]
    notes: tuple[str, ...]
    problem: str


def chosen(session: Session) -> tuple[JudgedRun, JudgedRun | None] | None:
    """Return the run under validation whose case shows the bug best, and its run before the patch, if there is one.

    A case that fails comes first, one with holes before the others; then one whose run before the patch has holes; then one of
    scenario A. ``None`` without a run under validation.
    """
    scenarios = {test.case: test.scenario for test in session.tests}
    pairs = [(judged, before_of(judged, session)) for judged in session.judged if judged.role == "subject"]

    def order(pair: tuple[JudgedRun, JudgedRun | None]) -> tuple[bool, bool, bool, bool, bool, str]:
        after, before = pair
        return (
            after.outcome is not Outcome.FAIL,
            not _has_holes(after),
            before is None,
            before is None or not _has_holes(before),
            scenarios.get(after.case) != "A",
            after.case,
        )

    return min(pairs, key=order, default=None)


def before_of(judged: JudgedRun, session: Session) -> JudgedRun | None:
    """Return the run of the version with the bug on the same case, else that of the baseline; ``None`` without either.

    A control of another kind of target, such as the embedded reference for SDS, is not this target before the patch.
    """
    kinds = {run.key: run.target.partition(" ")[0] for run in session.runs}
    same = {
        other.role: other
        for other in session.judged
        if other.case == judged.case and kinds.get(other.run) == kinds.get(judged.run)
    }
    return same.get("control") or same.get("baseline")


def _has_holes(judged: JudgedRun) -> bool:
    return any(verdict.check == "holes" and verdict.outcome is Outcome.FAIL for verdict in judged.verdicts)


def before_after(material: Material, session: Session, lang: Language, side: int) -> BeforeAfterView | None:
    """Show the chosen case; ``None`` without a run under validation.

    Without a run before the patch, the same version with ``run_end`` takes its place: it shows what is missing.
    """
    pair = chosen(session)
    if pair is None:
        return None
    after, before = pair
    say = lang.say
    first_key = before.run if before is not None else after.pair
    if first_key is None:
        problem = say("No version with the bug was run on this case: there is nothing to compare.")
        return BeforeAfterView(after.case, (), (), problem)
    whole = material.record(after.pair)
    first, second = _shot(first_key, before, material), _shot(after.run, after, material)
    if first is None or second is None:
        lacking = [key for key, shot in ((first_key, first), (after.run, second)) if shot is None]
        problem = say("No picture of the mosaic can be read for: {runs}.", runs=", ".join(lacking))
        return BeforeAfterView(after.case, (), (), problem)
    products = whole.products if isinstance(whole, Record) else None
    made = material.drawn(
        ("together", first_key, after.run, side), lambda: together(first, second, products, min(side, SIDE))
    )
    if made is None:
        return BeforeAfterView(after.case, (), (), say("The two mosaics can't be placed on one grid."))
    return _view(made, (first_key, before), after, material, lang)


def _view(
    made: Together, first: tuple[str, JudgedRun | None], after: JudgedRun, material: Material, lang: Language
) -> BeforeAfterView:
    say = lang.say
    key, before = first
    names = [_name(key, material), _name(after.run, material)]
    if before is None:
        names = [say("{target} with run_end", target=names[0]), say("{target} with per_tile", target=names[1])]
    difference = say("The same sky is covered in both.")
    areas = [None if not area else round(area, 1 if area > 1 else 2) for area in (made.gained, made.lost)]
    if areas[0] is not None:
        difference = say("Blue: {area} arcmin² that only {after} covers.", area=areas[0], after=names[1])
    if areas[1] is not None:
        lost = say("Red: {area} arcmin² that only {before} covers.", area=areas[1], before=names[0])
        difference = lost if areas[0] is None else f"{difference} {lost}"
    difference = say("{covered} White: equal brightness; darker: unequal.", covered=difference)
    title = names[0]
    if before is not None and before.expected_red is not None:
        title = say("{before} – version with the bug", before=names[0])
    elif before is not None:
        title = say("{before} – baseline", before=names[0])
    shown = (
        (title, _said(before, lang) if before is not None else "", made.first),
        (say("{after} – version under test", after=names[1]), _said(after, lang), made.second),
        (say("Difference"), difference, made.difference),
    )
    return BeforeAfterView(
        case=after.case,
        panels=tuple(
            PanelView(f"picture-{n}", title, text, found, lang.angle(found.compass.arcminutes) if found.compass else "")
            for n, (title, text, found) in enumerate(shown, 1)
        ),
        notes=tuple(_notes(made, after, lang)),
        problem="",
    )


def _notes(made: Together, after: JudgedRun, lang: Language) -> list[str]:
    """Explain what a reader may take for a fault of the patch."""
    say = lang.say
    stretched = {
        "same": say("One grid, one stretch."),
        "fitted": say("One grid; the left picture's brightness is fitted to that of the middle one."),
        "own": say("One grid; each picture has its own stretch."),
    }
    notes = [stretched[made.stretched]]
    found = next((v for v in after.verdicts if v.check == "accuracy" and v.outcome is Outcome.FAIL), None)
    if found is not None and not found.gates:
        notes.append(say("Steps between panels: the target gives panels no common brightness, before the patch too."))
    if made.thin:
        notes.append(
            say(
                "Not drawn in the difference: strips at most two pixels wide along edges, where the two grids differ "
                "({area} arcmin²).",
                area=round(made.thin, 2),
            )
        )
    if made.outside:
        notes.append(say("Holes outside the pictures: {count}.", count=made.outside))
    return notes


def _shot(key: str, judged: JudgedRun | None, material: Material) -> Shot | None:
    """Return the mosaic of a run with the holes that were found in it; ``None`` without a picture that can be read."""
    record = material.record(key)
    if not isinstance(record, Record) or record.products is None:
        return None
    picture = material.photograph(record)
    outlines = hole_outlines(judged) if judged is not None else {}
    holes = [Outline(number, edge) for number, edge in outlines.items()]
    return None if picture is None else Shot(record.products, picture, holes)


def _name(key: str, material: Material) -> str:
    entry = material.runs.get(key)
    return entry.target if entry is not None else key


def _said(judged: JudgedRun, lang: Language) -> str:
    """Return what the checks of tiles and holes say of a run."""
    said = {verdict.check: lang.render(verdict.sentence) for verdict in judged.verdicts}
    return " ".join(dict.fromkeys(said[check] for check in _TELLING if check in said))
