"""Say what a session's verdict does not cover, from the session's own facts, and which findings it knows.

The page, the summary, the terminal and ``dod`` show the same sentences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.analysis.lifetimes import live_bytes
from harness.language.catalogue import Language
from harness.language.message import Message, counted
from harness.record.reader import Record
from harness.session.evidence import holes_with_run_end
from harness.session.model import Session
from harness.session.rows import plain
from harness.verdict import Outcome, Verdict
from reports.names import check_name

MAX_NAMES = 6
"""Cases that a sentence names; it counts the others."""
_SCENARIOS = "ABCD"
_UNDER_FAULTS = "test_under_faults.py"


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a run: its frames, and the most bytes that its caches held at once."""

    frames: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Known:
    """A finding that does not count against the patch: its check, a sentence, and its cases.

    ``before`` says that the baseline has it in every case, ``with_run_end`` that the run with ``run_end`` has it: then it is not
    the patch's, whatever the baseline has. ``about`` is the case that the sentence is about, where the cases have different
    sentences; it is empty for a sentence that holds for all.
    """

    check: str
    sentence: Message
    cases: tuple[str, ...]
    before: bool
    with_run_end: bool = False
    about: str = ""

    @property
    def not_of_the_patch(self) -> bool:
        """Whether another run shows that the patch is not its cause."""
        return self.before or self.with_run_end

    def text(self, lang: Language) -> str:
        """Return the sentence, with the case that it is about."""
        said = lang.render(self.sentence)
        return lang.say("{text} This is about {case}.", text=said, case=self.about) if self.about else said


def sizes(records: Iterable[Record | str | None]) -> tuple[Size, ...]:
    """Return the sizes of the runs whose record can be read."""
    return tuple(
        Size(len(record.request.dataset.frames), live_bytes(record.history).peak)
        for record in records
        if isinstance(record, Record)
    )


def not_covered(session: Session, runs: Iterable[Size], lang: Language) -> tuple[str, ...]:
    """Return a sentence for each thing that a reader could take for covered and that the session did not run."""
    return (*_left_out(session, lang), *_conditions(session, lang), *largest_run(runs, lang), *_frames(session, lang))


def known_findings(session: Session) -> tuple[Known, ...]:
    """Return the findings on the version under test that do not count against the patch, one for each check.

    Holes that the run with ``run_end`` has too come first: they are in the mosaic that a reader looks at.
    """
    found: dict[str, list[tuple[Verdict, str]]] = {}
    for judged in session.judged:
        for verdict in judged.verdicts if judged.role == "subject" else ():
            if verdict.axis == "quality" and verdict.outcome is Outcome.FAIL and not verdict.gates:
                found.setdefault(verdict.check, []).append((verdict, judged.case))
    quality = (_known(check, entries) for check, entries in sorted(found.items()))
    return (*known_holes((session,)), *quality)


def _known(check: str, entries: Sequence[tuple[Verdict, str]]) -> Known:
    cases = tuple(dict.fromkeys(case for _, case in entries))
    before = all(verdict.standing == "pre-existing" for verdict, _ in entries)
    first, case = entries[0]
    if len({verdict.sentence.render() for verdict, _ in entries}) == 1 and not _counts(first):
        return Known(check, first.sentence, cases, before)
    if all(_counts(verdict) and verdict.sentence.text == first.sentence.text for verdict, _ in entries):
        causes = {cause.render() for verdict, _ in entries for cause in verdict.cause}
        return Known(check, replace(first.sentence, values={"count": len(causes)}), cases, before)
    return Known(check, first.sentence, cases, before, about=case)


def _counts(verdict: Verdict) -> bool:
    """Return whether a sentence has one number, and it is that of the findings, which are listed as causes, each once."""
    return dict(verdict.sentence.values) == {"count": len({cause.render() for cause in verdict.cause})}


def known_holes(sessions: Iterable[Session]) -> tuple[Known, ...]:
    """Return the holes of the version under test that the run with ``run_end`` has too, over all cases; empty without one.

    Of a case that several runs or sessions have, the largest holes count.
    """
    found: dict[str, tuple[float, int]] = {}
    for judged in (j for session in sessions for j in session.judged if j.role == "subject"):
        numbers = holes_with_run_end(judged)
        if numbers is not None:
            count, area = numbers
            found[judged.case] = max(found.get(judged.case, (0.0, 0)), (area, int(count)))
    if not found:
        return ()
    area, count = (sum(each) for each in zip(*found.values(), strict=True))
    sentence = counted(
        "{count} hole, {area} arcmin²: run_end does not cover this sky either.",
        "{count} holes, {area} arcmin²: run_end does not cover this sky either.",
        count=int(count),
        area=area,
    )
    return (Known("holes", sentence, tuple(sorted(found)), before=False, with_run_end=True),)


