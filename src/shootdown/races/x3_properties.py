"""What must hold in system X3, where its scenarios start, and what must be reachable in them."""

from __future__ import annotations

from typing import Any

from shootdown.hardware.access import usable, user_load, user_store
from shootdown.hardware.machine import Cpu, Frame, Page, Pte
from shootdown.lang import atomic, goal, invariant, mark, note, path, this
from shootdown.linux.mm.memory_wp import do_wp_page
from shootdown.linux.mm_types import Folio, Mm
from shootdown.races.s2a_properties import table_locked


def verdict(violates: str | None) -> dict[str, Any]:
    """What a scenario expects: that an invariant is broken, or that all hold."""
    return {"expect": "VIOLATED" if violates else "HOLDS", "violates": violates}


# ------------------------------------------------------------------ user space


@atomic(show="store {page}")
def write_kept(mm: Mm, page: Page) -> Frame | None:
    """An instruction that writes; what it writes must be there afterwards."""
    frame = user_store(this(Cpu), page)
    if frame is None:
        note("page fault")
        return None
    folio = Folio(frame.index)
    if folio.copied:
        folio.missed = True
        mark("to {}, after it was copied", frame)
    folio.newer = True
    if not folio.allocated:
        mark("to {}, which is free", frame)
    broken = page in mm.sealed or frame in mm.revoked[page]
    if broken:
        mark("stale, via {}", frame)
    assert folio.allocated, "INV-UAF: a CPU writes to a frame that was freed"
    assert not broken, "INV-RET: the call has returned, and a CPU writes through the old entry"
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
    assert Folio(frame.index).allocated, "INV-UAF: a CPU reads a frame that was freed"
    assert frame not in mm.revoked[page], (
        "INV-RET: the call has returned, and a CPU reads through the old entry"
    )
    return frame


@path(show="user")
def writer(mm: Mm, page: Page) -> None:
    """A thread that writes once."""
    write_kept(mm, page)


@path(show="user")
def reader(mm: Mm, page: Page) -> None:
    """A thread that reads once."""
    read_promised(mm, page)


@path(show="user")
def writer_cow(mm: Mm, page: Page, copy: Folio, *, uffd: bool = False) -> None:
    """A thread that writes; if that faults, the fault may copy the page."""
    if write_kept(mm, page) is None:
        do_wp_page(mm, page, copy, uffd=uffd)


# ------------------------------------------------------------------ invariants


@atomic
def announced(mm: Mm) -> bool:
    """Whether those who ask are told that a flush is owed."""
    batch = mm.tlb_flush_batched
    return mm.tlb_flush_pending > 0 or batch.pending != batch.flushed


@atomic
def protected(mm: Mm, page: Page, frame: Frame) -> bool:
    """Whether the PTLs of this page, and of any other place where the frame is mapped, are held."""
    return table_locked(mm, page) and not any(
        mm.pte[other].present and mm.pte[other].frame == frame and not table_locked(mm, other)
        for other in Page
    )


@invariant("INV-X3")
def flushed_before_unlock() -> bool:
    """A PTE was taken rights, the PTL that protects a place of its frame is free, nothing says that
    a flush is owed, and a CPU can still use the old rights."""
    return not any(
        not (mm.pte[page].present and mm.pte[page].frame == entry.frame)
        or (entry.writable and not mm.pte[page].writable)
        for mm in Mm
        if not announced(mm)
        for page in Page
        for cpu in Cpu
        if cpu.walks == mm and usable(cpu)
        for entry in cpu.tlb[page]
        if not protected(mm, page, entry.frame)
    )


@invariant("INV-STABLE")
def no_store_is_missed() -> bool:
    """A page was replaced by a copy of itself that lacks a store."""
    return not any(folio.replaced and folio.missed for folio in Folio)


# ------------------------------------------------------------------ goals


@goal("old rights are still usable")
def window() -> bool:
    """A CPU has a translation with more rights than the PTE gives."""
    return any(
        not mm.pte[page].present
        or entry.frame != mm.pte[page].frame
        or (entry.writable and not mm.pte[page].writable)
        for mm in Mm
        for page in Page
        for cpu in Cpu
        if cpu.walks == mm
        for entry in cpu.tlb[page]
    )


@goal("the page has moved")
def moved() -> bool:
    """mremap() has found it and put it elsewhere."""
    return any(mm.pte[Page(1)].present for mm in Mm)


@goal("the frame was freed")
def freed() -> bool:
    """The last reference was dropped."""
    return not Folio(0).allocated


@goal("the page was replaced by a copy")
def replaced() -> bool:
    """Another frame with the same contents stands in the PTE."""
    return Folio(0).replaced


@goal("a call has returned")
def returned() -> bool:
    """And promised something about the page."""
    return any(Page(0) in mm.sealed or mm.revoked[Page(0)] for mm in Mm)


@goal("the page was written back")
def cleaned() -> bool:
    """The copy on disk is up to date."""
    return not Folio(0).newer


# ------------------------------------------------------------------ starting states


@atomic
def map_first(writable: bool, dirty: bool, references: int) -> None:
    """Every CPU but the first runs the process, whose first page maps frame 0; the other frames
    are new copies, allocated and not mapped yet."""
    mm = Mm(0)
    for cpu in Cpu:
        if cpu != Cpu(0):
            cpu.walks = mm
            mm.cpumask.add(cpu)
    Folio(0).mapcount = 1
    Folio(0).refcount = references
    Folio(0).dirty = dirty
    Folio(0).newer = dirty
    mm.pte[Page(0)] = Pte(
        present=True, writable=writable, accessed=True, dirty=dirty, frame=Folio(0)
    )


@atomic
def anon_page() -> None:
    """Anonymous memory that was written."""
    map_first(True, True, 1)


@atomic
def file_page() -> None:
    """A page of a file, shared, writable and clean; the page cache has a reference."""
    map_first(True, False, 2)


@atomic
def file_page_dirty() -> None:
    """The same, written through this mapping."""
    map_first(True, True, 2)


@atomic
def anon_page_shared() -> None:
    """The same, and another process has it too, as after fork(); this one may write all the same,
    since its PTE was made writable when it was alone."""
    map_first(True, True, 2)
    Folio(0).mapcount = 2


@atomic
def anon_page_isolated() -> None:
    """Anonymous memory that was written; migration has a reference already."""
    map_first(True, True, 2)


@atomic
def file_page_written() -> None:
    """A page of a file was written through the page cache, so the folio is dirty and its PTE is
    not; user space may write to it too."""
    map_first(True, False, 2)
    Folio(0).dirty = True
    Folio(0).newer = True
