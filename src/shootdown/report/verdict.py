"""The verdict in words: what holds within which bounds, or the race, or what is missing."""

from __future__ import annotations

from shlex import quote

from shootdown.check.result import Represented, Result, Verdict, ViolationKind
from shootdown.check.trace import Ending, Trace
from shootdown.lang.ir import FailureKind, Location, Property, System
from shootdown.report import omitted
from shootdown.report.coverage import (
    never_executed,
    never_executed_text,
    nothing_cached,
    short_path,
)
from shootdown.report.diagram import diagram
from shootdown.report.run import Run, Subject, as_expected, expected_text, verdict_name
from shootdown.report.text import (
    WIDTH,
    ascii_text,
    bounds_text,
    count,
    duration,
    factor,
    paragraph,
    size,
    wrap,
)

_NOT_SHORTEST = (
    "not known to be the shortest: with --reduce symmetry the search takes longer and finds that"
)
_WITHOUT_HARDWARE = "shown without the steps that the hardware takes for it"
GIVEN_UP = "symmetry: given up, as its proofs, or its group, got too large"
_MORE = "symmetry: used in part, as some of its proofs, or its group, got too large"
PROPERTIES = (ViolationKind.INVARIANT, ViolationKind.NO_PROGRESS)  # their names say it all
FIELD = 14  # where the values of a HOLDS stand

STOPPED = {
    "states": "the limit on states was reached",
    "memory": "the limit on memory was reached",
    "time": "the limit on time was reached",
    "interrupt": "interrupted",
    "progress": "there are too many states to look for endless loops",
}


def verdict_text(run: Run) -> str:
    """The whole report of one check, without a trailing newline."""
    parts = [_report(run)]
    for other in run.others:
        parts += ["", _report(other) if other.trace else paragraph(_other_stopped(other))]
    if not as_expected(run) and not run.subject.changed:
        parts.append(paragraph(f"expected: {expected_text(run.subject)}"))
    return "\n".join(parts)


def _other_stopped(run: Run) -> str:
    """What to say of an unfinished search for another race."""
    return f"UNKNOWN  whether more can be broken: {stopped_because(run.result)}"


def _report(run: Run) -> str:
    parts = [headline(run)]
    if run.trace is not None:
        assert run.result.violation is not None
        length = run.result.violation.length
        what = "shortest race" if run.result.shortest else "a race"
        if run.untold:
            return "\n".join([*parts, *_untold(run, what)])
        parts += [_race_line(run.subject, run.trace, what, length)]
        if run.cut is not None:
            parts += [paragraph(f"{_WITHOUT_HARDWARE}: {STOPPED[run.cut]}")]
        if not run.result.keeps_distances:
            parts += [paragraph(_NOT_SHORTEST)]
        elif run.result.fingerprints is not None:
            parts += [paragraph(omitted.no_shorter(run.result))]
        parts += [""]
        parts += [diagram(run.trace)]
        parts += _where(run.trace.ending)
        parts += _nobody_answers(run.subject, run.trace.ending)
        parts += ["", _explored_and_token(run)]
    else:
        parts += _fields(run)
    return "\n".join(parts)


def _untold(run: Run, what: str) -> list[str]:
    """The report on a race whose steps are not known."""
    result, trace = run.result, run.trace
    assert result.violation is not None
    assert trace is not None
    assert run.cut is not None
    steps = count(result.violation.length, "step") if result.violation.real else "its steps"
    explored = f"explored {count(result.states, 'state')} in {duration(result.seconds)}"
    return [
        paragraph(f"{what}: {steps}; {STOPPED[run.cut]} before they were known one by one"),
        *_where(trace.ending),
        "",
        paragraph(explored),
    ]


def headline(run: Run) -> str:
    """The verdict with what it is about; wrapped."""
    ending = None if run.trace is None else run.trace.ending
    text = _headline(verdict_name(run), run.subject, ending)
    omitted_text = omitted.headline(run.result)
    if omitted_text:
        indent = len(verdict_name(run)) + 2
        text += "\n" + paragraph(omitted_text, indent=indent, hanging=0)
    return text


def headline_of(subject: Subject, trace: Trace) -> str:
    """The verdict of a race."""
    name = "MODEL ERROR" if trace.ending.kind is ViolationKind.MODEL_ERROR else "VIOLATED"
    return _headline(name, subject, trace.ending)


