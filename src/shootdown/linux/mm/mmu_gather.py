"""mm/mmu_gather.c and include/asm-generic/tlb.h: collect, flush once, then free."""

from __future__ import annotations

from shootdown.hardware.access import tlb_may_use
from shootdown.hardware.machine import Frame, Page
from shootdown.hardware.walker import Region
from shootdown.lang import (
    WRITE_ONCE,
    Record,
    atomic,
    atomic_dec,
    atomic_inc,
    note,
    path,
    ranged,
)
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.mm.mmu_notifier import notify_gather
from shootdown.linux.mm_types import (
    Folio,
    Mm,
    Pages,
    Vma,
    folio_nr_pages,
    page_folio,
    pages_of,
    region_of,
    vma_of,
)
from shootdown.linux.options import NESTED, PENDING, PTL
from shootdown.linux.options_rights import UAF
from shootdown.linux.options_size import FOLIO_PAGES, GATHER

LOCAL_BATCH = 8
"""``MMU_GATHER_BUNDLE``: places in the gather itself."""
BATCH = 510
"""``MAX_GATHER_BATCH``: places in a page, after the head of 16 bytes."""
BATCHES = 19
"""``MAX_GATHER_BATCH_COUNT``: 10,000 over that, so that no CPU is busy for too long."""


class MmuGather(Record):
    """``struct mmu_gather``: the range to flush, the folios to let go, and those of them whose
    rmap is still to be removed. ``tables``: the page tables in which it is counted, if each has a
    count. ``whole``: large folios, all pages of each. ``freed_tables``: page tables were taken out,
    too. ``fullmm``: the address space goes away. ``batch`` and ``nr``: which batch is filled, and
    how far, if there is an end (``gather_room=batches``)."""

    pages: set[Page] = set()  # noqa: RUF012
    folios: set[Frame] = set()  # noqa: RUF012
    delayed: set[Frame] = set()  # noqa: RUF012
    tables: set[Page] = set()  # noqa: RUF012
    whole: set[Frame] = set()  # noqa: RUF012
    freed_tables: bool = False
    fullmm: bool = False
    batch: int = ranged(0, BATCHES)
    nr: int = ranged(0, BATCH)


@atomic(show="folio_put()")
def folio_put(folio: Folio) -> None:
    """Drop a reference; the last one gives the frame back to the allocator."""
    assert folio.refcount > 0, "INV-S0-1: a reference is dropped twice"
    folio.refcount -= 1
    if folio.refcount == 0:
        if UAF == "free":
            assert not tlb_may_use(folio), "INV-S0-1: frame freed while a CPU can still use it"
        folio.allocated = False
        note("{} is free", folio)


@atomic(show="folio_put_refs()")
def folio_put_refs(folio: Folio, number: int) -> None:
    """Drop several references at once."""
    folio.refcount -= number
    if folio.refcount == 0:
        if UAF == "free":
            assert not tlb_may_use(folio), "INV-S0-1: frame freed while a CPU can still use it"
        folio.allocated = False
        note("{} is free", folio)


@path(show="folio_remove_rmap_ptes()")
def folio_remove_rmap_ptes(folio: Folio, number: int) -> None:
    """Some PTEs less map this large folio: for each the page's count (``_mapcount``) and that of
    the folio's mapped pages (``_nr_pages_mapped``), statistics once."""
    for page in range(number):
        atomic_dec(Folio(folio.index + page).page_mapcount)
        atomic_dec(folio.mapcount)
    rmap_statistics(folio)


@atomic
def rmap_statistics(folio: Folio) -> None:
    """``__lruvec_stat_mod_folio()`` and what else is counted for each call, whatever the number."""


@atomic(show="folio_remove_rmap_pte()", role="counter")
def folio_remove_rmap_pte(folio: Folio) -> None:
    """One PTE less maps this folio (a negative count is ``print_bad_pte()`` in the kernel)."""
    assert folio.mapcount > 0, "INV-S0-7: a mapping is removed twice"
    folio.mapcount -= 1


@path
def tlb_remove_whole_folio(tlb: MmuGather, folio: Folio) -> bool:
    """The same with all pages of a large folio, which take two places."""
    tlb.whole.add(folio)
    tlb.nr += 2
    return not tlb_next_batch(tlb)


@path(show="tlb_gather_mmu()")
def tlb_gather_mmu(mm: Mm) -> None:
    """Z1. Before any PTL is taken, so that whoever sees a PTE changed sees the count too
    (``inc_tlb_flush_pending()``)."""
    if PENDING == "flag":
        WRITE_ONCE(mm.tlb_flush_pending, 1)
    elif PENDING == "counted" or PENDING == "leaked":
        atomic_inc(mm.tlb_flush_pending)
    if PENDING != "none":
        mm.open += 1


@path
def tlb_gather_table(mm: Mm, page: Page, tlb: MmuGather) -> None:
    """Z1 for one page table, with its PTL held and before an entry is changed."""
    if PENDING == "table" and PTL != "table":
        atomic_inc(mm.table_flush_pending[page])
        tlb.tables.add(page)


