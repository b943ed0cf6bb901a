"""Describe how the sessions of a document were made, and what no session tested."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from harness.language.catalogue import Language
from harness.session.definition_of_done import Done, Part
from harness.session.evidence import reports_no_gpu
from harness.session.model import JudgedRun
from harness.verdict import Outcome
from reports.document.coverage_table import Requests
from reports.document.page import DatasetView, Limits, SessionView
from reports.document.rerun import settings_of, shown
from reports.not_covered import Size, largest_run

MAX_NAMES = 12
# Facts of the environment that have a column of their own in the table of sessions.
_IN_TABLE = frozenset({"harness", "harness_commit", "platform", "processors"})


def session_view(part: Part, name: str, requests: Requests, lang: Language) -> SessionView:
    """Return the target, options and machine of a session."""
    session, environment = part.session, part.session.environment
    platform = environment.get("platform", "?")
    if processors := environment.get("processors", ""):
        platform = lang.say("{platform}, processors: {count}", platform=platform, count=processors)
    return SessionView(
        id=name,
        target=session.target,
        created=lang.when(session.created),
        platform=platform,
        harness=" ".join(filter(None, (environment.get("harness", "?"), _harness(environment)))),
        options=_options(part, requests, lang),
        sha256=part.sha256,
    )


def limits(
    done: Done, names: Mapping[str, str], subjects: Iterable[JudgedRun], requests: Requests, lang: Language
) -> Limits:
    """Return the versions and datasets of the sessions, and what no session tested. ``names`` are short, by session hash."""
    versions: dict[str, list[str]] = {}
    for part in done.parts:
        for key, value in _versions(part):
            versions.setdefault(lang.say("{label}: {text}", label=key, text=value), []).append(names[part.sha256])
    return Limits(
        versions=tuple((text, ", ".join(sessions)) for text, sessions in versions.items()),
        datasets=tuple(_datasets(done, requests, lang)),
        gpu=_gpu(list(subjects), lang),
        sentences=tuple(_not_seen(done, lang)),
    )


def not_covered(done: Done, runs: Iterable[Size], lang: Language) -> tuple[str, ...]:
    """Return what the verdict does not cover, from the facts of the sessions of the subject: a sentence each.

    ``runs`` are the sizes of their runs.
    """
    say = lang.say
    profiles = _listed(part.session.options.get("profile") or "fast" for part in done.own)
    places = [part.session.environment.get("platform", "?") for part in done.own]
    systems = _listed(name.partition("-")[0] for place in places for name in place.split("; "))
    found = [
        say("Settings: only those of the profile {name} decide.", name=profiles),
        say("Platforms: only {names}.", names=systems),
        *largest_run(runs, lang),
        *_sets(done, lang),
    ]
    left = [line.id for line in done.lines if line.outcome is Outcome.NOT_EVALUATED]
    if left:
        found.append(say("Lines of the checklist that were not evaluated: {names}.", names=", ".join(left)))
    return tuple(found)


def _sets(done: Done, lang: Language) -> Iterator[str]:
    """Yield whose frames were run: the reader's own, and sets of observed frames."""
    kinds = {run.dataset: run.dataset_kind for part in done.own for run in part.session.runs}
    observed = sorted(name for name, kind in kinds.items() if kind == "real")
    if "user" not in kinds.values():
        yield lang.say("Your own frames were not run: add --phase3-frames=FOLDER.")
    if observed:
        yield lang.say("Observed frames: only the sets {names}.", names=", ".join(observed[:MAX_NAMES]))
    else:
        yield lang.say("Observed frames were not run.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _options(part: Part, requests: Requests, lang: Language) -> str:
    """Return the settings that a session's runs were asked for, and the other options that the session holds."""
    found = [r for run in part.session.runs if (r := requests.of(part, run)) is not None]
    options: dict[str, set[str]] = {name: {value} for name, value in shown(settings_of(part.session)).items()}
    if found:
        options = {**options, "profile": {r.profile for r in found}, "workers": {str(r.workers) for r in found}}
    return ", ".join(lang.say("{label}: {text}", label=k, text="; ".join(sorted(v))) for k, v in options.items() if v)


def _not_seen(done: Done, lang: Language) -> Iterator[str]:
    """Yield a sentence for each set that no session judged, and for what only some machines or versions showed."""
    absent = dict.fromkeys(s.name for p in done.own for s in p.session.real_sets if not s.judged)
    judged = {s.name for p in done.own for s in p.session.real_sets if s.judged}
    # A session whose processes ran different cases may not know which of them judged a set; its runs do.
    judged |= {run.dataset for part in done.own for run in part.session.runs}
    for known in absent:
        if known not in judged:
            yield lang.say("The set {name} was not judged: no line here is based on it.", name=known)
    if len({part.session.environment.get("platform") for part in done.own}) == 1:
        yield lang.say("All runs were made on one platform; no other platform was tested.")
    if len({_harness(part.session.environment) for part in done.own}) > 1:
        yield lang.say("These sessions were not all judged by the same version of the harness.")


def _gpu(subjects: list[JudgedRun], lang: Language) -> str:
    """Count the runs in which the target reported that it can't use a GPU: its GPU code was not tried there."""
    return lang.say(
        "GPU: not available in {count} of {all} runs, according to the target; the other runs do not mention a GPU.",
        count=sum(map(reports_no_gpu, subjects)),
        all=len(subjects),
    )


def _datasets(done: Done, requests: Requests, lang: Language) -> Iterator[DatasetView]:
    found: dict[tuple[str, str, str, int], None] = {}
    for part in done.parts:
        for run in part.session.runs:
            request = requests.of(part, run)
            if request is not None:
                dataset = request.dataset
                found[dataset.name, dataset.kind, dataset.sha256, len(dataset.frames)] = None
    for name, kind, sha256, frames in sorted(found):
        label = lang.counted(
            "{kind}, {count} frame, SHA-256", "{kind}, {count} frames, SHA-256", kind=kind, count=frames
        )
        yield DatasetView(name, label, sha256)


def _versions(part: Part) -> Iterator[tuple[str, str]]:
    """Yield what identifies a target, and the versions of the libraries of the session."""
    for key, value in part.session.identity.items():
        if isinstance(value, Mapping):
            yield key, ", ".join(f"{k} {v}" for k, v in value.items())
        elif isinstance(value, list):
            yield key, ", ".join(map(str, value[:MAX_NAMES]))
        elif value is not None:
            yield key, str(value)
    libraries = {k: v for k, v in part.session.environment.items() if k not in _IN_TABLE}
    yield "harness", ", ".join(f"{k} {v}" for k, v in libraries.items())


def _harness(environment: Mapping[str, str]) -> str:
    """Return the short commit of the harness, and whether files differed from it; for a merged session, of each shard."""
    known = (commit.partition(" ") for commit in environment.get("harness_commit", "").split("; "))
    return "; ".join(f"{commit[:7]}{space}{changed}" for commit, space, changed in known)
