"""kernel/fork.c, mm/memory.c: fork() shares pages, read-only, unless they are pinned for DMA.

All that is left of the child is what it does to the page: one more reference.
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import Page, Pte
from shootdown.lang import READ_ONCE, WRITE_ONCE, atomic_inc, note, path, replace
from shootdown.linux.arch.x86.tlb_tables import flush_tlb_mm_range
from shootdown.linux.mm.pgtable_generic import pmd_index
from shootdown.linux.mm_tables import PageTable, PinnedFolio, UserMm, put_folio


@path(show="copy_present_pte()")
def copy_present_pte(table: PageTable, page: Page) -> None:
    """Share a page with the child, or give the child a copy if the parent's may be pinned."""
    with table.ptl:
        pte = READ_ONCE(table.pte[page])
        folio = cast(PinnedFolio, pte.frame)
        if READ_ONCE(folio.pincount) > 0:
            note("pinned: the child gets a copy")
        else:
            atomic_inc(folio.refcount)
            WRITE_ONCE(table.pte[page], replace(pte, writable=False))


@path(show="fork()")
def copy_page_range(mm: UserMm, page: Page) -> None:
    """``dup_mmap()``, with the mmap lock held for writing. The count is odd as long as pages are
    being made read-only (57efa1fe5957)."""
    pmd = READ_ONCE(mm.pmd[pmd_index(page)])
    WRITE_ONCE(mm.write_protect_seq, 1)
    copy_present_pte(cast(PageTable, pmd.table), page)
    WRITE_ONCE(mm.write_protect_seq, 2)
    flush_tlb_mm_range(mm, freed_tables=False)


@path(show="do_wp_page()")
def do_wp_page(mm: UserMm, page: Page, copy: PinnedFolio) -> None:
    """A write to a page that is read-only for copy on write: somebody else has a reference, so the
    writer gets a copy, and it is the other one's to keep."""
    pmd = READ_ONCE(mm.pmd[pmd_index(page)])
    table = cast(PageTable, pmd.table)
    with table.ptl:
        pte = READ_ONCE(table.pte[page])
        folio = cast(PinnedFolio, pte.frame)
        if pte.writable or READ_ONCE(folio.refcount) == 1:
            note("reuse")
        else:
            new: Pte = replace(pte, frame=copy, writable=True)
            WRITE_ONCE(table.pte[page], Pte())
            flush_tlb_mm_range(mm, freed_tables=False)
            WRITE_ONCE(table.pte[page], new)
            folio.replaced = True
            assert not folio.pinned, (
                "INV-PIN: a page is replaced and somebody has a reference to it"
            )
            put_folio(folio)


@path(show="fork(), write")
def fork_and_write(mm: UserMm, page: Page, copy: PinnedFolio) -> None:
    """The parent forks, then writes."""
    copy_page_range(mm, page)
    do_wp_page(mm, page, copy)
