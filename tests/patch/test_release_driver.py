"""Drive a release outside a run: find it in the target, drive it through each step, write the facts."""

import json
import logging
import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.pipeline.defects import COUNT_NOT_BOUNDED
from harness.checks.thresholds import read_thresholds
from harness.patch.release_check import FORMAT, judge, judge_growth
from harness.patch.release_driver import drive
from harness.probe import release as driver
from harness.targets.resolve import resolve
from harness.verdict import Outcome
from tests.patch.test_release_check import SOUND

LOG = logging.getLogger("a target")


def counting():
    """Stand for the function around a run, with a release inside that counts."""
    tile_paths, refcount, retention = {}, {}, "per_tile"

    def tidy():
        Path("nowhere").unlink()

    def release(tile):
        if retention != "per_tile":
            return
        for path in tile_paths.pop(tile, ()):
            left = refcount[path] = max(0, refcount.get(path, 0) - 1)
            if not left:
                try:
                    Path(path).unlink()
                except OSError as error:
                    LOG.debug("left: %s", error)

    return tidy, release


def registering():
    """Stand for a function around a run, with a registration that counts."""
    tile_paths, refcount, retention, shared_seen = {}, {}, "per_tile", False

    def normal(path):
        return str(Path(path))

    def register(tile, group):
        nonlocal shared_seen
        if retention != "per_tile":
            return
        tile_paths[tile] = {normal(entry["path_preprocessed_cache"]) for entry in group}
        for path in tile_paths[tile]:
            shared_seen = shared_seen or path in refcount
            refcount[path] = refcount.get(path, 0) + 1

    def release(tile):
        for path in tile_paths.pop(tile, ()) if retention == "per_tile" else ():
            refcount[path] = max(0, refcount.get(path, 0) - 1)
            if not refcount[path]:
                Path(path).unlink(missing_ok=True)

    return register, release


def registering_quadratically():
    """Stand for one whose registration looks at all tiles."""
    tile_paths, refcount, retention = {}, {}, "per_tile"

    def register(tile, group):
        tile_paths[tile] = {entry["path_preprocessed_cache"] for entry in group}
        for paths in tile_paths.values():
            for path in paths:
                refcount[path] = 1

    def release(tile):
        for path in tile_paths.pop(tile, ()) if retention == "per_tile" else ():
            refcount[path] = 0
            Path(path).unlink(missing_ok=True)

    return register, release


def uncounted():
    """Stand for a version that removes the paths it gets and closes over no tables."""

    def clean(paths):
        for path in paths:
            Path(path).unlink()

    def listing(tile):
        return [tile]

    return clean, listing


def elsewhere():
    """Stand for a version whose release closes over a variable of unknown purpose."""
    counts, paths, colour = {}, {}, "red"

    def release(tile):
        for path in paths.pop(tile):
            counts[path] -= 1
            Path(path + colour).unlink()

    return release


def bare():
    """Stand for a version that removes nothing."""


@pytest.fixture
def worker(monkeypatch):
    """Return a function that installs a module in place of ZeMosaic's, with a given function around the run."""

    def put(outer):
        module = types.ModuleType("zemosaic_worker")
        vars(module).update({"Path": Path, "LOG": LOG})
        if outer is not None:
            module.run_hierarchical_mosaic_classic_legacy = outer
        monkeypatch.setitem(sys.modules, "zemosaic_worker", module)

    return put


def test_a_release_within_a_function_is_driven(worker, tmp_path, caplog):
    """A release inside a function is found by its code and variables. It gets tables of its own, and its log stays separate."""
    worker(counting)
    lift, name, looked_at = driver.of_zemosaic({})
    assert (name, looked_at) == ("release(tile) with refcount, retention, tile_paths", [])
    with caplog.at_level(logging.DEBUG):
        steps = list(driver.driven(lift, str(tmp_path)))
    found = judge({"format": FORMAT, "function": name, "steps": steps})
    assert found.outcome is Outcome.PASS, found.sentence.render()
    assert {step["step"]: step["there"] for step in steps} == {**SOUND, "a count that is zero already": ["c"]}
    assert not caplog.records


@pytest.mark.parametrize(
    ("outer", "looked_at"),
    [
        (uncounted, ["clean(paths) with nothing"]),
        (elsewhere, ["release(tile) with colour, counts, paths"]),
        (bare, ["no function within run_hierarchical_mosaic_classic_legacy removes a file"]),
        (None, ["zemosaic_worker has no run_hierarchical_mosaic_classic_legacy"]),
    ],
)
def test_a_version_without_such_a_release_says_what_was_looked_at(worker, outer, looked_at):
    """A release whose tables are unknown is not driven; the functions that were looked at are named."""
    worker(outer)
    assert driver.of_zemosaic({}) == (None, None, looked_at)


@pytest.mark.parametrize(
    ("defect", "expected"),
    [("", Outcome.PASS), (COUNT_NOT_BOUNDED, Outcome.FAIL), ("naive_per_tile_deletion", Outcome.UNKNOWN)],
)
def test_the_reference_is_driven_in_the_same_way(defect, expected, tmp_path, monkeypatch):
    """The reference's policy passes; with the defect it counts below zero and fails; a policy without counts is unknown."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    asked = {"release": "policy", "root": str(Path(driver.HERE).parents[1]), "defects": [defect] if defect else []}
    (tmp_path / "request.json").write_text(json.dumps(asked), encoding="utf-8")
    log = logging.getLogger("Phase3Reference")
    monkeypatch.setattr(log, "propagate", log.propagate)
    assert driver.main([str(tmp_path)]) == 0
    found = judge(json.loads((tmp_path / "release.json").read_text(encoding="utf-8")))
    assert found.outcome is expected, found.sentence.render()


def test_the_driver_wants_one_folder(capsys):
    """Without a folder the driver prints what it expected."""
    assert driver.main([]) == 2
    assert "expected one argument" in capsys.readouterr().err


def test_a_release_is_driven_in_a_process_of_its_own(tmp_path):
    """The folder holds the request and the facts; a target that can't be started gives a problem, not a verdict."""
    target = resolve(f"reference:{COUNT_NOT_BOUNDED}", None, tmp_path)
    assert judge(drive(target, tmp_path / "one")).outcome is Outcome.FAIL
    assert (tmp_path / "one" / "release.json").is_file()
    found = drive(replace(target, identity={"defects": ["no such defect"]}), tmp_path / "two")
    assert "no such defect" in found["problem"]
    assert judge(found).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("outer", "expected"),
    [
        (registering, Outcome.PASS),
        (registering_quadratically, Outcome.FAIL),
        (uncounted, Outcome.UNKNOWN),
        (None, Outcome.UNKNOWN),
    ],
)
def test_the_growth_of_a_targets_own_registration_is_measured(outer, expected, worker, monkeypatch):
    """The registration within a function is called with tables of its own, for more and more tiles."""
    monkeypatch.setattr(driver, "LINES_OF", (16, 32, 64))
    monkeypatch.setattr(driver, "SECONDS_OF", (16, 32))
    worker(outer)
    facts = {"growth": driver.measured(lambda: driver.growing_zemosaic({}))}
    found = judge_growth(facts, read_thresholds())
    assert found.outcome is expected, found.sentence.render()
