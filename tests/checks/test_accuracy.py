"""Test the finding that compares the mosaic with the known sky."""

from dataclasses import replace

import numpy as np
import pytest

from harness.checks.findings import names_in
from harness.checks.judge import judge
from harness.record.comparison import Comparison
from harness.record.request import TargetFacts
from harness.record.truth import Truth
from harness.verdict import Outcome
from tests import micro
from tests.checks.test_truth import ALL, altered, dimmed, shifted

BEFORE = TargetFacts("reference", "before", "", "python")
TRUTH = Truth(micro.stars_of(ALL), 100.0, (1.0, 1.0, 1.0), clouded=("p2_0.fits",))


def verdict(run, **runs):
    """Return the verdict of this check alone."""
    return judge(Comparison(run, **runs), ["accuracy"])[0]


def known(run=None, change=lambda stars, _: stars):
    """Return the record of a sound run with a truth, and with changed stars."""
    return replace(altered(run or micro.counted().record(), change), truth=TRUTH)


@pytest.mark.parametrize("mode", ["classic", "sds", "grid"])
def test_a_mosaic_like_the_sky_passes(mode):
    """Stars at their positions with fluxes on one scale pass in every mode; the finding does not gate the patch."""
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
    """Each finding is named by panel and kind; without a common scale every panel has one."""
    found = verdict(known(change=change))
    assert (found.outcome, list(names_in(found.evidence))) == (Outcome.FAIL, findings)
    assert not found.gates


def test_panels_without_a_common_scale_have_their_scatter():
    """A panel on the median scale, of panels with no common scale, has the scatter in its finding."""
    found = verdict(known(change=lambda stars, x: dimmed(0.2)(dimmed(0.5, lambda x: x >= 80)(stars, x), x)))
    assert "Panel 1: star fluxes scatter by 180 % between the panels, which have no common scale." in micro.prose(found)


def test_clouded_frames_are_reported():
    """The finding on a panel's flux has the number of its frames without stars."""
    assert "frames that show no stars: 1 of 2" in micro.prose(verdict(known(change=dimmed(0.838))))


def test_a_panel_that_is_not_covered_is_a_finding():
    """A panel that is not covered has every kind of finding, so that no later finding in it is new."""
    run = known()
    covered = run.products.covered.copy()
    covered[:, 180:] = False
    run = replace(run, products=replace(run.products, covered=covered))
    assert {f for f in names_in(verdict(run).evidence) if f.startswith("panel 2")} == {
        f"panel 2: {what}" for what in ("stars", "flux", "positions", "doubled")
    }


def test_filled_areas_are_a_finding():
    """A constant area is a finding, whether or not other runs have it."""
    run = known()
    constant = run.products.constant.copy()
    constant[10:40, 20:60] = True
    found = verdict(replace(run, products=replace(run.products, constant=constant)))
    assert found.evidence["findings"] == [{"name": "constant areas", "size": 1200.0, "noise": 0.0}]


def test_what_the_baseline_has_too_is_pre_existing():
    """A finding that the baseline has too does not gate; one that only this run has is new, and gates."""
    run = known(change=dimmed(0.838))
    before = replace(run, request=replace(run.request, target=TargetFacts("reference", "before", "", "python")))
    found = verdict(run, baseline=before)
    assert (found.standing, found.gates) == ("pre-existing", False)
    found = verdict(run, baseline=replace(known(), request=before.request))
    assert (found.standing, found.gates) == ("new", True)
    assert found.evidence["new_findings"] == ["panel 2: flux"]


def test_what_the_pair_has_too_is_pre_existing():
    """A finding that run_end has too is pre-existing, because a baseline that lost frames may have other findings."""
    run = known(change=dimmed(0.838))
    before = replace(known(), request=replace(run.request, target=TargetFacts("reference", "before", "", "python")))
    pair = replace(run, request=replace(run.request, retention="run_end", role="pair"))
    assert judge(Comparison(run, pair, before), ["accuracy"])[0].standing == "pre-existing"
    sound = replace(known(), request=pair.request)
    assert judge(Comparison(run, sound, before), ["accuracy"])[0].standing == "new"


