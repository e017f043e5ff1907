"""System S0: the open questions of the reference, each as scenarios, and the race of 2017.

``docs/s0.md`` has the answers in words. Most of Q-S0-2 is elsewhere (``S0.V9``, ``S0.V9.alone``,
``S0.V9.pae``); Q-S0-3 and Q-S0-4 are about costs, of which only the safe half is here.
"""

from __future__ import annotations

from typing import Any

from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.walker import Region
from shootdown.hardware.x86 import x86
from shootdown.lang import Scenario, Setup, Thread, path, scenario, wait_until
from shootdown.linux.mm.madvise import madvise_dontneed, madvise_dontneed_locked
from shootdown.linux.mm.memory import do_read_fault
from shootdown.linux.mm.mmap import munmap, unmap_mapping_range
from shootdown.linux.mm.mprotect import return_from_mprotect
from shootdown.linux.mm.userfaultfd import mwriteprotect_range
from shootdown.linux.mm.vmscan import shrink_folios
from shootdown.linux.mm_types import Folio, Mm, Pages, Vma
from shootdown.linux.user import load, read_page
from shootdown.races import s0_properties as s0
from shootdown.races import x3_properties as x3
from shootdown.races.s0 import MM, VARIANTS, Options, counting, first


@path(show="user")
def load_madvise_load(mm: Mm, page: Page) -> None:
    """A thread that uses a page, gives it up, and looks at it again."""
    read_page(mm, page)
    madvise_dontneed(mm, (page,))
    read_page(mm, page)


def madv_parallel(name: str, title: str, options: Options, violates: str | None = None) -> Scenario:
    """The race of 2017 as its report tells it: two threads on two CPUs, one page."""

    @scenario(name, expect="VIOLATED" if violates else "HOLDS", violates=violates, title=title)
    def build(cpus: int = 2, pages: int = 1) -> Setup:
        given = first(pages)
        return Setup(
            sizes={Cpu: cpus, Page: pages, Frame: pages, Mm: 1},
            start=s0.mapped_anon,
            threads=[
                *[Thread(madvise_dontneed, MM, given, on=Cpu(c)) for c in range(cpus - 1)],
                Thread(load_madvise_load, MM, Page(0), on=Cpu(cpus - 1)),
            ],
            hardware=x86,
            invariants=counting(options),
            goals=[s0.window, s0.freed] if violates else [s0.window, s0.freed, s0.nested],
            options=options,
        )

    return build


MADV_PARALLEL = (
    madv_parallel(
        "MADV-PARALLEL",
        "two MADV_DONTNEED at once: the second returns before the first has flushed",
        VARIANTS["V4"],
        "INV-S0-3",
    ),
    madv_parallel(
        "MADV-PARALLEL.fixed",
        "the same with the nested check (99baac21e458, 56236a59556c)",
        VARIANTS["V6"],
    ),
)


# ------------------------------------------------------------------ Q-S0-1, Q-S0-5: who else zaps


def against(
    name: str,
    title: str,
    other: Any,
    caller: Any,
    options: Options,
    violates: str | None = None,
) -> Scenario:
    """``caller`` gives up or unmaps a file page and returns; ``other`` zaps the same page, and
    promises nothing that is looked at; a third CPU reads it. INV-S0-3 for the caller."""

    @scenario(name, expect="VIOLATED" if violates else "HOLDS", violates=violates, title=title)
    def build(cpus: int = 3, pages: int = 1) -> Setup:
        file: dict[str, Any] = {"file": True}
        return Setup(
            sizes={Cpu: cpus, Page: pages, Frame: pages, Mm: 1},
            start=s0.mapped_clean_file,
            threads=[
                Thread(
                    other,
                    MM,
                    first(pages),
                    on=Cpu(0),
                    **({} if other is unmap_mapping_range else file),
                ),
                Thread(caller, MM, first(pages), on=Cpu(1), **file),
                *[Thread(load, MM, Page(0), on=Cpu(c)) for c in range(2, cpus)],
            ],
            hardware=x86,
            invariants=counting(options),
            goals=[s0.window],
            options=options,
        )

    return build


