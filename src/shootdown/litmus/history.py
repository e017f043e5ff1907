"""What happened on the way to a final state, in the words of the test."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from shootdown.check.trace import TraceStep, steps_of
from shootdown.hardware.machine import Pte as Descriptor
from shootdown.litmus.compute import Code, PageNumber, Word
from shootdown.litmus.effects import Executor
from shootdown.litmus.machine import Answer, Loader, external
from shootdown.litmus.model import LitmusTest
from shootdown.litmus.state import Local
from shootdown.litmus.values import Address

LOADING = ("load", "load exclusive", "update")
READING = (*LOADING, "probe", "probe for write")


@dataclass(frozen=True, slots=True)
class Event:
    """One line: an instruction of a processor with what came of it, or a step of the hardware.
    ``old``: the descriptor, as it is now, would not have let the access do what it did.

    ``step`` counts from 1. Instructions that touch no memory belong to the step before them, those
    at the beginning of a program to the processor's first one.
    """

    step: int
    processor: int
    text: str
    hardware: bool = False
    old: bool = False


def history(answer: Answer, index: int) -> tuple[Event, ...]:
    """A shortest way to final state number ``index`` of an answer."""
    system = answer.result.system
    return _Teller(answer.loader, steps_of(system, answer.path(index))).tell()


class _Recorder(Executor):
    """Notes the instructions that are passed while a processor settles."""

    def __init__(self, test: LitmusTest, tracking: bool) -> None:
        super().__init__(test, tracking)
        self.passed: list[Code] = []

    def step(self, local: Local) -> Local | None:
        after = super().step(local)
        if after is not None:
            self.passed.append(local.at)
        return after


class _Teller:
    def __init__(self, loader: Loader, steps: Sequence[TraceStep]) -> None:
        self.loader = loader
        self.tables = tables = loader.tables
        self.steps = steps
        self.names = loader.machine.numbers
        self.at = [self.names[f"CPU{p.number}.at"] for p in tables.test.processors]
        self.locals = list(tables.points)
        self.executor = _Recorder(tables.test, tables.executor.tracking)
        self.events: list[Event] = []
        self.begun: set[int] = set()

    def tell(self) -> tuple[Event, ...]:
        """All events in order."""
        processors = self.tables.test.processors
        for step in self.steps:
            rule, _, arguments = step.action.name.partition("(")
            found = re.search(r"CPU(\d+)", arguments)
            number = int(found[1]) if found else 0
            if rule == "step":
                self._begin(step.number, number)
                self._instruction(step, number)
            else:
                self._add(step.number, number, self._hardware(step, rule, number), hardware=True)
        for processor in processors:
            self._begin(len(self.steps), processor.number)
        return tuple(self.events)

    def _add(
        self, step: int, number: int, text: str, *, hardware: bool = False, old: bool = False
    ) -> None:
        self.events.append(Event(step, number, text, hardware, old))

    def _begin(self, step: int, number: int) -> None:
        """What a program does before its first access."""
        if number not in self.begun:
            self.begun.add(number)
            self.executor.passed.clear()
            self.executor.start(self.executor.processors[number])
            self._passed(step, number)

    def _passed(self, step: int, number: int) -> None:
        for at in self.executor.passed:
            self._add(step, number, self._source(at))
        self.executor.passed.clear()

    def _source(self, at: Code) -> str:
        return " ".join(self.executor.column(at).steps[at.index].text.split())

    # ------------------------------------------------------------------ instructions

    def _instruction(self, step: TraceStep, number: int) -> None:
        at = self.at[number]
        here, there = self.locals[step.before[at]], self.locals[step.after[at]]
        self.executor.passed.clear()
        point, effect = self.tables.points[here], self.executor.effect(here)
        text = self._source(here.at)
        came = [value for value, (_, after) in point.then.items() if after == there]
        if came and effect.then is not None:
            effect.then(came[0])
            shown = {self._value(value) for value in came}
            if effect.kind == "store exclusive":
                text += " -> done" if came[0] else " -> not done"
            elif effect.kind in READING and len(shown) == 1:
                text += f" -> {shown.pop()}"
        elif effect.fault is not None:
            effect.fault(next(cause for cause, after in point.faults.items() if after == there))
        for fault in there.faults - here.faults:
            cause = fault.type.cause.value
            text += (
                f" -> {cause}" if fault.address is None else f" -> fault({fault.address}, {cause})"
            )
        frame = self._written(step)
        old = False
        if came and isinstance(effect.place, Address):
            old = self._is_old(step, effect.place, frame, came if effect.kind in LOADING else ())
            if frame not in (None, effect.place.name):
                text += f" (in PA({frame}))"
            for page in self._changed(step, r"tables\.pte\[page(\d+)\]"):
                text += f" (hardware updates PTE({page}))"
        self._add(step.number, number, text, old=old)
        self._passed(step.number, number)

    def _value(self, value: Word) -> str:
        known = external(value, self.tables)
        return known.name if isinstance(known, PageNumber) else str(known)

    def _changed(self, step: TraceStep, pattern: str) -> list[str]:
        """The pages, or frames, in the names of what a step changed."""
        found = (re.match(pattern, change.name) for change in step.changes)
        return [self.tables.pages[int(match[1])] for match in found if match]

    def _written(self, step: TraceStep) -> str | None:
        """The physical page whose content a step changed."""
        return next(iter(self._changed(step, r"f(\d+)\.content")), None)

    def _is_old(
        self, step: TraceStep, place: Address, frame: str | None, came: Sequence[Word]
    ) -> bool:
        """Whether an access that was done cannot have used the descriptor of now, as far as what it
        read or wrote shows that."""
        page = self.loader.pages[place.name]
        raw = step.before[self.names[f"tables.pte[page{page}]"]]
        now = cast(Descriptor, self.loader.machine.kinds.word(Descriptor).decode(raw))
        if not now.present or frame is not None:
            return not now.present or frame != self.tables.pages[now.frame.index]
        content = f"f{now.frame.index}.content"
        cell = self.names.get(f"{content}[cell{self.loader.cells.get(place.offset, 0)}]")
        held = step.before[cell if cell is not None else self.names[f"{content}[cell]"]]
        return bool(came) and all(self.loader.values[value] != held for value in came)

    # ------------------------------------------------------------------ hardware

    def _hardware(self, step: TraceStep, rule: str, number: int) -> str:
        if rule == "fill":  # whatever may be cached is; what is left of a fill is the access flag
            page = re.search(r"page(\d+)", step.action.name)
            assert page is not None
            return f"P{number} sets AF of {self.tables.pages[int(page[1])]}"
        return self._named(step.action.info.text)

    def _named(self, text: str) -> str:
        """A text of the machine with the names of the test."""

        def name(found: re.Match[str]) -> str:
            kind, number = found[1], int(found[2])
            if kind == "CPU":
                return f"P{number}"
            page = self.tables.pages[number]
            return page if kind == "page" else f"PA({page})"

        return re.sub(r"\b(CPU|page|f)(\d+)\b", name, text)
