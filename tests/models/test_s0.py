"""System S0: every scenario has its verdict, both TLBs and both engines agree, races read well."""

from __future__ import annotations

import linecache

import pytest

from models.checks import (
    assert_engines_agree,
    assert_expected,
    assert_not_vacuous,
    run,
    some_slow,
)
from shootdown.check.trace import trace_violation
from shootdown.races import library
from shootdown.report.coverage import never_executed

S0 = {s.name: s for s in library() if s.name.startswith(("S0.", "MADV-PARALLEL"))}
SAFE = sorted(name for name, s in S0.items() if s.expect == "HOLDS")
UNSAFE = sorted(name for name, s in S0.items() if s.expect == "VIOLATED")
QUICK = {
    *(f"S0.V{i}" for i in range(11)),
    *("S0.V6.full", "S0.V6.pae", "S0.V5.dirty", "S0.V3.clean", "S0.V9.pae-pv", "S0.V2.rmap"),
    *("S0.V6.table", "S0.V8.free", "MADV-PARALLEL", "MADV-PARALLEL.fixed"),
    *("S0.V6.pae-walk", "S0.V6.pae-clear-high", "S0.V3.pae", "S0.V9.pae-reclaim-batched"),
}
"""Those that the quick tests look at with the explicit TLB, too: one of each kind."""
SMALL = 1_500  # states: quick enough for the reference engine


# ------------------------------------------------------------------ verdicts


@pytest.mark.parametrize("name", S0)
def test_verdict_is_the_expected_one(name: str) -> None:
    assert_expected(S0[name], "may")


@pytest.mark.parametrize("name", some_slow(S0, QUICK.__contains__))
def test_explicit_tlb_gives_the_same_verdict(name: str) -> None:
    assert_expected(S0[name], "explicit")


@pytest.mark.parametrize("name", some_slow(S0, set([*S0][::3]).__contains__))
def test_engines_agree(name: str) -> None:
    """On the whole of a small scenario, on the beginning of a large one."""
    assert_engines_agree(S0[name], SMALL, partly=True)


@pytest.mark.parametrize("name", SAFE)
def test_safe_variants_are_not_vacuous(name: str) -> None:
    assert_not_vacuous(S0[name])


BAD = {
    "BAD-S0-1": "INV-S0-2",
    "BAD-S0-2": "INV-S0-2",
    "BAD-S0-3": "INV-S0-3",
    "BAD-S0-4": "INV-S0-2",
    "BAD-S0-5": "INV-S0-4",
    "BAD-S0-6": "INV-S0-5",
}


@pytest.mark.parametrize(("alias", "broken"), BAD.items())
def test_bad_interleavings_break_the_right_invariant(alias: str, broken: str) -> None:
    (scenario,) = [s for s in S0.values() if alias in s.aliases]
    assert (scenario.expect, scenario.violates) == ("VIOLATED", broken)


def test_every_invariant_and_variant_has_scenarios() -> None:
    broken = {scenario.violates for scenario in S0.values()}
    assert "INV-TORN" in broken
    # INV-S0-1 is broken by mutants only: every variant of the reference frees after its flush
    assert {f"INV-S0-{i}" for i in range(2, 8)} <= broken
    variants = {name.split(".")[1] for name in S0 if name.startswith("S0.")}
    assert {f"V{i}" for i in range(11)} <= variants
    assert {f"S0.V{i}" for i in range(11)} <= set(S0)


# ------------------------------------------------------------------ what is counted (Q-S0-3)


@pytest.mark.parametrize(
    ("name", "flushed"),
    [("S0.V6.disjoint", True), ("S0.V6.table", True), ("S0.V6.table-disjoint", False)],
)
def test_a_count_for_each_page_table_has_no_false_alarm(name: str, flushed: bool) -> None:
    """Whether some run takes the branch that flushes because another gather is open."""
    result = run(name)
    lines = never_executed(result.system.lines, result.covered)
    assert any("nested: flush" in linecache.getline(at.file, at.line) for at in lines) != flushed


# ------------------------------------------------------------------ races


@pytest.mark.parametrize("name", UNSAFE)
def test_race_can_be_told(name: str) -> None:
    """Every step has a column, and what a CPU does stands in its own."""
    result = run(name)
    assert result.violation is not None
    trace = trace_violation(result.system, result.violation)
    assert len(trace.steps) == result.violation.length <= 30
    for step in trace.steps:
        assert step.action.column is not None
        assert step.action.info.location.line > 0


LENGTHS = {
    "S0.V6.pae": 20,
    "S0.V6.pae-same": 20,
    "S0.V6.pae-whole": 18,
    "S0.V6.pae-set-low": 15,
    "S0.V6.pae-clear-high": 6,
    "S0.V3.pae-store": 17,
}


@pytest.mark.parametrize(("name", "length"), LENGTHS.items())
def test_races_of_pae_are_as_long_as_the_page_says(name: str, length: int) -> None:
    violation = run(name).violation
    assert violation is not None
    assert violation.length == length


def test_race_of_2017_is_the_one_of_the_report() -> None:
    result = run("MADV-PARALLEL")
    assert result.violation is not None
    trace = trace_violation(result.system, result.violation)
    told = [f"CPU{step.process}: {note[1]}" for step in trace.steps for note in notes(step.notes)]
    assert result.violation.length == 11
    expected = [
        "CPU0: spin_lock(ptl)",
        "CPU0: spin_unlock(ptl)",
        "CPU1: spin_lock(ptl)",
        "CPU1: pte_none -> skip",
        "CPU1: return to user",
        "CPU1: stale, via f0",
    ]
    positions = [next(i for i, t in enumerate(told) if t.startswith(e)) for e in expected]
    assert positions == sorted(positions)
    assert not any("flush_tlb" in t for t in told)


def notes(found: object) -> list[tuple[object, str]]:
    return [(kind, str(text)) for kind, text in found]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", some_slow(UNSAFE, QUICK.__contains__))
def test_tlb_explicit_needs_at_most_the_fills_more(name: str) -> None:
    """A race is never longer than with the may-set by more than one fill for each CPU and entry."""
    may, explicit = run(name).violation, run(name, "explicit").violation
    assert may is not None
    assert explicit is not None
    assert may.length <= explicit.length <= may.length + 2
