"""List every reader of the harness, with a good file for each; `tests.mutations` damages the files."""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from tests.program_readers import (
    end_read,
    exports,
    exports_read,
    facts,
    facts_read,
    git_made,
    git_read,
    guard_answers,
    guard_read,
    notes_read,
    release,
    release_read,
    source,
    source_read,
    thresholds_read,
)
from tests.requests_ import WCS


@dataclass(frozen=True)
class Reader:
    """A reader: how a good file is made in a new folder, and how it is read. ``read`` gets the path that ``make`` returned.

    A file in a session has its digest there. Of another file, ``own`` says why other content is another answer, and no damage;
    without it, the answer must be that of the good file, or be ``noted``: it says itself that something is wrong.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    own: str = ""
    noted: Callable[[Any], bool] = lambda _answer: False

    def __iter__(self) -> Iterator[Any]:
        return iter((self.name, self.make, self.read))


# The good files


def _once(make: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Make a folder once, and copy it for each later use: some take a second."""
    known: list[Path] = []

    def copied(folder: Path) -> None:
        if not known:
            import tempfile

            known.append(Path(tempfile.mkdtemp(prefix="phase3-mutations-")) / "made")
            make(known[0])
        shutil.copytree(known[0], folder, dirs_exist_ok=True)

    return copied


def _small_session(folder: Path) -> None:
    from harness.session.integrity import seal_session
    from harness.session.resume import Start, write_start
    from reports.material import Material
    from reports.write import write_views
    from tests.sample_session import sample_session

    sample_session(folder, "zemosaic")
    write_views(Material(folder))
    write_start(folder, Start({"target": "reference"}, {"subject": {"label": "x", "identity": {}}}))
    seal_session(folder)


_session = _once(_small_session)


def in_session(name: str) -> Callable[[Path], Path]:
    """Return a function that makes a session, and returns a file of it."""

    def make(folder: Path) -> Path:
        _session(folder)
        return folder / name

    return make


def _record(name: str) -> Callable[[Path], Path]:
    from harness.session.run_matrix import RUNS

    return in_session(f"{RUNS}/subject-per_tile/{name}")


def _judged(path: Path) -> Any:
    """Read the record of a file, and judge it as the commands do."""
    from harness.checks.judge import judge
    from harness.record.comparison import Comparison
    from harness.record.reader import read_record
    from harness.record.seal import seal

    if path.name != "seal.json":  # the file was damaged before the record was sealed
        seal(path.parent, "done", 0, "", 1.0)
    record = read_record(path.parent)
    verdicts = judge(Comparison(record))
    assert not [v.evidence for v in verdicts if "exception" in v.evidence], [
        v.evidence["exception"] for v in verdicts if "exception" in v.evidence
    ]
    return verdicts


def _with_more(name: str) -> Callable[[Path], Path]:
    """Return a function that makes a record with its process samples and its known sky."""

    def make(folder: Path) -> Path:
        from harness.record.truth import Truth

        record = _record("request.json")(folder).parent
        sample = {"t": 1, "processes": 1, "rss": 5, "cpu": 0.5, "threads": 2, "open_files": -1}
        (record / "process.jsonl").write_text(f"{json.dumps(sample)}\n" * 3, encoding="utf-8")
        stars = np.array([[34.2, 46.6, 100.0], [34.21, 46.61, 50.0]])
        truth = Truth(stars, 5.0, (1.0, 1.0, 1.0), channels=stars[:, 2:], levels=((0, 5.0),), frames=3)
        (record / "truth.json").write_text(json.dumps(truth.to_json()), encoding="utf-8")
        return record / name

    return make


def _watched(path: Path) -> Any:
    """Read a record as the progress of a living session does."""
    from harness.language.catalogue import translator
    from harness.session.progress import ProgressMonitor
    from harness.session.screen import Screen

    shown = io.StringIO()
    monitor = ProgressMonitor(path.parents[1], Screen(shown, live=False), translate=translator("en"), interval=0.001)
    monitor._show()
    return shown.getvalue()


def _drawn(path: Path) -> Any:
    from reports.html.skymap import photograph, read_photograph

    taken = read_photograph(path.parent, path.name)
    return taken if taken is None else photograph(taken, 200)


def _added(name: str, content: Callable[[], str | bytes]) -> Callable[[Path], Path]:
    """Return a function that writes one file."""

    def make(folder: Path) -> Path:
        made = content()
        path = folder / name
        path.write_bytes(made if isinstance(made, bytes) else made.encode("utf-8"))
        return path

    return make


