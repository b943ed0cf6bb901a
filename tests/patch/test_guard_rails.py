"""The guard rails on small programs of two versions: each rule passes, fails, and reports what it can't see."""

import ast
import json
import shutil
import textwrap

import pytest

from harness.commands.main import main
from harness.patch import guard_rails
from harness.patch.statement_diff import changes
from harness.session.model import read_session
from harness.verdict import Outcome
from tests.plugin.test_hooks import latest, run_pytest
from tests.targets.test_zemosaic import STUB, run_git

CONFIG = 'DEFAULT_CONFIG = {"cache_policy_retention": "keep", "batch_size": 0, "max_raw_per_group": 0, "name": "x"}\n'

# A program with one pool that removes a tile's caches as soon as the tile is made, even if other tiles need them.
NAIVE = '''
import logging
import os
from concurrent.futures import ThreadPoolExecutor, as_completed

log = logging.getLogger("program")


def run(groups, retention, sds_wanted, batch_size):
    """Make the tiles."""
    done = 0
    caches_by_tile = {}

    def forget_caches(paths):
        for path in paths:
            try:
                os.remove(path)
            except OSError as error:
                log.warning("left: %s (%s)", path, error)

    if sds_wanted:
        order = sorted(groups)
    else:
        order = list(groups)
    if batch_size > 1:
        order = order[:batch_size]
    with ThreadPoolExecutor(max_workers=2) as pool:
        futures = {}

        def submit(tile, group):
            futures[pool.submit(make_master_tile, tile, group)] = tile
            if retention == "per_tile":
                caches_by_tile[tile] = [entry["cache"] for entry in group]

        for tile, group in enumerate(order):
            submit(tile, group)
        for future in as_completed(futures):
            tile = futures[future]
            made = future.result()
            done += 1
            if made and retention == "per_tile":
                forget_caches(caches_by_tile.pop(tile, []))
    return done
'''

# The same program with reference counting.
COUNTED = '''
import logging
import os
from concurrent.futures import ThreadPoolExecutor, as_completed

log = logging.getLogger("program")


def run(groups, retention, sds_wanted, batch_size):
    """Make the tiles, and count who needs each cache."""
    done = 0
    cache_users = {}
    caches_of = {}

    def register_caches(tile, group):
        paths = set()
        for entry in group:
            paths.add(os.path.normpath(entry["cache"]))
        caches_of[tile] = paths
        for path in paths:
            cache_users[path] = cache_users.get(path, 0) + 1

    def release_caches(tile):
        for path in caches_of.pop(tile, set()):
            users = cache_users.get(path, 0)
            if users <= 0:
                continue
            cache_users[path] = users - 1
            if cache_users[path] > 0:
                continue
            try:
                os.remove(path)
            except OSError as error:
                log.debug("left: %s (%s)", path, error)

    if sds_wanted:
        order = sorted(groups)
    else:
        order = list(groups)
    if batch_size > 1:
        order = order[:batch_size]
    with ThreadPoolExecutor(max_workers=2) as pool:
        futures = {}
        if retention == "per_tile":
            for tile, group in enumerate(order):
                register_caches(tile, group)
            log.info("caches are counted: %d", len(cache_users))

        def submit(tile, group):
            futures[pool.submit(make_master_tile, tile, group)] = tile

        for tile, group in enumerate(order):
            submit(tile, group)
        for future in as_completed(futures):
            tile = futures[future]
            made = future.result()
            done += 1
            if retention == "per_tile":
                release_caches(tile)
    return done
'''


def version(worker, **others):
    """Return a program's files: settings, notes, and the worker."""
    return {"config.py": CONFIG, "README.md": "Notes.\n", "worker.py": worker} | {
        name.replace("__", "/").replace("_py", ".py"): text for name, text in others.items()
    }


def rows(before, after):
    """Return the rows of two versions, by line."""
    return {row.check: row for row in guard_rails.judge(before, after).rows}


def edited(old, new, text=COUNTED):
    """Return the counting program with one passage replaced."""
    assert text.count(old) == 1, old
    return version(text.replace(old, new))


def test_a_patch_of_retention_alone_passes_every_line():
    """A patch from naive removal to reference counting passes every line, whatever its names."""
    report = guard_rails.judge(version(NAIVE), version(COUNTED))
    assert [row.check for row in report.rows] == list(guard_rails.ROWS)
    assert {row.check: row.outcome for row in report.rows} == dict.fromkeys(guard_rails.ROWS, Outcome.PASS)
    assert report.outcome is Outcome.PASS
    minimal = report.row("4.1").evidence
    assert (minimal["other"], minimal["functions"]) == (0, {"worker.py:run": minimal["added"] + minimal["removed"]})
    json.dumps(report.to_json())


