"""Test the check that the outputs equal those of other runs."""

from dataclasses import replace

import numpy as np
import pytest

from harness.checks.judge import judge
from harness.record.comparison import Comparison
from harness.record.leftovers import LeftFile
from harness.record.request import Hold, TargetFacts
from harness.verdict import Outcome
from tests import micro

ZEMOSAIC = TargetFacts("zemosaic", "zemosaic b59a65f", "", "python")
BEFORE = TargetFacts("zemosaic", "zemosaic 63bcc2c", "", "python")


def verdict(runs):
    """Return the verdict of this check alone."""
    return judge(runs, ["parity"])[0]


def changed(record, **products):
    """Return a record with other products."""
    return replace(record, products=replace(record.products, **products))


def moved(record, where=np.s_[:], by=1.0):
    """Return a record with some blocks of the mosaic, by row and column, brighter in every channel."""
    image, *others = record.products.planes
    plus = np.zeros(image.count.shape[1:])
    plus[where] = by
    other = replace(
        image, sha256="0" * 64, sum=image.sum + image.count * plus, low=image.low + plus, high=image.high + plus
    )
    return changed(record, planes=(other, *others))


def of(target, run=lambda record: record, mode="classic"):
    """Return a sound run of a target with its pair; ``run`` changes the run."""
    runs = micro.runs(micro.of_mode(mode, target=target))
    return replace(runs, run=run(runs.run))


def test_equal_outputs_pass():
    """A run with the images of its pair passes as equal bit by bit."""
    found = verdict(micro.runs(micro.counted()))
    assert found.outcome is Outcome.PASS
    assert found.sentence.render() == "The outputs are equal bit by bit to those of: run_end."
    assert [i["identical"] for i in found.evidence["compared"][0]["images"]] == [True, True]


@pytest.mark.parametrize("mode", ["classic", "sds", "grid"])
def test_a_repeatable_target_must_be_equal_to_the_bit(mode):
    """With the reference the smallest difference fails, in every mode, and the image is named."""
    runs = micro.runs(micro.of_mode(mode))
    found = verdict(replace(runs, run=moved(runs.run, by=1e-6)))
    assert found.outcome is Outcome.FAIL
    assert "mosaic RGB" in micro.prose(found)


def test_rounding_passes_for_a_target_that_does_not_repeat_itself():
    """With ZeMosaic a difference within rounding passes in the classic mode and fails in SDS."""
    found = verdict(of(ZEMOSAIC, lambda run: moved(run, by=1e-5)))
    assert (found.outcome, found.evidence["exact"]) == (Outcome.PASS, False)
    assert "equal within rounding" in found.sentence.render()
    assert verdict(of(ZEMOSAIC, lambda run: moved(run, by=1e-5), "sds")).outcome is Outcome.FAIL


@pytest.mark.parametrize("mode", ["classic", "grid"])
def test_a_seeded_run_must_be_the_same_to_the_bit(mode):
    """If the probe seeded the generators of both runs in the fast profile, any difference fails."""
    plain = of(ZEMOSAIC, lambda run: moved(run, by=1e-5), mode)
    run, pair = (
        replace(r, history=replace(r.history, capabilities=micro.SOURCES | {"seeds"})) for r in (plain.run, plain.pair)
    )
    found = verdict(replace(plain, run=run, pair=pair))
    assert (found.outcome, found.evidence["exact"]) == (Outcome.FAIL, True)
    for alone in (replace(plain, run=run), replace(plain, pair=pair)):
        found = verdict(alone)
        assert (found.outcome, found.evidence["exact"]) == (Outcome.PASS, False)
    run, pair = (replace(r, request=replace(r.request, profile="default")) for r in (run, pair))
    assert verdict(replace(plain, run=run, pair=pair)).evidence["exact"] is False


def test_a_difference_as_between_good_runs_passes():
    """A small difference in most blocks and a larger one in a few passes, with the largest difference in the sentence."""
    found = verdict(of(ZEMOSAIC, lambda run: moved(moved(run, by=0.03), np.s_[0, 0], 2.0)))
    assert found.outcome is Outcome.PASS
    assert "at most 2.03" in found.sentence.render()


