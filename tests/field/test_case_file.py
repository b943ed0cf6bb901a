"""Case files: their content, what they refuse, and runs made from them."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from fixtures import datasets, plans, real
from fixtures.frames import PLAIN_PREFIX
from harness.commands.main import main
from harness.field import case_file as cases
from harness.record.reader import read_record
from harness.record.request import TargetFacts
from harness.run.runner import make_run
from harness.session.progress import ProgressMonitor
from harness.targets.resolve import resolve
from harness.verdict import Outcome
from tests.micro import Micro, counted, frame
from tests.requests_ import a_request
from tests.runs_ import frames_in

GOLDEN = Path(__file__).parents[1] / "golden" / "b59a65f"
KEPT = Path(__file__).parents[2] / "docs" / "cases"


@pytest.fixture
def golden():
    """Return the case of a real run."""
    return cases.make(read_record(GOLDEN / "chain" / "per_tile"))


def changed(case, **parts):
    """Return a case's JSON with parts of it replaced."""
    return {**json.loads(json.dumps(case.to_json())), **parts}


def test_a_case_comes_back_as_it_was_written(golden, tmp_path):
    """Reading returns what was written: frames, plan, config, schedule, target, settings."""
    golden.write(tmp_path / "é.json")
    again = cases.read(tmp_path / "é.json")
    assert again == replace(golden, request=again.request)
    assert again.request.to_json() == golden.request.to_json()
    assert again.followed is True
    assert again.plan == golden.request.plan


def test_a_case_replaces_no_file(golden, tmp_path):
    """An existing file stays; the command says so."""
    (tmp_path / "x").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError):
        golden.write(tmp_path / "x")
    assert main(["case", "make", str(GOLDEN / "chain" / "per_tile"), "-o", str(tmp_path / "x")]) == 2
    assert (tmp_path / "x").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(("system", "refused"), [("posix", False), ("nt", True)])
def test_a_colon_in_a_frame_name_is_refused_where_it_leads_elsewhere(golden, monkeypatch, system, refused):
    """Cameras write times into names. On Windows such a name leads out of the folder; elsewhere it is a name as any other."""
    frames = golden.request.dataset.frames
    named = (replace(frames[0], name="light_12:30:15.fits"), *frames[1:])
    facts = replace(golden.request.dataset, frames=named)
    facts = replace(facts, sha256=cases.dataset_digest(facts))
    case = replace(golden, request=replace(golden.request, dataset=facts, plan=None), plan=None)
    monkeypatch.setattr("harness.field.case_file.os.name", system)
    problems = list(cases._problems_of_frames(case))
    assert (problems == ["the frame name light_12:30:15.fits"]) is refused
    assert refused or not problems


def test_groups_are_those_submitted_without_retries():
    """The target forms retry groups itself, so a case holds the first submissions only, in order."""
    micro = Micro(None).begin().submit(1, ("p1_0.fits", "p1_1.fits")).submit(0, ("p0_0.fits",))
    micro.submit(2, ("p1_1.fits",), retry_of=1)
    assert cases.submitted(micro.record()) == (("p1_0.fits", "p1_1.fits"), ("p0_0.fits",))


@pytest.mark.parametrize("missing", ["tiles", "futures"])
def test_groups_that_were_not_traced_are_not_known(missing):
    """Without the sources that trace submissions the groups are unknown."""
    micro = counted()
    micro.capabilities -= {missing}
    assert cases.submitted(micro.record()) is None


def test_a_plan_that_was_not_followed_is_told(golden):
    """The same groups in another order follow the plan; other groups do not."""
    assert replace(golden, plan=golden.plan[::-1]).followed is True
    assert replace(golden, plan=golden.plan[1:]).followed is False
    assert replace(golden, plan=None).followed is None


def test_a_case_asks_for_the_plan_again_or_for_the_groups_as_submitted(golden):
    """Without a requested plan the submitted groups are the plan; the pair differs in retention only."""
    target = TargetFacts("reference", "r", "", "python")
    free = replace(golden, request=replace(golden.request, plan=None, schedule=()))
    assert golden.asks(target, "per_tile").plan == golden.request.plan
    assert free.asks(target, "per_tile").plan == golden.plan
    twin = golden.asks(target, "run_end", 7.0)
    assert (twin.retention, twin.role, twin.seconds) == ("run_end", "pair", 7.0)
    assert replace(golden.asks(target, "per_tile", 7.0), retention="run_end", role="pair") == twin


