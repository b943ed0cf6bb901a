"""The steps that end a run: each failure becomes a reason, and the record is sealed nevertheless."""

import json

from harness.record.leftovers import LeftFile
from harness.run import finish
from harness.run import measure as measure_module
from harness.run.finish import End
from harness.watch.sampling import Watch
from tests.requests_ import a_request


class Blind:
    """A sampler that fails."""

    def sample(self, *, last):
        """Fail."""
        raise RuntimeError(f"blind, last={last}")


def test_a_reason_that_is_empty_is_left_out():
    """Steps return an empty reason where nothing was unexpected."""
    assert End("done", 0, 1.0, ("one.",)).because("", "two.").reasons == ("one.", "two.")


def test_watches_are_stopped_once(tmp_path):
    """A watch that failed gives a reason; a second call has nothing to stop."""
    watches = [Watch("disk", tmp_path / "disk.jsonl", Blind)]
    (reason,) = finish.stop(watches)
    assert reason.startswith("Watching failed: the disk was not watched to the end (RuntimeError: blind")
    assert finish.stop(watches) == []


def test_a_list_that_cannot_be_written_is_a_reason(tmp_path):
    """Without a folder the list of left files is missing, and the reason says so."""
    files = [LeftFile("outputs/a.fits", 3, "other")]
    assert finish.list_left(tmp_path, files) == ""
    assert json.loads((tmp_path / "left.jsonl").read_text(encoding="utf-8"))["path"] == "outputs/a.fits"
    assert finish.list_left(tmp_path / "gone", files).startswith("What the target left could not be listed: ")


def test_products_of_a_failed_measurement_are_removed(tmp_path, monkeypatch):
    """Incomplete products are no evidence; the traceback goes to console.log."""

    def measure(folder, _request, _origin):
        (folder / "products.json").write_text("half", encoding="utf-8")
        raise RuntimeError("no such plane")

    monkeypatch.setattr(measure_module, "measure", measure)
    assert "RuntimeError: no such plane: see the end of console.log" in finish.measure_products(tmp_path, a_request())
    assert not (tmp_path / "products.json").exists()
    assert "Traceback" in (tmp_path / "console.log").read_text(encoding="utf-8")


def exception(folder, where):
    """Write a trace with an exception."""
    line = {"t": 5, "thread": "m", "op": "exception", "where": where, "type": "KeyError", "message": "'x'"}
    lines = [{"format": "phase3-trace/1", "pid": 1}, {**line, "file": "worker.py", "line": 12}]
    text = "".join(json.dumps(each) + "\n" for each in lines) + '{"op": "exception", "torn'
    (folder / "trace-1.jsonl").write_text(text, encoding="utf-8")


def test_a_run_whose_entry_point_caught_its_exception_crashed(tmp_path):
    """The process ended with status 0, but the trace has the exception that ended the run: the reason names it first."""
    exception(tmp_path, "run")
    end = finish.with_own_failure(tmp_path, End("done", 0, 1.0, ("one.",)))
    assert (end.state, end.code) == ("crashed", 0)
    assert end.reasons == ("The target's run ended with KeyError: 'x', at worker.py:12.", "one.")
    stopped = End("timed out", None, 1.0)
    assert finish.with_own_failure(tmp_path, stopped) is stopped


def test_a_run_that_survived_an_exception_is_done(tmp_path):
    """An exception that ended a tile only, and a trace without one, leave the end as it is."""
    done = End("done", 0, 1.0)
    assert finish.with_own_failure(tmp_path, done) is done
    exception(tmp_path, "tile")
    assert finish.with_own_failure(tmp_path, done) is done


def test_the_seal_holds_end_and_reasons(tmp_path):
    """State, exit status, reasons and seconds of the end are in the seal."""
    finish.seal_end(tmp_path, End("crashed", 3, 1.5, ("one.", "two.")))
    sealed = json.loads((tmp_path / "seal.json").read_text(encoding="utf-8"))
    assert (sealed["state"], sealed["exit_code"], sealed["reason"], sealed["seconds"]) == (
        "crashed",
        3,
        "one. two.",
        1.5,
    )
