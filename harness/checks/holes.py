"""Compare the covered sky with the sky that must be covered.

A *differential* hole is sky that the pair with ``run_end`` covers and the run with ``per_tile`` does not: retention made it.
An *absolute* hole is required sky that the run does not cover. Required sky is in classic mode the outline of each tile's
reference frame less the crop margin, in SDS the sky that enough frames cover, in grid mode the outline of every frame. The
union of all frames is too much: in good runs dithers and drift leave 7 to 22 % of it uncovered. Such sky is *trimmed*:
reported, but no hole. Grid mode has no retention, so its pair has the same holes: there, the run must also cover the required
sky that the baseline covers.

Covered sky that is filled with a constant where frames have data shows no sky. It counts as not covered, in each run.

All masks are compared on one canvas: the pair's grid, widened by whole pixels to hold both mosaics and all required sky, because
a lost tile at the edge makes the mosaic smaller. So the pair's mask is never resampled. The run's mask is resampled once, to the
nearest pixel, and only if its grid differs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import approximate_polygon, find_contours

from harness.analysis.canvas import Canvas, Mask, canvas_of, frames_per_element, on_canvas
from harness.analysis.causes import MAX_LISTED, Causes, listed
from harness.analysis.figure import Evidence, Figure, Numbers, Unit, every, number_in, rows_in, total
from harness.analysis.filled import without_filling
from harness.analysis.footprint import Box, outlines, per_outline, raster, sky_of
from harness.analysis.phase3 import setting, twin
from harness.analysis.regions import Component, components
from harness.analysis.stars import measured
from harness.checks.base import Check, Runs
from harness.checks.premises import ALWAYS, ELSEWHERE, MODE_REACHED, SHARED, baseline_of, standard
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, Value, say
from harness.record.history import Tile
from harness.record.products import Products
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict

_EXPLAINED = 3  # the number of holes explained by sentences; the evidence lists more
_OUTLINE_POINTS = 60


@dataclass(frozen=True)
class TileOutline:
    """The sky that a tile must cover: the outline of its reference frame, shape (n, 2), in degrees."""

    tile: int
    frame: str
    known_from: str
    outline: NDArray[np.float64]


@dataclass(frozen=True)
class RequiredSky:
    """The required sky on the canvas: in all, by tile in classic mode, and the median size of a part in elements."""

    mask: Mask
    by_tile: tuple[tuple[int, Box, Mask], ...]
    size: float


@dataclass(frozen=True)
class Hole:
    """A connected area that must be covered and is not, with the tiles that should have covered it.

    ``in_pair`` and ``in_baseline`` say whether those runs lack it too; ``None`` if that run is not compared. The baseline is
    compared without a pair, and in grid mode.
    """

    kind: str
    component: Component
    tiles: tuple[int, ...]
    in_pair: bool | None
    in_baseline: bool | None = None

    @property
    def known(self) -> bool:
        """Whether the run that it is compared with lacks the area too, so that the patch did not make the hole."""
        return bool(self.in_pair if self.in_baseline is None else self.in_baseline)


@dataclass(frozen=True)
class Masks:
    """The masks of a run and its pair on one canvas, and the holes in them; ``filled`` shows a constant instead of sky."""

    canvas: Canvas
    run: Mask
    pair: Mask | None
    tile_outlines: tuple[TileOutline, ...]
    holes: tuple[Hole, ...]
    required: Mask
    trimmed: int
    filled: Mask


def compare(runs: Runs, causes: Causes, limits: Thresholds) -> Masks | None:
    """Place the masks of a run, its pair and the required sky on one canvas, and find the holes.

    Returns ``None`` if neither the run nor its pair has a measured mosaic.

    Raises
    ------
    FootprintError
        When WCS cards can't be used.
    ValueError
        When the canvas would be too large.

    """
    pair = standard(runs)[0]
    ours, theirs = _measured(runs.run, limits), _measured(pair, limits) if pair is not None else None
    base = theirs or ours
    if base is None:
        return None
    per_tile, mode = runs.run.request.retention == "per_tile", runs.run.request.mode
    tile_outlines = tile_outlines_of(runs.run, pair, causes) if mode == "classic" else ()
    margin = max(limits["holes.edge"], limits["holes.promise_edge"]) / base.step + 2
    used = {name for tile in runs.run.history.tiles for name in tile.frames}
    every = runs.run.request.dataset.frames
    frames = outlines([frame for frame in every if frame.name in used or mode != "classic"])
    canvas, place = canvas_of(base, ours, [*frames, *(p.outline for p in tile_outlines)], math.ceil(margin))
    run = on_canvas(canvas, ours, base, place)
    other = on_canvas(canvas, theirs, base, place) if theirs is not None else None
    said = on_canvas(canvas, measured(runs.run), base, place)
    before = _before(runs, limits) if other is None or mode == "grid" else None
    earlier = on_canvas(canvas, before, base, place) if before is not None else None

    match mode:
        case "sds":
            required = _by_depth(frames, canvas, coverage_keep(runs.run, limits))
        case "grid":
            required = _by_depth(frames, canvas, 0.0)
        case _:
            required = _by_tiles(runs.run, tile_outlines, canvas, limits)

    lost = other & ~run if per_tile and other is not None else np.zeros(canvas.shape, dtype=np.bool_)
    found = _components(lost, canvas, limits["holes.edge"], limits["holes.area"])
    holes = [Hole("differential", c, _required_by(c, required.by_tile), in_pair=False) for c in found]
    if required.size:
        smallest = max(limits["holes.area"], limits["holes.promise_area"] * required.size * canvas.step**2)
        edge = limits["holes.promise_edge"]
        gone = earlier & ~run & required.mask if earlier is not None and mode == "grid" else np.zeros_like(run)
        # Sky that the baseline covers is searched alone: together with sky that it lacks too, it would count as known.
        for missing, above in ((gone, lost), (required.mask & ~run, lost | gone)):
            for component in _components(missing, canvas, edge, smallest):
                if not _mostly(above, component):  # else it is a hole that was found before
                    in_pair = None if other is None else _mostly(~other, component)
                    in_baseline = None if earlier is None else _mostly(~earlier, component)
                    tiles = _required_by(component, required.by_tile)
                    holes.append(Hole("absolute", component, tiles, in_pair, in_baseline))
    touched = raster(frames, canvas.cards, canvas.shape) if frames else required.mask
    trimmed = int(np.count_nonzero(touched & ~run & ~required.mask)) * canvas.step**2
    return Masks(canvas, run, other, tile_outlines, tuple(holes), required.mask, trimmed, said & ~run)


def _before(runs: Runs, limits: Thresholds) -> Products | None:
    """Return the products of the baseline, if that run reached its end."""
    baseline, _ = baseline_of(runs)
    return _measured(baseline, limits) if baseline is not None and baseline.usable else None


def _by_tiles(run: Record, tile_outlines: Sequence[TileOutline], canvas: Canvas, limits: Thresholds) -> RequiredSky:
    """Return the required sky of classic mode: of each tile the outline of its reference frame, less the crop margin."""
    shrink = crop_margin(run, limits)
    kept = list(per_outline([p.outline for p in tile_outlines], canvas.cards, canvas.shape, shrink))
    mask = np.zeros(canvas.shape, dtype=np.bool_)
    for _, box, part in kept:
        mask[box] |= part
    size = float(np.median([part.sum() for _, _, part in kept])) if kept else 0.0
    return RequiredSky(mask, tuple((tile_outlines[i].tile, box, part) for i, box, part in kept), size)


def coverage_keep(run: Record, limits: Thresholds) -> float:
    """Return the fraction of the deepest coverage below which SDS masks sky, from the settings if they have it."""
    asked = setting(run, "sds_min_coverage_keep")
    known = isinstance(asked, int | float) and not isinstance(asked, bool) and 0 <= asked <= 1
    return float(asked) if known else limits["holes.coverage_keep"]


def _by_depth(frames: Sequence[NDArray[np.float64]], canvas: Canvas, keep: float) -> RequiredSky:
    """Return the sky that at least one frame covers, and at least a fraction ``keep`` of the most frames on any place.

    SDS keeps such sky. In grid mode ``keep`` is 0, because each sky tile is made of all frames that touch it.
    """
    depth, sizes = frames_per_element(frames, canvas)
    least = max(1.0, keep * float(depth.max(initial=0)))
    return RequiredSky(depth >= least, (), float(np.median(sizes)) if sizes else 0.0)


def _measured(record: Record, limits: Thresholds) -> Products | None:
    """Return the products of a record, covered only where they show sky; ``None`` without a mosaic."""
    products = measured(record)
    return without_filling(products, record.request.dataset.frames, limits["content.saturated"]) if products else None


def _components(missing: Mask, canvas: Canvas, edge: float, area: float) -> tuple[Component, ...]:
    """Find the connected areas of a mask. Limits in mosaic pixels become whole elements of the mask, rounded up."""
    return components(
        missing,
        canvas.cards,
        min_area=max(1, math.ceil(area / canvas.step**2)),
        erode=max(1, math.ceil(edge / canvas.step)),
    )


def tile_outlines_of(run: Record, pair: Record | None, causes: Causes) -> tuple[TileOutline, ...]:
    """Return the sky that each tile must cover. A tile that failed for another cause than caches has none."""
    frames = {frame.name: frame for frame in run.request.dataset.frames}
    found = []
    for tile in run.history.tiles:
        if causes.failures.get(tile.tile, "caches") not in ("caches", "unstated"):
            continue
        name, known_from = _reference(tile, pair, starved=tile.tile in causes.losses)
        if name in frames:
            found.append((tile.tile, name, known_from))
    edges = outlines([frames[name] for _, name, _ in found])
    return tuple(TileOutline(*about, edge) for about, edge in zip(found, edges, strict=True))


def _reference(tile: Tile, pair: Record | None, *, starved: bool) -> tuple[str, str]:
    """Return the reference frame of a tile, and the source of that knowledge.

    A tile that lacked caches may have used the first frame that was left instead, so its own report is not used.
    """
    if tile.reference is not None and not starved:
        return tile.reference, "the run"
    other = twin(tile, pair) if pair is not None else None
    if other is not None and other.reference is not None:
        return other.reference, "the pair"
    return (tile.frames[0] if tile.frames else ""), "the order of the group"


def crop_margin(run: Record, limits: Thresholds) -> float:
    """Return the crop margin on each side of a tile as a fraction of the side, from the settings if they have it."""
    if setting(run, "apply_master_tile_crop") is False:
        return 0.0
    percent = setting(run, "master_tile_crop_percent")
    if isinstance(percent, int | float) and not isinstance(percent, bool) and 0 <= percent < 50:
        return float(percent) / 100
    return limits["holes.margin"]


def _required_by(component: Component, by_tile: Sequence[tuple[int, Box, Mask]]) -> tuple[int, ...]:
    """Return the tiles that must cover a tenth or more of a hole, the one with the largest part first."""
    top, left, bottom, right = component.box
    shares = {}
    for tile, (rows, columns), mask in by_tile:
        first_row, last_row = max(top, rows.start), min(bottom, rows.stop)
        first_column, last_column = max(left, columns.start), min(right, columns.stop)
        if first_row >= last_row or first_column >= last_column:
            continue
        ours = component.mask[first_row - top : last_row - top, first_column - left : last_column - left]
        theirs = mask[
            first_row - rows.start : last_row - rows.start, first_column - columns.start : last_column - columns.start
        ]
        shares[tile] = int(np.count_nonzero(ours & theirs))
    return tuple(sorted((t for t, n in shares.items() if n * 10 >= component.area), key=lambda t: (-shares[t], t)))


def _mostly(mask: Mask, component: Component) -> bool:
    top, left, bottom, right = component.box
    return int(np.count_nonzero(mask[top:bottom, left:right] & component.mask)) * 2 >= component.area


def _judge(runs: Runs, limits: Thresholds) -> Verdict:
    causes = Causes(runs.run)
    found = compare(runs, causes, limits)
    why_not = standard(runs)[1]
    if found is None:
        sentence = say("Neither this run nor the run with run_end has a measured mosaic.")
        return Verdict("holes", Outcome.UNKNOWN, sentence, cause=() if why_not is None else (why_not,))
    unmeasured = _mosaic_not_measured(runs.run)
    if unmeasured is not None:
        return Verdict("holes", Outcome.UNKNOWN, unmeasured)
    outcome, sentence = _conclude(runs, found)
    cause = _cause(runs.run.request.mode, causes, found) if outcome is Outcome.FAIL else ()
    if outcome is Outcome.UNKNOWN and why_not is not None:
        cause = (why_not,)
    return Verdict("holes", outcome, sentence, _evidence(runs, found), cause)


def _mosaic_not_measured(run: Record) -> Message | None:
    """Return why a mosaic was not measured if the run may have made one; ``None`` if it is measured or was not made."""
    if measured(run) is not None:
        return None
    if any(file.kind == "mosaic" for file in run.left or ()):
        return say("The run left a mosaic, but it was not measured.")
    if run.seal is not None and run.seal.state in ("timed out", "killed"):
        return say("The run was stopped before it made a mosaic.")
    return None


def _conclude(runs: Runs, found: Masks) -> tuple[Outcome, Message]:  # noqa: PLR0911 -- worst first
    made = [hole for hole in found.holes if hole.kind == "differential"]
    if made:
        if measured(runs.run) is None:
            return Outcome.FAIL, say("The run made no mosaic; run_end covers {area} arcmin².", area=_arcmin2(made))
        one = say("1 hole, {area} arcmin²: run_end covers this sky, per_tile does not.")
        return Outcome.FAIL, _counted(
            made, one, say("{count} holes, {area} arcmin²: run_end covers this sky, per_tile does not.")
        )
    new = [hole for hole in found.holes if not hole.known]
    if any(hole.in_pair and hole.in_baseline is False for hole in new):
        one = say("1 hole, {area} arcmin²: the baseline covers this sky.")
        return Outcome.FAIL, _counted(new, one, say("{count} holes, {area} arcmin²: the baseline covers this sky."))
    if new:
        one = say("1 hole, {area} arcmin² of required sky.")
        return Outcome.FAIL, _counted(new, one, say("{count} holes, {area} arcmin² of required sky."))
    if not found.required.any() and found.pair is None:
        return Outcome.UNKNOWN, say(
            "The required sky is not known: no tile was traced, and there is no run with run_end."
        )
    if runs.run.request.retention == "per_tile" and found.pair is None:
        return Outcome.UNKNOWN, say("All required sky is covered, but it was not compared with run_end.")
    if found.holes and found.pair is None:
        sentence = say(
            "No new hole. The baseline lacks the same {area} arcmin² of required sky.", area=_arcmin2(found.holes)
        )
        return Outcome.PASS, sentence
    if found.holes:
        sentence = say(
            "Retention made no hole. run_end lacks the same {area} arcmin² of required sky.", area=_arcmin2(found.holes)
        )
        return Outcome.PASS, sentence
    return Outcome.PASS, say("All required sky is covered.")


def _counted(holes: Sequence[Hole], one: Message, several: Message) -> Message:
    """Fill the sentence for one hole or for several."""
    return Message((one if len(holes) == 1 else several).text, {"count": len(holes), "area": _arcmin2(holes)})


def _arcmin2(holes: Sequence[Hole]) -> float:
    return sum(hole.component.solid_angle for hole in holes) / 3600


def _cause(mode: str, causes: Causes, found: Masks) -> tuple[Message, ...]:
    """Explain the first new holes: the tile that should cover each, and the threads that removed its caches."""
    links: list[Message] = []
    explained: set[int] = set()
    references = {outline.tile: outline.frame for outline in found.tile_outlines}
    new = [(n, hole) for n, hole in enumerate(found.holes, 1) if not hole.known]
    for n, hole in new[:_EXPLAINED]:
        where: dict[str, Value] = {
            "number": n,
            "area": hole.component.solid_angle / 3600,
            "ra": f"{hole.component.ra:.4f}",
            "dec": f"{hole.component.dec:+.4f}",
        }
        if _mostly(found.filled, hole.component):
            links.append(say("Hole {number} counts as covered, but shows a constant instead of sky.", number=n))
        if hole.tiles:
            # Of several tiles the one that was not made is the cause, or else the one that lacked the most caches.
            tile = min(
                hole.tiles,
                key=lambda t: (t not in causes.failures, -len(causes.losses.get(t, [])), hole.tiles.index(t)),
            )
            links.append(
                say(
                    "Hole {number} ({area} arcmin² at {ra}° {dec}°) is in tile {tile}, whose reference frame is {frame}.",
                    **where,
                    tile=tile,
                    frame=references[tile],
                )
            )
            links.extend(() if tile in explained else causes.of_tile(tile))
            explained.add(tile)
        elif mode != "classic" and hole.kind == "absolute":
            links.append(say("Hole {number} ({area} arcmin² at {ra}° {dec}°) is in sky that frames cover.", **where))
        else:
            links.append(say("Hole {number} ({area} arcmin² at {ra}° {dec}°) is in no tile's required sky.", **where))
    if rest := new[_EXPLAINED:]:
        tiles = listed(t for _, hole in rest for t in hole.tiles)
        links.append(say("More holes in the evidence: {count} (tiles {tiles}).", count=len(rest), tiles=tiles))
    return tuple(links)


def _evidence(runs: Runs, found: Masks) -> dict[str, Any]:
    canvas = found.canvas
    pair = np.zeros(canvas.shape, dtype=np.bool_) if found.pair is None else found.pair

    def pixels(mask: Mask) -> int:
        return int(np.count_nonzero(mask)) * canvas.step**2

    shown = list(enumerate(found.holes, 1))[:MAX_LISTED]
    return {
        "holes": [
            {
                "number": n,
                "kind": hole.kind,
                "ra": round(hole.component.ra, 6),
                "dec": round(hole.component.dec, 6),
                "square_arcmin": round(hole.component.solid_angle / 3600, 4),
                "pixels": hole.component.area * canvas.step**2,
                "tiles": list(hole.tiles),
                "in_pair": hole.in_pair,
                "in_baseline": hole.in_baseline,
            }
            for n, hole in shown
        ],
        "holes_in_all": len(found.holes),
        "outlines": {str(n): _outline(canvas, hole.component) for n, hole in shown},
        "covered_pixels": pixels(found.run),
        "covered_pixels_in_pair": None if found.pair is None else pixels(pair),
        "gained_pixels": None if found.pair is None else pixels(found.run & ~pair),
        "lost_pixels_before_tolerance": None if found.pair is None else pixels(pair & ~found.run),
        "promised_pixels": pixels(found.required),
        "promised_uncovered_before_tolerance": pixels(found.required & ~found.run),
        "filled_pixels": pixels(found.filled),
        "trimmed_pixels": found.trimmed,
        "differential": runs.run.request.retention == "per_tile" and found.pair is not None,
        "references_known_from": dict(sorted(Counter(p.known_from for p in found.tile_outlines).items())),
    }


def _outline(canvas: Canvas, component: Component) -> list[list[float]]:
    """Return the longest edge of a hole for drawing, as points of right ascension and declination in degrees."""
    edges = find_contours(np.pad(component.mask, 1).astype(np.float64), 0.5)
    edge = max(edges, key=len)
    for tolerance in (0.5, 1.0, 2.0, 4.0, 8.0, 16.0):
        points = approximate_polygon(edge, tolerance)
        if len(points) <= _OUTLINE_POINTS:
            break
    ra, dec = sky_of(canvas.cards, points[:, 1] - 1 + component.box[1], points[:, 0] - 1 + component.box[0])
    return [[round(float(a), 6), round(float(d), 6)] for a, d in zip(ra, dec, strict=True)]


def _own_holes(evidence: Evidence) -> Numbers | None:
    """Return count, pixels and area of the holes that the pair does not have; ``None`` if the evidence omits some holes."""
    holes = rows_in(evidence, "holes")
    if holes is None or number_in(evidence, "holes_in_all") != len(holes):
        return None
    own = [hole for hole in holes if hole.get("in_pair") is not True]
    return every(len(own), total(own, "pixels"), total(own, "square_arcmin"))


def shared_holes(evidence: Evidence) -> Numbers | None:
    """Return count and area, in square arcminutes, of the holes that the pair has too; ``None`` without such a hole."""
    shared = [hole for hole in rows_in(evidence, "holes") or [] if hole.get("in_pair") is True]
    return every(len(shared), total(shared, "square_arcmin")) if shared else None


def outlines_in(evidence: Evidence) -> dict[str, NDArray[np.float64]]:
    """Return the edges of the holes from the evidence, by number: sky coordinates in degrees, shape (n, 2).

    Malformed edges are left out.
    """
    found = evidence.get("outlines")
    edges = {}
    for number, points in found.items() if isinstance(found, Mapping) else ():
        try:
            edge = np.asarray(points, dtype=np.float64)
        except (TypeError, ValueError):
            continue
        if edge.ndim == 2 and edge.shape[1] == 2 and len(edge) > 2 and np.isfinite(edge).all():
            edges[str(number)] = edge
    return edges


CHECK = Check(
    "holes",
    say("Is all required sky covered?"),
    _judge,
    {"classic": ALWAYS, "sds": ELSEWHERE, "grid": ELSEWHERE},
    for_pass=(SHARED, MODE_REACHED),
    figures=(
        Figure(
            say("holes that the pair with run_end does not have"), Unit.SKY, _own_holes, short=say("retention holes")
        ),
        Figure(say("required sky that the pair with run_end does not cover either"), Unit.AREA, shared_holes),
    ),
    drawn=("outlines",),
)
