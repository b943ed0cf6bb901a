"""Compare the outputs of two runs by the data of each image, and find which run of one session is which of the other."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from harness.analysis.canvas import canvas_of, on_canvas
from harness.analysis.footprint import pixel_scale
from harness.analysis.wcs import on_sky
from harness.checks.parity import Difference, Likeness
from harness.checks.parity import compare as alike
from harness.checks.thresholds import Thresholds
from harness.compare.model import Grade, ImageChange, OutputChange
from harness.compare.pixels import values_between
from harness.compare.sides import Side
from harness.compare.verdicts import OTHER_VERSIONS
from harness.language.message import Message, say
from harness.record.convert import to_json
from harness.record.products import Plane, Products
from harness.record.reader import Record, read_record, read_request
from harness.record.values import RecordError
from harness.session.model import RunEntry
from harness.session.roles import ROLES

T = TypeVar("T")

GRID = "mosaic WCS"
_GRADES: Mapping[str, Grade] = MappingProxyType(
    {
        "identical": "identical",
        "within rounding": "within rounding",
        "as two good runs differ": "as two good runs differ",
        "different": "different",
    }
)
_DECIDING = frozenset({"subject", "pair"})


def paired(before: Side, after: Side) -> tuple[list[tuple[RunEntry, RunEntry]], list[str], list[str]]:
    """Return the runs of two sessions that belong together, and the keys of the others.

    Equal keys belong together: such a key has the hash of the request. Else a case, role, retention, mode, number of workers and
    dataset must be equal, and what was asked of the target, or there must be one such run on either side.
    """
    ours = list(before.session.runs) if before.session is not None else []
    theirs = list(after.session.runs) if after.session is not None else []
    pairs: list[tuple[RunEntry, RunEntry]] = []
    asked = [{run.key: _asked(side, run) for run in runs} for side, runs in ((before, ours), (after, theirs))]
    rules: Sequence[Callable[[int, RunEntry], Hashable]] = (
        lambda _, run: (run.key, run.case, run.role),
        lambda side, run: (*_kind(run), asked[side][run.key]),
        lambda _, run: _kind(run),
    )
    for rule in rules:
        found = list(_matches(ours, theirs, rule))
        pairs += found
        ours = [run for run in ours if all(run is not one for one, _ in found)]
        theirs = [run for run in theirs if all(run is not other for _, other in found)]
    pairs.sort(
        key=lambda p: (p[1].role not in _DECIDING, p[1].role in OTHER_VERSIONS, p[1].case, _place(p[1].role), p[1].key)
    )
    return pairs, [run.key for run in ours], [run.key for run in theirs]


def _place(role: str) -> int:
    """Return the place of a role in the order of display."""
    return list(ROLES).index(role) if role in ROLES else len(ROLES)


def _matches(
    ours: Sequence[RunEntry], theirs: Sequence[RunEntry], rule: Callable[[int, RunEntry], Hashable]
) -> Iterator[tuple[RunEntry, RunEntry]]:
    """Yield the runs that a rule puts together, if it does so for one run on either side."""
    groups: dict[Hashable, tuple[list[RunEntry], list[RunEntry]]] = {}
    for side, runs in enumerate((ours, theirs)):
        for run in runs:
            groups.setdefault(rule(side, run), ([], []))[side].append(run)
    for one, other in groups.values():
        if len(one) == len(other) == 1:
            yield one[0], other[0]


def _kind(run: RunEntry) -> tuple[Hashable, ...]:
    return run.case, run.role, run.retention, run.mode, run.workers, run.dataset


def _asked(side: Side, run: RunEntry) -> str:
    """Return what a run was asked for, without its target; empty if that can't be read."""
    try:
        request = read_request(side.record_of(run.key))
    except (RecordError, OSError):
        return ""
    names = ("plan", "schedule", "faults", "config", "seed", "profile")
    return json.dumps([request.dataset.sha256, *(to_json(getattr(request, name)) for name in names)], sort_keys=True)


def read_outputs(side: Side, key: str | None) -> Record | Message:
    """Read the record of a run, or say why its outputs can't be compared."""
    try:
        record = read_record(side.record_of(key))
    except RecordError as error:
        return error.messages[0]
    except OSError as error:
        return say("The record can't be read: {error}", error=str(error))
    if record.damage:
        tampered = record.seal is not None and record.seal.tampered
        sealed = say("Files changed since the record was sealed: {what}", what="; ".join(record.damage[:5]))
        return say("The target replaced parts of its record: {what}", **sealed.values) if tampered else sealed
    if record.seal is None:
        return say("The record of {run} is not sealed: its run did not end.", run=record.folder.name)
    if record.products is None:
        return say("The outputs of {run} were not measured.", run=record.folder.name)
    return record


