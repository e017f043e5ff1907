"""mm/mmap.c, mm/vma.c: munmap(), which keeps other users of the mmap lock out; and, from
mm/memory.c, the zapper that does not know the mmap lock: truncation, which comes from the file."""

from __future__ import annotations

from shootdown.lang import note, path
from shootdown.linux.mm.memory import zap_page_range_single, zap_pte_range
from shootdown.linux.mm.mmu_gather import MmuGather, tlb_finish_mmu, tlb_gather_mmu
from shootdown.linux.mm_types import Mm, Pages
from shootdown.linux.user import return_to_user


@path(show="free_pgtables()")
def free_pgtables(mm: Mm) -> None:
    """``unlink_file_vma()``: nobody finds the VMA through its file any more. The lock waits for
    those who found it and are not done."""
    with mm.i_mmap_rwsem.write():
        mm.unlinked = True


@path(show="munmap()")
def munmap(mm: Mm, pages: Pages, *, file: bool = False) -> None:
    """The VMA is taken out of the tree first. That the lock is then downgraded for the rest
    (dd2283f2605e) lets in only those who do not find the VMA, so it is left out."""
    with mm.mmap_lock.write():
        gone = mm.vma_gone
        if gone:
            note("no VMA")
        else:
            mm.vma_gone = True
            tlb = MmuGather()
            tlb_gather_mmu(mm)
            zap_pte_range(mm, pages, tlb, file=file)
            if file:
                free_pgtables(mm)
            tlb_finish_mmu(mm, tlb, pages)
    if not gone:
        return_to_user(mm, pages)


@path(show="unmap_mapping_range()")
def unmap_mapping_range(mm: Mm, pages: Pages) -> None:
    """Truncation, hole punching: every VMA that maps these pages of the file is found through
    ``i_mmap``, whose lock is held from before the first PTE until after the last flush. The caller
    has the page cache to itself and promises user space nothing about time."""
    with mm.i_mmap_rwsem.read():
        unlinked = mm.unlinked
        if unlinked:
            note("no VMA maps it")
        else:
            zap_page_range_single(mm, pages, file=True)
