"""Historic races about page tables that are moved, replaced or freed while hardware or software is
in them: s390, Xen, kexec and mremap.

Each is a few lines of a kernel that is not modelled otherwise, so its paths stand here.
"""

from __future__ import annotations

from typing import Any, cast

from shootdown.hardware.machine import Cpu, Frame, Page, Pte
from shootdown.hardware.walker import (
    Pcid,
    Pmd,
    Region,
    Space,
    Table,
    Walker,
    load,
    slot,
    store,
)
from shootdown.hardware.walker_flush import invpcid_all, load_cr3, walker
from shootdown.hardware.walker_remote import (
    Call,
    RemoteCpu,
    call_walkers,
    call_walkers_pages,
    invalidate_broadcast,
    x86_tables,
    x86_tables_pages,
)
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    Setup,
    SpinLock,
    Thread,
    atomic,
    goal,
    mark,
    note,
    path,
    this,
    xchg,
)
from shootdown.linux.mm_tables import LocklessCpu, PageTable, PinnedFolio, UserMm, put_folio
from shootdown.linux.mm_types import page_folio
from shootdown.linux.table_checks import free_table
from shootdown.races import x2_properties as x2
from shootdown.races.x1_elsewhere import race

MM = UserMm(0)

# ------------------------------------------------------------------ S390-FLUSH-FLAG


class LazyMm(UserMm):
    """``mm->context``: ``flush_mm`` says that something was cleared and not purged, ``lock``
    protects it."""

    flush_mm: bool = False
    flush_lock: SpinLock


LAZY = LazyMm(0)


@atomic(show="IDTE", role="flush")
def idte(mm: LazyMm) -> None:
    """All that any CPU has cached of the address space is purged, tables too."""
    invalidate_broadcast(mm)


@path
def flush_if_asked(mm: LazyMm, *, clear: str) -> None:
    """Purge if there is anything to purge, and clear the flag after that, or before."""
    if READ_ONCE(mm.flush_mm):
        if clear == "before":
            WRITE_ONCE(mm.flush_mm, False)
        idte(mm)
        if clear == "after":
            WRITE_ONCE(mm.flush_mm, False)


@path(show="__tlb_flush_mm_lazy()")
def tlb_flush_mm_lazy(mm: LazyMm, *, clear: str, locked: bool) -> None:
    """arch/s390/include/asm/tlbflush.h. ``locked``: with ``mm->context.lock`` (60f07c8ec5fa)."""
    if locked:
        with mm.flush_lock:
            flush_if_asked(mm, clear=clear)
    else:
        flush_if_asked(mm, clear=clear)


@path(show="munmap()")
def munmap_s390(mm: LazyMm, page: Page, *, clear: str, locked: bool) -> None:
    """A table is taken out, and freed after the flush (``pte_free_tlb()``, ``tlb_flush()``)."""
    pmd = xchg(mm.pmd[Region(0)], Pmd())
    WRITE_ONCE(mm.flush_mm, True)
    tlb_flush_mm_lazy(mm, clear=clear, locked=locked)
    free_table(cast(PageTable, pmd.table))


@path(show="finish_arch_post_lock_switch()")
def attach_s390(mm: LazyMm, *, clear: str, locked: bool) -> None:
    """A CPU comes to the process: it purges first if that is owed, then loads the page table.
    Before 60f07c8ec5fa it left the flag as it was: who clears it then is another thread that
    flushes."""
    tlb_flush_mm_lazy(mm, clear=clear, locked=locked)
    load_cr3(this(RemoteCpu), mm, Pcid(0))


@atomic
def flush_owed() -> None:
    """CPU0 runs the process, whose table is empty by now; a purge is owed. CPU1 runs nothing."""
    LAZY.pmd[Region(0)] = Pmd(present=True, table=PageTable(0))
    LAZY.flush_mm = True
    load_cr3(LocklessCpu(0), LAZY, Pcid(0))


def flag(clear: str, *, locked: bool) -> Setup:
    """CPU0 frees a page table while CPU1 comes to the process."""
    how: dict[str, Any] = {"clear": clear, "locked": locked}
    return Setup(
        sizes={
            LocklessCpu: 2,
            Frame: 1,
            LazyMm: 1,
            PageTable: 1,
            Page: 1,
            Region: 1,
            Pcid: 1,
        },
        start=flush_owed,
        threads=[
            Thread(munmap_s390, LAZY, Page(0), **how, on=LocklessCpu(0)),
            Thread(attach_s390, LAZY, **how, on=LocklessCpu(1)),
        ],
        hardware=x86_tables,
        invariants=[x2.no_walk_of_freed_table],
        goals=[x2.table_freed],
    )


