"""From a session and its records to the data of a page in one language. All is decided here; the templates lay it out.

The report is a view of the session. It draws no conclusion of its own: outcomes, sentences and causes are the session's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.language.catalogue import Code, Language, language
from harness.language.message import Message
from harness.record.reader import Record, read_record
from harness.record.request import RETENTIONS
from harness.record.values import RecordError, inside, sha256_of
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.model import JudgedRun, Requirement, RunEntry, Session, TestEntry, read_session
from harness.verdict import Outcome, Verdict, merge, rank, worst_first
from reports.badges import (
    BEFORE,
    Badge,
    badge,
    control_badge,
    expected_red,
    finding_word,
    found_red,
    role_rank,
    role_word,
    state_word,
    told_apart,
)
from reports.event_keys import keys_of
from reports.headline import headline, without_verdict
from reports.html import charts, skymap
from reports.html.evidence import node
from reports.html.overview import glance, run_key, scenario_title, scenarios
from reports.html.page import (
    CaseView,
    ControlView,
    Count,
    EntryView,
    FoldView,
    LevelView,
    LineView,
    Link,
    Picture,
    RealSetView,
    ReportView,
    RunView,
    SectionView,
    SkyView,
    TestView,
    TileView,
    TimeView,
    VerdictView,
)

REAL_COMMAND = "pytest -m phase3 --phase3-target=zemosaic:PATH@COMMIT --phase3-python=PYTHON"
FILES: Mapping[str, str] = {"en": "report.html", "fr": "report.fr.html"}
MAX_TILES = 200
# More passes of the subject than this are folded away: what they say together, the matrix above them says.
MAX_PASSES = 12


class Material:
    """A session and its records, read once for the reports in every language.

    Parameters
    ----------
    folder
        The session's folder.

    Raises
    ------
    ValueError
        When there is no session in the folder, or none that can be read.

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.session: Session = read_session(folder)
        self.sha256 = sha256_of(folder / "session.json")
        self.runs: Mapping[str, RunEntry] = {run.key: run for run in self.session.runs}
        self._records: dict[str, Record | str] = {}

    def record(self, key: str | None) -> Record | str | None:
        """Return the record of a run, what went wrong when it was read, or ``None`` where the session has no such run."""
        if key is None or key not in self.runs:
            return None
        if key not in self._records:
            try:
                self._records[key] = read_record(inside(self.folder, self.runs[key].record))
            except (RecordError, OSError) as error:
                self._records[key] = str(error)
        return self._records[key]


def build(
    material: Material, code: Code, *, side: int, drawings: bool = True, translation: str | None = None
) -> ReportView:
    """Build the page's data in one language.

    Parameters
    ----------
    material
        The session and its records.
    code
        The language.
    side
        The longest side of a picture, in pixels.
    drawings
        Whether runs are drawn at all.
    translation
        The file name of the same report in the other language, where there is one.

    """
    return _Builder(material, language(code), side, drawings=drawings).page(translation)


class _Words(NamedTuple):
    """What the drawings over time are about: below them, for those who can't see them, and in place of an empty one."""

    caption: str
    look_for: str
    no_bytes: str
    no_tiles: str


