"""Test the findings and the advice of ``phase3 doctor``."""

import shutil
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from harness.commands import doctor
from harness.commands.doctor import examine
from harness.language.catalogue import translator
from tests.requests_ import WCS

STUB = Path(__file__).parents[1] / "stub_zemosaic"


@pytest.fixture(autouse=True)
def session_folder(tmp_path, monkeypatch):
    """Put the sessions in a folder of the test."""
    monkeypatch.setenv("PHASE3_DIR", str(tmp_path / "sessions"))


def by_name(*args):
    """Return the doctor's findings by name."""
    return {finding.name.render(): finding for finding in examine(*args)}


def test_reference_needs_nothing_but_the_harness():
    """On a machine that runs the harness, the reference has no missing requirement."""
    found = by_name(None, None, None)
    for name in ("python", "libraries of the harness", "interpreter of the target", "target", "session folder"):
        assert found[name].ok is True
    assert not any(finding.ok is False for finding in found.values())


def test_target_is_looked_at():
    """A checkout is resolved, and each function that the probe wraps is a finding."""
    found = by_name(f"zemosaic:{STUB}", None, None)
    assert found["target"].ok is True
    assert found["function create_master_tile"].ok is True
    assert "libraries of the target" in found


def test_a_module_that_does_not_compile_is_a_fault_with_its_line(tmp_path):
    """The target's modules are compiled by its interpreter: an error has file and line; otherwise their number is shown."""
    folder = tmp_path / "z"
    shutil.copytree(STUB, folder, ignore=shutil.ignore_patterns("__pycache__"))
    assert by_name(f"zemosaic:{folder}", None, None)["source of the target"].found.render() == "2 modules compile"
    settings = folder / "zemosaic_config.py"
    count = len(settings.read_text(encoding="utf-8").splitlines())
    settings.write_text(settings.read_text(encoding="utf-8") + "def release(:\n", encoding="utf-8")
    found = by_name(f"zemosaic:{folder}", None, None)
    assert found["target"].ok is False
    assert f"zemosaic_config.py:{count + 1}: SyntaxError" in found["target"].found.render()
    assert "source of the target" not in found


def test_version_without_a_function_is_no_fault(tmp_path):
    """A function that a version lacks is optional, and the finding names the consequence."""
    folder = tmp_path / "z"
    shutil.copytree(STUB, folder, ignore=shutil.ignore_patterns("__pycache__"))
    worker = folder / "zemosaic_worker.py"
    worker.write_text(worker.read_text(encoding="utf-8").replace("create_master_tile", "make_it"), encoding="utf-8")
    finding = by_name(f"zemosaic:{folder}", None, None)["function create_master_tile"]
    assert finding.ok is None
    assert "unknown" in finding.todo.render()


def test_absent_target_is_a_fault(tmp_path):
    """A target that can't be resolved is a fault, with what to do."""
    finding = by_name(f"zemosaic:{tmp_path / 'none'}", None, None)["target"]
    assert finding.ok is False
    assert "give zemosaic:PATH" in finding.found.render()


def test_absent_interpreter_is_a_fault(tmp_path):
    """Without its interpreter the target is not examined further."""
    found = by_name("reference", str(tmp_path / "none"), None)
    assert found["interpreter of the target"].ok is False
    assert "target" not in found


def test_git_is_needed_for_commits_only(monkeypatch):
    """Without git, the reference can still be run."""
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    assert by_name("reference", None, None)["git"].ok is None
    assert by_name(f"zemosaic:{STUB}", None, None)["git"].ok is False


def test_missing_libraries_are_named_with_the_command(monkeypatch):
    """A library that the harness lacks is named as pip knows it."""
    monkeypatch.setitem(doctor.OWN_LIBRARIES, "no_such_module_here", "no-such-library")
    finding = by_name("reference", None, None)["libraries of the harness"]
    assert finding.ok is False
    assert "no-such-library" in finding.found.render()
    assert sys.executable in finding.todo.render()


def test_old_python_is_a_fault(monkeypatch):
    """An old Python of the harness is a fault."""
    monkeypatch.setattr(doctor, "OLDEST", (99, 0))
    finding = by_name("reference", None, None)["python"]
    assert (finding.ok, finding.todo.render()) == (False, "Install Python 99.0 or later.")


