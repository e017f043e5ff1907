"""mm/mremap.c: pages move to another address. They are not given up, so no gather holds them back:
whoever finds them at the new address may free them."""

from __future__ import annotations

from shootdown.hardware.machine import Noted, Page
from shootdown.lang import note, path, spin_lock, spin_unlock
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.mm.memory import zap_pmd_range, zap_pte_range
from shootdown.linux.mm.mmu_gather import (
    MmuGather,
    tlb_finish_mmu,
    tlb_gather_mmu,
    tlb_gather_vma,
)
from shootdown.linux.mm.rmap_batch import flush_tlb_batched_pending
from shootdown.linux.mm_types import Mm, Pages, next_table, region_of
from shootdown.linux.options import PTL
from shootdown.linux.options_rights import MREMAP_FLUSH
from shootdown.linux.pgtable import (
    pte_lockptr,
    pte_present,
    ptep_get,
    ptep_get_and_clear,
    set_pte_at,
)
from shootdown.linux.user import return_to_user


@path
def move_pte(mm: Mm, old: Page, new: Page) -> bool:
    """Move one entry, with both PTLs held, and flush; whether a flush is still owed."""
    flush_tlb_batched_pending(mm)
    found = ptep_get(mm, old)
    if not pte_present(found) and found.noted == Noted.NOTHING:
        note("nothing to move")
        return False
    pte = ptep_get_and_clear(mm, old)
    if not pte_present(pte):
        set_pte_at(mm, new, pte)
        return False
    mm.in_hand += 1
    force_flush = MREMAP_FLUSH == "locked" or MREMAP_FLUSH == "between"
    if MREMAP_FLUSH == "dirty":
        force_flush = pte.dirty
    if MREMAP_FLUSH == "dirty-before":
        force_flush = found.dirty
    set_pte_at(mm, new, pte)
    mm.in_hand -= 1
    if force_flush and MREMAP_FLUSH != "between":
        flush_tlb_mm_range(mm, {old})
    return MREMAP_FLUSH == "between"


@path(show="move_ptes()")
def move_ptes(mm: Mm, old: Page, new: Page) -> None:
    """One page. The PTL of the old place keeps folio_mkclean() out, that of the new place
    truncation; as long as a CPU can use the old translation, both are needed (eb66ae030829)."""
    with pte_lockptr(mm, old):
        owed = False
        if PTL == "split":
            with pte_lockptr(mm, new):
                owed = move_pte(mm, old, new)
        else:
            owed = move_pte(mm, old, new)
        if owed:
            flush_tlb_mm_range(mm, {old})


@path(show="move_ptes()")
def move_extent(mm: Mm, old: Pages, new: Pages) -> None:
    """What lies in one page table, before and after: one flush for all, with both PTLs held, which
    need not be two (``old_ptl != new_ptl``)."""
    with pte_lockptr(mm, old[0]):
        both = region_of(old[0]) != region_of(new[0])
        if both:
            spin_lock(pte_lockptr(mm, new[0]))
        flush_tlb_batched_pending(mm)
        moved: set[Page] = set()
        for page in old:
            pte = ptep_get(mm, page)
            if pte_present(pte):
                pte = ptep_get_and_clear(mm, page)
                moved.add(page)
                set_pte_at(mm, new[page.index - old[0].index], pte)
        if moved:
            flush_tlb_mm_range(mm, set(old))
        if both:
            spin_unlock(pte_lockptr(mm, new[0]))


@path(show="mremap()")
def mremap_vma(mm: Mm, old: Pages, new: Pages) -> None:
    """MREMAP_MAYMOVE and MREMAP_FIXED of many pages, ``ptl=table``: the target is unmapped, then
    ``move_page_tables()`` goes from one end of a page table, old or new, to the next, then the old
    place is unmapped. A whole table at a time, ``move_normal_pmd()``, is left out."""
    with mm.mmap_lock.write():
        unmap_empty(mm, new)
        at = 0
        while at < len(old):
            end = min(at + min(next_table(old[at]), next_table(new[at])), len(old))
            move_extent(mm, old[at:end], new[at:end])
            at = end
        unmap_empty(mm, old)
    return_to_user(mm, old)


@path
def unmap_empty(mm: Mm, pages: Pages) -> None:
    """``do_vmi_munmap()`` of the new and the old place: nothing is there."""
    tlb = MmuGather()
    tlb_gather_mmu(mm)
    tlb_gather_vma(pages)
    zap_pmd_range(mm, pages, tlb)
    tlb_finish_mmu(mm, tlb, pages)


@path(show="mremap()")
def mremap(mm: Mm, old: Page, new: Page, *, file: bool = True, dontunmap: bool = False) -> None:
    """``move_vma()`` under the mmap lock, which does not keep out those who come through the rmap.

    The old range is unmapped afterwards. Its PTEs are empty by then, but this is also what makes
    mremap() flush if truncation has emptied one before and not flushed yet: the gathers are nested.
    With MREMAP_DONTUNMAP nothing does. Left out: the VMAs, and the rmap locks that are taken if a
    walk could visit the new one first.
    """
    with mm.mmap_lock.write():
        move_ptes(mm, old, new)
        if MREMAP_FLUSH != "locked" and MREMAP_FLUSH != "between":
            flush_tlb_mm_range(mm, {old})
        if not dontunmap:
            tlb = MmuGather()
            tlb_gather_mmu(mm)
            zap_pte_range(mm, (old,), tlb, file=file)
            tlb_finish_mmu(mm, tlb, (old,))
    return_to_user(mm, (old,))
