"""mm/ksm.c: one page stands for several with equal contents."""

from __future__ import annotations

from shootdown.hardware.machine import Page, Pte
from shootdown.lang import atomic_inc, event, note, path, replace
from shootdown.linux.mm.memory import folio_mark_dirty, ptep_clear_flush
from shootdown.linux.mm.mmu_gather import folio_put, folio_remove_rmap_pte
from shootdown.linux.mm.mmu_notifier import (
    mmu_notifier_invalidate_range_end,
    mmu_notifier_invalidate_range_start,
    notify_after_unlock,
    notify_before_unlock,
)
from shootdown.linux.mm_types import Folio, Mm
from shootdown.linux.options_rights import KSM_PROTECT
from shootdown.linux.pgtable import pte_lockptr, ptep_get, set_pte_at


@path(show="write_protect_page()")
def write_protect_page(mm: Mm, page: Page, folio: Folio) -> Pte:
    """Make a page stable before it is compared, and give its PTE.

    A PTE that is clean and read-only may have been so for a short time only: if somebody in this mm
    has not flushed yet, this does (b3a81d0841a9). Left out: the count of references, against
    direct I/O.
    """
    mmu_notifier_invalidate_range_start(mm, (page,))
    changed: set[Page] = set()
    with pte_lockptr(mm, page):
        pte = ptep_get(mm, page)
        if pte.present and pte.frame == folio:
            weak = pte.writable or pte.dirty
            if KSM_PROTECT == "pending" and not weak:
                weak = mm.tlb_flush_pending > 0
            if weak:
                entry = ptep_clear_flush(mm, page)
                notify_before_unlock(mm, page)
                changed.add(page)
                if entry.dirty:
                    folio_mark_dirty(folio)
                pte = replace(entry, writable=False, dirty=False)
                set_pte_at(mm, page, pte)
            else:
                note("already protected")
        else:
            pte = Pte()
    notify_after_unlock(mm, changed)
    mmu_notifier_invalidate_range_end(mm, (page,))
    return pte


@path(show="replace_page()")
def replace_page(mm: Mm, page: Page, folio: Folio, kpage: Folio, orig: Pte) -> None:
    """Put the shared page in place of the other, if the PTE did not change meanwhile. It has the
    same contents and neither can be written to, so secondary MMUs may learn of it late."""
    mmu_notifier_invalidate_range_start(mm, (page,))
    changed: set[Page] = set()
    with pte_lockptr(mm, page):
        found = ptep_get(mm, page)
        if found == orig:
            atomic_inc(kpage.refcount)
            atomic_inc(kpage.mapcount)
            ptep_clear_flush(mm, page)
            notify_before_unlock(mm, page)
            changed.add(page)
            new: Pte = Pte(present=True, accessed=True, frame=kpage)
            set_pte_at(mm, page, new)
            folio.replaced = True
            folio_remove_rmap_pte(folio)
        else:
            note("written meanwhile: no merge")
            folio.copied = False
            folio.missed = False
    if folio.replaced:
        folio_put(folio)
    notify_after_unlock(mm, changed)
    mmu_notifier_invalidate_range_end(mm, (page,))


@path(show="try_to_merge_one_page()")
def try_to_merge_one_page(mm: Mm, page: Page, folio: Folio, kpage: Folio) -> None:
    """Protect, compare, replace; with the folio lock and the mmap lock for reading."""
    with mm.mmap_lock.read(), folio.lock:
        orig = write_protect_page(mm, page, folio)
        if orig.present:
            event("pages_identical() = 1")
            folio.copied = True
            replace_page(mm, page, folio, kpage, orig)
