"""Run ZeMosaic under the probe. Differences between versions are detected in the code, never by commit."""

from __future__ import annotations

import copy
import functools
import gc
import importlib
import inspect
import os
import sys
from types import ModuleType
from typing import Any, Callable, Optional

from . import exceptions
from .events import split
from .files import install_saves
from .paths import Paths
from .recorder import plain_settings
from .setup import Probe
from .tiles import Asked, Made, Tiles

# Settings that the graphical interface adds to the stored ones before it starts a run.
_FROM_THE_GUI = {
    "cluster_panel_threshold": 0.05,
    "cluster_target_groups": 0,
    "cluster_orientation_split_deg": 0.0,
    "min_radial_weight_floor": 0.0,
}
# Settings of the profile "fast": runs are short and bit-identical. They leave the use of caches in Phase 3 as it is.
_FAST = {
    "stacking_rejection_algorithm": "kappa_sigma",
    "intertile_photometric_match": False,
    "center_out_normalization_p3": False,
    "enable_poststack_anchor_review": False,
    "use_gpu_phase5": False,
}
_PLACES = ("coadd_memmap_dir", "global_wcs_output_path")
_FAST_WHERE_KNOWN = {
    # The defaults of these changed between versions. They are fixed, so that runs of two versions have the same settings.
    "intertile_preview_size": 512,
    "poststack_equalize_rgb": True,
    "preferred_gui_backend": "tk",
    "winsor_worker_limit": 10,
    "final_mosaic_dbe_enabled": False,
    "two_pass_coverage_renorm": False,
    "export_aesthetic_fits": False,
    "patchwork_suppressor_enabled": False,
}


def run(probe: Probe) -> None:
    """Run one mosaic as the request asks, through the entry point that the graphical interface uses."""
    request = probe.request
    root = os.environ.get("PHASE3_TARGET_ROOT") or request["target"]["root"]
    sys.path.insert(0, root)
    exceptions.watch(probe.recorder, root)
    _pretend_processors(int(request["workers"]))
    tiles = Tiles(probe.recorder, probe.holds, describe(probe.paths), conclude(probe.paths), probe.order)
    tiles.install_futures()
    probe.events.listeners += [tiles.heard, probe.holds.heard]
    numpy = importlib.import_module("numpy")
    install_saves(numpy, probe.recorder, probe.paths)
    if request["profile"] == "fast":
        seed_samples(numpy.random, int(request["seed"]))
        probe.recorder.capability("seeds")

    settings = importlib.import_module("zemosaic_config")
    config = configuration(settings, request, probe.record)
    probe.recorder.config(plain_settings(config, probe.record))
    settings.load_config = lambda: copy.deepcopy(config)  # type: ignore[attr-defined]
    worker = importlib.import_module("zemosaic_worker")
    if makes_tiles(worker):
        probe.faults.wrap(worker, "create_master_tile", describe(probe.paths))
        tiles.wrap(worker, "create_master_tile")
    teed = tee_callback(worker, probe)
    # The imported modules live to the end. Excluding them from each garbage collection halves the time of a run.
    gc.collect()
    gc.freeze()
    queue = _Queue(probe, teed=teed)
    worker.run_hierarchical_mosaic_process(queue, solver_settings_dict={}, **arguments(config, request, probe.record))


def configuration(settings: ModuleType, request: dict[str, Any], record: str) -> dict[str, Any]:
    """Return the full configuration of a run: the version's defaults, overridden by the profile, then by the request."""
    load = getattr(settings, "load_config", None)
    config = dict(load() if load is not None else settings.DEFAULT_CONFIG)
    known = set(config)
    config = {**_FROM_THE_GUI, **config}
    if request["profile"] == "fast":
        config.update(_FAST)
        config.update({name: value for name, value in _FAST_WHERE_KNOWN.items() if name in known})
    config.update(request["config"])
    config.update(
        input_dir=os.path.join(record, "work", "input"),
        output_dir=os.path.join(record, "outputs"),
        cache_retention=request["retention"],
        # Tiles are measured after the run.
        cleanup_temp_artifacts=False,
        num_base_workers=int(request["workers"]),
        sds_mode_default=request["mode"] == "sds",
        logging_level="DEBUG",
        skip_filter_ui=True,
    )
    if "resume" in known:
        config["resume"] = "off"
    # A settings file in the target's own tree may name folders outside the record, where the run must not write.
    defaults = getattr(settings, "DEFAULT_CONFIG", {})
    config.update({name: defaults.get(name, "") for name in _PLACES if name in known})
    return config


