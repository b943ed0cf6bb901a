"""List the families of attempts."""

from tests.reliability import bits, disks, fuzz, hostile, signals
from tests.reliability.tally import Family

FAMILIES: dict[str, Family] = {
    family.name: family for family in (signals.FAMILY, disks.FAMILY, fuzz.FAMILY, bits.FAMILY, hostile.FAMILY)
}
"""Each family by its name, in the order of the document."""
