"""The graph that a reduced search sees, in plain Python: the oracle of the native one."""

from __future__ import annotations

from dataclasses import dataclass

from shootdown.check.outcomes import Outcome, outcomes
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
        """The state that is stored for a state."""
        symmetry = self.reduce.symmetry
        return state if symmetry is None else symmetry.canonical(state)

    def edges(self, state: State, covered: set[int]) -> list[Edge]:
        """The edges of a stored state in order, up to the first that fails a check.

        ``covered`` collects the lines that were executed.
        """
        found: list[Edge] = []
        for outcome in outcomes(self.system, state, covered=covered):
            target = None if outcome.state is None else self.canonical(outcome.state)
            found.append(Edge(outcome, (), target))
            if target is None:
                break
        return found
