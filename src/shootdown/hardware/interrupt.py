"""Interrupt handlers of several steps.

In ``ipi`` a handler is one step. Here it is a thread of its own on the CPU that it interrupts
(``Thread(handler, on=cpu, daemon=True)``); whatever else runs on that CPU carries the guard
``when=not_interrupted`` and stands still meanwhile. A CPU takes an interrupt between any two steps
while it accepts them, and no second one before the first is over.
"""

from __future__ import annotations

from shootdown.hardware.machine import Cpu, Page
from shootdown.lang import atomic, choose, when


class InterruptibleCpu(Cpu):
    """A CPU, and whether it is in an interrupt handler."""

    in_irq: bool = False


@atomic
def not_interrupted(cpu: InterruptibleCpu) -> bool:
    """The guard of everything but the handler."""
    return not cpu.in_irq


@atomic(show="send IPIs")
def send_interrupts(sender: Cpu, targets: set[Cpu], pages: set[Page]) -> None:
    """Queue the call on every target and interrupt it."""
    sender.call_pending = targets
    sender.call_pages = pages


@atomic(show="IPI")
def take_interrupt(cpu: InterruptibleCpu) -> Cpu:
    """Wait for an interrupt and take it; who has sent it. It comes while the CPU accepts interrupts
    (Intel SDM 3A 10.8.4), turns them off, and lets all stores before it reach memory. If several
    CPUs have sent one, which is taken first is open: they may have been sent in any order."""
    when(cpu.irq_on)
    sender = choose({sender for sender in Cpu if cpu in sender.call_pending})
    cpu.irq_on = False
    cpu.in_irq = True
    return sender


@atomic(show="acknowledge, IRET")
def end_of_interrupt(cpu: InterruptibleCpu, sender: Cpu) -> None:
    """Tell the sender, and go on with what was interrupted."""
    sender.call_pending.discard(cpu)
    cpu.in_irq = False
    cpu.irq_on = True


@atomic(show="local_irq_disable()", fence=False)
def irq_disable(cpu: Cpu) -> None:
    """CLI. It waits for nothing; stores stay in the buffer."""
    cpu.irq_on = False


@atomic(show="local_irq_enable()", fence=False)
def irq_enable(cpu: Cpu) -> None:
    """STI."""
    cpu.irq_on = True
