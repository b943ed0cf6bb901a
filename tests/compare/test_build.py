"""Test what a comparison says of equal and of changed sessions and runs."""

import json
import shutil
from dataclasses import replace
from types import MappingProxyType

import pytest
from jsonschema import Draft202012Validator

from harness.compare.accepted import acceptable
from harness.compare.build import compare
from harness.compare.model import SideFacts
from harness.compare.schema import COMPARISON
from harness.compare.sides import read_side
from harness.language.message import say
from harness.record.reader import read_request
from harness.record.seal import note_spared, seal
from harness.run.measure import measure
from harness.session.model import SessionError, read_session
from harness.verdict import Outcome, Verdict
from tests.compare_sessions import NAME, change_session, write_mosaic


def between(before, after):
    """Compare what two texts or folders name."""
    return compare(read_side(str(before)), read_side(str(after)))


def output_of(changes, role="subject"):
    """Return the outputs of the run in a role."""
    return next(output for output in changes.outputs if output.role == role)


def with_verdict(folder, verdict, role="subject"):
    """Replace a verdict of the run in a role."""
    judged = read_session(folder).judged
    changed = tuple(
        replace(j, verdicts=(*(v for v in j.verdicts if v.check != verdict.check), verdict)) if j.role == role else j
        for j in judged
    )
    change_session(folder, judged=changed)


def a_verdict(check, outcome, evidence=None, **parts):
    """Return a verdict."""
    return Verdict(check, Outcome(outcome), say("No tile was submitted."), MappingProxyType(evidence or {}), **parts)


def test_equal_sessions_have_no_change(sessions):
    """A session and its copy: no verdict, figure, output or fact changed, and the outcome is pass."""
    changes = between(sessions("before", "a"), sessions("before", "b"))
    assert (changes.verdicts, changes.figures, changes.facts) == ((), (), ())
    assert {output.grade for output in changes.outputs} == {"identical"}
    assert len(changes.outputs) == 4
    assert changes.outcome is Outcome.PASS


def test_a_verdict_that_got_worse_is_first(sessions):
    """A pass that became a failure is worse and comes before a verdict that became better; the other way round it is better."""
    before, after = sessions("before", "a"), sessions("before", "b")
    with_verdict(before, a_verdict("depth", "fail"))
    with_verdict(after, a_verdict("holes", "fail"))
    changes = between(before, after)
    assert [(c.check, c.role, c.way) for c in changes.verdicts] == [
        ("holes", "subject", "worse"),
        ("depth", "subject", "better"),
    ]
    assert (changes.verdicts[0].before, changes.verdicts[0].after) == (Outcome.PASS, Outcome.FAIL)
    assert changes.outcome is Outcome.FAIL
    with_verdict(after, a_verdict("holes", "pass"))
    assert between(before, after).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("then", "now", "way"),
    [
        ("pass", "unknown", "worse"),
        ("pass", "not applicable", "worse"),
        ("not applicable", "fail", "worse"),
        ("unknown", "pass", "better"),
        ("fail", "unknown", "better"),
        ("fail", "not applicable", "other"),
        ("not applicable", "pass", "other"),
    ],
)
def test_a_lost_pass_is_worse(sessions, then, now, way):
    """A pass that was not repeated is worse; a failure that was not judged again is not better."""
    before, after = sessions("before", "a"), sessions("before", "b")
    with_verdict(before, a_verdict("holes", then))
    with_verdict(after, a_verdict("holes", now))
    (change,) = between(before, after).verdicts
    assert change.way == way


def test_a_control_that_is_green_is_worse(sessions):
    """A check that must be red on the control and is not any more is worse; red there is right."""
    before, after = sessions("before", "a"), sessions("before", "b")
    with_verdict(after, a_verdict("holes", "pass"), role="control")
    (change,) = between(before, after).verdicts
    assert (change.role, change.check, change.way) == ("control", "holes", "worse")
    (back,) = between(after, before).verdicts
    assert back.way == "better"


def test_a_verdict_on_another_version_does_not_count(sessions):
    """A verdict on the baseline is shown, and is neither worse nor better."""
    before, after = sessions("before", "a"), sessions("before", "b")
    with_verdict(after, a_verdict("holes", "fail"))
    for folder in (before, after):
        judged = read_session(folder).judged
        change_session(folder, judged=tuple(replace(j, role="baseline") if j.role == "subject" else j for j in judged))
    changes = between(before, after)
    assert [(c.role, c.check, c.way) for c in changes.verdicts] == [("baseline", "holes", "other")]
    assert changes.outcome is Outcome.PASS


