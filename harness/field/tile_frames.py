"""Read from the headers of kept tiles whether each tile has all its frames.

A header counts images. It counts frames of a small group several times, and parts instead of frames for a tile made of parts; the
log states the number of frames.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis.repeated import least_frames, repeated
from harness.field.whole_log import begun_tiles
from harness.language.message import Message, say
from harness.record.products import Products, TileProduct
from harness.record.reader import Record

_REPEATED_TO = 5  # ZeMosaic repeats the frames of smaller groups until it has this many


def is_whole(tile: TileProduct, frames: int | None) -> bool:
    """Return whether the header of a tile confirms that it has all frames that the log states, which it may repeat."""
    if tile.frames is None or tile.aligned is None or frames is None or tile.frames < frames:
        return False
    return least_frames(frames, tile.frames, tile.aligned) == frames


def short_tiles(record: Record, products: Products) -> Iterator[Message]:
    """Yield a sentence for each kept tile that lacks frames. A header counts repeated frames, or parts, instead of frames."""
    stated = {**begun_tiles(record.history.events), **repeated(record.history)}
    for tile in products.tiles:
        images, aligned = tile.frames, tile.aligned
        if images is None or aligned is None or aligned >= images:
            continue
        frames = stated.get(tile.tile) or images
        if images < frames:
            yield say(
                "Tile {tile} was made from {aligned} of its {parts} parts.",
                tile=tile.tile,
                aligned=aligned,
                parts=images,
            )
        elif images > frames and (least := least_frames(frames, images, aligned)) < frames:
            yield say(
                "Tile {tile} was made from {least} or more of its {frames} frames, which are repeated in it.",
                tile=tile.tile,
                least=least,
                frames=frames,
            )
        elif images == frames == _REPEATED_TO and tile.tile not in stated:
            yield say(
                "The header of tile {tile} counts {aligned} of {frames} images. Frames of a group of fewer than {frames} count "
                "several times.",
                tile=tile.tile,
                aligned=aligned,
                frames=frames,
            )
        elif images == frames:
            yield say(
                "Tile {tile} was made from {aligned} of its {frames} frames.",
                tile=tile.tile,
                aligned=aligned,
                frames=frames,
            )
