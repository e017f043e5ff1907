"""Store buffers (``memory=tso``): which verdicts depend on them, and why."""

from __future__ import annotations

import pytest

from models.mutants import sites_of
from models.results import LIBRARY, explored
from shootdown.check import native
from shootdown.check.result import Result, Verdict

Facts = tuple[str, str | None]

DIFFERENT: dict[str, str] = {
    "K.V3.store-sc": "INV-S1-3",
    "K.V3.relaxed-sc": "INV-S1-3",
    "PT.V1.cr3-entry": "INV-S1-2",
    "PT.V1.cr3-late": "INV-S1-2",
    "X1.current.v6.15": "INV-X1-4",
    "SWITCHMM-BARRIER.sc": "INV-X1-1",
    "ASID.v5.14-sc": "INV-ASID-2",
}
"""Safe where memory is sequentially consistent, and broken with store buffers. ``docs/hardware.md``
says what orders the store there in a kernel."""

FAULTS = ["S0.V9", "S0.V9.pae", "CLEARREFS-LOCK.fixed"]
"""A page fault may have stored an entry that no walk finds yet when a call returns or begins."""

CARRIED = ["S3.unfold"]
"""A flag that hardware has set may be nowhere but in a store buffer."""

QUICK = {*FAULTS, *CARRIED, *DIFFERENT, "S0.V4"}


def facts(result: Result) -> Facts:
    """The verdict, and what is broken."""
    return result.verdict.name, result.violation.name if result.violation else None


def with_buffers(name: str, depth: int = 1) -> Facts:
    """What store buffers of some depth lead to."""
    return facts(explored(LIBRARY[name], {"memory": "tso", "store_buffer": depth}))


def expected(name: str) -> Facts:
    """What they should lead to."""
    scenario = LIBRARY[name]
    if name in DIFFERENT:
        return "VIOLATED", DIFFERENT[name]
    return scenario.expect, scenario.violates


def test_what_is_said_to_be_different_is_safe_otherwise() -> None:
    assert {LIBRARY[name].expect for name in DIFFERENT} == {"HOLDS"}


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.deep) for name in LIBRARY],
)
def test_store_buffers_change_no_other_verdict(name: str) -> None:
    assert with_buffers(name) == expected(name)


@pytest.mark.parametrize("name", ["S0.V9", "S0.V9.pae", "S0.V6.pae-same", "CLEARREFS-LOCK.fixed"])
def test_nor_do_deeper_ones(name: str) -> None:
    assert with_buffers(name, 2) == expected(name)


@pytest.mark.parametrize("name", ["PT.V1.cr3-entry", "PT.V1.cr3-late"])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_barrier_before_the_look_at_the_signal_takes_it_back(name: str, depth: int) -> None:
    """A PMD is cleared by a store; nothing else orders it where its flush is deferred."""
    options = {"memory": "tso", "store_buffer": depth, "clear_barrier": "smp_mb"}
    assert explored(LIBRARY[name], options).verdict is Verdict.HOLDS


LOOKS_AT_ENTRIES = {
    ("S0.V9", "finish_fault: flush_tlb_mm_range()"): "INV-S0-4",
    ("S0.V9.pae", "finish_fault: flush_tlb_mm_range()"): "INV-S0-4",
    ("S0.V8.one", "zap_pte_range: lock pte_lockptr(mm, pages[0])"): "INV-S0-4",
    ("S0.V8.pae-same", "tlb_flush_mmu_tlbonly: flush_tlb_mm_range()"): "INV-S0-3",
    ("CLEARREFS-LOCK.fixed", "clear_refs_walk: flush_tlb_mm_range()"): "INV-RET",
}
"""By scenario, and what is left out of it."""


@pytest.mark.parametrize(("mutant", "broken"), LOOKS_AT_ENTRIES.items())
def test_what_is_stored_hides_no_race(mutant: tuple[str, str], broken: str) -> None:
    """The flush, or the lock, is as necessary with store buffers as without."""
    name, site = mutant
    for memory in ("sc", "tso"):
        system = LIBRARY[name].compile(
            options={"memory": memory}, without=frozenset({sites_of(name)[site].id})
        )
        assert facts(native.explore(system)) == ("VIOLATED", broken)
