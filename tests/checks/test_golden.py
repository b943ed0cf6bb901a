"""Judge real runs again: sealed records of ZeMosaic before the fix, at the fix, and at its newest commit.

They were made by ``pytest -m phase3`` on a checkout (fast profile, two workers, Linux, Python 3.11, no GPU) and copied by
``python -m tests.golden_records``: no pixels, no paths, masks decimated.
"""

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from fixtures import real
from fixtures.catalogue import CASES
from fixtures.datasets import SYNTHETIC, plainly_named
from fixtures.frame_facts import dataset_facts, wcs_cards_of
from fixtures.frames import PLAIN_PREFIX, wcs_cards
from harness.checks.judge import judge
from harness.record.comparison import Comparison
from harness.record.reader import read_record
from harness.record.request import FrameFacts
from harness.record.seal import seal
from harness.record.truth import Truth
from harness.verdict import Outcome
from tests import golden_records
from tests.golden_records import shrink
from tests.sample_session import ZEMOSAIC, Run, a_request

GOLDEN = Path(__file__).parents[1] / "golden"
EXPECTED = tomllib.loads((GOLDEN / "expected.toml").read_text(encoding="utf-8"))
RUNS = sorted(path.parent.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("request.json"))


def record(name):
    """Read the golden record of a name such as ``63bcc2c/chain/per_tile``."""
    return read_record(GOLDEN / name)


UNRECORDED = {"inputs"}
"""The checks whose evidence the golden record ``271f109/chunked`` lacks: it was made before the harness compared input files."""


def verdicts(name):
    """Judge a golden record with its pair and, at other commits, with the record before the fix as baseline."""
    commit, case, retention = name.split("/")
    pair = record(f"{commit}/{case}/run_end") if retention == "per_tile" else None
    before = f"63bcc2c/{case}/{retention}"
    baseline = record(before) if commit != "63bcc2c" and before in RUNS else None
    return {v.check: v for v in judge(Comparison(record(name), pair, baseline))}


@pytest.mark.parametrize("name", RUNS)
def test_each_real_run_is_judged_as_expected(name):
    """Exactly the checks in the table fail, and the others pass or do not apply.

    Findings that do not gate are ignored. Checks whose data a record of an earlier version lacks are unknown.
    """
    commit, case, retention = name.split("/")
    red = set(EXPECTED[commit][case][retention])
    found = {check: verdict.outcome for check, verdict in verdicts(name).items() if verdict.gates}
    unknown = {check for check, outcome in found.items() if outcome is Outcome.UNKNOWN}
    assert unknown - UNRECORDED <= (set() if record(name).products.planes else {"parity", "content"})
    assert {check for check, outcome in found.items() if outcome is Outcome.FAIL} == red - unknown


def test_every_expected_record_is_there():
    """Every record in the table exists, and every record is in the table."""
    named = {f"{commit}/{case}/{r}" for commit, cases in EXPECTED.items() for case, rs in cases.items() for r in rs}
    assert named == set(RUNS)
    assert {name.partition("/")[0] for name in RUNS} == {"63bcc2c", "b59a65f", "271f109"}


def test_the_hole_on_the_sky_is_explained_to_its_end():
    """The hole in the real set before the fix is traced to its tile, its caches, and the thread that removed them."""
    found = verdicts("63bcc2c/chain-microobs/per_tile")["holes"]
    prose = " ".join(link.render() for link in found.cause)
    assert "Hole 1" in prose
    assert "is in tile 3, whose reference frame is" in prose
    assert "lacked the caches of 12 of its 12 frames" in prose
    assert "The main thread removed preprocessed_p3_" in prose
    assert "after tile 2 had ended" in prose


def test_a_panel_lost_to_chunks_is_a_hole_although_its_sky_counts_as_covered():
    """Tiles made of chunks at 271f109 leave a constant for panel 1: a hole, with the tile and the cache that it lacked."""
    found = verdicts("271f109/chunked/run_end")["holes"]
    prose = " ".join(link.render() for link in found.cause)
    assert found.sentence.render().startswith("1 hole, 64.67 arcmin²")
    assert "shows a constant instead of sky" in prose
    assert "Tile 4 was not made: it lacked the caches of 6 of its 6 frames" in prose
    assert "removed .p3_internal_tile_0000/chunk_0003.npy" in prose
    assert "while it was making tile 0" in prose
    hole = verdicts("271f109/chunked/per_tile")["holes"].evidence["holes"][0]
    assert (hole["kind"], hole["in_pair"]) == ("absolute", True)


