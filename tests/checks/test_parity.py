"""The check that the outputs are the expected ones."""

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
    """Return a record in whose mosaic some blocks, by row and column, are brighter in every channel."""
    image, *others = record.products.planes
    plus = np.zeros(image.count.shape[1:])
    plus[where] = by
    other = replace(
        image, sha256="0" * 64, sum=image.sum + image.count * plus, low=image.low + plus, high=image.high + plus
    )
    return changed(record, planes=(other, *others))


def of(target, run=lambda record: record, mode="classic"):
    """Return a sound run of a target, changed, with its pair."""
    runs = micro.runs(micro.of_mode(mode, target=target))
    return replace(runs, run=run(runs.run))


def test_equal_outputs_are_bit_by_bit_the_same():
    """The run has the images of its pair."""
    found = verdict(micro.runs(micro.counted()))
    assert found.outcome is Outcome.PASS
    assert found.sentence.render() == "The outputs are bit by bit those of: run_end."
    assert [i["identical"] for i in found.evidence["compared"][0]["images"]] == [True, True]


@pytest.mark.parametrize("mode", ["classic", "sds", "grid"])
def test_what_repeats_itself_must_be_the_same_to_the_bit(mode):
    """On the reference any difference is one, in every mode; what differs is named."""
    runs = micro.runs(micro.of_mode(mode))
    found = verdict(replace(runs, run=moved(runs.run, by=1e-6)))
    assert found.outcome is Outcome.FAIL
    assert "mosaic RGB" in micro.prose(found)


def test_rounding_is_no_difference_where_nothing_repeats_itself():
    """On ZeMosaic's classic way, what differs by less than the default profile does is the same; SDS must be the same."""
    found = verdict(of(ZEMOSAIC, lambda run: moved(run, by=1e-5)))
    assert (found.outcome, found.evidence["exact"]) == (Outcome.PASS, False)
    assert "but for rounding" in found.sentence.render()
    assert verdict(of(ZEMOSAIC, lambda run: moved(run, by=1e-5), "sds")).outcome is Outcome.FAIL


@pytest.mark.parametrize("mode", ["classic", "grid"])
def test_a_seeded_run_must_be_the_same_to_the_bit(mode):
    """Where the probe gave the generators of both runs a seed, ZeMosaic repeats itself too: any difference is one."""
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


def test_what_good_runs_differ_by_passes_and_is_stated():
    """Frames aligned anew differ a little in most blocks, more in a few: told, with the largest difference."""
    found = verdict(of(ZEMOSAIC, lambda run: moved(moved(run, by=0.03), np.s_[0, 0], 2.0)))
    assert found.outcome is Outcome.PASS
    assert "at most 2.03" in found.sentence.render()


@pytest.mark.parametrize(
    ("where", "by", "what"),
    [(np.s_[:, :3], 6.0, "a tenth of its blocks differ by 6"), (np.s_[0, 0], 60.0, "a hundredth by 60")],
)
def test_more_than_good_runs_differ_by_fails(where, by, what):
    """Many blocks that differ a little more, or few that differ much."""
    found = verdict(of(ZEMOSAIC, lambda run: moved(run, where, by)))
    assert found.outcome is Outcome.FAIL
    assert what in micro.prose(found)


def test_damage_to_one_block_of_many_fails():
    """What is less than a hundredth of the mosaic is in neither percentile: no block may differ by much."""

    def larger(record):
        image = record.products.planes[0]
        wide = {name: np.tile(getattr(image, name), (1, 10, 10)) for name in ("count", "sum", "low", "high")}
        return changed(record, planes=(replace(image, **wide), *record.products.planes[1:]))

    runs = of(ZEMOSAIC)
    runs = replace(runs, run=larger(runs.run), pair=larger(runs.pair))
    assert verdict(replace(runs, run=moved(runs.run, np.s_[0, 0], 5.0))).outcome is Outcome.PASS
    found = verdict(replace(runs, run=moved(runs.run, np.s_[0, 0], 60.0)))
    assert found.outcome is Outcome.FAIL
    assert "mosaic RGB: one of its blocks differs by 60 in the mean." in micro.prose(found)


def test_other_stars_fail():
    """A tenth of the stars is gone though the blocks hardly tell."""
    found = verdict(of(ZEMOSAIC, lambda run: changed(moved(run, by=0.01), stars=run.products.stars[6:])))
    assert found.outcome is Outcome.FAIL
    assert "Stars that are found" in micro.prose(found)


def test_pixels_that_only_one_run_has_fail():
    """Values that are finite in one of the two only."""

    def pierced(run):
        image, *others = run.products.planes
        count = image.count.copy()
        count[:, 1, 1] -= 100
        return changed(run, planes=(replace(image, sha256="0" * 64, count=count), *others))

    assert "finite in one of the two only" in micro.prose(verdict(of(ZEMOSAIC, pierced)))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda run: changed(run, covered=run.products.covered[:, 4:]), "The mosaic's shape is 88 x 264"),
        (lambda run: changed(run, wcs={**run.products.wcs, "CRPIX1": 1.0}), "WCS cards that differ: CRPIX1."),
        (lambda run: changed(run, planes=run.products.planes[:1]), "The images are mosaic RGB"),
        (lambda run: changed(run, mosaic=None), "There is no mosaic of zemosaic b59a65f"),
        (
            lambda run: replace(run, left=(*run.left, LeftFile("outputs/extra.fits", 1, "other"))),
            "Files that only this run left: extra.fits.",
        ),
        (lambda run: replace(run, left=()), "Files that are missing: zemosaic_MT_R.fits."),
    ],
)
def test_another_shape_another_grid_other_files_fail(change, what):
    """What the outputs are is compared before what they hold."""
    found = verdict(of(ZEMOSAIC, change))
    assert found.outcome is Outcome.FAIL
    assert what in micro.prose(found)


