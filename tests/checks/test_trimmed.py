"""Test the finding that a mosaic leaves out sky that frames cover."""

from dataclasses import replace

import numpy as np
import pytest

from harness.checks.judge import judge
from harness.record.comparison import Comparison
from harness.record.request import TargetFacts
from harness.verdict import Outcome
from tests import micro

ALL = [micro.frame(p) for p in range(3)]
EDGE = np.s_[:, :108]  # the first of three panels, up to its margin


def verdict(record, **others):
    """Return the verdict of this check alone."""
    return judge(Comparison(record, **others), ["trimmed"])[0]


def with_gaps(record, *gaps):
    """Return a record whose mosaic has these gaps."""
    return replace(record, products=micro.products_of(ALL, gaps=gaps))


@pytest.mark.parametrize("mode", ["classic", "sds", "grid"])
def test_a_mosaic_of_all_sky_passes(mode):
    """A run whose mosaic shows all frames passes and trims nothing."""
    found = verdict(micro.of_mode(mode).record())
    assert (found.outcome, found.axis) == (Outcome.PASS, "quality")
    assert (found.evidence["trimmed_percent"], found.evidence["parts"], found.evidence["findings"]) == (0, [], [])


def test_sds_that_keeps_the_deepest_sky_only_is_a_finding_with_its_setting():
    """SDS with its default of 0.4 masks sky that one of three frames covers: the area and the setting are named."""
    deep = [micro.frame(1, k) for k in range(5)]
    thin = [micro.frame(0), micro.frame(2)]
    run = micro.sds(config={"sds_min_coverage_keep": 0.4}).record()
    dataset = replace(run.request.dataset, frames=(*deep, *thin))
    run = replace(run, request=replace(run.request, dataset=dataset), products=micro.products_of(deep, wcs_of=ALL))
    found = verdict(run)
    assert found.outcome is Outcome.FAIL
    # Two of three panels, each less a fifth of its width, of the 260 pixels of the row.
    assert found.evidence["trimmed_percent"] == pytest.approx(100 * 160 / 260, abs=0.5)
    assert [part["name"] for part in found.evidence["parts"]] == ["sds_min_coverage_keep"]
    (cause,) = (link.render() for link in found.cause)
    expected = (
        "on fewer than 3 frames, and the deepest sky is on 6: the setting sds_min_coverage_keep = 0.4 masks such sky."
    )
    assert cause == f"46.08 arcmin² are {expected}"
    (finding,) = found.evidence["findings"]
    assert finding["size"] == pytest.approx(160 / 260, abs=0.005)


def test_trimmed_sky_without_a_known_cause_is_called_so():
    """Sky that no setting explains is named as such, beside the part that a setting explains."""
    found = verdict(with_gaps(micro.counted().record(), EDGE))
    assert found.outcome is Outcome.FAIL
    assert [part["name"] for part in found.evidence["parts"]] == ["unexplained"]
    assert "without a known cause" in found.cause[0].render()


def test_the_crop_and_the_edges_of_dithers_are_parts():
    """What the crop of tiles removes, and what is on other frames than the reference, are counted separately."""
    run = micro.counted(config={"apply_master_tile_crop": True, "master_tile_crop_percent": 20.0}).record()
    dithered = micro.frame(0, 1, dither=-40.0)
    frames = tuple(dithered if f.name == dithered.name else f for f in run.request.dataset.frames)
    run = replace(run, request=replace(run.request, dataset=replace(run.request.dataset, frames=frames)))
    run = with_gaps(run, np.s_[:20, :], np.s_[-20:, :])
    found = verdict(run)
    assert {part["name"] for part in found.evidence["parts"]} == {"master_tile_crop_percent", "reference frames"}
    assert any("master_tile_crop_percent = 20 crops" in link.render() for link in found.cause)


def test_strips_at_edges_are_not_counted():
    """A strip as wide as two good runs may differ is no trimmed sky."""
    found = verdict(with_gaps(micro.counted().record(), np.s_[:12, :]))
    assert (found.outcome, found.evidence["trimmed_percent"]) == (Outcome.PASS, 0)


def test_what_the_baseline_trims_too_is_not_new():
    """The finding is pre-existing if the baseline leaves out as much."""
    run = with_gaps(micro.counted().record(), EDGE)
    assert verdict(run, baseline=run).standing == "pre-existing"
    assert verdict(run, baseline=micro.counted().record()).standing == "new"


def before(record):
    """Return the same run of another version."""
    return replace(record, request=replace(record.request, target=TargetFacts("reference", "before", "", "python")))


