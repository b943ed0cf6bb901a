"""The Definition of Done as a document: every line of the checklist with its verdict, figure, evidence and command.

A view of sessions: outcomes are those of their tests, figures those of their evidence. All text that was read is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.language.catalogue import CODES, Code, Language, language
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.definition_of_done import Done, Part, tests_of
from harness.session.model import JudgedRun, Requirement, RunEntry, TestEntry
from harness.verdict import Outcome, Verdict
from reports.badges import ORDER, badge, rank, role_rank, role_word
from reports.document.coverage_table import Gap, Requests, Tried, table
from reports.document.figures import Evidence, asserts_a_part, figures
from reports.document.rerun import commands, settings_of, shown
from reports.markdown import code, escape, fenced, table_row, term

MAX_MESSAGES = 5
MAX_NAMES = 12
# Where something lay on the machine that ran the session: nobody else's business, and nothing to repeat anything by.
_MACHINE = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?(?:[\\/][\w.+~@-]+){2,}")
_RAISED = re.compile(r"^harness\.[\w.]+: ")


class Proof(NamedTuple):
    """What one test concluded in one session, with the run and the verdict that it judged, where it judged one."""

    part: Part
    test: TestEntry
    judged: JudgedRun | None
    verdict: Verdict | None


def write(done: Done, path: Path) -> tuple[Path, ...]:
    """Write the document in each language, and return the paths; the name of a translation has its code before the ending."""
    paths = []
    for lang in CODES:
        here = path if lang == "en" else path.with_name(f"{path.stem}.{lang}{path.suffix}")
        here.write_text(document(done, lang), encoding="utf-8", newline="\n")
        paths.append(here)
    return tuple(paths)


def document(done: Done, lang: Code) -> str:
    """Return the document in a language."""
    return "\n".join(_Document(done, language(lang)).lines()) + "\n"


@dataclass(frozen=True, slots=True)
class _Named:
    """A run that the document refers to by a short name, with what it was judged as; it may have more than one role."""

    id: str
    part: Part
    judged: tuple[JudgedRun, ...]
    entry: RunEntry | None

    @property
    def subject(self) -> JudgedRun | None:
        return next((judged for judged in self.judged if judged.role == "subject"), None)


class _Document:
    def __init__(self, done: Done, lang: Language) -> None:
        self.done = done
        self.lang = lang
        self.requests = Requests()
        self.session_ids = {part.sha256: f"S{n}" for n, part in enumerate(done.parts, 1)}
        self.proofs = {line.id: tuple(_proofs(line.tests, done)) for line in done.lines}
        self.beyond = {test: tuple(_proofs((test,), done)) for test in done.beyond}
        self.runs = self._named()

    def _named(self) -> Mapping[tuple[str, str, str], _Named]:
        """Give each judged run that a test rests on a number, case by case."""
        found: dict[tuple[str, str, str], dict[str, Proof]] = {}
        for proofs in (*self.proofs.values(), *self.beyond.values()):
            for proof in proofs:
                if proof.judged is not None:
                    found.setdefault(_run(proof.part, proof.judged), {})[proof.judged.role] = proof
        named: dict[tuple[str, str, str], _Named] = {}
        place = {part.sha256: n for n, part in enumerate(self.done.parts)}
        ordered = sorted(found.items(), key=lambda i: (i[0][1], min(map(role_rank, i[1])), place[i[0][0]], i[0]))
        for n, (key, roles) in enumerate(ordered, 1):
            part = next(iter(roles.values())).part
            judged = tuple(roles[r].judged for r in sorted(roles, key=role_rank))
            entry = next((r for r in part.session.runs if r.key == key[2]), None)
            named[key] = _Named(f"R{n}", part, tuple(j for j in judged if j is not None), entry)
        return named

    def lines(self) -> Iterator[str]:
        for part in (
            self._head,
            self._definition,
            self._tried,
            self._findings,
            self._checklist,
            self._beyond,
            self._details,
            self._evidence,
            self._limits,
        ):
            yield from part()

    # ---- what one reads first ----

    def _head(self) -> Iterator[str]:
        say = self.lang.say
        yield "# " + escape(say("Definition of Done: {target}", target=self.done.subject))
        yield ""
        reference = self.done.own[0].session.self_test
        told = {
            Outcome.PASS: say("Every line of the Definition of Done passes."),
            Outcome.FAIL: say("A line of the Definition of Done fails."),
        }
        shown = badge(self.done.outcome.value, self.lang)
        sentence = told.get(self.done.outcome, say("The Definition of Done is not shown: a line is open."))
        if reference:
            sentence = say("These sessions ran the embedded reference, which says nothing about ZeMosaic.")
        yield f"{shown.sign} **{escape(shown.word)}**. {escape(sentence)}"
        yield ""
        outcomes = [line.outcome for line in self.done.lines]
        counts = [
            f"{badge(o, self.lang).sign} {badge(o, self.lang).word} {outcomes.count(o)}" for o in ORDER if o in outcomes
        ]
        yield escape(say("All lines of the checklist: {counts}.", counts=", ".join(counts)))
        yield ""
        yield escape(
            say(
                "Made by phase3 dod from the sessions that are listed at the end; nothing in it was typed by hand. It signs "
                "nothing: that the work is done is a person's decision, bound to the sessions with these hashes:"
            )
        )
        yield ""
        for part in self.done.own:
            yield f"- {self._session(part)} {code(part.sha256)}"
        yield ""
        for part in self.done.aside:
            red = {
                judged.case: [
                    v.check for v in judged.verdicts if v.gates and v.outcome in (Outcome.FAIL, Outcome.UNKNOWN)
                ]
                for judged in part.session.judged
                if judged.role == "subject"
            }
            yield escape(
                say(
                    "{session} was made with the profile {profile}. It decides nothing here, and stands in the table; verdicts "
                    "that fail there, or are unknown: {what}.",
                    session=self._session(part),
                    profile=part.session.options.get("profile", "?"),
                    what="; ".join(f"{case}: {', '.join(checks)}" for case, checks in sorted(red.items()) if checks)
                    or "0",
                )
            )
            yield ""

    def _definition(self) -> Iterator[str]:
        yield "## " + self.lang.say("Definition of Done")
        yield ""
        yield from self._overview([line for line in self.done.lines if line.section == DEFINITION_OF_DONE])

    def _checklist(self) -> Iterator[str]:
        rows = [line for line in self.done.lines if line.section != DEFINITION_OF_DONE]
        yield "## " + self.lang.say("The checklist, line by line")
        yield ""
        for section in dict.fromkeys(line.section for line in rows):
            yield f"### {escape(section)}"
            yield ""
            yield from self._overview([line for line in rows if line.section == section])

    def _beyond(self) -> Iterator[str]:
        if not self.beyond:
            return
        yield "## " + self.lang.say("Tests beyond the checklist")
        yield ""
        yield escape(self.lang.say("No line of the checklist asks for these tests, and they decide on no line."))
        yield ""
        for test, proofs in self.beyond.items():
            yield "- " + self._labelled(term(test.removeprefix("scenarios/")), self._outcomes(test, proofs))
        yield ""

    def _overview(self, lines: Iterable[Requirement]) -> Iterator[str]:
        say = self.lang.say
        yield table_row(["", say("Verdict"), say("Line"), say("Figures")])
        yield table_row(["---"] * 4)
        for line in lines:
            shown = badge(line.outcome, self.lang)
            told = [self._figure(*parts) for parts in self._figures(line)]
            link = f"[{line.id}](#{_anchor(line.id)})"
            verdict = f"{shown.sign} {escape(shown.word)}"
            yield table_row([link, verdict, escape(line.text), "<br>".join(told) or "–"])
        yield ""

    # ---- figures ----

    def _figures(self, line: Requirement) -> Iterator[tuple[str, str, str]]:
        """Yield label, value, and what stands beside it: the figures of the line's verdicts, then of its runs as a whole."""
        proofs = self.proofs[line.id]
        groups: dict[tuple[str, bool], dict[tuple[str, str, str, str], Proof]] = {}
        for proof in proofs:
            function = proof.test.nodeid.partition("[")[0].rpartition("::")[2]
            if proof.verdict is None or proof.verdict.outcome is Outcome.NOT_APPLICABLE:
                continue
            if proof.judged is None:
                groups.setdefault((proof.verdict.check, False), {})[proof.part.sha256, "", "", ""] = proof
            elif proof.judged.role == "subject":
                key = function if asserts_a_part(function) else proof.verdict.check
                # A tile that was made to fail must not be added to the tiles of runs without faults.
                apart = bool(proof.test.occasion)
                groups.setdefault((key, apart), {})[_key(proof.part, proof.judged)] = proof
        for (key, apart), found in groups.items():
            for label, value, beside in self._of_verdicts(key, tuple(found.values())):
                yield self.lang.say("{figure}, under faults", figure=label) if apart else label, value, beside
        yield from self._of_runs(proofs)

    def _figure(self, label: str, value: str, beside: str) -> str:
        return self._labelled(escape(label), f"**{escape(value)}**{beside}")

    def _labelled(self, label: str, text: str) -> str:
        """Put a label before a text, both Markdown already, as the language writes it."""
        return self.lang.say("{label}: {text}", label=label, text=text)

    def _of_verdicts(self, key: str, proofs: Sequence[Proof]) -> Iterator[tuple[str, str, str]]:
        before = [_baseline(proof) for proof in proofs]
        evidence = [proof.verdict.evidence for proof in proofs if proof.verdict]
        targets = ", ".join(dict.fromkeys(known[0] for known in before if known))
        # A run without a baseline tells nothing of it, and the figure then says of how many runs it is.
        for figure in figures(key, evidence, [known[1] if known else {} for known in before], self.lang):
            beside = ""
            if figure.before:
                told = self.lang.say("{label}: {text}", label=targets, text=figure.before)
                beside = f" ({escape(told)})"
            yield figure.label, figure.value, beside

    def _of_runs(self, proofs: Sequence[Proof]) -> Iterator[tuple[str, str, str]]:
        """Yield what came of runs that a test judges as a whole, by their role."""
        say = self.lang.say
        runs: dict[str, dict[tuple[str, str, str, str], Proof]] = {}
        for proof in proofs:
            if proof.judged is not None and proof.test.check is None:
                runs.setdefault(proof.judged.role, {})[_key(proof.part, proof.judged)] = proof
        labels = {
            "subject": say("runs whose every verdict that decides passes"),
            "control": say("controls red by the checks named for them"),
            "control-pair": say("runs of the control with run_end that are green"),
            "pair": say("runs with run_end that are green"),
        }
        for role, found in runs.items():
            judged = [proof.judged for proof in found.values() if proof.judged]
            if role in labels:
                good = sum(j.outcome is Outcome.PASS for j in judged)
                yield labels[role], say("{part} of {all}", part=good, all=len(judged)), ""
            elif role == "baseline":
                worse = [n for proof in found.values() if (n := _newly_red(proof)) is not None]
                if len(worse) == len(judged):
                    yield say("checks that are red here and green in the baseline"), self.lang.number(sum(worse)), ""

    # ---- dataset, scenario, target ----

    def _tried(self) -> Iterator[str]:
        say = self.lang.say
        tried = table(self.done, self.requests)
        yield "## " + say("Datasets, tests and targets")
        yield ""
        yield escape(
            say(
                "Verdicts that pass, of those that decide on the patch. A combination that no session holds was not run, and is "
                "no pass."
            )
        )
        yield ""
        heads = [
            f"{term(c.target)}<br>{escape(c.profile)}<br>{escape(', '.join(role_word(r, self.lang) for r in c.roles))}"
            for c in tried.columns
        ]
        yield table_row([say("Test"), say("Dataset"), *heads])
        yield table_row(["---"] * (len(heads) + 2))
        for entry in tried.rows:
            cells = [self._cell(cell) if isinstance(cell, Tried) else self._gap(cell) for cell in entry.cells]
            yield table_row([entry.scenario, term(entry.dataset), *cells])
        yield ""
        apart: dict[tuple[str, str], list[str]] = {}
        for scenario, dataset, gap in tried.apart:
            apart.setdefault((scenario, self._gap(gap)), []).append(dataset)
        for (letter, told), datasets in apart.items():
            label = ", ".join((letter, *map(term, datasets)))
            yield "- " + self._labelled(label, told)
        if apart:
            yield ""

    def _cell(self, cell: Tried) -> str:
        say = self.lang.say
        shown = badge(cell.outcome.value, self.lang)
        counts = say("{part} of {all}", part=cell.passes, all=cell.all)
        if cell.runs > 1:
            counts = say("{part} of {all}, runs: {count}", part=cell.passes, all=cell.all, count=cell.runs)
        lines = [f"{shown.sign} {escape(counts)}"]
        if cell.red:
            lines.append(say("red: {checks}", checks=", ".join(map(term, cell.red))))
        if cell.as_expected:
            lines.append(say("as expected"))
        return "<br>".join(lines)

    def _gap(self, gap: Gap) -> str:
        say = self.lang.say
        if gap.kind == "not run":
            return "○ " + say("not run")
        shown = badge(gap.kind, self.lang)
        told = shown.word
        if gap.reason is not None:
            told = say("{label}: {text}", label=told, text=self.lang.render(gap.reason))
        return f"{shown.sign} {escape(told)}"

    # ---- quality ----

    def _findings(self) -> Iterator[str]:
        say = self.lang.say
        yield "## " + say("Findings of quality")
        yield ""
        yield escape(
            say(
                "Verdicts on the patch decide on the lines above. Findings of quality are what the target does to stars and sky "
                "with any retention: one that the baseline, or the run with run_end, has too is pre-existing and decides "
                "nothing; a new one does."
            )
        )
        yield ""
        found: dict[tuple[str, str], list[str]] = {}
        for part in self.done.own:
            for judged in part.session.judged:
                for verdict in judged.verdicts if judged.role == "subject" else ():
                    if verdict.axis == "quality" and verdict.outcome is Outcome.FAIL:
                        found.setdefault((verdict.check, verdict.standing), []).append(judged.case)
        words = {"new": say("new"), "pre-existing": say("pre-existing"), "": say("nobody knows whether it is new")}
        for (check, standing), cases in sorted(found.items()):
            names = ", ".join(map(term, dict.fromkeys(cases)))
            told = say("runs: {count} ({names})", count=len(cases), names=names)
            yield f"- {term(check)}, {escape(words[standing])}, {told}"
        if not found:
            yield "- " + say("none")
        yield ""

    # ---- how each line was judged ----

    def _details(self) -> Iterator[str]:
        say = self.lang.say
        yield "## " + say("Evidence and command of each line")
        yield ""
        yield escape(
            say(
                "R and S name runs and sessions, listed below. In the commands PATH is a clone of ZeMosaic and PYTHON the "
                "interpreter that has its libraries. Cases on real sets run where the sets are there (phase3 data list)."
            )
        )
        yield ""
        first = [line for line in self.done.lines if line.section == DEFINITION_OF_DONE]
        for line in (*first, *(known for known in self.done.lines if known not in first)):
            yield from self._detail(line)

    def _detail(self, line: Requirement) -> Iterator[str]:
        say = self.lang.say
        shown = badge(line.outcome, self.lang)
        yield f"### {line.id}"
        yield ""
        yield f"{shown.sign} **{escape(shown.word)}** {escape(line.text)}"
        yield ""
        proofs = self.proofs[line.id]
        for test in line.tests:
            here = [proof for proof in proofs if proof.test.nodeid.partition("[")[0] == test]
            yield "- " + self._labelled(term(test.removeprefix("scenarios/")), self._outcomes(test, here))
        yield ""
        wrong = [p for p in proofs if p.test.outcome in {"fail", "unknown"}]
        for proof in sorted(wrong, key=lambda p: rank(p.test.outcome))[:MAX_MESSAGES]:
            mark = badge(proof.test.outcome, self.lang)
            where = f"{self._session(proof.part)} {term(proof.test.nodeid.rpartition('::')[2])}"
            yield f"{mark.sign} {self._labelled(where, escape(self._why(proof)))}"
            yield ""
        if len(wrong) > MAX_MESSAGES:
            yield escape(say("and more, in session.json: {count}", count=len(wrong) - MAX_MESSAGES))
            yield ""
        # As the sessions did that concluded something; where none did, the command is the one that would.
        parts = {p.part.sha256 for p in proofs if p.test.outcome in {"pass", "fail"}}
        sessions = [part.session for part in self.done.own if part.sha256 in parts or not parts]
        for text in dict.fromkeys(text for session in sessions for text in commands(line.tests, session)):
            yield from fenced(text)
            yield ""

    def _outcomes(self, test: str, proofs: Sequence[Proof]) -> str:
        """Tell how often a test came to which outcome, and on which runs, the worst first; then which cases nobody asked."""
        if not proofs:
            return "○ " + self.lang.say("not run")
        told = []
        for outcome in ORDER:
            here = [proof for proof in proofs if proof.test.outcome == outcome]
            if not here:
                continue
            shown = badge(outcome, self.lang)
            names = dict.fromkeys(self._where(proof) for proof in here)
            told.append(f"{shown.sign} {len(here)} ({', '.join(names)})")
        if unasked := self.done.unasked(test):
            told.append("○ " + self._labelled(self.lang.say("not run"), ", ".join(map(term, unasked))))
        return ", ".join(told)

    def _where(self, proof: Proof) -> str:
        if proof.judged is None:
            return self._session(proof.part)
        return self.runs[_run(proof.part, proof.judged)].id

    def _why(self, proof: Proof) -> str:
        """Return why a test is red or unknown: what its verdict says in the reader's language, else what it said itself."""
        verdict = proof.verdict
        if verdict is not None and verdict.outcome in {Outcome.FAIL, Outcome.UNKNOWN}:
            return _without_places(self.lang.render(verdict.sentence))
        return _without_places(_RAISED.sub("", proof.test.message.partition("\n")[0]))

    def _session(self, part: Part) -> str:
        return self.session_ids[part.sha256]

    # ---- runs ----

    def _evidence(self) -> Iterator[str]:
        say = self.lang.say
        yield "## " + say("Runs")
        yield ""
        yield "<details>"
        told = say("Runs and their records: {count}", count=len(self.runs))
        yield f"<summary>{escape(told)}</summary>"
        yield ""
        heads = (
            say("Case"),
            say("Dataset"),
            say("Role"),
            say("Target"),
            say("Retention"),
            say("Session"),
            say("Record"),
        )
        yield table_row(["", *heads])
        yield table_row(["---"] * 8)
        for known in self.runs.values():
            entry, first = known.entry, known.judged[0]
            roles = ", ".join(role_word(judged.role, self.lang) for judged in known.judged)
            dataset, target, retention = (entry.dataset, entry.target, entry.retention) if entry else ("?", "?", "?")
            cells = [known.id, term(first.case), term(dataset), escape(roles), term(target), term(retention)]
            yield table_row([*cells, self._session(known.part), term(first.run)])
        yield ""
        yield "</details>"
        yield ""
        yield "<details>"
        told = say("Figures of each run under validation")
        yield f"<summary>{escape(told)}</summary>"
        yield ""
        yield table_row(["", say("Check"), say("Outcome"), say("Figures")])
        yield table_row(["---"] * 4)
        for known in self.runs.values():
            yield from self._run_figures(known)
        yield ""
        yield "</details>"
        yield ""

    def _run_figures(self, known: _Named) -> Iterator[str]:
        judged = known.subject
        for verdict in judged.verdicts if judged is not None else ():
            if verdict.outcome is Outcome.NOT_APPLICABLE:
                continue
            shown = badge(verdict.outcome.value, self.lang)
            proof = Proof(known.part, TestEntry("", "", "pass", "", None), judged, verdict)
            told = [self._figure(*parts) for parts in self._of_verdicts(verdict.check, (proof,))]
            outcome = f"{shown.sign} {escape(shown.word)}"
            yield table_row([known.id, term(verdict.check), outcome, "<br>".join(told) or "–"])

    # ---- limits ----

    def _limits(self) -> Iterator[str]:
        say = self.lang.say
        yield "## " + say("Sessions, and what they can't say")
        yield ""
        heads = (say("Target"), say("Made on"), say("Platform"), say("Harness"), say("Options"), "session.json")
        yield table_row(["", *heads])
        yield table_row(["---"] * 7)
        for part in self.done.parts:
            session, environment = part.session, part.session.environment
            processors = environment.get("processors", "")
            platform = environment.get("platform", "?")
            if processors:
                platform = say("{platform}, processors: {count}", platform=platform, count=processors)
            harness = " ".join(filter(None, (environment.get("harness", "?"), _harness(environment))))
            cells = [
                self._session(part),
                term(session.target),
                escape(self.lang.when(session.created)),
                escape(platform),
            ]
            cells += [escape(harness), escape(self._options(part)), code(part.sha256[:12])]
            yield table_row(cells)
        yield ""
        yield from (f"- {line}" for line in self._facts())
        yield ""

    def _options(self, part: Part) -> str:
        """Tell the settings of a session's runs as they were asked for, and the options that the session holds besides."""
        say = self.lang.say
        requests = [r for run in part.session.runs if (r := self.requests.of(part, run)) is not None]
        known = settings_of(part.session)
        told: dict[str, set[str]] = {option: {value} for option, value in shown(known).items()}
        if requests:
            told = {**told, "profile": {r.profile for r in requests}, "workers": {str(r.workers) for r in requests}}
        return ", ".join(say("{label}: {text}", label=k, text="; ".join(sorted(v))) for k, v in told.items() if v)

    def _facts(self) -> Iterator[str]:
        say = self.lang.say
        identity: dict[str, list[str]] = {}
        for part in self.done.parts:
            for key, value in _identity(part):
                found = identity.setdefault(self.lang.say("{label}: {text}", label=key, text=value), [])
                found.append(self._session(part))
        for text, sessions in identity.items():
            yield f"{escape(text)} ({', '.join(sessions)})"
        yield escape(self._gpu())
        yield from self._datasets()
        absent = dict.fromkeys(s.name for p in self.done.own for s in p.session.real_sets if not s.judged)
        judged = {s.name for p in self.done.own for s in p.session.real_sets if s.judged}
        for known in absent:
            if known not in judged:
                yield escape(say("The set {name} was not judged: nothing here rests on it.", name=known))
        if len({part.session.environment.get("platform") for part in self.done.own}) == 1:
            yield escape(say("All of it was run on one platform: nothing here was seen on another."))
        if len({_harness(part.session.environment) for part in self.done.own}) > 1:
            yield escape(say("These sessions were not all judged by the same version of the harness."))
        yield say("What the harness can't see in any session: {page}", page=code("docs/limitations.md"))
        yield escape(
            say(
                "A session of the embedded reference shows that the harness works, and says nothing about a line of ZeMosaic."
            )
        )

    def _gpu(self) -> str:
        """Tell in how many runs the target said that there was no GPU: what runs on one was not tried there."""
        say = self.lang.say
        runs = [run.subject for run in self.runs.values() if run.subject is not None]
        without = [j for j in runs if any("gpu" in n and "fallback" in n for n in _fallbacks(j))]
        return say(
            "GPU: in {count} of {all} runs the target said that it could use none; the others say nothing of one.",
            count=len(without),
            all=len(runs),
        )

    def _datasets(self) -> Iterator[str]:
        found: dict[tuple[str, str, str, int], None] = {}
        for part in self.done.parts:
            for run in part.session.runs:
                request = self.requests.of(part, run)
                if request is not None:
                    dataset = request.dataset
                    found[dataset.name, dataset.kind, dataset.sha256, len(dataset.frames)] = None
        for dataset_name, kind, sha256, frames in sorted(found):
            told = self.lang.say("{kind}, {count} frames, SHA-256", kind=kind, count=frames)
            yield self._labelled(term(dataset_name), f"{escape(told)} {code(sha256[:12])}")