def test_the_counts_in_names_are_no_difference():
    """The number of tiles is part of a name, and judged elsewhere."""

    def renamed(run):
        name = "outputs/zemosaic_MT9_R9.fits"
        image, coverage = run.products.planes
        left = [replace(f, path=name) if f.kind == "mosaic" else f for f in run.left]
        return replace(changed(run, mosaic=name, planes=(replace(image, file=name), coverage)), left=tuple(left))

    assert verdict(of(ZEMOSAIC, renamed)).outcome is Outcome.PASS


def test_further_runs_must_come_to_the_same():
    """keep, and another number of workers: each is compared; one that is no such run leaves its question open."""
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
    """SDS uses no retention: gain, zero and names aside its outputs are those of before; elsewhere the baseline may differ."""
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


def test_nothing_to_compare_with_is_unknown():
    """Without a pair, and with a pair of another test, nothing is known; run_end is what others are compared with."""
    runs = micro.runs(micro.counted())
    assert verdict(Comparison(runs.run)).outcome is Outcome.UNKNOWN
    other = replace(runs.pair, request=replace(runs.pair.request, seed=1))
    found = verdict(replace(runs, pair=other))
    assert found.outcome is Outcome.UNKNOWN
    assert "differs in: seed" in micro.prose(found)
    assert verdict(Comparison(runs.pair)).outcome is Outcome.NOT_APPLICABLE


def test_what_was_not_measured_is_unknown():
    """Records of earlier versions have no digests; a run may have no products."""
    runs = micro.runs(micro.counted())
    assert verdict(replace(runs, pair=changed(runs.pair, planes=()))).outcome is Outcome.UNKNOWN
    assert verdict(replace(runs, run=replace(runs.run, products=None))).outcome is Outcome.UNKNOWN


def test_a_measure_without_a_mosaic_is_unknown():
    """A pair, or a baseline of SDS, that came to no mosaic says nothing of the run: it is not the run that differs."""
    runs = micro.runs(micro.counted())
    found = verdict(replace(runs, pair=changed(runs.pair, mosaic=None)))
    assert (found.outcome, "There is no mosaic of reference" in micro.prose(found)) == (Outcome.UNKNOWN, True)
    runs = of(ZEMOSAIC, mode="sds")
    before = replace(runs.run, request=replace(runs.run.request, target=BEFORE))
    assert verdict(replace(runs, baseline=before)).outcome is Outcome.PASS
    assert verdict(replace(runs, baseline=changed(before, mosaic=None))).outcome is Outcome.UNKNOWN
    crashed = replace(before, seal=replace(before.seal, state="crashed"))
    found = verdict(replace(runs, baseline=crashed))
    assert (found.outcome, "did not run to its end" in micro.prose(found)) == (Outcome.UNKNOWN, True)


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("done", Outcome.FAIL),
        ("crashed", Outcome.FAIL),
        ("timed out", Outcome.UNKNOWN),
        ("killed", Outcome.UNKNOWN),
    ],
)
def test_a_run_that_was_ended_before_its_mosaic_differs_from_nothing(state, outcome):
    """A machine that was too busy is no other output; a target that ended by itself without a mosaic is."""
    runs = micro.runs(micro.counted())
    run = changed(runs.run, mosaic=None)
    assert verdict(replace(runs, run=replace(run, seal=replace(run.seal, state=state)))).outcome is outcome


def test_images_without_values_compare_nothing():
    """Two images that are finite nowhere are not the same but for rounding: nothing was compared."""

    def emptied(record, digest):
        image, *others = record.products.planes
        none = replace(image, sha256=digest * 64, count=np.zeros_like(image.count), sum=np.zeros_like(image.sum))
        return changed(record, planes=(none, *others))

    runs = of(ZEMOSAIC)
    found = verdict(replace(runs, run=emptied(runs.run, "0"), pair=emptied(runs.pair, "1")))
    assert found.outcome is Outcome.UNKNOWN
    assert "mosaic RGB" in micro.prose(found)


def test_no_shared_cache_puts_nothing_to_the_test():
    """Equal outputs of a run in which no tile shared a cache say nothing of retention."""
    found = verdict(micro.runs(micro.counted(micro.PRIVATE)))
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "a cache was shared")


@pytest.mark.parametrize(("mode", "premise"), [("classic", "Phase 3 reached"), ("sds", "schedule met")])
def test_premises(mode, premise):
    """A run that did not come to Phase 3, or whose schedule was not met, is no test."""
    if mode == "classic":
        micro_run = micro.Micro().event("run_info_phase2_started")
    else:
        micro_run = micro.of_mode(mode)
        micro_run.request = replace(micro_run.request, schedule=(Hold(1, 0),))
    found = verdict(micro.runs(micro_run))
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, premise)
