"""mm/vmscan.c: reclaim."""

from __future__ import annotations

from shootdown.hardware.access import tlb_may_use
from shootdown.hardware.machine import Page
from shootdown.lang import READ_ONCE, WRITE_ONCE, atomic, note, path, test_and_clear_bit
from shootdown.linux.mm.luf import finish_task_switch, fold_unmap_luf
from shootdown.linux.mm.luf_batch import LUF_IF, LUF_PAGES, File
from shootdown.linux.mm.page_alloc import free_unref_folio_luf
from shootdown.linux.mm.rmap import Mappings, try_to_unmap, try_to_unmap_lazyfree
from shootdown.linux.mm.rmap_batch import TlbUbc, try_to_unmap_flush, try_to_unmap_flush_dirty
from shootdown.linux.mm_types import Folio, Mm
from shootdown.linux.options import PAGEOUT, TTU_FLUSH


@path(show="shrink_folio_list()")
def shrink_folio_list(mm: Mm, page: Page, folio: Folio) -> None:
    """Reclaim one anonymous folio if MADV_FREE has said that it may go."""
    if READ_ONCE(folio.swapbacked):
        note("not lazyfree: keep")
    else:
        try_to_unmap_lazyfree(mm, page, folio)


@atomic(show="submit_bio()")
def start_write(folio: Folio) -> None:
    """The disk reads the folio from here on; what is written to it later may be lost."""
    folio.newer = False
    folio.on_disk = True


@path(show="pageout()")
def pageout(folio: Folio) -> None:
    """Write a dirty folio that nobody maps. It is not made clean by an rmap walk again: there is
    no PTE. That the write takes time, and that the folio is freed in a later round, is left out."""
    if test_and_clear_bit(folio.dirty):
        start_write(folio)


@atomic(show="folio_ref_freeze()")
def folio_ref_freeze(folio: Folio) -> bool:
    """Take the references of the page cache and of reclaim, if there are no others."""
    frozen = folio.refcount == 2
    if frozen:
        folio.refcount = 0
    return frozen


@path(show="__remove_mapping()")
def remove_mapping(folio: Folio) -> bool:
    """Take a folio out of the page cache, unless somebody uses it or it is dirty. The references
    are frozen before the dirty flag is read, so that nobody can make it dirty in between."""
    if not folio_ref_freeze(folio):
        note("still in use: keep")
        return False
    if READ_ONCE(folio.dirty):
        note("dirty: keep")
        folio.refcount = 2
        return False
    if LUF_PAGES == "file":
        WRITE_ONCE(File(0).folio, None)
    return True


@atomic(show="free_unref_folios()")
def free_unref_folio(folio: Folio) -> None:
    """The frame goes back to the allocator."""
    assert not tlb_may_use(folio), "INV-S2-1: reclaim frees a frame that a CPU can still use"
    assert not folio.newer, "INV-DIRTY: what was written to the page is thrown away"
    folio.allocated = False


Victims = tuple[tuple[Folio, Mappings], ...]
"""The folios to reclaim, in order, and where each may be mapped."""


@path(show="shrink_folio_list()")
def shrink_folios(victims: Victims) -> None:
    """Reclaim file folios. They are unmapped in a batch, and the CPUs are told twice at most:
    before a dirty one is written (P1), and before all are freed (P2). The folio lock is held from
    before the unmap until the folio has left the page cache."""
    ubc = TlbUbc()
    free: set[Folio] = set()
    for folio, mappings in victims:
        with folio.lock:
            if not try_to_unmap(mappings, folio, ubc):
                note("still mapped: keep")
            else:
                dirty = READ_ONCE(folio.dirty)
                if dirty and PAGEOUT != "write":
                    note("dirty: keep, the flusher will write it")
                    if PAGEOUT == "keep-flushed":
                        try_to_unmap_flush_dirty(ubc)
                else:
                    if dirty:
                        if TTU_FLUSH != "late-io":
                            try_to_unmap_flush_dirty(ubc)
                        pageout(folio)
                    if remove_mapping(folio):
                        free.add(folio)
    finish_task_switch(ubc)
    unflushed = ubc.luf_folios
    key = fold_unmap_luf(ubc)
    if TTU_FLUSH != "late-free":
        try_to_unmap_flush(ubc)
    for folio in free:
        if LUF_IF != "off" and folio in unflushed:
            free_unref_folio_luf(folio, key)
        else:
            free_unref_folio(folio)
    if TTU_FLUSH == "late-free":
        try_to_unmap_flush(ubc)
