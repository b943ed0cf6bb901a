"""Build the data of the page for the maintainer: the decision, the hole before and after, and what concerns a reader now.

The page has at most 600 words. Everything else is in the annex (``build.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.language.catalogue import Language
from harness.record.reader import Record, read_record
from harness.record.values import RecordError, inside
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.decision import before_of, most_telling, row_over
from harness.session.definition_of_done import Done, Part
from harness.session.evidence import figures_of, hole_outlines, places_of_removal
from harness.session.model import JudgedRun, Requirement, RunEntry, Session
from harness.signoff.standing import Standing, beside
from harness.verdict import Verdict
from reports.badges import Badge
from reports.brief import figures_in_words
from reports.document.build import sentence_on, without_paths
from reports.document.coverage_table import Requests
from reports.document.known_findings import IN_RETENTION, NEW, NEWEST, OLDER, SCATTER, Known, link_to
from reports.document.limits import not_covered
from reports.document.pictures import Pair, shot_of, side_by_side
from reports.document.rerun import commands_to_see
from reports.html.skymap import Map
from reports.not_covered import Size, finding_line, known_holes, sizes
from reports.rows import done_badge, row_badge_over, row_scope
from reports.signoff import standing_line

FIGURES = 3
"""The largest number of figures of a line."""
MAX_CASES = 2
"""The largest number of cases whose hole is shown."""
MAX_PLACES = 2
_NO_AREA = 1e-9
"""Stands for the area of a hole that was not measured."""
_LINE_OF_THE_HOLE = "A.7"
_EXPLAINING = ("tiles", "holes", "cache", "warnings")
# A name of the target's source; anything else in a session file is no name.
_NAME = re.compile(r"\w+(?:[./]\w+)*")


@dataclass(frozen=True, slots=True)
class DoneRow:
    """A line of the Definition of Done: its verdict, the figures that tell most, and its scope."""

    id: str
    anchor: str
    text: str
    badge: Badge
    figures: str
    scope: str


@dataclass(frozen=True, slots=True)
class PictureView:
    """The picture of a mosaic: its id on the page, what it shows, and the length of its scale bar.

    ``outlined`` is false where the outline is that of the hole in the other mosaic.
    """

    id: str
    map: Map
    text: str
    bar: str
    outlined: bool


@dataclass(frozen=True, slots=True)
class HoleView:
    """A case with a hole, before the patch or with it; an empty ``before`` where no version before it was run."""

    case: str
    figures: str
    before: str
    after: str
    pictures: tuple[PictureView, ...]


@dataclass(frozen=True, slots=True)
class FindingLink:
    """A known finding: its number and its title in few words, and the link to its section, empty outside the project's folder."""

    label: str
    link: str


@dataclass(frozen=True, slots=True)
class Names:
    """The files of a language in their folder: the page as text and with pictures, the annex, and the page's translation."""

    folder: Path
    text: str
    pictures: str
    annex: str
    translation: str


@dataclass(frozen=True, slots=True)
class OnePage:
    """The page for the maintainer, in one language."""

    language: Language
    names: Names
    target: str
    badge: Badge
    sentence: str
    signoffs: tuple[str, ...]
    lines: int
    rows: tuple[DoneRow, ...]
    holes: tuple[HoleView, ...]
    same: tuple[str, ...]
    known: tuple[str, ...]
    cause: tuple[str, ...]
    places: tuple[str, ...]
    not_covered: tuple[str, ...]
    limitations: str
    admission: tuple[str, ...]
    scatter: tuple[FindingLink, ...]
    commands: tuple[str, ...]
    places_named: bool
    newest: str
    findings: tuple[FindingLink, ...]
    older: tuple[FindingLink, ...]
    sessions: tuple[tuple[str, str], ...]


