"""The autopsy of an ordinary run from its output folder and its log."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from fixtures.frames import add_stars
from harness.commands.main import main
from harness.field import autopsy
from harness.verdict import Outcome
from tests.micro import frame, products_of, stars_of
from tests.runs_ import hashes

MISSING = "mastertile_warn_cache_file_missing"
COUNTED = "Phase3: per_tile cache retention uses refcount; safe deletion enabled (4 unique cache files tracked)."


class LogText:
    """A log in ZeMosaic's format, one line per second."""

    def __init__(self):
        self.lines = []

    def record(self, message, level="INFO", place="zemosaic_worker.run_hierarchical_mosaic_classic_legacy"):
        """Write a record of the logger."""
        n = len(self.lines)
        when = f"2026-11-25 00:{n // 60:02d}:{n % 60:02d},614"
        self.lines.append(f"{when} - ZeMosaicWorker - {level} - {place}:8258 - {message}")
        return self

    def told(self, key, level="INFO", **arguments):
        """Write a message of the progress callback."""
        more = f" (Args: {arguments})" if arguments else ""
        return self.record(f"[CLÉ_POUR_GUI: {key}]{more}", level, "zemosaic_worker._log_and_callback")

    def debug(self, key):
        """Write a message of the progress callback below INFO, which the log holds unchanged."""
        return self.record(key, "DEBUG", "zemosaic_worker._log_and_callback")

    def begin(self, retention="run_end", lost=()):
        """Begin a run up to its Phase 3, with the lines of a real one; ``lost`` are frames whose caches tile 1 lacks."""
        self.record("Logging pour ZeMosaicWorker initialisé.").record(f"Cache retention mode: {retention}")
        self.start = len(self.lines)
        self.told("run_info_processing_started").told("run_info_phase1_started_cache").debug("PHASE_UPDATE:1")
        for n in range(5):
            self.debug(f"RAW_FILE_COUNT_UPDATE:{n}/4")
        self.told("run_info_phase1_finished_cache", num_valid_raws=4).told("run_info_phase2_started")
        self.debug("PHASE_UPDATE:2").told("run_info_phase2_finished", num_groups=2)
        self.told("run_info_phase3_started_from_cache").debug("PHASE_UPDATE:3")
        self.told("WORKERS_PHASE3: Utilisation de 3 worker(s). (Base: 3)").debug("MASTER_TILE_COUNT_UPDATE:0/2")
        if retention == "per_tile":
            self.record("Phase3: shared cache detected across master tiles; refcount guard active.")
            self.record(COUNTED)
        for tile in range(2):
            self.told("mastertile_info_creation_started_from_cache", num_raw=2, tile_id=tile)
            self.debug("mastertile_info_loading_from_cache_started")
            for name in lost if tile else ():
                self.told(MISSING, "WARNING", filename=name, cache_path=f"preprocessed_{name}.npy", tile_id=tile)
            self.debug("mastertile_info_saved").debug(f"MASTER_TILE_COUNT_UPDATE:{tile + 1}/2")
        return self

    def finish(self, made=2):
        """Write the end of the run."""
        self.told("run_info_phase3_finished_from_cache", num_master_tiles=made)
        self.told("run_info_phase4_started").debug("PHASE_UPDATE:4").told("run_info_phase4_finished")
        self.debug("PHASE_UPDATE:5").told("run_info_phase5_started_reproject_coadd")
        self.told("run_info_phase5_finished_reproject_coadd").debug("PHASE_UPDATE:6").told("run_info_phase6_started")
        self.told("run_success_mosaic_saved", filename="zemosaic_MT2_R4.fits")
        self.told("run_info_phase7_cleanup_starting").debug("PHASE_UPDATE:7")
        return self.told("run_success_processing_completed", duration=f"{len(self.lines) - self.start}.0")

    def write(self, path, encoding="utf-8"):
        """Write the file and return its path."""
        path.write_bytes("\n".join([*self.lines, ""]).encode(encoding, "replace"))
        return path


