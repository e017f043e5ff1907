"""What must hold in system X2, where its scenarios start, and what must be reachable in them.

INV-X2-1 in the form of use is asserted in ``linux/mm/gup_tables.py`` and
``linux/mm/pgtable_generic.py``, INV-X2-2 and INV-PIN where gup-fast returns, INV-UAF where a frame
is freed (``linux/mm_tables.py``), INV-PT also where a table is (``linux/table_checks.py``).
"""

from __future__ import annotations

from shootdown.hardware import access
from shootdown.hardware.machine import Cpu, Page, Pte
from shootdown.hardware.walker import Pcid, Pmd, Region
from shootdown.hardware.walker_flush import load_cr3
from shootdown.hardware.walker_remote import load_pdptes
from shootdown.lang import atomic, goal, invariant
from shootdown.linux.mm_tables import LocklessCpu, PageTable, PinnedFolio, UserMm, walkable, walked

# ------------------------------------------------------------------ invariants


@invariant("INV-X2-1")
def no_walker_in_freed_table() -> bool:
    """A page table was freed while software that takes no lock may still look into it."""
    return not any(table.given_away and walked(table) for table in PageTable)


@invariant("INV-PT")
def no_walk_of_freed_table() -> bool:
    """A page table was freed and some CPU may still start a page walk at it."""
    return not any(table.given_away and walkable(table) for table in PageTable)


# ------------------------------------------------------------------ goals


@goal("gup-fast is in a table that is not in the tree any more")
def walker_in_detached() -> bool:
    """The situation that interrupts off and RCU are for."""
    return any(
        cpu.walking is not None
        and cpu.walking == table
        and not any(
            mm.pmd[region].present and mm.pmd[region].table == table
            for mm in UserMm
            for region in Region
        )
        for cpu in LocklessCpu
        for table in PageTable
    )


@goal("a page table was freed")
def table_freed() -> bool:
    """It is somebody else's memory."""
    return any(table.given_away for table in PageTable)


@goal("the frame belongs to another process")
def reused() -> bool:
    """What gup-fast has seen is not there any more."""
    return PinnedFolio(0).allocated and not any(
        table.pte[page].present for table in PageTable for page in Page
    )


@goal("gup-fast has given a page to its caller")
def pinned() -> bool:
    """The fast way was taken to the end."""
    return any(folio.pinned for folio in PinnedFolio)


@goal("a vCPU was left out of a flush")
def left_out() -> bool:
    """It is flushed when it resumes."""
    return any(access.left_out(cpu) for cpu in Cpu)


@goal("a page fault has to retry")
def refaulted() -> bool:
    """It was in a table that was taken out of the tree meanwhile, and there is a new one."""
    return any(
        mm.pmd[region].present and mm.pmd[region].table == PageTable(1)
        for mm in UserMm
        for region in Region
    )


@goal("the pages were replaced by a huge page")
def collapsed() -> bool:
    """khugepaged went through with it."""
    return any(
        mm.pmd[region].present and mm.pmd[region].large for mm in UserMm for region in Region
    )


@goal("a page was copied on write")
def copied_on_write() -> bool:
    """The process has another page than the one that it shared."""
    return PinnedFolio(0).replaced


@goal("the CPU runs another process")
def switched() -> bool:
    """And is in the first one's mask no more."""
    return any(cpu.root == UserMm(1) and cpu not in UserMm(0).cpumask for cpu in LocklessCpu)


@goal("an entry was changed")
def entry_modified() -> bool:
    """Before the table was replaced."""
    pte = PageTable(0).pte[Page(0)]
    return pte.present and pte.frame == PinnedFolio(1)


@goal("a shared table has one user left")
def unshared() -> bool:
    """It is that one's to use."""
    return PageTable(0).pt_share_count == 0


