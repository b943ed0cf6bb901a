"""Test ``phase3 record -- COMMAND`` on a stub with ZeMosaic's entry point."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from harness.commands.main import main
from harness.field import case_file as cases
from harness.record.reader import read_record
from harness.record.values import sha256_of
from tests.runs_ import hashes
from tests.user_scripts import IN_THE_MIDDLE, WINDOW, writer


@pytest.fixture
def user(tmp_path):
    """Return a function that writes a user's script."""
    return writer(tmp_path / "chez moi é")


def test_a_window_is_recorded_as_it_is(user, tmp_path, capsys):
    """The child process of the window is observed, the plan of its filter is recorded, and no file of the user changes."""
    argv = user(WINDOW)
    home = Path(argv[1]).parent
    before = {name: digest for name, digest in hashes(home).items() if "__pycache__" not in name.parts}
    assert main(["record", "--dir", str(tmp_path / "dossier é"), "--", *argv]) == 3
    out = capsys.readouterr().out
    assert out.startswith("fenêtre ouverte")
    assert "PASS            cache" in out
    assert "UNKNOWN         holes" in out  # nobody made a pair
    assert "phase3 case make" in out

    made = read_record(tmp_path / "dossier é" / "record-1")
    request = made.request
    assert made.usable
    assert (request.retention, request.workers, request.profile, request.mode) == ("per_tile", 2, "default", "classic")
    assert request.plan == tuple(
        tuple(f"p{x}_{k}.fits" for x in group for k in range(2)) for group in ((0, 1), (1, 2), (2,))
    )
    assert {f.name: f.sha256 for f in request.dataset.frames} == {
        path.name: sha256_of(path) for path in (home / "mes images").iterdir()
    }
    assert {f.panel for f in request.dataset.frames} == {0, 1, 2}
    assert request.target.kind == "zemosaic"
    assert set(request.target.identity) >= {"files", "versions"}
    assert made.history.capabilities >= {"callback", "tiles", "futures", "removals", "saves", "opens", "log"}
    assert made.history.settings["cache_retention"] == "per_tile"
    assert made.history.named("PROCESS_DONE")
    assert made.products.mosaic == "outputs/zemosaic_MT3_R6.fits"
    assert (made.truth.origin, made.truth.frames) == ("frames", 6)  # of the user's own frames
    assert len(made.products.tiles) == 3
    assert {file.kind for file in made.left} == {"mosaic", "tile"}
    assert {sample.folder for sample in made.history.disk} == {"outputs", "outputs/.zemosaic_img_cache"}
    assert not list(made.folder.glob("outputs*"))
    assert not (made.folder / "work").exists()

    after = {name: digest for name, digest in hashes(home).items() if "__pycache__" not in name.parts}
    assert {name: after[name] for name in before} == before
    assert {name.parts[0] for name in set(after) - set(before)} == {"sortie é"}

    case = cases.make(made)
    assert case.plan == request.plan
    assert set(case.outputs) == {"zemosaic_MT3_R6.fits[PRIMARY]", "zemosaic_MT3_R6_coverage.fits[PRIMARY]"}
    assert str(home) not in json.dumps(case.to_json(), ensure_ascii=False)


def test_a_lone_record_names_the_commands_that_make_its_pair(user, tmp_path, capsys):
    """A record has no pair, so the commands that make a case of it and repeat it with run_end are printed, with their paths."""
    argv = user(IN_THE_MIDDLE.replace("{what}", "pass"))
    home = Path(argv[1]).parent
    assert main(["record", "--dir", str(tmp_path / "dossier é"), "--", *argv]) == 3
    made, again = (
        line.partition("phase3 ")[2] for line in capsys.readouterr().out.splitlines() if ": phase3 case" in line
    )
    assert main(shlex.split(made)) == 0
    words = shlex.split(again)
    assert words[:2] == ["case", "run"]
    assert words[-1] == "--pair"
    assert words[words.index("--frames") + 1] == str(home / "mes images")
    assert words[words.index("--python") + 1] == sys.executable
    assert main(["case", "verify", words[2], "--frames", words[4]]) == 0


@pytest.mark.parametrize("retentions", [["per_tile", "run_end"], ["run_end", "per_tile"]], ids=lambda both: both[0])
def test_record_pair_repeats_the_mosaic_with_the_other_retention(user, tmp_path, capsys, monkeypatch, retentions):
    """With ``--pair`` the case is made and run with both retentions, whichever was recorded; its verdicts count."""
    asked = []

    def make_run(request, _folder, frames, **_):
        asked.append((request.retention, request.plan, frames))
        return read_record(tmp_path / "r" / "record-1")

    monkeypatch.setattr("harness.run.runner.make_run", make_run)
    monkeypatch.setattr(
        "harness.commands.case._target", lambda *_: read_record(tmp_path / "r" / "record-1").request.target
    )
    argv = user(IN_THE_MIDDLE.replace("{what}", "pass"))
    config = Path(argv[1]).parent / "ze mosaïc" / "zemosaic_config.py"
    config.write_text(config.read_text(encoding="utf-8").replace("per_tile", retentions[0]), encoding="utf-8")
    assert main(["record", "--pair", "--dir", str(tmp_path / "r"), "--", *argv]) == 3
    assert [retention for retention, _, _ in asked] == retentions
    assert asked[0][1] == read_record(tmp_path / "r" / "record-1").request.plan
    assert "outputs" in capsys.readouterr().out
    assert (tmp_path / "r" / "record-1.phase3.json").is_file()


def test_a_loss_is_found_in_ones_own_run(user, tmp_path, capsys, monkeypatch):
    """A version that removes caches too early fails with the cause, also without a pair."""
    monkeypatch.setenv("PHASE3_STUB", "naive")
    slow = "time.sleep(0.2)"  # so that the first tile's caches are gone before the second tile asks
    argv = user(
        IN_THE_MIDDLE.replace("{what}", slow).replace(
            'arguments("sortie")', '{**arguments("sortie"), "num_base_workers": 1}'
        )
    )
    assert main(["record", "--dir", str(tmp_path / "r"), "--", *argv]) == 1
    assert "FAIL            cache" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param("import json", 2, id="no import"),
        pytest.param("import zemosaic_worker\nsys.exit(4)", 3, id="no mosaic"),
    ],
)
def test_a_command_without_a_mosaic_records_nothing(user, tmp_path, capsys, body, status):
    """A command without ZeMosaic is a usage error, one without a mosaic is unknown. Both give advice and leave no folder."""
    assert main(["record", "--dir", str(tmp_path / "r"), "--", *user(body)]) == status
    err = capsys.readouterr().err
    assert ("start one in its window" if status == 3 else "give the command that starts it from source") in err
    assert ("status 4" in err) is (status == 3)
    assert not (tmp_path / "r").exists()


def test_a_command_that_cannot_start_is_a_usage_error(tmp_path, capsys):
    """A program that does not exist is an error, and leaves no folder."""
    assert main(["record", "--dir", str(tmp_path / "r"), "--", str(tmp_path / "no program")]) == 2
    assert "could not be started" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
