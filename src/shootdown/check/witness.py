"""Turns a race of an abstract hardware model into one of a concrete model.

The may-set says which translations a CPU *may* hold; a reader of a race wants to see the fill. So
the race's software steps are walked again on the system compiled for the concrete hardware, with
hardware steps of that system in between wherever they help, until the same violation is reached.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from shootdown.check.outcomes import holds, outcomes
from shootdown.check.result import ViolationKind
from shootdown.check.trace import Trace, TraceStep, trace_outcomes
from shootdown.lang.ir import System

MAX_NODES = 200_000


@dataclass(frozen=True, slots=True)
class _Node:
    """A state of the concrete system, how much of the race was walked, and how it was reached."""

    state: tuple[int, ...]
    position: int
    parent: _Node | None
    number: int  # the outcome taken from the parent


def concrete_trace(trace: Trace, concrete: System) -> Trace | None:
    """The shortest race of ``concrete`` with the same software steps and the same violation.

    ``None`` if there is none (or none was found among ``MAX_NODES`` situations): then the
    abstract race must be shown as it is.
    """
    wanted = [step for step in trace.steps if step.process is not None or step.action.fair]
    spontaneous = {
        action.name for action in concrete.rules if not action.fair
    }  # fills, evictions: wherever they help
    start = _Node(concrete.init, 0, None, -1)
    seen = {(start.state, 0)}
    queue = deque([start])
    while queue and len(seen) < MAX_NODES:
        node = queue.popleft()
        for outcome in outcomes(concrete, node.state):
            free = outcome.process is None and outcome.action.name in spontaneous
            position = node.position
            if not free:
                if position == len(wanted) or not _same_step(
                    wanted[position], outcome.process, outcome.action.name
                ):
                    continue
                position += 1
            if outcome.failure is not None:
                if _same_failure(trace, concrete, outcome.failure) and position == len(wanted):
                    return _finished(concrete, node, outcome.number)
                continue
            assert outcome.state is not None
            reached = _Node(outcome.state, position, node, outcome.number)
            if (reached.state, position) in seen:
                continue
            seen.add((reached.state, position))
            if position == len(wanted) and _ends(trace, concrete, reached.state):
                return _finished(concrete, reached, None)
            queue.append(reached)
    return None


def _same_step(step: TraceStep, process: int | None, name: str) -> bool:
    return step.process == process and step.action.name == name


def _same_failure(trace: Trace, concrete: System, failure: int) -> bool:
    found = concrete.failures[failure]
    return (
        trace.ending.kind in (ViolationKind.ASSERTION, ViolationKind.MODEL_ERROR)
        and found.name == trace.ending.name
    )


def _ends(trace: Trace, concrete: System, state: tuple[int, ...]) -> bool:
    """Whether the violated invariant, and no earlier one, is false here too."""
    if trace.ending.kind is ViolationKind.DEADLOCK:
        return True
    if trace.ending.kind is not ViolationKind.INVARIANT:
        return False
    broken = next((p.name for p in concrete.invariants if not holds(concrete, p, state)), None)
    return broken == trace.ending.name


def _finished(concrete: System, node: _Node, failing: int | None) -> Trace | None:
    numbers = [] if failing is None else [failing]
    at: _Node | None = node
    while at is not None and at.parent is not None:
        numbers.append(at.number)
        at = at.parent
    return trace_outcomes(concrete, reversed(numbers))
