"""Run ZeMosaic in an output folder whose content or name affects the result, and once in a new folder for comparison.

A case file makes one run in a new folder. This script shows how a second run reuses the files of an interrupted run or of a run
with other settings, and what the folder's name changes::

    python docs/cases/output_folder.py CASE PATH@COMMIT PYTHON [--retention per_tile]

``PATH@COMMIT`` names ZeMosaic as ``--phase3-target`` does; ``PYTHON`` is the interpreter with its libraries. The exit status is 0
when the last run in the folder has the same result as a run in a new folder, else 1. ``full_disk`` mounts a small disk: start it
with ``unshare -rm`` before ``python`` (Linux).
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
MARK = "EVENT "


@dataclass(frozen=True)
class FolderCase:
    """Describe a case: the first ``panels`` of a synthetic dataset, the runs on them, and the output folder.

    With ``folders`` each panel has a folder of its own with the same file names, as for separate nights. ``killed_at`` is the
    beginning of the key of the event that kills the first run; empty to let it end. Every run has the ``settings``, and only the
    second has those in ``changed``. Without ``killed_at`` and ``changed`` there is one run in the folder ``output``. ``size`` is
    that of a small disk for the folder; empty for the existing disk.
    """

    dataset: str
    panels: int
    folders: bool
    killed_at: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    changed: Mapping[str, Any] = field(default_factory=dict)
    output: str = "output"
    size: str = ""


CASES = {
    "lost_retry": FolderCase("natural", 4, folders=False, killed_at="run_info_phase3_finished_from_cache"),
    "same_names": FolderCase("grid2x2", 2, folders=True, killed_at="MASTER_TILE_COUNT_UPDATE:2/"),
    "other_limit": FolderCase("grid2x2", 4, folders=False, changed={"max_raw_per_master_tile": 4}),
    # With the tiles left, the second run takes them over.
    "other_rejection": FolderCase(
        "grid2x2",
        2,
        folders=False,
        settings={"cleanup_temp_artifacts": False},
        changed={"stacking_rejection_algorithm": "none", "stacking_final_combine_method": "median"},
    ),
    "near_name": FolderCase("grid2x2", 2, folders=True, output="frames/night1"),
    # Room for the caches and their masks, but not for a tile.
    "full_disk": FolderCase("grid2x2", 4, folders=False, size="37300k"),
}


# In ZeMosaic's interpreter


def child(source: str, frames: str, output: str, changed: str) -> None:
    """Make one mosaic with settings whose results are bit-equal in each run, and print each event in a line."""
    os.cpu_count = lambda: 2  # one worker, so that tiles are made in order
    sys.path.insert(0, source)
    import zemosaic_config

    draw = np.random.default_rng
    np.random.default_rng = lambda seed=None: draw(0 if seed is None else seed)
    known = dict(zemosaic_config.DEFAULT_CONFIG)
    settings = {
        **known,
        "cluster_panel_threshold": 0.05,
        "cluster_target_groups": 0,
        "cluster_orientation_split_deg": 0.0,
        "min_radial_weight_floor": 0.0,
        "stacking_rejection_algorithm": "kappa_sigma",
        "intertile_photometric_match": False,
        "center_out_normalization_p3": False,
        "enable_poststack_anchor_review": False,
        "use_gpu_phase5": False,
        "input_dir": frames,
        "output_dir": output,
        "num_base_workers": 1,
        "skip_filter_ui": True,
        "logging_level": "DEBUG",
    }
    extras = {
        "final_mosaic_dbe_enabled",
        "two_pass_coverage_renorm",
        "export_aesthetic_fits",
        "patchwork_suppressor_enabled",
    }
    settings |= dict.fromkeys(extras & known.keys(), False) | json.loads(changed)
    zemosaic_config.load_config = lambda: copy.deepcopy(settings)
    import zemosaic_worker

    gc.collect()
    gc.freeze()
    zemosaic_worker.run_hierarchical_mosaic_process(_Lines(), solver_settings_dict={}, **settings)


class _Lines:
    def put(self, item: Any, *_: Any, **__: Any) -> None:
        fields = item[-1] if isinstance(item[-1], dict) else {}
        line = MARK + json.dumps([str(item[0]), fields], default=str) + "\n"
        os.write(1, line.encode())  # in one call; otherwise lines of several threads could mix

    put_nowait = put


# In this project's


def run(
    source: Path, python: str, frames: Path, output: Path, settings: Mapping[str, Any], *, killed_at: str = ""
) -> list[Any]:
    """Run the child, kill it at an event if asked, and return key and fields of its events."""
    with tempfile.TemporaryDirectory() as place:
        home = dict.fromkeys(("HOME", "USERPROFILE", "XDG_CONFIG_HOME", "TMPDIR", "TEMP", "TMP"), place)
        events = []
        with subprocess.Popen(
            [python, __file__, "--child", str(source), str(frames), str(output), json.dumps(settings)],
            cwd=place,
            env={**os.environ, **home, "PYTHONHASHSEED": "0", "PYTHONPATH": "", "MPLBACKEND": "Agg"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
        ) as process:
            for line in process.stdout or ():
                if line.startswith(MARK):
                    events.append(json.loads(line[len(MARK) :]))
                    if killed_at and events[-1][0].startswith(killed_at):
                        process.kill()
    return events


def lay_out(case: FolderCase, built: Path, frames: Path) -> None:
    """Copy the frames of a dataset into the input folder."""
    from fixtures.frames import PREFIX

    for path in sorted(built.glob(f"{PREFIX}*.fits")):
        panel, number = path.stem.removeprefix(PREFIX).split("_")
        if int(panel) < case.panels:
            place = frames / f"night{panel}_lights" / f"light_{number}.fits" if case.folders else frames / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place)


def stars_by_panel(mosaic: Path, dataset: Any, panels: int) -> list[str]:
    """Count, of each panel's thirty brightest stars away from other panels, those that the mosaic shows at their position."""
    from astropy.io import fits
    from astropy.wcs import WCS

    from fixtures.plans import centre_of, panels_of

    with fits.open(mosaic) as hdus:
        image, wcs = hdus[0].data.mean(axis=0), WCS(hdus[0].header, naxis=2)
    centres = np.array([np.mean([centre_of(f) for f in p], axis=0) for p in panels_of(dataset.facts)[:panels]])
    stars = dataset.truth.stars
    apart = (stars[:, None, :2] - centres[None]) * [np.cos(np.radians(centres[0, 1])), 1.0]
    owner = np.hypot(apart[..., 0], apart[..., 1])
    found = []
    for panel in range(panels):
        near = stars[(owner.argmin(axis=1) == panel) & (owner[:, panel] < 0.1)][:30]
        columns, rows = np.rint(wcs.wcs_world2pix(near[:, :2], 0).T).astype(int)
        inside = (columns > 12) & (rows > 12) & (columns < image.shape[1] - 12) & (rows < image.shape[0] - 12)
        seen = 0
        for x, y in zip(columns[inside], rows[inside], strict=True):
            around, here = image[y - 12 : y + 13, x - 12 : x + 13], image[y - 2 : y + 3, x - 2 : x + 3]
            if np.isfinite(here).any():
                level = np.nanmedian(around)
                scatter = 1.4826 * np.nanmedian(np.abs(around - level))
                seen += bool(np.nanmax(here) > level + 8 * scatter)
        found.append(f"{seen}/{inside.sum()}")
    return found


