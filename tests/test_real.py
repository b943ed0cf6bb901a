"""Real sets are made from their originals as the manifest says, verified before use, and never trusted."""

from __future__ import annotations

import copy
import hashlib
import http.server
import json
import os
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from filelock import FileLock

from fixtures import plans, real
from fixtures.real import AbsentSet, Manifest, RealSetError

NAME = "made_up"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CARDS = [
    "CTYPE1  = 'RA---TAN'",
    "CTYPE2  = 'DEC--TAN'",
    "CRVAL1  =                 31.5",
    "CRVAL2  =                 46.5",
    "CRPIX1  =                  5.0",
    "CRPIX2  =                  4.0",
    "CD1_1   =               -0.001",
    "CD2_2   =                0.001",
    "EQUINOX =               2000.0 / replaced",
    "HISTORY cut from an original",
]


def sha(content):
    """Return the SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def padded(content, fill=b" "):
    """Pad to whole FITS blocks."""
    return content + fill * (-len(content) % 2880)


def original_and_ready():
    """Write, card by card, an original as a telescope might (odd formats, blank cards), and the frame to be made of it."""
    pixels = np.arange(20 * 30, dtype=">i2").reshape(20, 30) - 300
    first = ["SIMPLE  =                    T", "BITPIX  =                   16", "NAXIS   =                    2"]
    rest = ["EXPTIME = 060.00 / odd but kept", "OBJECT  = 'HATP-32'", "COMMENT as it came"]
    scale = ["BZERO   =                32768", "BSCALE  =                    1"]
    old = [*first, "NAXIS1  =                   30", "NAXIS2  =                   20", *scale]
    old += ["EQUINOX = 1950.0", *rest, "", "", "END"]
    new = [*first, "NAXIS1  =                   10", "NAXIS2  =                    8", *scale]
    new += [CARDS[8], *rest, *CARDS[:8], CARDS[9], "END"]
    cut = pixels[4:12, 6:16].tobytes()
    block = ["".join(card.ljust(80) for card in cards).encode() for cards in (old, new)]
    return padded(block[0]) + padded(pixels.tobytes(), b"\0"), padded(block[1]) + padded(cut, b"\0"), cut


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """Return the manifest data of a set of two frames of two panels; its originals are in ``origin/``."""
    original, ready, cut = original_and_ready()
    frames = []
    for panel in (0, 1):
        path = f"night 1/Light_{panel}.FITS"
        place = tmp_path / "origin" / "someone" / "frames" / COMMIT / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(original)
        frames.append(
            {
                "file": f"p{panel}_Light.fits",
                "sha256": sha(ready),
                "bytes": len(ready),
                "panel": panel,
                "shape": [8, 10],
                "original": {"path": path, "sha256": sha(original)},
                "cut": [6, 4, 10, 8],
                "sha256_pixels": sha(cut),
                "cards": CARDS,
            }
        )
    data = {
        "format": real.FORMAT,
        "name": NAME,
        "description": "a set for tests",
        "licence": "none",
        "origin": {"repository": "someone/frames", "commit": COMMIT},
        "frames": frames,
    }
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / f"{NAME}.json").write_text(json.dumps(data), encoding="utf-8")
    monkeypatch.setattr(real, "MANIFESTS", manifests)
    monkeypatch.setattr(real, "_cache", lambda: tmp_path / "cache é")
    monkeypatch.delenv(real.VARIABLE, raising=False)
    return data


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without writing a log."""

    def log_message(self, *_):
        """Write nothing."""


