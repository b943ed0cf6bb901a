"""The limits of what the harness reads of a record, a session, a case or a user's file. `docs/protocol.md` lists them.

They bound memory and time for any input. They were fitted on stored runs of ZeMosaic and of the reference. The largest have 173
lines and 48 kB of lines for each frame, and 5.1 kB in the longest line, so that a run of 5,000 frames is within the limits.
Everything else has a factor of 10 or more between the largest good run and the limit.
"""

from __future__ import annotations

KB, MB, GB = 10**3, 10**6, 10**9

LINES = 1_000_000
"""Lines in all ``*.jsonl`` files of one kind: all events and traces together; each file of samples by itself."""

LINE_BYTES = 1 * MB
"""Bytes of one line. The probe cuts texts to 8,192 characters."""

LINES_BYTES = 400 * MB
"""Bytes of all events and traces together, and of each other file of lines."""

RECORD_MEMORY = 400 * 2**20
"""Estimated bytes of memory that all parts of a record take together when they are read."""

LINES_MEMORY = 350 * 2**20
"""Estimated bytes of memory that the events and traces of a record take when they are read."""

SAMPLES_MEMORY = 50 * 2**20
"""Estimated bytes of memory that each other file of lines takes: samples, files left, input files."""

JSON_BYTES = 64 * MB
"""Bytes of a file that holds one JSON object: a request, a seal, a session, a share. Stored ones have up to 0.9 MB."""

JSON_MEMORY = 200 * 2**20
"""Estimated bytes of memory that such a file takes when it is read."""

TEXT_BYTES = 64 * MB
"""Bytes of a text or picture: a console, a page, a thumbnail, a table. The guard keeps 20 MB of a target's output."""

SMALL_BYTES = 1 * MB
"""Bytes of a file with a few facts: a pointer to the last session, the probe's notes on a user's run."""

ARCHIVE_BYTES = 256 * MB
"""Bytes of ``products.npz`` as stored."""

ARRAYS_BYTES = 320 * MB
"""Bytes of memory that all arrays in ``products.npz`` take, unpacked: masks of 25 million elements take 200 MB, and the block
statistics of 10⁹ pixels in five channels 110 MB."""

ARRAYS = 1_000
"""Arrays in ``products.npz``."""

HASHED_BYTES = 16 * GB
"""Bytes of one file of a record, of which the seal has the SHA-256. A mosaic of 10⁹ pixels in three channels has 12 GB."""

RECORD_BYTES = 64 * GB
"""Bytes of all files of a record that the seal hashes."""

SPARSE_BYTES = 1 * GB
"""Bytes of a file from which it is not hashed if less than 1 % of them is written: a file of holes."""

ENTRIES = 200_000
"""Files and folders that a target may leave in a record. A run of 5,000 frames leaves some 20,000."""

DEPTH = 64
"""Folders in each other below a record."""

PIXELS = 1_000_000_000
"""Pixels of an image that is measured, in one channel: rows by columns."""

SIDE = 32_768
"""Pixels of a row or a column of an image that is measured."""

FRAME_PIXELS = 200_000_000
"""Pixels of a frame, in one channel: rows by columns. Cameras for astronomy have up to 151 million pixels."""

HEADER_BLOCKS = 1_000
"""Blocks of 2,880 bytes of all headers of a FITS file: 36,000 cards. Read by astropy, they take 22 MB of memory."""

HDUS = 1_000
"""Header and data units of a FITS file."""

AXES = 16
"""Axes of a FITS image."""

TILES = 50_000
"""Master tiles whose headers are read."""

TILE_HEADERS_BYTES = 300 * MB
"""Bytes of the headers of all master tiles: they are read in 22 s. Those of good runs have up to 29 kB a tile."""

CARD_TEXT = 8_192
"""Characters of a text of a header that is kept, as long as the probe's texts. CONTINUE cards can make it 2.4 MB."""

MEASURE_SECONDS = 3_600.0
"""Seconds that measuring the products of a run may take. A mosaic of 64 million pixels in three channels took 365 s on a busy
machine."""

SEARCHED_BYTES = 1 * GB
"""Bytes that are hashed to compare the input files after a run, in addition to `SEARCHED_TIMES` those of the frames."""

SEARCHED_TIMES = 3
"""Once for the frames that are there, twice for files of equal size that may be frames that were moved."""

SEARCH_SECONDS = 3_600.0
"""Seconds that this may take."""
