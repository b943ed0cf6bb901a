"""Test what is kept of an interrupted session, and what is made again. Whole sessions: ``tests/plugin/test_interrupted.py``."""

import json
import shutil
from contextlib import suppress
from dataclasses import replace

import pytest

from harness.language.message import say
from harness.plugin.assemble import _unshared
from harness.record.convert import to_json
from harness.record.safe import ASIDE
from harness.record.seal import SEAL, read_seal, seal
from harness.record.values import sha256_of
from harness.session import source
from harness.session.integrity import FILE as MANIFEST
from harness.session.integrity import seal_session
from harness.session.model import Share, read_session, write_session
from harness.session.resume import (
    RESUMED,
    ResumeError,
    Start,
    find,
    next_shares,
    reopen,
    require_same,
    require_unchanged,
    stopped_runs,
    write_start,
)
from harness.session.run_matrix import RUNS
from harness.session.shares import changed_records, read_share, write_part
from tests.done_sessions import a_session
from tests.sample_session import sample_session

SUBJECT, PAIR = "subject-per_tile", "pair-run_end"


@pytest.fixture
def folder(tmp_path):
    """Return the folder of an interrupted session whose pair was stopped."""
    folder = tmp_path / "sessions" / "20261130-000506-b7c297"
    folder.mkdir(parents=True)
    sample_session(folder)
    write_session(replace(read_session(folder), interrupted=say("x")), folder)
    stop(folder, PAIR)
    write_start(folder, Start({}, {}))
    seal_session(folder)
    return folder


def stop(folder, key):
    """Seal a run as stopped with its session."""
    path = folder / RUNS / key / "seal.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "state": "killed"}), encoding="utf-8")


def reopened(folder):
    """Return what is kept of a session when it is resumed."""
    shares = next_shares(folder)
    shares.mkdir()
    reopen(folder, shares)
    return read_share(shares / RESUMED)


def test_a_stopped_run_is_made_again_with_all_that_was_compared_with_it(folder):
    """A stopped run is removed; its verdicts, and those of runs that were compared with it, are not kept."""
    assert stopped_runs(folder) == {PAIR}
    share = reopened(folder)
    assert not (folder / RUNS / PAIR).exists()
    assert (folder / RUNS / SUBJECT / "seal.json").is_file()
    kept = {run.key for run in share.runs}
    assert SUBJECT in kept
    assert PAIR not in kept
    assert [j for j in read_session(folder).judged if j.run == SUBJECT]
    assert [j for j in share.judged if PAIR in (j.run, j.pair, j.baseline)] == []


def test_a_folder_that_a_target_put_in_the_place_of_a_record_is_kept(folder):
    """It was put aside when the run ended, and may be the user's: it is no stopped run."""
    aside = folder / RUNS / f"{SUBJECT}.01234567{ASIDE}"
    aside.mkdir()
    (aside / "letter.txt").write_bytes(b"of the user")
    assert stopped_runs(folder) == {PAIR}
    reopened(folder)
    assert (aside / "letter.txt").read_bytes() == b"of the user"


def test_the_verdicts_of_a_run_that_was_made_again_as_the_pilot_are_old(folder):
    """A run that the session lists as stopped, and that is whole now, is not kept with its old state and verdicts."""
    session = read_session(folder)
    runs = tuple(replace(run, state="killed") if run.key == SUBJECT else run for run in session.runs)
    write_session(replace(session, runs=runs), folder)
    share = reopened(folder)
    assert (folder / RUNS / SUBJECT / "seal.json").is_file()
    assert SUBJECT not in {run.key for run in share.runs}
    assert SUBJECT not in {judged.run for judged in share.judged}


def test_a_session_that_was_killed_keeps_its_finished_runs(folder):
    """Without session.json there is nothing to share; the finished records stay."""
    (folder / "session.json").unlink()
    shares = next_shares(folder)
    shares.mkdir()
    reopen(folder, shares)
    assert list(shares.iterdir()) == []
    assert (folder / RUNS / SUBJECT).is_dir()
    assert find(folder.parents[1], folder.name) == folder


def test_a_session_of_another_folder_is_refused(folder, tmp_path):
    """A session is found by its name and by its folder; one below another --phase3-dir is refused before anything runs."""
    root = folder.parents[1]
    assert find(root, "newest") == find(root, folder.name) == find(root, str(folder)) == folder
    with pytest.raises(ResumeError, match="name the folder that it is in with --phase3-dir"):
        find(tmp_path / "other", str(folder))
    with pytest.raises(ResumeError, match="expected an interrupted session"):
        find(tmp_path / "other", "newest")


