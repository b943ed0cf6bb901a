"""The table of frames for a grid run: a user's own or one of all frames; and how the reference reads it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.pipeline.stack_plan import StackPlanError, read_stack_plan
from harness.field import case_file as cases
from harness.record.request import Request
from harness.run.inputs import InputError
from harness.run.runner import make_run
from harness.run.stack_plan import stack_plan
from tests.runs_ import command, frames_in

COPYING = """
import shutil
shutil.copy(record / "work" / "input" / "stack_plan.csv", outputs / "seen.csv")
hello(); event("PROCESS_DONE")
"""


def table(text: str, delimiter: str = ",") -> list[list[str]]:
    """Return the fields of a table."""
    return list(csv.reader(text.splitlines(), delimiter=delimiter))


def test_without_a_plan_every_frame_is_named_in_order(tmp_path: Path) -> None:
    """A header line and one row per frame, with the path of its copy or its name only."""
    write = stack_plan(tmp_path, frames_in(tmp_path))
    assert table(write("")) == [["file_path", "order"], ["é 0.fits", "0"], ["é 1.fits", "1"]]
    assert table(write("/a b/input"))[1] == ["/a b/input/é 0.fits", "0"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_users_plan_is_kept_but_for_the_places(tmp_path: Path, delimiter: str) -> None:
    """Columns, order and other fields stay; paths of any system become the copies', with any byte order mark and line ends."""
    dataset = frames_in(tmp_path)
    rows = [
        ["Filter", "File_Path", "exposure"],
        ["IR", "C:\\my frames\\é 1.fits", "10"],
        ["", "/data/é 0.fits", ""],
        ["x", "", "1"],
    ]
    text = "\r\n".join(delimiter.join(f'"{field}"' for field in row) for row in rows)
    (tmp_path / "stack_plan.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert table(stack_plan(tmp_path, dataset)("/copies"), delimiter) == [
        ["Filter", "File_Path", "exposure"],
        ["IR", "/copies/é 1.fits", "10"],
        ["", "/copies/é 0.fits", ""],
        ["x", "", "1"],
    ]


def test_every_column_that_a_target_may_prefer_leads_to_the_copies(tmp_path: Path) -> None:
    """Of two columns of frames, one empty in a row, or two of one name, no field leads to an original."""
    dataset = frames_in(tmp_path)
    text = "path|file|PATH|night\n/mine/é 0.fits|/mine/é 0.fits|/mine/é 1.fits|1\n|é 1.fits\n"
    (tmp_path / "stack_plan.csv").write_text(text, encoding="utf-8")
    assert table(stack_plan(tmp_path, dataset)("/copies"), "|")[1:] == [
        ["/copies/é 0.fits", "/copies/é 0.fits", "/copies/é 1.fits", "1"],
        ["", "/copies/é 1.fits"],
    ]
    (tmp_path / "stack_plan.csv").write_text(text.replace("|é 1.fits", "|ghost.fits"), encoding="utf-8")
    with pytest.raises(InputError, match=r"line 3 .* found ghost\.fits"):
        stack_plan(tmp_path, dataset)


