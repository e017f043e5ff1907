"""mm/memory.c and, in 6.14 to 6.19, mm/pt_reclaim.c: MADV_DONTNEED frees an empty page table
(CONFIG_PT_RECLAIM, 6375e95f381e); and a page fault that may need the same table.

It holds the mmap lock for reading only, so page faults and other zappers are about.
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import Page, Pte
from shootdown.lang import (
    READ_ONCE,
    atomic,
    choose,
    note,
    path,
    spin_trylock,
    spin_unlock,
    when,
)
from shootdown.linux.mm.mmu_gather_tables import (
    TableGather,
    tlb_finish_mmu,
    tlb_remove_table,
    zap_entry,
)
from shootdown.linux.mm.pgtable_generic import (
    pmd_clear,
    pmd_index,
    pmd_populate,
    pte_offset_map_lock,
    pte_unmap_unlock,
)
from shootdown.linux.mm_tables import PageTable, PinnedFolio, UserMm
from shootdown.linux.mm_types import Folio, Pages
from shootdown.linux.options_tables import PT_RECLAIM


@path(show="zap_empty_pte_table()")
def zap_empty_pte_table(mm: UserMm, page: Page) -> bool:
    """Take the table out of the tree, with its lock held and all its entries just cleared. The
    locks are taken in the wrong order, so this one is only tried (``try_get_and_clear_pmd()``)."""
    if not spin_trylock(mm.pmd_lock):
        note("busy")
        return False
    pmd_clear(mm, page)
    spin_unlock(mm.pmd_lock)
    return True


@path(show="zap_pte_table_if_empty()")
def zap_pte_table_if_empty(mm: UserMm, page: Page, table: PageTable) -> bool:
    """The same after the lock was dropped: both locks in the right order, and look at all entries
    again (``try_to_free_pte()``). Whether the table was taken out."""
    empty = True
    with mm.pmd_lock:
        pmd = READ_ONCE(mm.pmd[pmd_index(page)])
        if not pmd.present or pmd.table != table:
            note("somebody else was faster")
            empty = False
        else:
            with table.ptl:
                for other in Page:
                    pte = READ_ONCE(table.pte[other])
                    if pte.present:
                        empty = False
                if empty:
                    pmd_clear(mm, page)
    return empty


@path(show="zap_pte_range()")
def zap_pte_range(mm: UserMm, first: Pages, last: Pages, tlb: TableGather) -> None:
    """All pages of one table, and the table. The gather is full after each page of ``first``: the
    lock is dropped, and others may fill what was cleared. The pages of ``last`` are cleared, and
    the table taken out, under the lock."""
    direct = True
    for page in first:
        table = pte_offset_map_lock(mm, page)
        if table is None:
            return
        zap_entry(table, page, tlb)
        pte_unmap_unlock(table)
        if PT_RECLAIM == "recheck":
            direct = False
    table = pte_offset_map_lock(mm, last[0])
    if table is None:
        return
    for page in last:
        zap_entry(table, page, tlb)
    if direct:
        direct = zap_empty_pte_table(mm, last[0])
    pte_unmap_unlock(table)
    freed = direct
    if not direct:
        freed = zap_pte_table_if_empty(mm, last[0], table)
    if freed:
        tlb_remove_table(mm, tlb, table)


@path(show="madvise(MADV_DONTNEED)")
def madvise_dontneed(mm: UserMm, first: Pages, last: Pages) -> None:
    """Give up all pages of a table, and the table."""
    tlb = TableGather()
    zap_pte_range(mm, first, last, tlb)
    tlb_finish_mmu(mm, tlb)


@atomic(show="alloc_page()")
def alloc_frame() -> Folio:
    """Any frame that is free."""
    folio = choose({f for f in Folio if not f.allocated})
    folio.allocated = True
    folio.refcount = 1
    return folio


@atomic(show="pte_alloc_one()")
def pte_alloc_one() -> PageTable:
    """A new, empty table."""
    table = choose({t for t in PageTable if not t.in_use})
    when(not table.given_away)
    table.in_use = True
    return table


@path(show="__pte_alloc()")
def pte_alloc(mm: UserMm, page: Page) -> None:
    """Put an empty table where there is none. One that is not needed is kept for the next time."""
    table = pte_alloc_one()
    with mm.pmd_lock:
        pmd = READ_ONCE(mm.pmd[pmd_index(page)])
        if pmd.present:
            note("somebody else was faster")
            table.in_use = False
        else:
            pmd_populate(mm, page, table)


@path(show="do_anonymous_page()")
def do_anonymous_page(mm: UserMm, page: Page) -> None:
    """A page fault on an empty entry. If the table goes away meanwhile it is taken again."""
    folio = cast(PinnedFolio, alloc_frame())
    pmd = READ_ONCE(mm.pmd[pmd_index(page)])
    if not pmd.present:
        pte_alloc(mm, page)
    table = pte_offset_map_lock(mm, page)
    if table is None:
        note("fault again")
    else:
        pte = READ_ONCE(table.pte[page])
        if pte.present:
            note("somebody else was faster")
        else:
            new: Pte = Pte(present=True, writable=True, accessed=True, dirty=True, frame=folio)
            table.pte[page] = new
        pte_unmap_unlock(table)
