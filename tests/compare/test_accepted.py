"""Test acceptances: what they cover, when they no longer hold, and files that are refused."""

import json

import pytest
from jsonschema import Draft202012Validator

from harness.compare.accepted import FILE, MAX_BYTES, accept, acceptable, read_accepted
from harness.compare.build import compare
from harness.compare.schema import ACCEPTED
from harness.compare.sides import read_side
from harness.session.integrity import Integrity, check
from harness.session.model import SessionError, read_session
from harness.verdict import Outcome
from tests.compare_sessions import one_star_brighter, write_mosaic

BY, WHY = "Zoé Martin", "The new stacking changes one star."


def between(before, after):
    """Compare two sessions."""
    return compare(read_side(str(before)), read_side(str(after)))


def accepted(before, after):
    """Accept each difference of two sessions, and return the comparison before."""
    changes = between(before, after)
    accept(after, changes, acceptable(changes), BY, WHY)
    return changes


def subject(folder):
    """Return the record of the run under test."""
    return folder / next(run.record for run in read_session(folder).runs if run.role == "subject")


@pytest.fixture
def pair(sessions):
    """Two sessions whose runs under test differ in one star, with an acceptance."""
    before, after = sessions("before", "a"), sessions("star", "b")
    accepted(before, after)
    return before, after


def test_an_accepted_difference_says_by_whom_and_why(pair):
    """The difference stays listed, with name, time and reason, and no longer counts."""
    changes = between(*pair)
    (output,) = [output for output in changes.outputs if output.differs]
    assert (output.accepted.by, output.accepted.reason, output.void) == (BY, WHY, None)
    assert output.grade == "different"
    assert changes.outcome is Outcome.PASS


def test_the_file_has_the_digests_of_both_sides(pair):
    """The file fits its schema and has each image's digests and its difference."""
    data = json.loads((pair[1] / FILE).read_text(encoding="utf-8"))
    Draft202012Validator(json.loads(ACCEPTED.read_text(encoding="utf-8"))).validate(data)
    (run,) = data["acceptances"][0]["runs"]
    (changed,) = [image for image in run["images"] if image["before"] != image["after"]]
    assert (changed["image"], changed["values"], len(changed["before"])) == ("mosaic PRIMARY", 1, 64)
    assert not list(pair[1].glob("*.part"))


def test_verdicts_do_not_change(sessions):
    """An acceptance writes its own file only; session.json and the records are the same bytes as before."""
    before, after = sessions("before", "a"), sessions("star", "b")
    content = {path: path.read_bytes() for path in after.rglob("*") if path.is_file()}
    accepted(before, after)
    now = {path: path.read_bytes() for path in after.rglob("*") if path.is_file()}
    assert {path.name for path in now.keys() - content.keys()} == {FILE}
    manifest = after / "integrity.json"
    assert {path: now[path] for path in content if path != manifest} == {
        path: content[path] for path in content if path != manifest
    }
    assert check(after) == Integrity(sealed=True)


def test_a_later_change_of_the_outputs_is_not_accepted(pair):
    """If the outputs of B change after the acceptance, the difference counts again, and the changed image is named."""

    def another(pixels, _coverage):
        one_star_brighter(pixels, _coverage)
        pixels[0, 3, 3] += 1

    write_mosaic(subject(pair[1]), another)
    changes = between(*pair)
    (output,) = [output for output in changes.outputs if output.differs]
    assert output.accepted is None
    assert BY in output.void.render()
    assert "mosaic PRIMARY changed since" in output.void.render()
    assert changes.outcome is Outcome.FAIL


def test_another_baseline_is_not_accepted(pair):
    """The acceptance is against the outputs of A: with another A the difference is another."""

    def other(pixels, _coverage):
        pixels[0, 9, 9] += 7

    write_mosaic(subject(pair[0]), other)
    changes = between(*pair)
    (output,) = [output for output in changes.outputs if output.differs]
    assert output.accepted is None
    assert "another baseline" in output.void.render()
    assert changes.outcome is Outcome.FAIL


