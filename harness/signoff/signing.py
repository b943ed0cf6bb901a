"""Sign a sign-off with ``ssh-keygen``, and verify its signature.

The signature has a namespace of its own, so a signature that was made for a commit, a file or a login is not one of a sign-off.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from harness.language.message import Message, SaidError, say
from harness.signoff.ssh_signature import MAX_SIGNATURE, MAX_SIGNERS, SshSignature, read_signature, why_not_allowed
from harness.signoff.statement import SignoffError, read_bounded

NAMESPACE = "phase3-signoff"
PROGRAM = "ssh-keygen"
SIGN_SECONDS = 300
"""A signer may have to type a passphrase, or to touch a security key."""

SECONDS = 30
LONGEST_REASON = 400


REFUSAL = b"Could not verify signature"
"""What ``ssh-keygen`` prints when a signature does not hold."""

OLDEST = "8.2"


class NoProgramError(SaidError):
    """Raised when ``ssh-keygen`` is not installed, or can't check signatures."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Whether a signature holds.

    ``good``: by a key of the allowed signers, for these bytes. ``bad``: it does not hold. ``unknown``: whose key it is could not
    be found out. ``reason`` says why, ``signers`` who, ``key`` is the fingerprint.
    """

    state: Literal["good", "bad", "unknown"]
    reason: Message
    key: str = ""
    signers: tuple[str, ...] = ()


def fingerprint(key: Path) -> str:
    """Return the fingerprint of a key file, private or public.

    Raises ``NoProgramError``, or ``SignoffError`` when the file is no key.
    """
    found = _run(["-l", "-E", "sha256", "-f", str(key.absolute())])
    words = found.stdout.decode("utf-8", "replace").split()
    if found.returncode or len(words) < 2 or not words[1].startswith("SHA256:"):
        raise SignoffError(
            say(
                "expected an SSH key in {path}, found none that can be read ({error}): name a key, such as ~/.ssh/id_ed25519",
                path=str(key),
                error=_said(found),
            )
        )
    return words[1]


def sign(content: bytes, key: Path, expected: str) -> bytes:
    """Return the signature of some bytes by a key whose fingerprint is expected.

    With a public key file the agent signs. Raises ``NoProgramError``, or ``SignoffError`` when nothing could be signed.
    """
    made = _run(["-Y", "sign", "-n", NAMESPACE, "-f", str(key.absolute())], content, SIGN_SECONDS)
    signature = None if made.returncode else read_signature(made.stdout)
    if signature is None or signature.fingerprint != expected or _of_other_bytes(content, made.stdout):
        raise SignoffError(
            say(
                "expected a signature by the key {path}, found none ({error}): is its passphrase right, and for a public key, "
                "does the agent have it?",
                path=str(key),
                error=_said(made),
            )
        )
    return made.stdout


def check(content: bytes, signature: bytes, named: str | None = None) -> Signature:
    """Tell whether a signature is of these bytes; whose key made it is not asked. Raises ``NoProgramError``.

    ``named`` is the fingerprint of the key that the signed statement names, if it names one.
    """
    read = read_signature(signature)
    if read is None:
        return Signature("bad", say("The signature file holds no SSH signature"))
    if read.namespace != NAMESPACE:
        reason = say(
            "The signature is for {found}, not for {expected}: it was made for another purpose",
            found=repr(read.namespace),
            expected=repr(NAMESPACE),
        )
        return Signature("bad", reason, read.fingerprint)
    if named not in (None, read.fingerprint):
        reason = say("The sign-off names the key {named}, and {key} signed it", named=named or "", key=read.fingerprint)
        return Signature("bad", reason, read.fingerprint)
    if _of_other_bytes(content, signature):
        reason = say(
            "The signature is of other bytes: signoff.json was changed since, or the signature is of another one"
        )
        return Signature("bad", reason, read.fingerprint)
    return Signature("unknown", say("No allowed signers were asked whose key it is"), read.fingerprint)


def verify(
    content: bytes, signature: bytes, signers: Path | None, named: str | None = None, now: datetime | None = None
) -> Signature:
    """Tell whether a signature is of these bytes and by a key of the allowed signers at present.

    The time in a sign-off is the signer's own word. So a key that expired is refused, whatever time the sign-off has.

    Raises
    ------
    SignoffError
        When the allowed signers can't be read.
    NoProgramError
        When ``ssh-keygen`` is not installed.

    """
    checked = check(content, signature, named)
    read = read_signature(signature)
    if checked.state == "bad" or read is None:
        return checked
    if signers is None:
        reason = say("Whose key it is, is not known: name the keys that you trust with --allowed-signers FILE")
        return Signature("unknown", reason, checked.key)
    try:
        text = read_bounded(signers, MAX_SIGNERS)
    except OSError as error:
        raise SignoffError(
            say("expected allowed signers in {path}, found none ({error})", path=str(signers), error=str(error))
        ) from error
    return _allowed(content, signature, text, read, now or datetime.now(UTC))


def _allowed(content: bytes, signature: bytes, signers: bytes, read: SshSignature, now: datetime) -> Signature:
    with tempfile.TemporaryDirectory() as name:
        # Copies: what was read is what is verified, and the paths have no characters that a system encodes differently.
        files = Path(name, "signature"), Path(name, "signers")
        files[0].write_bytes(signature)
        files[1].write_bytes(signers)
        found = _run(["-Y", "find-principals", "-s", str(files[0]), "-f", str(files[1])])
        names = found.stdout.decode("utf-8", "replace").splitlines()
        good = tuple(
            principal
            for principal in dict.fromkeys(filter(None, (line.strip() for line in names)))
            if found.returncode == 0 and _verified(content, files, principal)
        )
    if good:
        reason = say("The signature is good: {signers}, key {key}", signers=", ".join(good), key=read.fingerprint)
        return Signature("good", reason, read.fingerprint, good)
    return Signature("bad", why_not_allowed(signers.decode("utf-8", "replace"), read, now), read.fingerprint)


def _verified(content: bytes, files: tuple[Path, Path], principal: str) -> bool:
    words = ["-Y", "verify", "-n", NAMESPACE, "-I", principal, "-s", str(files[0]), "-f", str(files[1])]
    return _run(words, content).returncode == 0


def _of_other_bytes(content: bytes, signature: bytes) -> bool:
    if len(signature) > MAX_SIGNATURE:
        return True
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "signature")
        file.write_bytes(signature)
        done = _run(["-Y", "check-novalidate", "-n", NAMESPACE, "-s", str(file)], content)
    if done.returncode and REFUSAL not in done.stdout:
        # It did not get as far as the signature: an old version without this command, or one that crashed.
        raise NoProgramError(
            say(
                "expected {name} to check a signature, found that it can't ({error}): install OpenSSH {version} or later",
                name=PROGRAM,
                version=OLDEST,
                error=_said(done),
            )
        )
    return done.returncode != 0


def _run(words: Sequence[str], content: bytes = b"", seconds: float = SECONDS) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which(PROGRAM)
    if program is None:
        raise NoProgramError(
            say("expected the program {name}, found none: install OpenSSH, which has it", name=PROGRAM)
        )
    try:
        return subprocess.run(
            [program, *words],
            input=content,
            capture_output=True,
            timeout=seconds,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired as error:
        raise SignoffError(say("{name} did not end within {seconds} s", name=PROGRAM, seconds=seconds)) from error


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stderr.decode("utf-8", "replace").strip()[:LONGEST_REASON] or f"status {done.returncode}"
