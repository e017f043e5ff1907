"""Paths of Xen: map_pages_to_xen() (xen/arch/x86/mm.c), the part that XSA-345 is about.

The upper level of the model is Xen's L3, its tables are L2. The hypervisor's address space is the
one in the scenario.
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import Page, Pte
from shootdown.hardware.walker import Pmd, give_away
from shootdown.lang import READ_ONCE, WRITE_ONCE, atomic, note, path, xchg
from shootdown.linux.arch.x86.tlb_tables import flush_tlb_mm_range
from shootdown.linux.mm.pgtable_generic import pmd_index
from shootdown.linux.mm_tables import PageTable, PinnedFolio, UserMm


@atomic(show="free_xen_pagetable()")
def free_xen_pagetable(table: PageTable) -> None:
    """The table's page goes back to the allocator, and to its next user at once."""
    assert not table.given_away, "INV-PT: a page table is freed twice"
    give_away(table)


@path
def modify_entry(mm: UserMm, page: Page, frame: PinnedFolio) -> None:
    """Find the table in L3, write the entry."""
    l3e = READ_ONCE(mm.pmd[pmd_index(page)])
    if not l3e.present or l3e.large:
        note("a superpage already")
    else:
        table = cast(PageTable, l3e.table)
        new: Pte = Pte(present=True, writable=True, accessed=True, frame=frame)
        WRITE_ONCE(table.pte[page], new)
        assert not table.given_away, "INV-PT: software writes to a page that is no page table"


@path
def make_superpage(mm: UserMm, page: Page, frame: PinnedFolio) -> None:
    """A superpage where a table was, flush, free the table."""
    l3e = xchg(mm.pmd[pmd_index(page)], Pmd(present=True, large=True, frame=frame))
    flush_tlb_mm_range(mm)
    free_xen_pagetable(cast(PageTable, l3e.table))


@path(show="map_pages_to_xen()")
def map_page_to_xen(mm: UserMm, page: Page, frame: PinnedFolio, *, locked: bool) -> None:
    """One page. ``locked``: with the L3 slot locked (``L3T_LOCK()``, 1ce75e99d7), from the first
    look at it to the last write."""
    if locked:
        with mm.pmd_lock:
            modify_entry(mm, page, frame)
    else:
        modify_entry(mm, page, frame)


@path(show="map_pages_to_xen()")
def map_superpage_to_xen(mm: UserMm, page: Page, frame: PinnedFolio, *, locked: bool) -> None:
    """A superpage's worth of pages."""
    if locked:
        with mm.pmd_lock:
            make_superpage(mm, page, frame)
    else:
        make_superpage(mm, page, frame)
