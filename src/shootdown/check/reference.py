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

A search with reductions is the same on the smaller graph of :mod:`shootdown.check.reduce.graph`:
what it counts are states and transitions of that graph. Its violation is one of the system, turned
into such by :mod:`shootdown.check.reduce.concretize`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from shootdown.check.memory import check_limits, memory_limit
from shootdown.check.outcomes import is_deadlock, judge_property
from shootdown.check.reduce.concretize import with_real_path
from shootdown.check.reduce.graph import Graph
from shootdown.check.reduce.reduction import NONE, Reduction
from shootdown.check.result import (
    Limits,
    Progress,
    Represented,
    Result,
    Verdict,
    Violation,
    ViolationKind,
)
from shootdown.lang.interpret import State
from shootdown.lang.ir import FailureKind, Property, System

NO_LIMITS = Limits()

# --------------------------------------------------------------------------- the search


def explore(
    system: System,
    limits: Limits = NO_LIMITS,
    on_progress: Callable[[Progress], None] | None = None,
    *,
    reduce: Reduction = NONE,
) -> Result:
    """Search ``system`` breadth-first; see the module's text for the exact order."""
    check_limits(limits)
    search = _Search(system, limits, on_progress, reduce)
    try:
        search.run()
    except KeyboardInterrupt:
        search.stopped = "interrupt"
    most = limits.time
    left = None if most is None else most - (time.perf_counter() - search.began)
    return with_real_path(search.result(), reduce, left)


class _Search:
    """One search. ``parents`` maps each discovered state to its number and its parent's state."""

    def __init__(
        self,
        system: System,
        limits: Limits,
        on_progress: Callable[[Progress], None] | None,
        reduce: Reduction = NONE,
    ) -> None:
        self.system = system
        self.graph = Graph(system, reduce)
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
        if self.graph.reduce.merge is not None:
            self.reach(self.graph.reached)
        self.discover(self.graph.initial, parent=0, depth=0)
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

    def reach(self, goals: set[int]) -> None:
        """Note goals that are true in states that are not stored."""
        for goal in goals:
            self.goals[goal] = True

    def expand(self, number: int) -> None:
        state = self.order[number]
        reached: set[int] = set()
        edges = self.graph.edges(state, self.covered, reached)
        self.reach(reached)
        if is_deadlock(self.system, state, [edge.outcome for edge in edges]):
            self.violation = Violation(ViolationKind.DEADLOCK, "deadlock", -1, self.path(number))
            return
        for edge in edges:
            if edge.target is None:
                assert edge.outcome.failure is not None
                self.transitions += 1
                self.fail(edge.outcome.failure, number, edge.outcome.number)
            elif edge.target in self.index:
                self.transitions += 1
            elif len(self.order) == self.limits.states:
                self.stopped = "states"
            else:
                self.transitions += 1
                self.discover(edge.target, number, self.depths[number] + 1)
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
            reductions=self.graph.reduce.names,
            represented=self.represented(),
        )

    def represented(self) -> Represented | None:
        symmetry = self.graph.reduce.symmetry
        if symmetry is None or self.violation is not None:
            return None
        from shootdown.check.reduce.represented import represented

        return represented(symmetry, self.order)