@pytest.mark.parametrize(("width", "found"), [(60, True), (30, True), (8, False)])
def test_sky_that_the_other_runs_show_is_a_finding_below_the_limit(width, found):
    """A run trims 23 % or 11 %, which good runs may, beside a baseline or a pair that trims nothing: that is new."""
    run = with_gaps(micro.counted().record(), np.s_[:, 100 : 100 + width])
    whole = micro.counted().record()
    judged = verdict(run, baseline=before(whole), pair=micro.run_end())
    assert judged.evidence["trimmed_percent"] < 25
    assert [finding["name"] for finding in judged.evidence["findings"]] == (["newly trimmed sky"] if found else [])
    assert (judged.outcome, judged.standing) == ((Outcome.FAIL, "new") if found else (Outcome.PASS, ""))
    if found:
        assert judged.evidence["findings"][0]["size"] == pytest.approx(width / 260, abs=0.01)
        assert "shown by every run that it is compared with" in micro.prose(judged)
        assert verdict(run, baseline=before(whole)).standing == "new"
        assert verdict(run, pair=micro.run_end()).outcome is Outcome.FAIL


def test_what_another_run_trims_too_is_not_new_below_the_limit():
    """The baseline or the pair leaves out the same sky: it passes."""
    run = with_gaps(micro.counted().record(), np.s_[:, 100:160])
    pair = with_gaps(micro.run_end(), np.s_[:, 100:160])
    for others in (
        {"baseline": before(run)},
        {"pair": pair},
        {"baseline": before(micro.counted().record()), "pair": pair},
    ):
        assert verdict(run, **others).outcome is Outcome.PASS


def test_other_sky_of_the_same_size_is_new():
    """The baseline leaves out the first panel, and the run the last one: the size is equal, but the sky is not."""
    run = with_gaps(micro.counted().record(), np.s_[:, -108:])
    found = verdict(run, baseline=before(with_gaps(run, EDGE)))
    assert (found.standing, found.evidence["new_findings"]) == ("new", ["newly trimmed sky"])


def test_more_than_each_of_two_runs_is_new_although_one_of_them_trims_it():
    """The pair leaves out a part of what the run leaves out, and the baseline the rest: the run leaves out more than each."""
    run = with_gaps(micro.counted().record(), np.s_[:, 90:120], np.s_[:, 140:170])
    pair, other = with_gaps(micro.run_end(), np.s_[:, 90:120]), with_gaps(before(run), np.s_[:, 140:170])
    found = verdict(run, pair=pair, baseline=other)
    assert (found.standing, found.evidence["shown_by_others_arcmin2"]) == ("new", 0)
    assert found.evidence["more_than_others_arcmin2"] > 0
    assert "more than any run that it is compared with" in micro.prose(found)


def test_a_version_that_trims_less_but_elsewhere_passes():
    """A newer version gives tiles another shape: it trims 3 % that the baseline shows, and less in all."""
    run = with_gaps(micro.counted().record(), np.s_[:44, 100:120])
    found = verdict(run, baseline=before(with_gaps(run, np.s_[:, 140:170])))
    assert found.outcome is Outcome.PASS
    assert found.evidence["shown_by_others_arcmin2"] > 0


def test_a_baseline_that_lost_caches_does_not_excuse_trimmed_sky():
    """The baseline lacks a tile because of the bug. The run with run_end shows that the sky can be covered."""
    run = with_gaps(micro.counted().record(), np.s_[:, 100:160])
    lossy = with_gaps(micro.naive(target=before(run).request.target).record(), np.s_[:, 100:160])
    assert verdict(run, baseline=lossy, pair=micro.run_end()).standing == "new"


def test_trimmed_sky_is_named_with_its_cause_in_a_pass_too():
    """SDS trims less sky than the limit: it passes, and each part is stated with its area and setting."""
    thin = micro.frame(0, 1, dither=-20.0)
    run = micro.sds(config={"sds_min_coverage_keep": 0.4}).record()
    frames = (*(micro.frame(0, k) for k in range(5)), *(micro.frame(1, k) for k in range(5)), thin)
    run = replace(run, request=replace(run.request, dataset=replace(run.request.dataset, frames=frames)))
    run = replace(run, products=micro.products_of([f for f in frames if f is not thin]))
    found = verdict(run)
    assert (found.outcome, [part["name"] for part in found.evidence["parts"]]) == (
        Outcome.PASS,
        ["sds_min_coverage_keep"],
    )
    assert "sds_min_coverage_keep = 0.4 masks such sky." in micro.prose(found)
    assert found.evidence["shown_by_others_arcmin2"] is None


def test_without_a_mosaic_it_is_unknown():
    """A run without a measured mosaic gives no verdict."""
    assert verdict(micro.counted().record(products=None)).outcome is Outcome.UNKNOWN
