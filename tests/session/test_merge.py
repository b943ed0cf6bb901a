"""Test the merging of sessions: which ones can be merged, what counts once, and which records are copied."""

import json
import os
import shutil
from dataclasses import replace

import pytest

from harness.commands.main import main
from harness.language.message import say
from harness.record import limits
from harness.record.reader import read_record
from harness.record.seal import seal
from harness.record.values import RecordError
from harness.session.integrity import seal_session
from harness.session.merge import merge_sessions
from harness.session.model import SessionError, read_session, write_session
from harness.session.rejudge import judge_again
from harness.session.run_matrix import RUNS
from harness.verdict import Outcome, Verdict
from tests.hostile import deep
from tests.sample_session import sample_session
from tests.session_forms import normal_form


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the folder of a session that one job made."""
    folder = tmp_path_factory.mktemp("sessions") / "whole"
    folder.mkdir()
    sample_session(folder, "zemosaic")
    return folder


@pytest.fixture
def shards(tmp_path, whole):
    """Return the folders of the same session as two jobs would have made it, the second on another system."""
    session = read_session(whole)
    folders = [tmp_path / name for name in ("one", "two")]
    for n, folder in enumerate(folders):
        shutil.copytree(whole, folder)
        part = replace(
            session,
            created=f"2026-11-2{n}T00:00:00+00:00",
            environment={**session.environment, "platform": f"system {n}"},
            tests=session.tests[n::2],
            judged=session.judged if n else (),
        )
        write_session(part, folder)
    return folders


def change(folder, **parts):
    """Write a session again with some parts changed."""
    write_session(replace(read_session(folder), **parts), folder)


def test_shards_merge_to_the_whole(tmp_path, whole, shards):
    """Two half sessions merge into the session that one job makes. It has copies of all records and needs the halves no more."""
    merged = merge_sessions(tmp_path / "out", shards)
    assert normal_form(merged) == normal_form(read_session(whole))
    for folder in shards:
        shutil.rmtree(folder)
    found = read_session(tmp_path / "out")
    assert found.created.startswith("2026-11-21")
    assert found.environment["platform"] == "system 0; system 1"
    assert found.environment["numpy"] == "2.4.6"
    for run in found.runs:
        assert read_record(tmp_path / "out" / run.record).damage == ()


def test_the_order_does_not_matter(tmp_path, shards):
    """Either order of the sessions gives the same merged session."""
    one, two = merge_sessions(tmp_path / "a", shards), merge_sessions(tmp_path / "b", shards[::-1])
    assert normal_form(one) == normal_form(two)


@pytest.mark.parametrize(
    ("outcomes", "worst"),
    [
        (("pass", "fail"), "fail"),
        (("unknown", "pass"), "unknown"),
        (("pass", "not evaluated"), "pass"),
        (("not evaluated", "not applicable"), "not applicable"),
    ],
)
def test_the_worst_outcome_of_a_test_counts(tmp_path, whole, shards, outcomes, worst):
    """A test that fails in one of two jobs has failed; a test that was evaluated in one job only keeps that outcome."""
    (test, *_) = read_session(whole).tests
    for folder, outcome in zip(shards, outcomes, strict=True):
        change(folder, tests=(replace(test, outcome=Outcome(outcome)),))
    (found,) = merge_sessions(tmp_path / "out", shards).tests
    assert found.outcome == worst


def test_lines_are_judged_by_the_tests_of_all(tmp_path, whole, shards):
    """A line of the checklist that needs tests of several jobs is evaluated in the merged session."""
    session = read_session(whole)
    for folder in shards:
        rows = tuple(replace(r, outcome=Outcome.NOT_EVALUATED) for r in session.requirements)
        change(folder, requirements=rows)
    assert merge_sessions(tmp_path / "out", shards).requirements == session.requirements


def test_runs_with_one_key_and_two_records_are_both_kept(tmp_path, shards):
    """If two systems made the same run, both records are kept, and verdicts name the key of their own record."""
    session = read_session(shards[1])
    for folder in shards:
        change(folder, judged=session.judged, tests=session.tests)
    subject = next(r for r in session.runs if r.role == "subject")
    seal = shards[1] / subject.record / "seal.json"
    seal.write_text(seal.read_text(encoding="utf-8").replace('"seconds": ', '"seconds": 1'), encoding="utf-8")
    merged = merge_sessions(tmp_path / "out", shards)
    keys = {r.key for r in merged.runs}
    assert keys == {r.key for r in session.runs} | {f"{subject.key}~2"}
    judged = {j.run: j for j in merged.judged if j.role == "subject"}
    assert set(judged) == {subject.key, f"{subject.key}~2"}
    assert {j.pair for j in judged.values()} <= keys
    assert (tmp_path / "out" / RUNS / f"{subject.key}~2" / "seal.json").read_bytes() == seal.read_bytes()


def test_a_set_that_one_job_judged_is_judged(tmp_path, shards):
    """A real set counts as judged if one job judged it and the other did not have it."""
    session = read_session(shards[1])
    change(shards[1], real_sets=tuple(replace(s, judged=True) for s in session.real_sets))
    assert all(s.judged for s in merge_sessions(tmp_path / "out", shards).real_sets)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"target": "zemosaic abc"}, r"one target, found zemosaic 63bcc2c in .*one and zemosaic abc in .*two"),
        ({"target_kind": "command"}, "one target"),
        ({"identity": {"commit": "x"}}, "same name and are not the same"),
        ({"environment": {"harness": "9"}}, r"one version of the harness, found 0\.1\.0 in .* and 9 in"),
        ({"requirements": ()}, "the same checklist"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path, shards, parts, message):
    """Sessions of different targets, harnesses or checklists are not merged: the error says what differs, and nothing is left."""
    change(shards[1], **parts)
    with pytest.raises(SessionError, match=message):
        merge_sessions(tmp_path / "out", shards)
    assert not (tmp_path / "out").exists()


def test_the_order_of_a_lines_tests_is_not_compared(tmp_path, shards):
    """Older sessions list the tests of a line in another order: they are merged, but not if a line has other tests."""
    lines = read_session(shards[1]).requirements
    assert any(len(line.tests) > 1 for line in lines)
    change(shards[1], requirements=tuple(replace(line, tests=line.tests[::-1]) for line in lines))
    assert merge_sessions(tmp_path / "out", shards).requirements == lines
    change(
        shards[1], requirements=tuple(replace(line, tests=(*line.tests, "scenarios/test_x.py::t")) for line in lines)
    )
    with pytest.raises(SessionError, match="the same checklist"):
        merge_sessions(tmp_path / "out 2", shards)


def test_guard_rails_and_options_of_all(tmp_path, shards):
    """A guard rail has its worst verdict of all jobs; an option that differs between jobs has all its values."""
    rows = [Verdict("0.1", outcome, say("x")) for outcome in (Outcome.PASS, Outcome.UNKNOWN)]
    for folder, row, profile in zip(shards, rows, ("fast", "default"), strict=True):
        change(folder, patch=(row,), options={"profile": profile, "workers": "2"})
    merged = merge_sessions(tmp_path / "out", shards)
    assert merged.patch == (rows[1],)
    assert merged.options == {"profile": "fast; default", "workers": "2"}


def test_versions_of_libraries_part_nothing(tmp_path, shards):
    """The same commit with other versions of libraries is the same target."""
    identity = read_session(shards[1]).identity
    change(shards[1], identity={**identity, "versions": {"numpy": "9"}})
    assert merge_sessions(tmp_path / "out", shards).identity == identity


def test_a_record_that_is_not_there_is_refused(tmp_path, shards):
    """A session without its records can't be judged again: it is not merged, and no merged folder is left."""
    session = read_session(shards[1])
    for folder in shards:
        shutil.rmtree(folder / session.runs[-1].record)
    with pytest.raises(SessionError, match="merge whole sessions, with their runs"):
        merge_sessions(tmp_path / "out", shards)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", [f"../one/{RUNS}/pair-run_end", "/etc", "C:/x"])
