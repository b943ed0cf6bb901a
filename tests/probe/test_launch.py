"""Test whole runs under the probe: the launcher, the adapter of ZeMosaic (with a stub) and that of the reference."""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from astropy.io import fits

from harness.analysis.own_failures import own_failures
from harness.checks.judge import judge
from harness.probe import zemosaic
from harness.record.comparison import Comparison
from harness.record.reader import read_record
from harness.record.request import DatasetFacts, FrameFacts, Hold, TargetFacts
from harness.record.values import sha256_of
from harness.run.runner import make_run
from harness.run.schedule import lender_first
from harness.targets.reference import ROOT
from harness.targets.resolve import resolve
from harness.targets.start import prepare
from harness.targets.target import PROBE
from harness.verdict import Outcome, worst_first
from tests.requests_ import WCS, a_request

STUB = Path(__file__).parents[1] / "stub_zemosaic"
FRAMES = tuple(f"f é {n}.fits" for n in range(4))
CHAIN = ((*FRAMES[:2], *FRAMES[2:]), FRAMES[2:])


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Keep the copies of targets."""
    return tmp_path_factory.mktemp("exports")


@pytest.fixture
def run(tmp_path, exports):
    """Run the stub and return its record; ``status`` is the expected exit status."""

    def run(spec=f"zemosaic:{STUB}", *, status=0, names=FRAMES, env=(), **changes):
        folder = tmp_path / "dossier é"
        (folder / "work" / "input").mkdir(parents=True)
        (folder / "outputs").mkdir()
        frames = []
        for number, name in enumerate(names):
            data = np.full((20, 24), number + 1, dtype=np.float32)
            fits.writeto(folder / "work" / "input" / name, data, fits.Header(WCS))
            frames.append(FrameFacts(name, "0" * 64, (20, 24), WCS))
        values = {
            "target": resolve(spec, None, exports),
            "dataset": DatasetFacts("small", "synthetic", "0" * 64, tuple(frames)),
            "plan": CHAIN,
            "schedule": (),
            "faults": (),
            "config": {},
        }
        request = a_request(**(values | changes))
        request.write(folder / "request.json")
        start = prepare(folder, request)
        with (folder / "console.log").open("wb") as log:
            done = subprocess.run(
                start.argv, env=start.env | dict(env), cwd=start.cwd, stdout=log, stderr=log, check=False, timeout=60
            )
        console = (folder / "console.log").read_text(encoding="utf-8", errors="replace")
        assert done.returncode == status, console
        return read_record(folder)

    return run


@pytest.fixture
def made(tmp_path, exports):
    """Run the stub to its seal and return its record."""

    def made(**changes):
        frames, facts = tmp_path / "frames", []
        frames.mkdir()
        for number, name in enumerate(FRAMES):
            fits.writeto(frames / name, np.full((20, 24), number + 1, dtype=np.float32), fits.Header(WCS))
            facts.append(FrameFacts(name, sha256_of(frames / name), (20, 24), WCS))
        values = {
            "target": resolve(f"zemosaic:{STUB}", None, exports),
            "dataset": DatasetFacts("small", "synthetic", "0" * 64, tuple(facts)),
            "plan": CHAIN,
            "schedule": (),
            "faults": (),
            "config": {},
            "seconds": 60.0,
        }
        return make_run(a_request(**(values | changes)), tmp_path / "record", frames)

    return made


def removed(record):
    """Return the file names of the removed caches, without their numbers."""
    return [
        o.path.rpartition("_")[0].rpartition("_")[2]
        for o in record.history.operations
        if o.op == "remove" and o.state == "done"
    ]


def test_good_run_shows_everything(run):
    """A run with reference counting has all capabilities, every step of every tile, and every removal after its last user."""
    record = run()
    history = record.history
    sources = {"tiles", "futures", "order", "removals", "saves", "opens", "callback", "log", "seeds", "exceptions"}
    assert sources == history.capabilities
    assert history.exceptions == ()
    assert history.torn == ()
    first, second = history.tiles
    assert (first.frames, second.frames) == CHAIN
    assert first.caches[2:] == second.caches
    assert first.caches[0].startswith("outputs/.zemosaic_img_cache/preprocessed_")
    for tile in (first, second):
        assert tile.outcome == "made"
        assert tile.reference == tile.frames[0]
        assert tile.submitted < tile.started < tile.ended < tile.collected
        assert tile.collected_by == "MainThread"
        assert tile.path == f"outputs/zemosaic_temp_master_tiles/master_tile_{tile.tile:03d}.fits"
    removals = {o.path: o for o in history.operations if o.op == "remove" and o.state == "done"}
    assert set(removals) == set(first.caches)
    assert all(removals[cache].t > second.collected for cache in second.caches)
    saves = [o for o in history.operations if o.op == "save"]
    assert {(o.state, o.path) for o in saves} == {("done", cache) for cache in first.caches}
    assert all(o.size == removals[o.path].size for o in saves)
    assert [e.text for e in history.named("MASTER_TILE_COUNT_UPDATE")] == ["0/2", "1/2", "2/2"]
    assert len(history.named("PROCESS_DONE")) == 1
    assert len(history.logged("Removed per-tile cache file:")) == 4
    assert [e.text for e in history.events if e.source == "stage"] == ["1/4", "2/4", "3/4", "4/4"]
    assert history.lost == 0
    assert all(line.tid for line in (*history.events, *history.operations, *history.steps))


def test_lender_first_starves_the_last_tile(run):
    """With naive deletion and the schedule, the last tile has no cache, in every run and with any number of workers."""
    record = run(config={"stub_mode": "naive"}, schedule=lender_first(CHAIN), workers=1)
    lender, victim = record.history.tiles
    assert record.history.holds[-1].state == "met"
    assert victim.outcome == "failed"
    assert victim.error == "mastertile_error_no_valid_images_from_cache"
    missing = record.history.named("mastertile_warn_cache_file_missing")
    assert sorted(e.fields["filename"] for e in missing) == list(FRAMES[2:])
    assert {e.fields["tile_id"] for e in missing} == {1}
    gone = {o.path: o for o in record.history.operations if o.op == "remove" and o.state == "done"}
    assert all(lender.collected < gone[cache].t < victim.started for cache in victim.caches)


def test_hold_that_needs_a_free_worker_is_unmet(run):
    """With one worker, a hold of the first tile for the second is unmet with its reason, and the run goes on."""
    record = run(schedule=(Hold(0, 1, 30.0),), workers=1)
    assert [h.state for h in record.history.holds] == ["waiting", "unmet"]
    assert "no worker is free" in record.history.holds[-1].reason
    assert [t.outcome for t in record.history.tiles] == ["made", "made"]


def test_retry_groups_name_their_origin(run):
    """A retry group is a tile with the tile that it retries as ``retry_of``; its frames are counted again."""
    names = (*FRAMES[:3], "retry.fits")
    record = run(names=names, plan=((*names,),))
    origin, retry = record.history.tiles
    assert (origin.retry_of, retry.retry_of) == (None, 0)
    assert retry.frames == ("retry.fits",)
    assert retry.submitted > origin.collected


def test_version_without_the_maker_lacks_that_part(run):
    """If a version makes tiles by an unknown function, no capability and no tile is recorded."""
    record = run(env={"PHASE3_STUB": "no tiles"})
    assert "tiles" not in record.history.capabilities
    assert {"callback", "removals"} <= record.history.capabilities
    assert record.history.tiles == ()
    assert [e.fields["num_master_tiles"] for e in record.history.named("run_info_phase3_finished_from_cache")] == [2]


def test_retention_and_plan_reach_the_target(run):
    """With ``keep`` nothing is removed. Without a plan the target makes its own groups."""
    record = run(retention="keep", plan=None)
    assert [o for o in record.history.operations if o.op in {"remove", "rmtree"}] == []
    (tile,) = record.history.tiles
    assert sorted(tile.frames) == sorted(FRAMES)


def test_children_are_observed_and_their_own_customisation_still_runs(run, tmp_path):
    """A child process records its file operations, and runs the sitecustomize that it would have had."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import os, pathlib; pathlib.Path(os.environ['PHASE3_MARK']).touch()\n")
    mark = tmp_path / "mark"
    record = run(config={"stub_mode": "children"}, env={"PYTHONPATH": str(own), "PHASE3_MARK": str(mark)})
    assert mark.exists()
    by_child = {(o.op, o.state) for o in record.history.operations if o.path == "outputs/left by a child"}
    assert {("open", "attempt"), ("remove", "attempt"), ("remove", "done")} <= by_child
    assert len({o.pid for o in record.history.operations}) == 2
    assert record.history.torn == ()


