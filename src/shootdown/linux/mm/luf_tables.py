"""An empty page table is freed before munmap() comes: what retract_page_tables() (mm/khugepaged.c)
and try_to_free_pte() (mm/pt_reclaim.c) have in common, as far as LUF is concerned.

``khugepaged`` and ``mmu_gather_tables`` have the tables themselves; here it only matters that
munmap() finds an empty upper entry, and so never asks flush_tlb_batched_pending().
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import Page
from shootdown.lang import Option, note, path
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.mm.luf_batch import LufMm
from shootdown.linux.mm_types import Mm, Pages
from shootdown.linux.pgtable import pte_lockptr, ptep_get

RETRACT_FLUSH = Option(
    "retract_flush",
    "whole",
    choices=("whole", "none"),
    doc="who frees an empty page table flushes all that it spans, whatever its PTEs are "
    "(pmdp_collapse_flush()); or only what he removes himself, which is nothing.",
)


@path(show="pmdp_collapse_flush()")
def clear_upper_entry(mm: Mm) -> None:
    """Empty the upper entry and flush the range (for the walk caches, it is meant)."""
    cast(LufMm, mm).table_gone = True
    if RETRACT_FLUSH == "whole":
        whole: set[Page] = set(Page)
        flush_tlb_mm_range(mm, whole)


@path(show="retract_page_tables()")
def free_empty_table(mm: Mm, pages: Pages) -> None:
    """Free the page table, under its PTL, if nothing is mapped. The VMA was found through the file,
    whose lock keeps munmap() from returning meanwhile (``free_pgtables()``)."""
    with mm.i_mmap_rwsem.read():
        unlinked = mm.unlinked
        if unlinked:
            note("no VMA maps it")
        else:
            with pte_lockptr(mm, pages[0]):
                empty = True
                for page in pages:
                    if ptep_get(mm, page).present:
                        empty = False
                if empty:
                    clear_upper_entry(mm)
                else:
                    note("still mapped: keep")
