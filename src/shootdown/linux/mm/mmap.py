"""mm/mmap.c, mm/vma.c: munmap(), which keeps other users of the mmap lock out; and, from
mm/memory.c, the zapper that does not know the mmap lock: truncation, which comes from the file."""

from __future__ import annotations

from shootdown.hardware.access import tlb_may_use
from shootdown.lang import atomic, note, path
from shootdown.linux.mm.luf import do_mmap, tlb_end_vma
from shootdown.linux.mm.memory import unmap_page_range, zap_page_range_single
from shootdown.linux.mm.mmu_gather import MmuGather, tlb_finish_mmu, tlb_gather_mmu
from shootdown.linux.mm.mmu_notifier import (
    mmu_notifier_invalidate_range_end,
    mmu_notifier_invalidate_range_start,
)
from shootdown.linux.mm_types import Folio, Mm, Pages
from shootdown.linux.options_rights import UAF
from shootdown.linux.user import return_to_user


@path(show="free_pgtables()")
def free_pgtables(mm: Mm) -> None:
    """``unlink_file_vma()``: nobody finds the VMA through its file any more. The lock waits for
    those who found it and are not done."""
    with mm.i_mmap_rwsem.write():
        mm.unlinked = True


@path(show="munmap()")
def munmap(mm: Mm, pages: Pages, *, file: bool = False, pfnmap: bool = False) -> None:
    """The VMA is taken out of the tree first. That the lock is then downgraded for the rest
    (dd2283f2605e) lets in only those who do not find the VMA, so it is left out. A ``pfnmap`` is
    flushed at the end of the VMA, while its file can still find it (b67fbebd4cf9)."""
    with mm.mmap_lock.write():
        gone = mm.vma_gone
        if gone:
            note("no VMA")
        else:
            mm.vma_gone = True
            tlb = MmuGather()
            tlb_gather_mmu(mm)
            mmu_notifier_invalidate_range_start(mm, pages)
            unmap_page_range(mm, pages, tlb, file=file, pfnmap=pfnmap)
            mmu_notifier_invalidate_range_end(mm, pages)
            if file:
                free_pgtables(mm)
            tlb_finish_mmu(mm, tlb, pages)
    if not gone:
        return_to_user(mm, pages)


@path(show="mmap(MAP_FIXED)")
def mmap_fixed(mm: Mm, pages: Pages) -> None:
    """A writable mapping in the place of another one, which is unmapped in the same call."""
    do_mmap(mm)
    munmap(mm, pages, file=True)


@path(show="unmap_mapping_range()")
def unmap_mapping_range(mm: Mm, pages: Pages, *, pfnmap: bool = False) -> None:
    """Truncation, hole punching: every VMA that maps these pages of the file is found through
    ``i_mmap``, whose lock is held from before the first PTE until after the last flush. The caller
    has the page cache to itself and promises user space nothing about time."""
    with mm.i_mmap_rwsem.read():
        unlinked = mm.unlinked
        if unlinked:
            note("no VMA maps it")
        else:
            zap_page_range_single(mm, pages, file=True, pfnmap=pfnmap)
            tlb_end_vma(mm)


@atomic(show="free the device's page")
def free_device_page(folio: Folio) -> None:
    """The driver gives its page to somebody else."""
    if UAF == "free":
        assert not tlb_may_use(folio), "INV-UAF: a driver frees a page that a CPU can still use"
    folio.allocated = False


@path(show="revoke")
def revoke_device_page(mm: Mm, pages: Pages, folio: Folio) -> None:
    """A driver takes back a page that it has mapped into a process without counting: it makes
    sure that nobody maps it, and frees it."""
    unmap_mapping_range(mm, pages, pfnmap=True)
    free_device_page(folio)
