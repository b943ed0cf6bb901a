"""Whether the outputs are the expected ones: those of the pair, of the same with other workers, and in SDS of the baseline.

Equal digests prove equal images. Others are compared by the statistics of their blocks. A target that was seen to repeat
itself to the bit must do so: the reference in every mode, ZeMosaic in SDS and wherever the probe gave its generators the run's
seed (profile ``fast``). Elsewhere ZeMosaic draws samples at random when it aligns frames by their stars (RANSAC without a seed),
so two good runs differ wherever frames were aligned that way: a little in most blocks, more around bright stars. Such a
difference is measured against that of good runs, and stated.

The baseline is compared in SDS alone, which uses no retention, so that its outputs are to be the same; the classic way loses
tiles there, which is what the patch cures, and another version of grid mode may choose another grid.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from harness.analysis.causes import MAX_LISTED
from harness.analysis.figure import Evidence, Figure, Numbers, Unit, rows_in
from harness.analysis.phase3 import name_of
from harness.analysis.stars import rounded
from harness.checks.base import Check, Runs
from harness.checks.premises import ALWAYS, ELSEWHERE, SHARED, baseline_of, repeats, standard
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.convert import to_json
from harness.record.products import Plane, Products
from harness.record.reader import Record
from harness.record.request import REPEATABLE
from harness.verdict import Outcome, Verdict

_COUNTS = re.compile(r"MT\d+_R\d+")  # numbers of tiles and frames are part of names, and judged elsewhere


@dataclass(frozen=True)
class Difference:
    """How one image of two runs differs.

    Parameters
    ----------
    image
        What it is: ``mosaic RGB``, ``coverage PRIMARY``.
    identical
        Whether the digests are equal.
    pixels
        Share of the values that are finite in one of the two only, by the blocks' counts.
    largest
        The largest difference of any block's mean, least or largest value.
    typical, worst, most
        What nine of ten blocks, 99 of 100, and all do not exceed by the difference of their means.
    empty
        Whether no block has values in both, so that nothing was compared.

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
        """Return built-in types only."""
        return {
            "image": self.image,
            "identical": self.identical,
            "pixels": rounded(self.pixels, 7),
            "largest": rounded(self.largest, 7),
            "typical": rounded(self.typical, 7),
            "worst": rounded(self.worst, 7),
            "most": rounded(self.most, 7),
        }


@dataclass(frozen=True)
class Likeness:
    """A run beside another: how alike they are, and what differs.

    ``grade`` is ``identical``, ``within rounding``, ``as two good runs differ``, ``different`` or ``not measured``.
    """

    other: str
    grade: str
    what: tuple[Message, ...]
    images: tuple[Difference, ...]


def exact(run: Record) -> bool:
    """Whether the target was seen to repeat itself to the bit on such a run."""
    request = run.request
    seeded = "seeds" in run.history.capabilities or request.mode == "sds"
    return request.target.kind in REPEATABLE or (seeded and request.profile == "fast")


def compare(  # noqa: PLR0911 -- a ladder of grades
    run: Record, other: Record, limits: Thresholds, *, name: str, scaled: bool = False
) -> Likeness:
    """Compare the outputs of two runs.

    Parameters
    ----------
    run, other
        Two runs that are to come to the same outputs.
    limits
        The limits named ``parity.*``.
    name
        What the other is called.
    scaled
        Whether the other is of another version, which may name files and images otherwise, and save the same image with
        another gain and zero: these are fitted first.

    """
    ours, theirs = run.products, other.products
    if ours is None or theirs is None or (theirs.mosaic is None and ours.mosaic is None):
        return Likeness(name, "not measured", (say("Outputs of the two were not measured, or there are none."),), ())
    if theirs.mosaic is None:  # what is no measure for the run is not the run's fault
        return Likeness(name, "not measured", (_no_mosaic(other),), ())
    if ours.mosaic is None:
        return Likeness(name, "not measured" if _was_ended(run) else "different", (_no_mosaic(run),), ())
    what = [*(() if scaled else _files(run, other)), *_structure(ours, theirs, named=not scaled)]
    if what:
        return Likeness(name, "different", tuple(what), ())
    if not ours.planes or not theirs.planes:
        return Likeness(name, "not measured", (say("The images were measured by an earlier version."),), ())
    images = tuple(
        _difference(_label(ours, a), a, b, scaled=scaled) for a, b in zip(ours.planes, theirs.planes, strict=True)
    )
    if all(image.identical for image in images):
        return Likeness(name, "identical", (), images)
    if exact(run) and exact(other) and not scaled:  # a seed in one of them makes no two alike
        differing = ", ".join(image.image for image in images if not image.identical)
        message = say(
            "These images are not bit by bit the same, though the target repeats itself: {images}.", images=differing
        )
        return Likeness(name, "different", (message,), images)
    if any(i.empty and i.pixels == 0 for i in images):
        empty = ", ".join(i.image for i in images if i.empty)
        return Likeness(name, "not measured", (say("These images hold no values: {images}.", images=empty),), images)
    if all(i.pixels == 0 and i.largest <= limits["parity.value"] for i in images):
        return Likeness(name, "within rounding", (), images)
    what = [*_beyond(images, limits), *_stars(ours, theirs, limits)]
    return Likeness(name, "different" if what else "as two good runs differ", tuple(what), images)


def _was_ended(run: Record) -> bool:
    """Whether a run did not end by itself: nobody knows what it would have come to."""
    return run.seal is None or run.seal.state in ("timed out", "killed")


