"""mm/hugetlb.c: page tables that several processes share (CONFIG_HUGETLB_PMD_PAGE_TABLE_SHARING).

The shared table holds huge pages, and the entry that refers to it is one level further up than the
names of the model say (a PUD); nothing else is different.
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import Page, Pte
from shootdown.hardware.walker import Pmd
from shootdown.lang import READ_ONCE, WRITE_ONCE, Object, RwSem, atomic_dec, note, path, xchg
from shootdown.linux.arch.x86.tlb_tables import flush_tlb_mm_range
from shootdown.linux.mm.mmu_gather_tables import tlb_remove_table_sync_one
from shootdown.linux.mm.pgtable_generic import pmd_index
from shootdown.linux.mm_tables import PageTable, PinnedFolio, UserMm, put_folio
from shootdown.linux.options_tables import UNSHARE


class Mapping(Object):
    """``struct address_space``: a file and the lock of the list of its mappings."""

    i_mmap_rwsem: RwSem


FILE = Mapping(0)


@path(show="huge_pmd_unshare()")
def huge_pmd_unshare(mm: UserMm, page: Page, table: PageTable) -> bool:
    """Take a table that others use as well out of this address space. The count tells the others
    that the table is theirs; the last of them may use it for whatever it likes."""
    if READ_ONCE(table.pt_share_count) == 0:
        return False
    WRITE_ONCE(mm.pmd[pmd_index(page)], Pmd())
    if UNSHARE == "flush-sync":
        tlb_remove_table_sync_one()
    atomic_dec(table.pt_share_count)
    return True


@path(show="__unmap_hugepage_range()")
def unmap_hugepage_range(mm: UserMm, page: Page) -> PinnedFolio | None:
    """Unmap a huge page, by taking a shared table away or else by clearing the entry. The flush
    must come before the lock is dropped that keeps the other users of the table away
    (a4a118f2eead)."""
    gone: PinnedFolio | None = None
    pmd = READ_ONCE(mm.pmd[pmd_index(page)])
    if not pmd.present:
        return None
    table = cast(PageTable, pmd.table)
    with table.ptl:
        unshared = huge_pmd_unshare(mm, page, table)
        if not unshared:
            pte = xchg(table.pte[page], Pte())
            if pte.present:
                gone = cast(PinnedFolio, pte.frame)
    if not unshared or UNSHARE != "none":
        flush_tlb_mm_range(mm, freed_tables=True)
    return gone


@path(show="munmap()")
def munmap_hugetlb(mm: UserMm, page: Page) -> None:
    """Unmap a huge page of a file."""
    with FILE.i_mmap_rwsem.write():
        folio = unmap_hugepage_range(mm, page)
        if folio is not None:
            put_folio(folio)


@path(show="munmap(), mmap()")
def remap(mm: UserMm, page: Page, other: PinnedFolio) -> None:
    """Unmap a huge page, then map and touch something else at the same address. If the table was
    the process's own by then it is used again: tables are not freed while neighbours need them.
    """
    munmap_hugetlb(mm, page)
    pmd = READ_ONCE(mm.pmd[pmd_index(page)])
    if pmd.present:
        table = cast(PageTable, pmd.table)
        with table.ptl:
            new: Pte = Pte(present=True, writable=True, accessed=True, dirty=True, frame=other)
            WRITE_ONCE(table.pte[page], new)
    else:
        note("needs another table")
