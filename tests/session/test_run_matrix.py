"""Test which runs a case needs, in which order, and their names."""

import unicodedata
from dataclasses import replace

import pytest

from fixtures.catalogue import CASES, PLAIN, ExtraRuns, Variant
from harness.session.run_matrix import (
    RUNS,
    PlannedRun,
    first_panels,
    is_timed,
    planned,
    role_of,
    run_key,
    runs_to_judge,
    workers_of,
)
from tests.requests_ import a_request

CHAIN, STRESS = (next(case for case in CASES if case.name == name) for name in ("chain", "stress"))


def test_timed_runs_alternate():
    """Each repetition swaps per_tile and run_end, so a machine that slows down favours neither; other runs follow."""
    case = replace(STRESS, extra_runs=ExtraRuns((("keep", PLAIN),), 3, (2, 3, 40)))
    assert runs_to_judge(case, "subject") == (
        ("per_tile", PLAIN),
        ("run_end", PLAIN),
        ("run_end", Variant(repeat=1)),
        ("per_tile", Variant(repeat=1)),
        ("per_tile", Variant(repeat=2)),
        ("run_end", Variant(repeat=2)),
        ("keep", PLAIN),
        ("per_tile", Variant(panels=2)),
        ("per_tile", Variant(panels=3)),
    )
    assert runs_to_judge(case, "control") == (("per_tile", PLAIN), ("run_end", PLAIN))
    assert runs_to_judge(case, "subject", "keep") == (("keep", PLAIN),)


@pytest.mark.parametrize(
    ("subject", "retention", "variant", "timed"),
    [
        ("subject", "per_tile", PLAIN, True),
        ("subject", "run_end", Variant(repeat=2), True),
        ("subject", "keep", PLAIN, False),
        ("subject", "per_tile", Variant(panels=4), False),
        ("control", "per_tile", PLAIN, False),
    ],
)
def test_only_timed_runs_get_the_machine_for_themselves(subject, retention, variant, timed):
    """The runs whose times are compared are exclusive; all others may run at the same time."""
    assert is_timed(STRESS, subject, retention, variant) is timed
    assert not is_timed(CHAIN, subject, retention, variant)


def test_a_run_that_serves_in_two_roles_is_planned_once():
    """A target that is both control and baseline runs once, in the first of the two roles."""
    case = replace(CHAIN, extra_runs=ExtraRuns())
    runs = planned([(case, {"subject": "new", "control": "old", "baseline": "old"})])
    assert runs == tuple(
        PlannedRun("chain", role_of(subject, retention), retention, target, case.dataset)
        for subject, target in (("subject", "new"), ("control", "old"))
        for retention in ("per_tile", "run_end")
    )


def test_runs_of_growing_size_take_the_first_panels():
    """A smaller run of the same kind has fewer frames and another hash; without a number it has all frames."""
    facts = a_request().dataset
    part = first_panels(facts, 1)
    assert {frame.panel for frame in part.frames} == {0}
    assert part.sha256 != facts.sha256
    assert first_panels(facts, 0) == facts


@pytest.mark.parametrize(("usual", "other"), [(1, 2), (2, 1), (4, 1)])
def test_another_number_of_workers_differs_from_the_usual(usual, other):
    """A run with another number of workers differs from the usual one, also in a session with one worker."""
    assert workers_of(PLAIN, usual) == usual
    assert workers_of(Variant(workers=1), usual) == other


def test_each_run_has_a_key_of_its_own():
    """The number of workers is part of the key; repetitions of one request differ by their number alone."""
    request = a_request()
    assert run_key(replace(request, workers=1)) != run_key(request)
    assert run_key(request, 2) == f"{run_key(request)}-2"
    assert run_key(replace(request, role="pair")) == run_key(request)


def test_the_folder_of_the_runs_has_a_capital_a_space_and_an_accent():
    """A target that treats such paths wrongly shows it in every run. The name is composed, as all systems but one keep it."""
    assert any(c.isupper() for c in RUNS)
    assert " " in RUNS
    assert not RUNS.isascii()
    assert unicodedata.is_normalized("NFC", RUNS)
    assert len(RUNS) < 10  # Windows allows 260 characters for a whole path
