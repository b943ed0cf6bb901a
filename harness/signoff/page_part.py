"""The part of a page that shows a sign-off.

A sign-off binds a page as the reviewer saw it, and the same page then shows the sign-off. So the digest of a page is that of the
page without this part, and the digest of the part is bound beside it. A page outside its part must not depend on a sign-off.
"""

from __future__ import annotations

BEGIN = b"<!-- sign-off: begin -->"
END = b"<!-- sign-off: end -->"


def without_part(page: bytes) -> bytes:
    """Return a page with an empty part; a page without one part is returned unchanged."""
    return with_part(page, b"")


def part_of(page: bytes) -> bytes:
    """Return what stands in the part of a page; empty for a page without one part."""
    found = _split(page)
    return found[1] if found else b""


def with_part(page: bytes, part: bytes) -> bytes:
    """Return a page with another content of its part; a page without one part is returned unchanged."""
    found = _split(page)
    return page if found is None else b"".join((found[0], part, found[2]))


def _split(page: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Split a page around the content of its part. A page in which the marks are not there once each has no part."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        return None
    start, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    return (page[:start], page[start:end], page[end:]) if start <= end else None
