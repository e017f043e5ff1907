"""mm/pgtable-generic.c: to find a table, and the lock in it, while it may go away."""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import Page
from shootdown.hardware.walker import Pmd, Region
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    note,
    path,
    spin_lock,
    spin_unlock,
    this,
    xchg,
)
from shootdown.linux.arch.x86.tlb_tables import flush_tlb_mm_range
from shootdown.linux.kernel.rcu import call_rcu, rcu_read_lock, rcu_read_unlock
from shootdown.linux.mm_tables import LocklessCpu, PageTable, UserMm
from shootdown.linux.options_tables import COLLAPSE_FLUSH


@path
def pmd_index(page: Page) -> Region:
    """Which upper-level entry is a page's."""
    return Region(page.index * len(Region) // len(Page))


@path(show="pmd_clear()")
def pmd_clear(mm: UserMm, page: Page) -> None:
    """Take a table out of the tree."""
    WRITE_ONCE(mm.pmd[pmd_index(page)], Pmd())


@path(show="pmd_populate()")
def pmd_populate(mm: UserMm, page: Page, table: PageTable) -> None:
    """Put a table into the tree."""
    WRITE_ONCE(mm.pmd[pmd_index(page)], Pmd(present=True, table=table))


@path(show="pmdp_collapse_flush()")
def pmdp_collapse_flush(mm: UserMm, page: Page) -> Pmd:
    """Take a table out of the tree and flush. Whether that waits for software that walks with
    interrupts off is the architecture's business."""
    old = xchg(mm.pmd[pmd_index(page)], Pmd())
    flush_tlb_mm_range(mm, freed_tables=COLLAPSE_FLUSH == "freed-tables")
    return old


@path(show="pte_offset_map_lock()")
def pte_offset_map_lock(mm: UserMm, page: Page) -> PageTable | None:
    """Find the table of a page and take its lock; ``None`` if there is none. The table may go away
    until the lock is held and the entry was found unchanged, so RCU has to keep it in memory
    (0d940a9b270b, 6.5)."""
    cpu = this(LocklessCpu)
    while True:
        rcu_read_lock()
        pmd = READ_ONCE(mm.pmd[pmd_index(page)])
        if not pmd.present:
            note("no table")
            rcu_read_unlock()
            return None
        table = cast(PageTable, pmd.table)
        cpu.walking = table
        spin_lock(table.ptl)
        assert not table.given_away, "INV-X2-1: software takes the lock of a page that is no table"
        if READ_ONCE(mm.pmd[pmd_index(page)]) == pmd:
            return table
        note("the table has gone: retry")
        spin_unlock(table.ptl)
        rcu_read_unlock()


@path(show="pte_unmap_unlock()")
def pte_unmap_unlock(table: PageTable) -> None:
    """Drop the lock, and RCU's protection."""
    spin_unlock(table.ptl)
    rcu_read_unlock()


@path(show="pte_free_defer()")
def pte_free_defer(table: PageTable) -> None:
    """Free a table after a grace period."""
    call_rcu(table)
