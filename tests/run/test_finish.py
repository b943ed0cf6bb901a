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