@path
def tlb_gather_region(mm: Mm, region: Region) -> None:
    """The same where tables have many pages. The PTL is not held yet: who finds a PTE changed with
    the PTL held sees the count."""
    if PENDING == "table":
        atomic_inc(mm.region_flush_pending[region])


@path
def tlb_gather_vma(pages: Pages) -> None:
    """Z1 for the VMAs of a range, before an entry is changed."""
    if PENDING == "vma":
        for number in range(vma_of(pages[0]).index, vma_of(pages[len(pages) - 1]).index + 1):
            atomic_inc(Vma(number).flush_pending)


@path
def tlb_next_batch(tlb: MmuGather) -> bool:
    """Whether there is room for more. Each batch keeps one place free, since a large folio takes
    two. While rmaps wait there is no second batch, since they are removed under the PTL."""
    room = BATCH if tlb.batch > 0 else LOCAL_BATCH
    if tlb.nr < room - 1:
        return True
    if tlb.batch == BATCHES or (tlb.batch > 0 and len(tlb.delayed) > 0):
        return False
    tlb.batch += 1
    tlb.nr = 0
    return True


@path
def tlb_remove_folio(tlb: MmuGather, folio: Folio, places: int) -> bool:
    """``__tlb_remove_folio_pages_size()``: let go of a folio after the flush; whether the gather is
    full."""
    tlb.folios.add(folio)
    if GATHER == "unbounded":
        return False
    tlb.nr += places
    return not tlb_next_batch(tlb)


@path
def tlb_flush_mmu_tlbonly(mm: Mm, tlb: MmuGather) -> None:
    """Flush the range, unless it is empty; then it is."""
    if tlb.pages:
        if tlb.fullmm:
            tlb.pages = set(Page)
        if tlb.freed_tables:
            flush_tlb_mm_range(mm, tlb.pages, freed_tables=True)
        else:
            flush_tlb_mm_range(mm, tlb.pages)
        notify_gather(mm, tlb.pages)
        tlb.pages = set()
        tlb.freed_tables = False


@path
def tlb_flush_rmaps(tlb: MmuGather) -> None:
    """Z13. The rmap removals that had to wait for the flush (5df397dec7c4)."""
    for frame in tlb.delayed:
        folio_remove_rmap_pte(page_folio(frame))
    tlb.delayed = set()


@path
def tlb_batch_pages_flush(tlb: MmuGather) -> None:
    """Let go of the gathered folios."""
    for frame in tlb.folios:
        folio_put(page_folio(frame))
    tlb.folios = set()
    if FOLIO_PAGES != "1":
        for frame in tlb.whole:
            folio_put_refs(page_folio(frame), folio_nr_pages())
        tlb.whole = set()
    tlb.batch = 0
    tlb.nr = 0


@path
def tlb_flush_mmu(mm: Mm, tlb: MmuGather) -> None:
    """Flush, then free."""
    tlb_flush_mmu_tlbonly(mm, tlb)
    tlb_batch_pages_flush(tlb)


@path(show="tlb_finish_mmu()")
def tlb_finish_mmu(mm: Mm, tlb: MmuGather, pages: Pages) -> None:
    """Z18..Z22. Another gather that is open may have cleared a PTE that this one found empty, and
    not have flushed it yet: then flush everything (99baac21e458). The count is dropped after the
    flush; nothing but the flush's own completion orders the two."""
    if NESTED == "check" and PENDING != "table" and PENDING != "vma" and mm.tlb_flush_pending > 1:
        note("nested: flush everything")
        tlb.pages = set(Page)
    if NESTED == "check" and PENDING == "vma":
        for number in range(vma_of(pages[0]).index, vma_of(pages[len(pages) - 1]).index + 1):
            if Vma(number).flush_pending > 1:
                note("nested: flush what the call is about")
                tlb.pages = tlb.pages | set(pages)
    if NESTED == "check" and PENDING == "table" and PTL == "table":
        for number in range(region_of(pages[0]).index, region_of(pages[len(pages) - 1]).index + 1):
            if mm.region_flush_pending[Region(number)] > 1:
                note("nested: flush what the page table spans")
                tlb.pages = tlb.pages | pages_of(Region(number))
    elif NESTED == "check" and PENDING == "table":
        for page in tlb.tables:
            if mm.table_flush_pending[page] > 1:
                note("nested: flush what the page table spans")
                tlb.pages.add(page)
    if NESTED == "always":
        tlb.pages = set(pages)
    tlb_flush_mmu(mm, tlb)
    if PENDING == "flag":
        WRITE_ONCE(mm.tlb_flush_pending, 0)
    if PENDING == "counted":
        atomic_dec(mm.tlb_flush_pending)
    if PENDING == "vma":
        for number in range(vma_of(pages[0]).index, vma_of(pages[len(pages) - 1]).index + 1):
            atomic_dec(Vma(number).flush_pending)
    if PENDING == "table" and PTL == "table":
        for number in range(region_of(pages[0]).index, region_of(pages[len(pages) - 1]).index + 1):
            atomic_dec(mm.region_flush_pending[Region(number)])
    elif PENDING == "table":
        for page in tlb.tables:
            atomic_dec(mm.table_flush_pending[page])
    if PENDING != "none":
        mm.open -= 1
