"""System X1: page tables that are freed while a CPU may still walk them (LAZYTLB-PWC).

Here a page table is a tree, and CPUs cache its upper level (``hardware/walker.py``). A CPU that
runs a kernel thread touches no user address, but it speculates; so does one that is about to write
CR3.
"""

from __future__ import annotations

from dataclasses import replace

from shootdown.hardware.machine import Frame, Page
from shootdown.hardware.pcid import Pcid
from shootdown.hardware.walker import Pmd, Region, Table, give_away
from shootdown.hardware.walker_flush import walker
from shootdown.lang import WRITE_ONCE, Thread, atomic, goal, invariant, path
from shootdown.linux.arch.x86.switch import switch_to_kernel_thread, switch_to_task
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.arch.x86.tlbflush import ContextMm, LoadedMm, TlbContext, TlbState
from shootdown.races import x1_properties as x1
from shootdown.races.x1 import MM, TSO, Situation, handler, main, x1_scenario

HARDWARE = replace(
    walker,
    name="x86 walker",
    assumptions=(
        *walker.assumptions,
        "an interrupt handler takes several steps, while its CPU does nothing else",
    ),
)
TREE = {"paging": "tree"}


@invariant("INV-PT")
def no_freed_table_walked() -> bool:
    """A CPU has walked a page table that is somebody else's memory by now."""
    return not any(table.trampled for table in Table)


@goal("a page table was freed")
def table_freed() -> bool:
    """It is somebody else's memory."""
    return any(table.given_away for table in Table)


@goal("a CPU could have walked the table while the flush was under way")
def in_reach() -> bool:
    """It is out of the tree, and cached."""
    return any(
        not mm.pmd[region].present and cpu.root == mm and cpu.tables[cpu.pcid][region]
        for cpu in TlbState
        for mm in ContextMm
        for region in Region
    )


@goal("a lazy CPU has left the mm")
def left() -> bool:
    """The flush has sent it to init_mm."""
    return any(cpu.root is None for cpu in TlbState)


@atomic
def runs_tree(cpu: TlbState, mm: ContextMm, asid: Pcid) -> None:
    """The CPU runs a task of that process, and has its table cached."""
    cpu.loaded_mm = LoadedMm(mm=mm)
    cpu.loaded_mm_asid = asid
    cpu.pcid = asid
    cpu.root = mm
    cpu.ctxs[asid] = TlbContext(used=True, mm=mm)
    cpu.next_asid = 1
    mm.cpumask.add(cpu)


@atomic
def all_run_tree() -> None:
    """Every CPU runs the process."""
    for cpu in TlbState:
        runs_tree(cpu, ContextMm(0), Pcid(0))
    for region in Region:
        ContextMm(0).pmd[region] = Pmd(present=True, table=Table(0))
        for cpu in TlbState:
            cpu.tables[Pcid(0)][region] = {Table(0)}


@path(show="free_pgtables()")
def free_table(mm: ContextMm, region: Region) -> None:
    """Take a table out of the tree, flush, free it."""
    WRITE_ONCE(mm.pmd[region], Pmd())
    flush_tlb_mm_range(mm, set(Page), freed_tables=True)
    give_away(Table(0))


@path(show="kernel thread")
def lazy_then_back(mm: ContextMm) -> None:
    """The CPU is lazy for a while, then goes on with the process."""
    switch_to_kernel_thread()
    switch_to_task(mm)


@path(show="task")
def switch_away(mm: ContextMm) -> None:
    """The CPU goes on with another process."""
    switch_to_task(mm)


def lazy_threads(cpus: int) -> list[Thread]:
    """CPU0 frees a page table; the others are lazy meanwhile."""
    return [
        main(0, free_table, MM, Region(0)),
        *[main(c, lazy_then_back, MM) for c in range(1, cpus)],
        *[handler(c) for c in range(1, cpus)],
    ]


def switch_threads(cpus: int) -> list[Thread]:
    """CPU0 frees a page table; the others switch to another process."""
    return [
        main(0, free_table, MM, Region(0)),
        *[main(c, switch_away, ContextMm(1)) for c in range(1, cpus)],
        *[handler(c) for c in range(1, cpus)],
    ]


SIZES = {Page: 1, Frame: 1, Region: 1, Table: 1, Pcid: 2}
LAZY_TREE = Situation(2, {**SIZES, ContextMm: 1}, all_run_tree, lazy_threads, HARDWARE)
AWAY_TREE = Situation(2, {**SIZES, ContextMm: 2}, all_run_tree, switch_threads, HARDWARE)

TABLES = (
    x1_scenario(
        "X1.current.tables",
        "current",
        LAZY_TREE,
        "page tables are freed: lazy CPUs are told, too (2ff6ddf19c0e)",
        aliases=("LAZYTLB-PWC.fixed",),
        more=TREE,
        check=(no_freed_table_walked, x1.in_mask),
        goals=(table_freed, in_reach, left),
    ),
    x1_scenario(
        "X1.current.tables-tso",
        "current",
        LAZY_TREE,
        "the same with store buffers: a page walker sees its own CPU's only",
        more={**TREE, **TSO},
        check=(no_freed_table_walked, x1.in_mask),
        goals=(table_freed, in_reach, left),
    ),
    x1_scenario(
        "X1.V5",
        "V5",
        LAZY_TREE,
        "lazy CPUs are not told when page tables are freed",
        violates="INV-PT",
        aliases=("LAZYTLB-PWC",),
        more=TREE,
        check=(no_freed_table_walked,),
        goals=(),
    ),
    x1_scenario(
        "X1.current.tables-away",
        "current",
        AWAY_TREE,
        "page tables are freed while a CPU switches to another process",
        more=TREE,
        check=(no_freed_table_walked, x1.in_mask),
        goals=(table_freed, in_reach),
    ),
    x1_scenario(
        "X1.current.v6.13-tables",
        "v6.13",
        LAZY_TREE,
        "lazy CPUs are told before 6.14",
        more=TREE,
        check=(no_freed_table_walked, x1.in_mask_unless_switching),
        goals=(table_freed, in_reach, left),
    ),
    x1_scenario(
        "X1.current.v6.13-tables-away",
        "v6.13",
        AWAY_TREE,
        "4.14 to 6.13: a CPU leaves mm_cpumask before it writes CR3",
        violates="INV-PT",
        more=TREE,
        check=(no_freed_table_walked,),
        goals=(),
    ),
)
