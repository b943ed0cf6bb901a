# ruff: noqa: PTH100, PTH107, PTH109, PTH110, PTH111, PTH118, PTH119, PTH120, ARG001, PLR0917 -- names, arguments and text paths are those of the contract
"""Stand in for ZeMosaic's worker, to test the adapter without ZeMosaic. Written for these tests from its interface.

A tile is the mean of its caches. The mosaic is the tiles in a row. The setting ``stub_mode`` or the environment variable
``PHASE3_STUB`` selects a misbehaviour:

=============  =====================================================================================
``naive``      deletes the caches of a tile when it is made, although other tiles need them
``no mosaic``  succeeds without a mosaic
``exit``       ends the process at once, with status 7
``crash``      raises an exception that is not caught
``release raises``  raises an exception in the first release, which the entry point catches
``release typo``    reads a variable in the first release that was never set
``tile raises``     raises an exception in the first tile, which Phase 3 catches
``stops``      calls ``sys.exit`` with a status in Phase 3
``hang``       never ends
``binary``     writes bytes to standard output that are not UTF-8, then runs as usual
``no tiles``   (environment only) makes tiles by a function of another name
``children``   lets a child process remove a file of its output folder
``litter``     writes a file in every folder that it takes for its user's, and sends an event with their paths
``resume``     (environment only) takes over the tiles that lie in the output folder
``samples``    sends an event with the numbers of numpy's generators, two without a seed and one with, and of shuffle
=============  =====================================================================================
"""

import importlib.util
import inspect
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import zemosaic_config
from astropy.io import fits
from astropy.wcs import WCS

logger = logging.getLogger("ZeMosaicWorker")
logger.setLevel(logging.DEBUG)
logger.addHandler(logging.NullHandler())
logger.propagate = False


def _mode():
    return zemosaic_config.load_config().get("stub_mode") or os.environ.get("PHASE3_STUB", "")


def create_master_tile(seestar_stack_group_info, tile_id, output_temp_dir, progress_callback):
    """Return ``((path, wcs), retry groups)``. A frame without its cache is left out."""
    progress_callback("mastertile_info_creation_started_from_cache", None, "INFO", tile_id=tile_id)
    if _mode() == "tile raises" and tile_id == 0:
        raise IndexError("no frame fits")
    found = []
    for entry in seestar_stack_group_info:
        cache = entry["path_preprocessed_cache"]
        if os.path.exists(cache):
            found.append(np.load(cache))
        else:
            progress_callback(
                "mastertile_warn_cache_file_missing", None, "WARN",
                filename=os.path.basename(entry["path_raw"]), cache_path=cache, tile_id=tile_id,
            )  # fmt: skip
    if not found:
        progress_callback("mastertile_error_no_valid_images_from_cache", None, "ERROR", tile_id=tile_id)
        return (None, None), []
    reference = seestar_stack_group_info[0]
    name = os.path.basename(reference["path_raw"])
    progress_callback("mastertile_info_reference_set", None, "DEBUG_DETAIL", tile_id=tile_id, ref_filename=name)
    header = reference["wcs"].to_header()
    header["ZMT_ID"], header["ZMT_REF"] = tile_id, ascii(name)
    header["ZMT_NRAW"], header["HIERARCH ZMT_NALGN"] = len(seestar_stack_group_info), len(found)
    path = os.path.join(output_temp_dir, f"master_tile_{tile_id:03d}.fits")
    fits.writeto(path, np.mean(found, axis=0), header)
    # Frames of this name count as not aligned: they are submitted once more, in a retry group.
    unfit = [e for e in seestar_stack_group_info if os.path.basename(e["path_raw"]).startswith("retry")]
    retries = [{**entry, "retry_attempt": 1} for entry in unfit if "retry_attempt" not in entry]
    return (path, reference["wcs"]), [retries] if retries else []


if os.environ.get("PHASE3_STUB") == "no tiles":
    _make_one = create_master_tile
    del create_master_tile


