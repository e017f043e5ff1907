"""arch/x86/kernel/alternative.c: instructions are patched through an address space of their own.

It maps nothing but the page to be patched, and is loaded for a moment, with interrupts off (5.10).
"""

from __future__ import annotations

from shootdown.hardware.interrupt import irq_disable, irq_enable
from shootdown.lang import event, note, path, this
from shootdown.linux.arch.x86.switch import switch_mm_irqs_off
from shootdown.linux.arch.x86.tlbflush import ContextMm, TlbState, this_cpu_tlbstate


@path(show="use_temporary_mm()")
def use_temporary_mm(mm: ContextMm, *, leave_lazy: bool) -> ContextMm | None:
    """Load it; what was loaded before. ``leave_lazy``: a CPU that is lazy gives up the mm that it
    has borrowed first (``leave_mm()``, abee7c494d8c, 5.10)."""
    loaded, _, lazy, _ = this_cpu_tlbstate(this(TlbState))
    if leave_lazy and lazy:
        note("lazy: leave the mm")
        switch_mm_irqs_off(None)
        loaded = None
    switch_mm_irqs_off(mm)
    return loaded


@path(show="text_poke()")
def text_poke(mm: ContextMm, *, leave_lazy: bool) -> None:
    """Patch an instruction, and load again what was loaded before: whoever is lazy is not lazy
    any more, as after every switch."""
    cpu = this(TlbState)
    irq_disable(cpu)
    before = use_temporary_mm(mm, leave_lazy=leave_lazy)
    event("write the instruction")
    switch_mm_irqs_off(before)
    irq_enable(cpu)
