"""Reclaim of mapped files: processes read through files that are larger than memory (system S2)."""

# the numbers of a workload are arguments, and there are many
# ruff: noqa: PLR0913, PLR0917

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from shootdown.cost.workload import Plan, workload
from shootdown.hardware.machine import Frame, Page, Pte
from shootdown.hardware.pcid import Pcid
from shootdown.hardware.walker import Region
from shootdown.lang import WRITE_ONCE, Thread, atomic, on_write, path
from shootdown.lang.large import Span
from shootdown.linux.arch.x86.tlbflush import ContextMm, TlbState
from shootdown.linux.mm import filemap_fault as filemap
from shootdown.linux.mm import page_alloc
from shootdown.linux.mm.file_types import FilePage, Mapping
from shootdown.linux.mm.filemap import write_begin
from shootdown.linux.mm.filemap_fault import filemap_alloc_folio, filemap_fault
from shootdown.linux.mm.luf import do_mmap
from shootdown.linux.mm.luf_batch import LUF_IF, LufKey, LufMm, LufPage
from shootdown.linux.mm.memory import finish_fault, unmap_page_range
from shootdown.linux.mm.memory_fault import handle_write_fault
from shootdown.linux.mm.mmu_gather import MmuGather, tlb_finish_mmu, tlb_gather_mmu
from shootdown.linux.mm.page_alloc import Takeoff, Zone, luf_takeoff_check_and_fold
from shootdown.linux.mm.vmscan_lru import (
    BatchSlot,
    Pgdat,
    kswapd_try_to_sleep,
    shrink_inactive_list,
    wakeup_kswapd,
)
from shootdown.linux.mm_types import Folio, Mm, Pages
from shootdown.linux.user import read_page, write_page
from shootdown.workloads.externs import (
    compute,
    free_frames,
    give_frame,
    give_frame_last,
    spend,
    take_frame,
)
from shootdown.workloads.user import enter, spin, system_call
from shootdown.workloads.x86 import X86

SIZE = {
    "rmap": "file", "ptl": "table", "pending_large": "16383", "tlb_batched": "counted",
    "batch_flush": "multi",
}  # fmt: skip
"""What a kernel of full size looks up in trees and counts (``linux/options_size.py``)."""


class ReclaimMm(LufMm, ContextMm, show="mm{}"):
    """An address space with everything that this system uses."""


# ------------------------------------------------------------------ the allocator


@path(show="rmqueue()")
def rmqueue(zone: Zone, off: Takeoff) -> LufPage | None:
    """The next page of the free list; what it owes is noted in ``off``. With interrupts on no page
    is refused."""
    spend("alloc_page", 1)
    page = LufPage(take_frame().index)
    luf_takeoff_check_and_fold(off, page)
    return page


@atomic(show="prep_new_page()")
def prep_new_page(page: LufPage, off: Takeoff) -> None:
    """Its new owner has it."""
    page.luf_key = None


@atomic(show="filemap_read_folio()")
def read_from_disk(folio: Folio) -> None:
    """The contents come from disk."""
    spend("read_page", 1)


@on_write(Frame.allocated)
def given_back(frame: Frame, old: bool, new: bool) -> None:
    """A page that owes a flush goes to the end of the free list (``__free_one_page()`` in "mm:
    introduce pend_list in struct free_area to track luf'd pages"); any other is the next one."""
    if not new:
        spend("free_page", 1)
        if LUF_IF != "off" and LufPage(frame.index).luf_key is not None:
            give_frame_last(frame)
        else:
            give_frame(frame)


RECLAIM = replace(
    X86,
    instead={
        **X86.instead,
        filemap.filemap_read_folio: read_from_disk,
        page_alloc.rmqueue: rmqueue,
        page_alloc.prep_new_page: prep_new_page,
    },
    observers=(given_back,),
)
"""The x86 machine with a disk, and with a free list of which LUF takes the end."""


# ------------------------------------------------------------------ who does what


@path(show="balance_pgdat()")
def kswapd(node: Pgdat, batch: int, high: int) -> None:
    """Reclaim until so many pages are free, whenever memory is low."""
    while True:
        kswapd_try_to_sleep(node)
        while free_frames() < high:
            shrink_inactive_list(node, batch)


@path(show="try_to_free_pages()")
def make_room(node: Pgdat, batch: int, low: int, floor: int, *, direct: bool) -> None:
    """Before an allocation: kswapd is woken below the low watermark; below the min watermark one
    reclaims oneself (``direct``)."""
    if free_frames() < low:
        wakeup_kswapd(node)
    if direct:
        while free_frames() < floor:
            shrink_inactive_list(node, batch)


@path(show="page fault")
def page_fault(
    mm: Mm, mapping: Mapping, pages: Pages, first: int, around: int, batch: int, low: int,
    floor: int, *, direct: bool,
) -> None:  # fmt: skip
    """A read fault: read ahead, and map around the address."""
    spend("page_fault", 1)
    for offset in range(around):
        make_room(Pgdat(0), batch, low, floor, direct=direct)
        filemap_fault(Pgdat(0), mm, pages[first + offset], mapping)