def test_nothing_of_the_machine_is_in_a_case(tmp_path):
    """Places, programs and secrets are left out and named; a program in an identity is reduced to its name."""
    config = {
        "stack_kappa_low": 3.0,
        "astap_executable_path": "C:\\astap\\astap.exe",
        "note": "/home/someone/frames",
        "coadd_memmap_dir": "",
        "api_key": "x",
        "nested": ["a", "~/b"],
    }
    target = TargetFacts(
        "command", "command x", "/opt/x", "/usr/bin/python", {"command": ["/opt/x", "-v"]}, ("/opt/x",)
    )
    facts = counted().request.dataset
    micro = Micro(config=config, target=target, dataset=replace(facts, sha256=cases.dataset_digest(facts)))
    record = replace(micro.record(), folder=tmp_path)
    (tmp_path / "seal.json").write_text("{}", encoding="utf-8")
    case = cases.make(record)
    assert case.left_out == ("api_key", "astap_executable_path", "nested", "note")
    assert dict(case.request.config) == {"stack_kappa_low": 3.0}
    text = json.dumps(case.to_json())
    assert not [word for word in ("/opt", "someone", "astap.exe", "/usr", "~/b") if word in text]
    assert case.request.target.identity["command"] == ["x", "-v"]


@pytest.mark.parametrize("record", [{"state": None}, {"damage": ("x: changed",)}])
def test_only_a_whole_record_makes_a_case(record):
    """An unsealed or changed record is not reliable."""
    with pytest.raises(cases.CaseError, match="sealed, unchanged"):
        cases.make(counted().record(**record))


@pytest.mark.parametrize("names", [(), ("a:b.fits",)])
def test_a_record_that_no_other_machine_could_run_makes_no_case(tmp_path, names):
    """Forbidden content is reported when the case is made, not when it is read."""
    facts = replace(counted().request.dataset, frames=tuple(replace(frame(0), name=name) for name in names))
    record = counted(dataset=facts).record()
    (tmp_path / "seal.json").write_text("{}", encoding="utf-8")
    with pytest.raises(cases.CaseError, match="can be run again"):
        cases.make(replace(record, folder=tmp_path))


def hostile(case):
    """Yield changes of a case's JSON that a stranger might make, by name."""
    frames = case["dataset"]["frames"]
    first = frames[0]
    dataset = case["dataset"]
    yield "another format", {"format": "phase3-case/2"}
    yield "no format", {"format": None}
    for name in ("../x.fits", "/etc/passwd", "C:x.fits", "a\\b", "a\x1b[2J.fits"):
        yield f"frame {name!r}", {"dataset": {**dataset, "frames": [{**first, "name": name}, *frames[1:]]}}
    yield "no hash", {"dataset": {**dataset, "frames": [{**first, "sha256": "x"}, *frames[1:]]}}
    yield "two of one name", {"dataset": {**dataset, "frames": [first, *frames]}}
    yield "no frames", {"dataset": {**dataset, "frames": []}}
    yield "another dataset hash", {"dataset": {**dataset, "sha256": "0" * 64}}
    yield "another kind", {"dataset": {**dataset, "kind": "x"}}
    yield "a foreign frame in the plan", {"plan": {**case["plan"], "asked": [["x.fits"]]}}
    yield "a foreign frame in the groups", {"plan": {**case["plan"], "submitted": [["x.fits"]]}}
    yield "a program", {"config": {"astap_executable_path": "x.exe"}}
    yield "a place", {"config": {"a": [{"b": "..\\..\\c"}]}}
    yield "a home", {"settings": {"a": "~root"}}
    yield "a fault elsewhere", {"faults": [{"what": "unlink", "path": "/etc"}]}
    yield "workers", {"workers": 10**6}
    yield "seconds", {"seconds": float("inf")}
    yield "a year", {"seconds": 3e7}
    yield "a hold without an end", {"schedule": [{"group": 0, "until_released": 1, "seconds": float("nan")}]}
    yield "a seed that is none", {"seed": -1}
    yield "another machine", {"config": {"service": "http://example.org/api"}}
    yield "defects that are no names", {"target": {**case["target"], "kind": "reference", "identity": {"defects": 5}}}
    yield "no retention", {"retention": "never"}
    yield "a schedule beyond the plan", {"schedule": [{"group": 99, "until_released": 0, "seconds": 1.0}]}
    yield "a target's kind", {"target": {**case["target"], "kind": "shell"}}
    yield "a label that commands a terminal", {"target": {**case["target"], "label": "\x1b[2J"}}
    yield "a list for a mapping", {"config": [1]}
    yield "text for a plan", {"plan": "x"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(change, id=name)
        for name, change in hostile(cases.make(read_record(GOLDEN / "chain" / "per_tile")).to_json())
    ],
)
def test_a_strangers_case_is_refused(golden, tmp_path, capsys, change):
    """A case that would read or write elsewhere, or breaks the format, is a usage error without a traceback."""
    path = tmp_path / "case.json"
    path.write_text(json.dumps(changed(golden, **change)), encoding="utf-8")
    assert main(["case", "run", str(path), "--frames", str(tmp_path), "--target", "reference"]) == 2
    err = capsys.readouterr().err
    assert "xpected a case" in err
    assert "Traceback" not in err
    assert "\x1b" not in err
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b'{"format": "phase3-case/1"}', b"[]"])
def test_what_is_no_case_is_refused(tmp_path, content):
    """Any other bytes give the error of an unreadable case."""
    (tmp_path / "case.json").write_bytes(content)
    with pytest.raises(cases.CaseError, match="phase3 case make"):
        cases.read(tmp_path / "case.json")