@pytest.mark.parametrize(("mode", "status"), [("exit", 7), ("crash", 1)])
def test_a_target_that_ends_early_leaves_a_readable_record(run, mode, status):
    """Evidence from before a crash is recorded; the exit status shows that the entry point did not return."""
    record = run(config={"stub_mode": mode}, status=status)
    assert "callback" in record.history.capabilities
    assert record.history.torn == ()


HELD = (Hold(1, 0, 50.0),)


def line_of(text):
    """Return where a line with this text is in the stub."""
    lines = (STUB / "zemosaic_worker.py").read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


@pytest.mark.parametrize(
    ("mode", "kind", "text"),
    [
        ("release raises", "KeyError", 'raise KeyError("no such tile")'),
        ("release typo", "UnboundLocalError", 'logger.debug("removed %d", removed)'),
    ],
)
def test_a_release_that_raises_is_named_and_ends_the_hold_at_once(run, mode, kind, text):
    """The exception has its line of the target's source, although the entry point catches it. The held tile waits no longer."""
    started = time.monotonic()
    history = run(config={"stub_mode": mode}, schedule=HELD).history
    assert time.monotonic() - started < 30
    (raised,) = history.exceptions
    assert (raised.where, raised.type, raised.thread) == ("run", kind, "MainThread")
    assert (raised.file, raised.line) == ("zemosaic_worker.py", line_of(text))
    assert raised.stack[-1].endswith(" _release")
    assert history.named("PROCESS_ERROR")
    (log,) = [e for e in history.events if e.source == "log" and "exception" in e.fields]
    assert log.fields["at"] == f"zemosaic_worker.py:{line_of(text)}"
    assert history.holds[-1].state == "unmet"
    assert "the run ended before: tile 0 is collected" in history.holds[-1].reason


