"""mm/huge_memory.c: huge pages of anonymous memory, mapped by one entry of the upper level.

That entry is the ``pte`` of the models here, and its lock the PTL. A look at it without the lock
tells whether there is anything at all below it.
"""

from __future__ import annotations

from shootdown.hardware.machine import Noted, Page, Pte
from shootdown.lang import READ_ONCE, WRITE_ONCE, Option, note, path, replace
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.mm.mmu_gather import (
    MmuGather,
    folio_remove_rmap_pte,
    tlb_finish_mmu,
    tlb_gather_mmu,
)
from shootdown.linux.mm_types import Mm, page_folio
from shootdown.linux.pgtable import ptep_get, ptep_get_and_clear, set_pte_at
from shootdown.linux.user import read_page, return_to_user

HUGE_PROTECT = Option(
    "huge_protect",
    "invalidate",
    choices=("invalidate", "clear"),
    doc="change_huge_pmd() makes the entry not present and flushes, but never empty "
    "(pmdp_invalidate(), ced108037c2a, 4.12); or takes it out and puts another one in.",
)


@path(show="change_huge_pmd()")
def change_huge_pmd(mm: Mm, page: Page) -> None:
    """NUMA balancing makes the next access fault, with the mmap lock held for reading."""
    with mm.ptl:
        pmd = ptep_get(mm, page)
        if pmd.present:
            hint: Pte = replace(pmd, present=False, noted=Noted.PROT_NONE)
            if HUGE_PROTECT == "clear":
                ptep_get_and_clear(mm, page)
                set_pte_at(mm, page, hint)
            else:
                WRITE_ONCE(mm.pte[page], hint)
                flush_tlb_mm_range(mm, {page})
    if HUGE_PROTECT == "clear":
        flush_tlb_mm_range(mm, {page})


@path(show="zap_huge_pmd()")
def zap_huge_pmd(mm: Mm, page: Page, tlb: MmuGather) -> None:
    """What MADV_DONTNEED does to a huge page. An empty entry is passed over without the lock
    (``pmd_none_or_trans_huge_or_clear_bad()``)."""
    if READ_ONCE(mm.pte[page]) == Pte():
        note("pmd_none -> skip")
    else:
        with mm.ptl:
            pmd = ptep_get_and_clear(mm, page)
            if pmd != Pte():
                folio = page_folio(pmd.frame)
                folio_remove_rmap_pte(folio)
                tlb.pages.add(page)
                tlb.folios.add(folio)


@path(show="madvise(MADV_DONTNEED)")
def madvise_dontneed_huge(mm: Mm, page: Page) -> None:
    """A huge page is given up."""
    tlb = MmuGather()
    tlb_gather_mmu(mm)
    zap_huge_pmd(mm, page, tlb)
    tlb_finish_mmu(mm, tlb, (page,))
    return_to_user(mm, (page,))


@path(show="do_huge_pmd_numa_page()")
def do_huge_pmd_numa_page(mm: Mm, page: Page) -> None:
    """A page fault on such an entry: the page may stay where it is, and is made accessible."""
    with mm.ptl:
        pmd = ptep_get(mm, page)
        if pmd.noted == Noted.PROT_NONE:
            set_pte_at(mm, page, replace(pmd, present=True, noted=Noted.NOTHING))


@path(show="user")
def load_huge(mm: Mm, page: Page) -> None:
    """A thread that reads, with a page fault if need be."""
    if read_page(mm, page) is None:
        do_huge_pmd_numa_page(mm, page)
        read_page(mm, page)
