"""Test the harness by faults and hostile input: the short profile of `tests.reliability`. Each family counts what is wrong.

The long profile is the command ``python -m tests.reliability --long``.
"""

import os
from pathlib import Path

import pytest

from tests.reliability import bits, disks, document, fuzz, hostile, pool, signals, tally, ways
from tests.reliability.__main__ import main
from tests.reliability.families import FAMILIES
from tests.reliability.pool import in_order, new_folder
from tests.reliability.store import Store
from tests.reliability.tally import LET_IN, LOST, UNSEEN, Attempt, Family, Finding, Tally, ended

SEED = 20261130
POSIX = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="signals, pipes and links without privileges are POSIX's")
AT_A_TIME = 2
"""Damaged files of each reader in the short profile."""


def clean(found):
    """Assert that attempts were made, and that none found anything; the message has the commands that repeat them."""
    assert [(finding.repeat, finding.what, finding.detail) for finding in found.findings] == []
    assert found.tried > 0
    assert (found.lost, found.let_in, found.unseen) == (0, 0, 0)
    assert found.clean


# The short profile


def test_no_damaged_file_is_let_in():
    """Some damaged files for every reader: each is read, or refused with an error of the harness."""
    numbers = [block * fuzz.BLOCK + n for block in range(len(fuzz.READERS)) for n in range(AT_A_TIME)]
    found = in_order(fuzz.FAMILY, numbers, SEED)
    clean(found)
    assert found.tried == AT_A_TIME * len(fuzz.READERS)


def test_no_flipped_bit_is_unseen():
    """Flipped bits of a session, of a record by itself, and of a copy of the target: all are found."""
    clean(in_order(bits.FAMILY, range(bits.FAMILY.short), SEED))


def test_no_operation_that_fails_loses_anything():
    """An operation of each command fails, or its volume is full."""
    clean(in_order(disks.FAMILY, range(len(disks.NAMES_OF_ACTIONS)), SEED))


@POSIX
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_no_signal_to_a_run_loses_anything(name):
    """The run is ended in its middle: no process and no half record is left, and the next one ends well."""
    with new_folder() as folder:
        attempt = signals.strike(signals.PROGRAMS["a run"], name, 0.6, folder)
    assert (attempt.kind, attempt.detail) == ("", "")


SOME_WAYS = (
    "kills its guard",
    "forks twice without its environment",
    "asks for less than it was asked for",
    "makes pipes of its caches",
    "everything replaced by a link to a folder",
)


@POSIX
@pytest.mark.parametrize("name", SOME_WAYS)
def test_no_hostile_target_is_let_in(name):
    """Nothing outside its record changes, no process is left, and no verdict passes by it."""
    (way,) = (way for way in hostile.WAYS if way.name == name)
    with new_folder() as folder:
        attempt = hostile.attacked(way, folder)
    assert (attempt.kind, attempt.detail) == ("", "")


# The command


def waiting(number, _seed, _folder):
    """Make an attempt that never answers, one that ends its process, one that grows, and two that are fine."""
    if number == 0:
        import time

        time.sleep(600)
    if number == 1:
        os._exit(3)
    kept = b"x" * 300_000_000 if number == 2 else b""
    return Attempt(f"{len(kept)}")


TOY = Family("toy", "attempts of a test", waiting, short=5, long=5, block=5, seconds=2.0, memory=400.0)


def test_an_attempt_that_hangs_or_grows_is_counted_and_the_others_are_made(monkeypatch):
    """Each attempt has a process with limits; a process that ends takes none of the other attempts with it."""
    monkeypatch.setattr(pool, "START_SECONDS", 20.0)
    monkeypatch.setattr(pool, "_CONTEXT", __import__("multiprocessing").get_context("fork"))
    monkeypatch.setitem(FAMILIES, "toy", TOY)
    found = []
    pool.in_pool(TOY, [[0, 1, 2, 3, 4]], SEED, processes=1, until=1e18, on_block=lambda *given: found.append(given))
    ((block, whole),) = found
    assert block == (0, 4)
    assert (whole.tried, whole.let_in) == (5, 3)
    assert [finding.number for finding in whole.findings] == [0, 1, 2]
    assert [
        word
        for finding, word in zip(whole.findings, ("no answer", "ended with 3", "MiB"), strict=True)
        if word not in finding.detail
    ] == []


