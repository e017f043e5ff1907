"""Mappings that come, go, move and change their rights: munmap(), mprotect(), mremap()."""

from __future__ import annotations

from typing import Any

from shootdown.cost.workload import Plan, workload
from shootdown.hardware.machine import Pte
from shootdown.lang import WRITE_ONCE, Thread, path
from shootdown.linux.arch.x86.tlbflush import ContextMm, TlbState
from shootdown.linux.mm.mmap import mmap_vma, munmap
from shootdown.linux.mm.mprotect import mprotect, mprotect_writable
from shootdown.linux.mm.mremap import mremap_vma
from shootdown.linux.mm_types import Folio, Mm, Pages, page_folio
from shootdown.workloads.externs import take_frame
from shootdown.workloads.memory import Places
from shootdown.workloads.user import enter, spin, system_call, touch_all
from shootdown.workloads.x86 import X86


@path(show="worker")
def map_and_unmap(mm: Mm, pages: Pages, rounds: int, *, tables: bool = False) -> None:
    """Map, touch, unmap."""
    enter(mm)
    for _ in range(rounds):
        system_call()
        mmap_vma(mm)
        touch_all(mm, pages)
        system_call()
        munmap(mm, pages, tables=tables)


@path
def populate(mm: Mm, pages: Pages) -> None:
    """Frames in order, so that those of a large folio follow each other, as in
    ``alloc_anon_folio()``; not priced."""
    for page in pages:
        frame = take_frame()
        folio = page_folio(frame)
        folio.refcount += 1
        folio.mapcount += 1
        Folio(frame.index).page_mapcount = 1
        WRITE_ONCE(
            mm.pte[page],
            Pte(present=True, writable=True, accessed=True, dirty=True, frame=frame),
        )


@path(show="worker")
def unmap_once(mm: Mm, pages: Pages) -> None:
    """One munmap()."""
    enter(mm)
    system_call()
    munmap(mm, pages, tables=True)


@path(show="worker")
def flip(mm: Mm, pages: Pages, rounds: int) -> None:
    """Write, forbid writing, allow it again."""
    enter(mm)
    for _ in range(rounds):
        touch_all(mm, pages)
        system_call()
        mprotect(mm, pages)
        system_call()
        mprotect_writable(mm, pages)


@path(show="worker")
def move(mm: Mm, pages: Pages, other: Pages, rounds: int) -> None:
    """Write, move to the other place, write there, move back."""
    enter(mm)
    here, there = pages, other
    for _ in range(rounds):
        touch_all(mm, here)
        system_call()
        mremap_vma(mm, here, there)
        here, there = there, here


def spinners(mm: ContextMm, first: int, cpus: int) -> list[Thread]:
    """The other CPUs run the process too, and do nothing."""
    return [Thread(spin, mm, on=TlbState(c), daemon=True) for c in range(first, cpus)]


def plan(
    worker: Any, cpus: int, workers: int, pages: int, rounds: int, *, calls: int = 1, **fixed: Any
) -> Plan:
    """``workers`` threads of one process do ``worker`` on an area each; the others spin."""
    mm = ContextMm(0)
    places = Places(workers, pages, offset=16)
    threads = [
        Thread(worker, mm, places.area(w), rounds, on=TlbState(w), **fixed) for w in range(workers)
    ]
    return Plan(
        machine=X86,
        sizes=places.sizes(cpus=cpus),
        threads=threads + spinners(mm, workers, cpus),
        work={"calls": calls * workers * rounds, "pages": workers * rounds * pages},
    )


@workload("munmap")
def unmap(
    cpus: int = 2, workers: int = 1, pages: int = 1, rounds: int = 20_000, tables: int = 0
) -> Plan:
    """mmap(), touch and munmap() by each worker; the other CPUs spin in the process.

    ``tables``: nothing else is mapped nearby, so that page tables are freed, too.
    """
    return plan(map_and_unmap, cpus, workers, pages, rounds, tables=bool(tables))


@workload("munmap-big")
def unmap_big(cpus: int = 1, pages: int = 262_144) -> Plan:
    """munmap() of one mapping that is there already, by default 1 GiB; the other CPUs spin."""
    mm = ContextMm(0)
    places = Places(1, pages)
    return Plan(
        machine=X86,
        sizes=places.sizes(cpus=cpus),
        start=Thread(populate, mm, places.area(0), on=TlbState(0)),
        threads=[Thread(unmap_once, mm, places.area(0), on=TlbState(0)), *spinners(mm, 1, cpus)],
        work={"pages": pages},
    )


@workload("mprotect")
def protect(cpus: int = 2, workers: int = 1, pages: int = 1, rounds: int = 20_000) -> Plan:
    """Pages become read-only and writable again, as a garbage collector does to see writes."""
    return plan(flip, cpus, workers, pages, rounds, calls=2)


@workload("mremap")
def remap(cpus: int = 2, workers: int = 1, pages: int = 1, rounds: int = 20_000) -> Plan:
    """Each worker moves its pages to another address, or back, 16 pages further in a page table;
    the other CPUs spin in the process."""
    mm = ContextMm(0)
    places = Places(2 * workers, pages, offset=32)
    near = Places(2 * workers, pages, offset=32)
    near.offset = 16
    threads = [
        Thread(move, mm, near.area(2 * w), places.area(2 * w + 1), rounds, on=TlbState(w))
        for w in range(workers)
    ]
    return Plan(
        machine=X86,
        sizes=places.sizes(cpus=cpus),
        threads=threads + spinners(mm, workers, cpus),
        work={"calls": workers * rounds, "pages": workers * rounds * pages},
    )
