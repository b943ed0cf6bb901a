"""Fixtures that only the tests of the scenarios use; ``harness/plugin/fixtures.py`` has the others."""

from __future__ import annotations

import pytest


@pytest.fixture
def case(phase3_campaign, case_name):
    """Return the case on which a test runs."""
    return next(c for c in phase3_campaign.cases if c.name == case_name)


@pytest.fixture
def records(phase3_campaign, case):
    """Return a function that gives the record of a run with per_tile."""
    return lambda subject: phase3_campaign.run(case, subject, "per_tile")


@pytest.fixture
def newly_red(phase3_campaign, case):
    """Return a function that gives the verdicts that fail on the subject, and on a baseline pass or are less bad.

    What only the baseline fails, or could not conclude, is no fault of the subject. If it concluded nothing, the test is unknown.
    """
    from harness.checks.severity import worse
    from harness.checks.thresholds import read_thresholds
    from harness.language.catalogue import translator
    from harness.language.message import say
    from harness.plugin.fixtures import UnknownVerdictError
    from harness.verdict import Outcome

    def found(baseline):
        before = {v.check: v for v in baseline.verdicts if v.outcome in (Outcome.PASS, Outcome.FAIL)}
        if not before:
            nothing = say(
                "The run of the baseline concluded nothing, so the version under test can't be compared with it."
            )
            raise UnknownVerdictError(nothing.render(translator(phase3_campaign.settings.lang)))
        limits = read_thresholds()
        red = [v for v in phase3_campaign.judged(case, "subject").verdicts if v.outcome is Outcome.FAIL and v.gates]
        known = [(v, before[v.check]) for v in red if v.check in before]
        return [v for v, other in known if other.outcome is Outcome.PASS or worse(v, other, limits)]

    return found


@pytest.fixture
def not_of_every_version(phase3_campaign, case):
    """Return a function that gives the verdicts with which a control fails with run_end, although the subject does not.

    Only checks that must see the bug count. Those that compare with run_end see it also if run_end has a defect of its own.
    A check that could not conclude on the control, but on the subject, makes the test unknown.
    """
    from harness.checks.judge import judge
    from harness.language.catalogue import translator
    from harness.plugin.fixtures import UnknownVerdictError
    from harness.record.comparison import Comparison
    from harness.verdict import Outcome

    def found(pair, control):
        asked = [name for name in control.expected_red if name not in {"holes", "content", "truth", "parity"}]
        alone = judge(Comparison(phase3_campaign.run(case, "subject", "run_end")), asked)
        subject = {v.check: v.outcome for v in alone}
        other = [v for v in pair.verdicts if v.check in asked and v.outcome is not subject[v.check]]
        unknown = [v for v in other if v.outcome is Outcome.UNKNOWN]
        if unknown:
            translate = translator(phase3_campaign.settings.lang)
            raise UnknownVerdictError("; ".join(f"{v.check}: {v.sentence.render(translate)}" for v in unknown))
        return [v for v in other if v.outcome is Outcome.FAIL]

    return found


@pytest.fixture
def control(phase3_campaign, case):
    """Return the judged run of the version with the bug."""
    return phase3_campaign.judged(case, "control")


@pytest.fixture
def put_to_the_test(request, records, phase3_campaign):
    """Require that the run came to the occasion of its test. Otherwise it shows nothing, and the test is unknown."""
    from harness.checks.premises import NAMED_TWICE, RETRIED
    from harness.language.catalogue import translator
    from harness.plugin.fixtures import UnknownVerdictError
    from harness.record.comparison import Comparison

    premise = {"frame named twice": NAMED_TWICE, "retry": RETRIED}[
        request.node.get_closest_marker("scenario").kwargs["occasion"]
    ]
    unmet = premise.met(Comparison(records("subject")))
    if unmet is not None:
        raise UnknownVerdictError(unmet.render(translator(phase3_campaign.settings.lang)))
