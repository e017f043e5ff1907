"""What must hold in system S0, where its scenarios start, and what must be reachable in them.

INV-S0-1 is asserted where a frame is freed (``folio_put()``), INV-S0-3 where user space uses a
translation (``linux/user.py``), INV-S0-5 where the lockless reader returns (``linux/mm/gup.py``).
"""

from __future__ import annotations

from shootdown.hardware import access
from shootdown.hardware.access import usable
from shootdown.hardware.machine import Cpu, Page, Pte
from shootdown.hardware.pae import entry_of, put_entry
from shootdown.lang import atomic, goal, invariant, replace
from shootdown.linux.mm_types import Folio, Mm

# ------------------------------------------------------------------ invariants


@invariant("INV-S0-2")
def no_lost_dirty() -> bool:
    """A page differs from its copy on disk, and neither PG_dirty nor a PTE says so."""
    return all(
        not folio.newer
        or folio.dirty
        or any(
            mm.in_hand > 0
            or any(
                entry_of(mm, page).present
                and entry_of(mm, page).dirty
                and entry_of(mm, page).frame == folio
                for page in Page
            )
            for mm in Mm
        )
        for folio in Folio
    )


@invariant("INV-S0-4")
def one_translation() -> bool:
    """Two frames, or a forbidden write, can be reached through one page at the same time."""
    return all(
        len({entry.frame for cpu in Cpu if usable(cpu) for entry in cpu.tlb[page]}) <= 1
        for page in Page
    ) and not any(
        entry.writable and entry_of(mm, page).present and not entry_of(mm, page).writable
        for mm in Mm
        for page in Page
        for cpu in Cpu
        if usable(cpu) and cpu.walks == mm
        for entry in cpu.tlb[page]
    )


@invariant("INV-S0-6")
def counted() -> bool:
    """mm->tlb_flush_pending is not the number of open gathers."""
    return all(mm.tlb_flush_pending == mm.open for mm in Mm)


@invariant("INV-S0-7")
def rmap_finds_writers() -> bool:
    """A CPU can write a folio unnoticed, and an rmap walk of the folio neither finds nor waits."""
    return all(
        Folio(entry.frame.index).mapcount > 0
        for cpu in Cpu
        if usable(cpu)
        for page in Page
        for entry in cpu.tlb[page]
        if entry.writable and entry.dirty
    )


@invariant("INV-TORN")
def whole_entries() -> bool:
    """A CPU has a translation to a frame that no entry was meant to name: the walker has read
    halves of two."""
    return not any(
        page in cpu.elsewhere or any(entry.frame not in mm.named[page] for entry in cpu.tlb[page])
        for mm in Mm
        for cpu in Cpu
        if usable(cpu) and cpu.walks == mm
        for page in Page
    )


@invariant("INV-S0-1")
def nothing_freed() -> bool:
    """A CPU can use a frame that is free, whether it was loaded before or after it was freed."""
    return all(
        entry.frame.allocated
        for cpu in Cpu
        if usable(cpu)
        for page in Page
        for entry in cpu.tlb[page]
    )


@invariant("INV-S0-3")
def nothing_revoked() -> bool:
    """A call has returned that removed a translation, and a CPU can still use it."""
    return not any(
        entry.frame in mm.revoked[page]
        for mm in Mm
        for cpu in Cpu
        if usable(cpu) and cpu.walks == mm
        for page in Page
        for entry in cpu.tlb[page]
    )


# ------------------------------------------------------------------ goals


@goal("a removed translation is still usable")
def window() -> bool:
    """Somebody cleared the PTE and the flush is still to come."""
    return any(
        not entry_of(mm, page).present and any(usable(cpu) and cpu.tlb[page] for cpu in Cpu)
        for mm in Mm
        for page in Page
    )


@goal("two gathers are open")
def nested() -> bool:
    """The situation that mm_tlb_flush_nested() is about."""
    return any(mm.open > 1 for mm in Mm)


@goal("a frame was freed")
def freed() -> bool:
    """The last reference to the page was dropped."""
    return not Folio(0).allocated


@goal("the page was written back")
def cleaned() -> bool:
    """The copy on disk is up to date."""
    return not Folio(0).newer


@goal("the page was discarded")
def discarded() -> bool:
    """Reclaim took the page, as MADV_FREE allows."""
    return not Folio(0).allocated


@goal("a write was kept")
def kept() -> bool:
    """User space wrote after MADV_FREE had returned."""
    return Folio(0).precious


@goal("another frame is mapped")
def replaced() -> bool:
    """The page fault put a new frame where the old one was."""
    return any(
        entry_of(mm, page).present and entry_of(mm, page).frame.index != page.index
        for mm in Mm
        for page in Page
    )


@goal("the entry is gone while a lockless reader is under way")
def changed_under_reader() -> bool:
    """PAE: the entry was removed after the reader had begun."""
    return any(
        not cpu.irq_on and not entry_of(mm, page).present
        for cpu in Cpu
        for mm in Mm
        for page in Page
    )


@goal("a vCPU was left out of a flush")
def left_out() -> bool:
    """It is flushed when it resumes."""
    return any(access.left_out(cpu) for cpu in Cpu)


# ------------------------------------------------------------------ starting states


