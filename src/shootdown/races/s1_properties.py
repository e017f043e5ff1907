"""System S1: what must hold, what must be reachable, and where the scenarios start."""

from __future__ import annotations

from shootdown.hardware.machine import Cpu, Frame, Page, Pte
from shootdown.hardware.sva import SvaDevice, bind
from shootdown.hardware.walker import Pcid, Pmd, Region, Space, Table, holds, small, usable
from shootdown.hardware.walker_flush import load_cr3_noflush
from shootdown.lang import atomic, goal, invariant
from shootdown.linux.kernel_cpu import (
    INIT_MM,
    KERNEL,
    USER,
    USER_ROOT,
    ContextState,
    KernelCpu,
    owes,
)
from shootdown.linux.options_entry import KERNEL_GLOBAL, PTI

# ------------------------------------------------------------------ invariants


@invariant("INV-S1-1")
def no_stale_kernel_access() -> bool:
    """Kernel code used a translation that was removed before the flush returned."""
    return not any(cpu.used_stale for cpu in KernelCpu)


@invariant("INV-S1-2")
def no_freed_table_walked() -> bool:
    """A page walker took memory for a page table that is none any more."""
    return not any(table.trampled for table in Table)


@invariant("INV-S1-3")
def no_lost_deferral() -> bool:
    """A CPU that was spared an IPI ran kernel code before it had flushed."""
    return not any(cpu.used_owing for cpu in KernelCpu)


@invariant("INV-S1-4")
def undisturbed() -> bool:
    """An isolated CPU was interrupted in user mode."""
    return not any(cpu.disturbed and cpu.isolated for cpu in KernelCpu)


@invariant("INV-S1-5")
def coalesced() -> bool:
    """An isolated CPU is past the flush of its entry and still owes one that was deferred."""
    return not any(
        owes(cpu) and cpu.irq_on and not cpu.user_mode for cpu in KernelCpu if cpu.isolated
    )


@atomic
def frames_of(cpu: KernelCpu, page: Page, large: bool) -> set[Frame]:
    """Where the small, or the large, translations lead that a CPU can use for a page."""
    return {leaf.frame for leaf in usable(cpu, page) if leaf.large == large}


@invariant("INV-ONE")
def one_page_size() -> bool:
    """A CPU can use a small and a large translation of one address that differ."""
    return not any(
        frames_of(cpu, page, True) and frames_of(cpu, page, False) - frames_of(cpu, page, True)
        for cpu in KernelCpu
        for page in Page
    )


# ------------------------------------------------------------------ goals


@goal("a flush was deferred")
def deferred() -> bool:
    """A CPU in user mode was spared the IPI."""
    return any(owes(cpu) for cpu in KernelCpu)


@goal("a deferred flush was done")
def done_later() -> bool:
    """The CPU flushed when it entered the kernel."""
    return any(cpu.paid for cpu in KernelCpu)


@goal("a frame was freed")
def freed() -> bool:
    """What was mapped has a new owner."""
    return any(not frame.allocated for frame in Frame)


@goal("a frame is free and a CPU in user mode holds its translation")
def held_while_free() -> bool:
    """What deferral is about: harmless as long as that CPU flushes first."""
    return any(
        cpu.user_mode and leaf.frame == frame and not leaf.large
        for frame in Frame
        if not frame.allocated
        for cpu in KernelCpu
        for pcid in Pcid
        for page in Page
        for leaf in cpu.leaves[pcid][page]
    )


@goal("an address has another frame")
def remapped() -> bool:
    """The address was given away and is in use again."""
    return any(
        table.pte[page].present and not Frame(page.index).allocated
        for table in Table
        for page in Page
    )


@goal("a page table was freed")
def table_freed() -> bool:
    """Its frame is somebody else's memory."""
    return any(table.given_away for table in Table)


@goal("a large page is mapped")
def large_mapped() -> bool:
    """It stands where a table was."""
    return any(INIT_MM.pmd[region].present and INIT_MM.pmd[region].large for region in Region)


@goal("small pages are mapped again")
def small_again() -> bool:
    """By the table that was kept."""
    return any(table.pte[page].present and not table.given_away for table in Table for page in Page)


@goal("a page table is free and a CPU has it cached")
def table_held_while_free() -> bool:
    """Harmless as long as that CPU does not use the PCID that it is cached under."""
    return any(
        table.given_away and holds(cpu, table) and table not in cpu.tables[cpu.pcid][region]
        for cpu in KernelCpu
        for table in Table
        for region in Region
    )


@goal("an NMI came in before the flush of the entry")
def nmi_in_entry() -> bool:
    """It interrupted an entry that runs on the kernel's root and has not flushed yet."""
    return any(cpu.in_nmi and owes(cpu) and not cpu.user_mode for cpu in KernelCpu)


# ------------------------------------------------------------------ starting states


@atomic
def map_region(space: Space) -> None:
    """The first region has a table in this root."""
    space.pmd[Region(0)] = Pmd(present=True, table=Table(0))


@atomic
def mapped() -> None:
    """Every page is mapped to the frame of its number, by one table; further frames are unused.
    All CPUs are in the kernel; the last one is isolated."""
    for region in Region:
        region.glob = PTI == "off" or KERNEL_GLOBAL == "all"
    map_region(INIT_MM)
    for page in Page:
        Table(0).pte[page] = Pte(
            present=True, writable=True, accessed=True, frame=Frame(page.index)
        )
    for cpu in KernelCpu:
        cpu.isolated = cpu.index == len(Cpu) - 1
        load_cr3_noflush(cpu, INIT_MM, KERNEL)


@atomic
def into_user_mode() -> None:
    """The isolated CPU has been in user mode for long; it had everything cached before."""
    for cpu in KernelCpu:
        if cpu.isolated:
            for region in Region:
                cpu.tables[KERNEL][region].add(Table(0))
                for page in Page:
                    pte = Table(0).pte[page]
                    if pte.present:
                        cpu.leaves[KERNEL][page].add(small(pte, region))
            cpu.user_mode = True
            cpu.kernel_cr3_loaded = False
            cpu.ct_state = ContextState(user=True)
            if PTI == "on":
                load_cr3_noflush(cpu, USER_ROOT, USER)


@atomic
def mapped_in_user_mode() -> None:
    """The same, but the isolated CPU is in user mode."""
    mapped()
    into_user_mode()


@atomic
def unmapped() -> None:
    """The same, but the pages of the table were unmapped, and flushed everywhere; what CPUs still
    have cached is the table."""
    mapped()
    for page in Page:
        Table(0).pte[page] = Pte()
        for cpu in KernelCpu:
            cpu.leaves[KERNEL][page] = set()


@atomic
def unmapped_own_root() -> None:
    """The same, but the isolated CPU has a root of its own, in which the table never was."""
    unmapped()
    for cpu in KernelCpu:
        if cpu.isolated:
            for region in Region:
                cpu.tables[KERNEL][region] = set()
            cpu.kernel_root = Space(1)
            load_cr3_noflush(cpu, Space(1), KERNEL)


@atomic
def unmapped_two_roots() -> None:
    """The same, but the table is in that root, too."""
    map_region(Space(1))
    unmapped_own_root()


@atomic
def unmapped_in_user_mode() -> None:
    """The same, but the isolated CPU is in user mode."""
    unmapped()
    into_user_mode()


@atomic
def unmapped_device() -> None:
    """A device walks the kernel's page table."""
    unmapped()
    for device in SvaDevice:
        bind(device, INIT_MM)
