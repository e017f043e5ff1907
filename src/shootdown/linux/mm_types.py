"""``struct mm_struct`` and ``struct folio`` (include/linux/mm_types.h), as far as the models use
them.

Fields that are ``ghost`` belong to the properties.
"""

from __future__ import annotations

from shootdown.hardware.machine import AddressSpace, Cpu, Frame, Page
from shootdown.lang import Array, Object, RwSem, SpinLock, Word, counter, ghost, path, ranged

Pages = tuple[Page, ...]


class TlbFlushBatched(Word):
    """``mm->tlb_flush_batched``: how often an unmap was queued without a flush, and how many of
    those the last full flush has covered. One word, so that both are read and exchanged at once."""

    pending: int = ranged(0, 3)
    flushed: int = ranged(0, 3)

    def show(self) -> str:
        """As ``pending 2 flushed 1``."""
        return f"pending {self.pending} flushed {self.flushed}"


class PteTable(Object):
    """A last-level page table as a place: that of pages 512 n to 512 n + 511 of any process."""


class Mm(AddressSpace):
    """An address space as the kernel sees it. One page table, so one page-table lock (``ptl``);
    or a table, and a lock, for each page (``ptls``, see ``pgtable.pte_lockptr()``), or for each 512
    (``table_ptls``), which may have a count of open gathers of its own (``table_flush_pending``,
    proposed).

    ``revoked`` (ghost): the frames whose translation was removed before a call that promised so
    returned. ``freed`` (ghost): MADV_FREE has returned and none has visited the page since.
    ``open`` (ghost): gathers between ``tlb_gather_mmu()`` and ``tlb_finish_mmu()``. ``in_hand``
    (ghost): paths that may carry a dirty flag in a local variable. ``queued`` (ghost): pages that
    were unmapped in a batch. ``sealed`` (ghost): pages that a call has made read-only before it
    returned, and no fault has made writable since.
    """

    ptl: SpinLock
    ptls: Array[Page, SpinLock]
    table_ptls: Array[PteTable, SpinLock]
    mmap_lock: RwSem
    i_mmap_rwsem: RwSem
    cpumask: set[Cpu]
    tlb_flush_pending: int = counter(0, 3)
    table_flush_pending: Array[Page, int] = counter(0, 3)
    tlb_flush_batched: TlbFlushBatched
    vma_gone: bool = False
    unlinked: bool = False
    revoked: Array[Page, set[Frame]] = ghost(set())  # type: ignore[arg-type]
    freed: Array[Page, bool] = ghost(False)  # type: ignore[arg-type]
    mapped_since: Array[Page, set[Frame]] = ghost(set())  # type: ignore[arg-type]
    open: int = ghost(ranged(0, 3))
    in_hand: int = ghost(ranged(0, 3))
    queued: set[Page] = ghost(set())
    sealed: set[Page] = ghost(set())


class Folio(Frame):
    """A frame that the memory manager looks after.

    ``newer`` (ghost): the contents differ from the copy on disk. ``precious`` (ghost): it was
    written after MADV_FREE returned, so the contents must not be discarded. ``on_disk`` (ghost):
    somebody has begun to write it to disk. ``copied`` (ghost): somebody has copied or compared the
    contents and goes on from that; ``missed`` (ghost): it was written since; ``replaced`` (ghost):
    another frame is mapped in its place. ``pfn_low``,
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
    on_disk: bool = ghost(False)
    copied: bool = ghost(False)
    missed: bool = ghost(False)
    replaced: bool = ghost(False)
    pfn_low: int = ghost(ranged(0, 1))
    pfn_high: int = ghost(ranged(0, 3))


@path
def page_folio(frame: Frame) -> Folio:
    """The folio that a frame belongs to."""
    return Folio(frame.index)
