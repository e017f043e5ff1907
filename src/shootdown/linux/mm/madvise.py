"""mm/madvise.c: MADV_DONTNEED and MADV_FREE, two zappers that share the mmap lock."""

from __future__ import annotations

from shootdown.hardware.machine import Frame, Page, Pte
from shootdown.hardware.walker import Region
from shootdown.lang import WRITE_ONCE, atomic_inc, down_read, note, path, replace, up_read
from shootdown.linux.mm.memory import zap_page_range_single
from shootdown.linux.mm.mmu_gather import (
    MmuGather,
    tlb_finish_mmu,
    tlb_gather_mmu,
    tlb_gather_region,
    tlb_gather_vma,
)
from shootdown.linux.mm.mmu_notifier import (
    mmu_notifier_invalidate_range_end,
    mmu_notifier_invalidate_range_start,
    notify_after_unlock,
    notify_before_unlock,
)
from shootdown.linux.mm.rmap_batch import flush_tlb_batched_pending
from shootdown.linux.mm.vmscan import shrink_isolated
from shootdown.linux.mm_types import (
    Folio,
    Mm,
    Pages,
    page_folio,
    region_begin,
    region_of,
    vma_of,
)
from shootdown.linux.options import PTL, ZAP_FLUSH
from shootdown.linux.options_size import MADVISE_LOCK
from shootdown.linux.pgtable import pte_lockptr, ptep_get, ptep_get_and_clear, set_pte_at
from shootdown.linux.user import return_from_free, return_to_user


@path
def madvise_lock(mm: Mm, page: Page) -> None:
    """``madvise_lock()``, ``try_vma_read_lock()``."""
    if MADVISE_LOCK == "mmap":
        down_read(mm.mmap_lock)
    if MADVISE_LOCK == "vma":
        down_read(vma_of(page).lock)


@path
def madvise_unlock(mm: Mm, page: Page) -> None:
    """``madvise_unlock()``."""
    if MADVISE_LOCK == "mmap":
        up_read(mm.mmap_lock)
    if MADVISE_LOCK == "vma":
        up_read(vma_of(page).lock)


@path(show="madvise(MADV_DONTNEED)")
def madvise_dontneed(
    mm: Mm, pages: Pages, *, file: bool = False, full_after_one: bool = False
) -> None:
    """Path ZAP, Z1..Z23. The mmap lock is held for reading (or the VMA's own lock), which keeps no
    other zapper out: it is left out here (option ``madvise_lock``), see
    :func:`madvise_dontneed_locked`."""
    force = ZAP_FLUSH == "forced"
    madvise_lock(mm, pages[0])
    zap_page_range_single(mm, pages, file=file, force=force, full_after_one=full_after_one)
    madvise_unlock(mm, pages[0])
    return_to_user(mm, pages)


@path(show="madvise(MADV_DONTNEED)")
def madvise_dontneed_locked(mm: Mm, pages: Pages, *, file: bool = False) -> None:
    """The same with the mmap lock, for scenarios with somebody who holds it for writing."""
    with mm.mmap_lock.read():
        gone = mm.vma_gone
        if gone:
            note("no VMA: -ENOMEM")
        else:
            zap_page_range_single(mm, pages, file=file, force=ZAP_FLUSH == "forced")
    if not gone:
        return_to_user(mm, pages)


@path
def visited(mm: Mm, page: Page, folio: Folio) -> None:
    """(Ghost) From here until a MADV_FREE returns, nobody may rely on what is written: this call,
    or one that is under way, may take effect after the write."""
    mm.freed[page] = False
    folio.precious = False


@path(show="madvise_free_pte_range()")
def madvise_free_pte_range(mm: Mm, pages: Pages, tlb: MmuGather) -> None:
    """Z3..Z14 with Z6': clear A and D of a present PTE, so that reclaim may discard the page unless
    it is written again. A PTE that has neither is skipped, and not gathered. Left out: a folio that
    is in the swap cache or has PG_dirty, which is locked and cleaned first."""
    with pte_lockptr(mm, pages[0]):
        for page in pages:
            pte = ptep_get(mm, page)
            if pte.present:
                folio = page_folio(pte.frame)
                if pte.accessed or pte.dirty:
                    old = ptep_get_and_clear(mm, page)
                    visited(mm, page, folio)
                    new: Pte = replace(old, accessed=False, dirty=False)
                    set_pte_at(mm, page, new)
                    tlb.pages.add(page)
                    notify_before_unlock(mm, page)
                else:
                    visited(mm, page, folio)
                    note("clean and old -> skip")
                WRITE_ONCE(folio.swapbacked, False)
    notify_after_unlock(mm, tlb.pages)


@path
def madvise_free_walk(mm: Mm, pages: Pages, tlb: MmuGather) -> None:
    """``walk_page_range_vma()``: table by table."""
    if PTL == "table":
        at = 0
        first = region_of(pages[0]).index
        last = region_of(pages[len(pages) - 1]).index
        for region in range(first, last + 1):
            end = min(len(pages), region_begin(region + 1) - pages[0].index)
            tlb_gather_region(mm, Region(region))
            madvise_free_pte_range(mm, pages[at:end], tlb)
            at = end
    else:
        madvise_free_pte_range(mm, pages, tlb)


@path(show="madvise(MADV_FREE)")
def madvise_free(mm: Mm, pages: Pages) -> None:
    """``madvise_free_single_vma()``: Z1..Z23 around :func:`madvise_free_pte_range`."""
    madvise_lock(mm, pages[0])
    tlb = MmuGather()
    tlb_gather_mmu(mm)
    tlb_gather_vma(pages)
    mmu_notifier_invalidate_range_start(mm, pages)
    madvise_free_walk(mm, pages, tlb)
    mmu_notifier_invalidate_range_end(mm, pages)
    tlb_finish_mmu(mm, tlb, pages)
    madvise_unlock(mm, pages[0])
    return_from_free(mm, pages)


@path(show="madvise(MADV_PAGEOUT)")
def madvise_pageout(mm: Mm, pages: Pages) -> None:
    """``madvise_cold_or_pageout_pte_range()`` for the pages of one page table, and
    ``reclaim_pages()``. A batch that was flushed is still noted in the mm, so that the next call
    flushes once more."""
    taken: set[Frame] = set()
    with pte_lockptr(mm, pages[0]):
        flush_tlb_batched_pending(mm)
        for page in pages:
            pte = ptep_get(mm, page)
            if pte.present:
                atomic_inc(page_folio(pte.frame).refcount)
                taken.add(pte.frame)
    shrink_isolated(taken)
