"""The graph that a reduced search sees, in plain Python: the oracle of the native one."""

from __future__ import annotations

from dataclasses import dataclass

from shootdown.check.outcomes import Outcome, is_deadlock, outcomes
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

    def canonical(self, state: State) -> State:
        """The state that is stored for a state: without what is dead, then the one of its images
        that stands for all."""
        symmetry = self.reduce.symmetry
        if self.reduce.merge is not None:
            state = self.reduce.merge.settled(state)
        return state if symmetry is None else symmetry.canonical(state)

    def edges(self, state: State, covered: set[int]) -> list[Edge]:
        """The edges of a stored state in order, up to the first that fails a check.

        ``covered`` collects the lines that were executed. A deadlock ends the search, so nothing is
        chosen of its outcomes and nothing passed through.
        """
        found = self._outcomes(state, covered)
        if is_deadlock(self.system, state, found):
            return [Edge(outcome, (), outcome.state) for outcome in found]
        if self.reduce.order is not None:
            found = self.reduce.order.chosen(state, found).outcomes
        return [self._edge(outcome, covered) for outcome in found]

    def _edge(self, outcome: Outcome, covered: set[int]) -> Edge:
        if outcome.state is None:
            return Edge(outcome, (), None)
        passed: list[State] = []
        target = self.canonical(outcome.state)
        merge = self.reduce.merge
        while merge is not None:
            choice = merge.chosen(target, self._outcomes(target, covered))
            if not choice.enough or len(choice.outcomes) != 1:
                break
            (only,) = choice.outcomes
            assert only.state is not None
            if not merge.can_pass(target, only.state):
                break
            passed.append(target)
            target = self.canonical(only.state)
        return Edge(outcome, tuple(passed), target)

    def _outcomes(self, state: State, covered: set[int]) -> list[Outcome]:
        found: list[Outcome] = []
        for outcome in outcomes(self.system, state, covered=covered):
            found.append(outcome)
            if outcome.failure is not None:
                break
        return found