def test_own_frames_are_looked_at_as_a_run_would(tmp_path):
    """Frames with a celestial WCS are counted, and so are their pointings."""
    for number, ra in enumerate((10.0, 10.001, 12.0)):
        frame = fits.PrimaryHDU(np.ones((8, 10), np.uint16))
        frame.header.update({**WCS, "CRVAL1": ra})
        frame.writeto(tmp_path / f"lumière {number}.FITS")
    finding = by_name(None, None, tmp_path)["own frames"]
    assert finding.ok is True
    assert (finding.found.values["count"], finding.found.values["panels"]) == (3, 2)


def test_own_frames_without_data_are_named(tmp_path):
    """An all-zero frame, and one with NaN borders, are named as things to look at, not as faults."""
    good = np.ones((40, 50), np.float32)
    bordered = good.copy()
    bordered[:, :9] = np.nan
    for name, pixels in (("good.fit", good), ("zero.fit", 0 * good), ("bordered.fit", bordered)):
        frame = fits.PrimaryHDU(pixels)
        frame.header.update(WCS)
        frame.writeto(tmp_path / name)
    found = [f for f in examine(None, None, tmp_path) if f.name.render() == "own frames"]
    assert [f.ok for f in found] == [True, None, None]
    assert "1 of 3 (zero.fit)" in found[1].found.render()
    assert "1 of 3 (bordered.fit)" in found[2].found.render()


def test_a_stray_file_beside_own_frames_is_named(tmp_path):
    """A packed frame beside good ones is a note with what to do, not a fault; alone it is a fault."""
    frame = fits.PrimaryHDU(np.ones((8, 10), np.uint16))
    frame.header.update(WCS)
    frame.writeto(tmp_path / "good.fit")
    (tmp_path / "stray.fits.gz").write_bytes(b"x")
    found = [f for f in examine(None, None, tmp_path) if f.name.render() == "own frames"]
    assert [f.ok for f in found] == [True, None]
    assert "1 (stray.fits.gz). Frames that it reads: 1." in found[1].found.render()
    (tmp_path / "good.fit").unlink()
    assert by_name(None, None, tmp_path)["own frames"].ok is False


def test_own_frames_without_a_wcs_are_a_fault(tmp_path):
    """Frames that a run would refuse are faults, one finding for each frame; a missing folder is a fault too."""
    fits.PrimaryHDU(np.zeros((8, 10), np.uint16)).writeto(tmp_path / "brute.fits")
    (tmp_path / "torn.fit").write_bytes(b"")
    found = [f for f in examine(None, None, tmp_path) if f.name.render() == "own frames"]
    assert [f.ok for f in found] == [False, False]
    assert "torn.fit" in found[0].found.render()
    assert "found 1 without one: brute.fits" in found[1].found.render()
    assert by_name(None, None, tmp_path / "none")["own frames"].ok is False


def test_own_frames_that_cannot_be_listed_are_a_fault(tmp_path, monkeypatch):
    """A folder that can't be read is a finding, not an exception."""

    def refuse(_folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("fixtures.user_frames.frames_of", refuse)
    finding = by_name(None, None, tmp_path)["own frames"]
    assert finding.ok is False
    assert "Permission denied" in finding.found.render()


def test_findings_have_french_names():
    """The names of findings are translated, except names that are the same in both languages."""
    french = translator("fr")
    same = {"python", "git"}
    for finding in examine(f"zemosaic:{STUB}", None, None):
        english = finding.name.render()
        assert english in same or finding.name.render(french) != english


def test_every_library_of_the_main_job_is_looked_for():
    """The libraries that the doctor checks are those that pyproject.toml requires on every system."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    needed = [line for line in tomllib.loads(text)["project"]["dependencies"] if ";" not in line]
    assert sorted(doctor.OWN_LIBRARIES.values()) == sorted(line.partition(">=")[0] for line in needed)


def test_folder_that_cannot_be_written_is_a_fault(monkeypatch):
    """A session folder that can't be written is a fault; the advice names the option."""

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    finding = by_name("reference", None, None)["session folder"]
    assert finding.ok is False
    assert "--phase3-dir" in finding.todo.render()


def test_little_space_is_told(monkeypatch):
    """Little free disk space is an optional finding."""
    monkeypatch.setattr(doctor, "ENOUGH_BYTES", 2**80)
    assert by_name("reference", None, None)["disk space"].ok is None
