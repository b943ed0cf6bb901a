"""The fixtures that the tests of the scenarios use: they make the run that a test's marks name, and return its verdict.

A fixture also notes, for the session and JUnit, which run and which check the test is about. It ends the test in its set-up
where there is no verdict to assert: with a skip, or, if the evidence is missing, with an error.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import pytest

from harness.language.catalogue import translator
from harness.language.message import Message, SaidError, say
from harness.plugin.assemble import scenario_of, title_of
from harness.plugin.hooks import Validation, usage_error, validation_of
from harness.plugin.preflight import sides, without_release, without_versions
from harness.plugin.verdicts import UnknownVerdictError
from harness.record.whole import said_of
from harness.verdict import Outcome, Verdict

if TYPE_CHECKING:
    from harness.patch.guard_rails import PatchReport
    from harness.session.campaign import Campaign
    from harness.session.model import JudgedRun


class AskingTest:
    """The test that asks for a fixture: its marks, its notes, and how it ends without a verdict."""

    def __init__(self, node: pytest.Item, lang: str) -> None:
        self.node = node
        self.translate = translator(lang)
        marker = node.get_closest_marker("judges")
        self.check: str = marker.args[0] if marker else ""
        self.given: Mapping[str, Any] = marker.kwargs if marker else {}

    def conclude(self, outcome: Outcome) -> None:
        """Note the outcome of the test's verdict."""
        note(self.node, outcome=outcome)

    def skip(self, outcome: Outcome, *sentences: Message) -> NoReturn:
        """Note the outcome and skip the test with the reason."""
        self.conclude(outcome)
        pytest.skip("\n".join(self.words(*sentences)))

    def unknown(self, *sentences: Message) -> NoReturn:
        """Note that the verdict is unknown and raise, so that pytest shows an error."""
        self.conclude(Outcome.UNKNOWN)
        raise UnknownVerdictError("\n".join(self.words(*sentences))) from None

    def words(self, *sentences: Message) -> tuple[str, ...]:
        """Return sentences in the session's language."""
        return tuple(sentence.render(self.translate) for sentence in sentences)


def note(node: pytest.Item, **facts: object) -> None:
    """Note facts of a test that are not ``None``, as built-in text.

    Notes go from worker to controller, where any type that is not built in ends the session, and into JUnit, where a structure
    would become a Python expression.
    """
    node.user_properties += [(f"phase3_{name}", str(value)) for name, value in facts.items() if value is not None]


@pytest.fixture(scope="session")
def phase3_validation(request: pytest.FixtureRequest) -> Validation:
    """Return the validation of this pytest run."""
    validation = validation_of(request.config)
    if validation is None:
        message = say("expected the validation to be selected, found that it is not: run pytest -m phase3")
        raise usage_error(request.config, SaidError(message))
    return validation


@pytest.fixture(scope="session")
def phase3_campaign(phase3_validation: Validation) -> Campaign:
    """Return the runs and judgements of the session."""
    return phase3_validation.campaign


@pytest.fixture
def asking(request: pytest.FixtureRequest, phase3_campaign: Campaign) -> AskingTest:
    """Return the test that asks for a fixture."""
    return AskingTest(cast("pytest.Item", request.node), phase3_campaign.settings.lang)


@pytest.fixture
def judged(asking: AskingTest, phase3_campaign: Campaign, case_name: str) -> JudgedRun:
    """Return the judged run that the test's ``judges`` mark names. The first test that needs a run makes it."""
    from fixtures.real import AbsentSet
    from harness.session.campaign import NoRoom, NoSuchRun

    subject = asking.given.get("subject", "subject")
    retention = asking.given.get("retention", "per_tile")
    case = next(c for c in phase3_campaign.cases if c.name == case_name)
    scenario, _ = scenario_of(asking.node)
    note(asking.node, case=case_name, title=title_of(asking.node), scenario=scenario)
    try:
        found = phase3_campaign.judged(case, subject, retention)
    except AbsentSet as absent:
        asking.skip(Outcome.NOT_EVALUATED, *absent.messages)
    except NoRoom as missing:
        asking.unknown(*missing.messages)
    except NoSuchRun as missing:
        if subject == "control":
            unseen = say("No control was run, so the harness has not shown that it sees a hole.")
            asking.unknown(*missing.messages, unseen)
        asking.skip(Outcome.NOT_EVALUATED, *missing.messages)
    except (SaidError, OSError) as error:
        asking.unknown(*said_of(phase3_campaign.folder, error))
    run = phase3_campaign.entry(found.run)
    note(asking.node, run=run.key, role=found.role, target=run.target, retention=run.retention, seconds=run.seconds)
    return found


@pytest.fixture
def verdict(asking: AskingTest, judged: JudgedRun, phase3_campaign: Campaign, case_name: str) -> Verdict:
    """Return the verdict of the check that the test's ``judges`` mark names.

    A verdict that is not applicable skips the test, and so does a pass where the frames allow no failure. An unknown verdict is
    an error in set-up, and so is a finding of quality if the baseline was run but does not show whether the finding is new.
    """
    from fixtures.applicable import why_no_hole

    found = next((v for v in judged.verdicts if v.check == asking.check), None)
    if found is None:
        known = ", ".join(v.check for v in judged.verdicts)
        asking.unknown(
            say(
                "expected a check of this run ({known}), found {check}: correct the mark judges of the test",
                known=known,
                check=repr(asking.check),
            )
        )
    note(asking.node, check=found.check, part=asking.given.get("part"), verdict=found.sentence.render(asking.translate))
    if found.outcome is Outcome.UNKNOWN:
        asking.unknown(found.sentence)
    if found.outcome is Outcome.NOT_APPLICABLE:
        asking.skip(Outcome.NOT_APPLICABLE, found.sentence)
    case = next(c for c in phase3_campaign.cases if c.name == case_name)
    if found.check == "holes" and found.outcome is Outcome.PASS and case.kind == "user":
        reason = why_no_hole(phase3_campaign.dataset(case).facts)
        if reason is not None:
            asking.skip(Outcome.NOT_APPLICABLE, reason)
    if of_unknown_standing(found, judged):
        asking.unknown(found.sentence, say("The run of the baseline does not show whether this finding is new."))
    asking.conclude(found.outcome)
    return found


