"""mm/truncate.c: pages of a file go, wherever they are mapped."""

from __future__ import annotations

from shootdown.hardware.machine import Page
from shootdown.lang import READ_ONCE, WRITE_ONCE, atomic, note, path
from shootdown.linux.mm.filemap import Readers
from shootdown.linux.mm.luf import LUF_FILE, luf_flush_mapping
from shootdown.linux.mm.luf_batch import File
from shootdown.linux.mm.mmap import unmap_mapping_range
from shootdown.linux.mm.mmu_gather import folio_put
from shootdown.linux.mm.rmap_batch import TlbUbc
from shootdown.linux.mm_types import Folio, Mm, Pages


@path(show="truncate_pagecache()")
def truncate_pagecache(mm: Mm, pages: Pages, folio: Folio) -> None:
    """Unmap the folio wherever it may be mapped, then drop the reference of the page cache.

    The VMAs of the file are visited in order. Left out: the second unmap_mapping_range(), which is
    for private copies.
    """
    for page in pages:
        unmap_mapping_range(mm, (page,))
    folio_put(folio)


@path(show="truncate_inode_pages_range()")
def truncate_inode_pages_range(file: File) -> None:
    """Take the folio out of the page cache, if it is there. LUF (v12) flushes for the file at the
    end, in either case (V4)."""
    found = READ_ONCE(file.folio)
    if found is not None:
        with found.lock:
            if READ_ONCE(file.folio) == found:
                WRITE_ONCE(file.folio, None)
                folio_put(found)
            else:
                note("not in the page cache any more")
    if LUF_FILE == "flush":
        luf_flush_mapping(file, TlbUbc())


@atomic(show="free the blocks")
def free_blocks(readers: Readers) -> None:
    """The file has zeros there: whoever reads it must find them from here on."""
    for mm, page in readers:
        mm.newest[page] = 1


@path(show="fallocate(PUNCH_HOLE)")
def punch_hole(file: File, mm: Mm, page: Page, readers: Readers) -> None:
    """``truncate_pagecache_range()``, then the file system frees the blocks. Page faults are kept
    out by ``mapping->invalidate_lock``."""
    unmap_mapping_range(mm, (page,))
    truncate_inode_pages_range(file)
    free_blocks(readers)