def test_a_session_can_reach_nothing_outside_itself(tmp_path, shards, place):
    """A record's path that leads outside the session is refused: anybody may have edited the file."""
    session = read_session(shards[1])
    change(shards[1], runs=(replace(session.runs[0], record=place),))
    with pytest.raises(RecordError, match="expected a path inside"):
        merge_sessions(tmp_path / "out", shards)


def test_links_are_not_followed(tmp_path, shards):
    """A link inside a record is not copied, and a record that is a link is refused."""
    session = read_session(shards[1])
    secret = tmp_path / "secret"
    secret.write_text("x", encoding="utf-8")
    try:
        (shards[0] / session.runs[0].record / "link").symlink_to(secret)
    except OSError:
        pytest.skip("this system makes no links")
    merge_sessions(tmp_path / "out", shards)
    assert not list((tmp_path / "out").rglob("link"))
    outside = tmp_path / "outside"
    (shards[1] / session.runs[0].record).rename(outside)
    (shards[1] / session.runs[0].record).symlink_to(outside, target_is_directory=True)
    with pytest.raises(SessionError, match="expected the record"):
        merge_sessions(tmp_path / "out 2", shards)


def test_a_folder_in_use_is_left_alone(tmp_path, shards):
    """Nothing is written into a folder that has files."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").write_text("x", encoding="utf-8")
    with pytest.raises(SessionError, match="new or empty"):
        merge_sessions(tmp_path / "out", shards)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["x"]


def test_the_command_writes_every_view(tmp_path, shards, capsys):
    """``phase3 merge`` ends with the status of the merged outcome, writes every view and prints their paths."""
    assert main(["merge", str(tmp_path / "out"), *map(str, shards)]) == 1
    out = capsys.readouterr().out
    for name in ("report.html", "report.fr.html", "summary.md", "summary.fr.md", "junit.xml"):
        assert (tmp_path / "out" / name).is_file()
        assert name in out
    assert json.loads((tmp_path / "out" / "session.json").read_text(encoding="utf-8"))["outcome"] == "fail"


@pytest.fixture
def with_outputs(tmp_path, whole):
    """Return a session whose subject's record was sealed with a mosaic and a cache below its outputs."""
    folder = tmp_path / "made"
    shutil.copytree(whole, folder)
    record = folder / next(r for r in read_session(folder).runs if r.role == "subject").record
    (record / "outputs" / "tiles").mkdir(parents=True)
    for name in ("mosaic.fits", "tiles/one.fits"):
        (record / "outputs" / name).write_bytes(b"pixels")
    sealed = read_record(record).seal
    seal(record, sealed.state, sealed.exit_code, sealed.reason, sealed.seconds)
    seal_session(folder)
    return folder, record.relative_to(folder)


