"""Historic races about entries and the frames behind them: a migration entry that is missed, a swap
entry that is another one, a flush that is left out since the process is about to end, and an entry
that a neighbour overwrites.
"""

from __future__ import annotations

from shootdown.hardware.access import user_load, user_store
from shootdown.hardware.arm64 import arm64
from shootdown.hardware.machine import Cpu, Frame, Noted, Page, Pte
from shootdown.hardware.x86 import x86
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    Array,
    Hardware,
    Object,
    Setup,
    Thread,
    Word,
    atomic,
    cmpxchg,
    counter,
    ghost,
    goal,
    invariant,
    mark,
    note,
    path,
    ranged,
    this,
)
from shootdown.linux.arch.x86.tlb import flush_tlb_mm_range
from shootdown.linux.mm.migrate import folio_mc_copy, remove_migration_pte
from shootdown.linux.mm.mmu_gather import MmuGather, tlb_batch_pages_flush
from shootdown.linux.mm.mremap import mremap
from shootdown.linux.mm.rmap import try_to_migrate_one
from shootdown.linux.mm.rmap_batch import TlbUbc
from shootdown.linux.mm_types import Folio, Mm
from shootdown.linux.pgtable import ptep_get_and_clear
from shootdown.linux.user import load
from shootdown.races import s0_properties as s0
from shootdown.races import x3_properties as x3
from shootdown.races.x1_elsewhere import race

MM = Mm(0)
OLD, NEW = Page(0), Page(1)

# ------------------------------------------------------------------ MREMAP-RMAP-ORDER


class MovedFolio(Folio):
    """``migrated`` (ghost): its migration is over."""

    migrated: bool = ghost(False)


@path(show="migrate_pages()")
def migrate_visiting(first: Page, second: Page, src: MovedFolio, dst: MovedFolio) -> None:
    """mm/migrate.c: the rmap walk visits two places, once to put migration entries there and once
    to take them out. A page that is still mapped is not copied."""
    ubc = TlbUbc()
    with src.lock:
        for page in (first, second):
            try_to_migrate_one(MM, page, src, ubc, batch=False)
        if READ_ONCE(src.mapcount) > 0:
            note("still mapped")
        else:
            folio_mc_copy()
            src.copied = True
            for page in (first, second):
                remove_migration_pte(MM, page, src, dst)
            src.migrated = True


@invariant("INV-MIGRATED")
def no_entry_left() -> bool:
    """A migration entry stands in a page table, and nobody will ever take it out."""
    return not any(
        MM.pte[page].noted == Noted.MIGRATION
        and MM.pte[page].frame == folio
        and MovedFolio(folio.index).migrated
        for page in Page
        for folio in Frame
    )


@goal("the page has moved, and has a new frame")
def moved_and_migrated() -> bool:
    """Both have happened."""
    pte = MM.pte[NEW]
    return pte.present and pte.frame == Frame(1)


def order(first: Page, second: Page) -> Setup:
    """CPU1 moves a page to another address while its frame is migrated; CPU2 writes to it."""
    return Setup(
        sizes={Cpu: 3, Page: 2, MovedFolio: 2, Mm: 1},
        start=x3.anon_page_isolated,
        threads=[
            Thread(mremap, MM, OLD, NEW, on=Cpu(1), file=False),
            Thread(migrate_visiting, first, second, MovedFolio(0), MovedFolio(1), on=Cpu(0)),
            Thread(x3.writer, MM, OLD, on=Cpu(2)),
        ],
        hardware=x86,
        invariants=[s0.counted, no_entry_left, x3.no_store_is_missed],
        goals=[moved_and_migrated, x3.window],
        options={"mremap_flush": "locked", "ptl": "split", "uaf": "use"},
    )


