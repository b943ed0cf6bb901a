"""Read log lines about the retention of caches by their meaning: what a line is about, and the numbers that it states.

The checklist asks for facts, such as "references are counted, for so many files". It asks for no wording, so other words, French
ones too, are understood. A number alone is no sign: a line with the right number may be about workers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.record.history import Event

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "WARN": 30, "ERROR": 40, "CRITICAL": 50}

# "refcount", "reference counting", "references are counted", "comptage des références".
_COUNTED = re.compile(
    r"ref(?:erence)?s?[\s_-]*count|\bref(?:erence)?s?\W+(?:\w+\W+){0,4}count|count\w*\W+(?:\w+\W+){0,3}ref(?:erence)?s?\b"
    r"|r[eé]f[eé]renc\w*\W+(?:\w+\W+){0,4}compt|compt\w*\W+(?:\w+\W+){0,3}r[eé]f[eé]renc",
    re.IGNORECASE,
)
# Words that mean the same only together with caches, at the right place.
_RETAINED = re.compile(
    r"retention|r[eé]tention|track|suivi|surveill|us(?:age|er)s?\W+count|r[eé]f[eé]renc|refs?\b", re.IGNORECASE
)
_STARTED = re.compile(r"track|enabl|activ|uses|suivi|surveill|utilis|start|d[eé]but|\bon\b", re.IGNORECASE)
_ENDED = re.compile(
    r"removed|deleted|freed|complete|remaining|cleaned|supprim[eé]|effac[eé]|lib[eé]r[eé]|restant|termin[eé]",
    re.IGNORECASE,
)
_SHARED = re.compile(r"shared? caches?|caches? (?:\w+ )?shared|caches? (?:\w+ )?partag", re.IGNORECASE)
_UNSHARED = re.compile(r"\b(?:no|not|none|0|zero|aucun|pas de)\b[^.;]*(?:shared|partag)", re.IGNORECASE)
_REMOVING = re.compile(r"remov|delet|unlink|freed|supprim|effac|lib[eé]r", re.IGNORECASE)
_FAILED = re.compile(
    r"fail|could not|can ?not|can't|errno|[eé]chec|impossible|missing|already|d[eé]j[aà]", re.IGNORECASE
)
# Memory that is freed, and other files, are not caches on disk.
_OTHER = re.compile(r"gpu|cupy|vram|\bram\b|memory|m[eé]moire|memmap", re.IGNORECASE)
_NUMBERED_TILE = re.compile(r"\b(?:tile|tuile|stack|group|groupe|batch|lot)\s*(?:#|n°|no\.?)?\s*\d", re.IGNORECASE)
# ZeMosaic writes each progress event to the log too. Such a line is no log line of the patch.
_ECHO = re.compile(r"\[[^\]]*: \w+\]")
_PHASE = re.compile(r"phase ?\d", re.IGNORECASE)
_PATHS = re.compile(r"\S*[/\\]\S*|\S+\.np[yz]\b")
# Numbers of tiles and in file names are no counts. A sign follows a space or a bracket.
_NUMBER = re.compile(r"(?<![\w.-])(?<![\w.-]-)-?\d+(?!\.?\w)")
_OF_CACHES = re.compile(
    r"(?<![\w.-])(-?\d+)\s+(?:[^\W\d]+\s+){0,3}(?:cache|file|fichier)"
    r"|(?:cache|file|fichier)\w*[^\d\n,;.]{0,15}?(?<![\w.-])(-?\d+)(?!\.?\w)",
    re.IGNORECASE,
)
_OF_REMOVED = re.compile(
    r"(?:remov|delet|freed|supprim|effac|lib[eé]r)\w*\D{0,12}?(?<![\w.])(-?\d+)(?!\.?\w)"
    r"|(?<![\w.-])(-?\d+)\s+(?:[^\W\d]+\s+){0,3}(?:remov|delet|freed|supprim|effac|lib[eé]r)",
    re.IGNORECASE,
)
_REMAINING = re.compile(r"(?:remaining|restant)\w*\D{0,12}?(-?\d+)|(-?\d+)\s+(?:remaining|restant)", re.IGNORECASE)
_AMOUNT = re.compile(r"(?<![\w.-])(-?\d+(?:[.,]\d+)?)\s*(bytes?|octets?|[kMGT]i?[Bo]|[Bo])\b", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount of bytes that a line states: the possible values (MB may mean 10⁶ or 2²⁰ bytes), and the printed precision."""

    text: str
    values: tuple[float, ...]
    precision: tuple[float, ...]

    def means(self, size: int) -> bool:
        """Return whether the amount is this size, rounded or cut off at the printed precision."""
        return any(abs(v - size) <= p for v, p in zip(self.values, self.precision, strict=True))