@pytest.fixture
def folder(tmp_path):
    """Return an output folder with a mosaic of two panels, its coverage and its two tiles, one of them short of a frame."""
    return made(tmp_path / "sortie é")


def made(folder, gaps=(), aligned=(2, 1)):
    """Write an output folder; the mosaic covers the two reference frames except for gaps. ``aligned`` counts frames by tile."""
    (folder / "zemosaic_temp_master_tiles").mkdir(parents=True)
    frames = [frame(0), frame(1)]
    products = products_of(frames, gaps=gaps)
    header = fits.Header(list(products.wcs.items()))
    sky = np.random.default_rng(0).normal(100.0, 1.0, products.covered.shape).astype(np.float32)
    fits.writeto(folder / "zemosaic_MT2_R4.fits", sky * products.covered, header)
    fits.writeto(folder / "zemosaic_MT2_R4_coverage.fits", products.covered.astype(np.float32), header)
    for number, reference in enumerate(frames):
        header = fits.Header(list(reference.wcs.items()))
        header["ZMT_ID"], header["ZMT_REF"], header["ZMT_NRAW"] = number, reference.name, 2
        header["HIERARCH ZMT_NALGN"] = aligned[number]
        path = folder / "zemosaic_temp_master_tiles" / f"master_tile_{number:03d}.fits"
        fits.writeto(path, np.ones((80, 100), np.float32), header)
    return folder


@pytest.fixture
def frames(tmp_path):
    """Return the folder of the run's frames."""
    folder = tmp_path / "images"
    folder.mkdir()
    for one in (frame(panel, k) for panel in range(2) for k in range(2)):
        fits.writeto(folder / one.name, np.ones((80, 100), np.float32), fits.Header(list(one.wcs.items())))
    return folder


def outcomes(found):
    """Return the outcome of each verdict, by check."""
    return {verdict.check: verdict.outcome for verdict in found.verdicts}


def said(found):
    """Return all notes and sentences as one text."""
    return " ".join([*(n.render() for n in found.notes), *(v.sentence.render() for v in found.verdicts)])


def test_a_folder_alone_answers_nothing_and_says_what_to_send(folder):
    """Without a log every verdict is unknown; the notes describe the folder and what to send."""
    before = hashes(folder)
    found = autopsy.examine(folder)
    assert set(outcomes(found).values()) == {Outcome.UNKNOWN}
    assert "zemosaic_MT2_R4.fits" in said(found)
    assert "master tiles 2, frames 4" in said(found)
    assert "Tile 1 was made from 1 of its 2 frames" in said(found)
    wanted = " ".join(message.render() for message in found.wanted)
    assert "zemosaic_worker.log" in wanted
    assert "--frames" in wanted
    assert "phase3 record" in wanted
    assert hashes(folder) == before


def test_a_good_run_by_its_log_tiles_and_frames(frames, tmp_path):
    """With run_end the events, the tiles' required sky and the left files are judged; what only the probe sees stays unknown."""
    folder = made(tmp_path / "out", aligned=(2, 2))
    found = autopsy.examine(folder, LogText().begin().finish().write(tmp_path / "x.log"), frames)
    assert outcomes(found) == outcomes(found) | {
        "warnings": Outcome.PASS,
        "holes": Outcome.PASS,
        "left": Outcome.PASS,
        "cache": Outcome.UNKNOWN,
        "depth": Outcome.UNKNOWN,
    }
    assert "retention run_end, Phase 3 workers 3" in said(found)
    assert "groups 2, tiles begun 2, tiles made 2" in said(found)
    assert [tile.reference for tile in found.record.history.tiles] == ["p0_0.fits", "p1_0.fits"]
    assert found.record.request.workers == 3