def test_without_a_difference_there_is_no_patch():
    """Two equal versions prove nothing: every line is unknown."""
    assert {row.outcome for row in guard_rails.judge(version(NAIVE), version(NAIVE)).rows} == {Outcome.UNKNOWN}


# ---- statements ----


def told(before, after):
    """Return the differences of two pieces of code: side, function and text of each statement."""
    found = changes(*(ast.parse(textwrap.dedent(code)) for code in (before, after)))
    return [(c.side, c.function, c.text) for c in found]


def test_a_change_inside_a_long_function_is_one_statement():
    """Only the changed statement is listed, not the function and the blocks around it."""
    body = "\n".join(f"    x{n} = {n}" for n in range(50))
    before = f"def f():\n{body}\n    if a:\n        for b in c:\n            d(1)\n            e()\n"
    assert told(before, before.replace("d(1)", "d(2)")) == [("removed", "f", "d(1)"), ("added", "f", "d(2)")]


def test_what_makes_no_difference_is_no_change():
    """Comments, layout and docstrings do not count."""
    assert (
        told('def f():\n    """A."""\n    return g(1, 2)\n', "def f():\n\n    return g(1,\n             2)  # c\n")
        == []
    )


def test_a_condition_that_changed_is_told_without_what_it_holds():
    """A changed header around unchanged statements is listed, and that it decides on them."""
    before = "if a:\n    b()\n    c()\n"
    found = changes(ast.parse(before), ast.parse(before.replace("if a", "if a and z")))
    assert [(c.side, c.text, c.keeps) for c in found] == [("removed", "if a:", True), ("added", "if a and z:", True)]


def test_what_is_wrapped_is_told_as_moved():
    """Statements that move below a new condition are listed, because they no longer always happen."""
    assert ("added", "", "b()") in told("b()\n", "if a:\n    b()\n")


def test_every_kind_of_block_is_looked_into():
    """Handlers, else, finally, with, match and classes are compared statement by statement."""
    before = """
    class A:
        def m(self):
            try:
                a()
            except OSError:
                b(1)
            else:
                c(1)
            finally:
                d(1)
            with e:
                f(1)
            match g:
                case 1:
                    h(1)
            while i:
                j(1)
            else:
                k(1)
    """
    found = told(before, before.replace("(1)", "(2)"))
    assert {
        text for side, function, text in found if side == "added" and text.endswith("(2)") and function == "A.m"
    } == {f"{name}(2)" for name in "bcdfhjk"}


# ---- 0.1 ----


def test_a_new_file_fails_and_notes_are_named():
    """A new file of program, tests or data fails; a new note is named and does not count."""
    after = version(COUNTED, tools__new_py="x = 1\n")
    row = rows(version(NAIVE), after)["0.1"]
    assert (row.outcome, row.evidence["added"]) == (Outcome.FAIL, {"tools/new.py": "code"})
    noted = version(COUNTED) | {"docs/plan.md": "Plan.\n"}
    row = rows(version(NAIVE), noted)["0.1"]
    assert (row.outcome, row.evidence["added"]) == (Outcome.PASS, {"docs/plan.md": "note"})
    assert "docs/plan.md" in row.sentence.render()


def test_a_renamed_file_is_not_new():
    """The same content under another name is a renamed file; with other content it is a new file."""
    before = version(NAIVE) | {"old.json": "{}"}
    after = version(COUNTED) | {"new.json": "{}"}
    row = rows(before, after)["0.1"]
    assert (row.outcome, row.evidence["renamed"]) == (Outcome.PASS, {"new.json": "old.json"})
    assert rows(before, after | {"new.json": "[]"})["0.1"].outcome is Outcome.FAIL


# ---- 0.2 ----


@pytest.mark.parametrize(
    "added",
    [
        'logging.getLogger("caches")',
        "log.addHandler(logging.StreamHandler())",
        "logging.basicConfig()",
        "logging.config.dictConfig({})",
        "log.setLevel(10)",
        'print("caches")',
        'sys.stderr.write("caches")',
        "import loguru",
        "class CacheHandler(logging.Handler): pass",
    ],
)
def test_new_logging_fails(added):
    """A new logger, handler, level, configuration, print or logging library fails the line."""
    row = rows(version(NAIVE), edited("    done = 0\n", f"    {added}\n    done = 0\n"))["0.2"]
    assert row.outcome is Outcome.FAIL
    assert any("worker.py:11" in line.render() for line in row.cause)


