"""arch/x86/mm/tlb.c on a page table that is a tree: ``flush_tlb_mm_range()`` with ``freed_tables``.

``arch/x86/tlb.py`` has the same function for one array of entries, and with the generations of
system X1; here every CPU in the mask is told, unless it is lazy or does not run.
"""

from __future__ import annotations

from shootdown.hardware.machine import Cpu, StealTime
from shootdown.hardware.walker import Pcid
from shootdown.hardware.walker_flush import load_cr3
from shootdown.hardware.walker_remote import Call, call_walkers, invalidate_broadcast
from shootdown.lang import READ_ONCE, note, path, this, try_cmpxchg
from shootdown.linux.arch.x86.options import MASK
from shootdown.linux.mm_tables import LocklessCpu, UserMm
from shootdown.linux.options_tables import LAZY, RANGE_FLUSH, TLB_FLUSH


@path
def without_preempted(targets: set[Cpu]) -> set[Cpu]:
    """``kvm_flush_tlb_multi()`` (arch/x86/kernel/kvm.c): leave out a vCPU that is preempted, if the
    hypervisor can be made to flush it before it runs again."""
    me = this(Cpu)
    left = targets
    for cpu in Cpu:
        if cpu in targets and cpu != me:
            state = READ_ONCE(cpu.steal)
            if state.preempted and try_cmpxchg(
                cpu.steal, state, StealTime(preempted=True, flush=True)
            ):
                left = left - {cpu}
    return left


@path
def without_lazy(targets: set[Cpu]) -> set[Cpu]:
    """``tlb_is_not_lazy()``: a CPU that runs a kernel thread on a borrowed address space touches no
    user address, and looks at the generation before it does again."""
    left = targets
    for cpu in LocklessCpu:
        if cpu in targets and READ_ONCE(cpu.is_lazy):
            note("{} is lazy: skip", cpu)
            left = left - {cpu}
    return left


@path(show="flush_tlb_mm_range()", role="flush")
def flush_tlb_mm_range(mm: UserMm, *, freed_tables: bool = True) -> None:
    """Invalidate on every CPU that may hold entries of the mm, of any level; return when all have.
    ``freed_tables``: a table goes away, so that it matters also what a CPU only speculates on."""
    if TLB_FLUSH == "broadcast":
        invalidate_broadcast(mm)
    else:
        targets = READ_ONCE(mm.cpumask)
        if LAZY == "skipped" and not freed_tables:
            targets = without_lazy(targets)
        if TLB_FLUSH == "skip-preempted":
            targets = without_preempted(targets)
        call_walkers(targets, Call.CR3 if RANGE_FLUSH == "cr3" else Call.INVLPG)


@path(show="switch_mm()")
def switch_mm(before: UserMm, after: UserMm) -> None:
    """``mmu_context.switch_mm()``, which is the same for one array of entries. A CPU that is not in
    the mask any more is told of no flush, so it must not use the page table any more."""
    me = this(LocklessCpu)
    if MASK == "eager":
        before.cpumask.discard(me)
    after.cpumask.add(me)
    load_cr3(me, after, Pcid(0))
    if MASK == "eager-late":
        before.cpumask.discard(me)
