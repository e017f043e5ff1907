"""Large mappings of the kernel where small ones were: page tables are freed (HUGE_VMALLOC)."""

from __future__ import annotations

from typing import Any

from shootdown.cost.workload import Plan, workload
from shootdown.errors import ModelError
from shootdown.hardware.machine import Frame, Page
from shootdown.hardware.sva import SvaDevice
from shootdown.hardware.walker import Pcid, Pmd, Region, Space, Table
from shootdown.lang import Thread, path
from shootdown.linux.mm.memory import alloc_page
from shootdown.linux.mm.vmalloc import remap_huge, vmalloc
from shootdown.linux.options_entry import ROOTS
from shootdown.workloads.externs import clock, compute, span
from shootdown.workloads.vmalloc import (
    SECOND,
    TABLE,
    VmallocSpace,
    boot,
    stay_in_user_mode,
)
from shootdown.workloads.x86_kernel import X86_KERNEL, NohzCpu

OWN_ROOT = Space(2)
"""Of the isolated CPUs with ``roots=per-cpu``: only the table of their stacks is in it."""


@path
def boot_roots(housekeeping: int) -> None:
    """As ``boot``; then isolated CPUs get their own root if the kernel has such."""
    boot(housekeeping, 0)
    if ROOTS == "per-cpu":
        stacks = Region(len(Region) - 1)
        OWN_ROOT.pmd[stacks] = Pmd(present=True, table=Table(stacks.index))
        for cpu in NohzCpu:
            if cpu.nohz_full:
                cpu.kernel_root = OWN_ROOT
                cpu.root = OWN_ROOT


@path(show="housekeeping")
def remaps(size: int, region: int, rounds: int, first: int, every: int) -> None:
    """Map small pages, free them, and map a large one in their place; each time somewhere else."""
    due = clock() + first
    for number in range(rounds):
        now = clock()
        if now < due:
            compute(due - now)
        due = due + every
        area: Any = span((region + number) * TABLE, size)
        vmalloc(area)
        remap_huge(area, alloc_page())


@workload("vmap-huge")
def maps_large(
    cpus: int = 4,
    isolated: int = 2,
    maps: int = 1000,
    entries: int = 1000,
    pages: int = 4,
    ms: int = 100,
) -> Plan:
    """Large mappings take the place of small ones, beside isolated CPUs that are to be left alone.

    The housekeeping CPUs together map ``maps`` large pages in a second, each where ``pages`` small
    ones were freed just before, for ``ms`` milliseconds: one flush for the small pages, one for the
    page table. The ``isolated`` CPUs are in user mode for that time altogether, and enter the
    kernel ``entries`` times a second.
    """
    workers = cpus - isolated
    if workers < 1 or maps < 1:
        raise ModelError("vmap-huge: somebody must map something: isolated < cpus, and maps > 0")
    total = maps * ms // 1000
    each = -(-total // workers)
    regions = workers * each + 1  # the last one is that of the stacks
    every = SECOND * workers // maps
    gap = SECOND // entries if entries else 0
    times = entries * ms // 1000
    rounds = [total // workers + (w < total % workers) for w in range(workers)]
    threads = [
        Thread(
            remaps, pages, w * each, rounds[w], (2 * w + 1) * every // (2 * workers), every,
            on=NohzCpu(w),
        )
        for w in range(workers)
    ]  # fmt: skip
    threads += [
        Thread(
            stay_in_user_mode, Page(regions * TABLE - 1), times, gap, ms * 1_000_000 - times * gap,
            0, on=NohzCpu(cpu),
        )
        for cpu in range(workers, cpus)
    ]  # fmt: skip
    return Plan(
        machine=X86_KERNEL,
        sizes={
            NohzCpu: cpus, Page: regions * TABLE, Region: regions, Table: regions,
            Frame: workers * pages + total + 64, VmallocSpace: 3, Pcid: 3, SvaDevice: 1,
        },
        start=Thread(boot_roots, workers, on=NohzCpu(0)),
        threads=threads,
        options={"vmap_purge": "lazy"},
        work={"maps": total},
    )  # fmt: skip
