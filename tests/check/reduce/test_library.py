"""Reductions keep the verdicts of the library."""

from __future__ import annotations

import pytest

from shootdown.check import native, reference
from shootdown.check.reduce import reductions
from shootdown.check.result import Limits, Result
from shootdown.check.trace import trace_violation
from shootdown.lang.scenario import Scenario
from shootdown.races import library

SCENARIOS = {scenario.name: scenario for scenario in library()}
SOME = ("S0.V6", "S0.V4", "S2a.V8.munmap", "S3.O1", "N.a.dontneed", "K.V0")
MOST = 100_000  # states of an ordinary search
FEW = 150  # states of a reduced search that the reference engine does too


def same(scenario: Scenario, names: tuple[str, ...]) -> Result:
    system = scenario.compile()
    if system.progress:
        pytest.skip("progress is about loops")
    whole = native.explore(system, Limits(states=MOST))
    if whole.stopped:
        pytest.skip("too large to compare")
    reduce = reductions(system, names)
    found = native.explore(system, reduce=reduce)
    assert found.verdict is whole.verdict
    if found.violation is None:
        assert (found.goals, found.covered) == (whole.goals, whole.covered)
        assert found.states <= whole.states
    else:
        trace_violation(system, found.violation)
    if found.states <= FEW:
        oracle = reference.explore(system, reduce=reduce)
        counts = (found.states, found.transitions, found.depth, found.goals, found.covered)
        assert counts == (
            oracle.states, oracle.transitions, oracle.depth, oracle.goals, oracle.covered,
        )  # fmt: skip
        assert found.violation == oracle.violation
    return found


@pytest.mark.parametrize("name", SOME)
def test_some(name: str) -> None:
    same(SCENARIOS[name], ("symmetry", "order", "merge"))


@pytest.mark.deep
@pytest.mark.parametrize("names", [("order",), ("merge",), ("symmetry", "order", "merge")])
@pytest.mark.parametrize("name", SCENARIOS)
def test_all(name: str, names: tuple[str, ...]) -> None:
    same(SCENARIOS[name], names)
