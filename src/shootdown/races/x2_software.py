"""Historic races of software that reads page tables, or keeps what it has read in them: hugetlb and
KVM.

Each is a few lines of a kernel that is not modelled otherwise, so its paths stand here.
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import Cpu, Frame, Page, Pte
from shootdown.hardware.walker import Pcid, Pmd, Region
from shootdown.hardware.walker_flush import load_cr3
from shootdown.hardware.walker_remote import x86_tables
from shootdown.hardware.x86 import x86
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    Object,
    RwSem,
    Setup,
    SpinLock,
    Thread,
    atomic,
    atomic_dec,
    atomic_inc,
    counter,
    goal,
    invariant,
    mark,
    note,
    path,
    smp_rmb,
    xchg,
)
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.arch.x86.tlb_tables import flush_tlb_mm_range as flush_tree
from shootdown.linux.mm.mmu_gather import folio_put
from shootdown.linux.mm_tables import LocklessCpu, PageTable, UserMm
from shootdown.linux.mm_types import Folio, Mm, page_folio
from shootdown.linux.pgtable import ptep_get_and_clear
from shootdown.linux.virt.kvm import Kvm
from shootdown.races import s0_properties as s0
from shootdown.races.x1_elsewhere import race

PAGE = Page(0)

# ------------------------------------------------------------------ HUGETLB-SPLIT-SHARE


class HugeVma(Object, show="VMA{}"):
    """A VMA of huge pages that is as large as a page table. ``lock``: the VMA lock that page faults
    hold. ``split``: it is two by now, and no table of it may be shared any more."""

    lock: RwSem
    split: bool = False


VMA = HugeVma(0)
TREE = UserMm(0)


@path(show="huge_pmd_unshare()")
def huge_pmd_unshare() -> None:
    """Give up a shared table; ``i_mmap_rwsem`` is held for writing."""
    pmd = READ_ONCE(TREE.pmd[Region(0)])
    if pmd.present:
        table = cast(PageTable, pmd.table)
        WRITE_ONCE(TREE.pmd[Region(0)], Pmd())
        flush_tree(TREE)
        atomic_dec(table.pt_share_count)


@path(show="__split_vma()")
def split_vma(*, unshare: str) -> None:
    """mm/vma.c, with the mmap lock held for writing. ``unshare``: from ``vm_ops->may_split()``, or
    when page faults and rmap walks are kept out (081056dc00a2)."""
    with TREE.mmap_lock.write():
        if unshare == "may-split":
            with TREE.i_mmap_rwsem.write():
                huge_pmd_unshare()
        with VMA.lock.write(), TREE.i_mmap_rwsem.write():
            if unshare == "locked":
                huge_pmd_unshare()
            WRITE_ONCE(VMA.split, True)


@path(show="hugetlb_fault()")
def hugetlb_fault() -> None:
    """A page fault with nothing but the VMA lock: where there is no table, share that of another
    process which maps the same part of the file (``huge_pmd_share()``)."""
    with VMA.lock.read(), TREE.i_mmap_rwsem.read():
        pmd = READ_ONCE(TREE.pmd[Region(0)])
        if not pmd.present and not READ_ONCE(VMA.split):
            atomic_inc(PageTable(0).pt_share_count)
            WRITE_ONCE(TREE.pmd[Region(0)], Pmd(present=True, table=PageTable(0)))


@invariant("INV-SHARED")
def one_vma_for_a_table() -> bool:
    """A VMA was split, and the page table of both halves is another process's as well."""
    return not (VMA.split and TREE.pmd[Region(0)].present)


@goal("the VMA is split")
def was_split() -> bool:
    """The table is not shared any more."""
    return VMA.split


@atomic
def table_shared() -> None:
    """The first process shares the table with another one."""
    TREE.pmd[Region(0)] = Pmd(present=True, table=PageTable(0))
    PageTable(0).pt_share_count = 1
    for cpu in LocklessCpu:
        TREE.cpumask.add(cpu)
        load_cr3(cpu, TREE, Pcid(0))