NO_COUNT = VARIANTS["V4"]

WHO_ELSE = (
    against(
        "S0.V8.truncate",
        "truncation clears the PTE and flushes later; MADV_DONTNEED sees nothing to flush",
        unmap_mapping_range,
        madvise_dontneed,
        VARIANTS["V8.alone"],
        "INV-S0-3",
    ),
    against(
        "S0.V8.truncate-nested",
        "the same with the nested check",
        unmap_mapping_range,
        madvise_dontneed,
        VARIANTS["V8"],
    ),
    against(
        "S0.V4.munmap",
        "munmap and MADV_DONTNEED: the mmap lock is enough",
        madvise_dontneed_locked,
        munmap,
        NO_COUNT,
    ),
    against(
        "S0.V4.munmap-twice",
        "two munmap: the second finds no VMA",
        munmap,
        munmap,
        NO_COUNT,
    ),
    against(
        "S0.V4.munmap-truncate",
        "munmap and truncation: unlinking the VMA waits for the file's zappers",
        unmap_mapping_range,
        munmap,
        NO_COUNT,
    ),
    against(
        "S0.V4.truncate",
        "MADV_DONTNEED and truncation: no common lock",
        unmap_mapping_range,
        madvise_dontneed_locked,
        NO_COUNT,
        "INV-S0-3",
    ),
    against(
        "S0.V6.truncate",
        "the same with the nested check",
        unmap_mapping_range,
        madvise_dontneed_locked,
        VARIANTS["V6"],
    ),
)


# ------------------------------------------------------------------ Q-S0-1: write protection


@path(show="ioctl(UFFDIO_WRITEPROTECT)")
def uffd_writeprotect(mm: Mm, pages: Pages) -> None:
    """User space may rely on it: a write faults, from the return on."""
    mwriteprotect_range(mm, pages)
    return_from_mprotect(mm, pages)


def protecting(
    name: str, title: str, options: Options, caller: Any, violates: str | None = None
) -> Scenario:
    """One thread write-protects a page with userfaultfd, which flushes at its end; ``caller`` does
    the same, or gives the page up; a third CPU writes to it. INV-RET for both."""

    @scenario(name, expect="VIOLATED" if violates else "HOLDS", violates=violates, title=title)
    def build(cpus: int = 3, pages: int = 1) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: pages, Frame: pages, Mm: 1},
            start=s0.mapped_anon,
            threads=[
                Thread(uffd_writeprotect, MM, first(pages), on=Cpu(0)),
                Thread(caller, MM, first(pages), on=Cpu(1)),
                *[Thread(x3.writer, MM, Page(0), on=Cpu(c)) for c in range(2, cpus)],
            ],
            hardware=x86,
            invariants=counting(options),
            goals=[x3.window, x3.returned],
            options=options,
        )

    return build


PROTECTING = (
    protecting(
        "S0.V8.protect",
        "two write protections: the second finds the PTE read-only and returns",
        VARIANTS["V8.alone"],
        uffd_writeprotect,
        "INV-RET",
    ),
    protecting(
        "S0.V8.protect-nested", "the same with the nested check", VARIANTS["V8"], uffd_writeprotect
    ),
    protecting(
        "S0.V8.protect-zap",
        "write protection and MADV_DONTNEED, which finds the PTE present",
        VARIANTS["V8.alone"],
        madvise_dontneed,
    ),
)


# ------------------------------------------------------------------ Q-S0-2: who else owes a flush


@path(show="page fault")
def fault_after_reclaim(mm: Mm, page: Page, old: Folio, new: Folio) -> None:
    """The page cache does not have the page any more (its references are frozen, and it is taken
    out, before reclaim flushes), so it is read into another frame."""
    wait_until(old.refcount == 0)
    do_read_fault(mm, page, new)


