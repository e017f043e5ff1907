"""System X2 and the historic races about page tables: verdicts, invariants, races."""

from __future__ import annotations

import pytest

from models.checks import (
    LIMITS,
    assert_engines_agree,
    assert_expected,
    assert_not_vacuous,
    explored,
    run,
    some_slow,
)
from models.mutants import sites_of
from shootdown.check import native
from shootdown.check.trace import trace_violation
from shootdown.lang.loader import scenarios_in
from shootdown.races import historic_tables, x2, x2_elsewhere, x2_software

X2 = {
    named.scenario.name: named.scenario
    for module in (x2, historic_tables, x2_elsewhere, x2_software)
    for named in scenarios_in(vars(module))
}
SAFE = sorted(name for name, s in X2.items() if s.expect == "HOLDS")
UNSAFE = sorted(name for name, s in X2.items() if s.expect == "VIOLATED")
QUICK = {
    *(f"X2.V{i}" for i in range(1, 6)),
    *(
        "X2.ipi",
        "X2.rcu",
        "X2.sync",
        "KHUGEPAGED-GUP",
        "KHUGEPAGED-GUP.fixed",
        "GUP-COW-FORK.fixed",
    ),
}
"""Those that the quick tests look at with the explicit TLB, too."""
SMALL = 300  # states: quick enough for the reference engine


# ------------------------------------------------------------------ verdicts


@pytest.mark.parametrize("name", X2)
def test_verdict_is_the_expected_one(name: str) -> None:
    assert_expected(X2[name], "may")


@pytest.mark.parametrize("name", some_slow(X2, QUICK.__contains__))
def test_explicit_tlb_gives_the_same_verdict(name: str) -> None:
    assert_expected(X2[name], "explicit")


@pytest.mark.parametrize("name", X2)
def test_engines_agree(name: str) -> None:
    assert_engines_agree(X2[name], SMALL)


@pytest.mark.parametrize("name", SAFE)
def test_safe_variants_are_not_vacuous(name: str) -> None:
    assert_not_vacuous(X2[name])


def test_every_variant_and_invariant_has_scenarios() -> None:
    names = set(X2) | {alias for scenario in X2.values() for alias in scenario.aliases}
    assert {f"X2.V{i}" for i in range(1, 6)} | {"X2.ipi", "X2.rcu", "X2.sync"} <= names
    (bad,) = [s for s in X2.values() if "BAD-X2-1" in s.aliases]
    assert (bad.name, bad.violates) == ("X2.V1", "INV-X2-1")
    broken = {scenario.violates for scenario in X2.values()}
    assert {"INV-X2-1", "INV-X2-2", "INV-PT", "INV-UAF", "INV-PIN"} <= broken


def test_historic_races_have_their_fix() -> None:
    races = {name for name in X2 if not name.startswith("X2.") and "." not in name}
    assert len(races) == 18
    for name in races:
        assert X2[name].expect == "VIOLATED"
        assert X2[f"{name}.fixed"].expect == "HOLDS"


# ------------------------------------------------------------------ races


@pytest.mark.parametrize("name", UNSAFE)
def test_race_can_be_told(name: str) -> None:
    """Every step is somewhere in the source, and the race is short."""
    result = run(name)
    assert result.violation is not None
    trace = trace_violation(result.system, result.violation)
    assert len(trace.steps) == result.violation.length <= 35
    for step in trace.steps:
        assert step.action.info.location.line > 0


@pytest.mark.parametrize("name", ["X2.V1", "X2.V2"])
def test_the_bad_race_is_the_one_of_the_reference(name: str) -> None:
    """R pmd; pmd=none; flush; free T; R pte in T."""
    violation = run(name).violation
    assert violation is not None
    trace = trace_violation(run(name).system, violation)
    told = [str(text) for step in trace.steps for _, text in step.notes]
    last = trace.steps[-1]
    assert last.process == 1
    assert any("somebody else's memory" in text for text in told)


def test_order_of_stores_changes_nothing() -> None:
    """What x86 buffers is ordered by the locks and interrupts that are there anyway."""
    for name in ("X2.ipi", "X2.V3", "X2.sync", "KHUGEPAGED-GUP.fixed", "GUP-COW-FORK.fixed"):
        result = explored(X2[name], {"memory": "tso"})
        assert result.verdict.name == X2[name].expect


def test_rcu_read_lock_is_needed() -> None:
    """Even though the lock in the table is taken right after the table was found."""
    site = sites_of("X2.V5")["pte_offset_map_lock: rcu_read_lock()"]
    result = native.explore(X2["X2.V5"].compile(without=frozenset({site.id})), LIMITS)
    assert result.violation is not None
    assert result.violation.name == "INV-X2-1"
