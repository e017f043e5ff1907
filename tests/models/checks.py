"""What the tests of systems S2a, S2b and X3 do with each scenario of theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest

from models.results import LIMITS, explored, run
from shootdown.check import reference
from shootdown.check.result import Limits, Result, Verdict
from shootdown.check.trace import trace_violation
from shootdown.lang import Scenario
from shootdown.races import library

__all__ = ["LIMITS", "explored", "run"]  # for those who use the rest, too
SMALL = 1_000  # states: quick enough for the reference engine
LARGEST = 300_000  # states of a scenario in the library


def belonging(*patterns: str) -> dict[str, Scenario]:
    """The scenarios of the library whose name matches."""
    return {
        s.name: s for s in library() if any(fnmatchcase(s.name, pattern) for pattern in patterns)
    }


def named(scenarios: Mapping[str, Scenario], expect: str) -> list[str]:
    """Those that expect this verdict."""
    return sorted(name for name, s in scenarios.items() if s.expect == expect)


def some_slow(names: Iterable[str], quick: Callable[[str], bool]) -> list[Any]:
    """Parameters for a test, all but the quick ones marked slow."""
    return [n if quick(n) else pytest.param(n, marks=pytest.mark.deep) for n in names]


def assert_expected(scenario: Scenario, tlb: str) -> None:
    """The verdict and the name of the invariant are what the scenario says; the search is small,
    and what holds does so for a reason."""
    result = run(scenario, tlb)
    found = (result.verdict.name, result.violation.name if result.violation else None)
    assert found == (scenario.expect, scenario.violates)
    if tlb == "may":
        assert result.states <= LARGEST
    if result.verdict is Verdict.HOLDS:
        assert all(result.goals)
        assert len(result.goals) > 1  # more than that all threads finish


def assert_engines_agree(
    scenario: Scenario, small: int = SMALL, *, partly: bool = False, tlb: str | None = "may"
) -> None:
    """Both engines find the same, after the same number of states.

    A scenario of more states than are ``small`` is left out, or only its beginning is searched.
    """
    fast, limits = run(scenario, tlb), Limits()
    options = {} if tlb is None else {"tlb": tlb}
    if fast.states > small or fast.system.progress:
        limits = Limits(states=small if partly else None)
        if fast.states > small and not partly:
            pytest.skip(f"{fast.states} states are too many for the reference engine")
        fast = explored(scenario, options, limits=limits)
    slow = reference.explore(fast.system, limits)
    assert facts(slow) == facts(fast)


def facts(result: Result) -> tuple[object, ...]:
    """What both engines must agree on."""
    path = None if result.violation is None else result.violation.path
    return result.verdict, result.states, result.depth, result.goals, path


def assert_not_vacuous(scenario: Scenario, tlb: str | None = "may") -> None:
    """What holds reaches every goal, and has more of them than that all threads finish."""
    result = run(scenario, tlb)
    assert all(result.goals)
    assert len(result.goals) > 1


def assert_told(scenario: Scenario, longest: int) -> None:
    """Every step of a race has a column and a source line."""
    result = run(scenario)
    assert result.violation is not None
    trace = trace_violation(result.system, result.violation)
    assert len(trace.steps) == result.violation.length <= longest
    for step in trace.steps:
        assert step.action.column is not None
        assert step.action.info.location.line > 0
