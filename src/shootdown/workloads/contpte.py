"""Processes whose anonymous memory is in folios of several pages, on arm64 (system S3)."""

from __future__ import annotations

from shootdown.cost.workload import Plan, workload
from shootdown.hardware.machine import Frame, Page, Pte
from shootdown.hardware.pcid import Pcid
from shootdown.lang import Thread, atomic, path, this
from shootdown.lang.large import Span
from shootdown.linux.arch.arm64.contpte import set_ptes
from shootdown.linux.arch.arm64.pgtable import Arm64Mm
from shootdown.linux.mm.memory_cont import (
    LargeFolio,
    consecutive,
    dontneed,
    dup_mmap,
    exit_everything,
    munmap,
)
from shootdown.linux.mm_types import Pages
from shootdown.workloads.arm64 import ARM64, TAGS, Core, alloc_page
from shootdown.workloads.user import system_call


@atomic
def run_process(mm: Arm64Mm) -> None:
    """This CPU runs a process."""
    this(Core).walks = mm


# ------------------------------------------------------------------ before time begins


@path
def map_folio(mm: Arm64Mm, first: int, pages: int) -> None:
    """A new folio, written to, of some pages from here."""
    folio = LargeFolio(alloc_page().index)
    folio.pages = pages
    folio.refcount = pages
    folio.mapcount = pages
    folio.nr_mapped = pages
    pte = Pte(present=True, writable=True, accessed=True, dirty=True, frame=folio)
    set_ptes(mm, consecutive(Page(first), pages), pte)


@path
def populate(processes: int, pages: int, folio: int, share: int) -> None:
    """Map the memory of all processes: ``share`` percent of it in folios of ``folio`` pages, evenly
    spread, and the rest page by page."""
    for process in range(processes):
        mm = Arm64Mm(process)
        for number in range(pages // folio):
            first = process * pages + number * folio
            if (number + 1) * share // 100 > number * share // 100:
                map_folio(mm, first, folio)
            else:
                for offset in range(folio):
                    map_folio(mm, first + offset, 1)


# ------------------------------------------------------------------ the calls


@path(show="worker")
def exits(mm: Arm64Mm, pages: Pages) -> None:
    """exit_group()."""
    run_process(mm)
    system_call()
    exit_everything(mm, pages)


@path(show="worker")
def unmaps(mm: Arm64Mm, pages: Pages) -> None:
    """munmap() of everything."""
    run_process(mm)
    system_call()
    munmap(mm, pages)


@path(show="worker")
def gives_back(mm: Arm64Mm, pages: Pages, step: int) -> None:
    """MADV_DONTNEED of ``step`` pages at a time."""
    run_process(mm)
    for number in range(len(pages) // step):
        system_call()
        dontneed(mm, consecutive(Page(pages[0].index + number * step), step))


@path(show="worker")
def forks(mm: Arm64Mm, child: Arm64Mm, pages: Pages) -> None:
    """fork()."""
    run_process(mm)
    system_call()
    dup_mmap(mm, child, pages)


def plan_of(
    call: object, processes: int, pages: int, order: int, contpte: int, *more: int, mms: int = 1
) -> Plan:
    """One call by each process, all at the same time. ``mms``: address spaces for each."""
    folio = 1 << order
    threads = []
    for number in range(processes):
        spaces = [Arm64Mm(number + processes * which) for which in range(mms)]
        given = [*spaces, Span(Page, number * pages, pages), *more]
        threads.append(Thread(call, *given, on=Core(number)))  # type: ignore[arg-type]
    small = pages // folio * (100 - contpte) // 100 * folio
    return Plan(
        machine=ARM64,
        sizes={
            Core: processes, Page: processes * pages + 1, Arm64Mm: mms * processes, Pcid: TAGS,
            Frame: processes * (pages // folio + small + 1),
        },
        threads=threads,
        start=Thread(populate, processes, pages, folio, contpte, on=Core(0)),
        work={"pages": processes * (pages - pages % folio)},
    )  # fmt: skip


@workload("contpte-exit")
def contpte_exit(
    processes: int = 1, pages: int = 16384, order: int = 4, contpte: int = 100
) -> Plan:
    """Processes exit at the same time: pages each, contpte percent in folios of 2^order pages."""
    return plan_of(exits, processes, pages, order, contpte)


@workload("contpte-munmap")
def contpte_munmap(
    processes: int = 1, pages: int = 16384, order: int = 9, contpte: int = 100
) -> Plan:
    """Each process unmaps its memory in one call."""
    return plan_of(unmaps, processes, pages, order, contpte)


@workload("contpte-dontneed")
def contpte_dontneed(
    processes: int = 1, pages: int = 16384, order: int = 9, contpte: int = 100, step: int = 1
) -> Plan:
    """Each process gives its memory back with MADV_DONTNEED, step pages at a time."""
    return plan_of(gives_back, processes, pages, order, contpte, step)


@workload("contpte-fork")
def contpte_fork(
    processes: int = 1, pages: int = 16384, order: int = 9, contpte: int = 100
) -> Plan:
    """Each process forks."""
    return plan_of(forks, processes, pages, order, contpte, mms=2)
