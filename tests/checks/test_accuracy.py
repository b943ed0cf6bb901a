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


def named(found):
    """Return the names of the findings."""
    return [finding["name"] for finding in found.evidence["findings"]]


def sizes(found):
    """Return the size of each finding, by name."""
    return {finding["name"]: finding["size"] for finding in found.evidence["findings"]}


def coloured(run, gains):
    """Return a record whose channels have these gains."""
    return replace(run, products=replace(run.products, channels=micro.in_channels(run.products.stars, gains)))


def known(run=None, change=lambda stars, _: stars):
    """Return the record of a sound run with a truth, and with changed stars."""
    return replace(altered(run or micro.counted().record(), change), truth=TRUTH)


@pytest.mark.parametrize("mode", ["classic", "sds", "grid"])
def test_a_mosaic_like_the_sky_passes(mode):
    """Stars at their positions with fluxes on one scale pass in every mode; the finding does not gate the patch."""
    found = verdict(known(micro.of_mode(mode).record(), dimmed(0.9, lambda x: x > -1e9)))
    assert (found.outcome, found.axis, found.gates) == (Outcome.PASS, "quality", False)
    assert found.evidence["findings"] == []
    assert found.evidence["scale"] == pytest.approx(0.9)
    assert found.evidence["colours"] == pytest.approx([0.9] * 3)


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
    assert all(finding["size"] >= 0 and finding["noise"] >= 0 for finding in found.evidence["findings"])
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
    assert sizes(found) == {"constant areas": 1200, "panel 0: constant areas": 1200}


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


def raised(run, by):
    """Return a record whose last panel has a higher sky, or a lower one."""
    image, *others = run.products.planes
    changed = image.sum.copy()
    changed[:, :, 5:] += image.count[:, :, 5:] * by
    return replace(run, products=replace(run.products, planes=(replace(image, sum=changed), *others)))


def coloured_in_a_panel(run, channel):
    """Return a record in whose last panel a channel is twice as bright."""
    channels = run.products.channels.copy()
    x = (10.0 - run.products.stars[:, 0]) * np.cos(np.radians(41.0)) / micro.SCALE + micro.COLUMNS / 2
    channels[x > 170, channel] *= 2
    return replace(run, products=replace(run.products, channels=channels))


def filled_with_a_constant(run, columns):
    """Return a record in which some columns of the mosaic are filled with a constant."""
    constant = np.zeros_like(run.products.covered)
    constant[:, columns] = True
    return replace(run, products=replace(run.products, constant=constant))


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        (known(change=dimmed(0.5, lambda x: x > -1e9)), known(change=dimmed(1.9, lambda x: x > -1e9)), "scale"),
        (coloured(known(), (0.5, 1.0, 1.0)), coloured(known(), (1.0, 1.0, 0.5)), "colour"),
        (known(change=shifted(2.0)), known(change=shifted(-2.0)), "panel 2: positions"),
        (raised(known(), 60.0), raised(known(), -60.0), "panel 2: level"),
        (coloured_in_a_panel(known(), 0), coloured_in_a_panel(known(), 2), "panel 2: colour"),
        (
            filled_with_a_constant(known(), slice(10, 60)),
            filled_with_a_constant(known(), slice(210, 260)),
            "panel 2: constant areas",
        ),
    ],
    ids=[
        "too bright for too dark",
        "blue for red",
        "down for up",
        "dark for bright",
        "a panel's colour",
        "another panel",
    ],
)
def test_another_defect_of_the_same_size_is_new(before, after, name):
    """A defect in the other direction, colour or panel is another one; the same defect in the pair or the baseline is known."""

    def as_pair(run):
        return replace(run, request=micro.run_end().request)

    def as_baseline(run):
        return replace(run, request=replace(run.request, target=BEFORE))

    found = judge(Comparison(after, as_pair(before), as_baseline(before)), ["accuracy"])[0]
    assert (found.outcome, found.standing, found.gates) == (Outcome.FAIL, "new", True)
    assert found.evidence["new_findings"] == [name]
    for known_from in ((as_pair(after), as_baseline(before)), (as_pair(before), as_baseline(after))):
        assert judge(Comparison(after, *known_from), ["accuracy"])[0].standing == "pre-existing"


