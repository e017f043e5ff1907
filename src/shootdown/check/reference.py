"""The reference engine: ``lang.ir`` made executable in plain Python. It is the oracle.

The search, exactly (the native engine does the same, and is tested to give the same result):

1. A state is *discovered* once, when it is first reached; the initial state is discovered first.
   On discovery its invariants are evaluated in order, then its goals. The first invariant that is
   false, or the first property whose body fails a check, is the violation and ends the search (the
   state is counted; it reaches no goal).
2. States are *expanded* in the order of their discovery. All outcomes of the state are generated,
   up to the first failing one; their lines are covered. If the state is a deadlock, that ends the
   search, and none of these outcomes is counted.
3. The outcomes are then taken in order. Each counts as one transition. A successor seen for the
   first time is discovered (1.). The failing outcome, which is the last, ends the search.
4. When all outcomes are taken, the state counts as expanded.

A search that would discover more than ``Limits.states`` states stops before the transition that
does so. Other limits are looked at between expansions.

So no violation has a shorter path, with one exception: a deadlock is seen when its state is
expanded, so where one at depth ``n`` exists, a race of ``n + 1`` steps may be reported instead.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from shootdown.check.memory import check_limits, memory_limit
from shootdown.check.result import Limits, Progress, Result, Verdict, Violation, ViolationKind
from shootdown.lang.interpret import State, Way, ways
from shootdown.lang.ir import Action, FailureKind, NoteKind, Property, System

Notes: TypeAlias = tuple[tuple[NoteKind, str], ...]

NO_LIMITS = Limits()

# --------------------------------------------------------------------------- one step


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


# --------------------------------------------------------------------------- properties


def holds(system: System, prop: Property, state: State) -> bool:
    """Whether a property of ``system`` is true in ``state`` (a failed check in it is not)."""
    way = judge_property(prop, state)
    return way.failure is None and way.registers[0] != 0


def judge_property(prop: Property, state: State) -> Way:
    """The one way through a property's body: register 0 is the answer, unless a check failed."""
    (way,) = ways(prop.body, state, notes=False)
    return way


# --------------------------------------------------------------------------- the search


def explore(
    system: System,
    limits: Limits = NO_LIMITS,
    on_progress: Callable[[Progress], None] | None = None,
) -> Result:
    """Search ``system`` breadth-first; see the module's text for the exact order."""
    check_limits(limits)
    search = _Search(system, limits, on_progress)
    try:
        search.run()
    except KeyboardInterrupt:
        search.stopped = "interrupt"
    return search.result()


class _Search:
    """One search. ``parents`` maps each discovered state to its number and its parent's state."""

    def __init__(
        self, system: System, limits: Limits, on_progress: Callable[[Progress], None] | None
    ) -> None:
        self.system = system
        self.limits = limits
        self.on_progress = on_progress
        self.began = self.reported = time.perf_counter()
        self.memory_limit = memory_limit(limits)
        # the tuple, its dict entry and its places in the two lists
        self.bytes_per_state = sys.getsizeof(system.init) + 120
        self.index: dict[State, int] = {}
        self.order: list[State] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        self.expanded = 0
        self.transitions = 0
        self.covered: set[int] = set()
        self.goals = [False] * len(system.goals)
        self.violation: Violation | None = None
        self.stopped: str | None = None

    def run(self) -> None:
        self.discover(self.system.init, parent=0, depth=0)
        while self.expanded < len(self.order) and not self.finished():
            self.expand(self.expanded)

    def finished(self) -> bool:
        """Whether a violation or a limit ends the search; reports progress by the way."""
        now = time.perf_counter()
        if self.on_progress and now - self.reported >= 0.1:
            self.reported = now
            depth = self.depths[-1]
            counts = len(self.order), self.expanded, depth
            self.on_progress(Progress(*counts, now - self.began, self.memory(), self.memory_limit))
        if self.limits.time is not None and now - self.began >= self.limits.time:
            self.stopped = self.stopped or "time"
        if self.memory() > self.memory_limit:
            self.stopped = self.stopped or "memory"
        return self.violation is not None or self.stopped is not None

    def expand(self, number: int) -> None:
        state = self.order[number]
        found: list[Outcome] = []
        for outcome in outcomes(self.system, state, covered=self.covered):
            found.append(outcome)
            if outcome.failure is not None:
                break
        if is_deadlock(self.system, state, found):
            self.violation = Violation(ViolationKind.DEADLOCK, "deadlock", -1, self.path(number))
            return
        for outcome in found:
            if outcome.state is None:
                assert outcome.failure is not None
                self.transitions += 1
                self.fail(outcome.failure, number, outcome.number)
            elif outcome.state in self.index:
                self.transitions += 1
            elif len(self.order) == self.limits.states:
                self.stopped = "states"
            else:
                self.transitions += 1
                self.discover(outcome.state, number, self.depths[number] + 1)
            if self.violation or self.stopped:
                return
        self.expanded += 1

    def discover(self, state: State, parent: int, depth: int) -> None:
        number = len(self.order)
        self.index[state] = number
        self.order.append(state)
        self.parents.append(parent)
        self.depths.append(depth)
        for index, invariant in enumerate(self.system.invariants):
            if not self.judge(invariant, number) and self.violation is None:
                kind, path = ViolationKind.INVARIANT, self.path(number)
                self.violation = Violation(kind, invariant.name, index, path)
            if self.violation:
                return
        reached = []
        for goal in self.system.goals:
            reached.append(self.judge(goal, number))
            if self.violation:
                return
        self.goals = [old or new for old, new in zip(self.goals, reached, strict=True)]

    def judge(self, prop: Property, number: int) -> bool:
        way = judge_property(prop, self.order[number])
        self.covered.update(way.covered)
        if way.failure is not None:
            self.fail(way.failure, number, None)
            return False
        return way.registers[0] != 0

    def fail(self, index: int, number: int, failing_outcome: int | None) -> None:
        failure = self.system.failures[index]
        kind = {
            FailureKind.ASSERTION: ViolationKind.ASSERTION,
            FailureKind.MODEL_ERROR: ViolationKind.MODEL_ERROR,
        }[failure.kind]
        self.violation = Violation(kind, failure.name, index, self.path(number), failing_outcome)

    def path(self, number: int) -> tuple[State, ...]:
        backwards = [self.order[number]]
        while number != 0:
            number = self.parents[number]
            backwards.append(self.order[number])
        return tuple(reversed(backwards))

    def memory(self) -> int:
        return len(self.order) * self.bytes_per_state

    def result(self) -> Result:
        if self.violation is not None:
            verdict = Verdict.VIOLATED
        elif self.stopped is not None:
            verdict = Verdict.UNKNOWN
        else:
            verdict = Verdict.HOLDS if all(self.goals) else Verdict.VACUOUS
        return Result(
            system=self.system,
            engine="reference",
            verdict=verdict,
            states=len(self.order),
            expanded=self.expanded,
            transitions=self.transitions,
            depth=self.depths[-1] if self.depths else 0,
            seconds=time.perf_counter() - self.began,
            memory=self.memory(),
            goals=tuple(self.goals),
            covered=tuple(line in self.covered for line in range(len(self.system.lines))),
            violation=self.violation,
            stopped=None if self.violation else self.stopped,
            frontier=len(self.order) - self.expanded,
        )


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