def test_each_start_has_shares_of_its_own(folder):
    """What a start writes does not touch what an earlier one wrote."""
    for name in ("shares", "shares-2", "shares-3"):
        assert next_shares(folder).name == name
        next_shares(folder).mkdir()


def test_another_version_of_the_harness_is_named_by_its_files(folder):
    """Changed, added and missing files of the harness are counted and named; an older session has none."""
    now = {"harness/a.py": "1", "harness/b.py": "2"}
    write_start(folder, Start({}, {}, source=now))
    require_same(folder, Start({}, {}, source=now))
    with pytest.raises(ResumeError, match=r"2 files differ \(harness/b.py, harness/c.py\)"):
        require_same(folder, Start({}, {}, source={"harness/a.py": "1", "harness/b.py": "3", "harness/c.py": "4"}))
    write_start(folder, Start({}, {}))
    with pytest.raises(ResumeError, match="the harness is another version than before"):
        require_same(folder, Start({}, {}, source=now))


def test_the_source_of_the_harness_is_what_makes_and_judges_runs(tmp_path, monkeypatch):
    """Modules, limits and manifests count; compiled files, catalogues and reports do not."""
    found = source.own_source()
    assert {"harness/probe/recorder.py", "harness/checks/thresholds.toml", "scenarios/conftest.py"} <= set(found)
    assert {name.partition("/")[0] for name in found} == {"harness", "fixtures", "scenarios"}
    assert not [name for name in found if name.endswith((".pyc", ".po"))]
    for part in source.PARTS:
        (tmp_path / part).mkdir()
    (tmp_path / "harness" / "one.py").write_text("1", encoding="utf-8")
    monkeypatch.setattr(source, "ROOT", tmp_path)
    before = source.own_source()
    (tmp_path / "harness" / "one.py").write_text("2", encoding="utf-8")
    assert list(before) == ["harness/one.py"]
    assert source.own_source() != before


@pytest.fixture
def killed(tmp_path):
    """Return the folder of a session that was killed: sealed records, and the share of the worker that made them."""
    folder = tmp_path / "killed" / "20261130-000506-b7c298"
    folder.mkdir(parents=True)
    sample_session(folder)
    write_start(folder, Start({}, {}, session=folder.name))
    runs = tuple(replace(r, seal=sha256_of(folder / r.record / SEAL)) for r in read_session(folder).runs)
    (folder / "shares").mkdir()
    write_part(folder / "shares" / "gw0.json", to_json(Share(runs)))
    for name in ("session.json", MANIFEST):
        (folder / name).unlink()
    return folder


def test_an_unchanged_session_is_resumed(killed, folder):
    """A session that was killed, and one that was interrupted and sealed, are as the harness left them."""
    require_unchanged(killed)
    seal_session(folder)
    require_unchanged(folder)


def test_a_changed_session_is_not_resumed(folder):
    """An interrupted session whose session.json was edited is refused, with its name and the way on."""
    seal_session(folder)
    path = folder / "session.json"
    path.write_bytes(path.read_bytes().replace(b'"fail"', b'"pass"'))
    with pytest.raises(ResumeError, match=r"(?s)session.json: changed.*--phase3-resume=20261130-000506-b7c297"):
        require_unchanged(folder)


def test_a_changed_record_is_not_used_again(killed):
    """A record whose content differs from its seal is refused."""
    (killed / RUNS / SUBJECT / "left.jsonl").write_bytes(b"")
    with pytest.raises(ResumeError, match=f"{RUNS}/{SUBJECT}/left.jsonl: changed"):
        require_unchanged(killed)


def test_a_forged_record_of_a_killed_session_is_not_used_again(killed):
    """A record that was changed and sealed again is not the one of the share."""
    record = killed / RUNS / SUBJECT
    known = read_seal(record)
    (record / "left.jsonl").write_bytes(b"")
    seal(record, known.state, known.exit_code, known.reason, known.seconds)
    with pytest.raises(ResumeError, match=f"{RUNS}/{SUBJECT}/seal.json: changed"):
        require_unchanged(killed)