@path(show="heap")
def use_heap(mm: Mm, mapping: Mapping, heap: Pages) -> None:
    """What gives LUF's delays up: memory is mapped, written to and unmapped, and the file is
    written to."""
    system_call()
    do_mmap(mm)
    spend("page_fault", 2)
    folio = filemap_alloc_folio()
    spend("clear_page", 1)
    finish_fault(mm, heap[0], folio, Pte(present=True, accessed=True, frame=folio))
    handle_write_fault(mm, heap[0])
    write_page(mm, heap[0])
    system_call()
    write_begin(mapping)
    system_call()
    tlb = MmuGather()
    tlb_gather_mmu(mm)
    unmap_page_range(mm, heap, tlb)
    tlb_finish_mmu(mm, tlb, heap)


@path(show="reader")
def reader(
    mm: Mm, mapping: Mapping, pages: Pages, part: int, parts: int, chunks: int, around: int,
    rounds: int, batch: int, low: int, floor: int, ns: int, heap: Pages, heap_each: int, *,
    direct: bool = True, heaps: bool = False,
) -> None:  # fmt: skip
    """One of several threads that read through a file together, chunk by chunk in turn."""
    enter(mm)
    mapping.i_mmap.add(mm)
    for _ in range(rounds):
        for turn in range(chunks):
            first = (turn * parts + part) * around
            for offset in range(around):
                if read_page(mm, pages[first + offset]) is None:
                    page_fault(mm, mapping, pages, first, around, batch, low, floor, direct=direct)
                    read_page(mm, pages[first + offset])
                compute(ns)
            if heaps and turn % heap_each == 0:
                use_heap(mm, mapping, heap)


@path(show="boot")
def some_writable(pages: Pages, each: int) -> None:
    """A start: one page in so many is in a writable shared mapping."""
    for number in range(len(pages) // each):
        WRITE_ONCE(cast(FilePage, pages[number * each]).shared_writable, True)


LUF = {
    "luf_if": "readonly", "luf_flusher": "one", "luf_fault": "end", "luf_vma": "end",
    "luf_file": "flush",
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "none": {"ttu_batch": "off"},
    "batch": {},
    "luf": LUF,
    "luf-each": {**LUF, "luf_flusher": "each"},
    "luf-v10": {**LUF, "luf_fault": "wp", "luf_vma": "mmap", "luf_file": "none"},
}
"""No batching (4.2), batches (S2a.V8), LUF v12 and v10: options of the same paths."""


@workload("reclaim")
def reclaim(
    cpus: int = 8,
    processes: int = 1,
    threads: int = 4,
    memory: int = 4096,
    file: int = 8192,
    rounds: int = 2,
    around: int = 16,
    batch: int = 32,
    floor: int = 64,
    low: int = 128,
    high: int = 256,
    ns: int = 2000,
    writable_each: int = 0,
    direct: int = 1,
    pagevec: int = 31,
    spinners: int = 0,
    heap_each: int = 256,
) -> Plan:
    """Processes read through files that are larger than memory: kswapd and direct reclaim.

    Each of ``processes`` has mapped a file of ``file`` pages of its own, read by ``threads``
    threads in turn, ``around`` pages at a fault; ``ns`` is what they compute for each page. There
    are ``memory`` pages of memory, ``batch`` pages are reclaimed at once, ``pagevec`` folios are
    put on the list at once, and the watermarks are ``floor``, ``low`` (0: no kswapd) and ``high``.
    ``direct``: who allocates reclaims below ``floor``; else memory must be enough. One page in
    ``writable_each`` is mapped writable (0: none). A thread uses its heap once in ``heap_each``
    chunks (0: never). ``spinners`` more threads of the first process use no memory. CPUs that are
    left over are idle; kswapd has the last one.
    """
    chunks = file // (around * threads)
    used = chunks * around * threads
    pages = processes * used
    tables = (pages + processes * threads) // 512 + 1  # a heap of one page for each thread
    readers = []
    for process in range(processes):
        for thread in range(threads):
            readers.append(
                Thread(
                    reader, ReclaimMm(process), Mapping(process), Span(Page, process * used, used),
                    thread, threads, chunks, around, rounds, batch, low, floor, ns,
                    Span(Page, pages + process * threads + thread, 1), heap_each,
                    direct=bool(direct), heaps=heap_each > 0,
                    on=TlbState(process * threads + thread),
                )
            )  # fmt: skip
    readers += [
        Thread(spin, ReclaimMm(0), on=TlbState(processes * threads + number), daemon=True)
        for number in range(spinners)
    ]
    if low:
        readers.append(Thread(kswapd, Pgdat(0), batch, high, on=TlbState(cpus - 1), daemon=True))
    start = None
    if writable_each:
        start = Thread(some_writable, Span(Page, 0, pages), writable_each, on=TlbState(0))
    return Plan(
        machine=RECLAIM,
        sizes={
            TlbState: cpus, Page: 512 * tables, Frame: memory, ReclaimMm: processes, Pcid: 6,
            Mapping: processes, Pgdat: 1, Zone: 1, BatchSlot: pagevec, LufKey: 65535,
            Region: tables,
        },
        start=start,
        threads=readers,
        options=SIZE,
        work={"pages": pages * rounds},
    )  # fmt: skip
