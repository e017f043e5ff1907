"""kernel/fork.c: a process is copied."""

from __future__ import annotations

from shootdown.hardware.machine import Page
from shootdown.lang import path, replace
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.mm_types import Mm, Pages
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
