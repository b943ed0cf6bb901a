"""Test what is read of a signature file and of allowed signers; no program is needed."""

import base64
import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.signoff.ssh_signature import SshSignature, read_signature, why_not_allowed

BLOB = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)
KEY = base64.b64encode(BLOB).decode("ascii")
SIGNATURE = SshSignature("phase3-signoff", KEY)
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def armoured(data):
    """Return the lines of a signature file."""
    text = base64.encodebytes(data)
    return b"-----BEGIN SSH SIGNATURE-----\n" + text + b"-----END SSH SIGNATURE-----\n"


def blob(namespace=b"phase3-signoff", key=BLOB, magic=b"SSHSIG", version=1):
    """Return the data of a signature."""
    parts = (key, namespace, b"", b"sha512", b"signature")
    return magic + struct.pack(">I", version) + b"".join(struct.pack(">I", len(p)) + p for p in parts)


def test_namespace_and_key_are_read():
    """The key is as in a public key file, and its fingerprint as ssh-keygen prints it."""
    found = read_signature(armoured(blob()))
    assert found == SIGNATURE
    assert found.fingerprint.startswith("SHA256:")
    assert len(found.fingerprint) == len("SHA256:") + 43


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        armoured(b""),
        armoured(blob(magic=b"SSHSUG")),
        armoured(blob(version=2)),
        armoured(blob(key=b"")),
        armoured(blob(namespace=b"\xff")),
        armoured(blob()[:30]),
        armoured(b"SSHSIG\0\0\0\x01\xff\xff\xff\xff"),
        armoured(blob()) * 2,
        armoured(blob(namespace=b"x" * 100_000)),
        armoured(blob()).replace(b"-----END", b"====\n-----END"),
    ],
)
def test_what_is_no_signature_is_none(content):
    """Cut off, of another version, too long, or anything else: no error, no signature."""
    assert read_signature(content) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_an_error(data):
    """Whatever the bytes are, the reader returns."""
    read_signature(data)
    read_signature(armoured(data))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ('valid-before="20261130120000Z"', "expired on 2026-11-30 12:00 UTC"),
        ("valid-before=20261129Z", "expired on 2026-11-29 00:00 UTC"),
        ('valid-after="202612010000Z"', "is valid from 2026-12-01 00:00 UTC on only"),
        ('namespaces="git"', "for git only, not for phase3-signoff"),
        ('namespaces="phase3-*",valid-before="20200101Z"', "expired on 2020-01-01"),
        ("", "do not accept the key"),
        ('valid-before="99999999Z"', "do not accept the key"),
    ],
)
def test_the_reason_of_a_refused_key(options, reason):
    """The line of the key says why it is not accepted; where it does not, the sentence claims no reason."""
    line = f"a@b {options} ssh-ed25519 {KEY} comment\n"
    assert reason in why_not_allowed(line, SIGNATURE, NOW).render()


@pytest.mark.parametrize("signers", ["", f"# a@b ssh-ed25519 {KEY}\n", f"a@b ssh-ed25519 {KEY}AAAA\n"])
def test_a_key_that_is_in_no_line_is_unknown(signers):
    """A comment, or a longer key, is not the key."""
    assert "is not among the allowed signers" in why_not_allowed(signers, SIGNATURE, NOW).render()