@pytest.fixture
def toy(monkeypatch):
    """Make a family of quick attempts the only one, with a finding at number 7."""

    def attempt(number, _seed, _folder):
        wrong = (LET_IN, "y | <b>") if number == 7 else ("", "")
        group = "odd 7" if number == 7 else ("even", "odd")[number % 2]
        return Attempt("x", *wrong, skipped="no root" if number == 2 else "", group=group)

    family = Family("toy", "attempts of a test", attempt, short=4, long=10, block=2, groups=("even", "odd", "odd 7"))

    def in_pool(family, blocks, seed, *, on_block, **_):
        for block in blocks:
            on_block((block[0], block[-1]), in_order(family, block, seed))

    monkeypatch.setattr("tests.reliability.__main__.in_pool", in_pool)
    for name in list(FAMILIES):
        monkeypatch.delitem(FAMILIES, name)
    monkeypatch.setitem(FAMILIES, "toy", family)
    return family


@pytest.mark.usefixtures("toy")
def test_the_command_ends_with_0_without_findings_and_1_with_one(tmp_path, capsys):
    """Its status says what was found; the finding has the command that repeats it, and that command finds it again."""
    results = ["--results", str(tmp_path / "r.jsonl"), "--seed", "3"]
    assert main(["toy", *results]) == 0
    assert main(["--long", *results]) == 1
    assert "python -m tests.reliability toy --seed 3 --only 7" in capsys.readouterr().out
    assert main(["toy", "--seed", "3", "--only", "7"]) == 1
    assert main(["toy", "--seed", "3", "--only", "6"]) == 0
    assert main(["toy", *results, "--only", "2"]) == 1  # skipped: nothing was tried


def test_a_long_run_goes_on_where_it_was_cut_off(toy, tmp_path):
    """Attempts that are in the file are not made again; a last line that was cut off is; another seed or source begins anew."""
    path = tmp_path / "r.jsonl"
    assert main(["--long", "--results", str(path)]) == 1
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(lines[:3]) + "\n" + lines[3][:20], encoding="utf-8")
    store = Store(path, 1)
    store.read()
    assert store.missing("toy", toy.long) == [[4, 5], [6, 7], [8, 9]]
    assert store.tallies["toy"].tried == 3
    assert main(["--long", "--results", str(path)]) == 1  # the line that was cut off does not spoil the next one
    again = Store(path, 1)
    again.read()
    assert again.missing("toy", toy.long) == []
    assert again.tallies["toy"].tried == 9
    other = Store(path, 2)
    other.read()
    assert other.tallies == {}
    assert len(other.missing("toy", toy.long)) == 5


def test_no_attempt_counts_twice(toy, tmp_path):
    """A block that was cut by ``--count`` is completed, and its first attempts count once."""
    path = tmp_path / "r.jsonl"
    assert main(["--long", "--count", "5", "--results", str(path)]) == 3
    store = Store(path, 1)
    store.read()
    assert store.missing("toy", toy.long) == [[5], [6, 7], [8, 9]]
    store.add((4, 5), in_order(toy, [4, 5], 1), 0.0)
    assert store.tallies["toy"].tried == 4


def test_results_of_another_system_are_begun_again(toy, tmp_path, monkeypatch):
    """The document states one version of Python for all attempts."""
    path = tmp_path / "r.jsonl"
    assert main(["--long", "--results", str(path)]) == 1
    monkeypatch.setattr("tests.reliability.store.system", lambda: {"Python": "9"})
    store = Store(path, 1)
    store.read()
    assert len(store.missing("toy", toy.long)) == 5
    assert path.with_suffix(".old.jsonl").exists()


