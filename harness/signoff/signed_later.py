"""Say on a page by which key a sign-off was signed, also if that was after the page was written.

The part of a page that shows a sign-off is bound by its digest. An unsigned sign-off says ``UNSIGNED`` there. If ``ssh-keygen``
signs it later, one paragraph of the part changes, and nothing else may: without that change the part has its digest again.
"""

from __future__ import annotations

from markupsafe import escape

from harness.language.catalogue import language
from harness.language.message import Message, say
from harness.language.system import Code


def kind_of(key: str | None) -> Message:
    """Return the sentence on the signature: by which key it is, or that there is none."""
    if key is None:
        return say("UNSIGNED: the name and the date are not proved.")
    return say(
        "Signed with the key {key}. To see whose key it is, and that nothing was changed: {command}",
        key=key,
        command="phase3 verify signoff.json --allowed-signers FILE",
    )


def signed_later(part: bytes, key: str, code: Code) -> bytes:
    """Return the part of a page with the key that signed the sign-off in place of ``UNSIGNED``."""
    return part.replace(_paragraph(None, code), _paragraph(key, code), 1)


def before_signed(part: bytes, key: str, code: Code) -> bytes:
    """Return the part of a page as it was before the key signed the sign-off."""
    return part.replace(_paragraph(key, code), _paragraph(None, code), 1)


def _paragraph(key: str | None, code: Code) -> bytes:
    """Return the paragraph as the page has it. No text of the reviewer can look like it: its markup would be escaped."""
    return f"<p>{escape(language(code).render(kind_of(key)))}</p>".encode()
