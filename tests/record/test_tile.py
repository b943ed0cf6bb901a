"""Test that calls of the maker within the making of a tile are its parts, and never tiles of their own."""

from harness.record.tile import TileStep, tiles_of

RAW = ("a.fits", "b.fits", "c.fits", "d.fits")
CACHES = tuple(f"outputs/cache/preprocessed_{name[0]}.npy" for name in RAW)
TILES = "outputs/tiles"


def step(t, state, tile, frames=(), caches=(), thread="Ph3_0", **more):  # noqa: PLR0917 -- one line for each step
    """Return one step."""
    return TileStep(t, 1, thread, state, tile, tuple(frames), tuple(caches), **more)


def chunked(**of_parts):
    """Return the steps of tile 0, made of chunks 1 and 2 and merged, while tile 1 is submitted and made by another thread."""
    inner = [f"{TILES}/.p3_internal_tile_0000/chunk_000{n}.npy" for n in (1, 2)]
    return (
        step(0, "submitted", 0, RAW, CACHES, "MainThread"),
        step(1, "started", 0, RAW, CACHES),
        step(2, "submitted", 1, RAW[:1], CACHES[:1], "MainThread"),
        step(3, "started", 1, RAW[:2], CACHES[:2], **of_parts),
        step(4, "started", 1, RAW[:1], CACHES[:1], "Ph3_1"),
        step(5, "ended", 1, outcome="made", path=f"{TILES}/master_tile_001.fits", reference="a.fits", **of_parts),
        step(6, "started", 2, RAW[2:], CACHES[2:], **of_parts),
        step(7, "ended", 2, outcome="made", path=f"{TILES}/master_tile_002.fits", reference="d.fits", **of_parts),
        step(8, "ended", 1, thread="Ph3_1", outcome="made", path=f"{TILES}/master_tile_001.fits"),
        step(9, "started", 0, ("master_tile_001.fits", "master_tile_002.fits"), inner, **of_parts),
        step(
            10,
            "ended",
            0,
            outcome="made",
            path=f"{TILES}/master_tile_000.fits",
            reference="master_tile_002.fits",
            **of_parts,
        ),
        step(11, "ended", 0, outcome="made", path=f"{TILES}/master_tile_000.fits"),
        step(12, "submitted", 3, ("master_tile_002.fits",), inner[1:], "MainThread", retry_of=0),
    )


def test_chunks_are_parts_of_their_tile_and_not_the_tiles_of_their_numbers():
    """Chunk 1 of tile 0 is not tile 1. Records made before ``part_of`` show it too: a chunk starts and ends within its tile."""
    for steps in (chunked(part_of=0), chunked()):
        zero, one, retry = tiles_of(steps)
        assert (zero.ended, one.ended, one.started) == (11, 8, 4)
        assert [part.tile for part in zero.parts] == [1, 2, 0]
        assert [part.tile for part in zero.merged] == [1, 2]
        assert (zero.frames, zero.reference) == (RAW, "d.fits")
        assert (one.parts, retry.frames) == ((), RAW[2:])


def test_a_tile_whose_end_was_lost_has_no_parts():
    """After a lost line the next tile of the thread is a tile of its own."""
    steps = (step(0, "started", 0, RAW), step(1, "started", 1, RAW), step(2, "ended", 1, outcome="made"))
    assert [tile.parts for tile in tiles_of(steps)] == [(), ()]
