"""The moment at which a page table becomes somebody else's memory, and what must hold then."""

from __future__ import annotations

from shootdown.hardware.machine import Page
from shootdown.hardware.walker import give_away
from shootdown.lang import atomic
from shootdown.linux.mm_tables import PageTable


@atomic(show="__tlb_remove_table()")
def free_table(table: PageTable) -> None:
    """The table's page goes back to the allocator, and to its next user at once."""
    assert not table.given_away, "INV-PT: a page table is freed twice"
    assert not any(table.pte[page].present for page in Page), (
        "INV-PT: a page table is freed that still maps a page"
    )
    table.in_use = False
    give_away(table)
