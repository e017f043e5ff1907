"""mm/page-writeback.c: a dirty folio goes to disk."""

from __future__ import annotations

from shootdown.hardware.machine import Page
from shootdown.lang import READ_ONCE, event, path, test_and_clear_bit
from shootdown.linux.mm.memory import folio_mark_dirty
from shootdown.linux.mm.rmap import folio_mkclean
from shootdown.linux.mm_types import Folio, Mm


@path(show="folio_clear_dirty_for_io()")
def folio_clear_dirty_for_io(mm: Mm, page: Page, folio: Folio, *, moves: bool = False) -> bool:
    """W1..W4. What the PTEs knew is put into PG_dirty first, then PG_dirty is taken."""
    if folio_mkclean(mm, page, folio, moves=moves):
        folio_mark_dirty(folio)
    return test_and_clear_bit(folio.dirty)


@path(show="writeback")
def write_folio(mm: Mm, page: Page, folio: Folio, *, moves: bool = False) -> None:
    """W0..W5. ``moves``: see :func:`folio_mkclean`."""
    if READ_ONCE(folio.dirty):
        with folio.lock:
            mm.in_hand += 1
            if folio_clear_dirty_for_io(mm, page, folio, moves=moves):
                event("copy the folio to disk")
                folio.newer = False
                folio.on_disk = True
            mm.in_hand -= 1