def test_outputs_can_be_left_out(tmp_path, with_outputs):
    """A copy without the target's outputs has the same verdicts; its seal says what is left out and keeps the digests."""
    folder, name = with_outputs
    merged = merge_sessions(tmp_path / "out", [folder], outputs=False)
    found = read_record(tmp_path / "out" / name)
    assert not (tmp_path / "out" / name / "outputs").exists()
    assert (found.damage, found.seal.without) == ((), ("outputs",))
    assert found.seal.files == read_record(folder / name).seal.files
    assert {"outputs/mosaic.fits", "outputs/tiles/one.fits"} <= set(found.seal.files)
    assert [j.outcome for j in judge_again(tmp_path / "out", merged)] == [j.outcome for j in merged.judged]
    again = merge_sessions(tmp_path / "again", [tmp_path / "out"])
    assert normal_form(again) == normal_form(merged)
    assert read_record(tmp_path / "again" / name).damage == ()


def test_outputs_are_kept_by_default(tmp_path, with_outputs):
    """By default the outputs are copied too."""
    folder, name = with_outputs
    merge_sessions(tmp_path / "out", [folder])
    assert (tmp_path / "out" / name / "outputs" / "tiles" / "one.fits").read_bytes() == b"pixels"
    assert read_record(tmp_path / "out" / name).seal.without == ()