class Sources:
    """What is read of records, once for all languages: requests, and the pictures of cases."""

    def __init__(self) -> None:
        self.requests = Requests()
        self._drawn: dict[tuple[str, str], Pair] = {}
        self._records: dict[tuple[str, str], Record | None] = {}
        self._standings: dict[str, Standing | None] = {}

    def signoffs(self, done: Done, lang: Language) -> tuple[str, ...]:
        """Return how the sign-off of each session of the subject stands that has one."""
        found = []
        for part in done.own:
            if part.sha256 not in self._standings:
                self._standings[part.sha256] = beside(part.folder)
            standing = self._standings[part.sha256]
            if standing is not None:
                text = without_paths(standing_line(standing, lang))
                one = len(done.own) == 1
                found.append(text if one else lang.say("{label}: {text}", label=part.sha256[:12], text=text))
        return tuple(found)

    def pictures(self, part: Part, subject: JudgedRun, before: JudgedRun | None) -> Pair:
        """Return the mosaics before the patch and with it, with the holes of each."""
        key = (part.sha256, subject.run)
        if key not in self._drawn:
            shots = [
                None if judged is None else shot_of(_sealed(self.record(part, judged.run)), hole_outlines(judged))
                for judged in (before, subject)
            ]
            self._drawn[key] = side_by_side(*shots)
        return self._drawn[key]

    def sizes(self, parts: Iterable[Part]) -> tuple[Size, ...]:
        """Return the sizes of all runs of some sessions, as the pages of these sessions count them."""
        return sizes(self.record(part, run.key) for part in parts for run in part.session.runs)

    def record(self, part: Part, key: str) -> Record | None:
        """Return the record of a run, read once; ``None`` for one that can't be read."""
        if (part.sha256, key) not in self._records:
            self._records[part.sha256, key] = _record(part, key)
        return self._records[part.sha256, key]


def one_page(done: Done, lang: Language, names: Names, sources: Sources) -> OnePage:
    """Build the page in one language."""
    sessions = [part.session for part in done.own]
    rows = [line for line in done.lines if line.section == DEFINITION_OF_DONE]
    zemosaic = sessions[0].target_kind == "zemosaic"
    holes = list(_holes(done))[:MAX_CASES]
    findings = link_to("findings.md", names.folder)
    return OnePage(
        language=lang,
        names=names,
        target=done.subject,
        badge=done_badge(done, lang),
        sentence=sentence_on(done, lang),
        signoffs=sources.signoffs(done, lang),
        lines=len(done.lines),
        rows=tuple(_row(row, sessions, lang) for row in rows),
        holes=tuple(_hole(n, found, done, lang, sources) for n, found in enumerate(holes, 1)),
        same=tuple(_same(holes, lang, sources)),
        known=tuple(finding_line(known, lang) for known in known_holes(sessions)),
        cause=tuple(_cause(holes, lang)),
        places=tuple(_places(sessions, lang)),
        not_covered=not_covered(done, sources.sizes(done.own), lang),
        limitations=link_to("limitations.md", names.folder),
        admission=tuple(_admission(done, lang)) if zemosaic else (),
        scatter=_links(SCATTER, findings, lang) if zemosaic else (),
        commands=commands_to_see(sessions[0], _label_before(done, holes)),
        places_named=bool(sessions[0].kind.libraries),
        newest=NEWEST,
        findings=_links((IN_RETENTION, *NEW), findings, lang) if zemosaic else (),
        older=_links(OLDER, findings, lang) if zemosaic else (),
        sessions=tuple((part.session.target, part.sha256) for part in done.own),
    )


def _row(row: Requirement, sessions: Sequence[Session], lang: Language) -> DoneRow:
    decided, shown = row_over(row, sessions), row_badge_over(row, sessions, lang)
    return DoneRow(
        id=row.id,
        anchor="".join(c for c in row.id.lower() if c.isalnum()),
        text=row.text,
        badge=shown,
        figures=figures_in_words(most_telling(decided, FIGURES), lang),
        scope=row_scope(decided.scope, shown, lang),
    )


