"""Test runs whose disk is full at any moment: a record is sealed with the reason, or the error says why there is none."""

import errno

import pytest

from harness.field.observe import record_command
from harness.language.message import SaidError
from harness.record.reader import read_record
from harness.run.runner import make_run
from tests.faults import contents, failing
from tests.runs_ import command
from tests.user_scripts import IN_THE_MIDDLE, writer

SCRIPT = """
hello()
event("PHASE_UPDATE", "1")
(outputs / "zemosaic_MT1_R1.fits").write_bytes(b"no mosaic")
"""
STEPS = (1, 4, 9, 16, 25, 30, 33, 36, 40, 50, 70)


def test_a_run_whose_disk_is_full_at_any_moment(tmp_path):
    """The frames stay as they were. What is returned is sealed and undamaged; otherwise an error names the file and the cause."""
    frames = tmp_path / "frames"
    request = command(frames, SCRIPT)
    before = contents(frames)
    seen = set()
    for number in STEPS:
        folder = tmp_path / str(number)
        with failing(number) as faults:
            made, said = None, ""
            try:
                made = make_run(request, folder, frames, grace=0.5)
            except (SaidError, OSError) as error:
                said = str(error)
        if made is None:
            seen.add("error")
            assert "no room on" in said or "No space left" in said
        assert contents(frames) == before
        assert not list(folder.rglob("*.part")) if folder.exists() else True
        if made is not None:
            seen.add("sealed")
            assert made.seal is not None
            assert not made.damage
        elif (folder / "request.json").exists():
            assert read_record(folder).seal is None
        if not faults.met:
            break
    assert not faults.met
    assert seen == {"error", "sealed"}


@pytest.mark.parametrize("number", [1, 5, 8, 10, 12])
def test_a_users_run_whose_disk_is_full_at_its_end(tmp_path, monkeypatch, number):
    """The user's program runs to its end; the record is sealed, or the error names it. No output is removed."""
    import harness.field.observe as observing

    argv = writer(tmp_path / "chez moi")(IN_THE_MIDDLE.replace("{what}", "pass"))
    real = observing.finished
    monkeypatch.setattr(observing, "SETTLE_SECONDS", 60.0)

    def finished(run, end):
        with failing(number, errno.ENOSPC):
            return real(run, end)

    monkeypatch.setattr(observing, "finished", finished)
    made, said = None, "record-1"
    try:
        (made,) = record_command(argv, tmp_path / "r", 60.0, lambda _: None)
    except SaidError as error:
        said = str(error)
    assert "record-1" in said
    record = tmp_path / "r" / "record-1"
    assert list(record.glob("events-*.jsonl"))
    assert not list(record.rglob("*.part"))
    assert (tmp_path / "chez moi" / "sortie" / "zemosaic_MT3_R6.fits").is_file()
    if made is not None:
        assert made.seal.state == "done"
        assert not made.damage
