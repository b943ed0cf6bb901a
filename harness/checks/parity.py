"""Check that the outputs equal those of other runs: the pair, runs with other workers, and in SDS the baseline.

Equal digests prove equal images. Images with other digests are compared by the statistics of their blocks. Some targets repeat
themselves to the bit, and must do so here: the reference in every mode, and with the profile ``fast`` ZeMosaic in SDS and
wherever the probe seeded its random generators. Elsewhere ZeMosaic draws random samples when it aligns frames by their stars
(RANSAC without a seed). Two good runs then differ a little in most blocks, and more around bright stars. Such a difference is
compared with that of good runs, and reported.

The baseline is compared only in SDS, which uses no retention, so that its outputs must be the same. In the classic mode the
baseline loses tiles (the bug that the patch fixes), and in grid mode another version may choose another grid.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from harness.analysis.causes import MAX_LISTED
from harness.analysis.figure import Evidence, Figure, Numbers, Unit, rows_in
from harness.analysis.phase3 import name_of
from harness.analysis.stars import rounded
from harness.analysis.wcs import on_sky
from harness.checks.base import Check, Runs
from harness.checks.premises import ALWAYS, ELSEWHERE, SHARED, baseline_of, repeats, standard
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, counted, say
from harness.record.convert import to_json
from harness.record.products import Plane, Products
from harness.record.reader import Record
from harness.record.request import REPEATABLE
from harness.record.values import is_finite
from harness.verdict import Outcome, Verdict

_COUNTS = re.compile(r"MT\d+_R\d+")  # file names contain the numbers of tiles and frames, which other checks judge


@dataclass(frozen=True)
class Difference:
    """The difference of one image in two runs.

    Parameters
    ----------
    image
        Kind and name: ``mosaic RGB``, ``coverage PRIMARY``.
    identical
        Whether the digests are equal.
    pixels
        Share of the values that are finite in only one of the two, by the counts of the blocks.
    largest
        The largest difference of the mean, minimum or maximum of a block.
    typical, worst, most
        The 90th and 99th percentiles and the maximum of the differences of the block means.
    empty
        Whether no block has values in both images, so that nothing was compared.

    """

    image: str
    identical: bool
    pixels: float = 0.0
    largest: float = 0.0
    typical: float = 0.0
    worst: float = 0.0
    most: float = 0.0
    empty: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the evidence of the image in built-in types."""
        values = {name: value for name, value in asdict(self).items() if name != "empty"}
        return {name: rounded(value, 7) if isinstance(value, float) else value for name, value in values.items()}


@dataclass(frozen=True)
class Likeness:
    """The comparison of a run with another: its grade, the differences, and the images.

    ``grade`` is ``identical``, ``within rounding``, ``as two good runs differ``, ``different`` or ``not measured``.
    """

    other: str
    grade: str
    what: tuple[Message, ...]
    images: tuple[Difference, ...] = ()


def exact(run: Record) -> bool:
    """Return whether the target repeats such a run to the bit."""
    request = run.request
    seeded = "seeds" in run.history.capabilities or request.mode == "sds"
    return request.target.kind in REPEATABLE or (seeded and request.profile == "fast")


def compare(  # noqa: PLR0911 -- a ladder of grades
    run: Record, other: Record, limits: Thresholds, *, name: str, scaled: bool = False
) -> Likeness:
    """Compare the outputs of two runs that must have the same outputs.

    Parameters
    ----------
    run, other
        The two runs.
    limits
        The limits named ``parity.*``.
    name
        The name of the other run in the report.
    scaled
        Whether the other run is of another version. Such a version may use other names for files and images, and save the same
        image with another gain and zero point, which are fitted first.

    """
    ours, theirs = run.products, other.products
    if ours is None or theirs is None or (theirs.mosaic is None and ours.mosaic is None):
        return Likeness(name, "not measured", (say("The outputs of the two runs were not measured, or do not exist."),))
    if theirs.mosaic is None:  # the fault of the other run, not of this one
        return Likeness(name, "not measured", (_no_mosaic(other),))
    if ours.mosaic is None:
        # A run that the harness ended might have made its mosaic later.
        ended = run.seal is None or run.seal.state in ("timed out", "killed")
        return Likeness(name, "not measured" if ended else "different", (_no_mosaic(run),))
    what = [*(() if scaled else _files(run, other)), *_structure(ours, theirs, named=not scaled)]
    if what:
        return Likeness(name, "different", tuple(what))
    if not ours.planes or not theirs.planes:
        message = say("The images were measured by an earlier version of the harness. Record the runs again.")
        return Likeness(name, "not measured", (message,))
    # A coverage map counts: another gain there would be another count, so it is compared as it is.
    images = tuple(
        _difference(_label(ours, a), a, b, scaled=scaled and _of_mosaic(ours, a))
        for a, b in zip(ours.planes, theirs.planes, strict=True)
    )
    if all(image.identical for image in images):
        return Likeness(name, "identical", (), images)
    if exact(run) and exact(other) and not scaled:  # both runs: a seed in only one of them does not make them equal
        differing = ", ".join(image.image for image in images if not image.identical)
        message = say(
            "Images that are not equal bit by bit, although this target gives identical outputs: {images}.",
            images=differing,
        )
        return Likeness(name, "different", (message,), images)
    if any(i.empty and i.pixels == 0 for i in images):
        empty = ", ".join(i.image for i in images if i.empty)
        return Likeness(name, "not measured", (say("Images without values: {images}.", images=empty),), images)
    if all(i.pixels == 0 and i.largest <= limits["parity.value"] for i in images):
        return Likeness(name, "within rounding", (), images)
    what = [*_beyond(images, limits), *_stars(ours, theirs, limits)]
    return Likeness(name, "different" if what else "as two good runs differ", tuple(what), images)


