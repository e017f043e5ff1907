"""mm/truncate.c: pages of a file go, wherever they are mapped."""

from __future__ import annotations

from shootdown.lang import path
from shootdown.linux.mm.mmap import unmap_mapping_range
from shootdown.linux.mm.mmu_gather import folio_put
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