def run_hierarchical_mosaic(
    input_folder,
    output_folder,
    progress_callback,
    num_base_workers_config=1,
    filter_overrides=None,
    filtered_header_items=None,
    logging_level="INFO",
):
    """Make a mosaic as the settings say."""
    config = zemosaic_config.load_config()
    report = progress_callback
    report("run_info_processing_started", None, "INFO")
    caches = Path(output_folder) / ".zemosaic_img_cache"
    tiles = Path(output_folder) / "zemosaic_temp_master_tiles"
    caches.mkdir(parents=True)
    tiles.mkdir(exist_ok=_mode() == "resume")
    items = [item["path"] for item in filtered_header_items or ()]
    paths = items or sorted(str(path) for path in Path(input_folder).glob("*.fits"))
    infos = {}
    for number, path in enumerate(paths):
        cache = caches / f"preprocessed_{Path(path).stem}_{number}.npy"
        np.save(str(cache), fits.getdata(path).astype(np.float32))
        infos[path] = {"path_raw": path, "path_preprocessed_cache": str(cache), "wcs": WCS(fits.getheader(path))}
        report("phase1_scan", number + 1, len(paths))
    groups = (filter_overrides or {}).get("preplan_master_groups") or [paths]
    made = _phase3(
        config, [[infos[path] for path in group] for group in groups], str(tiles), num_base_workers_config, report
    )
    if made and _mode() != "no mosaic":
        name = f"zemosaic_MT{len(made)}_R{len(paths)}"
        mosaic = np.concatenate([fits.getdata(path) for path in made], axis=1)
        fits.writeto(os.path.join(output_folder, f"{name}.fits"), mosaic, fits.getheader(made[0]))
        fits.writeto(
            os.path.join(output_folder, f"{name}_coverage.fits"), np.ones_like(mosaic), fits.getheader(made[0])
        )
        report("run_success_mosaic_saved", None, "SUCCESS", filename=f"{name}.fits")
    report("PHASE_UPDATE:7", None, "INFO")
    if config["cache_retention"] != "keep":
        shutil.rmtree(caches)
    if _mode() == "children":
        path = os.path.join(output_folder, "left by a child")
        code = "import os, pathlib, sys; p = pathlib.Path(sys.argv[1]); p.write_text('x'); p.unlink()"
        subprocess.run([sys.executable, "-c", code, path], check=True)
    report("run_success_processing_completed", None, "SUCCESS")


def _taken_over(folder, total, report):
    """Return the tiles of an earlier run that are used again."""
    if _mode() != "resume":
        return {}
    kept = {tile: os.path.join(folder, f"master_tile_{tile:03d}.fits") for tile in range(total)}
    made = {tile: path for tile, path in kept.items() if os.path.exists(path) and fits.getheader(path)}
    report(
        f"Resume master tiles: reused {len(made)}/{total} from manifest, rebuilding {total - len(made)}.", None, "INFO"
    )
    return made


def _phase3(config, groups, folder, workers, report):
    made = _taken_over(folder, len(groups), report)
    total, done = len(groups), len(made)
    report(f"MASTER_TILE_COUNT_UPDATE:{done}/{total}", None, "ETA_LEVEL")
    make = globals().get("create_master_tile") or _make_one
    pending, users = {}, {}
    if config["cache_retention"] == "per_tile" and _mode() != "naive":
        tracked = {entry["path_preprocessed_cache"] for group in groups for entry in group}
        logger.info(
            "Phase3: per_tile cache retention uses refcount; safe deletion enabled (%d unique cache files tracked).",
            len(tracked),
        )
    # As in ZeMosaic, an exception leaves the pool as it is.
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ZeMosaic_Ph3_")
    for tile, group in filter(lambda numbered: numbered[0] not in made, enumerate(groups)):
        pending[pool.submit(make, group, tile, folder, report)] = tile, group
        for entry in group:
            users[entry["path_preprocessed_cache"]] = users.get(entry["path_preprocessed_cache"], 0) + 1
    while pending:
        finished, _ = wait(pending, return_when=FIRST_COMPLETED)
        for future in finished:
            tile, group = pending.pop(future)
            done += 1
            report(f"MASTER_TILE_COUNT_UPDATE:{done}/{total}", None, "ETA_LEVEL")
            (path, _wcs), retries = _result(future, tile, report)
            if path:
                made[tile] = path
            for retry in retries:
                report(
                    "run_info_phase3_retry_submitted",
                    None,
                    "INFO_DETAIL",
                    origin_tile=tile,
                    new_tile=total,
                    frames=len(retry),
                )
                pending[pool.submit(make, retry, total, folder, report)] = total, retry
                total += 1
                for entry in retry:
                    users[entry["path_preprocessed_cache"]] += 1
            if config["cache_retention"] == "per_tile":
                _release(group, users)
    pool.shutdown(wait=True)
    report("run_info_phase3_finished_from_cache", None, "INFO", num_master_tiles=len(made))
    return [made[tile] for tile in sorted(made)]