@pytest.fixture
def small(tmp_path):
    """Return the case of three tiny frames, its file, and their folder."""
    facts = frames_in(tmp_path / "vues à moi", 3)
    facts = replace(facts, kind="user", sha256=cases.dataset_digest(facts))
    request = a_request(dataset=facts, plan=None, schedule=(), faults=(), config={})
    case = cases.CaseFile(replace(request, target=replace(request.target, python="")), None)
    case.write(tmp_path / "case.json")
    return case, tmp_path / "case.json", tmp_path / "vues à moi"


def test_verify_names_every_frame_that_is_not_as_in_the_case(small, capsys):
    """Missing and changed frames give status 1; further frames are named and allowed."""
    _, path, frames = small
    (frames / "more.fits").write_bytes(b"x")
    assert main(["case", "verify", str(path), "--frames", str(frames)]) == 0
    assert "more.fits" in capsys.readouterr().out
    (frames / "é 0.fits").unlink()
    (frames / "é 1.fits").write_bytes(b"other")
    assert main(["case", "verify", str(path), "--frames", str(frames)]) == 1
    out = capsys.readouterr().out
    assert "Missing: é 0.fits" in out
    assert "Changed: é 1.fits" in out


def test_the_frames_of_a_case_may_be_in_subfolders(small, capsys, tmp_path, monkeypatch):
    """A user's folder may have a subfolder for each night: the frames are found there, as the target finds them."""
    monkeypatch.setenv("PHASE3_DIR", str(tmp_path / "phase3"))
    monkeypatch.setitem(
        ProgressMonitor.__init__.__kwdefaults__, "interval", 0.05
    )  # the run may take less than two seconds
    case, file, folder = small
    nights = tmp_path / "nights"
    for number, path in enumerate(sorted(folder.glob("*.fits"))):
        night = nights / f"night {number % 2}"
        night.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, night)
    assert main(["case", "verify", str(file), "--frames", str(nights)]) == 0
    main(["case", "run", str(file), "--frames", str(nights), "-o", str(tmp_path / "again é")])
    made = read_record(tmp_path / "again é" / case.request.retention)
    assert made.history.named("RAW_FILE_COUNT_UPDATE")[-1].text == "3/3"
    assert "version under test: " in capsys.readouterr().err  # a line of progress


