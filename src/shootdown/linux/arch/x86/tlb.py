"""arch/x86/mm/tlb.c: who is told to invalidate, and how.

The generations (``tlb_gen``), lazy CPUs and changes of ``mm_cpumask`` join with system X1; here
every CPU in the mask is told and does it.
"""

from __future__ import annotations

from shootdown.hardware.ipi import call_many
from shootdown.hardware.machine import Cpu, Page, StealTime
from shootdown.lang import READ_ONCE, path, this, try_cmpxchg
from shootdown.linux.mm_types import Mm
from shootdown.linux.options import PV_FLUSH


@path
def kvm_flush_tlb_multi(targets: set[Cpu], pages: set[Page]) -> None:
    """arch/x86/kernel/kvm.c: leave out a vCPU that is preempted, if the hypervisor can be made
    to flush it before it runs again; interrupt the others."""
    me = this(Cpu)
    flushmask = targets
    for cpu in Cpu:
        if cpu in targets and cpu != me:
            state = READ_ONCE(cpu.steal)
            if state.preempted and try_cmpxchg(
                cpu.steal, state, StealTime(preempted=True, flush=True)
            ):
                flushmask = flushmask - {cpu}
    call_many(flushmask, pages)


@path(show="flush_tlb_mm_range()", role="flush")
def flush_tlb_mm_range(mm: Mm, pages: set[Page]) -> None:
    """Invalidate some pages on every CPU that may hold them; return when all have done it."""
    targets = READ_ONCE(mm.cpumask)
    if PV_FLUSH == "skip-preempted":
        kvm_flush_tlb_multi(targets, pages)
    else:
        call_many(targets, pages)