ORDER = (
    race(
        "MREMAP-RMAP-ORDER",
        "the rmap walk visits the new place first: a migration entry moves behind its back (2011)",
        order(NEW, OLD),
        "INV-MIGRATED",
    ),
    race(
        "MREMAP-RMAP-ORDER.fixed",
        "the old place first (3.3, anon_vma_moveto_tail())",
        order(OLD, NEW),
    ),
)

# ------------------------------------------------------------------ SWAPIN-ABA


class Contents(Folio):
    """``data``: what is in it, as a version; more than 0 from the first write on."""

    data: int = ranged(0, 1)


class SwapSlot(Object, show="slot{}"):
    """A place on a swap device that needs no I/O (zram): ``data`` is what is there, ``count`` how
    many entries name it, ``cached`` SWAP_HAS_CACHE: the page is on its way there or back."""

    data: int = ranged(0, 1)
    count: int = counter(0, 1)
    cached: bool = False


class SwapMm(Mm):
    """``newest`` (ghost): the version that the page's last writer has left there."""

    newest: int = ghost(ranged(0, 1))


SWAP_MM = SwapMm(0)
SLOT = SwapSlot(0)


@path(show="do_swap_page()")
def do_swap_page(page: Page, folio: Contents, *, pin: str) -> None:
    """mm/memory.c, SWP_SYNCHRONOUS_IO: read the slot into a new folio that is not in the swap
    cache; map it if the PTE is what it was. ``pin``: two may read one slot at once, or the second
    one waits (``swapcache_prepare()``, 13ddaf26be32)."""
    orig = READ_ONCE(SWAP_MM.pte[page])
    if orig.noted != Noted.SWAP:
        note("not swapped")
        return
    if pin == "pinned" and not swapcache_prepare():
        note("somebody else is at it: fault again")
        return
    WRITE_ONCE(folio.data, READ_ONCE(SLOT.data))
    with SWAP_MM.ptl:
        if READ_ONCE(SWAP_MM.pte[page]) == orig:
            swap_free()
            new: Pte = Pte(present=True, writable=True, accessed=True, frame=folio)
            WRITE_ONCE(SWAP_MM.pte[page], new)
        else:
            note("another entry")
    if pin == "pinned":
        WRITE_ONCE(SLOT.cached, False)


@atomic(show="swapcache_prepare()")
def swapcache_prepare() -> bool:
    """Whether this task may read the slot in: it is in use, and nobody else is at it."""
    if SLOT.cached or SLOT.count == 0:
        return False
    SLOT.cached = True
    return True


@atomic(show="swap_free()")
def swap_free() -> None:
    """One entry less names the slot. It may be used for something else."""
    SLOT.count -= 1


@atomic(show="folio_alloc_swap()")
def folio_alloc_swap() -> bool:
    """The slot, if it is free; the page is in the swap cache until it is written."""
    if SLOT.count > 0 or SLOT.cached:
        return False
    SLOT.count = 1
    SLOT.cached = True
    return True


@path(show="reclaim")
def swap_out(page: Page) -> None:
    """Unmap the page, write it to a slot. That it is freed is left out."""
    with SWAP_MM.ptl:
        pte = READ_ONCE(SWAP_MM.pte[page])
        if pte.present and folio_alloc_swap():
            WRITE_ONCE(SWAP_MM.pte[page], Pte(noted=Noted.SWAP))
            flush_tlb_mm_range(SWAP_MM, {page})
            WRITE_ONCE(SLOT.data, READ_ONCE(Contents(pte.frame.index).data))
            WRITE_ONCE(SLOT.cached, False)


@atomic(show="store {page}")
def write_version(page: Page) -> bool:
    """An instruction that writes."""
    frame = user_store(this(Cpu), page)
    if frame is None:
        note("page fault")
        return False
    Contents(frame.index).data = 1
    SWAP_MM.newest = 1
    return True


