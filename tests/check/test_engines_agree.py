"""Both engines give the same result on random systems, in every count."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from random_ir import systems
from shootdown.check import reference
from shootdown.check.native import engine, explore
from shootdown.check.result import Limits, Result
from shootdown.lang.ir import System

EXAMPLES = int(os.environ.get("SHOOTDOWN_EXAMPLES", "150"))


def facts(result: Result) -> dict[str, object]:
    """Everything that does not depend on the machine."""
    return {
        "verdict": result.verdict,
        "violation": result.violation,
        "states": result.states,
        "expanded": result.expanded,
        "transitions": result.transitions,
        "depth": result.depth,
        "goals": result.goals,
        "covered": result.covered,
        "stopped": result.stopped,
        "frontier": result.frontier,
    }


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(system=systems(), states=st.sampled_from([1, 7, 60, 150]), good=st.integers(0, 19))
def test_random_systems(system: System, states: int, good: int) -> None:
    limits = Limits(states=states)
    expected = facts(reference.explore(system, limits))
    # good code takes long to compile: only now and then
    found = explore(system, limits, good_code_after=0 if good == 0 else 9)
    assert facts(found) == expected


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES // 4,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(system=systems())
def test_the_parent_of_every_state(system: System) -> None:
    """The native engine keeps no parents: it finds them again."""
    limits = Limits(states=120)
    expected = reference._Search(system, limits, None)
    expected.run()
    found = engine._Search(system, limits, None, 9)
    found.run()
    assert found.store is not None
    for number in range(len(expected.order)):
        assert found.path(found.store, number) == expected.path(number)
