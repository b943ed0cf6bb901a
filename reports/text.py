"""Text that was read from a file, made fit to be shown anywhere."""

from __future__ import annotations

import re

# Characters that HTML and XML can't hold, that UTF-8 can't write, or that turn the order of the text around them.
_UNSEEN = re.compile(
    "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
)


def visible(text: str) -> str:
    """Replace characters that can't be shown by an escape that can."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
