"""arch/x86/mm/tlb.c: ``arch_tlbbatch_flush()``, the flush of a batch of unmaps (6.15)."""

from __future__ import annotations

from shootdown.hardware.interrupt import irq_disable, irq_enable, send_interrupts
from shootdown.hardware.ipi import call_many, wait_for_acks
from shootdown.hardware.machine import Cpu, Page
from shootdown.lang import READ_ONCE, atomic, note, path, this
from shootdown.linux.arch.x86.options import BATCH_FLUSH
from shootdown.linux.arch.x86.tlb_func import flush_tlb_func_batch
from shootdown.linux.arch.x86.tlbflush import TlbState


@atomic(show="send IPIs")
def send_batch(sender: TlbState, targets: set[Cpu]) -> None:
    """Interrupt; what is asked is everything, of whatever mm is loaded."""
    sender.flush_batch = True
    whole: set[Page] = set(Page)
    send_interrupts(sender, targets, whole)


@path
def who_is_awake(cpus: set[Cpu]) -> set[Cpu]:
    """``should_flush_tlb()`` without an mm: a CPU that is lazy looks at the generation before it
    touches a user address again; all others are told."""
    targets: set[Cpu] = set()
    for cpu in TlbState:
        if cpu in cpus:
            if READ_ONCE(cpu.is_lazy):
                note("{} is lazy", cpu)
            else:
                targets.add(cpu)
    return targets


@path(show="flush_tlb_multi()")
def flush_tlb_multi_batch(cpus: set[Cpu]) -> None:
    """Interrupt the others, do this CPU's own part meanwhile, and wait; or do that part alone if
    nobody else is in the mask."""
    me = this(TlbState)
    targets = cpus
    if cpus - {me}:
        targets = who_is_awake(cpus)
    if targets - {me}:
        send_batch(me, targets - {me})
    if me in targets:
        irq_disable(me)
        flush_tlb_func_batch()
        irq_enable(me)
    if targets - {me}:
        wait_for_acks(me)


@path
def flush_tlb_batch(cpus: set[Cpu]) -> None:
    """Everything that these CPUs have is flushed, on return."""
    if BATCH_FLUSH == "multi":
        flush_tlb_multi_batch(cpus)
    else:
        call_many(cpus, set(Page))