def test_the_mosaic_is_compared_with_the_frames_that_are_named(folder, frames, tmp_path):
    """With --frames the stars are compared with the sky on the frames; without, that is unknown and no pass."""
    log = LogText().begin().finish().write(tmp_path / "x.log")
    stars = stars_of([frame(0), frame(1)])
    for path in frames.iterdir():
        header = fits.getheader(path)
        x, y = WCS(header).wcs_world2pix(stars[:, :2], 0).T
        pixels = np.random.default_rng(len(path.name)).normal(100, 2, (80, 100))
        add_stars(pixels, np.column_stack([x, y, 5 * stars[:, 2]]), 3.0, 3.0)
        fits.writeto(path, pixels.astype(np.float32), header, overwrite=True)
    found = autopsy.examine(folder, log, frames)
    assert found.record.truth.frames == 4
    assert len(found.record.truth.stars) > 20
    assert outcomes(found)["accuracy"] is Outcome.FAIL  # the mosaic in this folder is noise without stars
    assert outcomes(autopsy.examine(folder, log))["accuracy"] is Outcome.UNKNOWN


def test_a_hole_is_found_in_the_required_sky_of_a_kept_tile(tmp_path, frames):
    """Missing sky within a tile's reference frame is a hole, without any trace."""
    folder = made(tmp_path / "out", gaps=[np.s_[30:60, 30:60]])
    found = autopsy.examine(folder, LogText().begin().finish().write(tmp_path / "x.log"), frames)
    assert outcomes(found)["holes"] is Outcome.FAIL


def test_lost_caches_are_found_in_a_log(folder, tmp_path):
    """The events of a lost cache fail, also in a truncated log, with tile and frame from its arguments."""
    log = LogText().begin("per_tile")
    log.told(MISSING, "WARNING", filename="p1_0.fits", cache_path="C:\\Users\\é\\preprocessed_p1_0_3.npy", tile_id=1)
    found = autopsy.examine(folder, log.write(tmp_path / "x.log"))
    assert outcomes(found)["warnings"] is Outcome.FAIL
    assert f"{MISSING}: 1" in said(found)
    (event,) = found.record.history.named(MISSING)
    assert dict(event.fields) == {
        "filename": "p1_0.fits", "cache_path": "C:\\Users\\é\\preprocessed_p1_0_3.npy", "tile_id": 1,
    }  # fmt: skip
    assert event.level == "WARN"


def test_counts_below_info_are_read(folder, tmp_path):
    """A log at DEBUG states the number of tiles; a missing tile fails."""
    log = LogText().begin().told("run_warn_phase3_master_tile_creation_failed_thread", "WARNING", stack_num=2)
    found = autopsy.examine(folder, log.finish(made=1).write(tmp_path / "x.log"))
    assert outcomes(found)["tiles"] is Outcome.FAIL


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_a_log_in_another_encoding_is_read(tmp_path, encoding):
    """Copying may have changed the encoding of the log."""
    log = LogText().begin().told("run_info_x", "INFO", name="é").finish().write(tmp_path / "x.log", encoding)
    read = autopsy.read_log(log)
    assert read.retention == "run_end"
    assert read.gaps == ()
    assert [event.fields["name"] for event in read.named("run_info_x")] == ["é"]


def test_a_log_whose_accents_broke_is_read(tmp_path):
    """The mark of a message is recognised with any encoding of its accent."""
    text = "\n".join(LogText().begin().finish().lines).replace("CLÉ", "CLÃ‰")
    (tmp_path / "x.log").write_text(text, encoding="utf-8")
    assert autopsy.read_log(tmp_path / "x.log").named("run_success_processing_completed")