def _frame(folder: Path) -> Path:
    path = folder / "f0.fits"
    header = fits.Header({**WCS, "OBJECT": "M 31", "RADESYS": "ICRS", "BAYERPAT": "GRBG", "SOFTWARE": "x", "PANEL": 1})
    fits.PrimaryHDU(np.arange(4000, dtype=np.int16).reshape(50, 80), header).writeto(path)
    return path


def _frame_read(path: Path) -> Any:
    from fixtures.frame_facts import frame_facts, is_product, read_header

    header = read_header(path)
    return is_product(path.name, header), frame_facts(path, header)


def _frames_read(path: Path) -> Any:
    from fixtures.user_frames import frames_of

    return frames_of(path.parent)


def _contents_read(path: Path) -> Any:
    from harness.run.inputs import _contents

    return list(_contents(path))


def _truth_made(path: Path) -> Any:
    from fixtures.datasets import Dataset
    from fixtures.frame_facts import dataset_facts, frame_facts, read_header
    from fixtures.reference_mosaic import with_truth

    facts = dataset_facts("x", "user", [frame_facts(path, read_header(path), 0)])
    return with_truth(Dataset(facts, path.parent)).truth


@cache
def _mosaic() -> bytes:
    header = fits.Header({**WCS, "ZMT_ID": 3, "ZMT_NRAW": 4})
    stream = io.BytesIO()
    rng = np.random.default_rng(1)
    fits.PrimaryHDU(rng.normal(100, 5, (3, 40, 60)).astype(np.float32), header).writeto(stream)
    return stream.getvalue()