FLAG = (
    race(
        "S390-FLUSH-FLAG",
        "the flag is cleared after the purge, and what was asked for meanwhile is forgotten (2017)",
        flag("after", locked=False),
        "INV-PT",
    ),
    race(
        "S390-FLUSH-FLAG.before",
        "the flag is cleared before the purge: who finds it clear does not wait for it",
        flag("before", locked=False),
        "INV-PT",
    ),
    race(
        "S390-FLUSH-FLAG.fixed",
        "the flag, and the purge, under a lock (60f07c8ec5fa)",
        flag("before", locked=True),
    ),
)

# ------------------------------------------------------------------ XSA-480


@path(show="ept_sync_domain()", role="flush")
def ept_sync_domain() -> None:
    """Every CPU that has run the guest forgets what it has cached of the EPT."""
    call_walkers(set(Cpu), Call.CR3)


@path(show="ept_set_entry()")
def ept_set_entry(p2m: UserMm, frame: PinnedFolio, *, free: str) -> None:
    """xen/arch/x86/mm/p2m-ept.c: a superpage where a table was. The flush is put off until the p2m
    lock is dropped. ``free``: the table is freed at once, or after the flush (XSA-480)."""
    with p2m.pmd_lock:
        l2e = xchg(p2m.pmd[Region(0)], Pmd(present=True, large=True, frame=frame))
        if free == "at-once":
            free_ept_table(cast(PageTable, l2e.table))
        ept_sync_domain()
        if free == "flushed":
            free_ept_table(cast(PageTable, l2e.table))


@atomic(show="p2m_free_ptp()")
def free_ept_table(table: PageTable) -> None:
    """The table's page goes back to the domain's pool, and from there to anybody."""
    table.given_away = True


def ept(free: str) -> Setup:
    """The toolstack changes a guest's EPT while its vCPU runs."""
    return Setup(
        sizes={
            LocklessCpu: 2,
            PinnedFolio: 1,
            UserMm: 1,
            PageTable: 1,
            Page: 1,
            Region: 1,
            Pcid: 1,
        },
        start=x2.one_table,
        threads=[Thread(ept_set_entry, MM, PinnedFolio(0), free=free, on=LocklessCpu(0))],
        hardware=x86_tables,
        invariants=[x2.no_walk_of_freed_table],
        goals=[x2.table_freed],
    )


EPT = (
    race(
        "XSA-480",
        "an EPT table is freed at once, the flush is put off until unlock (CVE-2026-23554)",
        ept("at-once"),
        "INV-PT",
    ),
    race("XSA-480.fixed", "the table is freed after the flush (4bc2e5333abb)", ept("flushed")),
)

# ------------------------------------------------------------------ KEXEC-GLOBAL

IDENTITY = Space(1)


@path(show="relocate_kernel()")
def relocate_kernel(page: Page, *, pge: str) -> None:
    """arch/x86/kernel/relocate_kernel_64.S: on a page table of its own, where the control page is
    writable. ``pge``: global translations go after the first store, which is wrong since the
    kernel maps the page read-only (5a82223e0743), or before it (d144d8a65286)."""
    cpu = this(Walker)
    load_cr3(cpu, IDENTITY, Pcid(0))
    if pge == "off-first":
        invpcid_all(cpu)
    save_registers(page)
    if pge == "off-later":
        invpcid_all(cpu)


@atomic(show="save registers in the control page")
def save_registers(page: Page) -> None:
    """There is no page-fault handler any more."""
    frame = store(this(Walker), page)
    if frame is None:
        mark("page fault")
    assert frame is not None, "INV-RO: a page that the page table lets be written is not writable"


@goal("the control page is writable")
def on_new_tables() -> bool:
    """The CPU is on the page table of kexec."""
    return any(cpu.root == IDENTITY for cpu in Walker)


@atomic
def control_page() -> None:
    """The kernel maps the control page read-only and executable, and global; kexec's page table
    maps it writable."""
    Region(0).glob = True
    for space in Space:
        Table(space.index).pte[Page(0)] = Pte(
            present=True, accessed=True, writable=space == IDENTITY, frame=Frame(0)
        )
        space.pmd[Region(0)] = Pmd(present=True, table=Table(space.index))
    load_cr3(Walker(0), Space(0), Pcid(0))