@atomic(show="load {page}")
def read_version(page: Page) -> None:
    """An instruction that reads."""
    frame = user_load(this(Cpu), page)
    if frame is None:
        note("page fault")
    else:
        old = Contents(frame.index).data != SWAP_MM.newest
        if old:
            mark("older than what was written")
        assert not old, "INV-STABLE: a page is replaced by a copy that lacks a store"


@path(show="user")
def fault_and_read(page: Page, folio: Contents, *, pin: str) -> None:
    """One thread of the process."""
    do_swap_page(page, folio, pin=pin)
    read_version(page)


@path(show="user")
def fault_and_write(page: Page, folio: Contents, *, pin: str) -> None:
    """Another one."""
    do_swap_page(page, folio, pin=pin)
    write_version(page)


@goal("what was written is on swap")
def swapped_out() -> bool:
    """And can be read from there."""
    return SLOT.data == 1 and SLOT.count == 1


@goal("the slot was read in by another thread")
def read_in() -> bool:
    """The first one has mapped the page."""
    pte = SWAP_MM.pte[OLD]
    return pte.present and pte.frame == Frame(0)


@atomic
def swapped() -> None:
    """The process's page is on swap."""
    SLOT.count = 1
    SWAP_MM.pte[OLD] = Pte(noted=Noted.SWAP)
    for cpu in Cpu:
        cpu.walks = SWAP_MM
        SWAP_MM.cpumask.add(cpu)


def swapin(pin: str) -> Setup:
    """Two threads fault on a page; it is written, and reclaimed again meanwhile."""
    return Setup(
        sizes={Cpu: 3, Page: 1, Contents: 2, SwapMm: 1, SwapSlot: 1},
        start=swapped,
        threads=[
            Thread(fault_and_read, OLD, Contents(0), pin=pin, on=Cpu(0)),
            Thread(fault_and_write, OLD, Contents(1), pin=pin, on=Cpu(1)),
            Thread(swap_out, OLD, on=Cpu(2)),
        ],
        hardware=x86,
        goals=[swapped_out, read_in],
    )


SWAP = (
    race(
        "SWAPIN-ABA",
        "a swap entry is the same again, and what was read is old (CVE-2024-26759)",
        swapin("none"),
        "INV-STABLE",
    ),
    race(
        "SWAPIN-ABA.fixed",
        "who reads a slot in keeps others from it (13ddaf26be32)",
        swapin("pinned"),
    ),
)

# ------------------------------------------------------------------ OOM-FULLMM


@path(show="tlb_finish_mmu()")
def finish_mmu(mm: Mm, tlb: MmuGather, *, skip: bool) -> None:
    """Flush, free. ``skip``: arm64 does not flush where all of the address space goes, since its
    ASID is not used again before a flush (5a7862e83000)."""
    if skip and tlb.fullmm:
        note("fullmm: no flush")
    else:
        flush_tlb_mm_range(mm, tlb.pages)
    tlb_batch_pages_flush(tlb)


@path(show="__oom_reap_task_mm()")
def oom_reap(mm: Mm, page: Page, *, gather: str, skip: bool) -> None:
    """mm/oom_kill.c: unmap what the victim has, which may run on for a while. ``gather``: one for
    all of the address space (``tlb_gather_mmu(&tlb, mm, 0, -1)``), or one for each VMA
    (687cb0884a71)."""
    tlb = MmuGather()
    if gather == "all":
        tlb.fullmm = True
    with mm.ptl:
        pte = ptep_get_and_clear(mm, page)
        if pte.present:
            tlb.pages.add(page)
            tlb.folios.add(pte.frame)
    if tlb.pages:
        finish_mmu(mm, tlb, skip=skip)


def reap(gather: str, *, arm: bool = True) -> Setup:
    """The OOM reaper on CPU0, the victim on CPU1."""
    return Setup(
        sizes={Cpu: 2, Page: 1, Frame: 1, Mm: 1},
        start=s0.mapped_anon,
        threads=[
            Thread(oom_reap, MM, OLD, gather=gather, skip=arm, on=Cpu(0)),
            Thread(load, MM, OLD, on=Cpu(1)),
        ],
        hardware=arm64 if arm else x86,
        goals=[s0.freed, s0.window],
    )