@pytest.fixture
def origin(made_up, tmp_path, monkeypatch):  # noqa: ARG001 -- it serves what that fixture wrote
    """Serve the originals at an address on this machine."""
    monkeypatch.setattr(real, "RETRIES", 0)
    handler = partial(Quiet, directory=str(tmp_path / "origin"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        monkeypatch.setattr(
            real, "ADDRESS", f"http://127.0.0.1:{server.server_port}/{{repository}}/{{commit}}/{{path}}"
        )
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield tmp_path / "origin" / "someone" / "frames" / COMMIT / "night 1"
        server.shutdown()
        thread.join()


def test_a_frame_is_made_from_its_original(made_up, tmp_path):
    """Pixels are cut as stored, cards replaced in place or added, odd cards kept, blank ones dropped: byte for byte."""
    manifest = Manifest.from_json(made_up)
    originals = tmp_path / "origin/someone/frames" / COMMIT / "night 1"
    ready = real.build(manifest, "p0_Light.fits", originals, tmp_path)
    assert ready.read_bytes() == original_and_ready()[1]
    with fits.open(ready) as hdus, fits.open(originals / "Light_0.FITS") as whole:
        assert (hdus[0].data == whole[0].data[4:12, 6:16]).all()
    assert [p.name for p in tmp_path.glob(".*")] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cut": [7, 4, 10, 8]}, "expected the pixels cut from"),
        ({"cut": [25, 4, 10, 8]}, "holds the cut"),
        ({"cards": CARDS[:-1]}, "expected the frame p0_Light.fits made from"),
        ({"original": {"path": "a/Light_0.FITS", "sha256": "0" * 64}}, "expected the original"),
        ({"original": {"path": "a/absent.fits", "sha256": "0" * 64}}, "found none: get it from https://raw"),
    ],
)
def test_what_differs_from_the_manifest_is_not_made(made_up, tmp_path, change, message):
    """Another original, other pixels or other cards than the manifest's are errors, and no frame is left."""
    made_up["frames"][0] |= change
    originals = tmp_path / "origin/someone/frames" / COMMIT / "night 1"
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(RealSetError, match=message):
        real.build(Manifest.from_json(made_up), "p0_Light.fits", originals, out)
    assert list(out.iterdir()) == []


def test_an_unknown_frame_is_refused(made_up, tmp_path):
    """A frame that the manifest does not name is an error."""
    with pytest.raises(RealSetError, match="names no such frame"):
        real.build(Manifest.from_json(made_up), "other.fits", tmp_path, tmp_path)


@pytest.mark.usefixtures("origin")
def test_fetch_makes_the_set_that_load_reads(tmp_path):
    """Fetched from its originals, a set is found, verified and loaded, with its panels; no original is kept."""
    assert real.find(NAME) is None
    folder = real.fetch(NAME)
    assert folder == tmp_path / "cache é" / NAME
    assert sorted(p.name for p in folder.iterdir()) == ["p0_Light.fits", "p1_Light.fits"]
    assert real.find(NAME) == folder
    assert [(s.name, s.folder) for s in real.status()] == [(NAME, folder)]
    assert real.verify(NAME) == ()
    dataset = real.load(NAME)
    assert (dataset.facts.kind, dataset.facts.name, dataset.folder) == ("real", NAME, folder)
    assert [f.panel for f in dataset.facts.frames] == [0, 1]
    assert dataset.facts.frames[0].shape == (8, 10)
    assert dataset.facts.frames[0].wcs["CRVAL1"] == 31.5
    assert sorted(p.name for p in (tmp_path / "cache é").iterdir() if not p.name.startswith(".")) == [NAME]


def test_fetch_takes_up_where_it_ended(origin, tmp_path):
    """Frames that are right are kept and not downloaded again; a damaged one is made anew, in a folder of choice."""
    folder = real.fetch(NAME, tmp_path / "here")
    (origin / "Light_0.FITS").unlink()
    (folder / "p1_Light.fits").write_bytes(b"torn")
    assert real.fetch(NAME, tmp_path / "here") == folder == tmp_path / "here" / NAME
    assert real.verify(NAME, folder) == ()


def test_fetch_mends_what_it_made(origin):
    """A frame in the cache that is damaged is made anew by the command that its error names."""
    folder = real.fetch(NAME)
    (folder / "p1_Light.fits").write_bytes(b"torn")
    with pytest.raises(RealSetError, match=r"found .*: make it anew with: phase3 data fetch made_up"):
        real.find(NAME)
    (origin / "Light_0.FITS").unlink()
    assert real.find(real.fetch(NAME).name) == folder


def test_fetch_leaves_a_whole_set_alone(origin, tmp_path):
    """A set that is whole, in the cache, is not downloaded again, nor when its originals are no longer to be had."""
    folder = real.fetch(NAME)
    for original in origin.iterdir():
        original.unlink()
    assert real.fetch(NAME) == folder == tmp_path / "cache é" / NAME


