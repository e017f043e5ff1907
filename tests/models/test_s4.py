"""System S4: every scenario has its verdict, both TLBs and both engines agree, races read well.

Also: the historic races of secondary MMUs and of huge pages.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from models.checks import assert_engines_agree, assert_expected, assert_not_vacuous, run
from shootdown.check.result import ViolationKind
from shootdown.check.trace import trace_violation
from shootdown.lang import Scenario
from shootdown.lang.loader import scenarios_in
from shootdown.races import historic_huge, library, s4, s4_copy, s4_decide, s4_software

S4: dict[str, Scenario] = {
    named.scenario.name: named.scenario
    for module in (s4, s4_decide, s4_copy, s4_software, historic_huge)
    for named in scenarios_in(vars(module))
}
SAFE = sorted(name for name, s in S4.items() if s.expect == "HOLDS")
UNSAFE = sorted(name for name, s in S4.items() if s.expect == "VIOLATED")
QUICK = {
    *s4.VARIANTS,
    *("N.c.alone", "N.ac.twice", "N.arch.batch", "N.c.copy", "N.c.full", "N.arch.unasked"),
    *("N.conly_end.upgrade", "N.arch.upgrade", "N.arch.dontneed", "N.conly_end.protect"),
    *("N.range", "N.range.sequence", "I915-BACKING", "I915-BACKING.fixed", "KHUGEPAGED-NOTIFIER"),
}  # one of each kind; the others are slow only because they are many
SMALL = 130  # states: quick enough for the reference engine, which is many times slower


def each(names: Iterable[str]) -> list[Any]:
    """Parameters of a test: those that are not quick are marked as slow."""
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.deep) for name in names]


# ------------------------------------------------------------------ verdicts


@pytest.mark.parametrize("tlb", ["may", "explicit"])
@pytest.mark.parametrize("name", each(S4))
def test_verdict_is_the_expected_one(name: str, tlb: str) -> None:
    assert_expected(S4[name], tlb)


@pytest.mark.parametrize("name", each(S4))
def test_engines_agree(name: str) -> None:
    assert_engines_agree(S4[name], SMALL)


@pytest.mark.parametrize("name", each(SAFE))
def test_safe_variants_are_not_vacuous(name: str) -> None:
    assert_not_vacuous(S4[name])


BAD = {
    "BAD-S4-1": ("N.c.alone", "INV-S4-1"),
    "BAD-S4-2": ("N.pre", "INV-S4-4"),
    "BAD-S4-3": ("N.c.copy", "INV-S4-2"),
    "BAD-S4-4": ("N.arch.unasked", "INV-S4-3"),
    "BAD-S4-5": ("N.conly_end.upgrade", "INV-S4-5"),
    "BAD-S4-6": ("PT.V5", "INV-S1-2"),  # system S1 has the walk caches that it takes
}


@pytest.mark.parametrize(("alias", "shown"), BAD.items())
def test_bad_interleavings_break_the_right_invariant(alias: str, shown: tuple[str, str]) -> None:
    (scenario,) = [s for s in library() if alias in s.aliases]
    assert (scenario.name, scenario.violates) == shown
    assert scenario.expect == "VIOLATED"


def test_every_invariant_and_variant_has_scenarios() -> None:
    assert {f"INV-S4-{i}" for i in range(1, 7)} <= {s.violates for s in S4.values()}
    assert set(s4.VARIANTS) <= set(S4)


RACES = ("NOTIFIER-COW", "KHUGEPAGED-NOTIFIER", "I915-BACKING", "HUGETLB-FREE-FIRST",
         "THP-DONTNEED-NUMA")  # fmt: skip


@pytest.mark.parametrize("name", RACES)
def test_historic_races_have_a_buggy_and_a_fixed_form(name: str) -> None:
    assert S4[name].expect == "VIOLATED"
    assert S4[name + ".fixed"].expect == "HOLDS"


def test_no_notification_costs_no_step() -> None:
    """Without subscribers the kernel's paths are what they are elsewhere."""

    def steps(name: str) -> list[str]:
        return [action.name for action in run(name).system.processes[0].actions]

    assert [step for step in steps("N.c") if "iotlb" in step]
    assert not [step for step in steps("N.none") if "iotlb" in step]


# ------------------------------------------------------------------ races


def has_column(step: Any) -> bool:
    """Whether a step has a place in the diagram; a device without a thread has none of its own."""
    return step.action.column is not None or "DEV" in step.action.name


@pytest.mark.parametrize("name", each(UNSAFE))
def test_race_can_be_told(name: str) -> None:
    """Every step has a column, and what a CPU does stands in its own."""
    result = run(name)
    assert result.violation is not None
    trace = trace_violation(result.system, result.violation)
    assert len(trace.steps) == result.violation.length <= 40
    for step in trace.steps:
        assert has_column(step)
        assert step.action.info.location.line > 0


def test_a_device_that_may_not_be_told_goes_round_for_ever() -> None:
    """The race of BAD-S4-5 is a loop: a page request, its answer, and the same DMA again."""
    violation = run("N.conly_end.upgrade").violation
    assert violation is not None
    assert violation.kind is ViolationKind.NO_PROGRESS
    assert violation.loop is not None


@pytest.mark.deep
def test_tlb_explicit_needs_at_most_the_fills_more() -> None:
    """A race is never longer than with the may-set by more than one fill for each TLB and entry."""
    for name in UNSAFE:
        may, explicit = run(name).violation, run(name, "explicit").violation
        assert may is not None
        assert explicit is not None
        assert may.length <= explicit.length <= may.length + 2, name
