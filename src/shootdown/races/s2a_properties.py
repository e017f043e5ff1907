"""What must hold in system S2a, where its scenarios start, and what must be reachable in them.

INV-S2-1 is asserted where reclaim frees a frame (``linux/mm/vmscan.py``), INV-S2-3 where user
space uses a translation (here), and INV-DIRTY, that nothing written is lost, where the last copy of
a page goes.
"""

from __future__ import annotations

from typing import cast

from shootdown.hardware.access import tlb_may_write, usable, user_load, user_store
from shootdown.hardware.machine import Cpu, Frame, Page, Pte
from shootdown.lang import atomic, goal, invariant, mark, note, path, this
from shootdown.linux.mm.luf_batch import LufMm
from shootdown.linux.mm_types import Folio, Mm
from shootdown.linux.options import PTL

# ------------------------------------------------------------------ user space


@atomic(show="store {page}")
def write_promised(mm: Mm, page: Page) -> Frame | None:
    """An instruction that writes, after or before a call that takes the right to."""
    frame = user_store(this(Cpu), page)
    if frame is None:
        note("page fault")
        return None
    broken = page in mm.sealed or frame in mm.revoked[page]
    if broken:
        mark("stale, via {}", frame)
    assert not broken, "INV-S2-3: the call has returned, and a CPU writes through the old entry"
    folio = Folio(frame.index)
    folio.newer = True
    return frame


@atomic(show="load {page}")
def read_promised(mm: Mm, page: Page) -> Frame | None:
    """An instruction that reads."""
    frame = user_load(this(Cpu), page)
    if frame is None:
        note("page fault")
        return None
    if frame in mm.revoked[page]:
        mark("stale, via {}", frame)
    assert frame not in mm.revoked[page], (
        "INV-S2-3: the call has returned, and a CPU reads through the old entry"
    )
    return frame


@path(show="user")
def writer(mm: Mm, page: Page) -> None:
    """A thread that writes once."""
    write_promised(mm, page)


@path(show="user")
def reader(mm: Mm, page: Page) -> None:
    """A thread that reads once."""
    read_promised(mm, page)


# ------------------------------------------------------------------ invariants


@invariant("INV-S2-2")
def no_writer_during_io() -> bool:
    """A folio is being written to disk, and a CPU can still write to it unnoticed."""
    return not any(folio.on_disk and tlb_may_write(folio) for folio in Folio)


@atomic
def table_locked(mm: Mm, page: Page) -> bool:
    """Whether somebody holds the lock of this page's table."""
    return mm.ptls[page].locked if PTL == "split" else mm.ptl.locked


@atomic
def stale(mm: Mm, page: Page) -> bool:
    """A batch has unmapped this page, and a CPU that runs the process can still use it."""
    return (
        page in mm.queued
        and not mm.pte[page].present
        and any(cpu.walks == mm and usable(cpu) and cpu.tlb[page] for cpu in Cpu)
    )


@invariant("INV-S2-4")
def owed_is_known() -> bool:
    """An unmap of a batch is not flushed, and who takes its PTL now does not see that."""
    return not any(
        stale(mm, page)
        and not table_locked(mm, page)
        and mm.tlb_flush_batched.pending == mm.tlb_flush_batched.flushed
        for mm in Mm
        for page in Page
    )


# ------------------------------------------------------------------ goals


@goal("a batched unmap waits for its flush")
def window() -> bool:
    """The PTE is gone, its PTL is free, and a CPU still has the translation."""
    return any(stale(mm, page) and not table_locked(mm, page) for mm in Mm for page in Page)


@goal("a call has returned while the batch is open")
def overtaken() -> bool:
    """The caller of mprotect() or munmap() is back before reclaim has flushed."""
    return any(
        (page in mm.sealed or mm.revoked[page])
        and page in mm.queued
        and Folio(page.index).allocated
        for mm in Mm
        for page in Page
    )


@goal("reclaim has freed all pages")
def reclaimed() -> bool:
    """Every folio was unmapped and freed."""
    return not any(folio.allocated for folio in Folio)


@goal("a dirty page is written to disk")
def written() -> bool:
    """Reclaim has begun to write a page."""
    return any(folio.on_disk for folio in Folio)


@goal("the flush had covered less than was queued")
def queued_meanwhile() -> bool:
    """Somebody queued an unmap while the holder of another PTL flushed."""
    return any(
        mm.tlb_flush_batched.flushed > 0
        and mm.tlb_flush_batched.pending != mm.tlb_flush_batched.flushed
        for mm in Mm
    )


@goal("the page table was freed")
def table_freed() -> bool:
    """Somebody found it empty."""
    return any(cast(LufMm, mm).table_gone for mm in Mm)


# ------------------------------------------------------------------ starting states


@atomic
def map_file_page(mm: Mm, page: Page, folio: Folio, dirty: bool) -> None:
    """Map a page of a file, shared and writable; it is in the page cache and reclaim holds it."""
    folio.mapcount = folio.mapcount + 1
    folio.refcount = folio.mapcount + 2
    folio.newer = dirty
    mm.pte[page] = Pte(present=True, writable=True, accessed=True, dirty=dirty, frame=folio)


@atomic
def run_users(mm: Mm) -> None:
    """All CPUs but the first, on which reclaim runs, run the process."""
    for cpu in Cpu:
        if cpu != Cpu(0):
            cpu.walks = mm
            mm.cpumask.add(cpu)


@atomic
def mapped_dirty() -> None:
    """Each page maps a page of a file that was written through this mapping."""
    run_users(Mm(0))
    for page in Page:
        map_file_page(Mm(0), page, Folio(page.index), True)


@atomic
def mapped_clean() -> None:
    """Each page maps a page of a file that may be written, and was not yet."""
    run_users(Mm(0))
    for page in Page:
        map_file_page(Mm(0), page, Folio(page.index), False)


@atomic
def mapped_by_two() -> None:
    """Processes, on a CPU each, map the same pages of a file and have written to them."""
    for cpu in Cpu:
        if cpu != Cpu(0):
            mm = Mm(cpu.index - 1)
            cpu.walks = mm
            mm.cpumask.add(cpu)
            for page in Page:
                map_file_page(mm, page, Folio(page.index), True)


@atomic
def mapped_by_two_of_four() -> None:
    """Two processes, on CPU2 and CPU3, map one clean page of a file, each at the page of its
    number; CPU0 and CPU1, on which reclaim runs, run none. The page cache has a reference."""
    for cpu in Cpu:
        if cpu.index > 1:
            mm = Mm(cpu.index - 2)
            cpu.walks = mm
            mm.cpumask.add(cpu)
            mm.pte[Page(mm.index)] = Pte(present=True, accessed=True, frame=Folio(0))
    Folio(0).mapcount = 2
    Folio(0).refcount = 3


@atomic
def mapped_dirty_known() -> None:
    """The same as ``mapped_dirty``, and PG_dirty says so since the first write fault. CPU1, on
    which the flusher runs, has no user address space."""
    for cpu in Cpu:
        if cpu.index > 1:
            cpu.walks = Mm(0)
            Mm(0).cpumask.add(cpu)
    for page in Page:
        map_file_page(Mm(0), page, Folio(page.index), True)
        Folio(page.index).dirty = True


@atomic
def mapped_clean_two() -> None:
    """Pages of a file that were not written yet; reclaim runs on the first two CPUs."""
    for cpu in Cpu:
        if cpu.index > 1:
            cpu.walks = Mm(0)
            Mm(0).cpumask.add(cpu)
    for page in Page:
        map_file_page(Mm(0), page, Folio(page.index), False)
