"""System S1: every scenario has its verdict, both TLBs and both engines agree, races read well."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from models.checks import (
    assert_engines_agree,
    assert_expected,
    assert_not_vacuous,
    explored,
    run,
)
from shootdown.check.result import Verdict
from shootdown.check.trace import trace_violation
from shootdown.lang import Scenario
from shootdown.lang.loader import scenarios_in
from shootdown.races import s1, s1_tables

S1: dict[str, Scenario] = {
    named.scenario.name: named.scenario
    for module in (s1, s1_tables)
    for named in scenarios_in(vars(module))
}
SAFE = sorted(name for name, s in S1.items() if s.expect == "HOLDS")
UNSAFE = sorted(name for name, s in S1.items() if s.expect == "VIOLATED")
QUICK = {
    *(f"K.V{i}" for i in range(5)),
    *(f"PT.V{i}" for i in range(6)),
    *("K.V1.careful", "K.V3.store", "K.V3.relaxed", "PT.V5.fixed"),
}  # one of each kind; the others are slow only because they are many
SMALL = 130  # states: quick enough for the reference engine, which is many times slower


def each(names: Iterable[str]) -> list[Any]:
    """Parameters of a test: those that are not quick are marked as slow."""
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.deep) for name in names]


# ------------------------------------------------------------------ verdicts


@pytest.mark.parametrize("tlb", ["may", "explicit"])
@pytest.mark.parametrize("name", each(S1))
def test_verdict_is_the_expected_one(name: str, tlb: str) -> None:
    assert_expected(S1[name], tlb)


@pytest.mark.parametrize("name", each(S1))
def test_engines_agree(name: str) -> None:
    assert_engines_agree(S1[name], SMALL)


@pytest.mark.parametrize("name", each(SAFE))
def test_safe_variants_are_not_vacuous(name: str) -> None:
    assert_not_vacuous(S1[name])


BAD = {
    "BAD-S1-1": ("K.V1", "INV-S1-1"),
    "BAD-S1-2": ("K.V2", "INV-S1-1"),
    "BAD-S1-3": ("PT.V1", "INV-S1-2"),
    "BAD-S1-4": ("PT.V1.swizzle", "INV-ONE"),
    "IOMMU-SVA-KTABLE": ("PT.V5", "INV-S1-2"),
}


@pytest.mark.parametrize(("alias", "shown"), BAD.items())
def test_bad_interleavings_break_the_right_invariant(alias: str, shown: tuple[str, str]) -> None:
    (scenario,) = [s for s in S1.values() if alias in s.aliases]
    assert (scenario.name, scenario.violates) == shown
    assert scenario.expect == "VIOLATED"


def test_every_invariant_and_variant_has_scenarios() -> None:
    assert {f"INV-S1-{i}" for i in range(1, 6)} <= {s.violates for s in S1.values()}
    assert {f"K.V{i}" for i in range(5)} <= set(S1)
    assert {f"PT.V{i}" for i in range(6)} <= set(S1)


# ------------------------------------------------------------------ memory order


def verdicts(name: str, *memories: str) -> list[Verdict]:
    return [explored(S1[name], {"memory": memory}).verdict for memory in memories]


@pytest.mark.parametrize("name", each(["K.V3.store", "K.V3.relaxed", "K.V4.store"]))
def test_store_buffers_make_the_difference(name: str) -> None:
    """Safe where memory is sequentially consistent, unsafe with store buffers of any depth."""
    assert verdicts(name, "sc", "tso") == [Verdict.HOLDS, Verdict.VIOLATED]
    deep = explored(S1[name], {"memory": "tso", "store_buffer": 2})
    assert deep.verdict is Verdict.VIOLATED


@pytest.mark.parametrize("name", each(["K.V3.store-mb", "K.V3.relaxed-mb"]))
def test_a_barrier_takes_it_back(name: str) -> None:
    deep = explored(S1[name], {"memory": "tso", "store_buffer": 2})
    assert deep.verdict is Verdict.HOLDS
    assert run(name).verdict is Verdict.HOLDS


def test_flag_after_flush_needs_no_store_buffer() -> None:
    assert verdicts("K.V2", "sc", "tso") == [Verdict.VIOLATED, Verdict.VIOLATED]


CLEARING = {"xchg": {"clear": "xchg"}, "store": {"clear": "store"}} | {
    "store, smp_mb()": {"clear": "store", "clear_barrier": "smp_mb"}
}
FLUSHING = {"invpcid": {"entry_flush": "invpcid"}} | {
    "relaxed": {"entry_flush": "invpcid-relaxed"},
    "smp_mb(), relaxed": {"entry_flush": "invpcid-relaxed", "entry_barrier": "smp_mb"},
}


@pytest.mark.parametrize("signal", ["before-flush", "after-flush"])
@pytest.mark.parametrize("flushing", FLUSHING)
@pytest.mark.parametrize("clearing", CLEARING)
def test_one_barrier_on_each_side_is_the_smallest_set(
    clearing: str, flushing: str, signal: str
) -> None:
    """Q-S1-1: all ways to order, or not to, either side, and both orders of signal and flush."""
    options = {**CLEARING[clearing], **FLUSHING[flushing], "signal": signal, "memory": "tso"}
    result = explored(S1["K.V3"], options)
    ordered = clearing != "store" and flushing != "relaxed" and signal == "before-flush"
    assert result.verdict is (Verdict.HOLDS if ordered else Verdict.VIOLATED)


# ------------------------------------------------------------------ races


@pytest.mark.parametrize("name", each(UNSAFE))
def test_race_can_be_told(name: str) -> None:
    """Every step has a column, and what a CPU does stands in its own."""
    result = run(name)
    assert result.violation is not None
    trace = trace_violation(result.system, result.violation)
    assert len(trace.steps) == result.violation.length <= 25
    for step in trace.steps:
        assert step.action.column is not None or "DEV0" in step.action.name
        assert step.action.info.location.line > 0


def told(name: str) -> list[str]:
    result = run(name)
    assert result.violation is not None
    trace = trace_violation(result.system, result.violation)
    return [str(text) for step in trace.steps for _, text in step.notes]


@pytest.mark.deep
def test_nmi_races_are_in_the_windows_that_their_titles_name() -> None:
    assert "return from NMI" not in told("K.V3.nmi-entry")
    assert "return from NMI" in told("K.V4.nmi-entry")  # the NMI took the signal back
    for name in ("K.V3.nmi-exit", "K.V4.nmi-exit"):
        assert "SWITCH_TO_USER_CR3" not in told(name)


@pytest.mark.deep
def test_tlb_explicit_needs_at_most_the_fills_more() -> None:
    """A race is never longer than with the may-set by more than one fill for each CPU and entry."""
    for name in UNSAFE:
        may, explicit = run(name).violation, run(name, "explicit").violation
        assert may is not None
        assert explicit is not None
        assert may.length <= explicit.length <= may.length + 2, name