def _result(future, tile, report):
    try:
        return future.result()
    except Exception as error:
        report("run_error_phase3_thread_exception", None, "ERROR", stack_num=tile + 1, error=str(error))
        logger.exception("the tile failed")
        return (None, None), []


def _release(group, users):
    if _mode() == "release raises":
        raise KeyError("no such tile")
    if _mode() == "stops":
        sys.exit(3)
    if _mode() == "release typo":
        if users is None:
            removed = 0
        logger.debug("removed %d", removed)
    for entry in group:
        cache = entry["path_preprocessed_cache"]
        users[cache] -= 1
        if (users[cache] == 0 or _mode() == "naive") and os.path.exists(cache):
            os.remove(cache)
            logger.debug("Removed per-tile cache file: %s", cache)


def _litter():
    """Write a file in each folder; return the folders, and the modules of the harness that could be imported."""
    variables = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "APPDATA", "LOCALAPPDATA")
    places = {"cwd": os.getcwd(), "home": str(Path.home()), "tmp": tempfile.gettempdir()}
    places |= {"user": os.path.expanduser("~"), "source": os.path.dirname(os.path.abspath(__file__))}
    places |= {name: os.environ[name] for name in variables}
    for place in places.values():
        Path(place, "litter").write_text("x", encoding="utf-8")
    known = ("harness", "fixtures", "reports", "tests", "conftest")
    seen = [name for name in known if importlib.util.find_spec(name)]
    return {**places, "importable": seen, "path": list(sys.path)}


def _misbehave(mode):
    if mode == "exit":
        os._exit(7)
    if mode == "hang":
        while True:
            time.sleep(60)
    if mode == "crash":
        raise RuntimeError("the stub was asked to crash")


def _samples():
    generators = (np.random.default_rng(), np.random.default_rng(seed=None), np.random.default_rng(7))
    order = np.arange(1000)
    np.random.shuffle(order)  # noqa: NPY002 -- as a library of ZeMosaic does
    return [*(float(generator.random()) for generator in generators), int(order[0]), int(order[-1])]


def run_hierarchical_mosaic_process(progress_queue, *, solver_settings_dict=None, **kwargs):
    """Run with the arguments of a graphical interface: keys are renamed, and unknown ones are dropped without a message."""

    def callback(key, progress=None, level="INFO", **fields):
        if level in {"INFO", "WARN", "ERROR", "SUCCESS", "ETA_LEVEL"}:
            progress_queue.put((key, progress, level, fields))

    mode = _mode()
    _misbehave(mode)
    if mode == "litter":
        progress_queue.put(("PROCESS_PLACES", None, "INFO", _litter()))
    if mode == "samples":
        progress_queue.put(("PROCESS_SAMPLES", None, "INFO", {"samples": _samples()}))
    if mode == "binary":
        sys.stdout.buffer.write(bytes(range(256)) * 16)
        sys.stdout.buffer.flush()
    known = inspect.signature(run_hierarchical_mosaic).parameters
    wanted = {**kwargs, "input_folder": kwargs["input_dir"], "output_folder": kwargs["output_dir"]}
    wanted.update({f"{key}_config": value for key, value in kwargs.items()})
    try:
        run_hierarchical_mosaic(progress_callback=callback, **{k: v for k, v in wanted.items() if k in known})
    except Exception as error:  # like ZeMosaic's: the entry point returns
        logger.exception("the stub failed")
        progress_queue.put(("PROCESS_ERROR", None, "ERROR", {"error": str(error)}))
    finally:
        progress_queue.put(("PROCESS_DONE", None, "INFO", {}))
