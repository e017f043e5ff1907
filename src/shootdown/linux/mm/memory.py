"""mm/memory.c: taking pages out of a page table, and putting one in."""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import Noted, Page, Pte
from shootdown.hardware.walker import Region
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
    folio_remove_rmap_ptes,
    tlb_finish_mmu,
    tlb_flush_mmu,
    tlb_flush_mmu_tlbonly,
    tlb_flush_rmaps,
    tlb_gather_mmu,
    tlb_gather_region,
    tlb_gather_table,
    tlb_gather_vma,
    tlb_remove_folio,
    tlb_remove_whole_folio,
)
from shootdown.linux.mm.mmu_notifier import (
    mmu_notifier_invalidate_range_end,
    mmu_notifier_invalidate_range_start,
    notify_after_unlock,
    notify_before_unlock,
)
from shootdown.linux.mm.rmap_batch import flush_tlb_batched_pending
from shootdown.linux.mm_types import (
    Folio,
    Mm,
    Pages,
    folio_nr_pages,
    page_folio,
    region_begin,
    region_of,
)
from shootdown.linux.options import FAULT_FLUSH, PTL, ZAP_DIRTY, ZAP_FLUSH
from shootdown.linux.options_rights import PFNMAP_FLUSH
from shootdown.linux.options_size import FOLIO_PAGES, GATHER, ZAP_BATCH
from shootdown.linux.pgtable import (
    pte_accessible,
    pte_lockptr,
    pte_present,
    ptep_get,
    ptep_get_and_clear,
    set_pte_at,
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
) -> int:
    """Z3..Z15 for PTEs of one page table. ``file``: they map file pages (else anonymous ones).
    ``force``: the caller passed ZAP_FLAG_FORCE_FLUSH. ``pfnmap``: the VMA is VM_PFNMAP, so its
    pages are not counted, and nothing is gathered but the range. How many pages it has done: all,
    unless the gather is full."""
    force_flush = False
    done = 0
    cleared: set[Page] = set()
    with pte_lockptr(mm, pages[0]):
        tlb_gather_table(mm, pages[0], tlb)
        flush_tlb_batched_pending(mm)
        for page in pages:
            done += 1
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
                if force:
                    force_flush = True
                if tlb_remove_folio(tlb, folio, 1):
                    force_flush = True
                    break
        if force_flush:
            tlb_flush_mmu_tlbonly(mm, tlb)
            tlb_flush_rmaps(tlb)
    notify_after_unlock(mm, cleared)
    if force_flush:
        tlb_flush_mmu(mm, tlb)
    return done


@path
def folio_pte_batch(mm: Mm, pages: Pages, first: Pte) -> int:
    """How many PTEs, from the first on, map pages of one folio that follow each other. They are
    read with the PTL held, which a plain load does."""
    most = min(len(pages), folio_nr_pages() - first.frame.index % folio_nr_pages())
    number = 1
    while number < most:
        pte = ptep_get(mm, pages[number])
        if not pte.present or pte.frame.index != first.frame.index + number:
            break
        number += 1
    return number


@path(show="zap_present_folio_ptes()")
def zap_folios(mm: Mm, pages: Pages, tlb: MmuGather) -> int:
    """Z3..Z15 where anonymous memory consists of large folios: all PTEs of one at once
    (10ebac4f95e7, 6.9). How many pages it has done, as :func:`zap_pte_range`."""
    done = 0
    full = False
    with pte_lockptr(mm, pages[0]):
        flush_tlb_batched_pending(mm)
        while done < len(pages) and not full:
            pte = ptep_get(mm, pages[done])
            number = 1
            if pte.present:
                number = folio_pte_batch(mm, pages[done:], pte)
                for page in pages[done : done + number]:
                    ptep_get_and_clear(mm, page)
                tlb.pages = tlb.pages | set(pages[done : done + number])
                folio = page_folio(pte.frame)
                folio_remove_rmap_ptes(folio, number)
                if number == folio_nr_pages():
                    full = tlb_remove_whole_folio(tlb, folio)
                else:
                    for _ in range(number):
                        full = tlb_remove_folio(tlb, folio, 1) or full
            done += number
        if full:
            tlb_flush_mmu_tlbonly(mm, tlb)
    if full:
        tlb_flush_mmu(mm, tlb)
    return done


@path
def zap_pmd_range(
    mm: Mm,
    pages: Pages,
    tlb: MmuGather,
    *,
    file: bool = False,
    force: bool = False,
    pfnmap: bool = False,
) -> None:
    """Table by table; and again where the gather was full."""
    at = 0
    first = region_of(pages[0]).index
    last = region_of(pages[len(pages) - 1]).index
    for region in range(first, last + 1):
        end = min(len(pages), region_begin(region + 1) - pages[0].index)
        tlb_gather_region(mm, Region(region))
        if GATHER == "unbounded":
            zap_pte_range(mm, pages[at:end], tlb, file=file, force=force, pfnmap=pfnmap)
            at = end
        else:
            while at < end:
                part = pages[at:end]
                if FOLIO_PAGES != "1" and ZAP_BATCH == "folio":
                    at += zap_folios(mm, part, tlb)
                else:
                    at += zap_pte_range(mm, part, tlb, file=file, force=force, pfnmap=pfnmap)


@path
def unmap_page_range(
    mm: Mm, pages: Pages, tlb: MmuGather, *, file: bool = False, pfnmap: bool = False
) -> None:
    """One VMA, or a part of one, that munmap() removes: the PTEs if there is a page table."""
    if PAGE_TABLE == "freed" and READ_ONCE(cast(LufMm, mm).table_gone):
        note("pmd_none -> skip")
    elif PTL == "table":
        tlb_gather_vma(pages)
        zap_pmd_range(mm, pages, tlb, file=file, pfnmap=pfnmap)
    else:
        tlb_gather_vma(pages)
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
    tlb_gather_vma(pages)
    mmu_notifier_invalidate_range_start(mm, pages)
    if full_after_one:
        for page in pages:
            zap_pte_range(mm, (page,), tlb, file=file, force=True)
    elif PTL == "split":
        for page in pages:
            zap_pte_range(mm, (page,), tlb, file=file, force=force, pfnmap=pfnmap)
    elif PTL == "table":
        zap_pmd_range(mm, pages, tlb, file=file, force=force, pfnmap=pfnmap)
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
    with pte_lockptr(mm, page):
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
