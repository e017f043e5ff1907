"""What must hold of the arm64 ASID allocator, and what must be reachable.

The first four are, in this order, UniqueASIDPerCPU (with CnP UniqueASIDAllCPUs),
TLBEmptyInvalPTE, SameASIDActiveTask and UniqueASIDActiveTask of kernel-tla's ``asidalloc.tla``.
INV-ASID-5 is asserted where a rollover takes an ASID.

A CPU in the middle of a switch may still walk the page table of the process that it leaves, under
an ASID that this process has no more: only the kernel runs there, and uses none of it.
"""

from __future__ import annotations

from shootdown.hardware.arm64_asid import Asid, may_hold
from shootdown.lang import goal, invariant
from shootdown.linux.arch.arm64.context import (
    AsidCpu,
    AsidMm,
    Context,
    asid_generation,
    tlb_flush_pending,
)


@invariant("INV-ASID-1")
def one_space_per_asid() -> bool:
    """A CPU may have translations of two processes under one ASID."""
    return not any(
        may_hold(cpu, asid, a) and may_hold(cpu, asid, b)
        for cpu in AsidCpu
        for asid in Asid
        for a in AsidMm
        for b in AsidMm
        if a.index < b.index
    )


@invariant("INV-ASID-2")
def flush_reaches_all() -> bool:
    """A flush has returned, and a CPU that runs the process may use the old translation."""
    return not any(
        mm.flushed and cpu.ttbr == mm and not cpu.switching and may_hold(cpu, cpu.current, mm)
        for mm in AsidMm
        for cpu in AsidCpu
    )


@invariant("INV-ASID-3")
def same_asid_everywhere() -> bool:
    """Two CPUs run one process with different ASIDs."""
    return not any(
        cpu.ttbr is not None
        and cpu.ttbr == other.ttbr
        and cpu.current != other.current
        and not cpu.switching
        and not other.switching
        for cpu in AsidCpu
        for other in AsidCpu
    )


@invariant("INV-ASID-4")
def own_asid_everywhere() -> bool:
    """CPUs that share a TLB run two processes with one ASID."""
    return not any(
        cpu.ttbr is not None
        and other.ttbr is not None
        and cpu.ttbr != other.ttbr
        and cpu.current == other.current
        for cpu in AsidCpu
        for other in AsidCpu
    )


@goal("a rollover")
def rolled_over() -> bool:
    """No ASID was free."""
    return any(cpu in tlb_flush_pending for cpu in AsidCpu)


@goal("a process keeps its ASID over a rollover")
def kept() -> bool:
    """It was running meanwhile."""
    return any(
        cpu.reserved_asid == mm.context_id and mm.context_id.generation == asid_generation
        for cpu in AsidCpu
        for mm in AsidMm
    )


@goal("an ASID has a new owner while the old one may be in a TLB")
def handed_on() -> bool:
    """That is what the pending flush is for."""
    return any(
        may_hold(cpu, mm.context_id.asid, old) and cpu in tlb_flush_pending
        for cpu in AsidCpu
        for mm in AsidMm
        for old in AsidMm
        if mm.context_id.generation == asid_generation and old != mm
    )


@goal("the process of a flush has a new ASID")
def moved() -> bool:
    """While its old one may still be in a TLB."""
    return any(
        mm.flushed
        and mm.context_id != Context()
        and cpu.ttbr == mm
        and cpu.current == mm.context_id.asid
        for cpu in AsidCpu
        for mm in AsidMm
    )
