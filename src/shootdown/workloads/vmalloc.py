"""Kernel memory that comes and goes, beside CPUs that are not to be disturbed (``nohz_full=``)."""

from __future__ import annotations

from typing import Any

from shootdown.cost.workload import Plan, workload
from shootdown.errors import ModelError
from shootdown.hardware.machine import Frame, Page, Pte
from shootdown.hardware.walker import Pcid, Pmd, Region, Table
from shootdown.lang import Thread, atomic, path, ranged
from shootdown.linux.arch.x86.entry import enter_from_user_mode, exit_to_user_mode
from shootdown.linux.kernel_cpu import INIT_MM, KERNEL, KernelSpace
from shootdown.linux.mm.memory import alloc_page
from shootdown.linux.mm.vmalloc import vfree, vmalloc
from shootdown.workloads.externs import clock, compute, count, random, span, spend
from shootdown.workloads.x86_kernel import X86_KERNEL, NohzCpu

SECOND = 1_000_000_000
MIB = 256
"""Pages of a MiB."""
TABLE = 512
"""Pages that a table maps."""


class VmallocSpace(KernelSpace):
    """``slot``: where the next area goes."""

    slot: int = ranged(0, 3)


@atomic(show="alloc_vmap_area()")
def alloc_vmap_area(slots: int) -> int:
    """Addresses are given away in turn. There are more than can wait for a flush, so none is used
    again before it."""
    space = VmallocSpace(0)
    slot = space.slot
    space.slot = (slot + 1) % slots
    return slot


@path
def boot(housekeeping: int, lazy_max: int) -> None:
    """Tables for all of the vmalloc range; the first CPUs keep house, the others are isolated."""
    for region in Region:
        INIT_MM.pmd[region] = Pmd(present=True, table=Table(region.index))
    stack = Page(len(Page) - 1)
    table = Table(len(Table) - 1)
    table.pte[stack] = Pte(present=True, writable=True, accessed=True, frame=alloc_page())
    INIT_MM.lazy_max = lazy_max
    for cpu in NohzCpu:
        cpu.root = INIT_MM
        cpu.pcid = KERNEL
        if cpu.index >= housekeeping:
            cpu.nohz_full = True


@path(show="housekeeping")
def churn(size: int, slots: int, frees: int, first: int, every: int) -> None:
    """Allocate and free an area of ``size`` pages, again and again: after ``first`` ns, and every
    so many from then on."""
    due = clock() + first
    for _ in range(frees):
        now = clock()
        if now < due:
            compute(due - now)
        due = due + every
        area: Any = span(alloc_vmap_area(slots) * size, size)
        vmalloc(area)
        vfree(area)


@path(show="system call")
def system_call(page: Page) -> None:
    """Into the kernel by the kernel's own entry code, and back."""
    spend("kernel_entry", 1)
    enter_from_user_mode(page)
    exit_to_user_mode()


@path(show="isolated task")
def stay_in_user_mode(page: Page, entries: int, gap: int, rest: int, chance: int) -> None:
    """A task that runs in user mode and enters the kernel now and then: always after ``gap`` ns, or
    after ``gap - chance`` to ``gap + chance``. All other time that passes is counted as stolen."""
    exit_to_user_mode()
    begun = clock()
    asked = 0
    for _ in range(entries):
        wait = gap
        if chance > 0:
            wait = gap - chance + random(2 * chance)
        compute(wait)
        asked = asked + wait
        system_call(page)
    for _ in range(rest // SECOND):
        compute(SECOND)
    compute(rest % SECOND)
    count("stolen_ns", clock() - begun - asked - rest)


@workload("vmalloc")
def churns(
    cpus: int = 4,
    isolated: int = 2,
    frees: int = 1000,
    entries: int = 1000,
    pages: int = 4,
    mib: int = 0,
    chance: int = 0,
    ms: int = 100,
) -> Plan:
    """Kernel memory is freed, beside isolated CPUs that are to be left alone.

    The housekeeping CPUs (the first ones) together free ``frees`` areas of ``pages`` pages in a
    second, for ``ms`` milliseconds. Each of the ``isolated`` CPUs is in user mode for that time
    altogether, and enters the kernel ``entries`` times a second, after times that vary by up to
    ``chance`` percent. Addresses are collected until they are more than ``mib`` MiB for each bit of
    the number of CPUs, which is 32 for ``vfree()``; 0: every area is flushed at once, as where
    ``set_memory_ro()`` follows each allocation.
    """
    workers = cpus - isolated
    if workers < 1 or frees < 1:
        raise ModelError("vmalloc: somebody must free something: isolated < cpus, and frees > 0")
    lazy_max = cpus.bit_length() * mib * MIB
    slots = 2 * (lazy_max // pages + workers + 1)  # some are being flushed, others wait already
    tables = slots * pages // TABLE + 1
    stack = Page(tables * TABLE - 1)  # of the entry code, behind all areas
    every = SECOND * workers // frees
    total = frees * ms // 1000
    gap = SECOND // entries if entries else 0
    times = entries * ms // 1000
    threads = [
        Thread(
            churn, pages, slots,
            total // workers + (w < total % workers), (2 * w + 1) * every // (2 * workers), every,
            on=NohzCpu(w),
        )
        for w in range(workers)
    ]  # fmt: skip
    threads += [
        Thread(
            stay_in_user_mode, stack, times, gap, ms * 1_000_000 - times * gap, gap * chance // 100,
            on=NohzCpu(cpu),
        )
        for cpu in range(workers, cpus)
    ]  # fmt: skip
    return Plan(
        machine=X86_KERNEL,
        sizes={
            NohzCpu: cpus, Page: tables * TABLE, Region: tables, Table: tables,
            Frame: workers * pages + 64, VmallocSpace: 2, Pcid: 3,
        },
        start=Thread(boot, workers, lazy_max, on=NohzCpu(0)),
        threads=threads,
        options={"vmap_purge": "lazy"},
        work={"frees": total},
    )  # fmt: skip
