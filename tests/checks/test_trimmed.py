"""Test the finding that a mosaic leaves out sky that frames cover."""

from dataclasses import replace

import numpy as np
import pytest

from harness.checks.judge import judge
from harness.record.comparison import Comparison
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


def test_without_a_mosaic_it_is_unknown():
    """A run without a measured mosaic gives no verdict."""
    assert verdict(micro.counted().record(products=None)).outcome is Outcome.UNKNOWN