def test_a_torn_golden_is_unknown(tmp_path):
    """A record with one changed byte is unknown for every check."""
    source = GOLDEN / "b59a65f" / "chain" / "per_tile"
    for path in source.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    left = tmp_path / "left.jsonl"
    left.write_bytes(left.read_bytes() + b"\n")
    assert {v.outcome for v in judge(Comparison(read_record(tmp_path)))} == {Outcome.UNKNOWN}


def test_goldens_hold_no_pixels_no_paths_and_little_data():
    """The golden records have less than 10 MB, no images, and no absolute paths."""
    files = [path for path in GOLDEN.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 10_000_000
    assert {path.suffix for path in files} <= {".json", ".jsonl", ".npz", ".toml"}
    absolute = re.compile(r'"(?:[^"]*[\s=(])?(?:/[A-Za-z][\w.+-]*/|[A-Za-z]:\\\\)')
    for path in files:
        if path.suffix in {".json", ".jsonl"}:
            assert not absolute.search(path.read_text(encoding="utf-8")), path


def header_of(frame):
    """Return the header that a manifest writes into a frame."""
    return fits.Header.fromstring("".join(card.ljust(80) for card in frame.cards))


def facts_today(case, *, plain=False):
    """Return the facts of a case's frames in the current catalogue, without making them; hashes only for real frames.

    With ``plain``, synthetic frames have the names of earlier versions.
    """
    if case.kind == "real":
        frames = [
            FrameFacts(f.name, f.sha256, (f.cut[3], f.cut[2]), wcs_cards_of(header_of(f)), f.panel)
            for f in real.manifest_of(case.dataset).frames
        ]
    else:
        spec = plainly_named(SYNTHETIC[case.dataset]) if plain else SYNTHETIC[case.dataset]
        frames = [
            FrameFacts(p.name, "", spec.camera.shape, wcs_cards(spec.sky, spec.camera, p), p.panel)
            for p in spec.pointings
        ]
    return dataset_facts(case.dataset, case.kind, frames)


@pytest.mark.parametrize("name", RUNS)
def test_each_real_run_has_the_request_of_the_current_catalogue(name):
    """Frames, plan and schedule are those of the case; pixels are not compared, because random streams may change."""
    if name.split("/")[1] == "chunked":
        assert (
            record(name).request.config["phase3_internal_chunk_size"] == 3
        )  # a run with settings of its own, of no case
        return
    (case,) = (c for c in CASES if c.name == name.split("/")[1])
    request = record(name).request
    today = facts_today(case, plain=request.dataset.frames[0].name.startswith(PLAIN_PREFIX))
    plan = case.plan(today) if case.plan else None
    assert {f.name: (f.shape, f.panel) for f in request.dataset.frames} == {
        f.name: (f.shape, f.panel) for f in today.frames
    }
    assert request.plan == plan
    assert request.schedule == case.schedule(plan, request.seconds)
    assert case.kind != "real" or request.dataset.sha256 == today.sha256


@pytest.fixture(params=[True, False], ids=["red", "green"])
def full(request, tmp_path):
    """Return a full-size record (step 1, with all files that a run leaves), and its pair with run_end."""
    runs = []
    for retention, role in (("per_tile", "subject"), ("run_end", "pair")):
        asked = a_request("chain", role, ZEMOSAIC, retention)
        runs.append(Run(tmp_path / "mémoire" / retention, asked, naive=request.param))
        runs[-1].op(0.01, "capability", name="opens")
        for tile in range(4):
            path = f"outputs/zemosaic_temp_master_tiles/master_tile_{tile:03d}.fits"
            runs[-1].op(2.1 + 0.1 * tile, "open", state="attempt", path=path, mode="wb")
        folder = runs[-1].write()
        (folder / "console.log").write_text("at /home/marie/x\n", encoding="utf-8")
        (folder / "process.jsonl").write_text('{"t": 1, "processes": 1, "rss": 1, "cpu": 0.1}\n', encoding="utf-8")
        (folder / "outputs").mkdir()
        (folder / "outputs" / "mosaic.fits").write_bytes(b"pixels")
        seal(folder, "done", 0, "", 9.0)
    return runs[0].folder, runs[1].folder


def add(folder, kind, *lines):
    """Append lines to a file of a record's history and seal it again."""
    path = next(folder.glob(f"{kind}-*.jsonl"))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
    seal(folder, "done", 0, "", 9.0)


def test_a_copy_judges_as_its_original(full, tmp_path):
    """A copy of a full-size record has the same outcomes as the record, also with its pair."""
    copies = [tmp_path / "copie d'été" / source.name for source in full]
    for source, copy in zip(full, copies, strict=True):
        shrink(source, copy)
    before, after = ([read_record(path) for path in paths] for paths in (full, copies))
    assert (before[0].products.step, after[0].products.step) == (1, 4)
    assert all(run.usable for run in after)
    found = [{v.check: v.outcome for v in judge(Comparison(*runs))} for runs in (before, after)]
    assert found[0] == found[1]
    unknown = {check for check, outcome in found[0].items() if outcome is Outcome.UNKNOWN}
    assert unknown - UNRECORDED == {
        "parity",
        "content",
        "truth",
        "accuracy",
    }  # these runs have no images, stars and truth


def test_the_seal_lists_what_is_left_out(full, tmp_path):
    """The files that the seal lists as left out are not in the copy."""
    shrink(full[0], tmp_path / "copy")
    files = {path.name for path in (tmp_path / "copy").rglob("*")}
    assert files.isdisjoint({"outputs", "mosaic.fits", "console.log", "process.jsonl", "thumbnail.png"})
    assert read_record(tmp_path / "copy").seal.reason == golden_records.LEFT_OUT


def test_a_copy_keeps_the_truth_of_what_its_frames_show(full, tmp_path):
    """Stars on a frame are kept with the other facts of the truth; stars on no frame are left out."""
    frame = read_record(full[0]).request.dataset.frames[0]
    centre = [frame.wcs["CRVAL1"], frame.wcs["CRVAL2"]]
    truth = Truth(
        np.array([[*centre, 9e3], [centre[0], centre[1] + 5, 8e3]]), 300.0, (1.0, 1.0, 1.0), clouded=(frame.name,)
    )
    (full[0] / "truth.json").write_text(json.dumps(truth.to_json()), encoding="utf-8")
    seal(full[0], "done", 0, "", 9.0)
    shrink(full[0], tmp_path / "copy")
    kept = read_record(tmp_path / "copy").truth
    assert kept.stars.tolist() == [[*centre, 9e3]]
    assert (kept.sky, kept.clouded) == (300.0, (frame.name,))


def test_what_a_check_may_read_is_kept(full, tmp_path):
    """Files opened for writing (but logs), settings and lost lines are kept; files only read, and debug events, are not."""
    where = {"t": 1, "thread": "m", "state": "attempt", "path": "outputs/a.fits"}
    modes = ["wb", "xb", "ab", "r+b", "rb", "r", None]
    opened = [{**where, "op": "open", "mode": mode} for mode in modes]
    others = [{**where, "op": op, "mode": None} for op in ("config", "lost", "mmap")]
    said = {"t": 1, "thread": "m", "key": "K", "text": "chatter", "fields": {}}
    logged = {**where, "path": "outputs/state.jsonl", "op": "open", "mode": "a"}
    add(full[0], "trace", *opened, logged, *others)
    add(
        full[0],
        "events",
        {**said, "source": "callback", "level": "DEBUG_DETAIL"},
        {**said, "source": "log", "level": "INFO"},
        {**said, "source": "log", "level": "INFO", "text": "Phase3: all is well"},
        {**said, "source": "callback", "level": "DEBUG", "key": "gpu_fallback"},
    )
    shrink(full[0], tmp_path / "copy")

    def lines(kind):
        text = next((tmp_path / "copy").glob(f"{kind}-*.jsonl")).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    assert [line["mode"] for line in lines("trace") if line.get("op") == "open"][4:] == ["wb", "xb", "ab", "r+b"]
    assert [line["op"] for line in lines("trace") if line.get("op") in {"config", "lost", "mmap"}] == ["config", "lost"]
    assert [line["text"] for line in lines("events") if line.get("key") == "K"] == ["Phase3: all is well"]
    assert any(line.get("key") == "gpu_fallback" for line in lines("events"))


def test_a_copy_that_would_be_judged_otherwise_is_refused(full, tmp_path, monkeypatch):
    """If a check needs what was left out, no copy is left, and the error names the check and both outcomes."""
    monkeypatch.setattr(golden_records, "_KEPT_OPERATIONS", {"hold", "remove", "capability"})
    with pytest.raises(ValueError, match=r"judged as the record is, found .*depth: \w+, then unknown"):
        shrink(full[0], tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_the_command_of_a_target_holds_no_path(full, tmp_path):
    """The program of a command target is copied as its last name, without folders."""
    request = read_record(full[0]).request
    target = replace(request.target, kind="command", command=("/home/marie/bin/mosaïque", "--in=/home/marie/x y"))
    (full[0] / "request.json").unlink()
    replace(request, target=target).write(full[0] / "request.json")
    seal(full[0], "done", 0, "", 9.0)
    shrink(full[0], tmp_path / "copy")
    assert read_record(tmp_path / "copy").request.target.command == ("mosaïque", "--in=x y")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/home/marie/été 2025/Light_M 31.fit", "Light_M 31.fit"),
        ("/home/m/Ma photo, (3)/é/x.fits", "x.fits"),
        ("/home/m/photos d'été/x.fits", "x.fits"),
        ("/home/m/été/", "été"),
        ("~/Photos/x.fit", "x.fit"),
        ("file:///home/m/x.fits", "x.fits"),
        ("C:\\Users\\Marie\\Images, (3)\\Light.fit", "Light.fit"),
        ("D:/Mes images/Light.fit", "Light.fit"),
        ("\\\\server\\share\\x.fits", "x.fits"),
        ("read \\\\server\\Mes photos, (3)\\x.fits twice", "read x.fits twice"),
        ("'C:\\\\Users\\\\Marie\\\\x.fits'", "'x.fits'"),
        ("removed '/data/a b/c.npy' now", "removed 'c.npy' now"),
        ("loading /home/m/Ma photo, (3)/é/x.fits failed, 3/4 done", "loading x.fits failed, 3/4 done"),
        ("copied /a/b c/x.fits to /d/e/y.fits", "copied x.fits to y.fits"),
        ("/home/m/a.fits: tile 3/4", "a.fits: tile 3/4"),
        ("path=/home/m/a b/x.npy, size 3/4", "path=x.npy, size 3/4"),
        ("Cannot open /home/m/d.old (3)/x.fits.", "Cannot open x.fits."),
        ("outputs/.zemosaic_img_cache/c.npy", "outputs/.zemosaic_img_cache/c.npy"),
        ("outputs/photo (3)/c.npy", "outputs/photo (3)/c.npy"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("1/4", "1/4"),
        ("tile 3 / 4", "tile 3 / 4"),
    ],
)
def test_a_path_of_the_user_becomes_its_last_name(text, kept):
    """Absolute paths anywhere in nested text become their last names; text that only looks like a path is kept."""
    assert golden_records._clean({"path": [text]}) == {"path": [kept]}


def test_no_path_of_the_user_is_copied(full, tmp_path):
    """No field and no log line brings a path of the user into a copy."""
    line = {"t": 1, "thread": "m", "key": "K", "level": "INFO"}
    add(
        full[0],
        "events",
        {**line, "source": "callback", "text": "", "fields": {"path": "/home/marie/Ma photo, (3)/é/x.fits"}},
        {**line, "source": "log", "text": "Phase3: reading \\\\nas-marie\\photos\\x.fits", "fields": {}},
    )
    shrink(full[0], tmp_path / "copy")
    text = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "copy").glob("*.json*"))
    assert "marie" not in text
    (event,) = read_record(tmp_path / "copy").history.named("K")
    assert event.fields["path"] == "x.fits"


def test_an_unsealed_record_is_not_copied(tmp_path):
    """A record without a seal is refused."""
    for path in (GOLDEN / "b59a65f" / "gui" / "per_tile").iterdir():
        if path.name != "seal.json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="expected a sealed, unchanged record, found no seal"):
        shrink(tmp_path, tmp_path / "copy")
