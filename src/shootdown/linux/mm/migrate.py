"""mm/migrate.c: a page gets another frame, and mm/migrate_device.c: the same for a device.

While it is copied, a migration entry stands in its PTEs; who faults on one waits for the folio
lock.
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import Frame, Noted, Page, Pte
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    atomic_inc,
    event,
    note,
    path,
    spin_lock,
    spin_unlock,
)
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.mm.file_types import FileFolio
from shootdown.linux.mm.luf import fold_unmap_luf
from shootdown.linux.mm.luf_batch import LUF_IF, copy_contents
from shootdown.linux.mm.memory import alloc_page, folio_mark_dirty
from shootdown.linux.mm.mmu_gather import folio_put, folio_remove_rmap_pte
from shootdown.linux.mm.page_alloc import folio_put_luf
from shootdown.linux.mm.rmap import Mappings, folio_ref_sub, try_to_migrate
from shootdown.linux.mm.rmap_batch import TlbUbc, try_to_unmap_flush
from shootdown.linux.mm_types import Folio, Mm, page_folio
from shootdown.linux.options_rights import COLLECT_FLUSH, MIGRATE_FLUSH
from shootdown.linux.options_size import RMAP
from shootdown.linux.pgtable import (
    pte_lockptr,
    pte_present,
    ptep_get,
    ptep_get_and_clear,
    set_pte_at,
)


@path(show="remove_migration_pte()")
def remove_migration_pte(mm: Mm, page: Page, src: Folio, dst: Folio) -> None:
    """Put the new frame where the migration entry of the old one stands."""
    with pte_lockptr(mm, page):
        entry = ptep_get(mm, page)
        if entry.noted == Noted.MIGRATION and entry.frame == src:
            atomic_inc(dst.refcount)
            atomic_inc(dst.mapcount)
            new: Pte = Pte(
                present=True, writable=entry.writable, accessed=True, dirty=False, frame=dst
            )
            set_pte_at(mm, page, new)
            src.replaced = True
        else:
            note("no migration entry any more")


@path(show="migrate_pages()")
def migrate_pages(
    mappings: Mappings, src: Folio, dst: Folio, *, batch: bool = True, sync: bool = True
) -> None:
    """``migrate_pages_batch()`` for one folio: unmap, flush, copy, map the new frame.

    Before 6.3 (``batch`` false) each PTE was flushed as it was unmapped. That references are
    counted before the copy, and a folio that is in use is put back, is left out.
    """
    ubc = TlbUbc()
    with src.lock:
        try_to_migrate(mappings, src, ubc, batch=batch, sync=sync)
        unflushed = ubc.luf_folios
        key = fold_unmap_luf(ubc)
        if MIGRATE_FLUSH == "before-copy":
            try_to_unmap_flush(ubc)
        migrate_folio_move(mappings, src, dst)
    if MIGRATE_FLUSH == "late":
        try_to_unmap_flush(ubc)
    if LUF_IF != "off" and src in unflushed:
        folio_put_luf(src, key)
    else:
        folio_put(src)


@path
def migrate_folio_move(mappings: Mappings, src: Folio, dst: Folio) -> None:
    """Copy, and map the new frame."""
    folio_mc_copy()
    src.copied = True
    if LUF_IF != "off":
        copy_contents(src, dst)
    if RMAP == "file":
        place = READ_ONCE(cast(FileFolio, src).index_page)
        for user in READ_ONCE(cast(FileFolio, src).mapping.i_mmap):
            remove_migration_pte(user, place, src, dst)
    else:
        for mm, page in mappings:
            remove_migration_pte(mm, page, src, dst)


@path
def folio_mc_copy() -> None:
    """The contents."""
    event("folio_mc_copy()")


@path(show="migrate_folio_unmap()")
def migrate_folio_unmap(src: FileFolio, ubc: TlbUbc, *, batch: bool) -> None:
    """A folio that knows its place gets a new frame that does, and is unmapped."""
    dst = cast(FileFolio, alloc_page())
    WRITE_ONCE(dst.mapping, READ_ONCE(src.mapping))
    WRITE_ONCE(dst.index_page, READ_ONCE(src.index_page))
    WRITE_ONCE(src.dst, dst)
    try_to_migrate((), src, ubc, batch=batch)


@path(show="migrate_pages_batch()")
def migrate_pages_batch(folios: set[Frame], *, batch: bool = True) -> None:
    """:func:`migrate_pages` for a list of anonymous folios, which know where they are mapped
    (``rmap=file``): unmap all, flush once, copy all and map the new frames. The folios are locked
    all the while. Left out: folios that cannot be had at once, and are tried again one by one."""
    ubc = TlbUbc()
    for frame in folios:
        spin_lock(page_folio(frame).lock)
        migrate_folio_unmap(cast(FileFolio, page_folio(frame)), ubc, batch=batch)
    unflushed = ubc.luf_folios
    key = fold_unmap_luf(ubc)
    if MIGRATE_FLUSH == "before-copy":
        try_to_unmap_flush(ubc)
    for frame in folios:
        src = cast(FileFolio, page_folio(frame))
        migrate_folio_move((), src, READ_ONCE(src.dst))
        spin_unlock(src.lock)
        if LUF_IF != "off" and src in unflushed:
            folio_put_luf(src, key)
        else:
            folio_put(src)


@path(show="migrate_vma_collect_pmd()")
def migrate_vma_collect_pmd(mm: Mm, page: Page) -> None:
    """mm/migrate_device.c: take a page out for a device, with the mmap lock held for reading.

    One PTE of the loop; the folio lock is tried, and had. Left out: that the frame of an anonymous
    page of this process alone is flushed at once.
    """
    unmapped = False
    with pte_lockptr(mm, page):
        found = ptep_get(mm, page)
        if pte_present(found):
            pte = ptep_get_and_clear(mm, page)
            folio = page_folio(pte.frame)
            entry: Pte = Pte(noted=Noted.MIGRATION, frame=pte.frame, writable=pte.writable)
            set_pte_at(mm, page, entry)
            if pte.dirty:
                folio_mark_dirty(folio)
            folio_remove_rmap_pte(folio)
            folio_ref_sub(folio)
            unmapped = True
        if unmapped and COLLECT_FLUSH == "locked":
            flush_tlb_mm_range(mm, {page})
    if unmapped and COLLECT_FLUSH == "late":
        flush_tlb_mm_range(mm, {page})
