"""arch/x86/mm/pgtable.c: freeing page tables of kernel mappings."""

from __future__ import annotations

from shootdown.hardware.machine import Cpu, Page
from shootdown.hardware.walker import Pmd, Region, Space, Table, give_away
from shootdown.lang import READ_ONCE, WRITE_ONCE, atomic, note, path, smp_mb
from shootdown.linux.arch.x86.tlb_kernel import (
    flush_tlb_all,
    flush_tlb_kernel_range,
    flush_tlb_kernel_range_deferrable,
    on_cpus,
)
from shootdown.linux.drivers.iommu_sva import iommu_sva_invalidate_kva_range
from shootdown.linux.kernel_cpu import KernelCpu
from shootdown.linux.options_entry import CLEAR_BARRIER, ROOT_FLUSH, ROOTS, SVA, TABLE_FLUSH


@path
def pmd_index(page: Page) -> Region:
    """The region that a page lies in."""
    return Region(page.index * len(Region) // len(Page))


@atomic(show="free the page table")
def pte_free_kernel(table: Table) -> None:
    """P3."""
    give_away(table)
    note("{} is somebody else's memory", table)


@path
def cpus_with(page: Page) -> set[Cpu]:
    """Per-CPU page tables: who has the region in its root? The others never had it, or so they
    say (Peter Zijlstra's idea)."""
    found: set[Cpu] = set()
    region = pmd_index(page)
    for cpu in KernelCpu:
        pmd = READ_ONCE(cpu.kernel_root.pmd[region])
        if pmd.present:
            found = found | {cpu}
    return found


@path(show="pmd_free_pte_page()")
def pmd_free_pte_page(space: Space, page: Page, table: Table) -> bool:
    """P1..P3. "The pmd range has been unmapped and TLB purged": what is left in caches is the table
    itself, which INVLPG of any of its pages removes (5e0fb5df2ee8). The PMD is cleared by a plain
    store. x86-32 and a kernel that never frees such tables give ``False``."""
    if TABLE_FLUSH == "kept":
        return False
    targets = cpus_with(page) if ROOTS == "per-cpu" else set(Cpu)
    WRITE_ONCE(space.pmd[pmd_index(page)], Pmd())
    if ROOTS == "per-cpu":
        on_cpus(targets, {page}, False)
    elif TABLE_FLUSH == "all":
        flush_tlb_all()
    elif TABLE_FLUSH == "deferred":
        if CLEAR_BARRIER == "smp_mb":
            smp_mb()
        flush_tlb_kernel_range_deferrable({page}, set())
    else:
        flush_tlb_kernel_range({page})
    if SVA == "invalidate":
        iommu_sva_invalidate_kva_range()
    pte_free_kernel(table)
    return True


@path(show="take the table out of the root of {cpu}")
def forget_table(cpu: KernelCpu, page: Page) -> None:
    """Per-CPU page tables: a table that an isolated CPU had in its root is not needed there."""
    WRITE_ONCE(cpu.kernel_root.pmd[pmd_index(page)], Pmd())
    if ROOT_FLUSH == "ipi":
        on_cpus({cpu}, {page}, False)