@goal("the table is used for something else")
def retaken() -> bool:
    """The other process has mapped another page."""
    pte = PageTable(0).pte[Page(0)]
    return pte.present and pte.frame == PinnedFolio(1)


@goal("the table is at its new place")
def table_moved() -> bool:
    """And is nowhere else."""
    pmd = UserMm(0).pmd[Region(1)]
    return pmd.present and pmd.table == PageTable(1) and not UserMm(0).pmd[Region(0)].present


@goal("the page was freed")
def page_freed() -> bool:
    """The last mapping has gone."""
    return not PinnedFolio(0).allocated


# ------------------------------------------------------------------ starting states


@atomic
def run_on(cpu: LocklessCpu, mm: UserMm) -> None:
    """The CPU runs a thread of that process."""
    load_cr3(cpu, mm, Pcid(0))
    load_pdptes(cpu)
    mm.cpumask.add(cpu)


@atomic
def map_page(table: PageTable, page: Page, folio: PinnedFolio) -> None:
    """A page of anonymous memory, that was written."""
    folio.allocated = True
    folio.refcount = 1
    folio.mapcount = 1
    table.pte[page] = Pte(present=True, writable=True, accessed=True, dirty=True, frame=folio)


@atomic
def one_table() -> None:
    """Every CPU runs the process; its first page is in the first table; other frames are free."""
    for folio in PinnedFolio:
        folio.allocated = False
    map_page(PageTable(0), Page(0), PinnedFolio(0))
    UserMm(0).pmd[Region(0)] = Pmd(present=True, table=PageTable(0))
    for cpu in LocklessCpu:
        run_on(cpu, UserMm(0))


@atomic
def one_table_and_a_victim() -> None:
    """The same; the second frame belongs to another process."""
    one_table()
    PinnedFolio(1).allocated = True
    PinnedFolio(1).refcount = 1


@atomic
def one_table_and_a_spare() -> None:
    """The same; the second table is free, and the second frame."""
    one_table()
    for table in PageTable:
        table.in_use = table == PageTable(0)


@atomic
def full_table_and_a_spare() -> None:
    """The same with two pages in the table."""
    one_table_and_a_spare()
    map_page(PageTable(0), Page(1), PinnedFolio(1))
    for cpu in LocklessCpu:
        run_on(cpu, UserMm(0))


@atomic
def empty_table() -> None:
    """The same, and the table is empty: its pages were unmapped before."""
    one_table()
    PinnedFolio(0).allocated = False
    PinnedFolio(0).refcount = 0
    PageTable(0).pte[Page(0)] = Pte()
    for cpu in LocklessCpu:
        run_on(cpu, UserMm(0))


@atomic
def empty_table_and_page_zero() -> None:
    """The same with the second table; the first one stands for physical page 0, which an empty
    entry names, and is no table."""
    empty_table()
    PageTable(0).given_away = True
    UserMm(0).pmd[Region(0)] = Pmd(present=True, table=PageTable(1))
    for cpu in LocklessCpu:
        run_on(cpu, UserMm(0))


@atomic
def empty_table_and_a_lazy_cpu() -> None:
    """The same; the last CPU runs a kernel thread, with the address space of before."""
    empty_table()
    for cpu in LocklessCpu:
        cpu.is_lazy = cpu.index == len(LocklessCpu) - 1


@atomic
def shared_table() -> None:
    """Two processes share a table of huge pages of a file, which has been truncated: the only
    reference to the page is the table's. The second process runs on the second CPU."""
    for folio in PinnedFolio:
        folio.allocated = True
        folio.refcount = 1
    map_page(PageTable(0), Page(0), PinnedFolio(0))
    PageTable(0).pt_share_count = 1
    for mm in UserMm:
        mm.pmd[Region(0)] = Pmd(present=True, table=PageTable(0))
    for cpu in LocklessCpu:
        if cpu.index == 1:
            run_on(cpu, UserMm(1))
        else:
            run_on(cpu, UserMm(0))
