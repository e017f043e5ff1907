"""What must hold with LUF, where its scenarios start, and what must be reachable in them.

INV-S2-5, INV-S2-7 and INV-S2-10 are asserted in the allocator (``linux/mm/page_alloc.py``),
INV-S2-6 where an unmap is filed (``linux/mm/luf_batch.py``), INV-S2-8 and INV-S2-11 where user
space reads (``linux/user_contents.py``).
"""

from __future__ import annotations

from shootdown.hardware.access import tlb_may_use, tlb_may_write, usable
from shootdown.hardware.machine import Cpu, Page, Pte, TlbEntry
from shootdown.hardware.pcid import Pcid
from shootdown.lang import WRITE_ONCE, atomic, goal, invariant, path
from shootdown.linux.arch.x86.options import MASK
from shootdown.linux.arch.x86.tlbflush import ContextMm, TlbContext, TlbState
from shootdown.linux.mm.luf_batch import (
    File,
    LufBatch,
    LufCpu,
    LufKey,
    LufMm,
    LufPage,
    luf_ugen,
)
from shootdown.linux.mm.page_alloc import in_use
from shootdown.linux.mm.vmscan import Victims, shrink_folios
from shootdown.linux.mm_types import Mm, TlbFlushBatched
from shootdown.races import x1_properties as x1

# ------------------------------------------------------------------ invariants


@invariant("INV-S2-9")
def done_is_done() -> bool:
    """ugen_done says that a CPU has flushed a request, and it can still use what was unmapped."""
    return not any(
        page.unmapped > 0
        and cpu.ugen_done >= page.unmapped
        and any(entry.frame == page for p in Page for entry in cpu.tlb[p])
        for page in LufPage
        for cpu in LufCpu
        if cpu.irq_on and usable(cpu)
    )


@invariant("INV-S2-5")
def not_used_after_takeoff() -> bool:
    """A page has a new owner, and a CPU can still use it."""
    return not any(page.data == 3 and in_use(page) for page in LufPage)


# ------------------------------------------------------------------ goals


@goal("a free frame can still be read")
def free_and_cached() -> bool:
    """What LUF is about."""
    return any(not page.allocated and tlb_may_use(page) for page in LufPage)


@goal("a frame that was free without a flush has a new owner")
def taken() -> bool:
    """The takeoff flushed it."""
    return LufPage(0).data == 3


@goal("a frame was unmapped without a flush and is flushed by now")
def flushed() -> bool:
    """No CPU can use it any more, and it is still free."""
    return any(page.unmapped > 0 and not tlb_may_use(page) for page in LufPage)


@goal("the contents were changed")
def changed() -> bool:
    """Somebody wrote to the page."""
    return any(mm.newest[page] > 0 for mm in LufMm for page in Page)


@goal("the page is in another frame")
def moved() -> bool:
    """Migration is done."""
    return Mm(0).pte[Page(0)].present and Mm(0).pte[Page(0)].frame == LufPage(1)


@goal("the page was copied")
def copied() -> bool:
    """It is in the third frame."""
    return Mm(0).pte[Page(0)].present and Mm(0).pte[Page(0)].frame == LufPage(2)


@goal("the VMA is gone")
def gone() -> bool:
    """munmap() has begun."""
    return Mm(0).vma_gone


@goal("the page table is gone and was needed")
def no_table() -> bool:
    """It was freed while CPUs could still read what it had mapped."""
    return LufMm(0).table_gone


@goal("the PTE is read-only, and a CPU can still write")
def protected() -> bool:
    """The flush of a write protection is to come."""
    pte = Mm(0).pte[Page(0)]
    return pte.present and not pte.writable and tlb_may_write(LufPage(0))


# ------------------------------------------------------------------ reclaim in rounds


@path(show="kswapd")
def reclaim_twice(first: Victims, second: Victims) -> None:
    """Two rounds of reclaim."""
    shrink_folios(first)
    shrink_folios(second)


# ------------------------------------------------------------------ starting states


@atomic
def run_users(mm: Mm) -> None:
    """All CPUs but CPU0, on which reclaim runs, run threads of the process."""
    for cpu in Cpu:
        if cpu.index > 0:
            cpu.walks = mm
            mm.cpumask.add(cpu)


@atomic
def map_read_only(page: Page) -> None:
    """The page maps the frame of its number, read-only and clean, in the page cache."""
    folio = LufPage(page.index)
    folio.mapcount = 1
    folio.refcount = 3
    Mm(0).pte[page] = Pte(present=True, accessed=True, frame=folio)


@atomic
def read_only() -> None:
    """The first page of a process is mapped read-only; other frames are free."""
    run_users(Mm(0))
    for folio in LufPage:
        folio.allocated = folio.index == 0
    map_read_only(Page(0))