def test_a_displacement_is_compared_on_the_sky():
    """The mosaic of the baseline is turned by 180 degrees: the same stars are displaced to the same side of the sky."""
    run = known(change=shifted(2.0))
    cards = run.products.wcs
    rows, columns = run.products.covered.shape
    turned = {
        name: -value if name in {"CDELT1", "CDELT2"} or name.startswith("CD") else value
        for name, value in cards.items()
    }
    turned |= {"CRPIX1": columns + 1 - cards["CRPIX1"], "CRPIX2": rows + 1 - cards["CRPIX2"]}
    products = replace(run.products, wcs=turned, covered=run.products.covered[::-1, ::-1], planes=())
    before = replace(run, products=products, request=replace(run.request, target=BEFORE))
    found = verdict(run, baseline=before)
    assert found.evidence["findings"] == verdict(before).evidence["findings"]
    assert (named(found), found.standing) == (["panel 2: positions"], "pre-existing")


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


def test_a_record_without_a_truth_is_unknown():
    """A run on frames without a truth shows nothing: that is no pass, and no question that does not apply."""
    found = verdict(micro.counted().record())
    assert (found.outcome, found.gates) == (Outcome.UNKNOWN, False)
    assert "the record has no truth" in micro.prose(found)


def test_frames_that_could_not_be_measured_are_unknown_with_the_reason():
    """If no mosaic can be made of a user's frames, the verdict says why."""
    nothing = Truth(np.empty((0, 3)), 0.0, (1.0, 1.0, 1.0), "frames", problem="ValueError: they are too far apart")
    found = verdict(replace(known(), truth=nothing))
    assert found.outcome is Outcome.UNKNOWN
    assert "they are too far apart" in micro.prose(found)


def test_every_second_frame_turned_and_a_panel_at_0_03_of_its_flux():
    """A panel of a user's frames with 3 % of its flux, in a run and its pair, is a finding with its size in magnitudes."""
    stars = TRUTH.stars
    truth = Truth(stars, 0.0, (1.0, 1.0, 1.0), "frames", channels=stars[:, 2:3], frames=18)
    run = replace(known(change=dimmed(0.03, lambda x: x < 80)), truth=truth)
    found = verdict(run, pair=replace(run, request=replace(run.request, retention="run_end", role="pair")))
    assert found.outcome is Outcome.FAIL
    assert sizes(found)["panel 0: flux"] == pytest.approx(3.8, abs=0.1)
    assert "Panel 0: star fluxes are 3 % of those in the other panels." in micro.prose(found)


@pytest.mark.parametrize("gain", [1 / 30, 0.7, 1.4, 50.0])
def test_a_mosaic_tens_of_times_too_dark_or_bright_is_a_finding(gain):
    """A mosaic on another scale than the frames has one finding, whose size is in magnitudes."""
    found = verdict(known(change=dimmed(gain, lambda x: x > -1e9)))
    assert sizes(found) == {"scale": pytest.approx(abs(2.5 * np.log10(gain)), rel=1e-3)}
    assert found.evidence["stars_matched"]
    assert "of the flux that they have in the frames" in micro.prose(found)


def test_a_mosaic_of_displaced_stars_is_compared_by_rank():
    """If no star is at its place, the brightest stars show the scale and the colours, with a larger error."""
    displaced = known(
        change=lambda stars, x: dimmed(1 / 30, lambda x: x > -1e9)(shifted(9.0, lambda x: x > -1e9)(stars, x), x)
    )
    found = verdict(coloured(displaced, (1.0, 1.0, 40.0)))
    assert not found.evidence["stars_matched"]
    assert {"scale", "colour"} <= set(named(found))
    assert sizes(found)["scale"] == pytest.approx(3.7, abs=0.3)
    assert "The brightest stars have" in micro.prose(found)
    sound = verdict(known(change=shifted(9.0, lambda x: x > -1e9)))
    assert {"scale", "colour"}.isdisjoint(named(sound))