def test_one_new_finding_among_old_ones_is_new():
    """One new finding makes the verdict new, and the evidence lists it."""
    run = known(known(change=dimmed(0.838)), shifted(2.0))
    before = replace(
        known(change=shifted(2.0)),
        request=replace(run.request, target=TargetFacts("reference", "before", "", "python")),
    )
    found = verdict(run, baseline=before)
    assert names_in(found.evidence) == ("panel 2: flux", "panel 2: positions")
    assert (found.standing, found.evidence["new_findings"]) == ("new", ["panel 2: flux"])


@pytest.mark.parametrize(
    ("flux", "standing"), [(0.80, "pre-existing"), (0.82, "pre-existing"), (0.70, "new"), (0.88, "new"), (0.97, "")]
)
def test_another_flux_behind_the_name_of_an_old_finding_is_new(flux, standing):
    """The baseline and run_end have "panel 2: flux" of 0.8. Another flux is new, brighter or fainter; the right one is none."""
    pair = replace(known(change=dimmed(0.80)), request=micro.run_end().request)
    before = replace(known(change=dimmed(0.80)), request=replace(known().request, target=BEFORE))
    found = judge(Comparison(known(change=dimmed(flux)), pair, before), ["accuracy"])[0]
    assert found.standing == standing
    worse = [{"name": "panel 2: flux", "before": 0.8, "after": flux}] if standing == "new" else []
    assert found.evidence.get("worse", []) == worse
    assert ("It was 0.8 in the runs that it is compared with" in micro.prose(found)) is (standing == "new")


def test_more_stars_lost_than_in_the_baseline_is_new():
    """Half of a panel's stars is lost in the baseline. The same loss is pre-existing; nearly all stars lost is new."""

    def without(keep):
        def change(stars, x):
            in_panel = np.flatnonzero(x > 170)
            return np.delete(stars, in_panel[:-keep], axis=0)

        return change

    few, fewer = (known(change=without(keep)) for keep in (5, 1))
    before = replace(few, request=replace(few.request, target=BEFORE))
    assert verdict(few, baseline=before).standing == "pre-existing"
    found = verdict(fewer, baseline=before)
    assert (found.standing, found.evidence["new_findings"]) == ("new", ["panel 2: stars"])


def test_the_measures_of_a_baseline_that_lost_caches_are_not_compared_without_run_end():
    """Fluxes of a baseline that lost frames differ for that reason. Without run_end only the names are compared."""
    lossy = micro.naive(target=BEFORE).record(products=known().products)
    before = replace(lossy, truth=TRUTH, products=known(change=dimmed(0.6)).products)
    assert verdict(known(change=dimmed(0.8)), baseline=before).standing == "pre-existing"


def test_a_baseline_that_can_not_be_judged_leaves_the_standing_open():
    """If the baseline has no mosaic, it is unknown whether the finding is new."""
    run = known(change=dimmed(0.838))
    before = replace(run, request=replace(run.request, target=TargetFacts("reference", "before", "", "python")))
    assert verdict(run, baseline=replace(before, products=None)).standing == ""


def test_without_a_truth_there_is_no_question():
    """A run on frames without a truth is not applicable."""
    assert verdict(micro.counted().record()).outcome is Outcome.NOT_APPLICABLE


def test_missing_evidence_is_unknown():
    """Without a mosaic, or without enough unblended stars, the answer is unknown."""
    run = known()
    assert verdict(replace(run, products=None)).outcome is Outcome.UNKNOWN
    assert verdict(replace(run, truth=replace(TRUTH, stars=TRUTH.stars[:2]))).outcome is Outcome.UNKNOWN


def test_phase_3_must_be_reached():
    """A run that did not reach Phase 3 is unknown."""
    run = micro.Micro().event("run_info_phase2_started")
    found = verdict(replace(run.record(), truth=TRUTH))
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "Phase 3 reached")