def test_logging_that_only_moved_is_not_new():
    """A moved call is not new; a second one like it is."""
    moved = edited('log = logging.getLogger("program")\n', 'X = 1\nlog = logging.getLogger("program")\n')
    assert rows(version(NAIVE), moved)["0.2"].outcome is Outcome.PASS
    twice = edited('log = logging.getLogger("program")\n', 'log = logging.getLogger("program")\n' * 2)
    assert rows(version(NAIVE), twice)["0.2"].evidence["count"] == 1


# ---- 0.3 ----


@pytest.mark.parametrize(
    "change",
    [
        ("    if batch_size > 1:\n", "    if batch_size > 0:\n"),
        ("        order = order[:batch_size]\n", "        order = order[:2]\n        log.info('caches')\n"),
    ],
)
def test_a_changed_batch_size_fails(change):
    """A changed statement that reads a batch size, or depends on a condition on it, fails the line."""
    row = rows(version(NAIVE), edited(*change))["0.3"]
    assert row.outcome is Outcome.FAIL
    assert row.evidence["zero_switches_off"] == ["max_raw_per_group"]
    assert "batch_size" in row.evidence["named"]


def test_another_setting_leaves_the_batch_size_unknown():
    """A changed statement on a setting that may be the batch size makes the line unknown, and names the setting."""
    after = edited("    done = 0\n", "    done = 0\n    cache_limit = max_raw_per_group_config\n")
    row = rows(version(NAIVE), after)["0.3"]
    assert row.outcome is Outcome.UNKNOWN
    assert "max_raw_per_group" in " ".join(line.render() for line in row.cause)


def test_without_settings_the_batch_size_is_unknown():
    """A program without recognisable settings can't show that they are unchanged."""
    before, after = ({"worker.py": code} for code in (NAIVE, COUNTED))
    assert rows(before, after)["0.3"].outcome is Outcome.UNKNOWN


# ---- 0.4 and 4.1 ----


def test_a_change_of_sds_fails_wherever_it_stands():
    """One statement below a condition on SDS, in a function of all modes, fails both lines."""
    found = rows(
        version(NAIVE), edited("        order = sorted(groups)\n", "        order = sorted(groups, key=len)\n")
    )
    assert found["0.4"].outcome is Outcome.FAIL
    assert found["0.4"].evidence["in_sds_or_grid"] == 2
    assert found["4.1"].outcome is Outcome.FAIL
    assert "worker.py" in found["4.1"].cause[0].render()


def test_a_change_of_grid_mode_is_known_by_its_file():
    """A changed statement in a file of grid mode fails, whatever names it has."""
    before, after = (version(code, grid_mode_py=f"x = {n}\n") for n, code in enumerate((NAIVE, COUNTED)))
    assert rows(before, after)["0.4"].outcome is Outcome.FAIL


def test_retention_inside_sds_is_allowed():
    """A change below a condition on SDS that is retention only is counted, and passes."""
    after = edited(
        "        order = sorted(groups)\n", "        order = sorted(groups)\n        log.debug('caches: all kept')\n"
    )
    row = rows(version(NAIVE), after)["0.4"]
    assert (row.outcome, row.evidence["retention_in_sds_or_grid"]) == (Outcome.PASS, 1)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("            done += 1\n", "            done += 2\n", "The statement writes done"),
        ("    done = 0\n", "    done = 0\n    unrelated = 3\n", "The statement names nothing that belongs to cache retention"),
        ("    done = 0\n", "    done = 0\n    upload(cache_users)\n", "The statement calls upload"),
        ("    done = 0\n", "    done = 0\n    eval('cache')\n", "The statement calls eval"),
        ("    done = 0\n", "    done = 0\n    groups.remove(caches_of)\n", "The statement calls groups.remove"),
        ("    done = 0\n", "    done = 0\n    os.remove(groups)  # cache\n", "The statement calls os.remove"),
        ("    done = 0\n", "    done = 0\n    self.cache = 1\n", "The statement writes self.cache"),
        ("    done = 0\n", "    done = 0\n    groups[0] = cache_users\n", "The statement writes groups[0]"),
        ("    done = 0\n", "    done = 0\n    import cachetools\n", "The statement imports cachetools"),
        (
            "                release_caches(tile)\n",
            "                release_caches(tile)\n                break\n",
            "The statement leaves",
        ),
        ("                release_caches(tile)\n", "                raise ValueError(cache_users)\n", "The statement raises"),
        ("    if sds_wanted:\n", "    if sds_wanted and not retention:\n", "The statement is a condition of statements"),
        ("    return done\n", "    return done if retention else 0\n", "The statement leaves"),
    ],
)  # fmt: skip
def test_what_is_more_than_retention_says_why(old, new, why):
    """Writing, calling, leaving, raising or deciding on anything else is more than retention, with the reason."""
    row = rows(version(NAIVE), edited(old, new))["4.1"]
    assert row.outcome is Outcome.FAIL
    assert any(line.render().startswith(why) for line in row.cause), [line.render() for line in row.cause]


