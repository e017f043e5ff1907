"""MADV_PAGEOUT, again and again: reclaim that a process asks for (system S2)."""

from __future__ import annotations

from shootdown.cost.workload import Plan, workload
from shootdown.hardware.machine import Frame, Page
from shootdown.hardware.pcid import Pcid
from shootdown.hardware.walker import Region
from shootdown.lang import Thread, path
from shootdown.lang.large import Span
from shootdown.linux.arch.x86.tlbflush import TlbState
from shootdown.linux.mm.file_types import Mapping
from shootdown.linux.mm.filemap_fault import filemap_fault
from shootdown.linux.mm.luf_batch import LufKey
from shootdown.linux.mm.madvise import madvise_pageout
from shootdown.linux.mm.page_alloc import Zone
from shootdown.linux.mm.vmscan_lru import BatchSlot, Pgdat
from shootdown.linux.mm_types import Mm, Pages
from shootdown.linux.user import read_page
from shootdown.workloads.externs import spend
from shootdown.workloads.reclaim import RECLAIM, SIZE, ReclaimMm
from shootdown.workloads.user import enter, spin, system_call


@path(show="worker")
def page_out(mm: Mm, mapping: Mapping, pages: Pages, rounds: int) -> None:
    """Read some pages of a file, and ask for them to be reclaimed."""
    enter(mm)
    mapping.i_mmap.add(mm)
    for _ in range(rounds):
        for page in pages:
            if read_page(mm, page) is None:
                spend("page_fault", 1)
                filemap_fault(Pgdat(0), mm, page, mapping, lru=False)
                read_page(mm, page)
        system_call()
        madvise_pageout(mm, pages)


@workload("pageout")
def pageout(cpus: int = 2, pages: int = 1, rounds: int = 5000) -> Plan:
    """MADV_PAGEOUT of ``pages`` pages (512 at most) of a file by one thread; the other CPUs spin in
    the process."""
    mm = ReclaimMm(0)
    return Plan(
        machine=RECLAIM,
        sizes={
            TlbState: cpus, Page: 512, Frame: 576, ReclaimMm: 1, Pcid: 6,
            Mapping: 1, Pgdat: 1, Zone: 1, LufKey: 64, BatchSlot: 1, Region: 1,
        },
        threads=[
            Thread(page_out, mm, Mapping(0), Span(Page, 0, pages), rounds, on=TlbState(0)),
            *[Thread(spin, mm, on=TlbState(c), daemon=True) for c in range(1, cpus)],
        ],
        options=SIZE,
        work={"calls": rounds, "pages": pages * rounds},
    )  # fmt: skip
