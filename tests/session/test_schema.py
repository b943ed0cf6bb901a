"""Test the schema of ``session.json``: valid and invalid sessions, and that the schema agrees with the classes."""

import json
from dataclasses import fields, replace
from typing import get_args

import pytest
from jsonschema import Draft202012Validator

from harness.language.message import Message, say
from harness.record.convert import ShapeError
from harness.session import model as module
from harness.session.model import (
    FORMAT,
    JudgedRun,
    RealSet,
    Requirement,
    RunEntry,
    Session,
    SessionError,
    TestEntry,
    read_session,
    write_session,
)
from harness.session.rows import with_rows
from harness.session.schema import SCHEMA, schema
from harness.verdict import Axis, Outcome, Standing, Verdict
from tests.sample_session import sample_session

PLAN = json.loads(SCHEMA.read_text(encoding="utf-8"))
DEFINED = PLAN["$defs"]
VALIDATOR = Draft202012Validator(PLAN)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return the data of a session as it was written."""
    folder = tmp_path_factory.mktemp("session")
    sample_session(folder, "zemosaic", hostile=True)
    return json.loads((folder / "session.json").read_text(encoding="utf-8"))


def test_the_published_schema_is_that_of_the_classes():
    """After a change of the classes, `python -m harness.session.schema` writes the file again."""
    assert schema() == PLAN


def test_no_docstring_is_in_the_schema():
    """Rewording a docstring must not change a published format: a description belongs to a field."""
    assert "description" not in PLAN
    assert [name for name, part in DEFINED.items() if "description" in part] == []
    assert PLAN["properties"]["target"]["description"] == "The label of the target under validation."


def test_the_schema_is_valid_and_has_its_version():
    """The schema is valid in its dialect, and its id and its file name have the number of the format."""
    Draft202012Validator.check_schema(PLAN)
    assert PLAN["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert PLAN["properties"]["format"] == {"const": FORMAT}
    number = FORMAT.rpartition("/")[2]
    assert PLAN["$id"].endswith(f":session:{number}")
    assert SCHEMA.name == f"session-{number}.schema.json"


@pytest.mark.parametrize("kind", ["reference", "zemosaic"])
@pytest.mark.parametrize("hostile", [False, True])
def test_sessions_fit(tmp_path, kind, hostile):
    """A written session is valid and reads back unchanged, also with hostile names and texts."""
    session = sample_session(tmp_path, kind, hostile=hostile)
    VALIDATOR.validate(json.loads((tmp_path / "session.json").read_text(encoding="utf-8")))
    assert read_session(tmp_path).to_json() == session.to_json()


def test_every_part_fits(tmp_path):
    """A session with a value in every field, also with baseline, equal and timed runs, is valid and reads back unchanged."""
    verdict = Verdict(
        "truth", Outcome.FAIL, say("{n}", n=1.5), {"any": [{"thing": None}]}, (say("x"),), "quality", "new"
    )
    judged = JudgedRun(
        "k",
        "p",
        "b",
        case="c",
        role="subject",
        verdicts=(verdict,),
        expected_red=("holes",),
        allowed_red=("depth",),
        equals=("e",),
        timed=(("k", "p"),),
        sizes=("s",),
    )
    test = TestEntry("t.py::t[c]", "Title", Outcome.NOT_EVALUATED, "", "c", "truth", "k", "subject", "start")
    run = RunEntry("k", "c", "subject", "per_tile", "t", "d", "user", "runs/k", "done", 1.5, "sds", 3)
    session = Session("2026-01-01T00:00:00+00:00", "t", "command", {"a": [1]}, "pytest", {"harness": "1"})
    requirement = Requirement("A.1", "A", "texte", ("t.py::t",), Outcome.NOT_EVALUATED)
    session = replace(
        session,
        runs=(run,),
        judged=(judged,),
        tests=(test,),
        requirements=(requirement,),
        real_sets=(RealSet("m", judged=True, command="c"),),
        options={"profile": "fast"},
        patch=(replace(verdict, check="0.1"),),
        interrupted=say("Stopped."),
    )
    session = with_rows(session)
    assert session.requirements[0].reason is not None
    assert session.requirements[0].missing
    VALIDATOR.validate(json.loads(write_session(session, tmp_path).read_text(encoding="utf-8")))
    assert read_session(tmp_path) == session


def test_a_session_of_before_is_read(tmp_path, written):
    """Fields that were added to the format later may be missing; they then have their defaults."""
    older = {name: part for name, part in written.items() if name not in {"options", "patch"}}
    older["judged"] = [{name: part for name, part in j.items() if name != "questions"} for j in written["judged"]]
    later = {"part", "scenario", "occasion"}
    older["tests"] = [{name: part for name, part in t.items() if name not in later} for t in written["tests"]]
    (tmp_path / "session.json").write_text(json.dumps(older), encoding="utf-8")
    session = read_session(tmp_path)
    assert (dict(session.options), session.patch) == ({}, ())
    assert {(test.scenario, test.occasion) for test in session.tests} == {("", "")}  # their case is in no catalogue
    assert [j.questions for j in session.judged] == [()] * len(written["judged"])
    assert [t.part for t in session.tests] == [None] * len(written["tests"])


def test_numbers_that_are_not_finite_are_named(tmp_path):
    """Infinity and NaN are written as words: JSON has no such numbers, and readers other than Python's refuse them."""
    verdict = Verdict("cost", Outcome.UNKNOWN, say("{n}", n=float("inf")), {"ratio": [float("nan")]})
    session = Session("2026-01-01T00:00:00+00:00", "t", "reference", {}, "pytest", {})
    write_session(replace(session, judged=(JudgedRun("k", case="c", role="subject", verdicts=(verdict,)),)), tmp_path)
    text = (tmp_path / "session.json").read_text(encoding="utf-8")
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    (read,) = read_session(tmp_path).judged
    assert read.verdicts[0].evidence == {"ratio": ["nan"]}
    assert read.verdicts[0].sentence.render() == "inf"


