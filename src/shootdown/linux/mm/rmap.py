"""mm/rmap.c: from a folio to the PTEs that map it."""

from __future__ import annotations

from typing import cast

from shootdown.hardware.access import tlb_may_use
from shootdown.hardware.machine import Noted, Page, Pte
from shootdown.lang import READ_ONCE, WRITE_ONCE, atomic, note, path, replace
from shootdown.linux.mm.file_types import FileFolio
from shootdown.linux.mm.memory import folio_mark_dirty, ptep_clear_flush
from shootdown.linux.mm.mmu_gather import folio_remove_rmap_pte
from shootdown.linux.mm.mmu_notifier import (
    mmu_notifier_invalidate_range_end,
    mmu_notifier_invalidate_range_start,
    notify_after_unlock,
    notify_before_unlock,
)
from shootdown.linux.mm.rmap_batch import (
    TlbUbc,
    can_luf_done,
    can_luf_init,
    mark_tlb_flush_batched,
    set_tlb_ubc_flush_pending,
    should_defer_flush,
)
from shootdown.linux.mm_types import Folio, Mm
from shootdown.linux.options import TTU_MARK
from shootdown.linux.options_size import RMAP
from shootdown.linux.pgtable import (
    pte_accessible,
    pte_lockptr,
    pte_present,
    ptep_get,
    ptep_get_and_clear,
    set_pte_at,
)

Mappings = tuple[tuple[Mm, Page], ...]
"""What the rmap knows of a folio: the places where it may be mapped. Fixed in a scenario."""


@path(show="page_mkclean_one()")
def page_mkclean_one(mm: Mm, page: Page, folio: Folio) -> bool:
    """Make the PTE of one page clean and read-only if it maps the folio."""
    cleaned = False
    with pte_lockptr(mm, page):
        pte = ptep_get(mm, page)
        if pte.present and pte.frame == folio and (pte.dirty or pte.writable):
            entry = ptep_clear_flush(mm, page)
            set_pte_at(mm, page, replace(entry, writable=False, dirty=False))
            cleaned = True
    return cleaned


@path(show="folio_mkclean()")
def folio_mkclean(mm: Mm, page: Page, folio: Folio, *, moves: bool = False) -> bool:
    """W1..W3: make every PTE of the folio clean and read-only. An unmapped folio has none; the
    walk (PVMW_SYNC) looks at a PTE only with its PTL held, so it waits for a zapper. ``moves``:
    the last page is visited as well, since mremap() may have put the folio there."""
    if READ_ONCE(folio.mapcount) == 0:
        note("not mapped")
        return False
    cleaned = page_mkclean_one(mm, page, folio)
    if moves and page_mkclean_one(mm, Page(len(Page) - 1), folio):
        cleaned = True
    return cleaned


@atomic(show="discard the folio")
def discard(folio: Folio) -> None:
    """The contents are gone, and the frame is free."""
    assert not tlb_may_use(folio), "INV-S0-1: frame freed while a CPU can still use it"
    assert not folio.precious, "INV-S0-2: a page written after MADV_FREE returned is discarded"
    folio.allocated = False


@path(show="try_to_unmap()")
def try_to_unmap_lazyfree(mm: Mm, page: Page, folio: Folio) -> None:
    """The part of ``try_to_unmap_one()`` for a folio that MADV_FREE has marked: if neither the PTE
    nor the folio is dirty, nobody has written since, and it is dropped; else it is put back.
    Flushed at once (batching joins with system S2); nobody else holds a reference."""
    with mm.ptl:
        pte = ptep_get(mm, page)
        if pte.present and pte.frame == folio:
            entry = ptep_clear_flush(mm, page)
            if entry.dirty:
                folio_mark_dirty(folio)
            if READ_ONCE(folio.dirty):
                set_pte_at(mm, page, entry)
                WRITE_ONCE(folio.swapbacked, True)
            else:
                folio_remove_rmap_pte(folio)
                discard(folio)


