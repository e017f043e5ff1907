"""mm/mmap.c, mm/vma.c: munmap(), which keeps other users of the mmap lock out; and, from
mm/memory.c, the zapper that does not know the mmap lock: truncation, which comes from the file."""

from __future__ import annotations

from shootdown.hardware.access import tlb_may_use
from shootdown.hardware.machine import Page
from shootdown.hardware.walker import Region
from shootdown.lang import (
    atomic,
    down_write,
    downgrade_write,
    event,
    note,
    path,
    up_read,
    up_write,
)
from shootdown.linux.mm.luf import do_mmap, tlb_end_vma
from shootdown.linux.mm.memory import unmap_page_range, zap_page_range_single
from shootdown.linux.mm.mmu_gather import MmuGather, tlb_finish_mmu, tlb_gather_mmu
from shootdown.linux.mm.mmu_notifier import (
    mmu_notifier_invalidate_range_end,
    mmu_notifier_invalidate_range_start,
)
from shootdown.linux.mm_types import Folio, Mm, Pages, region_begin, region_of
from shootdown.linux.options_rights import UAF
from shootdown.linux.options_size import MUNMAP_LOCK, VMAS
from shootdown.linux.user import return_to_user


@path(show="free_pgtables()")
def free_pgtables(mm: Mm) -> None:
    """``unlink_file_vma()``: nobody finds the VMA through its file any more. The lock waits for
    those who found it and are not done."""
    with mm.i_mmap_rwsem.write():
        mm.unlinked = True


@atomic(show="pte_free_tlb()")
def pte_free_tlb(mm: Mm, region: Region) -> None:
    """Take an empty page table out of the tree; RCU frees it after the flush."""


@path
def free_page_tables(mm: Mm, pages: Pages, tlb: MmuGather) -> None:
    """``free_pgtables()``: each table, from its beginning, belongs to what is flushed."""
    for number in range(region_of(pages[0]).index, region_of(pages[len(pages) - 1]).index + 1):
        pte_free_tlb(mm, Region(number))
        tlb.pages.add(Page(region_begin(number)))
    tlb.freed_tables = True


@path
def munmap_vma(mm: Mm, pages: Pages, *, file: bool, tables: bool) -> None:
    """``do_vmi_align_munmap()`` of a VMA that nobody else unmaps: ``vms_clear_ptes()``."""
    down_write(mm.mmap_lock)
    if MUNMAP_LOCK == "downgrade":
        downgrade_write(mm.mmap_lock)
    tlb = MmuGather()
    tlb_gather_mmu(mm)
    mmu_notifier_invalidate_range_start(mm, pages)
    unmap_page_range(mm, pages, tlb, file=file)
    mmu_notifier_invalidate_range_end(mm, pages)
    if tables:
        free_page_tables(mm, pages, tlb)
    tlb_finish_mmu(mm, tlb, pages)
    if MUNMAP_LOCK == "downgrade":
        up_read(mm.mmap_lock)
    else:
        up_write(mm.mmap_lock)
    return_to_user(mm, pages)


@path(show="mmap()")
def mmap_vma(mm: Mm) -> None:
    """A VMA of the caller's own, where nothing is mapped: nothing has to be flushed."""
    with mm.mmap_lock.write():
        event("insert the VMA")


@path(show="exit_mmap()")
def exit_mmap(mm: Mm, pages: Pages) -> None:
    """The last thread is gone (``mmput()``): everything is unmapped, with all page tables. Its CPU
    has let go of the mm before, and is lazy (``exit_mm()``), so the flushes of full gathers tell
    only CPUs that still run the mm, of which there is none; the last one, after which tables are
    freed, tells all that have run it (``freed_tables``)."""
    with mm.mmap_lock.write():
        tlb = MmuGather(fullmm=True)
        tlb_gather_mmu(mm)
        unmap_page_range(mm, pages, tlb)
        free_page_tables(mm, pages, tlb)
        tlb_finish_mmu(mm, tlb, pages)


@path(show="munmap()")
def munmap(
    mm: Mm, pages: Pages, *, file: bool = False, pfnmap: bool = False, tables: bool = False
) -> None:
    """The VMA is taken out of the tree first. That the lock is then downgraded for the rest
    (dd2283f2605e) lets in only those who do not find the VMA, so it is left out where there is one
    VMA. A ``pfnmap`` is
    flushed at the end of the VMA, while its file can still find it (b67fbebd4cf9).

    ``tables``: nothing else is mapped in these page tables, so that they are freed too."""
    if VMAS == "many":
        munmap_vma(mm, pages, file=file, tables=tables)
        return
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