@atomic
def all_read_only() -> None:
    """Each page of a process is mapped read-only; other frames are free."""
    run_users(Mm(0))
    for folio in LufPage:
        folio.allocated = folio.index < len(Page)
    for page in Page:
        map_read_only(page)


@atomic
def many_requests() -> None:
    """Three requests have been made and no CPU has flushed for one; the next ones are 4 and 5, and
    three bits hold 8."""
    all_read_only()
    WRITE_ONCE(luf_ugen, 3)


@atomic
def many_requests_flushed() -> None:
    """The same, but all CPUs have flushed for the last of them."""
    many_requests()
    for cpu in LufCpu:
        cpu.ugen_done = 3


@atomic
def read_only_moves() -> None:
    """The same; the second frame is taken already, by whoever is about to move the page there."""
    read_only()
    LufPage(1).allocated = True


@atomic
def read_only_anon() -> None:
    """The same with anonymous memory: there is no reference of a page cache."""
    read_only_moves()
    LufPage(0).refcount = 2
    for page in LufPage:
        page.allocated = True


@atomic
def read_only_file() -> None:
    """It is a page of the file, of which the page cache has the first frame."""
    read_only_moves()
    File(0).folio = LufPage(0)


@atomic
def read_only_twice() -> None:
    """Two processes, on CPU1 and CPU2; each maps a page of its own, read-only and clean."""
    for cpu in Cpu:
        if cpu.index > 0:
            cpu.walks = Mm(cpu.index - 1)
            Mm(cpu.index - 1).cpumask.add(cpu)
    for folio in LufPage:
        folio.mapcount = 1
        folio.refcount = 3
        Mm(folio.index).pte[Page(folio.index)] = Pte(present=True, accessed=True, frame=folio)


@atomic
def written() -> None:
    """The first page of a process is anonymous memory and was written. Migration has a reference
    and the second frame."""
    run_users(Mm(0))
    LufPage(0).mapcount = 1
    LufPage(0).refcount = 2
    Mm(0).pte[Page(0)] = Pte(
        present=True, writable=True, accessed=True, dirty=True, frame=LufPage(0)
    )


@atomic
def written_file() -> None:
    """A file page is mapped writable, and clean, on CPU1. Another process has run there before: LUF
    has unmapped something of it (request 1), and CPU1 has flushed since."""
    read_only()
    Mm(0).pte[Page(0)] = Pte()
    for cpu in LufCpu:
        cpu.tlb[Page(0)] = set()
        if cpu.index == 1:
            LufMm(1).luf_batch = LufBatch(cpus={cpu}, ugen=1)
            cpu.ugen_done = 1
    Mm(0).pte[Page(0)] = Pte(present=True, writable=True, accessed=True, frame=LufPage(0))


@atomic
def two_free() -> None:
    """Two pages were mapped read-only by the process that runs on CPU1 and CPU2. LUF has unmapped
    and freed them; their flush is filed under the first key (request 1)."""
    run_users(Mm(0))
    for page in LufPage:
        Mm(0).pte[Page(page.index)] = Pte(present=True, accessed=True, frame=page)
        Mm(0).pte[Page(page.index)] = Pte()
        page.allocated = False
        page.luf_key = LufKey(0)
        page.unmapped = 1
        for cpu in Cpu:
            if cpu.index > 0:
                cpu.tlb[Page(page.index)] = {TlbEntry(frame=page)}
    LufKey(0).batch = LufBatch(cpus={cpu for cpu in Cpu if cpu.index > 0}, ugen=1)


@atomic
def two_free_flushed() -> None:
    """The same, and all CPUs have flushed since (request 1 is done)."""
    two_free()
    for cpu in LufCpu:
        cpu.ugen_done = 1
        for page in Page:
            cpu.tlb[page] = set()


class LazyMm(LufMm, ContextMm, show="mm{}"):
    """An mm with LUF and with generations."""


@atomic
def ran_another() -> None:
    """CPU2 runs the first process, in which LUF has unmapped something that is not flushed. CPU1
    runs the second one, which maps the first frame, read-only; it has run the first one before.
    CPU0, on which reclaim runs, runs none."""
    first = LazyMm(0)
    second = LazyMm(1)
    x1.runs(TlbState(2), first, Pcid(0))
    x1.runs(TlbState(1), second, Pcid(1))
    TlbState(1).ctxs[Pcid(0)] = TlbContext(used=True, mm=first)
    if MASK == "lazy":
        first.cpumask.add(TlbState(1))
    first.tlb_flush_batched = TlbFlushBatched(pending=1)
    LufPage(0).mapcount = 1
    LufPage(0).refcount = 3
    second.pte[Page(0)] = Pte(present=True, accessed=True, frame=LufPage(0))
