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
_COUNTING = re.compile(
    r"ref(?:erence)?s?[\s_-]*count|count\w*\W+(?:(?:of|the)\W+){0,2}ref(?:erence)?s?\b|compt\w*\W+(?:d\w+\W+){0,2}r[eé]f[eé]renc",
    re.IGNORECASE,
)
# Frames have a reference too, and stars are counted: a line with such words is meant only if it speaks of caches as well.
_SKY = re.compile(
    r"\bstars?\b|[eé]toile|\badu\b|flux|photon|pixel|align|calib|catalog|astrom|photom|normali[sz]|sources?\b"
    r"|(?:r[eé]f[eé]rence|ref)\W+(?:frame|image|channel|canal|band|tile|tuile)|(?:image|brute) de r[eé]f[eé]rence",
    re.IGNORECASE,
)
_OF_CACHING = re.compile(r"cache|retention|r[eé]tention|ref[\s_-]?count|per[\s_-]tile|\.np[yz]\b", re.IGNORECASE)
# Words that mean the same only together with caches, at the right place.
_RETAINED = re.compile(
    r"retention|r[eé]tention|track|suivi|surveill|us(?:age|er)s?\W+count|r[eé]f[eé]renc|refs?\b", re.IGNORECASE
)
_STARTED = re.compile(r"track|enabl|activ|uses|suivi|surveill|utilis|start|d[eé]but|\bon\b", re.IGNORECASE)
_ENDED = re.compile(
    r"removed|deleted|freed|complete|remaining|cleaned|supprim[eé]|effac[eé]|lib[eé]r[eé]|restant|termin[eé]"
    r"|purg(?:ed|[eé])|evicted|discarded|dropped|erased|reclaimed|recovered|released|unlinked|cleared|wiped|pruned"
    r"|nettoy[eé]|r[eé]cup[eé]r[eé]|vid[eé]e?s?\b|[eé]vinc[eé]",
    re.IGNORECASE,
)
_SHARED = re.compile(r"shared? caches?|caches? (?:\w+ )?shared|caches? (?:\w+ )?partag", re.IGNORECASE)
_UNSHARED = re.compile(r"\b(?:no|not|none|0|zero|aucun|pas de)\b[^.;]*(?:shared|partag)", re.IGNORECASE)
_REMOVING = re.compile(r"remov|delet|unlink|freed|supprim|effac|lib[eé]r", re.IGNORECASE)
# Words that mean a removal only beside the name of a cache, an amount of bytes or a number of caches.
_SURELY = r"(?:remov|delet|unlink|freed|supprim|effac|lib[eé]r|purg|evict|[eé]vinc|discard|erased|reclaim|wiped|pruned)"
_RELEASED = rf"(?:{_SURELY}|nettoy|cleaned|cleared|dropped|released|recovered|r[eé]cup[eé]r|vid[eé]e?s?\b)"
_RELEASING = re.compile(_RELEASED, re.IGNORECASE)
# What else is removed: the first such noun after the verb, or one before it, is what the clause is about.
_CLAUSE = re.compile(r"[,;]|[.!]\s")
_OBJECT = re.compile(
    r"(?P<other>caches?\W+(?:dir|fold|dossier|r[eé]pertoire)|(?:dir|directory|folder|dossier|r[eé]pertoire)s?\b"
    r"|\b(?:outlier|frame|image|star|pixel|gradient|background|header|hot|cosmic|satellite|neighbou?r|thread|worker|row|column)s?\b"
    r"(?!\W+(?:caches?\b|files?\b))|[eé]toiles?\b|images? aberrantes?)"
    r"|(?P<cache>caches?\b|files?\b|fichiers?\b|\.np[yz]\b)",
    re.IGNORECASE,
)
_FAILED = re.compile(
    r"fail|could not|can ?not|can't|errno|[eé]chec|impossible|missing|already|d[eé]j[aà]", re.IGNORECASE
)
# Memory that is freed, and other files, are not caches on disk.
_OTHER = re.compile(r"gpu|cupy|vram|\bram\b|memory|m[eé]moire|memmap", re.IGNORECASE)
_OTHER_CACHES = re.compile(
    r"\b(?:gpu|memory|wcs|headers?|thumbnails?|catalog\w*|solver|astrometry|psf|page|lru|fonts?)[\s_-]caches?\b|\bslots?\b",
    re.IGNORECASE,
)
_NUMBERED_TILE = re.compile(r"\b(?:tile|tuile|stack|group|groupe|batch|lot)\s*(?:#|n°|no\.?)?\s*\d+", re.IGNORECASE)
# ZeMosaic writes each progress event to the log too. Such a line is no log line of the patch.
_ECHO = re.compile(r"\[[^\]]*: \w+\]")
_PHASE = re.compile(r"phase ?\d", re.IGNORECASE)
_PATHS = re.compile(r"\S*[/\\]\S*|\S+\.np[yz]\b")
# Three thousand: "3,000", "3 000" with any space, "3'000". Ten groups are more than any disk holds.
_THOUSANDS = r"\d{1,3}(?:(?:,\d{3}){1,9}|(?:['’]\d{3}){1,9}|(?:[^\S\r\n\t]\d{3}){1,9})(?!\d)"
_SEPARATED = re.compile(rf"(?<![\w.,]){_THOUSANDS}(?!\.?\w|[,'’]\d)")
_SEPARATOR = re.compile(r"[\s,'’]")
# Numbers of tiles and in file names are no counts. A sign follows a space or a bracket.
_NUMBER = re.compile(r"(?<![\w.-])(?<![\w.-]-)-?\d+(?!\.?\w)")
_OF_CACHES = re.compile(
    r"(?<![\w.-])(-?\d+)\s+(?:[^\W\d]+\s+){0,3}(?:cache|file|fichier)"
    r"|(?:cache|file|fichier)\w*[^\d\n,;.]{0,15}?(?<![\w.-])(-?\d+)(?!\.?\w)",
    re.IGNORECASE,
)
# A number of something else that was removed, such as frames, is no number of caches.
_NOUN = (
    rf"(?:[^\W\d]+\s+){{0,3}}(?:caches\b|cache\b(?!\s+(?!files?\b|{_RELEASED})\w)|files?\b|fichiers?\b|entr(?:y|ies|[eé]es?)\b"
    r"|items?\b|arrays?\b|preprocessed\b)"
)
_OF_REMOVED = re.compile(
    rf"{_RELEASED}\w*\D{{0,12}}?(?<![\w.])(-?\d+)(?!\.?\w)(?=\s+{_NOUN})"
    rf"|{_SURELY}\w*\D{{0,12}}?(?<![\w.])(-?\d+)(?!\.?\w)(?=\s*(?:[^\w\s]|$)|\s+(?:of|from|in|after|and|so|for|sur|de|du|des|et|en|pour)\b)"
    rf"|(?<![\w.-])(-?\d+)\s+{_NOUN}\W*(?:[^\W\d]+\s+){{0,2}}{_RELEASED}"
    rf"|(?<![\w.-])(-?\d+)\s+{_SURELY}",
    re.IGNORECASE,
)
_REMAINING = re.compile(r"(?:remaining|restant)\w*\D{0,12}?(-?\d+)|(-?\d+)\s+(?:remaining|restant)", re.IGNORECASE)
_AMOUNT = re.compile(
    rf"(?<![\w.-])(-?(?:{_THOUSANDS}|\d+)(?:[.,]\d+)?)\s*(bytes?|octets?|[kMGT]i?[Bo]|[Bo])\b", re.IGNORECASE
)
_LEFT_AFTER = re.compile(r"\W{0,3}(?:left|remain|still|restant|free\b|libres?\b|available|disponible)", re.IGNORECASE)
_LEFT_BEFORE = re.compile(r"(?:left|remaining|restante?s?|free|libres?|available|disponibles?)\W{0,4}$", re.IGNORECASE)
_LEADING = re.compile(rf"-?{_THOUSANDS}")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount of bytes that a line states: the possible values, and the printed precision of each.

    MB may mean 10⁶ or 2²⁰ bytes, and the comma of "3,000 MB" may separate thousands or decimals.
    """

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
    """Return whether a line is about counting references, wherever it stands; not about stars or a reference frame."""
    text = event.text
    sure = _COUNTING.search(text) is not None and of_caching(event)
    return _COUNTED.search(text) is not None and (sure or not _SKY.search(text))


def of_caching(event: Event) -> bool:
    """Return whether a line speaks of caches or of their retention."""
    return bool(_OF_CACHING.search(event.text))


def is_retained(event: Event) -> bool:
    """Return whether a line is about the tracking or retention of caches: it means counting at the start of Phase 3 only."""
    text = event.text
    about = (
        _RETAINED.search(text) and "cache" in text.lower() and not _SKY.search(text) and not _OTHER_CACHES.search(text)
    )
    return bool(about) and not is_of_one_tile(event) and not is_echo(event)


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
    """Return whether a line is about the removal of caches, or of files, which its caller must know to be caches.

    A line with a clause on the removal of something else, such as frames or a folder, is not.
    """
    return _removes(_REMOVING, event)


def is_releasing(event: Event) -> bool:
    """Return whether a line may state what the removal of caches freed; its caller must know that it speaks of caches."""
    return _removes(_RELEASING, event)


def _removes(verb: re.Pattern[str], event: Event) -> bool:
    if is_of_memory(event) or _OTHER_CACHES.search(event.text) or is_echo(event):
        return False
    return any(
        _is_of_caches(clause, found) for clause in _CLAUSE.split(event.text) for found in [verb.search(clause)] if found
    )


def _is_of_caches(clause: str, verb: re.Match[str]) -> bool:
    """Return whether the noun of a clause with a verb of removal is a cache, a file, or not named."""
    after = _OBJECT.search(clause, verb.end())
    if after is not None:
        return after["cache"] is not None
    before = [found["cache"] is not None for found in _OBJECT.finditer(clause, 0, verb.start())]
    return not before or any(before)


def is_of_memory(event: Event) -> bool:
    """Return whether a line is about memory."""
    return _OTHER.search(event.text) is not None


def is_failing(event: Event) -> bool:
    """Return whether a line says that something failed, or was done before."""
    return bool(_FAILED.search(event.text))


def numbers(event: Event) -> tuple[int, ...]:
    """Return the whole numbers of a line, without those in names and the number of the phase."""
    return tuple(int(n) for n in _NUMBER.findall(_joined(_PHASE.sub("", event.text))))


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
    return tuple(_amount(match) for match in _AMOUNT.finditer(_apart(_PATHS.sub("", event.text))))


def freed_in(event: Event) -> tuple[Amount, ...]:
    """Return the amounts of bytes in a line, without those that remain or are free."""
    text = _apart(_PATHS.sub("", event.text))
    return tuple(
        _amount(match)
        for match in _AMOUNT.finditer(text)
        if not _LEFT_AFTER.match(text, match.end()) and not _LEFT_BEFORE.search(text[: match.start()])
    )


def _counting(event: Event) -> str:
    text = _AMOUNT.sub("", _apart(_PATHS.sub("", _PHASE.sub("", event.text))))
    return _joined(_NUMBERED_TILE.sub("", text))


def _apart(text: str) -> str:
    """Set the numbers of tiles apart: in "tile 3 512 kB" they are no thousands."""
    return _NUMBERED_TILE.sub(r"\g<0>:", text)


def _joined(text: str) -> str:
    """Write numbers with separated thousands as Python reads them."""
    return _SEPARATED.sub(lambda match: _SEPARATOR.sub("", match[0]), _apart(text))


def _first(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    return None if found is None else int(next(number for number in found.groups() if number is not None))


def _amount(match: re.Match[str]) -> Amount:
    unit = match[2].lower()
    prefix = unit[0] if len(unit) > 1 and unit[0] in _POWERS and not unit.startswith(("byte", "octet")) else ""
    bases = (1024,) if "i" in unit[1:2] else (1000, 1024)
    scales = [base ** _POWERS[prefix] for base in (bases if prefix else (1,))]
    read = [(number, scale) for number in _readings(match[1], whole=not prefix) for scale in scales]
    return Amount(
        match[0],
        tuple(float(number) * scale for number, scale in read),
        tuple(scale * 10.0 ** -len(number.partition(".")[2]) for number, scale in read),
    )


def _readings(text: str, *, whole: bool) -> tuple[str, ...]:
    """Return what a number with separators may mean, with a decimal point. Single bytes have no decimals."""
    grouped = _LEADING.match(text)
    if grouped is None:
        return (text.replace(",", "."),)
    joined = _SEPARATOR.sub("", grouped[0]) + text[grouped.end() :].replace(",", ".")
    either = text.count(",") == 1 and grouped.end() == len(text) and not whole
    return (joined, text.replace(",", ".")) if either and "," in grouped[0] else (joined,)
