"""Run the reference pipeline under the probe, through the same protocol as any other target."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from pathlib import Path
from typing import Any, Callable

from . import exceptions
from .files import install_saves
from .paths import Paths
from .recorder import plain_settings
from .setup import Probe
from .tiles import Asked, Made, Tiles


def run(probe: Probe) -> None:
    """Run one mosaic as the request asks."""
    request, record = probe.request, probe.record
    sys.path.insert(0, request["target"]["root"])
    exceptions.watch(probe.recorder, request["target"]["root"])
    tiles = Tiles(probe.recorder, probe.holds, describe(probe.paths), conclude(probe.paths), probe.order)
    tiles.install_futures()
    probe.events.listeners += [tiles.heard, probe.holds.heard]
    install_saves(importlib.import_module("numpy"), probe.recorder, probe.paths)
    # Imported by name: this is the target's own process, and the pipeline is the target. No room of the harness depends on it.
    tile = importlib.import_module("fixtures.pipeline.tile")
    pipeline = importlib.import_module("fixtures.pipeline.run")
    settings = importlib.import_module("fixtures.pipeline.settings")
    probe.faults.wrap(tile, "make_master_tile", describe(probe.paths))
    tiles.wrap(tile, "make_master_tile")
    plan = request["plan"]
    asked = settings.Settings(
        input_dir=Path(record) / "work" / "input",
        output_dir=Path(record) / "outputs",
        plan=None if plan is None else tuple(tuple(group) for group in plan),
        retention=request["retention"],
        workers=request["workers"],
        defects=frozenset(request["target"]["identity"].get("defects", ())),
        config=request["config"],
        mode=request["mode"],
    )
    effective = {**vars_of(asked), **vars_of(asked.options)}
    probe.recorder.config(plain_settings(effective, probe.record))
    probe.recorder.capability("callback")
    pipeline.run_mosaic(asked, probe.events.tee(None))


def vars_of(settings: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by name."""
    return {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}


def describe(paths: Paths) -> Callable[..., Asked]:
    """Return a function that reads the arguments of the function that makes a tile."""

    def asked(_: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked:
        group = args[0] if args else kwargs["group"]
        tile = args[1] if len(args) > 1 else kwargs["tile_id"]
        caches = [paths.inside(frame.cache) or str(frame.cache) for frame in group]
        return Asked(int(tile), [frame.name for frame in group], caches, None)

    return asked


def conclude(paths: Paths) -> Callable[[Any], Made]:
    """Return a function that reads the result of the function that makes a tile."""

    def made(result: Any) -> Made:
        path = None if result.path is None else paths.inside(result.path) or str(result.path)
        return Made("failed" if path is None else "made", path, result.error, result.reference)

    return made