def test_a_tile_that_raises_is_named_and_ends_the_hold_at_once(run):
    """The exception of the awaited tile is recorded with its place, and the tile that waits for it goes on."""
    started = time.monotonic()
    history = run(config={"stub_mode": "tile raises"}, schedule=HELD).history
    assert time.monotonic() - started < 30
    (raised,) = history.exceptions
    assert (raised.where, raised.tile, raised.type) == ("tile", 0, "IndexError")
    assert (raised.file, raised.line) == ("zemosaic_worker.py", line_of('raise IndexError("no frame fits")'))
    assert [tile.outcome for tile in history.tiles] == ["raised", "made"]
    assert history.holds[-1].state in {"unmet", "met"}


def test_a_tile_that_a_fault_makes_fail_is_no_exception_of_the_target(run):
    """The exception of the harness is not recorded as the target's."""
    record = run(faults=({"what": "fail tile", "tile": 0},))
    assert [tile.outcome for tile in record.history.tiles] == ["raised", "made"]
    assert record.history.exceptions == ()
    assert not own_failures(record)


def test_a_status_that_the_target_asks_for_is_an_exception(run):
    """``sys.exit`` with a status in Phase 3 ends the run with SystemExit, whose place is recorded."""
    record = run(config={"stub_mode": "stops"}, status=3)
    (raised,) = record.history.exceptions
    assert (raised.type, raised.message, raised.file) == ("SystemExit", "3", "zemosaic_worker.py")


