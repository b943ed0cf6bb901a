"""Install the probe's sources in their order, before the target imports the functions that they wrap."""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from .events import Events, install_log
from .faults import Faults
from .files import install
from .holds import Hold, Holds
from .order import Order
from .paths import Paths
from .recorder import Recorder

CHILDREN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "children")


class Probe(NamedTuple):
    """The sources of one process, and the request of its run."""

    record: str
    request: dict[str, Any]
    recorder: Recorder
    paths: Paths
    events: Events
    holds: Holds
    faults: Faults
    order: Order


def start(record: str) -> Probe:
    """Install the probe in this process, before it imports anything of the target.

    Raises ``OSError``, ``ValueError`` or ``KeyError`` when the record's ``request.json`` is missing or can't be read.
    """
    with open(os.path.join(record, "request.json"), encoding="utf-8") as stream:
        request = json.load(stream)
    recorder, paths = Recorder(record), Paths(record)
    faults = Faults(request["faults"], recorder, paths, record)
    faults.install()  # before the recording wrappers, so that these see an injected failure like any other
    order = Order(recorder)
    order.install()
    _put_in_place(recorder, paths)
    schedule = [Hold(h["group"], h["until_released"], h["seconds"]) for h in request["schedule"]]
    holds = Holds(schedule, request["plan"] or (), recorder)
    return Probe(record, request, recorder, paths, Events(recorder), holds, faults, order)


def observe(record: str) -> tuple[Recorder, Paths]:
    """Install the sources that every process of the target has, child processes too: file operations and log records."""
    recorder, paths = Recorder(record), Paths(record, os.environ.get("PHASE3_OUTPUTS"))
    _put_in_place(recorder, paths)
    return recorder, paths


def _put_in_place(recorder: Recorder, paths: Paths) -> None:
    install(recorder, paths)
    install_log(recorder)


def reach_children(record: str) -> None:
    """Make Python child processes load the probe, through a ``sitecustomize`` that comes first on their path."""
    os.environ["PHASE3_RECORD"] = record
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = CHILDREN + (os.pathsep + before if before else "")
