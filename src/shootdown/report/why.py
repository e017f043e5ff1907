"""What each flush, lock and barrier of a safe scenario is for: the race that appears without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shootdown.lang.builder import Site
from shootdown.report.coverage import short_path
from shootdown.report.diagram import diagram
from shootdown.report.run import Broken, Run, verdict_name
from shootdown.report.text import WIDTH, ascii_text, bounds_text, count, paragraph
from shootdown.report.verdict import hardware_text, reproduce, stopped_because


@dataclass(frozen=True, slots=True)
class Mutant:
    """A site and what a check without it gave; ``None`` if it did not come to that."""

    site: Site
    run: Run | Broken | None

    @property
    def needed(self) -> bool | None:
        """Whether leaving it out breaks something; ``None`` if that is undecided."""
        if not isinstance(self.run, Run) or verdict_name(self.run) == "UNKNOWN":
            return None
        return verdict_name(self.run) != "HOLDS"


ROLES = ("flush", "lock", "barrier", "counter", "ack")
WORDS = {"ack": "wait"}


def why_text(base: Run, mutants: tuple[Mutant, ...], *, full: bool) -> str:
    """The whole report: one paragraph for each site, the flushes first."""
    subject = base.subject
    around = [bounds_text(base.system.bounds), hardware_text(subject)]
    about = ", ".join(filter(None, [*around, count(base.result.states, "state")]))
    parts = [
        paragraph(f"HOLDS  {subject.name}: {ascii_text(subject.title)}", hanging=7),
        paragraph(f"with everything in place ({about}); without:"),
    ]
    for mutant in sorted(mutants, key=_order):
        parts += ["", _mutant_text(mutant, full=full)]
    answers = [mutant.needed for mutant in mutants]
    counts = f"{answers.count(True)} needed, {answers.count(False)} not"
    if None in answers:
        counts += f", {answers.count(None)} undecided"
    summary = f"{count(len(mutants), 'site')}: {counts}"
    parts += ["", paragraph(f"{summary} (within these bounds and assumptions)")]
    undecided = [mutant.site for mutant in sorted(mutants, key=_order) if mutant.needed is None]
    return "\n".join(parts + undecided_text(undecided))


def undecided_text(sites: Sequence[Site]) -> list[str]:
    """The sites that nothing is known about, one in each line."""
    return ["undecided:"] * bool(sites) + [f"  {ascii_text(site.id)}" for site in sites]


def _order(mutant: Mutant) -> tuple[int, str, int]:
    site = mutant.site
    return (
        ROLES.index(site.role) if site.role in ROLES else 9,
        site.location.file,
        site.location.line,
    )


def _mutant_text(mutant: Mutant, *, full: bool) -> str:
    site, run = mutant.site, mutant.run
    role = WORDS.get(site.role, site.role)
    place = f"{short_path(site.location.file)}:{site.location.line}"
    head = f"{role:<8}{ascii_text(site.text)}"
    if len(head) + 2 + len(place) <= WIDTH:
        head = f"{head}{' ' * (WIDTH - len(head) - len(place))}{place}"
    lines = [head if len(head) <= WIDTH else paragraph(head, hanging=8)]
    lines.append(paragraph(verdict_sentence(run), indent=8))
    if full and isinstance(run, Run) and run.trace is not None and run.token is not None:
        lines += ["", diagram(run.trace), "", paragraph(reproduce(run.subject, run.token))]
    return "\n".join(lines)


def verdict_sentence(run: Run | Broken | None) -> str:
    """What happens without a site, in one sentence."""
    if run is None:
        return "undecided: not checked"
    if isinstance(run, Broken):
        return f"undecided: {run.error}"
    violation = run.result.violation
    if violation is not None and run.trace is not None:
        ending = run.trace.ending
        steps = count(violation.length, "step")
        text = ascii_text(ending.text)
        return f"{ascii_text(ending.name)} after {steps}: {text}"
    return {
        "HOLDS": "redundant within these bounds",
        "VACUOUS": "VACUOUS: nothing can go wrong, but a goal is never reached",
        "UNKNOWN": f"undecided: {stopped_because(run.result)}",
    }[verdict_name(run)]
