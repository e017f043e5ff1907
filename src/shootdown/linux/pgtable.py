"""Access to page-table entries: include/linux/pgtable.h and arch/x86/include/asm/pgtable-3level.h.

With ``pte=word`` an entry is one word. With ``pte=pae`` it is two, and no access to both is atomic:
a present entry is made high half first and removed low half first.
"""

from __future__ import annotations

from shootdown.hardware.machine import Noted, Page, Pte, PteHigh, PteLow
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    Ref,
    SpinLock,
    path,
    smp_rmb,
    smp_wmb,
    xchg,
)
from shootdown.linux.mm_types import Folio, Mm, page_folio, region_of
from shootdown.linux.options import PTE_WIDTH, PTL
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


@path(show="ptep_get()")
def ptep_get(mm: Mm, page: Page) -> Pte:
    """Read an entry, with the PTL held."""
    if PTE_WIDTH == "pae":
        low = READ_ONCE(mm.pte_low[page])
        return Pte(present=low.present)
    return READ_ONCE(mm.pte[page])


@path(show="set_pte_at()")
def set_pte_at(mm: Mm, page: Page, pte: Pte) -> None:
    """Make an entry present that is not. PAE: ``native_set_pte()``, high half first."""
    if PTE_WIDTH == "pae":
        folio = page_folio(pte.frame)
        WRITE_ONCE(mm.pte_high[page], PteHigh(pfn_high=folio.pfn_high))
        smp_wmb()
        WRITE_ONCE(mm.pte_low[page], PteLow(present=True, pfn_low=folio.pfn_low))
        mm.mapped_since[page].add(pte.frame)
    else:
        WRITE_ONCE(mm.pte[page], pte)


@path(show="ptep_get_and_clear()")
def ptep_get_and_clear(mm: Mm, page: Page) -> Pte:
    """Remove an entry and give what it was, with the last A and D. PAE: low half first; the
    exchange of the low half is what makes the removal atomic for the page walker."""
    if PTE_WIDTH == "pae":
        low = xchg(mm.pte_low[page], PteLow())
        high = READ_ONCE(mm.pte_high[page])
        WRITE_ONCE(mm.pte_high[page], PteHigh())
        for folio in Folio:
            if folio.pfn_low == low.pfn_low and folio.pfn_high == high.pfn_high:
                return Pte(present=low.present, frame=folio)
        return Pte()
    return xchg(mm.pte[page], Pte())


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
