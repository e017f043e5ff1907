"""Access to page-table entries: include/linux/pgtable.h and arch/x86/include/asm/pgtable-3level.h.

With ``pte=word`` an entry is one word. With ``pte=pae`` it is two, which are written one after the
other: a present entry is made high half first and removed low half first, so that nobody who reads
both at once (the page walker) finds halves of two entries. Options ``pae_set`` and ``pae_clear``
turn that round.
"""

from __future__ import annotations

from shootdown.hardware.machine import Frame, Noted, Page, Pte, PteHigh, PteLow
from shootdown.hardware.pae import PTE_WIDTH, entry_of
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    Ref,
    SpinLock,
    atomic,
    path,
    smp_rmb,
    smp_wmb,
    xchg,
)
from shootdown.linux.mm_types import Mm, region_of
from shootdown.linux.options import PAE_CLEAR, PAE_SET, PTL
from shootdown.linux.options_rights import ACCESSIBLE


@path
def pte_lockptr(mm: Mm, page: Page) -> Ref[SpinLock]:
    """The lock of the page table that holds this page's entry."""
    if PTL == "table":
        return mm.region_ptl[region_of(page)]
    return mm.ptls[page] if PTL == "split" else mm.ptl


@path
def pte_present(pte: Pte) -> bool:
    """As the kernel means it: also a PROT_NONE entry, which only hardware takes for absent."""
    return pte.present or pte.noted == Noted.PROT_NONE


@path
def pte_accessible(mm: Mm, pte: Pte) -> bool:
    """May some CPU have this entry in its TLB? A PROT_NONE entry only as long as whoever made it
    has not flushed yet (20841405940e)."""
    if pte.present:
        return True
    if pte.noted == Noted.PROT_NONE and ACCESSIBLE == "pending":
        return mm.tlb_flush_pending > 0
    return False


@path
def pte_of(low: PteLow, high: PteHigh) -> Pte:
    """The entry that two halves make, which the caller has read."""
    if low.present:
        for frame in Frame:
            if frame.pfn_low == low.pfn_low and frame.pfn_high == high.pfn_high:
                return Pte(
                    present=True,
                    writable=low.writable,
                    accessed=low.accessed,
                    dirty=low.dirty,
                    frame=frame,
                )
    return Pte()


@path(show="ptep_get()")
def ptep_get(mm: Mm, page: Page) -> Pte:
    """Read an entry, with the PTL held. PAE: two loads; hardware changes the low half only, and who
    finds nothing there does not look at the other."""
    if PTE_WIDTH == "pae":
        low = READ_ONCE(mm.pte_low[page])
        if not low.present:
            return Pte()
        return pte_of(low, READ_ONCE(mm.pte_high[page]))
    return READ_ONCE(mm.pte[page])


@path(show="set_pte_at()")
def set_pte_at(mm: Mm, page: Page, pte: Pte) -> None:
    """Make an entry present that is not."""
    if PTE_WIDTH == "pae":
        set_pte_halves(mm, page, pte)
    else:
        WRITE_ONCE(mm.pte[page], pte)


@path
def set_pte_halves(mm: Mm, page: Page, pte: Pte) -> None:
    """``native_set_pte()``: the half with the present bit comes last."""
    low, high = PteLow(), PteHigh()
    if pte.present:
        high = PteHigh(pfn_high=pte.frame.pfn_high)
        low = PteLow(
            present=True,
            writable=pte.writable,
            accessed=pte.accessed,
            dirty=pte.dirty,
            pfn_low=pte.frame.pfn_low,
        )
    if PAE_SET == "high-first":
        WRITE_ONCE(mm.pte_high[page], high)
        smp_wmb()
        WRITE_ONCE(mm.pte_low[page], low)
        meant(mm, page, pte)
    else:
        WRITE_ONCE(mm.pte_low[page], low)
        meant(mm, page, pte)
        smp_wmb()
        WRITE_ONCE(mm.pte_high[page], high)
        meant(mm, page, pte)


@path
def meant(mm: Mm, page: Page, pte: Pte) -> None:
    """(Ghost) From here on the entry may be found: it is present, or half of it is."""
    if pte.present:
        mm.named[page].add(pte.frame)
        mm.mapped_since[page].add(pte.frame)


@path(show="ptep_get_and_clear()")
def ptep_get_and_clear(mm: Mm, page: Page) -> Pte:
    """Remove an entry and give what it was, with the last A and D."""
    if PTE_WIDTH == "pae":
        return clear_halves(mm, page)
    return xchg(mm.pte[page], Pte())


@path
def clear_halves(mm: Mm, page: Page) -> Pte:
    """Remove both halves. The exchange of the low one (``native_ptep_get_and_clear()``) makes it
    atomic for the walker, and takes A and D. Since 4.19 both are exchanged at once, for another
    reason: who speculates on entries that are not present uses the half that is left (L1TF)."""
    if PAE_CLEAR == "whole":
        return exchange_halves(mm, page)
    if PAE_CLEAR == "high-first":
        high = READ_ONCE(mm.pte_high[page])
        WRITE_ONCE(mm.pte_high[page], PteHigh())
        return pte_of(xchg(mm.pte_low[page], PteLow()), high)
    if PAE_CLEAR == "load-store":
        low = READ_ONCE(mm.pte_low[page])
        WRITE_ONCE(mm.pte_low[page], PteLow())
    else:
        low = xchg(mm.pte_low[page], PteLow())
    high = READ_ONCE(mm.pte_high[page])
    WRITE_ONCE(mm.pte_high[page], PteHigh())
    return pte_of(low, high)


@atomic(show="cmpxchg8b")
def exchange_halves(mm: Mm, page: Page) -> Pte:
    """``pxx_xchg64()``."""
    found = entry_of(mm, page)
    mm.pte_low[page] = PteLow()
    mm.pte_high[page] = PteHigh()
    return found


@path(show="ptep_get_lockless()")
def ptep_get_lockless(mm: Mm, page: Page) -> tuple[PteLow, PteHigh]:
    """G2..G4: read the halves of an entry without its lock, low half last again, until the low half
    did not change in between. Interrupts are off (CONFIG_GUP_GET_PXX_LOW_HIGH, 2a4a06da8a4b)."""
    low = READ_ONCE(mm.pte_low[page])
    while True:
        smp_rmb()
        high = READ_ONCE(mm.pte_high[page])
        smp_rmb()
        again = READ_ONCE(mm.pte_low[page])
        if again == low:
            return low, high
        low = again