def _no_mosaic(record: Record) -> Message:
    return say("The run of {target} has no mosaic.", target=record.request.target.label)


def _files(run: Record, other: Record) -> list[Message]:
    """Name the files next to the mosaic that only one of the runs left, apart from the counts in their names."""
    if run.left is None or other.left is None:
        return []
    ours, theirs = (
        {
            _COUNTS.sub("MT_R", name_of(f.path))
            for f in record.left or ()
            if f.path.count("/") == 1 and f.kind in ("mosaic", "other") and f.path.endswith((".fits", ".png"))
        }
        for record in (run, other)
    )
    missing, added = (", ".join(sorted(names)[:MAX_LISTED]) for names in (theirs - ours, ours - theirs))
    return [
        *((say("Missing files: {names}.", names=missing),) if missing else ()),
        *((say("Files that only this run left: {names}.", names=added),) if added else ()),
    ]


def _structure(ours: Products, theirs: Products, *, named: bool) -> list[Message]:
    """Describe the first difference of shapes, images and WCS cards; ``named`` is whether the images must have equal names."""
    if ours.covered.shape != theirs.covered.shape and ours.step == theirs.step:
        found, expected = (" x ".join(str(n * p.step) for n in p.covered.shape) for p in (ours, theirs))
        return [say("The mosaic's shape is {found}, expected {expected}.", found=found, expected=expected)]
    images = [
        [(_label(p, plane) if named else "", plane.shape, plane.bitpix) for plane in p.planes] for p in (ours, theirs)
    ]
    if ours.planes and theirs.planes and images[0] != images[1]:
        found, expected = ("; ".join(f"{name} {shape} {bits}" for name, shape, bits in side) for side in images)
        return [say("The images are {found}, expected {expected}.", found=found, expected=expected)]
    one, other = on_sky(ours.wcs), on_sky(theirs.wcs)
    cards = ", ".join(name for name in sorted({*one, *other}) if not _equal(one.get(name), other.get(name)))
    return [say("WCS cards that differ: {cards}.", cards=cards)] if cards else []


def _equal(a: Any, b: Any) -> bool:
    if is_finite(a) and is_finite(b):  # an integer of 400 digits, which no float holds, is not
        return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12)
    return bool(a == b)


def _of_mosaic(products: Products, plane: Plane) -> bool:
    return plane.file == products.mosaic


def _label(products: Products, plane: Plane) -> str:
    return f"{'mosaic' if _of_mosaic(products, plane) else 'coverage'} {plane.name}"


def _difference(image: str, a: Plane, b: Plane, *, scaled: bool) -> Difference:
    """Compare two images by the statistics of their blocks."""
    if a.sha256 == b.sha256:
        return Difference(image, identical=True)
    pixels = float(np.abs(a.count.astype(np.int64) - b.count).sum() / max(int(b.count.sum()), 1))
    both = (a.count > 0) & (b.count > 0)
    if not both.any():
        return Difference(image, identical=False, pixels=pixels, empty=True)
    ours, theirs = ([p.sum / np.maximum(p.count, 1), p.low, p.high] for p in (a, b))
    if scaled:
        gain, zero = _fit(ours[0][both], theirs[0][both])
        ours = [gain * values + zero for values in ours]
    means, lows, highs = (np.abs(u[both] - v[both]) for u, v in zip(ours, theirs, strict=True))
    typical, worst = (float(v) for v in np.percentile(means, [90, 99]))
    return Difference(
        image,
        identical=False,
        pixels=pixels,
        largest=float(max(means.max(), lows.max(), highs.max())),
        typical=typical,
        worst=worst,
        most=float(means.max()),
    )


def _fit(x: Any, y: Any) -> tuple[float, float]:
    """Fit gain and zero point between the block means of two images, by least squares repeated without outliers."""
    kept = np.ones(len(x), dtype=np.bool_)
    gain, zero = 1.0, float(np.median(y - x))
    for _ in range(5):
        if kept.sum() < 3 or np.ptp(x[kept]) == 0:
            break
        gain, zero = (float(v) for v in np.polyfit(x[kept], y[kept], 1))
        off = np.abs(gain * x + zero - y)
        kept = off <= 4 * 1.4826 * np.median(off[kept]) + 1e-12
    return gain, zero


