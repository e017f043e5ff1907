"""arch/x86/mm/tlb.c: how a CPU changes its address space. S1..S6 of system X1."""

from __future__ import annotations

from shootdown.hardware.interrupt import irq_disable, irq_enable
from shootdown.hardware.pcid import Pcid
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    atomic,
    note,
    path,
    smp_load_acquire,
    smp_mb,
    this,
)
from shootdown.linux.arch.x86.cr3 import load_new_mm_cr3
from shootdown.linux.arch.x86.options import (
    GEN_READ,
    INVLPGB,
    MASK,
    PCID,
    SWITCH_BARRIER,
    SWITCHING,
)
from shootdown.linux.arch.x86.tlbflush import (
    ContextMm,
    LoadedMm,
    TlbState,
    dyn_asids,
    is_global_asid,
    this_cpu_tlbstate,
)


@path
def mm_global_asid(mm: ContextMm | None) -> Pcid | None:
    """The ASID that the mm has on all CPUs, if any; never for ``init_mm``."""
    if INVLPGB == "off" or mm is None:
        return None
    return smp_load_acquire(mm.global_asid)


@path
def mm_needs_global_asid(mm: ContextMm | None, asid: Pcid) -> bool:
    """Whether the mm has moved to a global ASID and this CPU still uses its own."""
    found = mm_global_asid(mm)
    return found is not None and found != asid


@atomic(show="look for this mm in ctxs[]", fence=False)
def choose_dyn_asid(cpu: TlbState, mm: ContextMm | None, gen: int) -> tuple[Pcid, bool]:
    """The ASID that the CPU has for the mm, and whether it is behind; else the next one, in turn,
    whoever had it. All of it is the CPU's own."""
    for asid in Pcid:
        context = cpu.ctxs[asid]
        if asid.index < dyn_asids() and context.used and context.mm == mm:
            return asid, context.tlb_gen < gen
    new = Pcid(cpu.next_asid)
    cpu.next_asid = (cpu.next_asid + 1) % dyn_asids()
    return new, True


@path(show="choose_new_asid()")
def choose_new_asid(cpu: TlbState, mm: ContextMm | None, gen: int) -> tuple[Pcid, bool]:
    """S4. A global ASID is always up to date."""
    if PCID == "off":
        return Pcid(0), True
    asid = mm_global_asid(mm)
    if asid is not None:
        return asid, False
    return choose_dyn_asid(cpu, mm, gen)


@path(show="atomic64_read(tlb_gen)")
def read_tlb_gen(cpu: TlbState, mm: ContextMm | None) -> int:
    """Read the generation, S3; that of ``init_mm`` never changes."""
    gen = 0
    if mm is not None:
        gen = READ_ONCE(mm.tlb_gen)
        cpu.switch_to = mm
        cpu.switch_gen = gen
    return gen


@path(show="cpumask_set_cpu()")
def join_mask(cpu: TlbState, mm: ContextMm | None) -> None:
    """Join mm_cpumask, S2. Before 6.14 the bit was set in any case, which is a full barrier; since
    then it is looked at first, and if it is set already the only barrier is that of
    83b0177a6c48."""
    present = False
    if mm is not None and MASK == "lazy":
        present = cpu in READ_ONCE(mm.cpumask)
    if mm is not None and not present:
        mm.cpumask.add(cpu)
    elif SWITCH_BARRIER == "always":
        smp_mb()


@path
def switched(cpu: TlbState) -> None:
    """(Ghost) The switch is over."""
    cpu.switch_to = None
    cpu.switch_gen = 0


@path(show="reload_tlb")
def reload(cpu: TlbState, mm: ContextMm | None, asid: Pcid, gen: int, need_flush: bool) -> None:
    """S5, S6."""
    load_new_mm_cr3(cpu, mm, asid, gen, need_flush)
    WRITE_ONCE(cpu.loaded_mm, LoadedMm(mm=mm))
    WRITE_ONCE(cpu.loaded_mm_asid, asid)
    switched(cpu)


@path
def keep_mm(cpu: TlbState, mm: ContextMm | None, asid: Pcid, local: int, was_lazy: bool) -> None:
    """The address space stays; but it may have got a global ASID, and a CPU that was lazy may have
    been left out of flushes. The barrier pairs with the increment of ``tlb_gen``: either the flush
    sees that the CPU is not lazy, or the CPU sees the generation."""
    if mm_needs_global_asid(mm, asid):
        gen = read_tlb_gen(cpu, mm)
        new, need_flush = choose_new_asid(cpu, mm, gen)
        reload(cpu, mm, new, gen, need_flush)
    elif was_lazy and not is_global_asid(asid):
        smp_mb()
        gen = read_tlb_gen(cpu, mm)
        if local != gen:
            reload(cpu, mm, asid, gen, True)
        else:
            note("still up to date")
            cpu.kept = True
            switched(cpu)


@path(show="switch_mm_irqs_off()")
def switch_mm_irqs_off(mm: ContextMm | None) -> None:
    """Make ``mm`` the address space of this CPU; ``None`` is ``init_mm``. Interrupts are off."""
    cpu = this(TlbState)
    prev, prev_asid, was_lazy, prev_gen = this_cpu_tlbstate(cpu)
    if was_lazy:
        WRITE_ONCE(cpu.is_lazy, False)
    if prev == mm:
        keep_mm(cpu, mm, prev_asid, prev_gen, was_lazy)
    else:
        gen = 0
        if SWITCHING == "before-mask":
            WRITE_ONCE(cpu.loaded_mm, LoadedMm(switching=True))
        if prev is not None and MASK == "eager":
            prev.cpumask.discard(cpu)
        if GEN_READ == "before-mask":
            gen = read_tlb_gen(cpu, mm)
        join_mask(cpu, mm)
        if GEN_READ == "after-mask":
            gen = read_tlb_gen(cpu, mm)
        asid, need_flush = choose_new_asid(cpu, mm, gen)
        if SWITCHING == "after-gen":
            WRITE_ONCE(cpu.loaded_mm, LoadedMm(switching=True))
        reload(cpu, mm, asid, gen, need_flush)
        if prev is not None and MASK == "eager-late":
            prev.cpumask.discard(cpu)


@path(show="enter_lazy_tlb()")
def enter_lazy_tlb() -> None:
    """A kernel thread needs no address space of its own: keep the one that is loaded."""
    cpu = this(TlbState)
    loaded, _, _, _ = this_cpu_tlbstate(cpu)
    if loaded is not None:
        WRITE_ONCE(cpu.is_lazy, True)


@path(show="leave_mm()")
def leave_mm() -> None:
    """A CPU goes into a deep idle state, and gives up the address space that the idle task has
    borrowed. The kernel warns if it is not lazy."""
    cpu = this(TlbState)
    irq_disable(cpu)
    loaded, _, lazy, _ = this_cpu_tlbstate(cpu)
    if loaded is not None:
        assert lazy, "INV-X1-LAZY: the idle task has an address space, and is not lazy"
        switch_mm_irqs_off(None)
    irq_enable(cpu)


@path(show="context_switch()")
def switch_to_task(mm: ContextMm) -> None:
    """kernel/sched/core.c: the next task is of this process. Interrupts are off from before the
    choice of the task until after."""
    cpu = this(TlbState)
    irq_disable(cpu)
    switch_mm_irqs_off(mm)
    irq_enable(cpu)


@path(show="context_switch()")
def switch_to_kernel_thread() -> None:
    """kernel/sched/core.c: the next task is a kernel thread."""
    cpu = this(TlbState)
    irq_disable(cpu)
    enter_lazy_tlb()
    irq_enable(cpu)
