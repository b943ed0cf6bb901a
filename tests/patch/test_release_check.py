"""The release driven outside of any run: what is taken out of a target, through which steps it goes, and how that is judged."""

import json
import logging
import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.pipeline.defects import COUNT_NOT_BOUNDED
from harness.patch.release_check import EXPECTED, FORMAT, drive, judge
from harness.probe import release as driver
from harness.targets.resolve import resolve
from harness.verdict import Outcome

LOG = logging.getLogger("a target")
SOUND = {
    "in order": ["bc", ""],
    "a tile twice": ["abc", "abc"],
    "a tile that was never registered": ["abc"],
    "one release too many": ["c", "c"],
    "a count that is zero already": ["abc"],
    "a missing file": ["c"],
    "a file that can't be removed": ["ac"],
}


def outcome(**changed):
    """Return what a sound release comes to; ``changed`` replaces facts of steps, whose names have underscores here."""
    steps = [
        {"step": name, "raised": None, "there": there, "counts": [{"a": 0}] * len(there), "levels": ["DEBUG"]}
        for name, there in SOUND.items()
    ]
    for step in steps:
        step.update(changed.get(step["step"].replace(" ", "_").replace("'", ""), {}))
    return {"format": FORMAT, "function": "release(tile)", "looked_at": [], "steps": steps}


def test_a_sound_release_passes():
    """Whether a file goes whose count was zero already is left to the target."""
    assert judge(outcome()).outcome is Outcome.PASS
    assert judge(outcome(a_count_that_is_zero_already={"there": ["c"]})).outcome is Outcome.PASS
    assert set(SOUND) == set(EXPECTED)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"one_release_too_many": {"counts": [{"a": 0}, {"a": -1}]}}, "a count fell to -1"),
        ({"a_tile_twice": {"there": ["abc", "c"]}}, "left after each release are abc, c"),
        ({"in_order": {"there": ["c", ""]}}, "left after each release are c"),
        ({"a_missing_file": {"raised": "FileNotFoundError: a"}}, "the release raised FileNotFoundError: a"),
        ({"a_missing_file": {"there": ["bc"]}}, "left after each release are bc"),
        ({"a_file_that_cant_be_removed": {"levels": ["DEBUG", "WARNING"]}}, "logged at level WARNING"),
        ({"a_file_that_cant_be_removed": {"there": ["abc"]}}, "left after each release are abc"),
        ({"a_count_that_is_zero_already": {"there": ["ab"]}}, "left after each release are ab"),
    ],
)
def test_each_wrong_step_fails(changed, told):
    """The sentence names the step, and what was wrong in it."""
    found = judge(outcome(**changed))
    assert found.outcome is Outcome.FAIL
    assert told in found.sentence.render()


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"format": FORMAT, "problem": "no interpreter"}, "could not be driven: no interpreter"),
        ({"format": "another/1"}, "could not be driven: another/1"),
        ({"format": FORMAT, "function": None, "looked_at": ["tidy()"], "steps": []}, "looked at: tidy()"),
        ({**outcome(), "steps": outcome()["steps"][1:]}, "in order missing"),
    ],
)
def test_what_was_not_driven_is_unknown(found, told):
    """A release that is not found, or went through some steps only, passes nothing."""
    verdict = judge(found)
    assert verdict.outcome is Outcome.UNKNOWN
    assert told in verdict.sentence.render()


def counting():
    """Stand for a function that holds a run, with a release that counts within it."""
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


def uncounted():
    """Stand for a version that removes what it is told to: it closes over nothing, so there are no tables to give it."""

    def clean(paths):
        for path in paths:
            Path(path).unlink()

    def listing(tile):
        return [tile]

    return clean, listing


def elsewhere():
    """Stand for a version whose release closes over something of which nobody knows what it is for."""
    counts, paths, colour = {}, {}, "red"

    def release(tile):
        for path in paths.pop(tile):
            counts[path] -= 1
            Path(path + colour).unlink()

    return release


def bare():
    """Stand for a version that removes nothing by itself."""


@pytest.fixture
def worker(monkeypatch):
    """Return what puts a module in the place of ZeMosaic's, with a function that holds its run."""

    def put(outer):
        module = types.ModuleType("zemosaic_worker")
        vars(module).update({"Path": Path, "LOG": LOG})
        if outer is not None:
            module.run_hierarchical_mosaic_classic_legacy = outer
        monkeypatch.setitem(sys.modules, "zemosaic_worker", module)

    return put


def test_a_release_within_a_function_is_driven(worker, tmp_path, caplog):
    """It is found by what it does and closes over, and has tables of its own; its log is heard by nobody else."""
    worker(counting)
    lift, name, looked_at = driver.of_zemosaic()
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
    """Nothing is driven whose tables are not known."""
    worker(outer)
    assert driver.of_zemosaic() == (None, None, looked_at)


@pytest.mark.parametrize(
    ("defect", "expected"),
    [("", Outcome.PASS), (COUNT_NOT_BOUNDED, Outcome.FAIL), ("naive_per_tile_deletion", Outcome.UNKNOWN)],
)
def test_the_reference_is_driven_in_the_same_way(defect, expected, tmp_path, monkeypatch):
    """Its policy counts, and with the defect it counts below zero; one that counts nothing has nothing to drive."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    asked = {"kind": "reference", "root": str(Path(driver.HERE).parents[1]), "defects": [defect] if defect else []}
    (tmp_path / "request.json").write_text(json.dumps(asked), encoding="utf-8")
    log = logging.getLogger("Phase3Reference")
    monkeypatch.setattr(log, "propagate", log.propagate)
    assert driver.main([str(tmp_path)]) == 0
    found = judge(json.loads((tmp_path / "release.json").read_text(encoding="utf-8")))
    assert found.outcome is expected, found.sentence.render()


def test_the_driver_wants_one_folder(capsys):
    """It says what it expected."""
    assert driver.main([]) == 2
    assert "expected one argument" in capsys.readouterr().err


def test_a_release_is_driven_in_a_process_of_its_own(tmp_path):
    """What was asked and what came of it lie in the folder; a target that can't be started leaves a problem, no verdict."""
    target = resolve(f"reference:{COUNT_NOT_BOUNDED}", None, tmp_path)
    assert judge(drive(target, tmp_path / "one")).outcome is Outcome.FAIL
    assert (tmp_path / "one" / "release.json").is_file()
    found = drive(replace(target, identity={"defects": ["no such defect"]}), tmp_path / "two")
    assert "no such defect" in found["problem"]
    assert judge(found).outcome is Outcome.UNKNOWN
