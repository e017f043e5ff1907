"""Allocator churn: pages are used, given back with MADV_DONTNEED, and used again."""

from __future__ import annotations

from shootdown.cost.workload import Plan, workload
from shootdown.hardware.machine import Frame, Page
from shootdown.hardware.pcid import Pcid
from shootdown.lang import Thread, path
from shootdown.lang.large import Span
from shootdown.linux.arch.x86.tlbflush import ContextMm, TlbState
from shootdown.linux.mm.madvise import madvise_dontneed
from shootdown.linux.mm_types import Mm, Pages
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


@workload("dontneed")
def dontneed(cpus: int = 2, workers: int = 1, pages: int = 1, rounds: int = 20_000) -> Plan:
    """MADV_DONTNEED churn of ``pages`` pages by each worker; the other CPUs spin in the process."""
    mm = ContextMm(0)
    threads = [
        Thread(churn, mm, Span(Page, w * pages, pages), rounds, on=TlbState(w))
        for w in range(workers)
    ]
    threads += [Thread(spin, mm, on=TlbState(c), daemon=True) for c in range(workers, cpus)]
    return Plan(
        machine=X86,
        sizes={
            TlbState: cpus, Page: workers * pages + 1, Frame: workers * pages + 64, ContextMm: 1,
            Pcid: 6,
        },
        threads=threads,
        work={"calls": workers * rounds},
    )  # fmt: skip
