"""Call-function interrupts: one CPU asks others to invalidate, and waits until all have.

A sender has at most one call under way, as in ``smp_call_function_many_cond()``, whose per-CPU data
is locked until it was handled. Delivery, handler and acknowledgement are one step, which can be put
off for as long as the target has its interrupts off, and not for ever otherwise.
"""

from __future__ import annotations

from shootdown.hardware.machine import Cpu, Page
from shootdown.hardware.tlb import invalidate
from shootdown.lang import atomic, path, rule, this, wait_until, when


@atomic(show="send IPIs")
def send_calls(sender: Cpu, targets: set[Cpu], pages: set[Page]) -> None:
    """Queue the call on every target and interrupt it."""
    sender.call_pending = targets
    sender.call_pages = pages


@rule(fair=True, show="IPI from {sender}: invalidate", looks=False)
def handle_call(cpu: Cpu, sender: Cpu) -> None:
    """The target takes the interrupt, invalidates and acknowledges (Intel SDM 3A 10.8.4: a fixed
    interrupt is delivered only while the target accepts interrupts; Linux flush_tlb_func())."""
    when(cpu in sender.call_pending)
    when(cpu.irq_on and not cpu.steal.preempted)
    invalidate(cpu, sender.call_pages)
    sender.call_pending.discard(cpu)


@path(role="ack")
def wait_for_acks(sender: Cpu) -> None:
    """Spin until every target has acknowledged (``csd_lock_wait()``)."""
    wait_until(not sender.call_pending)


@atomic
def local_irq_disable(cpu: Cpu) -> None:
    """CLI: no interrupt is delivered here any more."""
    cpu.irq_on = False


@atomic
def local_irq_enable(cpu: Cpu) -> None:
    """STI."""
    cpu.irq_on = True


@path
def call_many(targets: set[Cpu], pages: set[Page]) -> None:
    """Invalidate on this CPU and on the targets; return when all have done it. The local part runs
    while the others are on their way (``smp_call_function_many_cond(..., SCF_RUN_LOCAL)``)."""
    me = this(Cpu)
    others = targets - {me}
    if others:
        send_calls(me, others, pages)
    if me in targets:
        invalidate(me, pages)
    if others:
        wait_for_acks(me)
