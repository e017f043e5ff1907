"""Who calls the contpte code: the parts of core mm, and of a device's driver, that system S3 needs.

Each is the path of the file that its docstring names, reduced to what it does to one contpte block
and the folio that the block maps; and user space and devices, which go through the TLB.
"""

from __future__ import annotations

from shootdown.hardware.arm64_walker import Walker, user_load, user_store
from shootdown.hardware.machine import Frame, Page, Pte
from shootdown.lang import (
    atomic,
    choose,
    mark,
    note,
    path,
    replace,
    spin_lock,
    spin_unlock,
    this,
)
from shootdown.linux.arch.arm64.contpte import (
    ptep_get,
    ptep_get_and_clear,
    ptep_get_and_clear_full,
    set_pte_at,
    set_ptes,
    wrprotect_ptes,
)
from shootdown.linux.arch.arm64.pgtable import Arm64Mm
from shootdown.linux.arch.arm64.tlbflush import flush_tlb_range
from shootdown.linux.mm.memory_cont import account, zap_ptes
from shootdown.linux.mm.mmu_gather import MmuGather

Pages = tuple[Page, ...]

# ------------------------------------------------------------------ through the TLB


@atomic(show="store {page}")
def write_page(mm: Arm64Mm, page: Page) -> bool:
    """An instruction, or a device, that writes. Says whether it got through."""
    frame = user_store(this(Walker), page)
    if frame is None:
        note("fault")
        return False
    if frame in mm.gone[page] or mm.readonly[page]:
        mark("stale, via {}", frame)
    assert frame not in mm.gone[page], "INV-S3-5: a page that was given up is still reached"
    assert not mm.readonly[page], "INV-RET: written after the right to write was taken away"
    return True


@atomic(show="load {page}")
def read_page(mm: Arm64Mm, page: Page) -> bool:
    """An instruction, or a device, that reads."""
    frame = user_load(this(Walker), page)
    if frame is None:
        note("fault")
        return False
    if frame in mm.gone[page]:
        mark("stale, via {}", frame)
    assert frame not in mm.gone[page], "INV-S3-5: a page that was given up is still reached"
    return True


@atomic(show="store")
def write_anywhere(mm: Arm64Mm) -> None:
    """A store somewhere in the block."""
    page = choose(Page)
    note("to {}", page)
    write_page(mm, page)


@atomic(show="load")
def read_anywhere(mm: Arm64Mm) -> None:
    """A load somewhere in the block."""
    page = choose(Page)
    note("from {}", page)
    read_page(mm, page)


@path(show="user")
def store_anywhere(mm: Arm64Mm, *, times: int = 2) -> None:
    """Stores somewhere in the block."""
    for _ in range(times):
        write_anywhere(mm)


@path(show="user")
def load_anywhere(mm: Arm64Mm, *, times: int = 1) -> None:
    """Loads somewhere in the block."""
    for _ in range(times):
        read_anywhere(mm)


# ------------------------------------------------------------------ taking a block away


@atomic(show="free the pages")
def give_up(mm: Arm64Mm, pages: Pages) -> None:
    """After the flush: these pages of the first folio may be used for something else."""
    for page in pages:
        mm.gone[page].add(Frame(0))


@path
def zap(mm: Arm64Mm, pages: Pages, *, monotone: bool = True) -> None:
    """Only zap_pte_range()."""
    zap_ptes(mm, pages, MmuGather(), monotone=monotone)


@path(show="exit_mmap()")
def exit_mmap(
    mm: Arm64Mm,
    pages: Pages,
    more: Pages = (),
    *,
    monotone: bool = True,
    report: bool = True,
    marker: bool = False,
) -> None:
    """The process exits: zap, flush, free. ``more``: the gather is full after ``pages``, so that
    zap_pte_range() drops the PTL, flushes, frees, and comes back for the rest."""
    zap_ptes(mm, pages, MmuGather(), monotone=monotone, report=report, marker=marker)
    flush_tlb_range(set(pages))
    give_up(mm, pages)
    if more:
        zap_ptes(mm, more, MmuGather(), monotone=monotone, report=report)
        flush_tlb_range(set(more))
        give_up(mm, more)


@path(show="exit_mmap()")
def exit_mmap_anyhow(mm: Arm64Mm, pages: Pages, *, monotone: bool = True) -> None:
    """The same one PTE at a time, in any order, and the gather may be full after any of them. What
    was zapped is not given up, so only the flags are looked at; and those across the flushes, which
    is more than INV-S3-3 asks."""
    left: set[Page] = set(pages)
    gathered: set[Page] = set()
    dirty = False
    spin_lock(mm.ptl)
    for _ in pages:
        page = choose(left)
        pte = ptep_get(mm, page)
        if monotone:
            assert pte.dirty or not dirty, (
                "INV-S3-3: a block was reported dirty, and is reported clean"
            )
        old = ptep_get_and_clear_full(mm, page)
        account(mm, old)
        dirty = dirty or pte.dirty or old.dirty
        left = left - {page}
        gathered = gathered | {page}
        full = bool(left) and choose(False, True)
        if full:
            note("the gather is full")
            spin_unlock(mm.ptl)
            flush_tlb_range(gathered)
            gathered = set()
            spin_lock(mm.ptl)
    spin_unlock(mm.ptl)
    flush_tlb_range(gathered)


@path(show="madvise(MADV_DONTNEED)")
def madvise_dontneed(mm: Arm64Mm, pages: Pages) -> None:
    """mm/madvise.c: zap a part of the block, flush, give it up; the process goes on."""
    zap_ptes(mm, pages, MmuGather())
    flush_tlb_range(set(pages))
    give_up(mm, pages)


@path(show="page fault")
def map_folio(mm: Arm64Mm, pages: Pages, frame: Frame, *, dirty: bool = False) -> None:
    """mm/memory.c set_pte_range(): map a large folio where nothing is mapped."""
    with mm.ptl:
        if not ptep_get(mm, pages[0]).present:
            pte = Pte(present=True, writable=True, accessed=True, dirty=dirty, frame=frame)
            set_ptes(mm, pages, pte)


@path
def replace_folio(mm: Arm64Mm, pages: Pages, frame: Frame, *, dirty: bool = False) -> None:
    """A block is zapped, flushed and given up, and then faulted in again, perhaps by a write."""
    zap_ptes(mm, pages, MmuGather())
    flush_tlb_range(set(pages))
    give_up(mm, pages)
    map_folio(mm, pages, frame, dirty=dirty)


# ------------------------------------------------------------------ changing rights


@atomic(show="return to user")
def return_readonly(mm: Arm64Mm, pages: Pages) -> None:
    """The caller may rely on it: nobody writes these pages any more."""
    for page in pages:
        mm.readonly[page] = True


@path(show="mprotect(PROT_READ)")
def mprotect_page(mm: Arm64Mm, page: Page) -> None:
    """mm/mprotect.c change_pte_range() for one PTE: take it, put it back read-only, flush."""
    with mm.ptl:
        if ptep_get(mm, page).present:
            pte = ptep_get_and_clear(mm, page)
            set_pte_at(mm, page, replace(pte, writable=False))
    flush_tlb_range({page})
    return_readonly(mm, (page,))


@path(show="fork()")
def fork(mm: Arm64Mm, pages: Pages) -> None:
    """mm/memory.c copy_present_ptes(): write-protect a batch; dup_mmap() flushes at the end."""
    with mm.ptl:
        wrprotect_ptes(mm, pages)
    flush_tlb_range(set(pages))
    return_readonly(mm, pages)
