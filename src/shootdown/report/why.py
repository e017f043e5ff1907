"""What each flush, lock and barrier of a safe scenario is for: the race that appears without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from shootdown.check.result import Result
from shootdown.lang.builder import Site
from shootdown.report.coverage import short_path
from shootdown.report.diagram import diagram
from shootdown.report.run import Broken, Run, verdict_name
from shootdown.report.text import WIDTH, ascii_text, bounds_text, count, paragraph
from shootdown.report.verdict import hardware_text, lost_goals, reproduce, stopped_because


class Outcome(Enum):
    """What becomes of a safe scenario from which a site is left out."""

    NEEDED = "needed"  # VIOLATED
    REDUNDANT = "redundant"  # HOLDS
    GOAL_LOST = "goal lost"  # VACUOUS
    REFUSED = "refused"  # an error of the model, as a count below zero
    NEVER_EXECUTED = "never executed"  # HOLDS, as nobody comes by
    NO_EFFECT = "no effect"  # HOLDS, as it is the very same program
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A site of ``base`` and what a check without it gave; ``None`` if it did not come to that."""

    site: Site
    run: Run | Broken | None
    base: Result

    @property
    def outcome(self) -> Outcome:
        """What leaving it out leads to."""
        verdict = None if self.run is None else verdict_name(self.run)
        if not isinstance(self.run, Run) or verdict == "UNKNOWN":
            return Outcome.UNDECIDED
        if verdict != "HOLDS":
            return {
                "VIOLATED": Outcome.NEEDED,
                "VACUOUS": Outcome.GOAL_LOST,
                "MODEL ERROR": Outcome.REFUSED,
            }[str(verdict)]
        same = self.run.system.fingerprint == self.base.system.fingerprint
        if not is_reached(self.site, self.base) and not (same and self.site.role == "barrier"):
            return Outcome.NEVER_EXECUTED
        return Outcome.NO_EFFECT if same else Outcome.REDUNDANT

    @property
    def needed(self) -> bool | None:
        """Whether there is a race without it; ``None`` if that is undecided."""
        found = self.outcome
        return None if found is Outcome.UNDECIDED else found is Outcome.NEEDED


def is_reached(site: Site, base: Result) -> bool:
    """Whether some run comes by. A line that no step belongs to is run before the first one."""
    at = (site.location.file, site.location.line)
    covered = [
        was
        for line, was in zip(base.system.lines, base.covered, strict=True)
        if (line.file, line.line) == at
    ]
    return any(covered) or not covered


ROLES = ("flush", "lock", "barrier", "counter", "ack")
WORDS = {"ack": "wait"}


def why_text(base: Run, mutants: tuple[Mutant, ...], *, full: bool, known: bool) -> str:
    """The whole report: one paragraph for each site, the flushes first. ``known``: a scenario of
    the library, so that a page says why not all of its sites are needed."""
    subject = base.subject
    around = [bounds_text(base.system.bounds), hardware_text(subject)]
    about = ", ".join(filter(None, [*around, count(base.result.states, "state")]))
    parts = [
        paragraph(f"HOLDS  {subject.name}: {ascii_text(subject.title)}", hanging=7),
        paragraph(f"with everything in place ({about}); without:"),
    ]
    for mutant in sorted(mutants, key=_order):
        parts += ["", _mutant_text(mutant, full=full)]
    found = [mutant.outcome for mutant in mutants]
    always = (Outcome.NEEDED, Outcome.REDUNDANT)
    counts = [f"{found.count(o)} {o.value}" for o in Outcome if o in always or o in found]
    summary = f"{count(len(mutants), 'site')}: {', '.join(counts)}"
    parts += ["", paragraph(f"{summary} (within these bounds and assumptions)")]
    if known and not {*found} <= {Outcome.NEEDED, Outcome.UNDECIDED}:
        parts.append(paragraph("docs/redundant.md says why the others are not needed"))
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
    lines.append(paragraph(verdict_sentence(mutant), indent=8))
    if full and isinstance(run, Run) and run.trace is not None and run.token is not None:
        lines += ["", diagram(run.trace), "", paragraph(reproduce(run.subject, run.token))]
    return "\n".join(lines)


def verdict_sentence(mutant: Mutant) -> str:
    """What happens without a site, and why nothing does, in one sentence."""
    run, outcome = mutant.run, mutant.outcome
    if run is None:
        return "undecided: not checked"
    if isinstance(run, Broken):
        return f"undecided: {run.error}"
    if outcome is Outcome.UNDECIDED:
        return f"undecided: {stopped_because(run.result)}"
    violation = run.result.violation
    if violation is not None and run.trace is not None:
        ending = run.trace.ending
        steps = count(violation.length, "step") if violation.real else "some steps"
        said = f"{ascii_text(ending.name)} after {steps}: {ascii_text(ending.text)}"
        return said if outcome is Outcome.NEEDED else f"refused, an error of the model: {said}"
    if outcome is Outcome.GOAL_LOST:
        lost = ", ".join(ascii_text(goal.name) for goal in lost_goals(run.result))
        return f"goal lost: nothing goes wrong, but never reached: {lost}"
    return {
        Outcome.REDUNDANT: "redundant within these bounds: nothing goes wrong "
        f"({count(run.result.states, 'state')})",
        Outcome.NEVER_EXECUTED: "never executed: nobody comes by in this scenario",
        Outcome.NO_EFFECT: "no effect: within these bounds, and on this hardware, it does nothing",
    }[outcome]
