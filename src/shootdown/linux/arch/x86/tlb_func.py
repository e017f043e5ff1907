"""arch/x86/mm/tlb.c: what a CPU does that is told to invalidate. H1..H6 of system X1."""

from __future__ import annotations

from typing import cast

from shootdown.hardware.interrupt import end_of_interrupt, take_interrupt
from shootdown.hardware.machine import Page
from shootdown.hardware.pcid import Pcid
from shootdown.lang import READ_ONCE, atomic, note, path, this
from shootdown.linux.arch.x86.cr3 import claim, flush_tlb_local, flush_tlb_one_user
from shootdown.linux.arch.x86.options import (
    BATCH_FLUSH,
    BATCH_GEN,
    HANDLER_GEN,
    LAZY_TEST,
    MASK,
    PARTIAL,
)
from shootdown.linux.arch.x86.switch import mm_needs_global_asid, switch_mm_irqs_off
from shootdown.linux.arch.x86.tlbflush import (
    FlushTlbInfo,
    TlbState,
    is_global_asid,
    this_cpu_tlbstate,
)


@path
def may_be_partial(info: FlushTlbInfo, local: int, gen: int) -> bool:
    """H4. If this request is the only thing that the CPU is behind, its pages are enough. Else an
    earlier request, that for everything perhaps, is still to come, and must not be claimed."""
    if PARTIAL == "any":
        return not info.everything
    return not info.everything and info.new_tlb_gen == local + 1 and info.new_tlb_gen == gen


@path
def catch_up(cpu: TlbState, asid: Pcid, local: int, info: FlushTlbInfo, pages: set[Page]) -> None:
    """H3..H6. The generation is read before the flush: what it covers was removed before."""
    gen = info.new_tlb_gen
    if HANDLER_GEN == "before-flush":
        gen = READ_ONCE(info.mm.tlb_gen)
    if local == gen:
        note("up to date")
    else:
        if may_be_partial(info, local, gen):
            flush_tlb_one_user(cpu, pages)
        else:
            flush_tlb_local(cpu)
        if HANDLER_GEN == "after-flush":
            gen = READ_ONCE(info.mm.tlb_gen)
        claim(cpu, asid, gen)


@path(show="flush_tlb_func()")
def flush_tlb_func(info: FlushTlbInfo, pages: set[Page]) -> None:
    """Bring this CPU up to date. Interrupts are off. A request that the CPU is past already is seen
    without looking at the mm's generation (aa44284960d5, 6.0)."""
    cpu = this(TlbState)
    loaded, asid, lazy, local = this_cpu_tlbstate(cpu)
    if loaded != info.mm:
        note("has another mm loaded")
        if MASK == "lazy":
            info.mm.cpumask.discard(cpu)
    elif lazy and LAZY_TEST == "before-global":
        note("lazy: leave the mm")
        switch_mm_irqs_off(None)
    elif mm_needs_global_asid(info.mm, asid):
        note("move to the global ASID")
        switch_mm_irqs_off(info.mm)
    elif is_global_asid(asid):
        note("global ASID: up to date")
    elif lazy:
        note("lazy: leave the mm")
        switch_mm_irqs_off(None)
    elif info.new_tlb_gen <= local:
        note("past it already")
    else:
        catch_up(cpu, asid, local, info, pages)


@path(show="flush_tlb_func()")
def flush_tlb_func_batch() -> None:
    """The same where ``f->mm`` is NULL and the generation TLB_GENERATION_INVALID: a batch of unmaps
    of any processes. Each of them has begun a generation of its mm, so a CPU whose own mm is at the
    generation that it has flushed need not flush (a CPU that has left an mm finds out when it comes
    back)."""
    cpu = this(TlbState)
    loaded, asid, lazy, local = this_cpu_tlbstate(cpu)
    if loaded is not None:
        if lazy:
            note("lazy: leave the mm")
            switch_mm_irqs_off(None)
        elif BATCH_GEN == "compared":
            note("past it already")
        else:
            gen = READ_ONCE(loaded.tlb_gen)
            if local == gen:
                note("up to date")
            else:
                flush_tlb_local(cpu)
                claim(cpu, asid, gen)


@atomic(show="IPI")
def take_request(cpu: TlbState) -> tuple[TlbState, FlushTlbInfo, set[Page], bool]:
    """Take an interrupt: who has sent it, and what is asked, which nobody changes until the sender
    has its answer; and whether it is about a batch."""
    sender = cast(TlbState, take_interrupt(cpu))
    batch = BATCH_FLUSH == "multi" and sender.flush_batch
    return sender, sender.flush_info, sender.call_pages, batch


@path(show="interrupt")
def flush_interrupts() -> None:
    """The interrupt handler of a CPU, again and again: a thread beside what the CPU runs."""
    cpu = this(TlbState)
    while True:
        sender, info, pages, batch = take_request(cpu)
        if batch:
            flush_tlb_func_batch()
        else:
            flush_tlb_func(info, pages)
        end_of_interrupt(cpu, sender)