def splitting(unshare: str) -> Setup:
    """One thread splits a VMA, another one has a page fault in it."""
    return Setup(
        sizes={
            LocklessCpu: 2,
            Frame: 1,
            UserMm: 1,
            PageTable: 1,
            HugeVma: 1,
            Page: 1,
            Region: 1,
            Pcid: 1,
        },
        start=table_shared,
        threads=[
            Thread(split_vma, unshare=unshare, on=LocklessCpu(0)),
            Thread(hugetlb_fault, on=LocklessCpu(1)),
        ],
        hardware=x86_tables,
        invariants=[one_vma_for_a_table],
        goals=[was_split],
    )


SPLIT = (
    race(
        "HUGETLB-SPLIT-SHARE",
        "a table is unshared before page faults are kept out: it is shared again (CVE-2025-38084)",
        splitting("may-split"),
        "INV-SHARED",
    ),
    race(
        "HUGETLB-SPLIT-SHARE.fixed",
        "it is unshared when they are (081056dc00a2)",
        splitting("locked"),
    ),
)

# ------------------------------------------------------------------ HUGETLB-CONT-GUP

MM = Mm(0)


class HugeMm(Mm):
    """``page_table_lock``: ``huge_pte_lock()`` of sizes that are not a PMD's."""

    page_table_lock: SpinLock


HUGE = HugeMm(0)


@atomic(show="try_grab_page()")
def try_grab_page(folio: Folio) -> None:
    """Take a reference to a page that is mapped."""
    if not folio.allocated:
        mark("{}, which is free", folio)
    assert folio.allocated, "INV-PIN: a page is given to a caller that is nobody's any more"
    folio.refcount += 1


@path
def grab(page: Page) -> None:
    """What is mapped there, if anything."""
    pte = READ_ONCE(HUGE.pte[page])
    if pte.present:
        try_grab_page(page_folio(pte.frame))


@path(show="follow_page_mask()")
def follow_page(page: Page, *, lock: str) -> None:
    """mm/gup.c: a page of a CONT-PTE size. ``lock``: that of the page table, as for a small page;
    or that of hugetlb (fac35ba763ed)."""
    if lock == "table":
        with HUGE.ptl:
            grab(page)
    else:
        with HUGE.page_table_lock:
            grab(page)


@path(show="unmap")
def hugetlb_unmap(page: Page) -> None:
    """Migration, or munmap(): clear, flush, let go."""
    with HUGE.page_table_lock:
        pte = xchg(HUGE.pte[page], Pte())
        flush_tlb_mm_range(HUGE, {page})
    if pte.present:
        folio_put(page_folio(pte.frame))


@goal("a page is given to a caller")
def grabbed() -> bool:
    """It has a second reference."""
    return Folio(0).refcount > 1


def cont(lock: str) -> Setup:
    """CPU0 looks a page up that CPU1 unmaps."""
    return Setup(
        sizes={Cpu: 2, Page: 1, Frame: 1, HugeMm: 1},
        start=s0.mapped_anon,
        threads=[
            Thread(follow_page, PAGE, lock=lock, on=Cpu(0)),
            Thread(hugetlb_unmap, PAGE, on=Cpu(1)),
        ],
        hardware=x86,
        goals=[grabbed, s0.freed],
    )


CONT = (
    race(
        "HUGETLB-CONT-GUP",
        "a page of hugetlb is looked up under the lock of small pages (CVE-2022-3623)",
        cont("table"),
        "INV-PIN",
    ),
    race("HUGETLB-CONT-GUP.fixed", "under hugetlb's (fac35ba763ed)", cont("hugetlb")),
)

# ------------------------------------------------------------------ KVM-GPC


class GpcKvm(Kvm, show="VM{}"):
    """A virtual machine with one cache of a host page (``struct gfn_to_pfn_cache``), which KVM
    itself uses. ``active``: ``mn_active_invalidate_count``."""

    active: int = counter(0, 1)
    gpc_lock: SpinLock
    gpc_valid: bool = False
    gpc_frame: Frame = Frame(0)


