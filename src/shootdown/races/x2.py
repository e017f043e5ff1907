"""System X2: gup-fast and other walkers of page tables, against freeing the tables.

One set of paths; a variant is how CPUs are told to flush (``table_flush``), how tables are freed
(``table_free``) and what gup-fast looks at again (``gup_recheck``). ``docs/x2.md`` explains the
results.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shootdown.hardware.machine import Page
from shootdown.hardware.vcpu import runs
from shootdown.hardware.walker import Pcid, Region
from shootdown.hardware.walker_remote import x86_tables, x86_tables_virtual
from shootdown.lang import Hardware, Scenario, Setup, Thread, scenario
from shootdown.linux.kernel.rcu import quiescent_state, rcu_callback
from shootdown.linux.mm.gup_tables import directory_seen, entry_seen, gup_fast
from shootdown.linux.mm.mmu_gather_tables import munmap
from shootdown.linux.mm.pt_reclaim import do_anonymous_page, madvise_dontneed
from shootdown.linux.mm_tables import LocklessCpu, PageTable, PinnedFolio, UserMm, next_owner
from shootdown.races import x2_properties as x2

Options = Mapping[str, str]

MM = UserMm(0)
"""The process."""

SIZES: dict[Any, int] = {Page: 1, Region: 1, Pcid: 1, PageTable: 1, UserMm: 1}


def hardware(options: Options, *, gup: bool = True) -> Hardware:
    """x86 with walk caches; virtual CPUs, RCU and what gup-fast sees where there is any."""
    virtual = options.get("table_flush") == "skip-preempted"
    base = x86_tables_virtual if virtual else x86_tables
    if options.get("table_free", "batch") in ("batch", "one-rcu"):
        base = base.and_rules(quiescent_state, rcu_callback)
    if gup:
        base = replace(base, observers=(*base.observers, entry_seen, directory_seen))
    return base


def on(number: int, options: Options) -> dict[str, Any]:
    """Where a thread runs; a virtual CPU runs only while the hypervisor lets it."""
    virtual = options.get("table_flush") == "skip-preempted"
    return {"on": LocklessCpu(number), "when": runs if virtual else None}


# ------------------------------------------------------------------ gup-fast against munmap


def unmapping(
    name: str,
    title: str,
    options: Options,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    garbage: bool = False,
) -> Scenario:
    """One thread unmaps a page and frees its table, others look for the page with gup-fast.

    INV-X2-1, INV-X2-2, INV-UAF and, where it holds, INV-PT.
    """

    @scenario(
        name,
        expect="VIOLATED" if violates else "HOLDS",
        violates=violates,
        aliases=aliases,
        title=title,
    )
    def build(cpus: int = 2) -> Setup:
        goals = [x2.table_freed, x2.pinned, x2.walker_in_detached]
        return Setup(
            sizes={LocklessCpu: cpus, PinnedFolio: 2 if garbage else 1, **SIZES},
            start=x2.one_table_and_a_victim if garbage else x2.one_table,
            threads=[
                Thread(munmap, MM, Page(0), **on(0, options)),
                *[
                    Thread(gup_fast, MM, Page(0), garbage=garbage, **on(c, options))
                    for c in range(1, cpus)
                ],
            ],
            hardware=hardware(options),
            invariants=[] if violates else [x2.no_walker_in_freed_table, x2.no_walk_of_freed_table],
            goals=[] if violates else goals,
            options=options,
        )

    return build


IPI_PAGE = {"table_free": "page"}
BROADCAST_PAGE = {"table_flush": "broadcast", "table_free": "page"}
PV_PAGE = {"table_flush": "skip-preempted", "table_free": "page"}
BROADCAST = {"table_flush": "broadcast"}
PV = {"table_flush": "skip-preempted"}
BROADCAST_SYNC = {"table_flush": "broadcast", "table_free": "one-ipi"}
PV_SYNC = {"table_flush": "skip-preempted", "table_free": "one-ipi"}

UNMAPPING = (
    unmapping(
        "X2.ipi", "the IPI of the flush waits for gup-fast, then the table is freed", IPI_PAGE
    ),
    unmapping(
        "X2.V1",
        "a broadcast flush waits for nobody, and the table is freed at once",
        BROADCAST_PAGE,
        violates="INV-X2-1",
        aliases=("BAD-X2-1",),
    ),
    unmapping(
        "X2.V1.grab",
        "the same without a second look: a reference to whatever the new owner has written",
        {**BROADCAST_PAGE, "gup_recheck": "none"},
        violates="INV-X2-2",
        garbage=True,
    ),
    unmapping(
        "X2.V2",
        "a preempted vCPU is left out of the flush, and the table is freed at once",
        PV_PAGE,
        violates="INV-X2-1",
    ),
    unmapping("X2.V3", "the table is freed by RCU", BROADCAST, aliases=("X2.rcu",)),
    unmapping("X2.V3.pv", "the same with preempted vCPUs that are left out of the flush", PV),
    unmapping("X2.V3.ipi", "the same with IPIs: what x86 does without INVLPGB", {}),
    unmapping(
        "X2.V3.one",
        "no memory for the batch: RCU for each table",
        {"table_flush": "broadcast", "table_free": "one-rcu"},
    ),
    unmapping("X2.sync", "no memory for the batch: an empty IPI to all, then free", BROADCAST_SYNC),
    unmapping("X2.sync.pv", "the same with preempted vCPUs: the IPI waits for them", PV_SYNC),
)


# ------------------------------------------------------------------ the second look


def replaced(name: str, title: str, options: Options, *, violates: str | None = None) -> Scenario:
    """A page is unmapped and its frame goes to another process, while gup-fast looks for the page.

    INV-X2-2: the reference is to a page that was mapped there after gup-fast had begun.
    """

    @scenario(name, expect="VIOLATED" if violates else "HOLDS", violates=violates, title=title)
    def build(cpus: int = 3) -> Setup:
        strong = [x2.no_walker_in_freed_table, x2.no_walk_of_freed_table]
        return Setup(
            sizes={LocklessCpu: cpus, PinnedFolio: 1, **SIZES},
            start=x2.one_table,
            threads=[
                Thread(munmap, MM, Page(0), **on(0, options)),
                Thread(next_owner, PinnedFolio(0), daemon=True, **on(1, options)),
                *[Thread(gup_fast, MM, Page(0), **on(c, options)) for c in range(2, cpus)],
            ],
            hardware=hardware(options),
            invariants=strong,
            goals=[x2.reused, x2.pinned, x2.walker_in_detached],
            options=options,
        )

    return build


REPLACED = (
    replaced(
        "X2.V4",
        "no second look: a reference to a page of somebody else",
        {**BROADCAST, "gup_recheck": "none"},
        violates="INV-X2-2",
    ),
    replaced(
        "X2.V4.pte",
        "a second look at the PTE is enough against munmap",
        {**BROADCAST, "gup_recheck": "pte"},
    ),
    replaced("X2.V4.recheck", "a second look at PMD and PTE", BROADCAST),
    replaced(
        "X2.V4.ipi",
        "no second look, but the flush waits for gup-fast (x86 before 4.13)",
        {**IPI_PAGE, "gup_recheck": "none"},
    ),
)


# ------------------------------------------------------------------ PT_RECLAIM


def reclaim(
    name: str,
    title: str,
    options: Options,
    *,
    violates: str | None = None,
    full: bool = False,
) -> Scenario:
    """MADV_DONTNEED frees a table, a page fault wants to use it, and gup-fast is about.

    ``full``: the gather is full after the first page, and there is no gup-fast.
    """

    @scenario(name, expect="VIOLATED" if violates else "HOLDS", violates=violates, title=title)
    def build(cpus: int = 2 if full else 3) -> Setup:
        pages = 2 if full else 1
        given = tuple(Page(p) for p in range(pages))
        sizes = {**SIZES, Page: pages, PageTable: 2}
        goals = [x2.table_freed, x2.refaulted]
        if not full:
            goals += [x2.pinned, x2.walker_in_detached]
        return Setup(
            sizes={LocklessCpu: cpus, PinnedFolio: pages + 1, **sizes},
            start=x2.full_table_and_a_spare if full else x2.one_table_and_a_spare,
            threads=[
                Thread(madvise_dontneed, MM, given[:-1], given[-1:], **on(0, options)),
                Thread(do_anonymous_page, MM, Page(0), **on(1, options)),
                *[Thread(gup_fast, MM, Page(0), **on(c, options)) for c in range(2, cpus)],
            ],
            hardware=hardware(options, gup=not full),
            invariants=[x2.no_walk_of_freed_table]
            + ([] if violates else [x2.no_walker_in_freed_table]),
            goals=[] if violates else goals,
            options=options,
        )

    return build


RECLAIM = (
    reclaim("X2.V5", "MADV_DONTNEED frees an empty table by RCU (PT_RECLAIM)", BROADCAST),
    reclaim("X2.V5.ipi", "the same with IPIs", {}),
    reclaim(
        "X2.V5.sync",
        "no memory for the batch: the empty IPI does not wait for rcu_read_lock()",
        BROADCAST_SYNC,
        violates="INV-X2-1",
    ),
    reclaim(
        "X2.V5.page",
        "the IPI of the flush does not wait for rcu_read_lock() either",
        IPI_PAGE,
        violates="INV-X2-1",
    ),
    reclaim(
        "X2.V5.one",
        "no memory for the batch: RCU for each table (718b13861d22)",
        {"table_flush": "broadcast", "table_free": "one-rcu"},
    ),
    reclaim(
        "X2.V5.trust",
        "the lock was dropped in between, and the entries are not looked at again",
        {"pt_reclaim": "trust"},
        violates="INV-PT",
        full=True,
    ),
    reclaim("X2.V5.full", "the same with a second look at all entries", {}, full=True),
)