@pytest.mark.parametrize(
    ("where", "by", "what"),
    [(np.s_[:, :3], 6.0, "of 10 % of the blocks differ by at least 6"), (np.s_[0, 0], 60.0, "of 1 % by at least 60")],
)
def test_more_than_good_runs_differ_by_fails(where, by, what):
    """Many blocks with a larger difference, or few with a very large one, fail."""
    found = verdict(of(ZEMOSAIC, lambda run: moved(run, where, by)))
    assert found.outcome is Outcome.FAIL
    assert what in micro.prose(found)


def test_damage_to_one_block_of_many_fails():
    """One block of many, which no percentile shows, fails if it differs by much."""

    def larger(record):
        image = record.products.planes[0]
        wide = {name: np.tile(getattr(image, name), (1, 10, 10)) for name in ("count", "sum", "low", "high")}
        return changed(record, planes=(replace(image, **wide), *record.products.planes[1:]))

    runs = of(ZEMOSAIC)
    runs = replace(runs, run=larger(runs.run), pair=larger(runs.pair))
    assert verdict(replace(runs, run=moved(runs.run, np.s_[0, 0], 5.0))).outcome is Outcome.PASS
    for by in (7.0, 60.0):  # the limit is 6
        found = verdict(replace(runs, run=moved(runs.run, np.s_[0, 0], by)))
        assert found.outcome is Outcome.FAIL
        assert f"mosaic RGB: the mean of a block differs by {by:g}." in micro.prose(found)


@pytest.mark.parametrize(
    ("where", "by", "outcome"),
    [
        (np.s_[:, :3], 0.2, Outcome.PASS),  # three of nine columns of blocks: the limit is 0.25
        (np.s_[:, :3], 0.4, Outcome.FAIL),
        (np.s_[0, 0], 2.5, Outcome.PASS),  # one of 27 blocks: the limit is 3
        (np.s_[0, 0], 4.0, Outcome.FAIL),
    ],
)
def test_each_limit_of_the_block_means_is_noticed(where, by, outcome):
    """Differences a little below the limits of good runs pass, a little above they fail."""
    assert verdict(of(ZEMOSAIC, lambda run: moved(run, where, by))).outcome is outcome


@pytest.mark.parametrize(("by", "outcome"), [(0.4, Outcome.PASS), (0.7, Outcome.FAIL), (1.0, Outcome.FAIL)])
def test_a_place_that_is_counted_twice_fails(by, outcome):
    """One block of the coverage map with a tile more fails, although no image differs; its unit is not that of the mosaic."""

    def counted_twice(run):
        image, coverage = run.products.planes
        plus = np.zeros(coverage.count.shape[1:])
        plus[1, 1] = by
        other = replace(coverage, sha256="0" * 64, sum=coverage.sum + coverage.count * plus, high=coverage.high + plus)
        return changed(run, planes=(image, other))

    found = verdict(of(ZEMOSAIC, counted_twice))
    assert found.outcome is outcome
    assert ("coverage PRIMARY: the mean of a block differs by" in micro.prose(found)) is (outcome is Outcome.FAIL)


def test_a_doubled_coverage_map_of_sds_is_not_the_baselines():
    """Another version may save its image with another gain. A coverage map counts, so that another gain is another count."""
    runs = of(ZEMOSAIC, mode="sds")
    image, coverage = runs.run.products.planes
    doubled = replace(coverage, sha256="0" * 64, sum=2 * coverage.sum, low=2 * coverage.low, high=2 * coverage.high)
    before = changed(replace(runs.run, request=replace(runs.run.request, target=BEFORE)), planes=(image, doubled))
    found = verdict(replace(runs, baseline=before))
    assert found.outcome is Outcome.FAIL
    assert "coverage PRIMARY" in micro.prose(found)


def test_other_stars_fail():
    """A run without a tenth of the stars fails, even if its blocks hardly differ."""
    found = verdict(of(ZEMOSAIC, lambda run: changed(moved(run, by=0.01), stars=run.products.stars[6:])))
    assert found.outcome is Outcome.FAIL
    assert "stars, expected" in micro.prose(found)


