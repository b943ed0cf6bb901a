"""The finding that tells what a mosaic is worth beside the sky."""

from dataclasses import replace

import numpy as np
import pytest

from harness.checks.judge import judge
from harness.record.comparison import Comparison
from harness.record.request import TargetFacts
from harness.record.truth import Truth
from harness.verdict import Outcome
from tests import micro
from tests.checks.test_truth import ALL, altered, dimmed, shifted

TRUTH = Truth(micro.stars_of(ALL), 100.0, (1.0, 1.0, 1.0), clouded=("p2_0.fits",))


def verdict(run, **runs):
    """Return the verdict of this check alone."""
    return judge(Comparison(run, **runs), ["accuracy"])[0]


def known(run=None, change=lambda stars, _: stars):
    """Return the record of a sound run of whose frames all is known, its stars changed."""
    return replace(altered(run or micro.counted().record(), change), truth=TRUTH)


@pytest.mark.parametrize("mode", ["classic", "sds", "grid"])
def test_a_mosaic_like_the_sky_passes(mode):
    """Fluxes on one scale, stars at their places, in every mode; it never decides on the patch."""
    found = verdict(known(micro.of_mode(mode).record(), dimmed(0.5, lambda x: x > -1e9)))
    assert (found.outcome, found.axis, found.gates) == (Outcome.PASS, "quality", False)
    assert found.evidence["findings"] == []


@pytest.mark.parametrize(
    ("change", "findings"),
    [
        (dimmed(0.838), ["panel 2: flux"]),
        (shifted(2.0), ["panel 2: positions"]),
        (lambda stars, x: stars[x < 150], ["panel 2: stars", "panel 2: flux", "panel 2: positions"]),
        (
            lambda stars, x: np.concatenate([stars, stars[x > 170] + [0.0, 7 * micro.SCALE, 0.0]]),
            ["panel 2: doubled"],
        ),
        (
            lambda stars, x: np.column_stack(
                [stars[:, :2], stars[:, 2] * np.select([x < 80, x < 170], [1.0, 0.5], 0.2)]
            ),
            ["panel 0: flux", "panel 1: flux", "panel 2: flux"],
        ),
    ],
)
def test_findings_have_stable_names(change, findings):
    """Each is named by panel and kind; without a common scale every panel is off."""
    found = verdict(known(change=change))
    assert (found.outcome, found.evidence["findings"]) == (Outcome.FAIL, findings)
    assert not found.gates


def test_clouded_frames_are_told():
    """A panel's flux is told with the number of its frames that show no stars."""
    assert "of its 2 frames 1 show no stars" in micro.prose(verdict(known(change=dimmed(0.838))))


def test_a_panel_that_is_not_covered_is_a_finding():
    """A lost tile hides its panel: nothing there is as it should be, so nothing seen of it later is new."""
    run = known()
    covered = run.products.covered.copy()
    covered[:, 180:] = False
    run = replace(run, products=replace(run.products, covered=covered))
    assert {f for f in verdict(run).evidence["findings"] if f.startswith("panel 2")} == {
        f"panel 2: {what}" for what in ("stars", "flux", "positions", "doubled")
    }


def test_filled_areas_are_a_finding():
    """Constant areas are told whoever else has them."""
    run = known()
    constant = run.products.constant.copy()
    constant[10:40, 20:60] = True
    found = verdict(replace(run, products=replace(run.products, constant=constant)))
    assert found.evidence["findings"] == ["constant areas"]


def test_what_the_baseline_has_too_is_pre_existing():
    """The same panel is as faint before the patch: shown, and no gate. One that only this run has is new, and gates."""
    run = known(change=dimmed(0.838))
    before = replace(run, request=replace(run.request, target=TargetFacts("reference", "before", "", "python")))
    found = verdict(run, baseline=before)
    assert (found.standing, found.gates) == ("pre-existing", False)
    found = verdict(run, baseline=replace(known(), request=before.request))
    assert (found.standing, found.gates) == ("new", True)
    assert found.evidence["new_findings"] == ["panel 2: flux"]


def test_what_the_pair_has_too_is_pre_existing():
    """A baseline that lost frames shows other findings; what the target does with all of them, run_end tells."""
    run = known(change=dimmed(0.838))
    before = replace(known(), request=replace(run.request, target=TargetFacts("reference", "before", "", "python")))
    pair = replace(run, request=replace(run.request, retention="run_end", role="pair"))
    assert judge(Comparison(run, pair, before), ["accuracy"])[0].standing == "pre-existing"
    sound = replace(known(), request=pair.request)
    assert judge(Comparison(run, sound, before), ["accuracy"])[0].standing == "new"


def test_one_new_finding_among_old_ones_is_new():
    """A baseline that is wrong in another way excuses nothing; which of the findings are new is told."""
    run = known(known(change=dimmed(0.838)), shifted(2.0))
    before = replace(
        known(change=shifted(2.0)),
        request=replace(run.request, target=TargetFacts("reference", "before", "", "python")),
    )
    found = verdict(run, baseline=before)
    assert found.evidence["findings"] == ["panel 2: flux", "panel 2: positions"]
    assert (found.standing, found.evidence["new_findings"]) == ("new", ["panel 2: flux"])


def test_a_baseline_that_can_not_be_judged_leaves_the_standing_open():
    """Without a mosaic of its own nobody knows whether it had the finding too."""
    run = known(change=dimmed(0.838))
    before = replace(run, request=replace(run.request, target=TargetFacts("reference", "before", "", "python")))
    assert verdict(run, baseline=replace(before, products=None)).standing == ""


def test_without_a_truth_there_is_no_question():
    """Of a user's own frames nobody knows what they show."""
    assert verdict(micro.counted().record()).outcome is Outcome.NOT_APPLICABLE


def test_missing_evidence_is_unknown():
    """No mosaic; no stars that stand alone."""
    run = known()
    assert verdict(replace(run, products=None)).outcome is Outcome.UNKNOWN
    assert verdict(replace(run, truth=replace(TRUTH, stars=TRUTH.stars[:2]))).outcome is Outcome.UNKNOWN


def test_phase_3_must_be_reached():
    """A run that never came to it has no mosaic of its tiles."""
    run = micro.Micro().event("run_info_phase2_started")
    found = verdict(replace(run.record(), truth=TRUTH))
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "Phase 3 reached")