def _no_mosaic(record: Record) -> Message:
    return say("There is no mosaic of {target}.", target=record.request.target.label)


def _files(run: Record, other: Record) -> list[Message]:
    """Tell which files only one of the two left beside its mosaic; the counts in their names may differ."""
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
    found = []
    if theirs - ours:
        found.append(say("Files that are missing: {names}.", names=", ".join(sorted(theirs - ours)[:MAX_LISTED])))
    if ours - theirs:
        found.append(
            say("Files that only this run left: {names}.", names=", ".join(sorted(ours - theirs)[:MAX_LISTED]))
        )
    return found


def _structure(ours: Products, theirs: Products, *, named: bool) -> list[Message]:
    """Tell which images, shapes and WCS cards differ; another version may name images otherwise."""
    found = []
    if ours.covered.shape != theirs.covered.shape and ours.step == theirs.step:
        found.append(
            say(
                "The mosaic's shape is {found}, expected {expected}.",
                found=_size(ours),
                expected=_size(theirs),
            )
        )
    images = [
        [(_label(p, plane) if named else "", plane.shape, plane.bitpix) for plane in p.planes] for p in (ours, theirs)
    ]
    if not found and ours.planes and theirs.planes and images[0] != images[1]:
        described = ["; ".join(f"{n} {s} {b}" for n, s, b in side) for side in images]
        found.append(say("The images are {found}, expected {expected}.", found=described[0], expected=described[1]))
    if not found:
        cards = sorted(
            name for name in {*ours.wcs, *theirs.wcs} if not _equal(ours.wcs.get(name), theirs.wcs.get(name))
        )
        if cards:
            found.append(say("WCS cards that differ: {cards}.", cards=", ".join(cards)))
    return found


def _size(products: Products) -> str:
    return " x ".join(str(n * products.step) for n in products.covered.shape)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12)
    return bool(a == b)


def _label(products: Products, plane: Plane) -> str:
    return f"{'mosaic' if plane.file == products.mosaic else 'coverage'} {plane.name}"


def _difference(image: str, a: Plane, b: Plane, *, scaled: bool) -> Difference:
    """Compare two images by their blocks."""
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
    """Return gain and zero that bring blocks' means upon others', by least squares repeated without what lies far off."""
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
    found = []
    for image in images:
        if image.pixels > limits["parity.pixels"]:
            found.append(
                say(
                    "{image}: {share} % of the values are finite in one of the two only.",
                    image=image.image,
                    share=round(100 * image.pixels, 4),
                )
            )
        if image.typical > limits["parity.typical"] or image.worst > limits["parity.worst"]:
            found.append(
                say(
                    "{image}: a tenth of its blocks differ by {typical} in the mean or more, a hundredth by {worst}.",
                    image=image.image,
                    typical=float(f"{image.typical:.3g}"),
                    worst=float(f"{image.worst:.3g}"),
                )
            )
        elif image.most > limits["parity.most"]:
            found.append(
                say(
                    "{image}: one of its blocks differs by {most} in the mean.",
                    image=image.image,
                    most=float(f"{image.most:.3g}"),
                )
            )
    return found


def _stars(ours: Products, theirs: Products, limits: Thresholds) -> list[Message]:
    found, expected = len(ours.stars), len(theirs.stars)
    if abs(found - expected) <= max(2.0, limits["parity.stars"] * expected):
        return []
    return [say("Stars that are found: {found}, expected {expected}.", found=found, expected=expected)]


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
        left_out.append(say("The baseline is left out: it did not run to its end."))
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
        names = "; ".join(c.other for c in different)
        sentence = say("The outputs are not those of: {others}.", others=names)
        return Outcome.FAIL, sentence, tuple(m for c in different for m in c.what)
    if not made and run.request.retention != "per_tile":
        sentence = say("This run is what others are compared with, and there is nothing to compare it with.")
        return Outcome.NOT_APPLICABLE, sentence, tuple(left_out)
    unmeasured = [c for c in made if c.grade == "not measured"]
    if unmeasured or left_out or not made:
        causes = (*(m for c in unmeasured for m in c.what), *left_out)
        return Outcome.UNKNOWN, say("The outputs could not be compared with those of another run."), causes
    names = "; ".join(c.other for c in made)
    if any(c.grade == "as two good runs differ" for c in made):
        worst = max(i.largest for c in made for i in c.images)
        sentence = say(
            "The outputs are those of {others}, but for differences (at most {largest}) that the target makes from run to run.",
            others=names,
            largest=float(f"{worst:.3g}"),
        )
        return Outcome.PASS, sentence, ()
    if all(c.grade == "identical" for c in made):
        return Outcome.PASS, say("The outputs are bit by bit those of: {others}.", others=names), ()
    return Outcome.PASS, say("The outputs are, but for rounding, those of: {others}.", others=names), ()


_PREMISES: Mapping[str, Any] = MappingProxyType({"classic": ALWAYS, "sds": ELSEWHERE, "grid": ELSEWHERE})


def _equal_outputs(evidence: Evidence) -> Numbers | None:
    """Return the outputs that are equal bit by bit, those equal but for rounding, and all outputs compared."""
    compared = rows_in(evidence, "compared")
    if compared is None:
        return None
    grades = [row.get("grade") for row in compared]
    return grades.count("identical"), grades.count("within rounding"), len(grades)


CHECK = Check(
    "parity",
    say("Are the outputs the expected ones?"),
    _judge,
    _PREMISES,
    for_pass=(SHARED,),
    figures=(Figure(say("outputs equal bit by bit, of those compared"), Unit.EQUAL, _equal_outputs),),
)
