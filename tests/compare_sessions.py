"""Write sessions whose records have mosaics with pixels, for tests that compare sessions."""

from dataclasses import replace

import numpy as np
from astropy.io import fits

from harness.record.reader import read_request
from harness.record.seal import seal
from harness.run.measure import measure
from harness.session.integrity import seal_session
from harness.session.model import read_session, write_session
from tests.sample_session import cards, sample_session

ROWS, COLUMNS = 70, 100
RUNS = ("subject-per_tile", "pair-run_end", "control-per_tile", "control-pair-run_end")
NAME = "outputs/zemosaic_MT4_R12.fits"


def session_with_mosaics(folder, kind="reference", **changes):
    """Write a sample session whose records have a mosaic and a coverage map; return the session.

    ``changes`` name a run, with ``_`` for ``-``, and give a function that changes its pixels before they are written.
    """
    session = sample_session(folder, kind)
    for run in session.runs:
        write_mosaic(folder / run.record, changes.get(run.key.replace("-", "_")))
    seal_session(folder)
    return session


def write_mosaic(record, change=None):
    """Write the mosaic of a run, measure it, and seal the record. ``change`` gets pixels and coverage, and may return others."""
    rng = np.random.default_rng(5)
    pixels = rng.normal(200, 5, (3, ROWS, COLUMNS)).astype(np.float32)
    coverage = np.full((ROWS, COLUMNS), 4, np.float32)
    if change is not None:
        pixels, coverage = change(pixels, coverage) or (pixels, coverage)
    header = fits.Header({**cards(), "CRPIX1": coverage.shape[1] / 2 + 0.5, "CRPIX2": ROWS / 2 + 0.5})
    (record / "outputs").mkdir(exist_ok=True)
    fits.writeto(record / NAME, pixels, header, overwrite=True)
    fits.writeto(record / NAME.replace(".fits", "_coverage.fits"), coverage, header, overwrite=True)
    measure(record, read_request(record))
    seal(record, "done", 0, "", 1.0)


def one_star_brighter(pixels, _coverage):
    """Change two values of the mosaic, and no value of its coverage map."""
    pixels[1, 30, 40] += 40
    pixels[2, 31, 40] = np.nan


def narrower(pixels, coverage):
    """Cut a third of the mosaic away: another canvas."""
    return pixels[:, :, :70], coverage[:, :70]


def change_session(folder, **parts):
    """Write a session again with other parts."""
    write_session(replace(read_session(folder), **parts), folder)
