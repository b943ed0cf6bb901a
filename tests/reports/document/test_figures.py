"""Test the figures of checks and guard rails: their values, and that missing evidence gives none."""

import importlib
import inspect
import re
import sys

import pytest

from harness.analysis.figure import Unit
from harness.analysis.phase3 import FAILED, MISSING, STARVED
from harness.checks.judge import ALL
from harness.language.catalogue import language
from harness.patch import guard_rails
from harness.patch.guard_rails import ROWS
from harness.session.evidence import figures_of
from reports.document.figures import _TEXTS, draw
from tests.done_sessions import LINES, LOST, MADE, ROOT

# "not met" is the word of older sessions for a clause without an occasion.
CLAUSES = {
    "start_line": {"outcome": "pass"},
    "end_line": {"outcome": "not met"},
    "shared_line": {"outcome": "no occasion"},
    "never_negative": {"outcome": "fail"},
}
EN = language("en")
HOLES = [
    {"in_pair": False, "pixels": 29000, "square_arcmin": 137.08},
    {"in_pair": True, "pixels": 7, "square_arcmin": 2.0},
]


@pytest.mark.parametrize(
    ("key", "evidence", "shown"),
    [
        ("warnings", {"counts": dict.fromkeys((MISSING, STARVED, FAILED), 4)}, ["12"]),
        (f"warnings/{MISSING}", {"counts": {MISSING: 20}}, ["20"]),
        ("tiles", MADE, ["6 of 6"]),
        ("tiles", {"coadded": 1, "batches": 2}, ["1 of 2"]),
        ("tiles", {"made": 11, "attempted": 12}, ["11 of 12"]),
        ("holes", {"holes": HOLES, "holes_in_all": 2}, ["1 (29,000 px, 137.1 arcmin²)", "1 (2 arcmin²)"]),
        ("holes", {"holes": [], "holes_in_all": 0}, ["0 (0 px, 0 arcmin²)"]),
        ("depth", {"lost": {"caches": 6, "quality": 1}, "frames_submitted": 66}, ["7 of 66"]),
        ("depth", {"lost": 0, "frames": 16}, ["0 of 16"]),
        ("cache", {"unsafe_count": 30, "caches": 36, "left": 2}, ["30 of 36", "2"]),
        ("cache", {"removed_before_the_end_of_the_coadd": ["x"], "caches": 16, "left": 0}, ["1 of 16", "0"]),
        ("products", {"removed_early": ["x"], "overwritten": ["y"], "tiles_made": 6}, ["2 of 6"]),
        (
            "disk",
            {"held_byte_seconds": 3e6, "lower_bound_byte_seconds": 2e6, "excess_fraction": 0.5},
            ["1.5 times", "50 %"],
        ),
        ("disk", {"total_peak_ratio": 0.81, "left_at_end": 3}, ["0.81 times", "3"]),
        (
            "cost",
            {"ratio": 1.05, "ratio_low": 0.9, "ratio_high": 1.2, "timed_pairs": 3, "removals_tried_per_input": 0.5},
            ["1.05 times, 95 % interval 0.9 to 1.2, 3 pairs", "0.5"],
        ),
        ("fallback", {"new": [{}], "same": [{"count": 6}, {"count": 2}]}, ["1 new, 8 that other runs have too"]),
        ("logs", {"clauses": CLAUSES}, ["1 of 2"]),
        ("logs/never_negative", {"clauses": CLAUSES}, ["0 of 1"]),
        (
            "logs/end",
            {"clauses": {**CLAUSES, "end_numbers": CLAUSES["end_line"]}},
            [],
        ),
        ("parity", {"compared": [{"grade": "identical"}, {"grade": "different"}]}, ["1 of 2"]),
        ("parity", {"compared": [{"grade": "within rounding"}]}, ["0 of 1, and 1 but for rounding"]),
        ("content", {"constant_pixels": 21}, ["21"]),
        ("truth", {"panels": [{"lost": 1, "stars": 9}, {"lost": 0, "stars": 7}]}, ["1 of 16"]),
        ("accuracy", {"findings": ["a", "b"]}, ["2"]),
        ("0.1", {"added": {"a.py": "code", "b.md": "note"}, "changed": ["c.py"]}, ["1 added, 1 changed"]),
        ("0.2", {"count": 0}, ["0"]),
        ("0.3", {"touch_batch_size": 0, "touch_another_setting": 1}, ["0", "1"]),
        ("0.4", {"in_sds_or_grid": 0}, ["0"]),
        ("1.3", {"naive_before": 2, "naive_after": 0}, ["0, and 2 before the patch"]),
        ("1.2", {"before": [{}], "after": [{}, {}]}, ["2, and 1 before the patch"]),
        ("1.8", {"phase3": [{}, {}]}, ["2"]),
        ("4.1", {"added": 30, "removed": 12, "other": 1}, ["41 of 42"]),
    ],
)
def test_a_figure_is_that_of_the_evidence(key, evidence, shown):
    """Each figure is taken from the evidence, and written as the language writes numbers."""
    assert [figure.value for figure in draw(figures_of(*key.split("/")), [evidence], [], EN)] == shown


