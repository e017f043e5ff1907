"""System X1: every scenario has its verdict, both TLBs and both engines agree, races read well.

Most tests are slow only because there are many scenarios; one of each kind is always run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from models.checks import (
    LIMITS,
    assert_engines_agree,
    assert_expected,
    assert_not_vacuous,
    explored,
    run,
)
from shootdown.check import native
from shootdown.check.result import Verdict
from shootdown.check.trace import trace_violation
from shootdown.lang import Scenario
from shootdown.lang.loader import scenarios_in
from shootdown.races import (
    library,
    s0,
    x1,
    x1_asids,
    x1_counts,
    x1_elsewhere,
    x1_historic,
    x1_lost,
    x1_machines,
    x1_masks,
    x1_s0,
    x1_tables,
)

X1: dict[str, Scenario] = {
    named.scenario.name: named.scenario
    for module in (
        *(x1, x1_tables, x1_asids, x1_s0, x1_historic),
        *(x1_elsewhere, x1_counts, x1_machines, x1_masks, x1_lost),
    )
    for named in scenarios_in(vars(module))
}
SAFE = sorted(name for name, s in X1.items() if s.expect == "HOLDS")
UNSAFE = sorted(name for name, s in X1.items() if s.expect == "VIOLATED")
QUICK = {
    *("X1.current.tso", "X1.V1", "X1.V2", "X1.V3", "X1.V4", "X1.V5", "X1.V6"),
    *("X1.current.v6.14", "SWITCHMM-MISORDER", "SWITCHMM-BARRIER", "SWITCHMM-BARRIER.fixed"),
    *("USE-MM-IPI", "USE-MM-IPI.fixed", "XSA-294", "XSA-294.fixed"),
    *("XSA-401", "XSA-401.fixed", "S390-ATTACH", "S390-ATTACH.fixed"),
    *("KVM-VMID-GEN", "KVM-VMID-GEN.fixed", "SMMU-ATS-COUNT", "SMMU-ATS-COUNT.fixed"),
    *("POKE-LAZY", "POKE-LAZY.fixed", "S390-DETACH", "S390-DETACH.fixed", "S390-DETACH.mask"),
    *("FREEBSD-PCID-GEN", "FREEBSD-PCID-GEN.fixed", "SPARC64-BATCH", "SPARC64-BATCH.fixed"),
    *("KVM-STEAL-FLUSH", "KVM-STEAL-FLUSH.twice", "KVM-STEAL-FLUSH.fixed"),
    *("COPRO-LOCAL", "COPRO-LOCAL.fixed", "TLB-BATCH-GEN", "TLB-BATCH-GEN.fixed"),
}
SMALL = 1_500  # states: quick enough for the reference engine


def each(names: Iterable[str]) -> list[Any]:
    """Parameters of a test: those that are not quick are marked as slow."""
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.deep) for name in names]


# ------------------------------------------------------------------ verdicts


@pytest.mark.parametrize("name", each(X1))
def test_verdict_is_the_expected_one(name: str) -> None:
    assert_expected(X1[name], "may")


@pytest.mark.deep
@pytest.mark.parametrize("name", X1)
def test_explicit_tlb_agrees(name: str) -> None:
    may, explicit = run(name), run(name, "explicit")
    assert explicit.verdict is may.verdict
    if may.violation is not None and explicit.violation is not None:
        assert explicit.violation.name == may.violation.name
        assert may.violation.length <= explicit.violation.length <= may.violation.length + 2


@pytest.mark.deep
@pytest.mark.parametrize("name", X1)
def test_engines_agree(name: str) -> None:
    """On the whole of a small scenario, on the beginning of a large one."""
    assert_engines_agree(X1[name], SMALL, partly=True)


@pytest.mark.parametrize("name", each(SAFE))
def test_safe_variants_are_not_vacuous(name: str) -> None:
    assert_not_vacuous(X1[name])


NAMES = {
    "BAD-X1-1": ("X1.V3", "INV-X1-1"),
    "SWITCHMM-LOADEDMM": ("X1.current.v6.14", "INV-X1-1"),
    "SWITCHMM-LOADEDMM.fixed": ("X1.current.v6.15", None),
    "SWITCHMM-SMPMB": ("X1.V2", "INV-X1-1"),
    "SWITCHMM-SMPMB.fixed": ("X1.current.tso", None),
    "LAZYTLB-PWC": ("X1.V5", "INV-PT"),
    "LAZYTLB-PWC.fixed": ("X1.current.tables", None),
}


@pytest.mark.parametrize(("alias", "shown"), NAMES.items())
def test_other_names_mean_the_right_scenario(alias: str, shown: tuple[str, str | None]) -> None:
    (scenario,) = [s for s in X1.values() if alias in s.aliases]
    assert (scenario.name, scenario.violates) == shown


def test_every_invariant_and_variant_has_scenarios() -> None:
    assert {f"INV-X1-{i}" for i in range(1, 5)} <= {s.violates for s in X1.values()}
    assert {"X1.current", *(f"X1.V{i}" for i in range(1, 7))} <= set(X1)
    assert {id(s) for s in X1.values()} <= {id(s) for s in library()}


# ------------------------------------------------------------------ memory order


def verdict(name: str, depth: int) -> Verdict:
    """With store buffers of that depth; 0: without."""
    memory = {"memory": "tso", "store_buffer": depth} if depth else {"memory": "sc"}
    return explored(X1[name], memory).verdict


@pytest.mark.parametrize("name", ["X1.V2", "SWITCHMM-BARRIER"])
def test_store_buffers_make_the_difference(name: str) -> None:
    """Safe where memory is sequentially consistent, unsafe with store buffers of any depth."""
    assert verdict(name, 0) is Verdict.HOLDS
    assert verdict(name, 2) is Verdict.VIOLATED


@pytest.mark.parametrize("name", ["X1.current.tso", "SWITCHMM-BARRIER.fixed"])
def test_a_barrier_takes_it_back(name: str) -> None:
    assert verdict(name, 2) is Verdict.HOLDS


@pytest.mark.deep
@pytest.mark.parametrize("name", [name for name in SAFE if name.endswith(("tso", "lazy-read"))])
def test_deeper_store_buffers_change_nothing(name: str) -> None:
    assert verdict(name, 3) is Verdict.HOLDS


@pytest.mark.deep
@pytest.mark.parametrize("name", [n for n in UNSAFE if n not in {"X1.V2", "X1.V2.order"}])
def test_other_races_need_no_store_buffer(name: str) -> None:
    if name != "SWITCHMM-BARRIER":
        assert verdict(name, 0) is Verdict.VIOLATED


# ------------------------------------------------------------------ system S0 is what it was

S0_STATES = {"S0.V0": 1_190, "S0.V4": 133, "S0.V6": 1_288}


@pytest.mark.parametrize("name", S0_STATES)
def test_s0_knows_nothing_of_generations(name: str) -> None:
    """By default no CPU has more state, and no flush more steps, than before there was X1."""
    (scenario,) = [s for s in s0.PARALLEL if s.name == name]
    system = scenario.compile()
    assert not {v.name for v in system.variables if "tlb_gen" in v.name or "loaded_mm" in v.name}
    assert native.explore(system, LIMITS).states == S0_STATES[name]


# ------------------------------------------------------------------ races


@pytest.mark.parametrize("name", each(UNSAFE))
def test_race_can_be_told(name: str) -> None:
    """Every step has a column, and what a CPU does stands in its own; devices have none."""
    result = run(name)
    assert result.violation is not None
    trace = trace_violation(result.system, result.violation)
    assert len(trace.steps) == result.violation.length <= 60
    for step in trace.steps:
        of_device = step.action.name.startswith(("smmu_fill", "atc_fill"))
        assert (step.action.column is None) is of_device
        assert step.action.info.location.line > 0
