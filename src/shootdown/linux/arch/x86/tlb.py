"""arch/x86/mm/tlb.c: who is told to invalidate, and how.

With ``shootdown=everyone`` every CPU in ``mm_cpumask`` is told, and does it: enough for whatever is
not about flushes as such. With ``shootdown=generations`` it is the protocol of system X1, in
``tlb_multi.py`` (who is told), ``tlb_func.py`` (what they do), ``switch.py`` (who finds out alone)
and ``broadcast.py`` (INVLPGB).
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.ipi import call_many
from shootdown.hardware.machine import ARCH, Cpu, Page, StealTime
from shootdown.lang import READ_ONCE, path, smp_mb, this, try_cmpxchg
from shootdown.linux.arch.arm64 import tlbflush as arm64
from shootdown.linux.arch.x86.broadcast import broadcast_done, broadcast_tlb_flush
from shootdown.linux.arch.x86.options import FLUSH_BARRIER, FLUSH_CEILING, SHOOTDOWN
from shootdown.linux.arch.x86.switch import mm_global_asid
from shootdown.linux.arch.x86.tlb_multi import flush_tlb_multi, inc_mm_tlb_gen
from shootdown.linux.arch.x86.tlbflush import ContextMm, FlushTlbInfo
from shootdown.linux.mm.mmu_notifier import mmu_notifier_arch_invalidate_secondary_tlbs
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


@path
def tlb_single_page_flush_ceiling() -> int:
    """What is in /sys/kernel/debug/x86/tlb_single_page_flush_ceiling unless root changes it."""
    return 33


@path
def flushes_everything(pages: set[Page]) -> bool:
    """``get_flush_tlb_info()``: more pages than ``tlb_single_page_flush_ceiling`` are flushed as
    ``TLB_FLUSH_ALL``."""
    if FLUSH_CEILING == "33":
        return len(pages) > tlb_single_page_flush_ceiling()
    return len(Page) > 1 and pages == set(Page)


@path
def flush_tlb_generations(mm: ContextMm, pages: set[Page], *, freed_tables: bool) -> None:
    """F1..F4."""
    gen = inc_mm_tlb_gen(mm, pages)
    info = FlushTlbInfo(mm=mm, new_tlb_gen=gen, everything=flushes_everything(pages))
    asid = mm_global_asid(mm)
    interrupt = True
    if asid is not None:
        interrupt = broadcast_tlb_flush(info, pages, asid)
    if interrupt:
        flush_tlb_multi(info, pages, freed_tables=freed_tables)
    if asid is not None:
        broadcast_done()


@path(show="flush_tlb_mm_range()", role="flush")
def flush_tlb_mm_range(mm: Mm, pages: set[Page], *, freed_tables: bool = False) -> None:
    """Invalidate some pages on every CPU that may hold them; return when all have done it, or will
    before they use the address space again."""
    if ARCH == "arm64":
        arm64.flush_tlb_range(pages)
    elif SHOOTDOWN == "generations":
        flush_tlb_generations(cast(ContextMm, mm), pages, freed_tables=freed_tables)
    else:
        if FLUSH_BARRIER == "smp_mb":
            smp_mb()
        targets = READ_ONCE(mm.cpumask)
        if PV_FLUSH == "skip-preempted":
            kvm_flush_tlb_multi(targets, pages)
        else:
            call_many(targets, pages)
    mmu_notifier_arch_invalidate_secondary_tlbs(mm, pages)