KEYS = [
    *((check, part) for check, known in ALL.items() for part in (None, *known.parts)),
    *((line, None) for line in ROWS),
]


@pytest.mark.parametrize(("check", "part"), KEYS)
def test_no_evidence_no_figure(check, part):
    """A missing value, null, a word, a truth value or an infinite number gives no figure."""
    source = inspect.getsource(guard_rails if check in ROWS else sys.modules[ALL[check].judge.__module__])
    names = set(re.findall(r'"([a-z_0-9]+)"', source))
    known = figures_of(check, part)
    assert known
    for wrong in (None, "6", True, float("nan")):
        assert draw(known, [dict.fromkeys(names, wrong)], [], EN) == ()
    for odd in ({"x": "nan"}, {"x": {"x": [1]}}, [None], [{}], [[1]]):
        draw(known, [dict.fromkeys(names, odd)], [], EN)  # what it counts may be there; it is read without an error
    assert draw(known, [{}], [], EN) == ()


def test_a_figure_of_some_runs_says_so():
    """If only one of two runs has a figure, the text says so; the same for the baseline."""
    (figure,) = draw(figures_of("tiles"), [MADE, {}], [{}, LOST], EN)
    assert (figure.value, figure.before) == ("6 of 6 (in 1 of 2 runs)", "5 of 6 (in 1 of 2 runs)")


def test_an_interval_is_one_runs():
    """Of several intervals the one with the highest upper end is shown, without mixing limits of two runs."""
    names = ("ratio", "ratio_low", "ratio_high", "timed_pairs")
    runs = [dict(zip(names, found, strict=True)) for found in ((1.3, 1.2, 1.4, 3), (1.0, 0.2, 5.0, 2))]
    (figure,) = draw(figures_of("cost"), runs, [], EN)
    assert figure.value == "1 times, 95 % interval 0.2 to 5, 2 pairs"


def test_every_check_and_row_has_a_figure():
    """Every check, every part of one and every row of the guard rails has a figure; an unknown name has none."""
    assert all(figures_of(check, part) for check, part in KEYS)
    assert all(isinstance(figure.unit, Unit) for check, part in KEYS for figure in figures_of(check, part))
    assert set(_TEXTS) == set(Unit)
    assert figures_of("release") == figures_of("warnings", "nothing") == ()


def markers():
    """Yield check, part and test of every ``judges`` marker of the scenarios that names a part."""
    for path in (ROOT / "scenarios").glob("test_*.py"):
        module = importlib.import_module(f"scenarios.{path.stem}")
        for name, test in inspect.getmembers(module, inspect.isfunction):
            for mark in getattr(test, "pytestmark", ()):
                if mark.name == "judges" and "part" in mark.kwargs:
                    yield mark.args[0], mark.kwargs["part"], f"scenarios/{path.name}::{name}"


def test_each_part_is_asserted_by_a_test_of_the_checklist():
    """The parts in the markers of scenario tests are exactly those of the checks, and each such test is in the checklist."""
    found = list(markers())
    assert {(check, part) for check, part, _ in found} == {key for key in KEYS if key[1] is not None}
    assert {test for _, _, test in found} <= {name for line in LINES for name in line.tests}
