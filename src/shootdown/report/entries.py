"""The lines of a race diagram before they are laid out: who, how deep, what, and its arrow."""

from __future__ import annotations

from dataclasses import dataclass

from shootdown.check.result import ViolationKind
from shootdown.check.trace import Ending, Trace, TraceStep
from shootdown.lang.ir import Action, Call, NoteKind, Process, System
from shootdown.report.text import ascii_text

LOOP = "--- for ever: ---"
ELSEWHERE = "hardware"  # the column of rules that belong to no CPU


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: ``step`` is the number of its step (0 after the last), ``depth`` counts calls."""

    step: int
    column: str
    depth: int
    text: str
    arrow: str = ""


def entries(trace: Trace) -> tuple[Entry, ...]:
    """The lines of a race in order of time.

    A call is a line of its own where it is entered, unless it is a single step. Where two threads
    share a column, going on with one after the other repeats its outermost call.
    """
    writer = _Writer(trace.system)
    for done, step in enumerate(trace.steps):
        if done == trace.loop:
            writer.loop(step.number)
        last = step is trace.steps[-1]
        writer.add(step.number, step.process, step.action, _text(step), _arrow(step, trace, last))
    for waiting in trace.ending.waiting:
        text = _plain_text(waiting.action)
        writer.add(0, waiting.process, waiting.action, text, "waits for ever")
    return tuple(writer.lines)


def label(step: TraceStep) -> str:
    """What a step does, in the kernel's words."""
    labels = [text for kind, text in step.notes if kind is NoteKind.LABEL and text]
    return "; ".join(labels) or _plain_text(step.action)


def remarks(step: TraceStep, kind: NoteKind) -> tuple[str, ...]:
    """The texts of a step's notes of one kind."""
    return tuple(text for noted, text in step.notes if noted is kind and text)


def column_of(system: System, process: int | None, action: Action) -> str:
    """The heading under which a step stands."""
    if action.column is not None:
        return system.columns[action.column]
    return ELSEWHERE if process is None else system.processes[process].name


def visible(calls: tuple[Call, ...]) -> tuple[Call, ...]:
    """The calls that get a line of their own: those outside the first single step."""
    shown = []
    for call in calls:
        if call.single:
            break
        if call.function:
            shown.append(call)
    return tuple(shown)


def in_source_order(process: Process) -> tuple[Action, ...]:
    """The steps of a process as its reader meets them."""
    return tuple(sorted(process.actions, key=lambda action: action.info.order))


class _Writer:
    """Collects lines; knows in which calls each thread is and who wrote last in each column."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.lines: list[Entry] = []
        self.open: dict[int, tuple[Call, ...]] = {}
        self.last: dict[str, int] = {}

    def add(self, step: int, process: int | None, action: Action, text: str, arrow: str) -> None:
        column = column_of(self.system, process, action)
        depth = 0
        if process is None:
            text = f"<{text}>"
        else:
            depth = self._enter(step, process, column, visible(action.info.calls))
        self.lines.append(Entry(step, ascii_text(column), depth, ascii_text(text), arrow))

    def loop(self, step: int) -> None:
        """What follows repeats: the calls around it are shown again."""
        self.open.clear()
        self.lines.append(Entry(step, "", 0, LOOP))

    def _enter(self, step: int, process: int, column: str, calls: tuple[Call, ...]) -> int:
        before = self.open.get(process, ())
        kept = 0
        for old, new in zip(before, calls, strict=False):
            if old.serial != new.serial:
                break
            kept += 1
        if kept and self.last.get(column, process) != process:
            self._line(step, column, 0, calls[0].function + " ...")
        for depth in range(kept, len(calls)):
            self._line(step, column, depth, calls[depth].function)
        self.open[process] = calls
        self.last[column] = process
        return len(calls)

    def _line(self, step: int, column: str, depth: int, text: str) -> None:
        self.lines.append(Entry(step, ascii_text(column), depth, ascii_text(text)))


def _text(step: TraceStep) -> str:
    notes = remarks(step, NoteKind.NOTE)
    return label(step) + "".join(f" ({note})" for note in notes)


def _plain_text(action: Action) -> str:
    single = next((call for call in action.info.calls if call.single and call.function), None)
    return single.function if single else action.info.text or action.name


def _arrow(step: TraceStep, trace: Trace, last: bool) -> str:
    marks = remarks(step, NoteKind.MARK)
    if not marks and last:
        marks = _final_mark(trace.ending)
    return ascii_text("; ".join(marks))


def _final_mark(ending: Ending) -> tuple[str, ...]:
    if ending.kind in (ViolationKind.DEADLOCK, ViolationKind.NO_PROGRESS):
        return ()
    return ("model error",) if ending.kind is ViolationKind.MODEL_ERROR else (ending.name,)