@path(show="try_to_unmap_one()")
def try_to_unmap_one(mm: Mm, page: Page, folio: Folio, ubc: TlbUbc, *, batch: bool = True) -> None:
    """U1..U10 for a file folio, which is locked. ``batch``: the caller gave TTU_BATCH_FLUSH.

    A CPU may go on writing through an entry whose dirty flag is cached, and nothing else: a store
    through any other entry walks again and finds the PTE gone (72b252aed506). Left out: the look at
    the PTE without its lock that page_vma_mapped_walk() takes first, unless TTU_SYNC is given;
    mlock; anonymous folios, where a swap entry takes the place of the PTE.

    A file folio that is locked stays in the page cache, so that nothing else can be mapped here
    before range_end, and it has the caller's reference: secondary MMUs can be told then.
    """
    mmu_notifier_invalidate_range_start(mm, (page,))
    changed: set[Page] = set()
    with pte_lockptr(mm, page):
        pte = ptep_get(mm, page)
        if pte.present and pte.frame == folio:
            defer = False
            if batch:
                defer = should_defer_flush(mm)
            if defer:
                if TTU_MARK == "before-clear":
                    mark_tlb_flush_batched(mm)
                pte = ptep_get_and_clear(mm, page)
                mm.queued.add(page)
                mm.in_hand += 1
                set_tlb_ubc_flush_pending(mm, page, pte, ubc, mark=TTU_MARK == "after-clear")
            else:
                pte = ptep_clear_flush(mm, page)
                mm.in_hand += 1
            notify_before_unlock(mm, page)
            changed.add(page)
            if pte.dirty:
                folio_mark_dirty(folio)
            mm.in_hand -= 1
            folio_remove_rmap_pte(folio)
            folio_ref_sub(folio)
    notify_after_unlock(mm, changed)
    mmu_notifier_invalidate_range_end(mm, (page,))


@atomic(show="folio_put()")
def folio_ref_sub(folio: Folio) -> None:
    """U10. The reference of the PTE; not the last one if the caller has one."""
    folio.refcount -= 1
    if folio.refcount == 0:
        folio.allocated = False
        note("{} is free", folio)


@path(show="try_to_unmap()")
def try_to_unmap(mappings: Mappings, folio: Folio, ubc: TlbUbc, *, batch: bool = True) -> bool:
    """Unmap a folio from everybody; whether nobody maps it any more."""
    can_luf_init(ubc)
    if RMAP == "file":
        place = READ_ONCE(cast(FileFolio, folio).index_page)
        for user in READ_ONCE(cast(FileFolio, folio).mapping.i_mmap):
            try_to_unmap_one(user, place, folio, ubc, batch=batch)
    else:
        for mm, page in mappings:
            try_to_unmap_one(mm, page, folio, ubc, batch=batch)
    can_luf_done(folio, ubc)
    return READ_ONCE(folio.mapcount) == 0


@path(show="try_to_migrate_one()")
def try_to_migrate_one(
    mm: Mm, page: Page, folio: Folio, ubc: TlbUbc, *, batch: bool = True, sync: bool = True
) -> None:
    """U1..U10 with a migration entry in place of the PTE. Batched since 7e12beb8ca2a (6.3).

    Without ``sync`` (TTU_SYNC) page_vma_mapped_walk() passes over an entry that looks empty before
    it takes the PTL; that matters only where a page moves, so most scenarios leave the look out.
    """
    if not sync and not pte_present(ptep_get(mm, page)):
        note("empty: skip, without the PTL")
        return
    mmu_notifier_invalidate_range_start(mm, (page,))
    changed: set[Page] = set()
    with pte_lockptr(mm, page):
        pte = ptep_get(mm, page)
        if pte_present(pte) and pte.frame == folio:
            defer = False
            if batch:
                defer = should_defer_flush(mm)
            if defer:
                pte = ptep_get_and_clear(mm, page)
                mm.queued.add(page)
                if pte_accessible(mm, pte):
                    set_tlb_ubc_flush_pending(mm, page, pte, ubc)
            else:
                pte = ptep_clear_flush(mm, page)
            notify_before_unlock(mm, page)
            changed.add(page)
            if pte.dirty:
                folio_mark_dirty(folio)
            entry: Pte = Pte(noted=Noted.MIGRATION, frame=pte.frame, writable=pte.writable)
            set_pte_at(mm, page, entry)
            folio_remove_rmap_pte(folio)
            folio_ref_sub(folio)
    notify_after_unlock(mm, changed)
    mmu_notifier_invalidate_range_end(mm, (page,))


@path(show="try_to_migrate()")
def try_to_migrate(
    mappings: Mappings, folio: Folio, ubc: TlbUbc, *, batch: bool = True, sync: bool = True
) -> None:
    """Put a migration entry wherever the folio is mapped."""
    can_luf_init(ubc)
    if RMAP == "file":
        place = READ_ONCE(cast(FileFolio, folio).index_page)
        for user in READ_ONCE(cast(FileFolio, folio).mapping.i_mmap):
            try_to_migrate_one(user, place, folio, ubc, batch=batch, sync=sync)
    else:
        for mm, page in mappings:
            try_to_migrate_one(mm, page, folio, ubc, batch=batch, sync=sync)
    can_luf_done(folio, ubc)
