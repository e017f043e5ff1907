"""A race state by state: each step with its source line and what it changed."""

from __future__ import annotations

from shootdown.check.trace import Trace, TraceStep, show_value
from shootdown.lang.ir import Call, NoteKind
from shootdown.report.coverage import short_path
from shootdown.report.entries import column_of, label, remarks
from shootdown.report.run import Subject
from shootdown.report.text import WIDTH, ascii_text, wrap
from shootdown.report.verdict import headline_of

INDENT = 6


def states_text(subject: Subject, trace: Trace) -> str:
    """The initial state where it is not 0, then every step."""
    parts = [headline_of(subject, trace), "", "initial state", *_initial(trace)]
    for step in trace.steps:
        parts += ["", *_step(trace, step)]
    return "\n".join(parts)


def _initial(trace: Trace) -> list[str]:
    system = trace.system
    hidden = {process.pc for process in system.processes}
    shown = [
        f"{variable.name} = {show_value(system, i, value)}"
        for i, (variable, value) in enumerate(zip(system.variables, system.init, strict=True))
        if value and i not in hidden
    ]
    return _block(shown or ["every variable has its first value"])


def _step(trace: Trace, step: TraceStep) -> list[str]:
    info = step.action.info
    who = column_of(trace.system, step.process, step.action)
    what = f"<{label(step)}>" if step.process is None else label(step)
    heading = f"step {step.number}: {who}: {what}"
    notes = [f"({text})" for text in remarks(step, NoteKind.NOTE)]
    marks = [f"<-- {text}" for text in remarks(step, NoteKind.MARK)]
    at = f"at {short_path(info.location.file)}:{info.location.line}"
    source = info.location.text.strip() or info.text
    calls = " > ".join(_call(call) for call in info.calls if call.function)
    changes = [f"{c.name}: {c.old} -> {c.new}" for c in step.changes]
    nothing = "it fails a check" if step.failed else "it changes nothing"
    return [
        *wrap(ascii_text(heading), WIDTH, INDENT),
        *_block([*notes, *marks, f"{at}: {source}" if source else at]),
        *_block([f"in {calls}"] if calls else []),
        *_block(changes or [nothing]),
    ]


def _call(call: Call) -> str:
    at = call.site
    return call.function + (f" ({short_path(at.file)}:{at.line})" if at is not None else "")


def _block(lines: list[str]) -> list[str]:
    margin = " " * INDENT
    return [margin + row for line in lines for row in wrap(ascii_text(line), WIDTH - INDENT)]
