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
    """Return a function that gives the verdicts that fail on the subject and pass on a baseline."""
    from harness.verdict import Outcome

    def found(baseline):
        sound = {v.check for v in baseline.verdicts if v.outcome is Outcome.PASS}
        now = phase3_campaign.judged(case, "subject").verdicts
        return [v for v in now if v.outcome is Outcome.FAIL and v.check in sound]

    return found


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
