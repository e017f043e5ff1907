"""mm/khugepaged.c, the collapse of file pages: a page table that still has entries is taken away.

``khugepaged`` has the collapse of anonymous memory, and empty tables.
"""

from __future__ import annotations

from shootdown.hardware.machine import Page
from shootdown.lang import Option, path
from shootdown.linux.mm.memory import ptep_clear_flush
from shootdown.linux.mm.mmu_gather import folio_remove_rmap_pte
from shootdown.linux.mm.mmu_notifier import (
    mmu_notifier_invalidate_range_end,
    mmu_notifier_invalidate_range_start,
)
from shootdown.linux.mm.rmap import folio_ref_sub
from shootdown.linux.mm.vmscan import free_unref_folio, remove_mapping
from shootdown.linux.mm_types import Folio, Mm

COLLAPSE_NOTIFY = Option(
    "collapse_notify",
    "range",
    choices=("range", "none"),
    doc="khugepaged calls range_start and range_end when it takes away the page table of a file "
    "mapping (f268f6cf875f, 6.1, CVE-2022-48991); or not.",
)


@path(show="collapse_pte_mapped_thp()")
def collapse_pte_mapped_thp(mm: Mm, page: Page, folio: Folio) -> None:
    """The page cache has a huge page, mapped by PTEs: take them away, so that a fault can map it
    whole. The mmap lock is held for writing. ``pmdp_collapse_flush()`` takes all PTEs of the table
    at once; one stands for them here. The huge page loses its mapping and the reference of it."""
    if COLLAPSE_NOTIFY == "range":
        mmu_notifier_invalidate_range_start(mm, (page,))
    with mm.ptl:
        ptep_clear_flush(mm, page)
        folio_remove_rmap_pte(folio)
        folio_ref_sub(folio)
    if COLLAPSE_NOTIFY == "range":
        mmu_notifier_invalidate_range_end(mm, (page,))


@path(show="khugepaged, then reclaim")
def collapse_and_reclaim(mm: Mm, page: Page, folio: Folio) -> None:
    """What nobody maps is freed without a look at any page table, and so without a notification
    (``shrink_folio_list()``: an unmapped folio is not unmapped again)."""
    collapse_pte_mapped_thp(mm, page, folio)
    with folio.lock:
        freed = remove_mapping(folio)
    if freed:
        free_unref_folio(folio)