def _beyond(images: Sequence[Difference], limits: Thresholds) -> list[Message]:
    """Describe each difference that exceeds those of two good runs."""
    found = []
    for image in images:
        if image.pixels > limits["parity.pixels"]:
            share = round(100 * image.pixels, 4)
            found.append(
                say(
                    "{image}: {share} % of the values are finite in only one of the runs.",
                    image=image.image,
                    share=share,
                )
            )
        if image.image.startswith("coverage"):
            if image.most > limits["parity.coverage"]:
                found.append(say("{image}: the mean of a block differs by {most}.", image=image.image, most=image.most))
        elif image.typical > limits["parity.typical"] or image.worst > limits["parity.worst"]:
            found.append(
                say(
                    "{image}: the means of 10 % of the blocks differ by at least {typical}, of 1 % by at least {worst}.",
                    image=image.image,
                    typical=image.typical,
                    worst=image.worst,
                )
            )
        elif image.most > limits["parity.most"]:
            found.append(say("{image}: the mean of a block differs by {most}.", image=image.image, most=image.most))
    return found


def _stars(ours: Products, theirs: Products, limits: Thresholds) -> list[Message]:
    found, expected = len(ours.stars), len(theirs.stars)
    if abs(found - expected) <= max(2.0, limits["parity.stars"] * expected):
        return []
    return [
        counted(
            "The mosaic shows {count} star, expected {expected}.",
            "The mosaic shows {count} stars, expected {expected}.",
            count=found,
            expected=expected,
        )
    ]


def _judge(runs: Runs, limits: Thresholds) -> Verdict:
    run = runs.run
    pair, why_not = standard(runs)
    others: list[tuple[Record, str]] = [] if pair is None else [(pair, "run_end")]
    left_out = [] if why_not is None or run.request.retention != "per_tile" else [why_not]
    for other in runs.equals:
        reason = repeats(run, other)
        if reason is None:
            others.append((other, f"{other.request.retention}, workers: {other.request.workers}"))
        else:
            left_out.append(reason)
    made = [compare(run, other, limits, name=name) for other, name in others]
    baseline, unlike = baseline_of(runs)
    if run.request.mode == "sds" and baseline is not None and not baseline.usable:
        left_out.append(say("The baseline is not compared: its run did not finish."))
    elif run.request.mode == "sds" and baseline is not None:
        made.append(compare(run, baseline, limits, name=baseline.request.target.label, scaled=True))
    elif run.request.mode == "sds" and unlike is not None:
        left_out.append(unlike)
    evidence = MappingProxyType(
        {
            "exact": all(map(exact, (run, *(other for other, _ in others)))),
            "compared": [
                {
                    "with": c.other,
                    "grade": c.grade,
                    "differences": [to_json(m) for m in c.what],
                    "images": [image.to_json() for image in c.images],
                }
                for c in made
            ],
        }
    )
    outcome, sentence, cause = _conclude(run, made, left_out)
    return Verdict("parity", outcome, sentence, evidence, cause)


def _conclude(
    run: Record, made: Sequence[Likeness], left_out: Sequence[Message]
) -> tuple[Outcome, Message, tuple[Message, ...]]:
    different = [c for c in made if c.grade == "different"]
    if different:
        sentence = say("The outputs differ from those of: {others}.", others="; ".join(c.other for c in different))
        return Outcome.FAIL, sentence, tuple(m for c in different for m in c.what)
    if not made and run.request.retention != "per_tile":
        sentence = say("Other runs are compared with this one; there is no run to compare it with.")
        return Outcome.NOT_APPLICABLE, sentence, tuple(left_out)
    unmeasured = [c for c in made if c.grade == "not measured"]
    if unmeasured or left_out or not made:
        causes = (*(m for c in unmeasured for m in c.what), *left_out)
        return Outcome.UNKNOWN, say("The outputs could not be compared with those of another run."), causes
    names = "; ".join(c.other for c in made)
    if any(c.grade == "as two good runs differ" for c in made):
        sentence = say(
            "The outputs differ from those of {others} by at most {largest}, as good runs of this target do.",
            others=names,
            largest=max(i.largest for c in made for i in c.images),
        )
    elif all(c.grade == "identical" for c in made):
        sentence = say("The outputs are equal bit by bit to those of: {others}.", others=names)
    else:
        sentence = say("The outputs are equal within rounding to those of: {others}.", others=names)
    return Outcome.PASS, sentence, ()


def _equal_outputs(evidence: Evidence) -> Numbers | None:
    """Return the number of outputs equal bit by bit, of those equal within rounding, and of all compared."""
    compared = rows_in(evidence, "compared")
    if compared is None:
        return None
    grades = [row.get("grade") for row in compared]
    return grades.count("identical"), grades.count("within rounding"), len(grades)


CHECK = Check(
    "parity",
    say("Are the outputs equal to those of other runs?"),
    _judge,
    MappingProxyType({"classic": ALWAYS, "sds": ELSEWHERE, "grid": ELSEWHERE}),
    for_pass=(SHARED,),
    figures=(
        Figure(
            say("outputs equal bit by bit, of those compared"), Unit.EQUAL, _equal_outputs, short=say("equal outputs")
        ),
    ),
)