def test_a_colour_stretched_40_times_beside_the_others_is_a_finding():
    """One channel with another gain is a finding, whose size is in magnitudes."""
    found = verdict(coloured(known(), (1.0, 1.0, 40.0)))
    assert sizes(found) == {"colour": pytest.approx(2.5 * np.log10(40), rel=1e-3)}
    assert "red 100, green 100, blue 4000" in micro.prose(found)


def test_a_lost_colour_is_a_finding_of_finite_size():
    """A channel without any star has a size, which is as large as that of lost stars."""
    found = verdict(coloured(known(), (1.0, 0.0, 1.0)))
    assert sizes(found) == {"colour": pytest.approx(10.0)}


def test_a_colour_in_one_panel_is_a_finding_of_that_panel():
    """A panel with other colours than the whole mosaic has a finding of its own."""
    run = known()
    channels = run.products.channels.copy()
    x = (10.0 - run.products.stars[:, 0]) * np.cos(np.radians(41.0)) / micro.SCALE + micro.COLUMNS / 2
    channels[x > 170, 0] *= 2
    found = verdict(replace(run, products=replace(run.products, channels=channels)))
    assert named(found) == ["panel 2: colour"]


@pytest.mark.parametrize("gains", [(0.8, 1.0, 0.6), (1.0, 1.0, 1.0), (0.9, 1.0, 0.8)])
def test_a_white_balance_is_no_finding(gains):
    """A mosaic may have the colours of the frames, or white stars, or something in between."""
    stars = TRUTH.stars
    truth = Truth(stars, 0.0, (1.0, 1.0, 1.0), "frames", channels=stars[:, 2:3] * [0.8, 1.0, 0.6])
    assert verdict(replace(coloured(known(), gains), truth=truth)).outcome is Outcome.PASS
    wrong = (gains[0], gains[1], 0.3)
    assert "colour" in sizes(verdict(replace(coloured(known(), wrong), truth=truth)))


def test_a_record_made_before_channels_were_measured_is_unknown():
    """An old record of a mosaic with three channels does not pass; a failure in it still counts."""
    old = known()
    found = verdict(replace(old, products=replace(old.products, channels=None)))
    assert found.outcome is Outcome.UNKNOWN
    assert "before star fluxes were measured by channel" in micro.prose(found)
    dark = known(change=dimmed(0.1, lambda x: x > -1e9))
    assert verdict(replace(dark, products=replace(dark.products, channels=None))).outcome is Outcome.FAIL


def test_a_panel_whose_sky_is_raised_is_a_finding():
    """The sky of panels is compared with each other, because a mosaic may be shifted as a whole."""
    run = known()
    image, *others = run.products.planes
    raised = image.sum.copy()
    raised[:, :, 5:] += image.count[:, :, 5:] * 60.0
    risen = replace(run, products=replace(run.products, planes=(replace(image, sum=raised), *others)))
    found = verdict(risen)
    assert named(found) == ["panel 2: level"]
    assert sizes(found)["panel 2: level"] == pytest.approx(0.6, abs=0.05)
    whole = replace(image, sum=image.sum + image.count * 60.0)
    shifted_whole = replace(run, products=replace(run.products, planes=(whole, *others)))
    assert verdict(shifted_whole).outcome is Outcome.PASS
    stars = TRUTH.stars
    levels = ((0, 100.0), (1, 100.0), (2, 160.0))
    observed = Truth(stars, 0.0, (1.0, 1.0, 1.0), "frames", channels=stars[:, 2:3], levels=levels)
    assert verdict(replace(risen, truth=observed)).outcome is Outcome.PASS  # the frames have the difference too
    assert verdict(replace(run, truth=observed)).outcome is Outcome.PASS  # the target removed it


def test_a_panel_that_is_not_compared_is_named():
    """A pass says which panels had too few stars, so that nothing is said of what was not measured."""
    few = TRUTH.stars[(10.0 - TRUTH.stars[:, 0]) * np.cos(np.radians(41.0)) / micro.SCALE + micro.COLUMNS / 2 < 150]
    found = verdict(replace(known(), truth=replace(TRUTH, stars=few)))
    assert found.outcome is Outcome.PASS
    assert "too few stars: 2" in micro.prose(found)


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
