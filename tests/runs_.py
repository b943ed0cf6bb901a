"""Make small runs for tests: frames of a few bytes, and targets of a few lines of Python."""

import hashlib
import json
import sys
import textwrap

import psutil

from harness.record.request import DatasetFacts, FrameFacts, TargetFacts
from tests.requests_ import WCS, a_request

# The start of each target's script: functions with which it writes its own record.
SPEAKING = """
import json, os, signal, subprocess, sys, time
from pathlib import Path

record = Path(os.environ["PHASE3_RECORD"])
outputs = record / "outputs"
events = record / f"events-{os.getpid()}.jsonl"


def write(**data):
    with events.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"t": time.monotonic_ns(), **data}) + "\\n")


def hello(format="phase3-events/1"):
    write(format=format, pid=os.getpid(), wall=0.0, python="3", platform="test", capabilities=["callback"])


def event(key, text="", **fields):
    write(thread="main", source="callback", key=key, level="INFO", text=text, fields=fields)


"""

# Starts a process that leaves the group, ignores SIGTERM and starts another such process. Both write their ids.
CLINGING = """
clinging = '''
import os, signal, subprocess, sys, time
from pathlib import Path
if hasattr(os, "setsid"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
depth = int(sys.argv[1])
if depth:
    subprocess.Popen([sys.executable, "-c", sys.argv[2], str(depth - 1), sys.argv[2], sys.argv[3]], start_new_session=True)
with open(sys.argv[3], "a") as stream:
    stream.write(f"{os.getpid()}\\\\n")
time.sleep(60)
'''
pids = outputs / "pids"
subprocess.Popen([sys.executable, "-c", clinging, "1", clinging, str(pids)], start_new_session=True)
while not pids.exists() or len(pids.read_text().split()) < 2:
    time.sleep(0.02)
"""


def frames_in(folder, count=2):
    """Write frames of a few bytes and return the facts of their dataset."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = []
    for number in range(count):
        data = f"frame {number}".encode() * 100
        (folder / f"é {number}.fits").write_bytes(data)
        frames.append(FrameFacts(f"é {number}.fits", hashlib.sha256(data).hexdigest(), (8, 10), WCS))
    return DatasetFacts("tiny", "synthetic", "0" * 64, tuple(frames))


def command(folder, script, **changes):
    """Return a request that runs a script, on frames written to ``folder``."""
    argv = (sys.executable, "-c", SPEAKING + textwrap.dedent(script))
    target = TargetFacts("command", "a script", "", sys.executable, {}, argv)
    values = {
        "target": target,
        "dataset": frames_in(folder),
        "plan": None,
        "schedule": (),
        "faults": (),
        "seconds": 20.0,
    }
    return a_request(**(values | changes))


def hashes(folder):
    """Return the SHA-256 of every file of a folder, to test that no file changed."""
    return {p.relative_to(folder): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def seal_of(folder):
    """Return the content of a record's ``seal.json``."""
    return json.loads((folder / "seal.json").read_text(encoding="utf-8"))


def living(pids):
    """Return which of these processes still run."""
    found = []
    for pid in pids:
        try:
            if psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found