# ---- the hole ----


@dataclass(frozen=True, slots=True)
class _Found:
    """A case with a hole: the run under test, and the run before the patch."""

    part: Part
    subject: JudgedRun
    before: JudgedRun | None
    size: float


def _holes(done: Done) -> Iterator[_Found]:
    """Yield the cases whose mosaic has a hole that a run with ``run_end`` has not, the largest first, each once."""
    found: dict[str, _Found] = {}
    for part in done.own:
        for subject in (j for j in part.session.judged if j.role == "subject"):
            before = before_of(subject, part.session)
            size = sum(map(_area, (j for j in (subject, before) if j is not None)))
            known = found.get(subject.case)
            if size and (known is None or size > known.size):
                found[subject.case] = _Found(part, subject, before, size)
    yield from sorted(found.values(), key=lambda one: (-one.size, one.subject.case))


def _area(judged: JudgedRun) -> float:
    """Return the area of the holes of a run that fails for them, in square arcminutes; 0 for any other run."""
    failed = next((v for v in judged.verdicts if v.check == "holes" and v.outcome == "fail"), None)
    if failed is None:
        return 0.0
    found = figures_of("holes")[0].take(failed.evidence)
    return max(found[-1], _NO_AREA) if found is not None else _NO_AREA


def _hole(number: int, found: _Found, done: Done, lang: Language, sources: Sources) -> HoleView:
    case, session = found.subject.case, found.part.session
    line = next((line for line in done.lines if line.id == _LINE_OF_THE_HOLE), done.lines[0])
    tests = tuple(test for test in session.tests if test.case == case)
    decided = row_over(replace(line, section=DEFINITION_OF_DONE), [replace(session, tests=tests)])
    drawn = sources.pictures(found.part, found.subject, found.before)
    shown = []
    if found.before is not None and drawn.before is not None:
        shown.append(_picture(f"hole-{number}-before", drawn.before, session, found.before, lang))
    if drawn.after is not None:
        after = _picture(f"hole-{number}-after", drawn.after, session, found.subject, lang)
        if shown and not drawn.after.holes and drawn.before is not None:
            text = lang.say("{text}; dashed: its place", text=after.text)
            after = replace(after, map=replace(drawn.after, holes=drawn.before.holes), text=text, outlined=False)
        shown.append(after)
    return HoleView(
        case=case,
        figures=figures_in_words(most_telling(decided, FIGURES), lang),
        before="" if found.before is None else _label(session, found.before),
        after=session.target,
        pictures=tuple(shown),
    )


def _picture(name: str, drawn: Map, session: Session, judged: JudgedRun, lang: Language) -> PictureView:
    """Return the picture of a run with what it shows."""
    target, count = _label(session, judged), len(drawn.holes)
    text = lang.say("{target}: no hole", target=target)
    if count:
        text = lang.counted("{target}: {count} hole", "{target}: {count} holes", target=target, count=count)
    bar = lang.angle(drawn.compass.arcminutes) if drawn.compass is not None else ""
    return PictureView(name, drawn, text, bar, outlined=True)


def _same(holes: Sequence[_Found], lang: Language, sources: Sources) -> Iterator[str]:
    """Yield what makes the pictures comparable, and what in both mosaics is not the retention's doing.

    The latter only if the version under test gives what ``run_end`` gives.
    """
    drawn = [sources.pictures(found.part, found.subject, found.before) for found in holes]
    both = [pair for pair in drawn if pair.before is not None and pair.after is not None]
    stretched = {pair.stretched for pair in both}
    if stretched == {"same"}:
        yield lang.say("One grid, one stretch.")
    elif stretched == {"fitted"}:
        yield lang.say("One grid, brightness fitted.")
    equal = [any(v.check == "parity" and v.outcome == "pass" for v in found.subject.verdicts) for found in holes]
    if both and all(equal) and all(found.before is not None for found in holes):
        yield lang.say("Seams and dark areas in both mosaics: run_end gives them too.")


