"""Check a run's frames and plan before its start."""

from __future__ import annotations

import shutil
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits

from harness.analysis.wcs import Cards, FootprintError, wcs_of
from harness.language.message import Message, SaidError, say
from harness.record import limits
from harness.record.fits_file import require_fits
from harness.record.request import DatasetFacts, FrameFacts
from harness.record.values import open_regular

CACHE_BYTES = 12
"""Bytes that a frame's cache takes for each pixel: three channels of float32."""

MASK_BYTES = 3
"""Bytes that a frame's hot-pixel mask takes for each pixel."""

OUTPUT_BYTES = 12
"""Bytes of tiles and mosaic for each input pixel: an upper estimate, for frames without overlap."""

LISTED = 5
"""Frames that a sentence names; the rest is counted."""

Plan = Sequence[Sequence[str]] | None
"""Frame names by tile, or ``None`` when the target makes its own plan."""


class InputError(SaidError):
    """Raised before a run starts, when it can't use its frames or its plan."""


def require_inputs(
    folder: Path, facts: DatasetFacts, plan: Plan, *, room: Path | None = None, contents: bool = True
) -> None:
    """Raise ``InputError`` when ``check_inputs`` finds any problem."""
    problems = check_inputs(folder, facts, plan, room=room, contents=contents)
    if problems:
        raise InputError(*problems)


def check_inputs(
    folder: Path, facts: DatasetFacts, plan: Plan, *, room: Path | None = None, contents: bool = True
) -> tuple[Message, ...]:
    """Return the problems of a dataset and a plan (frame names by tile); a run with any problem must not start.

    With ``room``, the folder of the record, its volume must have room for the run. With ``contents`` the frames are opened too
    (about 1 ms each), to find truncated files and frames of NaN only.
    """
    if not facts.frames:
        return (
            say(
                "Expected frames in the dataset {dataset} ({folder}), found no frame: put FITS lights with a "
                "celestial WCS there.",
                dataset=facts.name,
                folder=str(folder),
            ),
        )
    problems = [*_names(facts), *_plan(facts, plan), *_shapes(facts)]
    for frame in facts.frames:
        problems += _frame(folder, frame, contents=contents)
    if room is not None:
        problems += _room(folder, facts, room)
    return tuple(problems)


def traits(facts: DatasetFacts) -> tuple[Message, ...]:
    """Name the frames that hold no data in a part of their pixels or in all. A run can start; checks leave out that sky."""
    blank = [frame.name for frame in facts.frames if frame.hull == ()]
    bordered = [frame.name for frame in facts.frames if frame.hull]
    found = []
    if blank:
        found.append(
            say(
                "Frames without data (every pixel is 0 or NaN): {count} of {total} ({names}). They show no sky: take them out.",
                count=len(blank),
                total=len(facts.frames),
                names=_first(blank),
            )
        )
    if bordered:
        found.append(
            say(
                "Frames with borders without data (0 or NaN): {count} of {total} ({names}). The mosaic need not cover that sky.",
                count=len(bordered),
                total=len(facts.frames),
                names=_first(bordered),
            )
        )
    return tuple(found)


def _first(names: Sequence[str]) -> str:
    """List the first names, with an ellipsis if there are more."""
    return ", ".join(names[:LISTED]) + (", …" if len(names) > LISTED else "")


def is_celestial(cards: Cards) -> bool:
    """Return whether WCS cards put axes 1 and 2 on the sky, with a stated origin and a usable scale.

    Every frame is tested by this rule.
    """
    try:
        wcs_of(cards)
    except FootprintError:
        return False
    return True


def room_needed(folder: Path, facts: DatasetFacts) -> int:
    """Estimate the bytes that a run needs: copies of the frames, caches, masks, tiles and mosaic."""
    pixels = sum(frame.shape[0] * frame.shape[1] for frame in facts.frames)
    copies = sum(path.stat().st_size for frame in facts.frames if (path := folder / frame.name).is_file())
    return copies + pixels * (CACHE_BYTES + MASK_BYTES + OUTPUT_BYTES)


def _names(facts: DatasetFacts) -> Iterator[Message]:
    seen: dict[str, str] = {}
    for frame in facts.frames:
        if frame.name in {"", ".", ".."} or set(frame.name) & set("/\\\0"):
            yield say("Expected a plain file name for a frame, found {name}: rename the file.", name=frame.name)
        # Some file systems can't hold two names that differ only in case or in the encoding of accents.
        key = unicodedata.normalize("NFC", frame.name).casefold()
        if key in seen:
            yield say(
                "Expected every frame of {dataset} to have a name of its own, found {first} and {second}: rename one of them.",
                dataset=facts.name,
                first=seen[key],
                second=frame.name,
            )
        seen.setdefault(key, frame.name)


