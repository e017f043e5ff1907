"""Historic races about page tables: taken away while software or hardware is in them.

Each is there as it was (VIOLATED) and with its fix (HOLDS), made of the paths of system X2 and of
options that say which kernel.
"""

from __future__ import annotations

from typing import Any

from shootdown.hardware.machine import Page
from shootdown.hardware.walker import Region
from shootdown.lang import Function, Scenario, Setup, Thread, scenario
from shootdown.linux.arch.x86.tlb_tables import switch_mm
from shootdown.linux.mm.fork import fork_and_write
from shootdown.linux.mm.gup_tables import gup_fast
from shootdown.linux.mm.hugetlb import Mapping, munmap_hugetlb, remap
from shootdown.linux.mm.khugepaged import (
    collapse_file,
    collapse_huge_page,
    retract_page_tables,
)
from shootdown.linux.mm.mmu_gather_tables import munmap
from shootdown.linux.mm.mremap_tables import move_page_tables
from shootdown.linux.mm_tables import LocklessCpu, PageTable, PinnedFolio, UserMm
from shootdown.races import x2_properties as x2
from shootdown.races.x2 import BROADCAST, MM, SIZES, Options, hardware, on
from shootdown.races.xen import map_page_to_xen, map_superpage_to_xen

OTHER = UserMm(1)
"""A second process."""


def race(
    name: str,
    title: str,
    threads: list[tuple[Any, ...]],
    options: Options,
    *,
    violates: str | None = None,
    start: Function[..., Any] = x2.one_table,
    invariants: tuple[Any, ...] = (),
    goals: tuple[Any, ...] = (),
    frames: int = 1,
    sizes: dict[Any, int] | None = None,
    idle: int = 0,
) -> Scenario:
    """Threads, each on a CPU of its own; ``idle`` further CPUs on which nothing happens but what
    hardware does. Goals and invariants are those of the safe form."""

    @scenario(name, expect="VIOLATED" if violates else "HOLDS", violates=violates, title=title)
    def build() -> Setup:
        cpus: dict[Any, int] = {LocklessCpu: len(threads) + idle}
        gup = any(path is gup_fast for path, *_ in threads)
        return Setup(
            sizes={**cpus, PinnedFolio: frames, **SIZES, **(sizes or {})},
            start=start,
            threads=[
                Thread(path, *args[:-1], **args[-1], **on(number, options))
                for number, (path, *args) in enumerate(threads)
            ],
            hardware=hardware(options, gup=gup),
            invariants=[*invariants],
            goals=[] if violates else [*goals],
            options=options,
        )

    return build


# ------------------------------------------------------------------ gup-fast and khugepaged

COLLAPSE: list[tuple[Any, ...]] = [
    (collapse_huge_page, MM, Page(0), PinnedFolio(1), {}),
    (gup_fast, MM, Page(0), {}),
]
RETRACT: list[tuple[Any, ...]] = [
    (retract_page_tables, MM, Page(0), {}),
    (gup_fast, MM, Page(0), {}),
]
WALKED = (x2.walker_in_detached,)


def collapse(
    name: str, title: str, options: Options, violates: str | None = None, *, full: bool = False
) -> Scenario:
    """khugepaged makes a huge page of a table's pages while gup-fast looks for one."""
    return race(
        name,
        title,
        COLLAPSE,
        options,
        violates=violates,
        goals=(*WALKED, x2.collapsed, x2.pinned),
        frames=2,
    )


def retract(name: str, title: str, options: Options, violates: str | None = None) -> Scenario:
    """khugepaged frees the table of a file mapping while gup-fast is in it."""
    return race(
        name,
        title,
        RETRACT,
        options,
        violates=violates,
        start=x2.empty_table,
        invariants=() if violates else (x2.no_walker_in_freed_table, x2.no_walk_of_freed_table),
        goals=(x2.walker_in_detached, x2.table_freed),
    )