def replay_text(subject: Subject, trace: Trace) -> str:
    """A race that was walked again without a search."""
    parts = [
        headline_of(subject, trace),
        _race_line(subject, trace, "race"),
        "",
        diagram(trace),
        *_where(trace.ending),
        *_nobody_answers(subject, trace.ending),
    ]
    return "\n".join(parts)


def reproduce(subject: Subject, token: str) -> str:
    """The command that shows the race again."""
    return " ".join(["shootdown replay", subject.target, *subject.arguments, f"--path {token}"])


def resume(subject: Subject, checkpoint: str) -> str:
    """The command that goes on with a search."""
    words = ["shootdown check", subject.target, *subject.arguments]
    return " ".join([*words, f"--resume {quote(checkpoint)}"])


def _headline(verdict: str, subject: Subject, ending: Ending | None) -> str:
    name, text = (subject.name, subject.title) if ending is None else (ending.name, ending.text)
    about = ascii_text(f"{name}: {text}" if text else name)
    return paragraph(f"{verdict}  {about}", hanging=len(verdict) + 2)


# --------------------------------------------------------------------------- a race


def _race_line(subject: Subject, trace: Trace, what: str, length: int | None = None) -> str:
    steps = len(trace.steps) if length is None else length
    shown = len(trace.steps) - steps
    more = f", shown with {count(shown, 'step')} of the hardware" if shown > 0 else ""
    silent = sum(s.process is None and not s.action.fair for s in trace.steps)
    if length is None and silent:
        more = f", {silent} of them by the hardware"
    around = ", ".join(filter(None, [bounds_text(trace.system.bounds), hardware_text(subject)]))
    text = f"{what}: {count(steps, 'step')}{more}" + (f" ({around})" if around else "")
    return paragraph(ascii_text(text))


def hardware_text(subject: Subject) -> str:
    """The hardware's name and the options that were given for it; empty for none."""
    name = "" if subject.hardware == "none" else subject.hardware
    return ", ".join([*filter(None, [name]), *(f"{k}={v}" for k, v in subject.options)])


def _where(ending: Ending) -> list[str]:
    if ending.location is None or ending.kind in PROPERTIES:
        return []
    return ["", paragraph(f"{ending.kind.value} at {_place(ending.location)}")]


def _nobody_answers(subject: Subject, ending: Ending) -> list[str]:
    """A hint where threads wait, not for a lock, and the scenario has no hardware."""
    waits = any(waiting.action.info.kind == "wait" for waiting in ending.waiting)
    if not waits or subject.hardware != "none":
        return []
    hint = (
        "hint: this scenario has no hardware that could answer, as by taking an IPI: "
        "write Setup(..., hardware=x86)"
    )
    return ["", paragraph(hint, hanging=6)]


def _explored_and_token(run: Run) -> str:
    result = run.result
    explored = f"explored {count(result.states, 'state')} in {duration(result.seconds)}"
    if result.reductions:
        explored += f" (reductions: {', '.join(result.reductions)})"
    elif result.asked:
        explored += " (reductions: none apply)" if not result.given_up else f" ({GIVEN_UP})"
    if run.token is None:
        return paragraph(f"{explored}; no token: the race goes on after a failed assertion")
    command = f"reproduce: {reproduce(run.subject, run.token)}"
    line = f"{explored}; {command}"
    if len(line) <= WIDTH:
        return line
    return f"{explored}\n{command}" if len(command) <= WIDTH else f"{explored}\n{_broken(command)}"


def _broken(command: str) -> str:
    """A command on several lines, broken before its options."""
    return " \\\n    --".join(command.split(" --"))


NOTHING_CACHED = (
    "no TLB had a translation in any state. If this is about TLBs, the start function must say "
    "what each CPU walks"
)


def _place(at: Location) -> str:
    return f"{short_path(at.file)}:{at.line}"


# --------------------------------------------------------------------------- no race


def _fields(run: Run) -> list[str]:
    system, result = run.system, run.result
    missing = never_executed(system.lines, result.covered)
    lines = count(len(missing), "line") if missing else "none: every line of the paths ran"
    if missing and result.unfinished:
        lines += " so far (--json lists them)"
    out = [] if result.verdict is Verdict.HOLDS else [paragraph(_summary(result), indent=2)]
    out += [
        field("bounds", bounds_text(system.bounds) or "none"),
        field("hardware", *(system.assumptions or ("none",))),
        field("explored", _explored(result)),
        *_reductions(result),
        *_omitted(result),
        field("invariants", _invariants(system)),
        field("goals", _goals(system, result)),
        field("not executed", lines),
    ]
    if missing and not result.unfinished:
        out.append(never_executed_text(missing, indent=4))
    if nothing_cached(system.lines, result.covered) and not result.unfinished:
        out.append(field("remark", NOTHING_CACHED))
    if result.checkpoint is not None:
        command = resume(run.subject, result.checkpoint)
        line = f"go on: {command}"
        out.append(line if len(line) <= WIDTH else _broken(line))
    return out


