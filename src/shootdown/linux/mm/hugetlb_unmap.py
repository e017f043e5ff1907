"""mm/hugetlb.c of 2006: a range of huge pages is unmapped, without a gather."""

from __future__ import annotations

from shootdown.hardware.machine import Frame
from shootdown.lang import Option, path
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.mm.mmu_gather import folio_put
from shootdown.linux.mm_types import Mm, Pages, page_folio
from shootdown.linux.pgtable import ptep_get_and_clear

HUGETLB_PUT = Option(
    "hugetlb_put",
    "flushed",
    choices=("flushed", "first"),
    doc="huge pages that are unmapped are collected, flushed and then freed (fe1668ae5bf0, "
    "2.6.19); or freed one by one, and flushed at the end.",
)


@path(show="__unmap_hugepage_range()")
def unmap_hugepage_range_2006(mm: Mm, pages: Pages) -> None:
    """``page_list`` is what was added: the pages that wait for the flush."""
    page_list: set[Frame] = set()
    with mm.ptl:
        for page in pages:
            pte = ptep_get_and_clear(mm, page)
            if pte.present:
                if HUGETLB_PUT == "first":
                    folio_put(page_folio(pte.frame))
                else:
                    page_list.add(pte.frame)
    whole = set(pages)
    flush_tlb_mm_range(mm, whole)
    for frame in page_list:
        folio_put(page_folio(frame))
