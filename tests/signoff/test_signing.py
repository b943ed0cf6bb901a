"""Test signing and verifying with ``ssh-keygen``, and what happens where it can't."""

import subprocess

import pytest

from harness.signoff import signing
from harness.signoff.signing import NoProgramError, check, fingerprint, sign, verify
from harness.signoff.statement import SignoffError
from tests.signed_sessions import NEEDS_SSH, a_key, signers

pytestmark = NEEDS_SSH


@pytest.fixture
def key(tmp_path):
    """Return a key in a folder with a space and an accent."""
    return a_key(tmp_path / "mes clés")


def test_a_signature_is_of_its_bytes_only(key, tmp_path):
    """The same signature is good for the bytes, and bad for any others."""
    made = sign(b"these", key, fingerprint(key))
    allowed = signers(tmp_path, key)
    assert verify(b"these", made, allowed).signers == ("zoe@example.org",)
    assert verify(b"those", made, allowed).state == "bad"
    assert verify(b"", made, allowed).state == "bad"


def test_private_and_public_key_have_one_fingerprint(key):
    """So a sign-off names the same key, whether a file or an agent signs."""
    assert fingerprint(key) == fingerprint(key.with_name("key.pub"))


def test_a_key_that_is_not_the_expected_one_signs_nothing(key):
    """A key file that was exchanged between question and signature is noticed."""
    with pytest.raises(SignoffError, match="expected a signature by the key"):
        sign(b"these", key, "SHA256:another")


def test_several_signers_of_one_key_are_all_named(key, tmp_path):
    """Allowed signers may give a key more than one name."""
    made = sign(b"these", key, fingerprint(key))
    allowed = signers(tmp_path, key, who="zoe@example.org,z@example.org")
    assert set(verify(b"these", made, allowed).signers) == {"zoe@example.org", "z@example.org"}


def test_allowed_signers_that_are_garbage_allow_nobody(key, tmp_path):
    """Lines that are none, also bytes that are no text, are no error and no permission."""
    made = sign(b"these", key, fingerprint(key))
    (tmp_path / "allowed").write_bytes(b"\xff\xfe\x00 * \n*\n")
    assert verify(b"these", made, tmp_path / "allowed").state == "bad"


@pytest.mark.parametrize("status", [1, -11])
def test_a_program_that_can_not_check_says_nothing_about_the_signature(key, monkeypatch, status):
    """An old ssh-keygen without this command, or one that crashes, is no proof of a bad signature: it is not known."""
    made = sign(b"these", key, fingerprint(key))
    old = subprocess.CompletedProcess([], status, b"", b"unknown option -- Y")
    monkeypatch.setattr(signing, "_run", lambda *_, **__: old)
    with pytest.raises(NoProgramError, match=r"found that it can't \(unknown option -- Y\): install OpenSSH"):
        check(b"these", made)


def test_a_program_that_hangs_is_ended(key, monkeypatch):
    """A signature that takes too long is an error with the time limit, not a hang."""

    def hang(*_, timeout, **__):
        raise subprocess.TimeoutExpired("ssh-keygen", timeout)

    monkeypatch.setattr(signing.subprocess, "run", hang)
    with pytest.raises(SignoffError, match="did not end within 30 s"):
        fingerprint(key)