@pytest.mark.usefixtures("toy")
def test_the_document_says_what_was_not_reached(tmp_path):
    """The counts are those of what was tried: what was skipped, or not reached, makes the profile incomplete."""
    page = tmp_path / "reliability.md"
    assert main(["--long", "--count", "4", "--results", str(tmp_path / "r.jsonl"), "--write", str(page)]) == 3
    text = page.read_text(encoding="utf-8")
    assert (
        "**The long profile was not completed**: of 3 attempts that were tried, nothing was lost, let in or unseen."
        in text
    )
    assert "| toy | attempts of a test | 3 | 2 | 0 | 0 | 0 | 1 |" in text
    assert "- toy: 3 of 10 planned attempts were tried; 1 were skipped; never tried: odd 7." in text
    assert "- toy: 1, no root." in text
    assert main(["--long", "--results", str(tmp_path / "r.jsonl"), "--write", str(page)]) == 1
    text = page.read_text(encoding="utf-8")
    assert "**The long profile was not completed**: of 9 attempts that were tried, 1 attempt found something." in text
    assert "- toy: 9 of 10 planned attempts were tried; 1 were skipped." in text
    assert "- toy (3): even 4, odd 4, odd 7 1." in text
    assert "`python -m tests.reliability toy --seed 1 --only 7`: let in. x. y \\| &lt;b>" in text
    assert [word for word in ("Python", "numpy", "astropy", "commit", "UTC") if word not in text] == []


def test_the_document_says_that_all_was_tried(toy, tmp_path, monkeypatch):
    """The profile is completed only if each planned attempt was tried, and each part of the family."""
    found = Tally("toy", 10, groups={"even": 5, "odd": 4, "odd 7": 1})
    assert document.complete([found])
    assert not document.complete([Tally("toy", 9, skipped={"x": 1}, groups=found.groups)])
    assert not document.complete([Tally("toy", 10, groups={"even": 10})])
    store = Store(tmp_path / "r.jsonl", 1, {"toy": found})
    assert "The long profile was completed: of 10 attempts" in document.document(store)
    assert "Nothing of the long profile." in document.document(store)
    assert "**Nothing was tried.**" in document.document(Store(tmp_path / "r.jsonl", 1))
    assert toy.untried(found) == ()
    crashed = Family("toy", "x", None, short=1, long=1, block=1).counted(1, [(0, Attempt("x", LET_IN, "no answer"))])
    monkeypatch.setitem(FAMILIES, "toy", Family("toy", "x", None, short=1, long=1, block=1))
    assert document.complete([crashed])  # it was tried, and found something
    assert "1 attempt found something" in document.document(Store(tmp_path / "r.jsonl", 1, {"toy": crashed}))


def test_tallies_are_added_and_read_again():
    """A tally that was written is the same when it is read; the worst kind of an attempt counts."""
    finding = Finding("x", 1, 2, LOST, "w", "d")
    one = Tally("x", 3, 1, 0, 0, {"no root": 1}, (finding,), {"a": 2})
    assert Tally.from_json(one.to_json()) == one
    assert (one + one).lost == 2
    assert (one + one).skipped == {"no root": 2}
    assert (one + one).groups == {"a": 4}
    assert not Tally("x").clean
    assert ended("w", [(UNSEEN, "a"), (LOST, "b")]) == Attempt("w", LOST, "a; b")
    assert ended("w", []) == Attempt("w")


def test_the_long_profile_has_the_figures_that_were_asked_for():
    """300 fault points, 100,000 damaged files, 1,000 flipped bits, 60 ways of hostile targets; each family names its parts."""
    assert FAMILIES["signals"].long + FAMILIES["disks"].long >= 300
    assert FAMILIES["fuzz"].long >= 100_000
    assert FAMILIES["bits"].long >= 1_000
    assert FAMILIES["hostile"].long == len({way.name for way in ways.WAYS}) == len(ways.WAYS) >= 60
    assert all(family.groups for family in FAMILIES.values())
    assert {document.FAMILIES is FAMILIES, tally.KINDS == (LOST, LET_IN, UNSEEN)} == {True}
    assert Path(signals.ROOT, "tests", "reliability").is_dir()
