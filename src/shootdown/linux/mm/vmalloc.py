"""mm/vmalloc.c: kernel mappings that come and go.

With ``vmap_purge=at-once`` each unmapping is flushed, as after ``vunmap_range()`` and as with
``VM_FLUSH_RESET_PERMS``: PTEs, flush, then addresses and pages are free again. With
``vmap_purge=lazy``, as in ``vfree()``, pages are free at once (nobody may use the addresses any
more), and addresses are collected until there are many, then flushed together, and free again.
"""

from __future__ import annotations

from shootdown.hardware.machine import Frame, Page, Pte
from shootdown.hardware.walker import Pmd
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    atomic,
    note,
    path,
    smp_mb,
    spin_lock,
    spin_unlock,
    xchg,
)
from shootdown.linux.arch.x86.mm_pgtable import pmd_free_pte_page, pmd_index
from shootdown.linux.arch.x86.tlb_kernel import flush_tlb_kernel_range_deferrable
from shootdown.linux.kernel_cpu import INIT_MM
from shootdown.linux.mm.memory import alloc_page
from shootdown.linux.options_entry import CLEAR, CLEAR_BARRIER, VMAP_PURGE

Pages = tuple[Page, ...]


@path(show="vunmap_range_noflush()")
def vunmap_range_noflush(pages: Pages) -> set[Frame]:
    """H1. Clear last-level entries; tables stay (``vunmap_pte_range()``). Gives what was mapped,
    for the properties."""
    frames: set[Frame] = set()
    for page in pages:
        pmd = READ_ONCE(INIT_MM.pmd[pmd_index(page)])
        if CLEAR == "store":
            pte = READ_ONCE(pmd.table.pte[page])
            WRITE_ONCE(pmd.table.pte[page], Pte())
        else:
            pte = xchg(pmd.table.pte[page], Pte())
        frames.add(pte.frame)
    return frames


@path(show="vunmap_range()")
def vunmap_range(pages: Pages) -> set[Frame]:
    """Unmap, then flush wherever it may be needed."""
    frames = vunmap_range_noflush(pages)
    if CLEAR_BARRIER == "smp_mb":
        smp_mb()
    flush_tlb_kernel_range_deferrable(set(pages), frames)
    return frames


@atomic(show="free pages and addresses")
def release(pages: Pages, frames: set[Frame]) -> None:
    """H4. From here on the frames are somebody else's, and the addresses can be given away."""
    for page in pages:
        INIT_MM.revoked[page] = INIT_MM.revoked[page] | frames
    for frame in frames:
        frame.allocated = False


@atomic(show="free pages")
def free_pages(frames: set[Frame]) -> None:
    """``vfree()``: the pages of an area that was unmapped, before any flush."""
    for frame in frames:
        frame.allocated = False


@atomic(show="vmap_lazy_nr +=")
def add_lazy(pages: Pages) -> int:
    """``atomic_long_add_return()`` and ``llist_add()`` to ``vmap_purge_list``: how many pages of
    addresses wait now."""
    INIT_MM.purge_list = INIT_MM.purge_list | set(pages)
    INIT_MM.lazy_nr = INIT_MM.lazy_nr + len(pages)
    return INIT_MM.lazy_nr


@atomic(show="llist_del_all()")
def take_lazy() -> set[Page]:
    """All addresses that wait, from the first to the last."""
    pages = INIT_MM.purge_list
    INIT_MM.purge_list = set()
    INIT_MM.lazy_nr = 0
    return pages


@path(show="__purge_vmap_area_lazy()")
def purge_vmap_area_lazy() -> None:
    """One flush for all that was collected. ``vmap_purge_lock`` is a mutex."""
    spin_lock(INIT_MM.purge_lock)
    pages = take_lazy()
    if pages:
        flush_tlb_kernel_range_deferrable(pages, set())
    spin_unlock(INIT_MM.purge_lock)


@path(show="free_vmap_area_noflush()")
def free_vmap_area_noflush(pages: Pages) -> None:
    """Addresses wait until there are more than ``lazy_max_pages()``: 32 MiB for each bit of the
    number of CPUs. The kernel leaves the purge to a worker on this CPU (``drain_vmap_work``)."""
    if add_lazy(pages) > READ_ONCE(INIT_MM.lazy_max):
        purge_vmap_area_lazy()


@path(show="vfree()")
def vfree(pages: Pages) -> None:
    """H1..H4."""
    if VMAP_PURGE == "lazy":
        freed = vunmap_range_noflush(pages)
        free_vmap_area_noflush(pages)
        free_pages(freed)
    else:
        frames = vunmap_range(pages)
        release(pages, frames)


@path(show="vfree(), twice")
def vfree_each(pages: Pages) -> None:
    """One after the other, each with a flush of its own."""
    for page in pages:
        vfree((page,))


@path(show="vmap()")
def vmap(page: Page, frame: Frame) -> None:
    """Map another frame at a free address: ``vmap_pte_range()``. Nothing is flushed, since an
    empty entry is cached nowhere."""
    pmd = READ_ONCE(INIT_MM.pmd[pmd_index(page)])
    WRITE_ONCE(pmd.table.pte[page], Pte(present=True, writable=True, accessed=True, frame=frame))


@path(show="vmalloc()")
def vmalloc(pages: Pages) -> None:
    """Map new pages at free addresses."""
    for page in pages:
        folio = alloc_page()
        vmap(page, folio)


@path(show="vfree(), vmap()")
def remap(page: Page, frame: Frame) -> None:
    """An address gets another page."""
    vfree((page,))
    vmap(page, frame)


@path(show="vmap_try_huge_pmd()")
def vmap_try_huge_pmd(page: Page, frame: Frame) -> bool:
    """S1, S2. A large page where a table was, if the table can be freed."""
    region = pmd_index(page)
    pmd = READ_ONCE(INIT_MM.pmd[region])
    if pmd.present and not pmd_free_pte_page(INIT_MM, page, pmd.table):
        note("stay with small pages")
        return False
    WRITE_ONCE(INIT_MM.pmd[region], Pmd(present=True, large=True, frame=frame))
    return True


@path(show="vmap(), large")
def vmap_huge(page: Page, frame: Frame) -> None:
    """``vmap_pmd_range()``: a large page, else small ones."""
    if not vmap_try_huge_pmd(page, frame):
        vmap(page, frame)


@path(show="vfree(), vmap() large")
def remap_huge(pages: Pages, frame: Frame) -> None:
    """Small pages go, and a large one takes their place (HUGE_VMALLOC)."""
    vfree(pages)
    vmap_huge(pages[0], frame)