def level(event: Event) -> int:
    """Return the level of a log record as a number; INFO for an unknown one."""
    return LEVELS.get(event.level.upper(), LEVELS["INFO"])


def is_counted(event: Event) -> bool:
    """Return whether a line is about counting references, wherever it stands."""
    return bool(_COUNTED.search(event.text))


def is_retained(event: Event) -> bool:
    """Return whether a line is about the tracking or retention of caches: it means counting at the start of Phase 3 only."""
    text = event.text
    return bool(_RETAINED.search(text) and "cache" in text.lower() and not is_of_one_tile(event) and not is_echo(event))


def is_shared(event: Event) -> bool:
    """Return whether a line says that tiles share caches. One that also states the number of counted caches is another line."""
    text = event.text
    says = _SHARED.search(text) is not None and _UNSHARED.search(text) is None
    return says and not (is_counted(event) and counts(event))


def says_start(event: Event) -> bool:
    """Return whether a line says that something begins or is in use."""
    return bool(_STARTED.search(event.text))


def says_end(event: Event) -> bool:
    """Return whether a line says that something was removed, is complete or remains."""
    return bool(_ENDED.search(event.text))


def is_of_one_tile(event: Event) -> bool:
    """Return whether a line is about one numbered tile or group."""
    return bool(_NUMBERED_TILE.search(event.text))


def is_echo(event: Event) -> bool:
    """Return whether a line repeats a progress event."""
    return _ECHO.match(event.text) is not None


def is_removing(event: Event) -> bool:
    """Return whether a line is about the removal of caches, or of files, which its caller must know to be caches."""
    return bool(_REMOVING.search(event.text)) and not _OTHER.search(event.text) and not is_echo(event)


def is_failing(event: Event) -> bool:
    """Return whether a line says that something failed, or was done before."""
    return bool(_FAILED.search(event.text))


def numbers(event: Event) -> tuple[int, ...]:
    """Return the whole numbers of a line, without those in names and the number of the phase."""
    return tuple(int(n) for n in _NUMBER.findall(_PHASE.sub("", event.text)))


def counts(event: Event) -> tuple[int, ...]:
    """Return the numbers of a line that may count caches: those beside the word cache or file, else all; no amounts of bytes."""
    text = _counting(event)
    beside = tuple(int(one or other) for one, other in _OF_CACHES.findall(text))
    return beside or tuple(int(n) for n in _NUMBER.findall(text))


def removed_in(event: Event) -> int | None:
    """Return the number beside a word of removal; ``None`` without one."""
    return _first(_OF_REMOVED, _counting(event))


def remaining_in(event: Event) -> int | None:
    """Return the number beside the word remaining; ``None`` without one."""
    return _first(_REMAINING, _counting(event))


def amounts(event: Event) -> tuple[Amount, ...]:
    """Return the amounts of bytes in a line."""
    return tuple(_amount(match) for match in _AMOUNT.finditer(_PATHS.sub("", event.text)))


def _counting(event: Event) -> str:
    return _AMOUNT.sub("", _PATHS.sub("", _PHASE.sub("", event.text)))


def _first(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    return None if found is None else int(found[1] or found[2])


def _amount(match: re.Match[str]) -> Amount:
    number, unit = match[1].replace(",", "."), match[2].lower()
    decimals = len(number.partition(".")[2])
    prefix = unit[0] if len(unit) > 1 and unit[0] in _POWERS and not unit.startswith(("byte", "octet")) else ""
    bases = (1024,) if "i" in unit[1:2] else (1000, 1024)
    scales = [base ** _POWERS[prefix] for base in (bases if prefix else (1,))]
    return Amount(
        match[0],
        tuple(float(number) * scale for scale in scales),
        tuple(scale * 10.0**-decimals for scale in scales),
    )
