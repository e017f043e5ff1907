"""A path through the reduced graph becomes a path of the system.

What is stored are canonical states, and not all on the way. Beside the current real state goes the
same state without what is dead, which is an image of the stored one under an automorphism: one of
its outcomes has the next state of the path as its canonical form. The real state has the outcome
with the same number, since what is dead has no part in what can be done. (Its successor may not be
recognised by its canonical form: what was dead before need not be found to be dead again.)
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from shootdown.check.deadline import TO_SHOW, time_limit
from shootdown.check.outcomes import Outcome, outcomes
from shootdown.check.reduce.graph import Edge, Graph
from shootdown.check.reduce.reduction import Reduction
from shootdown.check.result import Result, Violation
from shootdown.errors import UnfinishedError
from shootdown.lang.interpret import State
from shootdown.lang.ir import System


def with_real_path(result: Result, reduce: Reduction, seconds: float | None = None) -> Result:
    """The result with a violation that is one of the system itself, unless that takes longer than
    ``seconds`` and ``TO_SHOW``, or until Ctrl-C: then the violation is ``cut``."""
    violation = result.violation
    if not reduce or violation is None or not violation.real:
        return result
    most = None if seconds is None else max(seconds, TO_SHOW)
    try:
        with time_limit(most, "making the path of a race"):
            violation = real_violation(result.system, violation, reduce)
    except UnfinishedError:
        violation = replace(violation, cut="time")
    except KeyboardInterrupt:
        violation = replace(violation, cut="interrupt")
    return replace(result, violation=violation)


def real_violation(system: System, violation: Violation, reduce: Reduction) -> Violation:
    """A violation of a reduced search as one of the system.

    ``RuntimeError`` if the path is not one of the reduced graph: a mistake in a reduction.
    """
    graph = Graph(system, reduce)
    path = [system.init]
    settled = _settled(graph, system.init)
    for stored, following in pairwise(violation.path):
        for target in _between(graph, stored, following):
            outcome = _step(graph, settled, target)
            path.append(_same_step(system, path[-1], outcome))
            assert outcome.state is not None
            settled = _settled(graph, outcome.state)
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


def _settled(graph: Graph, state: State) -> State:
    merge = graph.reduce.merge
    return state if merge is None else merge.settled(state)


def _same_step(system: System, real: State, wanted: Outcome) -> State:
    """Where the real state gets by the same outcome."""
    for outcome in outcomes(system, real):
        if outcome.number == wanted.number:
            if outcome.action is wanted.action and outcome.state is not None:
                return outcome.state
            break
    raise RuntimeError("what is left out of a state of the reduced path changes what it can do")


def _step(graph: Graph, state: State, target: State) -> Outcome:
    aim = _same(graph, target)
    for outcome in outcomes(graph.system, state):
        if outcome.state is not None and _same(graph, outcome.state) == aim:
            return outcome
    aims = _alike(graph, target)
    for outcome in outcomes(graph.system, state):
        if outcome.state is not None and aims & _alike(graph, outcome.state):
            return outcome
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
