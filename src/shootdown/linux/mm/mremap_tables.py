"""mm/mremap.c where a whole page table is moved: ``move_normal_pmd()``.

``mremap.py`` has the way entry by entry, ``move_ptes()``.
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import Page
from shootdown.lang import READ_ONCE, note, path
from shootdown.linux.arch.x86.tlb_tables import flush_tlb_mm_range
from shootdown.linux.mm.pgtable_generic import pmd_clear, pmd_index, pmd_populate
from shootdown.linux.mm_tables import PageTable, UserMm


@path(show="move_normal_pmd()")
def move_normal_pmd(mm: UserMm, old: Page, new: Page, *, recheck: bool) -> None:
    """Take the table out at the old place and put it in at the new one. ``recheck``: look whether
    it is still there (6fa1066fc5d0, 6.12)."""
    with mm.pmd_lock:
        pmd = READ_ONCE(mm.pmd[pmd_index(old)])
        if recheck and (not pmd.present or pmd.large):
            note("racing with collapse")
        else:
            pmd_clear(mm, old)
            pmd_populate(mm, new, cast(PageTable, pmd.table))
            flush_tlb_mm_range(mm)


@path(show="move_page_tables()")
def move_page_tables(mm: UserMm, old: Page, new: Page, *, recheck: bool) -> None:
    """Decide how to move what is there, and move it with the rmap locks held. The mmap lock is held
    for writing, which keeps everybody away who does not come through the file."""
    pmd = READ_ONCE(mm.pmd[pmd_index(old)])
    if pmd.present and not pmd.large:
        with mm.i_mmap_rwsem.write():
            move_normal_pmd(mm, old, new, recheck=recheck)
