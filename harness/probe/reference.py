"""Runs the embedded reference pipeline under the probe, through the same protocol as any other target."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, Callable

from .files import install_saves
from .setup import Probe
from .tiles import Asked, Made, Tiles


def run(probe: Probe) -> None:
    """Run one mosaic as the request asks."""
    request, record = probe.request, probe.record
    sys.path.insert(0, request["target"]["root"])
    tiles = Tiles(probe.recorder, probe.holds, _describe, _conclude)
    tiles.install_futures()
    probe.events.listeners.append(tiles.heard)
    install_saves(importlib.import_module("numpy"), probe.recorder, probe.paths)
    tile = importlib.import_module("fixtures.pipeline.tile")
    pipeline = importlib.import_module("fixtures.pipeline.run")
    settings = importlib.import_module("fixtures.pipeline.settings")
    tiles.wrap(tile, "make_master_tile")
    plan = request["plan"]
    asked = settings.Settings(
        input_dir=_path(record, "work", "input"),
        output_dir=_path(record, "outputs"),
        plan=None if plan is None else tuple(tuple(group) for group in plan),
        retention=request["retention"],
        workers=request["workers"],
        defects=frozenset(request["target"]["identity"].get("defects", ())),
        config=request["config"],
    )
    probe.recorder.capability("callback")
    pipeline.run_mosaic(asked, probe.events.tee(None))


def _path(*parts: str) -> Any:
    from pathlib import Path

    return Path(os.path.join(*parts))


def _describe(_: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked:
    group = args[0] if args else kwargs["group"]
    tile = args[1] if len(args) > 1 else kwargs["tile_id"]
    return Asked(int(tile), [frame.name for frame in group], [str(frame.cache) for frame in group], None)


def _conclude(result: Any) -> Made:
    made = result.path is not None and not result.error
    path = None if result.path is None else str(result.path)
    return Made("made" if made else "failed", path, result.error or None, result.reference)
