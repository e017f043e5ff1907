"""mm/vmscan.c: reclaim."""

from __future__ import annotations

from shootdown.hardware.machine import Page
from shootdown.lang import READ_ONCE, note, path
from shootdown.linux.mm.rmap import try_to_unmap_lazyfree
from shootdown.linux.mm_types import Folio, Mm


@path(show="shrink_folio_list()")
def shrink_folio_list(mm: Mm, page: Page, folio: Folio) -> None:
    """Reclaim one anonymous folio if MADV_FREE has said that it may go."""
    if READ_ONCE(folio.swapbacked):
        note("not lazyfree: keep")
    else:
        try_to_unmap_lazyfree(mm, page, folio)
