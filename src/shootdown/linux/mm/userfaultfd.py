"""mm/userfaultfd.c: write protection by ioctl, with the mmap lock held for reading."""

from __future__ import annotations

from shootdown.lang import path
from shootdown.linux.mm.mmu_gather import MmuGather, tlb_finish_mmu, tlb_gather_mmu
from shootdown.linux.mm.mprotect import change_protection
from shootdown.linux.mm_types import Mm, Pages


@path(show="mwriteprotect_range()")
def mwriteprotect_range(mm: Mm, pages: Pages) -> None:
    """UFFDIO_WRITEPROTECT: ``uffd_wp_range()``, change_protection(), one flush at the end.

    Also where protection is *lifted* the write bit is cleared, and the uffd-wp bit with it, so a
    write fault does not go to the handler but copies. That is the case here.
    """
    with mm.mmap_lock.read():
        tlb = MmuGather()
        tlb_gather_mmu(mm)
        change_protection(mm, pages, tlb)
        tlb_finish_mmu(mm, tlb, pages)
