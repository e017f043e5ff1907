"""arch/x86/mm/tlb.c, the part about kernel mappings: flush_tlb_kernel_range().

There is no mm and no generation here: every CPU has the mapping, so every CPU is told; unless, with
the proposals of 2023 to 2026, it is isolated, in user mode, and will flush before it can use what
was unmapped.
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.interrupt import InterruptibleCpu, end_of_interrupt, take_interrupt
from shootdown.hardware.ipi import wait_for_acks
from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.walker import Pcid, Space, learn
from shootdown.hardware.walker_flush import drop_all, drop_page, load_cr3, load_cr3_noflush
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    atomic,
    note,
    path,
    rule,
    stores_drained,
    this,
    when,
)
from shootdown.linux.arch.x86.entry import enter_from_user_mode, exit_to_user_mode
from shootdown.linux.arch.x86.options import FLUSH_CEILING
from shootdown.linux.kernel.context_tracking import ct_set_cpu_work
from shootdown.linux.kernel_cpu import KernelCpu, housekeeping_cpu, settle, user_mode
from shootdown.linux.options_entry import DEFER, DEFERRED_WORK, PTI


@atomic
def flush_kernel(cpu: KernelCpu, pages: set[Page], everything: bool) -> None:
    """``flush_tlb_one_kernel()`` for each page, or ``__flush_tlb_all()``.

    INVLPG leaves other PCIDs alone, but for global translations. With page-table isolation kernel
    mappings are not global and the other PCIDs are flushed before they are next used
    (``invalidate_other``); without, they are taken to hold nothing but global translations.
    """
    if everything:
        drop_all(cpu)
    else:
        for page in pages:
            drop_page(cpu, page)
        if PTI == "on":
            cpu.invalidate_other = True
    learn(cpu)
    settle(cpu, set(Page) if everything else pages)


@atomic(show="send IPIs")
def send_kernel_calls(
    sender: KernelCpu, targets: set[Cpu], pages: set[Page], everything: bool
) -> None:
    """``smp_call_function_many_cond()``: queue the call on every target and interrupt it."""
    sender.call_pending = targets
    sender.call_pages = pages
    sender.call_all = everything


@rule(fair=True, show="IPI from {sender}: do_kernel_range_flush()")
def do_kernel_range_flush(cpu: KernelCpu, sender: KernelCpu) -> None:
    """The target takes the interrupt, on its kernel root, flushes and acknowledges."""
    when(cpu in sender.call_pending)
    when(cpu.irq_on and not cpu.in_nmi and stores_drained(cpu))
    root, pcid = cpu.root, cpu.pcid
    if cpu.user_mode:
        cpu.disturbed = True
        note("in user mode")
        load_cr3_noflush(cpu, cpu.kernel_root, cpu.kernel_pcid)
    flush_kernel(cpu, sender.call_pages, sender.call_all)
    if cpu.user_mode and root is not None:
        load_cr3_noflush(cpu, root, pcid)
    sender.call_pending.discard(cpu)


@atomic(show="take the call")
def take_kernel_call(cpu: KernelCpu) -> tuple[KernelCpu, set[Page], bool]:
    """Take an interrupt: who has sent it, and what is asked, which nobody changes until the sender
    has its answer."""
    sender = cast(KernelCpu, take_interrupt(cast(InterruptibleCpu, cpu)))
    return sender, sender.call_pages, sender.call_all


@atomic(show="flush here")
def flush_called(cpu: KernelCpu, pages: set[Page], everything: bool) -> None:
    """``do_kernel_range_flush()`` or ``do_flush_tlb_all()``, on a CPU that was interrupted."""
    flush_kernel(cpu, pages, everything)


@path(show="interrupt")
def kernel_flush_interrupt(page: Page) -> None:
    """An interrupt, step by step; where nothing depends on its steps, the rule
    :func:`do_kernel_range_flush` takes its place. One that comes in user mode goes through the
    entry code, like everything else that leaves it; ``page`` is what that touches."""
    cpu = this(KernelCpu)
    sender, pages, everything = take_kernel_call(cpu)
    from_user = user_mode(cpu)
    if from_user:
        cpu.disturbed = True
        enter_from_user_mode(page)
    flush_called(cpu, pages, everything)
    end_of_interrupt(cast(InterruptibleCpu, cpu), sender)
    if from_user:
        exit_to_user_mode()


@atomic(show="flush here")
def flush_here(cpu: KernelCpu, pages: set[Page], everything: bool) -> None:
    """The sender's own part, while the others are on their way."""
    flush_kernel(cpu, pages, everything)


@path
def on_cpus(targets: set[Cpu], pages: set[Page], everything: bool) -> None:
    """``on_each_cpu_cond()``: return when all have done it."""
    me = this(KernelCpu)
    others = targets - {me}
    if others:
        send_kernel_calls(me, others, pages, everything)
    flush_here(me, pages, everything)
    if others:
        wait_for_acks(me)


@path
def too_many(pages: set[Page]) -> bool:
    """More than ``tlb_single_page_flush_ceiling`` pages: flush everything. A scenario's few pages
    never are."""
    if FLUSH_CEILING == "33":
        return len(pages) > 33
    return False


@path(show="flush_tlb_kernel_range()", role="flush")
def flush_tlb_kernel_range(pages: set[Page]) -> None:
    """Every CPU, now: INVLPG of each page, if they are not too many."""
    on_cpus(set(Cpu), pages, too_many(pages))


@path(show="flush_tlb_all()", role="flush")
def flush_tlb_all() -> None:
    """Every CPU, now: everything."""
    on_cpus(set(Cpu), set(), True)


@path
def put_off(cpu: KernelCpu, pages: set[Page], frames: set[Frame]) -> None:
    """(Ghost) A CPU was spared: it owes the flush."""
    for page in pages:
        cpu.owed[page] = cpu.owed[page] | frames


@path(show="flush_tlb_kernel_cond()")
def flush_tlb_kernel_cond(cpu: KernelCpu, pages: set[Page], frames: set[Frame]) -> bool:
    """H2. Whether a CPU must be told now. ``frames`` are what the pages mapped, for the
    properties."""
    needed = True
    if not housekeeping_cpu(cpu):
        if DEFER == "context-tracking":
            if DEFERRED_WORK == "last-range":
                WRITE_ONCE(cpu.deferred_pages, pages)
            needed = not ct_set_cpu_work(cpu)
        if DEFER == "cr3-signal":
            needed = READ_ONCE(cpu.kernel_cr3_loaded)
    if not needed:
        note("{} flushes later", cpu)
        put_off(cpu, pages, frames)
    return needed


@path(show="flush_tlb_kernel_range_deferrable()", role="flush")
def flush_tlb_kernel_range_deferrable(pages: set[Page], frames: set[Frame]) -> None:
    """H2, H3. Every CPU that cannot be spared; for leaf entries only."""
    targets: set[Cpu] = set()
    for cpu in KernelCpu:
        if flush_tlb_kernel_cond(cpu, pages, frames):
            targets = targets | {cpu}
    on_cpus(targets, pages, too_many(pages))


@atomic(show="switch_mm_irqs_off()")
def switch_mm_irqs_off(cpu: KernelCpu, root: Space, pcid: Pcid) -> None:
    """To a process whose PCID this CPU has used before: NOFLUSH, unless other PCIDs than the
    current one were to be invalidated meanwhile (``clear_asid_other()``)."""
    if cpu.invalidate_other:
        load_cr3(cpu, root, pcid)
    else:
        load_cr3_noflush(cpu, root, pcid)
    cpu.kernel_pcid = pcid