KHUGEPAGED = (
    collapse(
        "KHUGEPAGED-GUP",
        "khugepaged copies a page and gup-fast pins it: the PMD is not looked at again",
        {**BROADCAST, "gup_recheck": "pte", "collapse_sync": "none"},
        "INV-PIN",
    ),
    collapse(
        "KHUGEPAGED-GUP.fixed",
        "gup-fast looks at the PMD again (70cbc3cc78a9)",
        {**BROADCAST, "collapse_sync": "none"},
    ),
    collapse(
        "KHUGEPAGED-GUP.ipi",
        "the old gup-fast where the flush is by IPI: it waits",
        {"gup_recheck": "pte", "collapse_sync": "none"},
    ),
    collapse(
        "KHUGEPAGED-GUP.sync",
        "the old gup-fast and the empty IPI of 2ba99c5e0881",
        {**BROADCAST, "gup_recheck": "pte"},
    ),
    retract(
        "KHUGEPAGED-GUP.free",
        "khugepaged frees a table that gup-fast is in",
        {**BROADCAST, "collapse_sync": "none"},
        "INV-X2-1",
    ),
    retract(
        "KHUGEPAGED-GUP.free-fixed",
        "an empty IPI to all before the table is freed (2ba99c5e0881)",
        BROADCAST,
    ),
    retract(
        "KHUGEPAGED-GUP.free-rcu",
        "the table is freed by RCU (pte_free_defer(), 6.6)",
        {**BROADCAST, "collapse_sync": "rcu"},
    ),
    retract(
        "KHUGEPAGED-GUP.free-ipi",
        "the flush is by IPI: it waits, and the empty IPI is not needed",
        {"collapse_sync": "none"},
    ),
)


# ------------------------------------------------------------------ hugetlb


def unshare(
    name: str, title: str, options: Options, violates: str | None = None, *, gup: bool
) -> Scenario:
    """Two processes share a page table of huge pages. The first unmaps its part; the second unmaps
    too, and frees the page, or uses the table for something else while gup-fast runs in the first.
    """
    first: tuple[Any, ...] = (munmap_hugetlb, MM, Page(0), {})
    if gup:
        second: tuple[Any, ...] = (remap, OTHER, Page(0), PinnedFolio(1), {})
        threads = [first, second, (gup_fast, MM, Page(0), {"leaf": True})]
    else:
        threads = [first, (munmap_hugetlb, OTHER, Page(0), {})]
    return race(
        name,
        title,
        threads,
        options,
        violates=violates,
        start=x2.shared_table,
        goals=(x2.unshared, x2.retaken, x2.pinned) if gup else (x2.unshared, x2.page_freed),
        frames=2 if gup else 1,
        sizes={UserMm: 2, Mapping: 1},
        idle=0 if gup else 1,
    )


HUGETLB = (
    unshare(
        "HUGETLB-UNSHARE",
        "CVE-2021-4002: a shared table goes away and no flush; the other process frees the page",
        {"unshare": "none"},
        "INV-UAF",
        gup=False,
    ),
    unshare(
        "HUGETLB-UNSHARE.fixed",
        "flush before i_mmap_rwsem is dropped (a4a118f2eead)",
        {"unshare": "flush"},
        gup=False,
    ),
    unshare(
        "HUGETLB-GUP",
        "CVE-2025-38085: gup-fast is in a table that another process has for itself by now",
        {**BROADCAST, "unshare": "flush"},
        "INV-X2-2",
        gup=True,
    ),
    unshare(
        "HUGETLB-GUP.fixed",
        "an empty IPI to all before the table is given up (1013af4f585f)",
        BROADCAST,
        gup=True,
    ),
    unshare(
        "HUGETLB-GUP.ipi",
        "without it, where the flush is by IPI and comes before i_mmap_rwsem is dropped",
        {"unshare": "flush"},
        gup=True,
    ),
)


# ------------------------------------------------------------------ mremap and khugepaged


def move_table(name: str, title: str, *, recheck: bool) -> Scenario:
    """One process moves a whole table of a file mapping, another one collapses that part of the
    file."""
    return race(
        name,
        title,
        [
            (move_page_tables, MM, Page(0), Page(1), {"recheck": recheck}),
            (collapse_file, MM, Page(0), {}),
        ],
        {"collapse_sync": "rcu"},
        violates=None if recheck else "INV-PT",
        start=x2.empty_table_and_page_zero,
        invariants=(x2.no_walk_of_freed_table,),
        goals=(x2.table_freed, x2.table_moved),
        sizes={Page: 2, Region: 2, PageTable: 2},
    )


MREMAP = (
    move_table(
        "MREMAP-PMD",
        "mremap moves a table that has been taken away: physical page 0 is one now",
        recheck=False,
    ),
    move_table(
        "MREMAP-PMD.fixed", "mremap looks again, with the rmap locks (6fa1066fc5d0)", recheck=True
    ),
)


# ------------------------------------------------------------------ hardware in a freed table


def walk(
    name: str, title: str, path: Any, options: Options, violates: str | None = None
) -> Scenario:
    """A table is freed while a CPU on which nothing happens may have it in its walk cache."""
    lazy = options.get("lazy_cpus") == "skipped"
    return race(
        name,
        title,
        [(path, MM, Page(0), {})],
        options,
        violates=violates,
        start=x2.empty_table_and_a_lazy_cpu if lazy else x2.one_table,
        invariants=(x2.no_walk_of_freed_table,),
        goals=(x2.table_freed,),
        idle=1,
    )


