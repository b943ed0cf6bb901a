"""Test the part of a page that shows a sign-off."""

import pytest

from harness.signoff.page_part import BEGIN, END, part_of, with_part, without_part
from harness.signoff.subjects import PAGES
from reports.html.build import FILES

PAGE = b"<main>a" + BEGIN + END + b"b</main>"


def test_a_part_is_put_in_and_taken_out():
    """What comes out is the page before, byte for byte."""
    shown = with_part(PAGE, b"<p>x</p>")
    assert part_of(shown) == b"<p>x</p>"
    assert without_part(shown) == PAGE
    assert with_part(shown, b"y") == with_part(PAGE, b"y")


@pytest.mark.parametrize("page", [b"", b"<main></main>", PAGE + BEGIN, PAGE + END, PAGE + PAGE, END + b"x" + BEGIN])
def test_a_page_without_one_part_is_left_alone(page):
    """Nothing is hidden from the digest where the marks are missing, doubled, or the wrong way round."""
    assert with_part(page, b"x") == page
    assert without_part(page) == page
    assert part_of(page) == b""


def test_the_pages_are_those_of_the_report():
    """A sign-off binds the pages that the report writes, in each language."""
    assert set(PAGES) == set(FILES.values())