@pytest.mark.parametrize(("lost", "outcome"), [(6, Outcome.PASS), (7, Outcome.FAIL)])
def test_the_stars_that_may_be_lost_grow_with_their_number(lost, outcome):
    """Good runs differ by up to 3 % of their stars: of 200 stars six may be missing, and seven fail."""

    def with_stars(record, count):
        return changed(record, stars=np.tile(record.products.stars, (10, 1))[:count])

    runs = of(ZEMOSAIC, lambda run: moved(run, by=0.01))
    runs = replace(runs, run=with_stars(runs.run, 200 - lost), pair=with_stars(runs.pair, 200))
    found = verdict(runs)
    assert found.outcome is outcome, micro.prose(found)
    assert (f"The mosaic shows {200 - lost} stars, expected 200." in micro.prose(found)) is (outcome is Outcome.FAIL)


def test_pixels_that_only_one_run_has_fail():
    """Values that are finite in only one of the runs fail."""

    def pierced(run):
        image, *others = run.products.planes
        count = image.count.copy()
        count[:, 1, 1] -= 100
        return changed(run, planes=(replace(image, sha256="0" * 64, count=count), *others))

    assert "finite in only one of the runs" in micro.prose(verdict(of(ZEMOSAIC, pierced)))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda run: changed(run, covered=run.products.covered[:, 4:]), "The mosaic's shape is 88 x 264"),
        (lambda run: changed(run, wcs={**run.products.wcs, "CRPIX1": 1.0}), "WCS cards that differ: CRPIX1."),
        (lambda run: changed(run, wcs={**run.products.wcs, "CRPIX1": 10**400}), "WCS cards that differ: CRPIX1."),
        (lambda run: changed(run, planes=run.products.planes[:1]), "The images are mosaic RGB"),
        (lambda run: changed(run, mosaic=None), "The run of zemosaic b59a65f has no mosaic."),
        (
            lambda run: replace(run, left=(*run.left, LeftFile("outputs/extra.fits", 1, "other"))),
            "Files that only this run left: extra.fits.",
        ),
        (lambda run: replace(run, left=()), "Missing files: zemosaic_MT_R.fits."),
    ],
)
def test_another_shape_another_grid_other_files_fail(change, what):
    """Files, shapes, images and WCS cards are compared before the values, and a difference fails."""
    found = verdict(of(ZEMOSAIC, change))
    assert found.outcome is Outcome.FAIL
    assert what in micro.prose(found)


def test_the_counts_in_names_are_no_difference():
    """Other numbers of tiles in file names pass; other checks judge them."""

    def renamed(run):
        name = "outputs/zemosaic_MT9_R9.fits"
        image, coverage = run.products.planes
        left = [replace(f, path=name) if f.kind == "mosaic" else f for f in run.left]
        return replace(changed(run, mosaic=name, planes=(replace(image, file=name), coverage)), left=tuple(left))

    assert verdict(of(ZEMOSAIC, renamed)).outcome is Outcome.PASS


def test_further_runs_must_have_the_same_outputs():
    """Runs with keep or other workers are compared; a run of another test can't be, and the answer is unknown."""
    runs = micro.runs(micro.counted())
    keep = replace(runs.run, request=replace(runs.run.request, retention="keep"))
    alone = replace(runs.run, request=replace(runs.run.request, workers=1, schedule=()))
    found = verdict(replace(runs, equals=(keep, alone)))
    assert [c["with"] for c in found.evidence["compared"]] == ["run_end", "keep, workers: 2", "per_tile, workers: 1"]
    assert found.outcome is Outcome.PASS
    assert verdict(replace(runs, equals=(keep, moved(alone)))).outcome is Outcome.FAIL
    other = replace(moved(alone), request=replace(alone.request, seed=1))
    found = verdict(replace(runs, equals=(other,)))
    assert (found.outcome, len(found.evidence["compared"])) == (Outcome.UNKNOWN, 1)
    assert "differs in: seed" in micro.prose(found)


