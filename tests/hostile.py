"""Put something else in the place of a record's files and folders, as a hostile target does; and watch over a user's folder."""

import contextlib
import hashlib
import inspect
import os
import shutil
import stat
import time
from pathlib import Path

from harness.record.leftovers import remove_tree

FOLDERS = ("outputs", "work")
INNER = ("work/input", "work/home", "work/tmp", "work/cwd")
FILES = (
    "request.json",
    "session.json",
    "integrity.json",
    "truth.json",
    "console.log",
    "disk.jsonl",
    "process.jsonl",
    "left.jsonl",
    "left.jsonl.part",
    "inputs.jsonl",
    "inputs.jsonl.part",
    "products.json",
    "products.npz",
    "products.npz.part",
    "thumbnail.png",
    "thumbnail.png.part",
    "seal.json",
    "seal.json.part",
    "events-9.jsonl",
    "trace-9.jsonl",
)
NAMED = 15
"""How many of the replaced names a seal names in any case; it may also name some of them twice."""
KINDS = (
    "link to a folder",
    "link to a file",
    "hard link",
    "pipe",
    "folder",
    "file",
    "dangling link",
    "link to a device",
    "link to itself",
)


def replace(path, kind, user):
    """Put something of a kind at a path: a link to the user's folder, or to a file in it, or something of no use."""
    if path.is_dir() and not path.is_symlink():
        for inner in (path, *path.rglob("*")):
            if inner.is_dir() and not inner.is_symlink():
                inner.chmod(0o700)  # otherwise only root could remove it
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if kind == "hard link":
        os.link(user / "letter.txt", path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
        (path / "letter.txt").write_bytes(b"of the target")
        (path / ".zemosaic_img_cache").symlink_to(user)
        path.chmod(0o500)
    elif kind == "file":
        path.write_bytes(b"{}")
    else:
        to = {
            "link to a folder": user,
            "link to a file": user / "letter.txt",
            "dangling link": user / "absent.txt",
            "link to a device": Path("/dev/null"),
            "link to itself": path,
        }
        path.symlink_to(to[kind])


SCRIPT = f"""
import shutil
{inspect.getsource(replace)}
"""
"""The start of a target that replaces."""


def allowed(name, kind):
    """Return whether a target may make a thing of this kind: its own folders, and files of its own lines."""
    if kind == "folder":
        return name in FOLDERS + INNER
    return kind == "file" and name.startswith(("events-", "trace-"))


def users_folder(folder):
    """Make a folder of a user: caches and products by name, files and folders of several rights, old times."""
    (folder / "tmp").mkdir(parents=True)
    (folder / ".zemosaic_img_cache").mkdir()
    for name, mode in (
        ("letter.txt", 0o640),
        ("read only.txt", 0o400),
        ("without rights", 0o000),
        ("preprocessed_a_0.npy", 0o644),
        (".zemosaic_img_cache/preprocessed_b_0.npy", 0o444),
        ("tmp/hp_mask_a_0.npy", 0o600),
        ("console.log", 0o644),
        ("seal.json", 0o644),
    ):
        path = folder / name
        path.write_bytes(f"{name} of the user\n".encode())
        path.chmod(mode)
        os.utime(path, ns=(1_600_000_000_000_000_000, 1_600_000_000_000_000_000))
    (folder / "tmp").chmod(0o500)
    return folder


def facts(folder):
    """Return rights, time of the last change, number and content of everything below a folder, and of the folder."""
    found = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        about = path.lstat()
        content = ""
        with contextlib.suppress(PermissionError):  # only root reads a file without rights
            content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(about.st_mode) else ""
        found[path.relative_to(folder)] = (stat.filemode(about.st_mode), about.st_mtime_ns, about.st_ino, content)
    return found


def seconds_of(function):
    """Call a function; return its result and the seconds that it took."""
    start = time.monotonic()
    return function(), time.monotonic() - start


@contextlib.contextmanager
def deep(folder, levels=1_500):
    """Make folders in each other, with a file in the first, and remove them at the end: Python's own removal fails on them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "d").mkdir()
    before = Path.cwd()
    try:
        os.chdir(folder)
        for _ in range(levels):
            os.chdir("d")
            Path("d").mkdir()
        yield
    finally:
        os.chdir(before)
        remove_tree(folder / "d")