def test_a_class_of_the_change_is_its_own():
    """Counting in a new class passes like counting in functions: its instances and their attributes belong to the change."""
    counts = """
class CacheCounts:
    def __init__(self):
        self.users = {}

    def forget_one(self, path):
        self.users[path] -= 1


"""
    after = version(
        COUNTED.replace("\n\ndef run(", f"\n{counts}def run(").replace(
            "    done = 0\n", "    done = 0\n    counts = CacheCounts()\n    counts.forget_one(1)\n"
        )
    )
    row = rows(version(NAIVE), after)["4.1"]
    assert row.outcome is Outcome.PASS, [line.render() for line in row.cause]
    outside = edited("    done = 0\n", "    done = 0\n    groups.forget_caches(1)\n")
    assert rows(version(NAIVE), outside)["4.1"].outcome is Outcome.FAIL


def test_names_that_are_written_again_before_they_are_read_are_free():
    """A loop of the change may use the variables of a later loop, but not variables that are read in between."""
    free = "    done = 0\n    for tile, group in enumerate(groups):\n        log.debug('cache of %s', tile)\n"
    assert rows(version(NAIVE), edited("    done = 0\n", free))["4.1"].outcome is Outcome.PASS
    between = (
        "            for future in caches_of:\n                log.debug('cache')\n            tile = futures[future]\n"
    )
    row = rows(version(NAIVE), edited("            tile = futures[future]\n", between))["4.1"]
    assert "The statement writes future" in " ".join(line.render() for line in row.cause)


def test_changed_data_leaves_the_modes_unknown():
    """Data that every mode may read is not retention: the change is not minimal, and its effect on SDS or grid is unknown."""
    before, after = (version(code) | {"settings.json": str(n)} for n, code in enumerate((NAIVE, COUNTED)))
    found = rows(before, after)
    assert found["4.1"].outcome is Outcome.FAIL
    assert found["0.4"].outcome is Outcome.UNKNOWN


def test_changed_code_that_cannot_be_read_is_unknown():
    """A file that is not Python, or without content, turns a pass into unknown, never into a failure."""
    for broken in ("def (:\n", None):
        found = rows(version(NAIVE, odd_py="x = 1\n"), version(COUNTED, odd_py=broken))
        assert {found[line].outcome for line in ("0.2", "0.3", "0.4", "4.1")} == {Outcome.UNKNOWN}
        assert found["4.1"].evidence["unread"] == ["odd.py"]


def test_data_that_one_version_lacks_the_content_of_is_unknown():
    """A picture without content in both versions does not matter; in one of them it may have changed."""
    before, after = version(NAIVE) | {"a.gif": None}, version(COUNTED) | {"a.gif": None}
    assert rows(before, after)["4.1"].outcome is Outcome.PASS
    assert rows(before | {"a.gif": "GIF"}, after)["4.1"].outcome is Outcome.UNKNOWN


# ---- 1 ----


def test_a_program_without_phase_3_leaves_the_review_unknown():
    """A program without Phase 3 is unknown, with what was looked for."""
    found = rows({"a.py": "x = 1\n"}, {"a.py": "x = 2\n"})
    review = [row for line, row in found.items() if line.startswith("1.")]
    assert len(review) == 8
    assert {row.outcome for row in review} == {Outcome.UNKNOWN}


def test_the_places_are_named():
    """Pool, submission, results and release are listed with their lines, before and after."""
    found = rows(version(NAIVE), version(COUNTED))
    (phase3,) = found["1.1"].evidence["phase3"]
    lines = COUNTED.split("\n")
    assert "ThreadPoolExecutor(" in lines[phase3["pool"] - 1]
    assert "pool.submit(" in lines[phase3["submit"] - 1]
    assert "as_completed(" in lines[phase3["collect"] - 1]
    assert "forget" in found["1.2"].sentence.render()
    assert "release_caches" in found["1.2"].sentence.render()