def arguments(config: dict[str, Any], request: dict[str, Any], record: str) -> dict[str, Any]:
    """Return the arguments of the entry point, which ignores those that its version does not know."""
    plan = request["plan"] if request["mode"] == "classic" else None
    if plan is None:
        return dict(config)
    folder = os.path.join(record, "work", "input")
    planned = dict.fromkeys(name for group in plan for name in group)
    return {
        **config,
        "filter_invoked": True,
        "filtered_header_items": [{"path": os.path.join(folder, name)} for name in sorted(planned)],
        "filter_overrides": {
            "preplan_master_groups": [[os.path.join(folder, name) for name in group] for group in plan]
        },
    }


def seed_samples(random: ModuleType, of_run: int) -> None:
    """Seed the unseeded random numbers: astroalign's samples, and the order in which reproject fits backgrounds.

    Each call has its own generator, so that its numbers do not depend on other threads.
    """
    original = random.default_rng

    @functools.wraps(original)
    def default_rng(seed: Any = None) -> Any:
        return original(of_run if seed is None else seed)

    @functools.wraps(random.shuffle)
    def shuffle(x: Any) -> None:
        random.RandomState(of_run % 2**32).shuffle(x)

    random.default_rng = default_rng  # type: ignore[attr-defined]
    random.shuffle = shuffle  # type: ignore[attr-defined]


def makes_tiles(worker: ModuleType) -> bool:
    """Return whether this version has a function that makes a tile and whose arguments the probe can read."""
    maker = getattr(worker, "create_master_tile", None)
    return callable(maker) and "tile_id" in inspect.signature(maker).parameters


def tee_callback(worker: ModuleType, probe: Probe) -> bool:
    """Record every call of the progress callback; the queue has only some. Return whether this version allows it."""
    original = getattr(worker, "run_hierarchical_mosaic", None)
    if not callable(original) or "progress_callback" not in inspect.signature(original).parameters:
        return False
    signature = inspect.signature(original)

    # The entry point reads the signature of this function; wraps() keeps it.
    @functools.wraps(original)
    def run_hierarchical_mosaic(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind_partial(*args, **kwargs)
        bound.arguments["progress_callback"] = probe.events.tee(bound.arguments.get("progress_callback"))
        try:
            return original(*bound.args, **bound.kwargs)
        except BaseException as error:
            # The entry point catches it. The holds must end too: the pool's threads would be waited for at the end.
            exceptions.note(probe.recorder, error, "run")
            probe.holds.finish()
            raise

    worker.run_hierarchical_mosaic = run_hierarchical_mosaic  # type: ignore[attr-defined]
    probe.recorder.capability("callback")
    return True


def describe(paths: Paths) -> Callable[..., Asked]:
    """Return a function that reads the arguments of the function that makes a tile."""

    def asked(maker: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked:
        bound = inspect.signature(maker).bind(*args, **kwargs).arguments
        group = next(iter(bound.values())) or ()
        frames, caches, origins = [], [], []
        for entry in group:
            cache = entry.get("path_preprocessed_cache")
            frames.append(os.path.basename(str(entry.get("path_raw", ""))))
            caches.append((paths.inside(cache) or str(cache)) if cache else "")
            origins += list(entry.get("retry_origin_chain") or ())[-1:]
        return Asked(int(bound["tile_id"]), frames, caches, int(origins[0]) if origins else None)

    return asked


def conclude(paths: Paths) -> Callable[[Any], Made]:
    """Return a function that reads the result of the function that makes a tile: ``((path, wcs), retry groups)``."""

    def made(result: Any) -> Made:
        main = result[0] if isinstance(result, tuple) and result else None
        path, wcs = main if isinstance(main, tuple) and len(main) == 2 else (None, None)
        if path and wcs:
            return Made("made", paths.inside(path) or str(path), None, None)
        return Made("failed", None, None, None)

    return made


class _Queue:
    """Record the messages on the entry point's queue that the teed callback does not have."""

    def __init__(self, probe: Probe, *, teed: bool) -> None:
        self._events = probe.events
        self._teed = teed

    def put(self, item: Any, *_: Any, **__: Any) -> None:
        """Record a message, unless the callback has it."""
        if isinstance(item, tuple) and item and (not self._teed or split(str(item[0]))[0].startswith("PROCESS_")):
            self._events.queued(item)

    put_nowait = put


def _pretend_processors(workers: int) -> None:
    """Report one processor more than the workers asked for.

    Phase 3 takes at most the number of processors less one. Otherwise the number of workers would depend on the machine.
    """

    def count() -> Optional[int]:
        return workers + 1

    os.cpu_count = count
    if hasattr(os, "process_cpu_count"):
        os.process_cpu_count = count
