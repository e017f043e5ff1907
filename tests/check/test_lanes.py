"""The search of many lanes at once gives the result of the reference engine."""

from __future__ import annotations

import os
from itertools import pairwise
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from random_ir import systems
from shootdown.check import reference
from shootdown.check.native.lanes import explore_lanes
from shootdown.check.native.lanes_leaf import LANES, Leaf
from shootdown.check.reference import holds, is_deadlock, outcomes
from shootdown.check.result import Limits, Result, Verdict, Violation, ViolationKind
from shootdown.lang.ir import System

EXAMPLES = int(os.environ.get("SHOOTDOWN_EXAMPLES", "150"))


def some_leaf(system: System, random: Random) -> Leaf | None:
    """A leaf of variables chosen by chance."""
    steps = {process.pc for process in system.processes}
    variables = [v for v in range(len(system.variables)) if v not in steps]
    random.shuffle(variables)
    chosen: list[int] = []
    lanes = 1
    most = random.choice([4, 6, 12, LANES])  # small ones: code for many lanes takes long to compile
    for variable in variables:
        if 1 < system.variables[variable].size * lanes <= most:
            chosen.append(variable)
            lanes *= system.variables[variable].size
    return Leaf.of(system, chosen) if lanes > 1 else None


def counts(result: Result) -> dict[str, object]:
    """Everything that does not depend on the machine."""
    return {
        "states": result.states,
        "expanded": result.expanded,
        "transitions": result.transitions,
        "depth": result.depth,
        "goals": result.goals,
        "covered": result.covered,
        "frontier": result.frontier,
    }


def is_race(system: System, violation: Violation) -> bool:
    """Whether a violation is one, by the meaning of the system."""
    path = violation.path
    if path[0] != system.init:
        return False
    for here, there in pairwise(path):
        if all(outcome.state != there for outcome in outcomes(system, here)):
            return False
    last = path[-1]
    ends = list(outcomes(system, last))
    if violation.failing_outcome is not None:
        return ends[violation.failing_outcome].failure == violation.index
    if violation.kind is ViolationKind.DEADLOCK:
        return is_deadlock(system, last, ends)
    if violation.kind is ViolationKind.INVARIANT:
        return not holds(system, system.invariants[violation.index], last)
    return any(
        reference.judge_property(prop, last).failure == violation.index
        for prop in (*system.invariants, *system.goals)
    )


def agree(system: System, leaf: Leaf, limits: Limits, *, good: bool) -> None:
    """Compare both engines."""
    expected = reference.explore(system, limits)
    found = explore_lanes(system, leaf, limits, good_code_after=0 if good else 9)
    if found.verdict is Verdict.UNKNOWN:
        # a violation that the other order finds just before the limit
        assert expected.verdict is not Verdict.HOLDS
        assert (found.stopped, found.states) == ("states", limits.states)
        return
    if expected.verdict is Verdict.UNKNOWN:
        assert found.verdict is Verdict.VIOLATED
    else:
        assert found.verdict == expected.verdict
    if found.violation is None:
        assert counts(found) == counts(expected)
        return
    assert is_race(system, found.violation)
    if expected.violation is not None:
        lengths = [v.length for v in (found.violation, expected.violation)]
        deadlock = ViolationKind.DEADLOCK in (found.violation.kind, expected.violation.kind)
        assert abs(lengths[0] - lengths[1]) <= deadlock


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    system=systems(),
    states=st.sampled_from([7, 150, 400]),
    good=st.integers(0, 39),
    seed=st.integers(0, 1000),
)
def test_random_systems(system: System, states: int, good: int, seed: int) -> None:
    leaf = some_leaf(system, Random(seed))
    if leaf is not None:
        agree(system, leaf, Limits(states=states), good=good == 0)