def test_a_test_that_failed_is_listed_with_its_verdict(sessions):
    """The test that asserts a verdict is listed with the verdict; a test without a check has a row of its own."""
    before, after = sessions("before", "a"), sessions("before", "b")
    with_verdict(after, a_verdict("holes", "fail"))
    tests = read_session(after).tests
    changed = tuple(replace(t, outcome=Outcome.FAIL) if t.check == "holes" else t for t in tests)
    alone = replace(tests[0], nodeid="scenarios/test_x.py::test_alone", check=None, outcome=Outcome.FAIL)
    change_session(after, tests=(*changed, alone))
    changes = between(before, after)
    by_check = {change.check: change for change in changes.verdicts}
    assert [name.partition("[")[0] for name in by_check["holes"].tests] == [
        "scenarios/test_a_hole_repro.py::test_the_hole_is_gone"
    ]
    assert by_check[""].tests == ("scenarios/test_x.py::test_alone",)
    assert by_check[""].way == "worse"


def test_a_time_that_was_not_measured_does_not_count(sessions):
    """A verdict on time that became unknown is shown, and is not worse; one that fails is."""
    before, after = sessions("before", "a"), sessions("before", "b")
    with_verdict(before, a_verdict("cost", "pass", axis="time"))
    with_verdict(after, a_verdict("cost", "unknown", axis="time"))
    assert [c.way for c in between(before, after).verdicts] == ["other"]
    with_verdict(after, a_verdict("cost", "fail", axis="time"))
    assert [c.way for c in between(before, after).verdicts] == ["worse"]


def test_a_figure_that_changed_has_both_numbers(sessions):
    """The figures that a check declares are compared, with their unit; equal ones are left out."""
    before, after = sessions("before", "a"), sessions("before", "b")
    with_verdict(before, a_verdict("tiles", "fail", {"num_master_tiles": 3, "tiles_total": 4}))
    with_verdict(after, a_verdict("tiles", "fail", {"num_master_tiles": 2, "tiles_total": 4}))
    changes = between(before, after)
    (figure,) = changes.figures
    assert (figure.check, figure.unit, figure.before, figure.after) == ("tiles", "share", (3, 4), (2, 4))
    (change,) = changes.verdicts  # a failure with a larger figure is worse
    assert (change.before, change.after, change.way) == (Outcome.FAIL, Outcome.FAIL, "worse")
    assert [c.way for c in between(after, before).verdicts] == ["better"]


def test_outputs_that_differ_in_one_image_are_counted(sessions):
    """The values that differ are counted in the image that changed; the other images have equal digests."""
    changes = between(sessions("before", "a"), sessions("star", "b"))
    output = output_of(changes)
    assert output.grade == "different"
    changed = [image for image in output.images if not image.equal]
    assert [image.image for image in changed] == ["mosaic PRIMARY"]
    assert (changed[0].measured, changed[0].values, changed[0].in_one) == ("values", 1, 1)
    assert changed[0].largest == pytest.approx(40, abs=1e-3)
    assert (output.lost_sky, output.new_sky) == (0, 0)
    assert output_of(changes, "pair").grade == "identical"
    assert changes.outcome is Outcome.FAIL


def test_without_output_files_the_blocks_are_compared(sessions):
    """A session without its output files is compared by the statistics of blocks, and says so."""
    before, after = sessions("before", "a"), sessions("star", "b")
    record = after / next(run.record for run in read_session(after).runs if run.role == "subject")
    shutil.rmtree(record / "outputs")
    note_spared(record)
    (image,) = [image for image in output_of(between(before, after)).images if not image.equal]
    assert (image.measured, image.values) == ("blocks", None)
    assert 0 < image.largest <= 40.01


def test_another_canvas_is_a_difference_of_sky(sessions):
    """A mosaic of another shape: values are not compared, and the sky that only one covers is measured."""
    output = output_of(between(sessions("before", "a"), sessions("canvas", "b")))
    assert output.grade == "different"
    assert {image.image: image.measured for image in output.images} == {
        "mosaic WCS": "",
        "mosaic PRIMARY": "shape",
        "coverage PRIMARY": "shape",
    }
    # 30 of 100 columns of 70 pixels of 0.0015 degrees
    assert output.lost_sky == pytest.approx(30 * 70 * (0.0015 * 60) ** 2, rel=1e-3)
    assert output.new_sky == 0
    assert "70 x 70" in output.what[0].render()


def test_missing_outputs_are_not_compared(sessions):
    """A run whose output file is missing or was changed can't be compared: the outcome is unknown, never pass."""
    before, after = sessions("before", "a"), sessions("before", "b")
    record = after / next(run.record for run in read_session(after).runs if run.role == "subject")
    (record / NAME).unlink()
    changes = between(before, after)
    assert output_of(changes).grade == "not compared"
    assert "missing" in output_of(changes).what[0].render()
    assert changes.outcome is Outcome.UNKNOWN
    shutil.rmtree(record)
    assert between(before, after).outcome is Outcome.UNKNOWN