def _outputs(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        from tests.requests_ import a_request

        (folder / "outputs").mkdir()
        a_request().write(folder / "request.json")
        (folder / "outputs" / "zemosaic_MT1_R2.fits").write_bytes(_mosaic())
        path = folder / "outputs" / name
        path.write_bytes(_mosaic())
        return path

    return make


def _measured(path: Path) -> Any:
    from harness.record.products import read_products
    from harness.record.reader import read_request
    from harness.run.measure import measure

    folder = path.parents[1]
    measure(folder, read_request(folder))
    return read_products(folder)


LOG = "".join(
    f"2026-11-25 00:20:{n:02d},614 - ZeMosaicWorker - INFO - zemosaic_worker._log_and_callback:8258 - "
    f"[CLÉ_POUR_GUI: {key}] (Args: {args})\n"
    for n, (key, args) in enumerate(
        [
            ("run_info_processing_started", "{'n': 3}"),
            ("run_info_phase1_started", "{}"),
            ("run_info_phase2_finished", "{'num_groups': 3}"),
            ("PHASE_UPDATE:3", "{}"),
            ("mastertile_info_creation_started_from_cache", "{'tile_id': 1, 'num_raw': 4}"),
            ("mastertile_warn_cache_file_missing", "{'filename': 'a.fits', 'tile_id': 1}"),
            ("run_info_phase3_finished_from_cache", "{'num_master_tiles': 3}"),
            ("run_success_mosaic_saved", "{'path': 'zemosaic_MT1_R2.fits'}"),
            ("run_success_processing_completed", "{'duration': '7.0'}"),
        ]
    )
)


def _log_read(path: Path) -> Any:
    from harness.field.autopsy import examine

    return examine(path.parent, path)


def _case(folder: Path) -> Path:
    path = folder / "case.json"
    shutil.copyfile(Path(__file__).parents[1] / "docs" / "cases" / "lone-panel.json", path)
    return path


def _case_read(path: Path) -> Any:
    from harness.field.case_file import read, verify

    case = read(path)
    return verify(case, path.parent), case.to_json()


def _manifest(folder: Path) -> Path:
    from fixtures.real import MANIFESTS

    path = folder / "microobs_hatp32_4panels.json"
    shutil.copyfile(MANIFESTS / path.name, path)
    return path


def _manifest_read(path: Path) -> Any:
    from fixtures import real

    before, real.MANIFESTS = real.MANIFESTS, path.parent
    try:
        return real.manifest_of(path.stem)
    finally:
        real.MANIFESTS = before


def _plan_read(path: Path) -> Any:
    from harness.run.stack_plan import stack_plan
    from tests.requests_ import a_request

    return stack_plan(path.parent, a_request().dataset)("")


def _config_read(path: Path) -> Any:
    from harness.targets.zemosaic import read_config
    from tests.requests_ import a_request

    request = a_request(config=read_config(path))
    request.write(path.with_name("request.json"))
    return request


def _intact_read(path: Path) -> Any:
    from harness.session.integrity import read_intact

    return read_intact(path.parent)[1]


def _session_read(path: Path) -> Any:
    from harness.session.model import read_session, write_session
    from reports.junit import junit
    from reports.summary import summary

    session = read_session(path.parent)
    other = path.parent / "again"
    other.mkdir(exist_ok=True)
    write_session(session, other)
    read_session(other)
    junit(session)
    summary(session, "en", "0" * 64)
    return session.outcome, session.requirements, session.tests


def _share_made(folder: Path) -> Path:
    from harness.plugin.assemble import write_share
    from harness.session.model import Share, read_session
    from harness.session.resume import SHARES

    _session(folder / "s")
    session = read_session(folder / "s")
    shares = folder / SHARES
    shares.mkdir()
    write_share(shares, "gw0", Share(session.runs, session.judged, session.tests, session.real_sets))
    return shares / "gw0.json"


def _share_read(path: Path) -> Any:
    from harness.plugin.assemble import _read_shares, read_collected

    shutil.copyfile(path, path.with_name("x.collected"))
    return _read_shares(path.parents[1], path.parent), read_collected(path.parent)


def _share_refused(answer: Any) -> bool:
    (_, refused), _ = answer
    return bool(refused)


def _started_read(path: Path) -> Any:
    from harness.session.resume import Start, require_same

    start = Start({"target": "reference"}, {"subject": {"label": "x", "identity": {}}})
    return require_same(path.parent, start)


def _durations_made(folder: Path) -> Path:
    from harness.session.durations import Durations
    from tests.requests_ import a_request

    Durations(folder / "durations.json").add(a_request(), 3.0)
    return folder / "durations.json"


def _durations_read(path: Path) -> Any:
    from harness.session.durations import Durations

    return Durations(path).expected("reference", "chain", "small", "fast")


def _signed(folder: Path) -> Path:
    from harness.commands.main import main
    from tests.signed_sessions import decisions

    assert main(["sign", str(folder), *decisions(), "--by", "Zoé"]) == 0
    return folder / "signoff.json"


def _signable(folder: Path) -> None:
    _small_session(folder)
    _signed(folder)


_signed_session = _once(_signable)


def _signoff(folder: Path) -> Path:
    _signed_session(folder)
    return folder / "signoff.json"


def _signoff_read(path: Path) -> Any:
    from harness.signoff.standing import beside
    from harness.signoff.statement import read_statement

    beside(path.parent)
    return read_statement(path.read_bytes(), path.name)


def _form() -> str:
    return json.dumps(
        {
            "form": "phase3-signoff-form/1",
            "session_sha256": "0" * 64,
            "by": "Zoé",
            "rows": [{"id": "4.1", "decision": "accept", "comment": "x"}],
        }
    )


def _form_read(path: Path) -> Any:
    from harness.signoff.form import read_form

    return read_form(path, "0" * 64)


def _accepted() -> str:
    from harness.compare.accepted import Acceptance, AcceptanceFile, AcceptedRun
    from harness.compare.model import AcceptedBy, ImageChange
    from harness.language.message import say
    from harness.record.whole import json_text

    image = ImageChange("mosaic RGB", "0" * 64, "1" * 64)
    run = AcceptedRun("c", "subject", "a", "b", "differs", (say("{count} values", count=3),), (image,))
    by = AcceptedBy("Zoé", "2026-11-30T00:00:00+00:00", "x")
    return json_text(AcceptanceFile((Acceptance(by, "x", "", (run,)),)).to_json())


def _accepted_read(path: Path) -> Any:
    from harness.compare.accepted import read_accepted

    return read_accepted(path.parent)


def _signature_read(path: Path) -> Any:
    from harness.signoff.ssh_signature import read_signature

    return read_signature(path.read_bytes())


_SIGNATURE = b"""-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgIqXxW6bEGq9YzQp1mE1J0m1T6FPp
-----END SSH SIGNATURE-----
"""


def _session_with(name: str, content: Callable[[], str | bytes]) -> Callable[[Path], Path]:
    """Return a function that makes a session with one more file, which is then sealed with it."""

    def make(folder: Path) -> Path:
        made = content()
        path = in_session(name)(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made if isinstance(made, bytes) else made.encode("utf-8"))
        return path

    return make


INPUT = "a file of the user: other content is another input"
OWN_FILE = "a file of the harness itself, whose source has its digest in each session"
WHILE_IT_RUNS = "read while a run is made, before the record is sealed with its digest"
FROM_A_PROGRAM = "what another program answers: nothing else knows what it should have answered"


READERS: list[Reader] = [
    *(
        Reader(name if name == "products.npz" else name.partition(".")[0], _record(name), _judged)
        for name in (
            "request.json",
            "events-1.jsonl",
            "trace-1.jsonl",
            "disk.jsonl",
            "left.jsonl",
            "inputs.jsonl",
            "products.json",
            "products.npz",
            "seal.json",
        )
    ),
    Reader("process", _with_more("process.jsonl"), _judged),
    Reader("truth", _with_more("truth.json"), _judged),
    Reader("thumbnail", _record("thumbnail.png"), _drawn),
    Reader("progress by events", _record("events-1.jsonl"), _watched),
    Reader("progress by request", _record("request.json"), _watched),
    Reader("progress by seal", _record("seal.json"), _watched),
    Reader("session", in_session("session.json"), _session_read),
    Reader("manifest of a session", in_session("integrity.json"), _intact_read),
    Reader("started", in_session("started.json"), _started_read),
    Reader("share", _share_made, _share_read, noted=_share_refused),
    Reader(
        "durations", _durations_made, _durations_read, own="estimates of the time that is left, on which nothing rests"
    ),
    Reader("case file", _case, _case_read, own=INPUT),
    Reader("manifest", _manifest, _manifest_read, own=OWN_FILE),
    Reader(
        "stack_plan.csv",
        _added("stack_plan.csv", lambda: '"file_path","order"\n"f0.fits","1"\n"/x/f1.fits","2"\n'),
        _plan_read,
        own=INPUT,
    ),
    Reader(
        "zemosaic config",
        _added("zemosaic_config.json", lambda: '{"stack_kappa_low": 3.0, "a": [1]}'),
        _config_read,
        own=INPUT,
    ),
    Reader("zemosaic log", _added("zemosaic_worker.log", lambda: LOG), _log_read, own=INPUT),
    Reader("sign-off", _signoff, _signoff_read),
    Reader("form", _added("form.json", _form), _form_read, own=INPUT),
    Reader("acceptance", _session_with("accepted.json", _accepted), _accepted_read),
    Reader("signature", _session_with("signoff.json.sig", lambda: _SIGNATURE), _signature_read),
    Reader("guard answer", _added("answers", guard_answers), guard_read, own=FROM_A_PROGRAM),
    Reader("FITS frame", _frame, _frame_read, own=INPUT),
    Reader("FITS frames of a folder", _frame, _frames_read, own=INPUT),
    Reader("FITS frame before a run", _frame, _contents_read, own=INPUT),
    Reader("FITS frame, known sky", _frame, _truth_made, own=INPUT),
    Reader("FITS mosaic", _outputs("zemosaic_MT1_R2.fits"), _measured, own=WHILE_IT_RUNS),
    Reader("FITS coverage", _outputs("zemosaic_MT1_R2_coverage.fits"), _measured, own=WHILE_IT_RUNS),
    Reader("FITS tile", _outputs("master_tile_003.fits"), _measured, own=WHILE_IT_RUNS),
    Reader(
        "thresholds",
        lambda folder: Path(shutil.copy(Path(__file__).parents[1] / "harness/checks/thresholds.toml", folder)),
        thresholds_read,
        own=OWN_FILE,
    ),
    Reader("git output", _added("out", git_made), git_read, own=FROM_A_PROGRAM),
    Reader("source of the target", _added("zemosaic_worker.py", source), source_read, own=INPUT),
    Reader("facts of the probe", _added("run.json", facts), facts_read, own=WHILE_IT_RUNS),
    Reader("end of the probe", _added("end.json", lambda: '{"error": null, "wall": 3.5}'), end_read, own=WHILE_IT_RUNS),
    Reader(
        "notes of the probe",
        _added("notes.jsonl", lambda: '{"frame": "/a.fits"}\n{"workers": 2}\n'),
        notes_read,
        own=WHILE_IT_RUNS,
    ),
    Reader("release", _session_with("release/subject/release.json", release), release_read),
    Reader("copy of the target", exports, exports_read),
]
"""Every reader of a file that someone else may have written, or that may be damaged."""