class _Builder:
    """Builds the parts of one page; ids are made of counters, never of text that was read."""

    def __init__(self, material: Material, lang: Language, side: int, *, drawings: bool) -> None:
        self.material = material
        everything = material.session.judged
        self.session = replace(material.session, judged=told_apart(everything))
        self.baselines = {(j.case, j.run) for j in everything if j.role == "baseline"}
        self.baselines |= {(j.case, j.baseline) for j in everything if j.baseline is not None}
        self.lang = lang
        self.side = side
        self.drawings = drawings
        cases = sorted({j.case for j in self.session.judged}, key=lambda c: (self._case_rank(c), c))
        self.case_ids = {case: f"case-{n}" for n, case in enumerate(cases, 1)}
        self.run_ids = {run_key(j): f"run-{n}" for n, j in enumerate(self.session.judged, 1)}
        self.scenarios = scenarios(self.session)
        self.tests = sorted(self.session.tests, key=lambda t: (rank(t.outcome), t.nodeid))
        self.test_ids = {t.nodeid: f"test-{n}" for n, t in enumerate(self.tests, 1)}

    def page(self, translation: str | None) -> ReportView:
        lang, session = self.lang, self.session
        mark, title, sentence = headline(session, lang)
        cases = tuple(self._case(case) for case in self.case_ids)
        verdicts = sorted(
            (v for c in cases for r in c.runs if not r.control for v in r.verdicts), key=lambda v: v.order
        )
        shown, folds = self._folded(verdicts)
        checklist, controls = self._checklist(), self._controls()
        smaller = ""
        if not self.drawings:
            smaller = lang.say(
                "The drawings are left out, to keep this page small: there are too many runs. The records hold all."
            )
        return ReportView(
            language=lang,
            title=title,
            sentence=sentence,
            badge=mark,
            self_test=session.self_test,
            real_command=REAL_COMMAND,
            target=session.target,
            created=lang.when(session.created),
            command=session.command,
            sha256=self.material.sha256,
            counts=self._counts(),
            done=next((s.lines for s in checklist if s.title == DEFINITION_OF_DONE), ()),
            glance=glance(session, lang, self.case_ids, self.run_ids, {c.name: c.dataset for c in cases}),
            without_verdict=tuple(self._test(t) for t in without_verdict(session)),
            verdicts=shown,
            folds=folds,
            controls_off=tuple(c for c in controls if c.outcome is not Outcome.PASS),
            all_well=not any(v.outcome in (Outcome.FAIL, Outcome.UNKNOWN) for v in shown),
            controls=controls,
            cases=cases,
            checklist=checklist,
            tests=tuple(self._test(t) for t in self.tests),
            runs=tuple(self._entry(r) for r in sorted(session.runs, key=lambda r: r.key)),
            real_sets=tuple(RealSetView(s.name, s.judged, s.command) for s in session.real_sets),
            real_judged=any(s.judged for s in session.real_sets),
            identity=_pairs(session.identity),
            environment=tuple((str(k), str(v)) for k, v in session.environment.items()),
            translation=translation,
            smaller=smaller,
        )

    def _folded(self, verdicts: Sequence[VerdictView]) -> tuple[tuple[VerdictView, ...], tuple[FoldView, ...]]:
        """Part the verdicts to be read at once from those that can wait.

        Failures and unknowns are never folded; passes of what the subject is compared with always are, its own when many.
        """
        say = self.lang.say
        before = tuple(v for v in verdicts if v.before)
        well = [v for v in verdicts if v.outcome not in (Outcome.FAIL, Outcome.UNKNOWN) and not v.before]
        own = [v for v in well if v.subject]
        all_of_them = len(own) > MAX_PASSES
        folded = well if all_of_them else [v for v in well if not v.subject]
        ids = {v.id for v in (*folded, *before)}
        passes = tuple(v for v in folded if v.outcome is Outcome.PASS)
        others = tuple(v for v in folded if v.outcome is not Outcome.PASS)
        count = len(passes)
        told = say("Verdicts that pass: {count}", count=count)
        if not all_of_them:
            told = say("Verdicts that pass on the runs compared with: {count}", count=count)
        folds = (
            FoldView(told, passes),
            FoldView(say("Verdicts not applicable: {count}", count=len(others)), others),
            FoldView(say("Verdicts on the baseline, which gate nothing: {count}", count=len(before)), before),
        )
        return tuple(v for v in verdicts if v.id not in ids), tuple(f for f in folds if f.verdicts)

    def _counts(self) -> tuple[Count, ...]:
        outcomes = [t.outcome for t in self.session.tests]
        return tuple(Count(badge(o, self.lang), self.lang.number(outcomes.count(o))) for o in Outcome if o in outcomes)

    def _case_rank(self, case: str) -> int:
        return rank(_worst(j for j in self.session.judged if j.case == case))

    def _case(self, case: str) -> CaseView:
        judged = sorted(
            (j for j in self.session.judged if j.case == case),
            key=lambda j: (role_rank(j.role), j.run),
        )
        entry = next((self.material.runs[j.run] for j in judged if j.run in self.material.runs), None)
        return CaseView(
            id=self.case_ids[case],
            name=case,
            scenario=scenario_title(self.session, self.scenarios.get(case, "")),
            mode="" if entry is None else entry.mode,
            dataset="" if entry is None else self._dataset(entry),
            badge=badge(_worst(judged), self.lang),
            runs=tuple(self._run(j) for j in judged),
        )

    def _dataset(self, entry: RunEntry) -> str:
        say = self.lang.say
        kinds = {
            "synthetic": say("synthetic frames"),
            "real": say("observed frames"),
            "user": say("frames of your own"),
        }
        return f"{entry.dataset} ({kinds.get(entry.dataset_kind, entry.dataset_kind)})"

    def _run(self, judged: JudgedRun) -> RunView:
        lang, material = self.lang, self.material
        entry = material.runs.get(judged.run)
        found, pair = material.record(judged.run), material.record(judged.pair)
        problems = self._problems(found, judged)
        if isinstance(pair, str):
            problems.append(lang.say("The record of the pair can't be read: {error}", error=pair))
        record = found if isinstance(found, Record) else None
        pair_record = pair if isinstance(pair, Record) else None
        target = entry.target if entry else judged.run
        retention = entry.retention if entry else lang.say("unknown")
        photograph = None
        if record is not None and self.drawings and record.products is not None:
            made = skymap.photograph(record.folder, record.products.thumbnail, self.side)
            photograph = Picture(*made) if made else None
        return RunView(
            id=self.run_ids[run_key(judged)],
            title=self._role(judged.case, judged.run, judged.role),
            target=target,
            retention=retention,
            badge=badge(judged.outcome, lang),
            control=judged.expected_red is not None,
            is_pair=judged.role.endswith("pair"),
            expected=expected_red(judged, lang),
            found=found_red(judged, lang),
            compared=self._compared(judged),
            problems=tuple(problems),
            verdicts=tuple(
                self._verdict(v, judged, n) for n, v in enumerate(sorted(judged.verdicts, key=worst_first), 1)
            ),
            photograph=photograph,
            photograph_alt=lang.say(
                "Mosaic made by {target} with {retention}. Look for a missing or cut panel, for steps at seams, and for stars"
                " that are doubled or gone.",
                target=target,
                retention=retention,
            ),
            sky=self._sky(judged, record, pair_record) if self.drawings else None,
            time=self._time(record) if record is not None and self.drawings else None,
            retained=self._retained(judged) if self.drawings else (),
            retained_said=next((lang.render(v.sentence) for v in judged.verdicts if v.check == "disk"), ""),
            cost=self._cost(judged) if self.drawings else (),
        )

    def _problems(self, found: Record | str | None, judged: JudgedRun) -> list[str]:
        say = self.lang.say
        if found is None:
            return [say("The session has no run {run}: nothing can be drawn.", run=judged.run)]
        if isinstance(found, str):
            return [say("The record can't be read: {error}", error=found)]
        problems = []
        if found.seal is None:
            problems.append(say("The record was never sealed: the run may have been cut off."))
        elif found.seal.state != "done":
            state = state_word(found.seal.state, self.lang)
            problems.append(say("The run ended as: {state}. {reason}", state=state, reason=found.seal.reason))
        if found.damage:
            problems.append(say("The record was changed since it was sealed: {what}", what="; ".join(found.damage[:5])))
        if found.history.torn:
            problems.append(say("Lines that could not be read: {what}", what="; ".join(found.history.torn[:5])))
        if found.products is None or found.products.mosaic is None:
            problems.append(say("No mosaic was made, or it was not measured."))
        return problems

    def _compared(self, judged: JudgedRun) -> str:
        parts = []
        for role, key in (("pair", judged.pair), ("baseline", judged.baseline)):
            entry = self.material.runs.get(key) if key is not None else None
            if entry is not None:
                # A pair is named by what it is here: another subject's or control's pair may be the same run.
                own = entry.role if role == "baseline" else role
                run = f"{entry.target}, {entry.retention}"
                parts.append(self.lang.say("{role}: {run}", role=self._role(entry.case, entry.key, own), run=run))
        return " · ".join(parts)

    def _role(self, case: str, run: str, role: str) -> str:
        """Return the word for a run's role; the run before the patch may be a control and the baseline at once."""
        word = role_word(role, self.lang)
        if role != "baseline" and (case, run) in self.baselines:
            return self.lang.say("{role}, also the baseline", role=word)
        return word

    def _verdict(self, verdict: Verdict, judged: JudgedRun, number: int) -> VerdictView:
        lang = self.lang
        entry = self.material.runs.get(judged.run)
        control = judged.expected_red is not None
        shown = control_badge(verdict, judged, lang) if control else badge(verdict.outcome, lang)
        run_id = self.run_ids[run_key(judged)]
        return VerdictView(
            id=f"{run_id}-verdict-{number}",
            case=judged.case,
            case_id=self.case_ids[judged.case],
            role=self._role(judged.case, judged.run, judged.role),
            run=f"{entry.target}, {entry.retention}" if entry else judged.run,
            check=verdict.check,
            badge=shown,
            sentence=lang.render(verdict.sentence),
            finding=finding_word(verdict, lang),
            cause=tuple(lang.render(link) for link in verdict.cause),
            evidence=node(_without_drawn(verdict.evidence), lang) if verdict.evidence else None,
            keys=keys_of(verdict, lang),
            outcome=verdict.outcome,
            subject=judged.role == "subject",
            before=judged.role in BEFORE,
            order=(rank(verdict.outcome), not verdict.gates, judged.case, role_rank(judged.role), verdict.check),
        )

    def _controls(self) -> tuple[ControlView, ...]:
        lang = self.lang
        views = []
        for judged in sorted(self.session.judged, key=lambda j: (rank(j.outcome), j.case)):
            if judged.expected_red is None:
                continue
            entry = self.material.runs.get(judged.run)
            views.append(
                ControlView(
                    run_id=self.run_ids[run_key(judged)],
                    case=judged.case,
                    target=f"{entry.target}, {entry.retention}" if entry else judged.run,
                    role=self._role(judged.case, judged.run, judged.role),
                    badge=badge(judged.outcome, lang),
                    outcome=judged.outcome,
                    expected=expected_red(judged, lang),
                    found=found_red(judged, lang),
                )
            )
        return tuple(views)

    def _sky(self, judged: JudgedRun, run: Record | None, pair: Record | None) -> SkyView | None:
        lang = self.lang
        holes = next((v for v in judged.verdicts if v.check == "holes"), None)
        outlines = _outlines(holes.evidence if holes else {})
        maps = skymap.maps(run.products if run else None, pair.products if pair else None, outlines, self.side)
        if maps is None:
            return None
        numbers = ", ".join(h.number for h in (maps.run or maps.pair or _NO_MAP).holes)
        if numbers:
            alt = lang.say(
                "Coverage of the run. Holes are outlined and numbered: {numbers}. Compare each place with the pair.",
                numbers=numbers,
            )
        else:
            alt = lang.say("Coverage of the run. No hole is outlined. Compare its edges with those of the pair.")
        any_map = maps.pair or maps.run
        compass = any_map.compass if any_map else None
        return SkyView(
            maps=maps,
            levels=tuple(LevelView(level.colour, _level(level, lang)) for level in maps.levels),
            bar=lang.angle(compass.arcminutes) if compass else "",
            run_alt=alt,
            pair_alt=lang.say("Coverage of the pair, the same target with run_end: what the run must cover too."),
        )

    def _time(self, record: Record) -> TimeView | None:
        lang, history = self.lang, record.history
        axis = charts.clock(history)
        if axis is None:
            return None
        chart = charts.bytes_chart(history, axis, lang)
        made = sum(t.made for t in history.tiles)
        words = self._words(record.request.mode)
        return TimeView(
            chart=chart,
            chart_caption=words.caption,
            chart_alt=lang.say(
                "Live bytes of caches over time: {peak} at most, {last} at the end of the trace. {what}",
                peak=lang.size(chart.peak),
                last=lang.size(chart.last),
                what=words.look_for,
            ),
            no_bytes=words.no_bytes,
            no_tiles=words.no_tiles,
            timeline=charts.timeline(history, axis, lang),
            timeline_alt=lang.say(
                "Master tiles over time, a row a thread: {made} made of {all}. Look for caches that are removed before a tile"
                " that reads them has ended.",
                made=made,
                all=len(history.tiles),
            ),
            tiles=tuple(self._tile(t, axis) for t in history.tiles[:MAX_TILES]),
            tiles_left_out=max(0, len(history.tiles) - MAX_TILES),
        )

    def _words(self, mode: str) -> _Words:
        """Return what the drawings over time are about in a mode: a run that leaves its mode may still have other parts."""
        say = self.lang.say
        missing = say("Neither the trace nor the samples hold any cache: nothing can be drawn.")
        no_tiles = say("SDS and grid mode make no master tiles: there is nothing to draw.")
        if mode == "sds":
            stay = say("With SDS the coadd reads every cache: they stay until it is over.")
            return _Words(say("All caches are written in Phase 1. {what}", what=stay), stay, missing, no_tiles)
        if mode == "grid":
            none = say("Grid mode writes no caches.")
            return _Words(none, none, say("Grid mode writes no caches: there is nothing to draw."), no_tiles)
        return _Words(
            say("All caches are written in Phase 1; with per_tile they must go step by step during Phase 3."),
            say("With per_tile the line must come down in steps during Phase 3, not at its end."),
            missing,
            say("The record holds no step of any tile: nothing can be drawn."),
        )

    def _retained(self, judged: JudgedRun) -> tuple[charts.Retained, ...]:
        """Draw the three retentions side by side, where the session has them all."""
        records = [self.material.record(key) for key in (judged.run, judged.pair, *judged.equals)]
        histories = {r.request.retention: r.history for r in reversed(records) if isinstance(r, Record)}
        if judged.role != "subject" or set(histories) < set(RETENTIONS):
            return ()
        return charts.retained({name: histories[name] for name in reversed(RETENTIONS)}, self.lang)

    def _cost(self, judged: JudgedRun) -> tuple[charts.Spread, ...]:
        """Draw what the cost check measured: the ratio of times and the growth of bookkeeping, each with its interval."""
        say, number = self.lang.say, self.lang.number
        evidence = next((v.evidence for v in judged.verdicts if v.check == "cost"), {})
        drawn = []
        for name, label, marks in (
            ("ratio", say("Phase 3 time, per_tile to run_end"), ((1.0, say("equal")),)),
            ("exponent", say("Growth of bookkeeping with the inputs"), ((1.0, say("linear")), (2.0, say("quadratic")))),
        ):
            found = [_finite(evidence.get(f"{name}{end}")) for end in ("", "_low", "_high", "_limit")]
            if None in found:
                continue
            value, low, high, limit = (f for f in found if f is not None)
            pairs = evidence.get("phase_3_seconds") if name == "ratio" else ()
            listed = pairs if isinstance(pairs, list | tuple) else ()
            points = [_finite(p.get("ratio")) for p in listed if isinstance(p, Mapping)]
            figures = {"value": number(value, digits=3), "low": number(low, digits=3), "high": number(high, digits=3)}
            text = say("{value}; 95 % interval {low} to {high}", **figures)
            lines = [
                charts.Tick(at, word)
                for at, word in (*marks, (limit, say("limit {value}", value=number(limit, digits=3))))
            ]
            shown = [p for p in points[:MAX_TILES] if p is not None]
            drawn.append(charts.spread(label, text, (value, low, high), shown, lines))
        return tuple(drawn)

    def _tile(self, tile: Any, axis: charts.Clock) -> TileView:
        def at(t: int | None) -> str:
            return "–" if t is None else self.lang.seconds(axis.seconds(t))

        return TileView(
            tile=str(tile.tile),
            retry_of="" if tile.retry_of is None else str(tile.retry_of),
            frames=self.lang.number(len(tile.frames)),
            thread=tile.thread or "–",
            submitted=at(tile.submitted),
            started=at(tile.started),
            ended=at(tile.ended),
            collected=at(tile.collected),
            outcome=charts.outcome_word(tile, self.lang),
            failed=not tile.made,
            error=tile.error or "",
        )

    def _checklist(self) -> tuple[SectionView, ...]:
        sections: dict[str, list[LineView]] = {}
        for requirement in self.session.requirements:
            sections.setdefault(requirement.section, []).append(self._line(requirement))
        return tuple(SectionView(title, tuple(lines)) for title, lines in sections.items())

    def _line(self, requirement: Requirement) -> LineView:
        outcome = requirement.outcome
        # A run of the embedded reference says nothing on what is to be signed, whatever the file holds.
        if self.session.self_test and requirement.section == DEFINITION_OF_DONE:
            outcome = Outcome.NOT_EVALUATED
        judging = [t for t in self.tests if t.nodeid.partition("[")[0] in requirement.tests]
        links = tuple(Link(self.test_ids[t.nodeid], self._title(t) or t.nodeid, t.case or "") for t in judging)
        return LineView(requirement.id, requirement.text, badge(outcome, self.lang), links)

    def _test(self, test: TestEntry) -> TestView:
        shown = badge(test.outcome, self.lang)
        title = self._title(test)
        return TestView(self.test_ids[test.nodeid], title, test.nodeid, test.case or "", shown, test.message)

    def _title(self, test: TestEntry) -> str:
        """Return what a test states, the first line of its docstring, which the catalogue knows too."""
        return self.lang.render(Message(test.title))

    def _entry(self, run: RunEntry) -> EntryView:
        record = self.material.record(run.key)
        identity = record.request.target.identity if isinstance(record, Record) else {}
        roles = {j.role for j in self.session.judged if (j.case, j.run) == (run.case, run.key)} or {run.role}
        sign, style = ("✓", "pass") if run.state == "done" else ("?", "unknown")
        return EntryView(
            case=run.case,
            role=", ".join(self._role(run.case, run.key, role) for role in sorted(roles, key=role_rank)),
            purpose=self._purpose(run),
            way=self.lang.say("{mode}, workers: {count}", mode=run.mode, count=run.workers),
            target=run.target,
            retention=run.retention,
            dataset=self._dataset(run),
            state=Badge(sign, state_word(run.state, self.lang), style),
            seconds=self.lang.seconds(run.seconds),
            identity=", ".join(f"{k} {v}" for k, v in _pairs(identity)),
            record=run.record,
        )

    def _purpose(self, run: RunEntry) -> str:
        """Return what a run is for that is not judged itself: it stands beside one that is."""
        if any((j.case, j.run) == (run.case, run.key) for j in self.session.judged):
            return ""
        beside = [j for j in self.session.judged if j.case == run.case]
        if any(run.key in pair for j in beside for pair in j.timed):
            return self.lang.say("made again to be timed, not judged")
        if any(run.key in j.sizes for j in beside):
            record = self.material.record(run.key)
            frames = len(record.request.dataset.frames) if isinstance(record, Record) else 0
            return self.lang.say("one of growing size, not judged; frames: {count}", count=frames)
        return self.lang.say("made to be compared with, not judged")


