"""System S2b: where LUF's flush goes (Q-S2-7), as far as that is decided without prices.

MET-S2 of the reference, in the form "never". What an interrupt costs is not said here.
"""

from __future__ import annotations

from typing import Any, cast

from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.x86 import x86
from shootdown.lang import Hardware, Scenario, Setup, Thread, ghost, invariant, on_write, scenario
from shootdown.linux.mm.luf_batch import LufKey, LufMm
from shootdown.linux.mm.page_alloc import Zone, alloc_page
from shootdown.linux.mm.vmscan import shrink_folios
from shootdown.races import luf_properties as luf
from shootdown.races.luf import RECLAIM, VARIANTS, Options, verdict


class CountingCpu(Cpu):
    """``called`` (ghost): it has interrupted others."""

    called: bool = ghost(False)


@on_write(Cpu.call_pages)
def round_sent(cpu: Cpu, old: set[Page], new: set[Page]) -> None:
    """Others are told to flush."""
    cast(CountingCpu, cpu).called = True


COUNTED: Hardware = Hardware(
    x86.name, x86.rules, (*x86.observers, round_sent), x86.options, x86.assumptions, x86.witness
)


@invariant("MET-S2-IPIS")
def reclaim_is_quiet() -> bool:
    """Reclaim has interrupted other CPUs."""
    return not CountingCpu(0).called


@invariant("MET-S2-IPIS")
def allocation_is_quiet() -> bool:
    """An allocation has interrupted other CPUs."""
    return not CountingCpu(1).called


def cost(
    name: str,
    title: str,
    options: Options,
    checked: Any,
    *,
    violates: str | None = None,
    start: Any = luf.read_only,
    goals: tuple[Any, ...] = (luf.taken,),
) -> Scenario:
    """CPU0 reclaims a page that was mapped read-only on CPU2, unless it is free at the ``start``;
    CPU1 allocates a page."""
    reclaim = [Thread(shrink_folios, RECLAIM, on=Cpu(0))] if start is luf.read_only else []

    @scenario(name, title=title, **verdict(violates))
    def build() -> Setup:
        return Setup(
            sizes={Cpu: 3, Page: 2, Frame: 2, LufMm: 1, LufKey: 1, Zone: 1},
            start=start,
            threads=[
                *reclaim,
                Thread(alloc_page, Zone(0), on=Cpu(1)),
            ],
            hardware=COUNTED,
            invariants=[checked],
            goals=list(goals),
            options=options,
        )

    return build


OFF: Options = {"tlb_batched": "counted"}

COSTS = (
    cost(
        "LUF.off.reclaim",
        "without LUF reclaim flushes",
        OFF,
        reclaim_is_quiet,
        violates="MET-S2-IPIS",
    ),
    cost(
        "LUF.V11.reclaim",
        "reclaim interrupts nobody",
        VARIANTS["V11"],
        reclaim_is_quiet,
        goals=(luf.free_and_cached, luf.taken),
    ),
    cost(
        "LUF.V11.alloc",
        "the allocation does it instead",
        VARIANTS["V11"],
        allocation_is_quiet,
        violates="MET-S2-IPIS",
    ),
    cost(
        "LUF.V11.saved",
        "if all CPUs have flushed since, for another reason, nobody does it",
        VARIANTS["V11"],
        allocation_is_quiet,
        start=luf.two_free_flushed,
    ),
)
