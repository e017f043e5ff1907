"""mm/memory.c: taking pages out of a page table, and putting one in."""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import Noted, Page, Pte
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    atomic,
    atomic_inc,
    choose,
    note,
    path,
)
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.mm.luf import tlb_end_vma
from shootdown.linux.mm.luf_batch import PAGE_TABLE, LufMm
from shootdown.linux.mm.mmu_gather import (
    MmuGather,
    folio_remove_rmap_pte,
    tlb_finish_mmu,
    tlb_flush_mmu,
    tlb_flush_mmu_tlbonly,
    tlb_flush_rmaps,
    tlb_gather_mmu,
    tlb_gather_table,
)
from shootdown.linux.mm.mmu_notifier import (
    mmu_notifier_invalidate_range_end,
    mmu_notifier_invalidate_range_start,
    notify_after_unlock,
    notify_before_unlock,
)
from shootdown.linux.mm.rmap_batch import flush_tlb_batched_pending
from shootdown.linux.mm_types import Folio, Mm, Pages, page_folio
from shootdown.linux.options import FAULT_FLUSH, PTL, ZAP_DIRTY, ZAP_FLUSH
from shootdown.linux.options_rights import PFNMAP_FLUSH
from shootdown.linux.pgtable import (
    pte_accessible,
    pte_lockptr,
    pte_present,
    ptep_get,
    ptep_get_and_clear,
    set_pte_at,
    table_lockptr,
)


@path(show="ptep_clear_flush()")
def ptep_clear_flush(mm: Mm, page: Page) -> Pte:
    """mm/pgtable-generic.c: remove an entry and flush it at once, if a CPU may have it."""
    pte = ptep_get_and_clear(mm, page)
    if pte_accessible(mm, pte):
        flush_tlb_mm_range(mm, {page})
    return pte


@path(show="folio_mark_dirty()")
def folio_mark_dirty(folio: Folio) -> None:
    """PG_dirty."""
    WRITE_ONCE(folio.dirty, True)


@path(show="folio_mark_accessed()")
def folio_mark_accessed(folio: Folio) -> None:
    """PG_referenced."""
    WRITE_ONCE(folio.referenced, True)


@path(show="zap_pte_range()")
def zap_pte_range(
    mm: Mm,
    pages: Pages,
    tlb: MmuGather,
    *,
    file: bool = False,
    force: bool = False,
    pfnmap: bool = False,
) -> None:
    """Z3..Z15 for PTEs of one page table. ``file``: they map file pages (else anonymous ones).
    ``force``: the caller passed ZAP_FLAG_FORCE_FLUSH. ``pfnmap``: the VMA is VM_PFNMAP, so its
    pages are not counted, and nothing is gathered but the range."""
    force_flush = False
    cleared: set[Page] = set()
    with pte_lockptr(mm, pages[0]):
        tlb_gather_table(mm, pages[0], tlb)
        flush_tlb_batched_pending(mm)
        for page in pages:
            pte = ptep_get(mm, page)
            if not pte_present(pte):
                if pte.noted != Noted.NOTHING:
                    set_pte_at(mm, page, Pte())
                else:
                    note("pte_none -> skip")
            else:
                pte = ptep_get_and_clear(mm, page)
                if pfnmap:
                    tlb.pages.add(page)
                    continue
                folio = page_folio(pte.frame)
                if file and pte.dirty:
                    mm.in_hand += 1
                notify_before_unlock(mm, page)
                cleared.add(page)
                if ZAP_FLUSH == "each":
                    flush_tlb_mm_range(mm, {page})
                else:
                    tlb.pages.add(page)
                delay_rmap = False
                if file and pte.dirty:
                    folio_mark_dirty(folio)
                    mm.in_hand -= 1
                    if ZAP_DIRTY != "late" and ZAP_FLUSH != "each":
                        force_flush = True
                        delay_rmap = ZAP_DIRTY == "delay-rmap"
                if file and pte.accessed:
                    folio_mark_accessed(folio)
                if delay_rmap:
                    tlb.delayed.add(folio)
                else:
                    folio_remove_rmap_pte(folio)
                tlb.folios.add(folio)
                if force:
                    force_flush = True
        if force_flush:
            tlb_flush_mmu_tlbonly(mm, tlb)
            tlb_flush_rmaps(tlb)
    notify_after_unlock(mm, cleared)
    if force_flush:
        tlb_flush_mmu(mm, tlb)


