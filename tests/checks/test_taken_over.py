"""Test how a run is judged that took over parts of an earlier run in the same output folder."""

from dataclasses import replace
from types import MappingProxyType

import pytest

from harness.checks.base import TAKEN_OVER
from harness.checks.judge import ALL, judge
from harness.record.products import TileProduct
from harness.verdict import Outcome
from tests import micro

SETTINGS = {"stacking_rejection_algorithm": "kappa_sigma", "stacking_kappa_low": 3.0}


def resumed(made=(0, 1), of=3, *, lose=None, **request):
    """Return a finished run that made these tiles and took the others over."""
    plan = micro.CHAIN
    run = micro.Micro(plan, **request).begin()
    run.event(f"Resume master tiles: reused {of - len(made)}/{of} from manifest, rebuilding {len(made)}.")
    run.log(micro.SHARING).log(micro.TRACKED.format(6))
    run.total = of - len(made)
    for tile in made:
        run.submit(tile, plan[tile])
    for tile in made:
        if tile == lose:
            run.remove(*plan[tile])
        run.work(tile)
    run.finish()
    # The target counts the tiles that it took over as made.
    counts = {e.fields["num_master_tiles"] for e in run.events if e.key == "run_info_phase3_finished_from_cache"}
    run.events = [
        replace(e, fields=MappingProxyType({"num_master_tiles": counts.copy().pop() + of - len(made)}))
        if e.key == "run_info_phase3_finished_from_cache"
        else e
        for e in run.events
    ]
    return run


def with_old_tile(record, settings):
    """Return the record with tile 2, whose header has these settings, as taken over."""
    old = TileProduct(f"{micro.TILES}/master_tile_002.fits", 2, 2, 2, "p2_0.fits", earlier=True, settings=settings)
    return replace(record, products=replace(record.products, tiles=(*record.products.tiles, old)))


def whole(run):
    """Return the products of a mosaic of all tiles, whoever made them."""
    tiles = [TileProduct(f"{micro.TILES}/master_tile_{t:03d}.fits", t, 4, 4, None) for t in run.outcomes]
    return micro.products_of([run.frames[group[0]] for group in micro.CHAIN], tiles=tiles)


def verdicts(run, **changes):
    """Return the verdicts of every check by name."""
    return {v.check: v for v in judge(replace(micro.runs(run, products=whole(run)), **changes))}


@pytest.mark.parametrize("made", [(), (0, 1)], ids=["all tiles", "one tile"])
def test_a_resumed_run_is_neither_contradictory_nor_green(made):
    """Nothing passes, no verdict speaks of a contradiction, and the tiles that were taken over are named."""
    found = verdicts(resumed(made))
    assert {v.outcome for v in found.values()} <= {Outcome.UNKNOWN, Outcome.NOT_APPLICABLE}, {
        v.check: micro.prose(v) for v in found.values() if v.outcome in (Outcome.PASS, Outcome.FAIL)
    }
    for name in ("tiles", "products", "depth", "cache", "logs", "holes"):
        assert found[name].sentence == TAKEN_OVER
        assert "contradicts" not in micro.prose(found[name])
        said = "Tile 2 was taken over" if made else "Tiles 0, 1, 2 were taken over"
        assert said in micro.prose(found[name])
    assert found["tiles"].evidence["taken_over"]["tile_ids"] == ([2] if made else [0, 1, 2])


def test_a_resumed_run_still_fails_for_a_tile_that_it_lost():
    """A loss in what was made now is a failure, whatever was taken over."""
    found = verdicts(resumed(lose=1))
    assert found["tiles"].outcome is Outcome.FAIL
    assert "Tile 1 is missing" in found["tiles"].sentence.render()
    assert "Tile 2 was taken over" in micro.prose(found["tiles"])


def test_planned_groups_of_tiles_that_were_taken_over_are_not_missing():
    """The pair made and submitted every group; a tile that was taken over needs no submission."""
    found = verdicts(resumed(), pair=micro.counted(retention="run_end").record())
    assert found["tiles"].outcome is Outcome.UNKNOWN
    assert found["depth"].outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("now", "outcome"),
    [
        ({}, Outcome.UNKNOWN),
        (SETTINGS, Outcome.UNKNOWN),
        ({"stacking_rejection_algorithm": "Kappa_Sigma ", "stacking_kappa_low": 3}, Outcome.UNKNOWN),
        (SETTINGS | {"stacking_kappa_low": 1.5}, Outcome.FAIL),
        (SETTINGS | {"stacking_rejection_algorithm": "none"}, Outcome.FAIL),
    ],
)
def test_old_tiles_under_new_settings_fail(now, outcome):
    """A tile that an earlier run made with other settings is not what this run's user asked for."""
    run = resumed(config={"cleanup_temp_artifacts": False} | now)
    record = with_old_tile(run.record(), SETTINGS)
    found = {v.check: v for v in judge(replace(micro.runs(run), run=record))}
    assert found["products"].outcome is outcome
    if outcome is Outcome.FAIL:
        assert found["products"].sentence.render() == "Tiles of an earlier run with other settings were taken over: 2."
        assert "Tile 2 was made with" in micro.prose(found["products"])


def test_a_tile_that_was_made_now_is_not_compared_with_the_settings():
    """Only tiles of an earlier run can be outdated."""
    run = micro.counted(config={"stacking_rejection_algorithm": "none", "cleanup_temp_artifacts": False})
    record = run.record()
    tiles = tuple(replace(tile, settings=SETTINGS) for tile in record.products.tiles)
    record = replace(record, products=replace(record.products, tiles=tiles))
    found = {v.check: v for v in judge(replace(micro.runs(run), run=record))}
    assert found["products"].outcome is Outcome.PASS


def test_caches_that_were_taken_over_are_named_and_do_not_stop_a_pass():
    """How the run used and removed the caches is observed, whoever wrote them."""
    run = micro.counted()
    run.event("Resume accepted: Phase 1 skipped (resume), entries=6")
    found = verdicts(run)
    assert found["tiles"].outcome is Outcome.PASS
    assert "Caches of frames taken over from an earlier run: 6." in micro.prose(found["tiles"])


def test_a_pair_that_took_parts_over_is_not_compared():
    """A comparison with tiles of another run would show nothing about retention."""
    pair = micro.counted(retention="run_end").event(
        "Resume phase5 checkpoint: reused final assembly (shape=(9, 9, 3))."
    )
    found = verdicts(micro.counted(), pair=pair.record())
    assert found["parity"].outcome is Outcome.UNKNOWN
    assert "took over" in micro.prose(found["parity"])


def test_every_check_names_what_was_taken_over():
    """The evidence of every check that concerns the mosaic tells what was not made by the run."""
    found = verdicts(resumed())
    assert set(found) == set(ALL)
    assert all("taken_over" in verdict.evidence for verdict in found.values())
