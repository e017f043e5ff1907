"""A path through the reduced graph becomes a path of the system.

What is stored are canonical states, and not all on the way. From the current real state it looks
for an outcome whose canonical form is the next state of the path: there is one, since the stored
state is the image of the real one under an automorphism.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from shootdown.check.outcomes import outcomes
from shootdown.check.reduce.graph import Edge, Graph
from shootdown.check.reduce.reduction import Reduction
from shootdown.check.result import Result, Violation
from shootdown.lang.interpret import State
from shootdown.lang.ir import System


def with_real_path(result: Result, reduce: Reduction) -> Result:
    """The result with a violation that is one of the system itself."""
    if not reduce or result.violation is None:
        return result
    return replace(result, violation=real_violation(result.system, result.violation, reduce))


def real_violation(system: System, violation: Violation, reduce: Reduction) -> Violation:
    """A violation of a reduced search as one of the system.

    ``RuntimeError`` if the path is not one of the reduced graph: a mistake in a reduction.
    """
    graph = Graph(system, reduce)
    path = [system.init]
    for stored, following in pairwise(violation.path):
        for target in _between(graph, stored, following):
            path.append(_step(graph, path[-1], target))
    failing = violation.failing_outcome
    if failing is not None:
        failing = _failing(system, path[-1], violation.index)
    return replace(violation, path=tuple(path), failing_outcome=failing)


def _between(graph: Graph, stored: State, following: State) -> tuple[State, ...]:
    """The canonical states after ``stored`` up to ``following``."""
    edges = graph.edges(stored, set(), set())
    edge: Edge | None = next((e for e in edges if e.target == following), None)
    if edge is None:
        raise RuntimeError("the path has a step that the reduced graph has not")
    return (*edge.passed, following)


def _step(graph: Graph, real: State, target: State) -> State:
    aim = _same(graph, target)
    for outcome in outcomes(graph.system, real):
        if outcome.state is not None and _same(graph, outcome.state) == aim:
            return outcome.state
    aims = _alike(graph, target)
    for outcome in outcomes(graph.system, real):
        if outcome.state is not None and aims & _alike(graph, outcome.state):
            return outcome.state
    raise RuntimeError("no step of the system leads to the next state of the reduced path")


def _same(graph: Graph, state: State) -> State:
    """The canonical form of a state for one to whom goals are all the same: some may have been
    reached on the path that is stored, and their cells are dead there."""
    symmetry, merge = graph.reduce.symmetry, graph.reduce.merge
    if merge is not None:
        state = merge.settled(state, goals=False)
    return state if symmetry is None else symmetry.canonical(state)


def _alike(graph: Graph, state: State) -> set[State]:
    """Images of a state, without what is dead in them.

    Two states that have one in common do the same. (What the analysis takes for dead in a state
    and in its image need not be the same, so their canonical forms may differ.)
    """
    symmetry, merge = graph.reduce.symmetry, graph.reduce.merge
    if symmetry is None or merge is None:
        return {_same(graph, state)}
    few = merge.settled(state, goals=False)
    return {merge.settled(image, goals=False) for image in symmetry.images(few)}


def _failing(system: System, state: State, failure: int) -> int:
    for outcome in outcomes(system, state):
        if outcome.failure == failure:
            return outcome.number
    raise RuntimeError("no step of the system fails where the reduced path ends")
