"""The known sky of a dataset: its stars and its background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.language.message import say
from harness.record.convert import from_json
from harness.record.values import UNREADABLE, RecordError, read_json

TRUTH_FORMAT = "phase3-truth/2"
Origin = Literal["synthetic", "frames"]


@dataclass(frozen=True, slots=True)
class Truth:
    """The known sky of a dataset, from a source other than the target.

    Parameters
    ----------
    stars
        Shape ``(n, 3)``, float64, brightest first: right ascension and declination (degrees, ICRS), flux (ADU per
        exposure, without colour filters). Stars of the whole field, including those that no frame covers.
    sky
        Level of the empty sky, in ADU per pixel and exposure, without colour filters. Each frame adds a gradient.
    filters
        Transmission of the red, green and blue filters; 1 for a camera without filters.
    origin
        ``synthetic``: the stars that were drawn into the frames. ``frames``: the stars detected in a mosaic made directly from
        observed frames, with their fluxes in it; fainter stars are missing.
    clouded
        Names of the frames that show no stars.
    channels
        Shape ``(n, 1)`` or ``(n, 3)``: the flux of each star in each colour of the frames; ``None`` if only ``filters`` are known
        (synthetic frames), or if the truth was made before colours were measured.
    levels
        Of observed frames: each panel with the median level of its frames, in ADU per pixel.
    frames
        The number of frames that were measured; 0 for synthetic frames. Of many frames, an even sample is measured.
    problem
        Why observed frames could not be measured; empty if they were. Then there are no stars.

    """

    stars: NDArray[np.float64]
    sky: float
    filters: tuple[float, float, float]
    origin: Origin = "synthetic"
    clouded: tuple[str, ...] = ()
    channels: NDArray[np.float64] | None = None
    levels: tuple[tuple[int, float], ...] = ()
    frames: int = 0
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return built-in types only."""
        return {
            "format": TRUTH_FORMAT,
            "origin": self.origin,
            "sky": self.sky,
            "filters": list(self.filters),
            "clouded": list(self.clouded),
            "stars": self.stars.tolist(),
            "channels": None if self.channels is None else self.channels.tolist(),
            "levels": [list(level) for level in self.levels],
            "frames": self.frames,
            "problem": self.problem,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Truth:
        """Rebuild a truth. Raises ``ValueError`` when the format is another, or a part is missing or of another type."""
        if data.get("format") != TRUTH_FORMAT:
            raise ValueError(f"expected a truth of format {TRUTH_FORMAT!r}, found {data.get('format')!r}")
        file = from_json(data, _File)
        stars = np.array(file.stars, dtype=np.float64).reshape(-1, 3)
        channels = None
        if file.channels is not None:
            channels = np.array(file.channels, dtype=np.float64).reshape(len(stars), -1 if len(stars) else 1)
        return cls(
            stars, file.sky, file.filters, file.origin, file.clouded, channels, file.levels, file.frames, file.problem
        )

    def only(self, kept: NDArray[np.bool_]) -> Truth:
        """Return the truth with some of its stars, given by a mask."""
        channels = None if self.channels is None else self.channels[kept]
        return replace(self, stars=self.stars[kept], channels=channels)


@dataclass(frozen=True, slots=True)
class _File:
    """The parts of ``truth.json``, which holds the stars as lists."""

    stars: tuple[tuple[float, float, float], ...]
    sky: float
    filters: tuple[float, float, float]
    origin: Origin
    clouded: tuple[str, ...]
    channels: tuple[tuple[float, ...], ...] | None = None
    levels: tuple[tuple[int, float], ...] = ()
    frames: int = 0
    problem: str = ""


def read_truth(folder: Path) -> Truth | None:
    """Read the truth of a record; ``None`` without one. Raises ``RecordError`` when it cannot be read."""
    path = folder / "truth.json"
    if not path.exists():
        return None
    try:
        return Truth.from_json(read_json(path))
    except UNREADABLE as error:
        raise RecordError(
            say(
                "expected a truth in {path}, found one that can't be read ({error}): record the run again",
                path=str(path),
                error=str(error),
            )
        ) from error
