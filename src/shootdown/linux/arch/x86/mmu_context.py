"""arch/x86/include/asm/mmu_context.h before 4.14: ``switch_mm()`` without generations.

Each CR3 write flushes, and who is not in ``mm_cpumask`` has nothing of the mm. What the rest of the
kernel is like is ``shootdown=everyone``.
"""

from __future__ import annotations

from shootdown.hardware.interrupt import irq_disable, irq_enable
from shootdown.hardware.pcid import Pcid
from shootdown.lang import path, this
from shootdown.linux.arch.x86.cr3 import write_cr3
from shootdown.linux.arch.x86.options import MASK
from shootdown.linux.arch.x86.tlbflush import ContextMm, TlbState


@path(show="switch_mm()")
def switch_mm(prev: ContextMm | None, mm: ContextMm) -> None:
    """The bit is set before CR3 is written, so that a flush that comes later reaches this CPU; the
    old bit is cleared before (2.6) or after (831d52bc1539, 2.6.38)."""
    cpu = this(TlbState)
    irq_disable(cpu)
    if prev is not None and MASK == "eager":
        prev.cpumask.discard(cpu)
    mm.cpumask.add(cpu)
    load_cr3(cpu, mm)
    if prev is not None and MASK == "eager-late":
        prev.cpumask.discard(cpu)
    irq_enable(cpu)


@path(show="load_cr3()")
def load_cr3(cpu: TlbState, mm: ContextMm) -> None:
    """All translations but global ones are gone."""
    write_cr3(cpu, mm, Pcid(0), False)