def test_the_baseline_must_be_the_same_in_sds_alone():
    """Only in SDS the baseline must have the same outputs, apart from gain, zero point and names."""
    for mode, expected in (("sds", Outcome.FAIL), ("classic", Outcome.PASS), ("grid", Outcome.PASS)):
        runs = of(ZEMOSAIC, mode=mode)
        before = moved(replace(runs.run, request=replace(runs.run.request, target=BEFORE)), np.s_[:, :3], 6.0)
        assert verdict(replace(runs, baseline=before)).outcome is expected
    runs = of(ZEMOSAIC, mode="sds")
    image, coverage = micro.images_of(runs.run.products.covered, gain=1.1, add=-7.0)
    before = changed(
        replace(runs.run, request=replace(runs.run.request, target=BEFORE)), planes=(replace(image, name="X"), coverage)
    )
    found = verdict(replace(runs, baseline=before))
    assert found.outcome is Outcome.PASS, micro.prose(found)


def beside_a_version_before(run, before):
    """Return the verdict on a run of SDS beside the same run of another version; both functions change the image."""
    runs = of(ZEMOSAIC, mode="sds")
    image, coverage = runs.run.products.planes
    earlier = replace(runs.run, request=replace(runs.run.request, target=BEFORE))
    ours, theirs = (
        changed(record, planes=(replace(change(image), sha256=digest * 64), coverage))
        for record, change, digest in ((runs.run, run, "0"), (earlier, before, "1"))
    )
    return verdict(Comparison(ours, changed(runs.pair, planes=ours.products.planes), theirs))


def scaled(image, gain=1.0, add=0.0):
    """Return an image with another gain and zero point."""
    return replace(
        image, sum=gain * image.sum + add * image.count, low=gain * image.low + add, high=gain * image.high + add
    )


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_a_gain_is_fitted_to_three_blocks_and_not_to_fewer(blocks):
    """Three blocks of an image show that another version only saves it with another gain. One or two show no gain."""

    def small(image):
        count, means = np.zeros_like(image.count), np.zeros(image.count.shape)
        count[0, 0, :blocks], means[0, 0, :3] = 100, (1.0, 2.0, 4.0)
        return replace(image, count=count, sum=means * count)

    found = beside_a_version_before(lambda image: scaled(small(image), 2.0, 5.0), small)
    (_, of_baseline) = found.evidence["compared"]
    most = of_baseline["images"][0]["most"]
    assert (most == pytest.approx(0.0, abs=1e-9)) is (blocks != 2), most


def test_an_image_without_contrast_has_a_zero_point_and_no_gain():
    """An image of one value, of which another version saves another, differs by the zero point alone."""

    def flat(image):
        same = np.full_like(image.low, 100.0)
        return replace(image, sum=100.0 * image.count, low=same, high=same)

    found = beside_a_version_before(flat, lambda image: scaled(flat(image), add=-7.0))
    assert found.outcome is Outcome.PASS, micro.prose(found)


def test_blocks_that_differ_do_not_bend_the_gain_of_the_others():
    """Three of 27 blocks differ from the version before. The fit leaves them out, so that their whole difference is seen."""
    sky = np.random.default_rng(3).uniform(0, 100, (3, 9))

    def before(image):
        return replace(image, sum=image.count * sky)

    def brighter(image):
        plus = np.zeros_like(sky)
        plus[(0, 1, 2), (1, 7, 4)] = 0.27  # the limit is 0.25; a fit with these blocks would leave 0.24
        return replace(image, sum=image.count * (sky + plus))

    found = beside_a_version_before(brighter, before)
    (_, of_baseline) = found.evidence["compared"]
    assert found.outcome is Outcome.FAIL
    assert of_baseline["images"][0]["typical"] == pytest.approx(0.27, abs=1e-6)


def test_nothing_to_compare_with_is_unknown():
    """Without a pair, or with one of another test, the answer is unknown; run_end without a pair is not applicable."""
    runs = micro.runs(micro.counted())
    assert verdict(Comparison(runs.run)).outcome is Outcome.UNKNOWN
    other = replace(runs.pair, request=replace(runs.pair.request, seed=1))
    found = verdict(replace(runs, pair=other))
    assert found.outcome is Outcome.UNKNOWN
    assert "differs in: seed" in micro.prose(found)
    assert verdict(Comparison(runs.pair)).outcome is Outcome.NOT_APPLICABLE