def test_lock_that_somebody_holds_is_told(origin, tmp_path, monkeypatch):
    """Two who fetch one set wait for each other, but not for ever: the error names the lock."""
    assert origin.is_dir()
    monkeypatch.setattr(real, "LOCK_SECONDS", 0.05)
    (tmp_path / "cache é").mkdir()
    with (
        FileLock(tmp_path / "cache é" / f".{NAME}.lock"),
        pytest.raises(RealSetError, match=r"\.made_up\.lock within 0\.05 s"),
    ):
        real.fetch(NAME)


def test_an_original_that_is_not_to_be_had(origin):
    """A missing or changed original is an error with its address and what to do; frames made before stay."""
    (origin / "Light_1.FITS").write_bytes(b"something else")
    with pytest.raises(RealSetError, match=r"expected the original of p1_Light.fits at http.*look at the network"):
        real.fetch(NAME)
    (origin / "Light_1.FITS").unlink()
    with pytest.raises(RealSetError, match=r"Light_1\.FITS.*404"):
        real.fetch(NAME)
    with pytest.raises(RealSetError, match=r"p1_Light\.fits, found none: phase3 data fetch"):
        real.find(NAME)


@pytest.fixture
def given(made_up, tmp_path, monkeypatch):
    """Return a folder that holds the ready set, named by the environment."""
    folder = tmp_path / "data" / NAME
    folder.mkdir(parents=True)
    for frame in made_up["frames"]:
        (folder / frame["file"]).write_bytes(original_and_ready()[1])
    monkeypatch.setenv(real.VARIABLE, str(tmp_path / "data"))
    return folder


def test_the_environments_folder_comes_first(given, tmp_path):
    """A set in the folder that the environment names is taken from there, else from the cache."""
    (tmp_path / "cache é" / NAME).mkdir(parents=True)
    assert real.find(NAME) == given
    (status,) = real.status()
    assert (status.name, status.frames, status.folder, status.licence) == (NAME, 2, given, "none")
    assert status.command == real.command_to_get(NAME) == "phase3 data fetch made_up"
    given.rename(given.with_name("elsewhere"))
    assert real.status()[0].folder == tmp_path / "cache é" / NAME


def test_a_tampered_frame_is_refused(given):
    """One changed byte is named with the file, both hashes and what to do; nothing is loaded."""
    victim = given / "p1_Light.fits"
    content = bytearray(victim.read_bytes())
    content[-1] = 1
    victim.write_bytes(bytes(content))
    (problem,) = real.verify(NAME)
    assert problem.file == "p1_Light.fits"
    text = problem.message.render()
    assert str(victim) in text
    assert sha(bytes(content)) in text
    assert text.endswith("put the original back, or rename its folder and get the set with: phase3 data fetch made_up")
    for use in (real.find, real.load):
        with pytest.raises(RealSetError, match=r"p1_Light\.fits"):
            use(NAME)


def test_fetch_writes_nothing_into_a_users_own_folder(given, tmp_path):
    """A whole set there is taken as it is; a damaged one is told, for frames in the cache would not be used beside it."""
    assert real.fetch(NAME) == given
    (given / "p1_Light.fits").write_bytes(b"torn")
    with pytest.raises(RealSetError, match="put the original back, or rename its folder"):
        real.fetch(NAME)
    assert (given / "p1_Light.fits").read_bytes() == b"torn"
    assert not (tmp_path / "cache é").exists()


@pytest.mark.usefixtures("origin")
def test_advice_for_a_users_own_folder_helps(given, tmp_path):
    """With its folder renamed, as the error says, the command gets the set, and it is found."""
    (given / "p1_Light.fits").write_bytes(b"torn")
    given.rename(given.with_name("damaged"))
    assert real.find(real.fetch(NAME).name) == tmp_path / "cache é" / NAME


def test_missing_frames_are_counted(given):
    """Several problems are one error: the first in full, the others counted."""
    for path in given.iterdir():
        path.unlink()
    with pytest.raises(RealSetError, match=r"(?s)p0_Light\.fits, found none: put it back.*\(and 1 more\)"):
        real.find(NAME)


