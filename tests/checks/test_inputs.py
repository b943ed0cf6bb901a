"""Test the check that a run leaves its input files as they are."""

import pytest

from harness.checks.judge import judge
from harness.record.comparison import Comparison
from harness.record.inputs import InputFile
from harness.verdict import Outcome
from tests import micro

BEFORE, AFTER = "b" * 64, "a" * 64


def verdict(*files, mode="classic"):
    """Return the verdict of this check on a run with these input files."""
    return judge(Comparison(micro.of_mode(mode).record(inputs=files or None)), ["inputs"])[0]


def frame(state, name="Light p0_000.fits", **facts):
    """Return an input file with a WCS."""
    return InputFile(name, state, **{"before": BEFORE, "after": AFTER, "solved": True} | facts)


SAME = frame("same", "Light p0_001.fits", after=BEFORE)


@pytest.mark.parametrize("mode", ["classic", "sds", "grid"])
def test_unchanged_frames_pass_in_every_mode(mode):
    """Frames that are there with the same bytes pass."""
    found = verdict(SAME, mode=mode)
    assert found.outcome is Outcome.PASS
    assert found.evidence["lost_or_changed"] == 0
    assert found.axis == "patch"


@pytest.mark.parametrize("mode", ["classic", "sds", "grid"])
@pytest.mark.parametrize(
    ("file", "key", "said"),
    [
        (
            frame("changed"),
            "changed",
            "were changed: 1, such as Light p0_000.fits. The content of Light p0_000.fits changed",
        ),
        (frame("gone", after=None), "gone", "were deleted: 1, such as Light p0_000.fits"),
        (frame("moved", after=None, to="work/tmp/x.fits"), "moved", "Light p0_000.fits was moved to work/tmp/x.fits"),
    ],
)
def test_a_frame_that_the_target_changes_deletes_or_moves_fails(file, key, said, mode):
    """A frame whose bytes differ, that is gone, or that lies elsewhere fails in every mode, also if the run crashed."""
    found = verdict(SAME, file, mode=mode)
    assert found.outcome is Outcome.FAIL
    assert len(found.evidence[key]) == 1
    assert said in micro.prose(found)
    crashed = micro.of_mode(mode).record(inputs=(file,), state="crashed")
    assert judge(Comparison(crashed), ["inputs"])[0].outcome is Outcome.FAIL


def test_the_worst_is_said_first():
    """A deletion is named before a change, and a change before a move; each has its cause."""
    found = verdict(frame("moved", "m", to="x"), frame("changed", "c"), frame("gone", "g"))
    assert "deleted: 1, such as g" in found.sentence.render()
    assert [link.render().split()[0] for link in found.cause] == ["g", "The", "m"]
    assert found.evidence["lost_or_changed"] == 3


def test_a_frame_changed_through_a_link_names_the_file_behind_it():
    """A user's frame may be a link to a shared file: the file behind the link is named."""
    assert "is a link to /shared/x.fits, which was changed" in micro.prose(
        verdict(frame("changed", link="/shared/x.fits"))
    )


@pytest.mark.parametrize("state", ["moved", "changed", "touched"])
def test_an_unsolved_frame_that_the_target_solves_or_moves_passes_by_name(state):
    """ZeMosaic says that it solves frames in place, and moves those that it can't solve. With a WCS before the run, it fails."""
    equal = {"data_before": "d" * 64, "data_after": "d" * 64}
    found = verdict(SAME, frame(state, solved=False, to="unaligned_by_zemosaic/x.fits", **equal))
    assert found.outcome is Outcome.PASS
    assert "solved or moved" in found.sentence.render()
    assert found.evidence["documented"][0]["path"] == "Light p0_000.fits"
    assert verdict(SAME, frame(state, solved=None, **equal)).outcome is not Outcome.PASS
    assert verdict(SAME, frame(state, **equal)).outcome is not Outcome.PASS


@pytest.mark.parametrize("after", [None, "e" * 64])
@pytest.mark.parametrize("state", ["moved", "changed", "touched"])
def test_an_unsolved_frame_whose_data_the_target_changes_fails(state, after):
    """A solution is written into the header. Other data, or a file that can't be read any more, are no solution."""
    found = verdict(SAME, frame(state, solved=False, to="x.fits", after=None, data_before="d" * 64, data_after=after))
    assert found.outcome is Outcome.FAIL
    assert "The data of Light p0_000.fits changed, not only the header" in micro.prose(found)
    assert found.evidence["documented"] == []


def test_six_unsolved_frames_that_are_unreadable_after_the_run_fail():
    """No frame that can't be read after the run is excused, also where its data were not hashed before."""
    files = [frame("changed", f"{n}.fits", solved=False, after=None) for n in range(6)]
    found = verdict(*files)
    assert (found.outcome, found.evidence["lost_or_changed"]) == (Outcome.FAIL, 6)


@pytest.mark.parametrize("state", ["moved", "changed", "touched"])
def test_an_unsolved_frame_whose_data_were_not_hashed_is_unknown(state):
    """The record of an earlier version does not say whether only the header changed."""
    found = verdict(SAME, frame(state, solved=False, before=None, after=None, to="unaligned_by_zemosaic/x.fits"))
    assert found.outcome is Outcome.UNKNOWN


def test_an_unsolved_frame_that_is_deleted_fails():
    """Nothing allows the deletion of a frame."""
    assert verdict(frame("gone", solved=False)).outcome is Outcome.FAIL


def test_files_that_the_target_adds_are_named():
    """A file that the target writes to the input folder does not fail, and is named."""
    found = verdict(SAME, InputFile("zemosaic.log", "added", None, AFTER))
    assert found.outcome is Outcome.PASS
    assert "added to the input folder: 1, such as zemosaic.log" in found.sentence.render()


@pytest.mark.parametrize("state", ["touched", "a word of a later version"])
def test_what_may_have_changed_is_unknown(state):
    """Where only the metadata of a file show that it was written, its content is not known."""
    assert verdict(SAME, frame(state, before=None, after=None)).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("files", [(), (InputFile("x", "added"),)])
def test_a_record_without_the_comparison_is_unknown(files):
    """The record of an earlier version does not say what became of the inputs."""
    found = verdict(*files)
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "input files compared")
