"""Write a small sealed record by hand, and add to it."""

import json

from harness.record.values import sha256_of

HEADER = {"pid": 7, "t": 1, "wall": 0.0}
BROKEN = ["[" * 200_000, '{"t": ' + "9" * 5000 + "}", '{"t": 1e999, "op": "remove"}', '{"t', "[1]", "{}"]


def lines(path, *entries):
    """Write JSON lines."""
    path.write_text("".join(json.dumps(e) + "\n" for e in entries), encoding="utf-8")


def add(path, *texts):
    """Append lines as they are."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write("".join(f"{text}\n" for text in texts))


def seal(folder, state="done"):
    """Seal a folder as it is."""
    files = {p.name: sha256_of(p) for p in folder.iterdir() if p.is_file() and p.name != "seal.json"}
    data = {"format": "phase3-seal/1", "state": state, "exit_code": 0, "reason": "", "seconds": 1.5, "files": files}
    (folder / "seal.json").write_text(json.dumps(data), encoding="utf-8")
