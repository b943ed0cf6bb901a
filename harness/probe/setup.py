"""Puts the probe's sources in place, in the order that lets none of them miss the target's imports."""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from .events import Events, install_log
from .faults import Faults
from .files import install
from .holds import Hold, Holds
from .paths import Paths
from .recorder import Recorder

CHILDREN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "children")


class Probe(NamedTuple):
    """The sources of one process, and the request that it runs for."""

    record: str
    request: dict[str, Any]
    recorder: Recorder
    paths: Paths
    events: Events
    holds: Holds
    faults: Faults


def start(record: str) -> Probe:
    """Observe this process from here on, before it imports any of the target.

    Raises
    ------
    OSError, ValueError, KeyError
        When the record has no request that can be read.

    """
    with open(os.path.join(record, "request.json"), encoding="utf-8") as stream:
        request = json.load(stream)
    recorder, paths = Recorder(record), Paths(record)
    faults = Faults(request["faults"], recorder, paths, record)
    faults.install()  # beneath what records
    _put_in_place(recorder, paths)
    schedule = [Hold(h["group"], h["until_released"], h["seconds"]) for h in request["schedule"]]
    holds = Holds(schedule, request["plan"] or (), recorder)
    return Probe(record, request, recorder, paths, Events(recorder), holds, faults)


def observe(record: str) -> tuple[Recorder, Paths]:
    """Put in place what every process of the target gets, children too: file operations and log records."""
    recorder, paths = Recorder(record), Paths(record, os.environ.get("PHASE3_OUTPUTS"))
    _put_in_place(recorder, paths)
    return recorder, paths


def _put_in_place(recorder: Recorder, paths: Paths) -> None:
    install(recorder, paths)
    install_log(recorder)


def reach_children(record: str) -> None:
    """Let Python processes started from here load the probe: through a ``sitecustomize`` first on their path."""
    os.environ["PHASE3_RECORD"] = record
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = CHILDREN + (os.pathsep + before if before else "")
