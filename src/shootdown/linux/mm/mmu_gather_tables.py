"""mm/mmu_gather.c, the part about page tables: flush, then free them when nobody walks them.

Two kinds of walkers must be gone: those of the hardware, which a flush stops, and those of
software, which have interrupts off (gup-fast) or hold the RCU read lock
(``pte_offset_map_lock()``).
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import Cpu, Frame, Page, Pte
from shootdown.hardware.walker import Table
from shootdown.hardware.walker_remote import Call, call_walkers
from shootdown.lang import READ_ONCE, Record, note, path, this, xchg
from shootdown.linux.arch.x86.tlb_tables import flush_tlb_mm_range
from shootdown.linux.kernel.rcu import call_rcu
from shootdown.linux.mm.pgtable_generic import pmd_clear, pmd_index
from shootdown.linux.mm_tables import PageTable, UserMm, put_folio
from shootdown.linux.mm_types import page_folio
from shootdown.linux.options_tables import TABLE_FREE, TABLE_INVALIDATE, TABLE_SHORTCUT
from shootdown.linux.table_checks import free_table


class TableGather(Record):
    """``struct mmu_gather``: is there anything to flush, were tables taken out, the folios to let
    go, the tables to free like folios, and those in the batch for RCU."""

    dirty: bool = False
    freed_tables: bool = False
    folios: set[Frame] = set()  # noqa: RUF012
    pages: set[Table] = set()  # noqa: RUF012
    batch: set[Table] = set()  # noqa: RUF012


@path(show="tlb_remove_table_sync_one()", role="ack")
def tlb_remove_table_sync_one() -> None:
    """An interrupt that does nothing, to every other CPU: whoever had interrupts off when it was
    sent has them on when it was taken. It waits for no RCU reader."""
    call_walkers(set(Cpu) - {this(Cpu)}, Call.NOTHING)


@path
def tlb_flush_mmu_tlbonly(mm: UserMm, tlb: TableGather) -> None:
    """Flush, unless nothing was changed since the last time."""
    if tlb.dirty:
        flush_tlb_mm_range(mm, freed_tables=True)
        tlb.dirty = False


@path
def tlb_table_invalidate(mm: UserMm, tlb: TableGather) -> None:
    """Hardware must not come by any more (``tlb_needs_table_invalidate()``: not sparc64)."""
    if TABLE_INVALIDATE == "yes":
        tlb_flush_mmu_tlbonly(mm, tlb)


@path(show="tlb_remove_table_one()")
def tlb_remove_table_one(table: PageTable) -> None:
    """No memory for a batch: this table on its own."""
    if TABLE_FREE == "one-rcu":
        call_rcu(table)
    else:
        tlb_remove_table_sync_one()
        free_table(table)


@path(show="tlb_remove_table()")
def tlb_remove_table(mm: UserMm, tlb: TableGather, table: PageTable) -> None:
    """P3. Put a table that is not in the tree any more on the way to the allocator."""
    tlb.dirty = True
    if TABLE_SHORTCUT == "mm_users" and READ_ONCE(mm.mm_users) < 2:
        note("one user: free at once")
        free_table(table)
    elif TABLE_FREE == "page":
        tlb.pages.add(cast(Table, table))
    elif TABLE_FREE == "batch":
        tlb.batch.add(cast(Table, table))
    else:
        tlb_table_invalidate(mm, tlb)
        tlb_remove_table_one(table)


@path
def tlb_table_flush(mm: UserMm, tlb: TableGather) -> None:
    """Hand the batch to RCU."""
    if tlb.batch:
        tlb_table_invalidate(mm, tlb)
        for table in tlb.batch:
            call_rcu(cast(PageTable, table))
        tlb.batch = set()


@path
def tlb_batch_pages_flush(tlb: TableGather) -> None:
    """Let go of the folios, and of the tables that are freed like folios."""
    for frame in tlb.folios:
        put_folio(page_folio(frame))
    for table in tlb.pages:
        free_table(cast(PageTable, table))
    tlb.folios = set()
    tlb.pages = set()


@path(show="tlb_finish_mmu()")
def tlb_finish_mmu(mm: UserMm, tlb: TableGather) -> None:
    """P2, P3: flush, then free. Parallel gathers are system S0."""
    tlb_flush_mmu_tlbonly(mm, tlb)
    tlb_table_flush(mm, tlb)
    tlb_batch_pages_flush(tlb)


@path(show="zap_pte_range()")
def zap_entry(table: PageTable, page: Page, tlb: TableGather) -> None:
    """Take one page out of a table, with its lock held."""
    pte = xchg(table.pte[page], Pte())
    if pte.present:
        tlb.dirty = True
        tlb.folios.add(pte.frame)


@path(show="munmap()")
def munmap(mm: UserMm, page: Page) -> None:
    """P1..P3: everything that a table maps, and the table. The mmap lock is held for writing and
    the VMA is not in the tree any more, so nobody but lockless walkers is about."""
    tlb = TableGather()
    pmd = READ_ONCE(mm.pmd[pmd_index(page)])
    table = cast(PageTable, pmd.table)
    with table.ptl:
        zap_entry(table, page, tlb)
    pmd_clear(mm, page)
    tlb_remove_table(mm, tlb, table)
    tlb_finish_mmu(mm, tlb)
