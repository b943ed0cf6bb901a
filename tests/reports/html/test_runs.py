"""Test the drawings of a judged run on the report page."""

import json
from dataclasses import replace

import pytest

from harness.language.catalogue import Language
from reports.html import runs, skymap
from tests.report_pages import read, shown, written
from tests.sample_session import REFERENCE, Run, a_request, sample_session


def test_the_scale_of_a_map_has_no_needless_digits():
    """Steps of coverage are rounded to a tenth of their width; single values are not rounded."""
    lang = Language("en")
    assert [runs._level(skymap.Level("#fff", *edges), lang) for edges in ((0.001047, 1.001), (1.001, 2.001))] == [
        "0–1",
        "1–2",
    ]
    assert runs._level(skymap.Level("#fff", 0.12345, 0.2), lang) == "0.123–0.2"
    assert runs._level(skymap.Level("#fff", 3.0, 3.0), lang) == "3"


def with_costs(folder):
    """Return the page of a session that has all three retentions and whose cost check measured times and growth."""
    session = sample_session(folder)
    subject = session.judged[0]
    request = a_request("chain", "subject", REFERENCE, "keep")
    Run(folder / "runs" / "keep", request, naive=False).write()
    entry = replace(session.runs[0], key="keep", role="subject", retention="keep", record="runs/keep")
    told = {"ratio": 1.02, "ratio_low": 0.97, "ratio_high": 1.08, "ratio_limit": 1.1}
    told |= {"exponent": 0.99, "exponent_low": 0.98, "exponent_high": 1.01, "exponent_limit": 1.15}
    told |= {"phase_3_seconds": [{"per_tile": 1.0, "run_end": 1.0, "ratio": 1.0}, {"ratio": "many"}, 7]}
    verdicts = tuple(replace(v, evidence=told) if v.check == "cost" else v for v in subject.verdicts)
    judged = (replace(subject, verdicts=verdicts, equals=("keep",)), *session.judged[1:])
    return written(replace(session, runs=(*session.runs, entry), judged=judged), folder)


def test_retentions_stand_side_by_side_and_costs_have_their_interval(tmp_path):
    """Three retentions are drawn on one scale; the intervals of the cost check are given in words too."""
    page = with_costs(tmp_path / "session")
    assert "The three retentions" in page.words
    labels = [attrs.get("aria-label", "") for tag, attrs in page.elements if tag == "svg"]
    assert [label for label in labels if label.startswith("Size of the caches during Phase 3")] == [
        f"Size of the caches during Phase 3 with {name}" for name in ("per_tile", "run_end", "keep")
    ]
    assert "Phase 3 time, per_tile to run_end: 1.02; 95 % interval 0.97 to 1.08" in labels
    assert "Growth of bookkeeping with the inputs: 0.99; 95 % interval 0.98 to 1.01" in labels
    assert sum("point" in attrs.get("class", "") for tag, attrs in page.elements if tag == "circle") == 1


def test_without_them_nothing_is_drawn(folders):
    """Two retentions, or counts without times, are not drawn."""
    page = read(folders["reference"])
    assert "The three retentions" not in page.words
    assert "Cost of counting references" not in page.words


@pytest.mark.parametrize(
    ("mode", "told", "empty"),
    [
        ("classic", "with per_tile they must be removed step by step", "The record contains no steps of tiles"),
        ("sds", "the coadd reads every cache", "SDS and grid mode make no master tiles"),
        ("grid", "Grid mode writes no caches: there is nothing to draw.", "SDS and grid mode make no master tiles"),
    ],
)
def test_drawings_over_time_speak_of_the_mode(mode, told, empty, tmp_path):
    """The texts of the drawings say what each mode does with caches and tiles."""
    session = sample_session(tmp_path / "session")
    folder = tmp_path / "session" / session.runs[1].record
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    request["mode"] = mode
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    for trace in folder.glob("trace-*.jsonl"):
        first = trace.read_text(encoding="utf-8").splitlines()[0]
        trace.write_text(first + "\n", encoding="utf-8")
    (folder / "disk.jsonl").unlink(missing_ok=True)
    words = shown(tmp_path / "session").words
    subject = words[words.index("version under test reference, per_tile") :]
    assert told in subject
    assert empty in subject