def test_frames_that_nobody_names_are_a_usage_error(small, capsys, tmp_path):
    """A user's frames need an option; a missing folder is reported."""
    _, path, _ = small
    assert main(["case", "verify", str(path)]) == 2
    assert "--frames" in capsys.readouterr().err
    assert main(["case", "verify", str(path), "--frames", str(tmp_path / "no")]) == 2


def test_a_run_starts_with_the_frames_of_the_case_only(small, capsys, tmp_path):
    """A changed frame stops the run before it starts: no record is left."""
    _, path, frames = small
    (frames / "é 1.fits").write_bytes(b"other")
    assert main(["case", "run", str(path), "--frames", str(frames), "-o", str(tmp_path / "out")]) == 2
    assert "é 1.fits" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_real_target_must_be_named(golden, tmp_path, capsys):
    """A case file does not bring ZeMosaic."""
    golden.write(tmp_path / "case.json")
    assert main(["case", "run", str(tmp_path / "case.json"), "--frames", str(tmp_path)]) == 2
    assert "--target" in capsys.readouterr().err


def with_outputs(case, outputs, **target):
    """Return a case with these outputs, and a record to compare."""
    request = replace(case.request, target=replace(case.request.target, **target))
    return replace(case, request=request, outputs=outputs)


@pytest.mark.parametrize(
    ("outputs", "found", "target", "outcome"),
    [
        ({"m[0]": "a"}, {"m[0]": "a"}, {}, Outcome.PASS),
        ({"m[0]": "a"}, {"m[0]": "b"}, {}, Outcome.FAIL),
        ({"m[0]": "a"}, {"n[0]": "a"}, {}, Outcome.FAIL),
        ({"m[0]": "a"}, {}, {}, Outcome.UNKNOWN),
        ({}, {"m[0]": "a"}, {}, Outcome.NOT_APPLICABLE),
        ({"m[0]": "a"}, {"m[0]": "b"}, {"identity": {"files": "x"}}, Outcome.NOT_APPLICABLE),
        ({"m[0]": "a"}, {"m[0]": "a"}, {"kind": "zemosaic"}, Outcome.NOT_APPLICABLE),
    ],
)
def test_outputs_are_compared_where_they_must_be_equal(monkeypatch, outputs, found, target, outcome):
    """Equal bits pass; other bits fail on the case's own target only; otherwise the verdict says why there is no comparison."""
    record = counted().record()
    monkeypatch.setattr(cases, "digests_of", lambda _: found)
    case = with_outputs(cases.CaseFile(record.request, None), outputs, **target)
    assert cases.compare(case, record).outcome is outcome


@pytest.mark.parametrize(
    ("kind", "profile", "mode", "outcome"),
    [
        ("zemosaic", "fast", "classic", Outcome.FAIL),
        ("zemosaic", "default", "classic", Outcome.NOT_APPLICABLE),
        ("zemosaic", "default", "sds", Outcome.FAIL),
        ("command", "fast", "classic", Outcome.NOT_APPLICABLE),
    ],
)
def test_where_last_bits_may_differ_nothing_fails(monkeypatch, kind, profile, mode, outcome):
    """ZeMosaic's default profile differs in its last bits from run to run, as measured, so a difference is no failure."""
    record = counted().record()
    request = replace(record.request, target=TargetFacts(kind, "t", "", ""), profile=profile, mode=mode)
    monkeypatch.setattr(cases, "digests_of", lambda _: {"m[0]": "b"})
    case = cases.CaseFile(request, None, outputs={"m[0]": "a"})
    assert cases.compare(case, replace(record, request=request)).outcome is outcome