def kexec(pge: str) -> Setup:
    """One CPU."""
    return Setup(
        sizes={Walker: 1, Page: 1, Frame: 1, Region: 1, Pcid: 1, Table: 2, Space: 2},
        start=control_page,
        threads=[Thread(relocate_kernel, Page(0), pge=pge, on=Walker(0))],
        hardware=walker,
        goals=[on_new_tables],
    )


KEXEC = (
    race(
        "KEXEC-GLOBAL",
        "kexec writes to a page through a global translation of the old page table, read-only",
        kexec("off-later"),
        "INV-RO",
    ),
    race(
        "KEXEC-GLOBAL.fixed",
        "global translations go first (d144d8a65286)",
        kexec("off-first"),
    ),
)

# ------------------------------------------------------------------ MREMAP-PMD-RMAP

OLD, NEW = Page(0), Page(1)


@path(show="flush_tlb_range()", role="flush")
def flush_tlb_range(mm: UserMm, pages: set[Page]) -> None:
    """INVLPG of some pages, on every CPU of the mask."""
    call_walkers_pages(READ_ONCE(mm.cpumask), pages)


@path(show="move_normal_pmd()")
def move_pmd(mm: UserMm) -> None:
    """mm/mremap.c since 2c91bd4a4e2e: a whole table to another place, and a flush of the old."""
    with mm.pmd_lock:
        pmd = xchg(mm.pmd[Region(0)], Pmd())
        flush_tlb_range(mm, {OLD})
        WRITE_ONCE(mm.pmd[Region(1)], pmd)


@path(show="mremap()")
def mremap_table(mm: UserMm, *, rmap: str) -> None:
    """``rmap``: the rmap locks are left alone, since walks visit the old place first; or held
    (97113eb39fa7)."""
    if rmap == "locked":
        with mm.i_mmap_rwsem.write():
            move_pmd(mm)
    else:
        move_pmd(mm)


@path(show="try_to_unmap_one()")
def unmap_at_old_place(mm: UserMm) -> None:
    """mm/rmap.c: page_vma_mapped_walk() finds the table, then takes its lock; the entry is cleared
    and the address flushed at which it was found; then the page is freed."""
    with mm.i_mmap_rwsem.read():
        pmd = READ_ONCE(mm.pmd[Region(0)])
        if pmd.present:
            table = cast(PageTable, pmd.table)
            with table.ptl:
                pte = xchg(table.pte[slot(OLD)], Pte())
                flush_tlb_range(mm, {OLD})
            if pte.present:
                put_folio(page_folio(pte.frame))


@atomic(show="load {page}")
def read(page: Page) -> None:
    """An instruction of user space."""
    if load(this(Walker), page) is None:
        note("page fault")


@path(show="user")
def reader(page: Page) -> None:
    """A thread that reads once."""
    read(page)


@goal("the table is at its new place")
def moved() -> bool:
    """And a page can be read there."""
    pmd = MM.pmd[Region(1)]
    return pmd.present and pmd.table.pte[slot(NEW)].present


def move(rmap: str) -> Setup:
    """CPU0 moves a table, reclaim on CPU1 unmaps the page in it, CPU2 reads the new address."""
    return Setup(
        sizes={
            LocklessCpu: 3,
            PinnedFolio: 1,
            UserMm: 1,
            PageTable: 1,
            Page: 2,
            Region: 2,
            Pcid: 1,
        },
        start=x2.one_table,
        threads=[
            Thread(mremap_table, MM, rmap=rmap, on=LocklessCpu(0)),
            Thread(unmap_at_old_place, MM, on=LocklessCpu(1)),
            Thread(reader, NEW, on=LocklessCpu(2)),
        ],
        hardware=x86_tables_pages,
        goals=[moved, x2.page_freed],
        options={"table_index": "slot"},
    )


MREMAP = (
    race(
        "MREMAP-PMD-RMAP",
        "reclaim is in a table that mremap moves, and flushes the address where it found it",
        move("unlocked"),
        "INV-UAF",
    ),
    race(
        "MREMAP-PMD-RMAP.fixed",
        "mremap holds the rmap locks when it moves a table (97113eb39fa7)",
        move("locked"),
    ),
)