def finding_line(known: Known, lang: Language) -> str:
    """Return a finding in one line: its check, what it says, its cases, and whether the patch can be its cause."""
    values = {
        "check": check_name(known.check, lang),
        "text": known.text(lang),
        "cases": _listed(known.cases),
    }
    if known.with_run_end:
        return lang.say("{check}: {text} The patch is not the cause ({cases}).", **values)
    if known.before:
        return lang.say("{check}: {text} The baseline has it too ({cases}).", **values)
    return lang.say("{check}: {text} It is not known whether the baseline has it ({cases}).", **values)


def _listed(cases: Sequence[str]) -> str:
    """Return the names of some cases, and how many more there are."""
    more = f", … ({len(cases) - MAX_NAMES})" if len(cases) > MAX_NAMES else ""
    return ", ".join(cases[:MAX_NAMES]) + more


def _left_out(session: Session, lang: Language) -> Iterator[str]:
    """Yield the scenarios and cases that were not run, with the option that runs them."""
    evaluated = [test for test in session.tests if test.outcome in (Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN)]
    # The release called alone, without a case, is no run of a scenario.
    ran = {plain(test.nodeid) for test in evaluated if test.case is not None}
    ran_on = {test.case for test in evaluated}
    by_letter: dict[str, bool] = {}
    for row in session.requirements:
        letter = row.id.partition(".")[0]
        if letter in _SCENARIOS:
            by_letter[letter] = by_letter.get(letter, False) or any(test in ran for test in row.tests)
    tests = [lang.say("test {letter}", letter=letter) for letter, done in by_letter.items() if not done]
    under_faults = {test for row in session.requirements for test in row.tests if _UNDER_FAULTS in test}
    if under_faults and not under_faults & ran:
        tests.append(lang.say("the runs under faults"))
    # A case that was run is missing in a line one of whose tests does not apply to the target.
    missing = dict.fromkeys(case for row in session.requirements for case in row.missing)
    cases = [case for case in missing if case not in ran_on]
    parts = [", ".join(tests)] if tests else []
    if cases:
        parts.append(lang.say("cases {names}", names=_listed(cases)))
    if not parts:
        return
    what = lang.semicolons(parts)
    if session.options.get("quick"):
        yield lang.say("Not run: {what}. Run them without --phase3-quick.", what=what)
    else:
        yield lang.say("Not run: {what}.", what=what)


def _conditions(session: Session, lang: Language) -> Iterator[str]:
    """Yield the profile and the platforms."""
    profile = session.options.get("profile", "")
    if profile and ";" not in profile:
        other = "default" if profile == "fast" else "fast"
        yield lang.say("Settings: profile {profile} only, not {other}.", profile=profile, other=other)
    platforms = {part.partition("-")[0] for part in session.environment.get("platform", "").split("; ") if part}
    if len(platforms) == 1:
        yield lang.say("Platform: {name} only.", name=platforms.pop())


def largest_run(runs: Iterable[Size], lang: Language) -> Iterator[str]:
    """Yield the most frames and the most bytes of a run: larger ones were not tried."""
    known = list(runs)
    if known:
        yield lang.counted(
            "No run had more than {count} frame, or more than {size} of caches at once.",
            "No run had more than {count} frames, or more than {size} of caches at once.",
            count=max(size.frames for size in known),
            size=lang.size(max(size.bytes for size in known)),
        )


def _frames(session: Session, lang: Language) -> Iterator[str]:
    """Yield which frames were not run: the user's own, and observed sets."""
    kinds = {run.dataset_kind for run in session.runs}
    if "user" not in kinds:
        yield lang.say("Your own frames were not run.")
    ran = {run.dataset for run in session.runs}
    absent = [known.name for known in session.real_sets if not known.judged and known.name not in ran]
    if absent:
        yield lang.say("Observed sets not run: {names}.", names=", ".join(absent))
    elif "real" not in kinds:
        yield lang.say("No observed frames were run.")
