"""fs/proc/task_mmu.c: /proc/PID/clear_refs, which makes pages read-only to learn of writes."""

from __future__ import annotations

from shootdown.hardware.machine import Page
from shootdown.hardware.pae import right_on_its_way
from shootdown.lang import atomic, atomic_dec, atomic_inc, path, replace
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.mm.mmu_gather import MmuGather, tlb_finish_mmu, tlb_gather_mmu
from shootdown.linux.mm.mmu_notifier import (
    mmu_notifier_invalidate_range_end,
    mmu_notifier_invalidate_range_start,
    notify_after_unlock,
    notify_before_unlock,
)
from shootdown.linux.mm_types import Mm, Pages
from shootdown.linux.options_rights import CLEAR_REFS
from shootdown.linux.pgtable import pte_lockptr, ptep_get, ptep_get_and_clear, set_pte_at


@path(show="clear_soft_dirty()")
def clear_soft_dirty(mm: Mm, page: Page) -> None:
    """Make one PTE read-only, so that the next write faults and sets the soft-dirty bit."""
    with pte_lockptr(mm, page):
        found = ptep_get(mm, page)
        if found.present:
            old = ptep_get_and_clear(mm, page)
            notify_before_unlock(mm, page)
            set_pte_at(mm, page, replace(old, writable=False))


@path(show="walk_page_range()")
def clear_refs_walk(mm: Mm, pages: Pages) -> None:
    """The walk, with whatever stands for the flush around it.

    Today ``tlb_flush_pending`` is counted and the whole mm is flushed, by hand (912efa17e512). With
    a gather in which nobody enters a range, nothing is flushed unless gathers are nested.
    """
    if CLEAR_REFS == "gather":
        tlb = MmuGather()
        tlb_gather_mmu(mm)
        for page in pages:
            clear_soft_dirty(mm, page)
        tlb_finish_mmu(mm, tlb, pages)
    elif CLEAR_REFS == "uncounted":
        for page in pages:
            clear_soft_dirty(mm, page)
        flush_tlb_mm_range(mm, set(Page))
    else:
        atomic_inc(mm.tlb_flush_pending)
        mm.open += 1
        mmu_notifier_invalidate_range_start(mm, pages)
        for page in pages:
            clear_soft_dirty(mm, page)
        notify_after_unlock(mm, set(pages))
        mmu_notifier_invalidate_range_end(mm, pages)
        flush_tlb_mm_range(mm, set(Page))
        atomic_dec(mm.tlb_flush_pending)
        mm.open -= 1


@atomic(show="return to user")
def return_from_clear_refs(mm: Mm, pages: Pages) -> None:
    """From here on a store must fault first; unless one has done so already."""
    for page in pages:
        if not mm.pte[page].writable and not right_on_its_way(mm, page):
            mm.sealed.add(page)


@path(show="clear_refs_write()")
def clear_refs_write(mm: Mm, pages: Pages) -> None:
    """``echo 4 >/proc/PID/clear_refs``. Page faults are kept out until the flush, since a fault
    copies a page that it finds read-only (29a951dfb3c3)."""
    if CLEAR_REFS == "write-locked":
        with mm.mmap_lock.write():
            clear_refs_walk(mm, pages)
    else:
        with mm.mmap_lock.read():
            clear_refs_walk(mm, pages)
    return_from_clear_refs(mm, pages)