@path
def unmap_page_range(
    mm: Mm, pages: Pages, tlb: MmuGather, *, file: bool = False, pfnmap: bool = False
) -> None:
    """One VMA, or a part of one, that munmap() removes: the PTEs if there is a page table."""
    if PAGE_TABLE == "freed" and READ_ONCE(cast(LufMm, mm).table_gone):
        note("pmd_none -> skip")
    else:
        zap_pte_range(mm, pages, tlb, file=file, pfnmap=pfnmap)
    tlb_end_vma(mm)
    if pfnmap and PFNMAP_FLUSH == "end-vma":
        tlb_flush_mmu_tlbonly(mm, tlb)


@path(show="zap_page_range_single()")
def zap_page_range_single(
    mm: Mm,
    pages: Pages,
    *,
    file: bool = False,
    force: bool = False,
    full_after_one: bool = False,
    pfnmap: bool = False,
) -> None:
    """Z1..Z22: gather, zap, finish. ``full_after_one``: the gather has room for one page only, so
    that zap_pte_range() stops and comes back after each (Z11, Z16). tlb_end_vma() is left to the
    callers that LUF is about."""
    tlb = MmuGather()
    tlb_gather_mmu(mm)
    mmu_notifier_invalidate_range_start(mm, pages)
    if full_after_one:
        for page in pages:
            zap_pte_range(mm, (page,), tlb, file=file, force=True)
    elif PTL == "split":
        for page in pages:
            zap_pte_range(mm, (page,), tlb, file=file, force=force, pfnmap=pfnmap)
    else:
        zap_pte_range(mm, pages, tlb, file=file, force=force, pfnmap=pfnmap)
    mmu_notifier_invalidate_range_end(mm, pages)
    tlb_finish_mmu(mm, tlb, pages)


@atomic(show="alloc_page()")
def alloc_page() -> Folio:
    """Any frame that is free."""
    folio = choose({f for f in Folio if not f.allocated})
    folio.allocated = True
    folio.refcount = 0
    return folio


@path
def finish_fault(mm: Mm, page: Page, folio: Folio, pte: Pte) -> None:
    """F1..F5: put an entry where there is none, with the PTL held. A change from none to present
    needs no flush; the variant ``fault_flush=pending`` does one all the same if a gather is open.
    """
    with table_lockptr(mm, page):
        found = ptep_get(mm, page)
        if found.present:
            note("somebody else was faster")
        else:
            atomic_inc(folio.refcount)
            atomic_inc(folio.mapcount)
            if FAULT_FLUSH == "batched":
                flush_tlb_batched_pending(mm)
            if FAULT_FLUSH != "none" and mm.tlb_flush_pending > 0:
                note("a gather is open: flush")
                flush_tlb_mm_range(mm, {page})
            set_pte_at(mm, page, pte)
            mm.revoked[page].discard(folio)


@path(show="do_anonymous_page()")
def do_anonymous_page(mm: Mm, page: Page) -> None:
    """A page fault on an empty entry of anonymous memory."""
    folio = alloc_page()
    finish_fault(
        mm, page, folio, Pte(present=True, writable=True, accessed=True, dirty=True, frame=folio)
    )


@path(show="do_read_fault()")
def do_read_fault(mm: Mm, page: Page, folio: Folio) -> None:
    """A read fault on an empty entry of a private file mapping: map the page cache."""
    finish_fault(mm, page, folio, Pte(present=True, accessed=True, frame=folio))


@path(show="do_cow_fault()")
def do_cow_fault(mm: Mm, page: Page, copy: Folio) -> None:
    """A write fault on an empty entry of a private file mapping: map a copy."""
    finish_fault(
        mm, page, copy, Pte(present=True, writable=True, accessed=True, dirty=True, frame=copy)
    )
