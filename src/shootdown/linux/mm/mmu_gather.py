"""mm/mmu_gather.c and include/asm-generic/tlb.h: collect, flush once, then free."""

from __future__ import annotations

from shootdown.hardware.access import tlb_may_use
from shootdown.hardware.machine import Frame, Page
from shootdown.lang import (
    WRITE_ONCE,
    Record,
    atomic,
    atomic_dec,
    atomic_inc,
    note,
    path,
)
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.mm.mmu_notifier import notify_gather
from shootdown.linux.mm_types import Folio, Mm, Pages, page_folio
from shootdown.linux.options import NESTED, PENDING
from shootdown.linux.options_rights import UAF


class MmuGather(Record):
    """``struct mmu_gather``: the range to flush, the folios to let go, and those of them whose
    rmap is still to be removed. ``tables``: the page tables in which it is counted, if each has a
    count."""

    pages: set[Page] = set()  # noqa: RUF012
    folios: set[Frame] = set()  # noqa: RUF012
    delayed: set[Frame] = set()  # noqa: RUF012
    tables: set[Page] = set()  # noqa: RUF012


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


@atomic(show="folio_remove_rmap_pte()", role="counter")
def folio_remove_rmap_pte(folio: Folio) -> None:
    """One PTE less maps this folio (a negative count is ``print_bad_pte()`` in the kernel)."""
    assert folio.mapcount > 0, "INV-S0-7: a mapping is removed twice"
    folio.mapcount -= 1


@path(show="tlb_gather_mmu()")
def tlb_gather_mmu(mm: Mm) -> None:
    """Z1. Before any PTL is taken, so that whoever sees a PTE changed sees the count too
    (``inc_tlb_flush_pending()``)."""
    if PENDING == "flag":
        WRITE_ONCE(mm.tlb_flush_pending, 1)
    elif PENDING != "none" and PENDING != "table":
        atomic_inc(mm.tlb_flush_pending)
    if PENDING != "none":
        mm.open += 1


@path
def tlb_gather_table(mm: Mm, page: Page, tlb: MmuGather) -> None:
    """Z1 for one page table, with its PTL held and before an entry is changed."""
    if PENDING == "table":
        atomic_inc(mm.table_flush_pending[page])
        tlb.tables.add(page)


@path
def tlb_flush_mmu_tlbonly(mm: Mm, tlb: MmuGather) -> None:
    """Flush the range, unless it is empty; then it is."""
    if tlb.pages:
        flush_tlb_mm_range(mm, tlb.pages)
        notify_gather(mm, tlb.pages)
        tlb.pages = set()


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
    if NESTED == "check" and PENDING != "table" and mm.tlb_flush_pending > 1:
        note("nested: flush everything")
        tlb.pages = set(Page)
    if NESTED == "check" and PENDING == "table":
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
    if PENDING == "table":
        for page in tlb.tables:
            atomic_dec(mm.table_flush_pending[page])
    if PENDING != "none":
        mm.open -= 1
