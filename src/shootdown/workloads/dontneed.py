"""Allocator churn: pages are used, given back with MADV_DONTNEED or MADV_FREE, and used again."""

from __future__ import annotations

from shootdown.cost.workload import Plan, workload
from shootdown.lang import Thread, path
from shootdown.linux.arch.x86.tlbflush import ContextMm, TlbState
from shootdown.linux.mm.madvise import madvise_dontneed, madvise_free
from shootdown.linux.mm_types import Mm, Pages
from shootdown.workloads.memory import Places
from shootdown.workloads.user import enter, spin, system_call, touch_all
from shootdown.workloads.x86 import X86


@path(show="worker")
def churn(mm: Mm, pages: Pages, rounds: int) -> None:
    """Touch all pages, give them back, again and again."""
    enter(mm)
    for _ in range(rounds):
        touch_all(mm, pages)
        system_call()
        madvise_dontneed(mm, pages)


@path(show="worker")
def churn_free(mm: Mm, pages: Pages, rounds: int) -> None:
    """The same with MADV_FREE: the pages stay mapped, and writing to them again needs no fault."""
    enter(mm)
    for _ in range(rounds):
        touch_all(mm, pages)
        system_call()
        madvise_free(mm, pages)


def plan(
    worker: object, cpus: int, workers: int, pages: int, rounds: int, *, packed: bool = False
) -> Plan:
    """``workers`` threads of one process do ``worker`` on an area each; the others spin."""
    mm = ContextMm(0)
    places = Places(workers, pages, packed=packed)
    threads = [
        Thread(worker, mm, places.area(w), rounds, on=TlbState(w))  # type: ignore[arg-type]
        for w in range(workers)
    ]
    threads += [Thread(spin, mm, on=TlbState(c), daemon=True) for c in range(workers, cpus)]
    return Plan(
        machine=X86,
        sizes=places.sizes(cpus=cpus),
        threads=threads,
        work={"calls": workers * rounds, "pages": workers * rounds * pages},
    )


@workload("dontneed")
def dontneed(
    cpus: int = 2, workers: int = 1, pages: int = 1, rounds: int = 20_000, packed: int = 0
) -> Plan:
    """MADV_DONTNEED churn of ``pages`` pages by each worker; the other CPUs spin in the process.

    ``packed``: the workers' pages share page tables, as far as they fit; else each worker has page
    tables of its own.
    """
    return plan(churn, cpus, workers, pages, rounds, packed=bool(packed))


@workload("free")
def free(
    cpus: int = 2, workers: int = 1, pages: int = 1, rounds: int = 20_000, packed: int = 0
) -> Plan:
    """MADV_FREE churn of ``pages`` pages by each worker; the other CPUs spin in the process."""
    return plan(churn_free, cpus, workers, pages, rounds, packed=bool(packed))