def test_what_was_not_measured_is_unknown():
    """A record of an earlier version without digests, or a run without products, is unknown."""
    runs = micro.runs(micro.counted())
    assert verdict(replace(runs, pair=changed(runs.pair, planes=()))).outcome is Outcome.UNKNOWN
    assert verdict(replace(runs, run=replace(runs.run, products=None))).outcome is Outcome.UNKNOWN


def test_a_pair_or_baseline_without_a_mosaic_is_unknown():
    """If the pair, or in SDS the baseline, has no mosaic or did not finish, the run itself is not at fault: unknown."""
    runs = micro.runs(micro.counted())
    found = verdict(replace(runs, pair=changed(runs.pair, mosaic=None)))
    assert (found.outcome, "The run of reference has no mosaic." in micro.prose(found)) == (Outcome.UNKNOWN, True)
    runs = of(ZEMOSAIC, mode="sds")
    before = replace(runs.run, request=replace(runs.run.request, target=BEFORE))
    assert verdict(replace(runs, baseline=before)).outcome is Outcome.PASS
    assert verdict(replace(runs, baseline=changed(before, mosaic=None))).outcome is Outcome.UNKNOWN
    crashed = replace(before, seal=replace(before.seal, state="crashed"))
    found = verdict(replace(runs, baseline=crashed))
    assert (found.outcome, "its run did not finish" in micro.prose(found)) == (Outcome.UNKNOWN, True)


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("done", Outcome.FAIL),
        ("crashed", Outcome.FAIL),
        ("timed out", Outcome.UNKNOWN),
        ("killed", Outcome.UNKNOWN),
    ],
)
def test_a_run_without_a_mosaic(state, outcome):
    """A target that ended without a mosaic fails; a run that the harness ended before its mosaic is unknown."""
    runs = micro.runs(micro.counted())
    run = changed(runs.run, mosaic=None)
    assert verdict(replace(runs, run=replace(run, seal=replace(run.seal, state=state)))).outcome is outcome


def test_images_without_values_compare_nothing():
    """Two images without finite values are unknown, because nothing was compared."""

    def emptied(record, digest):
        image, *others = record.products.planes
        none = replace(image, sha256=digest * 64, count=np.zeros_like(image.count), sum=np.zeros_like(image.sum))
        return changed(record, planes=(none, *others))

    runs = of(ZEMOSAIC)
    found = verdict(replace(runs, run=emptied(runs.run, "0"), pair=emptied(runs.pair, "1")))
    assert found.outcome is Outcome.UNKNOWN
    assert "mosaic RGB" in micro.prose(found)


def test_a_shared_cache_is_required():
    """If no tiles shared a cache, equal outputs do not test retention: unknown."""
    found = verdict(micro.runs(micro.counted(micro.PRIVATE)))
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "a cache was shared")


@pytest.mark.parametrize(("mode", "premise"), [("classic", "Phase 3 reached"), ("sds", "schedule met")])
def test_premises(mode, premise):
    """A run that did not reach Phase 3, or whose schedule was not met, is unknown."""
    if mode == "classic":
        micro_run = micro.Micro().event("run_info_phase2_started")
    else:
        micro_run = micro.of_mode(mode)
        micro_run.request = replace(micro_run.request, schedule=(Hold(1, 0),))
    found = verdict(micro.runs(micro_run))
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, premise)


def test_the_name_of_a_third_axis_is_no_difference_of_the_sky():
    """Newer versions name the axis of the colours in the WCS; that places no pixel. Another scale is a difference."""
    runs = micro.runs(micro.counted())

    def with_cards(**cards):
        products = replace(runs.run.products, wcs={**runs.run.products.wcs, **cards})
        return verdict(replace(runs, run=replace(runs.run, products=products)))

    assert with_cards(CTYPE3="RGB", WCSAXES=3, CRPIX3=1.0, CD3_3=1.0).outcome is Outcome.PASS
    assert with_cards(CD1_2=1e-5).outcome is Outcome.FAIL
