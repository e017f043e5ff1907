"""mm/gup.c: reading a page table without its lock, interrupts off."""

from __future__ import annotations

from shootdown.hardware.ipi import local_irq_enable
from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.pae import entry_of, on_its_way
from shootdown.lang import atomic, mark, note, path, this
from shootdown.linux.mm_types import Mm
from shootdown.linux.pgtable import ptep_get_lockless


@atomic(show="local_irq_disable()")
def begin_lockless(cpu: Cpu, mm: Mm, page: Page) -> None:
    """G1. The property looks at the values of the entry from here on."""
    cpu.irq_on = False
    found = entry_of(mm, page)
    now: set[Frame] = {
        frame
        for frame in Frame
        if (found.present and found.frame == frame) or on_its_way(mm, page, frame)
    }
    mm.mapped_since[page] = now


@path(show="gup_fast_pte_range()")
def gup_fast_pte_range(mm: Mm, page: Page) -> None:
    """G1..G6: whatever is found present must have been there."""
    cpu = this(Cpu)
    begin_lockless(cpu, mm, page)
    low, high = ptep_get_lockless(mm, page)
    known = any(
        frame in mm.mapped_since[page]
        and frame.pfn_low == low.pfn_low
        and frame.pfn_high == high.pfn_high
        for frame in Frame
    )
    if low.present and not known:
        mark("torn: the entry never had this value")
    assert known or not low.present, "INV-S0-5: a lockless reader returns a value that never was"
    if not low.present:
        note("none")
    local_irq_enable(cpu)
