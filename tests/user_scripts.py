"""Scripts of a user that start mosaics with a stub of ZeMosaic, to be recorded by ``phase3 record``."""

import shutil
import sys
import textwrap
from pathlib import Path

import numpy as np
from astropy.io import fits

from tests.micro import frame

STUB = Path(__file__).parent / "stub_zemosaic"

# How the graphical interface starts a mosaic: in a process of its own, with a plan that its filter made.
WINDOW = """
import multiprocessing

if __name__ == "__main__":
    from zemosaic_worker import run_hierarchical_mosaic_process

    print("fenêtre ouverte", flush=True)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=run_hierarchical_mosaic_process, args=(queue,), kwargs=arguments("sortie é"))
    process.start()
    while queue.get()[0] != "PROCESS_DONE":
        pass
    process.join()
"""

# Two mosaics one after the other, in one process and in the calling thread.
TWICE = """
import queue
import zemosaic_worker

for output in ("a", "b"):
    zemosaic_worker.run_hierarchical_mosaic_process(queue.Queue(), **arguments(output))
"""

# In the middle of a mosaic, something happens.
IN_THE_MIDDLE = """
import os, sys, time
import zemosaic_worker


class Queue:
    def put(self, item):
        if str(item[0]).startswith("MASTER_TILE_COUNT_UPDATE:1"):
            print("in the middle", flush=True)
            {what}


zemosaic_worker.run_hierarchical_mosaic_process(Queue(), **arguments("sortie"))
"""

DIRECT = """
import zemosaic_worker

def report(key, *rest, **fields):
    if key.startswith("MASTER_TILE_COUNT_UPDATE:1"):
        raise RuntimeError("no more")

zemosaic_worker.run_hierarchical_mosaic(str(here / "mes images"), str(here / "sortie"), report)
"""


def writer(home):
    """Return a function that writes a user's script, next to frames and a copy of the stub that removes caches per tile."""
    images = home / "mes images"
    images.mkdir(parents=True)
    for panel in range(3):
        for k in range(2):
            made = frame(panel, k)
            sky = np.random.default_rng(panel).normal(panel + 1, 0.1, (80, 100)).astype(np.float32)
            fits.writeto(images / made.name, sky, fits.Header(list(made.wcs.items())))
    shutil.copytree(STUB, home / "ze mosaïc", ignore=shutil.ignore_patterns("__pycache__"))
    config = home / "ze mosaïc" / "zemosaic_config.py"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace('"cache_retention": "run_end"', '"cache_retention": "per_tile"'), encoding="utf-8")

    def script(body):
        path = home / "lance moi.py"
        before = """
            import sys
            from pathlib import Path

            here = Path(__file__).parent
            sys.path.insert(0, str(here / "ze mosaïc"))


            def arguments(output, *more):
                names = lambda *panels: [str(here / "mes images" / f"p{x}_{k}.fits") for x in panels for k in range(2)]
                return dict(
                    input_dir=str(here / "mes images"), output_dir=str(here / output), num_base_workers=2,
                    filter_invoked=True, filter_overrides={"preplan_master_groups": [names(0, 1), names(1, 2), names(2), *more]},
                    filtered_header_items=[{"path": p} for p in [*names(0, 1, 2), *(p for group in more for p in group)]],
                )
        """
        path.write_text(textwrap.dedent(before) + body, encoding="utf-8")
        return [sys.executable, str(path)]

    return script