def test_the_last_of_several_runs_is_taken(tmp_path):
    """Events of earlier runs do not count, and a note gives the number of runs in the log."""
    log = LogText().begin("keep").told(MISSING, "WARNING", tile_id=0).finish().begin("run_end").finish()
    found = autopsy.examine(made(tmp_path / "out", aligned=(2, 2)), log.write(tmp_path / "x.log"))
    assert outcomes(found)["warnings"] is Outcome.PASS
    assert found.record.request.retention == "run_end"
    assert "contains 2 runs" in said(found)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda lines: lines[3:], "begins in the middle"),
        (lambda lines: [line for line in lines if " INFO " not in line], "begins in the middle"),
        (lambda lines: [*lines[:5], "garbage \0", *lines[5:]], "can't be read"),
    ],
)
def test_a_log_that_is_not_whole_shows_nothing_by_its_silence(folder, tmp_path, change, text):
    """Missing lines may have been warnings, so no check passes on such a log."""
    log = LogText().begin().told("a_warning", "WARNING").finish()
    log.lines = change(log.lines)
    found = autopsy.examine(folder, log.write(tmp_path / "x.log"))
    assert {check for check, outcome in outcomes(found).items() if outcome is Outcome.PASS} <= {"left"}
    assert text in said(found)


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({"message": "x"}, "killed"),
        ({"message": "Worker process crashed before completion\nTraceback:\n  x", "level": "ERROR"}, "crashed"),
        ({"message": "[CLÉ_POUR_GUI: run_error_phase6_save_failed]", "level": "ERROR"}, "crashed"),
    ],
)
def test_a_run_that_did_not_end_well_passes_nothing(folder, tmp_path, more, state):
    """For a log without the end of the run the seal says how far it came, or the error."""
    found = autopsy.examine(folder, LogText().begin().record(**more).write(tmp_path / "x.log"))
    assert found.record.seal.state == state
    assert Outcome.PASS not in outcomes(found).values()


@pytest.mark.parametrize("text", ["", "\n", " \n\n"])
def test_a_log_that_ends_with_an_empty_record_is_read(folder, tmp_path, text):
    """A last record without text is told; it raised IndexError."""
    found = autopsy.examine(folder, LogText().begin().record(text).write(tmp_path / "x.log"))
    assert found.record.seal.state == "killed"
    assert "it ends with" in found.record.seal.reason


def test_a_translated_text_is_no_log(folder, tmp_path):
    """Lines copied from the window are translated sentences; they are not interpreted."""
    (tmp_path / "x.txt").write_text("[12:00:00] Fichier cache manquant pour la tuile 3\n" * 3, encoding="utf-8")
    found = autopsy.examine(folder, tmp_path / "x.txt")
    assert set(outcomes(found).values()) == {Outcome.UNKNOWN}
    assert "send zemosaic_worker.log itself" in said(found)


def test_a_log_of_another_run_is_told(tmp_path, folder):
    """A log that saved another mosaic can fail checks, but not pass any."""
    for path in folder.glob("*.fits"):
        path.rename(folder / path.name.replace("MT2_R4", "MT3_R9"))
    found = autopsy.examine(folder, LogText().begin().finish().write(tmp_path / "x.log"))
    assert "which is not in the folder" in said(found)
    assert Outcome.PASS not in outcomes(found).values()


def test_the_log_in_the_folder_is_taken(folder):
    """Newer versions keep a log in the output folder, begun after the line on retention; the mosaic has a suffix."""
    log = LogText().begin("per_tile")
    log.lines = log.lines[2:]
    log.finish().write(folder / "zemosaic_worker.log")
    (folder / "zemosaic_MT2_R4.fits").rename(folder / "zemosaic_MT2_R4_science.fits")
    found = autopsy.examine(folder)
    assert outcomes(found)["left"] is Outcome.PASS
    assert "retention per_tile" in said(found)
    assert found.record.products.mosaic == "outputs/zemosaic_MT2_R4_science.fits"


@pytest.mark.parametrize(
    ("retention", "outcome"),
    [("run_end", Outcome.FAIL), ("per_tile", Outcome.FAIL), ("keep", Outcome.NOT_APPLICABLE), ("?", Outcome.UNKNOWN)],
)
def test_caches_left_are_judged_by_the_retention(folder, tmp_path, retention, outcome):
    """A run that ended well leaves no cache, except with keep."""
    (folder / ".zemosaic_img_cache").mkdir()
    (folder / ".zemosaic_img_cache" / "preprocessed_p0_0_1.npy").write_bytes(b"x" * 100)
    found = autopsy.examine(folder, LogText().begin(retention).finish().write(tmp_path / "x.log"))
    assert outcomes(found)["left"] is outcome
    assert (folder / ".zemosaic_img_cache" / "preprocessed_p0_0_1.npy").exists()