def change(data, path, value):
    """Return a copy of the data with the part at a path replaced; ``...`` removes it."""
    copy = json.loads(json.dumps(data))
    part = copy
    for step in path[:-1]:
        part = part[step]
    if value is ...:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value", "place", "problem"),
    [
        (("runs",), ..., "$", "the field 'runs' is missing"),
        (("runs",), {}, "$.runs", "expected a list, found {}"),
        (("runs", 0, "workers"), ..., "$.runs[0]", "the field 'workers' is missing"),
        (("runs", 0, "workers"), "two", "$.runs[0].workers", "expected an integer, found 'two'"),
        (("runs", 1, "key"), "../x", "$.runs[1].key", "expected text matching"),
        (("runs", 1, "seconds"), -1, "$.runs[1].seconds", "expected a number >= 0.0, found -1"),
        (("runs", 0, "colour"), "red", "$.runs[0]", "the field 'colour' is unknown"),
        (("extra",), 1, "$", "the field 'extra' is unknown"),
        (("outcome",), "not evaluated", "$", "expected a conclusion, found 'not evaluated'"),
        (("judged", 0, "outcome"), "not evaluated", "$.judged[0]", "expected a conclusion, found 'not evaluated'"),
        (("judged", 0, "pair"), ..., "$.judged[0]", "the field 'pair' is missing"),
        (("judged", 0, "pair"), "a/b", "$.judged[0].pair", "expected text matching"),
        (("judged", 0, "expected_red"), ..., "$.judged[0]", "the field 'expected_red' is missing"),
        (("outcome",), "well", "$.outcome", "expected one of 'fail'"),
        (("judged", 0, "verdicts", 0, "outcome"), "good", "$.judged[0].verdicts[0].outcome", "expected one of 'fail'"),
        (
            ("judged", 0, "verdicts", 0, "standing"),
            "old",
            "$.judged[0].verdicts[0].standing",
            "expected one of '', 'new'",
        ),
        (
            ("judged", 0, "verdicts", 0, "sentence"),
            "text",
            "$.judged[0].verdicts[0].sentence",
            "expected an object, found 'text'",
        ),
        (
            ("judged", 0, "verdicts", 0, "evidence"),
            [1],
            "$.judged[0].verdicts[0].evidence",
            "expected an object, found [1]",
        ),
        (("judged", 0, "pair"), 5, "$.judged[0].pair", "expected text or null, found 5"),
        (("judged", 0, "timed"), [["a"]], "$.judged[0].timed[0]", "expected a list of length 2, found ['a']"),
        (("judged", 0, "timed"), [["a", "b", "c"]], "$.judged[0].timed[0]", "expected a list of length 2"),
        (("tests", 0, "outcome"), None, "$.tests[0].outcome", "found None"),
        (("tests", 0, "message"), 3, "$.tests[0].message", "expected text, found 3"),
        (("environment", "python"), 3.11, "$.environment.python", "expected text, found 3.11"),
        (("requirements", 0, "tests"), "one", "$.requirements[0].tests", "expected a list, found 'one'"),
        (("real_sets", 0, "judged"), "yes", "$.real_sets[0].judged", "expected true or false, found 'yes'"),
        (("identity",), "commit", "$.identity", "expected an object, found 'commit'"),
        (("created",), "yesterday", "$.created", "expected text matching"),
        (("options",), {"workers": 2}, "$.options.workers", "expected text, found 2"),
        (("patch",), [{}], "$.patch[0]", "the field 'check' is missing"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(tmp_path, written, *, path, value, place, problem):
    """A session with one wrong part is refused: the error gives the path of the part, the problem, and what to do."""
    (tmp_path / "session.json").write_text(json.dumps(change(written, path, value)), encoding="utf-8")
    with pytest.raises(SessionError, match="run the validation again") as caught:
        read_session(tmp_path)
    assert not VALIDATOR.is_valid(change(written, path, value))
    (message,) = caught.value.messages
    assert message.values["place"] == place
    assert problem in message.values["problem"]


def test_a_large_part_is_not_quoted_whole(written):
    """An error quotes only the beginning of a large part."""
    with pytest.raises(ShapeError) as caught:
        Session.from_json(change(written, ("runs",), "x" * 10**6))
    assert len(caught.value.problem) < 250
    assert caught.value.problem.startswith("expected a list, found 'xxx")


@pytest.mark.parametrize("found", ["phase3-session/1", "phase3-session/9", None, 2])
def test_another_format_is_told_from_damage(tmp_path, written, found):
    """A session in another format gives an error that names both formats, not one about damage."""
    (tmp_path / "session.json").write_text(json.dumps({**written, "format": found}), encoding="utf-8")
    with pytest.raises(SessionError, match=rf"expected a session of format '{FORMAT}' in .*, found {found!r}"):
        read_session(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '"\\ud800'])
def test_what_is_no_json_is_refused(tmp_path, text):
    """Text that is not JSON, or is nested too deeply, gives an error with what to do, not a crash."""
    (tmp_path / "session.json").write_text(text, encoding="utf-8")
    with pytest.raises(SessionError, match="run it again"):
        read_session(tmp_path)


@pytest.mark.parametrize(
    ("owner", "schema", "besides"),
    [
        (Session, PLAN, {"format"}),
        (RunEntry, DEFINED["RunEntry"], set()),
        (JudgedRun, DEFINED["JudgedRun"], set()),
        (Verdict, DEFINED["Verdict"], set()),
        (Message, DEFINED["Message"], set()),
        (TestEntry, DEFINED["TestEntry"], set()),
        (Requirement, DEFINED["Requirement"], set()),
        (RealSet, DEFINED["RealSet"], set()),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_the_schema_has_the_fields_of_the_classes(owner, schema, besides):
    """A class and its schema have the same fields. All are required, except those that were added to the format later."""
    names = {f.name for f in fields(owner)} | besides
    later = {
        Session: {"options", "patch", "interrupted", "doubts"},
        RunEntry: {"seal"},
        JudgedRun: {"questions", "red_with_run_end"},
        TestEntry: {"part", "scenario", "occasion"},
        Requirement: {"reason", "cases", "missing"},
        Message: {"many"},
    }.get(owner, set())
    assert set(schema["properties"]) == names
    assert set(schema["required"]) == names - later
    assert schema["additionalProperties"] is False


def test_every_class_of_a_session_is_compared_with_the_schema():
    """A new class of the model must be added to this list and to the test above, which would otherwise not compare it."""
    parts = {name for name, value in vars(module).items() if hasattr(value, "__dataclass_fields__")}
    assert parts == {
        "Comparison",
        "JudgedRun",
        "Message",
        "RealSet",
        "Requirement",
        "RunEntry",
        "Session",
        "Share",
        "TestEntry",
        "Verdict",
    }


def test_the_schema_has_the_words_of_the_classes():
    """The schema and the classes have the same words for outcomes, axes and standings."""
    assert set(DEFINED["Outcome"]["enum"]) == {o.value for o in Outcome}
    concluded = {o.value for o in Outcome if o is not Outcome.NOT_EVALUATED}
    for part in (PLAN, DEFINED["JudgedRun"], DEFINED["Verdict"]):
        assert set(part["properties"]["outcome"]["enum"]) == concluded
    assert set(DEFINED["Verdict"]["properties"]["axis"]["enum"]) == set(get_args(Axis))
    assert set(DEFINED["Verdict"]["properties"]["standing"]["enum"]) == set(get_args(Standing))