def test_who_guesses_the_delimiter_is_not_misled(tmp_path: Path) -> None:
    """Paths with spaces and semicolons, in one column or two, do not mislead a reader that guesses the delimiter."""
    write = stack_plan(tmp_path, frames_in(tmp_path))
    assert csv.Sniffer().sniff(write("/a b; c/d e"), delimiters=",;|\t ").delimiter == ","


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path\né 0.fits\nother/ghost.fits\n", r"line 3 of .* found ghost\.fits: correct the plan"),
        ("a,b\n1,2\n", "found a, b: add it"),
        ("", "found -: add it"),
        ('path\n"é 0.fits\n', "Expected a table in"),
    ],
)
def test_a_users_plan_that_leads_elsewhere_starts_no_run(tmp_path: Path, text: str, says: str) -> None:
    """A file outside the dataset would be an original; no record is left."""
    request = command(tmp_path / "frames", COPYING, mode="grid")
    (tmp_path / "frames" / "stack_plan.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says):
        make_run(request, tmp_path / "record", tmp_path / "frames")
    assert not (tmp_path / "record").exists()


def test_a_grid_run_has_its_plan_beside_its_copies_and_in_its_record(tmp_path: Path) -> None:
    """The target gets absolute paths of the copies, the record names only."""
    request = command(tmp_path / "frames", COPYING, mode="grid")
    record = make_run(request, tmp_path / "record à moi", tmp_path / "frames")
    folder = tmp_path / "record à moi"
    seen = table((folder / "outputs" / "seen.csv").read_text(encoding="utf-8"))
    assert [row[0] for row in seen[1:]] == [str(folder / "work" / "input" / f"é {n}.fits") for n in range(2)]
    kept = table((folder / "stack_plan.csv").read_text(encoding="utf-8"))
    assert [row[0] for row in kept] == ["file_path", "é 0.fits", "é 1.fits"]
    assert record.seal is not None
    assert "stack_plan.csv" in record.seal.files


def copying(frames: Path) -> Request:
    """Return a request for a grid run that keeps its plan, of a dataset that a case can have."""
    request = command(frames, COPYING, mode="grid")
    return replace(request, dataset=replace(request.dataset, sha256=cases.dataset_digest(request.dataset)))


def test_a_case_of_the_grid_brings_its_plan(tmp_path: Path) -> None:
    """The table keeps exposures and order without the machine's paths; a run of the case uses it and no other."""
    frames = tmp_path / "frames"
    request = copying(frames)
    text = "path,exposure,dark\né 1.fits,20,/home/me/dark.fits\né 0.fits,10,\n"
    (frames / "stack_plan.csv").write_text(text, encoding="utf-8")
    case = cases.make(make_run(request, tmp_path / "record", frames))
    case.write(tmp_path / "case.json")
    case = cases.read(tmp_path / "case.json")
    (frames / "stack_plan.csv").unlink()
    again = make_run(case.asks(request.target, "run_end"), tmp_path / "again", frames, table=case.table)
    assert table((again.folder / "stack_plan.csv").read_text(encoding="utf-8")) == [
        ["path", "exposure", "dark"],
        ["é 1.fits", "20", ""],
        ["é 0.fits", "10", ""],
    ]
    seen = table((again.folder / "outputs" / "seen.csv").read_text(encoding="utf-8"))
    assert seen[1][0] == str(again.folder / "work" / "input" / "é 1.fits")


@pytest.mark.parametrize("lines", [None, ["path", "ghost.fits"], ["a"], ["path", '"é 0.fits'], 5])
def test_a_case_of_the_grid_has_a_plan_of_its_frames(tmp_path: Path, lines: object) -> None:
    """A case without a table, or with a bad one, is refused."""
    request = copying(tmp_path / "frames")
    data = cases.make(make_run(request, tmp_path / "record", tmp_path / "frames")).to_json()
    (tmp_path / "case.json").write_text(json.dumps({**data, "stack_plan": lines}), encoding="utf-8")
    with pytest.raises(cases.CaseError):
        cases.read(tmp_path / "case.json")


def test_no_other_mode_is_given_a_plan(tmp_path: Path) -> None:
    """A plan in the input folder would turn any run of the target into a grid run."""
    request = command(
        tmp_path / "frames", 'hello(); event("SEEN", ",".join(p.name for p in (record / "work" / "input").iterdir()))'
    )
    (tmp_path / "frames" / "stack_plan.csv").write_text("path\n", encoding="utf-8")
    record = make_run(request, tmp_path / "record", tmp_path / "frames")
    assert "stack_plan.csv" not in record.history.events[0].text
    assert not (tmp_path / "record" / "stack_plan.csv").exists()


# What the reference reads


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_the_reference_reads_what_planners_write(tmp_path: Path, delimiter: str, end: str, encoding: str) -> None:
    """Delimiters, line ends, a byte order mark, quotes, spaces, accents, column names in any case, empty lines."""
    rows = [
        ["PATH", " Exp ", "Band", "session", "seq"],
        ['"été 1.fits"', " 10.5", "IR ", "a", "2"],
        ["b.fits", "20", "IR", "b", "1"],
        ["c.fits"],
    ]
    text = (end + end).join(delimiter.join(row) for row in rows) + end
    (tmp_path / "stack_plan.csv").write_bytes(text.encode(encoding))
    plan = read_stack_plan(tmp_path / "stack_plan.csv")
    assert plan.bad == ()
    found = [(f.path.relative_to(tmp_path).name, f.exposure, f.filter, f.order) for f in plan.frames]
    assert found == [("b.fits", 20.0, "IR", 1), ("été 1.fits", 10.5, "IR", 2), ("c.fits", None, "", None)]
    assert [f.line for f in plan.frames] == [5, 3, 7]


def test_the_reference_tells_each_bad_row(tmp_path: Path) -> None:
    """The error names line and fault; an exposure with a decimal comma is read where the comma is not the delimiter."""
    lines = [
        "path;exposure;order",
        "a.fits;1,5;",
        ";1;1",
        "b.fits;-1;",
        "c.fits;nan;",
        "d.fits;1;x",
        "a.fits;;",
        "e.fits;;;;",
    ]
    (tmp_path / "stack_plan.csv").write_text("\n".join(lines), encoding="utf-8")
    plan = read_stack_plan(tmp_path / "stack_plan.csv")
    assert [(f.path.name, f.exposure) for f in plan.frames] == [("a.fits", 1.5)]
    assert [(row.line, row.reason.split(" (")[0]) for row in plan.bad] == [
        (3, "missing file path"),
        (4, "an exposure of -1 s"),
        (5, "an exposure of nan s"),
        (6, "no number where one is needed"),
        (7, "the frame of line 2 again"),
        (8, "5 fields under 3 columns"),
    ]


@pytest.mark.parametrize(("text", "says"), [("", "found nothing"), ("a,b\n", "found a,b"), ('path\n"a', "in line 2")])
def test_the_reference_refuses_what_is_no_plan(tmp_path: Path, text: str, says: str) -> None:
    """An empty file, a table without a path column, an unclosed quote."""
    (tmp_path / "stack_plan.csv").write_text(text, encoding="utf-8")
    with pytest.raises(StackPlanError, match=says):
        read_stack_plan(tmp_path / "stack_plan.csv")