REAPER = (
    race(
        "OOM-FULLMM",
        "the OOM reaper says that all of the address space goes, and arm64 does not flush (2017)",
        reap("all"),
        "INV-S0-1",
    ),
    race(
        "OOM-FULLMM.fixed",
        "a gather for each VMA (687cb0884a71)",
        reap("vma"),
    ),
    race(
        "OOM-FULLMM.x86",
        "x86 flushes all the same",
        reap("all", arm=False),
    ),
)

# ------------------------------------------------------------------ MIPS-BUDDY


class MipsPte(Word):
    """An entry of the kernel's page table. ``glob``: its G flag. A TLB entry is for two pages, and
    is global only if both entries say so (MIPS PRA, EntryLo0 and EntryLo1)."""

    valid: bool = False
    glob: bool = False
    frame: Frame = Frame(0)

    def show(self) -> str:
        """As ``f0 G``."""
        return (str(self.frame) if self.valid else "none") + " G" * self.glob


class KernelTable(Object):
    """The kernel's page table. ``mapped`` (ghost): what vmap() has mapped, and returned from."""

    entry: Array[Page, MipsPte]
    mapped: set[Page] = ghost(set())


TABLE = KernelTable(0)


@path(show="set_pte()")
def set_pte(page: Page, frame: Frame, *, buddy: str) -> None:
    """arch/mips/include/asm/pgtable.h: an empty entry beside a global one is made global, too.
    ``buddy``: by a look and a store, or in one piece (46011e6ea392: by LL and SC; by cmpxchg()
    since 82f4f66ddf11)."""
    WRITE_ONCE(TABLE.entry[page], MipsPte(valid=True, glob=True, frame=frame))
    other = Page(1 - page.index)
    if buddy == "store":
        if READ_ONCE(TABLE.entry[other]) == MipsPte():
            WRITE_ONCE(TABLE.entry[other], MipsPte(glob=True))
    else:
        cmpxchg(TABLE.entry[other], MipsPte(), MipsPte(glob=True))


@path(show="vmap()")
def vmap(page: Page, *, buddy: str) -> None:
    """Map a page, and use it."""
    set_pte(page, Frame(page.index), buddy=buddy)
    kernel_access(page)


@atomic(show="access {page}")
def kernel_access(page: Page) -> None:
    """The handler of TLB misses loads both entries of a pair."""
    even, odd = TABLE.entry[Page(0)], TABLE.entry[Page(1)]
    found = TABLE.entry[page]
    if not found.valid:
        mark("the entry is gone")
    assert found.valid, "INV-LOST: the kernel has mapped a page, and the entry is gone"
    whole = even.glob and odd.glob
    if not whole:
        mark("not global")
    assert whole, "INV-LOST: an entry of the kernel is not global"


@goal("both pages are mapped")
def both_mapped() -> bool:
    """By two CPUs."""
    return all(TABLE.entry[page].valid for page in Page)


def mips(buddy: str) -> Setup:
    """Two CPUs map pages of a pair."""
    return Setup(
        sizes={Cpu: 2, Page: 2, Frame: 2, KernelTable: 1},
        threads=[Thread(vmap, Page(c), buddy=buddy, on=Cpu(c)) for c in range(2)],
        hardware=Hardware("MIPS", assumptions=("a TLB entry is for a pair of pages",)),
        goals=[both_mapped],
    )


MIPS = (
    race(
        "MIPS-BUDDY",
        "the G flag is put into an empty entry that is not empty any more (2015)",
        mips("store"),
        "INV-LOST",
    ),
    race("MIPS-BUDDY.fixed", "only if it is empty still (46011e6ea392)", mips("exchange")),
)
