"""A violation as people follow it: its steps one by one, run again on the reference semantics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias, cast

from shootdown.check.outcomes import Notes, Outcome, is_deadlock, judge_property, outcomes
from shootdown.check.result import Violation, ViolationKind
from shootdown.errors import UsageError
from shootdown.lang.ir import Action, Failure, FailureKind, Location, System

State: TypeAlias = tuple[int, ...]

KIND_OF_FAILURE = {
    FailureKind.ASSERTION: ViolationKind.ASSERTION,
    FailureKind.MODEL_ERROR: ViolationKind.MODEL_ERROR,
}


@dataclass(frozen=True, slots=True)
class Change:
    """A variable that a step changed, as it is shown."""

    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One step of a race.

    ``number`` counts from 1. ``outcome`` is its number among the outcomes of ``before``.
    ``process`` is an index into ``System.processes``, None for a hardware rule. A step that ends
    in a failed check changes nothing: ``after`` is ``before`` and ``failed`` is true. ``changes``
    leaves out where the threads stand.
    """

    number: int
    outcome: int
    action: Action
    process: int | None
    notes: Notes
    before: State
    after: State
    changes: tuple[Change, ...]
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """A thread that a deadlock leaves waiting before ``action``."""

    process: int
    action: Action


@dataclass(frozen=True, slots=True)
class Ending:
    """What is wrong at the end of a race: ``name: text``, as :class:`Violation` names it."""

    kind: ViolationKind
    name: str
    text: str
    index: int
    location: Location | None = None
    waiting: tuple[Waiting, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """A race from the initial state to its end."""

    system: System
    steps: tuple[TraceStep, ...]
    ending: Ending
    loop: int | None = None  # the steps after this many repeat for ever

    @property
    def numbers(self) -> tuple[int, ...]:
        """The outcome taken in each state: what a token holds."""
        return tuple(step.outcome for step in self.steps)

    @property
    def final(self) -> State:
        """The last state."""
        return self.steps[-1].after if self.steps else self.system.init


def trace_violation(system: System, violation: Violation) -> Trace:
    """Find the steps between the states of a violation, as :func:`steps_of` does."""
    steps = list(steps_of(system, violation.path))
    if violation.failing_outcome is not None:
        before = violation.path[-1]
        outcome = _numbered(system, before, violation.failing_outcome)
        if outcome is None or outcome.failure is None:
            raise RuntimeError(f"outcome {violation.failing_outcome} fails no check")
        steps.append(_step(system, len(steps) + 1, before, outcome))
    return Trace(system, tuple(steps), _ending_of(system, violation), violation.loop)


def untold(system: System, violation: Violation) -> Trace:
    """A race of which nothing is known but its end."""
    return Trace(system, (), _ending_of(system, violation))


def steps_of(system: System, path: Sequence[State]) -> tuple[TraceStep, ...]:
    """The steps between the states of a path. Where several outcomes of a state lead to the next
    one, it takes the first."""
    steps: list[TraceStep] = []
    for before, after in pairwise(path):
        outcome = next((o for o in outcomes(system, before, notes=True) if o.state == after), None)
        if outcome is None:
            raise RuntimeError(f"no outcome of step {len(steps) + 1} leads to the next state")
        steps.append(_step(system, len(steps) + 1, before, outcome))
    return tuple(steps)


def trace_outcomes(system: System, numbers: Iterable[int]) -> Trace:
    """Take the numbered outcomes in turn; a usage error unless they end in a violation."""
    steps: list[TraceStep] = []
    state, failure = system.init, None
    for number in numbers:
        outcome = _numbered(system, state, number) if failure is None else None
        if outcome is None:
            raise UsageError(f"there is no step {len(steps) + 1} with number {number}")
        steps.append(_step(system, len(steps) + 1, state, outcome))
        state, failure = steps[-1].after, outcome.failure
    ending = (
        _ending_in(system, state)
        if failure is None
        else _ending_at_failure(failure, system.failures[failure])
    )
    loop = None
    if ending is None:
        ending, loop = _ending_in_loop(system, steps)
    if ending is None:
        raise UsageError(f"these {len(steps)} steps do not end in a violation")
    return Trace(system, tuple(steps), ending, loop)


def show_value(system: System, variable: int, value: int) -> str:
    """A value of a variable as its type prints it."""
    show = system.variables[variable].show
    return str(value) if show is None else cast(Callable[[int], str], show)(value)


def _numbered(system: System, state: State, number: int) -> Outcome | None:
    return next((o for o in outcomes(system, state, notes=True) if o.number == number), None)


def _step(system: System, number: int, before: State, outcome: Outcome) -> TraceStep:
    after = before if outcome.state is None else outcome.state
    return TraceStep(
        number=number,
        outcome=outcome.number,
        action=outcome.action,
        process=outcome.process,
        notes=outcome.notes,
        before=before,
        after=after,
        changes=_changes(system, before, after),
        failed=outcome.failure is not None,
    )


def _changes(system: System, before: State, after: State) -> tuple[Change, ...]:
    counters = {process.pc for process in system.processes}
    return tuple(
        Change(variable.name, show_value(system, i, old), show_value(system, i, new))
        for i, (variable, old, new) in enumerate(zip(system.variables, before, after, strict=True))
        if old != new and not variable.hidden and i not in counters
    )


# --------------------------------------------------------------------------- endings


def _ending_of(system: System, violation: Violation) -> Ending:
    """What is wrong at the end of a violation; of a deadlock whose path is no real one, without the
    threads that wait."""
    match violation.kind:
        case ViolationKind.INVARIANT:
            return _ending_at_invariant(system, violation.index)
        case ViolationKind.DEADLOCK:
            found = _ending_at_deadlock(system, violation.path[-1])
            return found if violation.real else replace(found, waiting=())
        case ViolationKind.NO_PROGRESS:
            return _ending_without_progress(system, violation.index)
        case ViolationKind.ASSERTION | ViolationKind.MODEL_ERROR:
            return _ending_at_failure(violation.index, system.failures[violation.index])


def _ending_in(system: System, state: State) -> Ending | None:
    """What is wrong with a state, in the order in which an engine looks."""
    for index, prop in enumerate((*system.invariants, *system.goals)):
        way = judge_property(prop, state)
        if way.failure is not None:
            return _ending_at_failure(way.failure, system.failures[way.failure])
        if index < len(system.invariants) and not way.registers[0]:
            return _ending_at_invariant(system, index)
    if is_deadlock(system, state, list(outcomes(system, state))):
        return _ending_at_deadlock(system, state)
    return None


def _ending_in_loop(system: System, steps: list[TraceStep]) -> tuple[Ending | None, int | None]:
    """What never comes, if the last state has been before."""
    last = steps[-1].after if steps else system.init
    loop = next((i for i, step in enumerate(steps) if step.before == last), None)
    if loop is None:
        return None, None
    for index, prop in enumerate(system.progress):
        if not any(judge_property(prop, step.before).registers[0] for step in steps[loop:]):
            return _ending_without_progress(system, index), loop
    return None, None


def _ending_without_progress(system: System, index: int) -> Ending:
    prop = system.progress[index]
    return Ending(ViolationKind.NO_PROGRESS, prop.name, prop.text, index, prop.location)


def _ending_at_invariant(system: System, index: int) -> Ending:
    prop = system.invariants[index]
    return Ending(ViolationKind.INVARIANT, prop.name, prop.text, index, prop.location)


def _ending_at_failure(index: int, failure: Failure) -> Ending:
    kind = KIND_OF_FAILURE[failure.kind]
    return Ending(kind, failure.name, failure.message, index, failure.location)


def _ending_at_deadlock(system: System, state: State) -> Ending:
    waiting = tuple(
        Waiting(index, process.actions[state[process.pc]])
        for index, process in enumerate(system.processes)
        if not process.daemon and state[process.pc] < len(process.actions)
    )
    names = " and ".join(system.processes[w.process].name for w in waiting)
    verb = "waits" if len(waiting) == 1 else "wait"
    text = f"{names} {verb} for what can no longer happen"
    for outcome in outcomes(system, state):
        if _would_help(system, state, outcome):
            text += f"; {outcome.action.name} would end that, and is not fair: it may never come"
            break
    return Ending(ViolationKind.DEADLOCK, "deadlock", text, -1, None, waiting)


def _would_help(system: System, state: State, outcome: Outcome) -> bool:
    """Whether a rule that can be put off for ever leads out of a deadlock."""
    after = outcome.state
    return (
        outcome.process is None
        and not outcome.action.fair
        and after is not None
        and after != state
        and not is_deadlock(system, after, list(outcomes(system, after)))
    )
