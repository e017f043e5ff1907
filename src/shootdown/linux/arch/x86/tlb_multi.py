"""arch/x86/mm/tlb.c: who is told to invalidate, and who finds out alone. F1..F4 of system X1."""

from __future__ import annotations

from shootdown.hardware.interrupt import irq_disable, irq_enable, send_interrupts
from shootdown.hardware.ipi import wait_for_acks
from shootdown.hardware.machine import Cpu, Page
from shootdown.lang import READ_ONCE, atomic, choose, note, path, seen_by, smp_rmb, this
from shootdown.linux.arch.x86.options import (
    BATCH_FLUSH,
    INVLPGB,
    LAZY_READ,
    LAZY_TABLES,
    MASK,
    PAGING,
    SHOULD_FLUSH,
    TRANSITION,
    TRIM,
)
from shootdown.linux.arch.x86.tlb_func import flush_tlb_func
from shootdown.linux.arch.x86.tlbflush import ContextMm, FlushTlbInfo, TlbState


@atomic(show="inc_mm_tlb_gen()", role="counter")
def inc_mm_tlb_gen(mm: ContextMm, pages: set[Page]) -> int:
    """Begin a new generation, F1. It is a locked access, so a full barrier: what was written to the
    page table before is there for whoever sees the new generation, and who is to be told is looked
    up after it. Ghost: what is gone from these pages by now is gone from this generation on."""
    mm.tlb_gen += 1
    for page in pages:
        if PAGING == "flat" and not mm.pte[page].present:
            mm.gone_at[page] = mm.tlb_gen
    return mm.tlb_gen


@path
def leave_out(cpu: TlbState, info: FlushTlbInfo) -> None:
    """(Ghost) INV-X1-4: a CPU that has neither this mm nor SWITCHING in ``loaded_mm`` does not
    switch to the mm either, or it will see this generation."""
    note("leave out {}", cpu)
    if cpu.switch_to == info.mm and cpu.switch_gen < info.new_tlb_gen:
        info.mm.missed = True


@path(show="should_flush_tlb({cpu})")
def should_flush_tlb(cpu: TlbState, info: FlushTlbInfo, trim: bool) -> bool:
    """F2. A lazy CPU looks at the generation before it touches a user address again; so does one
    that has another mm loaded."""
    if SHOULD_FLUSH == "not-lazy":
        return not READ_ONCE(cpu.is_lazy)
    lazy = False
    if LAZY_READ == "first":
        lazy = READ_ONCE(cpu.is_lazy)
    loaded = READ_ONCE(cpu.loaded_mm)
    if LAZY_READ == "second":
        smp_rmb()
        lazy = READ_ONCE(cpu.is_lazy)
    if lazy:
        note("{} is lazy", cpu)
        return False
    if loaded.switching and SHOULD_FLUSH == "loaded-or-switching":
        return True
    if not loaded.switching and loaded.mm == info.mm:
        return True
    if trim:
        return True
    if not loaded.switching:
        leave_out(cpu, info)
    return False


@atomic(show="send IPIs")
def send_request(sender: TlbState, targets: set[Cpu], info: FlushTlbInfo, pages: set[Page]) -> None:
    """Interrupt, F3. What is asked was put in a place that nobody else has looked at yet."""
    sender.flush_info = info
    if BATCH_FLUSH == "multi":
        sender.flush_batch = False
    send_interrupts(sender, targets, pages)


@path
def who(info: FlushTlbInfo, *, freed_tables: bool) -> set[Cpu]:
    """F2. Everybody in the mask if page tables were freed, since a CPU that only speculates walks
    them, too; or if the mm moves to a global ASID. Else those for whom there is a reason."""
    everyone = freed_tables and LAZY_TABLES == "interrupt"
    if INVLPGB == "on" and TRANSITION != "none":
        moving = READ_ONCE(info.mm.asid_transition)
        everyone = everyone or moving
    trim = False
    if TRIM == "sometimes" and MASK == "lazy" and SHOULD_FLUSH != "not-lazy":
        trim = choose(False, True)
    mask = READ_ONCE(info.mm.cpumask)
    targets: set[Cpu] = set()
    for cpu in TlbState:
        if cpu in mask and (everyone or should_flush_tlb(cpu, info, trim)):
            targets.add(cpu)
    return targets


@path(show="flush_tlb_multi()")
def flush_tlb_multi(info: FlushTlbInfo, pages: set[Page], *, freed_tables: bool) -> None:
    """Interrupt the others, do this CPU's own part meanwhile, and wait, F2..F4; or do that part
    alone if nobody else is in the mask. In the kernel ``native_flush_tlb_multi()`` and
    ``smp_call_function_many_cond()`` share the work."""
    me = this(TlbState)
    targets: set[Cpu] = set()
    if READ_ONCE(info.mm.cpumask) - {me}:
        targets = who(info, freed_tables=freed_tables)
    elif loads(me, info.mm):
        targets.add(me)
    if targets - {me}:
        send_request(me, targets - {me}, info, pages)
    if me in targets:
        irq_disable(me)
        flush_tlb_func(info, pages)
        irq_enable(me)
    if targets - {me}:
        wait_for_acks(me)


@atomic(show="this_cpu_read(loaded_mm)", fence=False)
def loads(cpu: TlbState, mm: ContextMm) -> bool:
    """Whether this CPU itself has the mm loaded."""
    loaded = seen_by(cpu, cpu.loaded_mm)
    return loaded.mm == mm