def _plan(facts: DatasetFacts, plan: Plan) -> Iterator[Message]:
    if plan is None:
        return
    if not plan:
        yield say("Expected a plan with at least one tile, found an empty one: leave the plan out or name its tiles.")
    known = {frame.name for frame in facts.frames}
    for tile, names in enumerate(plan):
        if not names:
            yield say(
                "Expected frames for tile {tile} of the plan, found an empty group: name frames or leave the tile out.",
                tile=tile,
            )
        for name in names:
            if name not in known:
                yield say(
                    "Expected the plan to name frames of {dataset}, found {name} for tile {tile}, which is not there: "
                    "correct the plan or add the frame.",
                    dataset=facts.name,
                    name=name,
                    tile=tile,
                )


def _shapes(facts: DatasetFacts) -> Iterator[Message]:
    shapes: dict[tuple[int, int], list[str]] = {}
    for frame in facts.frames:
        shapes.setdefault(frame.shape, []).append(frame.name)
    if len(shapes) > 1:
        usual, *others = sorted(shapes, key=lambda shape: -len(shapes[shape]))
        odd = [name for shape in others for name in shapes[shape]]
        yield say(
            "Expected frames of one shape in {dataset}, found {count} that are not {rows} x {columns} ({names}): "
            "make a dataset of each shape.",
            dataset=facts.name,
            count=len(odd),
            rows=usual[0],
            columns=usual[1],
            names=", ".join(odd[:3]),
        )


def _frame(folder: Path, frame: FrameFacts, *, contents: bool) -> Iterator[Message]:
    path = folder / frame.name
    if not path.is_file():
        yield say(
            "Expected the frame {name} in {folder}, found no such file: put it back.",
            name=frame.name,
            folder=str(folder),
        )
        return
    if not is_celestial(frame.wcs):
        yield say(
            "Expected a celestial WCS in {name} (CTYPE, CRVAL and a scale), found no such cards: solve the "
            "frame first, or leave it out.",
            name=frame.name,
        )
    if contents:
        yield from _contents(path)


def _contents(path: Path) -> Iterator[Message]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the messages below name the problem
            require_fits(path, pixels=limits.FRAME_PIXELS, links=True)
            with (
                open_regular(path, limits.HASHED_BYTES, links=True) as stream,
                fits.open(stream, memmap=True, do_not_scale_image_data=True) as hdus,
            ):
                index = next(
                    (i for i, hdu in enumerate(hdus) if hdu.is_image and hdu.header.get("NAXIS", 0) >= 2), None
                )
                if index is None:
                    yield say("Expected an image in {name}, found no image HDU: leave the file out.", name=path.name)
                    return
                hdu = hdus[index]
                expected, found = _length(hdu), path.stat().st_size
                if expected > found and not _is_packed(path):
                    yield say(
                        "Expected {expected} bytes in {name}, found {found}: the file is cut off; copy it again or leave it out.",
                        expected=expected,
                        name=path.name,
                        found=found,
                    )
                elif not _has_a_number(hdu):
                    yield say("Expected numbers in {name}, found only NaN: leave the frame out.", name=path.name)
    except Exception as error:  # noqa: BLE001 -- astropy raises many kinds of errors for damaged files
        yield say(
            "Expected a FITS file in {name}, found one that can't be read ({error}): copy it again or leave it out.",
            name=path.name,
            error=str(error) or type(error).__name__,
        )


def _length(hdu: fits.PrimaryHDU | fits.ImageHDU) -> int:
    """Return the minimum length of the file: up to the image's last byte, without the padding after it."""
    return int(hdu.fileinfo()["datLoc"]) + int(hdu.size)


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() in {".gz", ".bz2", ".fz", ".z", ".xz"}


def _has_a_number(hdu: fits.PrimaryHDU | fits.ImageHDU) -> bool:
    """Return whether an image has a finite value; good frames answer with their first row."""
    if not hdu.header["BITPIX"] < 0:
        return bool(hdu.shape)
    return any(bool(np.isfinite(hdu.section[place]).any()) for place in np.ndindex(hdu.shape[:-1]))


def _room(folder: Path, facts: DatasetFacts, room: Path) -> Iterator[Message]:
    there = next(parent for parent in (room, *room.absolute().parents) if parent.exists())
    try:
        free = shutil.disk_usage(there).free
    except OSError:
        return  # the run itself will report a full disk
    needed = room_needed(folder, facts)
    if free < needed:
        yield say(
            "Expected {needed} MB free for a run on {dataset}, found {free} MB in {folder}: free some, or record elsewhere.",
            needed=round(needed / 1e6, 1),
            dataset=facts.name,
            free=round(free / 1e6, 1),
            folder=str(there),
        )
