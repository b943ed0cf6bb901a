"""Read the limits of the checks from ``thresholds.toml``."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.language.message import SaidError, say
from harness.record.values import UNREADABLE

DEFAULT = Path(__file__).with_name("thresholds.toml")


class ThresholdsError(SaidError):
    """Raised when the limits can't be read."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A limit with its unit, the reason for it, and the good runs that it was fitted on."""

    value: float
    unit: str
    reason: str
    fitted_on: str


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The limits by dotted name, such as ``holes.area``."""

    limits: Mapping[str, Threshold]

    def __getitem__(self, name: str) -> float:
        """Return the value of a limit. Raises ``KeyError`` with the known names for an unknown one."""
        try:
            return self.limits[name].value
        except KeyError:
            raise KeyError(f"no limit named {name!r}; known: {', '.join(sorted(self.limits))}") from None


def read_thresholds(path: Path = DEFAULT) -> Thresholds:
    """Read the limits. Raises ``ThresholdsError`` when the file, or a part of it such as the reason of a limit, can't be read."""
    limits: dict[str, Threshold] = {}
    try:
        for check, table in tomllib.loads(path.read_text(encoding="utf-8")).items():
            for name, entry in table.items():
                limits[f"{check}.{name}"] = _threshold(f"{check}.{name}", entry)
    except (AttributeError, *UNREADABLE) as error:
        raise ThresholdsError(
            say(
                "expected limits in {path}, found: {error}; install the harness again", path=str(path), error=str(error)
            )
        ) from error
    return Thresholds(MappingProxyType(limits))


def _threshold(name: str, entry: Any) -> Threshold:
    missing = {"value", "unit", "reason", "fitted_on"} - set(entry)
    if missing:
        raise ValueError(f"expected {name} to have {', '.join(sorted(missing))}: add them")
    value = float(entry["value"])
    if not math.isfinite(value):
        raise ValueError(f"expected a number as {name}, found {value}")
    return Threshold(value, str(entry["unit"]), str(entry["reason"]), str(entry["fitted_on"]))