SLOWPATH = {"table_free": "one-ipi"}
LAZY_RCU = {"lazy_cpus": "skipped", "collapse_sync": "rcu"}

HARDWARE = (
    walk(
        "TABLE-FREE-SLOWPATH",
        "no memory for the batch: an IPI to all, but no flush before the table is freed",
        munmap,
        {**SLOWPATH, "table_invalidate": "no"},
        "INV-PT",
    ),
    walk(
        "TABLE-FREE-SLOWPATH.fixed",
        "tlb_remove_table() flushes first (d86564a2f085)",
        munmap,
        SLOWPATH,
    ),
    walk(
        "COLLAPSE-FREED-TABLES",
        "khugepaged's flush leaves out a lazy CPU that may still walk the table",
        retract_page_tables,
        {**LAZY_RCU, "collapse_flush": "leaves"},
        "INV-PT",
    ),
    walk(
        "COLLAPSE-FREED-TABLES.fixed",
        "the flush says that a table goes away (3ef938c35035)",
        retract_page_tables,
        LAZY_RCU,
    ),
)

CRST = (
    walk(
        "S390-CRST",
        "a process with one user frees a table at once; another CPU was left attached to it",
        munmap,
        {"table_shortcut": "mm_users"},
        "INV-PT",
    ),
    walk("S390-CRST.fixed", "no shortcut: the table goes to RCU, after a flush", munmap, {}),
)


PAE = {"pdpte": "registers", "table_free": "page"}

PDPTE = (
    walk(
        "PAE-PDPTE",
        "a top-level entry goes away and CPUs keep it in a register",
        munmap,
        {**PAE, "range_flush": "invlpg"},
        "INV-PT",
    ),
    walk(
        "PAE-PDPTE.fixed",
        "CR3 is loaded when a top-level entry changes (4981d01eada5)",
        munmap,
        PAE,
    ),
)


def switch(name: str, title: str, options: Options, violates: str | None = None) -> Scenario:
    """One CPU unmaps a page and frees its table; another one switches to another process."""
    return race(
        name,
        title,
        [(munmap, MM, Page(0), {}), (switch_mm, MM, OTHER, {})],
        {"table_free": "page", **options},
        violates=violates,
        start=x2.empty_table,
        invariants=(x2.no_walk_of_freed_table,),
        goals=(x2.table_freed, x2.switched),
        sizes={UserMm: 2},
    )


SWITCH = (
    switch(
        "CPUMASK-EARLY-CLEAR",
        "a CPU leaves the mask before it leaves the page table",
        {"mm_cpumask": "eager"},
        "INV-PT",
    ),
    switch(
        "CPUMASK-EARLY-CLEAR.fixed",
        "CR3 first, then the mask (831d52bc1539)",
        {"mm_cpumask": "eager-late"},
    ),
)


# ------------------------------------------------------------------ Xen


def superpage(name: str, title: str, *, locked: bool) -> Scenario:
    """Two CPUs change the hypervisor's page table in the same gigabyte: one an entry of a table,
    the other one the table to a superpage."""
    return race(
        name,
        title,
        [
            (map_page_to_xen, MM, Page(0), PinnedFolio(1), {"locked": locked}),
            (map_superpage_to_xen, MM, Page(0), PinnedFolio(0), {"locked": locked}),
        ],
        {"table_free": "page"},
        violates=None if locked else "INV-PT",
        invariants=(x2.no_walk_of_freed_table,),
        goals=(x2.table_freed, x2.entry_modified),
        frames=2,
    )


XEN = (
    superpage(
        "XSA-345", "a table is replaced by a superpage while another CPU writes to it", locked=False
    ),
    superpage("XSA-345.fixed", "the slot is locked for the whole update (1ce75e99d7)", locked=True),
)


# ------------------------------------------------------------------ pins and fork


def fork(name: str, title: str, options: Options, violates: str | None = None) -> Scenario:
    """A process forks and then writes to a page that another thread pins for DMA."""
    return race(
        name,
        title,
        [
            (fork_and_write, MM, Page(0), PinnedFolio(1), {}),
            (gup_fast, MM, Page(0), {"pin": True}),
        ],
        options,
        violates=violates,
        goals=(x2.pinned, x2.copied_on_write),
        frames=2,
    )


FORK = (
    fork(
        "GUP-COW-FORK",
        "a page is pinned while fork() makes it read-only, and then copied on write",
        {"write_protect_seq": "none"},
        "INV-PIN",
    ),
    fork("GUP-COW-FORK.fixed", "mm->write_protect_seq: gup-fast gives up (57efa1fe5957)", {}),
)
