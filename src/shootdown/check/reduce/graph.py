"""The graph that a reduced search sees, in plain Python: the oracle of the native one."""

from __future__ import annotations

from dataclasses import dataclass

from shootdown.check.outcomes import Outcome, is_deadlock, judge_property, outcomes
from shootdown.check.reduce.reduction import Reduction
from shootdown.lang.interpret import State
from shootdown.lang.ir import System


@dataclass(frozen=True, slots=True)
class Edge:
    """A transition of the reduced graph.

    ``outcome`` is the step of the stored state. ``passed`` are the canonical states on the way that
    are not stored; ``target`` is the one that is, None if the outcome fails a check.
    """

    outcome: Outcome
    passed: tuple[State, ...]
    target: State | None


class Graph:
    """The reduced graph of a system."""

    def __init__(self, system: System, reduce: Reduction) -> None:
        self.system = system
        self.reduce = reduce

    @property
    def initial(self) -> State:
        """Where the search begins."""
        return self.canonical(self.system.init)

    @property
    def reached(self) -> set[int]:
        """The goals (their numbers) that are true before anything is done."""
        reached: set[int] = set()
        self._right(self.system.init, set(), reached)
        return reached

    def canonical(self, state: State) -> State:
        """The state that is stored for a state: without what is dead, then the one of its images
        that stands for all."""
        symmetry = self.reduce.symmetry
        if self.reduce.merge is not None:
            state = self.reduce.merge.settled(state)
        return state if symmetry is None else symmetry.canonical(state)

    def edges(self, state: State, covered: set[int], reached: set[int]) -> list[Edge]:
        """The edges of a stored state in order, up to the first that fails a check.

        ``covered`` collects the lines that were executed, and ``reached`` the goals (their numbers)
        that are true on the way to the targets. A deadlock ends the search, so nothing is
        chosen of its outcomes and nothing passed through.
        """
        found = self._outcomes(state, covered)
        if is_deadlock(self.system, state, found):
            return [Edge(outcome, (), outcome.state) for outcome in found]
        if self.reduce.order is not None:
            found = self.reduce.order.chosen(state, found).outcomes
        return [self._edge(outcome, covered, reached) for outcome in found]

    def _edge(self, outcome: Outcome, covered: set[int], reached: set[int]) -> Edge:
        if outcome.state is None:
            return Edge(outcome, (), None)
        passed: list[State] = []
        target = self.canonical(outcome.state)
        merge = self.reduce.merge
        right = merge is not None and self._right(outcome.state, covered, reached)
        while merge is not None and right:
            choice = merge.chosen(target, self._outcomes(target, covered))
            if not choice.enough:
                break
            following: set[State] = set()
            for way in choice.outcomes:
                assert way.state is not None
                right = self._right(way.state, covered, reached) and right
                following.add(self.canonical(way.state))
                if len(following) > 1:
                    break
            else:
                passed.append(target)
                (target,) = following
                continue
            break
        return Edge(outcome, tuple(passed), target)

    def _right(self, state: State, covered: set[int], reached: set[int]) -> bool:
        """Judge a state as one that is stored is judged: whether no property is violated in it. If
        one is, it is not passed through but stored, and so the search sees it."""
        for invariant in self.system.invariants:
            way = judge_property(invariant, state)
            covered.update(way.covered)
            if way.failure is not None or way.registers[0] == 0:
                return False
        true = []
        for number, goal in enumerate(self.system.goals):
            way = judge_property(goal, state)
            covered.update(way.covered)
            if way.failure is not None:
                return False
            if way.registers[0] != 0:
                true.append(number)
        reached.update(true)
        return True

    def _outcomes(self, state: State, covered: set[int]) -> list[Outcome]:
        found: list[Outcome] = []
        for outcome in outcomes(self.system, state, covered=covered):
            found.append(outcome)
            if outcome.failure is not None:
                break
        return found
