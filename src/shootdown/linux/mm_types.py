"""``struct mm_struct`` and ``struct folio`` (include/linux/mm_types.h), as far as the models use
them.

Fields that are ``ghost`` belong to the properties.
"""

from __future__ import annotations

from shootdown.hardware.machine import AddressSpace, Cpu, Frame, Page
from shootdown.hardware.walker import Region
from shootdown.lang import Array, Object, RwSem, SpinLock, Word, counter, ghost, path, ranged
from shootdown.linux.options_size import FOLIO_PAGES

Pages = tuple[Page, ...]


class TlbFlushBatched(Word):
    """``mm->tlb_flush_batched``: how often an unmap was queued without a flush, and how many of
    those the last full flush has covered. One word, so that both are read and exchanged at once."""

    pending: int = ranged(0, 7)
    flushed: int = ranged(0, 7)

    def show(self) -> str:
        """As ``pending 2 flushed 1``."""
        return f"pending {self.pending} flushed {self.flushed}"


class Vma(Object):
    """``struct vm_area_struct``. Pages are shared out evenly among them; which are mapped is not
    modelled. ``lock`` is ``vm_refcnt``, which faults hold for reading; ``flush_pending`` a count of
    open gathers (proposed)."""

    lock: RwSem
    flush_pending: int = counter(0, 7)


class Mm(AddressSpace):
    """An address space as the kernel sees it. One page table, so one page-table lock (``ptl``);
    or a table, and a lock, for each page (``ptls``, see ``pgtable.pte_lockptr()``), which may have
    a count of open gathers of its own (``table_flush_pending``, proposed); or tables of many pages,
    each a region (``region_ptl``, ``region_flush_pending``).

    ``revoked`` (ghost): the frames whose translation was removed before a call that promised so
    returned. ``freed`` (ghost): MADV_FREE has returned and none has visited the page since.
    ``open`` (ghost): gathers between ``tlb_gather_mmu()`` and ``tlb_finish_mmu()``. ``in_hand``
    (ghost): paths that may carry a dirty flag in a local variable. ``named`` (ghost): the frames
    that an entry of two halves was meant to name, ever. ``queued`` (ghost): pages that
    were unmapped in a batch. ``sealed`` (ghost): pages that a call has made read-only before it
    returned, and no fault has made writable since.
    """

    ptl: SpinLock
    ptls: Array[Page, SpinLock]
    region_ptl: Array[Region, SpinLock]
    mmap_lock: RwSem
    i_mmap_rwsem: RwSem
    cpumask: set[Cpu]
    tlb_flush_pending: int = counter(0, 7)
    table_flush_pending: Array[Page, int] = counter(0, 7)
    region_flush_pending: Array[Region, int] = counter(0, 7)
    tlb_flush_batched: TlbFlushBatched
    vma_gone: bool = False
    unlinked: bool = False
    revoked: Array[Page, set[Frame]] = ghost(set())  # type: ignore[arg-type]
    freed: Array[Page, bool] = ghost(False)  # type: ignore[arg-type]
    mapped_since: Array[Page, set[Frame]] = ghost(set())  # type: ignore[arg-type]
    named: Array[Page, set[Frame]] = ghost(set())  # type: ignore[arg-type]
    open: int = ghost(ranged(0, 7))
    in_hand: int = ghost(ranged(0, 3))
    queued: set[Page] = ghost(set())
    sealed: set[Page] = ghost(set())


class Folio(Frame):
    """A frame that the memory manager looks after.

    ``newer`` (ghost): the contents differ from the copy on disk. ``precious`` (ghost): it was
    written after MADV_FREE returned, so the contents must not be discarded. ``on_disk`` (ghost):
    somebody has begun to write it to disk. ``copied`` (ghost): somebody has copied or compared the
    contents and goes on from that; ``missed`` (ghost): it was written since; ``replaced`` (ghost):
    another frame is mapped in its place. ``page_mapcount`` is ``page->_mapcount`` of a page of a
    large folio.
    """

    mapcount: int = counter(0, 3)
    page_mapcount: int = counter(0, 3)
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


@path
def folio_nr_pages() -> int:
    """How many pages a folio has."""
    if FOLIO_PAGES == "4":
        return 4
    if FOLIO_PAGES == "16":
        return 16
    if FOLIO_PAGES == "128":
        return 128
    return 512 if FOLIO_PAGES == "512" else 1


@path
def page_folio(frame: Frame) -> Folio:
    """The folio that a frame belongs to: its first frame stands for it."""
    if FOLIO_PAGES == "1":
        return Folio(frame.index)
    return Folio(frame.index // folio_nr_pages() * folio_nr_pages())


@path
def vma_of(page: Page) -> Vma:
    """The VMA that a page is in (``vma_lookup()``)."""
    return Vma(page.index // (len(Page) // len(Vma)))


@path
def region_of(page: Page) -> Region:
    """The page table that a page's entry is in."""
    return Region(page.index // (len(Page) // len(Region)))


@path
def region_begin(region: int) -> int:
    """The number of the first page of a page table."""
    return region * (len(Page) // len(Region))


@path
def pages_of(region: Region) -> set[Page]:
    """What a page table maps."""
    return set(tuple(Page)[region_begin(region.index) : region_begin(region.index + 1)])


@path
def next_table(page: Page) -> int:
    """How many pages there are from this one to the next page table (``pmd_addr_end()``)."""
    return region_begin(region_of(page).index + 1) - page.index
