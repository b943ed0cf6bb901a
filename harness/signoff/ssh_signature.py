"""Read an SSH signature file and git's allowed-signers format, to say why a signature does not hold.

``ssh-keygen`` decides (``signing.py``). Its messages differ between versions; what is read here tells the reasons apart.
The format of signatures is PROTOCOL.sshsig of OpenSSH; that of allowed signers is in ``man ssh-keygen``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from harness.language.message import Message, say

MAX_SIGNATURE = 64_000
MAX_SIGNERS = 4_000_000
_ARMOUR = re.compile(rb"\s*-----BEGIN SSH SIGNATURE-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END SSH SIGNATURE-----\s*")
_TIME = re.compile(r"\d{8}(\d{4}(\d{2})?)?Z?")


@dataclass(frozen=True, slots=True)
class SshSignature:
    """What a signature says of itself: its namespace, and the key that made it, in base64 as public key files have it."""

    namespace: str
    key: str

    @property
    def fingerprint(self) -> str:
        """The key's fingerprint, as ``ssh-keygen -l`` prints it."""
        digest = hashlib.sha256(base64.b64decode(self.key)).digest()
        return f"SHA256:{base64.b64encode(digest).decode('ascii').rstrip('=')}"


def read_signature(content: bytes) -> SshSignature | None:
    """Read a signature file; ``None`` if it is none."""
    armour = _ARMOUR.fullmatch(content)
    if armour is None or len(content) > MAX_SIGNATURE:
        return None
    try:
        data = base64.b64decode(b"".join(armour[1].split()), validate=True)
        if data[:6] != b"SSHSIG" or struct.unpack_from(">I", data, 6) != (1,):
            return None
        key, rest = _taken(data[10:])
        namespace, _ = _taken(rest)
        return SshSignature(namespace.decode("utf-8"), base64.b64encode(key).decode("ascii")) if key else None
    except (binascii.Error, struct.error, UnicodeDecodeError):
        return None


def why_not_allowed(signers: str, signature: SshSignature, now: datetime) -> Message:
    """Say why the allowed signers do not accept a key, as far as their file tells."""
    lines = [line for line in signers.splitlines() if signature.key in line.split() and not line.startswith("#")]
    found = [why for line in lines if (why := _why(line, signature, now)) is not None]
    unknown = say(
        "The key {key} is not among the allowed signers: ask the signer for the public key, and add it if it is theirs",
        key=signature.fingerprint,
    )
    if not lines:
        return unknown
    other = say("The allowed signers do not accept the key {key}", key=signature.fingerprint)
    return next(iter(found), other)


def _why(line: str, signature: SshSignature, now: datetime) -> Message | None:
    options = line.partition(signature.key)[0]
    namespaces = re.search(r'namespaces="([^"]*)"', options)
    if namespaces and not any(fnmatchcase(signature.namespace, name) for name in namespaces[1].split(",")):
        return say(
            "The allowed signers accept the key {key} for {namespaces} only, not for {namespace}",
            key=signature.fingerprint,
            namespaces=namespaces[1],
            namespace=signature.namespace,
        )
    before, after = _moment("valid-before", options), _moment("valid-after", options)
    if before is not None and now >= before:
        return say("The key {key} expired on {when}", key=signature.fingerprint, when=_shown(before))
    if after is not None and now < after:
        return say("The key {key} is valid from {when} on only", key=signature.fingerprint, when=_shown(after))
    return None


def _moment(option: str, text: str) -> datetime | None:
    """Return the time of an option: local time, or UTC with a Z at its end."""
    match = re.search(rf'{option}="?([0-9]+Z?)"?', text, re.IGNORECASE)
    if match is None or not _TIME.fullmatch(match[1]):
        return None
    digits = match[1].rstrip("Zz").ljust(14, "0")
    try:
        moment = datetime.strptime(f"{digits}+0000", "%Y%m%d%H%M%S%z")
    except ValueError:
        return None
    return moment if match[1].endswith("Z") else moment.replace(tzinfo=None).astimezone(UTC)


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _taken(data: bytes) -> tuple[bytes, bytes]:
    """Split a string with its length before it from the data after it. Raises ``struct.error`` if it is cut off."""
    (size,) = struct.unpack_from(">I", data)
    if len(data) < 4 + size:
        raise struct.error("cut off")
    return data[4 : 4 + size], data[4 + size :]
