"""kernel/fork.c: a process is copied."""

from __future__ import annotations

from shootdown.hardware.machine import Page
from shootdown.lang import WRITE_ONCE, atomic_inc, clear_bit, path, replace
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.mm_types import Mm, Pages, page_folio, region_begin, region_of
from shootdown.linux.pgtable import pte_lockptr, ptep_get, set_pte_at


@path(show="copy_present_ptes()")
def copy_present_ptes(mm: Mm, page: Page) -> None:
    """The parent's side of mm/memory.c ``copy_present_ptes()``: what both will have is read-only
    from here on. The dirty flag stays (``ptep_set_wrprotect()``)."""
    with pte_lockptr(mm, page):
        pte = ptep_get(mm, page)
        if pte.present and pte.writable:
            set_pte_at(mm, page, replace(pte, writable=False))


@path(show="fork()")
def dup_mmap(mm: Mm, pages: Pages) -> None:
    """Copy all PTEs, then flush the parent, with its mmap lock held for writing, which nobody else
    takes here. The parent's ``tlb_flush_pending`` is not incremented (kernel/fork.c, mm/mmap.c)."""
    for page in pages:
        copy_present_ptes(mm, page)
    whole: set[Page] = set(Page)
    flush_tlb_mm_range(mm, whole)


@path(show="copy_pte_range()")
def copy_pte_range(mm: Mm, child: Mm, pages: Pages) -> None:
    """One page table: ``__copy_present_ptes()`` for each page, with both PTLs held."""
    with pte_lockptr(child, pages[0]), pte_lockptr(mm, pages[0]):
        for page in pages:
            pte = ptep_get(mm, page)
            if pte.present:
                folio = page_folio(pte.frame)
                atomic_inc(folio.refcount)
                atomic_inc(folio.mapcount)
                if pte.writable:
                    clear_bit(mm.pte[page].writable)
                set_pte_at(child, page, replace(pte, writable=False, accessed=False))


@path(show="fork()")
def dup_mmap_locked(mm: Mm, child: Mm, pages: Pages) -> None:
    """The same with both sides, and with the mmap lock held for writing. ``flush_tlb_mm()`` tells
    also CPUs that are lazy, since x86 asks for that with every flush of everything."""
    with mm.mmap_lock.write():
        at = 0
        first = region_of(pages[0]).index
        last = region_of(pages[len(pages) - 1]).index
        for region in range(first, last + 1):
            end = min(len(pages), region_begin(region + 1) - pages[0].index)
            copy_pte_range(mm, child, pages[at:end])
            at = end
        flush_tlb_mm_range(mm, set(Page), freed_tables=True)


@path(show="mm_init()")
def mm_init(mm: Mm) -> None:
    """A new address space: no CPU has run it yet."""
    WRITE_ONCE(mm.cpumask, set())
