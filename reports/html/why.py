"""Tell why checks are red: each chain of causes once, with its moments on one clock and the checks that it turned red."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.analysis.causes import MAIN_THREAD, Causes
from harness.analysis.phase3 import phase_3_start
from harness.analysis.removals import Removal, removals
from harness.language.catalogue import Language
from harness.language.message import Message
from harness.record.history import Tile
from harness.record.reader import Record
from harness.session.model import JudgedRun, Session
from harness.verdict import Outcome, Verdict, worst_first
from reports.badges import BEFORE
from reports.html.before_after import chosen
from reports.html.zoom import Zoom, zoom
from reports.material import Material
from reports.names import check_name

MAX_CHAINS = 4
"""The chains that are told in full; the others are counted, and are in the appendix."""
MAX_NAMED = 12

VerdictId = Callable[[JudgedRun, Verdict], str]


@dataclass(frozen=True, slots=True)
class Named:
    """A link to a verdict by the name of its check; ``text`` is its sentence, where it stands for itself."""

    id: str
    check: str
    case: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason for which checks could not conclude, with links to their verdicts. Many checks may lack the same evidence."""

    text: str
    checks: tuple[Named, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A moment of a chain: its time in seconds from the start of Phase 3, and what happened."""

    time: str
    text: str
    decisive: bool = False


@dataclass(frozen=True, slots=True)
class ChainView:
    """One chain of causes: what it led to, its moments, the place in the source that removed the cache, and its checks."""

    id: str
    case: str
    lead: tuple[str, ...]
    steps: tuple[Step, ...]
    rest: tuple[str, ...]
    place: str
    checks: tuple[Named, ...]
    drawing: Zoom | None
    alt: str


@dataclass(frozen=True, slots=True)
class WhyView:
    """The chains of a session; ``of_control`` if they are those of the version with the bug.

    ``alone`` are red verdicts without a chain, ``open`` the reasons for which others could not conclude, ``more`` counts what is
    left out. ``no_place`` says that a chain has its moments, but not its place in the source.
    """

    chains: tuple[ChainView, ...]
    alone: tuple[Named, ...]
    open: tuple[Reason, ...]
    of_control: bool
    more: int
    no_place: bool


@dataclass(frozen=True, slots=True)
class _Chain:
    judged: JudgedRun
    verdicts: tuple[Verdict, ...]
    links: tuple[Message, ...]


def why(material: Material, session: Session, verdict_id: VerdictId, lang: Language) -> WhyView:
    """Return why the version under test is red; if it is not, how the version with the bug went wrong."""
    subjects = [judged for judged in session.judged if judged.expected_red is None and judged.role not in BEFORE]
    red = [(judged, v) for judged in subjects for v in judged.verdicts if v.gates and v.outcome is Outcome.FAIL]
    unknown = [(judged, v) for judged in subjects for v in judged.verdicts if v.gates and v.outcome is Outcome.UNKNOWN]
    of_control = not red
    if of_control:
        pair = chosen(session)
        before = pair[1] if pair is not None else None
        if before is not None:
            red = [(before, v) for v in before.verdicts if v.gates and v.outcome is Outcome.FAIL and _removal(v.cause)]
    chains, alone = _grouped(red)
    if of_control:
        chains, alone = chains[:1], ()
    views = tuple(
        _view(f"chain-{n}", chain, material, verdict_id, lang) for n, chain in enumerate(chains[:MAX_CHAINS], 1)
    )
    reasons = _reasons(unknown, verdict_id, lang)
    return WhyView(
        chains=views,
        alone=tuple(_named(judged, v, verdict_id, lang, said=True) for judged, v in alone[:MAX_NAMED]),
        open=reasons[:MAX_NAMED],
        of_control=of_control,
        more=max(0, len(chains) - MAX_CHAINS) + max(0, len(alone) - MAX_NAMED) + max(0, len(reasons) - MAX_NAMED),
        no_place=any(view.steps and not view.place for view in views),
    )


def _reasons(unknown: Iterable[tuple[JudgedRun, Verdict]], verdict_id: VerdictId, lang: Language) -> tuple[Reason, ...]:
    """Join the verdicts that could not conclude for the same reason."""
    found: dict[str, list[Named]] = {}
    for judged, verdict in unknown:
        found.setdefault(lang.render(verdict.sentence), []).append(_named(judged, verdict, verdict_id, lang))
    return tuple(Reason(text, tuple(checks)) for text, checks in found.items())


def _grouped(
    red: Iterable[tuple[JudgedRun, Verdict]],
) -> tuple[list[_Chain], Sequence[tuple[JudgedRun, Verdict]]]:
    """Join the verdicts of a run whose chains end in the same removal; return the chains, most checks first, and the rest."""
    found: dict[tuple[str, str, str], list[tuple[JudgedRun, Verdict]]] = {}
    alone = []
    for judged, verdict in red:
        removal = _removal(verdict.cause)
        if removal is None:
            alone.append((judged, verdict))
            continue
        key = f"{removal.values['cache']} {removal.values['seconds']}"
        found.setdefault((judged.case, judged.run, key), []).append((judged, verdict))
    chains = []
    for entries in found.values():
        verdicts = tuple(sorted((verdict for _, verdict in entries), key=worst_first))
        links = max((verdict.cause for verdict in verdicts), key=len)
        chains.append(_Chain(entries[0][0], verdicts, links))
    return sorted(chains, key=lambda chain: -len(chain.verdicts)), alone


def _removal(links: Iterable[Message]) -> Message | None:
    """Return the link that tells of a removal; ``None`` if the chain has none."""
    return next((link for link in links if {"thread", "cache", "seconds"} <= link.values.keys()), None)


def _view(name: str, chain: _Chain, material: Material, verdict_id: VerdictId, lang: Language) -> ChainView:
    removal = _removal(chain.links)
    assert removal is not None
    at = chain.links.index(removal)
    record = material.record(chain.judged.run)
    told = _told(record, chain.links, removal, lang) if isinstance(record, Record) else None
    steps, place, drawing, alt = told if told is not None else ((), "", None, "")
    return ChainView(
        id=name,
        case=chain.judged.case,
        lead=tuple(lang.render(link) for link in chain.links[:at]),
        steps=steps,
        # Without the record, the sentences of the verdict stand in for the moments.
        rest=() if steps else tuple(lang.render(link) for link in chain.links[at:]),
        place=place,
        checks=tuple(_named(chain.judged, verdict, verdict_id, lang) for verdict in chain.verdicts),
        drawing=drawing,
        alt=alt,
    )


def _told(
    record: Record, links: Sequence[Message], removal: Message, lang: Language
) -> tuple[tuple[Step, ...], str, Zoom, str] | None:
    """Return the moments of a chain, the place of the removal, and a drawing; ``None`` if the record does not have them."""
    history, say = record.history, lang.say
    start = phase_3_start(history)
    cache = str(removal.values["cache"])
    paths = [c for tile in history.tiles for c in tile.caches if c]
    every = [r for r in removals(history, paths) if r.outcome == "done"]
    done = next((r for r in every if r.name == cache and _seconds(r.t, start) == str(removal.values["seconds"])), None)
    if start is None or done is None:
        return None
    causes = Causes(record)
    last = causes.last_collected(done)
    victim = next((v for link in reversed(links) if isinstance(v := link.values.get("tile"), int)), None)
    moments = _moments(causes, done, last, causes.tiles.get(victim) if victim is not None else None, lang)
    steps = tuple(
        Step(say("{seconds} s", seconds=_seconds(t, start)), text, t == done.t) for t, text in sorted(moments)
    )
    drawing = zoom(history, start, done, tuple(r for r in every if r is not done), last=last, victim=victim, lang=lang)
    alt = say(
        "Tiles and removals around {seconds} s after the start of Phase 3: {cache} is removed while tile {tile} needs it.",
        seconds=_seconds(done.t, start),
        cache=cache,
        tile="?" if victim is None else victim,
    )
    return steps, done.stack[-1] if done.stack else "", drawing, alt


def _moments(
    causes: Causes, done: Removal, last: int | None, victim: Tile | None, lang: Language
) -> list[tuple[int, str]]:
    """Return when what happened: the end of the last collected tile, the removal, and the steps of the tile that needed it."""
    say = lang.say
    found = [(done.t, _who(done, lang))]
    ended = causes.tiles[last].ended if last is not None else None
    if last is not None and ended is not None:
        found.append((ended, say("Tile {tile} ends.", tile=last)))
    if victim is None:
        return found
    if victim.submitted is not None and victim.submitted > done.t:
        found.append((victim.submitted, say("Tile {tile}, which needs this cache, is submitted.", tile=victim.tile)))
    if victim.started is not None:
        found.append((victim.started, say("Tile {tile}, which needs this cache, starts.", tile=victim.tile)))
    lost = [loss for loss in causes.losses.get(victim.tile, []) if loss.cache == done.name]
    if lost:
        found.append((lost[0].t, say("Tile {tile} does not find it.", tile=victim.tile)))
    if victim.ended is not None:
        sentence = say("Tile {tile} ends.", tile=victim.tile)
        if not victim.made:
            sentence = say("Tile {tile} is not made.", tile=victim.tile)
        found.append((victim.ended, sentence))
    return found


def _who(done: Removal, lang: Language) -> str:
    if done.thread == MAIN_THREAD:
        return lang.say("The main thread removes {cache}.", cache=done.name)
    return lang.say("The worker thread {thread} removes {cache}.", thread=done.thread, cache=done.name)


def _seconds(t: int, start: int | None) -> str:
    return f"{(t - (t if start is None else start)) / 1e9:.3f}"


def _named(judged: JudgedRun, verdict: Verdict, verdict_id: VerdictId, lang: Language, *, said: bool = False) -> Named:
    text = lang.render(verdict.sentence) if said else ""
    return Named(verdict_id(judged, verdict), check_name(verdict.check, lang), judged.case, text)
