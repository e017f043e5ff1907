"""mm/mprotect.c: change_protection() and those who call it.

It makes PTEs less permissive in place, collects the range, and flushes once at the end: it frees
nothing, so all that is at stake are the rights of whoever still has the old translation.
"""

from __future__ import annotations

from shootdown.hardware.machine import Noted, Page
from shootdown.hardware.walker import Region
from shootdown.lang import atomic, note, path, replace
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
from shootdown.linux.mm_types import Mm, Pages, region_begin, region_of
from shootdown.linux.options import PTL
from shootdown.linux.pgtable import pte_lockptr, ptep_get, ptep_get_and_clear, set_pte_at


@path
def change_pte(
    mm: Mm, page: Page, tlb: MmuGather, *, numa: bool = False, writable: bool = False
) -> None:
    """One entry, with the PTL held: make what is present read-only; or ``writable`` again, which
    it is at once if the page is the process's own alone (``can_change_pte_writable()``); or,
    ``numa`` (MM_CP_PROT_NUMA), make it fault, to learn who uses it.

    ``ptep_modify_prot_start()`` takes the entry out and ``ptep_modify_prot_commit()`` puts it back,
    so that no dirty flag is lost. ``pte_needs_flush()`` says whether the old one may be cached with
    more rights, or on x86 with fewer; what is not present needs none, which rests on
    flush_tlb_batched_pending().
    """
    old = ptep_get(mm, page)
    if not old.present:
        note("not present -> nothing to flush")
    else:
        old = ptep_get_and_clear(mm, page)
        notify_before_unlock(mm, page)
        if numa:
            set_pte_at(mm, page, replace(old, present=False, noted=Noted.PROT_NONE))
        else:
            set_pte_at(mm, page, replace(old, writable=writable))
        if numa or old.writable != writable:
            tlb.pages.add(page)


@path(show="change_pte_range()")
def change_pte_range(
    mm: Mm, pages: Pages, tlb: MmuGather, *, numa: bool = False, writable: bool = False
) -> None:
    """One page table of the range."""
    with pte_lockptr(mm, pages[0]):
        flush_tlb_batched_pending(mm)
        for page in pages:
            change_pte(mm, page, tlb, numa=numa, writable=writable)


@path(show="change_prot_numa()")
def change_prot_numa(mm: Mm, pages: Pages) -> None:
    """NUMA balancing (kernel/sched/fair.c, task_numa_work()): under the mmap lock for reading."""
    with mm.mmap_lock.read():
        tlb = MmuGather()
        tlb_gather_mmu(mm)
        change_protection(mm, pages, tlb, numa=True)
        tlb_finish_mmu(mm, tlb, pages)


@path(show="change_protection()")
def change_protection(
    mm: Mm, pages: Pages, tlb: MmuGather, *, numa: bool = False, writable: bool = False
) -> None:
    """All page tables of the range. The caller finishes the gather."""
    tlb_gather_vma(pages)
    mmu_notifier_invalidate_range_start(mm, pages)
    if PTL == "table":
        at = 0
        first = region_of(pages[0]).index
        last = region_of(pages[len(pages) - 1]).index
        for region in range(first, last + 1):
            end = min(len(pages), region_begin(region + 1) - pages[0].index)
            tlb_gather_region(mm, Region(region))
            change_pte_range(mm, pages[at:end], tlb, numa=numa, writable=writable)
            at = end
    else:
        for page in pages:
            change_pte_range(mm, (page,), tlb, numa=numa, writable=writable)
    notify_after_unlock(mm, tlb.pages)
    mmu_notifier_invalidate_range_end(mm, pages)


@atomic(show="return to user")
def return_from_mprotect(mm: Mm, pages: Pages) -> None:
    """Tell the property that from here on no write is allowed."""
    for page in pages:
        mm.sealed.add(page)


@path(show="mprotect(PROT_READ | PROT_WRITE)")
def mprotect_writable(mm: Mm, pages: Pages) -> None:
    """Make pages writable again: on x86 the flags that have changed need a flush here, too."""
    with mm.mmap_lock.write():
        tlb = MmuGather()
        tlb_gather_mmu(mm)
        change_protection(mm, pages, tlb, writable=True)
        tlb_finish_mmu(mm, tlb, pages)


@path(show="mprotect(PROT_READ)")
def mprotect(mm: Mm, pages: Pages) -> None:
    """Make pages read-only, and return when nobody can write to them."""
    with mm.mmap_lock.write():
        tlb = MmuGather()
        tlb_gather_mmu(mm)
        change_protection(mm, pages, tlb)
        tlb_finish_mmu(mm, tlb, pages)
    return_from_mprotect(mm, pages)