def test_a_share_of_another_session_is_refused(killed, tmp_path):
    """A share that another start of the harness wrote, and one with a changed byte, are named."""
    other = tmp_path / "other"
    (other / "shares").mkdir(parents=True)
    write_start(other, Start({}, {}, session="other"))
    write_part(other / "shares" / "gw1.json", to_json(Share()))
    (killed / "shares" / "gw1.json").write_bytes((other / "shares" / "gw1.json").read_bytes())
    with pytest.raises(ResumeError, match=r"gw1.json of this session, found one of another session"):
        require_unchanged(killed)
    (killed / "shares" / "gw1.json").unlink()
    path = killed / "shares" / "gw0.json"
    path.write_bytes(path.read_bytes().replace(b'"done"', b'"died"', 1))
    with pytest.raises(ResumeError, match=r"gw0.json as the harness wrote it, found other content"):
        require_unchanged(killed)


def test_a_session_resumed_after_its_own_change_takes_nothing_from_it(folder):
    """Without session.json and the manifest, only records are used: the tests that the changed file claimed are not."""
    seal_session(folder)
    for name in ("session.json", MANIFEST):
        (folder / name).rename(folder.parent / name)
    require_unchanged(folder)
    shares = next_shares(folder)
    shares.mkdir()
    reopen(folder, shares)
    assert list(shares.iterdir()) == []


def test_a_record_that_was_changed_while_the_session_ran_is_named(killed):
    """At the end of a session the seal of each record is compared with the one that was judged."""
    runs = read_share(killed / "shares" / "gw0.json").runs
    session = replace(a_session(), runs=runs)
    assert list(changed_records(killed, session)) == []
    path = killed / RUNS / SUBJECT / SEAL
    path.write_bytes(path.read_bytes() + b" ")
    (found,) = changed_records(killed, session)
    assert found.render().startswith(f"{RUNS}/{SUBJECT}: its seal was changed")


# A session.json that the harness is not known to have written


def test_a_session_without_its_manifest_gives_no_verdicts_to_the_next_start(folder):
    """Its tests may have been edited to pass: its runs are judged again from their records, and its tests run again."""
    (folder / MANIFEST).unlink()
    shares = next_shares(folder)
    shares.mkdir()
    reopen(folder, shares)
    assert list(shares.iterdir()) == []
    assert (folder / RUNS / SUBJECT / "seal.json").is_file()


def test_a_session_that_was_edited_since_it_was_compared_gives_none_either(folder):
    """The manifest has another digest of it."""
    session = read_session(folder)
    (folder / "session.json").write_text(
        (folder / "session.json").read_text(encoding="utf-8").replace('"fail"', '"pass"'), encoding="utf-8"
    )
    assert read_session(folder) != session
    shares = next_shares(folder)
    shares.mkdir()
    reopen(folder, shares)
    assert list(shares.iterdir()) == []


def test_a_start_that_was_killed_leaves_what_the_session_before_it_concluded(folder):
    """The start took back the end of the session and noted its digest: the next start reads it; an edited one is not read."""
    before = reopened(folder)
    assert not (folder / MANIFEST).exists()
    assert reopened(folder) == before
    path = folder / "session.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"fail"', '"pass"'), encoding="utf-8")
    shares = next_shares(folder)
    shares.mkdir()
    reopen(folder, shares)
    assert list(shares.iterdir()) == []


def test_a_session_whose_session_json_alone_was_removed_is_refused(folder):
    """Its manifest says that it was there."""
    require_unchanged(folder)
    (folder / "session.json").unlink()
    with pytest.raises(ResumeError, match=r"session\.json: missing"):
        require_unchanged(folder)


def test_a_folder_among_the_records_that_is_none_is_no_run_of_the_session(folder, tmp_path):
    """A target may leave a copy of its record, which was put aside, or a link to one: nothing is read from them."""
    session = read_session(folder)
    shutil.copytree(folder / RUNS / SUBJECT, folder / RUNS / f"{SUBJECT}.01234567{ASIDE}")
    shutil.copytree(folder / RUNS / SUBJECT, tmp_path / "alone")
    with suppress(OSError):
        (folder / RUNS / "link").symlink_to(tmp_path / "alone", target_is_directory=True)
    assert list(_unshared(folder, session)) == []
    shutil.copytree(folder / RUNS / SUBJECT, folder / RUNS / "another")
    assert [run.key for run in _unshared(folder, session)] == ["another"]


def test_a_session_that_was_killed_before_its_manifest_is_resumed(folder):
    """The manifest is written last: without it a session has not ended, even if session.json says that all was reached."""
    write_session(replace(read_session(folder), interrupted=None), folder)
    seal_session(folder)
    with pytest.raises(ResumeError, match="which reached its end"):
        find(folder.parents[1], folder.name)
    (folder / MANIFEST).unlink()
    assert find(folder.parents[1], folder.name) == folder