@pytest.mark.parametrize(
    ("mode", "what", "place"),
    [
        ("release raises", "Phase 3 ended with KeyError: 'no such tile'", "zemosaic_worker.py:"),
        ("tile raises", "tile 0 ended with IndexError: no frame fits", "zemosaic_worker.py:"),
        ("crash", "the run ended with RuntimeError: the stub was asked to crash", "zemosaic_worker.py:"),
        ("exit", "its process ended with status 7 and no exception", ""),
    ],
)
def test_a_run_that_ends_by_the_targets_own_error_fails_by_the_check_crash(made, mode, what, place):
    """The verdict is fail and comes first, its sentence names the error, and so do the checks that it leaves without evidence."""
    record = made(config={"stub_mode": mode}, schedule=HELD)
    verdicts = sorted(judge(Comparison(record)), key=worst_first)
    assert (verdicts[0].check, verdicts[0].outcome) == ("crash", Outcome.FAIL)
    assert what in verdicts[0].sentence.render()
    assert place in verdicts[0].sentence.render()
    assert record.seal.state == ("done" if mode == "tile raises" else "crashed")
    if mode == "release raises":
        assert "KeyError: 'no such tile', at zemosaic_worker.py:" in record.seal.reason
        unknown = [v for v in verdicts if v.outcome is Outcome.UNKNOWN]
        assert unknown
        assert all(what in v.sentence.render() for v in unknown)


def test_bytes_on_standard_output_harm_nothing(run):
    """Output of the target does not get into the lines of the record."""
    assert len(run(config={"stub_mode": "binary"}).history.tiles) == 2


@pytest.mark.parametrize(("profile", "seeded"), [("fast", True), ("default", False)])
def test_samples_without_a_seed_are_the_same_in_every_fast_run(run, profile, seeded):
    """With the profile ``fast`` an unseeded generator gets the run's seed. Given seeds, and the profile ``default``, are kept."""
    record = run(config={"stub_mode": "samples"}, profile=profile, seed=3)
    (event,) = [e for e in record.history.events if e.key == "PROCESS_SAMPLES"]
    first, second, given, *order = event.fields["samples"]
    of_the_seed = np.random.default_rng(3).random()
    shuffled = np.arange(1000)
    np.random.RandomState(3).shuffle(shuffled)
    assert (first == of_the_seed, second == of_the_seed) == (seeded, seeded)
    assert (order == [shuffled[0], shuffled[-1]]) is seeded
    assert given == np.random.default_rng(7).random()


def test_target_runs_isolated(run):
    """Every folder that a target takes for its user's or its own is in the record, and the harness is not on its path.

    It can import the harness only if it is installed in its interpreter.
    """
    record = run(config={"stub_mode": "litter"})
    (event,) = [e for e in record.history.events if e.key == "PROCESS_PLACES"]
    places = dict(event.fields)
    code = "import sys, importlib.util as u; print(*[n for n in sys.argv[1:] if u.find_spec(n)])"
    names = ["harness", "fixtures", "reports", "tests", "conftest"]
    bare = subprocess.run([sys.executable, "-I", "-c", code, *names], capture_output=True, text=True, check=True)
    assert list(places.pop("importable")) == bare.stdout.split()
    path = [Path(entry).resolve() for entry in places.pop("path")]
    assert path[0] == record.folder / "work" / "target"
    assert not {ROOT / "harness", PROBE} & set(path)
    assert set(places) >= {"cwd", "home", "user", "tmp", "source", "XDG_CONFIG_HOME", "APPDATA"}
    work = record.folder / "work"
    for name, place in places.items():
        assert Path(place).is_relative_to(work), name
        assert (Path(place) / "litter").is_file()
    assert not list(Path(record.request.target.root).rglob("litter"))


def test_time_limit_ends_a_target_that_hangs(tmp_path, exports):
    """A ZeMosaic that does not return is ended at the time limit; its record is sealed as timed out, without its work folder."""
    frames = tmp_path / "frames"
    frames.mkdir()
    fits.writeto(frames / FRAMES[0], np.ones((20, 24), dtype=np.float32), fits.Header(WCS))
    fact = FrameFacts(FRAMES[0], sha256_of(frames / FRAMES[0]), (20, 24), WCS)
    request = a_request(
        target=resolve(f"zemosaic:{STUB}", None, exports),
        dataset=DatasetFacts("small", "synthetic", "0" * 64, (fact,)),
        plan=((FRAMES[0],),),
        schedule=(),
        faults=(),
        config={"stub_mode": "hang"},
        seconds=4.0,
    )
    pids = []
    record = make_run(request, tmp_path / "record é", frames, on_start=pids.append, grace=0.5)
    assert record.seal is not None
    assert record.seal.state == "timed out"
    assert "within 4 s" in record.seal.reason
    assert not record.damage
    assert not psutil.pid_exists(pids[0])
    assert not (record.folder / "work").exists()


