"""Make sessions to sign, keys and allowed signers, for tests of the sign-off."""

import shutil
import subprocess
from pathlib import Path

import pytest

from harness.commands.main import main
from reports.material import Material
from reports.write import write_views
from tests.sample_session import sample_session

NEEDS_SSH = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed: no key can sign"
)
NAMESPACE = "phase3-signoff"


def session_with_pages(folder, kind="zemosaic"):
    """Write a session of a real target, in which lines fail, with its pages."""
    folder.mkdir(parents=True)
    sample_session(folder, kind)
    write_views(Material(folder))
    return folder


def decisions(*, first=("--reject", "the hole is there")):
    """Return the options that decide on the three lines."""
    reason = "as measured by hand"
    return ["--row", "4.1", *first, "--row", "4.2", "--reserve", "not yet", "--row", "4.3", "--accept", reason]


def a_key(folder, name="key"):
    """Make an ed25519 key without a passphrase."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "for a test", "-f", str(path)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, timeout=30)
    return path


def signers(folder, key, options="", who="zoe@example.org"):
    """Write allowed signers with one key."""
    kind, blob = Path(f"{key}.pub").read_text(encoding="utf-8").split()[:2]
    path = folder / "allowed signers été"
    path.write_text(f"# who may sign\n{who} {options}{' ' if options else ''}{kind} {blob}\n", encoding="utf-8")
    return path


def signed(session, key=None, *more):
    """Sign a session on the command line."""
    by = ["--by", "Zoé"] + ([] if key is None else ["--key", str(key)])
    assert main(["sign", str(session), *decisions(), *by, *more]) == 0
    return session / "signoff.json"


def resigned(session, key, namespace=NAMESPACE):
    """Sign the bytes of a sign-off by hand, in any namespace."""
    file = session / "signoff.json"
    words = ["ssh-keygen", "-Y", "sign", "-n", namespace, "-f", str(key)]
    done = subprocess.run(words, input=file.read_bytes(), capture_output=True, check=True, timeout=30)
    (session / "signoff.json.sig").write_bytes(done.stdout)
