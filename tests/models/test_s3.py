"""System S3: every scenario has its verdict, both TLBs and both engines agree, races read well."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from models import results
from models.checks import LARGEST, assert_engines_agree, assert_not_vacuous, explored
from shootdown.check.progress import with_progress
from shootdown.check.result import Result, Verdict, ViolationKind
from shootdown.check.trace import trace_violation
from shootdown.errors import UsageError
from shootdown.lang import Scenario
from shootdown.lang.loader import scenarios_in
from shootdown.races import s3, s3_convert, s3_costs, s3_lockless, s3_progress

S3: dict[str, Scenario] = {
    named.scenario.name: named.scenario
    for module in (s3, s3_convert, s3_lockless, s3_progress, s3_costs)
    for named in scenarios_in(vars(module))
}
SAFE = sorted(name for name, s in S3.items() if s.expect == "HOLDS")
UNSAFE = sorted(name for name, s in S3.items() if s.expect == "VIOLATED")
FAULTS = {scenario.name for scenario in s3_progress.FAULTS}
"""These ask for progress, for which the may-set is not exact: they choose the explicit TLB."""
SMALL = 400  # states: quick enough for the reference engine

BAD = {
    "BAD-S3-1": ("S3.O4", "INV-S3-3"),
    "BAD-S3-2": ("S3.ADJ", "INV-S3-1"),
    "BAD-S3-3": ("S3.O4.break", "INV-S3-5"),
    "BAD-S3-4": ("S3.NOBBM", "INV-S3-8"),
    "BAD-S3-5": ("S3.SETNOOP", "INV-S3-9"),
    "BAD-S3-6": ("S3.LOCKLESS.none", "INV-S3-7"),
    "CONTPTE-ATS": ("S3.SETNOOP", "INV-S3-9"),
}
FIRST = {
    *("S3.O2", "S3.O2.break", "S3.PART", "S3.BBM", "S3.BBML2.unfold", "S3.SET", "S3.FORK"),
    *("S3.LOCKLESS", *(name for name, _ in BAD.values())),
}
"""The scenarios that the quick tests look at with the explicit TLB, too."""


def quick(names: Iterable[str]) -> list[Any]:
    """Parameters, of which all but the first ones are slow."""
    return [name if name in FIRST else pytest.param(name, marks=pytest.mark.deep) for name in names]


def run(name: str, tlb: str | None = None) -> Result:
    return results.run(name, tlb)


# ------------------------------------------------------------------ verdicts


def verdict(result: Result) -> tuple[str, str | None]:
    return result.verdict.name, result.violation.name if result.violation else None


@pytest.mark.parametrize("name", S3)
def test_verdict_is_the_expected_one(name: str) -> None:
    assert verdict(run(name)) == (S3[name].expect, S3[name].violates)
    assert run(name).states <= LARGEST


@pytest.mark.parametrize("name", quick(sorted(set(S3) - FAULTS)))
def test_verdict_is_the_same_with_the_explicit_tlb(name: str) -> None:
    assert verdict(run(name, "explicit")) == (S3[name].expect, S3[name].violates)


@pytest.mark.parametrize("name", S3)
def test_engines_agree(name: str) -> None:
    assert_engines_agree(S3[name], SMALL, tlb=None)


@pytest.mark.parametrize("name", SAFE)
def test_safe_variants_are_not_vacuous(name: str) -> None:
    assert_not_vacuous(S3[name], None)


@pytest.mark.parametrize(
    "name", ["S3.O2", "S3.O1b", "S3.ADJ.anyhow", "S3.ADJ.anyhow-last", "S3.BBM"]
)
def test_blocks_of_four_have_the_same_verdict(name: str) -> None:
    result = explored(S3[name], bounds={"pages": 4})
    assert verdict(result) == (S3[name].expect, S3[name].violates)


@pytest.mark.deep
@pytest.mark.parametrize("name", S3)
def test_all_blocks_of_four_have_the_same_verdict(name: str) -> None:
    result = with_progress(explored(S3[name], bounds={"pages": 4}))
    assert verdict(result) == (S3[name].expect, S3[name].violates)


@pytest.mark.parametrize("name", [name for name in S3 if "pages" in S3[name].bounds])
def test_a_block_has_two_pages_at_least(name: str) -> None:
    with pytest.raises(UsageError, match="a contpte block has at least 2 pages"):
        S3[name].setup({"pages": 1})


@pytest.mark.deep
def test_blocks_of_sixteen_can_be_reached() -> None:
    result = explored(S3["S3.O2"], bounds={"pages": 16})
    assert result.verdict is Verdict.HOLDS


@pytest.mark.parametrize(("alias", "shown"), BAD.items())
def test_bad_interleavings_break_the_right_invariant(alias: str, shown: tuple[str, str]) -> None:
    (scenario,) = [s for s in S3.values() if alias in s.aliases]
    assert (scenario.name, scenario.violates) == shown
    assert scenario.expect == "VIOLATED"


def test_every_invariant_and_variant_has_scenarios() -> None:
    broken = {scenario.violates for scenario in S3.values()}
    # INV-S3-2 is broken by none: whoever copies flags without care has an A to copy
    assert {f"INV-S3-{i}" for i in (1, 3, 4, 5, 6, 7, 8, 9)} <= broken
    looked_at = {invariant.name for invariant in run("S3.O2.young").system.invariants}
    assert "INV-S3-2" in looked_at
    variants = ("O1", "O1a", "O1b", "O2", "O3", "O4", "ADJ", "ADJ0")
    others = ("BBML2", "NOBBM", "NOPART", "SETNOOP")
    assert {f"S3.{variant}" for variant in (*variants, *others)} <= set(S3)


def test_progress_needs_the_explicit_tlb() -> None:
    """With the may-set the device might load the entry that the CPU's flag made possible."""
    assert run("S3.SETNOOP").verdict is Verdict.VIOLATED
    assert run("S3.SETNOOP", "may").verdict is Verdict.HOLDS


# ------------------------------------------------------------------ races


@pytest.mark.parametrize("name", UNSAFE)
def test_race_can_be_told(name: str) -> None:
    """Every step has a column, and what a CPU does stands in its own."""
    result = run(name)
    assert result.violation is not None
    trace = trace_violation(result.system, result.violation)
    assert len(trace.steps) == result.violation.length <= 25
    for step in trace.steps:
        assert step.action.column is not None
        assert step.action.info.location.line > 0


def message(name: str) -> str:
    result = run(name)
    assert result.violation is not None
    return trace_violation(result.system, result.violation).ending.text


def test_option_three_fires_or_is_silent() -> None:
    """Its assertion, or the check of D that the model does by itself."""
    assert "a getter runs" in message("S3.O3.core")
    assert "a getter runs" in message("S3.O3.lockless")
    assert "is reported clean" in message("S3.O3.marker")


def test_fault_loop_is_a_loop() -> None:
    violation = run("S3.SETNOOP").violation
    assert violation is not None
    assert violation.kind is ViolationKind.NO_PROGRESS
    assert violation.loop is not None
    assert 0 < violation.loop < violation.length


@pytest.mark.parametrize("name", quick(sorted(set(UNSAFE) - FAULTS)))
def test_tlb_explicit_needs_at_most_the_fills_more(name: str) -> None:
    """A race is never longer than with the may-set by more than one fill for each CPU and entry."""
    may, explicit = run(name).violation, run(name, "explicit").violation
    assert may is not None
    assert explicit is not None
    assert may.length <= explicit.length <= may.length + 2