def _proofs(tests: Iterable[str], done: Done) -> Iterator[Proof]:
    for test in tests:
        for part in done.own:
            for entry in tests_of(test, part):
                judged = next(
                    (j for j in part.session.judged if (j.case, j.run, j.role) == (entry.case, entry.run, entry.role)),
                    None,
                )
                verdicts = part.session.patch if judged is None else judged.verdicts
                yield Proof(part, entry, judged, next((v for v in verdicts if v.check == entry.check), None))


def _baseline(proof: Proof) -> tuple[str, Evidence] | None:
    """Return the baseline of a judged run: what it is called, and its evidence in the same check."""
    judged = proof.judged
    if judged is None or judged.baseline is None or proof.verdict is None:
        return None
    session = proof.part.session
    run = next((r for r in session.runs if r.key == judged.baseline), None)
    same = (j for j in session.judged if (j.case, j.run) == (judged.case, judged.baseline))
    found = next((v for j in same for v in j.verdicts if v.check == proof.verdict.check), None)
    return (run.target, found.evidence) if run is not None and found is not None else None


def _newly_red(proof: Proof) -> int | None:
    """Return how many checks the subject fails that its baseline passes; ``None`` where the session has no such subject."""
    baseline = proof.judged
    subjects = [j for j in proof.part.session.judged if j.role == "subject" and j.case == proof.test.case]
    if baseline is None or len(subjects) != 1:
        return None
    sound = {v.check for v in baseline.verdicts if v.outcome is Outcome.PASS}
    return sum(v.outcome is Outcome.FAIL and v.check in sound for v in subjects[0].verdicts)


