"""Test that every check has a name for people."""

from harness.checks.judge import ALL
from harness.language.catalogue import Language
from reports import names
from reports.names import check_name, check_names


def test_every_check_has_a_name():
    """Each check of the registry is in the table of names, and no other."""
    assert set(names._NAMES) == set(ALL)


def test_an_unknown_check_is_its_own_name():
    """A check that the harness does not know, and a row of the guard rails, keep their name."""
    assert check_name("0.1", Language("fr")) == "0.1"


def test_names_are_in_the_order_of_the_alphabet():
    """Names are sorted as they are shown; no check is "none"."""
    assert check_names(("tiles", "cache"), Language("en")) == "cache, tiles"
    assert check_names((), Language("en")) == "none"
