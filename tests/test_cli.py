"""The ``phase3`` command: what it prints, in both languages, and the status it ends with."""

import shutil
from pathlib import Path

import pytest

from harness.cli import main
from harness.doctor import Finding
from harness.message import say
from harness.session import read_session
from harness.verdict import exit_status
from tests.sample_session import sample_session

GOLDEN = Path(__file__).parent / "golden"
RED, GREEN = GOLDEN / "63bcc2c" / "chain", GOLDEN / "b59a65f" / "chain"


def test_a_red_record_ends_with_1_and_its_cause(capsys):
    """Verdicts come worst first, each failure with its numbered cause."""
    assert main(["judge", str(RED / "per_tile"), "--pair", str(RED / "run_end")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("FAIL")
    assert lines[-1].startswith("PASS")
    assert any("1. " in line and "tile" in line for line in lines)


def test_a_green_record_ends_with_0(capsys):
    """A pass of every check is status 0."""
    assert main(["judge", str(GREEN / "per_tile"), "--pair", str(GREEN / "run_end")]) == 0
    assert "FAIL" not in capsys.readouterr().out


def test_missing_evidence_ends_with_3(capsys):
    """Without its pair the same record leaves a question open: unknown, not pass."""
    assert main(["judge", str(GREEN / "per_tile")]) == 3
    assert "UNKNOWN" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["judge", "nowhere"], ["report", "nowhere"], ["data", "fetch", "nothing"]])
def test_what_is_not_there_ends_with_2(capsys, tmp_path, monkeypatch, arguments):
    """A wrong name is a usage error, said on the error stream without a traceback."""
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert "expected" in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_without_a_session_the_report_says_what_to_do(capsys, tmp_path, monkeypatch):
    """No session yet: the error names the command that makes one."""
    monkeypatch.setenv("PHASE3_DIR", str(tmp_path))
    assert main(["report"]) == 2
    assert "run pytest -m phase3" in capsys.readouterr().err


def test_the_latest_session_is_reported(capsys, tmp_path, monkeypatch):
    """Without a name the report of the latest session is written again, in both languages."""
    folder = tmp_path / "sessions" / "une session"
    folder.mkdir(parents=True)
    sample_session(folder)
    (tmp_path / "latest").write_text("sessions/une session\n", encoding="utf-8")
    monkeypatch.setenv("PHASE3_DIR", str(tmp_path))
    assert main(["report"]) == exit_status(read_session(folder).outcome)
    out = capsys.readouterr().out
    assert str(folder / "report.html") in out
    assert str(folder / "report.fr.html") in out


def test_verdicts_speak_french(capsys):
    """``--lang fr`` translates sentences; names of checks and events stay."""
    main(["--lang", "fr", "judge", str(RED / "per_tile"), "--pair", str(RED / "run_end")])
    out = capsys.readouterr().out
    assert "Trous" in out
    assert "holes:" in out


@pytest.mark.parametrize(("ok", "status"), [(True, 0), (None, 0), (False, 2)])
def test_doctor_ends_with_2_when_something_is_missing(capsys, monkeypatch, ok, status):
    """A finding that stops a validation is status 2, with what to do; one that does not is shown."""
    finding = Finding("disk", ok, say("found little"), say("free some"))
    monkeypatch.setattr("harness.doctor.examine", lambda *_: (finding,))
    assert main(["doctor"]) == status
    out = capsys.readouterr().out
    assert "found little" in out
    assert ("free some" in out) is (ok is not True)


def test_data_list_names_every_set_and_how_to_get_it(capsys, monkeypatch, tmp_path):
    """A set that is not here stands with the command that gets it."""
    monkeypatch.setenv("PHASE3_DATA_DIR", str(tmp_path))
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert "microobs_hatp32_4panels" in out
    assert "seestar_m94_2panels" in out


def test_data_verify_fails_on_a_changed_frame(capsys, monkeypatch, tmp_path):
    """One changed byte in a set is status 1 and named."""
    import os

    source = os.environ.get("PHASE3_DATA_DIR")
    name = "microobs_hatp32_4panels"
    if not source or not (Path(source) / name).is_dir():
        pytest.skip("PHASE3_DATA_DIR names no folder with the real sets: get them with phase3 data fetch")
    shutil.copytree(Path(source) / name, tmp_path / name, copy_function=shutil.copyfile)
    monkeypatch.setenv("PHASE3_DATA_DIR", str(tmp_path))
    assert main(["data", "verify", name]) == 0
    frame = next((tmp_path / name).glob("*.fits"))
    content = bytearray(frame.read_bytes())
    content[-3000] ^= 1
    frame.write_bytes(content)
    assert main(["data", "verify", name]) == 1
    assert frame.name in capsys.readouterr().out