def _label(session: Session, judged: JudgedRun) -> str:
    return next((run.target for run in session.runs if run.key == judged.run), "?")


def _label_before(done: Done, holes: Sequence[_Found]) -> str:
    """Return the name of the version before the patch; empty if none was run."""
    for found in holes:
        if found.before is not None:
            return _label(found.part.session, found.before)
    named = (run.target for part in done.own for run in part.session.runs if run.role in ("baseline", "control"))
    return next((name for name in named if name.split(" ")[0] == done.subject.split(" ")[0]), "")


def _cause(holes: Sequence[_Found], lang: Language) -> Iterator[str]:
    """Yield why the first hole came about: the causes of the run that has it."""
    for found in holes[:1]:
        run = found.before if found.before is not None and _area(found.before) else found.subject
        chains: Mapping[str, Verdict] = {verdict.check: verdict for verdict in run.verdicts if verdict.cause}
        for check in (check for check in _EXPLAINING if check in chains):
            yield from (without_paths(lang.render(sentence)) for sentence in chains[check].cause[:4])
            return


def _places(sessions: Sequence[Session], lang: Language) -> Iterator[str]:
    """Yield where the source removes caches, before the patch and with it."""
    session = next((session for session in sessions if places_of_removal(session, "before")), None)
    if session is None:
        return
    for version in ("before", "after"):
        places = [p for p in places_of_removal(session, version) if _NAME.fullmatch(p.function)][:MAX_PLACES]
        where = ", ".join(f"{p.file}:{p.line}" for p in places if _NAME.fullmatch(p.file))
        if not places or not where:
            continue
        first = places[0]
        if version == "before":
            yield lang.say(
                "Before the patch, {function} ({where}) removed the caches of a tile that had ended.",
                function=first.function,
                where=where,
            ) + ("" if first.counts else " " + lang.say("It did not count the tiles that still needed them."))
        elif first.counts:
            yield lang.say(
                "With the patch, {function} ({where}) removes a cache when its count in {counts} is 0.",
                function=first.function,
                where=where,
                counts=first.counts,
            )
        else:
            yield lang.say(
                "With the patch, {function} ({where}) removes caches without a count.",
                function=first.function,
                where=where,
            )


def _record(part: Part, key: str) -> Record | None:
    """Return the record of a run; ``None`` for one that can't be read."""
    entry: RunEntry | None = next((run for run in part.session.runs if run.key == key), None)
    try:
        return None if entry is None else read_record(inside(part.folder, entry.record))
    except (RecordError, OSError):
        return None


def _sealed(record: Record | None) -> Record | None:
    """Return a record; ``None`` for one that has no seal, was changed after it, or is beyond the limits."""
    return record if record is not None and record.seal is not None and not (record.damage or record.beyond) else None


# ---- what concerns a reader now ----


def _admission(done: Done, lang: Language) -> Iterator[str]:
    """Yield what the sessions show of ZeMosaic's default settings, with which equal runs differ."""
    say = lang.say
    if {part.session.options.get("profile") or "fast" for part in done.own} != {"fast"}:
        yield say(
            "With the default settings two equal runs of ZeMosaic differ: a different output proves nothing here."
        )
        return
    yield say("The profile fast switches off the settings with which two equal runs of ZeMosaic differ.")
    yield say("With the default settings, this page doesn't show that the outputs are equal.")
    if done.other_profiles:
        yield say("Sessions with the default settings are in the annex. They decide no line.")


def _links(known: Sequence[Known], page: str, lang: Language) -> tuple[FindingLink, ...]:
    return tuple(
        FindingLink(
            f"{one.number} {lang.render(one.short)}",
            f"{page}#{one.anchor}" if page else "",
        )
        for one in sorted(known, key=lambda one: one.number)
    )
