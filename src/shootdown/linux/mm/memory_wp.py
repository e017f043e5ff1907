"""mm/memory.c, the part about writes to what is present and read-only."""

from __future__ import annotations

from shootdown.hardware.machine import Page, Pte
from shootdown.lang import READ_ONCE, Option, atomic_inc, event, note, path, replace
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.mm.memory import alloc_page, do_anonymous_page, ptep_clear_flush
from shootdown.linux.mm.mmu_gather import folio_put, folio_remove_rmap_pte
from shootdown.linux.mm.mmu_notifier import (
    mmu_notifier_invalidate_range_end,
    mmu_notifier_invalidate_range_start,
    notify_after_unlock,
    notify_before_unlock,
)
from shootdown.linux.mm_types import Folio, Mm, page_folio, vma_of
from shootdown.linux.options_rights import UFFD_WP
from shootdown.linux.options_size import MADVISE_LOCK
from shootdown.linux.pgtable import pte_lockptr, ptep_get, set_pte_at

ACCESS_FLAGS = Option(
    "access_flags",
    "flush",
    choices=("flush", "none"),
    doc="a PTE that becomes writable is flushed (arm64 and most others); or not (x86).",
)


@path(show="wp_page_copy()")
def wp_page_copy(mm: Mm, page: Page, orig: Pte, copy: Folio) -> None:
    """Copy without the PTL; if the PTE is still the same, put the copy in its place, and flush the
    old translation before the new one can be loaded. The caller has a reference on the old page."""
    old = page_folio(orig.frame)
    event("copy the page")
    old.copied = True
    mmu_notifier_invalidate_range_start(mm, (page,))
    changed: set[Page] = set()
    copied = False
    with pte_lockptr(mm, page):
        found = ptep_get(mm, page)
        if found == orig:
            copied = True
            atomic_inc(copy.refcount)
            atomic_inc(copy.mapcount)
            ptep_clear_flush(mm, page)
            notify_before_unlock(mm, page, replaced=True)
            changed.add(page)
            set_pte_at(
                mm,
                page,
                Pte(present=True, writable=True, accessed=True, dirty=True, frame=copy),
            )
            mm.sealed.discard(page)
            old.replaced = True
            folio_remove_rmap_pte(old)
        else:
            note("the entry has changed: forget the copy")
            old.copied = False
            old.missed = False
    notify_after_unlock(mm, changed)
    mmu_notifier_invalidate_range_end(mm, (page,), only=True)
    if copied:
        folio_put(old)
    folio_put(old)


@path(show="do_wp_page()")
def do_wp_page(mm: Mm, page: Page, copy: Folio, *, uffd: bool = False) -> None:
    """A write fault, with the mmap lock held for reading: a private page that others have too is
    copied. ``uffd``: the VMA is registered with userfaultfd for write protection, so somebody may
    have made the PTE read-only without a flush yet, and only the count tells (6ce64428d62)."""
    with mm.mmap_lock.read():
        with pte_lockptr(mm, page):
            pte = ptep_get(mm, page)
            fault = pte.present and not pte.writable
            if fault:
                if uffd and UFFD_WP == "pending" and mm.tlb_flush_pending > 0:
                    note("a flush is pending")
                    flush_tlb_mm_range(mm, {page})
                atomic_inc(page_folio(pte.frame).refcount)
        if fault:
            wp_page_copy(mm, page, pte, copy)
        else:
            note("nothing to do: try again")


@path(show="ptep_set_access_flags()")
def ptep_set_access_flags(mm: Mm, page: Page, entry: Pte) -> None:
    """Give more rights. An architecture whose TLBs may keep the old ones for ever flushes
    (mm/pgtable-generic.c, arch/arm64/mm/fault.c); x86 lets the next access find out."""
    set_pte_at(mm, page, entry)
    if ACCESS_FLAGS == "flush":
        flush_tlb_mm_range(mm, {page})


@path(show="do_wp_page()")
def wp_page_reuse(mm: Mm, page: Page) -> None:
    """A write fault on a page that nobody else has (``wp_page_reuse()``): it becomes writable."""
    with pte_lockptr(mm, page):
        pte = ptep_get(mm, page)
        if pte.present and not pte.writable:
            more: Pte = replace(pte, writable=True, accessed=True, dirty=True)
            ptep_set_access_flags(mm, page, more)
        else:
            note("spurious")


@path(show="do_wp_page()")
def do_wp_page_anonymous(mm: Mm, page: Page) -> bool:
    """A write fault on anonymous memory, with the lock of the VMA held: a page that nobody else has
    is the process's own (``wp_can_reuse_anon_folio()``), any other is copied. Whether it was."""
    copy = False
    with pte_lockptr(mm, page):
        pte = ptep_get(mm, page)
        if pte.present and not pte.writable:
            folio = page_folio(pte.frame)
            if READ_ONCE(folio.refcount) == 1:
                more: Pte = replace(pte, writable=True, accessed=True, dirty=True)
                ptep_set_access_flags(mm, page, more)
            else:
                atomic_inc(folio.refcount)
                copy = True
    if copy:
        wp_page_copy(mm, page, pte, alloc_page())
    return copy


@path(show="handle_pte_fault()")
def handle_pte_fault(mm: Mm, page: Page) -> bool:
    """A write fault on anonymous memory: whether a page was copied, not cleared. What is looked at
    without the PTL is looked at again with it."""
    pte = ptep_get(mm, page)
    copied = False
    if not pte.present:
        do_anonymous_page(mm, page)
    elif not pte.writable:
        copied = do_wp_page_anonymous(mm, page)
    return copied


@path(show="handle_mm_fault()")
def handle_mm_fault(mm: Mm, page: Page) -> bool:
    """The same with the VMA kept: by its own lock (6.4), or by the mmap lock."""
    copied = False
    if MADVISE_LOCK == "vma":
        with vma_of(page).lock.read():
            copied = handle_pte_fault(mm, page)
    else:
        with mm.mmap_lock.read():
            copied = handle_pte_fault(mm, page)
    return copied