def result_of(name: str, events: list[Any], output: Path, dataset: Any, panels: int) -> tuple[Any, ...]:
    """Print the result of a run and return it."""
    made = [fields.get("num_master_tiles") for key, fields in events if key == "run_info_phase3_finished_from_cache"]
    mosaics = sorted(p for p in output.glob("zemosaic_MT*.fits") if not p.stem.endswith("_coverage"))
    stars = stars_by_panel(mosaics[-1], dataset, panels) if mosaics else []
    result = (made[-1] if made else None, mosaics[-1].name if mosaics else None, tuple(stars))
    print(f"{name}: tiles {result[0]}, mosaic {result[1]}, stars by panel {', '.join(stars) or '-'}")
    for key, _ in events:
        if re.match("Resume (accepted|partial|refused|plan|master tiles)", key):
            print(f"    {key}")
    log = output / "zemosaic_worker.log"  # newer versions write it there
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else ():
        if "Phase3: refcount cleanup complete" in line:
            print(f"    {line[line.index('Phase3:') :]}")
    return result


def call(*words: str) -> None:
    """Run a system command, which must succeed."""
    subprocess.run(words, check=True)


def main() -> int:
    """Run the case that the command line names."""
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
        return 0
    sys.path.insert(0, str(ROOT))
    from fixtures import datasets
    from harness.targets.resolve import resolve

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("target", metavar="PATH@COMMIT")
    parser.add_argument("python", metavar="PYTHON")
    parser.add_argument("--retention", choices=("keep", "run_end", "per_tile"), default="per_tile")
    options = parser.parse_args()
    case = CASES[options.case]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        source = Path(resolve(f"zemosaic:{options.target}", options.python, place / "targets").root)
        dataset = datasets.build(datasets.SYNTHETIC[case.dataset], place / "dataset")
        frames = place / "frames"
        lay_out(case, dataset.folder, frames)
        (place / case.output).mkdir()
        if case.size:
            call("mount", "-t", "tmpfs", "-o", f"size={case.size}", "tmpfs", str(place / case.output))

        def made(name: str, output: str, settings: Mapping[str, Any], killed_at: str = "") -> tuple[Any, ...]:
            events = run(source, options.python, frames, place / output, settings, killed_at=killed_at)
            return result_of(name, events, place / output, dataset, case.panels)

        first = {"cache_retention": options.retention, **case.settings}
        if case.killed_at or case.changed:
            made("first run", case.output, first, case.killed_at)
        last = made("last run", case.output, {**first, **case.changed})
        if case.size:
            call("umount", str(place / case.output))
        shutil.rmtree(place / case.output)  # it may be inside the frames' folder
        expected = made("the same in a new folder", "new", {**first, **case.changed})
    print("The results are the same." if last == expected else "The results differ.")
    return int(last != expected)


if __name__ == "__main__":
    sys.exit(main())
