"""Progress: can what must happen still happen? A loop that never lets it is a violation.

A ``@progress`` property must stay within reach: from every reachable state, *fair* steps (those of
threads, interrupt delivery, draining store buffers: what cannot be put off for ever) can lead to a
state in which it holds. Where they cannot, the system goes round in a loop, however it is
scheduled, unless spontaneous hardware (an eviction, say) happens to help. That is shown as the
shortest way into the loop, and the loop.

It is a search of its own over all states, on the reference engine.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from shootdown.check.deadline import time_limit
from shootdown.check.outcomes import holds, outcomes
from shootdown.check.result import Result, Verdict, Violation, ViolationKind
from shootdown.errors import UnfinishedError
from shootdown.lang.interpret import State
from shootdown.lang.ir import System

MAX_STATES = 300_000


def with_progress(result: Result, seconds: float | None = None) -> Result:
    """The result of a finished search, with the first ``@progress`` property that is out of reach.

    A result that is violated or unfinished already, or whose system asks for no progress, is
    returned as it is; with more than ``MAX_STATES`` states, or when ``seconds`` have passed, or
    with Ctrl-C, the verdict becomes UNKNOWN.
    """
    if not result.system.progress or result.verdict not in (Verdict.HOLDS, Verdict.VACUOUS):
        return result
    try:
        with time_limit(seconds, "looking for endless loops"):
            return _judged(result)
    except UnfinishedError:
        return replace(result, verdict=Verdict.UNKNOWN, stopped="time")
    except KeyboardInterrupt:
        return replace(result, verdict=Verdict.UNKNOWN, stopped="interrupt")


def _judged(result: Result) -> Result:
    system = result.system
    if result.states > MAX_STATES:
        return replace(result, verdict=Verdict.UNKNOWN, stopped="progress")
    graph = _Graph(system)
    for index, prop in enumerate(system.progress):
        lost = graph.first_lost([holds(system, prop, state) for state in graph.states])
        if lost is not None:
            path, loop = graph.lasso(lost)
            violation = Violation(
                ViolationKind.NO_PROGRESS, prop.name, index, tuple(path), loop=loop
            )
            return replace(result, verdict=Verdict.VIOLATED, violation=violation)
    return result


class _Graph:
    """All reachable states in breadth-first order, and the fair steps between them."""

    def __init__(self, system: System) -> None:
        self.states: list[State] = [system.init]
        self.parents = [0]
        self.fair: list[list[int]] = []
        number = {system.init: 0}
        for here, state in enumerate(self.states):  # grows while it is walked
            self.fair.append([])
            for outcome in outcomes(system, state):
                if outcome.state is None:
                    continue
                if outcome.state not in number:
                    number[outcome.state] = len(self.states)
                    self.states.append(outcome.state)
                    self.parents.append(here)
                if outcome.action.fair and number[outcome.state] != here:
                    self.fair[here].append(number[outcome.state])

    def first_lost(self, good: list[bool]) -> int | None:
        """The first state from which no fair steps lead to a good one."""
        before: list[list[int]] = [[] for _ in self.states]
        for here, targets in enumerate(self.fair):
            for target in targets:
                before[target].append(here)
        reaches = list(good)
        queue = [number for number, yes in enumerate(good) if yes]
        while queue:
            for source in before[queue.pop()]:
                if not reaches[source]:
                    reaches[source] = True
                    queue.append(source)
        return next((number for number, yes in enumerate(reaches) if not yes), None)

    def lasso(self, lost: int) -> tuple[list[State], int]:
        """The way to a lost state and on into the nearest loop of fair steps."""
        way = [lost]
        while way[-1] != 0:
            way.append(self.parents[way[-1]])
        way.reverse()
        order, parent = [lost], {lost: lost}
        for here in order:
            loop = self._loop(here)
            if loop is not None:
                into = [here]
                while into[-1] != lost:
                    into.append(parent[into[-1]])
                path = way[:-1] + into[::-1] + loop
                return [self.states[n] for n in path], len(way) - 1 + len(into) - 1
            for target in self.fair[here]:
                if target not in parent:
                    parent[target] = here
                    order.append(target)
        return [self.states[n] for n in way], len(way) - 1  # stuck: nothing fair can happen

    def _loop(self, start: int) -> list[int] | None:
        """The shortest way from a state back to it, without the state itself at its beginning."""
        parent: dict[int, int] = {}
        queue = deque([start])
        while queue:
            here = queue.popleft()
            for target in self.fair[here]:
                if target == start:
                    loop = [start]
                    while here != start:
                        loop.append(here)
                        here = parent[here]
                    return [*loop[:0:-1], start]
                if target not in parent:
                    parent[target] = here
                    queue.append(target)
        return None
