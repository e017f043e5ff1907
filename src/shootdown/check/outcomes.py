"""What a system does in one state: its outcomes, its properties, whether it is stuck.

``lang.ir`` made executable in plain Python: the reference engine is a search over this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from shootdown.lang.interpret import State, Way, ways
from shootdown.lang.ir import Action, NoteKind, Property, System

Notes: TypeAlias = tuple[tuple[NoteKind, str], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way through an action that reaches its end or a failed check.

    ``number`` counts the outcomes of the state across all actions. ``process`` is an index into
    ``System.processes``, None for a rule. Either ``state`` is the successor or ``failure`` is an
    index into ``System.failures``. ``notes`` are rendered texts, empty unless asked for.
    ``covered`` lists the lines of this way, as indices into ``System.lines``.
    """

    number: int
    action: Action
    process: int | None
    state: State | None
    failure: int | None
    notes: Notes
    covered: tuple[int, ...]


def outcomes(
    system: System, state: State, *, notes: bool = False, covered: set[int] | None = None
) -> Iterator[Outcome]:
    """The outcomes of ``state`` in order.

    ``covered`` collects the lines of all ways, also of those that are abandoned.
    """
    number = 0
    for process, action in _tried(system, state):
        for way in ways(action.body, state, notes):
            if covered is not None:
                covered.update(way.covered)
            if way.abandoned:
                continue
            successor = tuple(way.state) if way.failure is None else None
            texts, lines = tuple(way.notes), tuple(way.covered)
            yield Outcome(number, action, process, successor, way.failure, texts, lines)
            number += 1


def _tried(system: System, state: State) -> Iterator[tuple[int | None, Action]]:
    for index, process in enumerate(system.processes):
        pc = state[process.pc]
        if pc < len(process.actions):
            yield index, process.actions[pc]
    for rule in system.rules:
        yield None, rule


def holds(system: System, prop: Property, state: State) -> bool:
    """Whether a property of ``system`` is true in ``state`` (a failed check in it is not)."""
    way = judge_property(prop, state)
    return way.failure is None and way.registers[0] != 0


def judge_property(prop: Property, state: State) -> Way:
    """The one way through a property's body: register 0 is the answer, unless a check failed."""
    (way,) = ways(prop.body, state, notes=False)
    return way


def is_deadlock(system: System, state: State, found: list[Outcome]) -> bool:
    """Whether ``state`` is a deadlock, ``found`` being its outcomes (up to the first failing one).

    Some process that is not a daemon is unfinished, no check fails, and no fair action leads to
    another state.
    """
    waiting = any(
        state[process.pc] < len(process.actions)
        for process in system.processes
        if not process.daemon
    )
    progress = any(
        outcome.failure is not None or (outcome.action.fair and outcome.state != state)
        for outcome in found
    )
    return waiting and not progress
