"""mm/khugepaged.c: a page table is replaced by a huge page, or just taken away.

The first is for anonymous memory (``collapse_huge_page()``): its small pages are copied, so nobody
may have a reference to them that they do not know of. The second is for file memory
(``retract_page_tables()``): the small pages are in no table any more, and the table is freed.
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import Page, Pte
from shootdown.hardware.walker import Pmd
from shootdown.lang import READ_ONCE, WRITE_ONCE, event, note, path
from shootdown.linux.mm.mmu_gather_tables import tlb_remove_table_sync_one
from shootdown.linux.mm.pgtable_generic import (
    pmd_index,
    pmd_populate,
    pmdp_collapse_flush,
    pte_free_defer,
)
from shootdown.linux.mm_tables import PageTable, PinnedFolio, UserMm, put_folio
from shootdown.linux.options_tables import COLLAPSE_SYNC
from shootdown.linux.table_checks import free_table


@path
def sync_after_collapse() -> None:
    """Wait for software walkers (2ba99c5e0881)."""
    if COLLAPSE_SYNC == "ipi":
        tlb_remove_table_sync_one()


@path(show="__collapse_huge_page_isolate()")
def isolate(table: PageTable, page: Page) -> PinnedFolio | None:
    """With the lock of the detached table: the folio, if nobody but its one mapping refers to it.
    A page of which there is another reference must stay where it is."""
    pte = READ_ONCE(table.pte[page])
    folio = cast(PinnedFolio, pte.frame)
    if READ_ONCE(folio.refcount) != 1:
        note("somebody has a reference")
        return None
    return folio


@path(show="__collapse_huge_page_copy()")
def copy_and_drop(table: PageTable, page: Page, folio: PinnedFolio) -> None:
    """Copy the page, clear its entry in the detached table, let go of it."""
    event("copy to the huge page")
    folio.replaced = True
    assert not folio.pinned, "INV-PIN: a page is replaced and somebody has a reference to it"
    with table.ptl:
        WRITE_ONCE(table.pte[page], Pte())
    put_folio(folio)


@path(show="collapse_huge_page()")
def collapse_huge_page(mm: UserMm, page: Page, huge: PinnedFolio) -> None:
    """The mmap lock and the anon_vma's are held for writing: no fault, no rmap walk. The table is
    kept for the day on which the huge page is split (``pgtable_trans_huge_deposit()``)."""
    with mm.pmd_lock:
        pmd = pmdp_collapse_flush(mm, page)
    sync_after_collapse()
    table = cast(PageTable, pmd.table)
    with table.ptl:
        folio = isolate(table, page)
    if folio is None:
        with mm.pmd_lock:
            pmd_populate(mm, page, table)
    else:
        copy_and_drop(table, page, folio)
        with mm.pmd_lock:
            WRITE_ONCE(mm.pmd[pmd_index(page)], Pmd(present=True, large=True, frame=huge))


@path(show="retract_page_tables()")
def retract_page_tables(mm: UserMm, page: Page) -> None:
    """Free the table of a file mapping: its pages were unmapped before, and the next fault maps the
    huge page. Left out: that the fault is kept away by locks, which lockless walkers ignore."""
    with mm.pmd_lock:
        pmd = pmdp_collapse_flush(mm, page)
    table = cast(PageTable, pmd.table)
    if COLLAPSE_SYNC == "rcu":
        pte_free_defer(table)
    else:
        sync_after_collapse()
        free_table(table)


@path(show="collapse_file()")
def collapse_file(mm: UserMm, page: Page) -> None:
    """Another process makes a huge page of a part of the file, and takes away the tables of all who
    map it: through the file, with its lock, and without their mmap locks (1d65b771bc08, 6.6)."""
    with mm.i_mmap_rwsem.read():
        pmd = READ_ONCE(mm.pmd[pmd_index(page)])
        if pmd.present and not pmd.large:
            retract_page_tables(mm, page)