_NO_MAP = skymap.Map("", 1, 1, (), None)


def _worst(judged: Iterable[JudgedRun]) -> Outcome:
    """Return the worst outcome of a case; the run before the patch has none to answer for, unless it is alone."""
    known = list(judged)
    answering = [j for j in known if j.role not in BEFORE] or known
    return merge(j.outcome for j in answering)


def _pairs(identity: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((str(k), _plain(v)) for k, v in sorted(identity.items()))


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(v) for v in value) or "–"
    return "–" if value is None or value == "" else str(value)


def _level(level: skymap.Level, lang: Language) -> str:
    if level.low == level.high:
        return lang.number(level.low)
    # More decimals than a tenth of the step would tell nothing.
    decimals = max(0, math.ceil(-math.log10(level.high - level.low)) + 1)
    return "–".join(lang.number(round(edge, decimals)) for edge in (level.low, level.high))


def _finite(value: Any) -> float | None:
    """Return a number from evidence, which anybody may have edited; ``None`` where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _without_drawn(evidence: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out the holes' edges and lines over time: they are drawn."""
    return {key: value for key, value in evidence.items() if key not in {"outlines", "series"}}


def _outlines(evidence: Mapping[str, Any]) -> tuple[skymap.Outline, ...]:
    """Return the edges of the holes that a verdict's evidence holds; what can't be read as one is left out."""
    found = evidence.get("outlines")
    if not isinstance(found, Mapping):
        return ()
    outlines = []
    for number, points in found.items():
        try:
            edge = np.asarray(points, dtype=np.float64)
        except (TypeError, ValueError):
            continue
        if edge.ndim == 2 and edge.shape[1] == 2 and len(edge) > 2 and np.isfinite(edge).all():
            outlines.append(skymap.Outline(str(number), edge))
    return tuple(outlines)
