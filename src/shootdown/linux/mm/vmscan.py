"""mm/vmscan.c: reclaim."""

from __future__ import annotations

from typing import cast

from shootdown.hardware.access import tlb_may_use
from shootdown.hardware.machine import Frame, Page
from shootdown.lang import READ_ONCE, WRITE_ONCE, Record, atomic, note, path, test_and_clear_bit
from shootdown.linux.mm.file_types import FileFolio, FilePage
from shootdown.linux.mm.luf import finish_task_switch, fold_unmap_luf
from shootdown.linux.mm.luf_batch import LUF_IF, LUF_PAGES, File
from shootdown.linux.mm.page_alloc import free_unref_folio_luf
from shootdown.linux.mm.rmap import Mappings, try_to_unmap, try_to_unmap_lazyfree
from shootdown.linux.mm.rmap_batch import TlbUbc, try_to_unmap_flush, try_to_unmap_flush_dirty
from shootdown.linux.mm_types import Folio, Mm, page_folio
from shootdown.linux.options import PAGEOUT, TTU_FLUSH
from shootdown.linux.options_size import FREE_BATCH, RMAP, TTU_BATCH


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
    if RMAP == "file":
        place = READ_ONCE(cast(FileFolio, folio).index_page)
        WRITE_ONCE(cast(FilePage, place).folio, None)
    elif LUF_PAGES == "file":
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


class Reclaimed(Record):
    """What ``shrink_folio_list()`` will free."""

    free: set[Frame] = set()  # noqa: RUF012


@path(show="shrink_folio_list()")
def shrink_folios(victims: Victims) -> None:
    """Reclaim file folios. They are unmapped in a batch, and the CPUs are told twice at most:
    before a dirty one is written (P1), and before all are freed (P2). The folio lock is held from
    before the unmap until the folio has left the page cache."""
    ubc = TlbUbc()
    done = Reclaimed()
    for folio, mappings in victims:
        shrink_folio(mappings, folio, ubc, done)
    flush_and_free(ubc, done)


@path(show="shrink_folio_list()")
def shrink_isolated(folios: set[Frame]) -> None:
    """The same for folios that know where they are mapped (``rmap=file``)."""
    ubc = TlbUbc()
    done = Reclaimed()
    for frame in folios:
        shrink_folio((), page_folio(frame), ubc, done)
        if FREE_BATCH == "31" and len(done.free) == 31:
            flush_and_free(ubc, done)
    if done.free:
        flush_and_free(ubc, done)


@path
def shrink_folio(mappings: Mappings, folio: Folio, ubc: TlbUbc, done: Reclaimed) -> None:
    """One folio of the list."""
    with folio.lock:
        if not try_to_unmap(mappings, folio, ubc, batch=TTU_BATCH == "on"):
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
                    done.free.add(folio)


@path
def flush_and_free(ubc: TlbUbc, done: Reclaimed) -> None:
    """P2, and the folios go back to the allocator."""
    finish_task_switch(ubc)
    unflushed = ubc.luf_folios
    key = fold_unmap_luf(ubc)
    if TTU_FLUSH != "late-free":
        try_to_unmap_flush(ubc)
    for folio in done.free:
        if LUF_IF != "off" and folio in unflushed:
            free_unref_folio_luf(cast(Folio, folio), key)
        else:
            free_unref_folio(cast(Folio, folio))
    if TTU_FLUSH == "late-free":
        try_to_unmap_flush(ubc)
    done.free = set()