def test_another_difference_of_equal_data_is_not_accepted(pair):
    """Data that were accepted on another grid, or with another difference, are not accepted."""
    path = pair[1] / FILE
    text = path.read_text(encoding="utf-8")
    data = json.loads(text)
    data["acceptances"][0]["runs"][0]["what"] = []
    path.write_text(json.dumps(data), encoding="utf-8")
    (output,) = [output for output in between(*pair).outputs if output.differs]
    assert output.accepted is None
    assert "other differences" in output.void.render()
    path.write_text(text, encoding="utf-8")
    (output,) = [output for output in between(*pair).outputs if output.differs]
    assert output.accepted is not None


def test_a_changed_file_of_an_accepted_run_is_unknown(pair):
    """An output file that was changed after the seal is no evidence: it is neither equal nor accepted."""
    mosaic = next((subject(pair[1]) / "outputs").glob("*R12.fits"))
    mosaic.write_bytes(mosaic.read_bytes()[:-1] + b"x")
    assert between(*pair).outcome is Outcome.UNKNOWN


def test_a_second_acceptance_keeps_the_first(pair):
    """Each acceptance is appended; the newest that holds is shown."""
    write_mosaic(subject(pair[1]), lambda pixels, coverage: (pixels + 3, coverage))
    accepted(*pair)
    assert len(read_accepted(pair[1]).acceptances) == 2
    assert between(*pair).outcome is Outcome.PASS


def test_equal_outputs_have_nothing_to_accept(sessions):
    """Equal sessions have nothing to accept."""
    before, after = sessions("before", "a"), sessions("before", "b")
    assert acceptable(between(before, after)) == ()


@pytest.mark.parametrize(("by", "why"), [("", "x"), (" ", "x"), ("x", ""), ("x" * 201, "y"), ("x", "y" * 4001)])
def test_a_name_and_a_reason_are_needed(sessions, by, why):
    """An acceptance without a name or a reason, or with one that is too long, is refused, and nothing is written."""
    before, after = sessions("before", "a"), sessions("star", "b")
    changes = between(before, after)
    with pytest.raises(SessionError, match="give --by and --reason"):
        accept(after, changes, acceptable(changes), by, why)
    assert not (after / FILE).exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text[:-20], "expected acceptances"),
        (lambda _: "[" * 100_000, "expected acceptances"),
        (lambda text: text.replace("phase3-accepted/1", "phase3-accepted/9"), "phase3-accepted/9"),
        (lambda text: text.replace('"reason"', '"motive"'), "reason"),
        (lambda text: text.replace('"case"', '"extra": 1, "case"', 1), "extra"),
        (lambda text: text.replace('"by": "Zoé Martin"', '"by": 7'), "by"),
        (lambda text: text.replace('"before": "', '"before": "zz', 3), "before"),
        (lambda text: text + " " * MAX_BYTES, "bytes"),
        (lambda _: "[]", "format"),
    ],
    ids=["cut", "nested", "format", "field", "unknown", "type", "digest", "size", "list"],
)
def test_a_tampered_file_is_refused(pair, change, problem):
    """A file that is not as it was written is refused with the place of the problem; no difference is accepted by it."""
    path = pair[1] / FILE
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(SessionError, match="accept the differences again") as caught:
        between(*pair)
    assert problem in str(caught.value)


def test_a_link_in_place_of_the_file_is_refused(pair, tmp_path):
    """A link may lead out of the session: it is neither read nor written through."""
    path = pair[1] / FILE
    path.rename(tmp_path / "elsewhere.json")
    try:
        path.symlink_to(tmp_path / "elsewhere.json")
    except OSError:
        pytest.skip("this system makes no links")
    with pytest.raises(SessionError, match="a link"):
        between(*pair)


def test_a_link_in_place_of_the_part_is_not_followed(sessions, tmp_path):
    """The file is written under another name first; a link of that name is replaced, and its target stays as it is."""
    before, after = sessions("before", "a"), sessions("star", "b")
    victim = tmp_path / "victim"
    victim.write_text("mine", encoding="utf-8")
    try:
        (after / f"{FILE}.part").symlink_to(victim)
    except OSError:
        pytest.skip("this system makes no links")
    accepted(before, after)
    assert victim.read_text(encoding="utf-8") == "mine"
    assert not (after / FILE).is_symlink()
