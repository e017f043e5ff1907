"""System S1: page tables of kernel mappings that are freed (PT.*).

A housekeeping CPU puts a large page where a table was, and frees the table; an isolated CPU, or a
device, may still have the table cached. ``docs/s1.md`` explains the results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shootdown.hardware.machine import Cpu, Frame, Page
from shootdown.hardware.sva import SvaDevice, sva_observers, sva_rules
from shootdown.hardware.tlb import TLB
from shootdown.hardware.walker import Pcid, Region, Space, Table
from shootdown.lang import ByOption, Hardware, Scenario, Setup, Thread, path, scenario, this
from shootdown.linux.arch.x86.mm_pgtable import forget_table
from shootdown.linux.arch.x86.tlb_kernel import switch_mm_irqs_off
from shootdown.linux.kernel_cpu import INIT_MM, KERNEL, KernelCpu, kernel_access
from shootdown.linux.mm.vmalloc import remap_huge, vmap_huge
from shootdown.races import s1_properties as s1
from shootdown.races.s1 import TSO, VARIANTS, Options, enter, leave_and_enter, linux_kernel

SECOND = Pcid(2)
"""The kernel PCID of a second process."""

with_device = Hardware(
    "x86 walker with a device",
    rules=(*linux_kernel.rules, *sva_rules),
    observers=(*linux_kernel.observers, *sva_observers),
    witness=linux_kernel.witness,
    assumptions=(
        *linux_kernel.assumptions,
        ByOption(
            TLB,
            {
                "may": "a device walks the kernel's page table and caches its tables until it is "
                "told otherwise",
                "explicit": "a device walks the kernel's page table, caches its tables, and may "
                "lose them at any time",
            },
        ),
    ),
)


@path(show="free a table")
def forget_and_free(page: Page, frame: Frame) -> None:
    """Per-CPU page tables: take the table out of the isolated CPU's root, later free it."""
    for cpu in KernelCpu:
        if cpu.isolated:
            forget_table(cpu, page)
    vmap_huge(page, frame)


@path(show="task")
def switch_process(page: Page) -> None:
    """The isolated CPU runs a second process for a while, and goes on with the first."""
    cpu = this(KernelCpu)
    switch_mm_irqs_off(cpu, INIT_MM, SECOND)
    kernel_access(page)
    switch_mm_irqs_off(cpu, INIT_MM, KERNEL)
    kernel_access(page)


@path(show="task")
def visit_init_mm(page: Page) -> None:
    """The isolated CPU leaves its own root for a while: an idle task runs on init_mm's
    (``leave_mm()``), a firmware call on its own."""
    cpu = this(KernelCpu)
    switch_mm_irqs_off(cpu, INIT_MM, KERNEL)
    switch_mm_irqs_off(cpu, Space(1), KERNEL)
    kernel_access(page)


def tables(
    name: str,
    variant: str,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    check: Sequence[Any] = (s1.no_freed_table_walked,),
    goals: Sequence[Any] = (s1.table_freed, s1.large_mapped),
    start: Any = s1.unmapped,
    work: Any = vmap_huge,
    task: Any = leave_and_enter,
    spaces: int = 1,
    pcids: int = 1,
    device: bool = False,
    more: Options | None = None,
) -> Scenario:
    """One CPU puts a large page where small ones were; the last one leaves the kernel and returns,
    or does something else."""
    options = {**VARIANTS[variant], **(more or {})}
    pti = options.get("pti") == "on"

    @scenario(
        name,
        expect="VIOLATED" if violates else "HOLDS",
        violates=violates,
        aliases=aliases,
        title=title,
    )
    def build(cpus: int = 2) -> Setup:
        return Setup(
            sizes={
                Cpu: cpus,
                Page: 1,
                Frame: 2,
                Region: 1,
                Table: 1,
                Pcid: max(pcids, 2 if pti else 1),
                Space: max(spaces, 2 if pti else 1),
                **({SvaDevice: 1} if device else {}),
            },
            start=start,
            threads=[
                Thread(work, Page(0), Frame(1), on=KernelCpu(0)),
                Thread(task, Page(0), on=KernelCpu(cpus - 1)),
            ],
            hardware=with_device if device else linux_kernel,
            options=options,
            invariants=[*check],
            goals=[*goals],
        )

    return build