def stopped_because(result: Result) -> str:
    """Why an UNKNOWN search ended."""
    return STOPPED.get(result.stopped or "", result.stopped or "stopped")


def field(name: str, *texts: str) -> str:
    """A name and what there is to say, wrapped; each text begins a line."""
    rows = [row for text in texts for row in wrap(ascii_text(text), WIDTH - 2 - FIELD)]
    names = [name] + [""] * len(rows)
    return "\n".join(
        f"  {label:<{FIELD}}{row}".rstrip() for label, row in zip(names, rows, strict=False)
    )


def _summary(result: Result) -> str:
    if result.verdict is Verdict.VACUOUS:
        unreached = lost_goals(result)
        told = "; ".join(f"{g.name} ({g.text})" if g.text else g.name for g in unreached)
        return f"never reached: {told}. No invariant was violated, but that proves nothing."
    if result.verdict is Verdict.UNKNOWN:
        return f"{stopped_because(result)}; no violation in what was explored."
    return ""


def _explored(result: Result) -> str:
    text = f"{count(result.states, 'state')}, depth {result.depth:,}, in {duration(result.seconds)}"
    if result.verdict is Verdict.UNKNOWN:
        text += f"; {result.frontier:,} of them still to be expanded"
    lanes = ""
    if result.keys:
        lanes = f", {result.states / result.keys:.1f} states at a time"
    elif result.hurried:
        lanes = ", one state at a time: there was no time to choose lanes"
    elif result.keys == 0:
        lanes = ", one state at a time: no variables make lanes"
    return f"{text} ({result.engine} engine{lanes}, {size(result.memory)})"


def _reductions(result: Result) -> list[str]:
    texts = [", ".join(result.reductions)] if result.reductions else []
    if result.represented is not None:
        texts.append(f"symmetry: {represented_text(result.states, result.represented)}")
    unknown = [name for name in result.reductions if name != "symmetry"]
    if unknown:
        names = " and ".join(unknown)
        texts.append(f"what {names} left out is not counted; --factors searches it too, to compare")
    if result.given_up:
        texts.append(GIVEN_UP if "symmetry" not in result.reductions else _MORE)
    elif result.asked and not texts:  # the others apply to every system
        texts = ["none apply: nothing was proven to be interchangeable"]
    if result.before is not None:
        seen = f"{count(result.before.states, 'state')}, depth {result.before.depth:,}"
        texts.append(f"the ordinary search before saw {seen}: no violation")
    return [field("reductions", *texts)] if texts else []


def _omitted(result: Result) -> list[str]:
    return [] if result.fingerprints is None else [field("omitted", omitted.assumed(result))]


def represented_text(states: int, found: Represented) -> str:
    """How many states those that were stored stand for."""
    much = f"{found.states:,}"
    if found.error:
        much = f"about {much} (+- {found.error:,})"
    if not found.reachable:
        much = f"at most {much}"
    return f"{count(states, 'state')} stand for {much} ({factor(found.states, states)})"


def _invariants(system: System) -> str:
    """The names of the properties and of the assertions in the paths."""
    asserted = [f.name for f in system.failures if f.kind is FailureKind.ASSERTION]
    stated = [p.name for p in (*system.invariants, *system.progress)]
    names = dict.fromkeys([*stated, *asserted])
    return ", ".join(names) or "none (only deadlock)"


def lost_goals(result: Result) -> tuple[Property, ...]:
    """The goals that no state has reached."""
    pairs = zip(result.system.goals, result.goals, strict=True)
    return tuple(goal for goal, reached in pairs if not reached)


def _goals(system: System, result: Result) -> str:
    if not system.goals:
        return "none"
    reached = [g.name for g, hit in zip(system.goals, result.goals, strict=True) if hit]
    missing = [g.name for g in lost_goals(result)]
    texts = []
    if reached:
        texts.append("reached " + ", ".join(reached))
    if missing:
        never = "not reached yet:" if result.unfinished else "never reached"
        texts.append(f"{never} {', '.join(missing)}")
    return "; ".join(texts)