def test_settings_in_effect_are_compared():
    """Settings that differ from the case are named; without a record of them on either side nothing is compared."""
    record = counted().record()
    case = cases.CaseFile(record.request, None, MappingProxyType({"kappa": 3.0, "crop": True}))
    history = replace(record.history, settings={"kappa": 2.0, "crop": True, "new": 1})
    assert cases.other_settings(case, replace(record, history=history)) == ("kappa", "new")
    assert cases.other_settings(case, record) == ()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Make one run of the reference with its own grouping, and return its record with the root of the datasets."""
    root = tmp_path_factory.mktemp("phase3")
    dataset = datasets.build(datasets.SYNTHETIC["chain3x1"], root / "datasets" / "chain3x1")
    request = a_request(
        case="chain / quick", target=resolve("reference", None, root), dataset=dataset.facts,
        plan=plans.chain(dataset.facts), config={}, schedule=(), faults=(), seconds=120.0,
    )  # fmt: skip
    return make_run(request, root / "record", dataset.folder), root


def test_a_case_is_run_again_bit_by_bit(run, monkeypatch, capsys, tmp_path):
    """From a record to a case to a run: frames found by name, equal outputs; another defect is another target."""
    record, root = run
    monkeypatch.setenv("PHASE3_DIR", str(root))
    monkeypatch.chdir(tmp_path)
    assert main(["case", "make", str(record.folder)]) == 0
    path = tmp_path / "chain-quick.phase3.json"
    assert cases.read(path).outputs
    capsys.readouterr()
    assert main(["case", "run", str(path)]) == 3
    out = capsys.readouterr().out
    assert "PASS            outputs" in out
    assert "UNKNOWN         holes" in out  # without a pair
    again = read_record(root / "cases" / "chain-quick-1" / "per_tile")
    assert again.request.plan == record.request.plan
    assert record.truth is None
    assert again.truth is not None  # of the project's own frames it is known what they show

    monkeypatch.setattr("harness.run.runner.make_run", lambda *_, **__: replace(record, request=again.request))
    damaged = changed(cases.read(path), outputs=dict.fromkeys(cases.read(path).outputs, "0" * 64))
    path.write_text(json.dumps(damaged), encoding="utf-8")
    assert main(["case", "run", str(path), "--pair"]) == 1
    assert "FAIL            outputs" in capsys.readouterr().out
    shutil.rmtree(root / "cases")


@pytest.mark.parametrize(("own", "other"), [("run_end", "per_tile"), ("per_tile", "run_end")])
def test_the_pair_of_a_case_is_the_other_retention(run, own, other, monkeypatch, capsys, tmp_path):  # noqa: PLR0917 -- fixtures
    """A case of run_end gets a run with per_tile, which is judged beside it; the run of the case itself is judged too."""
    record, root = run
    asked = []

    def make_run(request, _folder, **_):
        asked.append((request.retention, request.role))
        return replace(record, request=replace(request, target=record.request.target))

    monkeypatch.setenv("PHASE3_DIR", str(root))
    monkeypatch.setattr("harness.run.runner.make_run", make_run)
    case = cases.make(record)
    path = tmp_path / "case.json"
    replace(case, request=replace(case.request, retention=own)).write(path)
    assert main(["case", "run", str(path), "--pair", "-o", str(tmp_path / "runs")]) in {0, 1, 3}
    assert asked == [(own, "subject"), (other, "subject" if other == "per_tile" else "pair")]
    out = capsys.readouterr().out
    assert out.count(" parity") == (2 if own == "run_end" else 1)
    assert out.count("The outputs are equal bit by bit to those of: run_end.") == 1
    assert ("The same run with per_tile, compared with it:" in out) is (own == "run_end")


@pytest.mark.parametrize("path", sorted(KEPT.glob("*.json")), ids=lambda path: path.stem)
def test_a_kept_case_is_of_frames_that_this_project_has(path):
    """The command in a finding works without options: its dataset is known by name and has these frames."""
    request = cases.read(path).request
    assert request.case == path.stem
    if request.dataset.kind == "synthetic":
        spec, names = datasets.SYNTHETIC[request.dataset.name], {frame.name for frame in request.dataset.frames}
        if all(name.startswith(PLAIN_PREFIX) for name in names):  # a case of an earlier version
            spec = datasets.plainly_named(spec)
        assert names <= {pointing.name for pointing in spec.pointings}
    else:
        assert request.dataset.name in real.names()
    findings = (KEPT.parent / "findings.md").read_text(encoding="utf-8")
    assert f"(cases/{path.name})" in findings


def test_every_case_that_a_finding_names_is_kept():
    """Every case file that the findings name exists."""
    findings = (KEPT.parent / "findings.md").read_text(encoding="utf-8")
    named = set(re.findall(r"docs/cases/([\w.-]+\.json)", findings))
    assert named
    assert named == {path.name for path in KEPT.glob("*.json")}
