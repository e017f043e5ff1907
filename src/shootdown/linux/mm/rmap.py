"""mm/rmap.c: from a folio to the PTEs that map it."""

from __future__ import annotations

from shootdown.hardware.machine import Page
from shootdown.hardware.tlb import tlb_may_use
from shootdown.lang import READ_ONCE, WRITE_ONCE, atomic, note, path, replace
from shootdown.linux.mm.memory import folio_mark_dirty, ptep_clear_flush
from shootdown.linux.mm.mmu_gather import folio_remove_rmap_pte
from shootdown.linux.mm_types import Folio, Mm
from shootdown.linux.pgtable import ptep_get, set_pte_at


@path(show="folio_mkclean()")
def folio_mkclean(mm: Mm, page: Page, folio: Folio) -> bool:
    """W1..W3: make every PTE of the folio clean and read-only. An unmapped folio has none; the
    walk (PVMW_SYNC) looks at a PTE only with its PTL held, so it waits for a zapper."""
    if READ_ONCE(folio.mapcount) == 0:
        note("not mapped")
        return False
    cleaned = False
    with mm.ptl:
        pte = ptep_get(mm, page)
        if pte.present and pte.frame == folio and (pte.dirty or pte.writable):
            entry = ptep_clear_flush(mm, page)
            set_pte_at(mm, page, replace(entry, writable=False, dirty=False))
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