def _fallbacks(judged: JudgedRun) -> Iterator[str]:
    for verdict in judged.verdicts:
        rows = verdict.evidence.get("same") if verdict.check == "fallback" else None
        for entry in rows if isinstance(rows, list) else ():
            if isinstance(entry, Mapping):
                yield str(entry.get("name", ""))


def _identity(part: Part) -> Iterator[tuple[str, str]]:
    """Yield what identifies a target, and the versions that it ran with, as text."""
    for key, value in part.session.identity.items():
        if isinstance(value, Mapping):
            yield key, ", ".join(f"{k} {v}" for k, v in value.items())
        elif isinstance(value, list):
            yield key, ", ".join(map(str, value[:MAX_NAMES]))
        elif value is not None:
            yield key, str(value)
    libraries = {k: v for k, v in part.session.environment.items() if k not in _ELSEWHERE}
    yield "harness", ", ".join(f"{k} {v}" for k, v in libraries.items())


def _harness(environment: Mapping[str, str]) -> str:
    """Return the commit of the harness, shortened, and whether files differed from it; of shards each one's."""
    known = (commit.partition(" ") for commit in environment.get("harness_commit", "").split("; "))
    return "; ".join(f"{commit[:7]}{space}{changed}" for commit, space, changed in known)


_ELSEWHERE = frozenset({"harness", "harness_commit", "platform", "processors"})


def _key(part: Part, judged: JudgedRun) -> tuple[str, str, str, str]:
    return part.sha256, judged.case, judged.role, judged.run


def _run(part: Part, judged: JudgedRun) -> tuple[str, str, str]:
    return part.sha256, judged.case, judged.run


def _anchor(line: str) -> str:
    """Return where a heading of a line's id can be linked to: its letters and digits."""
    return "".join(c for c in line.lower() if c.isalnum())


def _without_places(text: str) -> str:
    return _MACHINE.sub("…", text)