def test_reference_runs_through_the_same_protocol(run):
    """The reference's record has the same parts."""
    record = run("reference", plan=(FRAMES,))
    assert {"tiles", "futures", "removals", "saves", "opens", "callback", "log"} <= record.history.capabilities
    tile = record.history.tiles[0]
    assert tile.frames == FRAMES
    assert tile.caches[0].startswith("outputs/.zemosaic_img_cache/preprocessed_")
    assert tile.collected_by == "MainThread"
    assert record.history.named("PROCESS_DONE")
    assert record.history.settings["master_tile_crop_percent"] == 3.0
    assert record.history.settings["retention"] == "per_tile"
    assert not {"input_dir", "output_dir"} & set(record.history.settings)


def test_effective_settings_are_recorded(run):
    """The effective configuration, defaults included, is recorded, without paths into the record."""
    record = run(config={"stub_mode": "no mosaic"})
    settings = record.history.settings
    assert (settings["stub_mode"], settings["cleanup_temp_artifacts"]) == ("no mosaic", False)
    assert settings["cache_retention"] == "per_tile"
    assert str(record.folder) not in str(dict(settings))


def test_launcher_names_what_it_expected(tmp_path):
    """Wrong arguments, a record without a request, and an unknown kind of target give an exit status and a sentence."""
    launch = [sys.executable, str(PROBE / "launch.py")]
    done = subprocess.run(launch, capture_output=True, text=True, check=False)
    assert (done.returncode, "expected one argument" in done.stderr) == (2, True)
    done = subprocess.run([*launch, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, "request.json" in done.stderr) == (1, True)
    for n, kind in enumerate(("command", "recorder", "../reference", "children.sitecustomize", "")):
        folder = tmp_path / str(n)
        folder.mkdir()
        a_request(target=TargetFacts(kind, "c", "", "", {}, ("x",))).write(folder / "request.json")
        done = subprocess.run([*launch, str(folder)], capture_output=True, text=True, check=False)
        assert (done.returncode, f"found {kind!r}" in done.stderr) == (2, True)


def test_configuration_puts_the_request_last():
    """The version's defaults are overridden by the profile, then by the request. Settings on which a run relies are fixed."""
    settings = SimpleNamespace(
        DEFAULT_CONFIG={"resume": "auto", "two_pass_coverage_renorm": True, "stacking_kappa_low": 2.0}
    )

    request = json.loads(
        json.dumps(
            a_request(config={"stacking_kappa_low": 5.0, "output_dir": "/home", "use_gpu_phase5": True}).to_json()
        )
    )
    config = zemosaic.configuration(settings, request, "/record")
    assert (config["stacking_kappa_low"], config["use_gpu_phase5"]) == (5.0, True)
    assert config["output_dir"] == str(Path("/record", "outputs"))
    assert (config["resume"], config["cache_retention"], config["cleanup_temp_artifacts"]) == ("off", "per_tile", False)
    assert config["two_pass_coverage_renorm"] is False
    assert "patchwork_suppressor_enabled" not in config
    request["profile"] = "default"
    assert zemosaic.configuration(settings, request, "/record")["two_pass_coverage_renorm"] is True


def test_plan_is_given_only_to_the_classic_mode():
    """SDS has no plan, and is selected by a setting."""
    request = a_request(mode="sds").to_json()
    assert "filter_invoked" not in zemosaic.arguments({}, request, "/record")
    classic = zemosaic.arguments({}, a_request().to_json(), "/record")
    assert [len(group) for group in classic["filter_overrides"]["preplan_master_groups"]] == [4, 2]
    assert len(classic["filtered_header_items"]) == 4
