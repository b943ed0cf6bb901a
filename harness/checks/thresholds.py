"""Read the limits of the checks from ``thresholds.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

DEFAULT = Path(__file__).with_name("thresholds.toml")


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
    """Read the limits. Raises ``ValueError`` when a limit lacks its value, unit, reason or fit."""
    limits: dict[str, Threshold] = {}
    for check, table in tomllib.loads(path.read_text(encoding="utf-8")).items():
        for name, entry in table.items():
            missing = {"value", "unit", "reason", "fitted_on"} - set(entry)
            if missing:
                raise ValueError(f"expected {check}.{name} in {path} to have {', '.join(sorted(missing))}: add them")
            limits[f"{check}.{name}"] = Threshold(
                float(entry["value"]), entry["unit"], entry["reason"], entry["fitted_on"]
            )
    return Thresholds(MappingProxyType(limits))