@pytest.mark.usefixtures("made_up")
def test_an_absent_set_names_the_command():
    """Without the set, loading and verifying say which command gets it; an unknown name lists those there are."""
    for use in (real.load, real.verify):
        with pytest.raises(AbsentSet, match="phase3 data fetch made_up"):
            use(NAME)
    with pytest.raises(RealSetError, match=r"expected the name of a real set \(made_up\), found '../x'"):
        real.find("../x")


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("file", "../p0.fits"),
        ("file", "/etc/passwd"),
        ("file", "a\\b.fits"),
        ("file", "C:x.fits"),
        ("file", ".hidden"),
        ("file", "p1_LIGHT.fits"),
        ("file", "a\0.fits"),
        ("file", 7),
        ("cut", [0, 0, 0, 5]),
        ("cut", [-1, 0, 5, 5]),
        ("cut", [0, 0, 5]),
        ("sha256", "x" * 64),
        ("cards", ["BITPIX  =                   32"]),
        ("cards", ["NAXIS1  =                 4000"]),
        ("cards", ["BZERO   =                    1"]),
        ("cards", ["é"]),
        ("cards", ["A" * 81]),
        ("original", {"path": "../../etc/x.fits", "sha256": "0" * 64}),
        ("original", {"path": "night/Light_1.fits", "sha256": "0" * 64}),
        ("original", {"sha256": "0" * 64}),
    ],
)
def test_a_manifest_is_not_trusted(made_up, where, value):
    """Names that leave their folder, clash or mean something elsewhere, cuts and cards that make no sense: refused."""
    data = copy.deepcopy(made_up)
    data["frames"][0][where] = value
    with pytest.raises((ValueError, KeyError, TypeError)):
        Manifest.from_json(data)
    (real.MANIFESTS / f"{NAME}.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(RealSetError, match="can't be read"):
        real.manifest_of(NAME)


@pytest.mark.parametrize(
    ("where", "value"),
    [("format", "phase3-real-set/2"), ("name", "a/b"), ("name", "another")]
    + [("origin", {"repository": r, "commit": c}) for r, c in (("evil.example/a/b", COMMIT), ("a/b", "main"))],
)
def test_a_manifest_of_another_kind_is_refused(made_up, where, value):
    """Another format, a name that is not the file's, an address elsewhere or a moving branch is an error."""
    made_up[where] = value
    (real.MANIFESTS / f"{NAME}.json").write_text(json.dumps(made_up), encoding="utf-8")
    with pytest.raises(RealSetError, match="expected"):
        real.manifest_of(NAME)


def test_addresses_are_quoted(made_up):
    """An original's address is built from repository, commit and path, with spaces escaped."""
    manifest = Manifest.from_json(made_up)
    assert manifest.address(manifest.frames[0]) == (
        f"https://raw.githubusercontent.com/someone/frames/{COMMIT}/night%201/Light_0.FITS"
    )


@pytest.mark.parametrize(
    ("name", "frames", "panels", "shape"),
    [("microobs_hatp32_4panels", 48, 4, (300, 380)), ("seestar_m94_2panels", 24, 2, (1080, 1080))],
)
def test_the_projects_own_manifests(name, frames, panels, shape):
    """The manifests that come with the project can be read, and hold a WCS for each of their frames."""
    manifest = real.manifest_of(name)
    assert (len(manifest.frames), len({f.panel for f in manifest.frames})) == (frames, panels)
    for frame in manifest.frames:
        assert frame.cut[2:] == shape[::-1]
        assert {"CTYPE1", "CRVAL1", "CRPIX1", "CD1_1", "CD2_2"} <= {card[:8].rstrip() for card in frame.cards}


@pytest.mark.skipif(not os.environ.get(real.VARIABLE), reason=f"{real.VARIABLE} names no folder of real sets")
@pytest.mark.parametrize("name", ["microobs_hatp32_4panels", "seestar_m94_2panels"])
def test_real_sets_are_as_their_manifests_say(name):
    """Where real sets are given, every frame is the manifest's, and a chain plan shares frames of all panels but one."""
    if not (Path(os.environ[real.VARIABLE]) / name).is_dir():
        pytest.skip(f"{name} is not in {real.VARIABLE}; get it with: {real.command_to_get(name)}")
    facts = real.load(name).facts
    plan = plans.chain(facts)
    assert len(plan) == len({f.panel for f in facts.frames})
    assert sum(map(len, plan)) == 2 * len(facts.frames) - len(plan[0]) // 2
