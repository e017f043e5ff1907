"""An x86 machine for mappings of the kernel: CPUs in user mode and in the kernel.

As ``x86``, but translations are those of the kernel: of its own PCID with page-table isolation,
global without. Who is interrupted, who flushes when it enters the kernel, in what order: all that
is ``linux/arch/x86`` (``tlb_kernel.py``, ``entry.py``), which the checker checks as system S1.
"""

from __future__ import annotations

from typing import cast

from shootdown.cost.workload import Machine
from shootdown.hardware import interrupt, ipi, sva, walker, walker_flush
from shootdown.hardware.machine import Cpu, Frame, Page, Pte
from shootdown.hardware.sva import SvaDevice
from shootdown.hardware.walker import Pcid, Space, Walker, region_of
from shootdown.lang import atomic, on_write, path
from shootdown.linux import kernel_cpu
from shootdown.linux.arch.x86 import entry, tlb_kernel
from shootdown.linux.kernel_cpu import KernelCpu
from shootdown.linux.mm import memory
from shootdown.linux.options_entry import PTI
from shootdown.workloads.externs import (
    count,
    irqs_off,
    irqs_on,
    send_ipis,
    set_flag,
    spend,
    tlb_drop_all,
    tlb_drop_page,
    tlb_drop_tag,
    tlb_insert,
    tlb_lookup,
)
from shootdown.workloads.x86 import alloc_page, end_of_interrupt, given_back, take_interrupt

GLOBAL = Pcid(2)
"""Not a PCID: where translations with the G flag are kept, which all of them may use."""


class NohzCpu(KernelCpu):
    """``nohz_full``: what the boot said of the CPU. ``in_user``: what its CS register says."""

    nohz_full: bool = False
    in_user: bool = False


# ------------------------------------------------------------------ the CPU's own knowledge


@path
def housekeeping_cpu(cpu: KernelCpu) -> bool:
    """A look at a mask that nobody writes."""
    return not cast(NohzCpu, cpu).nohz_full


@path
def user_mode(cpu: KernelCpu) -> bool:
    """What the interrupt's stack frame says."""
    return cast(NohzCpu, cpu).in_user


@atomic(show="interrupt", fence=False)
def interrupt_gate(cpu: KernelCpu) -> None:
    """Its price is that of the system call or the interrupt."""
    cast(NohzCpu, cpu).in_user = False
    irqs_off(cpu)


@atomic(show="IRET")
def iret(cpu: KernelCpu) -> None:
    """Back to user mode; an interrupt that has waited comes now."""
    cast(NohzCpu, cpu).in_user = True
    irqs_on(cpu)


@atomic(show="local_irq_disable()", fence=False)
def local_irq_disable(cpu: Cpu) -> None:
    """CLI."""
    irqs_off(cpu)


@atomic(show="local_irq_enable()", fence=False)
def local_irq_enable(cpu: Cpu) -> None:
    """STI."""
    irqs_on(cpu)


# ------------------------------------------------------------------ translation


@atomic
def tag_of(cpu: Walker) -> Pcid:
    """What translations of kernel mappings are kept under."""
    if PTI == "off":
        return GLOBAL
    return cpu.pcid


@atomic(fence=False)
def load(cpu: Walker, page: Page) -> Frame | None:
    """A load of kernel code: by a translation that the CPU has, or by a walk from the root."""
    entry = tlb_lookup(cpu, tag_of(cpu), page)
    if entry.present:
        return entry.frame
    return walk(cpu, page)


@atomic
def walk(cpu: Walker, page: Page) -> Frame | None:
    """A page walk, after a miss. ``None``: a fault."""
    space = cpu.root
    if space is None:
        return None
    spend("tlb_walk", 1)
    pmd = space.pmd[region_of(page)]
    if not pmd.present:
        return None
    pte: Pte = pmd.table.pte[page]
    if not pte.present:
        return None
    tlb_insert(cpu, tag_of(cpu), page, pte)
    return pte.frame


# ------------------------------------------------------------------ invalidation


@atomic
def learn(cpu: Walker) -> None:
    """This CPU loads what it is asked for, and nothing else."""


@atomic
def drop_all(cpu: Walker) -> None:
    """INVPCID of everything, or CR4.PGE off and on, in the handler of an interrupt."""
    tlb_drop_all(cpu)
    spend("flush_everything", 1)