def test_a_run_that_left_no_mosaic_is_different(sessions):
    """A mosaic that is gone is a difference, and nobody can accept it as data."""
    before, after = sessions("before", "a"), sessions("before", "b")
    record = after / next(run.record for run in read_session(after).runs if run.role == "subject")
    for path in (record / "outputs").glob("*.fits"):
        path.unlink()
    measure(record, read_request(record))
    seal(record, "done", 0, "", 1.0)
    output = output_of(between(before, after))
    assert output.grade == "different"
    assert all(image.after is None for image in output.images)
    assert acceptable(between(before, after)) == ()


def test_a_record_that_leads_out_of_its_session_is_not_read(sessions):
    """A link in place of a record is not followed out of the session."""
    before, after = sessions("before", "a"), sessions("before", "b")
    record = after / next(run.record for run in read_session(after).runs if run.role == "subject")
    shutil.rmtree(record)
    try:
        record.symlink_to(before, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    assert "out of it" in output_of(between(before, after)).what[0].render()


def test_two_runs_of_one_session_are_compared(sessions):
    """``SESSION::KEY`` and a record's folder name one run; verdicts are compared by check, also of different roles."""
    folder = sessions("before", "a")
    changes = between(f"{folder}::subject-per_tile", f"{folder}::control-per_tile")
    worse = {change.check for change in changes.verdicts if change.way == "worse"}
    assert {"holes", "tiles", "depth"} <= worse
    assert len(changes.outputs) == 1
    assert {(fact.group, fact.name) for fact in changes.facts} >= {("target", "label"), ("request", "role")}
    record = folder / next(run.record for run in read_session(folder).runs if run.key == "control-per_tile")
    again = between(f"{folder}::subject-per_tile", record)
    assert (again.verdicts, again.after.run) == (changes.verdicts, "control-per_tile")


def test_a_record_without_a_session_has_outputs_only(sessions, tmp_path):
    """A record that belongs to no session is compared by its outputs; it has no verdicts."""
    folder = sessions("before", "a")
    record = folder / next(run.record for run in read_session(folder).runs if run.role == "subject")
    shutil.copytree(record, tmp_path / "alone")
    write_mosaic(tmp_path / "alone", lambda pixels, coverage: (pixels + 1, coverage))
    changes = between(f"{folder}::subject-per_tile", tmp_path / "alone")
    assert (changes.after, changes.compared) == (
        SideFacts(str(tmp_path / "alone"), None, "reference", "", None, ""),
        0,
    )
    assert changes.outputs[0].grade == "different"
    assert changes.outcome is Outcome.FAIL


def test_environment_options_and_target_are_compared(sessions):
    """Facts that changed are named with both values; nested facts by dotted names."""
    before, after = sessions("before", "a"), sessions("before", "b")
    session = read_session(after)
    change_session(
        after,
        environment={**session.environment, "numpy": "9.9"},
        options={"workers": "8"},
        identity={**session.identity, "versions": {"scipy": "1"}},
    )
    facts = {(f.group, f.name): (f.before, f.after) for f in between(before, after).facts}
    assert facts == {
        ("target", "versions.scipy"): (None, "1"),
        ("options", "workers"): (None, "8"),
        ("environment", "numpy"): ("2.4.6", "9.9"),
    }


def test_sessions_with_nothing_in_common_are_unknown(sessions):
    """Without a common verdict and run there is nothing to compare."""
    before, after = sessions("before", "a"), sessions("before", "b")
    change_session(after, runs=(), judged=(), tests=(), requirements=())
    change_session(before, judged=(), tests=(), requirements=())
    changes = between(before, after)
    assert changes.outcome is Outcome.UNKNOWN
    assert len(changes.only_before) == 4


def test_the_comparison_fits_its_schema(sessions):
    """The JSON of a comparison is valid, with every kind of change."""
    before, after = sessions("before", "a"), sessions("canvas", "b")
    with_verdict(after, a_verdict("tiles", "fail", {"num_master_tiles": 2, "tiles_total": 4}))
    changes = between(before, after)
    data = json.loads(json.dumps(changes.to_json(), allow_nan=False))
    Draft202012Validator(json.loads(COMPARISON.read_text(encoding="utf-8"))).validate(data)
    assert data["outcome"] == "fail"
    assert data["verdicts"]


@pytest.mark.parametrize("name", ["nowhere", "a::nothing", "a::../x"])
def test_a_wrong_name_says_what_there_is(sessions, name, monkeypatch, tmp_path):
    """A folder without a session or record, and an unknown key, are refused; the message names the known keys."""
    sessions("before", "a")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SessionError, match="expected a") as caught:
        read_side(name)
    if "::" in name:
        assert "subject-per_tile" in str(caught.value)


def test_a_session_and_a_run_are_not_compared(sessions):
    """One session and one run can't be compared."""
    folder = sessions("before", "a")
    with pytest.raises(SessionError, match="SESSION::KEY"):
        between(folder, f"{folder}::subject-per_tile")
