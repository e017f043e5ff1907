"""mm/filemap.c: a read fault on a page of a mapped file, from disk where it is not in memory.

With ``rmap=file`` (``file_types.py``). The page is read while the fault waits, and what is read
ahead is what the caller asks for. Left out: truncation.
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import Page, Pte
from shootdown.lang import READ_ONCE, WRITE_ONCE, atomic, note, path, try_cmpxchg
from shootdown.linux.mm import memory
from shootdown.linux.mm.file_types import FileFolio, FilePage, Mapping
from shootdown.linux.mm.luf_batch import LUF_IF
from shootdown.linux.mm.memory import finish_fault
from shootdown.linux.mm.mmu_gather import folio_put
from shootdown.linux.mm.page_alloc import Zone, alloc_page
from shootdown.linux.mm.vmscan_lru import Pgdat, folio_add_lru
from shootdown.linux.mm_types import Folio, Mm


@path
def filemap_alloc_folio() -> Folio:
    """A page for the page cache; with LUF it is flushed first if it owes a flush."""
    if LUF_IF == "off":
        return memory.alloc_page()
    page = alloc_page(Zone(0))
    found = cast(Folio, page)
    found.refcount = 0
    return found


@atomic(show="filemap_read_folio()")
def filemap_read_folio(folio: Folio) -> None:
    """The contents come from disk."""
    folio.newer = False


@path(show="filemap_add_folio()")
def filemap_add_folio(node: Pgdat, mapping: Mapping, page: Page, *, lru: bool) -> None:
    """Put a page into the page cache, unless somebody else was faster. It is locked until it has
    been read. ``lru``: reclaim will find it."""
    folio = cast(FileFolio, filemap_alloc_folio())
    with folio.lock:
        WRITE_ONCE(folio.mapping, mapping)
        WRITE_ONCE(folio.index_page, page)
        WRITE_ONCE(folio.refcount, 1)
        if try_cmpxchg(cast(FilePage, page).folio, None, folio):
            filemap_read_folio(folio)
            if lru:
                folio_add_lru(node, folio)
        else:
            note("somebody else was faster")
            folio_put(folio)


@path(show="filemap_fault()")
def filemap_fault(node: Pgdat, mm: Mm, page: Page, mapping: Mapping, *, lru: bool = True) -> None:
    """Map what the page cache has, when it has it. Who has the lock of a folio that is in the page
    cache keeps reclaim away from it."""
    place = cast(FilePage, page)
    done = False
    while not done:
        found = READ_ONCE(place.folio)
        if found is None:
            filemap_add_folio(node, mapping, page, lru=lru)
        else:
            with found.lock:
                if READ_ONCE(place.folio) == found:
                    writable = READ_ONCE(place.shared_writable)
                    finish_fault(
                        mm,
                        page,
                        found,
                        Pte(present=True, accessed=True, writable=writable, frame=found),
                    )
                    done = True