@atomic
def drop_page(cpu: Walker, page: Page) -> None:
    """INVLPG."""
    tlb_drop_page(cpu, tag_of(cpu), page)
    spend("invlpg", 1)
    count("invlpg", 1)


@atomic(show="INVPCID all", role="flush")
def invpcid_all(cpu: Walker) -> None:
    """The flush of an entry, or the deferred one."""
    drop_all(cpu)
    count("entry_flushes", 1)


@atomic(show="MOV to CR3")
def load_cr3(cpu: Walker, space: Space, pcid: Pcid) -> None:
    """The flush of an entry (v8), which is the switch."""
    tlb_drop_tag(cpu, pcid)
    spend("flush_all", 1)
    count("entry_flushes", 1)
    cpu.root = space
    cpu.pcid = pcid


@atomic(show="MOV to CR3 (NOFLUSH)")
def load_cr3_noflush(cpu: Walker, space: Space, pcid: Pcid) -> None:
    """Another root and another tag."""
    spend("cr3_switch", 1)
    cpu.root = space
    cpu.pcid = pcid


@atomic(show="invalidate the IOTLB", role="flush")
def invalidate_device(device: SvaDevice) -> None:
    """An invalidation is queued and waited for."""
    spend("iotlb_flush", 1)
    count("iotlb_flushes", 1)


# ------------------------------------------------------------------ interrupts


@atomic(show="send IPIs")
def send_kernel_calls(
    sender: KernelCpu, targets: set[Cpu], pages: set[Page], everything: bool
) -> None:
    """Queue the call on every target, and interrupt it."""
    sender.call_pages = pages
    sender.call_all = everything
    sender.call_pending = targets
    send_ipis(sender, targets)


@path
def interrupts() -> None:
    """What a CPU does beside what it runs. Entry code touches a stack: the last page."""
    while True:
        tlb_kernel.kernel_flush_interrupt(Page(len(Page) - 1))


@on_write(KernelCpu.disturbed)
def interrupted_in_user_mode(cpu: KernelCpu, old: bool, new: bool) -> None:
    """INV-S1-4 counts isolated CPUs."""
    if cast(NohzCpu, cpu).nohz_full:
        count("isolated_interrupts", 1)


# ------------------------------------------------------------------ what is owed


@path
def put_off(cpu: KernelCpu, pages: set[Page], frames: set[Frame]) -> None:
    """A CPU was spared; if it was before, both are one flush later."""
    count("deferred", 1)
    if set_flag(cpu, True):
        count("coalesced", 1)


@atomic
def settle(cpu: KernelCpu, pages: set[Page]) -> None:
    """Some pages are flushed: not what else was put off."""


@atomic
def settle_all(cpu: KernelCpu) -> None:
    """What was put off is done."""
    if set_flag(cpu, False):
        count("settled", 1)


X86_KERNEL = Machine(
    name="x86-64, kernel mappings",
    cpu=NohzCpu,
    frame=Frame,
    instead={
        kernel_cpu.housekeeping_cpu: housekeeping_cpu,
        kernel_cpu.user_mode: user_mode,
        kernel_cpu.settle: settle,
        kernel_cpu.settle_all: settle_all,
        tlb_kernel.put_off: put_off,
        tlb_kernel.send_kernel_calls: send_kernel_calls,
        entry.interrupt_gate: interrupt_gate,
        entry.iret: iret,
        ipi.local_irq_disable: local_irq_disable,
        ipi.local_irq_enable: local_irq_enable,
        walker.load: load,
        walker.learn: learn,
        walker_flush.drop_all: drop_all,
        walker_flush.drop_page: drop_page,
        walker_flush.invpcid_all: invpcid_all,
        walker_flush.invpcid_all_relaxed: invpcid_all,
        walker_flush.load_cr3: load_cr3,
        walker_flush.load_cr3_noflush: load_cr3_noflush,
        interrupt.take_interrupt: take_interrupt,
        interrupt.end_of_interrupt: end_of_interrupt,
        sva.invalidate_device: invalidate_device,
        memory.alloc_page: alloc_page,
    },
    observers=(given_back, interrupted_in_user_mode),
    spans=frozenset({Page}),
    lists=frozenset({Frame}),
    handler=interrupts,
    options={"flush_ceiling": "33", "pti": "on", "shootdown": "generations"},
    only={"arch": "x86", "pte": "word"},
)
"""x86-64 with page-table isolation (unless ``pti=off``), which the proposals of 2025 need."""
