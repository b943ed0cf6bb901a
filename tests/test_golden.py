"""Real runs, judged again: sealed records of ZeMosaic before the fix, at the fix, and at its newest commit.

They were made by ``pytest -m phase3`` on a checkout (fast profile, two workers, Linux, Python 3.11, no GPU) and copied by
``python -m harness.golden``: no pixels, no paths, masks decimated.
"""

import json
import re
import tomllib
from pathlib import Path

import pytest

from harness.checks import ALL, judge
from harness.checks.base import Case
from harness.golden import shrink
from harness.record import read_record
from harness.verdict import Outcome

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = tomllib.loads((GOLDEN / "expected.toml").read_text(encoding="utf-8"))
RUNS = sorted(path.parent.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("request.json"))


def record(name):
    """Read the golden record of a name such as ``63bcc2c/chain/per_tile``."""
    return read_record(GOLDEN / name)


def verdicts(name):
    """Judge a golden record beside its pair and, at other commits, the one before the fix."""
    commit, case, retention = name.split("/")
    pair = baseline = None
    if retention == "per_tile":
        pair = record(f"{commit}/{case}/run_end")
        baseline = record(f"63bcc2c/{case}/per_tile") if commit != "63bcc2c" else None
    return {v.check: v for v in judge(Case(record(name), pair, baseline))}


@pytest.mark.parametrize("name", RUNS)
def test_each_real_run_is_judged_as_expected(name):
    """Red is red by exactly the checks that the table names, and everything else passes."""
    commit, case, retention = name.split("/")
    red = set(EXPECTED[commit][case][retention])
    found = {check: verdict.outcome for check, verdict in verdicts(name).items()}
    assert found == {check: Outcome.FAIL if check in red else Outcome.PASS for check in ALL}


def test_every_expected_record_is_there():
    """A record that went away must not leave an expectation that nobody judges."""
    named = {f"{commit}/{case}/{r}" for commit, cases in EXPECTED.items() for case, rs in cases.items() for r in rs}
    assert named == set(RUNS)
    assert {name.partition("/")[0] for name in RUNS} == {"63bcc2c", "b59a65f", "271f109"}


def test_the_hole_on_the_sky_is_explained_to_its_end():
    """On the real set the hole before the fix leads to its tile, its caches, and who removed them."""
    found = verdicts("63bcc2c/chain-microobs/per_tile")["holes"]
    prose = " ".join(link.render() for link in found.cause)
    assert "Hole 1" in prose
    assert "was promised by tile 3" in prose
    assert "lacked the caches of 12 of its 12 frames" in prose
    assert "MainThread removed preprocessed_p3_" in prose
    assert "after tile 2 had ended" in prose


def test_a_torn_golden_is_unknown(tmp_path):
    """The same record with one byte changed concludes nothing."""
    source = GOLDEN / "b59a65f" / "chain" / "per_tile"
    for path in source.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    left = tmp_path / "left.jsonl"
    left.write_bytes(left.read_bytes() + b"\n")
    assert {v.outcome for v in judge(Case(read_record(tmp_path)))} == {Outcome.UNKNOWN}


def test_goldens_hold_no_pixels_no_paths_and_little_data():
    """Under 10 MB in all, no image, and no absolute path of the machine that made them."""
    files = [path for path in GOLDEN.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 10_000_000
    assert {path.suffix for path in files} <= {".json", ".jsonl", ".npz", ".toml"}
    absolute = re.compile(r'"(?:[^"]*[\s=(])?(?:/[A-Za-z][\w.+-]*/|[A-Za-z]:\\\\)')
    for path in files:
        if path.suffix in {".json", ".jsonl"}:
            assert not absolute.search(path.read_text(encoding="utf-8")), path


def test_a_copy_judges_as_its_original(tmp_path):
    """Shrinking a record changes what it weighs and not what is concluded from it."""
    source = GOLDEN / "63bcc2c" / "chain" / "per_tile"
    shrink(source, tmp_path / "copie d'été")
    copy = read_record(tmp_path / "copie d'été")
    pair = record("63bcc2c/chain/run_end")
    assert copy.usable
    assert {v.check: v.outcome for v in judge(Case(copy, pair))} == {
        check: v.outcome for check, v in verdicts("63bcc2c/chain/per_tile").items()
    }


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/home/marie/été 2025/Light_M 31.fit", "Light_M 31.fit"),
        ("C:\\Users\\Marie\\Images\\Light.fit", "Light.fit"),
        ("removed '/data/a b/c.npy' now", "removed 'c.npy' now"),
        ("outputs/.zemosaic_img_cache/c.npy", "outputs/.zemosaic_img_cache/c.npy"),
        ("1/4", "1/4"),
        ("tile 3 / 4", "tile 3 / 4"),
    ],
)
def test_a_path_of_the_user_becomes_its_last_name(tmp_path, text, kept):
    """Paths go wherever they stand in a text; what only looks like one stays."""
    source = GOLDEN / "b59a65f" / "gui" / "per_tile"
    from harness.seal import seal

    for path in source.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    events = next(tmp_path.glob("events-*.jsonl"))
    line = {
        "t": 1,
        "thread": "m",
        "source": "callback",
        "key": "K",
        "level": "INFO",
        "text": "",
        "fields": {"path": text},
    }
    events.write_text(events.read_text(encoding="utf-8") + json.dumps(line) + "\n", encoding="utf-8")
    seal(tmp_path, "done", 0, "", 1.0)
    folder = tmp_path / "copy"
    shrink(tmp_path, folder)
    (event,) = read_record(folder).history.named("K")
    assert event.fields["path"] == kept


def test_an_unsealed_record_is_not_copied(tmp_path):
    """A golden record must have been whole."""
    for path in (GOLDEN / "b59a65f" / "gui" / "per_tile").iterdir():
        if path.name != "seal.json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="expected a sealed, unchanged record, found no seal"):
        shrink(tmp_path, tmp_path / "copy")