TABLES = (
    tables("PT.V0", "K.V3", "every CPU is interrupted before the table is freed", more=TSO),
    tables("PT.V0.nopti", "K.V1", "the same, no page-table isolation"),
    tables(
        "PT.V0.pcid",
        "K.V0",
        "INVLPG leaves the table cached under another PCID",
        violates="INV-S1-2",
        task=switch_process,
        pcids=3,
    ),
    tables(
        "PT.V0.pcid-all",
        "K.V0",
        "a flush of all PCIDs",
        task=switch_process,
        pcids=3,
        more={"kernel_table_flush": "all"},
    ),
    tables(
        "PT.V0.pcid-pti",
        "K.V0",
        "with page-table isolation other PCIDs are flushed before they are used again",
        task=switch_process,
        pcids=3,
        more={"pti": "on"},
    ),
    tables(
        "PT.V1",
        "K.V1",
        "the flush before the table is freed is deferred",
        violates="INV-S1-2",
        aliases=("BAD-S1-3",),
        more={"kernel_table_flush": "deferred"},
    ),
    tables(
        "PT.V1.pti",
        "K.V3",
        "the same with page-table isolation: between CR3 switch (NOFLUSH) and flush",
        violates="INV-S1-2",
        start=s1.unmapped_in_user_mode,
        task=enter,
        more={"kernel_table_flush": "deferred"},
    ),
    tables(
        "PT.V1.cr3",
        "K.V4",
        "the CR3 switch itself flushes: in the exit, between the end of the signal and CR3 switch",
        violates="INV-S1-2",
        more={"kernel_table_flush": "deferred"},
    ),
    tables(
        "PT.V1.cr3-entry",
        "K.V4",
        "the same, for a CPU in user mode already (no store buffers: memory=sc)",
        goals=(s1.table_freed, s1.large_mapped, s1.table_held_while_free),
        start=s1.unmapped_in_user_mode,
        task=enter,
        more={"kernel_table_flush": "deferred"},
    ),
    tables(
        "PT.V1.cr3-late",
        "K.V4",
        "the same, the signal ends after the CR3 switch (no store buffers: memory=sc)",
        goals=(s1.table_freed, s1.large_mapped, s1.table_held_while_free),
        more={"kernel_table_flush": "deferred", "signal_end": "after-switch"},
    ),
    tables(
        "PT.V2",
        "K.V1",
        "the table is never freed, and small pages stay small",
        goals=(s1.small_again,),
        more={"kernel_table_flush": "kept"},
    ),
    tables(
        "PT.V3",
        "K.V0",
        "the isolated CPU has a root of its own, in which the table never was",
        check=(s1.no_freed_table_walked, s1.undisturbed),
        start=s1.unmapped_own_root,
        spaces=2,
        more={"roots": "per-cpu"},
    ),
    tables(
        "PT.V3.init-mm",
        "K.V0",
        "the same, but the isolated CPU once ran on the shared root",
        violates="INV-S1-2",
        start=s1.unmapped_own_root,
        task=visit_init_mm,
        spaces=2,
        more={"roots": "per-cpu"},
    ),
    tables(
        "PT.V4",
        "K.V0",
        "the same, but the table was in that root once, and was taken out without a flush",
        violates="INV-S1-2",
        start=s1.unmapped_two_roots,
        work=forget_and_free,
        spaces=2,
        more={"roots": "per-cpu"},
    ),
    tables(
        "PT.V4.fixed",
        "K.V0",
        "the same, and the CPU was flushed when the table was taken out",
        start=s1.unmapped_two_roots,
        work=forget_and_free,
        spaces=2,
        more={"roots": "per-cpu", "root_flush": "ipi"},
    ),
    tables(
        "PT.V5",
        "K.V0",
        "a device has the table cached (CVE-2025-71202, CVE-2025-71089)",
        violates="INV-S1-2",
        aliases=("IOMMU-SVA-KTABLE", "BAD-S4-6"),
        start=s1.unmapped_device,
        device=True,
    ),
    tables(
        "PT.V5.fixed",
        "K.V0",
        "the IOMMU is told before the table is freed (CVE-2025-71202)",
        aliases=("IOMMU-SVA-KTABLE.fixed",),
        start=s1.unmapped_device,
        device=True,
        more={"sva": "invalidate"},
    ),
)


def swizzle(
    name: str,
    variant: str,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    check: Sequence[Any] = (s1.no_freed_table_walked, s1.no_stale_kernel_access, s1.one_page_size),
    more: Options | None = None,
) -> Scenario:
    """One CPU frees small pages and maps a large one in their place; the last one leaves the kernel
    and comes back to it."""
    options = {**VARIANTS[variant], **(more or {})}
    pti = options.get("pti") == "on"

    @scenario(
        name,
        expect="VIOLATED" if violates else "HOLDS",
        violates=violates,
        aliases=aliases,
        title=title,
    )
    def build(cpus: int = 2, pages: int = 2) -> Setup:
        given = tuple(Page(p) for p in range(pages))
        return Setup(
            sizes={
                Cpu: cpus,
                Page: pages,
                Frame: pages + 1,
                Region: 1,
                Table: 1,
                Pcid: 2 if pti else 1,
                Space: 2 if pti else 1,
            },
            start=s1.mapped,
            threads=[
                Thread(remap_huge, given, Frame(pages), on=KernelCpu(0)),
                Thread(leave_and_enter, Page(pages - 1), on=KernelCpu(cpus - 1)),
            ],
            hardware=linux_kernel,
            options=options,
            invariants=[*check],
            goals=[s1.freed, s1.table_freed, s1.large_mapped],
        )

    return build


CAREFUL: Options = {"early_entry": "careful"}

SWIZZLES = (
    swizzle("PT.V0.swizzle", "K.V0", "small pages, then a large one: every flush by IPI"),
    swizzle(
        "PT.V1.swizzle",
        "K.V1",
        "small pages, then a large one: both flushes deferred",
        violates="INV-ONE",
        aliases=("BAD-S1-4",),
        check=(s1.one_page_size,),
        more={**CAREFUL, "kernel_table_flush": "deferred"},
    ),
    swizzle(
        "PT.V1.swizzle-table",
        "K.V1",
        "the same, seen by the page walker",
        violates="INV-S1-2",
        check=(s1.no_freed_table_walked,),
        more={**CAREFUL, "kernel_table_flush": "deferred"},
    ),
    swizzle(
        "PT.V0.swizzle-deferred",
        "K.V3",
        "the flush of the pages deferred, that of the table not: nothing stale is used",
        check=(s1.no_freed_table_walked, s1.no_stale_kernel_access, s1.no_lost_deferral),
        more=TSO,
    ),
    swizzle(
        "PT.V0.swizzle-sizes",
        "K.V3",
        "the same: but until the entry has flushed a CPU can hold both sizes",
        violates="INV-ONE",
        check=(s1.one_page_size,),
    ),
)
