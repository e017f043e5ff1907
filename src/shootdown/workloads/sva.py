"""A process whose memory a device uses too (shared virtual addressing, system S4).

What the device does is not priced, only what it costs the CPUs that it has to be told: each
invalidation is a command that the kernel posts to the IOMMU and waits for, subscriber by subscriber
(``iotlb_flush``).
"""

from __future__ import annotations

from dataclasses import replace as copy_of

from shootdown.cost.workload import Plan, workload
from shootdown.errors import UsageError
from shootdown.hardware import iommu
from shootdown.hardware.iommu import Device
from shootdown.hardware.machine import AddressSpace, Page
from shootdown.lang import Thread, atomic, path
from shootdown.lang.large import Span
from shootdown.linux.arch.x86.tlbflush import ContextMm, TlbState
from shootdown.linux.mm.madvise import madvise_dontneed
from shootdown.linux.mm.memory_wp import do_wp_page, wp_page_reuse
from shootdown.linux.mm.mprotect import mprotect
from shootdown.linux.mm_types import Mm, Pages
from shootdown.linux.user import write_page
from shootdown.workloads.externs import count, spend
from shootdown.workloads.memory import Places
from shootdown.workloads.user import enter, spin, system_call, touch_all
from shootdown.workloads.x86 import X86, alloc_page

ONE_TABLE = 512


@atomic(show="invalidate the IOTLB of {device}")
def iotlb_invalidate(device: Device, mm: AddressSpace, pages: set[Page]) -> None:
    """A command, and the wait for it."""
    if device.attached == mm:
        spend("iotlb_flush", 1)
        count("iotlb_flush", 1)
        count("iotlb pages", len(pages))


X86_IOMMU = copy_of(
    X86,
    name="x86-64 with IOMMU",
    instead={**X86.instead, iommu.iotlb_invalidate: iotlb_invalidate},
    options={**X86.options, "access_flags": "none"},
    columns={"iotlb_flushes": "iotlb_flush", "ipis": "csd_queue_cpu"},
)


@path
def attach_all(mm: Mm) -> None:
    """The process gives its memory to all devices (``iommu_sva_bind_device()``)."""
    for device in Device:
        device.attached = mm


@path(show="write fault")
def write_again(mm: Mm, page: Page) -> None:
    """Write to a page that was made read-only and that nobody else has."""
    if write_page(mm, page) is None:
        spend("page_fault", 1)
        wp_page_reuse(mm, page)
        write_page(mm, page)


@path(show="copy on write")
def write_copy(mm: Mm, page: Page) -> None:
    """Write to a page that is read-only, as if a child had it, too: a copy."""
    if write_page(mm, page) is None:
        spend("page_fault", 1)
        copy = alloc_page()
        spend("copy_page", 1)
        do_wp_page(mm, page, copy)
        write_page(mm, page)


@path(show="worker")
def churn(mm: Mm, pages: Pages, dontneed: int, protect: int, cow: int) -> None:
    """Give all pages back and touch them again; make each read-only and write to it; the same, and
    copy it."""
    enter(mm)
    touch_all(mm, pages)
    for _ in range(dontneed):
        system_call()
        madvise_dontneed(mm, pages)
        touch_all(mm, pages)
    for _ in range(protect):
        for page in pages:
            system_call()
            mprotect(mm, (page,))
            write_again(mm, page)
    for _ in range(cow):
        for page in pages:
            system_call()
            mprotect(mm, (page,))
            write_copy(mm, page)


@workload("sva")
def sva(
    cpus: int = 2, workers: int = 1, devices: int = 1, pages: int = 4, dontneed: int = 1000,
    protect: int = 0, cow: int = 0,
) -> Plan:  # fmt: skip
    """Memory churn of a process that devices use: rounds of MADV_DONTNEED, mprotect, copy on write.

    All pages are in one page table, so that workers share its lock; the CPUs without a worker spin
    in the process.
    """
    if workers * pages > ONE_TABLE:
        raise UsageError(
            f"{workers} workers with {pages} pages each do not fit in one page table: "
            f"{ONE_TABLE} pages at most"
        )
    mm = ContextMm(0)
    threads = [
        Thread(churn, mm, Span(Page, w * pages, pages), dontneed, protect, cow, on=TlbState(w))
        for w in range(workers)
    ]
    threads += [Thread(spin, mm, on=TlbState(c), daemon=True) for c in range(workers, cpus)]
    calls = workers * (dontneed + (protect + cow) * pages)
    return Plan(
        machine=X86_IOMMU,
        sizes={
            **Places(1, workers * pages).sizes(cpus=cpus, spare=64 + workers),
            Device: devices,
        },
        start=Thread(attach_all, mm, on=TlbState(0)),
        threads=threads,
        work={"calls": calls},
    )  # fmt: skip