def output_change(
    named: tuple[str, str, str, str], before: Record | Message, after: Record | Message, limits: Thresholds
) -> OutputChange:
    """Compare the outputs of two runs. ``named`` is the case, the role, and the key of either run."""
    case, role, _, key = named
    decides = role in _DECIDING
    problems = tuple(side for side in (before, after) if isinstance(side, Message))
    if isinstance(before, Message) or isinstance(after, Message):
        return OutputChange(*named, "not compared", problems, decides=decides)
    ours, theirs = after.products, before.products
    if ours is None or theirs is None:  # `read_outputs` refused such a record
        return OutputChange(*named, "not compared", (), decides=decides)
    if ours.mosaic is None and theirs.mosaic is None:
        return OutputChange(*named, "no mosaic in either run", (), decides=decides)
    likeness = alike(after, before, limits, name=named[2])
    images = tuple(_images(before, after, likeness))
    grade, what = likeness.grade, likeness.what
    if grade == "not measured":
        # The other run has no mosaic, or an image has no values: that is a difference if the data say so.
        grade = "different" if any(not image.equal for image in images) else grade
    lost, new = _sky(theirs, ours) if grade != "identical" else (None, None)
    return OutputChange(case, role, named[2], key, _GRADES.get(grade, "not compared"), what, images, lost, new, decides)


def _images(before: Record, after: Record, likeness: Likeness) -> Iterator[ImageChange]:
    """Compare the images of both runs: of the mosaic, and of its coverage map."""
    yield ImageChange(GRID, _grid(before.products), _grid(after.products))
    blocks = {difference.image: difference for difference in likeness.images}
    for label, one, other in _image_pairs(before.products, after.products):
        digests = (None if one is None else one.sha256, None if other is None else other.sha256)
        if one is None or other is None or one.sha256 == other.sha256:
            yield ImageChange(label, *digests)
            continue
        if one.shape != other.shape:
            yield ImageChange(label, *digests, "shape")
            continue
        found = values_between((before, one), (after, other))
        if found is not None:
            largest = _finite(found.largest)
            yield ImageChange(label, *digests, "values", found.finite, found.in_one, largest)
        else:
            yield _of_blocks(label, digests, blocks.get(label))


def _of_blocks(label: str, digests: tuple[str | None, str | None], found: Difference | None) -> ImageChange:
    """Describe a difference without the pixels, by the statistics of blocks if these were compared."""
    if found is None or found.empty:
        return ImageChange(label, *digests)
    return ImageChange(label, *digests, "blocks", largest=_finite(found.largest))


def _grid(products: Products | None) -> str | None:
    """Return a digest of the mosaic's WCS and shape. Equal data on another grid are another mosaic."""
    if products is None or products.mosaic is None:
        return None
    # A card that differs by rounding is the same card.
    cards = {n: f"{v:.10g}" if isinstance(v, int | float) else v for n, v in on_sky(products.wcs).items()}
    facts = json.dumps([sorted(cards.items()), products.covered.shape, products.step])
    return hashlib.sha256(facts.encode()).hexdigest()


def _image_pairs(before: Products | None, after: Products | None) -> Iterator[tuple[str, Plane | None, Plane | None]]:
    """Yield the images that belong together: of one kind and name, and of those left, in the order of the file."""
    ours, theirs = _labelled(before), _labelled(after)
    left = {name: plane for name, plane in theirs.items() if name not in ours}
    for name, plane in ours.items():
        if name in theirs:
            yield name, plane, theirs[name]
            continue
        kind = name.partition(" ")[0]
        other = next((n for n in left if n.partition(" ")[0] == kind), None)  # another version may name it otherwise
        if other is None:
            yield name, plane, None
        else:
            yield f"{name} → {other.partition(' ')[2]}", plane, left.pop(other)
    for name, plane in left.items():
        yield name, None, plane


def _labelled(products: Products | None) -> dict[str, Plane]:
    """Return the images of a run by kind and name; the second of one name has a number."""
    found: dict[str, Plane] = {}
    if products is None:
        return found
    for plane in products.planes:
        label = name = f"{'mosaic' if plane.file == products.mosaic else 'coverage'} {plane.name}"
        number = 1
        while name in found:
            number += 1
            name = f"{label} {number}"
        found[name] = plane
    return found


def _finite(value: float) -> float | None:
    return float(f"{value:.7g}") if math.isfinite(value) else None


def _sky(before: Products, after: Products) -> tuple[float | None, float | None]:
    """Return the sky that only one of two mosaics covers, in square arcminutes; ``None`` if they can't be placed together."""
    if before.mosaic is None or after.mosaic is None:
        return None, None
    try:
        canvas, place = canvas_of(before, after, (), 0)
        one, other = (on_canvas(canvas, products, before, place) for products in (before, after))
        element = (pixel_scale(canvas.cards) / 60) ** 2
    except ValueError:  # a FootprintError is one
        return None, None
    return tuple(float(f"{element * int(mask.sum()):.6g}") for mask in (one & ~other, other & ~one))  # type: ignore[return-value]
