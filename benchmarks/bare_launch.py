"""Start a target like the probe's launcher, without any source of the probe: the unobserved side of ``probe_cost.py``."""

from __future__ import annotations

import sys
from pathlib import Path

PROBE = Path(__file__).resolve().parents[1] / "harness" / "probe"


def nothing(*_: object, **__: object) -> None:
    """Do nothing, in the place of a function of the probe."""


def main() -> int:
    """Run the target of a record, unobserved."""
    sys.path.insert(0, str(PROBE))
    import launch

    launch._load_package()
    from _phase3_probe import recorder, setup, tiles, zemosaic

    for name in ("event", "trace", "capability", "problem"):
        setattr(recorder.Recorder, name, nothing)
    setup.install = setup.install_log = setup.reach_children = nothing
    tiles.Tiles.install_futures = tiles.Tiles.wrap = nothing
    zemosaic.install_saves = nothing
    zemosaic.tee_callback = lambda *_: False
    return int(launch.main(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