KVM = GpcKvm(0)


@path(show="kvm_mmu_notifier_invalidate_range_start()")
def range_start() -> None:
    """virt/kvm/kvm_main.c: the cache is invalidated before ``mmu_lock`` is taken."""
    atomic_inc(KVM.active)
    with KVM.gpc_lock:
        WRITE_ONCE(KVM.gpc_valid, False)
    with KVM.mmu_lock:
        atomic_inc(KVM.mmu_invalidate_in_progress)


@path(show="kvm_mmu_notifier_invalidate_range_end()")
def range_end() -> None:
    """A lookup that began before now is too old."""
    with KVM.mmu_lock:
        atomic_inc(KVM.mmu_invalidate_seq)
        atomic_dec(KVM.mmu_invalidate_in_progress)
    atomic_dec(KVM.active)


@path(show="madvise(MADV_DONTNEED)")
def dontneed(page: Page) -> None:
    """The host gives a page of the guest back."""
    range_start()
    with MM.ptl:
        pte = ptep_get_and_clear(MM, page)
        flush_tlb_mm_range(MM, {page})
    if pte.present:
        folio_put(page_folio(pte.frame))
    range_end()


@path(show="mmu_notifier_retry_cache()")
def retry(seq: int, *, look: str) -> bool:
    """Whether the page may be gone. ``look``: at the count that is raised under ``mmu_lock``, or at
    the one that is raised before the cache is invalidated (58cd407ca4c6)."""
    if look == "in-progress":
        with KVM.mmu_lock:
            busy = READ_ONCE(KVM.mmu_invalidate_in_progress) > 0
    else:
        busy = READ_ONCE(KVM.active) > 0
    smp_rmb()
    return busy or READ_ONCE(KVM.mmu_invalidate_seq) != seq


@path(show="kvm_gfn_to_pfn_cache_refresh()")
def refresh(page: Page, *, look: str) -> None:
    """virt/kvm/pfncache.c: find the page, and keep it if nobody has invalidated it meanwhile. The
    reference that the lookup takes, and drops at once, is left out."""
    seq = READ_ONCE(KVM.mmu_invalidate_seq)
    smp_rmb()
    with MM.ptl:
        pte = READ_ONCE(MM.pte[page])
    if pte.present:
        with KVM.gpc_lock:
            if retry(seq, look=look):
                note("invalidated meanwhile")
            else:
                WRITE_ONCE(KVM.gpc_frame, pte.frame)
                WRITE_ONCE(KVM.gpc_valid, True)


@path(show="vCPU")
def use_cache(page: Page, *, look: str) -> None:
    """Refresh the cache, and use it with its lock held."""
    refresh(page, look=look)
    with KVM.gpc_lock:
        if READ_ONCE(KVM.gpc_valid):
            touch(READ_ONCE(KVM.gpc_frame))


@atomic(show="access through the cache")
def touch(frame: Frame) -> None:
    """KVM reads or writes the guest's memory."""
    if not frame.allocated:
        mark("{}, which is free", frame)
    assert frame.allocated, "INV-UAF: a page is used that was freed"


@goal("the cache is valid")
def cached() -> bool:
    """And is used."""
    return KVM.gpc_valid


def gpc(look: str) -> Setup:
    """The host gives a page back while a vCPU refreshes its cache of it."""
    return Setup(
        sizes={Cpu: 2, Page: 1, Frame: 1, Mm: 1, GpcKvm: 1},
        start=s0.mapped_anon,
        threads=[
            Thread(dontneed, PAGE, on=Cpu(0)),
            Thread(use_cache, PAGE, look=look, on=Cpu(1)),
        ],
        hardware=x86,
        goals=[cached, s0.freed],
    )


GPC = (
    race(
        "KVM-GPC",
        "a cache of a page is made valid between its invalidation and the count (2022)",
        gpc("in-progress"),
        "INV-UAF",
    ),
    race(
        "KVM-GPC.fixed",
        "a count that is raised before the cache is invalidated (58cd407ca4c6)",
        gpc("active"),
    ),
)