def test_a_naive_removal_that_stays_fails():
    """While a removal under per_tile has no count, the line fails."""
    after = edited(
        "                release_caches(tile)\n",
        "                release_caches(tile)\n                os.remove(tile)\n",
    )
    found = rows(version(NAIVE), after)
    assert found["1.3"].outcome is Outcome.FAIL
    assert found["1.6"].outcome is Outcome.UNKNOWN


def test_a_count_that_was_there_before_replaces_nothing():
    """Where the earlier version counts too, the patch did not introduce it."""
    assert rows(version(COUNTED), edited("done += 1", "done += 2"))["1.3"].outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("line", "old", "new", "outcome"),
    [
        ("1.4", "                register_caches(tile, group)\n", "                log.debug('cache')\n", "unknown"),
        ("1.4", "        for path in paths:\n", "        for path in list(paths) * 2:\n", "unknown"),
        ("1.5", 'os.path.normpath(entry["cache"])', 'entry["cache"]', "unknown"),
        ("1.5", "        caches_of[tile] = paths\n", "", "unknown"),
        ("1.6", "            if cache_users[path] > 0:\n                continue\n", "", "unknown"),
        ("1.6", '            if retention == "per_tile":\n                release_caches(tile)\n    return',
         '    if retention == "per_tile":\n        release_caches(tile)\n    return', "unknown"),
        ("1.7", 'log.debug("left: %s (%s)", path, error)', 'log.warning("left: %s", path)', "fail"),
        ("1.7", 'log.debug("left: %s (%s)", path, error)', "raise", "fail"),
        ("1.7", "except OSError as error", "except KeyError as error", "unknown"),
        ("1.8", "            if users <= 0:\n                continue\n", "", "unknown"),
        ("1.8", "            if users <= 0:\n                continue\n            cache_users[path] = users - 1\n",
         "            cache_users[path] = max(0, users - 1)\n", "pass"),
        ("1.8", "            if users <= 0:\n                continue\n", "            assert users > 0\n", "pass"),
    ],
)  # fmt: skip
def test_each_line_of_the_review_rests_on_what_the_code_does(line, old, new, outcome):
    """Without the structure that a line needs, it does not pass; a loud handler or one that ends the release fails it."""
    assert rows(version(NAIVE), edited(old, new))[line].outcome == outcome


# ---- commits ----


@pytest.fixture
def repository(tmp_path):
    """Make a repository of the stub with three commits: as it is, with a note, with a file and a print."""
    folder = tmp_path / "dépôt"
    shutil.copytree(STUB, folder, ignore=shutil.ignore_patterns("__pycache__"))
    run_git(folder, "init", "-q")
    for name, text in (("", ""), ("plan.md", "Plan.\n"), ("tool.py", "print(1)\n")):
        if name:
            (folder / name).write_text(text, encoding="utf-8")
        run_git(folder, "add", ".")
        run_git(folder, "commit", "-q", "-m", name or "one")
    return folder


def test_commits_of_a_repository_are_judged(repository, capsys):
    """The command prints one row per line, in the requested language, and ends with the worst outcome."""
    assert main(["patch", "--repo", str(repository), "HEAD~1", "HEAD"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["FAIL", "0.1"]
    assert main(["patch", "--repo", str(repository), "HEAD~2", "HEAD~1"]) == 3
    assert main(["patch", "--repo", str(repository), "HEAD~2", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_session_on_two_commits_fails_passes_and_errs(repository, tmp_path):
    """In a session a failed line is a failed test, an unknown one an error in set-up, and the checklist says the same."""
    spec = f"zemosaic:{repository}@HEAD"
    options = (f"--phase3-target={spec}", f"--phase3-baseline={spec}~1", f"--phase3-control={spec}~1")
    done = run_pytest("-m", "phase3", "scenarios/test_guard_rails.py", *options, f"--phase3-dir={tmp_path / 'p3'}")
    session = read_session(latest(tmp_path / "p3"))
    outcomes = {entry.nodeid.partition("::")[2]: entry.outcome for entry in session.tests}
    assert done.returncode == 1, done.stdout + done.stderr
    assert outcomes["test_no_file_is_added"] == "fail"
    assert outcomes["test_phase_3_is_located"] == "unknown"
    assert len(outcomes) == len(guard_rails.ROWS)


def test_rows_are_printed_as_json(repository, capsys):
    """With --json the rows are built-in types, with their evidence."""
    main(["patch", "--repo", str(repository), "HEAD~1", "HEAD", "--json"])
    data = json.loads(capsys.readouterr().out)
    assert [row["check"] for row in data["rows"]] == list(guard_rails.ROWS)
    assert data["outcome"] == "fail"
