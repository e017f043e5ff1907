"""``struct mm_struct`` and ``struct folio`` (include/linux/mm_types.h), as far as the models use
them.

Fields that are ``ghost`` belong to the properties.
"""

from __future__ import annotations

from shootdown.hardware.machine import AddressSpace, Cpu, Frame, Page
from shootdown.lang import Array, RwSem, SpinLock, counter, ghost, path, ranged

Pages = tuple[Page, ...]


class Mm(AddressSpace):
    """An address space as the kernel sees it. One page table, so one page-table lock (``ptl``).

    ``revoked`` (ghost): the frames whose translation was removed before a call that promised so
    returned. ``freed`` (ghost): MADV_FREE has returned and none has visited the page since.
    ``open`` (ghost): gathers between ``tlb_gather_mmu()`` and ``tlb_finish_mmu()``. ``in_hand``
    (ghost): paths that may carry a dirty flag in a local variable.
    """

    ptl: SpinLock
    mmap_lock: RwSem
    i_mmap_rwsem: RwSem
    cpumask: set[Cpu]
    tlb_flush_pending: int = counter(0, 3)
    vma_gone: bool = False
    unlinked: bool = False
    revoked: Array[Page, set[Frame]] = ghost(set())  # type: ignore[arg-type]
    freed: Array[Page, bool] = ghost(False)  # type: ignore[arg-type]
    mapped_since: Array[Page, set[Frame]] = ghost(set())  # type: ignore[arg-type]
    open: int = ghost(ranged(0, 3))
    in_hand: int = ghost(ranged(0, 3))


class Folio(Frame):
    """A frame that the memory manager looks after.

    ``newer`` (ghost): the contents differ from the copy on disk. ``precious`` (ghost): it was
    written after MADV_FREE returned, so the contents must not be discarded. ``pfn_low``,
    ``pfn_high`` are not memory but the frame's number, in the two halves that a PAE entry has.
    """

    mapcount: int = counter(0, 3)
    refcount: int = counter(0, 4)
    dirty: bool = False
    referenced: bool = False
    swapbacked: bool = True
    lock: SpinLock
    newer: bool = ghost(False)
    precious: bool = ghost(False)
    pfn_low: int = ghost(ranged(0, 1))
    pfn_high: int = ghost(ranged(0, 3))


@path
def page_folio(frame: Frame) -> Folio:
    """The folio that a frame belongs to."""
    return Folio(frame.index)