@pytest.mark.parametrize("problem", ["changed", "missing"])
def test_leaving_out_hides_no_damage(tmp_path, with_outputs, problem):
    """A record with a changed or missing output is still damaged in a copy without outputs."""
    folder, name = with_outputs
    mosaic = folder / name / "outputs" / "mosaic.fits"
    mosaic.unlink() if problem == "missing" else mosaic.write_bytes(b"others")
    merge_sessions(tmp_path / "out", [folder], outputs=False)
    found = read_record(tmp_path / "out" / name)
    assert found.seal.without == ()
    assert "outputs/mosaic.fits: missing" in found.damage


def test_a_copy_without_outputs_is_still_sealed(tmp_path, with_outputs):
    """In a copy without outputs, every other file is still compared with the seal, and so is an output that is put back."""
    folder, name = with_outputs
    merge_sessions(tmp_path / "out", [folder], outputs=False)
    record = tmp_path / "out" / name
    (record / "outputs").mkdir()
    (record / "outputs" / "mosaic.fits").write_bytes(b"others")
    (record / "products.json").unlink()
    assert set(read_record(record).damage) == {
        "outputs/mosaic.fits: changed since the record was sealed",
        "products.json: missing",
    }


def test_nothing_but_outputs_can_be_left_out(tmp_path, with_outputs):
    """A seal that leaves out other files than outputs is refused: the harness writes no such seal."""
    folder, name = with_outputs
    path = folder / name / "seal.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "without": ["products.json"]}))
    with pytest.raises(RecordError, match="expected a seal"):
        read_record(folder / name)
    merge_sessions(tmp_path / "out", [folder], outputs=False)
    assert (tmp_path / "out" / name / "seal.json").read_bytes() == path.read_bytes()


def test_the_command_leaves_outputs_out(tmp_path, with_outputs, capsys):
    """``phase3 merge --without-outputs`` copies records without their outputs."""
    folder, name = with_outputs
    assert main(["merge", "--without-outputs", str(tmp_path / "out"), str(folder)]) == 1
    assert "Written: " in capsys.readouterr().out
    assert read_record(tmp_path / "out" / name).seal.without == ("outputs",)


@pytest.mark.skipif(os.name == "nt", reason="paths of this system are short")
def test_a_record_with_folders_a_thousand_deep_is_refused(tmp_path, shards, capsys):
    """Python's own walk fails on them. Without outputs it is merged; with them the record is named, and nothing is left."""
    record = shards[0] / read_session(shards[0]).runs[0].record
    for folder in shards:
        seal_session(folder)
    with deep(record / "outputs"):
        merge_sessions(tmp_path / "without", shards, outputs=False)
        assert main(["merge", str(tmp_path / "out"), *map(str, shards)]) == 2
        said = capsys.readouterr().err
        assert f"at most 64 deep in the record {record}, found deeper ones: leave out its output files" in said
        assert not (tmp_path / "out").exists()
    merge_sessions(tmp_path / "out", shards)


@pytest.mark.parametrize(("limit", "problem"), [("ENTRIES", "at most 3 files in"), ("RECORD_BYTES", "at most 3 B in")])
def test_a_record_beyond_the_limits_is_refused(tmp_path, shards, monkeypatch, limit, problem):
    """More files or bytes than a record may have are not copied."""
    monkeypatch.setattr(limits, limit, 3)
    with pytest.raises(SessionError, match=problem):
        merge_sessions(tmp_path / "out", shards)
    assert not (tmp_path / "out").exists()