def reclaimed(name: str, title: str, options: Options, violates: str | None = None) -> Scenario:
    """Reclaim unmaps a clean file page in a batch; a page fault maps another frame; a third CPU may
    have the old one. INV-S0-4."""

    @scenario(name, expect="VIOLATED" if violates else "HOLDS", violates=violates, title=title)
    def build(cpus: int = 3, pages: int = 1) -> Setup:
        new = Folio(pages)
        victims = tuple((Folio(page.index), ((MM, page),)) for page in first(pages))
        return Setup(
            sizes={Cpu: cpus, Page: pages, Frame: pages + 1, Mm: 1},
            start=s0.mapped_clean_reclaim,
            threads=[
                Thread(shrink_folios, victims, on=Cpu(0)),
                Thread(fault_after_reclaim, MM, Page(0), Folio(0), new, on=Cpu(1)),
            ],
            hardware=x86,
            invariants=[s0.one_translation, *counting(options)],
            goals=[s0.window, s0.replaced],
            options={"tlb_batched": "counted", **options},
        )

    return build


RECLAIMED = (
    reclaimed(
        "S0.V8.reclaim",
        "reclaim unmaps in batches: the PTL is dropped before the flush",
        VARIANTS["V8"],
        "INV-S0-4",
    ),
    reclaimed(
        "S0.V9.reclaim",
        "the page fault asks for gathers, and reclaim has none",
        VARIANTS["V9"],
        "INV-S0-4",
    ),
    reclaimed(
        "S0.V9.reclaim-batched",
        "the page fault asks for batches, too",
        {"fault_flush": "batched"},
    ),
)


# ------------------------------------------------------------------ Q-S0-3: what is counted


def apart(name: str, title: str, variant: str, *, same: bool = False) -> Scenario:
    """Two MADV_DONTNEED, each of a page in a page table of its own (or the ``same`` page); a third
    CPU reads the second one. INV-S0-3."""
    options = {**GRANULARITY[variant], "ptl": "split"}
    last = 0 if same else 1

    @scenario(name, expect="HOLDS", title=title)
    def build(cpus: int = 3, pages: int = last + 1) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: pages, Frame: pages, Mm: 1},
            start=s0.mapped_anon,
            threads=[
                Thread(madvise_dontneed, MM, (Page(0),), on=Cpu(0)),
                Thread(madvise_dontneed, MM, first(pages)[last:], on=Cpu(1)),
                *[Thread(load, MM, Page(last), on=Cpu(c)) for c in range(2, cpus)],
            ],
            hardware=x86,
            invariants=counting(options),
            goals=[s0.window, s0.freed, *([] if variant == "V4" else [s0.nested])],
            options=options,
        )

    return build


GRANULARITY: dict[str, Options] = {
    "V4": VARIANTS["V4"],
    "V6": VARIANTS["V6"],
    "V6.table": {"pending": "table"},
}


def ranges(name: str, title: str, options: Options, tables: int) -> Scenario:
    """Two MADV_DONTNEED, one of two pages, one of the last of them; a third CPU reads that one.
    Both pages are in one VMA, and in one page table or each in its own. INV-S0-3."""

    @scenario(name, expect="HOLDS", title=title)
    def build(cpus: int = 3, pages: int = 2) -> Setup:
        return Setup(
            sizes={Cpu: cpus, Page: pages, Region: tables, Vma: 1, Frame: pages, Mm: 1},
            start=s0.mapped_anon,
            threads=[
                Thread(madvise_dontneed, MM, first(pages), on=Cpu(0)),
                Thread(madvise_dontneed, MM, first(pages)[-1:], on=Cpu(1)),
                *[Thread(load, MM, Page(pages - 1), on=Cpu(c)) for c in range(2, cpus)],
            ],
            hardware=x86,
            goals=[s0.window, s0.freed],
            options=options,
        )

    return build


RANGES = (
    ranges("S0.V6.vma", "a count for each VMA is enough", {"pending": "vma"}, 1),
    ranges(
        "S0.V6.tables",
        "a call goes from table to table, and counts in each",
        {"pending": "table", "ptl": "table"},
        2,
    ),
)

APART = (
    apart("S0.V4.disjoint", "two page tables: no count is needed", "V4"),
    apart("S0.V6.disjoint", "two page tables, one count: flushed without need", "V6"),
    apart("S0.V6.table", "a count for each page table is enough", "V6.table", same=True),
    apart("S0.V6.table-disjoint", "two page tables, two counts", "V6.table"),
)