def test_nothing_in_a_log_is_evaluated(tmp_path):
    """Arguments are texts, numbers and booleans; anything else is left out."""
    message = "[CLÉ_POUR_GUI: k] (Args: {'a': np.float64(4.5), 'b': array([1, 2]), 'c': __import__('os'), 'd': True, 'e': -3})"
    log = LogText().begin().record(message, place="zemosaic_worker._log_and_callback").write(tmp_path / "x.log")
    (event,) = autopsy.read_log(log).named("k")
    assert dict(event.fields) == {"a": 4.5, "d": True, "e": -3}


def test_a_broken_mosaic_is_told(folder):
    """An unreadable mosaic is a note, not an error."""
    (folder / "zemosaic_MT2_R4.fits").write_bytes(b"SIMPLE")
    found = autopsy.examine(folder)
    assert "could not be measured" in said(found)


def test_the_command(folder, frames, tmp_path, capsys):
    """The exit statuses are those of judge, in both languages; a missing folder is a usage error."""
    log = LogText().begin().finish().write(tmp_path / "x.log")
    assert main(["autopsy", str(folder), str(log), "--frames", str(frames)]) == 3
    assert "  -> " in capsys.readouterr().out
    bad = LogText().begin().told(MISSING, "WARNING", tile_id=0).write(tmp_path / "y.log")
    assert main(["--lang", "fr", "autopsy", str(folder), str(bad)]) == 1
    for words in (
        [str(folder / "no")],
        [str(folder), str(tmp_path / "no.log")],
        [str(folder), str(log), "--frames", "no"],
    ):
        assert main(["autopsy", *words]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_long_log_is_read_from_its_end(tmp_path, monkeypatch):
    """Of a log above the size limit the end is read; it then begins in the middle of a run."""
    log = LogText().begin().finish().write(tmp_path / "x.log")
    monkeypatch.setattr(autopsy, "LARGEST", Path(log).stat().st_size - 400)
    read = autopsy.read_log(log)
    assert read.named("run_success_processing_completed")
    assert any("middle" in gap.render() for gap in read.gaps)


def test_a_log_that_names_no_mosaic_is_tied_to_no_folder(folder, tmp_path):
    """Without the name of a mosaic the log may be of another run, so left caches stay unknown."""
    log = LogText().begin().told("run_success_processing_completed", duration="1.0").write(tmp_path / "x.log")
    assert outcomes(autopsy.examine(folder, log))["left"] is Outcome.UNKNOWN


def test_a_record_without_an_end_costs_no_more_than_its_lines(tmp_path):
    """A log record has a maximum number of lines; further lines are counted as unreadable."""
    log = LogText().begin().record("Traceback:\n" + "\n".join(["  x]"] * 100_000)).finish()
    started = time.process_time()
    read = autopsy.read_log(log.write(tmp_path / "x.log"))
    assert time.process_time() - started < 5.0
    assert "can't be read" in read.gaps[0].render()
    assert read.saved == "zemosaic_MT2_R4.fits"


def dated(folder, when, *names):
    """Set the time of files, in seconds after 2026-11-25 00:00 UTC, which is the log's first minute in UTC."""
    start = datetime(2026, 11, 25, tzinfo=UTC).timestamp()
    for name in names:
        os.utime(folder / name, (start + when, start + when))


TILES = "zemosaic_temp_master_tiles/master_tile_{:03d}.fits"
OWN = ("zemosaic_MT2_R4.fits", "zemosaic_MT2_R4_coverage.fits", TILES.format(0), TILES.format(1))


def test_a_data_product_of_an_earlier_run_is_not_judged(folder, tmp_path):
    """The log says which mosaic the run saved; ``_science`` of an earlier run is not taken for it."""
    broken = np.zeros((8, 8), np.float32)
    fits.writeto(folder / "zemosaic_MT2_R4_science.fits", broken, fits.getheader(folder / "zemosaic_MT2_R4.fits"))
    found = autopsy.examine(folder, LogText().begin().finish().write(tmp_path / "x.log"))
    assert found.record.products.mosaic == "outputs/zemosaic_MT2_R4.fits"


@pytest.mark.parametrize("old", ["mosaic_grid.fits", "zemosaic_MT0_R4.fits", "zemosaic_MT9_R9.fits"])
def test_an_old_mosaic_of_another_mode_does_not_decide_the_mode(folder, frames, tmp_path, old):
    """A classic log stays classic, the hole is judged, and the old mosaic is named."""
    fits.writeto(folder / old, np.ones((8, 8), np.float32), fits.getheader(folder / "zemosaic_MT2_R4.fits"))
    found = autopsy.examine(folder, LogText().begin().finish().write(tmp_path / "x.log"), frames)
    plain = autopsy.examine(made(tmp_path / "plain"), tmp_path / "x.log", frames)
    assert found.record.request.mode == "classic"
    assert found.record.products.mosaic == "outputs/zemosaic_MT2_R4.fits"
    assert outcomes(found) == outcomes(plain)
    assert f"Mosaics of other runs, which are not judged: {old}." in said(found)


@pytest.mark.parametrize("zone", [0, 2 * 3600, -9.5 * 3600])
def test_files_older_than_the_logged_run_are_of_an_earlier_one(folder, tmp_path, zone):
    """Where the mosaic's time agrees with the log, in any time zone, tiles and caches older than the run are not its own."""
    (folder / ".zemosaic_img_cache").mkdir()
    cache = ".zemosaic_img_cache/preprocessed_p0_0_1.npy"
    (folder / cache).write_bytes(b"x")
    dated(folder, 9 + zone, *OWN)
    dated(folder, zone - 3000, OWN[3], cache)
    found = autopsy.examine(folder, LogText().begin().finish().write(tmp_path / "x.log"))
    assert [tile.tile for tile in found.record.products.tiles] == [0]
    assert "Files of an earlier run, which are not judged: 2" in said(found)
    assert outcomes(found)["left"] is Outcome.PASS


def test_times_of_copied_files_say_nothing(folder, tmp_path):
    """If the mosaic's time is not the log's, the files were copied, and no file counts as older."""
    (folder / ".zemosaic_img_cache").mkdir()
    cache = ".zemosaic_img_cache/preprocessed_p0_0_1.npy"
    (folder / cache).write_bytes(b"x")
    dated(folder, 400, *OWN)
    dated(folder, -3000, cache)
    found = autopsy.examine(folder, LogText().begin().finish().write(tmp_path / "x.log"))
    assert len(found.record.products.tiles) == 2
    assert outcomes(found)["left"] is Outcome.FAIL


def test_a_tile_that_was_taken_over_is_named_in_an_autopsy(folder, tmp_path):
    """The log of a resumed run says how many tiles it re-used, and shows which were begun."""
    log = LogText().begin()
    log.lines = [line for line in log.lines if "'tile_id': 1" not in line]
    log.told("Resume master tiles: reused 1/2 from manifest, rebuilding 1.")
    dated(folder, 9, *OWN[:3])
    dated(folder, -3000, OWN[3])
    found = autopsy.examine(folder, log.finish().write(tmp_path / "x.log"))
    assert "Tile 1 was taken over from an earlier run." in said(found)
    assert {tile.tile: tile.earlier for tile in found.record.products.tiles} == {0: False, 1: True}
    assert Outcome.PASS not in {v.outcome for v in found.verdicts if v.check != "left"}


def test_a_folder_without_a_log_is_examined_by_its_newest_mosaic(folder):
    """Without a log the newest mosaic is meant, and the other one is named."""
    fits.writeto(
        folder / "mosaic_grid.fits", np.ones((8, 8), np.float32), fits.getheader(folder / "zemosaic_MT2_R4.fits")
    )
    dated(folder, 0, "mosaic_grid.fits")
    found = autopsy.examine(folder)
    assert found.record.request.mode == "classic"
    assert found.record.products.mosaic == "outputs/zemosaic_MT2_R4.fits"
    assert "not judged: mosaic_grid.fits" in said(found)


def test_a_mosaic_among_the_frames_is_named(folder, frames, tmp_path):
    """The target's own mosaic is not one of the frames that its tiles must cover."""
    fits.writeto(frames / "zemosaic_MT2_R4.fits", np.ones((8, 8), np.float32), fits.getheader(frames / frame(0).name))
    found = autopsy.examine(folder, LogText().begin().finish().write(tmp_path / "x.log"), frames)
    assert len(found.record.request.dataset.frames) == 4
    assert "among the frames are no frames: zemosaic_MT2_R4.fits" in said(found)


def test_a_coverage_map_alone_does_not_tie_a_log_to_a_folder(folder, tmp_path):
    """A log belongs to the folder if the mosaic is there; its coverage map may be of another run."""
    (folder / "zemosaic_MT2_R4.fits").unlink()
    found = autopsy.examine(folder, LogText().begin().finish().write(tmp_path / "x.log"))
    assert "which is not in the folder" in said(found)
    assert Outcome.PASS not in outcomes(found).values()


def recounted(folder, tile, images, aligned):
    """Rewrite the counts in the header of a kept tile."""
    path = folder / "zemosaic_temp_master_tiles" / f"master_tile_{tile:03d}.fits"
    fits.setval(path, "ZMT_NRAW", value=images)
    fits.setval(path, "HIERARCH ZMT_NALGN", value=aligned)


def a_log_of_small_groups(frames, *, stated=True):
    """Return the log of a run whose tile 1 has so few ``frames`` that the target repeats them to five."""
    log = LogText().begin().finish()
    log.lines = [line.replace("'num_raw': 2, 'tile_id': 1", f"'num_raw': {frames}, 'tile_id': 1") for line in log.lines]
    if stated:
        at = next(n for n, line in enumerate(log.lines) if "'tile_id': 1" in line)
        line = log.lines[at].partition(" - ")[0]
        text = f"[Batch] Duplicating frames: original={frames} \u2192 final=5 for tile 1"
        log.lines.insert(at + 1, f"{line} - ZeMosaicWorker - INFO - zemosaic_worker.create_master_tile:10242 - {text}")
    return log


@pytest.mark.parametrize("stated", [True, False], ids=["stated", "by the event"])
def test_one_frame_that_is_repeated_to_five_is_one_frame(tmp_path, stated):
    """A tile of one frame, five images in its header and one aligned, lacks no frame; of two frames it may lack one."""
    folder = made(tmp_path / "out", aligned=(2, 2))
    recounted(folder, 1, 5, 1)
    found = autopsy.examine(folder, a_log_of_small_groups(1, stated=stated).write(tmp_path / "one.log"))
    assert outcomes(found)["warnings"] is Outcome.PASS
    assert "Tile 1 was made" not in said(found)
    assert "of 5" not in said(found)
    found = autopsy.examine(folder, a_log_of_small_groups(2, stated=stated).write(tmp_path / "two.log"))
    assert outcomes(found)["warnings"] is Outcome.UNKNOWN
    assert "Tile 1 was made from 1 or more of its 2 frames" in said(found)
    found = autopsy.examine(folder)
    assert "The header of tile 1 counts 1 of 5 images." in said(found)


def test_the_parts_of_a_tile_are_not_its_frames(tmp_path):
    """The header of a tile that was merged from parts counts parts: they are named so, and confirm no frames."""
    folder = made(tmp_path / "out", aligned=(2, 2))
    recounted(folder, 1, 4, 2)
    found = autopsy.examine(folder, a_log_of_small_groups(12, stated=False).write(tmp_path / "x.log"))
    assert "Tile 1 was made from 2 of its 4 parts." in said(found)
    assert outcomes(found)["warnings"] is Outcome.UNKNOWN


def test_a_lost_cache_of_a_repeated_frame_is_counted_once(folder, tmp_path):
    """A frame that a tile repeats is reported five times; the answer counts one cache."""
    log = LogText().begin("per_tile", lost=["p1_1.fits"] * 5).finish().write(tmp_path / "x.log")
    assert "(caches: 1, tiles: 1)" in autopsy.examine(folder, log).answer.render()
