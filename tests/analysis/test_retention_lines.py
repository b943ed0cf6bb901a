"""Test what log lines about caches mean, in English and French words, and the numbers in them."""

import pytest

from harness.analysis import retention_lines as lines
from harness.record.history import Event


def event(text, level="INFO"):
    """Return a log record."""
    return Event(0, 1, "MainThread", "log", text, level, text)


@pytest.mark.parametrize(
    "text",
    [
        "Phase3: per_tile cache retention uses refcount; safe deletion enabled (18 unique cache files tracked).",
        "Phase 3: per-tile ref-count active, tracking 18 files",
        "Reference counting is on for 18 caches",
        "The references of 18 caches are counted",
        "Phase 3 : comptage des références activé, 18 fichiers suivis",
        "Comptage de références : 18 caches",
    ],
)
def test_counting_references_is_understood_in_other_words(text):
    """Each line says that references are counted, and of how many files."""
    assert lines.is_counted(event(text))
    assert 18 in lines.counts(event(text))


@pytest.mark.parametrize(
    "text",
    [
        "Phase3: 18 workers",
        "Cache retention mode: per_tile",
        "18 frames in 3 groups",
        "[CLÉ_POUR_GUI: run_info_phase1_finished_cache] (Args: {'num_valid_raws': 18})",
        "tile 2: 18 cache files tracked",
        "IO_ADAPT_RT: cache_read_slots -> 18",
    ],
)
def test_a_line_with_the_right_number_about_something_else_means_nothing(text):
    """The number alone is no sign: the line is not about counting, or has no count, or is about one tile."""
    said = event(text)
    assert not lines.is_counted(said)
    assert not (lines.is_retained(said) and lines.counts(said))


@pytest.mark.parametrize(
    ("text", "removed", "remaining"),
    [
        ("Phase3: refcount cleanup complete; removed 18 files; remaining 0 (if any).", 18, 0),
        ("Phase 3 : 18 caches supprimés, restants : 0", 18, 0),
        ("12 files were deleted, freed 10.548 MiB", 12, None),
        ("Removed per-tile cache file: /a/20261129-1/preprocessed_light 3_0.npy", None, None),
    ],
)
def test_numbers_of_removed_and_remaining_caches(text, removed, remaining):
    """The numbers beside the words count; amounts of bytes and numbers in paths do not."""
    assert (lines.removed_in(event(text)), lines.remaining_in(event(text))) == (removed, remaining)


@pytest.mark.parametrize(
    ("text", "size", "right"),
    [
        ("freed 10.548 MiB", 11_059_200 + 1_306, True),
        ("freed 10.548 MiB", 11_080_000, False),
        ("freed 10,5 Mo", 10_500_000, True),
        ("freed 10.5 MB", 11_010_048, True),
        ("freed 245760 bytes", 245_760, True),
        ("freed 245760 octets", 245_759, True),
        ("freed 245760 bytes", 245_700, False),
        ("freed 240 kB", 245_760, True),
    ],
)
def test_amounts_of_bytes_are_compared_at_their_printed_precision(text, size, right):
    """MiB are 2²⁰ bytes; MB are 10⁶ or 2²⁰. A difference in the last printed digit is rounding."""
    (amount,) = lines.amounts(event(text))
    assert amount.means(size) is right


def test_memory_that_is_freed_is_no_cache():
    """Lines about memory, and those that repeat a progress event, are not about the removal of files."""
    assert lines.is_removing(event("Cache file deleted"))
    assert not lines.is_removing(event("Freed 512 MB of GPU memory, cache cleared"))
    assert not lines.is_removing(event("[KEY: cache_removed] removed"))


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ("Phase3: shared cache detected across master tiles; refcount guard active.", True),
        ("Some caches are shared by several tiles", True),
        ("Des caches sont partagés entre tuiles", True),
        ("No shared cache was found", False),
        ("Aucun cache partagé", False),
        ("Reference counting: 18 caches, of which 6 are shared caches", False),
    ],
)
def test_a_line_says_that_caches_are_shared(text, shared):
    """Its negation says the contrary, and a line with the number of counted caches is the start line."""
    assert lines.is_shared(event(text)) is shared


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("3,000 cache files tracked", (3000,)),
        ("3 000 cache files tracked", (3000,)),
        ("3\u00a0000 fichiers de cache suivis", (3000,)),
        ("3\u202f000\u202f000 fichiers de cache suivis", (3_000_000,)),
        ("caches: 1'234'567", (1_234_567,)),
        ("6 groups, 18 caches", (18,)),
        ("tile 3 100 cache files", (100,)),
    ],
)
def test_counts_with_separated_thousands_are_read_whole(text, numbers):
    """A comma, an apostrophe or any space separates thousands; the number of a tile is no part of them."""
    assert lines.counts(event(text)) == numbers


@pytest.mark.parametrize(
    ("text", "size", "right"),
    [
        ("freed 999,999,999 bytes", 999_999_999, True),
        ("freed 999,999,999 bytes", 999, False),
        ("freed 245,760 bytes", 245_760, True),
        ("freed 245,760 bytes", 246, False),
        ("freed 245\u202f760 octets", 245_760, True),
        ("freed 1,234.5 MB", 1_234_500_000, True),
        ("freed 1 234,5 Mo", 1_234_500_000, True),
        ("freed 3,000 MB", 3_000_000_000, True),
        ("freed 3,000 MB", 3_000_000, True),
        ("freed 3,000 MB", 3_500_000_000, False),
        ("tile 3 512 kB freed", 512_000, True),
        ("tile 3 512 kB freed", 3_512_000, False),
    ],
)
def test_amounts_with_separated_thousands_are_read_whole(text, size, right):
    """One comma before three digits is read both ways, except of bytes, which have no decimals."""
    (amount,) = lines.amounts(event(text))
    assert amount.means(size) is right


@pytest.mark.parametrize(
    ("text", "removed"),
    [
        ("Removed 3 outlier frames, cache kept", None),
        ("Cache freed after tile 4: 2.0 MB", None),
        ("Cache slots released: 2", None),
        ("Released 2 cache read slots", None),
        ("Removed 2 of 6 caches", 2),
        ("2 old cache files dropped", 2),
        ("Purged 1 cache", 1),
        ("1 cache purged", 1),
    ],
)
def test_only_numbers_of_caches_are_numbers_of_removed_caches(text, removed):
    """Frames, tiles and slots have numbers too."""
    assert lines.removed_in(event(text)) == removed


def test_bytes_that_remain_were_not_freed():
    """A line may say how much is freed and how much is left."""
    said = lines.freed_in(event("caches freed: 2.0 MB, 9.0 GB left, remaining: 4 kB"))
    assert [amount.text for amount in said] == ["2.0 MB"]