def of_unknown_standing(verdict: Verdict, judged: JudgedRun) -> bool:
    """Return whether a baseline was run and does not show whether a finding is new, for example because it crashed."""
    finding = verdict.axis == "quality" and verdict.outcome is Outcome.FAIL
    return finding and not verdict.standing and judged.baseline is not None


@pytest.fixture
def concluded(asking: AskingTest, judged: JudgedRun) -> JudgedRun:
    """Return the judged run if all its verdicts together conclude pass or fail; an unknown is an error in set-up."""
    asking.conclude(judged.outcome)
    if judged.outcome is Outcome.UNKNOWN:
        unknown = [v for v in judged.verdicts if v.outcome is Outcome.UNKNOWN]
        raise UnknownVerdictError("; ".join(f"{v.check}: {v.sentence.render(asking.translate)}" for v in unknown))
    return judged


@pytest.fixture(scope="session")
def patch_report(phase3_validation: Validation) -> Callable[[], PatchReport]:
    """Return a function that judges the guard rails on the sources of subject and baseline, once."""
    from harness.patch import guard_rails
    from harness.patch.versions import read_folder

    @cache
    def judged() -> PatchReport:
        before, after = (
            read_folder(Path(s.root), s.identity.get("left_out", ())) for s in sides(phase3_validation.campaign)
        )
        report = guard_rails.judge(before, after)
        phase3_validation.patch = report.rows
        return report

    return judged


@pytest.fixture
def patch_row(asking: AskingTest, phase3_campaign: Campaign, patch_report: Callable[[], PatchReport]) -> Verdict:
    """Return what the source shows on the line of the checklist that the test's ``judges`` mark names."""
    from harness.session.campaign import NoSuchRun

    if not phase3_campaign.kind.versioned:
        asking.skip(Outcome.NOT_APPLICABLE, without_versions())
    try:
        row = patch_report().row(asking.check)
    except NoSuchRun as missing:
        asking.skip(Outcome.NOT_EVALUATED, *missing.messages)
    note(asking.node, check=row.check)
    if row.outcome is Outcome.UNKNOWN:
        asking.unknown(row.sentence, *row.cause)
    asking.conclude(row.outcome)
    return row


@pytest.fixture(scope="session")
def driven_facts(phase3_campaign: Campaign) -> Callable[[str], Mapping[str, Any]]:
    """Return a function that calls a release outside of any run, once: the subject's, or that of the reference with a defect."""
    from harness.patch.release_driver import drive
    from harness.targets.resolve import EMBEDDED, resolve

    @cache
    def facts(defect: str) -> Mapping[str, Any]:
        target = phase3_campaign.target("subject")
        if defect:
            target = resolve(EMBEDDED.with_defects([defect]), None, phase3_campaign.root / "targets")
        return drive(target, phase3_campaign.folder / "release" / f"{defect or 'subject'}-{uuid.uuid4().hex[:6]}")

    return facts


@pytest.fixture
def driven(asking: AskingTest, phase3_campaign: Campaign, driven_facts: Callable[[str], Mapping[str, Any]]) -> Verdict:
    """Return the verdict on a release that is called outside of any run: the subject's, or as control that of a defect.

    With ``release`` the counts and removals are judged, with ``growth`` the work for more and more tiles.
    """
    from fixtures.pipeline.defects import COUNT_NOT_BOUNDED, QUADRATIC_RELEASE
    from harness.checks.thresholds import read_thresholds
    from harness.patch.release_check import judge, judge_growth
    from harness.targets.resolve import kind_of

    control, growth = asking.given.get("subject") == "control", asking.check == "growth"
    if not kind_of(phase3_campaign.target("subject").kind).release:
        asking.skip(Outcome.NOT_APPLICABLE, without_release())
    note(asking.node, role="control" if control else None)
    try:
        facts = driven_facts((QUADRATIC_RELEASE if growth else COUNT_NOT_BOUNDED) if control else "")
    except (SaidError, OSError) as error:
        asking.unknown(*said_of(phase3_campaign.folder / "release", error))
    found = judge_growth(facts, read_thresholds()) if growth else judge(facts)
    if found.outcome is Outcome.UNKNOWN:
        asking.unknown(found.sentence)
    asking.conclude(found.outcome)
    return found


@pytest.fixture
def explain(phase3_campaign: Campaign) -> Callable[[Verdict], str]:
    """Return a function that writes out a verdict with its cause, for the message of a failed assertion."""
    translate = translator(phase3_campaign.settings.lang)

    def write_out(verdict: Verdict) -> str:
        causes = [f"  {n}. {link.render(translate)}" for n, link in enumerate(verdict.cause, 1)]
        return "\n".join([f"{verdict.check}: {verdict.sentence.render(translate)}", *causes])

    return write_out