@atomic
def run_on(cpu: Cpu, mm: Mm) -> None:
    """The CPU runs a thread of that process."""
    cpu.walks = mm
    mm.cpumask.add(cpu)


@atomic
def mapped_anon() -> None:
    """Every CPU runs the process; its first page is anonymous memory and was written; other
    frames are free."""
    for cpu in Cpu:
        run_on(cpu, Mm(0))
    for folio in Folio:
        folio.allocated = False
    for page in Page:
        folio = Folio(page.index)
        folio.allocated = True
        folio.mapcount = 1
        folio.refcount = 1
        Mm(0).pte[page] = Pte(present=True, writable=True, accessed=True, dirty=True, frame=folio)


@atomic
def mapped_anon_reclaim() -> None:
    """The same, but the last CPU, on which reclaim runs, has no user address space."""
    mapped_anon()
    for cpu in Cpu:
        if cpu.index == len(Cpu) - 1:
            no_user_space(cpu)


@atomic
def mapped_file() -> None:
    """Each page maps a file page, shared and writable, that was written through this mapping:
    the PTE says so, and PG_dirty since the page fault. CPU1 writes back and has no user address
    space."""
    for cpu in Cpu:
        if cpu != Cpu(1):
            run_on(cpu, Mm(0))
    for page in Page:
        folio = Folio(page.index)
        folio.mapcount = 1
        folio.refcount = 2
        folio.dirty = True
        folio.newer = True
        Mm(0).pte[page] = Pte(present=True, writable=True, accessed=True, dirty=True, frame=folio)


@atomic
def mapped_clean_pte() -> None:
    """The same, but it was not written since the PTE was made."""
    mapped_file()
    for page in Page:
        Folio(page.index).newer = False
        Mm(0).pte[page] = Pte()
        for cpu in Cpu:
            cpu.tlb[page] = set()
        Mm(0).pte[page] = Pte(present=True, writable=True, accessed=True, frame=Folio(page.index))


@atomic
def mapped_clean_file() -> None:
    """Every CPU runs the process; each page maps a clean file page."""
    for cpu in Cpu:
        run_on(cpu, Mm(0))
    for page in Page:
        folio = Folio(page.index)
        folio.mapcount = 1
        folio.refcount = 2
        Mm(0).pte[page] = Pte(present=True, accessed=True, frame=folio)


@atomic
def mapped_clean_reclaim() -> None:
    """The same, but CPU0, on which reclaim runs, has no user address space, and reclaim has a
    reference; another frame is there."""
    for cpu in Cpu:
        if cpu != Cpu(0):
            run_on(cpu, Mm(0))
    for page in Page:
        folio = Folio(page.index)
        folio.mapcount = 1
        folio.refcount = 3
        Mm(0).pte[page] = Pte(present=True, accessed=True, frame=folio)


@atomic
def map_pae(references: int, flags: Pte) -> None:
    """PAE: every CPU runs the process; its first page maps frame 0, at 4 GiB, and the next pages
    map frames with the same low half, at 12 GiB, at 0, and from 16 GiB up."""
    for cpu in Cpu:
        run_on(cpu, Mm(0))
    for page in Page:
        folio = Folio(page.index)
        folio.pfn_high = (1, 3, 0, 4, 5, 6, 7)[page.index]
        folio.mapcount = 1
        folio.refcount = references
        put_entry(Mm(0), page, replace(flags, present=True, accessed=True, frame=folio))
        Mm(0).named[page].add(folio)


@atomic
def mapped_pae() -> None:
    """PAE: every CPU runs the process; its first page is anonymous memory that was written, and
    maps frame 0, at 4 GiB. The last frame is free and at 8 GiB: the low halves of the two are
    equal."""
    map_pae(1, Pte(writable=True, dirty=True))
    last = Folio(len(Page))
    last.pfn_high = 2
    last.allocated = False


@atomic
def mapped_pae_low_differs() -> None:
    """The same with that frame a page higher."""
    mapped_pae()
    Folio(len(Page)).pfn_low = 1


@atomic
def mapped_pae_foreign() -> None:
    """The same, and somebody else has the frame that is 8 GiB below the free one."""
    mapped_pae_low_differs()
    Folio(len(Page) + 1).pfn_low = 1


@atomic
def mapped_pae_file() -> None:
    """PAE: the first page maps a clean file page at 4 GiB."""
    map_pae(2, Pte())


@atomic
def mapped_pae_shared() -> None:
    """PAE: the first page maps a file page at 4 GiB, shared and writable, which was written, but
    not since the PTE was made. CPU1 writes back and has no user address space."""
    map_pae(2, Pte(writable=True))
    no_user_space(Cpu(1))
    for page in Page:
        Folio(page.index).dirty = True


@atomic
def mapped_pae_reclaim() -> None:
    """PAE: the first page maps a clean file page; CPU0, on which reclaim runs, has no user address
    space, and reclaim has a reference; the last frame is at 8 GiB, with the same low half."""
    map_pae(3, Pte())
    no_user_space(Cpu(0))
    Folio(len(Page)).pfn_high = 2


@atomic
def no_user_space(cpu: Cpu) -> None:
    """The CPU runs a kernel thread, and has done so for long."""
    cpu.walks = None
    for page in Page:
        cpu.tlb[page] = set()
    Mm(0).cpumask.discard(cpu)
